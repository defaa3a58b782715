"""When a session ran, and when its connections were down, by the machine's clock. Pure.

By the machine's clock and not by market time, which stands still while nothing comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .journal_records import EventRecord
from .notices import Notice

__all__ = ["Stretch", "down_s", "stretches"]

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when until when; `kind`: "up" a run, "down" a connection of it."""

    kind: str
    from_ns: int
    until_ns: int


def stretches(events: Sequence[EventRecord]) -> list[Stretch]:
    """Runs first, then what lay over them. `events` in the order of time."""
    by_run: dict[str, list[EventRecord]] = {}
    for event in events:
        by_run.setdefault(event.run, []).append(event)
    runs = [Stretch("up", each[0].wall_ns, each[-1].wall_ns) for each in by_run.values()]
    downs = [stretch for each in by_run.values() for stretch in _down(each)]
    return [*runs, *downs]


def _down(events: Sequence[EventRecord]) -> Iterable[Stretch]:
    """From the first loss until all is back: a restored connection, or a new session."""
    open_: dict[str, int] = {}
    for event in events:
        what = "trading" if "trading" in event.text else "market"
        if event.kind == Notice.CONNECTION_LOST:
            open_.setdefault(what, event.wall_ns)
        elif event.kind == Notice.CONNECTION_RESTORED and what in open_:
            yield Stretch("down", open_.pop(what), event.wall_ns)
        elif event.kind == Notice.SESSION_REBUILT:
            for from_ns in open_.values():
                yield Stretch("down", from_ns, event.wall_ns)
            open_.clear()
    for from_ns in open_.values():
        yield Stretch("down", from_ns, events[-1].wall_ns)


def down_s(found: Iterable[Stretch]) -> float:
    """Seconds in which at least one connection was down."""
    total, until = 0, 0
    for each in sorted((s for s in found if s.kind == "down"), key=lambda s: s.from_ns):
        total += max(0, each.until_ns - max(each.from_ns, until))
        until = max(until, each.until_ns)
    return total / SECOND_NS
