"""A stage for faults: one trading plan on the embedded exchange, with and without a fault.

The plan is the same whatever happens, so that all runs must end alike: bars, lots and books.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import cache
from time import sleep
from typing import Any

import backtrader as bt
from support import Seen, Watcher

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.errors import StopError

M = "DCE.m2601"
MORNING = "2025-09-16T09:00:30", "2025-09-16T09:40:00"
FAULT_AT = time(9, 10)
# net lots wanted from a bar's end on; the second falls into the outage
WANTED = {time(9, 5): 1, time(9, 12): 2, time(9, 25): 0, time(9, 30): 1}
RESTS, LEAVES = time(9, 4), time(9, 35)  # of a limit order far from the market
STOPS = time(9, 6)  # a stop far from the market, which stays to the end
Fault = Callable[[LocalExchange], None]


@dataclass
class Books:
    """What the exchange has seen: ids that came, and lots that traded, by order id."""

    inserted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    filled: dict[str, int] = field(default_factory=dict)

    def of(self, exchange: LocalExchange) -> Books:
        """Listen to an exchange from now on."""
        core: Any = exchange._venue.exchange
        insert, cancel, fill = core.insert_order, core.cancel_order, core._fill

        def insert_order(user: str, pack: Any, now_ns: int) -> None:
            self.inserted.append(str(pack["order_id"]))
            insert(user, pack, now_ns)

        def cancel_order(user: str, order_id: str, now_ns: int) -> None:
            self.cancelled.append(order_id)
            cancel(user, order_id, now_ns)

        def filled(desk: Any, order: Any, price: float, volume: int, now_ns: int) -> None:
            self.filled[order.order_id] = self.filled.get(order.order_id, 0) + volume
            fill(desk, order, price, volume, now_ns)

        core.insert_order, core.cancel_order, core._fill = insert_order, cancel_order, filled
        return self

    def lots(self) -> dict[int, int]:
        """Lots that traded, by the Backtrader order's reference: the middle of its legs' ids."""
        lots: dict[int, int] = {}
        for order_id, volume in self.filled.items():
            ref = int(order_id.split(".")[1])
            lots[ref] = lots.get(ref, 0) + volume
        return lots


@dataclass
class Run(Seen):
    """What a strategy saw, and what the exchange did."""

    notices: list[str] = field(default_factory=list)  # of operation: "LOST market" and so on
    reasons: list[str] = field(default_factory=list)  # of orders that were Rejected
    books: Books = field(default_factory=Books)
    net: int = 0
    exchange_net: int = 0
    error: Exception | None = None

    def executed(self) -> dict[int, int]:
        """Lots of each order of the strategy, those of none left out."""
        last = {order.ref: order for order in self.orders}
        return {ref: abs(o.executed.size) for ref, o in last.items() if o.executed.size}

    def state(self, what: str) -> list[str]:
        """What was told of the orders of one kind: "rests" or "stops"."""
        return [o.getstatusname() for o in self.orders if o.info.get("kind") == what]


class Planner(Watcher):
    """Follows `WANTED`, and lets the fault happen at its time.

    A market in lock-step is over in a second: where real seconds matter, bars take their time.
    """

    params: Any = (
        ("fault", None), ("fault_at", FAULT_AT), ("exchange", None), ("trades", True),
        ("pace_s", 0.0),  # real seconds that a bar takes after the fault
        ("found", lambda: None),  # called four minutes after the fault
    )  # fmt: skip

    def __init__(self) -> None:
        self.pace_s = 0.0
        self.way: Any = None  # the order that is under way
        self.resting: Any = None

    def notify_store(self, msg: Any, *_: Any, **about: Any) -> None:
        word = str(msg).removeprefix("CONNECTION_").removeprefix("SESSION_")
        told = ("LOST", "RESTORED", "REBUILT", "CONTRACT_EXPIRED")
        if word in told:
            self.p.seen.notices.append(f"{word} {about.get('what', '')}".strip())

    def notify_order(self, order: bt.Order) -> None:
        super().notify_order(order)
        if order.status == bt.Order.Rejected:
            self.p.seen.reasons.append(str(order.info.reason))

    def next(self) -> None:
        super().next()
        now = self.data.datetime.datetime(0).time()
        if now == self.p.fault_at and self.p.fault is not None:
            self.p.fault(self.p.exchange)
            self.pace_s = self.p.pace_s
        if now == self.p.fault_at.replace(minute=self.p.fault_at.minute + 4):
            self.p.found()
        sleep(self.pace_s)
        if self.p.trades and not self.data.history_phase:
            self._trade(now)

    def _trade(self, now: time) -> None:
        if now == RESTS:
            self.resting = self._order("rests", self.data.close[0] - 100, bt.Order.Limit, self.buy)
        if now == STOPS:
            self._order("stops", self.data.close[0] - 150, bt.Order.Stop, self.sell)
        if now == LEAVES:
            self.cancel(self.resting)
        wanted = next((lots for at, lots in reversed(WANTED.items()) if now >= at), 0)
        missing = wanted - self.position.size
        if missing and not (self.way is not None and self.way.alive()):
            verb = self.buy if missing > 0 else self.sell
            self.way = verb(size=abs(missing))

    def _order(self, kind: str, price: float, exectype: int, verb: Any) -> bt.Order:
        order = verb(size=1, price=price, exectype=exectype)
        order.addinfo(kind=kind)
        return order


def play(
    fault: Fault | None = None,
    symbol: str = M,
    window: tuple[str, str] = MORNING,
    *,
    watch: Callable[[LocalExchange, TqStore], None] = lambda *_: None,
    rebuild_after_s: float = 0.5,
    strategy: type[bt.Strategy] = Planner,
    **options: Any,
) -> Run:
    """Carry the plan out; `fault` happens at its time, `watch` is called before the session."""
    start, end = map(datetime.fromisoformat, window)
    exchange, run = LocalExchange(start=start, end=end), Run()
    run.books.of(exchange)
    with TqStore(exchange=exchange, rebuild_after_s=rebuild_after_s) as store:
        watch(exchange, store)
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(symbol, history=3))
        cerebro.addstrategy(strategy, seen=run, fault=fault, exchange=exchange, **options)
        try:
            cerebro.run()
            run.net = broker.get_account_position(symbol).net
        except StopError as error:  # the test looks at it
            run.error = error
    run.exchange_net = net_of(exchange, symbol)
    return run


def net_of(exchange: LocalExchange, symbol: str) -> int:
    """Net lots by the exchange's own books."""
    (desk,) = exchange._venue.exchange._desks.values()
    position: Any = desk.account.positions.get(symbol)
    if position is None:
        return 0
    shown = position.picture()
    long = shown["pos_long_his"] + shown["pos_long_today"]
    return int(long - shown["pos_short_his"] - shown["pos_short_today"])


