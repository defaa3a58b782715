"""Long bars out of minutes: against official klines, pandas, and bars made directly of ticks."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path

import pandas as pd
import pytest

from tianqin_backtrader.bars import BarBuilder
from tianqin_backtrader.calendar import KnownDays, shanghai_calendar
from tianqin_backtrader.merging import BarMerger
from tianqin_backtrader.model import tick_from
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.values import Bar, Tick, TradingTime

BEIJING = timezone(timedelta(hours=8))
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NAN = math.nan

COMMODITY_DAY = (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))
COPPER: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "25:00:00"),)}
MEAL: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "23:00:00"),)}
EGGS: TradingTime = {"day": COMMODITY_DAY, "night": ()}
INDEX: TradingTime = {"day": (("09:30:00", "11:30:00"), ("13:00:00", "15:00:00"))}
HOURS = {"SHFE.cu1905": COPPER, "DCE.jd1909": EGGS, "DCE.m2005": MEAL, "CFFEX.IF1908": INDEX}
WEEKDAYS = KnownDays([date(2019, 1, 2)])
CTP = ["time", "price", "total_volume", "total_turnover", "oi",
       "bid_price1", "ask_price1", "bid_volume1", "ask_volume1"]  # fmt: skip
NAMES = ["datetime", "open", "high", "low", "close", "volume", "open_oi", "close_oi"]


def ns(text: str) -> int:
    """Nanoseconds of a Beijing time such as "2021-01-04 09:29:00.400"."""
    moment = datetime.fromisoformat(text).replace(tzinfo=BEIJING)
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


def fields(bar: Bar) -> tuple[float, ...]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return (bar.start_ns, *prices, bar.volume, bar.open_oi, bar.close_oi)


def merge(merger: BarMerger, minutes: Iterable[Bar]) -> list[Bar]:
    return [bar for minute in minutes for bar in merger.add(minute)]


# ---- official minutes


@lru_cache
def official_sessions(symbol: str) -> Sessions:
    return Sessions(HOURS[symbol], shanghai_calendar())


@lru_cache
def recorded(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


@lru_cache
def minutes_of(path: Path) -> tuple[Bar, ...]:
    """Recorded klines of a minute or less as bars."""
    frame = recorded(path)
    length = int(frame.datetime.diff().min())
    days = [date.fromisoformat(day) for day in frame.trading_day]
    columns = (frame[name].tolist() for name in NAMES)
    return tuple(
        Bar(start, start + length, o, h, low, c, volume, NAN, oi, close_oi, day)
        for start, o, h, low, c, volume, oi, close_oi, day in zip(*columns, days, strict=True)
    )


def grouped(frame: pd.DataFrame, duration: int, *, rule_3: bool = True) -> pd.DataFrame:
    """Long bars by pandas: the floor of the clock inside a trading day, or the trading day.

    Rule 3: minutes before the day's first trade count for the prices of a long bar without one.
    """
    frame = frame.assign(label=frame.datetime // duration * duration)
    if duration == DAY:
        midnights = {day: ns(f"{day} 00:00") for day in frame.trading_day.unique()}
        frame["label"] = frame.trading_day.map(midnights)
    key = ["trading_day", "label"]
    whole = frame.groupby(key)
    traded = frame.groupby("trading_day").volume.cumsum() > 0
    priced = frame[traded | (whole.volume.transform("sum") == 0) | (not rule_3)].groupby(key)
    columns = {
        "open": priced.open.first(),
        "high": priced.high.max(),
        "low": priced.low.min(),
        "close": whole.close.last(),
        "volume": whole.volume.sum(),
        "open_oi": whole.open_oi.first(),
        "close_oi": whole.close_oi.last(),
    }
    bars = pd.DataFrame(columns).reset_index().rename(columns={"label": "datetime"})
    ordered: pd.DataFrame = bars.sort_values("datetime")[NAMES]
    return ordered


def cut_labels(frame: pd.DataFrame, duration: int) -> set[int]:
    """Labels of the bars that lost minutes where the record's ids jump, or at its beginning."""
    bar = frame.datetime // duration * duration
    begins = frame.datetime.eq(bar) | frame.beijing_time.str.endswith("09:30:00")
    ends = frame.datetime.add(MINUTE).eq(bar + duration) | frame.beijing_time.str.endswith(
        "14:59:00"
    )
    jumps = frame.id.diff() != 1
    before = jumps.shift(-1, fill_value=False)
    return {*bar[jumps & ~begins], *bar[before & ~ends]}


