"""Feeds of every timeframe against the exchange's own klines, from history into live trading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from support import DIARY

from tianqin_backtrader import LocalExchange, TqStore, listing
from tianqin_backtrader.errors import BadTimeframe, ExpiredSymbol, WrongSetting
from tianqin_backtrader.model import instrument_from
from tianqin_backtrader.sim.market import Market

CU = "SHFE.cu2511"
Row = tuple[Any, ...]
Frame = tuple[int, int]
SECOND, MINUTE, DAY, TICK = (
    bt.TimeFrame.Seconds,
    bt.TimeFrame.Minutes,
    bt.TimeFrame.Days,
    bt.TimeFrame.Ticks,
)


def beijing(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass
class FeedSeen:
    """What one feed delivered: rows of (end in Beijing time, o, h, l, c, volume, interest)."""

    rows: list[Row] = field(default_factory=list)
    history: int = 0
    statuses: list[str] = field(default_factory=list)
    audit: Any = None


class Recorder(bt.Strategy):
    """Writes down each new bar of each data, a growing bar's newest state included."""

    params: Any = (("seen", None), ("notices", None))

    def __init__(self) -> None:
        self.lengths = [0] * len(self.datas)

    def notify_data(self, data: Any, status: int, *_: Any) -> None:
        at = next(n for n, each in enumerate(self.datas) if each is data)
        self.p.seen[at].statuses.append(data._getstatusname(status))

    def notify_store(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if msg not in DIARY:
            self.p.notices.append((msg, args, kwargs))

    def look(self) -> None:
        for n, data in enumerate(self.datas):
            seen = self.p.seen[n]
            if not len(data):
                continue
            lines = (data.open, data.high, data.low, data.close, data.volume, data.openinterest)
            row = (data.datetime.datetime(0), *(line[0] for line in lines))
            if len(data) > self.lengths[n]:
                self.lengths[n] = len(data)
                seen.rows.append(row)
                seen.history += data.history_phase
            else:
                seen.rows[-1] = row

    prenext = next = look


def watch(
    exchange: LocalExchange, add: Callable[[bt.Cerebro, TqStore], None]
) -> tuple[list[FeedSeen], list[tuple[Any, ...]]]:
    """Run to the end of the market with the feeds that `add` adds; what each saw, and notices."""
    notices: list[tuple[Any, ...]] = []
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        add(cerebro, store)
        seen = [FeedSeen() for _ in cerebro.datas]
        cerebro.addstrategy(Recorder, seen=seen, notices=notices)
        cerebro.run()
        for each, data in zip(seen, cerebro.datas, strict=True):
            each.audit = data.audit
    return seen, notices


def feeds_of(
    symbol: str, frames: Sequence[Frame], **options: Any
) -> Callable[[bt.Cerebro, TqStore], None]:
    def add(cerebro: bt.Cerebro, store: TqStore) -> None:
        for timeframe, compression in frames:
            cerebro.adddata(store.getdata(symbol, timeframe, compression, **options))

    return add


def official(market: Market, symbol: str, duration_s: int, until: datetime) -> list[Row]:
    """The exchange's own klines until a moment in Beijing time, without their times."""
    now_ns = int((until - timedelta(hours=8) - datetime(1970, 1, 1)).total_seconds()) * 10**9  # noqa: DTZ001
    rows = market.klines_before(symbol, duration_s * 10**9, now_ns, 10_000)
    return [(r.open, r.high, r.low, r.close, r.volume, r.close_oi) for r in rows]


FRAMES = {
    "10 seconds": ((SECOND, 10), 10),
    "13 seconds": ((SECOND, 13), 13),
    "90 seconds": ((SECOND, 90), 90),
    "minute": ((MINUTE, 1), 60),
    "4 minutes": ((MINUTE, 4), 240),
    "5 minutes": ((MINUTE, 5), 300),
    "7 minutes": ((MINUTE, 7), 420),
    "hour": ((MINUTE, 60), 3_600),
    "4 hours": ((MINUTE, 240), 14_400),
    "12 hours": ((MINUTE, 720), 43_200),
}


def test_all_timeframes_of_one_contract_equal_the_exchanges_klines() -> None:
    """Night, breaks, day: what was history and what was built, in one Cerebro from one stream."""
    start, end = beijing("2025-09-15T22:07:31"), beijing("2025-09-16T13:40:00")
    seen, notices = watch(
        LocalExchange(start=start, end=end),
        feeds_of(CU, [frame for frame, _ in FRAMES.values()], history=3),
    )
    market = Market.seeded(start=start, end=end)
    for (name, (_, duration_s)), feed in zip(FRAMES.items(), seen, strict=True):
        expected = official(market, CU, duration_s, end)
        got = [row[1:] for row in feed.rows]
        assert feed.history == 3, name
        whole = len(got)  # the bar that the end cuts is no bar of ours
        assert len(expected) - expected.index(got[0]) - whole in (0, 1), name
        assert got == expected[expected.index(got[0]) :][:whole], name
        assert feed.statuses == ["DELAYED", "LIVE", "DISCONNECTED"], name
        assert (feed.audit.agreed, feed.audit.differed) == (whole - 3, 0), name
    assert notices == []


@pytest.mark.parametrize("mode", ["resampledata", "replaydata"])
@pytest.mark.parametrize("is_added", [True, False], ids=["beside the minutes", "alone"])
def test_larger_bars_of_cerebro_are_the_native_ones(mode: str, is_added: bool) -> None:
    """Backtrader's own resampler joins nights and mornings, and crashed on live data."""
    start, end = beijing("2025-09-15T22:50:00"), beijing("2025-09-16T11:10:00")
    frames = [(MINUTE, 4), (MINUTE, 60)]

    def add(cerebro: bt.Cerebro, store: TqStore) -> None:
        for timeframe, compression in frames:
            data = store.getdata(CU, history=5)
            if is_added:
                cerebro.adddata(data)
            getattr(cerebro, mode)(data, timeframe=timeframe, compression=compression)

    seen, _ = watch(LocalExchange(start=start, end=end), add)
    native, _ = watch(LocalExchange(start=start, end=end), feeds_of(CU, frames, history=5))
    larger = seen[1::2] if is_added else seen
    for feed, expected in zip(larger, native, strict=True):
        # what the end of the market cuts is seen growing, and is never a whole bar
        is_growing = mode == "replaydata" and feed.rows[-1] not in expected.rows
        assert feed.rows[: len(feed.rows) - is_growing] == expected.rows
        assert feed.audit.differed == 0


def test_a_replayed_bar_grows_with_each_minute() -> None:
    start, end = beijing("2025-09-16T10:06:30"), beijing("2025-09-16T10:45:00")
    states: list[Row] = []

    class Growing(bt.Strategy):
        def next(self) -> None:
            if not self.data.history_phase:
                d = self.data
                states.append((len(d), d.datetime.datetime(0), d.open[0], d.close[0], d.volume[0]))

    with TqStore(exchange=LocalExchange(start=start, end=end)) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.replaydata(store.getdata(CU, history=1), timeframe=MINUTE, compression=30)
        cerebro.addstrategy(Growing)
        cerebro.run()
    minutes = [f"{state[1]:%H:%M}" for state in states]
    expected = [f"10:{m:02}" for m in (*range(7, 16), *range(31, 46))]
    assert minutes == expected  # the bar of 10:00 ends at 10:15, that of 10:30 follows the break
    lengths = [state[0] for state in states]
    assert lengths == [2] * 9 + [3] * 15
    volumes = [state[4] for state in states]
    assert volumes[:9] == sorted(volumes[:9])
    assert volumes[9:] == sorted(volumes[9:])
    market = Market.seeded(start=start, end=end)
    *_, first, _ = official(market, CU, 1_800, end)
    assert (states[8][2], states[8][3], states[8][4]) == (first[0], first[3], first[4])


STARTS = {
    "in the night": "2025-09-15T23:17:23",
    "one second before a minute ends": "2025-09-15T21:59:59",
    "as a minute ends": "2025-09-15T22:00:00",
    "in a break": "2025-09-16T10:20:00",
    "at lunch": "2025-09-16T12:00:00",
    "between night and morning": "2025-09-16T04:00:00",
    "after the close": "2025-09-16T16:00:00",
    "before the first tick of the day": "2025-09-15T20:30:00",
    "on a Saturday": "2025-09-20T11:00:00",
    "in Friday's night": "2025-09-19T22:30:30",
    "in a holiday": "2025-10-03T11:00:00",
}


@pytest.mark.parametrize("moment", STARTS.values(), ids=STARTS)
def test_history_meets_live_trading_without_a_seam(moment: str) -> None:
    start = beijing(moment)
    calendar = Market.seeded().calendar
    now_ns = int((start - timedelta(hours=8) - datetime(1970, 1, 1)).total_seconds()) * 10**9  # noqa: DTZ001
    day = calendar.trading_day_of(now_ns)
    if start.hour in range(15, 18):
        day = calendar.next_trading_day(day)
    morning = datetime.combine(day, datetime.min.time()) + timedelta(hours=9, minutes=20)
    end = morning if morning > start else morning.replace(hour=13, minute=40)
    frames = [(MINUTE, 1), (SECOND, 10), (MINUTE, 60), (DAY, 1)]
    seen, notices = watch(LocalExchange(start=start, end=end), feeds_of(CU, frames, history=4))
    market = Market.seeded(start=start, end=end)
    for feed, duration_s in zip(seen, (60, 10, 3_600, 86_400), strict=True):
        assert feed.statuses == ["DELAYED", "LIVE", "DISCONNECTED"]
        assert feed.history == 4
        times = [row[0] for row in feed.rows]
        assert times == sorted(set(times))
        assert all(time <= start for time in times[:4])
        assert all(time > start for time in times[4:])
        expected = official(market, CU, duration_s, end)
        got = [row[1:] for row in feed.rows]
        at = expected.index(got[0])
        assert got == expected[at : at + len(got)]
        assert len(expected) - at - len(got) in (0, 1)
        assert feed.audit.differed == 0
    assert notices == []


def test_ticks_come_one_by_one_with_what_was_traded_since_the_last() -> None:
    start, end = beijing("2025-09-16T09:58:03"), beijing("2025-09-16T10:02:00")
    rows: list[tuple[Any, ...]] = []

    class Ticks(bt.Strategy):
        def next(self) -> None:
            d = self.data
            quotes = (d.bid_price[0], d.ask_price[0], d.trading_day[0])
            rows.append((d.datetime.datetime(0), d.close[0], d.volume[0], d.history_phase, *quotes))

    with TqStore(exchange=LocalExchange(start=start, end=end)) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(CU, TICK, 1, history=30))
        cerebro.addstrategy(Ticks)
        cerebro.run()
    market = Market.seeded(start=start, end=end)
    day = market.calendar.trading_day_of(market.start_ns)
    epoch = datetime(1970, 1, 1, 8)  # noqa: DTZ001  Beijing time
    whole = [
        (epoch + timedelta(microseconds=t.time_ns // 1000), t.last_price, t.volume)
        for t in market.day_ticks(CU, day)
    ]
    at = len(whole) - len(rows)
    assert [row[0] for row in rows[:30] if row[3]] == [row[0] for row in rows[:30]]
    assert sum(row[3] for row in rows) == 30
    for n, row in enumerate(rows):
        moment, price, volume = whole[at + n]
        assert abs((row[0] - moment).total_seconds()) < 2e-5  # what a float of days can hold
        assert (row[1], row[2]) == (price, volume - whole[at + n - 1][2])
        assert row[4] < row[5]
        assert row[6] == 20250916
    assert rows[-1][0] <= end < rows[-1][0] + timedelta(seconds=6)


def test_days_end_at_the_close_and_hold_the_night_before() -> None:
    """A daily bar of Friday night appeared on Saturday elsewhere; here it is Monday's, at 15:00."""
    start, end = beijing("2025-09-18T20:00:00"), beijing("2025-09-23T10:00:00")
    (feed,), _ = watch(
        LocalExchange(start=start, end=end, ticks_per_minute=2),
        lambda cerebro, store: cerebro.adddata(store.get_daily_data(CU, history=2)),
    )
    ends = [f"{row[0]:%m-%d %a %H:%M}" for row in feed.rows]
    assert ends == [
        "09-17 Wed 15:00", "09-18 Thu 15:00", "09-19 Fri 15:00", "09-22 Mon 15:00",
    ]  # fmt: skip
    market = Market.seeded(start=start, end=end, ticks_per_minute=2)
    expected = official(market, CU, 86_400, end)[-5:-1]
    assert [row[1:] for row in feed.rows] == expected
    assert (feed.audit.agreed, feed.audit.differed) == (3, 0)  # Thursday's, over already, too


@pytest.mark.parametrize("flat", [True, False])
def test_untraded_minutes_can_be_left_out(flat: bool, records: Path) -> None:
    """m2005 is quiet in its first months: most of its minutes are flat."""
    path = records / "klines" / "60s" / "DCE.m2005.csv.gz"
    day = date(2019, 7, 9)
    (feed,), _ = watch(
        LocalExchange(replay=[path], start=day, end=day),
        feeds_of("DCE.m2005", [(MINUTE, 1)], history=100, flat=flat),
    )
    record = pd.read_csv(path)
    last = record.index[record.trading_day == day.isoformat()][-1]
    live = record[record.trading_day == day.isoformat()]
    expected = record.loc[live.index[0] - 100 : last]
    assert (expected.volume == 0).any()
    kept = expected if flat else expected[expected.volume > 0]
    assert feed.audit.agreed == len(live) + 1  # the minute before was built as well
    assert [row[5] for row in feed.rows] == kept.volume.tolist()
    assert [row[4] for row in feed.rows] == kept.close.tolist()


def test_a_silent_contract_delays_nobody() -> None:
    """In 2025 the catalogue's far months hardly trade; a contract that lists later has no tick."""
    start, end = beijing("2025-09-16T10:00:00"), beijing("2025-09-16T10:10:00")
    calls: list[tuple[str, ...]] = []

    class Both(bt.Strategy):
        def next(self) -> None:
            if not any(data.history_phase for data in self.datas):
                calls.append(tuple(f"{d.datetime.datetime(0):%H:%M}" for d in self.datas))

    symbols = [CU, "SHFE.cu2608", "DCE.m2601", "CZCE.SR601", "SHFE.au2606"]
    with TqStore(exchange=LocalExchange(start=start, end=end)) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        for symbol in symbols:
            cerebro.adddata(store.getdata(symbol, history=3))
        cerebro.addstrategy(Both)
        cerebro.run()
    assert calls == [(f"10:{m:02}",) * len(symbols) for m in range(1, 11)]


def test_an_expired_contract_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """TqSdk lists contracts for years after their last day; no bar of them will ever come."""
    monkeypatch.setattr(
        listing, "instrument_from", lambda quote: replace(instrument_from(quote), expired=True)
    )
    with pytest.raises(ExpiredSymbol, match=r"SHFE\.cu2511 has expired.*KQ\.m@"):
        watch(LocalExchange(end=date(2025, 9, 16)), feeds_of(CU, [(MINUTE, 1)]))


@pytest.mark.parametrize(
    "options",
    [{"bar2edge": False}, {"rightedge": False}, {"boundoff": 1}],
    ids=["bars of counts", "labels on the left", "edges moved"],
)
def test_resampling_off_the_exchanges_edges_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(WrongSetting, match=next(iter(options))):
        bt.Cerebro().resampledata(TqStore().getdata(CU), timeframe=MINUTE, compression=5, **options)


def test_timeframes_that_cannot_be_built_are_refused_before_the_run() -> None:
    store, cerebro = TqStore(), bt.Cerebro()
    for timeframe, compression in ((bt.TimeFrame.Weeks, 1), (MINUTE, 241), (DAY, 2)):
        with pytest.raises(BadTimeframe, match="TimeFrame"):
            cerebro.resampledata(store.getdata(CU), timeframe=timeframe, compression=compression)
    data = store.getdata(CU, compression=2)
    with pytest.raises(BadTimeframe, match="replay of 300 s out of 120 s"):
        cerebro.replaydata(data, timeframe=MINUTE, compression=5)


def test_main_contract_tells_when_it_follows_another_contract() -> None:
    """The seeded market's copper goes on to the next month in the middle of September."""
    main = "KQ.m@SHFE.cu"
    market = Market.seeded(start=date(2025, 9, 1))
    day = date(2025, 9, 1)
    before = market.main_contract(main, day)
    while market.main_contract(main, day) == before:
        eve, day = day, market.calendar.next_trading_day(day)
    after = market.main_contract(main, day)
    start = datetime.combine(eve, datetime.min.time()) + timedelta(hours=14, minutes=55)
    end = datetime.combine(day, datetime.min.time()) + timedelta(hours=9, minutes=5)
    contracts: list[str] = []

    class Follow(bt.Strategy):
        def next(self) -> None:
            contracts.append(self.data.contract)

    notices: list[Any] = []

    class Told(Follow):
        def notify_store(self, msg: Any, *args: Any, **kwargs: Any) -> None:
            if msg in DIARY:
                return
            notices.append((msg, kwargs["before"], kwargs["after"], kwargs["data"].contract))

    with TqStore(exchange=LocalExchange(start=start, end=end)) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(main, history=0))
        cerebro.addstrategy(Told)
        cerebro.run()
    assert notices == [("CONTRACT_CHANGED", before, after, after)]
    assert list(dict.fromkeys(contracts)) == [before, after]
    assert len(contracts) == 10


def test_a_run_on_a_market_that_is_over_delivers_history_and_ends() -> None:
    """It waited for ever: the end had been told to others only."""
    end = beijing("2025-09-15T21:05:00")
    with LocalExchange(end=end) as exchange:
        first, _ = watch(exchange, feeds_of(CU, [(MINUTE, 1)], history=3))
        second, _ = watch(exchange, feeds_of(CU, [(MINUTE, 1)], history=3))
    assert len(first[0].rows) == 8
    assert second[0].rows == first[0].rows[-4:]
    assert second[0].history == 3  # the minute that the end closes is none
