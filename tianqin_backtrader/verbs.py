"""The exchange's own verbs on a broker: open and close, long and short, and all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import backtrader as bt

from .desk import OrderDesk
from .entry import OrderEntry
from .errors import InvalidOrder
from .feed import TqData
from .model import AccountPosition, Offset, OrderPicture
from .ordering import whole_lots
from .progress import Progress
from .working import Work

__all__ = ["ExchangeVerbs", "HeldPositions"]


class HeldPositions:
    """What the account holds; Backtrader's strategies read `broker.positions[data]`."""

    def __init__(
        self, held: Callable[[], dict[str, AccountPosition]], net: Callable[[Any], bt.Position]
    ) -> None:
        self._held, self._net = held, net

    def __call__(self) -> dict[str, AccountPosition]:
        """By contract; contracts without lots are left out."""
        return self._held()

    def __getitem__(self, data: Any) -> bt.Position:
        """Net lots of the feed's contract."""
        return self._net(data)


class ExchangeVerbs:
    """What `TqBroker` can do beyond Backtrader's `buy`, `sell` and `cancel`.

    `data_or_symbol` is a feed or a contract that a feed follows, or followed before.
    """

    p: Any

    @property
    def _entry(self) -> OrderEntry:
        raise NotImplementedError

    @property
    def _working_desk(self) -> OrderDesk:
        raise NotImplementedError

    @property
    def positions(self) -> HeldPositions:
        """`positions()`: everything the account holds, by contract. `positions[data]`: net."""
        raise NotImplementedError

    # ---- open and close

    def buy_open(
        self, data: TqData | str, size: float, price: float | None = None, **options: Any
    ) -> bt.Order:
        """Open long lots, whatever is held. `price` in CNY, None for a market order."""
        return self._verb(bt.order.BuyOrder, data, size, price, Offset.OPEN, options)

    def sell_open(
        self, data: TqData | str, size: float, price: float | None = None, **options: Any
    ) -> bt.Order:
        """Open short lots, whatever is held. `price` in CNY, None for a market order."""
        return self._verb(bt.order.SellOrder, data, size, price, Offset.OPEN, options)

    def buy_close(
        self, data: TqData | str, size: float, price: float | None = None, **options: Any
    ) -> bt.Order:
        """Close short lots and open none. Raises `InvalidOrder` when fewer can be closed."""
        return self._verb(bt.order.BuyOrder, data, size, price, Offset.CLOSE, options)

    def sell_close(
        self, data: TqData | str, size: float, price: float | None = None, **options: Any
    ) -> bt.Order:
        """Close long lots and open none. Raises `InvalidOrder` when fewer can be closed."""
        return self._verb(bt.order.SellOrder, data, size, price, Offset.CLOSE, options)

    # ---- targets

    def set_target(self, data: TqData, lots: int, owner: Any = None) -> bt.Order | None:
        """Bring the contract to net `lots`, in place of what is under way; with execution="target".

        None when it holds them already. Raises `InvalidOrder`.
        """
        if self.p.execution != "target":
            raise InvalidOrder(
                "set_target belongs to getbroker(execution='target'); expected order_target_size"
            )
        return self._entry.set_target(data, whole_lots(data.contract, lots), owner)

    def _renew(self, work: Work) -> None:
        order = self._working_desk.order_of(work)
        self._entry.set_target(order.data, work.ticket.target or 0, order.owner)

    # ---- all at once

    def cancel_all(self) -> int:
        """Cancel every order of ours that is alive; returns how many."""
        desk = self._working_desk
        return sum(desk.cancel(order) for order in desk.alive)

    def flatten(self) -> list[bt.Order]:
        """Close every lot that no resting order freezes, at market; `cancel_all` frees the rest.

        Raises `InvalidOrder`, with nothing sent, when the account holds a contract that no feed of
        the store follows.
        """
        held = list(self.positions())
        feeds = [self._entry.feed_of(symbol) for symbol in held]
        if self.p.execution == "target":
            orders = [self._entry.set_target(feed, 0) for feed in feeds]
            return [order for order in orders if order is not None]
        orders = []
        for symbol in held:
            free = self._working_desk.position(symbol)
            if free.long.closable:
                orders.append(self.sell_close(symbol, free.long.closable))
            if free.short.closable:
                orders.append(self.buy_close(symbol, free.short.closable))
        return orders

    # ---- the end of a run

    def refuse(self, reason: str) -> None:
        """Reject every new order with `reason` for the rest of this run; empty: take them again.

        Rolls go on at the next start.
        """
        self._entry.ending = reason
        self._working_desk.after = lambda: None

    @property
    def progress(self) -> Progress:
        """The orders at work, for what ends a run."""
        return self._working_desk.blotter.progress

    # ---- orders of other programs

    def external_orders(self) -> list[OrderPicture]:
        """Orders at the exchange that other programs wrote on this account, and are alive."""
        foreign = self._working_desk.blotter.foreign.values()
        return [picture for picture in foreign if picture.is_alive]

    def adopt(self, order: OrderPicture | str) -> bt.Order:
        """Follow an order of another program, or its id, as one of ours for this trading day.

        It can be cancelled and changed, and its fills are told from now on. Raises `InvalidOrder`
        when it is not alive, or no feed follows its contract.
        """
        order_id = order if isinstance(order, str) else order.order_id
        found = {each.order_id: each for each in self.external_orders()}.get(order_id)
        if found is None:
            raise InvalidOrder(
                f"{order_id} is no living order of another program; expected one of "
                "external_orders()"
            )
        return self._entry.adopt(found)

    # ---- inside

    def _verb(
        self,
        kind: type[bt.Order],
        data: TqData | str,
        size: float,
        price: float | None,
        offset: Offset,
        options: dict[str, Any],
    ) -> bt.Order:
        feed = self._entry.feed_of(data) if isinstance(data, str) else data
        contract = data if isinstance(data, str) and data != feed.symbol else ""
        exectype = bt.Order.Market if price is None else bt.Order.Limit
        owner = options.pop("owner", None)
        options = {"exectype": exectype, "price": price} | options
        return self._entry.enter(kind, owner, feed, size, options, offset, contract)
