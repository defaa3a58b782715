"""Bollinger breakout: follow a close beyond the bands, leave at the moving average.

Idea: a close two deviations away from the average of the last 20 bars begins a move.
Rules: flat and above the upper band, buy; flat and below the lower band, sell short; leave when a
bar closes beyond the average on the other side. Five-minute bars, one order at a time.

    python examples/bollinger.py                                    # the embedded exchange
    python examples/bollinger.py --mode kq --symbol KQ.m@SHFE.rb    # 快期模拟; credentials in .env

The class is an ordinary Backtrader strategy: `examples/backtest.py` shows the way to run one on
recorded bars.
"""

from __future__ import annotations

import sys

import backtrader as bt
import gallery


class BollingerBreakout(bt.Strategy):
    """Long above the upper band, short below the lower one, until the average is crossed."""

    params = (("period", 20), ("deviations", 2.0), ("lots", 2))

    def __init__(self) -> None:
        self.band = bt.ind.BollingerBands(
            self.data.close, period=self.p.period, devfactor=self.p.deviations
        )
        self.order: bt.Order | None = None

    def notify_order(self, order: bt.Order) -> None:
        if not order.alive():
            self.order = None

    def next(self) -> None:
        if self.order is not None or getattr(self.data, "history_phase", False):
            return
        close, lots = self.data.close[0], self.position.size
        if not lots and close > self.band.top[0]:
            self.order = self.buy(size=self.p.lots, why="above bands")
        elif not lots and close < self.band.bot[0]:
            self.order = self.sell(size=self.p.lots, why="below bands")
        elif lots * (close - self.band.mid[0]) < 0:
            self.order = self.close(why="at average")


if __name__ == "__main__":
    play = gallery.five_minutes(BollingerBreakout, "Bollinger breakout")
    sys.exit(gallery.main(__doc__, play, symbol=gallery.symbol("SHFE.cu2511")))
