"""A stop held here, because Chinese futures exchanges have none. Pure: prices come in.

Rules (backtrader.order, `Order.trailadjust`; a test holds against it):
- A BUY stop goes off at or above its price, a SELL stop at or below.
- A trailing stop keeps `trail_amount` CNY, or `trail_percent` of the last price, from the last
  price. It moves with a favourable price and never back: down for BUY, up for SELL.
- The limit of a trailing stop-limit keeps its distance from the stop.
A price hits the stop as it stands; only one that does not may move it.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from enum import Enum
from numbers import Real

from .contracts import TICK_TOLERANCE, round_to_tick
from .errors import InvalidOrder
from .values import Direction

__all__ = ["Effect", "Trigger"]


class Effect(str, Enum):
    """What a price did to a stop."""

    NOTHING = "nothing"
    MOVED = "moved"  # price, and limit if there is one, are others now
    HIT = "hit"  # send the order


@dataclass(slots=True)
class Trigger:
    """A stop that waits for its price. Prices are CNY.

    `direction` is that of the order that goes off. `limit` of a trailing stop is on the price grid,
    `price` need not be: no exchange sees it. Raises `InvalidOrder` for numbers that cannot work.
    """

    direction: Direction
    price: float  # where it goes off now
    _: KW_ONLY
    tick: float  # price tick
    limit: float | None = None  # price of the order that follows; None: at market
    trail_amount: float | None = None  # counts when both are given
    trail_percent: float | None = None  # 0.02 is 2 %
    limit_offset: float | None = None  # price less limit, unrounded; None: as they stand

    def __post_init__(self) -> None:
        _check("price", self.price)
        _check("tick", self.tick)
        if self.limit is not None:
            _check("limit", self.limit)
            if self.limit_offset is None:
                self.limit_offset = self.price - self.limit

    @classmethod
    def trailing(
        cls,
        direction: Direction,
        *,
        last: float,
        tick: float,
        price: float | None = None,
        plimit: float | None = None,
        trail_amount: float | None = None,
        trail_percent: float | None = None,
        limited: bool = False,
    ) -> Trigger:
        """A trailing stop as Backtrader begins it; `limited` makes it a StopTrailLimit.

        It begins at its distance from a reference: `price`, else `plimit`, else `last`. The limit
        is as far from the stop as `plimit` is from that reference, at the stop without `plimit`.
        Raises `InvalidOrder` where Backtrader's would go off at once or never: without a reference
        or a distance, and with a distance that leaves no price.
        """
        _check_distance(trail_amount, trail_percent)
        reference = price or plimit or last
        begun = cls(
            direction, reference, tick=tick, trail_amount=trail_amount, trail_percent=trail_percent
        )
        if limited:
            limit = plimit or reference
            _check("plimit", limit)
            begun.limit_offset = reference - limit
        begun._move_to(begun._behind(reference))
        _check("price", begun.price)
        return begun

    def on_price(self, last: float) -> Effect:
        """Take a traded price. NaN, infinity and prices up to 0 say nothing.

        After HIT the trigger has done its work: drop it.
        """
        if not (math.isfinite(last) and last > 0):
            return Effect.NOTHING
        if self._is_hit(last):
            return Effect.HIT
        if not (self.trail_amount or self.trail_percent):
            return Effect.NOTHING
        behind = self._behind(last)
        if not (behind < self.price if self.direction is Direction.BUY else behind > self.price):
            return Effect.NOTHING
        self._move_to(behind)
        return Effect.MOVED

    def _is_hit(self, last: float) -> bool:
        slack = self.tick * TICK_TOLERANCE  # 100.1 + 0.2 is not 100.3
        if self.direction is Direction.BUY:
            return last >= self.price - slack
        return last <= self.price + slack

    def _behind(self, last: float) -> float:
        """Where the stop stands when `last` is its reference."""
        distance = self.trail_amount or last * (self.trail_percent or 0.0)
        return last + distance if self.direction is Direction.BUY else last - distance

    def _move_to(self, price: float) -> None:
        self.price = price
        if self.limit_offset is not None:
            self.limit = round_to_tick(price - self.limit_offset, self.tick, self.direction)


def _check(name: str, value: object) -> None:
    if not (isinstance(value, Real) and 0 < float(value) < math.inf):
        raise InvalidOrder(f"{name} of a stop is {value!r}; expected CNY: a finite number above 0")


def _check_distance(amount: float | None, percent: float | None) -> None:
    # a percent of 2 is meant to be 2 % and would never go off
    if not (0 < amount < math.inf if amount else 0 < (percent or 0) < 1):
        raise InvalidOrder(
            f"a trailing stop with trailamount {amount!r} and trailpercent {percent!r}; expected "
            "one of them: CNY above 0 from the price, or a part of it below 1 (0.02 is 2 %)"
        )
