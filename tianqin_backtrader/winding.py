"""What becomes of orders when a run ends: withdrawn for good, or kept in the journal. Pure.

Rules:
- What rests at the exchange is withdrawn: nobody would watch it.
- What is held here (stops, children of brackets, Close orders, orders for the next opening) stays
  in the journal and stands again at the next start.
- So do their relatives at the exchange, and a stop that has gone off: withdrawn, kept, sent again
  at the next start. Cancelled for good, they would take the stop that protects a position along.
"""

from __future__ import annotations

from .progress import Progress
from .tidings import Held
from .working import Phase, Then, Work

__all__ = ["ENDS", "KEPT", "at_exchange", "end", "keep", "to_be_kept"]

KEPT = "kept for the next start"
ENDS = "the run is ending"
HERE = (Phase.HELD, Phase.WAITING, Phase.PARKED)
ENDING = (Then.CANCEL, Then.EXPIRE)


def at_exchange(progress: Progress) -> list[Work]:
    """Orders that may still trade there."""
    return [work for work in progress.living.values() if work.is_at_exchange]


def to_be_kept(progress: Progress) -> list[Work]:
    """The orders that the next start takes up; parents before their children."""
    return [work for work in progress.living.values() if _is_kept(progress, work)]


def _is_kept(progress: Progress, work: Work) -> bool:
    if work.then in ENDING or (progress.targets is not None and progress.targets.works_on(work)):
        return False
    if work.phase in HERE or work.ticket.is_stop or work.ticket.parent:
        return True
    return any(other.phase in HERE for other in progress.families.others(work))


def keep(progress: Progress, work: Work) -> None:
    """Let an order stand still; what is at the exchange is withdrawn. Raises `JournalFailed`."""
    work.paused = work.paused or KEPT
    if work.phase is Phase.WORKING:
        progress.tell(Held(work.key, KEPT))
        progress.change(work, work.ticket)
    elif work.phase is Phase.DUE:
        progress.tell(Held(work.key, KEPT))
        progress.apply(work, progress.ledger.accept(work.key))
        work.phase = Phase.PARKED
        progress.note(work)


def end(progress: Progress, work: Work) -> None:
    """Withdraw an order for good, unless it has ended with another. Raises `JournalFailed`."""
    if work.phase is not Phase.DONE and work.then not in ENDING:
        progress.cancel(work, ENDS)
