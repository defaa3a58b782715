"""Until when an order stands: expected moments worked by hand from the trading hours."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from tianqin_backtrader.calendar import KnownDays, shanghai_calendar
from tianqin_backtrader.errors import InvalidOrder
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.validity import UNTIL_CANCELLED, expiry_ns
from tianqin_backtrader.values import TradingTime

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_000_000_000

COMMODITY_DAY = (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))
COPPER: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "25:00:00"),)}
EGGS: TradingTime = {"day": COMMODITY_DAY, "night": ()}
BONDS: TradingTime = {"day": (("09:15:00", "11:30:00"), ("13:00:00", "15:15:00"))}
DAY = bt.Order.DAY


@pytest.fixture(scope="module")
def calendar() -> KnownDays:
    return shanghai_calendar(date(2018, 1, 2))


@pytest.fixture(scope="module")
def copper(calendar: KnownDays) -> Sessions:
    return Sessions(COPPER, calendar)


def ns(text: str) -> int:
    """Nanoseconds of a Beijing time such as "2019-03-05 10:00"."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp()) * SECOND


def naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


NOW = "2019-03-05 10:00:00"  # a Tuesday


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (COPPER, "2019-03-05 10:00", "2019-03-05 15:00"),
        (COPPER, "2019-03-05 10:20", "2019-03-05 15:00"),  # in a break
        (COPPER, "2019-03-05 14:59:59", "2019-03-05 15:00"),
        (COPPER, "2019-03-05 15:00", "2019-03-06 15:00"),  # after the close: the next day
        (COPPER, "2019-03-05 16:30", "2019-03-06 15:00"),
        (COPPER, "2019-03-05 18:00", "2019-03-06 15:00"),
        (COPPER, "2019-03-05 21:30", "2019-03-06 15:00"),  # a night belongs to the next day
        (COPPER, "2019-03-06 00:30", "2019-03-06 15:00"),
        (COPPER, "2019-03-06 03:00", "2019-03-06 15:00"),
        (COPPER, "2019-03-08 15:00", "2019-03-11 15:00"),  # Friday's night to Monday
        (COPPER, "2019-03-08 21:30", "2019-03-11 15:00"),
        (COPPER, "2019-03-09 00:30", "2019-03-11 15:00"),
        (COPPER, "2019-03-10 12:00", "2019-03-11 15:00"),
        (COPPER, "2019-09-30 14:00", "2019-09-30 15:00"),  # the national holidays end on 8 October
        (COPPER, "2019-09-30 15:30", "2019-10-08 15:00"),
        (COPPER, "2019-10-03 12:00", "2019-10-08 15:00"),
        (EGGS, "2019-03-08 21:30", "2019-03-11 15:00"),
        (BONDS, "2019-03-05 15:10", "2019-03-05 15:15"),
        (BONDS, "2019-03-05 15:15", "2019-03-06 15:15"),
    ],
)
def test_a_day_order_stands_until_its_trading_day_closes(
    hours: TradingTime, now: str, end: str, calendar: KnownDays
) -> None:
    sessions = Sessions(hours, calendar)
    for valid in (DAY, timedelta(), 0, 0.0, pd.Timedelta(0), np.float64(0)):
        assert expiry_ns(valid, ns(now), sessions) == ns(end)


def test_none_stands_until_cancelled(copper: Sessions) -> None:
    assert expiry_ns(None, ns(NOW), copper) == UNTIL_CANCELLED == 0


@pytest.mark.parametrize(
    ("valid", "end"),
    [
        (timedelta(minutes=5), "2019-03-05 10:05:00"),
        (timedelta(days=3, hours=1), "2019-03-08 11:00:00"),  # over nights, by the wall clock
        (pd.Timedelta(minutes=5), "2019-03-05 10:05:00"),
        (naive("2019-03-05 14:30"), "2019-03-05 14:30:00"),  # naive: Beijing time
        (datetime(2019, 3, 5, 6, 30, tzinfo=timezone.utc), "2019-03-05 14:30:00"),
        (datetime(2019, 3, 5, 14, 30, tzinfo=BEIJING), "2019-03-05 14:30:00"),
        (naive("2019-03-09 12:00"), "2019-03-09 12:00:00"),  # a moment need not trade
        (pd.Timestamp("2019-03-05 14:30"), "2019-03-05 14:30:00"),
        (pd.Timestamp("2019-03-05 14:30", tz="Asia/Shanghai"), "2019-03-05 14:30:00"),
        (date(2019, 3, 5), "2019-03-05 15:00:00"),
        (date(2019, 3, 11), "2019-03-11 15:00:00"),
        (date(2019, 3, 9), "2019-03-08 15:00:00"),  # a Saturday
        (date(2019, 10, 5), "2019-09-30 15:00:00"),  # in the national holidays
    ],
)
def test_spans_moments_and_dates(valid: Any, end: str, copper: Sessions) -> None:
    assert expiry_ns(valid, ns(NOW), copper) == ns(end)


