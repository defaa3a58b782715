"""Recorded ticks read back: the bars of the live run, in a plain backtest and in a replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from recordings import ns, record, row, trading_days
from support import Seen, Watcher, run

from tianqin_backtrader import LocalExchange
from tianqin_backtrader.errors import BadReplayFile, BadTimeframe, WrongSetting
from tianqin_backtrader.recorded import RecordedData
from tianqin_backtrader.recording import TickFolder
from tianqin_backtrader.sim.market import Market

INDEX_HOURS = {"day": [["09:30:00", "11:30:00"], ["13:00:00", "15:00:00"]]}
MEAL_HOURS = {
    "day": [["09:00:00", "10:15:00"], ["10:30:00", "11:30:00"], ["13:30:00", "15:00:00"]],
    "night": [["21:00:00", "23:00:00"]],
}
MEAL = "DCE.m2601"
DAY = date(2025, 9, 16)
MINUTE = 60_000_000_000


make: Any = RecordedData  # Backtrader's metaclass takes the parameters


def backtest(act: Callable[[Any], None] | None = None, **options: Any) -> Seen:
    """What a strategy sees in a plain Cerebro; `cerebro` options begin with `run_`."""
    seen = Seen()
    running = {k[4:]: options.pop(k) for k in list(options) if k.startswith("run_")}
    cerebro = bt.Cerebro(tz=0, stdstats=False)
    cerebro.adddata(make(calendar=trading_days(), **options))
    cerebro.addstrategy(Watcher, seen=seen, act=act)
    cerebro.run(**running)
    return seen


# ---- the same bars, live and recorded


@pytest.mark.parametrize(
    ("symbol", "end", "bars"),
    [
        ("SHFE.rb2601", datetime(2025, 9, 15, 21, 30), 30),  # noqa: DTZ001
        ("INE.nr2608", datetime(2025, 9, 16, 10, 35), 120 + 75 + 5),  # noqa: DTZ001
    ],
    ids=["busy", "hardly traded, over a night and a break"],
)
def test_live_replayed_and_backtested_bars_are_the_same(
    symbol: str, end: datetime, bars: int, tmp_path: Path
) -> None:
    market: dict[str, Any] = {"seed": 11, "start": DAY, "end": end, "ticks_per_minute": 3}
    live, _ = run(LocalExchange(**market), symbol, history=0)
    out = tmp_path / "ticks"
    record(LocalExchange(**market), out, [symbol, "SHFE.cu2511"])
    replayed, _ = run(LocalExchange(replay=out, start=DAY), symbol, history=0)
    assert (len(live.bars), live.bars[-1][0]) == (bars, end)
    assert replayed.bars == live.bars
    backtested = backtest(dataname=out / "2025-09-16", symbol=symbol)
    assert backtested.bars == live.bars
    if symbol == "INE.nr2608":
        assert any(bar[5] == 0 for bar in live.bars)


def minutes_of(ticks: pd.DataFrame) -> pd.DataFrame:
    """Bars of CTP ticks of CFFEX by pandas alone: a tick belongs to L < t <= L + 1 min."""
    stamp = pd.to_datetime(ticks["dt"])
    end = stamp.dt.ceil("min").clip(upper=pd.Timestamp("2021-01-04 15:00"))
    end = end.clip(lower=pd.Timestamp("2021-01-04 09:31"))
    noon = (end > pd.Timestamp("2021-01-04 11:30")) & (end <= pd.Timestamp("2021-01-04 12:15"))
    end = end.mask(noon, pd.Timestamp("2021-01-04 11:30"))
    pause = (end > pd.Timestamp("2021-01-04 12:15")) & (end <= pd.Timestamp("2021-01-04 13:00"))
    end = end.mask(pause, pd.Timestamp("2021-01-04 13:01"))
    by_minute = ticks.groupby(end.rename("end"))
    made = by_minute.agg(
        close=("price", "last"), total=("total_volume", "max"), oi=("oi", "last"),
        top=("price", "max"), bottom=("price", "min"), first=("price", "first"),
    )  # fmt: skip
    carried = made["close"].shift()
    carried[[made.index[0], pd.Timestamp("2021-01-04 13:01")]] = float("nan")  # fresh after a break
    made["open"] = carried.fillna(made["first"])
    made["high"] = made[["open", "top"]].max(axis=1)
    made["low"] = made[["open", "bottom"]].min(axis=1)
    made["volume"] = made["total"].diff().fillna(made["total"])
    return made


def test_a_real_day_of_ctp_ticks_makes_240_bars_and_the_days_volume(records: Path) -> None:
    """Auction, lunch and after-hours ticks make phantom bars elsewhere."""
    path = records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"
    ticks = pd.read_csv(path)
    seen = backtest(dataname=path, trading_time=INDEX_HOURS)
    assert len(seen.bars) == 240
    assert sum(bar[5] for bar in seen.bars) == ticks["total_volume"].max()
    expected = minutes_of(ticks)
    columns = [expected[name].tolist() for name in ("open", "high", "low", "close", "volume", "oi")]
    ends = pd.DatetimeIndex(expected.index).to_pydatetime().tolist()
    assert seen.bars == list(zip(ends, *columns, strict=True))


def test_other_timeframes_come_from_the_ticks_too(records: Path) -> None:
    path = records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"
    minutes = minutes_of(pd.read_csv(path))
    options: dict[str, Any] = {"dataname": path, "trading_time": INDEX_HOURS}
    (day,) = backtest(**options, timeframe=bt.TimeFrame.Days).bars
    volume, oi = minutes["volume"].sum(), minutes["oi"].iloc[-1]
    prices = (minutes["open"].iloc[0], minutes["high"].max(), minutes["low"].min())
    close = datetime(2021, 1, 4, 15)  # noqa: DTZ001
    assert day == (close, *prices, minutes["close"].iloc[-1], volume, oi)
    fives = backtest(**options, compression=5).bars
    grouped = minutes.groupby(pd.DatetimeIndex(minutes.index).ceil("5min"))
    assert [bar[5] for bar in fives] == grouped["volume"].sum().tolist()
    assert [bar[2] for bar in fives] == grouped["high"].max().tolist()
    seconds = backtest(**options, timeframe=bt.TimeFrame.Seconds, compression=10).bars
    assert len(seconds) == 6 * 240
    assert sum(bar[5] for bar in seconds) == volume


def test_cerebros_resampling_knows_the_trading_day(tmp_path: Path) -> None:
    """Backtrader's own resampler puts a night session into the calendar day before (a trap)."""
    ticks = [
        row("2025-09-15 21:00:01", 3000.0, 5), row("2025-09-15 22:59:00", 3010.0, 9),
        row("2025-09-16 09:00:01", 3020.0, 11), row("2025-09-16 14:59:00", 2990.0, 30),
        row("2025-09-16 21:00:01", 2995.0, 2), row("2025-09-17 14:59:58", 3050.0, 40),
    ]  # fmt: skip
    path = written(tmp_path, ticks)
    cerebro = bt.Cerebro(tz=0, stdstats=False)
    data = make(dataname=path, trading_time=MEAL_HOURS, calendar=trading_days())
    cerebro.adddata(data)
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Days)
    days: list[tuple[Any, ...]] = []

    class Look(bt.Strategy):
        def next(self) -> None:
            large = self.datas[1]
            if len(large) > len(days):
                prices = (large.open[0], large.high[0], large.low[0], large.close[0])
                days.append((large.datetime.date(0).day, *prices, large.volume[0]))

    cerebro.addstrategy(Look)
    cerebro.run()
    assert days == [
        (16, 3000.0, 3020.0, 2990.0, 2990.0, 30.0),
        (17, 2995.0, 3050.0, 2995.0, 3050.0, 40.0),
    ]


