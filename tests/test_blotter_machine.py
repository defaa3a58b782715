"""Random sessions of random orders, with all that can go wrong between here and the exchange.

Messages come in any order, repeated, late or not at all; connections break, days end, others trade
on the account, orders that were thought lost arrive after all. Whenever everything has been told,
the orders at work, the exchange and the journal must agree.

The suite runs 100 sessions. TIANQIN_NIGHTLY=1 runs 2,500 longer ones:
    TIANQIN_NIGHTLY=1 python -m pytest tests/test_blotter_machine.py
"""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from order_floor import (
    BUY,
    CLOSE,
    CLOSETODAY,
    CU,
    IF,
    MIDDLE,
    OPEN,
    SECOND,
    SELL,
    TERMS,
    Desk,
    M,
    Message,
    Resting,
    ns,
)

from tianqin_backtrader.errors import OrderError
from tianqin_backtrader.orders import Accepted, Done, Filled, OrderState
from tianqin_backtrader.tickets import Kind, Ticket
from tianqin_backtrader.tidings import Triggered
from tianqin_backtrader.values import (
    AccountPosition,
    Direction,
    ExchangeOrder,
    OrderPicture,
    Trade,
)
from tianqin_backtrader.working import Phase, Then, Work

NIGHTLY = bool(os.environ.get("TIANQIN_NIGHTLY"))
SYMBOLS = (CU, M, IF)
GONE_OFF = (Phase.DUE, Phase.PARKED, Phase.WORKING, Phase.LEAVING)
REFUSALS = ("CTP:资金不足", "交易所拒绝")
PATIENCE_S, LONG_S, BREAK_S, HOUR_NS = 3.0, 60.0, 900.0, 3_600 * SECOND
LAST_NS = ns("2025-12-16 00:00:00")

symbols = st.sampled_from([CU, CU, M, M, M, IF])
directions = st.sampled_from([BUY, SELL])
lots = st.integers(1, 6)
steps = st.integers(-8, 8)


