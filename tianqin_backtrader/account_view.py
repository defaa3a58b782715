"""The account of a session as its gateway has told it last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .model import (
    Account,
    AccountPosition,
    OrderPicture,
    Trade,
    account_from,
    order_from,
    position_from,
    trade_from,
)

__all__ = ["AccountView", "enabled_rules"]

logger = logging.getLogger(__name__)


class AccountView:
    """One account of one TqApi.

    `api` gives the TqApi while it is open; `node` a part of its tree; `key` names the account
    there.
    """

    def __init__(
        self, api: Callable[[], Any], node: Callable[..., Any], key: Callable[[], str]
    ) -> None:
        self._api, self._node, self._key = api, node, key
        self._money: Account | None = None  # until something of the account is told
        self._held: dict[str, AccountPosition] = {}  # likewise

    def _forget(self) -> None:
        """Something of the account was told: read it again."""
        self._money = None
        self._held.clear()

    @property
    def trading_day(self) -> str:
        """The account's trading day in the gateway's words, "20250916"; empty without them."""
        return str(self._tree("session").get("trading_day") or "")

    def login(self) -> tuple[str, str, bool]:
        """Account and trading day (yyyymmdd) as the gateway says them, and whether all has come."""
        tree = self._node("trade", self._key())
        session = tree.get("session") or {}
        account = session.get("user_id") or tree.get("user_id") or ""
        is_whole = not tree.get("trade_more_data", True)
        return str(account), str(session.get("trading_day") or ""), is_whole

    def account(self) -> Account:
        """The account's money; read once between two news, for Cerebro asks on every bar."""
        if self._money is None:
            self._money = account_from(self._api().get_account())
        return self._money

    def position(self, symbol: str) -> AccountPosition:
        """What the account holds in one contract; no lots where it never held any."""
        held = self._held.get(symbol)
        if held is None:
            picture = self._tree("positions").get(symbol)
            held = AccountPosition(symbol) if picture is None else position_from(picture)
            self._held[symbol] = held
        return held

    def positions(self) -> dict[str, AccountPosition]:
        """All positions of the account by symbol, those closed today included."""
        tree = self._tree("positions")
        return {symbol: position_from(tree[symbol]) for symbol in tree}

    def orders(self) -> dict[str, OrderPicture]:
        """The account's orders of this trading day by id, those of other programs included."""
        tree = self._tree("orders")
        return {order_id: order_from(tree[order_id]) for order_id in tree}

    def trades(self) -> list[Trade]:
        """The account's trades of this trading day."""
        tree = self._tree("trades")
        return [trade_from(tree[trade_id]) for trade_id in tree]

    @property
    def trade_count(self) -> int:
        """How many trades of this trading day the account shows."""
        return len(self._tree("trades"))

    def _tree(self, kind: str) -> Any:
        return self._node("trade", self._key(), kind)

    def risk_rules(self) -> Mapping[str, Any] | None:
        """What TqSdk's servers watch of the account: "rule" by exchange, "data" by contract.

        None where they watch nothing: only accounts of real brokers have it, and of exchanges SSE
        and SZSE (TqApi.get_risk_management_rule).
        """
        api = self._api()
        try:
            rule, data = api.get_risk_management_rule(), api.get_risk_management_data()
        except Exception:  # TqSdk raises bare Exception
            logger.info("the account has no risk rules of its own", exc_info=True)
            return None
        found = {"rule": _plain(rule), "data": _plain(data)}
        return found if any(found.values()) else None


def enabled_rules(found: Mapping[str, Any] | None) -> str:
    """The rules of `risk_rules` that are switched on, as a sentence's end; empty without any."""
    rules = (found or {}).get("rule", {})
    return "; ".join(
        f"{exchange}: {', '.join(_limits(rule))}"
        for exchange, rule in sorted(rules.items())
        if isinstance(rule, Mapping) and rule.get("enable")
    )


def _limits(rule: Mapping[str, Any]) -> Iterator[str]:
    for name, limits in sorted(rule.items()):
        if isinstance(limits, Mapping):
            said = " ".join(f"{key}={value}" for key, value in sorted(limits.items()))
            yield f"{name} {said}".strip()


def _plain(node: Any) -> Any:
    """A part of TqSdk's tree as dicts of its values."""
    if not isinstance(node, Mapping):
        return node
    named = {str(k): _plain(v) for k, v in node.items() if not str(k).startswith("_")}
    return {name: value for name, value in named.items() if name != "user_id"}
