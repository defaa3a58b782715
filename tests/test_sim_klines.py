"""The official klines that the embedded exchange makes, against the real ones, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.sim.calendar import MarketCalendar
from tianqin_backtrader.sim.instruments import Instruments
from tianqin_backtrader.sim.klines import KlineBuilder, day_labels, floor_label
from tianqin_backtrader.sim.listing import Listing
from tianqin_backtrader.sim.market import Market
from tianqin_backtrader.sim.values import DAY_NS, MINUTE_NS, SECOND_NS, KlineRow, MarketTick

FIELDS = ["datetime", "open", "high", "low", "close", "volume", "open_oi", "close_oi"]
# a Friday night and a holiday within each: 2019-05-01..05, 06-07 (no index futures at night), 10-01
SPANS = {
    "SHFE.cu1905": ("2019-04-29", "2019-05-14"),
    "DCE.jd1909": ("2019-06-05", "2019-06-12"),
    "CFFEX.IF1908": ("2019-06-24", "2019-06-28"),
    "DCE.m2005": ("2019-09-27", "2019-10-23"),
}


def days(market: Market) -> Iterable[date]:
    day: date | None = market.calendar.trading_day_of(market.start_ns)
    while day is not None:
        yield day
        day = market.next_day(day)


def grown(market: Market, symbol: str, duration_ns: int) -> list[KlineRow]:
    """The whole series, tick by tick."""
    contract = market.contract(symbol)
    assert contract is not None
    skips = not market._source.bar_duration(symbol)
    builder = KlineBuilder(contract, duration_ns, market.calendar, skips_unseen=skips)
    rows: dict[int, KlineRow] = {}
    for day in days(market):
        for tick in market.day_ticks(symbol, day):
            rows |= {row.id: row for row in builder.on_tick(tick)}
    assert list(rows) == list(range(len(rows)))
    return list(rows.values())


def as_frame(rows: Iterable[KlineRow]) -> pd.DataFrame:
    frame: pd.DataFrame = pd.DataFrame([astuple(row)[1:] for row in rows], columns=FIELDS)
    return frame


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), expected[FIELDS].reset_index(drop=True), check_dtype=False
    )


def recorded(records: Path, symbol: str, tmp_path: Path) -> tuple[pd.DataFrame, Path]:
    frame = pd.read_csv(records / "klines/60s" / f"{symbol}.csv.gz")
    first, last = SPANS[symbol]
    frame = frame[frame["trading_day"].between(first, last)]
    path = tmp_path / f"{symbol}.csv"
    frame.to_csv(path, index=False)
    return frame, path


@pytest.mark.parametrize("symbol", SPANS)
@pytest.mark.parametrize("ticks_per_minute", [1, 4, 12])
def test_recorded_minutes_come_back_exactly(
    records: Path, tmp_path: Path, symbol: str, ticks_per_minute: int
) -> None:
    frame, path = recorded(records, symbol, tmp_path)
    market = Market.replaying([path], ticks_per_minute=ticks_per_minute)
    assert_same(as_frame(grown(market, symbol, MINUTE_NS)), frame)


@pytest.mark.parametrize("symbol", SPANS)
@pytest.mark.parametrize("minutes", [4, 7, 60, 180, 288, 720])
def test_longer_bars_take_the_floor_of_the_utc_clock(
    records: Path, tmp_path: Path, symbol: str, minutes: int
) -> None:
    """Of 7 minutes and 3 hours Beijing's clock has other floors: 08:00 there is 00:00 UTC."""
    (frame, path), duration_ns = recorded(records, symbol, tmp_path), minutes * MINUTE_NS
    expected = joined(frame, duration_ns)
    first = joined(first_trades(frame), duration_ns)
    expected.loc[first.index, ["open", "high", "low"]] = first[["open", "high", "low"]]
    market = Market.replaying([path])
    assert_same(as_frame(grown(market, symbol, duration_ns)), expected)
    *_, last = days(market)  # and all days before it as history, made at once
    history = market.klines_before(symbol, duration_ns, market.calendar.begins_ns(last), 10_000)
    before = joined(frame[frame["trading_day"] < last.isoformat()], duration_ns)
    assert_same(as_frame(history), expected.loc[before.index])


