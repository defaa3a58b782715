"""Several accounts: one strategy, a process and a journal for each account.

Idea: the same signals for a small and a large account, which share nothing but the market.
Rules: the strategy of `run_live.py`; alice trades 1 lot, bob 3. TqApi and Cerebro live in one
thread of a process, so each account gets a process; a journal belongs to one account, and a second
writer of it is refused.

    python examples/accounts.py                            # two users of one embedded exchange

With real accounts start a program for each, its credentials and TIANQIN_JOURNAL in its own
environment; here the users of an embedded exchange play that part, and the parent holds its market
still until both are ready.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

import gallery
from strategy import DualMovingAverage

from tianqin_backtrader import Journal, LocalExchange, TqStore
from tianqin_backtrader.errors import ConfigError, TianqinError, WrongSetting

LOTS = {"alice": 1, "bob": 3}
HOURS = gallery.hours("2025-09-16 09:00", "2025-09-16 10:45")
PATIENCE_S = 120.0
NOT_READY = "another account was not ready"

ready: Any = None  # a barrier that the account's process shares with its parent


def share(barrier: Any) -> None:
    global ready  # noqa: PLW0603  the pool has no other way to hand it over
    ready = barrier


class Waiting(DualMovingAverage):
    """Begins when every account stands, so that all see the same bars."""

    def start(self) -> None:
        ready.wait(PATIENCE_S)


def trade(
    account: str, symbol: str, lots: int, journal: Path, urls: dict[str, Any]
) -> tuple[float, str]:
    """In a process of its own, to the end of the market: the equity, CNY, or why there is none."""
    try:
        with TqStore("kq", user=account, password="any", journal=journal, **urls) as store:
            cerebro = gallery.cerebro(store)
            cerebro.adddata(store.getdata(symbol, history=50))
            cerebro.addstrategy(Waiting, lots=lots)
            return gallery.run(store, cerebro).broker.getvalue(), ""
    except TianqinError as error:
        return 0.0, f"{account}: {error}"
    except BrokenBarrierError:
        return 0.0, NOT_READY


def play(options: argparse.Namespace) -> dict[str, Any]:
    if options.mode != "demo":
        raise WrongSetting("--mode", options.mode, "demo; start a program for each real account")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        journals = {name: folder / f"{name}.sqlite" for name in LOTS}
        if any(journal.exists() for journal in journals.values()):
            raise WrongSetting("--folder", str(folder), "a new one: its accounts are no more")
        equities = trade_all(options.symbol, journals)
        told = {name: account_of(journals[name], equities[name]) for name in LOTS}
    columns = ("", *(f">{name}" for name in told))
    rows = [(fact, *(f"{each[fact]:,}" for each in told.values())) for fact in told["alice"]]
    gallery.show(f"{options.symbol}, two accounts", columns, rows)
    return told


def trade_all(symbol: str, journals: dict[str, Path]) -> dict[str, float]:
    """Trade with every account at once; returns their equities, CNY."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(len(LOTS) + 1)
    with (
        LocalExchange(ticks_per_minute=6, **HOURS) as exchange,
        ProcessPoolExecutor(len(LOTS), spawn, initializer=share, initargs=(barrier,)) as pool,
    ):
        exchange.pause()
        urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
        running = {
            name: pool.submit(trade, name, symbol, lots, journals[name], urls)
            for name, lots in LOTS.items()
        }
        for each in running.values():
            each.add_done_callback(lambda _: barrier.abort())  # nobody waits for one that is over
        with suppress(BrokenBarrierError):
            barrier.wait(PATIENCE_S)
        exchange.resume()
        ends = {name: each.result() for name, each in running.items()}
    failures = sorted((why for _, why in ends.values() if why), key=NOT_READY.__eq__)
    if failures:
        raise ConfigError(failures[0])
    return {name: equity for name, (equity, _) in ends.items()}


def account_of(journal: Path, equity: float) -> dict[str, Any]:
    """What the account's own journal tells."""
    with Journal(journal) as book:
        orders, trades = book.orders(), book.trades()
    return {
        "orders": len(orders),
        "fills": len(trades),
        "lots": int(trades.volume.sum()),
        "fees, CNY": round(float(trades.commission_cny.sum()), 2),
        "equity, CNY": round(equity, 2),
    }


if __name__ == "__main__":
    folder = {"type": Path, "metavar": "DIR", "help": "for the journals (default: a temporary one)"}
    contract = gallery.symbol("SHFE.cu2511")
    sys.exit(gallery.main(__doc__, play, folder=folder, symbol=contract))
