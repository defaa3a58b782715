"""When the exchanges trade: trading days, night sessions, and the stretches of each contract.

Rules: day sessions follow the Shanghai stock exchange; a night session opens the next trading day,
unless a public holiday lies between the two; hours come from the contract's own `trading_time`.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from .values import BEIJING_OFFSET_NS, DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Contract, Stretch

__all__ = ["EARLIEST_DAY", "MarketCalendar", "beijing_midnight_ns", "clock_ns"]

EARLIEST_DAY = date(2000, 1, 4)
EPOCH = date(1970, 1, 1).toordinal()
ONE_DAY = timedelta(days=1)
SATURDAY = 5
# A moment from 18:00 on belongs to the next trading day, as TqSdk counts.
EVENING_SHIFT_NS = DAY_NS - 18 * HOUR_NS
# Trading days without a night session during the epidemic (notices of all exchanges, 2020-01-30).
SUSPENDED = (date(2020, 2, 3), date(2020, 5, 6))
# The night of 2019-12-25 opened late on all exchanges (official one-minute klines of DCE.m2005).
LATE_NIGHTS = {date(2019, 12, 26): 22 * HOUR_NS + 30 * MINUTE_NS}
CACHED = 4096

Layout = tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]


def beijing_midnight_ns(day: date) -> int:
    """00:00 Beijing time of `day`, ns since 1970 UTC."""
    return (day.toordinal() - EPOCH) * DAY_NS - BEIJING_OFFSET_NS


def clock_ns(text: str) -> int:
    """Nanoseconds since midnight of "25:00:00"; hours from 24 on are after midnight."""
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * SECOND_NS


class MarketCalendar:
    """Trading days of the Shanghai stock exchange; beyond its published end, every weekday."""

    def __init__(self) -> None:
        self._stretches: dict[tuple[date, Layout], tuple[Stretch, ...]] = {}

    def is_trading_day(self, day: date) -> bool:
        return self.day_at(self.index(day)) == day

    def next_trading_day(self, day: date) -> date:
        """The first trading day after `day`."""
        return self.first_trading_day(day + ONE_DAY)

    def previous_trading_day(self, day: date) -> date:
        """The last trading day before `day`."""
        return self.day_at(self.index(day) - 1)

    def first_trading_day(self, day: date) -> date:
        """`day`, or the first trading day after it."""
        return self.day_at(self.index(day))

    def index(self, day: date) -> int:
        """How many trading days from `EARLIEST_DAY` lie before `day`."""
        days = _shanghai_days()
        ordinal = day.toordinal()
        if ordinal <= days[-1]:
            return bisect_left(days, ordinal)
        beyond = date.fromordinal(days[-1]) + ONE_DAY
        return len(days) + int(np.busday_count(beyond, day))

    def day_at(self, index: int) -> date:
        """The trading day of this `index`."""
        days = _shanghai_days()
        if index < len(days):
            return date.fromordinal(days[index])
        last = np.datetime64(date.fromordinal(days[-1]), "D")
        found: date = np.busday_offset(last, index - len(days) + 1, "backward").astype(object)
        return found

    def trading_day_of(self, now_ns: int) -> date:
        """The trading day that a moment belongs to: from 18:00 Beijing time on the next one."""
        days = (now_ns + BEIJING_OFFSET_NS + EVENING_SHIFT_NS) // DAY_NS
        return self.first_trading_day(date.fromordinal(EPOCH + days))

    def begins_ns(self, day: date) -> int:
        """The first moment that belongs to trading day `day`: 18:00 of the one before."""
        eve = self.previous_trading_day(day)
        return beijing_midnight_ns(eve) + DAY_NS - EVENING_SHIFT_NS

    def has_night(self, day: date) -> bool:
        """Whether trading day `day` begins with a night session (of the products that have one)."""
        if SUSPENDED[0] <= day <= SUSPENDED[1]:
            return False
        between = self.previous_trading_day(day) + ONE_DAY
        while between < day:
            if between.weekday() < SATURDAY:
                return False
            between += ONE_DAY
        return True

    def stretches(self, contract: Contract, day: date) -> tuple[Stretch, ...]:
        """The unbroken stretches of trading of `day`, its night first."""
        key = (day, _layout(contract.trading_time))
        found = self._stretches.get(key)
        if found is None:
            if len(self._stretches) >= CACHED:
                self._stretches.clear()
            found = self._stretches[key] = self._lay_out(*key)
        return found

    def is_open(self, contract: Contract, now_ns: int) -> bool:
        day = self.trading_day_of(now_ns)
        return any(start <= now_ns < end for start, end in self.stretches(contract, day))

    def _lay_out(self, day: date, layout: Layout) -> tuple[Stretch, ...]:
        nights, days = layout
        stretches = []
        if nights and self.has_night(day):
            eve = beijing_midnight_ns(self.previous_trading_day(day))
            late = LATE_NIGHTS.get(day, 0)
            stretches = [
                (eve + max(clock_ns(start), late), eve + clock_ns(end)) for start, end in nights
            ]
        midnight = beijing_midnight_ns(day)
        stretches += [(midnight + clock_ns(start), midnight + clock_ns(end)) for start, end in days]
        return tuple(stretches)


def _layout(trading_time: dict[str, list[list[str]]]) -> Layout:
    nights, days = trading_time.get("night") or (), trading_time.get("day") or ()
    return tuple(map(tuple, nights)), tuple(map(tuple, days))


@lru_cache(maxsize=1)
def _shanghai_days() -> list[int]:
    """Ordinals of the trading days that are known. Imported late: it takes half a second."""
    from exchange_calendars import get_calendar  # noqa: PLC0415
    from exchange_calendars.exchange_calendar_xshg import (  # noqa: PLC0415
        XSHGExchangeCalendar,
    )

    known = get_calendar("XSHG", start=EARLIEST_DAY, end=XSHGExchangeCalendar.bound_max())
    return [session.toordinal() for session in known.sessions]