def joined(frame: pd.DataFrame, duration_ns: int) -> pd.DataFrame:
    """Longer bars of shorter ones, by pandas."""
    label = frame["datetime"] // duration_ns * duration_ns
    rule = {
        "open": "first", "high": "max", "low": "min", "close": "last",
        "volume": "sum", "open_oi": "first", "close_oi": "last",
    }  # fmt: skip
    bars: pd.DataFrame = frame.groupby(label).agg(rule)
    bars["datetime"] = bars.index
    return bars


def first_trades(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the minutes before each trading day's first trade."""
    kept: pd.DataFrame = frame[frame.groupby("trading_day")["volume"].cumsum() > 0]
    return kept


@pytest.mark.parametrize(("symbol", "complete"), [("SHFE.cu1905", 47), ("DCE.jd1909", 83)])
def test_daily_bars_are_the_official_ones(records: Path, symbol: str, complete: int) -> None:
    path = records / "klines/60s" / f"{symbol}.csv.gz"
    minutes = pd.read_csv(path)
    count = minutes.groupby("trading_day")["id"].count()
    official = pd.read_csv(records / "klines/1d" / f"{symbol}.csv.gz").set_index("trading_day")
    whole = count.index[(count >= 225) & (count != 354)].intersection(official.index)
    assert len(whole) == complete
    market = Market.replaying([path], ticks_per_minute=1)
    found = as_frame(grown(market, symbol, DAY_NS)).set_index("datetime", drop=False)
    expected = official.loc[whole].set_index("datetime", drop=False)
    assert_same(found.loc[expected.index], expected)


def test_ten_second_klines_of_real_ticks_are_the_official_ones(records: Path) -> None:
    market = Market.replaying([records / "ticks/SHFE.cu1909.csv.gz"])
    found = as_frame(grown(market, "SHFE.cu1909", 10 * SECOND_NS)).set_index("datetime", drop=False)
    official = pd.read_csv(records / "klines/10s/SHFE.cu1909.csv.gz")
    covered = official[official["datetime"].between(1568613693 * 10**9, 1568617200 * 10**9)]
    covered = covered[covered["datetime"] < found.index[-1]]
    assert len(covered) > 190
    assert_same(found.loc[covered["datetime"]], covered)


@pytest.mark.parametrize("seconds", [70, 90])
def test_bars_of_odd_seconds_hold_the_official_ten_second_klines(
    records: Path, seconds: int
) -> None:
    """Whole bars of 2019-09-16 after 14:26:40, where the official ones of that day begin."""
    market = Market.replaying([records / "ticks/SHFE.cu1909.csv.gz"])
    found = as_frame(grown(market, "SHFE.cu1909", seconds * SECOND_NS))
    official = joined(pd.read_csv(records / "klines/10s/SHFE.cu1909.csv.gz"), seconds * SECOND_NS)
    covered = found[found["datetime"] > 1_568_615_200 * 10**9]  # 14:26:40
    assert len(covered) >= 1_990 // seconds - 1
    assert_same(covered, official.loc[covered["datetime"]])


def test_a_label_is_a_multiple_since_1970_utc_and_of_a_day_beijings_midnight() -> None:
    nine = 1_551_747_600  # 2019-03-05 09:00 Beijing time, 3,694,637 times 420 s and 60 s
    assert floor_label(nine * SECOND_NS, 420 * SECOND_NS) == (nine - 60) * SECOND_NS
    assert floor_label(nine * SECOND_NS, 180 * MINUTE_NS) == (nine - 3_600) * SECOND_NS  # 08:00
    assert floor_label(nine * SECOND_NS, DAY_NS) == (nine - 9 * 3_600) * SECOND_NS


SHANGHAI, CALENDAR = shanghai_calendar(), MarketCalendar()
LISTING = Listing(Instruments(None), CALENDAR, rolls=True)


@settings(max_examples=80, deadline=None)
@given(
    seconds=st.one_of(
        st.sampled_from([13, 90, 420, 10_800, 17_280, 21_600, 28_800, 43_200, 86_400]),
        st.integers(13, 14_400),
    ),
    day=st.one_of(
        st.dates(date(2019, 12, 20), date(2020, 5, 20)),
        st.dates(date(2026, 12, 20), date(2027, 3, 1)),
    ),
    symbol=st.sampled_from(["SHFE.cu2512", "INE.sc2512", "DCE.jd2512", "CFFEX.T2512"]),
)
def test_exchange_and_package_cut_the_same_bars(seconds: int, day: date, symbol: str) -> None:
    """They share no code."""
    contract = LISTING.contract(symbol, date(2025, 11, 3))
    assert contract is not None
    duration_ns = seconds * SECOND_NS
    first = CALENDAR.first_trading_day(day)
    theirs = [
        label
        for day in (first, CALENDAR.next_trading_day(first))
        for labels in day_labels(CALENDAR, contract, day, duration_ns)
        for label in labels
    ]
    hours = {part: tuple((a, b) for a, b in hours) for part, hours in contract.trading_time.items()}
    sessions = Sessions(hours, SHANGHAI)
    span = sessions.span_of_label(theirs[0], duration_ns)
    ours = [span.start_ns]
    while len(ours) < len(theirs):
        span = sessions.next_span(span, duration_ns)
        ours.append(span.start_ns)
    assert ours == theirs


def test_auction_and_after_hours_ticks_make_no_phantom_bars(records: Path) -> None:
    files = [records / f"ticks/CFFEX.IF-2021-01-0{n}.csv.gz" for n in (4, 5)]
    market = Market.replaying(files)
    bars = as_frame(grown(market, "CFFEX.IF2101", MINUTE_NS))
    clock = pd.to_datetime(bars["datetime"]) + pd.Timedelta(hours=8)
    daily = bars.groupby(clock.dt.date)["volume"].agg(["count", "sum"])
    assert daily.to_numpy().tolist() == [[240, 84288], [240, 88203]]  # last total_volume of each
    assert {f"{c:%H:%M}" for c in clock}.isdisjoint({"09:29", "11:30", "15:00", "15:30"})
    assert bars["open"].iloc[0] == 5230.0  # the auction's price


# ---- arbitrary klines


@st.composite
def klines(draw: st.DrawFn) -> pd.DataFrame:
    """A day's first stretch of jd (09:00-10:15) by the rules of the official klines."""
    start = 1_555_290_000  # 2019-04-15 09:00 Beijing time
    close, oi = draw(st.integers(4000, 4100)), 1000
    traded = False
    rows = []
    for minute in range(draw(st.integers(2, 75))):
        volume = draw(st.sampled_from([0, 0, 1, 2, 3, 50]))
        fresh = minute == 0 or (volume > 0 and not traded)
        traded |= volume > 0
        opened = draw(st.integers(4000, 4100)) if fresh else close
        steps = (
            draw(st.lists(st.integers(-30, 30), min_size=3, max_size=3)) if volume else [0, 0, 0]
        )
        steps = [0, 0, 0] if volume == 1 and fresh else steps
        close = opened + steps[2]
        reach = [opened, close, *(opened + s for s in steps[:2] if volume > 3)]
        after = oi + (draw(st.integers(-20, 20)) if volume else 0)
        label = (start + 60 * minute) * SECOND_NS
        rows.append((label, opened, max(reach), min(reach), close, volume, oi, after))
        oi = after
    frame: pd.DataFrame = pd.DataFrame(rows, columns=FIELDS)
    return frame


@settings(max_examples=60, deadline=None)
@given(frame=klines(), pace=st.integers(1, 30), dropped=st.sets(st.integers(1, 74), max_size=4))
def test_any_klines_survive_ticks_and_back(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame, pace: int, dropped: set[int]
) -> None:
    kept = frame.drop(index=[n for n in dropped if n < len(frame) - 1])
    if len(kept) < 2 or kept["datetime"].diff().min() > 60e9:
        return
    path = tmp_path_factory.mktemp("any") / "DCE.jd1909.csv"
    kept.to_csv(path, index=False)
    market = Market.replaying([path], ticks_per_minute=pace)
    assert_same(as_frame(grown(market, "DCE.jd1909", MINUTE_NS)), kept)


# ---- rules, by hand


def tick(clock: str, price: float, volume: int, *, hole: bool = False) -> MarketTick:
    """A tick of copper on Tuesday 2019-04-16; the night's are of Monday evening."""
    eve = clock >= "18:00"
    moment = pd.Timestamp(f"2019-04-{15 if eve else 16} {clock}", tz="Asia/Shanghai")
    nan = float("nan")
    return MarketTick(
        "SHFE.cu1905", moment.value, date(2019, 4, 16), price, nan, nan, nan, volume, 0.0, 100, (),
        (), hole,
    )  # fmt: skip


@pytest.fixture
def builder() -> KlineBuilder:
    market = Market.seeded(start=date(2019, 4, 16))
    contract = market.contract("SHFE.cu1905")
    assert contract is not None
    last = KlineRow(7, tick("14:59", 0, 0).time_ns - DAY_NS, 49, 49, 49, 49, 5, 90, 90)
    return KlineBuilder(contract, MINUTE_NS, market.calendar, last)


def clocks(rows: Iterable[KlineRow]) -> list[str]:
    return [f"{pd.Timestamp(r.time_ns, tz='Asia/Shanghai'):%H:%M}" for r in rows]


def test_auction_tick_opens_the_first_bar_and_its_volume_counts(builder: KlineBuilder) -> None:
    (row,) = builder.on_tick(tick("20:59:00.5", 50.0, 30))
    assert clocks([row]) == ["21:00"]
    assert (row.id, row.open, row.volume, row.open_oi, row.close_oi) == (8, 50.0, 30, 90, 100)


def test_tick_on_the_full_minute_closes_the_bar_before(builder: KlineBuilder) -> None:
    builder.on_tick(tick("21:00:10", 50.0, 1))
    builder.on_tick(tick("21:01:00", 52.0, 3))
    (row,) = builder.on_tick(tick("21:01:00.5", 51.0, 4))
    assert clocks([row]) == ["21:01"]
    assert (row.open, row.high, row.low, row.close, row.volume) == (52.0, 52.0, 51.0, 51.0, 1)


def test_bars_are_flat_until_the_days_first_trade_which_drops_the_carried_price(
    builder: KlineBuilder,
) -> None:
    builder.on_tick(tick("21:00:10", 48.0, 0))
    rows = builder.on_tick(tick("21:02:10", 47.0, 2))
    assert [(r.open, r.close) for r in rows] == [(49, 49), (47.0, 47.0)]
    assert (rows[-1].high, rows[-1].low) == (47.0, 47.0)


def test_ticks_at_and_after_the_end_of_a_stretch_stay_in_its_last_bar(
    builder: KlineBuilder,
) -> None:
    builder.on_tick(tick("10:14:30", 50.0, 1))
    (row,) = builder.on_tick(tick("10:15:00.2", 51.0, 2))
    assert clocks([row]) == ["10:14"]
    assert builder.on_tick(tick("10:15:00.5", 51.0, 2)) == []  # unchanged
    (row,) = builder.on_tick(tick("10:29:59.5", 53.0, 3))
    assert clocks([row]) == ["10:30"]
    assert row.open == 53.0  # fresh after the break


def test_untraded_minutes_of_a_session_are_flat_bars(builder: KlineBuilder) -> None:
    builder.on_tick(tick("10:13:30", 50.0, 1))
    rows = builder.on_tick(tick("10:31:30", 52.0, 2))
    assert clocks(rows) == ["10:14", "10:30", "10:31"]
    assert [(r.open, r.volume) for r in rows] == [(50.0, 0), (50.0, 0), (50.0, 1)]


def test_nothing_is_made_up_in_a_hole_of_the_record(builder: KlineBuilder) -> None:
    builder.on_tick(tick("09:10:30", 50.0, 1))
    (row,) = builder.on_tick(tick("09:40:30", 60.0, 5, hole=True))
    assert (clocks([row]), row.open, row.open_oi) == (["09:40"], 60.0, 100)


def test_one_hour_bar_of_noon_holds_the_first_half_hour(builder: KlineBuilder) -> None:
    hours = KlineBuilder(builder._contract, 60 * MINUTE_NS, builder._calendar)
    hours.on_tick(tick("11:20:00", 50.0, 1))
    (row,) = hours.on_tick(tick("13:30:01", 51.0, 2))
    (same,) = hours.on_tick(tick("13:59:59", 52.0, 3))
    assert same is row
    assert clocks([row]) == ["13:00"]
