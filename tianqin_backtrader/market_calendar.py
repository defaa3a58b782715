"""`MarketCalendar`: one contract's trading days and hours in the form that Backtrader asks for.

Rules:
- Backtrader asks `schedule` with a bar's END. The end of the session of a night's bar is 15:00 of
  the trading day that it opens: over Friday night Monday's, over a holiday the first day after it.
- Days that Backtrader asks about (`nextday`, `last_weekday`, ...) are calendar dates; its own
  loops know no more of a bar than its date.
- People ask with Beijing datetimes, naive or with any time zone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, TypeVar

import backtrader as bt

from .beijing import BEIJING, beijing_datetime
from .sessions import Sessions

__all__ = ["MarketCalendar", "take_hours"]

NO_SESSION_END = time(23, 59, 59, 999990)  # what Backtrader sets where the user gave none

Day = TypeVar("Day", date, datetime)
IsoDay = tuple[int, int, int]  # year, week, weekday: date.isocalendar()

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
ORDINARY_DAY = date(2019, 3, 5)  # a Tuesday, opened by Monday's evening


class MarketCalendar(bt.TradingCalendarBase):
    """Trading days and hours of one contract, for Backtrader and for people.

    sessions: the contract's hours, or a function that gives them at the first question, for a
    contract whose hours only a session tells; what that function raises the question raises.

    For `cerebro.addcalendar(cal)` and a feed's `calendar=cal`. For timers a feed takes
    `session_start` and `session_end` as its `sessionstart` and `sessionend`; then
    `add_timer(when=bt.timer.SESSION_END, tzdata=data)` fires once a trading day, SESSION_START once
    a night, and where `has_night` is False, after holidays, not at all. For those mornings:
    `add_timer(when=time(9), tzdata=data, allow=lambda day: not cal.has_night(day))`.

    Out of a calendar's reach in Backtrader: a timer for 15:00 fires at once in a feed that begins
    in a night; a timer's `repeat` is wrong for every feed with a time zone; its resampler closes a
    week or month with each bar of the last day, so it wants daily bars.
    """

    def __init__(self, sessions: Sessions | Callable[[], Sessions]) -> None:
        self._given = sessions
        self._found: Sessions | None = None

    # ---- what people ask

    def sessions(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """(begin, end) of each stretch of trading day `day`, its night first, in Beijing time.

        Empty if nothing trades that day.
        """
        stretches = self._hours.stretches(_date(day))
        return tuple((beijing_datetime(s.start_ns), beijing_datetime(s.end_ns)) for s in stretches)

    def trading_day(self, moment: datetime) -> date:
        """The trading day of a moment; from 18:00 on the next one, as TqSdk counts."""
        return self._hours.trading_day_of(_ns(moment, BEIJING))

    def is_open(self, moment: datetime) -> bool:
        """Whether the contract trades at this moment; at the very end of a stretch it does not."""
        return self._hours.is_open(_ns(moment, BEIJING))

    def next_open(self, moment: datetime) -> datetime:
        """When the first stretch that begins at or after this moment begins, in Beijing time."""
        return beijing_datetime(self._hours.next_open(_ns(moment, BEIJING)))

    def is_trading_day(self, day: date) -> bool:
        """Whether this date is a trading day."""
        return self._hours.calendar.is_trading_day(_date(day))

    def has_night(self, day: date) -> bool:
        """Whether trading day `day` begins with a night session, on the evening before it."""
        return self._hours.has_night(_date(day))

    # ---- what a feed's parameters want

    @property
    def session_start(self) -> time:
        """Beijing time at which a trading day opens, 21:00 for a contract with nights."""
        return beijing_datetime(self._hours.open_of(ORDINARY_DAY)).time()

    @property
    def session_end(self) -> time:
        """Beijing time at which a trading day ends, 15:00 or 15:15."""
        return beijing_datetime(self._hours.close_of(ORDINARY_DAY)).time()

    # ---- what Backtrader asks

    def _nextday(self, day: Day) -> tuple[Day, IsoDay]:
        """The first trading day after the date `day`, and its ISO year, week and weekday."""
        following = day + (self._hours.calendar.next_day(_date(day)) - _date(day))
        return following, following.isocalendar()

    def schedule(self, day: date, tz: Any = None) -> tuple[datetime, datetime]:
        """Opening (21:00 of the evening before where there is a night) and end of a trading day.

        `day`: a moment, whose trading day ends at or after it; or a date, of its trading day or the
        next one. With `tz`, whichever it is, naive UTC goes in and comes out, as Backtrader's own
        calendars do; without it naive Beijing time.
        """
        zone = BEIJING if tz is None else timezone.utc
        trading_day = self._ending_from(_ns(day, zone)) if isinstance(day, datetime) else day
        opening, end = self._hours.open_of(trading_day), self._hours.close_of(trading_day)
        return _naive(opening, zone), _naive(end, zone)

    def nextday_week(self, day: date) -> int:
        """ISO week of the first trading day after `day`; Backtrader's own returns None."""
        return self._nextday(day)[1][1]

    def last_weekday(self, day: date) -> bool:
        """Whether `day` is its week's last trading day."""
        return self.is_trading_day(day) and bool(super().last_weekday(day))

    def last_monthday(self, day: date) -> bool:
        """Whether `day` is its month's last trading day."""
        return self.is_trading_day(day) and bool(super().last_monthday(day))

    def last_yearday(self, day: date) -> bool:
        """Whether `day` is its year's last trading day."""
        return self.is_trading_day(day) and bool(super().last_yearday(day))

    # ---- inside

    @property
    def _hours(self) -> Sessions:
        if self._found is None:
            self._found = self._given if isinstance(self._given, Sessions) else self._given()
        return self._found

    def _ending_from(self, time_ns: int) -> date:
        """The trading day that ends at or after this moment, before any other."""
        hours = self._hours
        day = hours.trading_day_of(time_ns)
        return day if time_ns <= hours.close_of(day) else hours.calendar.next_day(day)


def take_hours(feed: Any, sessions: Sessions) -> None:
    """Give a feed that starts its contract's session ends and calendar, if the user gave none."""
    calendar = MarketCalendar(sessions)
    if feed.p.sessionstart == time.min:
        feed.p.sessionstart = calendar.session_start
    if feed.p.sessionend == NO_SESSION_END:
        feed.p.sessionend = calendar.session_end
    if feed.p.calendar is None and feed.getenvironment()._tradingcal is None:
        feed.p.calendar = calendar


def _date(day: date) -> date:
    return day.date() if isinstance(day, datetime) else day


def _ns(moment: datetime, zone: tzinfo) -> int:
    """Nanoseconds since 1970 UTC of a moment, read in `zone` if it is naive."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (aware - EPOCH) // MICROSECOND * 1_000


def _naive(time_ns: int, zone: tzinfo) -> datetime:
    """Naive time of `zone`, to the microsecond."""
    return (EPOCH + time_ns // 1_000 * MICROSECOND).astimezone(zone).replace(tzinfo=None)
