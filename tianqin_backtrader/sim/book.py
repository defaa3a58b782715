"""One contract's book: the levels of its newest tick, what of them is left, and who waits.

Waiting orders stand by price, then by arrival. Volume taken from a level is gone until the next
tick publishes a new book.
"""

from __future__ import annotations

import math
from bisect import insort
from datetime import date
from typing import TYPE_CHECKING

from .orders import Order
from .values import DayTerms, Level, MarketTick

if TYPE_CHECKING:
    from .desk import Desk
    from .positions import Position

__all__ = ["Book"]

DEPTH = {"BEST": 1, "FIVELEVEL": 5}  # levels that a price type may reach
TOLERANCE = 1e-9  # relative: 0.1 + 0.2 reaches 0.3


class Book:
    """No tick, no levels: before the contract's first tick of a trading day orders only wait."""

    __slots__ = ("_left", "buys", "holders", "sells", "terms", "tick")

    def __init__(self) -> None:
        self.tick: MarketTick | None = None
        self.terms: DayTerms | None = None
        self.buys: list[Order] = []
        self.sells: list[Order] = []
        self.holders: list[tuple[Desk, Position]] = []  # to be marked to the last price
        self._left: dict[str, list[int]] = {}  # by direction of the taker, made when first needed

    @property
    def last_price(self) -> float:
        return math.nan if self.tick is None else self.tick.last_price

    def show(self, tick: MarketTick) -> None:
        """A new tick: its levels replace all that was there."""
        self.tick = tick
        if self._left:
            self._left = {}

    def end_day(self, next_day: date) -> None:
        """Nothing is left of the day's levels; terms told for `next_day` already stay."""
        self.tick = None
        self._left = {}
        if self.terms is not None and self.terms.trading_day < next_day:
            self.terms = None

    def wait(self, order: Order) -> None:
        """Put `order` behind those of its price that came before."""
        if order.direction == "BUY":
            insort(self.buys, order, key=lambda other: -other.limit_price)
        else:
            insort(self.sells, order, key=lambda other: other.limit_price)

    def leave(self, order: Order) -> None:
        queue = self.buys if order.direction == "BUY" else self.sells
        if order in queue:
            queue.remove(order)

    def reachable(self, order: Order) -> int:
        """The lots that `order` could take now."""
        return sum(volume for _, _, volume in self._reach(order))

    def take(self, order: Order) -> list[Level]:
        """Take from the levels in reach, best first, until `order` is filled: price and lots."""
        missing, taken = order.volume_left, []
        for index, price, available in self._reach(order):
            volume = min(available, missing)
            if not volume:
                break
            missing -= volume
            self._left[order.direction][index] -= volume
            taken.append((price, volume))
        return taken

    def _reach(self, order: Order) -> list[tuple[int, float, int]]:
        """Index, price and lots left of each level that `order` can take, best first."""
        if self.tick is None:
            return []
        levels = self.tick.asks if order.direction == "BUY" else self.tick.bids
        if order.direction not in self._left:
            self._left[order.direction] = [volume for _, volume in levels]
        left = enumerate(zip(levels, self._left[order.direction], strict=True))
        within = [
            (index, price, volume)
            for index, ((price, _), volume) in left
            if volume > 0 and self._allows(order, price)
        ]
        return within[: DEPTH.get(order.price_type, len(within))]

    def _allows(self, order: Order, price: float) -> bool:
        """Whether the order's limit, or without one the day's price limit, lets it trade there."""
        slack = abs(price) * TOLERANCE
        if order.direction == "BUY":
            return not price > self._limit(order) + slack
        return not price < self._limit(order) - slack

    def _limit(self, order: Order) -> float:
        if order.price_type == "LIMIT":
            return order.limit_price
        if self.terms is None:
            return math.nan  # no price is beyond it
        return self.terms.upper_limit if order.direction == "BUY" else self.terms.lower_limit
