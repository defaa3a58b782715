"""Closes an account's positions in a session of its own, where no instance runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import backtrader as bt

from .journal import Journal
from .program import environment_of, open_store
from .run_sections import RunConfig
from .states import OrderState
from .store import TqStore

__all__ = ["flatten_account"]

PATIENCE_TICKS = 20  # of orders that do not fill
ENDED = [state.value for state in OrderState if state.is_terminal]


class Flattener(bt.Strategy):
    """Cancels every order, then closes every lot, and again until nothing is left.

    left: a list that says at each tick what is left.
    """

    params = (("left", None),)

    def __init__(self) -> None:
        self.waited = PATIENCE_TICKS  # since orders were cancelled or sent

    def next(self) -> None:
        if any(data.history_phase for data in self.datas):
            return
        orders, held = self.broker.get_orders_open(), self.broker.positions()
        lots = [f"{s} {p.long.total} long {p.short.total} short" for s, p in held.items()]
        self.p.left[:] = [*lots, *(f"order {order.ref}" for order in orders)]
        self.waited += 1
        if not self.p.left:
            self.env.runstop()
        elif not orders:
            self.broker.flatten()
            self.waited = 0
        elif self.waited > PATIENCE_TICKS:
            self.broker.cancel_all()
            self.waited = 0


def flatten_account(
    config: RunConfig, journal: Path, timeout_s: float, confirm: Sequence[str] = ()
) -> list[str]:
    """What is left after `timeout_s` of cancelling and closing; empty: the account is flat.

    Orders of other programs are cancelled too. Raises what `TqStore.start` raises.
    """
    store = config.store.model_copy(update={"journal": journal})
    config = config.model_copy(update={"store": store})
    with environment_of(config), open_store(config, confirm) as session:
        session.start()
        symbols = _symbols(session, journal)
        return _close(session, symbols, timeout_s) if symbols else []


def _symbols(store: TqStore, journal: Path) -> list[str]:
    """Contracts with lots or living orders, at the exchange or in the journal."""
    channel = store.connection.trading
    found = {s for s, p in channel.positions().items() if p.long.total or p.short.total}
    found |= {order.symbol for order in channel.orders().values() if order.is_alive}
    with Journal(journal) as before:
        orders = before.orders()
    return sorted(found | set(orders[~orders["state"].isin(ENDED)]["symbol"]))


def _close(store: TqStore, symbols: Sequence[str], timeout_s: float) -> list[str]:
    left = ["nothing was heard of the market: it is closed"]
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    cerebro.setbroker(store.getbroker(adopt=True))
    for symbol in symbols:
        cerebro.adddata(store.getdata(symbol, bt.TimeFrame.Ticks, 1, 0))
    cerebro.addstrategy(Flattener, left=left)
    timer = threading.Timer(timeout_s, cerebro.runstop)  # it only sets a flag
    timer.daemon = True
    timer.start()
    try:
        store.run(cerebro)
    finally:
        timer.cancel()
    return left
