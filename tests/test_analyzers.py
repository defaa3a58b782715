"""Analyzers by trading day: against Backtrader's own without nights, worked by hand with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from support import klines_feed

from tianqin_backtrader import LocalExchange, RecordedData, TqCommInfo, TqStore
from tianqin_backtrader.analyzers import TradingDay, TradingDayReturns, TradingDays
from tianqin_backtrader.errors import WrongSetting

MINUTE = 60_000_000_000
THURSDAY, FRIDAY, MONDAY = date(2019, 4, 11), date(2019, 4, 12), date(2019, 4, 15)
BEIJING_OFFSET = timedelta(hours=8)
BACKTRADERS = ("TradeAnalyzer", "TimeReturn", "Transactions", "PyFolio", "DrawDown")


class DatedBars(bt.feed.DataBase):
    """Flat bars: (end in Beijing time, trading day, price)."""

    lines: Any = ("trading_day",)
    params: Any = (("rows", ()),)

    def start(self) -> None:
        super().start()
        self._rows: Iterator[tuple[datetime, date, float]] = iter(self.p.rows)

    def _load(self) -> bool:
        row = next(self._rows, None)
        if row is None:
            return False
        self.lines.datetime[0] = bt.date2num(row[0] - BEIJING_OFFSET)
        self.lines.trading_day[0] = int(f"{row[1]:%Y%m%d}")
        for name in ("open", "high", "low", "close"):
            getattr(self.lines, name)[0] = row[2]
        self.lines.volume[0] = self.lines.openinterest[0] = 0
        return True


class Undated(bt.feeds.PandasData):
    """A feed that tells no trading day."""


class Script(bt.Strategy):
    """Trades `sizes[n]` lots of the last feed on bar n, counted from 1; notes equity and day."""

    params: Any = (("sizes", {}), ("seen", None))

    def next(self) -> None:
        data = self.datas[-1]
        if getattr(data, "history_phase", False):
            return
        if self.p.seen is not None:
            self.p.seen.append((int(data.trading_day[0]), self.broker.getvalue()))
        size = self.p.sizes.get(len(self), 0)
        if size:
            (self.buy if size > 0 else self.sell)(data=data, size=abs(size))


def analyzed(
    feeds: list[Any], sizes: dict[int, int], terms: TqCommInfo | None = None, **options: Any
) -> Any:
    """The analyzers of a backtest with 1,000,000 CNY; `options` are those of ours."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.setcash(1_000_000.0)
    cerebro.broker.addcommissioninfo(terms or TqCommInfo(mult=5, margin=1000.0, commission=2.0))
    for feed in feeds:
        cerebro.adddata(feed)
    cerebro.addstrategy(Script, sizes=sizes)
    add(cerebro, **options)
    return cerebro.run()[0].analyzers


def add(cerebro: bt.Cerebro, **options: Any) -> None:
    cerebro.addanalyzer(TradingDayReturns, _name="returns", **options)
    cerebro.addanalyzer(TradingDays, _name="days", **options)
    for name in BACKTRADERS:
        daily = {"timeframe": bt.TimeFrame.Days} if name == "TimeReturn" else {}
        cerebro.addanalyzer(getattr(bt.analyzers, name), _name=name, **daily)


def bars(*rows: tuple[str, date, float]) -> DatedBars:
    """Bars at Beijing times such as "04-12 21:01"."""
    made: Any = DatedBars
    feed: DatedBars = made(rows=[(datetime.fromisoformat(f"2019-{t}"), d, p) for t, d, p in rows])
    return feed


def weekend() -> DatedBars:
    """Friday's day session and night, and Monday's day session."""
    return bars(
        ("04-12 14:58", FRIDAY, 100.0),
        ("04-12 14:59", FRIDAY, 100.0),
        ("04-12 15:00", FRIDAY, 110.0),
        ("04-12 21:01", MONDAY, 90.0),
        ("04-13 01:00", MONDAY, 130.0),
        ("04-15 09:01", MONDAY, 130.0),
        ("04-15 15:00", MONDAY, 120.0),
    )


# ---- by hand


