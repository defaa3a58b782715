"""The embedded exchange's calendar against rules worked by hand and the labels of real klines."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest

from tianqin_backtrader.sim.calendar import MarketCalendar, beijing_midnight_ns
from tianqin_backtrader.sim.instruments import Instruments
from tianqin_backtrader.sim.listing import Listing
from tianqin_backtrader.sim.market import Market
from tianqin_backtrader.sim.values import Contract

BEIJING = timezone(timedelta(hours=8))


@pytest.fixture(scope="module")
def calendar() -> MarketCalendar:
    return MarketCalendar()


def ns(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp()) * 10**9


def contract(symbol: str) -> Contract:
    found = Listing(Instruments(None), MarketCalendar(), rolls=True).contract(
        symbol, date(2019, 5, 1)
    )
    assert found is not None
    return found


def clocks(calendar: MarketCalendar, symbol: str, day: date) -> list[str]:
    return [
        f"{datetime.fromtimestamp(moment / 1e9, BEIJING):%m-%d %H:%M}"
        for stretch in calendar.stretches(contract(symbol), day)
        for moment in stretch
    ]


def test_friday_night_is_mondays(calendar: MarketCalendar) -> None:
    assert clocks(calendar, "SHFE.cu1905", date(2019, 4, 15)) == [
        "04-12 21:00", "04-13 01:00",
        "04-15 09:00", "04-15 10:15", "04-15 10:30", "04-15 11:30", "04-15 13:30", "04-15 15:00",
    ]  # fmt: skip
    assert calendar.trading_day_of(ns("2019-04-12 21:00")) == date(2019, 4, 15)
    assert calendar.trading_day_of(ns("2019-04-13 00:59")) == date(2019, 4, 15)


def test_trading_day_turns_at_six_in_the_evening(calendar: MarketCalendar) -> None:
    assert calendar.trading_day_of(ns("2019-04-16 17:59:59")) == date(2019, 4, 16)
    assert calendar.trading_day_of(ns("2019-04-16 18:00")) == date(2019, 4, 17)
    assert calendar.begins_ns(date(2019, 5, 6)) == ns("2019-04-30 18:00")


@pytest.mark.parametrize(
    "day",
    [
        date(2019, 4, 8), date(2019, 5, 6), date(2019, 6, 10), date(2019, 9, 16),
        date(2019, 10, 8), date(2020, 2, 3), date(2020, 3, 16), date(2020, 5, 6),
    ],
)  # fmt: skip
def test_no_night_after_a_holiday_nor_while_suspended(calendar: MarketCalendar, day: date) -> None:
    assert not calendar.has_night(day)
    assert clocks(calendar, "DCE.m2005", day)[0].endswith("09:00")


def test_nights_are_back_on_the_evening_of_2020_05_06(calendar: MarketCalendar) -> None:
    assert clocks(calendar, "DCE.m2005", date(2020, 5, 7))[:2] == ["05-06 21:00", "05-06 23:00"]


def test_night_of_2019_12_25_opened_late(calendar: MarketCalendar) -> None:
    assert clocks(calendar, "DCE.m2005", date(2019, 12, 26))[:2] == ["12-25 22:30", "12-25 23:00"]


def test_open_from_the_first_nanosecond_to_before_the_end(calendar: MarketCalendar) -> None:
    copper = contract("SHFE.cu1905")
    opened = ns("2019-04-16 13:30")
    assert not calendar.is_open(copper, opened - 1)
    assert calendar.is_open(copper, opened)
    assert not calendar.is_open(copper, ns("2019-04-16 15:00"))
    assert not calendar.is_open(copper, ns("2019-04-14 10:00"))


def test_weekdays_trade_beyond_the_published_days(calendar: MarketCalendar) -> None:
    friday = date(2031, 8, 15)
    assert calendar.is_trading_day(friday)
    assert not calendar.is_trading_day(friday + timedelta(days=1))
    assert calendar.next_trading_day(friday) == date(2031, 8, 18)
    assert calendar.previous_trading_day(date(2031, 8, 18)) == friday


def test_holidays_do_not_trade(calendar: MarketCalendar) -> None:
    assert not calendar.is_trading_day(date(2019, 10, 1))
    assert calendar.next_trading_day(date(2019, 9, 30)) == date(2019, 10, 8)
    assert calendar.first_trading_day(date(2019, 10, 5)) == date(2019, 10, 8)


@pytest.mark.parametrize("symbol", ["SHFE.cu1905", "DCE.jd1909", "CFFEX.IF1908", "DCE.m2005"])
def test_trading_days_of_every_recorded_label(
    calendar: MarketCalendar, records: Path, symbol: str
) -> None:
    frame = pd.read_csv(records / "klines/60s" / f"{symbol}.csv.gz")
    found = [calendar.trading_day_of(label).isoformat() for label in frame["datetime"]]
    assert found == frame["trading_day"].tolist()


def test_replayed_contract_gets_the_hours_of_its_records(records: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(records / "klines/60s/DCE.m2005.csv.gz", nrows=900)
    night = frame[frame["beijing_time"].str.contains("2019-07-08 22:[345]")].copy()
    night["datetime"] += 30 * 60 * 10**9  # as if it were the night to 23:30 of earlier years
    late = tmp_path / "DCE.m2005.csv"
    pd.concat([frame, night]).sort_values("datetime").drop_duplicates("datetime").to_csv(late)
    found = Market.replaying([late]).contract("DCE.m2005")
    assert found is not None
    assert found.trading_time["night"] == [["21:00:00", "23:30:00"]]


def test_midnight_is_beijings() -> None:
    assert beijing_midnight_ns(date(2019, 3, 5)) == ns("2019-03-05 00:00")
