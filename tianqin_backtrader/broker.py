"""`TqBroker`: a futures account as a Backtrader broker.

Cash, value and positions are the account's own, not our arithmetic.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import backtrader as bt

from .commission import TqCommInfo
from .contracts import check_limits
from .desk import OrderDesk
from .errors import BadPrice, InvalidOrder, NotStarted, WrongSetting
from .execution import finish, net_position
from .feed import TqData
from .lines import days_of
from .model import Account, AccountPosition, Direction, Instrument, Offset
from .offsets import policy_of
from .ordering import Asked, known_options, read_ticket
from .restart import Restart, blank_order
from .tickets import Kind, Ticket
from .working import Rules

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["TqBroker"]

logger = logging.getLogger(__name__)

LAST_WORD_S = 0.5  # how long a stopping broker listens for the answer to its last order


class TqBroker(bt.broker.BrokerBase):
    """The account of a store. Made by `TqStore.getbroker`.

    market_ticks: where the exchange takes no market order, how many price ticks beyond the opposite
    price the limit order lies that stands for one.

    Verbs raise an `InvalidOrder` for what can never be sent (volume, price grid, order type). What
    depends on the moment ends as Rejected or Margin, with the reason in `order.info.reason`.
    """

    params = (
        ("execution", "direct"),
        ("risk", None),
        ("policy", "net"),
        ("market_ticks", 2),
        ("close_lead_s", 30.0),
        ("holds_closed", True),
    )

    def __init__(self, store: TqStore) -> None:
        super().__init__()
        if self.p.execution != "direct":
            raise WrongSetting("execution", self.p.execution, "'direct'")
        if self.p.risk is not None:
            raise WrongSetting("risk", self.p.risk, "None; risk limits do not exist yet")
        self._store = store
        self._desk: OrderDesk | None = None
        policy_of(self.p.policy)
        self._terms: dict[str, TqCommInfo] = {}
        self._staged: dict[int, list[tuple[bt.Order, Ticket]]] = {}  # by the parent's reference
        self._notifications: deque[bt.Order | None] = deque()
        self._last: tuple[Account, dict[str, AccountPosition]] | None = None
        self._halted = ""
        self.startingcash = self.startingvalue = 0.0

    # ---- life

    def start(self) -> None:
        super().start()
        self._store.start(broker=self)
        self._last = None
        rules = Rules(
            market_ticks=self.p.market_ticks,
            close_lead_s=self.p.close_lead_s,
            holds_closed=self.p.holds_closed,
        )
        self._desk = OrderDesk(self._store.floor, self._store.journal, rules, self._notify)
        self._store.pump.trading = self._desk
        account = self.account()
        self.startingcash, self.startingvalue = account.available, account.balance

    def begin(self) -> None:
        """All feeds stand: show what was there before, and let their ticks set off stops."""
        desk, store = self._working_desk, self._store
        feeds = {data.symbol: data for data in reversed(store.datas)}
        channel = store.connection.trading
        restart = Restart(desk, store.floor, channel, store.journal, feeds, store.tell)
        restart.run(self._restored)
        for data in {data.contract: data for data in reversed(store.datas)}.values():
            opening = restart.opening(data, self.getcommissioninfo(data))
            if opening is not None:
                self._notify(opening)
        for symbol, data in feeds.items():
            desk.watch(self._store.pump, symbol, partial(getattr, data, "contract"))

    def stop(self) -> None:
        """Keep the last picture of the account: it can be read after the session has ended.

        An order of the last `next` leaves now, and its answer is still heard.
        """
        super().stop()
        if self._store.pump.has_unsent:
            self._store.pump.new_cycle()
            self._store.pump.run(LAST_WORD_S)
        self._last = self.account(), self.positions()
        self._desk = None

    # ---- the account

    def account(self) -> Account:
        """The account's money, CNY."""
        return self._last[0] if self._last else self._store.connection.trading.account()

    def getcash(self) -> float:
        """Money free for new positions: the account's `available`, CNY."""
        return self.account().available

    def getvalue(self, datas: Any = None) -> float:
        """The account's balance, CNY; with `datas` the margin that their positions hold."""
        if datas is None:
            return self.account().balance
        held = self.positions()
        return sum(held[data.contract].margin for data in datas if data.contract in held)

    get_cash, get_value = getcash, getvalue  # Backtrader's analyzers use both spellings

    def getposition(self, data: TqData, clone: bool = True) -> bt.Position:
        """Net lots of the feed's contract with the average price of the larger side."""
        return net_position(self.get_account_position(data.contract))

    def get_account_position(self, symbol: str) -> AccountPosition:
        """Long and short, today's and history lots, and what resting orders freeze."""
        if self._last:
            return self._last[1].get(symbol, AccountPosition(symbol))
        return self._store.connection.trading.position(symbol)

    def positions(self) -> dict[str, AccountPosition]:
        """Everything the account holds, by contract; contracts without lots are left out."""
        held = self._last[1] if self._last else self._store.connection.trading.positions()
        return {symbol: p for symbol, p in held.items() if p.long.total or p.short.total}

    def getcommissioninfo(self, data: TqData) -> bt.CommInfoBase:
        """What was set for the feed's name, or else the contract's own terms."""
        if data._name in self.comminfo:
            return self.comminfo[data._name]
        if data.contract not in self._terms:
            terms = self._store.connection.listing.terms(data.contract)
            self._terms[data.contract] = TqCommInfo.of(terms)
        return self._terms[data.contract]

    # ---- orders: Backtrader's verbs

    def buy(self, owner: Any, data: TqData, size: float, **options: Any) -> bt.Order:
        """Close short lots, then open long ones. Raises `InvalidOrder`."""
        return self._enter(bt.order.BuyOrder, owner, data, size, options)

    def sell(self, owner: Any, data: TqData, size: float, **options: Any) -> bt.Order:
        """Close long lots, then open short ones. Raises `InvalidOrder`."""
        return self._enter(bt.order.SellOrder, owner, data, size, options)

    def cancel(self, order: bt.Order) -> bool:
        """Withdraw what has not traded, at the exchange every leg; False when it has ended."""
        family = self._staged.pop(order.ref, None)
        if family is not None:
            for staged, _ in family:
                self._reject(staged, "cancelled before it was transmitted")
            return True
        return self._working_desk.cancel(order)

    def modify(self, order: bt.Order, **changes: Any) -> bt.Order:
        """Change `size`, `price`, `plimit`, `trailamount`, `trailpercent` or `valid` of an order.

        It stays the same `bt.Order`. What is at the exchange is withdrawn, and sent as changed when
        the exchange has let go of it; lots that traded meanwhile count. Raises `OrderError`.
        """
        self._working_desk.modify(order, **self._changes(order, changes))
        return order

    def orderstatus(self, order: bt.Order) -> int:
        return int(order.status)

    # ---- orders: the exchange's verbs

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

    def cancel_all(self) -> int:
        """Cancel every order of ours that is alive; returns how many."""
        desk = self._working_desk
        return sum(desk.cancel(order) for order in desk.alive)

    def flatten(self) -> list[bt.Order]:
        """Close every lot that no resting order freezes, at market; `cancel_all` frees the rest.

        Raises `InvalidOrder`, with nothing sent, when the account holds a contract that no feed of
        the store follows.
        """
        feeds = {symbol: self._feed(symbol) for symbol in self.positions()}
        orders = []
        for symbol, feed in feeds.items():
            free = self._working_desk.position(symbol)
            if free.long.closable:
                orders.append(self.sell_close(feed, free.long.closable))
            if free.short.closable:
                orders.append(self.buy_close(feed, free.short.closable))
        return orders

    def halt(self, reason: str = "trading is halted") -> None:
        """Reject every new order with `reason` until `resume`; cancels still go out."""
        self._halted = reason

    def resume(self) -> None:
        """Take orders again."""
        self._halted = ""

    # ---- from call to order

    def _changes(self, order: bt.Order, changes: dict[str, Any]) -> dict[str, Any]:
        """Backtrader's words for what changes, checked, in those of a ticket."""
        names = {"size": "volume", "plimit": "limit", "valid": "expires_ns",
                 "trailamount": "trail_amount", "trailpercent": "trail_percent",
                 "price": "price"}  # fmt: skip
        unknown = sorted(changes.keys() - names.keys())
        if unknown:
            raise InvalidOrder(f"{unknown[0]} cannot be changed; expected {', '.join(names)}")
        is_buy, now = order.isbuy(), {
            "size": abs(order.created.size), "exectype": order.exectype,
            "price": order.price, "plimit": order.pricelimit,
            "trailamount": order.trailamount, "trailpercent": order.trailpercent,
        }  # fmt: skip
        direction = Direction.BUY if is_buy else Direction.SELL
        options = now | changes
        ticket = self._ticket(direction, order.data, options.pop("size"), options, None)
        return {names[name]: getattr(ticket, names[name]) for name in changes}

    @property
    def _working_desk(self) -> OrderDesk:
        if self._desk is None:
            raise NotStarted("an order")
        return self._desk

    def _verb(
        self,
        kind: type[bt.Order],
        data: TqData | str,
        size: float,
        price: float | None,
        offset: Offset,
        options: dict[str, Any],
    ) -> bt.Order:
        feed = self._feed(data) if isinstance(data, str) else data
        exectype = bt.Order.Market if price is None else bt.Order.Limit
        owner = options.pop("owner", None)
        return self._enter(
            kind, owner, feed, size, {"exectype": exectype, "price": price} | options, offset
        )

    def _feed(self, symbol: str) -> TqData:
        for data in self._store.datas:
            if symbol in (data.symbol, data.contract):
                return data
        raise InvalidOrder(f"no feed follows {symbol}; add store.getdata({symbol!r}) to Cerebro")

    def _enter(
        self,
        kind: type[bt.Order],
        owner: Any,
        data: TqData,
        size: Any,
        options: dict[str, Any],
        offset: Offset | None = None,
    ) -> bt.Order:
        """Check an order and take it; it leaves with the next wait."""
        desk = self._working_desk
        direction = Direction.BUY if kind is bt.order.BuyOrder else Direction.SELL
        ticket = self._ticket(direction, data, size, options, offset)
        order = _order(kind, owner, data, ticket, options)
        order.broker = self
        order.addcomminfo(self.getcommissioninfo(data))
        refusal = self._refusal(data) or _beyond_limits(
            self._store.floor.terms(data.contract), ticket
        )
        if refusal:
            return self._reject(order, refusal)
        if offset is not None or ticket.is_stop:
            desk.blotter.check(ticket)
        return self._stage(order, replace(ticket, key=self._store.key_of(order.ref)))

    def _ticket(
        self,
        direction: Direction,
        data: TqData,
        size: Any,
        options: dict[str, Any],
        offset: Offset | None,
    ) -> Ticket:
        desk, terms = self._working_desk, self._store.floor.terms(data.contract)
        parent = options.get("parent")
        asked = Asked(
            key=self._store.key_of(0),
            feed=data.symbol,
            policy=self.p.policy,
            now_ns=self._store.floor.now_ns,
            sessions=self._store.sessions(data.contract),
            offset=offset,
            oco=desk.key_of(options.get("oco")),
            parent=desk.key_of(parent)
            or ("" if parent is None else self._store.key_of(parent.ref)),
        )
        return read_ticket(terms, direction, size, options, asked)

    def _stage(self, order: bt.Order, ticket: Ticket) -> bt.Order:
        """Keep an order until its bracket is complete, as Backtrader's own broker does."""
        parent = order.ref if order.parent is None else order.parent.ref
        is_child = order.parent is not None
        if is_child and parent not in self._staged and not order.parent.alive():
            return self._reject(order, f"its parent, order {parent}, has ended")
        family = self._staged.setdefault(parent, [])
        family.append((order, ticket))
        if order.transmit:
            del self._staged[parent]
            self._working_desk.submit(family)
        return order

    def _restored(self, data: TqData, ticket: Ticket) -> bt.Order:
        """The Backtrader order of a ticket that an earlier run wrote."""
        order = blank_order(
            data,
            ticket.direction,
            ticket.volume,
            ticket.price or ticket.limit or 1.0,  # a trailing stop needs some; its own is set later
            pricelimit=ticket.limit,
            exectype=getattr(bt.Order, ticket.kind.value),
            valid=days_of(ticket.expires_ns) if ticket.expires_ns else None,
            tradeid=ticket.tradeid,
        )
        order.p.price = order.created.price = ticket.price
        order.broker = self
        order.addcomminfo(self.getcommissioninfo(data))
        return order

    def _refusal(self, data: TqData) -> str:
        """Why the moment forbids the order; empty when it does not."""
        if self._halted:
            return self._halted
        if self._store.floor.is_down:
            return "the trading connection is lost: nothing was sent"
        if data.history_phase:
            return f"{data.symbol} still delivers history: nothing is sent on old prices"
        return ""

    def _reject(self, order: bt.Order, reason: str) -> bt.Order:
        order.submit(self)
        finish(order, bt.Order.Rejected, reason, self._store.floor.now_ns)
        logger.warning("order %s rejected: %s", order.ref, reason)
        self._notify(order)
        return order

    # ---- notifications

    def _notify(self, order: bt.Order) -> None:
        self._notifications.append(order.clone())

    def get_notification(self) -> bt.Order | None:
        return self._notifications.popleft() if self._notifications else None

    def next(self) -> None:
        """Cerebro's call of each round: what comes later belongs to the next one."""
        self._notifications.append(None)


def _beyond_limits(terms: Instrument, ticket: Ticket) -> str:
    """Why today's limits forbid a limit order; empty where they do not, or are not known."""
    try:
        if ticket.kind is Kind.LIMIT and ticket.price is not None:
            check_limits(terms, ticket.price)
    except BadPrice as error:
        return str(error)
    return ""


def _order(
    kind: type[bt.Order], owner: Any, data: TqData, ticket: Ticket, options: dict[str, Any]
) -> bt.Order:
    """A Backtrader order; options that are none of its parameters become its `info`."""
    known = known_options(kind, options)
    valid = days_of(ticket.expires_ns) if ticket.expires_ns else None
    order = kind(owner=owner, data=data, size=ticket.volume, **known | {"valid": valid})
    extra = {name: value for name, value in options.items() if name not in known}
    order.addinfo(**{name: value for name, value in extra.items() if name != "plimit"})
    return order
