"""Sessions against every label of the official one-minute klines, and against rules by hand."""

from __future__ import annotations

import csv
import gzip
import json
from bisect import bisect_left
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
import tqsdk.datetime as tqsdk_datetime
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.calendar import KnownDays, TradingCalendar, shanghai_calendar
from tianqin_backtrader.errors import WrongSetting
from tianqin_backtrader.sessions import DAY_NS, Sessions, check_duration, midnight_ns
from tianqin_backtrader.values import TradingTime

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = timedelta(days=1)

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
    [("SHFE.cu1905", 47), ("DCE.jd1909", 83), ("DCE.m2005", 109), ("CFFEX.IF1908", 37)],
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
            continue
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


def test_the_night_of_2019_12_25_opened_late(records: Path, calendar: TradingCalendar) -> None:
    """SHFE failed to settle in time: nights opened at 22:30 and ended as always."""
    days = recorded_minutes(records / "klines/60s/DCE.m2005.csv.gz")
    assert clock(days[date(2019, 12, 26)][0]) == "2019-12-25 22:30"
    meal = Sessions(MEAL, calendar)
    assert meal.open_of(date(2019, 12, 26)) == days[date(2019, 12, 26)][0]
    for hours, end in ((MEAL, "25 23:00"), (COPPER, "26 01:00"), (CRUDE, "26 02:30")):
        night = Sessions(hours, calendar).stretches(date(2019, 12, 26))[0]
        assert (clock(night.start_ns), clock(night.end_ns)) == (
            "2019-12-25 22:30", f"2019-12-{end}"
        )  # fmt: skip
    assert not meal.is_open(ns("2019-12-25 21:30"))
    assert clock(meal.bar_of(ns("2019-12-25 22:29:00.5"), MINUTE).start_ns) == "2019-12-25 22:30"
    assert clock(meal.next_open(ns("2019-12-25 20:00"))) == "2019-12-25 22:30"
    assert clock(meal.open_of(date(2019, 12, 27))) == "2019-12-26 21:00"
    assert clock(Sessions(EGGS, calendar).open_of(date(2019, 12, 26))) == "2019-12-26 09:00"


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
    assert sessions.next_open(ns("2019-03-11 09:00")) == ns("2019-03-11 09:00")


def test_untraded_minutes_over_a_break(calendar: TradingCalendar) -> None:
    sessions = Sessions(COPPER, calendar)
    before, after = (
        sessions.bar_of(ns(f"2019-03-05 {t}"), MINUTE) for t in ("10:13:30", "10:31:30")
    )
    labels = [clock(s.start_ns)[-5:] for s in sessions.spans_between(before, after, MINUTE)]
    assert labels == ["10:14", "10:30"]
    assert list(sessions.spans_between(before, before, MINUTE)) == []


# ---- lengths of bars


def spans_of(sessions: Sessions, day: date, duration_ns: int) -> list[tuple[str, str]]:
    """(label, end) of the bars of a trading day."""
    span = sessions.bar_of(sessions.open_of(day) + 1, duration_ns)
    found = []
    while span.trading_day == day:
        found.append((clock(span.start_ns)[-5:], clock(span.end_ns)[-5:]))
        span = sessions.next_span(span, duration_ns)
    return found


@pytest.mark.parametrize(
    ("hours", "duration", "expected"),
    [
        (
            COPPER, 3 * HOUR,  # 00:00 UTC is 08:00 here
            [("20:00", "23:00"), ("23:00", "01:00"), ("08:00", "11:00"), ("11:00", "14:00"),
             ("14:00", "15:00")],
        ),
        (CRUDE, 4 * HOUR,
         [("20:00", "00:00"), ("00:00", "02:30"), ("08:00", "11:30"), ("12:00", "15:00")]),
        (CRUDE, 17_280 * SECOND,
         [("17:36", "22:24"), ("22:24", "02:30"), ("08:00", "11:30"), ("12:48", "15:00")]),
        (CRUDE, 6 * HOUR,
         [("20:00", "02:00"), ("02:00", "02:30"), ("08:00", "14:00"), ("14:00", "15:00")]),
        (CRUDE, 8 * HOUR, [("16:00", "00:00"), ("00:00", "02:30"), ("08:00", "15:00")]),
        (COPPER, 12 * HOUR, [("20:00", "01:00"), ("08:00", "15:00")]),
        (BONDS, 12 * HOUR, [("08:00", "15:15")]),
        (BONDS, 6 * HOUR, [("08:00", "14:00"), ("14:00", "15:15")]),
        (COPPER, DAY_NS, [("00:00", "15:00")]),
    ],
    ids=str,
)  # fmt: skip
def test_long_bars_of_a_day_by_hand(
    hours: TradingTime, duration: int, expected: list[tuple[str, str]], calendar: TradingCalendar
) -> None:
    assert spans_of(Sessions(hours, calendar), date(2019, 3, 5), duration) == expected


