"""What several tests do alike: run a strategy to the end of a market, collect what it saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import pandas as pd

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.beijing import BEIJING

MINUTE_NS = 60_000_000_000
DIARY = ("STARTED", "STOPPED", "SETTLED")  # what every run hears of itself
OFFICIAL = ["datetime", "open", "high", "low", "close", "volume", "close_oi"]


@dataclass
class Seen:
    """What a strategy saw: bars as (end in Beijing time, o, h, l, c, volume, open interest)."""

    bars: list[tuple[Any, ...]] = field(default_factory=list)
    history: int = 0
    statuses: list[str] = field(default_factory=list)
    orders: list[bt.Order] = field(default_factory=list)
    trades: list[bt.Trade] = field(default_factory=list)


class Watcher(bt.Strategy):
    """Collects, and calls `act(self)` on every live bar."""

    params: Any = (("seen", None), ("act", None))

    def notify_data(self, data: Any, status: int, *_: Any) -> None:
        self.p.seen.statuses.append(data._getstatusname(status))

    def notify_order(self, order: bt.Order) -> None:
        self.p.seen.orders.append(order)

    def notify_trade(self, trade: bt.Trade) -> None:
        self.p.seen.trades.append(trade)

    def next(self) -> None:
        data, seen = self.data, self.p.seen
        lines = (data.open, data.high, data.low, data.close, data.volume, data.openinterest)
        seen.bars.append((data.datetime.datetime(0), *(line[0] for line in lines)))
        if data.history_phase:
            seen.history += 1
        elif self.p.act is not None:
            self.p.act(self)


def run(
    exchange: LocalExchange,
    symbols: str | Sequence[str],
    act: Callable[[Any], None] | None = None,
    history: int = 10_000,
) -> tuple[Seen, Any]:
    """Run to the end of `exchange`'s market; returns what was seen and the broker."""
    seen = Seen()
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        for symbol in [symbols] if isinstance(symbols, str) else symbols:
            cerebro.adddata(store.getdata(symbol, history=history))
        cerebro.addstrategy(Watcher, seen=seen, act=act)
        cerebro.run()
    return seen, broker


def official_bars(record: pd.DataFrame) -> list[tuple[Any, ...]]:
    """One-minute records in the form of `Seen.bars`: labelled by their end."""
    end = pd.to_datetime(record["datetime"] + 60_000_000_000 + 8 * 3_600_000_000_000)
    columns = [end.dt.to_pydatetime()] + [record[name].tolist() for name in OFFICIAL[1:]]
    return [tuple(row) for row in zip(*columns, strict=True)]


class Minutes(bt.feeds.PandasData):
    """Klines of the record, each at its end."""

    lines: Any = ("trading_day",)
    params: Any = (("trading_day", "trading_day"), ("tz", BEIJING))


def klines_feed(minutes: pd.DataFrame) -> Minutes:
    """A feed of recorded one-minute klines."""
    frame = minutes.assign(
        end=pd.to_datetime(minutes["datetime"] + MINUTE_NS),
        openinterest=minutes["close_oi"],
        trading_day=minutes["trading_day"].str.replace("-", "").astype(int),
    )
    return Minutes(dataname=frame.drop(columns="datetime").set_index("end"))
