"""How a bar becomes one row of a feed's lines, the same in every feed of ours."""

from __future__ import annotations

from typing import Any

from .values import Bar

__all__ = ["EXTRA_LINES", "LineWriter", "days_of", "time_ns_of"]

EXTRA_LINES = ("bid_price", "ask_price", "bid_volume", "ask_volume", "amount", "trading_day")
DAY_NS = 86_400_000_000_000
# Backtrader's day 1 is 0001-01-01; 1970-01-01 is day 719,163.
EPOCH_DAY = 719_163.0


def days_of(time_ns: int) -> float:
    """Backtrader's number of a moment: days since 0001-01-01, in UTC, good to 10 microseconds."""
    return EPOCH_DAY + time_ns / DAY_NS


def time_ns_of(days: float) -> int:
    """The moment of Backtrader's number, ns since 1970 UTC, to a tenth of a millisecond."""
    return round((days - EPOCH_DAY) * (DAY_NS // 100_000)) * 100_000


class LineWriter:
    """Writes bars to the newest row of a feed that has `EXTRA_LINES`.

    The time is stored in UTC as days since 0001-01-01, a float that is good to 10 microseconds.
    """

    def __init__(self, lines: Any) -> None:
        self._datetime = lines.datetime
        self._rest = [
            getattr(lines, name)
            for name in ("open", "high", "low", "close", "volume", "openinterest", *EXTRA_LINES)
        ]

    def write(self, bar: Bar, time_ns: int) -> None:
        """Write `bar` as of `time_ns`, ns since 1970 UTC."""
        day = bar.trading_day
        values = (
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.close_oi,
            bar.bid_price,
            bar.ask_price,
            bar.bid_volume,
            bar.ask_volume,
            bar.amount,
            day.year * 10_000 + day.month * 100 + day.day,
        )
        self._datetime[0] = days_of(time_ns)
        for line, value in zip(self._rest, values, strict=True):
            line[0] = value