def test_friday_night_is_mondays() -> None:
    """Bought 2 lots x 5 at 100 on Friday for 4 CNY; sold at 130 in Monday's day session."""
    found = analyzed([weekend()], {1: 2, 5: -2})
    friday, monday = 1_000_000 - 4 + 100, 1_000_000 - 8 + 300
    returns = found.returns.get_analysis()
    assert list(returns) == [FRIDAY, MONDAY]
    assert list(returns.values()) == pytest.approx([friday / 1_000_000 - 1, monday / friday - 1])
    assert found.days.get_analysis() == {
        FRIDAY: TradingDay(friday, 96.0, fees_cny=4.0, trades=0, lots=2.0, drawdown_cny=4.0),
        MONDAY: TradingDay(monday, 196.0, fees_cny=4.0, trades=1, lots=2.0, drawdown_cny=200.0),
    }


def test_backtraders_daily_returns_put_the_night_into_friday() -> None:
    """Why these analyzers exist: at 17:00 UTC on Friday Monday's night ends."""
    found = analyzed([weekend()], {1: 2, 5: -2})
    theirs = found.TimeReturn.get_analysis()
    after_night = 1_000_000 - 4 + 300
    assert [day.date() for day in theirs] == [FRIDAY, MONDAY]
    assert theirs[datetime(2019, 4, 12)] == pytest.approx(after_night / 1_000_000 - 1)  # noqa: DTZ001


def test_a_fall_is_measured_from_the_days_highest_value_and_from_the_evening_before() -> None:
    feed = bars(
        ("04-11 14:59", THURSDAY, 100.0),
        ("04-11 15:00", THURSDAY, 100.0),
        ("04-12 09:01", FRIDAY, 98.0),
        ("04-12 09:02", FRIDAY, 105.0),
        ("04-12 09:03", FRIDAY, 99.0),
        ("04-12 09:04", FRIDAY, 104.0),
        ("04-15 09:01", MONDAY, 101.0),
        ("04-15 09:02", MONDAY, 102.0),
    )
    days = analyzed([feed], {1: 1}).days.get_analysis()
    assert [day.drawdown_cny for day in days.values()] == [2.0, 5 * 6.0, 5 * 3.0]
    assert [day.pnl_cny for day in days.values()] == [-2.0, 5 * 4.0, 5 * -2.0]


def test_a_contract_without_nights_does_not_hold_the_day_back() -> None:
    """Its newest bar is still Friday's while the other one trades Monday's night."""
    eggs = bars(("04-12 14:58", FRIDAY, 4.0), ("04-15 09:01", MONDAY, 4.0))
    values = analyzed([eggs, weekend()], {1: 2}).days.as_frame()["value_cny"]
    assert values.tolist() == [1_000_096, 1_000_196]


def test_the_feed_that_was_asked_for_tells_the_day() -> None:
    eggs = bars(("04-12 14:58", FRIDAY, 4.0), ("04-15 09:01", MONDAY, 4.0))
    values = analyzed([eggs, weekend()], {1: 2}, data=eggs).days.as_frame()["value_cny"]
    assert values.tolist() == [1_000_296, 1_000_196]


def test_series_and_frame() -> None:
    found = analyzed([weekend()], {1: 2, 5: -2})
    series, frame = found.returns.as_series(), found.days.as_frame()
    index = pd.DatetimeIndex(["2019-04-12", "2019-04-15"])
    assert series.index.equals(index)
    assert series.tolist() == list(found.returns.get_analysis().values())
    assert frame.index.equals(index)
    assert frame.loc["2019-04-15"].to_dict() == {
        "value_cny": 1_000_292.0, "pnl_cny": 196.0, "fees_cny": 4.0, "trades": 1, "lots": 2.0,
        "drawdown_cny": 200.0,
    }  # fmt: skip


def test_nothing_seen_makes_an_empty_series_and_frame() -> None:
    found = analyzed([bars()], {})
    assert found.returns.as_series().empty
    assert list(found.days.as_frame().columns)[:2] == ["value_cny", "pnl_cny"]


@pytest.mark.parametrize("kind", [TradingDayReturns, TradingDays])
def test_a_feed_without_trading_days_raises(kind: Any) -> None:
    frame = pd.DataFrame({"close": [1.0]}, pd.DatetimeIndex(["2019-04-12"]))
    cerebro = bt.Cerebro()
    cerebro.adddata(Undated(dataname=frame), name="plain")
    cerebro.addanalyzer(kind)
    with pytest.raises(WrongSetting, match=r"data is 'plain'.*trading_day.*RecordedData"):
        cerebro.run()


# ---- against the records


def klines(records: Path, symbol: str, first: str, last: str) -> pd.DataFrame:
    record = pd.read_csv(records / "klines" / "60s" / f"{symbol}.csv.gz")
    found: pd.DataFrame = record[record.trading_day.between(first, last)]
    return found


