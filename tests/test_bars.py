"""Bars from ticks against TqSdk's official bars, and each rule of theirs by hand."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.bars import BarBuilder
from tianqin_backtrader.calendar import KnownDays
from tianqin_backtrader.model import bar_from_kline, tick_from
from tianqin_backtrader.sessions import DAY_NS, Sessions
from tianqin_backtrader.values import Bar, Tick, TradingTime

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NAN = math.nan

COMMODITY_DAY = (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))
COPPER: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "25:00:00"),)}
INDEX: TradingTime = {"day": (("09:30:00", "11:30:00"), ("13:00:00", "15:00:00"))}
WEEKDAYS = KnownDays([date(2019, 1, 2)])


def ns(text: str) -> int:
    """Nanoseconds of a Beijing time; "09:31:00.4" alone is of 2021-01-05."""
    text = text if "-" in text else f"2021-01-05 {text}"
    whole, _, fraction = text.partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=BEIJING)
    return int(moment.timestamp()) * SECOND + int(fraction.ljust(9, "0") or 0)


def label(bar: Bar) -> str:
    return f"{datetime.fromtimestamp(bar.start_ns // SECOND, BEIJING):%H:%M}"


def ohlcv(bar: Bar) -> tuple[float, float, float, float, int]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


class Feed:
    """Hand-made ticks with consecutive ids."""

    def __init__(self, hours: TradingTime = COPPER, duration: int = MINUTE):
        self.builder = BarBuilder(Sessions(hours, WEEKDAYS), duration)
        self.id = 0

    def tick(
        self, time: str, price: float, volume: int, oi: int = 500, after_gap: bool = False
    ) -> list[Bar]:
        self.id += 1
        tick = Tick(self.id, ns(time), price, volume, volume * 10.0, oi, price - 1, price + 1, 3, 4)
        return self.builder.on_tick(tick, after_gap)

    def until(self, time: str) -> list[Bar]:
        return self.builder.close_until(ns(time))

    def after_monday_afternoon(self, close: float = 100.0, oi: int = 500) -> Feed:
        """Resume after 2021-01-04 14:59, so that Tuesday's night session of COPPER is next."""
        start = ns("2021-01-04 14:59:00")
        last = Bar(
            start, start + MINUTE, close, close, close, close, 7, NAN, oi, oi, date(2021, 1, 4)
        )
        self.builder.resume(last, cumulative_volume=9_000)
        return self


def rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def numbers(row: dict[str, str]) -> dict[str, float]:
    return {
        key: float(value or "nan") for key, value in row.items() if key.endswith(QUOTE_ENDINGS)
    } | {"datetime": int(row["datetime"])}


QUOTE_ENDINGS = ("price1", "volume1", "last_price", "volume", "amount", "open_interest")


def recorded_ticks(path: Path) -> list[Tick]:
    return [tick_from(int(row["id"]), numbers(row)) for row in rows(path)]


def ctp_ticks(path: Path) -> list[Tick]:
    """Whole days of an index future as CTP sent them."""
    return [
        Tick(
            id=number,
            time_ns=ns(row["dt"]),
            last_price=float(row["price"]),
            volume=int(row["total_volume"]),
            amount=float(row["total_turnover"]),
            open_interest=int(row["oi"]),
            bid_price=float(row["bid_price1"]),
            ask_price=float(row["ask_price1"]),
            bid_volume=int(row["bid_volume1"]),
            ask_volume=int(row["ask_volume1"]),
        )
        for number, row in enumerate(rows(path))
    ]


def run(builder: BarBuilder, ticks: Iterable[Tick]) -> list[Bar]:
    return [bar for tick in ticks for bar in builder.on_tick(tick)]


# ---- real records


def official_fields(row: dict[str, str]) -> tuple[float, ...]:
    names = ("datetime", "open", "high", "low", "close", "volume", "open_oi", "close_oi")
    return tuple(float(row[name]) for name in names)


def fields(bar: Bar) -> tuple[float, ...]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (bar.start_ns, *prices, bar.volume, bar.open_oi, bar.close_oi)


