"""Turn "sell 5" into closing and opening legs. Pure: no TqApi, no clock, no logging.

Rules:
- Which lots go first, and what waits for what, is told by TqSdk's `offset_priority`: 今 closes
  today's lots, 昨 history lots, 开 opens, a comma waits until all before it has filled.
- SHFE and INE tell today's lots from history. Elsewhere the exchange chooses, today's first, so 昨
  closes nothing while today's lots are there (tqsdk.lib.target_pos_task, `_get_order`).
- Frozen lots are not touched. Legs of one kind that leave together are one exchange order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import groupby

from .contracts import SPLITS_TODAY
from .errors import BadVolume, InvalidOrder, WrongSetting
from .values import AccountPosition, Direction, Offset, SideLots

__all__ = ["NET", "CloseFees", "Leg", "Policy", "plan_close", "plan_legs", "policy_of"]

TODAY, HISTORY, OPENING, WAIT = "今昨开,"
MOST_LEGS = 100  # exchanges count orders: a plan of more is a mistake


@dataclass(frozen=True, slots=True)
class Leg:
    """One exchange order of a plan.

    Legs of stage n + 1 are sent when all legs of stage n have filled; the first stage is 0.
    """

    offset: Offset
    volume: int  # lots, > 0
    stage: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """Which lots to close, in which order, and when to open instead. `policy_of` makes them."""

    text: str  # as the user wrote it
    steps: str  # an offset_priority, where the exchange tells today's lots from history
    steps_unsplit: str  # elsewhere
    by_fees: bool = False  # the steps only serve where fees are unknown


@dataclass(frozen=True, slots=True)
class CloseFees:
    """What one lot costs in CNY; NaN where unknown."""

    open_cny: float
    close_cny: float
    close_today_cny: float

    @property
    def lock_cny(self) -> float:
        """Locking a lot: to open the other side now, and to close both as history later."""
        return self.open_cny + 2 * self.close_cny

    @property
    def are_known(self) -> bool:
        return math.isfinite(self.lock_cny + self.close_today_cny)


NET = Policy("net", "今昨,开", "今昨,开")
NAMED = {
    "net": NET,
    "lock": Policy("lock", "昨,开", "昨,开"),
    # without a choice of lots, 昨今 would open while today's lots are there
    "close_history_first": Policy("close_history_first", "昨今,开", "今昨,开"),
    "cheapest": Policy("cheapest", NET.steps, NET.steps_unsplit, by_fees=True),
}


def policy_of(text: str) -> Policy:
    """The policy that a setting names.

    "net": close what can be closed, today's lots first, then open.
    "lock": close history lots only and open the other side instead of closing today's.
    "close_history_first": as "net", history first where the exchange tells lots apart.
    "cheapest": what costs the least fees. A today lot is closed when that costs no more than to
    lock it (`CloseFees.lock_cny`); history goes first when closing it is cheaper than closing
    today's. Where the exchange chooses the lots, all that can be closed are closed or all are
    locked, whichever is cheaper in sum. Fees alone count: locked lots hold margin on both sides.
    As "net" while fees are unknown.
    Or an `offset_priority` of TqSdk ("今昨开" crosses zero at once), meaning what it means there.

    Raises `WrongSetting` for anything else.
    """
    named = NAMED.get(text) if isinstance(text, str) else None
    if named is not None:
        return named
    if not _is_priority(text):
        raise WrongSetting(
            "policy",
            text,
            f"one of {', '.join(NAMED)}, or TqSdk's offset_priority: 今, 昨 and 开, each at most "
            "once, and ASCII commas to wait for what stands before, such as '今昨,开' or '昨开'",
        )
    return Policy(text, text, text)


def plan_legs(
    direction: Direction,
    volume: int,
    position: AccountPosition,
    exchange_id: str,
    policy: Policy = NET,
    fees: CloseFees | None = None,
    most: int = 0,
) -> tuple[Leg, ...]:
    """Close what `policy` lets close, and open the rest.

    The legs sum to `volume` (lots). `fees` serve the policy "cheapest". `most`: lots in one
    exchange order, 0 for no limit.
    Raises `BadVolume` if `volume` < 1 or the plan has more than 100 legs; `InvalidOrder` if lots
    are missing and the policy opens none.
    """
    _check_volume(volume, position)
    held = _Closable.of(_other_side(direction, position), exchange_id)
    steps = _steps(policy, held, volume, fees)
    legs = held.walk(steps, volume)
    planned = sum(leg.volume for leg in legs)
    if planned < volume:
        raise InvalidOrder(_opens_none(policy, direction, volume, position.symbol, planned))
    return _in_chunks(legs, most, volume, position.symbol)


def plan_close(
    direction: Direction,
    volume: int,
    position: AccountPosition,
    exchange_id: str,
    policy: Policy = NET,
    fees: CloseFees | None = None,
    most: int = 0,
) -> tuple[Leg, ...]:
    """Close `volume` lots and open nothing.

    Who says close means it: lots that `policy` would leave come last, and are closed too.
    Raises `BadVolume` as `plan_legs` does, `InvalidOrder` if fewer lots can be closed.
    """
    _check_volume(volume, position)
    side = _other_side(direction, position)
    held = _Closable.of(side, exchange_id)
    if volume > held.total:
        raise InvalidOrder(_too_many(direction, volume, position.symbol, side, held.total))
    steps = _steps(policy, held, volume, fees).replace(OPENING, "")
    missing = [kind for kind in (TODAY, HISTORY) if kind not in steps]
    steps = "".join([steps.rstrip(WAIT), *missing]) if held.splits else TODAY + HISTORY
    return _in_chunks(held.walk(steps, volume), most, volume, position.symbol)


@dataclass(frozen=True, slots=True)
class _Closable:
    """Lots that a plan may close."""

    today: int
    history: int
    splits: bool  # the exchange tells them apart

    @classmethod
    def of(cls, side: SideLots, exchange_id: str) -> _Closable:
        """What is left of one side: where the exchange chooses, frozen lots are today's first."""
        if exchange_id in SPLITS_TODAY:
            return cls(side.closable_today, side.closable_history, True)
        free = side.closable
        today = max(side.today - (side.total - free), 0)
        return cls(today, free - today, False)

    @property
    def total(self) -> int:
        return self.today + self.history

    def walk(self, steps: str, volume: int) -> tuple[Leg, ...]:
        """The legs that `steps` make of `volume` lots; fewer lots where they open none."""
        held, stage = self, 0
        legs = []
        for step in steps:
            stage += step == WAIT
            lots = held._lots(step, volume)
            if lots:
                legs.append(Leg(held._offset(step), lots, stage))
            if step == TODAY:
                held = replace(held, today=held.today - lots)
            volume -= lots
        return _tidy(legs)

    def _lots(self, step: str, volume: int) -> int:
        """How many of `volume` lots one step takes."""
        history = self.history if self.splits or not self.today else 0
        most = {TODAY: self.today, HISTORY: history, OPENING: volume, WAIT: 0}
        return min(volume, most[step])

    def _offset(self, step: str) -> Offset:
        if step == OPENING:
            return Offset.OPEN
        return Offset.CLOSETODAY if step == TODAY and self.splits else Offset.CLOSE