@pytest.mark.parametrize(("preload", "once"), [(True, True), (True, False), (False, False)])
def test_every_way_of_cerebro_sees_the_same(preload: bool, once: bool, tmp_path: Path) -> None:
    ticks = [row(f"2025-09-16 09:0{n}:30", 3000.0 + n, 10 * n) for n in range(1, 9)]
    path = written(tmp_path, ticks)
    seen = backtest(
        dataname=path, trading_time=MEAL_HOURS, run_preload=preload, run_runonce=once,
        fromdate=datetime(2025, 9, 16, 9, 4), todate=datetime(2025, 9, 16, 9, 7),  # noqa: DTZ001
    )  # fmt: skip
    assert [f"{bar[0]:%H:%M}" for bar in seen.bars] == ["09:04", "09:05", "09:06", "09:07"]
    assert [bar[4] for bar in seen.bars] == [3003.0, 3004.0, 3005.0, 3006.0]


# ---- bars by hand


def written(out: Path, ticks: Sequence[dict[str, Any]], ids: Sequence[int] = ()) -> Path:
    """A recording of one contract's ticks."""
    with TickFolder(out / "ticks") as folder:
        for tick_id, tick in zip(ids or range(len(ticks)), ticks, strict=True):
            day = trading_days()
            evening = tick["datetime"] // 3_600_000_000_000 % 24 >= 10  # 18:00 in Beijing
            today = pd.Timestamp(tick["datetime"], tz="UTC").tz_convert("Asia/Shanghai").date()
            folder.add(MEAL, day.next_day(today) if evening else today, tick_id, tick)
    return out / "ticks"