def test_ten_second_bars_equal_the_official_ones(records: Path) -> None:
    """The ticks of 2019-09-16 cover 14:01:33 to the end; official bars begin at 14:26:40."""
    ticks = recorded_ticks(records / "ticks/SHFE.cu1909.csv.gz")[200:]
    builder = BarBuilder(Sessions(COPPER, WEEKDAYS), 10 * SECOND)
    bars = [*run(builder, ticks), *builder.close_until(ns("2019-09-16 15:00:00"))]
    built = {bar.start_ns: fields(bar) for bar in bars if bar.complete}
    official = list(rows(records / "klines/10s/SHFE.cu1909.csv.gz"))[200:]
    assert [built[int(row["datetime"])] for row in official] == [
        official_fields(row) for row in official
    ]
    assert len(official) == 200
    assert bars[-1].start_ns == ns("2019-09-16 14:59:50")


def test_resumes_after_official_history_without_a_seam(records: Path) -> None:
    """The serial overlaps history: its older ticks only tell the running volume."""
    ticks = recorded_ticks(records / "ticks/SHFE.cu1909.csv.gz")[200:]
    official = list(rows(records / "klines/10s/SHFE.cu1909.csv.gz"))[200:]
    sessions = Sessions(COPPER, WEEKDAYS)
    for last in (0, 57, 120, 198):
        builder = BarBuilder(sessions, 10 * SECOND)
        row = {key: float(official[last][key]) for key in official[last] if key[0] in "ohlcv"}
        span = sessions.span_of_label(int(official[last]["datetime"]), 10 * SECOND)
        history = bar_from_kline(row | {"datetime": span.start_ns}, span.end_ns, span.trading_day)
        builder.resume(history)
        bars = [*run(builder, ticks), *builder.close_until(ns("2019-09-16 15:00:00"))]
        assert [fields(bar) for bar in bars] == [official_fields(r) for r in official[last + 1 :]]
        assert all(bar.complete for bar in bars)
        assert builder.late_ticks == 0


@pytest.mark.parametrize(("day", "total"), [("2021-01-04", 84_288), ("2021-01-05", 88_203)])
def test_a_whole_day_of_an_index_future(day: str, total: int, records: Path) -> None:
    """Auction tick at 09:29, ticks at 11:30:00.2, 15:00:00.4 and until 15:36: no phantom bar."""
    ticks = ctp_ticks(records / f"ticks/CFFEX.IF-{day}.csv.gz")
    builder = BarBuilder(Sessions(INDEX, WEEKDAYS), MINUTE)
    bars = [*run(builder, ticks), *builder.close_until(ns(f"{day} 16:00:00"))]
    labels = [label(bar) for bar in bars]
    assert len(labels) == len(set(labels)) == 240
    assert {"09:29", "11:30", "15:00"}.isdisjoint(labels)
    assert (labels[0], labels[119], labels[120], labels[-1]) == ("09:30", "11:29", "13:00", "14:59")
    assert sum(bar.volume for bar in bars) == total
    assert sum(bar.amount for bar in bars) == pytest.approx(ticks[-1].amount)
    assert bars[0].open == ticks[0].last_price
    assert bars[-1].close == ticks[-1].last_price
    assert builder.late_ticks == 0


@pytest.mark.parametrize("day", ["2021-01-04", "2021-01-05"])
def test_a_days_minutes_make_the_days_bar(day: str, records: Path) -> None:
    ticks = ctp_ticks(records / f"ticks/CFFEX.IF-{day}.csv.gz")
    builder = BarBuilder(Sessions(INDEX, WEEKDAYS), DAY_NS)
    assert run(builder, ticks) == []
    (bar,) = builder.close_until(ns(f"{day} 15:00:00"))
    highest, lowest = max(t.last_price for t in ticks), min(t.last_price for t in ticks)
    assert ohlcv(bar) == (
        ticks[0].last_price, highest, lowest, ticks[-1].last_price, ticks[-1].volume
    )  # fmt: skip


@pytest.mark.parametrize("day", ["2021-01-04"])
def test_closing_by_the_calendar_changes_no_bar(day: str, records: Path) -> None:
    """Closing each minute two seconds after its end, as live, or by the next tick: the same."""
    ticks = ctp_ticks(records / f"ticks/CFFEX.IF-{day}.csv.gz")
    by_tick = BarBuilder(Sessions(INDEX, WEEKDAYS), MINUTE)
    by_time = BarBuilder(Sessions(INDEX, WEEKDAYS), MINUTE)
    expected = [*run(by_tick, ticks), *by_tick.close_until(ns(f"{day} 16:00:00"))]
    bars: list[Bar] = []
    for tick in ticks:
        bars += by_time.close_until(tick.time_ns - 2 * SECOND)
        bars += by_time.on_tick(tick)
    assert bars == expected
    assert by_time.late_ticks == 2  # the unchanged pictures after 15:30


