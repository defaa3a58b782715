"""Trading days of the Chinese futures exchanges: they follow the Shanghai stock exchange's days.

Rule: beyond the days that the calendar data covers, weekdays count as trading days, and
`covered_until` says where that begins so that the face can warn.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Protocol

__all__ = ["KnownDays", "TradingCalendar", "shanghai_calendar"]

DAY = timedelta(days=1)
SATURDAY = 5


class TradingCalendar(Protocol):
    """What sessions must know about days."""

    @property
    def covered_until(self) -> date: ...

    def is_trading_day(self, day: date) -> bool: ...

    def next_day(self, day: date) -> date:
        """The first trading day after `day`."""

    def previous_day(self, day: date) -> date:
        """The last trading day before `day`."""


class KnownDays:
    """A list of trading days, continued on both sides by weekdays."""

    def __init__(self, days: Iterable[date]) -> None:
        self._days = sorted(set(days))
        self._known = frozenset(self._days)

    @property
    def covered_until(self) -> date:
        """The last day of the data; later days are weekdays, holidays unknown."""
        return self._days[-1]

    def is_trading_day(self, day: date) -> bool:
        if self._days[0] <= day <= self._days[-1]:
            return day in self._known
        return day.weekday() < SATURDAY

    def next_day(self, day: date) -> date:
        if self._days[0] <= day < self._days[-1]:
            return self._days[bisect_right(self._days, day)]
        return self._step(day, DAY)

    def previous_day(self, day: date) -> date:
        if self._days[0] < day <= self._days[-1]:
            return self._days[bisect_left(self._days, day) - 1]
        return self._step(day, -DAY)

    def _step(self, day: date, step: timedelta) -> date:
        day += step
        while not self.is_trading_day(day):
            day += step
        return day


def shanghai_calendar(first: date = date(2005, 1, 4)) -> KnownDays:
    """The Shanghai stock exchange's days since `first`, from `exchange_calendars` (XSHG)."""
    from exchange_calendars import get_calendar  # noqa: PLC0415 - about a second, and pandas

    sessions = get_calendar("XSHG", start=first.isoformat()).sessions
    return KnownDays(session.date() for session in sessions)
