"""Beijing time, +08:00 without daylight saving since 1991, in the form Backtrader wants."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo

__all__ = ["BEIJING", "BeijingTime", "beijing_datetime", "beijing_time"]

_OFFSET = timedelta(hours=8)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive on purpose: Backtrader stores naive times


class BeijingTime(tzinfo):
    """Asia/Shanghai with the `localize` of pytz, which Backtrader calls on every `tz`."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        return _OFFSET

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "Asia/Shanghai"

    def localize(self, naive: datetime) -> datetime:
        """`naive` Beijing time with this zone on it."""
        return naive.replace(tzinfo=self)

    def __repr__(self) -> str:
        return "BEIJING"


BEIJING = BeijingTime()


def beijing_time(time_ns: int) -> time:
    """Beijing time of day of ns since 1970 UTC."""
    return beijing_datetime(time_ns).time()


def beijing_datetime(time_ns: int) -> datetime:
    """Naive Beijing time, to the microsecond, of ns since 1970 UTC."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000) + _OFFSET