LIVE_HOUR = ["SHFE.rb2010", "CFFEX.IF2009", "DCE.m2101", "CZCE.SR101"]


@pytest.mark.parametrize("symbol", LIVE_HOUR)
def test_a_live_hour_of_quotes(symbol: str, records: Path) -> None:
    """13:37:10 to 14:37:10 of 2020-08-21: every minute once, no lot lost."""
    quotes = list(rows(records / f"quotes-2020-08-21/{symbol}.csv.gz"))
    ticks = [
        tick_from(number, numbers(row | {"datetime": row["quote_nano_time"]}))
        for number, row in enumerate(quotes)
    ]
    builder = BarBuilder(Sessions(INDEX if symbol[:5] == "CFFEX" else COPPER, WEEKDAYS), MINUTE)
    bars = [*run(builder, ticks), *builder.close_until(ns("2020-08-21 14:38:00"))]
    start = ns("2020-08-21 13:37:00")
    assert [bar.start_ns for bar in bars] == [start + n * MINUTE for n in range(61)]
    assert sum(bar.volume for bar in bars) == ticks[-1].volume - ticks[0].volume
    assert [bar.complete for bar in bars] == [False] + [True] * 60  # the first began before us
    assert all(a.close == b.open for a, b in pairwise(bars))


# ---- the rules by hand


def test_a_tick_exactly_on_the_minute_closes_it() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:30", 101, 5)
    assert feed.tick("2021-01-04 21:01:00", 102, 6) == []
    (bar,) = feed.tick("2021-01-04 21:01:00.000001", 103, 8)
    assert ohlcv(bar) == (101, 102, 101, 102, 6)
    (bar,) = feed.until("2021-01-04 21:02:00")
    assert ohlcv(bar) == (102, 103, 102, 103, 2)


def test_the_auction_lands_in_the_first_bar_of_the_day() -> None:
    feed = Feed().after_monday_afternoon(close=100)
    assert feed.tick("2021-01-04 20:59:00.5", 105, 40) == []
    assert feed.tick("2021-01-04 21:00:01", 104, 45) == []
    (bar,) = feed.until("2021-01-04 21:01:00")
    assert label(bar) == "21:00"
    assert ohlcv(bar) == (105, 105, 104, 104, 45)
    assert bar.trading_day == date(2021, 1, 5)


def test_flat_at_the_carried_price_until_the_days_first_trade() -> None:
    """SHFE.cu1905, 2019-05-10 21:28: carried 47760, first trade at 47710."""
    feed = Feed().after_monday_afternoon(close=47760, oi=17680)
    feed.tick("2021-01-04 21:00:30", 47700, 0, oi=17680)  # a price, but nothing traded yet
    bars = feed.tick("2021-01-04 21:28:10", 47710, 5, oi=17675)
    assert [ohlcv(bar) for bar in bars] == [(47760, 47760, 47760, 47760, 0)] * 28
    (bar,) = feed.until("2021-01-04 21:29:00")
    assert ohlcv(bar) == (47710, 47710, 47710, 47710, 5)
    assert (bar.open_oi, bar.close_oi) == (17680, 17675)


def test_a_stretch_opens_at_its_own_first_tick() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("10:14:30", 100, 50)
    feed.tick("10:30:00.5", 110, 52)
    (bar,) = feed.until("10:31:00")
    assert ohlcv(bar) == (110, 110, 110, 110, 2)


def test_an_untraded_first_minute_carries_its_price_on() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("10:14:30", 100, 50)
    first, second = feed.until("10:31:00")
    assert (label(first), label(second)) == ("10:14", "10:30")
    assert ohlcv(second) == (100, 100, 100, 100, 0)
    feed.tick("10:31:30", 110, 52)
    (third,) = feed.until("10:32:00")
    assert ohlcv(third) == (100, 110, 100, 110, 2)


def test_untraded_minutes_are_flat() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:30", 100, 5)
    bars = feed.tick("2021-01-04 21:03:30", 101, 6)
    assert [label(bar) for bar in bars] == ["21:00", "21:01", "21:02"]
    assert ohlcv(bars[2]) == (100, 100, 100, 100, 0)


def test_a_sessions_last_bar_needs_no_further_tick() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("14:58:30", 100, 5)
    assert [label(bar) for bar in feed.until("15:00:00")] == ["14:58", "14:59"]
    assert feed.until("20:59:59") == []  # nothing is made up outside the sessions
    assert feed.until("21:00:59.999") == []
    assert [label(bar) for bar in feed.until("21:01:00")] == ["21:00"]


