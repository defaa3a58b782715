"""Calendar spread: two legs of one product, both or none.

Idea: the near and the far month of gold move together; what moves the difference comes back.
Rules: near minus far more than 1.5 deviations above its average of 30 minutes, sell near and buy
far; below, the other way; back at the average, leave. Both legs are sent at once, each all or
nothing (FOK) within a price tick of the quoted price. When one fills and the other does not, the
lots without a partner are closed at market at once, whether the spread was being entered or left.

    python examples/calendar_spread.py                              # the embedded exchange
    python examples/calendar_spread.py --mode kq --symbols SHFE.rb2601 SHFE.rb2605

Chinese exchanges have spread orders on some products only; two legs work on all. CZCE has no FOK.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import backtrader as bt
import gallery


class CalendarSpread(bt.Strategy):
    """Trades near against far; `datas` are the two legs."""

    params = (("period", 30), ("enter", 1.5), ("lots", 15), ("reach", 1))

    def __init__(self) -> None:
        self.near, self.far = self.datas
        self.spread = self.near.close - self.far.close
        self.mean = bt.ind.SMA(self.spread, period=self.p.period)
        self.deviation = bt.ind.StdDev(self.spread, period=self.p.period)
        self.alive: set[int] = set()  # references of orders on their way
        self.pairs = self.broken = 0

    def next(self) -> None:
        history = any(getattr(data, "history_phase", False) for data in self.datas)
        if history or self.alive or not self.deviation[0]:
            return
        away = (self.spread[0] - self.mean[0]) / self.deviation[0]
        held = self.getposition(self.near).size
        if held * away > 0:
            self.send_both(-held, "at average")
        elif not held and abs(away) > self.p.enter:
            self.send_both(-self.p.lots if away > 0 else self.p.lots, f"{away:+.1f} deviat.")

    def send_both(self, near_lots: int, why: str) -> None:
        """Near gets `near_lots`, far as many on the other side, each filled whole or not at all."""
        quotes = [price[0] for data in self.datas for price in (data.bid_price, data.ask_price)]
        if not all(price > 0 for price in quotes):  # at a limit one side of the book is empty
            return
        self.pairs += 1
        for data, lots in ((self.near, near_lots), (self.far, -near_lots)):
            reach = self.p.reach * data.instrument.price_tick
            price = data.ask_price[0] + reach if lots > 0 else data.bid_price[0] - reach
            limit = {"exectype": bt.Order.Limit, "price": price, "advanced": "FOK"}
            self.send(data, lots, why=why, **limit)

    def send(self, data: Any, lots: int, **options: Any) -> None:
        order = (self.buy if lots > 0 else self.sell)(data=data, size=abs(lots), **options)
        self.alive.add(order.ref)

    def notify_order(self, order: bt.Order) -> None:
        if order.alive() or order.ref not in self.alive:
            return
        self.alive.discard(order.ref)
        if not self.alive:
            self.close_what_is_alone()

    def close_what_is_alone(self) -> None:
        """Both legs have ended: bring the larger one down to the smaller one."""
        lots = {data: self.getposition(data).size for data in self.datas}
        alone = sum(lots.values())  # the legs have opposite signs
        if alone:
            self.broken += 1
            larger = max(lots, key=lambda data: abs(lots[data]))
            self.send(larger, -alone, why="left alone")


def play(options: argparse.Namespace) -> dict[str, Any]:
    hours = gallery.hours("2025-09-16 09:00", "2025-09-16 15:00")
    with gallery.store(options, ticks_per_minute=6, **hours) as store:
        cerebro = gallery.cerebro(store)
        for symbol in options.symbols:
            cerebro.adddata(store.getdata(symbol, history=60))
        cerebro.addstrategy(CalendarSpread)
        strategy = gallery.run(store, cerebro)
        pairs = {"pairs sent": strategy.pairs, "of which one leg failed": strategy.broken}
        told = gallery.report(strategy, " against ".join(options.symbols), **pairs)
        return told | {"pairs": strategy.pairs, "broken": strategy.broken}


if __name__ == "__main__":
    legs = gallery.symbols("SHFE.au2512", "SHFE.au2602")
    sys.exit(gallery.main(__doc__, play, symbols=legs))
