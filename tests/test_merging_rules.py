"""Each rule of merging minutes into long bars by hand, and random markets against their truth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.calendar import KnownDays
from tianqin_backtrader.errors import WrongSetting
from tianqin_backtrader.merging import BarMerger
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.values import Bar, TradingTime

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NAN = math.nan

COMMODITY_DAY = (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))
COPPER: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "25:00:00"),)}
MEAL: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "23:00:00"),)}
EGGS: TradingTime = {"day": COMMODITY_DAY, "night": ()}
WEEKDAYS = KnownDays([date(2019, 1, 2)])


def ns(text: str) -> int:
    """Nanoseconds of a Beijing time; "09:31" alone is of 2021-01-05, a Tuesday."""
    moment = datetime.fromisoformat(text if "-" in text else f"2021-01-05 {text}")
    return int(moment.replace(tzinfo=BEIJING).timestamp()) * SECOND


def clock(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // SECOND, BEIJING):%H:%M}"


def fields(bar: Bar) -> tuple[float, ...]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (bar.start_ns, *prices, bar.volume, bar.open_oi, bar.close_oi)


def merge(merger: BarMerger, minutes: Iterable[Bar]) -> list[Bar]:
    return [bar for minute in minutes for bar in merger.add(minute)]


def minute(
    start: str, price: float, volume: int = 1, *, to: float | None = None, **more: Any
) -> Bar:
    """A minute that goes from `price` to `to`; times alone are of Tuesday, 2021-01-05."""
    begin, last = ns(start), price if to is None else to
    day = date(2021, 1, 5)
    bar = Bar(begin, begin + MINUTE, price, max(price, last), min(price, last), last, volume,
              volume * 10.0, 500, 500 + volume, day)  # fmt: skip
    return replace(bar, **more)


def run_of(first: str, until: str, price: float = 100, volume: int = 1) -> list[Bar]:
    """All minutes of COPPER from one to another, traded at one price."""
    sessions = Sessions(COPPER, WEEKDAYS)
    day = sessions.trading_day_of(ns(first))
    starts = (t for s in sessions.stretches(day) for t in range(s.start_ns, s.end_ns, MINUTE))
    chosen = (t for t in starts if ns(first) <= t < ns(until))
    return [replace(minute("09:00", price, volume), start_ns=t, end_ns=t + MINUTE) for t in chosen]


def merger(duration: int = HOUR, hours: TradingTime = COPPER) -> BarMerger:
    return BarMerger(Sessions(hours, WEEKDAYS), duration)


NIGHT = "2021-01-04 21:00"


def quiet_until(until: str) -> list[Bar]:
    """The night and morning without a trade."""
    return run_of(NIGHT, until, 100, 0)


@pytest.mark.parametrize(
    ("duration", "label", "last"),
    [
        (5 * MINUTE, "10:10", "10:14"),
        (15 * MINUTE, "11:15", "11:29"),
        (HOUR, "10:00", "10:59"),  # both sides of the break
        (HOUR, "11:00", "11:29"),
        (HOUR, "13:00", "13:59"),
        (2 * HOUR, "00:00", "00:59"),
        (2 * HOUR, "14:00", "14:59"),
        (4 * HOUR, "08:00", "11:29"),
        (4 * HOUR, "20:00", "23:59"),
        (DAY, "00:00", "14:59"),
    ],
)
def test_a_bar_leaves_with_its_last_minute(duration: int, label: str, last: str) -> None:
    merging, leaving = merger(duration), []
    for each in run_of(NIGHT, "15:00"):
        leaving += [(clock(bar.start_ns), clock(each.start_ns)) for bar in merging.add(each)]
    assert (label, last) in leaving
    assert merging.partial is None
    assert merging.span is None


def test_a_bar_that_lost_its_end_leaves_before_the_next() -> None:
    merging = merger(5 * MINUTE)
    assert merge(merging, run_of("10:10", "10:13")) == []
    (cut,) = merging.add(minute("10:31", 105))
    assert (clock(cut.start_ns), cut.volume, cut.complete) == ("10:10", 3, False)
    cut, whole = merge(merging, [minute("10:33", 106), *run_of("10:35", "10:40")])
    assert (clock(cut.start_ns), cut.volume, cut.complete) == ("10:30", 2, False)
    assert (clock(whole.start_ns), whole.volume, whole.complete) == ("10:35", 5, True)


def test_one_minute_may_close_two_bars() -> None:
    merging = merger(7 * MINUTE)  # 14:56 to 15:03
    merge(merging, run_of("14:49", "14:52"))
    closed = merging.add(minute("14:59", 101))
    assert [(clock(bar.start_ns), bar.volume, bar.complete) for bar in closed] == [
        ("14:49", 3, False), ("14:56", 1, False),
    ]  # fmt: skip


def test_leading_untraded_minutes_of_the_day_do_not_count() -> None:
    """Rule 3, SHFE.cu1905 2019-05-10 21:28: carried 47760, first trade at 47710."""
    merging = merger()
    merge(merging, run_of(NIGHT, "2021-01-04 21:28", 47_760, 0))
    assert merging.partial is not None
    assert fields(merging.partial)[1:6] == (47_760, 47_760, 47_760, 47_760, 0)
    merge(merging, [minute("2021-01-04 21:28", 47_710, 5, to=47_700)])
    assert merging.partial is not None
    assert fields(merging.partial)[1:6] == (47_710, 47_710, 47_700, 47_700, 5)
    assert merging.partial.open_oi == 500
    assert merging.partial.complete


@pytest.mark.parametrize("first", [NIGHT, "2021-01-04 21:28", "2021-01-05 00:59"])
def test_untraded_minutes_after_the_days_first_trade_count(first: str) -> None:
    traded = minute(first, 100)
    day = [traded if each.start_ns == traded.start_ns else each for each in quiet_until("10:15")]
    merging = merger()
    assert all(bar.complete for bar in merge(merging, [*day, minute("10:30", 110)]))
    assert merging.partial is not None
    assert fields(merging.partial)[1:6] == (100, 110, 100, 110, 1)
    assert merging.partial.complete


def test_an_untraded_night_and_morning_do_not_count_after_the_break() -> None:
    merging = merger()
    flat = merge(merging, [*quiet_until("10:15"), minute("10:30", 110)])
    assert {fields(bar)[1:6] for bar in flat} == {(100, 100, 100, 100, 0)}
    assert merging.partial is not None
    assert fields(merging.partial)[1:6] == (110, 110, 110, 110, 1)
    assert merging.partial.complete


@pytest.mark.parametrize(
    ("second", "low", "complete"),
    [
        (minute("10:05", 110), 110, True),  # it jumps inside a stretch: the day's first trade
        (minute("10:05", 100, to=110), 100, True),  # it does not: nothing to drop
        (minute("10:30", 110), 100, False),  # it opens a stretch: none can tell
        (minute("10:30", 100, to=110), 100, True),  # none needs to
    ],
)
def test_merging_that_begins_inside_a_day(second: Bar, low: float, complete: bool) -> None:
    merging = merger()
    merge(merging, [*run_of("10:00", clock(min(second.start_ns, ns("10:15"))), 100, 0), second])
    assert merging.partial is not None
    assert (merging.partial.low, merging.partial.complete) == (low, complete)


@pytest.mark.parametrize("until", ["09:21", "10:00"])
def test_a_trade_may_lie_in_a_hole(until: str) -> None:
    """The night is known not to have traded, some of the morning is not: is 10:30 the first?"""
    since = "09:20" if until < "10:00" else "09:00"
    day = [m for m in quiet_until("10:15") if not ns(since) <= m.start_ns < ns(until)]
    merging = merger()
    merge(merging, [*day, minute("10:30", 110)])
    assert merging.partial is not None
    assert (merging.partial.low, merging.partial.complete) == (100, False)


def test_a_doubtful_minute_makes_a_doubtful_bar() -> None:
    minutes = run_of("10:30", "11:30")
    minutes[7] = replace(minutes[7], complete=False)
    bars = merge(merger(5 * MINUTE), minutes)
    assert [clock(bar.start_ns) for bar in bars if not bar.complete] == ["10:35"]


def test_money_sums_and_quotes_are_the_last_minutes() -> None:
    quotes = {"bid_price": 99.0, "ask_price": 101.0, "bid_volume": 3, "ask_volume": 4}
    (bar,) = merge(merger(2 * MINUTE), [minute("10:00", 100, 5), minute("10:01", 100, 7, **quotes)])
    assert (bar.amount, bar.bid_price, bar.ask_price, bar.bid_volume, bar.ask_volume) == (
        120.0, 99.0, 101.0, 3, 4,
    )  # fmt: skip
    (bar,) = merge(merger(2 * MINUTE), [minute("10:00", 100, amount=NAN), minute("10:01", 100)])
    assert math.isnan(bar.amount)


@pytest.mark.parametrize(
    ("second", "complete"),
    [
        (minute("10:05", 100, to=99), True),
        (minute("10:05", 100, 0, to=99), True),  # a price without a trade
        (minute("10:30", 100, to=99), True),  # no carried price: no day has traded
        (minute("10:07", 100, to=99), False),
    ],
)
def test_a_contract_without_any_price_yet_has_none(second: Bar, complete: bool) -> None:
    merging = merger()
    nothing = [
        replace(each, open=NAN, high=NAN, low=NAN, close=NAN)
        for each in run_of("10:00", "10:15" if second.start_ns > ns("10:15") else "10:05", 0, 0)
    ]
    merge(merging, [*nothing, second])
    assert merging.partial is not None
    assert fields(merging.partial)[1:5] == (100, 100, 99, 99)
    assert merging.partial.complete == complete


@pytest.mark.parametrize("until", ["10:08", "10:10"])
def test_minutes_that_come_again_change_nothing(until: str) -> None:
    merging = merger(5 * MINUTE)
    merge(merging, run_of("10:00", until))
    before = merging.partial
    assert merge(merging, run_of("09:58", until)) == []
    assert merging.partial == before


def test_clear_starts_anew() -> None:
    merging = merger(5 * MINUTE)
    merge(merging, run_of("10:00", "10:08"))
    merging.clear()
    assert (merging.partial, merging.span) == (None, None)
    (bar,) = merge(merging, run_of("10:05", "10:10"))
    assert (clock(bar.start_ns), bar.volume, bar.complete) == ("10:05", 5, True)


def test_minutes_of_older_hours_keep_the_floor_of_their_clock() -> None:
    """Nights of DCE once ended at 23:30, after the 23:00 of `trading_time` today."""
    merging = merger(5 * MINUTE, MEAL)
    minutes = [
        minute(f"2021-01-04 {h}:{m:02}", 100) for h, m in [(22, 59), (23, 0), (23, 4), (23, 5)]
    ]
    bars = merge(merging, minutes)
    assert [(clock(bar.start_ns), bar.complete) for bar in bars] == [
        ("22:55", False),
        ("23:00", False),
    ]


@pytest.mark.parametrize("duration", [0, -MINUTE, SECOND // 2, 5 * HOUR, 2 * DAY])
def test_refuses_durations_without_a_rule(duration: int) -> None:
    with pytest.raises(WrongSetting, match=str(duration)):
        merger(duration)


# ---- random markets

SHORT: TradingTime = {
    "day": (("09:00:00", "09:10:00"), ("09:20:00", "09:25:00"), ("10:10:00", "10:14:00")),
    "night": (("21:00:00", "21:06:00"),),
}
DAYS = (date(2021, 1, 7), date(2021, 1, 8), date(2021, 1, 11))  # a weekend after two
OPENINGS = {time for part in SHORT.values() for time, _ in part}
Move = tuple[int, int, int]


def slots() -> list[tuple[int, date]]:
    """All minutes of SHORT in the three days, each night on the evening before its day."""
    found = []
    for day in DAYS:
        eve = day - timedelta(days=3 if day.weekday() == 0 else 1)
        parts = [(eve, part) for part in SHORT["night"]] + [(day, part) for part in SHORT["day"]]
        for when, (start, end) in parts:
            for time_ns in range(ns(f"{when} {start}"), ns(f"{when} {end}"), MINUTE):
                found.append((time_ns, day))
    return found


def market(moves: list[Move], quiet: list[tuple[int, int]]) -> list[Bar]:
    """Minutes by rules 2 to 5. A move: lots, what the open jumps if it may, and the close moves.

    quiet: the first minute without a trade, and the first after them, of each day.
    """
    minutes, close, oi, traded = [], 100, 500, False
    for number, ((start, day), (lots, jump, move)) in enumerate(zip(slots(), moves, strict=True)):
        of_day = number % 25
        traded = traded and of_day > 0
        since, until = quiet[number // 25]
        lots = 0 if since <= of_day < until else lots  # noqa: PLW2901
        is_fresh = not traded or f"{clock(start)}:00" in OPENINGS
        opening = close + (jump if lots and is_fresh else 0)
        last, before = opening + (move if lots else 0), oi
        close, oi, traded = last, oi + lots, traded or lots > 0
        prices = opening, max(opening, last) + lots % 2, min(opening, last), last
        minutes.append(Bar(start, start + MINUTE, *prices, lots, lots * 10.0, before, oi, day))
    return minutes


def key_of(minute: Bar, duration: int) -> int:
    floor = minute.start_ns // duration * duration
    return ns(f"{minute.trading_day} 00:00") if duration == DAY else floor


def naive(minutes: list[Bar], skipped: int) -> tuple[float, ...]:
    """The long bar of some minutes, the first ones skipped in open, high and low."""
    priced, last = minutes[skipped:], minutes[-1]
    high, low = max(m.high for m in priced), min(m.low for m in priced)
    lots = sum(m.volume for m in minutes)
    return priced[0].open, high, low, last.close, lots, minutes[0].open_oi, last.close_oi


def untraded(minutes: list[Bar]) -> int:
    """How many minutes come before the first one that trades; none where none does."""
    return next((number for number, m in enumerate(minutes) if m.volume), 0)


@settings(max_examples=150, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from((0, 0, 0, 1, 2)), st.integers(-3, 3), st.integers(-2, 2)),
        min_size=75,
        max_size=75,
    ),
    quiet=st.lists(
        st.tuples(st.sampled_from((0, 1, 6, 12)), st.integers(0, 25)), min_size=3, max_size=3
    ),
    begin=st.integers(0, 74),
    holes=st.sets(st.integers(0, 74), max_size=3),
    doubtful=st.sets(st.integers(0, 74), max_size=1),
    length=st.sampled_from((2, 3, 4, 5, 7, 15, 30, 60, 120, 240, 24 * 60)),
)
def test_a_complete_bar_is_the_markets_whatever_was_missed(
    moves: list[Move],
    quiet: list[tuple[int, int]],
    begin: int,
    holes: set[int],
    doubtful: set[int],
    length: int,
) -> None:
    """Checks each bar and each partial one against all minutes of the market, the missed included.

    Lots are conserved, each minute is in exactly one bar, and each bar leaves with its last minute.
    """
    duration, everything = length * MINUTE, market(moves, quiet)
    merging = merger(duration, SHORT)
    seen: dict[int, list[Bar]] = {}
    left: list[Bar] = []
    given_minutes = [
        replace(each, complete=number not in doubtful)
        for number, each in enumerate(everything)
        if number >= begin and number not in holes
    ]
    certain = {each.start_ns for each in given_minutes if each.complete}
    for each in given_minutes:
        key = key_of(each, duration)
        leaving = merging.add(each)
        seen.setdefault(key, []).append(each)
        left += leaving
        standing = [merging.partial] if merging.partial else leaving[-1:]
        assert standing[0].start_ns == key
        for bar in (*leaving, *standing):
            check(bar, seen[bar.start_ns], everything, duration, each.start_ns)
            today = [m for m in everything if m.trading_day == bar.trading_day]
            if all(m.start_ns in certain for m in today if m.start_ns <= each.start_ns):
                assert bar.complete
        whole = [m for m in everything if key_of(m, duration) == key]
        assert standing[0].end_ns == whole[-1].end_ns
        assert (merging.partial is None) == (each.end_ns == whole[-1].end_ns)
    left += [merging.partial] if merging.partial else []
    assert [bar.start_ns for bar in left] == list(seen)
    assert sum(bar.volume for bar in left) == sum(each.volume for each in given_minutes)


def check(bar: Bar, seen: list[Bar], everything: list[Bar], duration: int, until: int) -> None:
    """A bar against the minutes that came, and if it is complete against all of the market's."""
    own = [m for m in everything if key_of(m, duration) == bar.start_ns and m.start_ns <= until]
    built, as_seen = fields(bar)[1:], (naive(seen, 0), naive(seen, untraded(seen)))
    if bar.complete:
        assert [m.start_ns for m in seen] == [m.start_ns for m in own]
        assert all(m.complete for m in seen)
        of_day = [m for m in everything if m.trading_day == bar.trading_day]
        had_traded = any(m.volume for m in of_day if m.start_ns < own[0].start_ns)
        assert built == naive(own, 0 if had_traded else untraded(own))
    else:
        assert built in as_seen
    if not bar.complete and len(seen) == len(own) and all(m.complete for m in seen):
        # nothing is missing: no price told whether the day had traded before, and it matters
        assert as_seen[0] != as_seen[1]