def test_fridays_night_and_monday_are_one_day() -> None:
    feed = Feed(duration=DAY_NS)
    friday = Bar(
        ns("2021-01-08 00:00:00"), ns("2021-01-08 15:00:00"), 1, 1, 1, 100, 9, NAN, 1, 500,
        date(2021, 1, 8),
    )  # fmt: skip
    feed.builder.resume(friday, cumulative_volume=9)
    feed.tick("2021-01-08 20:59:00", 103, 10)
    feed.tick("2021-01-09 00:59:00", 99, 30)
    feed.tick("2021-01-11 14:59:00", 101, 80)
    (bar,) = feed.until("2021-01-11 15:00:00")
    assert bar.trading_day == date(2021, 1, 11)
    assert ohlcv(bar) == (103, 103, 99, 101, 80)
    assert bar.open_oi == 500


def test_an_hour_holds_both_sides_of_a_break() -> None:
    feed = Feed(duration=HOUR).after_monday_afternoon()
    feed.tick("10:14:30", 100, 50)
    feed.tick("10:45:00", 110, 60)
    bars = feed.until("11:00:00")
    assert label(bars[-1]) == "10:00"
    assert ohlcv(bars[-1]) == (100, 110, 100, 110, 60)


def test_volume_starts_again_with_the_trading_day() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("14:59:30", 100, 9_000)
    closed = feed.tick("21:00:30", 101, 40)
    assert closed[-1].volume == 9_000
    (bar,) = feed.until("21:01:00")
    assert (bar.volume, bar.amount) == (40, 400.0)


def test_a_late_tick_counts_for_the_next_bar() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:30", 100, 5)
    feed.until("2021-01-04 21:01:00")
    feed.tick("2021-01-04 21:00:59.9", 103, 9)
    (bar,) = feed.until("2021-01-04 21:02:00")
    assert ohlcv(bar) == (100, 103, 100, 103, 4)
    assert feed.builder.late_ticks == 1


def test_a_late_picture_of_the_past_moves_no_price() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:30", 100, 5)
    feed.until("2021-01-04 21:01:00")
    feed.tick("2021-01-04 21:01:05", 101, 7)
    feed.tick("2021-01-04 21:00:20", 90, 4)
    (bar,) = feed.until("2021-01-04 21:02:00")
    assert ohlcv(bar) == (100, 101, 100, 101, 2)


def test_a_late_tick_before_a_break_brings_volume_but_no_price() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("10:14:30", 100, 50)
    feed.until("10:15:00")
    feed.tick("10:15:00.4", 103, 53)
    feed.tick("10:30:01", 110, 55)
    (bar,) = feed.until("10:31:00")
    assert ohlcv(bar) == (110, 110, 110, 110, 5)


def test_a_late_tick_of_yesterday_stays_out_of_today() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("14:59:30", 100, 50)
    feed.until("15:00:00")
    feed.tick("15:35:00", 100, 50)
    feed.tick("21:00:30", 101, 4)
    (bar,) = feed.until("21:01:00")
    assert ohlcv(bar) == (101, 101, 101, 101, 4)
    assert feed.builder.late_ticks == 1


def test_repeated_and_older_ids_are_ignored() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:30", 100, 5)
    feed.id = 0
    assert feed.tick("2021-01-04 21:05:30", 109, 99) == []
    (bar,) = feed.until("2021-01-04 21:01:00")
    assert ohlcv(bar) == (100, 100, 100, 100, 5)


def test_a_tick_without_a_price_changes_none() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:10", NAN, 0)
    feed.tick("2021-01-04 21:00:20", 101, 5)
    feed.tick("2021-01-04 21:00:30", NAN, 5)
    (bar,) = feed.until("2021-01-04 21:01:00")
    assert ohlcv(bar) == (101, 101, 101, 101, 5)


def test_a_hole_makes_nothing_up() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:30", 100, 5)
    (dropped,) = feed.tick("2021-01-04 21:05:30", 109, 99, after_gap=True)
    assert (label(dropped), dropped.complete) == ("21:00", False)
    doubtful, whole = feed.until("2021-01-04 21:07:00")
    assert (label(doubtful), doubtful.complete) == ("21:05", False)
    assert (label(whole), whole.complete) == ("21:06", True)
    feed.tick("2021-01-04 21:07:30", 108, 102)
    (bar,) = feed.until("2021-01-04 21:08:00")
    assert ohlcv(bar) == (109, 109, 108, 108, 3)


