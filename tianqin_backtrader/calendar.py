"""Trading days of the Chinese futures exchanges: they follow the Shanghai stock exchange's days.

Rules:
- Beyond the days that are known, weekdays count as trading days: nothing raises. `covered_until`
  says where that begins, `warning_text` what to tell the user then.
- The evening of a trading day opens the next one with a night session, unless a public holiday lies
  between the two; no evening from 2020-02-03 to 2020-05-05 did, and that of 2019-12-25 did late.
- A list of holidays (weekdays without trading) speaks for whole years, as TqSdk reads its own list
  (tqsdk.calendar). It extends what the exchange calendar covers and never contradicts it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from .errors import BadCalendarFile, WrongSetting

__all__ = [
    "LATE_NIGHTS",
    "KnownDays",
    "TradingCalendar",
    "has_night",
    "parse_holidays",
    "read_holidays",
    "shanghai_calendar",
    "warning_text",
]

DAY = timedelta(days=1)
SATURDAY = 5
SHANGHAI_OPENED = date(1990, 12, 19)
# the pandemic: evenings without a night session, all exchanges
SUSPENDED_FROM, SUSPENDED_UNTIL = date(2020, 2, 3), date(2020, 5, 5)
# Evenings whose nights opened late and ended as always. SHFE failed to settle in time; notices of
# SHFE, DCE and CZCE of that evening, and the official klines of DCE.m2005.
LATE_NIGHTS = {date(2019, 12, 25): "22:30:00"}
WARN_AHEAD = timedelta(days=30)
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)  # fromisoformat takes more since Python 3.11
EXPECTED = (
    "weekdays without trading, one ISO date a line ('#' begins a comment), "
    'or a JSON list ["2027-01-01", ...] as TqSdk publishes it; mend that place'
)


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
    """A list of trading days, continued on both sides by weekdays.

    until: the last day that the list speaks for; of itself the last trading day in it.
    Raises `WrongSetting` for an empty list.
    """

    def __init__(self, days: Iterable[date], until: date | None = None) -> None:
        self._days = sorted(set(days))
        if not self._days:
            raise WrongSetting("days", self._days, "at least one trading day")
        self._known = frozenset(self._days)
        self._listed_until = max(self._days[-1], until or self._days[-1])
        self._covered_until = self._listed_until
        self._holidays: frozenset[date] = frozenset()  # weekdays after the list

    @property
    def covered_until(self) -> date:
        """The last known day; later days are weekdays, holidays unknown."""
        return self._covered_until

    def with_holidays(self, holidays: Iterable[date]) -> KnownDays:
        """These days, continued by weekdays without `holidays`.

        Holidays up to `covered_until` are ignored. It moves to 31 December of the last year that
        the list goes on to without leaving a year out: no year passes without a holiday.
        """
        listed = frozenset(holidays)
        years = {day.year for day in listed}
        until = self._covered_until
        while (year := (until + DAY).year) in years:
            until = date(year, 12, 31)
        extended = KnownDays(self._days, self._listed_until)
        extended._covered_until = until
        extended._holidays = self._holidays | {day for day in listed if day > self._covered_until}
        return extended

    def is_trading_day(self, day: date) -> bool:
        if self._days[0] <= day <= self._listed_until:
            return day in self._known
        return day.weekday() < SATURDAY and day not in self._holidays

    def next_day(self, day: date) -> date:
        if self._days[0] <= day < self._days[-1]:
            return self._days[bisect_right(self._days, day)]
        return self._step(day, DAY)

    def previous_day(self, day: date) -> date:
        if self._days[0] < day <= self._listed_until:
            return self._days[bisect_left(self._days, day) - 1]
        return self._step(day, -DAY)

    def _step(self, day: date, step: timedelta) -> date:
        day += step
        while not self.is_trading_day(day):
            day += step
        return day


def shanghai_calendar(first: date = SHANGHAI_OPENED) -> KnownDays:
    """The Shanghai stock exchange's days since `first`, from `exchange_calendars` (XSHG)."""
    from exchange_calendars import get_calendar  # noqa: PLC0415 - about a second, and pandas
    from exchange_calendars.exchange_calendar_xshg import XSHGExchangeCalendar  # noqa: PLC0415

    end = XSHGExchangeCalendar.bound_max()  # of itself it ends a year from the wall clock's today
    sessions = get_calendar("XSHG", start=first.isoformat(), end=end).sessions
    return KnownDays((session.date() for session in sessions), end.date())


def has_night(eve: date, day: date) -> bool:
    """Whether the evening of trading day `eve` opens the next trading day, `day`."""
    between = (eve + DAY * n for n in range(1, (day - eve).days))
    holiday = any(each.weekday() < SATURDAY for each in between)
    return not holiday and not SUSPENDED_FROM <= eve <= SUSPENDED_UNTIL


def read_holidays(path: str | Path) -> frozenset[date]:
    """Weekdays without trading from a UTF-8 file, for `KnownDays.with_holidays`.

    The file holds one ISO date a line, `#` beginning a comment, or the JSON list that TqSdk uses:
    ["2027-01-01", ...]. Weekends may be listed and do not count. Raises `BadCalendarFile`.
    """
    text = _text_of(Path(path))
    if text.lstrip().startswith("["):
        return parse_holidays(_json_list(path, text), path)
    lines = enumerate((line.split("#")[0].strip() for line in text.splitlines()), start=1)
    return _weekdays(path, [(f"line {number}", line) for number, line in lines if line])


def parse_holidays(
    texts: Iterable[object], source: str | Path = "list of holidays"
) -> frozenset[date]:
    """Weekdays without trading from ISO dates, such as TqSdk's list; raises `BadCalendarFile`."""
    return _weekdays(source, [(f"entry {n}", text) for n, text in enumerate(texts, start=1)])


def warning_text(calendar: TradingCalendar, day: date) -> str | None:
    """What to warn of on market date `day`: known days end within 30 days, or have ended."""
    until = calendar.covered_until
    if day < until - WARN_AHEAD:
        return None
    return (
        f"trading days are known until {until} and the market is at {day}: later weekdays will all "
        "count as trading days, public holidays and the nights before them included, so sessions, "
        "trading days and bars are wrong around holidays. Update the days (pip install --upgrade "
        "exchange-calendars) or name a file of later holidays: TIANQIN_HOLIDAYS=file or "
        "TqStore(holidays=file)"
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows begin files with a mark
    except OSError as error:
        arrived = f"cannot be read ({error.strerror or error})"
        raise BadCalendarFile(path, arrived, f"a text file of {EXPECTED}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadCalendarFile(path, f"line {line} is not UTF-8", EXPECTED) from error


def _json_list(path: str | Path, text: str) -> list[object]:
    try:
        found: list[object] = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise BadCalendarFile(path, f"line {line} is no JSON ({error})", EXPECTED) from error
    return found


def _weekdays(source: str | Path, entries: Iterable[tuple[str, object]]) -> frozenset[date]:
    days = frozenset(_date(source, where, text) for where, text in entries)
    weekdays = frozenset(day for day in days if day.weekday() < SATURDAY)
    if not weekdays:
        raise BadCalendarFile(source, "no weekday in it", EXPECTED)
    return weekdays


def _date(source: str | Path, where: str, text: object) -> date:
    try:
        if not isinstance(text, str) or not ISO_DATE.fullmatch(text):
            raise ValueError("not written as 2027-01-01")
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadCalendarFile(source, f"{where} is {text!r} ({error})", EXPECTED) from error