class Machine(Desk):
    """A desk that judges each closing plan by what was told, with a count of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.prompt = False
        self.told_lots: dict[tuple[str, str], int] = {}  # by the trades that were delivered
        self.odd_since_ns: dict[str, int] = {}  # contracts of which the account shows other lots
        self._counted: set[tuple[str, str]] = set()

    def hold(self, symbol: str, **sides: tuple[int, int]) -> None:
        super().hold(symbol, **sides)
        shown = self.position(symbol)
        self.told_lots[symbol, "long"] = shown.long.total
        self.told_lots[symbol, "short"] = shown.short.total

    def hear(self, message: Message) -> None:
        if isinstance(message, Trade):
            self._count(message)
            self._compare(message.symbol)
        super().hear(message)
        self._compare(message.symbol)

    def _count(self, trade: Trade) -> None:
        name = trade.order_id, trade.trade_id
        if name not in self._counted:
            self._counted.add(name)
            side = self.sent[trade.order_id].side
            self.told_lots[trade.symbol, side] += trade.volume * (1 if trade.offset is OPEN else -1)

    def _compare(self, symbol: str) -> None:
        shown = self.position(symbol)
        told = self.told_lots[symbol, "long"], self.told_lots[symbol, "short"]
        if told == (shown.long.total, shown.short.total):
            self.odd_since_ns.pop(symbol, None)
        else:
            self.odd_since_ns.setdefault(symbol, self.mono_ns)

    def send(self, order: ExchangeOrder) -> None:
        super().send(order)
        order_id, symbol = order.order_id, order.symbol
        work = self.work(order_id.rpartition(".")[0])
        if work.ticket.offset is OPEN or work.legs[work.round].order_id != order_id:
            return
        if symbol in self.odd_since_ns:  # the account did not come to agree: it is believed
            assert self.mono_ns - self.odd_since_ns[symbol] >= PATIENCE_S * SECOND, (
                f"{order_id} is sent while the account does not show all trades"
            )
        elif order.offset is OPEN and work.ticket.policy == "net" and not self.interfered:
            self._may_open(work)

    def _may_open(self, work: Work) -> None:
        """An order that closes first opens only when all is closed, as far as was told."""
        side = "short" if work.ticket.direction is BUY else "long"
        rivals = [
            leg
            for each in self.blotter.alive
            if (each.symbol, each.ticket.direction) == (work.symbol, work.ticket.direction)
            for leg in each.legs
            if leg.offset is not OPEN and leg.state != "dropped"
        ]
        free = self.told_lots[work.symbol, side] - sum(leg.told.left for leg in rivals)
        assert free <= 0, f"{work.key} opens {work.symbol} while {free} {side} lots can be closed"


class Sessions(RuleBasedStateMachine):
    """Whatever happens: nothing is lost, doubled, closed twice or left behind."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Machine()
        self.keys: list[str] = []
        self.lost: list[str] = []  # ids of orders that got lost on their way
        self.ghosts: set[str] = set()  # keys of orders of which a lost leg came back
        self.ends: dict[str, OrderState] = {}
        self.bound: dict[tuple[str, str], int] = {}  # OCO pairs: lots of the first by then
        self.leaders: dict[str, str] = {}  # the first of each order's OCO group
        self.parents: dict[str, str] = {}
        self.most: dict[str, int] = {}  # lots that an order was ever for
        self.pairs: list[list[str]] = []  # orders for the same lots
        self.gone_off: set[str] = set()  # stops that were hit
        self.read = 0  # of what was told

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        few = st.tuples(st.integers(0, 4), st.integers(0, 4))
        self.desk.contracts[CU] = replace(TERMS[CU], max_limit_order_volume=3)  # it splits orders
        for symbol in SYMBOLS:
            self.desk.hold(symbol, long=data.draw(few), short=data.draw(few))
            self.desk.blotter.progress.lots.follow(symbol)

    # ---- orders

    def price(self, symbol: str, up: int) -> float:
        return round(MIDDLE[symbol] + up * TERMS[symbol].price_tick, 2)

    def terms(self, data: st.DataObject, symbol: str) -> dict[str, Any]:
        """Type and prices of an order."""
        near, far = (self.price(symbol, data.draw(steps)) for _ in range(2))
        distance = 3 * TERMS[symbol].price_tick
        return data.draw(
            st.sampled_from(
                [
                    {},
                    {"limit": near},
                    {"limit": near},
                    {"limit": near, "advanced": "FAK"},
                    {"limit": near, "advanced": "FOK"},
                    {"stop": near},
                    {"stop": near},
                    {"stop": near, "limit": far},
                    {"kind": Kind.TRAIL, "trail_amount": distance},
                    {"kind": Kind.TRAIL_LIMIT, "trail_amount": distance},
                    {"kind": Kind.CLOSE},
                ]
            )
        )

    @property
    def alive(self) -> list[str]:
        return [work.key for work in self.desk.blotter.alive]

    def write(self, tickets: list[Ticket]) -> None:
        alive = set(self.alive)
        self.keys += [ticket.key for ticket in tickets]
        for ticket in tickets:
            self.most[ticket.key] = ticket.volume
            self.leaders[ticket.key] = self.leaders.get(ticket.oco, ticket.key)
            if ticket.oco:
                for key in sorted(self.group(ticket.oco) & alive):
                    self.bound[key, ticket.key] = self.desk.blotter.ledger.filled(key)
            if ticket.parent:
                self.parents[ticket.key] = ticket.parent
        self.desk.blotter.submit(tickets)

    def group(self, key: str) -> set[str]:
        """All orders of its OCO group, itself included."""
        leader = self.leaders[key]
        return {each for each, first in self.leaders.items() if first == leader}

    @rule(data=st.data(), symbol=symbols, direction=directions, volume=lots)
    def order(self, data: st.DataObject, symbol: str, direction: Direction, volume: int) -> None:
        terms = self.terms(data, symbol)
        terms["policy"] = data.draw(
            st.sampled_from(["net", "net", "net", "lock", "close_history_first", "今昨开"])
        )
        terms["offset"] = data.draw(st.sampled_from([None, None, None, OPEN, CLOSE]))
        in_s = data.draw(st.sampled_from([0, 0, 0, 30, 3_600, 30_000]))
        terms["expires_ns"] = in_s and self.desk.now_ns + in_s * SECOND
        self.write([self.desk.ticket(symbol, direction, volume, **terms)])

    @rule(data=st.data(), symbol=symbols, direction=directions, volume=lots)
    def one_cancels_the_other(
        self, data: st.DataObject, symbol: str, direction: Direction, volume: int
    ) -> None:
        terms = self.terms(data, symbol)
        alive = [work.key for work in self.desk.blotter.alive if not work.ticket.parent]
        if alive:
            first = self.desk.work(data.draw(st.sampled_from(alive)))
            self.write(
                [self.desk.ticket(first.symbol, direction, volume, **terms, oco=first.key)]
                if first.symbol == symbol
                else [self.desk.ticket(symbol, direction, volume, oco=first.key)]
            )

    @rule(symbol=symbols, direction=directions, volume=lots, third=st.booleans())
    def pair(self, symbol: str, direction: Direction, volume: int, third: bool) -> None:
        """A limit and a stop for the same lots, and a second stop beyond."""
        desk, sign = self.desk, 1 if direction is BUY else -1
        limit = desk.ticket(symbol, direction, volume, limit=self.price(symbol, -3 * sign))
        self.write([limit])
        self.pairs.append([limit.key])
        for up in [3, 5] if third else [3]:
            stop = self.price(symbol, up * sign)
            self.write([desk.ticket(symbol, direction, volume, stop=stop, oco=limit.key)])
            self.pairs[-1].append(self.keys[-1])

    @rule(
        symbol=symbols,
        direction=directions,
        volume=lots,
        entry=st.sampled_from([None, 0]),
        trails=st.booleans(),
        twice=st.booleans(),
        entered=st.integers(0, 6),
    )
    def bracket(
        self,
        symbol: str,
        direction: Direction,
        volume: int,
        entry: int | None,
        trails: bool,
        twice: bool,
        entered: int,
    ) -> None:
        """A bracket, of which the parent often trades at once, and often not all of it."""
        desk, sign = self.desk, 1 if direction is BUY else -1
        limit = None if entry is None else self.price(symbol, entry)
        parent = desk.ticket(symbol, direction, volume, limit=limit)
        stop = {"stop": self.price(symbol, -3 * sign)}
        trail = {"kind": Kind.TRAIL, "trail_amount": 2 * TERMS[symbol].price_tick}
        legs: list[dict[str, Any]] = [trail if trails else stop] * (1 + twice)
        legs.append({"limit": self.price(symbol, 3 * sign)})
        against = SELL if direction is BUY else BUY
        children = [desk.ticket(symbol, against, volume, parent=parent.key, **leg) for leg in legs]
        self.write([parent, *children])
        if entered and not desk.is_down:
            self.enter(parent.key, entered)

    def enter(self, key: str, lots: int) -> None:
        """The exchange trades some lots of a new order, and ends it."""
        desk = self.desk
        while desk.wire:
            self.arrive_one(lots)
        for order in desk.resting():
            if order.order_id.startswith(f"{key}."):
                desk.fill(order.order_id, min(lots, order.left))
                desk.finish(order.order_id)
        desk.deliver()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.alive:
            assert self.desk.cancel_order(data.draw(st.sampled_from(self.alive)))

    @rule(data=st.data(), volume=st.none() | lots, up=steps)
    def modify(self, data: st.DataObject, volume: int | None, up: int) -> None:
        if not self.alive:
            return
        work = self.desk.work(data.draw(st.sampled_from(self.alive)))
        self.most[work.key] = max(self.most[work.key], volume or 0)
        changes: dict[str, Any] = {} if volume is None else {"volume": volume}
        if volume is None or work.ticket.kind is Kind.LIMIT:
            changes["price"] = self.price(work.symbol, up)
        if up == 0:
            changes = {"expires_ns": self.desk.now_ns + 1_800 * SECOND}
        try:
            self.desk.blotter.modify(work.key, **changes)
        except OrderError:
            assert self.desk.work(work.key) is work

    # ---- the market and the exchange

    @rule(symbol=symbols, up=steps, empty=st.sampled_from(["", "", "", "bid", "ask"]))
    def tick(self, symbol: str, up: int, empty: str) -> None:
        """A trade; one side of the book may be empty."""
        sides = {empty: math.nan} if empty else {}
        self.desk.tick(symbol, self.price(symbol, up), **sides)

    @rule(data=st.data(), count=st.integers(1, 4))
    def arrive(self, data: st.DataObject, count: int) -> None:
        """Orders and cancels reach the exchange."""
        for _ in range(min(count, len(self.desk.wire))):
            self.arrive_one(data.draw(st.integers(0, 6)), data.draw(st.integers(0, 9)) == 9)

    def arrive_one(self, most: int, is_refused: bool = False) -> None:
        desk, (kind, order_id) = self.desk, self.desk.wire[0]
        if kind == "cancel":
            desk.obey(order_id)
            return
        if is_refused:
            desk.refuse(order_id, REFUSALS[most % 2])
            return
        desk.take(order_id)
        order = desk.sent[order_id]
        if order.is_alive and order.is_immediate:
            traded = min(most, order.left)
            if traded == order.left or (traded and order.advanced != "FOK"):
                desk.fill(order_id, traded)
            desk.finish(order_id)

    @rule(data=st.data(), most=st.integers(1, 6))
    def fill(self, data: st.DataObject, most: int) -> None:
        resting = [order.order_id for order in self.desk.resting()]
        if resting:
            order_id = data.draw(st.sampled_from(resting))
            self.desk.fill(order_id, min(most, self.desk.orders[order_id].left))

    @rule(most=st.integers(1, 6), chosen=st.integers(0, 15), symbol=symbols, up=steps)
    def flow(self, most: int, chosen: int, symbol: str, up: int) -> None:
        """A moment without trouble: all arrives, some trade, all is told, the price moves."""
        self.trade_some(most, chosen)
        self.desk.deliver()
        self.desk.tick(symbol, self.price(symbol, up))

    @rule(
        most=st.integers(1, 6),
        chosen=st.integers(0, 15),
        symbol=symbols,
        direction=directions,
        volume=lots,
        up=st.none() | steps,
    )
    def act_at_once(
        self,
        most: int,
        chosen: int,
        symbol: str,
        direction: Direction,
        volume: int,
        up: int | None,
    ) -> None:
        """A strategy orders as soon as it hears of trades; the account shows them later."""
        self.trade_some(most, chosen)
        self.desk.deliver(Trade, OrderPicture)
        limit = None if up is None else self.price(symbol, up)
        self.write([self.desk.ticket(symbol, direction, volume, limit=limit)])

    def trade_some(self, most: int, chosen: int) -> None:
        self.reconnect()
        while self.desk.wire:
            self.arrive_one(most)
        for number, order in enumerate(self.desk.resting()):
            if chosen >> number % 4 & 1:
                self.desk.fill(order.order_id, min(most, order.left))

    @rule(data=st.data(), what=st.sampled_from(["withdraw", "refusals", "foreign", "ghost", "day"]))
    def rarely(self, data: st.DataObject, what: str) -> None:
        """What a strategy must live with and meets seldom."""
        if what == "withdraw":
            self.withdraw(data)
        elif what == "day":
            self.end_day(data)
        elif what == "refusals":
            self.desk.refuses_to_send = "" if self.desk.refuses_to_send else "风控规则"
        elif self.desk.is_down or data.draw(st.integers(0, 2)):
            return
        elif what == "ghost":
            self.come_back(data)
        else:
            self.somebody_else(data)

    def withdraw(self, data: st.DataObject) -> None:
        """Somebody withdraws an order by hand."""
        resting = [order.order_id for order in self.desk.resting()]
        if resting:
            self.desk.finish(data.draw(st.sampled_from(resting)))

    def somebody_else(self, data: st.DataObject) -> None:
        """Another program orders on the account."""
        symbol, direction = data.draw(symbols), data.draw(directions)
        offset = data.draw(st.sampled_from([OPEN, CLOSE, CLOSETODAY if symbol == CU else CLOSE]))
        name = f"other.{len(self.desk.sent)}"
        order = Resting(name, symbol, direction, offset, 1, MIDDLE[symbol], None)
        if offset is OPEN or self.desk.closable(order):
            self.desk.interfered = True
            self.desk.foreign(name, symbol, direction, offset, 1)

    def come_back(self, data: st.DataObject) -> None:
        """An order that was thought lost arrives after all."""
        if self.lost:
            order_id = data.draw(st.sampled_from(self.lost))
            self.lost.remove(order_id)
            self.ghosts.add(order_id.rpartition(".")[0])
            self.desk.interfered = True
            self.desk.wire.insert(0, ("order", order_id))
            self.arrive_one(1)

    def end_day(self, data: st.DataObject) -> None:
        desk = self.desk
        if desk.now_ns > LAST_NS:
            return
        self.settle()
        desk.end_day()
        self.lost.clear()
        desk.deliver(*data.draw(st.sampled_from([(AccountPosition,), ()])))  # settled, at least
        sessions = desk.sessions(CU)
        opening_ns = sessions.next_open(desk.now_ns)
        if data.draw(st.booleans()):  # nobody was there at night
            opening_ns = sessions.close_of(sessions.trading_day_of(opening_ns)) - 5 * HOUR_NS
        desk.pass_s((opening_ns - desk.now_ns) / SECOND)

    # ---- messages

    @rule(data=st.data())
    def deliver_one(self, data: st.DataObject) -> None:
        """Messages overtake each other; positions of one contract do not."""
        news = self.desk.news
        if not news:
            return
        chosen = data.draw(st.integers(0, len(news) - 1))
        message = news[chosen]
        overtaken = {id(message)}  # pictures may be equal: each is told for itself
        if isinstance(message, AccountPosition):
            overtaken |= {
                id(each)
                for each in news[:chosen]
                if isinstance(each, AccountPosition) and each.symbol == message.symbol
            }
        self.desk.news = [each for each in news if id(each) not in overtaken]
        self.desk.hear(message)
        self.desk.blotter.on_time()

    @rule(
        kinds=st.sampled_from([(), (Trade,), (OrderPicture,), (AccountPosition,)]),
        repeat=st.booleans(),
    )
    def deliver(self, kinds: tuple[type[Message], ...], repeat: bool) -> None:
        self.desk.deliver(*kinds, repeat=repeat)

    @rule(data=st.data())
    def repeat_old(self, data: st.DataObject) -> None:
        """What an order is like is told once more, with all its trades or none."""
        if self.desk.orders and not self.desk.is_down:
            order = self.desk.orders[data.draw(st.sampled_from(list(self.desk.orders)))]
            for trade in order.trades if data.draw(st.booleans()) else ():
                self.desk.hear(trade)
            self.desk.hear(order.picture())
            self.desk.blotter.on_time()

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.0, 12.0, LONG_S, BREAK_S]))
    def wait(self, seconds: float) -> None:
        """Time passes; what the account holds is shown sooner than it is believed unasked."""
        if not self.day_is_over_in(seconds):
            if seconds:
                self.desk.deliver(AccountPosition)
            self.desk.pass_s(seconds)

    def day_is_over_in(self, seconds: float) -> bool:
        sessions = self.desk.sessions(CU)
        close_ns = sessions.close_of(sessions.trading_day_of(self.desk.now_ns))
        return self.desk.now_ns + seconds * SECOND >= close_ns

    @rule(arrived=st.integers(0, 3))
    def connection(self, arrived: int) -> None:
        """It breaks, with what was on its way, and stands again."""
        desk = self.desk
        if desk.is_down:
            self.reconnect()
            return
        before = [order_id for kind, order_id in desk.wire if kind == "order"]
        desk.disconnect(arrived)
        self.lost += [order_id for order_id in before if order_id not in desk.orders]

    def reconnect(self) -> None:
        if self.desk.is_down:
            self.desk.reconnect()

    # ---- what always holds

    @invariant()
    def ends_are_told_once_and_last(self) -> None:
        new, self.read = self.desk.told[self.read :], len(self.desk.told)
        for told in new:
            if isinstance(told, Done):
                assert told.ref not in self.ends, f"{told.ref} ended twice"
                assert told.state is self.desk.state(told.ref)
                assert told.ref not in self.gone_off or "has ended" not in told.reason
                self.ends[told.ref] = told.state
            elif isinstance(told, Triggered):
                assert told.ref not in self.gone_off
                self.gone_off.add(told.ref)
            elif told.ref in self.ends:
                assert isinstance(told, Filled), f"{told} after the end"
        for key, state in self.ends.items():
            assert self.desk.state(key) is state
            assert self.desk.work(key).phase is Phase.DONE

    @invariant()
    def living_orders_are_those_without_an_end(self) -> None:
        assert self.alive == [key for key in self.keys if key not in self.ends]

    # ---- when everything was told

    @rule()
    def settle(self) -> None:
        """Let everything arrive and be told, then look."""
        desk = self.desk
        self.reconnect()
        desk.refuses_to_send = ""
        for _ in range(40):
            while desk.wire:
                self.arrive_one(1)
            desk.deliver()
            if not self.day_is_over_in(4):
                desk.pass_s(4)
            if not (desk.wire or desk.news) and self.is_calm():
                break
        else:
            raise AssertionError("the orders do not come to rest")
        self.ends_are_told_once_and_last()
        self.check_orders()
        self.check_journal()
        self.check_families()

    def is_calm(self) -> bool:
        """Whether nothing waits for time to pass."""
        if self.day_is_over_in(12):
            return True
        told = len(self.desk.told)
        self.desk.pass_s(4)
        self.desk.pass_s(4)
        self.desk.pass_s(4)
        return not self.desk.wire and told == len(self.desk.told)

    def check_orders(self) -> None:
        desk = self.desk
        traded = Counter(
            (trade.order_id, trade.trade_id, trade.volume)
            for order in desk.sent.values()
            if order.is_ours
            for trade in order.trades
        )
        told = Counter(
            (told.trade.order_id, told.trade.trade_id, told.trade.volume)
            for told in desk.told
            if isinstance(told, Filled)
        )
        assert told == traded
        for symbol in SYMBOLS:
            assert desk.position(symbol) == desk.truth(symbol)
            assert desk.blotter.progress.lots.agrees(symbol)
        accepted = Counter(told.ref for told in desk.told if isinstance(told, Accepted))
        assert all(count == 1 for count in accepted.values())
        for key in self.keys:
            self.check_order(desk.work(key))
        for order in desk.resting():
            if order.is_ours:
                work = desk.work(order.order_id.rpartition(".")[0])
                assert work.phase in (Phase.WORKING, Phase.LEAVING), f"{order} is left behind"
                assert work.leg(order.order_id).is_alive

    def check_order(self, work: Work) -> None:
        desk, key = self.desk, work.key
        filled, state = sum(trade.volume for trade in desk.fills(key)), desk.state(key)
        assert filled == desk.blotter.ledger.filled(key)
        if key not in self.ghosts:  # lots that traded before a change came count
            assert filled <= self.most[key]
            if state.is_terminal:
                assert (state is OrderState.COMPLETED) == (filled >= work.ticket.volume)
        at_exchange = {order.order_id for order in desk.resting() if order.is_ours}
        live = {leg.order_id for leg in work.alive}
        assert live <= at_exchange, f"{key} waits for orders that are gone"
        if work.phase is Phase.LEAVING:
            assert live
            assert not desk.is_open(work.symbol) or self.day_is_over_in(12)
        if work.phase is Phase.WORKING and not live:
            assert work.unsent
            assert not desk.is_open(work.symbol) or self.day_is_over_in(12)
        if work.phase is Phase.PARKED:
            assert not desk.is_open(work.symbol) or self.day_is_over_in(12)
        if work.phase is Phase.DUE:  # for the next tick, or for a sibling that has its lots
            family = [each for each, parent in self.parents.items() if parent == work.ticket.parent]
            family += self.group(key) - {key}
            waits = work.follows_price or any(desk.work(each).is_at_exchange for each in family)
            assert waits or self.day_is_over_in(12)
        if work.phase is Phase.WAITING:
            assert desk.work(self.parents[key]).phase is not Phase.DONE

    def check_journal(self) -> None:
        desk, journal = self.desk, self.desk.journal
        for record in journal.orders(self.keys):
            work = desk.work(record.key)
            assert record.phase == work.phase.value
            assert record.state == desk.state(record.key).value
            is_changing = work.then is Then.REPLACE and work.phase is not Phase.DONE
            ticket = work.then_ticket if is_changing else work.ticket
            assert Ticket.from_text(record.ticket) == ticket
            legs = journal.legs(record.key)
            assert [leg.order_id for leg in legs] == [leg.order_id for leg in work.legs]
            for row, leg in zip(legs, work.legs, strict=True):
                assert row.state == leg.state
                if row.state == "finished":
                    assert row.left == leg.volume - leg.told.filled
            trades = [(row.order_id, row.trade_id, row.volume) for row in journal.trades(work.key)]
            assert trades == [(t.order_id, t.trade_id, t.volume) for t in desk.fills(work.key)]
        standing = {row.key: row for row in journal.stops()}
        for key in self.keys:
            work = desk.work(key)
            stands = work.ticket.is_stop and work.phase is not Phase.DONE
            assert stands == (key in standing)
            if stands and work.trigger is not None:
                assert standing[key].price == work.trigger.price
                held = work.phase in (Phase.HELD, Phase.WAITING)
                assert standing[key].state == ("held" if held else "hit")

    def check_families(self) -> None:
        filled = self.desk.blotter.ledger.filled
        for (first, second), before in self.bound.items():
            self.check_pair(first, second, before)
            self.check_pair(second, first, 0)
        for parent in set(self.parents.values()) - self.ghosts:
            children = [key for key, mine in self.parents.items() if mine == parent]
            assert self.asked(children) <= filled(parent), f"children of {parent} close too much"
        for keys in self.pairs:
            assert self.asked(keys) <= max(self.most[key] for key in keys), f"{keys} trade too much"

    def asked(self, keys: list[str]) -> int:
        """Lots that orders have traded or may trade now; 0 if a lost one has come back."""
        if self.ghosts & set(keys):
            return 0
        filled = self.desk.blotter.ledger.filled
        alive = [leg for key in keys for leg in self.desk.work(key).alive]
        return sum(map(filled, keys)) + sum(leg.told.left for leg in alive)

    def check_pair(self, ended: str, living: str, before: int) -> None:
        """An order of an OCO group outlives no other's fill or end; a stop gone off may."""
        desk, work = self.desk, self.desk.work(living)
        filled = desk.blotter.ledger.filled
        has_acted = filled(ended) > before or ended in self.ends
        is_going = work.phase in (Phase.LEAVING, Phase.DONE)
        if is_going or filled(living) or not has_acted:
            return
        group = [desk.work(key) for key in self.group(living)]
        assert any(each.ticket.is_stop and each.phase in GONE_OFF for each in group), (
            f"{living} lives though {ended} of its group has traded or ended"
        )

    def teardown(self) -> None:
        if self.keys:
            self.settle()
        self.desk.journal.close()


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=2_500 if NIGHTLY else 100,
    derandomize=not NIGHTLY,
    stateful_step_count=80 if NIGHTLY else 50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
