"""Until when an order stands: `valid` as Backtrader's users write it, in exchange time. Pure.

Rules:
- A day order stands until its trading day closes: at 15:00, or 15:15, of the day that the night
  belongs to. Backtrader's own would end at midnight, in the middle of a night session.
- Naive times are Beijing time, as `data.datetime` shows it; date numbers are UTC, as
  `data.datetime[0]` holds it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from numbers import Real
from typing import Any

from .beijing import BEIJING, beijing_datetime
from .errors import InvalidOrder
from .sessions import DAY_NS, Sessions, beijing_date

__all__ = ["UNTIL_CANCELLED", "expiry_ns"]

UNTIL_CANCELLED = 0
SECOND_NS = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
EPOCH_DAY = 719_163  # Backtrader's number of 1970-01-01
LATEST_NS = 2**63 - 1  # what databases and pandas hold
EXPECTED = (
    "None (until cancelled), bt.Order.DAY (the end of the trading day), a timedelta from now, a "
    "datetime (Beijing time if naive), the date of a trading day, or Backtrader's date number "
    "(days since 0001-01-01 UTC)"
)


def expiry_ns(valid: Any, now_ns: int, sessions: Sessions) -> int:
    """Until when an order written at `now_ns` stands, ns since 1970 UTC; 0: until cancelled.

    None: until cancelled. `bt.Order.DAY`, `timedelta()` or 0: the close of the current trading day,
    of the next one after a close. A timedelta: from now. A datetime: that moment. A date: the close
    of that trading day, or of the last one before it. A number: Backtrader's date number.
    Raises `InvalidOrder` for what is past, or none of these.
    """
    if valid is None:
        return UNTIL_CANCELLED
    if _is_day(valid):
        return _day_end_ns(now_ns, sessions)
    until_ns = _moment_ns(valid, now_ns, sessions)
    if until_ns <= now_ns:
        raise _refused(valid, f"is past: the market is at {beijing_datetime(now_ns)} Beijing time")
    if until_ns > LATEST_NS:
        raise _refused(valid, "is beyond 2262-04-11")
    return until_ns


def _is_day(valid: object) -> bool:
    if isinstance(valid, bool):
        return False
    return isinstance(valid, (timedelta, Real)) and not valid


def _day_end_ns(now_ns: int, sessions: Sessions) -> int:
    day = sessions.trading_day_of(now_ns)
    close_ns = sessions.close_of(day)
    return close_ns if close_ns > now_ns else sessions.close_of(sessions.calendar.next_day(day))


def _moment_ns(valid: Any, now_ns: int, sessions: Sessions) -> int:
    """Nanoseconds since 1970 UTC of any `valid` that is no day order."""
    if isinstance(valid, bool) or valid != valid:  # noqa: PLR0124  NaN, and pandas' NaT
        raise _refused(valid, "is no moment")
    if isinstance(valid, timedelta):
        return now_ns + _span_ns(valid)
    if isinstance(valid, datetime):
        aware = valid.replace(tzinfo=BEIJING) if valid.utcoffset() is None else valid
        return _span_ns(aware - EPOCH)
    if isinstance(valid, date):
        return _close_ns(valid, now_ns, sessions)
    if isinstance(valid, Real):
        return _number_ns(valid)
    raise _refused(valid, "is no moment")


def _close_ns(day: date, now_ns: int, sessions: Sessions) -> int:
    if day < beijing_date(now_ns):
        return 0
    calendar = sessions.calendar
    return sessions.close_of(day if calendar.is_trading_day(day) else calendar.previous_day(day))


def _number_ns(number: Any) -> int:
    beyond = 2 * LATEST_NS // DAY_NS  # infinity has no integer
    days: float = min(max(number - EPOCH_DAY, 0), beyond)
    return round(days * DAY_NS)


def _span_ns(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * SECOND_NS + span.microseconds * 1_000


def _refused(valid: object, why: str) -> InvalidOrder:
    return InvalidOrder(f"valid {valid!r} {why}; expected {EXPECTED}, later than now")