@cache
def undisturbed(symbol: str = M, window: tuple[str, str] = MORNING, *, trades: bool = True) -> Run:
    return play(None, symbol, window, trades=trades)


def check_alike(run: Run, calm: Run) -> None:
    """Nothing was lost, nothing was doubled."""
    assert run.error is None
    assert run.bars == calm.bars
    assert len(run.books.inserted) == len(set(run.books.inserted))
    assert run.executed() == run.books.lots()
    assert run.net == run.exchange_net == calm.net


def lost_at_night(exchange: LocalExchange, store: TqStore) -> None:
    """Break all connections in the market's first pause of three hours; they stand again later.

    The market stands still meanwhile, for a second and until its client knows that it is back.
    """
    gateway: Any = exchange._gateway
    step, tape, venue = gateway._step, gateway.venue.tape, gateway.venue

    def night() -> None:
        for seconds in (3_600, 0):
            exchange.drop("td", seconds)
            exchange.drop("md", seconds)
            sleep(1.0)
        line = store.connection
        while not venue.traders or line.trading.is_down or line.market_is_down:
            sleep(0.05)
        exchange.resume()

    async def stepped() -> None:
        if (tape.next_ns or 0) - tape.now_ns < 3 * 3_600 * 10**9 or not venue.traders:
            await step()
            return
        gateway._step, gateway.paused = step, True
        threading.Thread(target=night, daemon=True).start()

    gateway._step = stepped