def test_minutes_without_a_trade_are_flat_and_a_hole_makes_none_up(tmp_path: Path) -> None:
    ticks = [
        row("2025-09-16 08:59:00", 3000.0, 4),
        row("2025-09-16 09:00:30", 3002.0, 10),
        row("2025-09-16 09:03:30", 3001.0, 12),
        row("2025-09-16 09:03:50", 3005.0, 13),
        row("2025-09-16 09:10:20", 3100.0, 90),  # ids 4 and 5 were lost before it
        row("2025-09-16 09:11:00", 3101.0, 95),
    ]
    path = written(tmp_path, ticks, ids=[0, 1, 2, 3, 6, 7])
    seen = backtest(dataname=path, symbol=MEAL, trading_time=MEAL_HOURS)
    assert [(f"{bar[0]:%H:%M}", *bar[1:6]) for bar in seen.bars] == [
        ("09:01", 3000.0, 3002.0, 3000.0, 3002.0, 6),  # the night before is not in the record
        ("09:02", 3002.0, 3002.0, 3002.0, 3002.0, 0),
        ("09:03", 3002.0, 3002.0, 3002.0, 3002.0, 0),
        ("09:04", 3002.0, 3005.0, 3001.0, 3005.0, 3),
        ("09:11", 3100.0, 3101.0, 3100.0, 3101.0, 5),  # 09:11:00 closes it (rule 1)
    ]


def test_extra_lines_tell_the_quotes_amount_and_trading_day(tmp_path: Path) -> None:
    ticks = [row("2025-09-15 21:00:30", 3000.0, 4), row("2025-09-15 21:01:30", 3000.0, 9)]
    lines: list[tuple[float, ...]] = []

    def look(strategy: Any) -> None:
        d = strategy.data
        assert not d.history_phase
        quotes = (d.bid_price[0], d.ask_price[0], d.bid_volume[0], d.ask_volume[0])
        lines.append((*quotes, d.amount[0], d.trading_day[0]))

    backtest(look, dataname=written(tmp_path, ticks), trading_time=MEAL_HOURS)
    quotes = (2999.0, 3001.0, 3.0, 4.0)
    assert lines == [(*quotes, 120_000.0, 20250916.0), (*quotes, 150_000.0, 20250916.0)]


def test_every_tick_is_a_bar_of_its_own_volume(tmp_path: Path) -> None:
    ticks = [
        row("2025-09-16 14:59:59", 3000.0, 40), row("2025-09-16 15:00:00", 3001.0, 42),
        row("2025-09-16 20:59:00", "-", 0), row("2025-09-16 21:00:01", 3003.0, 5),
    ]  # fmt: skip
    options: dict[str, Any] = {"dataname": written(tmp_path, ticks), "trading_time": MEAL_HOURS}
    seen = backtest(**options, timeframe=bt.TimeFrame.Ticks)
    assert [(f"{bar[0]:%H:%M:%S}", bar[4], bar[5]) for bar in seen.bars] == [
        ("15:00:00", 3001.0, 2),
        ("21:00:01", 3003.0, 5),
    ]


