"""`TqBroker`: a futures account as a Backtrader broker.

Cash, value and positions are the account's own, not our arithmetic.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import backtrader as bt

from .desk import OrderDesk
from .entry import OrderEntry
from .errors import NotStarted, WrongSetting
from .feed import TqData
from .halting import Halting
from .model import Account, AccountPosition, Instrument
from .offsets import policy_of
from .restart import Restart
from .rolling import Rolling, joined
from .target_desk import TargetRules
from .terms import AccountTerms
from .verbs import HeldPositions
from .working import Rules

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["TqBroker"]

EXECUTIONS = ("direct", "target")
LAST_WORD_S = 0.5  # how long a stopping broker listens for the answer to its last order


class TqBroker(Halting, bt.broker.BrokerBase):
    """The account of a store. Made by `TqStore.getbroker`.

    risk: `RiskLimits`; None for none, in mode live for `RiskLimits.cautious()`.
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
        ("adopt", False),
        ("target_price", "ACTIVE"),
        ("min_volume", None),
        ("max_volume", None),
    )

    def __init__(self, store: TqStore) -> None:
        super().__init__()
        if self.p.execution not in EXECUTIONS:
            raise WrongSetting("execution", self.p.execution, " or ".join(map(repr, EXECUTIONS)))
        self._store = store
        self._begin_halting()
        self._desk: OrderDesk | None = None
        policy_of(self.p.policy)
        self._rules = Rules(
            market_ticks=self.p.market_ticks,
            close_lead_s=self.p.close_lead_s,
            holds_closed=self.p.holds_closed,
            tries=0 if store.mode == "paper" else Rules().tries,
        )
        self._targets = TargetRules(self.p.target_price, self.p.min_volume, self.p.max_volume)
        if self.p.execution == "target":
            self._targets.options("", self.p.policy)
        self.terms = AccountTerms(self._instrument)
        self._open_entry: OrderEntry | None = None
        self._open_rolling: Rolling | None = None
        self._notifications: deque[bt.Order | None] = deque()
        self._early: list[bt.Order] = []  # news of feeds that have no bar yet
        self._last: tuple[Account, dict[str, AccountPosition]] | None = None
        self.startingcash = self.startingvalue = 0.0

    # ---- life

    def start(self) -> None:
        super().start()
        self._store.start(broker=self)
        self._last = None
        floor, journal = self._store.floor, self._store.journal
        hears = self._notify, self.terms.learn, self._store.tell
        self._desk = OrderDesk(floor, journal, self._rules, *hears)
        options = self.p.policy, self.p.execution
        self._open_entry = OrderEntry(self, self._store, self._desk, self._notify, *options)
        self._guard(self._desk, self._open_entry)
        self._open_rolling = Rolling(self._store, self._desk, self._open_entry, self.p.policy)
        self._desk.after = self._settle
        if self.p.execution == "target" and self._store.mode != "paper":
            connection, targets = self._store.connection, self._targets
            self._desk.execute_as_targets(connection, targets, self._renew)
        self._store.pump.trading = self._desk
        account = self.account()
        self.startingcash, self.startingvalue = account.available, account.balance

    def begin(self) -> None:
        """All feeds stand: show what was there before, and let their ticks set off stops."""
        desk, store = self._working_desk, self._store
        feeds = {data.symbol: data for data in reversed(store.datas)}
        channel = store.connection.trading
        for trade in channel.trades():
            self.terms.learn(trade)
        restart = Restart(desk, store.floor, channel, store.journal, feeds, store.tell)
        self.rolling.prepare()
        self._learn_held()
        restart.run(self._entry.restored, self.rolling.take_up)
        shown = self.rolling.former() | {data.contract: data for data in reversed(store.datas)}
        for contract, data in shown.items():
            opening = restart.opening(data, contract, self.terms_of(contract, data))
            self.terms.look_at(self.get_account_position(contract))
            if opening is not None:
                self._notify(opening)
        for picture in self.external_orders() if self.p.adopt else ():
            if store.floor.knows(picture.symbol):
                self.adopt(picture)
        for symbol, data in feeds.items():
            desk.watch(self._store.pump, symbol, data)
        self.rolling.begin()

    def stop(self) -> None:
        """Keep the last picture of the account: it can be read after the session has ended.

        An order of the last `next` leaves now, and its answer is still heard.
        """
        self._store.wind_up()
        super().stop()
        if self._store.pump.has_unsent:
            self._store.pump.new_cycle()
            self._store.pump.run(LAST_WORD_S)
        if self._desk is not None and self._desk.targets is not None:
            self._desk.targets.close()
        self._last = self.account(), self.positions()
        self._desk = self._open_entry = None
        self._end_halting()

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
        held, ours = self._held(), [data for data in datas if isinstance(data, TqData)]
        return sum(held[data.contract].margin for data in ours if data.contract in held)

    get_cash, get_value = getcash, getvalue  # Backtrader's analyzers use both spellings

    def getposition(self, data: Any, clone: bool = True) -> bt.Position:
        """Net lots of the feed's contract with the average price of the larger side.

        While a main contract's lots are rolled: those of the old and of the new contract. None of a
        feed that is not ours.
        """
        if not isinstance(data, TqData):
            return bt.Position()
        rolling = None if self._last else self._open_rolling
        contracts = [data.contract] if rolling is None else rolling.contracts(data)
        return joined(map(self.get_account_position, contracts))

    def get_account_position(self, symbol: str) -> AccountPosition:
        """Long and short, today's and history lots, and what resting orders freeze."""
        if self._last:
            return self._last[1].get(symbol, AccountPosition(symbol))
        return self._store.connection.trading.position(symbol)

    @property
    def positions(self) -> HeldPositions:
        """`positions()`: everything the account holds, by contract. `positions[data]`: net."""
        return HeldPositions(self._held, self.getposition)

    def get_orders_open(self, safe: bool = False) -> list[bt.Order]:
        """Orders that can still trade; clones of them if `safe`."""
        alive = self._working_desk.alive
        return [order.clone() for order in alive] if safe else alive

    def _held(self) -> dict[str, AccountPosition]:
        held = self._last[1] if self._last else self._store.connection.trading.positions()
        return {symbol: p for symbol, p in held.items() if p.long.total or p.short.total}

    def getcommissioninfo(self, data: Any) -> bt.CommInfoBase:
        """What was set for the feed's name, or else the contract's own terms."""
        if not isinstance(data, TqData):
            return super().getcommissioninfo(data)
        return self.terms_of(data.contract, data)

    def terms_of(self, contract: str, data: TqData) -> bt.CommInfoBase:
        """What was set for the feed's name, or else the terms of `contract`."""
        if data._name in self.comminfo:
            return self.comminfo[data._name]
        return self.terms.of(contract)

    def _instrument(self, contract: str) -> Instrument:
        return self._store.floor.listed(contract)

    # ---- orders: Backtrader's verbs

    def buy(self, owner: Any, data: TqData, size: float, **options: Any) -> bt.Order:
        """Close short lots, then open long ones. Raises `InvalidOrder`."""
        return self._entry.enter(bt.order.BuyOrder, owner, data, size, options)

    def sell(self, owner: Any, data: TqData, size: float, **options: Any) -> bt.Order:
        """Close long lots, then open short ones. Raises `InvalidOrder`."""
        return self._entry.enter(bt.order.SellOrder, owner, data, size, options)

    def cancel(self, order: bt.Order | None) -> bool:
        """Withdraw what has not traded, at the exchange every leg; False when it has ended."""
        desk = self._working_desk
        if order is None:  # Backtrader's own broker takes it too
            return False
        return self._entry.unstage(order) or desk.cancel(order)

    def modify(self, order: bt.Order, **changes: Any) -> bt.Order:
        """Change `size`, `price`, `plimit`, `trailamount`, `trailpercent` or `valid` of an order.

        It stays the same `bt.Order`. What is at the exchange is withdrawn, and sent as changed when
        the exchange has let go of it; lots that traded meanwhile count. Raises `OrderError`.
        """
        self._working_desk.modify(order, **self._entry.changes(order, changes))
        return order

    def orderstatus(self, order: bt.Order) -> int:
        return int(order.status)

    def _settle(self) -> None:
        self.rolling.settle()
        self._watch()

    @property
    def is_open(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._desk is not None

    @property
    def _working_desk(self) -> OrderDesk:
        if self._desk is None:
            raise NotStarted("an order")
        return self._desk

    @property
    def rolling(self) -> Rolling:
        """What follows when a main contract changes."""
        if self._open_rolling is None:
            raise NotStarted("a roll")
        return self._open_rolling

    @property
    def _entry(self) -> OrderEntry:
        if self._open_entry is None:
            raise NotStarted("an order")
        return self._open_entry

    # ---- notifications

    def _notify(self, order: bt.Order) -> None:
        self._notifications.append(order.clone())

    def get_notification(self) -> bt.Order | None:
        """The next order that has changed; None when this round has no more."""
        while self._notifications:
            order = self._notifications.popleft()
            if order is None or len(order.data):
                return order
            self._early.append(order)
        return None

    def next(self) -> None:
        """Cerebro's call of each round: what comes later belongs to the next one.

        Backtrader reads a trade's time off its feed: news wait for the feed's first bar.
        """
        ready = [order for order in self._early if len(order.data)]
        self._early = [order for order in self._early if not len(order.data)]
        self._notifications.extendleft(reversed(ready))
        self._notifications.append(None)
        self._obey()
