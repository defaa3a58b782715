"""The order desk: plans, sends and follows the exchange orders behind Backtrader's orders.

Every change of a `bt.Order` happens here, by what the exchange says, and is told once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import backtrader as bt

from .connection import Connection
from .contracts import takes_market_orders
from .errors import BadPrice
from .execution import WorkingOrder, execute, net_position, without_reserved
from .model import AccountPosition, Offset, OrderPicture, Trade
from .offsets import Leg, plan_close, plan_legs
from .ordering import Request, crossing_price
from .orders import Accepted, Done, Event, Filled, OrderLedger, OrderState

__all__ = ["OrderDesk"]

STATUS = {state: getattr(bt.Order, state.value) for state in OrderState}


class OrderDesk:
    """Works the orders of one account session.

    `tell` gets an order each time it has changed. `market_ticks`: see `ordering.crossing_price`.
    """

    def __init__(
        self, connection: Connection, market_ticks: int, tell: Callable[[bt.Order], None]
    ) -> None:
        self._connection = connection
        self._market_ticks = market_ticks
        self._tell = tell
        self._run = secrets.token_hex(4)
        self._ledger = OrderLedger()
        self._orders: dict[str, WorkingOrder] = {}  # all of this session, by reference
        self._working: dict[str, WorkingOrder] = {}  # those that can still trade
        self._by_leg: dict[str, WorkingOrder] = {}
        self._net: dict[str, bt.Position] = {}  # for the profit of executions

    @property
    def alive(self) -> list[bt.Order]:
        """Orders that can still trade."""
        return [working.order for working in self._working.values()]

    def position(self, symbol: str) -> AccountPosition:
        """What the account holds, closable lots less what our closing orders will freeze."""
        return without_reserved(self._connection.position(symbol), list(self._working.values()))

    def plan(self, request: Request, offset: Offset | None) -> tuple[Leg, ...]:
        """The legs of `request`: as `offset` says, or closing first and opening the rest.

        Raises `InvalidOrder` when `offset` is CLOSE and fewer lots can be closed.
        """
        terms = request.instrument
        if offset is Offset.OPEN:
            return (Leg(Offset.OPEN, request.volume),)
        plan = plan_close if offset is Offset.CLOSE else plan_legs
        held = self.position(terms.symbol)
        return plan(request.direction, request.volume, held, terms.exchange_id)

    def submit(self, order: bt.Order, request: Request, legs: tuple[Leg, ...]) -> None:
        """Hand the order's first legs to the connection; they leave with the next wait."""
        price, symbol = self._price(request), request.instrument.symbol
        working = WorkingOrder.plan(order, request, legs, self._run)
        if symbol not in self._net:
            self._net[symbol] = net_position(self.position(symbol))
        ref = str(order.ref)
        self._ledger.add(ref, {leg.order_id: leg.volume for leg in working.legs})
        self._orders[ref] = self._working[ref] = working
        self._by_leg.update((leg.order_id, working) for leg in working.legs)
        order.submit(order.broker)
        self._tell(order)
        working.send(self._connection, price)

    def _price(self, request: Request) -> float | None:
        """What an exchange order of `request` costs now. Raises `BadPrice`."""
        terms = self._connection.listing.terms(request.instrument.symbol)
        if request.price is not None or takes_market_orders(terms):
            return request.price
        quote = self._connection.listing.quote(terms.symbol)
        return crossing_price(terms, request.direction, quote, self._market_ticks)

    def cancel(self, order: bt.Order) -> bool:
        """Cancel every leg that can still trade; False when the order has ended already."""
        working = self._working.get(str(order.ref))
        if working is None:
            return False
        for leg in working.legs:
            if leg.sent and not leg.done:
                self._connection.cancel_order(leg.order_id)
        self._drop_unsent(working, "cancelled before it was sent")
        return True

    # ---- news from the exchange

    def on_order(self, picture: OrderPicture) -> None:
        """The pump brings a leg's picture."""
        working = self._by_leg.get(picture.order_id)
        if working is None:
            return
        leg = working.leg(picture.order_id)
        leg.acknowledged = leg.acknowledged or bool(picture.exchange_order_id)
        self._apply(self._ledger.on_order(picture))
        self._follow_up(working)

    def on_trade(self, trade: Trade) -> None:
        """The pump brings an exchange trade."""
        working = self._by_leg.get(trade.order_id)
        if working is not None:
            self._apply(self._ledger.on_trade(trade))
            self._follow_up(working)

    def _follow_up(self, working: WorkingOrder) -> None:
        """Send what was waiting for a leg to fill, or give it up when that leg died."""
        died = ""
        for state in self._ledger.legs(str(working.order.ref)):
            leg = working.leg(state.order_id)
            leg.done = leg.done or (leg.sent and not state.is_alive and state.is_done)
            if leg.done and state.filled < state.volume:
                died = state.reason or "cancelled"
        if died:
            self._drop_unsent(working, f"not sent, a closing leg ended: {died}")
        elif working.due:
            self._go_on(working)

    def _go_on(self, working: WorkingOrder) -> None:
        """Send the legs that waited, at the price of this moment."""
        try:
            working.send(self._connection, self._price(working.request))
        except BadPrice as error:
            self._drop_unsent(working, f"not sent: {error}")

    def _drop_unsent(self, working: WorkingOrder, reason: str) -> None:
        for leg in working.legs:
            if not leg.sent and not leg.done:
                leg.done = True
                self._apply(self._ledger.on_unsent(leg.order_id, reason))

    def _apply(self, events: list[Event]) -> None:
        for event in events:
            order = self._orders[event.ref].order
            if isinstance(event, Accepted):
                order.accept(order.broker)
                self._tell(order)
            elif isinstance(event, Filled):
                execute(order, event.trade, self._net[event.trade.symbol])
                if event.ref not in self._working:  # its end was told before its last trade came
                    order.status = STATUS[self._ledger.state(event.ref)]
                self._tell(order)
            else:
                self._end(order, event)

    def _end(self, order: bt.Order, done: Done) -> None:
        del self._working[done.ref]
        if done.state is OrderState.COMPLETED:
            return  # its last execution said so
        finish(order, STATUS[done.state], done.reason)
        self._tell(order)


def finish(order: bt.Order, status: Any, reason: str) -> None:
    """End an order that did not fill, with the reason in `order.info.reason`."""
    order.status = status
    order.executed.dt = order.data.datetime[0]
    order.addinfo(reason=reason)
