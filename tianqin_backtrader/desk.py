"""The order desk: Backtrader's orders on one side, the orders at work on the other.

Every change of a `bt.Order` happens here, by what the exchange says, and is told once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import backtrader as bt

from .blotter import Blotter, Told
from .execution import execute, finish, net_position
from .floor import Floor
from .model import AccountPosition, OrderPicture, Tick, Trade
from .orders import Accepted, Done, Filled, OrderState
from .pump import Pump
from .tickets import Ticket
from .working import Diary, Held, Modified, Moved, Rules, Triggered

__all__ = ["OrderDesk"]

logger = logging.getLogger(__name__)

STATUS = {state: getattr(bt.Order, state.value) for state in OrderState}


class OrderDesk:
    """Works the orders of one account session; `notify` gets an order each time it has changed."""

    def __init__(
        self, floor: Floor, diary: Diary, rules: Rules, notify: Callable[[bt.Order], None]
    ) -> None:
        self._floor, self._notify = floor, notify
        self.blotter = Blotter(floor, diary, self._hear, rules)
        self._orders: dict[str, bt.Order] = {}  # by key
        self._keys: dict[int, str] = {}  # by Backtrader's reference
        self._net: dict[str, bt.Position] = {}  # for the profit of executions
        self._unflowed: dict[str, float] = {}  # contracts no feed has ticks of: last price seen
        self._told = False

    # ---- what the broker asks

    @property
    def alive(self) -> list[bt.Order]:
        """Orders that can still trade."""
        return [self._orders[work.key] for work in self.blotter.alive]

    def position(self, symbol: str) -> AccountPosition:
        """What the account holds, all lots frozen that closing orders will take."""
        return self.blotter.position(symbol)

    def key_of(self, order: bt.Order | None) -> str:
        """The key of an order; empty for None. Raises `KeyError` for one that is not known here."""
        return "" if order is None else self._keys[order.ref]

    def submit(self, orders: Sequence[tuple[bt.Order, Ticket]]) -> None:
        """Take new orders, a bracket's parent first; they leave with the next wait."""
        for order, ticket in orders:
            self.bind(order, ticket)
            order.submit(order.broker)
            self._tell(order)
        self.blotter.submit([ticket for _, ticket in orders])

    def bind(self, order: bt.Order, ticket: Ticket) -> None:
        """The Backtrader order that stands for a ticket."""
        self._orders[ticket.key] = order
        self._keys[order.ref] = ticket.key
        if not any(work.symbol == ticket.symbol for work in self.blotter.alive):
            self._net[ticket.symbol] = net_position(self._floor.position(ticket.symbol))

    def cancel(self, order: bt.Order) -> bool:
        """Withdraw what has not traded; False when the order has ended already."""
        key = self._keys.get(order.ref)
        return key is not None and self.blotter.cancel(key)

    def modify(self, order: bt.Order, **changes: Any) -> None:
        """Change a living order. Raises `OrderError`."""
        self.blotter.modify(self.key_of(order), **changes)

    # ---- what the pump brings

    def on_order(self, picture: OrderPicture) -> bool:
        return self.blotter.on_order(picture)

    def on_trade(self, trade: Trade) -> bool:
        return self.blotter.on_trade(trade)

    def on_absent(self, order_ids: set[str]) -> None:
        self.blotter.on_absent(order_ids)

    def settle(self) -> bool:
        """All that has come is told; returns whether there is something to tell a strategy."""
        if self.blotter.alive:
            self._look_at_quotes()
            self.blotter.on_time()
        told, self._told = self._told, False
        return told

    def watch(self, pump: Pump, symbol: str, contract: Callable[[], str]) -> None:
        """Let the ticks of feed `symbol` set off the stops of the contract that it follows."""
        pump.follow(symbol, _TickWatch(self.blotter, contract))

    def _look_at_quotes(self) -> None:
        """Contracts that no feed follows any more have quotes still."""
        for symbol, before in self._unflowed.items():
            price = float(self._floor.quote(symbol)["last_price"])
            if price != before:
                self._unflowed[symbol] = price
                self.blotter.on_tick(symbol, price)

    def leave(self, contract: str) -> None:
        """No feed follows `contract` any more: its quote is looked at instead."""
        self._unflowed.setdefault(contract, 0.0)

    # ---- what the orders at work say

    def _hear(self, told: Told) -> None:
        order = self._orders[told.ref]
        if isinstance(told, Filled):
            execute(order, told.trade, self._net[told.trade.symbol])
            state = self.blotter.ledger.state(told.ref)
            if state.is_terminal:  # its end was told before its last trade came, or this ends it
                order.status = STATUS[state]
        elif isinstance(told, Accepted):
            order.accept(order.broker)
        elif isinstance(told, Done):
            if told.state is OrderState.COMPLETED:
                return  # its last execution said so
            finish(order, STATUS[told.state], told.reason, self._floor.now_ns)
            logger.info("order %s ended as %s: %s", told.ref, told.state.value, told.reason)
        elif isinstance(told, Modified):
            _change(order, told.ticket)
        else:
            _mark(order, told)
            return
        self._tell(order)

    def _tell(self, order: bt.Order) -> None:
        self._told = True
        self._notify(order)


class _TickWatch:
    """Passes a feed's live ticks on to the orders of the contract that it follows."""

    def __init__(self, blotter: Blotter, contract: Callable[[], str]) -> None:
        self._blotter, self._contract = blotter, contract

    def on_tick(self, tick: Tick, missing: bool) -> None:
        self._blotter.on_tick(self._contract(), tick.last_price)

    def settle(self, late: bool) -> None:
        """Nothing is kept."""


def _mark(order: bt.Order, told: Held | Moved | Triggered) -> None:
    """Show where an order stands that the exchange does not have."""
    if isinstance(told, Held):
        order.addinfo(held=told.text)
    elif isinstance(told, Moved):
        order.created.price = told.price
        if told.limit is not None:
            order.created.pricelimit = told.limit
    else:
        order.triggered = True
        order.addinfo(held="", triggered=told.price)


def _change(order: bt.Order, ticket: Ticket) -> None:
    """Show an order as it was changed."""
    size = ticket.volume if order.isbuy() else -ticket.volume
    order.executed.remsize += size - order.created.size
    order.created.size = order.size = size
    if ticket.price is not None:
        order.created.price = ticket.price
    if ticket.limit is not None:
        order.created.pricelimit = ticket.limit
    if not order.executed.size:
        order.status = bt.Order.Accepted