# ---- what cannot work is said before the run


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"timeframe": bt.TimeFrame.Weeks}, BadTimeframe, "Weeks"),
        ({"compression": 0}, BadTimeframe, "0 Minute"),
        ({"compression": 7 * 60}, BadTimeframe, "420"),
        ({"calendar": "XSHG"}, WrongSetting, "calendar"),
    ],
)
def test_parameters_are_checked_at_once(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        make(dataname="ticks", trading_time=MEAL_HOURS, **options)


def test_a_feed_that_cannot_start_says_why(tmp_path: Path) -> None:
    path = written(tmp_path, [row("2025-09-16 09:00:30", 3002.0, 10)])
    with pytest.raises(WrongSetting, match=r"trading_time.*instruments\.json"):
        backtest(dataname=path)
    with pytest.raises(WrongSetting, match="trading_time"):
        backtest(dataname=path, trading_time={})
    with pytest.raises(BadReplayFile, match=r"holds DCE\.m2601"):
        backtest(dataname=path, symbol="DCE.m2605", trading_time=MEAL_HOURS)
    with pytest.raises(BadReplayFile, match=r"nowhere\.parquet"):
        backtest(dataname=tmp_path / "nowhere.parquet", trading_time=MEAL_HOURS)
    cerebro = bt.Cerebro()
    with pytest.raises(BadTimeframe, match="LocalExchange"):
        cerebro.replaydata(make(dataname=path), timeframe=bt.TimeFrame.Days)


# ---- the embedded exchange reads recordings


def official(path: Path) -> list[tuple[Any, ...]]:
    """The embedded exchange's own one-minute klines of a recording, in the form of `Seen.bars`."""
    rows = Market.replaying([path]).klines_before(MEAL, MINUTE, ns("2025-09-16 15:00:00"), 10_000)
    ends = pd.to_datetime([row.time_ns + MINUTE + 480 * MINUTE for row in rows]).to_pydatetime()
    return [
        (end, row.open, row.high, row.low, row.close, row.volume, row.close_oi)
        for end, row in zip(ends.tolist(), rows, strict=True)
    ]


def test_a_contract_that_no_catalogue_knows_replays_by_its_recorded_terms(tmp_path: Path) -> None:
    terms = {
        "instrument_id": "GFEX.zz2601", "exchange_id": "GFEX", "product_id": "zz",
        "price_tick": 0.5, "price_decs": 1, "volume_multiple": 20, "margin": 9000.0,
        "trading_time": {"day": [["09:00:00", "10:00:00"]], "night": []},
    }  # fmt: skip
    market: dict[str, Any] = {"start": DAY, "end": datetime(2025, 9, 16, 9, 10)}  # noqa: DTZ001
    out = tmp_path / "ticks"
    record(LocalExchange(**market, instruments=[terms]), out, ["GFEX.zz2601"])
    for place in (out, out / "2025-09-16", out / "2025-09-16" / "GFEX.zz2601.parquet"):
        replay = Market.replaying([place], start=DAY)
        contract = replay.contract("GFEX.zz2601")
        assert contract is not None
        assert (contract.price_tick, contract.volume_multiple) == (0.5, 20)
        assert contract.trading_time["day"] == [["09:00:00", "10:00:00"]]
    expected = Market.seeded(start=DAY, instruments=[terms]).day_ticks("GFEX.zz2601", DAY)
    until_ns = ns("2025-09-16 09:10:00")
    replayed = replay.day_ticks("GFEX.zz2601", DAY)
    assert list(replayed) == [tick for tick in expected if tick.time_ns <= until_ns]
    assert len(backtest(dataname=out / "2025-09-16").bars) == 10
    (out / "instruments.json").unlink()
    with pytest.raises(BadReplayFile, match="terms are not known"):
        LocalExchange(replay=[out])


def test_chunks_of_a_killed_recorder_replay(tmp_path: Path) -> None:
    folder = TickFolder(tmp_path / "ticks").open()
    for n in range(1_100):
        tick = row("2025-09-16 09:00:00", 3000.0, n)
        folder.add(MEAL, DAY, n, tick | {"datetime": tick["datetime"] + (n + 1) * 500_000_000})
    folder.save()
    assert len(list(folder.path.rglob("*.parquet"))) == 3
    ticks = Market.replaying([folder.path]).day_ticks(MEAL, DAY)
    assert [tick.volume for tick in ticks] == list(range(1_100))
    assert not any(tick.after_hole for tick in ticks)
    bars = backtest(dataname=folder.path, trading_time=MEAL_HOURS).bars
    folder.close()
    assert backtest(dataname=folder.path, trading_time=MEAL_HOURS).bars == bars
    assert len(bars) == 10


def test_ids_tell_the_order_of_ticks_of_one_moment_and_of_late_ones(tmp_path: Path) -> None:
    """Two ticks of 09:01:00 both belong to the bar that it closes; a late one to where it came."""
    times = ["09:00:30", "09:01:00", "09:01:00", "09:01:20", "09:01:10", "09:02:30"]
    ticks = [row(f"2025-09-16 {at}", 3000.0 + n, n + 1) for n, at in enumerate(times)]
    path = written(tmp_path, ticks)
    replayed = Market.replaying([path]).day_ticks(MEAL, DAY)
    assert [tick.volume for tick in replayed] == [1, 2, 3, 4, 5, 6]
    stamps = [tick.time_ns for tick in replayed]
    assert stamps == sorted(set(stamps))
    edge_ns = ns("2025-09-16 09:01:00")
    assert edge_ns - 10 < stamps[1] < stamps[2] == edge_ns
    bars = backtest(dataname=path, trading_time=MEAL_HOURS).bars
    assert bars == official(path)
    assert [bar[5] for bar in bars] == [2, 2, 1]  # the first tick only tells the day's lots


def test_a_contract_without_a_price_before_its_first_trade_replays(tmp_path: Path) -> None:
    ticks = [
        row("2025-09-15 21:00:30", "-", 0), row("2025-09-16 09:00:30", "-", 0),
        row("2025-09-16 09:01:30", 3000.0, 7), row("2025-09-16 09:02:30", 3001.0, 8),
    ]  # fmt: skip
    path = written(tmp_path, ticks)
    bars = backtest(dataname=path, trading_time=MEAL_HOURS).bars
    assert [(f"{bar[0]:%H:%M}", *bar[1:6]) for bar in bars] == [
        ("09:02", 3000.0, 3000.0, 3000.0, 3000.0, 7),
        ("09:03", 3000.0, 3001.0, 3000.0, 3001.0, 1),
    ]
    assert [bar[:5] for bar in official(path)] == [bar[:5] for bar in bars]


def test_recordings_that_cannot_be_replayed_are_named(tmp_path: Path) -> None:
    tick = row("2025-09-16 09:00:30", 3000.0, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadReplayFile, match="without Parquet files"):
        LocalExchange(replay=tmp_path / "empty")
    with TickFolder(tmp_path / "option") as folder:
        folder.add("DCE.m2601-C-3000", DAY, 0, tick)
    with pytest.raises(BadReplayFile, match=r"DCE\.m2601-C-3000\.parquet"):
        LocalExchange(replay=[tmp_path / "option"])
    others = []
    for n, at in enumerate(("09:00:30", "09:00:31")):
        with TickFolder(tmp_path / f"market{n}") as folder:
            folder.add(MEAL, DAY, 0, tick | {"datetime": ns(f"2025-09-16 {at}")})
        others.append(tmp_path / f"market{n}")
    with pytest.raises(BadReplayFile, match="two ticks with id 0"):
        LocalExchange(replay=others)
    for name, frame, says in (
        ("DCE.m2601.parquet", pd.DataFrame({"when": [1], "price": [2]}), "columns when, price"),
        ("DCE.m2601.parquet", pd.DataFrame([tick])[:0], "no rows"),
        ("DCE.m2601.parquet", pd.DataFrame([tick | {"last_price": None, "id": 1}]), "last_price"),
    ):
        frame.to_parquet(tmp_path / name)
        with pytest.raises(BadReplayFile, match=says) as caught:
            LocalExchange(replay=[tmp_path / name])
        assert name in str(caught.value)
    (tmp_path / "DCE.m2601.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(BadReplayFile, match="cannot be read"):
        LocalExchange(replay=[tmp_path / "DCE.m2601.parquet"])