def test_without_nights_they_are_backtraders_own(records: Path) -> None:
    minutes = klines(records, "CFFEX.IF1908", "2019-07-01", "2019-07-12")
    terms = TqCommInfo(mult=300, margin=100_000.0, commission=30.0)
    sizes = {n: 1 if n % 400 < 200 else -1 for n in range(50, 2400, 100)}
    found = analyzed([klines_feed(minutes)], sizes, terms)
    theirs = {day.date(): value for day, value in found.TimeReturn.get_analysis().items()}
    assert len(theirs) == 10
    assert found.returns.get_analysis() == theirs


def test_with_nights_the_records_own_trading_day_decides(records: Path) -> None:
    """The price moves of each official trading day, one lot held all the time."""
    minutes = klines(records, "SHFE.cu1905", "2019-04-10", "2019-04-16")
    days = analyzed([klines_feed(minutes)], {1: 1}).days.as_frame()
    closes = minutes.groupby("trading_day")["close"].last()
    assert [f"{day:%Y-%m-%d}" for day in days.index] == closes.index.tolist()
    bought = minutes["open"].iloc[1]
    moves = closes.diff().fillna(closes.iloc[0] - bought) * 5
    assert days["pnl_cny"].tolist() == pytest.approx([moves.iloc[0] - 2, *moves.iloc[1:]])
    assert days["value_cny"].iloc[-1] == pytest.approx(1_000_000 + days["pnl_cny"].sum())


def test_recorded_ticks_tell_their_day(records: Path) -> None:
    """One lot bought at the open of the second minute, the last price of 09:31:00, and held."""
    path = records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"
    hours = {"day": (("09:30:00", "11:30:00"), ("13:00:00", "15:00:00")), "night": ()}
    made: Any = RecordedData
    terms = TqCommInfo(mult=300, margin=100_000.0, commission=30.0)
    days = analyzed([made(dataname=path, trading_time=hours)], {1: 1}, terms).days
    ticks = pd.read_csv(path)
    bought = ticks[ticks["dt"] <= "2021-01-04 09:31:00"]["price"].iloc[-1]
    closed = ticks[ticks["dt"] <= "2021-01-04 15:00:00"]["price"].iloc[-1]
    (found,) = days.get_analysis().items()
    assert found[0] == date(2021, 1, 4)
    assert found[1].pnl_cny == pytest.approx((closed - bought) * 300 - 30)


def test_live_days_are_the_accounts_and_history_is_none(records: Path) -> None:
    """Over a weekend with Friday's night, after 400 bars of history."""
    path = records / "klines" / "60s" / "DCE.m2005.csv.gz"
    seen: list[tuple[int, float]] = []
    days = (date(2019, 8, 23), date(2019, 8, 26))
    with TqStore(exchange=LocalExchange(replay=path, start=days[0], end=days[1])) as store:
        cerebro = bt.Cerebro(quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata("DCE.m2005", history=400))
        sizes = {410: 3, 500: -5, 700: 2, 800: -1, 900: 1, 1000: 2}  # Monday begins at 746
        cerebro.addstrategy(Script, sizes=sizes, seen=seen)
        add(cerebro)
        found = cerebro.run()[0].analyzers
    ends = {day: value for day, value in seen}  # noqa: C416  the last one of each day stays
    frame = found.days.as_frame()
    assert [int(f"{day:%Y%m%d}") for day in frame.index] == list(ends) == [20190823, 20190826]
    assert frame["value_cny"].tolist() == list(ends.values())
    start, friday, monday = 10_000_000.0, *ends.values()
    returns = found.returns.get_analysis()
    assert returns == {days[0]: friday / start - 1, days[1]: monday / friday - 1}
    assert frame["lots"].tolist() == [10, 4]
    assert frame["fees_cny"].tolist() == [10 * 1.5, 4 * 1.5]
    assert frame["trades"].tolist() == [2, 1]
    assert found.TradeAnalyzer.get_analysis().total.closed == 3


def test_backtraders_analyzers_run_beside_them() -> None:
    found = analyzed([weekend()], {1: 2, 5: -2})
    assert found.TradeAnalyzer.get_analysis().pnl.net.total == pytest.approx(292)
    assert len(found.Transactions.get_analysis()) == 2
    returns, _, transactions, _ = found.PyFolio.get_pf_items()
    assert (len(returns), len(transactions)) == (2, 2)
    assert found.DrawDown.get_analysis().max.moneydown == pytest.approx(200)
