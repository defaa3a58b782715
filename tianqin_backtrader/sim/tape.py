"""The order of the market: whose tick is next, and when a trading day ends.

Only contracts that somebody asked for have ticks. Idle hours do not exist here: the tape goes from
one instant with ticks to the next one. It knows no clock and no client.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from .market import Market
from .values import MarketTick

__all__ = ["DayEnd", "Tape"]


@dataclass(frozen=True, slots=True)
class DayEnd:
    """A trading day is over and `next_day` begins."""

    day: date
    next_day: date


@dataclass(slots=True)
class _Reel:
    ticks: Sequence[MarketTick]
    at: int = 0

    @property
    def next_ns(self) -> int | None:
        return self.ticks[self.at].time_ns if self.at < len(self.ticks) else None


class Tape:
    """Plays `market` from its start, instant by instant."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._reels: dict[str, _Reel] = {}
        self.now_ns = market.start_ns
        self.day = market.calendar.trading_day_of(market.start_ns)
        self.ended = False

    def activate(self, symbol: str) -> None:
        """Let `symbol` have ticks, from the first one after now."""
        if symbol not in self._reels:
            self._reels[symbol] = self._load(symbol)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self._reels)

    @property
    def next_ns(self) -> int | None:
        """Time of the next instant in this trading day; None where the day has no more."""
        times = [reel.next_ns for reel in self._reels.values()]
        return min((time for time in times if time is not None), default=None)

    def advance(self) -> list[MarketTick] | DayEnd | None:
        """The ticks of the next instant, the end of the trading day, or None: it is all over."""
        next_ns = self.next_ns
        if next_ns is not None:
            self.now_ns = next_ns
            return [self._take(reel) for reel in self._reels.values() if reel.next_ns == next_ns]
        next_day = self._market.next_day(self.day) if self._reels else None
        if next_day is None:
            self.ended = bool(self._reels)
            return None
        end = DayEnd(self.day, next_day)
        self.day = next_day
        # what arrives between the settlement and the first tick comes to a closed market
        self.now_ns = max(self.now_ns, self._market.calendar.begins_ns(next_day))
        self._reels = {symbol: self._load(symbol) for symbol in self._reels}
        return end

    def _load(self, symbol: str) -> _Reel:
        ticks = self._market.day_ticks(symbol, self.day)
        return _Reel(ticks, bisect_right(ticks, self.now_ns, key=lambda tick: tick.time_ns))

    @staticmethod
    def _take(reel: _Reel) -> MarketTick:
        tick = reel.ticks[reel.at]
        reel.at += 1
        return tick
