"""The account's side of a session: sends orders and cancels, reads money, lots, orders and trades.

Nothing here waits: what is sent leaves with the next `Connection.wait`.
"""

from __future__ import annotations

import logging
from asyncio import Task
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from .account_view import AccountView
from .errors import OrderError
from .model import (
    Direction,
    ExchangeOrder,
    Offset,
    OrderPicture,
    Trade,
)
from .news import TradingNews

__all__ = ["TaskOrders", "TradingChannel", "contain"]

logger = logging.getLogger(__name__)

TASK_ORDER = "PYSDK_target"  # begins the ids that tqsdk.lib.target_pos_task makes up
ENDED = {"status": "FINISHED", "is_dead": True, "is_online": False}


class TaskOrders(Protocol):
    """Whoever answers for the orders that TqSdk's own tasks insert."""

    def name_order(
        self, symbol: str, direction: Direction, offset: Offset, volume: int, price: float
    ) -> str | None:
        """The id to use; None: the task is none of ours. What is raised refuses the order."""
        ...

    def inserted(self, symbol: str, order: Any) -> None:
        """The order that bears the id, as TqSdk keeps it up to date."""
        ...


def contain(api: Any, task: Task[Any], fail: Callable[[str], None]) -> None:
    """Tell `fail` what ends a root task of TqSdk, which would raise it out of any wait instead."""

    def done(_: Task[Any]) -> None:
        api._tasks.discard(task)
        api._loop.stop()  # as TqSdk's own callback does
        error = None if task.cancelled() else task.exception()
        if error is not None:
            fail(str(error) or type(error).__name__)

    task.remove_done_callback(api._on_task_done)
    task.add_done_callback(done)


