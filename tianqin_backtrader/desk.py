"""The order desk: Backtrader's orders on one side, the orders at work on the other.

Every change of a `bt.Order` happens here, by what the exchange says, and is told once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import backtrader as bt

from .blotter import Blotter
from .connection import Connection
from .errors import InvalidOrder, NotWrittenDown
from .execution import execute, finish, net_position
from .floor import Floor
from .journal_records import HoldingRecord
from .marks import STATUS, change, mark
from .model import AccountPosition, OrderPicture, Tick, Trade
from .notices import Notice, Tell
from .orders import Accepted, Done, Filled, OrderState
from .pump import Pump
from .surroundings import Diary
from .target_desk import TargetDesk, TargetRules
from .tickets import Ticket
from .tidings import Modified, Moved, Told, Unanswered
from .working import Rules, Work

__all__ = ["OrderDesk", "holding_of"]

logger = logging.getLogger(__name__)


class OrderDesk:
    """Works the orders of one account session.

    `notify` gets an order each time it has changed, `learn` each trade of the account
    and what was held before, `news` what people should look at.
    """

    def __init__(
        self,
        floor: Floor,
        diary: Diary,
        rules: Rules,
        notify: Callable[[bt.Order], None],
        learn: Callable[[Trade, AccountPosition | None], None],
        news: Tell,
    ) -> None:
        self._floor, self._diary, self._notify, self._learn = floor, diary, notify, learn
        self._news = news
        self.blotter = Blotter(floor, diary, self._hear, rules)
        self.targets: TargetDesk | None = None
        self._orders: dict[str, bt.Order] = {}  # by key
        self._keys: dict[int, str] = {}  # by Backtrader's reference
        self._net: dict[str, bt.Position] = {}  # for the profit of executions
        self._unflowed: dict[str, tuple[float, str]] = {}  # contracts no feed has ticks of: quotes
        self.after: Callable[[], None] = lambda: None  # called when all that has come is told
        self.on_end: Callable[[bt.Order, Done], None] = lambda order, done: None
        self._before: dict[str, AccountPosition] = {}  # what was held before the trades to come
        self._told = self._is_quiet = False

    def execute_as_targets(
        self, connection: Connection, rules: TargetRules, renew: Callable[[Work], None]
    ) -> None:
        """Leave the exchange orders to TqSdk's `TargetPosTask`; see `TargetDesk`."""
        diary, blotter = self._diary, self.blotter
        self.targets = TargetDesk(connection, self._floor, diary, blotter, rules, renew)
        blotter.progress.targets = self.targets

    # ---- what the broker asks

    @property
    def alive(self) -> list[bt.Order]:
        """Orders that can still trade."""
        return [self._orders[work.key] for work in self.blotter.alive]

    def alive_of(self, symbol: str) -> list[bt.Order]:
        """Orders of one contract that can still trade."""
        return [self._orders[work.key] for work in self.blotter.alive if work.symbol == symbol]

    def order_of(self, work: Work) -> bt.Order:
        """The Backtrader order that stands for a work."""
        return self._orders[work.key]

    def position(self, symbol: str) -> AccountPosition:
        """What the account holds, all lots frozen that closing orders will take."""
        return self.blotter.position(symbol)

    def key_of(self, order: bt.Order | None) -> str:
        """The key of an order that was taken; empty for another, or None."""
        return "" if order is None else self._keys.get(order.ref, "")

    def submit(self, orders: Sequence[tuple[bt.Order, Ticket]]) -> None:
        """Take new orders, a bracket's parent first; they leave with the next wait."""
        for order, ticket in orders:
            self.bind(order, ticket)
            order.submit(order.broker)
            self._tell(order)
        self.blotter.submit([ticket for _, ticket in orders])
        for order, ticket in orders:
            self._show_trigger(order, ticket.key)

    def _show_trigger(self, order: bt.Order, key: str) -> None:
        """A trailing stop stands by the market's last price, not by the last bar's close."""
        trigger = self.blotter.progress.works[key].trigger
        if trigger is not None:
            mark(order, Moved(key, trigger.price, trigger.limit))

    def bind(self, order: bt.Order, ticket: Ticket) -> None:
        """The Backtrader order that stands for a ticket."""
        self._orders[ticket.key] = order
        self._keys[order.ref] = ticket.key
        if not any(work.symbol == ticket.symbol for work in self.blotter.alive):
            self._net[ticket.symbol] = net_position(self._floor.position(ticket.symbol))
        self._look_before(ticket.symbol)

    def cancel(self, order: bt.Order) -> bool:
        """Withdraw what has not traded; False when the order has ended already."""
        key = self._keys.get(order.ref)
        return key is not None and self.blotter.cancel(key)

    def modify(self, order: bt.Order, **changes: Any) -> None:
        """Change a living order. Raises `OrderError`."""
        key = self.key_of(order)
        if self._diary.failure:
            raise NotWrittenDown(self._diary.failure)
        if not key:
            raise InvalidOrder(f"order {order.ref} was not written with this broker")
        self.blotter.modify(key, **changes)

    # ---- what was there before

    def knows(self, key: str) -> bool:
        """Whether a Backtrader order stands for the order `key`."""
        return key in self._orders

    def take_over(self, order: bt.Order, work: Work, trades: Sequence[Trade]) -> None:
        """Bind an order of an earlier run, `trades` of which were told then."""
        self.bind(order, work.ticket)
        held = bt.Position()
        for trade in trades:
            execute(order, trade, held)
        order.executed.markpending()
        state = self.blotter.ledger.state(work.key)
        if state is not OrderState.SUBMITTED or work.legs:
            order.status = STATUS[state]
        else:
            order.submit(order.broker)

    def adopt(
        self, order: bt.Order, ticket: Ticket, picture: OrderPicture, trades: Sequence[Trade]
    ) -> None:
        """Follow another program's order, `trades` of which belong to what is held already."""
        self.bind(order, ticket)
        order.submit(order.broker)
        with self.quietly():
            self.blotter.adopt(ticket, picture, trades)
        order.executed.markpending()
        self._tell(order)

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Orders change and nobody is told; their fills belong to what is held already."""
        self._is_quiet = True
        try:
            yield
        finally:
            self._is_quiet = False

    def show_all(self) -> None:
        """Tell each order once, as it stands; the lots held are counted from the account."""
        for key, order in self._orders.items():
            order.executed.markpending()
            work = self.blotter.progress.works[key]
            self._show_trigger(order, key)
            self._net[work.symbol] = net_position(self._floor.position(work.symbol))
            self._tell(order)

    # ---- what the pump brings

    def on_order(self, picture: OrderPicture) -> bool:
        return self.blotter.on_order(picture)

    def on_trade(self, trade: Trade) -> bool:
        self._learn(trade, self._before.pop(trade.symbol, None))
        return self.blotter.on_trade(trade)

    def on_absent(self, order_ids: set[str]) -> None:
        self.blotter.on_absent(order_ids)

    def settle(self) -> bool:
        """All that has come is told; returns whether there is something to tell a strategy."""
        if self.targets is not None:
            self.targets.poll()
        if self.blotter.alive:
            self._look_at_quotes()
            self.blotter.on_time()
            for symbol in {work.symbol for work in self.blotter.alive}:
                self._look_before(symbol)
        self.after()
        told, self._told = self._told, False
        return told

    def watch(self, pump: Pump, symbol: str, feed: Any) -> None:
        """Let the ticks of feed `symbol` set off the stops of the contract that it follows."""
        pump.follow(symbol, _TickWatch(self.blotter, feed))

    def _look_before(self, symbol: str) -> None:
        if self.blotter.progress.lots.agrees(symbol):
            self._before[symbol] = self._floor.position(symbol)

    def _look_at_quotes(self) -> None:
        """Contracts that no feed follows any more have quotes still."""
        for symbol, before in self._unflowed.items():
            quote = self._floor.quote(symbol)
            seen = float(quote["last_price"]), str(quote["datetime"])
            if seen != before:
                self._unflowed[symbol] = seen
                self.blotter.on_tick(symbol, seen[0])

    def leave(self, contract: str) -> None:
        """No feed follows `contract` any more: its quote is looked at instead."""
        self._unflowed.setdefault(contract, (0.0, ""))

    # ---- what the orders at work say

    def _hear(self, told: Told) -> None:
        order = self._orders[told.ref]
        if isinstance(told, Filled):
            position = bt.Position() if self._is_quiet else self._net[told.trade.symbol]
            execute(order, told.trade, position)
            state = self.blotter.ledger.state(told.ref)
            if state.is_terminal:  # its end was told before its last trade came, or this ends it
                order.status = STATUS[state]
            elif order.status == bt.Order.Completed:  # it is becoming larger, or a leg lives on
                order.status = bt.Order.Partial
        elif isinstance(told, Accepted):
            order.accept(order.broker)
        elif isinstance(told, Done):
            if told.state is OrderState.COMPLETED and order.status == bt.Order.Completed:
                return  # its last execution said so
            finish(order, STATUS[told.state], told.reason, self._floor.now_ns)
            logger.info("order %s ended as %s: %s", told.ref, told.state.value, told.reason)
            self.on_end(order, told)
        elif isinstance(told, Modified):
            change(order, told.ticket)
        elif isinstance(told, Unanswered):
            self._warn(order, told)
            return
        else:
            mark(order, told)
            return
        self._tell(order)

    def _warn(self, order: bt.Order, silence: Unanswered) -> None:
        text = (
            f"the exchange has said nothing of order {order.ref} ({silence.order_id}) for "
            f"{silence.for_s:.0f} s; look whether it stands there before you write another"
        )
        logger.warning("%s", text)
        self._news(Notice.ORDER_UNANSWERED, text, key=silence.ref, order=order)

    def _tell(self, order: bt.Order) -> None:
        if not self._is_quiet:
            self._told = True
            self._notify(order)


class _TickWatch:
    """Passes a feed's live ticks on to the orders of the contract that it follows."""

    def __init__(self, blotter: Blotter, feed: Any) -> None:
        self._blotter, self._feed = blotter, feed

    def on_tick(self, tick: Tick, missing: bool) -> None:
        self._blotter.on_tick(self._feed.contract, self._feed.price_of(tick))

    def settle(self, late: bool) -> None:
        """Nothing is kept."""


def holding_of(symbol: str, position: AccountPosition, now_ns: int) -> HoldingRecord:
    """What the account holds, for the journal."""
    return HoldingRecord(symbol, position.long.total, position.short.total, now_ns)
