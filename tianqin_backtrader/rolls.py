"""One roll: the lots of an old main contract are closed, and what was closed is opened in the new.

A table of what follows on what, out of the journal's record and of what its orders have come to, so
that it goes on half-way wherever a program ended:

    closing ──┬─ all closed ──────────────────────────────────┬─ opening ──┬─ all opened ── done
              └─ short: waiting ── the market opens: retrying ┘            └─ short ────── failed
                                                  (nothing closed ── failed)

Rules:
- Nothing is opened before the closing has ended, and never more lots than were closed.
- An order that never reached the exchange is written again at once. A closing order that ends short
  is written once more, for the rest, when the market opens next.
- Other orders of the old contract wait meanwhile, see `roll_orders`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from .journal_records import RollRecord
from .tickets import Ticket
from .values import Direction, Offset

__all__ = [
    "Act",
    "Sight",
    "Stage",
    "Stand",
    "Step",
    "keys_of",
    "roll_of",
    "step",
    "ticket_of",
    "with_key",
]


class Stage(str, Enum):
    """Where a roll stands, the `phase` of its record."""

    FOLLOWING = "following"  # no roll: which contract a main contract followed when last seen
    CLOSING = "closing"
    WAITING = "waiting"  # the closing ended short: the rest waits for the market's next opening
    RETRYING = "retrying"
    OPENING = "opening"
    DONE = "done"
    FAILED = "failed"


class Act(str, Enum):
    """What is to be done next."""

    WAIT = "wait"
    CLOSE = "close"  # write an order that closes `volume` lots of the old contract
    OPEN = "open"  # write an order that opens `volume` lots of the new one
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Stand:
    """What an order of a roll has come to. `lost`: it ended, for it never reached the exchange."""

    filled: int = 0  # lots
    ended: bool = False
    lost: bool = False


NEVER_WRITTEN = Stand(ended=True, lost=True)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a roll looks at.

    lots: net lots of the old contract. is_quiet: no other order of it is at the exchange, and the
    account shows all trades. opens_ns: the market's first opening after the record's `at_ns`.
    stands: of the record's orders; one that is not there was never written.
    """

    now_ns: int
    lots: int
    is_quiet: bool
    may_open: bool
    opens_ns: int
    stands: Mapping[str, Stand]

    def of(self, keys: str) -> list[Stand]:
        """Of orders as a record names them."""
        return [self.stands.get(key, NEVER_WRITTEN) for key in keys.split()]


@dataclass(frozen=True, slots=True)
class Step:
    """The record as it stands now, and what is to be done next, with `volume` lots."""

    roll: RollRecord
    act: Act = Act.WAIT
    volume: int = 0


def roll_of(main: str, old: str, new: str, lots: int, at_ns: int) -> RollRecord:
    """A roll at its beginning; `lots` net, counted again when no order can trade any more."""
    return RollRecord(
        f"{main} {old}>{new}", main, old, new, lots, Stage.CLOSING.value, "", "", 0, 0, at_ns
    )


def with_key(roll: RollRecord, act: Act, key: str) -> RollRecord:
    """With one more order that closes or opens; the record is written before the order is."""
    if act is Act.CLOSE:
        return replace(roll, closing=f"{roll.closing} {key}".strip())
    return replace(roll, opening=f"{roll.opening} {key}".strip())


def keys_of(roll: RollRecord) -> list[str]:
    """Of the orders that the roll has written."""
    return [*roll.closing.split(), *roll.opening.split()]


def ticket_of(roll: RollRecord, act: Act, volume: int, policy: str) -> Ticket:
    """The market order of a step, without a key."""
    closes = act is Act.CLOSE
    direction = Direction.SELL if (roll.lots > 0) == closes else Direction.BUY
    return Ticket(
        key="",
        symbol=roll.old if closes else roll.new,
        direction=direction,
        volume=volume,
        offset=Offset.CLOSE if closes else Offset.OPEN,
        policy=policy,
        feed=roll.main,
    )


# ---- what is next


def step(roll: RollRecord, sight: Sight) -> Step:
    """What follows; the same answer as often as it is asked."""
    return STEPS[Stage(roll.phase)](roll, sight)


def _closing(roll: RollRecord, sight: Sight) -> Step:
    stands = sight.of(roll.closing)
    if all(stand.lost and not stand.filled for stand in stands):  # none has closed anything
        if not sight.is_quiet:
            return Step(roll)
        roll = replace(roll, lots=sight.lots)
    if not all(stand.ended for stand in stands):
        return Step(roll)
    roll = replace(roll, closed=sum(stand.filled for stand in stands))
    rest = abs(roll.lots) - roll.closed
    if not rest:
        return _opening(_in(roll, Stage.OPENING), sight)
    if not stands or stands[-1].lost:
        return Step(roll, Act.CLOSE, rest)
    if roll.phase == Stage.CLOSING.value:
        return Step(_in(replace(roll, at_ns=sight.now_ns), Stage.WAITING))
    return _opening(_in(roll, Stage.OPENING), sight)


def _waiting(roll: RollRecord, sight: Sight) -> Step:
    if sight.now_ns < sight.opens_ns:
        return Step(roll)
    return Step(_in(roll, Stage.RETRYING), Act.CLOSE, abs(roll.lots) - roll.closed)


def _opening(roll: RollRecord, sight: Sight) -> Step:
    stands = sight.of(roll.opening)
    if not all(stand.ended for stand in stands):
        return Step(roll)
    roll = replace(roll, opened=sum(stand.filled for stand in stands))
    rest = roll.closed - roll.opened
    if rest and (not stands or stands[-1].lost):
        return Step(roll, Act.OPEN, rest) if sight.may_open else Step(roll)
    if not sight.is_quiet:
        return Step(roll)
    whole = roll.opened == abs(roll.lots)
    return Step(_in(roll, Stage.DONE if whole else Stage.FAILED), Act.FINISH)


def _in(roll: RollRecord, stage: Stage) -> RollRecord:
    return replace(roll, phase=stage.value)


def _nothing(roll: RollRecord, sight: Sight) -> Step:
    return Step(roll)


STEPS: Mapping[Stage, Callable[[RollRecord, Sight], Step]] = {
    Stage.FOLLOWING: _nothing,
    Stage.CLOSING: _closing,
    Stage.WAITING: _waiting,
    Stage.RETRYING: _closing,
    Stage.OPENING: _opening,
    Stage.DONE: _nothing,
    Stage.FAILED: _nothing,
}