class TradingChannel(AccountView):
    """One account of one TqApi.

    `api` gives the TqApi while it is open; `node` a part of its tree; `key` names the account
    there.
    """

    def __init__(
        self, api: Callable[[], Any], node: Callable[..., Any], key: Callable[[], str]
    ) -> None:
        super().__init__(api, node, key)
        self.on_cancel: Callable[[str], None] = lambda order_id: None  # a cancel is about to leave
        self._news = TradingNews()
        self.has_unsent = False  # orders or cancels that leave only with the next wait
        self.gate: Callable[[], None] = lambda: None  # raises an OrderError if no order may leave
        self.is_doubtful = False  # the session does not answer and is to be replaced

    def note(self, diffs: Sequence[Mapping[str, Any]]) -> None:
        """Take what an update changed."""
        if any("trade" in diff for diff in diffs):
            self._forget()
        self._news.note(diffs, self._key(), self._node("trade", self._key()))

    def look_at_packets(self) -> None:
        """From now on see packets of the TqApi whole: its diffs leave out what it knows."""
        api = self._api()
        fetch = api._fetch_msg

        async def fetch_and_look() -> None:
            await fetch()
            self.look(api._pending_diffs)

        api._fetch_msg = fetch_and_look

    def look(self, diffs: Iterable[Mapping[str, Any]]) -> None:
        """Look at a packet as it came, before TqSdk takes it in."""
        self._news.look(diffs, self._key())

    def renew(self) -> None:
        """Another TqApi stands and shows the whole account: read it as after a reconnect."""
        self._forget()
        tree, notices = self._node("trade", self._key()), self._node("notify")
        self._news.renew(self._key(), tree, dict(notices))

    def again(self, order: Any) -> Any:
        """TqSdk's live object of an order in the session that stands now.

        What that one does not show yet, or never will, is taken along as it was.
        """
        live = self._api().get_order(order["order_id"])
        if not live["order_id"]:
            live.update(dict(order))
        return live

    # ---- news

    def news(self) -> tuple[list[OrderPicture], list[Trade]]:
        """Orders and trades that changed since the last call."""
        return self._news.take()

    def absent(self) -> set[str]:
        """Orders of ours that a whole picture after a reconnect did not show, since the last call.

        They never reached the gateway, or it has forgotten them with an earlier trading day.
        """
        return self._news.take_absent()

    @property
    def is_down(self) -> bool:
        """Whether a trading socket is lost: what is sent now could vanish without an answer."""
        return self._news.connection_is_lost or self.is_doubtful

    # ---- sending

    def send(self, order: ExchangeOrder) -> None:
        """Hand an exchange order to TqSdk."""
        self.gate()
        self.has_unsent = True
        shown = self._api().insert_order(
            order.symbol,
            order.direction.value,
            order.offset.value,
            order.volume,
            order.price,
            order.advanced,
            order_id=order.order_id,
        )
        self._news.remember(order.order_id, shown)

    def cancel(self, order_id: str) -> None:
        """Hand a cancel to TqSdk."""
        self.has_unsent = True
        self.on_cancel(order_id)
        self._api().cancel_order(order_id)

    # ---- orders of TqSdk's own tasks

    def answer_for(self, orders: TaskOrders) -> None:
        """From now on ask `orders` for the ids of orders that tasks of TqSdk insert."""
        api = self._api()
        insert, withdraw = api.insert_order, api.cancel_order

        def insert_order(*terms: Any, **options: Any) -> Any:
            made_up = str(options.get("order_id") or "")
            if not made_up.startswith(TASK_ORDER):
                return insert(*terms, **options)
            return self._insert_named(orders, insert, made_up, *terms)

        def cancel_order(order_id: str, **options: Any) -> None:
            if options:  # TqSdk's tasks name the account
                self.on_cancel(order_id)
            withdraw(order_id, **options)

        api.insert_order, api.cancel_order = insert_order, cancel_order

    def _insert_named(
        self,
        orders: TaskOrders,
        insert: Callable[..., Any],
        order_id: str,
        symbol: str,
        direction: str,
        offset: str,
        volume: int,
        price: float,
    ) -> Any:
        """Insert a task's order under our id. Never raises: its task would wait for ever."""
        terms = symbol, direction, offset, volume, price
        ours = None
        try:
            sides = Direction(direction), Offset(offset)
            ours = orders.name_order(symbol, *sides, volume, price)
            order = self._insert_contained(insert, ours or order_id, *terms)
        except Exception as error:
            known = isinstance(error, OrderError)
            logger.warning("an order of a task was not sent: %s", error, exc_info=not known)
            order = self._api().get_order(ours or order_id)
            order.update(_refused(ours or order_id, str(error), *terms))
        if ours is not None:
            self._adopt(ours, order)
            orders.inserted(symbol, order)
        return order

    def _adopt(self, order_id: str, order: Any) -> None:
        self.has_unsent = True
        self._news.remember(order_id, order)
        if order["status"] == "FINISHED":  # refused here: no gateway will tell
            self.note([{"trade": {self._key(): {"orders": {order_id: {}}}}}])

    def _insert_contained(self, insert: Callable[..., Any], order_id: str, *terms: Any) -> Any:
        """Insert; what refuses the order on its way out ends it as a gateway's refusal would."""
        self.gate()
        api = self._api()
        before = set(api._tasks)
        order = insert(*terms, order_id=order_id)

        def refuse(reason: str) -> None:
            logger.warning("order %s was not sent: %s", order_id, reason)
            self._tell(order_id, _refused(order_id, reason, *terms))

        for sender in api._tasks - before:
            contain(api, sender, refuse)
        return order

    def give_up(self, order_id: str, reason: str) -> None:
        """Let TqSdk and its tasks hear the end of an order that the gateway does not know."""
        self._tell(order_id, ENDED | {"last_msg": reason})

    def _tell(self, order_id: str, fields: dict[str, Any]) -> None:
        """Say something of an order as if the gateway had: it comes with the next wait."""
        diff = {"trade": {self._key(): {"orders": {order_id: fields}}}}
        self._api()._recv_chan.send_nowait({"aid": "rtn_data", "data": [diff]})


def _refused(
    order_id: str,
    reason: str,
    symbol: str,
    direction: str,
    offset: str,
    volume: int,
    price: float,
) -> dict[str, Any]:
    """A limit order that never left, in TqSdk's words."""
    exchange_id, instrument_id = symbol.split(".", 1)
    return {
        "order_id": order_id,
        "exchange_order_id": "",
        "exchange_id": exchange_id,
        "instrument_id": instrument_id,
        "direction": direction,
        "offset": offset,
        "volume_orign": volume,
        "volume_left": volume,
        "limit_price": price,
        "price_type": "LIMIT",
        "last_msg": reason,
        "is_error": True,
        **ENDED,
    }