def test_a_hole_inside_one_bar_makes_that_bar_doubtful() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:10", 100, 5)
    assert feed.tick("2021-01-04 21:00:50", 101, 9, after_gap=True) == []
    bars = feed.until("2021-01-04 21:02:00")
    assert [bar.complete for bar in bars] == [False, True]


@pytest.mark.parametrize(("total", "complete"), [(None, False), (40, True)])
def test_history_without_its_running_volume_leaves_one_doubtful_bar(
    total: int | None, complete: bool
) -> None:
    start = ns("2021-01-04 21:00:00")
    last = Bar(start, start + MINUTE, 1, 1, 1, 100, 7, NAN, 1, 1, date(2021, 1, 5))
    feed = Feed()
    feed.builder.resume(last, total)
    feed.tick("2021-01-04 21:01:10", 100, 45)
    feed.tick("2021-01-04 21:01:20", 100, 46)
    (first,) = feed.tick("2021-01-04 21:02:10", 101, 48)
    (second,) = feed.until("2021-01-04 21:03:00")
    assert (first.complete, first.volume) == (complete, 6 if complete else 1)
    assert (second.complete, second.volume) == (True, 2)


def test_a_serial_too_short_to_reach_history_leaves_a_doubtful_day() -> None:
    """The day's running volume is whole, but its open, high and low may have been missed."""
    friday = Bar(
        ns("2021-01-08 00:00:00"), ns("2021-01-08 15:00:00"), 1, 1, 1, 100, 9, NAN, 1, 500,
        date(2021, 1, 8),
    )  # fmt: skip
    for oldest, complete in (("2021-01-08 14:59:50", True), ("2021-01-11 10:00:00", False)):
        feed = Feed(duration=DAY_NS)
        feed.builder.resume(friday)
        feed.tick(oldest, 100, 9)
        feed.tick("2021-01-11 14:00:00", 101, 80)
        (bar,) = feed.until("2021-01-11 15:00:00")
        assert (bar.complete, bar.volume) == (complete, 80)


def test_a_hole_before_ticks_that_history_holds_does_no_harm() -> None:
    start = ns("2021-01-04 21:00:00")
    last = Bar(start, start + MINUTE, 1, 1, 1, 100, 7, NAN, 1, 1, date(2021, 1, 5))
    feed = Feed()
    feed.builder.resume(last)
    feed.tick("2021-01-04 21:00:50", 100, 40, after_gap=True)
    feed.tick("2021-01-04 21:01:10", 101, 45)
    (bar,) = feed.until("2021-01-04 21:02:00")
    assert bar.complete
    assert ohlcv(bar) == (100, 101, 100, 101, 5)


def test_bars_carry_the_last_quotes_and_their_money() -> None:
    feed = Feed().after_monday_afternoon()
    feed.tick("2021-01-04 21:00:10", 100, 5)
    feed.tick("2021-01-04 21:00:50", 101, 9)
    first, untraded = feed.until("2021-01-04 21:02:00")
    assert (first.bid_price, first.ask_price, first.bid_volume, first.ask_volume) == (
        100,
        102,
        3,
        4,
    )
    assert (first.amount, untraded.amount) == (90.0, 0.0)
    assert untraded.bid_price == 100


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.integers(-3, 3)), max_size=60
    )
)
def test_bars_keep_their_invariants_whatever_trades(steps: list[tuple[int, int, int]]) -> None:
    """Labels increase without a hole, volumes sum, closes carry, highs and lows contain."""
    feed = Feed().after_monday_afternoon()
    time_ns, volume, price, bars = ns("2021-01-04 20:59:00"), 0, 100, []
    sessions = Sessions(COPPER, WEEKDAYS)
    for number, (seconds, lots, move) in enumerate(steps):
        time_ns, volume = time_ns + seconds * SECOND, volume + lots
        price += move if lots else 0
        bars += feed.builder.on_tick(
            Tick(number, time_ns, price, volume, NAN, 500, price, price, 1, 1)
        )
    bars += feed.builder.close_until(ns("15:00:00"))
    minutes = [
        t for s in sessions.stretches(date(2021, 1, 5)) for t in range(s.start_ns, s.end_ns, MINUTE)
    ]
    assert [bar.start_ns for bar in bars] == minutes
    assert sum(bar.volume for bar in bars) == volume
    assert all(
        bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars
    )
    assert all(bar.complete for bar in bars)
