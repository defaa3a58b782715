"""The orders of an old main contract while its lots are moved to the new one. Pure.

Rules:
- They wait here: what is at the exchange is withdrawn and kept, and no stop goes off.
- Then they follow the lots under the same key, their prices moved by what the new contract costs
  more; where nothing was opened they stay with the old one.
- An order that would close lots stands for no more than there are where it stands, and ends when
  there are none. One that was told to close, and finds none of its side there, stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from .contracts import is_on_tick, round_to_tick
from .journal_records import RollRecord, TradeRecord
from .progress import Progress
from .stops import waits_for
from .tickets import Ticket
from .tidings import Held, Modified, Moved
from .triggers import Trigger
from .values import Direction, Offset
from .working import Phase, Then, Work

__all__ = ["Fate", "average", "carry", "fate", "hold", "let_go", "shift_of"]

WAITS = (Phase.HELD, Phase.WAITING)
ENDING = (Then.CANCEL, Then.EXPIRE)
CLOSES = (Offset.CLOSE, Offset.CLOSETODAY)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a waiting order.

    ticket: as it stands from now on; None: it ends. shift: CNY that its prices moved.
    """

    ticket: Ticket | None
    shift: float = 0.0


def fate(ticket: Ticket, filled: int, roll: RollRecord, shift: float, tick: float) -> Fate:
    """Where a waiting order stands when `roll` has ended; `filled`: lots that it has traded."""
    lots = abs(roll.lots)
    moves = roll.opened > 0 or not lots
    there = roll.opened if moves else lots - roll.closed
    closes = lots > 0 and ticket.direction is _closing(roll)
    if closes and there < lots and ticket.volume - filled > there:
        if not there:
            return Fate(None)
        ticket = replace(ticket, volume=filled + there)
    if not moves or (ticket.offset in CLOSES and not closes):
        return Fate(ticket)
    return Fate(_shifted(replace(ticket, symbol=roll.new), shift, tick), shift)


def shift_of(closed: float, opened: float, tick: float) -> float:
    """What the new contract costs more, CNY, to the nearest price tick; NaN when not known."""
    if math.isnan(closed + opened):
        return math.nan
    grid = Decimal(repr(tick))
    steps = (Decimal(repr(opened)) - Decimal(repr(closed))) / grid
    return float(steps.to_integral_value(ROUND_HALF_EVEN) * grid)


def average(trades: Iterable[TradeRecord]) -> float:
    """Average price of trades, CNY; NaN for none."""
    taken = [(trade.price, trade.volume) for trade in trades]
    lots = sum(volume for _, volume in taken)
    return sum(price * volume for price, volume in taken) / lots if lots else math.nan


def hold(progress: Progress, work: Work, name: str) -> None:
    """Let an order wait for the roll `name`; what is at the exchange is withdrawn and kept.

    A net target at work cannot be kept: it ends.
    """
    is_moving = work.phase in (Phase.DUE, Phase.WORKING)
    if work.then in ENDING or (work.paused and not is_moving):
        return
    work.paused = name
    if progress.targets is not None and progress.targets.works_on(work):
        progress.cancel(work, f"its contract is left: {name}")
        return
    progress.tell(Held(work.key, f"held here until the roll {name} is over"))
    if work.phase is Phase.WORKING:
        progress.change(work, work.ticket)
        return
    if work.phase is Phase.DUE:
        progress.apply(work, progress.ledger.accept(work.key))
        work.phase = Phase.PARKED
    progress.note(work)


def carry(progress: Progress, work: Work, end: Fate, tick: float) -> None:
    """Write down how a waiting order stands from now on."""
    work.paused = ""
    ticket = end.ticket or work.ticket
    if ticket.symbol != work.symbol:
        progress.watched[work.symbol].remove(work)
        progress.watched.setdefault(ticket.symbol, []).append(work)
        progress.lots.follow(ticket.symbol)
        work.tries, work.follows_price, work.not_before_ns = 0, False, 0
        if work.trigger is not None:
            _shift_trigger(work.trigger, end.shift, tick)
    work.ticket = ticket
    progress.ledger.resize(work.key, ticket.volume)
    progress.note(work)
    progress.note_stop(work, "held" if work.phase in WAITS else "hit")


def let_go(progress: Progress, work: Work, end: Fate, reason: str) -> None:
    """Tell how it stands and let it go on; `reason`: why it ends, if it does."""
    if work.phase is Phase.DONE:  # another's step has ended it
        return
    if end.ticket is None:
        progress.cancel(work, reason)
        return
    waits = work.phase in WAITS
    progress.tell(Held(work.key, waits_for(work) if waits else ""))
    progress.tell(Modified(work.key, work.ticket))
    if waits and work.trigger is not None:
        progress.tell(Moved(work.key, work.trigger.price, work.trigger.limit))
    if work.phase is Phase.PARKED:
        work.phase = Phase.DUE  # it says itself what hinders it, if anything does
        progress.attempt(work)


def _closing(roll: RollRecord) -> Direction:
    return Direction.SELL if roll.lots > 0 else Direction.BUY


def _shifted(ticket: Ticket, shift: float, tick: float) -> Ticket:
    price, limit = ticket.price, ticket.limit
    return replace(
        ticket,
        price=None if price is None else _moved(price, shift, tick, ticket.direction),
        limit=None if limit is None else _moved(limit, shift, tick, ticket.direction),
    )


def _shift_trigger(trigger: Trigger, shift: float, tick: float) -> None:
    """What a trailing stop has trailed stays."""
    trigger.price = _moved(trigger.price, shift, tick, trigger.direction)
    if trigger.limit is not None:
        trigger.limit = _moved(trigger.limit, shift, tick, trigger.direction)


def _moved(price: float, shift: float, tick: float, direction: Direction) -> float:
    """A price on the grid stays on it; a stop's need not be there."""
    if not is_on_tick(price, tick):
        return price + shift
    return round_to_tick(price + shift, tick, direction)
