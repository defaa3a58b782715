"""Where a market begins and ends, from what the user says: a trading day or a moment."""

from __future__ import annotations

from datetime import date, datetime

from ..errors import WrongSetting
from .calendar import MarketCalendar, beijing_midnight_ns
from .values import SECOND_NS

__all__ = ["begin_ns", "end_ns"]


def begin_ns(calendar: MarketCalendar, start: date | datetime) -> int:
    if isinstance(start, datetime):
        return _moment_ns(start)
    return calendar.begins_ns(calendar.first_trading_day(start))


def end_ns(calendar: MarketCalendar, start_ns: int, end: date | datetime | None) -> int | None:
    if end is None:
        return None
    if isinstance(end, datetime):
        last_ns = _moment_ns(end)
    else:
        last_ns = calendar.begins_ns(calendar.next_trading_day(end)) - 1
    if last_ns <= start_ns:
        raise WrongSetting("end", end, "a time after start")
    return last_ns


def _moment_ns(moment: datetime) -> int:
    """ns since 1970 UTC; a datetime without a zone is Beijing time."""
    if moment.tzinfo is not None:
        return round(moment.timestamp() * 1_000_000) * 1_000
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    since_midnight_ns = seconds * SECOND_NS + moment.microsecond * 1_000
    return beijing_midnight_ns(moment.date()) + since_midnight_ns
