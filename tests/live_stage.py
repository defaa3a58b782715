"""Mode live on the embedded exchange, everything on the wire written down; and a tripwire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from support import Seen, Watcher

from tianqin_backtrader import LocalExchange, TqStore

USER, PASSWORD = "kuaiqi-8417@example.cn", "Zx7-kuaiqi-Geheim"
BROKER, ACCOUNT, ACCOUNT_PASSWORD = "H海通期货", "8800231417", "Qw9-konto-Geheim"
CREDENTIALS = {
    "TIANQIN_USER": USER,
    "TIANQIN_PASSWORD": PASSWORD,
    "TIANQIN_BROKER_ID": BROKER,
    "TIANQIN_ACCOUNT_ID": ACCOUNT,
    "TIANQIN_ACCOUNT_PASSWORD": ACCOUNT_PASSWORD,
}
NAMES = (*CREDENTIALS, "TIANQIN_MODE", "TIANQIN_LIVE_ENABLED", "TIANQIN_JOURNAL",
         "TIANQIN_CONFIRM_LIVE")  # fmt: skip


def set_credentials(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """All credentials of mode live, and no gate, in the environment."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # remembered as it was: tests set some by themselves
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)


class Tripwire:
    """Stands where login, market data and trading are expected; counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.visits = 0
        threading.Thread(target=self._count, daemon=True).start()

    @property
    def urls(self) -> dict[str, Any]:
        address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        sockets = {f"{side}_url": f"ws://{address}/{side}" for side in ("md", "td")}
        return {"auth_url": f"http://{address}"} | sockets

    def _count(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()

    def close(self) -> None:
        self._socket.close()


class Wire:
    """An exchange and every request that came to its trading sockets."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.exchange = exchange
        self.packs: list[dict[str, Any]] = []
        take = exchange._venue.on_trade_pack

        def note(peer: Any, pack: Any) -> None:
            self.packs.append(dict(pack))
            take(peer, pack)

        exchange._venue.on_trade_pack = note  # type: ignore[method-assign]

    @property
    def urls(self) -> dict[str, Any]:
        return {name: getattr(self.exchange, name) for name in ("auth_url", "md_url", "td_url")}

    def count(self, aid: str) -> int:
        return sum(pack.get("aid") == aid for pack in self.packs)


def trade(
    store: TqStore, act: Callable[[Any], None] | None, symbol: str = "SHFE.cu2511", **options: Any
) -> tuple[Seen, Any]:
    """Run Cerebro on a store; what was seen, and the broker."""
    seen = Seen()
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    broker = store.getbroker(**options)
    cerebro.setbroker(broker)
    cerebro.adddata(store.getdata(symbol, history=5))
    cerebro.addstrategy(Watcher, seen=seen, act=act)
    store.run(cerebro)
    return seen, broker
