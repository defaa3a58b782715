"""From a call of `buy` or `sell` to an order at the desk: checked, built, staged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import backtrader as bt

from .contracts import check_limits, split_symbol
from .desk import OrderDesk
from .errors import BadPrice, InvalidOrder
from .execution import finish
from .feed import TqData
from .lines import days_of
from .making_orders import blank_order, called_order
from .model import Direction, Instrument, Offset, OrderPicture
from .ordering import Asked, read_ticket
from .risk import Refusal, code_of
from .tickets import Kind, Ticket

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["OrderEntry"]

logger = logging.getLogger(__name__)

NAMES = {"size": "volume", "price": "price", "plimit": "limit", "valid": "expires_ns",
         "trailamount": "trail_amount", "trailpercent": "trail_percent"}  # fmt: skip


class OrderEntry:
    """Writes the orders of one broker. `policy`, `execution`: of orders that say nothing of it."""

    def __init__(
        self,
        broker: Any,
        store: TqStore,
        desk: OrderDesk,
        notify: Callable[[bt.Order], None],
        policy: str,
        execution: str,
    ) -> None:
        self._broker, self._store, self._desk = broker, store, desk
        self._notify, self._policy, self._execution = notify, policy, execution
        self._staged: dict[int, list[tuple[bt.Order, Ticket]]] = {}  # by the parent's reference
        self.halted = ""  # why a roll opens nothing
        self.ending = ""  # why none is taken for the rest of the run
        self.judge: Callable[[Ticket, int], Refusal | None] = lambda ticket, parent_lots: None
        self.refused: Callable[[bt.Order, str, str], None] = lambda order, code, text: None
        self.busy: Callable[[TqData, str], str] = lambda data, contract: ""  # why none of it

    # ---- new orders

    def enter(
        self,
        kind: type[bt.Order],
        owner: Any,
        data: TqData,
        size: Any,
        options: dict[str, Any],
        offset: Offset | None = None,
        contract: str = "",
    ) -> bt.Order:
        """Check an order and take it; it leaves with the next wait.

        contract: of the order, if it is not the one that the feed follows now. Raises `OrderError`.
        """
        _check_feed(data)
        contract = contract or data.contract
        direction = Direction.BUY if kind is bt.order.BuyOrder else Direction.SELL
        ticket = self._ticket(direction, data, contract, size, options, offset)
        order = called_order(kind, owner, data, ticket, options)
        self._dress(order, contract)
        refusal = self._refusal(data, offset) or self.busy(data, contract)
        refusal = refusal or _beyond_limits(self._store.floor.terms(contract), ticket)
        if refusal:
            return self.reject(order, refusal)
        risk = self.judge(ticket, 0 if order.parent is None else abs(int(order.parent.size)))
        if risk is not None:
            return self.reject(order, risk.text, risk.code)
        if offset is not None or ticket.is_stop:
            self._desk.blotter.check(ticket)
        return self._stage(order, replace(ticket, key=self._store.key_of(order.ref)))

    def feed_of(self, symbol: str) -> TqData:
        """The feed on which orders of `symbol` are written.

        Raises `InvalidOrder` when none follows it, or a main contract of its product;
        `UnknownSymbol` for what is no symbol.
        """
        split_symbol(symbol)
        feeds = self._store.datas
        for data in feeds:
            if symbol in (data.symbol, data.contract):
                return data
        for data in feeds:  # what a main contract has followed before
            if data.is_main and _product(symbol) == _product(data.contract):
                return data
        raise InvalidOrder(f"no feed follows {symbol}; add store.getdata({symbol!r}) to Cerebro")

    def adopt(self, picture: OrderPicture) -> bt.Order:
        """Follow an order that another program wrote; see `TqBroker.adopt`."""
        data, floor = self.feed_of(picture.symbol), self._store.floor
        sessions = floor.sessions(picture.symbol)
        is_limit = picture.price == picture.price  # NaN at market
        ticket = Ticket(
            key=self._store.key_of(0),
            symbol=picture.symbol,
            direction=picture.direction,
            volume=picture.volume,
            kind=Kind.LIMIT if is_limit else Kind.MARKET,
            price=picture.price if is_limit else None,
            offset=picture.offset,
            expires_ns=sessions.close_of(sessions.trading_day_of(floor.now_ns)),
            feed=data.symbol,
        )
        order = self.restored(data, ticket)
        order.addinfo(adopted=picture.order_id)
        trades = [
            trade
            for trade in self._store.connection.trading.trades()
            if trade.order_id == picture.order_id
        ]
        self._desk.adopt(order, replace(ticket, key=self._store.key_of(order.ref)), picture, trades)
        return order

    def set_target(self, data: TqData, lots: int, owner: Any = None) -> bt.Order | None:
        """Replace what is under way of the contract by a net target; None if it is held already."""
        if not self.busy(data, data.contract):
            for order in self._desk.alive_of(data.contract):
                self._desk.cancel(order)
        change = lots - self._store.floor.position(data.contract).net
        if not change and not self._desk.alive_of(data.contract):
            return None
        kind = bt.order.BuyOrder if change >= 0 else bt.order.SellOrder
        return self.enter(kind, owner, data, abs(change) or 1, {"target": lots})

    def reject(self, order: bt.Order, reason: str, code: str | None = None) -> bt.Order:
        """End an order before it was taken, and write that down; not without a code."""
        order.submit(self._broker)
        finish(order, bt.Order.Rejected, reason, self._store.floor.now_ns)
        code = code_of(reason) if code is None else code
        if code and not order.data.history_phase:  # there a strategy may write one on each bar
            self.refused(order, code, reason)
        logger.warning("order %s rejected: %s", order.ref, reason)
        self._notify(order)
        return order

    def _stage(self, order: bt.Order, ticket: Ticket) -> bt.Order:
        """Keep an order until its bracket is complete, as Backtrader's own broker does."""
        parent = order.ref if order.parent is None else order.parent.ref
        is_child = order.parent is not None
        if is_child and parent not in self._staged and not order.parent.alive():
            return self.reject(order, f"its parent, order {parent}, has ended")
        family = self._staged.setdefault(parent, [])
        family.append((order, ticket))
        if order.transmit:
            del self._staged[parent]
            self._desk.submit(family)
        return order

    def unstage(self, order: bt.Order) -> bool:
        """Give up an order that was not transmitted, and its children; False if there is none."""
        family = self._staged.pop(order.ref, None)
        for staged, _ in family or ():
            self.reject(staged, "cancelled before it was transmitted", "")
        return family is not None

    def _refusal(self, data: TqData, offset: Offset | None) -> str:
        """Why the moment forbids the order; empty when it does not.

        What can only close waits while the line is down: it is sent when the account is whole.
        """
        if self.ending:
            return self.ending
        if self._store.journal.failure:
            return self._store.journal.failure
        if self._store.floor.is_down and offset in (None, Offset.OPEN):
            return "RECONCILING: the trading connection is lost: nothing was sent"
        if data.history_phase:
            return f"{data.symbol} still delivers history: nothing is sent on old prices"
        return ""

    # ---- tickets

    def _ticket(
        self,
        direction: Direction,
        data: TqData,
        contract: str,
        size: Any,
        options: dict[str, Any],
        offset: Offset | None,
    ) -> Ticket:
        floor = self._store.floor
        asked = Asked(
            key=self._store.key_of(0),
            feed=data.symbol,
            policy=self._policy,
            now_ns=floor.now_ns,
            sessions=floor.sessions(contract),
            offset=offset,
            oco=self._relative("oco", options.get("oco")),
            parent=self._relative("parent", options.get("parent")),
            execution=self._execution,
            target=options.get("target"),
            last_price=floor.quote(contract).get("last_price"),
        )
        return read_ticket(floor.terms(contract), direction, size, options, asked)

    def _relative(self, name: str, order: Any) -> str:
        """The key of an order that a new one hangs together with; empty for None."""
        if order is None:
            return ""
        if getattr(order, "broker", None) is not self._broker:
            raise InvalidOrder(f"{name} is {order!r}; expected an order written with this broker")
        return self._desk.key_of(order) or self._store.key_of(order.ref)

    def changes(self, order: bt.Order, asked: dict[str, Any]) -> dict[str, Any]:
        """Backtrader's words for what changes, checked, in those of a ticket."""
        unknown = sorted(asked.keys() - NAMES.keys())
        if unknown:
            raise InvalidOrder(f"{unknown[0]} cannot be changed; expected {', '.join(NAMES)}")
        now = {
            "size": abs(order.created.size), "exectype": order.exectype,
            "price": order.price, "plimit": order.pricelimit,
            "trailamount": order.trailamount, "trailpercent": order.trailpercent,
        }  # fmt: skip
        direction, options = Direction.BUY if order.isbuy() else Direction.SELL, now | asked
        contract = str(order.info.get("contract") or order.data.contract)
        size = options.pop("size")
        ticket = self._ticket(direction, order.data, contract, size, options, None)
        read = {NAMES[name]: getattr(ticket, NAMES[name]) for name in asked}
        if "price" in asked and ticket.price is None:
            read["price"] = asked["price"]  # it has none: whoever refuses it names what arrived
        return read

    # ---- Backtrader's orders

    def restored(self, data: TqData, ticket: Ticket) -> bt.Order:
        """The Backtrader order of a ticket that was not written by a call of this run."""
        order = blank_order(
            data,
            ticket.direction,
            ticket.volume,
            ticket.price or ticket.limit or 1.0,  # a trailing stop needs some; its own is set later
            pricelimit=ticket.limit,
            exectype=getattr(bt.Order, ticket.kind.value),
            tradeid=ticket.tradeid,
        )
        order.valid = days_of(ticket.expires_ns) if ticket.expires_ns else None
        order.p.price = order.created.price = ticket.price
        self._dress(order, ticket.symbol)
        return order

    def _dress(self, order: bt.Order, contract: str) -> None:
        order.broker = self._broker
        order.addcomminfo(self._broker.terms_of(contract, order.data))
        if contract != order.data.contract:
            order.addinfo(contract=contract)


def _check_feed(data: Any) -> None:
    """Orders need a feed of ours, and its first bar: Backtrader reads the close off it."""
    if not isinstance(data, TqData):
        name = getattr(data, "_name", "") or type(data).__name__
        raise InvalidOrder(f"order on {name!r}; expected a feed of store.getdata, or its symbol")
    if not len(data):
        raise InvalidOrder(f"{data.symbol} has no bar yet; write orders in next()")


def _beyond_limits(terms: Instrument, ticket: Ticket) -> str:
    """Why today's limits forbid a limit order; empty where they do not, or are not known."""
    try:
        if ticket.kind is Kind.LIMIT and ticket.price is not None:
            check_limits(terms, ticket.price)
    except BadPrice as error:
        return str(error)
    return ""


def _product(symbol: str) -> str:
    """Exchange and letters of a contract: "SHFE.cu2511" is "SHFE.cu"."""
    exchange_id, contract = split_symbol(symbol)
    return f"{exchange_id}.{contract.rstrip('0123456789')}"