@pytest.mark.parametrize(
    ("symbol", "whole", "cut"),
    [  # the first minute recorded is at 22:51, at 09:36; the last before the jump is at 10:56
        ("SHFE.cu1905", 47, ["2019-03-05"]),
        ("DCE.jd1909", 83, ["2019-03-05", "2019-07-08", "2019-09-25"]),
    ],
)
def test_minutes_make_the_official_days(
    symbol: str, whole: int, cut: list[str], records: Path
) -> None:
    minutes = minutes_of(records / f"klines/60s/{symbol}.csv.gz")
    days = merge(BarMerger(official_sessions(symbol), DAY), minutes)
    assert [str(day.trading_day) for day in days if not day.complete] == cut
    built = [fields(day) for day in days if day.complete]
    official = recorded(records / f"klines/1d/{symbol}.csv.gz")
    between = official.trading_day.isin([str(day.trading_day) for day in days])
    rows = official[between & ~official.trading_day.isin(cut)]
    assert built == list(rows[NAMES].itertuples(index=False, name=None))
    assert len(built) == whole


LENGTHS = [4 * MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR]
COUNTS = {  # bars of each length; and how many only rule 3 gets right, after 2019-05-10 21:28
    "SHFE.cu1905": ([5_517, 4_346, 1_449, 423, 329, 188], 5),
    "DCE.jd1909": ([4_891, 3_795, 1_266, 423, 339, 170], 0),
    "DCE.m2005": ([9_681, 7_590, 2_533, 775, 664, 334], 0),
    "CFFEX.IF1908": ([2_280, 1_794, 599, 188, 151, 76], 0),
}


@pytest.mark.parametrize("symbol", COUNTS)
def test_minutes_make_longer_bars_as_pandas_groups_them(symbol: str, records: Path) -> None:
    path = records / f"klines/60s/{symbol}.csv.gz"
    frame, (counts, by_rule_3) = recorded(path), COUNTS[symbol]
    differ = 0
    for length, count in zip(LENGTHS, counts, strict=True):
        bars = merge(BarMerger(official_sessions(symbol), length), minutes_of(path))
        expected = grouped(frame, length)
        assert [fields(bar) for bar in bars] == list(expected.itertuples(index=False, name=None))
        assert len(bars) == count
        assert {bar.start_ns for bar in bars if not bar.complete} == cut_labels(frame, length)
        differ += int((grouped(frame, length, rule_3=False) != expected).any(axis=1).sum())
    assert differ == by_rule_3


def test_any_smaller_bars_merge_alike(records: Path) -> None:
    path = records / "klines/60s/SHFE.cu1905.csv.gz"
    sessions = official_sessions("SHFE.cu1905")
    for length, longer in ((15 * MINUTE, HOUR), (2 * MINUTE, 4 * HOUR), (4 * HOUR, DAY)):
        smaller = merge(BarMerger(sessions, length), minutes_of(path))
        bars = merge(BarMerger(sessions, longer), smaller)
        expected = grouped(recorded(path), longer)[NAMES]
        assert [fields(bar) for bar in bars] == list(expected.itertuples(index=False, name=None))
        assert [bar.complete for bar in bars] == [False] + [True] * (len(bars) - 1)


# ---- bars that BarBuilder made of real ticks


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@lru_cache
def ctp_frame(folder: Path) -> pd.DataFrame:
    """Two whole days of an index future as CTP sent them, auctions and after-hours included."""
    days = [folder / f"CFFEX.IF-2021-01-0{day}.csv.gz" for day in (4, 5)]
    frame = pd.concat([pd.read_csv(path) for path in days], ignore_index=True)
    frame["time"] = [ns(str(text)) for text in frame.dt]
    return frame


@lru_cache
def ctp_ticks(folder: Path) -> tuple[Tick, ...]:
    frame = ctp_frame(folder)
    columns = (frame[name].tolist() for name in CTP)
    return tuple(Tick(number, *row) for number, row in enumerate(zip(*columns, strict=True)))


def numbers_of(row: dict[str, str], time_ns: int) -> dict[str, float]:
    texts = {"beijing_time", "trading_day", "datetime"}
    return {k: float(v or "nan") for k, v in row.items() if k not in texts} | {"datetime": time_ns}


def live_ticks(path: Path) -> list[Tick]:
    """A live hour of one contract's quotes."""
    return [
        tick_from(number, numbers_of(row, int(row["quote_nano_time"])))
        for number, row in enumerate(rows(path))
    ]


def build(ticks: Iterable[Tick], hours: TradingTime, duration: int, until: str) -> list[Bar]:
    builder = BarBuilder(Sessions(hours, WEEKDAYS), duration)
    bars = [bar for tick in ticks for bar in builder.on_tick(tick)]
    return bars + builder.close_until(ns(until))


