"""One client at the exchange: its account, the orders and trades of the day, what it is owed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from .account import Account
from .orders import Order, Trade

__all__ = ["Desk"]


class Desk:
    """Keeps the client's picture and the list of what changed in it since it was last asked."""

    def __init__(self, user_id: str, number: int, initial_balance_cny: float) -> None:
        self.user_id = user_id
        self.account = Account(initial_balance_cny)
        self.trading_day: date | None = None
        self.orders: dict[str, Order] = {}
        self._session_id = str(number)
        self._trades: dict[str, Trade] = {}
        self._known_ids: set[str] = set()  # of all days: an order is never executed twice
        self._notices: list[str] = []
        self._restarted = False
        self._changed_orders: dict[str, Order] = {}
        self._new_trades: list[Trade] = []
        self._changed_positions: set[str] = set()
        self._has_changes = False

    # ---- what happens

    def admit(self, order: Order) -> bool:
        """Whether `order` is a new one; a repeat or an order without id leaves a notice only."""
        if not order.order_id:
            self.notify("报单被忽略: 缺少报单编号")
        elif order.order_id in self._known_ids:
            self.notify(f"报单被忽略: 报单编号重复 {order.order_id}")
        else:
            self._known_ids.add(order.order_id)
            self.orders[order.order_id] = order
            return True
        return False

    def notify(self, text: str) -> None:
        self._notices.append(text)

    def order_changed(self, order: Order) -> None:
        self._changed_orders[order.order_id] = order
        self._has_changes = True

    def traded(self, trade: Trade) -> None:
        self._trades[trade.trade_id] = trade
        self._new_trades.append(trade)
        self._has_changes = True

    def position_changed(self, symbol: str) -> None:
        """A position changed; the account is told with it."""
        self._changed_positions.add(symbol)
        self._has_changes = True

    def begin_day(self, day: date) -> None:
        """A trading day begins: the picture of a later login has no orders and trades yet.

        They are not deleted at clients that are connected: TqSdk 3.10 cannot bear it
        (`DataExtension._generate_ext_diff` reads each changed trade back).
        """
        self.trading_day = day
        self._restarted = self._has_changes = True
        self._changed_positions |= self.account.positions.keys()
        self.orders, self._trades = {}, {}

    def forget(self) -> None:
        """The gateway starts anew: it knows money and positions, and no order of before."""
        self.orders, self._trades, self._known_ids = {}, {}, set()
        self._forget_changes()

    # ---- what the client hears

    def take_notices(self) -> list[str]:
        taken, self._notices = self._notices, []
        return taken

    def take_changes(self) -> list[dict[str, Any]]:
        """Orders before their trades, as CTP sends them; then positions and money."""
        if not self._has_changes:
            return []
        changes: list[dict[str, Any]] = [{"session": self._session()}] if self._restarted else []
        changes += [{"orders": {o.order_id: o.picture()}} for o in self._changed_orders.values()]
        changes += [{"trades": {t.trade_id: t.picture()}} for t in self._new_trades]
        changes += self._position_changes()
        changes.append({"accounts": {"CNY": self.account.picture()}})
        self._forget_changes()
        return changes

    def picture(self) -> dict[str, Any]:
        positions = self.account.positions
        return {
            "user_id": self.user_id,
            "session": self._session(),
            "accounts": {"CNY": self.account.picture()},
            "positions": _pictures(positions),
            "orders": _pictures(self.orders),
            "trades": _pictures(self._trades),
            "trade_more_data": False,
        }

    def _position_changes(self) -> list[dict[str, Any]]:
        positions = self.account.positions
        changed = {symbol: positions[symbol] for symbol in sorted(self._changed_positions)}
        return [{"positions": _pictures(changed)}] if changed else []

    def _forget_changes(self) -> None:
        self._changed_orders, self._new_trades = {}, []
        self._changed_positions = set()
        self._restarted = self._has_changes = False

    def _session(self) -> dict[str, Any]:
        day = "" if self.trading_day is None else f"{self.trading_day:%Y%m%d}"
        return {"session_id": self._session_id, "trading_day": day, "user_id": self.user_id}


def _pictures(things: Mapping[str, Any]) -> dict[str, Any]:
    return {name: thing.picture() for name, thing in things.items()}
