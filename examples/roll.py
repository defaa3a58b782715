"""Main-contract roll: lots and their stop move along when copper's main contract changes.

Idea: hold copper, whichever month is the busiest.
Rules: buy three lots of KQ.m@SHFE.cu and protect them with a stop 2 % below. On the last evening of
August the main contract becomes the next month: `store.roll(data, "auto")` closes the old lots at
market, opens in the new contract only what was closed, and moves the stop by what the new one costs
more. Each step is in the journal first, so a roll goes on where a program ended.

    python examples/roll.py                                         # the embedded exchange
    python examples/roll.py --mode kq --symbol KQ.m@DCE.i           # 快期模拟; credentials in .env

`store.roll(data, "notify")` trades nothing: `notify_store` hears ROLL_DUE.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import backtrader as bt
import gallery

from tianqin_backtrader import Notice

TOLD = (Notice.CONTRACT_CHANGED, Notice.ROLLED, Notice.ROLL_FAILED)


class HoldMain(bt.Strategy):
    """Buys once, keeps a stop below, and notes what it hears of rolls."""

    params = (("lots", 3), ("below", 0.02))

    def __init__(self) -> None:
        self.entry: bt.Order | None = None
        self.stop_order: bt.Order | None = None
        self.news: list[tuple[str, str, str]] = []
        self.rolled: dict[str, Any] = {}

    def next(self) -> None:
        if self.entry is None and not self.data.history_phase:
            self.entry = self.buy(size=self.p.lots, why="hold copper")

    def notify_order(self, order: bt.Order) -> None:
        ours = self.entry is not None and order.ref == self.entry.ref
        if ours and order.status == bt.Order.Completed:
            tick = self.data.instrument.price_tick
            price = round(order.executed.price * (1 - self.p.below) / tick) * tick
            stop = {"exectype": bt.Order.Stop, "price": price}
            self.stop_order = self.sell(size=self.p.lots, **stop)

    def notify_store(self, msg: Any, *args: Any, **about: Any) -> None:
        if msg in TOLD:
            stop = f"{self.stop_order.created.price:,.0f}" if self.stop_order else "-"
            self.news.append((str(msg), args[0], stop))
        if msg in TOLD[1:]:
            self.rolled = {name: what for name, what in about.items() if name != "data"}


def play(options: argparse.Namespace) -> dict[str, Any]:
    hours = gallery.hours("2025-08-29 14:30", "2025-08-29 21:30")
    with gallery.store(options, **hours) as store:
        cerebro = gallery.cerebro(store)
        data = store.getdata(options.symbol, history=50)
        cerebro.adddata(data)
        store.roll(data, "auto")
        cerebro.addstrategy(HoldMain)
        strategy = gallery.run(store, cerebro)
        gallery.show("What the strategy heard", ("notice", "why", "stop at"), strategy.news)
        told = gallery.report(strategy, f"Roll of {options.symbol}")
        return told | {"rolled": strategy.rolled, "stops": [row[2] for row in strategy.news]}


if __name__ == "__main__":
    sys.exit(gallery.main(__doc__, play, symbol=gallery.symbol("KQ.m@SHFE.cu")))
