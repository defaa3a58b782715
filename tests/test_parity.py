"""One strategy twice over the same recorded minutes: Backtrader's own broker, and the exchange.

A market order written on a bar fills in the backtest at the next bar's open plus a slippage, and in
the replay at the book's opposite price when the order arrives: at the next minute's first tick.
Fills, fees and equity agree to the cent when
- that tick, half a second into the minute or later, shows its open: in a stretch the close before;
- best bid and ask stand one price tick beside it, with lots enough for one fill: `slip_fixed` is
  one price tick, `slip_out` lets it leave the bar;
- no order is written on the last bar of a stretch: the exchange is closed then;
- fees and margins are the exchange's (`TqCommInfo`), close-today fees included;
- equity is read before the settlement, which values lots at the settlement price until the next
  tick.
The minutes are official klines; ticks that make them, and their book, are made here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from support import klines_feed

from tianqin_backtrader import LocalExchange, RecordedData, TqCommInfo, TqStore
from tianqin_backtrader.beijing import BEIJING

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
BALANCE_CNY = 10_000_000.0
BOOK_LOTS = 100
MORNING, NOON, CLOSE = time(10, 15), time(11, 30), time(15, 0)


@dataclass(frozen=True, slots=True)
class Case:
    """Days of a contract with its terms of 2020-06-16, from the real records.

    close_today: the opening fee times what the exchange's catalogue asks for: 2, 1 and 310.5 / 31.
    """

    symbol: str
    first: str
    last: str
    price_tick: float
    mult: int
    margin: float
    commission: float
    close_today: float
    most_lots: int
    stretch_ends: frozenset[time]
    days: int
    nights: int
    every: int  # bars from order to order
    seed: int

    @property
    def terms(self) -> dict[str, Any]:
        return {
            "mult": self.mult,
            "margin": self.margin,
            "commission": self.commission,
            "close_today": self.close_today,
            "exchange_id": self.symbol.split(".")[0],
        }


CU = Case(
    "SHFE.cu1905", "2019-04-10", "2019-04-16", 10, 5, 16369.5, 11.6925, 23.39, 6,
    frozenset({MORNING, NOON, CLOSE, time(1, 0)}), days=5, nights=5, every=17, seed=8,
)  # fmt: skip
M = Case(
    "DCE.m2005", "2019-08-22", "2019-08-28", 1, 10, 1412.5, 1.5, 1.5, 40,
    frozenset({MORNING, NOON, CLOSE, time(23, 0)}), days=5, nights=5, every=17, seed=13,
)  # fmt: skip
IF = Case(
    "CFFEX.IF1908", "2019-08-05", "2019-08-07", 0.2, 300, 119940.0, 27.5862, 276.31, 6,
    frozenset({NOON, CLOSE}), days=3, nights=0, every=11, seed=8,
)  # fmt: skip
CASES = {"SHFE": CU, "DCE": M, "CFFEX": IF}


# ---- the strategy


@dataclass
class Fill:
    """All fills of one order. `minute`: when, UTC; fees in CNY."""

    minute: datetime
    price: float
    closed: int = 0
    opened: int = 0
    closed_cny: float = 0.0
    opened_cny: float = 0.0

    def rounded(self) -> tuple[Any, ...]:
        fees = round(self.closed_cny, 2), round(self.opened_cny, 2)
        return self.minute, round(self.price, 6), self.closed, self.opened, *fees


@dataclass
class Story:
    """What a run came to; bars as (end in Beijing time, trading day, o, h, l, c, volume)."""

    bars: list[tuple[Any, ...]] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)  # CNY at each bar
    fills: dict[int, Fill] = field(default_factory=dict)  # by order, counted from 0
    ends: set[str] = field(default_factory=set)  # of orders

    @property
    def cents(self) -> list[int]:
        return [round(100 * value) for value in self.equity]

    @property
    def day_ends(self) -> dict[int, float]:
        """Equity at the last bar of each trading day, CNY."""
        return {bar[1]: value for bar, value in zip(self.bars, self.equity, strict=True)}


class Swings(bt.Strategy):
    """Goes to drawn net positions by market orders and `close`: adds, reduces, turns over."""

    params = (("case", None), ("story", None))

    def __init__(self) -> None:
        self._draw = random.Random(self.p.case.seed)
        self._refs: list[int] = []

    def next(self) -> None:
        data, case, story = self.data, self.p.case, self.p.story
        now, day = data.datetime.datetime(0), int(data.trading_day[0])
        prices = (data.open[0], data.high[0], data.low[0], data.close[0])
        story.bars.append((now, day, *prices, data.volume[0]))
        story.equity.append(self.broker.getvalue())
        if len(self) % case.every == 0 and now.time() not in case.stretch_ends:
            self._go_to(self._draw.randint(-case.most_lots, case.most_lots))

    def _go_to(self, target: int) -> None:
        missing = target - self.position.size
        if not missing:
            return
        trade = self.buy if missing > 0 else self.sell
        order = trade(size=abs(missing)) if target else self.close()
        self._refs.append(order.ref)

    def notify_order(self, order: bt.Order) -> None:
        if not order.alive():
            self.p.story.ends.add(order.getstatusname())
        for bit in order.executed.iterpending():
            inside = bt.num2date(bit.dt - 1e-6)  # the backtest's fills bear the end of their bar
            minute = inside.replace(second=0, microsecond=0)
            number = self._refs.index(order.ref)
            fill = self.p.story.fills.setdefault(number, Fill(minute, bit.price))
            assert (fill.minute, fill.price) == (minute, bit.price)
            fill.closed += bit.closed
            fill.opened += bit.opened
            fill.closed_cny += bit.closedcomm
            fill.opened_cny += bit.openedcomm


# ---- the records


def minutes_of(case: Case, records: Path) -> pd.DataFrame:
    record = pd.read_csv(records / "klines" / "60s" / f"{case.symbol}.csv.gz")
    found: pd.DataFrame = record[record.trading_day.between(case.first, case.last)]
    return found


def ticks_of(case: Case, minutes: pd.DataFrame) -> pd.DataFrame:
    """Ticks that make these minutes, each of which begins with its open; see `walk`."""
    rows: list[tuple[Any, ...]] = []
    for _, day in minutes.groupby("trading_day"):
        rows += ticks_of_day(case, list(day.itertuples()))
    names = ["datetime", "last_price", "volume", "amount", "open_interest"]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=names)
    price = frame["last_price"]
    made: pd.DataFrame = frame.assign(
        bid_price1=(price - case.price_tick).round(1),
        bid_volume1=BOOK_LOTS,
        ask_price1=(price + case.price_tick).round(1),
        ask_volume1=BOOK_LOTS,
    )
    return made


def ticks_of_day(case: Case, bars: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Time, price, lots and amount of the day, open interest; a stretch's last tick is repeated."""
    volume, amount, before = 0, 0.0, None
    for bar, after in zip(bars, [*bars[1:], None], strict=True):
        fresh = volume == 0 or before is None or before.datetime + MINUTE != bar.datetime
        for second, price, lots in walk(bar, fresh):
            volume, amount = volume + lots, amount + lots * price * case.mult
            row = (price, volume, amount, bar.close_oi)
            yield bar.datetime + second * SECOND, *row
        if after is None or after.datetime != bar.datetime + MINUTE:
            yield bar.datetime + MINUTE + SECOND // 2, *row
        before = bar


