"""Sessions against every label of the official one-minute klines, and against rules by hand."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.calendar import KnownDays, TradingCalendar, shanghai_calendar
from tianqin_backtrader.errors import WrongSetting
from tianqin_backtrader.sessions import DAY_NS, Sessions, midnight_ns
from tianqin_backtrader.values import TradingTime

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

COMMODITY_DAY = (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))
COPPER: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "25:00:00"),)}
MEAL: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "23:00:00"),)}
CRUDE: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "26:30:00"),)}
EGGS: TradingTime = {"day": COMMODITY_DAY, "night": ()}
INDEX: TradingTime = {"day": (("09:30:00", "11:30:00"), ("13:00:00", "15:00:00"))}
BONDS: TradingTime = {"day": (("09:15:00", "11:30:00"), ("13:00:00", "15:15:00"))}


def ns(text: str) -> int:
    """Nanoseconds of a Beijing time such as "2019-03-04 22:51" (seconds and fractions allowed)."""
    whole, _, fraction = text.partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=BEIJING)
    return int(moment.timestamp()) * SECOND + int(fraction.ljust(9, "0") or 0)


def clock(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // SECOND, BEIJING):%Y-%m-%d %H:%M}"


@pytest.fixture(scope="module")
def calendar() -> TradingCalendar:
    return shanghai_calendar()


RECORDED = {"SHFE.cu1905": COPPER, "DCE.jd1909": EGGS, "DCE.m2005": MEAL, "CFFEX.IF1908": INDEX}


def recorded_minutes(path: Path) -> dict[date, list[int]]:
    days: dict[date, list[int]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            days[date.fromisoformat(row["trading_day"])].append(int(row["datetime"]))
    return days


@pytest.mark.parametrize("symbol", RECORDED)
def test_every_recorded_minute_is_a_minute_of_its_trading_day(
    symbol: str, records: Path, calendar: TradingCalendar
) -> None:
    sessions = Sessions(RECORDED[symbol], calendar)
    for day, labels in recorded_minutes(records / f"klines/60s/{symbol}.csv.gz").items():
        for label in labels:
            span = sessions.bar_of(label + 1, MINUTE)
            assert (span.start_ns, span.end_ns) == (label, label + MINUTE)
            assert span.trading_day == day == sessions.trading_day_of(label)
            assert sessions.span_of_label(label, MINUTE) == span


@pytest.mark.parametrize(
    ("symbol", "whole"),  # of 48, 86, 115 and 39 days; the others are cut by the recording
    [("SHFE.cu1905", 47), ("DCE.jd1909", 83), ("DCE.m2005", 108), ("CFFEX.IF1908", 37)],
)
def test_every_minute_of_whole_days_is_recorded(
    symbol: str, whole: int, records: Path, calendar: TradingCalendar
) -> None:
    sessions = Sessions(RECORDED[symbol], calendar)
    days = recorded_minutes(records / f"klines/60s/{symbol}.csv.gz")
    complete = 0
    for day, labels in days.items():
        stretches = sessions.stretches(day)
        if labels[0] != stretches[0].start_ns or labels[-1] != stretches[-1].end_ns - MINUTE:
            continue  # or the night of 2019-12-25, which opened late
        complete += 1
        assert labels == [t for s in stretches for t in range(s.start_ns, s.end_ns, MINUTE)]
    assert complete == whole


def test_walks_through_days_as_the_exchange_did(records: Path, calendar: TradingCalendar) -> None:
    sessions = Sessions(COPPER, calendar)
    days = recorded_minutes(records / "klines/60s/SHFE.cu1905.csv.gz")
    labels = [label for day in days.values() for label in day]
    span = sessions.span_of_label(labels[0], MINUTE)
    for label in labels[1:]:
        span = sessions.next_span(span, MINUTE)
        assert span.start_ns == label


@pytest.mark.parametrize(
    "day",
    ["2019-04-08", "2019-05-06", "2019-06-10", "2019-09-16", "2019-10-08", "2020-02-03"],
)
def test_no_night_after_a_public_holiday(day: str, calendar: TradingCalendar) -> None:
    assert len(Sessions(COPPER, calendar).stretches(date.fromisoformat(day))) == 3


def test_friday_night_belongs_to_monday(calendar: TradingCalendar) -> None:
    sessions = Sessions(COPPER, calendar)
    monday = date(2019, 3, 11)
    night = sessions.stretches(monday)[0]
    assert (clock(night.start_ns), clock(night.end_ns)) == ("2019-03-08 21:00", "2019-03-09 01:00")
    assert sessions.trading_day_of(ns("2019-03-09 00:30")) == monday
    assert sessions.trading_day_of(ns("2019-03-08 20:59")) == monday
    assert sessions.trading_day_of(ns("2019-03-08 15:00")) == date(2019, 3, 8)


def test_nights_were_suspended_in_2020(calendar: TradingCalendar) -> None:
    sessions = Sessions(MEAL, calendar)
    assert len(sessions.stretches(date(2020, 2, 4))) == 3
    assert len(sessions.stretches(date(2020, 4, 30))) == 3
    assert len(sessions.stretches(date(2020, 5, 6))) == 3
    assert clock(sessions.stretches(date(2020, 5, 7))[0].start_ns) == "2020-05-06 21:00"


def test_a_holiday_has_no_sessions(calendar: TradingCalendar) -> None:
    assert Sessions(COPPER, calendar).stretches(date(2019, 10, 2)) == ()


@pytest.mark.parametrize(
    ("hours", "tick", "label"),
    [
        (COPPER, "2019-03-05 09:01:00", "2019-03-05 09:00"),  # closes the minute
        (COPPER, "2019-03-05 09:01:00.000001", "2019-03-05 09:01"),
        (COPPER, "2019-03-05 20:59:00", "2019-03-05 21:00"),  # auctions
        (EGGS, "2019-03-05 08:59:00.5", "2019-03-05 09:00"),
        (INDEX, "2021-01-04 09:29:00.4", "2021-01-04 09:30"),
        (COPPER, "2019-03-05 10:15:00.5", "2019-03-05 10:14"),  # stretch ends
        (INDEX, "2021-01-05 11:30:00.2", "2021-01-05 11:29"),
        (COPPER, "2019-03-05 15:00:00", "2019-03-05 14:59"),
        (COPPER, "2019-03-05 15:00:00.000001", "2019-03-05 14:59"),
        (INDEX, "2021-01-04 15:35:19.4", "2021-01-04 14:59"),  # after hours
        (BONDS, "2021-01-04 15:15:00.4", "2021-01-04 15:14"),
        (MEAL, "2019-07-09 23:00:00.5", "2019-07-09 22:59"),
        (COPPER, "2019-03-09 01:00:00.5", "2019-03-09 00:59"),
        (CRUDE, "2019-03-09 02:30:00.5", "2019-03-09 02:29"),
        (CRUDE, "2019-03-11 08:59:00.5", "2019-03-11 09:00"),
    ],
)
def test_edges_make_no_phantom_minute(
    hours: TradingTime, tick: str, label: str, calendar: TradingCalendar
) -> None:
    assert clock(Sessions(hours, calendar).bar_of(ns(tick), MINUTE).start_ns) == label


@pytest.mark.parametrize(
    ("hours", "tick", "label", "end"),
    [
        (COPPER, "09:00:01", "09:00", "10:00"),
        (COPPER, "10:14:00", "10:00", "11:00"),
        (COPPER, "10:45:00", "10:00", "11:00"),
        (COPPER, "11:10:00", "11:00", "11:30"),
        (COPPER, "13:31:00", "13:00", "14:00"),
        (COPPER, "14:31:00", "14:00", "15:00"),
        (COPPER, "15:00:00.4", "14:00", "15:00"),
        (BONDS, "15:10:00", "15:00", "15:15"),
        (INDEX, "09:29:00", "09:00", "10:00"),
    ],
)
def test_hours_take_the_floor_of_the_clock(
    hours: TradingTime, tick: str, label: str, end: str, calendar: TradingCalendar
) -> None:
    day = "2019-03-05 "
    sessions = Sessions(hours, calendar)
    span = sessions.bar_of(ns(day + tick), HOUR)
    assert (clock(span.start_ns), clock(span.end_ns)) == (day + label, day + end)
    assert sessions.span_of_label(span.start_ns, HOUR) == span


def test_a_day_runs_from_its_night_to_15_00(calendar: TradingCalendar) -> None:
    sessions = Sessions(COPPER, calendar)
    span = sessions.bar_of(ns("2019-03-09 00:30"), DAY_NS)
    assert (clock(span.start_ns), clock(span.end_ns)) == ("2019-03-11 00:00", "2019-03-11 15:00")
    assert span == sessions.bar_of(ns("2019-03-08 20:59"), DAY_NS)
    assert span == sessions.bar_of(ns("2019-03-11 15:00:00.5"), DAY_NS)
    assert span == sessions.span_of_label(midnight_ns(date(2019, 3, 11)), DAY_NS)
    assert clock(sessions.next_span(span, DAY_NS).start_ns) == "2019-03-12 00:00"


@pytest.mark.parametrize(
    ("hours", "label", "day"),
    [
        (MEAL, "2019-03-08 23:15", date(2019, 3, 11)),  # nights once ended at 23:30
        (INDEX, "2015-06-01 15:00", date(2015, 6, 1)),  # index futures once ended at 15:15
    ],
)
def test_an_old_label_outside_the_hours_of_today_keeps_its_length(
    hours: TradingTime, label: str, day: date, calendar: TradingCalendar
) -> None:
    span = Sessions(hours, calendar).span_of_label(ns(label), MINUTE)
    assert (clock(span.start_ns), span.end_ns - span.start_ns) == (label, MINUTE)
    assert span.trading_day == day


def test_open_and_next_open(calendar: TradingCalendar) -> None:
    sessions = Sessions(COPPER, calendar)
    assert sessions.is_open(ns("2019-03-05 09:00"))
    assert not sessions.is_open(ns("2019-03-05 10:15"))
    assert not sessions.is_open(ns("2019-03-05 20:59:59"))
    assert clock(sessions.next_open(ns("2019-03-05 11:31"))) == "2019-03-05 13:30"
    assert clock(sessions.next_open(ns("2019-09-30 15:01"))) == "2019-10-08 09:00"
    assert clock(sessions.next_open(ns("2019-03-09 12:00"))) == "2019-03-11 09:00"


def test_untraded_minutes_over_a_break(calendar: TradingCalendar) -> None:
    sessions = Sessions(COPPER, calendar)
    before, after = (
        sessions.bar_of(ns(f"2019-03-05 {t}"), MINUTE) for t in ("10:13:30", "10:31:30")
    )
    labels = [clock(s.start_ns)[-5:] for s in sessions.spans_between(before, after, MINUTE)]
    assert labels == ["10:14", "10:30"]
    assert list(sessions.spans_between(before, before, MINUTE)) == []


@settings(max_examples=200, deadline=None)
@given(
    time_ns=st.integers(ns("2019-03-01 00:00"), ns("2021-03-01 00:00")),
    hours=st.sampled_from([COPPER, MEAL, CRUDE, EGGS, INDEX, BONDS]),
    duration=st.sampled_from([SECOND, 15 * SECOND, MINUTE, 7 * MINUTE, HOUR, 4 * HOUR, DAY_NS]),
)
def test_bars_tile_the_time_line(time_ns: int, hours: TradingTime, duration: int) -> None:
    sessions = Sessions(hours, WEEKDAYS)
    span = sessions.bar_of(time_ns, duration)
    following = sessions.next_span(span, duration)
    assert span.after_ns < time_ns <= span.until_ns
    assert following.after_ns == span.until_ns
    assert following.start_ns > span.start_ns
    assert following.first == (following.trading_day != span.trading_day)
    assert span.end_ns <= span.start_ns + duration
    assert sessions.bar_of(span.until_ns, duration) == sessions.bar_of(time_ns, duration) == span


WEEKDAYS = KnownDays([date(2019, 1, 2)])


def test_beyond_its_data_the_calendar_counts_weekdays(calendar: TradingCalendar) -> None:
    after = calendar.covered_until
    assert after >= date(2026, 12, 31)
    assert calendar.next_day(date(2100, 1, 1)) == date(2100, 1, 4)  # a Friday, and its Monday
    assert calendar.previous_day(date(2100, 1, 4)) == date(2100, 1, 1)
    assert calendar.next_day(after).weekday() < 5
    assert calendar.previous_day(calendar.next_day(after)) == after


@pytest.mark.parametrize("duration", [0, -MINUTE, SECOND // 2, 5 * HOUR, 2 * DAY_NS])
def test_refuses_durations_without_a_rule(duration: int) -> None:
    with pytest.raises(WrongSetting, match=str(duration)):
        Sessions(COPPER, WEEKDAYS).bar_of(ns("2019-03-05 09:01"), duration)


def test_refuses_a_contract_without_hours() -> None:
    with pytest.raises(WrongSetting, match="trading_time"):
        Sessions({"day": (), "night": ()}, WEEKDAYS)


def test_reads_the_hours_of_every_recorded_instrument(records: Path) -> None:
    rows = json.loads((records / "instruments/2020-06-16.json").read_text(encoding="utf-8"))
    traded = [row for row in rows.values() if row.get("trading_time")]
    assert len(traded) == 170
    for row in traded:
        stretches = Sessions(row["trading_time"], WEEKDAYS).stretches(date(2020, 6, 16))
        assert len(stretches) == sum(len(part) for part in row["trading_time"].values())
        assert all(a.end_ns < b.start_ns for a, b in pairwise(stretches))
