"""`TqBroker`: a futures account as a Backtrader broker.

Cash, value and positions are the account's own, not our arithmetic.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import backtrader as bt

from .commission import TqCommInfo
from .desk import OrderDesk, finish
from .errors import InvalidOrder, NotStarted, WrongSetting
from .execution import net_position
from .feed import TqData
from .model import Account, AccountPosition, Direction, Offset
from .ordering import Request, beyond_limits, read_request

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

    params = (("execution", "direct"), ("risk", None), ("market_ticks", 2))

    def __init__(self, store: TqStore) -> None:
        super().__init__()
        if self.p.execution != "direct":
            raise WrongSetting("execution", self.p.execution, "'direct'")
        if self.p.risk is not None:
            raise WrongSetting("risk", self.p.risk, "None; risk limits do not exist yet")
        self._store = store
        self._desk: OrderDesk | None = None
        self._terms: dict[str, TqCommInfo] = {}
        self._notifications: deque[bt.Order | None] = deque()
        self._last: tuple[Account, dict[str, AccountPosition]] | None = None
        self._halted = ""
        self.startingcash = self.startingvalue = 0.0

    # ---- life

    def start(self) -> None:
        super().start()
        self._store.start(broker=self)
        self._last = None
        self._desk = OrderDesk(self._store.connection, self.p.market_ticks, self._notify)
        self._store.pump.trading = self._desk
        account = self.account()
        self.startingcash, self.startingvalue = account.available, account.balance

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
        return self._last[0] if self._last else self._store.connection.account()

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
        return self._store.connection.position(symbol)

    def positions(self) -> dict[str, AccountPosition]:
        """Everything the account holds, by contract; contracts without lots are left out."""
        held = self._last[1] if self._last else self._store.connection.positions()
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
        """Cancel every leg that can still trade; False when the order has ended already."""
        return self._working_desk.cancel(order)

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
        size: float,
        options: dict[str, Any],
        offset: Offset | None = None,
    ) -> bt.Order:
        """Check, plan and hand over an order; it leaves with the next wait."""
        desk = self._working_desk
        direction = Direction.BUY if kind is bt.order.BuyOrder else Direction.SELL
        request = read_request(
            self._store.connection.listing.terms(data.contract), direction, size, options
        )
        order = _order(kind, owner, data, request.volume, options)
        order.broker = self
        order.addcomminfo(self.getcommissioninfo(data))
        refusal = self._refusal(data, request)
        if refusal:
            return self._reject(order, refusal)
        desk.submit(order, request, desk.plan(request, offset))
        return order

    def _refusal(self, data: TqData, request: Request) -> str:
        """Why the moment forbids the order; empty when it does not."""
        if self._halted:
            return self._halted
        if self._store.connection.trading_is_down:
            return "the trading connection is lost: nothing was sent"
        if data.history_phase:
            return f"{data.symbol} still delivers history: nothing is sent on old prices"
        return beyond_limits(request)

    def _reject(self, order: bt.Order, reason: str) -> bt.Order:
        order.submit(self)
        finish(order, bt.Order.Rejected, reason)
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


def _order(
    kind: type[bt.Order], owner: Any, data: TqData, volume: int, options: dict[str, Any]
) -> bt.Order:
    """A Backtrader order; options that are none of its parameters become its `info`."""
    fields = set(kind.params._getkeys())
    known = {name: value for name, value in options.items() if name in fields}
    order = kind(owner=owner, data=data, size=volume, **known)
    order.addinfo(**{name: value for name, value in options.items() if name not in fields})
    return order
