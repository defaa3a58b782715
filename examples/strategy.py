"""The strategy of `run_live.py`: an ordinary `backtrader.Strategy` that knows nothing of TqSdk."""

from __future__ import annotations

import backtrader as bt


class DualMovingAverage(bt.Strategy):
    """Long while the fast average of closes is above the slow one, short while it is below.

    It compares what it holds with what it wants on every bar, so that a refused or cancelled order
    is simply tried again. In a backtest and live alike, `buy` and `sell` turn the position over.
    """

    params = (("fast", 5), ("slow", 20), ("lots", 2))

    def __init__(self) -> None:
        self.fast = bt.ind.SMA(self.data.close, period=self.p.fast)
        self.slow = bt.ind.SMA(self.data.close, period=self.p.slow)
        self.order: bt.Order | None = None

    def notify_order(self, order: bt.Order) -> None:
        if self.order is not None and order.ref == self.order.ref and not order.alive():
            self.order = None

    def next(self) -> None:
        if self.order is not None or getattr(self.data, "history_phase", False):
            return
        above = self.fast[0] - self.slow[0]
        wanted = self.p.lots * ((above > 0) - (above < 0))
        change = wanted - self.position.size
        if wanted and change > 0:
            self.order = self.buy(size=change)
        elif wanted and change < 0:
            self.order = self.sell(size=-change)