def _steps(policy: Policy, held: _Closable, volume: int, fees: CloseFees | None) -> str:
    """The offset_priority that `policy` comes to for `volume` lots."""
    if not (policy.by_fees and fees is not None and fees.are_known):
        return policy.steps if held.splits else policy.steps_unsplit
    if not held.splits:
        return "今昨,开" if _closes_cheaper(held, volume, fees) else "开"
    if fees.close_today_cny > fees.lock_cny:
        return "昨,开"
    return "昨今,开" if fees.close_cny < fees.close_today_cny else "今昨,开"


def _closes_cheaper(held: _Closable, volume: int, fees: CloseFees) -> bool:
    """Whether closing costs no more than locking, where the exchange closes today's lots first."""
    lots = min(volume, held.total)
    today = min(lots, held.today)
    closing_cny = today * fees.close_today_cny + (lots - today) * fees.close_cny
    return closing_cny <= lots * fees.lock_cny


def _tidy(legs: list[Leg]) -> tuple[Leg, ...]:
    """Stages counted without gaps, and one leg for what leaves together with the same offset."""
    tidy: list[Leg] = []
    for stage, (_, same) in enumerate(groupby(legs, key=lambda leg: leg.stage)):
        lots: dict[Offset, int] = {}
        for leg in same:
            lots[leg.offset] = lots.get(leg.offset, 0) + leg.volume
        tidy += [Leg(offset, volume, stage) for offset, volume in lots.items()]
    return tuple(tidy)


def _in_chunks(legs: tuple[Leg, ...], most: int, volume: int, symbol: str) -> tuple[Leg, ...]:
    """Legs of at most `most` lots."""
    if most < 1:
        return legs
    count = sum(-(-leg.volume // most) for leg in legs)
    if count > MOST_LEGS:
        expected = (
            f"at most {MOST_LEGS} exchange orders and it takes {count} of at most {most} lots; "
            "send it in parts"
        )
        raise BadVolume(symbol, volume, expected)
    return tuple(
        Leg(leg.offset, min(most, leg.volume - done), leg.stage)
        for leg in legs
        for done in range(0, leg.volume, most)
    )


def _is_priority(text: object) -> bool:
    """As `tqsdk.lib.utils._check_offset_priority`, but it must say something."""
    if not isinstance(text, str):
        return False
    kinds = text.replace(WAIT, "")
    return bool(kinds) and set(kinds) <= {TODAY, HISTORY, OPENING} and len(set(kinds)) == len(kinds)


def _other_side(direction: Direction, position: AccountPosition) -> SideLots:
    return position.short if direction is Direction.BUY else position.long


def _check_volume(volume: int, position: AccountPosition) -> None:
    if volume < 1:
        raise BadVolume(position.symbol, volume, "a whole number of lots, at least 1")


def _opens_none(policy: Policy, direction: Direction, volume: int, symbol: str, lots: int) -> str:
    side = "short" if direction is Direction.BUY else "long"
    return (
        f"{direction.value} {volume} {symbol}: policy {policy.text!r} can close {lots} {side} lots "
        "now and opens none; order no more, or add 开 to the policy"
    )


def _too_many(direction: Direction, volume: int, symbol: str, held: SideLots, closable: int) -> str:
    side = "short" if direction is Direction.BUY else "long"
    return (
        f"closing {volume} {side} lots of {symbol}: {held.total} held "
        f"({held.today} today, {held.history} history), {held.total - closable} frozen by resting "
        f"orders; close at most {closable}, or cancel what freezes them"
    )
