"""Trading days against TqSdk, exchange notices and hand-written lists; files of holidays."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import tqsdk.calendar as tqsdk_calendar
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.calendar import (
    KnownDays,
    has_night,
    parse_holidays,
    read_holidays,
    shanghai_calendar,
    warning_text,
)
from tianqin_backtrader.errors import BadCalendarFile, ConfigError, WrongSetting

DAY = timedelta(days=1)
KNOWN = shanghai_calendar()
# made up, in the shape of TqSdk's list: new year, spring, labour day, national day
LIST_2027 = ["2027-01-01", *(f"2027-02-{n:02d}" for n in range(8, 13)), "2027-05-03", "2027-10-01"]
LIST_2028 = ["2028-01-03", "2028-01-26", "2028-12-29"]
EXTENDED = KNOWN.with_holidays(parse_holidays(LIST_2027 + LIST_2028))


def weekdays(first: date, last: date) -> list[date]:
    days = (first + DAY * n for n in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


# ---- days that are known


def test_shanghai_days_end_with_the_library_and_not_with_the_wall_clock() -> None:
    """Of itself `get_calendar` ends a year from today: a fresh install in 2025 missed late 2026."""
    from exchange_calendars.exchange_calendar_xshg import XSHGExchangeCalendar  # noqa: PLC0415

    assert KNOWN.covered_until == XSHGExchangeCalendar.bound_max().date() >= date(2026, 12, 31)


@pytest.mark.parametrize(
    ("before", "after"),  # last trading day before a holiday, and the first after it
    [
        (date(2008, 2, 5), date(2008, 2, 13)),
        (date(2019, 4, 30), date(2019, 5, 6)),
        (date(2019, 9, 30), date(2019, 10, 8)),
        (date(2020, 1, 23), date(2020, 2, 3)),  # spring festival, prolonged by the pandemic
        (date(2026, 2, 13), date(2026, 2, 24)),
    ],
)
def test_holidays_are_skipped(before: date, after: date) -> None:
    assert KNOWN.next_day(before) == after
    assert KNOWN.previous_day(after) == before
    middle = before + (after - before) // 2
    assert not KNOWN.is_trading_day(middle)
    assert (KNOWN.previous_day(middle), KNOWN.next_day(middle)) == (before, after)


def test_beyond_its_data_the_calendar_counts_weekdays() -> None:
    assert KNOWN.is_trading_day(date(2100, 1, 1))  # a Friday
    assert KNOWN.next_day(date(2100, 1, 1)) == date(2100, 1, 4)
    assert KNOWN.previous_day(date(2100, 1, 4)) == date(2100, 1, 1)
    assert KNOWN.is_trading_day(date(1990, 1, 1))  # a Monday, before the exchange opened
    assert KNOWN.next_day(KNOWN.covered_until).weekday() < 5
    assert KNOWN.previous_day(KNOWN.next_day(KNOWN.covered_until)) == date(2026, 12, 31)


def test_a_list_may_speak_for_days_after_its_last_trading_day() -> None:
    """A year that ends in holidays: Monday, 31 December 2018."""
    days = KnownDays([date(2018, 12, 27), date(2018, 12, 28)], until=date(2018, 12, 31))
    assert not days.is_trading_day(date(2018, 12, 31))
    assert days.next_day(date(2018, 12, 28)) == date(2019, 1, 1)
    assert days.previous_day(date(2018, 12, 31)) == date(2018, 12, 28)
    assert days.covered_until == date(2018, 12, 31)


def test_refuses_a_list_without_days() -> None:
    with pytest.raises(WrongSetting, match="at least one trading day"):
        KnownDays([])


@settings(max_examples=300, deadline=None)
@given(
    day=st.dates(date(1990, 1, 1), date(2100, 12, 31)),
    calendar=st.sampled_from([KNOWN, EXTENDED, KnownDays([date(2019, 1, 2)])]),
)
def test_neighbours_of_any_day_are_its_neighbours(day: date, calendar: KnownDays) -> None:
    following, before = calendar.next_day(day), calendar.previous_day(day)
    assert before < day < following
    assert calendar.is_trading_day(before)
    assert calendar.is_trading_day(following)
    between = (before + DAY * n for n in range(1, (following - before).days))
    assert [each for each in between if calendar.is_trading_day(each)] == [day] * (
        calendar.is_trading_day(day)
    )


# ---- holidays beyond


def test_the_days_of_a_list_are_those_that_tqsdk_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = LIST_2027 + LIST_2028
    monkeypatch.setattr(tqsdk_calendar, "rest_days_df", None)
    monkeypatch.setattr(
        tqsdk_calendar,
        "requests",
        SimpleNamespace(get=lambda *_, **__: SimpleNamespace(json=lambda: listed)),
    )
    first, last = date(2027, 1, 1), date(2028, 12, 31)
    theirs = tqsdk_calendar._get_trading_calendar(first, last)
    expected = [stamp.date() for stamp in theirs.loc[theirs["trading"], "date"]]
    assert tqsdk_calendar.chinese_holidays_range == (first, last)
    days = (first + DAY * n for n in range((last - first).days + 1))
    assert [day for day in days if EXTENDED.is_trading_day(day)] == expected
    assert EXTENDED.covered_until == last


def test_a_list_moves_the_end_to_the_last_day_of_its_last_year() -> None:
    assert KNOWN.with_holidays(parse_holidays(LIST_2027)).covered_until == date(2027, 12, 31)
    assert EXTENDED.covered_until == date(2028, 12, 31)
    assert EXTENDED.previous_day(date(2027, 1, 4)) == date(2026, 12, 31)
    assert EXTENDED.next_day(date(2026, 12, 31)) == date(2027, 1, 4)
    assert EXTENDED.next_day(date(2028, 12, 28)) == date(2029, 1, 1)  # a weekday again


def test_a_list_never_contradicts_what_the_exchange_calendar_covers() -> None:
    wrong = [date(2026, 3, 2), date(2019, 3, 5)]  # trading days
    assert all(KNOWN.is_trading_day(day) for day in wrong)
    extended = KNOWN.with_holidays(wrong)
    assert all(extended.is_trading_day(day) for day in wrong)
    assert extended.covered_until == KNOWN.covered_until


def test_the_end_moves_over_no_year_without_a_holiday() -> None:
    """A slip of the pen, 2207 for 2027, must not silence the warning for 180 years."""
    skipping = KNOWN.with_holidays(parse_holidays(["2028-01-03"]))
    assert skipping.covered_until == date(2026, 12, 31)
    assert not skipping.is_trading_day(date(2028, 1, 3))
    slipped = KNOWN.with_holidays(parse_holidays([*LIST_2027, "2207-10-01"]))
    assert slipped.covered_until == date(2027, 12, 31)


def test_the_first_of_two_lists_has_the_last_word_on_its_years() -> None:
    ours = KNOWN.with_holidays(parse_holidays(LIST_2027))
    both = ours.with_holidays(parse_holidays(["2027-03-01", *LIST_2028]))
    assert both.is_trading_day(date(2027, 3, 1))
    assert not both.is_trading_day(date(2027, 5, 3))
    assert not both.is_trading_day(date(2028, 1, 26))
    assert both.covered_until == date(2028, 12, 31)


# ---- files


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(LIST_2027),
        json.dumps([*LIST_2027, "2027-02-06"], indent=1),  # weekends may be listed
        "\n".join(LIST_2027),
        "\ufeff# 2027\r\n\r\n" + "".join(f"  {day}  # 节假日\r\n" for day in LIST_2027),
    ],
    ids=["tqsdk", "json", "text", "windows"],
)
def test_reads_a_file_of_holidays(text: str, tmp_path: Path) -> None:
    path = tmp_path / "holidays.txt"
    path.write_bytes(text.encode("utf-8"))
    expected = {date(*map(int, day.split("-"))) for day in LIST_2027}
    assert read_holidays(path) == read_holidays(str(path)) == expected


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("2027-01-01\n# comment\n2027-02-30\n", "line 3 is '2027-02-30'"),
        ("2027-01-01\n20270503\n", "line 2 is '20270503'"),
        ("2027-01-01\n2027/5/3\n", "line 2 is '2027/5/3'"),
        ("2027-01-01, 2027-05-03\n", "line 1 is '2027-01-01, 2027-05-03'"),
        ('["2027-01-01", "2027-13-01"]', "entry 2 is '2027-13-01'"),
        ('["2027-01-01", 20270503]', "entry 2 is 20270503"),
        ('["2027-01-01",\n "2027-05-03"', "line 2 is no JSON"),
        ("2027-02-06\n", "no weekday"),
        ("# nothing yet\n", "no weekday"),
        ("", "no weekday"),
        ("[]", "no weekday"),
    ],
)
def test_a_bad_file_is_refused_by_the_place_and_the_remedy(
    text: str, place: str, tmp_path: Path
) -> None:
    path = tmp_path / "holidays.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadCalendarFile, match=r"^holidays.txt: .*one ISO date a line"):
        read_holidays(path)
    with pytest.raises(ConfigError) as caught:
        read_holidays(path)
    assert place in str(caught.value)


def test_a_file_in_another_encoding_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "holidays.txt"
    path.write_bytes("2027-01-01\n2027-05-03 # 劳动节\n".encode("gbk"))
    with pytest.raises(BadCalendarFile, match="line 2 is not UTF-8"):
        read_holidays(path)
    with pytest.raises(BadCalendarFile, match=r"no\.txt: cannot be read"):
        read_holidays(tmp_path / "no.txt")
    with pytest.raises(BadCalendarFile, match="cannot be read"):
        read_holidays(tmp_path)


def test_a_list_that_came_over_the_network_is_checked_as_well() -> None:
    assert parse_holidays(["2027-01-01"]) == {date(2027, 1, 1)}
    with pytest.raises(BadCalendarFile, match="shinny: entry 1 is 'no'"):
        parse_holidays(["no"], source="shinny")


# ---- the warning


@pytest.mark.parametrize(
    ("day", "warns"),
    [
        (date(2026, 11, 30), False),
        (date(2026, 12, 1), True),  # 30 days before the end
        (date(2026, 12, 31), True),
        (date(2027, 3, 1), True),
    ],
)
def test_warns_near_and_after_the_end_of_what_is_known(day: date, warns: bool) -> None:
    calendar = KnownDays([date(2026, 12, 30), date(2026, 12, 31)])
    text = warning_text(calendar, day)
    assert (text is not None) == warns
    if text is not None:
        assert all(
            part in text
            for part in (
                "2026-12-31",
                day.isoformat(),
                "weekdays",
                "exchange-calendars",
                "TIANQIN_HOLIDAYS",
                "TqStore(holidays=",
            )
        )


def test_a_list_of_later_holidays_silences_the_warning() -> None:
    assert warning_text(KNOWN, date(2027, 3, 1)) is not None
    assert warning_text(EXTENDED, date(2027, 3, 1)) is None
    assert warning_text(EXTENDED, date(2028, 12, 1)) is not None


# ---- nights


@pytest.mark.parametrize(
    ("eve", "night"),
    [
        (date(2018, 12, 28), False),  # ZCE's notice of 2018-12-24: none before Monday's holiday
        (date(2019, 12, 31), False),  # DCE's notice of 2019-12-25
        (date(2020, 1, 2), True),
        (date(2020, 1, 23), False),
        (date(2020, 2, 3), False),  # pandemic
        (date(2020, 4, 29), False),
        (date(2020, 5, 6), True),
        (date(2023, 9, 28), False),  # ZCE's notice of 2023-09
        (date(2023, 10, 9), True),
        (date(2023, 9, 22), True),  # a Friday
    ],
)
def test_evenings_with_a_night_session(eve: date, night: bool) -> None:
    assert has_night(eve, KNOWN.next_day(eve)) == night


def test_no_night_before_a_listed_holiday() -> None:
    assert has_night(date(2026, 12, 31), KNOWN.next_day(date(2026, 12, 31)))  # unknown: a weekday
    assert not has_night(date(2026, 12, 31), EXTENDED.next_day(date(2026, 12, 31)))