def test_bars_that_fit_no_hour_by_hand(calendar: TradingCalendar) -> None:
    sessions = Sessions(COPPER, calendar)
    day = spans_of(sessions, date(2019, 3, 5), 240 * SECOND)
    around = day.index(("10:12", "10:15"))  # 10:15-10:30 is a break
    assert day[around + 1] == ("10:28", "10:32")
    # 09:00 Beijing time is 1,551,747,600 s since 1970 UTC: 3,694,637 times 420 s, and 60 s
    sevens = spans_of(sessions, date(2019, 3, 5), 7 * MINUTE)
    morning = sevens.index(("08:59", "09:06"))
    assert sevens[morning + 1] == ("09:06", "09:13")
    assert sevens[morning + 10 : morning + 13] == [
        ("10:09", "10:15"), ("10:30", "10:37"), ("10:37", "10:44")
    ]  # fmt: skip


@pytest.mark.parametrize("symbol", RECORDED)
@pytest.mark.parametrize("minutes", [4, 7, 13, 60, 180, 239, 240, 288, 360, 480, 720])
def test_bars_of_any_length_hold_the_recorded_minutes_of_one_day(
    symbol: str, minutes: int, records: Path, calendar: TradingCalendar
) -> None:
    sessions, duration = Sessions(RECORDED[symbol], calendar), minutes * MINUTE
    groups: dict[int, set[date]] = defaultdict(set)
    for day, labels in recorded_minutes(records / f"klines/60s/{symbol}.csv.gz").items():
        for label in labels:
            groups[label // duration * duration].add(day)
    for label, days in groups.items():
        span = sessions.span_of_label(label, duration)
        assert (span.start_ns, {span.trading_day}) == (label, days)


LENGTHS = [17_280 * SECOND, 6 * HOUR, 8 * HOUR, 12 * HOUR]


def test_no_length_joins_two_trading_days(records: Path, calendar: TradingCalendar) -> None:
    """For all hours on record: the pause between days outlasts 4 hours, and holds an edge of each
    longer length."""
    rows = json.loads((records / "instruments/2020-06-16.json").read_text(encoding="utf-8"))
    told = [row["trading_time"] for row in rows.values() if row.get("trading_time")]
    kinds = {str(hours): hours for hours in [*told, INDEX, BONDS]}
    assert len(kinds) >= 6
    days = [date(2019, 12, 23), date(2020, 5, 18), date(2026, 12, 28)]
    for hours in kinds.values():
        sessions = Sessions(hours, calendar)
        for first in days:
            stretches = [s for n in range(30) for s in sessions.stretches(first + DAY * n)]
            for before, after in pairwise(stretches):
                if before.trading_day != after.trading_day:
                    assert after.start_ns - before.end_ns > 4 * HOUR
                    for length in LENGTHS:
                        assert (before.end_ns - 1) // length < after.start_ns // length


@pytest.mark.parametrize("duration", [SECOND, 13 * SECOND, 4 * HOUR, *LENGTHS, DAY_NS])
def test_accepts_lengths_with_a_rule(duration: int) -> None:
    check_duration(duration)


@pytest.mark.parametrize(
    "duration",
    [0, -MINUTE, SECOND // 2, 4 * HOUR + SECOND, 5 * HOUR, 2 * DAY_NS, DAY_NS + SECOND],
)
def test_refuses_lengths_without_a_rule(duration: int) -> None:
    with pytest.raises(WrongSetting, match=str(duration)):
        check_duration(duration)
    with pytest.raises(WrongSetting, match="divides a day"):
        Sessions(COPPER, WEEKDAYS).bar_of(ns("2019-03-05 09:01"), duration)


# ---- any moment

WEEKDAYS = KnownDays([date(2019, 1, 2)])
SHANGHAI = shanghai_calendar()
LISTED = SHANGHAI.with_holidays([date(2027, 1, 1), date(2027, 2, 8), date(2027, 10, 4)])
HOURS = st.sampled_from([COPPER, MEAL, CRUDE, EGGS, INDEX, BONDS])
CALENDARS = st.sampled_from([WEEKDAYS, SHANGHAI, LISTED])
MOMENTS = st.one_of(
    st.integers(ns("1990-01-01 00:00"), ns("2100-12-31 00:00")),
    st.integers(ns("2019-12-20 00:00"), ns("2020-06-01 00:00")),  # late night, pandemic
    st.integers(ns("2026-12-20 00:00"), ns("2027-03-01 00:00")),  # the end of what is known
)


@settings(max_examples=400, deadline=None)
@given(
    time_ns=MOMENTS,
    hours=HOURS,
    calendar=CALENDARS,
    duration=st.one_of(
        st.integers(1, 14_400).map(lambda seconds: seconds * SECOND),
        st.sampled_from([SECOND, MINUTE, 7 * MINUTE, HOUR, *LENGTHS, DAY_NS]),
    ),
)
def test_bars_tile_the_time_line(
    time_ns: int, hours: TradingTime, calendar: KnownDays, duration: int
) -> None:
    sessions = Sessions(hours, calendar)
    span = sessions.bar_of(time_ns, duration)
    assert span.after_ns < time_ns <= span.until_ns
    assert sessions.bar_of(span.until_ns, duration) == span
    assert sessions.bar_of(span.after_ns + 1, duration) == span
    assert sessions.span_of_label(span.start_ns, duration) == span
    for _ in range(5):
        following = sessions.next_span(span, duration)
        assert following.after_ns == span.until_ns
        assert following.start_ns > span.start_ns
        assert following.end_ns > span.end_ns
        assert following.first == (following.trading_day != span.trading_day)
        assert span.start_ns < span.end_ns <= span.start_ns + duration
        assert duration == DAY_NS or span.start_ns % duration == 0
        span = following


@settings(max_examples=300, deadline=None)
@given(time_ns=MOMENTS, hours=HOURS, calendar=CALENDARS)
def test_questions_have_one_answer_at_any_moment(
    time_ns: int, hours: TradingTime, calendar: KnownDays
) -> None:
    """Against all stretches of the weeks around, searched in a plain list."""
    sessions = Sessions(hours, calendar)
    around = datetime.fromtimestamp(time_ns // SECOND, BEIJING).date()
    days = [around + DAY * n for n in range(-20, 21)]
    stretches = [stretch for day in days for stretch in sessions.stretches(day)]
    starts = [stretch.start_ns for stretch in stretches]
    assert starts == sorted(starts)
    assert sessions.next_open(time_ns) == starts[bisect_left(starts, time_ns)]
    found = [s for s in stretches if s.start_ns <= time_ns < s.end_ns]
    assert sessions.stretch_at(time_ns) == (found[0] if found else None)
    assert sessions.is_open(time_ns) == bool(found)
    day = sessions.trading_day_of(time_ns)
    assert all(stretch.trading_day == day for stretch in found)
    assert sessions.open_of(day) == sessions.stretches(day)[0].start_ns
    assert sessions.close_of(day) == sessions.stretches(day)[-1].end_ns > sessions.open_of(day)
    assert sessions.trading_day_of(sessions.open_of(day)) == day
    assert sessions.has_night(day) == (len(sessions.stretches(day)) > len(hours["day"]))


@settings(max_examples=200, deadline=None)
@given(time_ns=MOMENTS)
def test_the_trading_day_of_a_moment_is_tqsdks(time_ns: int) -> None:
    """TqSdk counts weekdays only."""
    theirs = tqsdk_datetime._get_trading_day_from_timestamp(time_ns)
    assert midnight_ns(Sessions(COPPER, WEEKDAYS).trading_day_of(time_ns)) == theirs


def test_opening_and_end_of_a_day_by_hand(calendar: TradingCalendar) -> None:
    crude, bonds = Sessions(CRUDE, calendar), Sessions(BONDS, calendar)
    monday = date(2019, 3, 11)
    assert clock(crude.open_of(monday)) == "2019-03-08 21:00"
    assert clock(crude.close_of(monday)) == "2019-03-11 15:00"
    assert clock(bonds.open_of(monday)) == "2019-03-11 09:15"
    assert clock(bonds.close_of(monday)) == "2019-03-11 15:15"
    assert crude.has_night(monday)
    assert not bonds.has_night(monday)
    saturday, holiday = date(2019, 3, 9), date(2019, 10, 1)
    assert not crude.has_night(saturday)
    assert clock(crude.open_of(saturday)) == "2019-03-08 21:00"  # of the next trading day
    assert clock(crude.close_of(holiday)) == "2019-10-08 15:00"
    assert not crude.has_night(date(2019, 10, 8))


def test_a_holiday_that_a_list_names_has_no_sessions_and_no_night_before() -> None:
    friday = date(2027, 1, 1)
    assert Sessions(COPPER, SHANGHAI).has_night(friday)  # unknown: a weekday like others
    listed = Sessions(COPPER, LISTED)
    assert listed.stretches(friday) == ()
    assert not listed.is_open(ns("2026-12-31 21:30"))
    assert clock(listed.next_open(ns("2026-12-31 15:00"))) == "2027-01-04 09:00"


def test_a_days_bars_ask_the_calendar_once() -> None:
    """Each bar of a hundred contracts asks: hours are laid out once a day, not once a bar."""
    counting = CountingDays([date(2019, 1, 2)])
    sessions = Sessions(COPPER, counting)
    span = sessions.bar_of(ns("2019-03-04 21:00:01"), MINUTE)
    far = ns("2019-06-05 10:00")
    sessions.is_open(far)
    asked = counting.asked
    for _ in range(600):
        span = sessions.next_span(span, MINUTE)
        sessions.is_open(far)  # another day in between
    assert span.trading_day == date(2019, 3, 6)
    assert counting.asked - asked <= 20


class CountingDays(KnownDays):
    """Counts the questions that reach it."""

    asked = 0

    def previous_day(self, day: date) -> date:
        self.asked += 1
        return super().previous_day(day)


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