def test_microseconds_count(copper: Sessions) -> None:
    assert expiry_ns(timedelta(microseconds=1), ns(NOW) + 7, copper) == ns(NOW) + 1_007
    moment = naive("2019-03-05 14:30:00.250")
    assert expiry_ns(moment, ns(NOW), copper) == ns("2019-03-05 14:30:00") + SECOND // 4


def test_a_date_is_a_trading_day(copper: Sessions, calendar: KnownDays) -> None:
    """On Friday's night, Monday is the date of today's trading; Friday is over."""
    night = ns("2019-03-08 22:00")
    assert expiry_ns(date(2019, 3, 11), night, copper) == ns("2019-03-11 15:00")
    for over in (date(2019, 3, 8), date(2019, 3, 9)):
        with pytest.raises(InvalidOrder, match="is past"):
            expiry_ns(over, night, copper)
    bonds = Sessions(BONDS, calendar)
    assert expiry_ns(date(2019, 3, 5), ns(NOW), bonds) == ns("2019-03-05 15:15")


def test_a_number_is_backtraders(copper: Sessions) -> None:
    """As `data.datetime[0]` holds it: days since 0001-01-01 in UTC."""
    assert expiry_ns(719_163 + 17_961, ns("2019-03-05 07:00"), copper) == ns("2019-03-06 08:00")
    assert expiry_ns(737_124.25, ns("2019-03-05 07:00"), copper) == ns("2019-03-06 14:00")
    number = bt.date2num(naive("2019-03-05 06:30"))
    for valid in (number, np.float64(number)):  # which tell moments to ten microseconds
        assert expiry_ns(valid, ns(NOW), copper) == pytest.approx(
            ns("2019-03-05 14:30:00"), rel=0, abs=10_000
        )


@pytest.mark.parametrize(
    "valid",
    [
        naive("2019-03-05 10:00"), naive("2019-03-05 09:59"), naive("0001-01-01"), date(2019, 3, 4),
        date(2019, 3, 3), date.min, timedelta(seconds=-1), timedelta.min, 5, 0.5, -1, -0.5,
        737_122.5, -math.inf, -10**400,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_past_is_refused(valid: Any, copper: Sessions) -> None:
    with pytest.raises(InvalidOrder, match="the market is at 2019-03-05 10:00:00 Beijing time"):
        expiry_ns(valid, ns(NOW), copper)


def test_a_refusal_names_the_value_and_the_remedy(copper: Sessions) -> None:
    with pytest.raises(InvalidOrder, match=r"valid datetime\.datetime\(2019, 3, 4, 9, 0\) is past"):
        expiry_ns(naive("2019-03-04 09:00"), ns(NOW), copper)
    with pytest.raises(InvalidOrder, match=r"valid 5 is .*timedelta from now.*days since 0001-01"):
        expiry_ns(5, ns(NOW), copper)


def test_today_after_the_close_is_past(copper: Sessions) -> None:
    with pytest.raises(InvalidOrder, match="is past"):
        expiry_ns(date(2019, 3, 5), ns("2019-03-05 15:00"), copper)


@pytest.mark.parametrize(
    "valid",
    [math.nan, pd.NaT, True, False, "2019-03-06", "DAY", [], object, np.datetime64("2019-03-06")],
    ids=repr,
)
def test_what_is_no_moment_is_refused(valid: Any, copper: Sessions) -> None:
    with pytest.raises(InvalidOrder, match=r"is no moment; expected None \(until cancelled\)"):
        expiry_ns(valid, ns(NOW), copper)


@pytest.mark.parametrize(
    "valid",
    [timedelta.max, naive("9999-12-31 23:59:59"), date.max, math.inf, 1e9, 10**400],
    ids=repr,
)
def test_what_no_database_holds_is_refused(valid: Any, copper: Sessions) -> None:
    with pytest.raises(InvalidOrder, match="beyond 2262"):
        expiry_ns(valid, ns(NOW), copper)
