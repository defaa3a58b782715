"""Two ways to execute: the same signals `direct` and as `target`.

Idea: `direct` turns an order of the strategy into legs itself; `target` hands the net position to
TqSdk's TargetPosTask, which follows the market with orders of its own, here of at most 8 lots.
Rules: the strategy of `run_live.py`, 20 lots, one simulated session, once each way on the same
market. Slippage is what fills cost beyond the close of the bar that gave the signal.

    python examples/execution.py                                    # the embedded exchange only

Both ways need the same market, so there is no other mode here. In a program of your own it is
`store.getbroker(execution="target")`; legs and fills are read from the journal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import gallery
from strategy import DualMovingAverage

from tianqin_backtrader import Journal, LocalExchange, TqStore
from tianqin_backtrader.errors import WrongSetting

HOURS = gallery.hours("2025-09-16 09:00", "2025-09-16 11:30")
WAYS: dict[str, dict[str, Any]] = {
    "direct": {"execution": "direct"},
    "target": {"execution": "target", "min_volume": 2, "max_volume": 8},
}


class Signals(DualMovingAverage):
    """Notes the close at which each order was written."""

    def __init__(self) -> None:
        super().__init__()
        self.signals: dict[int, float] = {}

    def next(self) -> None:
        before = self.order
        super().next()
        if self.order is not before and self.order is not None:
            self.signals[self.order.ref] = self.data.close[0]


def trade(symbol: str, journal: Path, broker: dict[str, Any]) -> dict[str, Any]:
    """One run; what it came to."""
    exchange = LocalExchange(ticks_per_minute=6, **HOURS)
    with TqStore(exchange=exchange, journal=journal) as store:
        cerebro = gallery.cerebro(store, **broker)
        cerebro.adddata(store.getdata(symbol, history=50))
        cerebro.addstrategy(Signals, lots=20)
        strategy = gallery.run(store, cerebro)
        return _told(strategy, journal)


def _told(strategy: Signals, journal: Path) -> dict[str, Any]:
    traded = strategy.analyzers.orders.traded
    with Journal(journal) as book:
        legs, fills = book.legs(), book.trades()
    lots = int(fills.volume.sum())
    slipped = sum((t.price - strategy.signals[ref]) * t.lots for ref, t in traded.items())
    return {
        "orders of the strategy": len(strategy.signals),
        "orders at the exchange": len(legs),
        "fills": len(fills),
        "lots": lots,
        "slippage, CNY a lot": round(slipped / lots * strategy.data.instrument.volume_multiple, 2),
        "fees, CNY": round(float(fills.commission_cny.sum()), 2),
        "equity at the end, CNY": round(strategy.broker.getvalue(), 2),
    }


def play(options: argparse.Namespace) -> dict[str, Any]:
    if options.mode != "demo":
        raise WrongSetting("--mode", options.mode, "demo: both ways need the same market")
    with tempfile.TemporaryDirectory() as folder:
        told = {
            way: trade(options.symbol, Path(folder) / f"{way}.sqlite", broker)
            for way, broker in WAYS.items()
        }
    rows = [(name, *(f"{told[way][name]:,}" for way in WAYS)) for name in next(iter(told.values()))]
    gallery.show(f"{options.symbol}, the same signals", ("", ">direct", ">target"), rows)
    return told


if __name__ == "__main__":
    sys.exit(gallery.main(__doc__, play, symbol=gallery.symbol("SHFE.rb2601")))
