"""Turn "sell 5" into closing and opening legs. Pure: no TqApi, no clock, no logging.

Rule: close what may be closed on the other side, then open the rest; frozen lots are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .contracts import SPLITS_TODAY
from .errors import BadVolume, InvalidOrder
from .values import AccountPosition, Direction, Offset, SideLots

__all__ = ["Leg", "Priority", "plan_close", "plan_legs"]


class Priority(str, Enum):
    """Which lots to close first where the exchange tells them apart; TqSdk's `offset_priority`.

    Closing today's lots costs other fees than closing history, more for some products and nothing
    for others, which no rule here can know. Today first is TqSdk's default, and what exchanges
    that do not tell them apart do by themselves (tqsdk.lib.target_pos_task).
    """

    TODAY_FIRST = "今昨,开"
    HISTORY_FIRST = "昨今,开"


@dataclass(frozen=True, slots=True)
class Leg:
    """One exchange order of a plan."""

    offset: Offset
    volume: int  # lots, > 0


def plan_legs(
    direction: Direction,
    volume: int,
    position: AccountPosition,
    exchange_id: str,
    priority: Priority = Priority.TODAY_FIRST,
) -> tuple[Leg, ...]:
    """Close what may be closed, in `priority` order, then open the rest.

    The legs sum to `volume` (lots); frozen lots count as not closable.
    Raises `BadVolume` if `volume` < 1.
    """
    _check_volume(volume, position)
    held = _other_side(direction, position)
    closing = _closing(volume, held, exchange_id, priority)
    rest = volume - sum(leg.volume for leg in closing)
    return (*closing, Leg(Offset.OPEN, rest)) if rest else closing


def plan_close(
    direction: Direction,
    volume: int,
    position: AccountPosition,
    exchange_id: str,
    priority: Priority = Priority.TODAY_FIRST,
) -> tuple[Leg, ...]:
    """Close `volume` lots and open nothing.

    Raises `BadVolume` if `volume` < 1, `InvalidOrder` if fewer lots can be closed.
    """
    _check_volume(volume, position)
    held = _other_side(direction, position)
    if volume > held.closable:
        raise InvalidOrder(_too_many(direction, volume, position.symbol, held))
    return _closing(volume, held, exchange_id, priority)


def _closing(volume: int, held: SideLots, exchange_id: str, priority: Priority) -> tuple[Leg, ...]:
    if exchange_id not in SPLITS_TODAY:
        parts = [(Offset.CLOSE, held.closable)]
    else:
        parts = [(Offset.CLOSETODAY, held.closable_today), (Offset.CLOSE, held.closable_history)]
        if priority is Priority.HISTORY_FIRST:
            parts.reverse()
    legs = []
    for offset, closable in parts:
        lots = min(volume, closable)
        volume -= lots
        if lots:
            legs.append(Leg(offset, lots))
    return tuple(legs)


def _other_side(direction: Direction, position: AccountPosition) -> SideLots:
    return position.short if direction is Direction.BUY else position.long


def _check_volume(volume: int, position: AccountPosition) -> None:
    if volume < 1:
        raise BadVolume(position.symbol, volume, "a whole number of lots, at least 1")


def _too_many(direction: Direction, volume: int, symbol: str, held: SideLots) -> str:
    side = "short" if direction is Direction.BUY else "long"
    frozen = held.total - held.closable
    return (
        f"closing {volume} {side} lots of {symbol}: {held.total} held "
        f"({held.today} today, {held.history} history), {frozen} frozen by resting orders; "
        f"close at most {held.closable}, or cancel what freezes them"
    )
