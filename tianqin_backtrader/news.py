"""What TqSdk's diffs say of ticks, orders, trades and sockets, kept until it is taken. Pure.

TqSdk forgets its diffs with the next update, so they are noted after each one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .model import OrderPicture, Trade, order_from, trade_from

__all__ = ["MarketNews", "TradingNews"]

DISCONNECTED, CONNECTED = 2019112911, (2019112901, 2019112902)  # codes of tqsdk.connect
RECONNECTED = 2019112902
ENDED = 2026000001  # notice of the embedded exchange
KINDS = ("orders", "trades")
MARKET_DATA = ("quotes", "ticks", "klines", "charts", "symbols")
LINES = {"md": "market", "td": "trading"}  # by what TqSdk's names of sockets begin with


class MarketNews:
    """Whose ticks have come, whether questions were answered, whether the sockets stand.

    has_ended: the embedded exchange said that its records are over. has_heard: something came on
    the market's socket. changes: ("market" or "trading", whether it is lost) since they were taken.
    """

    def __init__(self) -> None:
        self.has_answers = self.has_ended = self.has_heard = False
        self.lost: set[str] = set()  # sockets
        self.changes: list[tuple[str, bool]] = []
        self._ticked: dict[str, None] = {}  # in the order they came

    @property
    def is_lost(self) -> bool:
        """Whether the socket of market data is lost."""
        return any(name.startswith("md") for name in self.lost)

    def note(self, diffs: Iterable[Mapping[str, Any]]) -> None:
        """Note what `diffs` say."""
        for diff in diffs:
            ticks = diff.get("ticks")
            if ticks:
                self._ticked.update(dict.fromkeys(ticks))
            self.has_heard |= any(part in diff for part in MARKET_DATA)
            charts = (diff.get("charts") or {}).values()
            if "symbols" in diff or any(chart and "ready" in chart for chart in charts):
                self.has_answers = True
            for notice in diff.get("notify", {}).values():
                self._note_socket(str(notice.get("conn_id", "")), notice.get("code"))

    def take(self) -> Iterable[str]:
        """Symbols with new ticks since the last call."""
        ticked, self._ticked = self._ticked, {}
        return ticked

    def renew(self, symbols: Iterable[str], notices: Mapping[str, Any]) -> None:
        """Another TqApi stands: `notices` are all of its own, any of `symbols` may have ticks."""
        for connection in list(self.lost):
            self._turn(connection, False)
        self.note([{"notify": notices}])
        self._ticked.update(dict.fromkeys(symbols))
        self.has_answers = self.has_heard = True

    def _note_socket(self, connection: str, code: Any) -> None:
        if connection[:2] in LINES and code in (DISCONNECTED, *CONNECTED):
            self._turn(connection, code == DISCONNECTED)
        self.has_ended |= code == ENDED

    def _turn(self, connection: str, is_lost: bool) -> None:
        if (connection in self.lost) != is_lost:
            (self.lost.add if is_lost else self.lost.discard)(connection)
            self.changes.append((LINES[connection[:2]], is_lost))
            self.has_answers = True  # whoever looks for answers looks for this, too


class TradingNews:
    """News of one account."""

    def __init__(self) -> None:
        self._news: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}  # by id, as they came
        self._seen: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}  # TqSdk's live objects
        self._lost: set[str] = set()  # trading sockets
        self._absent: set[str] = set()
        self._ended: set[str] = set()  # orders whose end was told

    @property
    def connection_is_lost(self) -> bool:
        """Whether a trading socket is down: what is sent now could vanish without an answer."""
        return bool(self._lost)

    def remember(self, order_id: str, order: Any) -> None:
        """An order that was handed to TqSdk, before any diff tells of it."""
        self._seen["orders"][order_id] = order

    def note(self, diffs: Iterable[Mapping[str, Any]], account: str, tree: Any) -> None:
        """Note what `diffs` changed for `account`; `tree` is its part of TqSdk's data.

        An order's end and its removal may come in one packet: what was seen of it before holds its
        last state, though the tree has it no more.
        """
        for diff in diffs:
            for notice in diff.get("notify", {}).values():
                self._note_socket(str(notice.get("conn_id", "")), notice.get("code"))
            mine = diff["trade"].get(account, {}) if "trade" in diff else {}
            for kind, seen in self._seen.items():
                for key in mine.get(kind, ()):
                    found = tree.get(kind, {}).get(key) or seen.get(key)
                    if found is not None:
                        seen[key] = self._news[kind][key] = found

    def renew(self, account: str, tree: Any, notices: Mapping[str, Any]) -> None:
        """Another TqApi shows the whole account: what a reconnect would bring, without diffs."""
        whole = {kind: dict(tree.get(kind, {})) for kind in KINDS}
        again = {"conn_id": "td", "code": RECONNECTED}
        self._lost.clear()
        for kind, seen in self._seen.items():
            living = ((k, dict(each)) for k, each in seen.items() if _lives(kind, each))
            self._seen[kind] = dict(living)  # TqSdk's own objects hold the old TqApi
        self.look([{"notify": {"": again}, "trade": {account: whole}}], account)
        self.note([{"notify": notices, "trade": {account: whole}}], account, tree)

    def look(self, diffs: Iterable[Mapping[str, Any]], account: str) -> None:
        """Look at what has come before TqSdk leaves out what it knows already.

        After a reconnect the whole picture of the account comes in one piece (tqsdk.connect).
        """
        told: set[str] | None = None  # orders told since a reconnect
        for diff in diffs:
            if any(_is_reconnect(notice) for notice in diff.get("notify", {}).values()):
                told = set()
            orders = diff["trade"].get(account, {}).get("orders", {}) if "trade" in diff else {}
            if told is not None:
                told.update(orders)
            self._drop_stale(orders)
        if told is not None:
            self._absent |= {key for key in self._alive() if key not in told}

    def _drop_stale(self, orders: dict[str, Any]) -> None:
        """Take out pictures of life that come after an order's end: TqSdk would believe them."""
        for key, picture in list(orders.items()):
            status = (picture or {}).get("status")
            if status == "FINISHED":
                self._ended.add(key)
            elif status == "ALIVE" and key in self._ended:
                del orders[key]

    def take_absent(self) -> set[str]:
        """Orders that should live and that the picture after a reconnect did not show."""
        absent, self._absent = self._absent, set()
        return absent

    def _alive(self) -> list[str]:
        orders = self._seen["orders"]
        return [key for key, order in orders.items() if order["status"] == "ALIVE"]

    def take(self) -> tuple[list[OrderPicture], list[Trade]]:
        """Orders and trades that changed since the last call."""
        news, self._news = self._news, {kind: {} for kind in KINDS}
        return (
            [order_from(order) for order in news["orders"].values()],
            [trade_from(trade) for trade in news["trades"].values()],
        )

    def _note_socket(self, connection: str, code: Any) -> None:
        if connection.startswith("td") and code == DISCONNECTED:
            self._lost.add(connection)
        elif code in CONNECTED:
            self._lost.discard(connection)


def _lives(kind: str, picture: Mapping[str, Any]) -> bool:
    return kind == "orders" and picture["status"] == "ALIVE"


def _is_reconnect(notice: Mapping[str, Any]) -> bool:
    is_trading = str(notice.get("conn_id", "")).startswith("td")
    return is_trading and notice.get("code") == RECONNECTED