def resampled(ticks: pd.DataFrame, duration: int) -> list[tuple[float, ...]]:
    """Ticks to long bars by hand: moved into the session, L < t <= L + d, rules 2, 4 and 5."""
    bars: list[tuple[float, ...]] = []
    for day, part in ticks.groupby(ticks.dt.str[:10]):
        clocks = ("09:30", "11:30", "12:15", "13:00", "15:00")
        opens, pauses, resumes, reopens, closes = (ns(f"{day} {clock}") for clock in clocks)
        time = part.time.clip(opens + 1, closes)
        time = time.mask((time > pauses) & (time <= resumes), pauses)
        time = time.mask((time > resumes) & (time <= reopens), reopens + 1)
        label = (
            (time - 1) // duration * duration if duration < DAY else time * 0 + ns(f"{day} 00:00")
        )
        close, oi, total = NAN, bars[-1][7] if bars else part.oi.iloc[0], 0
        for start, group in part.groupby(label):
            is_fresh = start <= opens or start <= reopens < time[group.index[0]]
            first = group.price.iloc[0] if is_fresh else close
            extremes = max(first, group.price.max()), min(first, group.price.min())
            close, lots = group.price.iloc[-1], group.total_volume.iloc[-1] - total
            bars.append((start, first, *extremes, close, lots, oi, group.oi.iloc[-1]))
            oi, total = group.oi.iloc[-1], total + lots
    return bars


@pytest.mark.parametrize("duration", [*LENGTHS, DAY])
def test_three_ways_from_ticks_to_long_bars(duration: int, records: Path) -> None:
    """Ticks to minutes to long bars, ticks to long bars, and pandas."""
    ticks, until = ctp_ticks(records / "ticks"), "2021-01-05 15:00"
    minutes = build(ticks, INDEX, MINUTE, until)
    merged = merge(BarMerger(Sessions(INDEX, WEEKDAYS), duration), minutes)
    assert merged == build(ticks, INDEX, duration, until)  # amounts, quotes and `complete` as well
    assert [fields(bar) for bar in merged] == resampled(ctp_frame(records / "ticks"), duration)
    assert [bar.complete for bar in merged] == [False] + [True] * (len(merged) - 1)
    assert sum(bar.volume for bar in merged) == 84_288 + 88_203


SOURCES = {  # hours, first minute, lots: the whole day's, or of the hour from 13:37:10 to 14:37:10
    "ticks/CFFEX.IF-2021-01-04": (INDEX, "2021-01-04 09:30", 84_288),
    "ticks/CFFEX.IF-2021-01-05": (INDEX, "2021-01-05 09:30", 88_203),
    "quotes-2020-08-21/SHFE.rb2010": (EGGS, "2020-08-21 13:37", 512_936 - 434_161),
    "quotes-2020-08-21/CFFEX.IF2009": (INDEX, "2020-08-21 13:37", 95_743 - 71_060),
    "quotes-2020-08-21/DCE.m2101": (EGGS, "2020-08-21 13:37", 757_498 - 699_978),
    "quotes-2020-08-21/CZCE.SR101": (EGGS, "2020-08-21 13:37", 496_956 - 410_054),
}


@pytest.mark.parametrize("duration", [MINUTE, 5 * MINUTE, HOUR])
@pytest.mark.parametrize("source", SOURCES)
def test_no_phantom_bar_and_no_lot_lost(source: str, duration: int, records: Path) -> None:
    """Auctions, ticks at a stretch's end and after hours, CZCE's .000001: no 11:30, no 15:00."""
    hours, first, lots = SOURCES[source]
    folder, day = records / "ticks", first[:10]
    if source.startswith("ticks"):
        ticks = [t for t in ctp_ticks(folder) if 0 < t.time_ns - ns(f"{day} 00:00") < DAY]
    else:
        ticks = live_ticks(records / f"{source}.csv.gz")
    minutes = [
        start
        for begin, end in hours["day"]
        for start in range(ns(f"{day} {begin}"), ns(f"{day} {end}"), MINUTE)
        if start >= ns(first)
    ]
    expected = sorted({start // duration * duration for start in minutes})
    direct = build(ticks, hours, duration, f"{day} 15:00")
    merger = BarMerger(Sessions(hours, WEEKDAYS), duration)
    merged = merge(merger, build(ticks, hours, MINUTE, f"{day} 15:00"))
    for bars in (direct, merged):
        assert [bar.start_ns for bar in bars] == expected
        assert sum(bar.volume for bar in bars) == lots
    assert [fields(bar) for bar in merged] == [fields(bar) for bar in direct]
    assert merger.partial is None


def test_ten_second_bars_of_ticks_merge_into_the_official_minutes(records: Path) -> None:
    """The official series of 10 seconds, grouped: 33 whole minutes, 6 of 5 minutes."""
    ticks = [
        tick_from(int(row["id"]), numbers_of(row, int(row["datetime"])))
        for row in rows(records / "ticks/SHFE.cu1909.csv.gz")[200:]
    ]
    built = build(ticks, COPPER, 10 * SECOND, "2019-09-16 15:00")
    official = recorded(records / "klines/10s/SHFE.cu1909.csv.gz").iloc[200:]
    for duration, count in ((MINUTE, 33), (5 * MINUTE, 6)):
        bars = merge(BarMerger(Sessions(COPPER, WEEKDAYS), duration), built)
        expected = grouped(official, duration).iloc[1:]  # the first began at 14:26:40
        found = [fields(bar) for bar in bars if bar.complete][-count:]
        assert found == list(expected.itertuples(index=False, name=None))
        assert len(found) == count