def walk(bar: Any, fresh: bool) -> list[tuple[int, float, int]]:
    """Second, price and lots of a minute's ticks: open, extremes, close.

    `fresh`: the open is a trade of this minute; else it is the close before, shown once more.
    """
    first = 1 if fresh and bar.volume else 0
    prices = [bar.open]
    extremes = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    for price in (*extremes, bar.close):
        if price != prices[-1]:
            prices.append(price)
    if len(prices) == 1 and bar.volume > first:
        prices.append(bar.close)
    lots = [first, *[0] * (len(prices) - 1)]
    lots[-1] += bar.volume - first
    return [(1 + 18 * n, price, lots[n]) for n, price in enumerate(prices)]


def official_bars(minutes: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The record in the form of `Story.bars`."""
    end = pd.to_datetime(minutes["datetime"] + MINUTE + 8 * 60 * MINUTE).dt.to_pydatetime()
    days = minutes["trading_day"].str.replace("-", "").astype(int)
    columns = (minutes[name] for name in ("open", "high", "low", "close", "volume"))
    return list(zip(end, days, *columns, strict=True))


# ---- the runs


def ticks_feed(case: Case, path: Path, records: Path) -> RecordedData:
    terms = json.loads((records / "instruments" / "2020-06-16.json").read_text("utf-8"))
    hours = {"night": ()} | terms[case.symbol]["trading_time"]
    made: Any = RecordedData
    feed: RecordedData = made(dataname=path, trading_time=hours)
    return feed


def backtest(case: Case, feed: Any) -> Story:
    story = Story()
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.setcash(BALANCE_CNY)
    cerebro.broker.set_slippage_fixed(case.price_tick, slip_out=True)
    cerebro.broker.addcommissioninfo(TqCommInfo(data=feed, **case.terms))
    cerebro.adddata(feed)
    cerebro.addstrategy(Swings, case=case, story=story)
    cerebro.run()
    return story


def replay(case: Case, path: Path, records: Path) -> Story:
    story = Story()
    terms = records / "instruments" / "2020-06-16.json"
    exchange = LocalExchange(replay=path, instruments=terms, balance_cny=BALANCE_CNY)
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(case.symbol, history=0))
        cerebro.addstrategy(Swings, case=case, story=story)
        cerebro.run()
    return story


def written(frame: pd.DataFrame, folder: Path, case: Case) -> Path:
    path = folder / f"{case.symbol}.csv"
    frame.to_csv(path, index=False)
    return path


# ---- what must agree


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_backtest_and_replay_agree_to_the_cent(case: Case, records: Path, tmp_path: Path) -> None:
    minutes = minutes_of(case, records)
    ticks = written(ticks_of(case, minutes), tmp_path, case)
    by_klines = backtest(case, klines_feed(minutes))
    by_ticks = backtest(case, ticks_feed(case, ticks, records))
    replayed = replay(case, ticks, records)
    for run in (by_klines, by_ticks, replayed):
        assert run.bars == official_bars(minutes)
        assert run.ends == {"Completed"}
    expected = {n: fill.rounded() for n, fill in by_klines.fills.items()}
    for run in (by_ticks, replayed):
        assert {n: fill.rounded() for n, fill in run.fills.items()} == expected
        assert run.cents == by_klines.cents
    assert_eventful(case, by_klines)


def assert_eventful(case: Case, story: Story) -> None:
    """Days of profit and of loss, fills at night, closes of history, of today's lots, of both."""
    values = [BALANCE_CNY, *story.day_ends.values()]
    days = [after - before for before, after in pairwise(values)]
    assert len(days) == case.days
    assert min(days) < 0 < max(days)
    nights = {fill.minute.date() for fill in story.fills.values() if fill.minute.hour >= 13}
    assert len(nights) == case.nights
    paid = [fill.closed_cny / abs(fill.closed) for fill in story.fills.values() if fill.closed]
    low, high = case.commission + 0.01, case.close_today - 0.01
    assert min(paid) < low
    assert max(paid) > high
    assert case.commission == case.close_today or any(low < each < high for each in paid)


def test_the_exchanges_own_ticks_cost_what_their_prices_differ(
    records: Path, tmp_path: Path
) -> None:
    """Of bare klines the exchange makes ticks and books that a backtest cannot know.

    Orders, lots and fees are the same; a fill lies in its minute or one price tick beside it; at
    each day's end the equities differ by what the prices of the fills do, to the cent.
    """
    case = replace(M, last="2019-08-26", most_lots=3)  # few: a drawn book may be thin
    minutes = minutes_of(case, records)
    tested = backtest(case, klines_feed(minutes))
    replayed = replay(case, written(minutes, tmp_path, case), records)
    assert replayed.bars == tested.bars
    assert replayed.fills.keys() == tested.fills.keys()
    bars = {bar[0] - BEIJING.utcoffset(None) - timedelta(minutes=1): bar for bar in tested.bars}
    earned = dict.fromkeys(tested.day_ends, 0.0)
    for number, fill in replayed.fills.items():
        expected = tested.fills[number]
        bar = bars[fill.minute]
        assert fill.rounded()[2:] == expected.rounded()[2:]
        assert bar[4] - M.price_tick <= fill.price <= bar[3] + M.price_tick
        lots = fill.closed + fill.opened
        earned[bar[1]] += lots * M.mult * (expected.price - fill.price)
    differences = accumulate(earned.values())
    ends = zip(tested.day_ends.values(), differences, strict=True)
    assert [round(value + more, 2) for value, more in ends] == [
        round(value, 2) for value in replayed.day_ends.values()
    ]
    assert any(earned.values())
