"""Mode paper: real market, orders planned and written down, and nothing that could send one.

`PaperChannel` stands where a session has its `TradingChannel`, `PaperFloor` for its `Floor`. The
channel has no TqApi and no method that sends; what an order would have been comes back as the
exchange's answer: taken, and cancelled with the words "paper: not sent". The account is the
untouched picture of a local TqSim; no trading socket is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .model import Account, account_from
from .values import NOT_SENT, AccountPosition, OrderPicture, Trade

__all__ = ["PaperChannel"]


class PaperChannel:
    """An account that never trades. `node`: a part of TqApi's tree, `key`: the account there."""

    is_down = is_doubtful = False  # nothing can get lost on a line that is not there

    trading_day = ""  # TqSim does not say

    def __init__(self, node: Callable[..., Any], key: Callable[[], str]) -> None:
        self._node, self._key = node, key
        self._news: list[OrderPicture] = []
        self.has_unsent = False  # an answer is to be told
        self.gate: Callable[[], None] = lambda: None  # raises an OrderError if no order may leave
        self.on_cancel: Callable[[str], None] = lambda order_id: None

    # ---- what the session calls

    def note(self, diffs: Iterable[Mapping[str, Any]]) -> None:
        """Updates change nothing."""

    def look_at_packets(self) -> None:
        """Packets change nothing."""

    def renew(self) -> None:
        """Nor does another TqApi."""

    def news(self) -> tuple[list[OrderPicture], list[Trade]]:
        """Answers since the last call."""
        news, self._news = self._news, []
        return news, []

    def absent(self) -> set[str]:
        """Nothing is ever missing."""
        return set()

    # ---- orders

    def answer(self, order: OrderPicture, now_ns: int) -> None:
        """Let an order be taken and be cancelled by the exchange that it never saw."""
        taken = {name: getattr(order, name) for name in order.__slots__}
        taken |= {"exchange_order_id": f"paper.{order.order_id}", "insert_ns": now_ns}
        why = f"{NOT_SENT}: {_sentence(order)}"
        self._news.append(OrderPicture(**taken))
        self._news.append(OrderPicture(**taken | {"status": "FINISHED", "last_msg": why}))

    # ---- the account

    def account(self) -> Account:
        """TqSim's money."""
        return account_from(self._tree("accounts", "CNY"))

    def position(self, symbol: str) -> AccountPosition:
        """No lots."""
        return AccountPosition(symbol)

    def positions(self) -> dict[str, AccountPosition]:
        """None."""
        return {}

    def orders(self) -> dict[str, OrderPicture]:
        """None: each ended when it was answered."""
        return {}

    def trades(self) -> list[Trade]:
        """None."""
        return []

    def risk_rules(self) -> None:
        """None."""

    def _tree(self, *path: str) -> Any:
        return self._node("trade", self._key(), *path)


def _sentence(order: OrderPicture) -> str:
    """As "BUY OPEN 2 SHFE.cu2512 at 71230"."""
    at = f"{order.price:g}" if order.price == order.price else order.price_type
    side, offset = order.direction.value, order.offset.value
    return f"{side} {offset} {order.volume} {order.symbol} at {at.replace('ANY', 'market')}"
