"""Donchian channel: stop orders rest at the highest high and the lowest low of the last bars.

Idea: whoever buys when the highest price of 20 bars is passed is in every trend (turtle trading).
Rules: flat, a buy stop one price tick above the channel and a sell stop one below it, of which one
cancels the other; with lots, a stop at the other side of the narrower channel of 10 bars. Stops are
written anew on every bar. Lots: a move of two average true ranges costs 0.1 % of the equity, the
contract's multiplier counted.

    python examples/donchian.py                                     # the embedded exchange
    python examples/donchian.py --mode kq --symbol KQ.m@DCE.i       # 快期模拟; credentials in .env

The exchanges have no stop orders: they are held here, in the journal, and go off on ticks.
"""

from __future__ import annotations

import sys
from typing import Any

import backtrader as bt
import gallery


class DonchianChannel(bt.Strategy):
    """Enters by stops at a channel's edges and leaves by a stop at a narrower one's."""

    params = (("enter", 20), ("leave", 10), ("risk", 0.001), ("tick", 10.0))

    def __init__(self) -> None:
        self.top = bt.ind.Highest(self.data.high, period=self.p.enter)
        self.bottom = bt.ind.Lowest(self.data.low, period=self.p.enter)
        self.ceiling = bt.ind.Highest(self.data.high, period=self.p.leave)
        self.floor = bt.ind.Lowest(self.data.low, period=self.p.leave)
        self.range = bt.ind.ATR(self.data, period=self.p.enter)
        self.stops: list[bt.Order] = []

    def start(self) -> None:
        instrument = getattr(self.data, "instrument", None)  # in a backtest there is none
        self.tick = instrument.price_tick if instrument else self.p.tick

    def next(self) -> None:
        if getattr(self.data, "history_phase", False):
            return
        for stop in self.stops:
            self.cancel(stop)
        lots = self.position.size
        if lots > 0:
            self.stops = [self.stop_at(self.sell, self.floor[0] - self.tick, lots, "leave long")]
        elif lots < 0:
            self.stops = [self.stop_at(self.buy, self.ceiling[0] + self.tick, -lots, "leave short")]
        else:
            self.enter(self.lots())

    def enter(self, lots: int) -> None:
        up = self.stop_at(self.buy, self.top[0] + self.tick, lots, "new high")
        down = self.stop_at(self.sell, self.bottom[0] - self.tick, lots, "new low", oco=up)
        self.stops = [up, down]

    def stop_at(self, verb: Any, price: float, lots: int, why: str, **more: Any) -> bt.Order:
        return verb(exectype=bt.Order.Stop, price=price, size=lots, why=why, **more)

    def lots(self) -> int:
        """As many as lose `risk` of the equity in a move of two average ranges, one at least."""
        multiplier = self.broker.getcommissioninfo(self.data).p.mult
        loss_cny = 2 * self.range[0] * multiplier
        return max(1, int(self.p.risk * self.broker.getvalue() / loss_cny))


if __name__ == "__main__":
    play = gallery.five_minutes(DonchianChannel, "Donchian channel")
    sys.exit(gallery.main(__doc__, play, symbol=gallery.symbol("SHFE.cu2511")))
