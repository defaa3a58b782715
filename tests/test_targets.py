"""Net targets through TqSdk's own TargetPosTask: the real TqApi on the embedded exchange."""

from __future__ import annotations

import gc
import itertools
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
import tqsdk.connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import ns, session
from tqsdk.lib.target_pos_task import TargetPosTaskSingleton

from tianqin_backtrader import LocalExchange
from tianqin_backtrader.clock import monotonic_ns, now_s
from tianqin_backtrader.config import load_settings
from tianqin_backtrader.connection import Connection
from tianqin_backtrader.errors import BadVolume, InvalidOrder, NotStarted, WrongSetting
from tianqin_backtrader.model import Direction, ExchangeOrder, Offset, OrderPicture
from tianqin_backtrader.targets import TargetOptions, TargetTasks

CU, RB, M, IF = "SHFE.cu2511", "SHFE.rb2601", "DCE.m2601", "CFFEX.IF2510"
EVENING = datetime(2025, 9, 15, 23)  # noqa: DTZ001  Beijing time
OPENED = "2025-09-15 21:00:01"
OPEN, CLOSE, TODAY = Offset.OPEN, Offset.CLOSE, Offset.CLOSETODAY
BUY, SELL = Direction.BUY, Direction.SELL
FAR = 4_000.0  # CNY from the market, within the day's limits of copper
RUNS = itertools.count(1)


@dataclass
class Told:
    """Keeps what a broker would be told, and names orders as it would."""

    ends: list[tuple[str, ...]] = field(default_factory=list)
    named: list[tuple[str, str, Direction, Offset, int, float | None]] = field(default_factory=list)
    run: int = field(default_factory=lambda: next(RUNS))  # an exchange ignores an id it knows
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def name_order(
        self, symbol: str, direction: Direction, offset: Offset, volume: int, price: float | None
    ) -> str:
        order_id = f"run{self.run}.{next(self.numbers)}"
        self.named.append((order_id, symbol, direction, offset, volume, price))
        return order_id

    def reached(self, symbol: str) -> None:
        self.ends.append(("reached", symbol))

    def stopped(self, symbol: str) -> None:
        self.ends.append(("stopped", symbol))

    def failed(self, symbol: str, reason: str) -> None:
        self.ends.append(("failed", symbol, reason))


class Seat:
    """A session with targets, as a broker would drive them."""

    def __init__(self, exchange: LocalExchange, connection: Connection | None = None) -> None:
        exchange.pause()  # until all is subscribed, so that each run begins at the same tick
        self.exchange = exchange
        self.connection = connection or session(exchange)
        self.told = Told()
        self.targets = TargetTasks(self.connection, self.told, lambda: exchange.now_ns)
        self.connection.listing.instruments([CU, RB, M, IF])
        self.earlier = set(self.connection.trading.orders())
        self.connection.trading.news()
        exchange.resume()

    def until(self, ready: Callable[[], object], waits: int = 30_000) -> None:
        for _ in range(waits):
            if ready():
                return
            if self.connection.ended:
                break
            self.connection.wait(now_s() + 5)
            self.targets.poll()
        pytest.fail(f"never: {self.told}")

    def at(self, time: str, symbol: str = CU) -> None:
        self.until(lambda: self.quote(symbol, "datetime") >= time)

    def quote(self, symbol: str, name: str) -> Any:
        return self.connection.listing.quote(symbol)[name]

    def begin(self, symbol: str, lots: int, **options: Any) -> None:
        self.targets.begin(symbol, lots, TargetOptions(**options))

    def end(self) -> tuple[str, ...]:
        """Wait for the next end."""
        known = len(self.told.ends)
        self.until(lambda: len(self.told.ends) > known)
        return self.told.ends[known]

    def go(self, symbol: str, lots: int, **options: Any) -> tuple[str, ...]:
        self.begin(symbol, lots, **options)
        return self.end()

    def net(self, symbol: str = CU) -> int:
        return self.connection.trading.position(symbol).net

    def id(self, number: int) -> str:
        """The id of the nth order that was named, counted from 1."""
        return f"run{self.told.run}.{number}"

    def orders(self) -> dict[str, OrderPicture]:
        orders = self.connection.trading.orders()
        return {key: order for key, order in orders.items() if key not in self.earlier}

    def alive(self) -> list[str]:
        return [key for key, order in self.orders().items() if order.status == "ALIVE"]

    def rest(self, lots: int = 2) -> str:
        """Begin to buy copper far below the market; returns the resting order's id."""
        self.begin(CU, lots, price=lambda _: self.quote(CU, "bid_price1") - FAR)
        self.until(lambda: any(self.orders()[key].exchange_order_id for key in self.alive()))
        return self.alive()[0]


@contextmanager
def sitting(since: str = OPENED, **market: Any) -> Iterator[Seat]:
    """A seat in a market of its own, at a Beijing time."""
    with LocalExchange(**{"end": EVENING} | market) as exchange:
        seat = Seat(exchange)
        try:
            seat.at(since)
            yield seat
        finally:
            seat.connection.close()


@pytest.fixture(scope="module")
def house() -> Iterator[Seat]:
    """A session that most tests share: to open one takes as long as all of them."""
    with sitting(end=datetime(2025, 9, 16, 1)) as seat:  # noqa: DTZ001
        yield seat


@pytest.fixture
def seat(house: Seat) -> Iterator[Seat]:
    """A flat account and fresh targets in the evening session of a lock-step market."""
    seat = Seat(house.exchange, house.connection)
    yield seat
    seat.targets.close()
    for symbol in (CU, RB, M):
        seat.go(symbol, 0)
    del seat.connection.api.insert_order  # what asked these targets for ids
    seat.connection._before_close.clear()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """TqSdk waits 10 to 20 s before it reconnects: here it does not."""
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: 0.05)


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What asyncio says of tasks that were left pending or whose error nobody took."""
    gc.collect()  # what earlier tests have left
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("asyncio").addHandler(handler)
    yield heard
    logging.getLogger("asyncio").removeHandler(handler)


def legs(seat: Seat) -> list[tuple[Direction, Offset, int]]:
    """Sides, offsets and lots of the orders in the account, in the order of their ids."""
    orders = sorted(seat.orders().values(), key=lambda order: int(order.order_id.split(".")[1]))
    return [(order.direction, order.offset, order.volume) for order in orders]


# ---- reaching targets


def test_opens_reduces_and_turns_over_with_ids_of_ours(seat: Seat) -> None:
    """Turning over from -2 to +1 closes two, then opens one; a predecessor opened three."""
    for lots in (3, 1, -2, 1):
        assert seat.go(CU, lots) == ("reached", CU)
        assert seat.net() == lots
    by_hand = [
        (BUY, OPEN, 3),
        (SELL, TODAY, 2),
        (SELL, TODAY, 1),
        (SELL, OPEN, 2),
        (BUY, TODAY, 2),
        (BUY, OPEN, 1),
    ]
    assert legs(seat) == by_hand
    assert set(seat.orders()) == {seat.id(n) for n in range(1, 7)}
    named = {key: order for key, *order in seat.told.named}
    for key, order in seat.orders().items():
        assert named[key] == [CU, order.direction, order.offset, order.volume, order.price]


def test_a_target_that_is_held_already_is_reached_without_an_order(seat: Seat) -> None:
    assert seat.go(CU, 0) == ("reached", CU)
    assert seat.orders() == {}


def test_exchanges_without_today_lots_close_with_close(seat: Seat) -> None:
    seat.go(M, 3)
    assert seat.go(M, -1) == ("reached", M)
    assert legs(seat) == [(BUY, OPEN, 3), (SELL, CLOSE, 3), (SELL, OPEN, 1)]


def test_todays_and_history_lots_are_closed_by_their_own_offsets() -> None:
    """Two lots of yesterday, three of today: down to 1 closes three of today, one of history."""
    start, end = datetime(2025, 9, 15, 14, 58), datetime(2025, 9, 15, 21, 30)  # noqa: DTZ001
    with sitting("2025-09-15 14:58:01", start=start, end=end) as seat:
        seat.go(CU, 2)
        seat.at(OPENED)
        seat.go(CU, 5)
        held = seat.connection.trading.position(CU).long
        assert (held.today, held.history) == (3, 2)
        yesterday = len(seat.told.named)
        assert seat.go(CU, 1) == ("reached", CU)
        sent = [(side, offset, lots) for _, _, side, offset, lots, _ in seat.told.named[yesterday:]]
        assert sent == [(SELL, TODAY, 3), (SELL, CLOSE, 1)]
        assert {key for key, *_ in seat.told.named} == set(seat.orders())
        held = seat.connection.trading.position(CU).long
        assert (held.today, held.history) == (0, 1)


def test_history_first_and_never_todays_lots_by_priority(seat: Seat) -> None:
    """Without history lots 昨开 locks: it opens the other side."""
    seat.go(RB, 2)
    assert seat.go(RB, 0, offset_priority="昨开") == ("reached", RB)
    held = seat.connection.trading.position(RB)
    assert (held.long.total, held.short.total, held.net) == (2, 2, 0)


def test_passive_orders_queue_at_their_own_side_one_at_a_time() -> None:
    most = 0
    with sitting() as seat:
        for lots in (4, -4, 3, -3, 2, 0):
            side = "bid_price1" if lots > seat.net() else "ask_price1"
            sent, price = len(seat.told.named), seat.quote(CU, side)
            seat.begin(CU, lots, price="PASSIVE")
            while seat.targets.is_busy(CU):
                seat.connection.wait(now_s() + 5)
                most = max(most, len(seat.alive()))
                seat.targets.poll()
            assert seat.told.named[sent][-1] == price
            assert seat.net() == lots
        assert {end[0] for end in seat.told.ends} == {"reached"}
        assert most == 1
        withdrawn = [order for order in seat.orders().values() if order.volume_left]
        assert withdrawn, "no order had to follow the market"
        assert {order.last_msg for order in withdrawn} == {"已撤单"}
        assert set(seat.orders()) == {key for key, *_ in seat.told.named}


def test_a_better_price_withdraws_the_order_and_sends_it_again(seat: Seat) -> None:
    bid, ask = seat.quote(CU, "bid_price1"), seat.quote(CU, "ask_price1")
    prices = itertools.chain([bid - FAR] * 5, itertools.repeat(ask + 100))
    assert seat.go(CU, 4, price=lambda _: next(prices)) == ("reached", CU)
    first, second = sorted(seat.orders().values(), key=lambda order: order.insert_ns)
    assert (first.order_id, first.price, first.volume, first.volume_left) == (
        seat.id(1), bid - FAR, 4, 4,
    )  # fmt: skip
    assert (second.order_id, second.price, second.volume, second.volume_left) == (
        seat.id(2), ask + 100, 4, 0,
    )  # fmt: skip


class Aggressive:
    """A price function that is no plain function: TqSdk refuses these."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def __call__(self, side: str) -> float:
        assert side in ("BUY", "SELL")
        beyond = 20.0 if side == "BUY" else -20.0
        name = "ask_price1" if side == "BUY" else "bid_price1"
        return float(self._seat.quote(CU, name)) + beyond


def test_any_callable_names_the_price(seat: Seat) -> None:
    ask = seat.quote(CU, "ask_price1")
    assert seat.go(CU, 2, price=Aggressive(seat)) == ("reached", CU)
    assert seat.told.named[0][-1] == ask + 20
    bid = seat.quote(CU, "bid_price1")
    assert seat.go(CU, -1, price=Aggressive(seat).__call__) == ("reached", CU)
    assert seat.told.named[1][-1] == bid - 20


def test_large_orders_are_split_between_minimum_and_maximum(seat: Seat) -> None:
    assert seat.go(CU, 20, min_volume=2, max_volume=4) == ("reached", CU)
    lots = [order.volume - order.volume_left for order in seat.orders().values()]
    assert sum(lots) == seat.net() == 20
    assert max(order.volume for order in seat.orders().values()) <= 4
    assert len(lots) >= 5


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=6))
def test_any_row_of_targets_is_reached_with_no_lot_too_many(seat: Seat, targets: list[int]) -> None:
    for lots in targets:
        before, sent = seat.net(), len(seat.told.named)
        assert seat.go(CU, lots) == ("reached", CU)
        assert seat.net() == lots
        news = seat.told.named[sent:]
        orders = [seat.orders()[key] for key, *_ in news]
        filled = [order.volume - order.volume_left for order in orders]
        assert sum(filled) == abs(lots - before)
        assert {order.direction for order in orders} <= {BUY if lots > before else SELL}
        held = seat.connection.trading.position(CU)
        assert not (held.long.total and held.short.total)


def test_tasks_that_have_ended_leave_nothing_behind(seat: Seat) -> None:
    seat.go(CU, 1)
    seat.connection.wait(now_s() + 5)
    tasks = len(seat.connection.api._tasks)
    for lots in (2, 1, 0):
        seat.go(CU, lots)
        seat.go(CU, 5, price=lambda _: math.nan)
    seat.connection.wait(now_s() + 5)
    assert len(seat.connection.api._tasks) == tasks


# ---- what is told, and when


def test_the_next_target_may_begin_as_the_end_is_told(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = iter([-2, 3, 0])

    def go_on(symbol: str) -> None:
        seat.told.ends.append(("reached", symbol))
        lots = next(rest, None)
        if lots is not None:
            seat.begin(symbol, lots)

    monkeypatch.setattr(seat.told, "reached", go_on)
    seat.begin(CU, 1)
    seat.until(lambda: len(seat.told.ends) == 4)
    assert sum(lots for *_, lots, _ in seat.told.named) == 1 + 3 + 5 + 3
    assert seat.net() == 0


def test_orders_and_trades_are_told_before_the_end(seat: Seat) -> None:
    seat.connection.trading.news()
    seat.begin(CU, 2)
    trades = []
    while seat.targets.is_busy(CU):
        seat.connection.wait(now_s() + 5)
        orders, new = seat.connection.trading.news()
        trades += new
        last = {order.order_id: order.status for order in orders}
        seat.targets.poll()
    assert [(trade.order_id, trade.volume) for trade in trades] == [(seat.id(1), 2)]
    assert last == {seat.id(1): "FINISHED"}


def test_reached_comes_with_the_last_fill_and_not_a_wait_later(seat: Seat) -> None:
    """In lock-step the next news may be a minute of market time away."""
    seat.begin(CU, 2)
    for _ in range(50):
        seat.connection.wait(now_s() + 5)
        seat.targets.poll()
        assert (seat.net() == 2) == (not seat.targets.is_busy(CU))
    assert seat.told.ends == [("reached", CU)]


def test_what_a_target_sends_counts_as_unsent_until_the_wait(seat: Seat) -> None:
    channel, seen = seat.connection.trading, []
    seat.begin(CU, 2, price=lambda _: seat.quote(CU, "bid_price1") - FAR)
    seen.append(channel.has_unsent)
    seat.until(seat.alive)
    seat.connection.wait(now_s() + 5)
    seen.append(channel.has_unsent)
    seat.targets.cancel(CU)
    seen.append(channel.has_unsent)
    assert seen == [True, False, True]


def test_orders_sent_beside_a_task_keep_their_own_ids(seat: Seat) -> None:
    seat.rest()
    channel = seat.connection.trading
    channel.send(ExchangeOrder("direct.1", M, BUY, OPEN, 1, seat.quote(M, "ask_price1")))
    far = seat.quote(CU, "ask_price1") + FAR
    channel.send(ExchangeOrder("direct.2", CU, SELL, OPEN, 1, far))
    seat.until(lambda: "direct.2" in seat.alive())
    channel.cancel("direct.2")
    seat.until(lambda: seat.alive() == [seat.id(1)])
    assert set(seat.orders()) == {seat.id(1), "direct.1", "direct.2"}
    assert len(seat.told.named) == 1


@pytest.mark.parametrize("fault", ["split", "repeat", "reorder"])
def test_spoiled_packets_send_no_lot_twice(fault: str, seat: Seat) -> None:
    """One diff in a packet: TqSdk's next task counted the position without the fills before it."""
    getattr(seat.exchange, fault)("td")
    try:
        for lots in (3, -1, 2, 0, 1):
            assert seat.go(CU, lots) == ("reached", CU)
            assert seat.net() == lots
        assert sum(lots for *_, lots, _ in seat.told.named) == 3 + 4 + 3 + 2 + 1
    finally:
        getattr(seat.exchange, fault)("td", False)


# ---- cancelling


def test_cancel_withdraws_the_resting_order(seat: Seat) -> None:
    order_id = seat.rest()
    seat.targets.cancel(CU)
    assert seat.end() == ("stopped", CU)
    order = seat.orders()[order_id]
    assert (order.status, order.volume_left) == ("FINISHED", 2)
    assert not seat.targets.is_busy(CU)
    assert seat.go(CU, 1) == ("reached", CU)


def test_cancel_before_the_task_ever_ran_sends_nothing(seat: Seat) -> None:
    seat.begin(CU, 2)
    seat.targets.cancel(CU)
    seat.targets.cancel(CU)
    assert seat.end() == ("stopped", CU)
    assert seat.orders() == {}
    assert seat.told.named == []
    assert seat.go(CU, 1) == ("reached", CU)


def test_a_second_cancel_does_not_break_off_the_first(seat: Seat) -> None:
    """TqSdk: a task cancelled while it tidies up leaves its order in the market."""
    order_id = seat.rest()
    seat.exchange.stall("td")
    seat.targets.cancel(CU)
    seat.connection.wait(now_s() + 0.1)
    seat.targets.poll()
    seat.targets.cancel(CU)
    seat.exchange.stall("td", False)
    assert seat.end() == ("stopped", CU)
    assert seat.orders()[order_id].status == "FINISHED"


def test_a_new_target_waits_for_the_end_of_the_old_one(seat: Seat) -> None:
    seat.rest()
    with pytest.raises(InvalidOrder, match=r"SHFE\.cu2511 still works on its target of 2 .*cancel"):
        seat.begin(CU, 3)
    seat.targets.cancel(CU)
    with pytest.raises(InvalidOrder, match="wait for"):
        seat.begin(CU, 3)
    assert seat.end() == ("stopped", CU)
    assert seat.go(CU, 3) == ("reached", CU)
    assert seat.net() == 3


def test_cancel_of_nothing_does_nothing(seat: Seat) -> None:
    seat.targets.cancel(CU)
    seat.connection.wait(now_s() + 5)
    assert not seat.targets.poll()
    assert seat.told.ends == []


def test_cancel_while_the_first_quote_is_awaited_spoils_no_later_target(seat: Seat) -> None:
    """TqSdk: the cancel took the contract's quote along, and every later task ended at once."""
    rubber = "SHFE.ru2601"
    seat.connection.listing.instruments([rubber])
    seat.exchange.pause()
    quote: Any = seat.connection.listing.quote(rubber)
    quote["datetime"] = ""
    seat.begin(rubber, 1)
    assert not seat.targets.poll()
    seat.targets.cancel(rubber)
    assert seat.targets.poll()
    assert seat.told.ends == [("stopped", rubber)]
    seat.exchange.resume()
    for lots in (1, 0):
        assert seat.go(rubber, lots) == ("reached", rubber)


def test_a_fill_that_crosses_the_cancel_counts(seat: Seat) -> None:
    """The order trades before its cancel comes: stopped, and the position is true."""
    seat.begin(CU, 2)
    seat.connection.wait(now_s() + 5)  # sent and filled; the task does not know yet
    seat.targets.cancel(CU)
    assert seat.end() == ("stopped", CU)
    assert seat.net() == 2
    assert seat.go(CU, 2) == ("reached", CU)
    assert len(seat.orders()) == 1


def cancel_around_insert(seat: Seat, *, before: bool) -> None:
    """Let a cancel come just before or just after TqSdk inserts the next order."""
    api = seat.connection.api
    insert = api.insert_order

    def insert_order(*terms: Any, **options: Any) -> Any:
        if before:
            seat.targets.cancel(CU)
        order = insert(*terms, **options)
        seat.targets.cancel(CU)
        return order

    api.insert_order = insert_order


def test_an_order_begun_before_the_cancel_does_not_leave_after_it(seat: Seat) -> None:
    seat.begin(CU, 2)
    cancel_around_insert(seat, before=True)
    assert seat.end() == ("stopped", CU)
    assert seat.told.named == []
    assert not any(order.exchange_order_id for order in seat.orders().values())


def test_an_order_that_tqsdk_forgets_is_withdrawn(seat: Seat) -> None:
    """A task cancelled between an order's departure and its own next step left it in the market."""
    seat.begin(CU, 2, price=lambda _: seat.quote(CU, "bid_price1") - FAR)
    cancel_around_insert(seat, before=False)
    assert seat.end() == ("stopped", CU)
    (order,) = seat.orders().values()
    assert (order.order_id, order.status, order.volume_left) == (seat.id(1), "FINISHED", 2)
    assert order.exchange_order_id


# ---- failing


def test_nan_price_fails_and_the_next_target_works(seat: Seat) -> None:
    assert seat.go(CU, 2, price=lambda _: math.nan) == (
        "failed",
        CU,
        "设置价格函数返回 nan，无法处理。请检查后重试。",
    )
    assert seat.orders() == {}
    assert seat.go(CU, 2) == ("reached", CU)


def test_a_price_function_that_raises_fails_with_what_it_raised(seat: Seat) -> None:
    def price(_: str) -> float:
        raise ZeroDivisionError("no volume yet")

    kind, symbol, reason = seat.go(CU, 2, price=price)
    assert (kind, symbol) == ("failed", CU)
    assert reason == "the price function raised ZeroDivisionError: no volume yet"
    assert seat.orders() == {}


def test_a_price_function_that_raises_beside_a_resting_order_withdraws_it(seat: Seat) -> None:
    """TqSdk heard of it when the order ended, and let it rest at the old price until then."""
    prices = iter([seat.quote(CU, "bid_price1") - FAR] * 3)
    seat.begin(CU, 2, price=lambda _: next(prices))
    kind, _, reason = seat.end()
    assert (kind, reason) == ("failed", "the price function raised StopIteration: ")
    assert [order.status for order in seat.orders().values()] == ["FINISHED"]
    assert seat.net() == 0


def test_lack_of_money_fails_with_the_exchanges_reason() -> None:
    with sitting(balance_cny=1_000.0) as seat:
        kind, _, reason = seat.go(CU, 2)
        assert kind == "failed"
        assert reason.startswith("遇到错单: SHFE.cu2511 BUY OPEN 2手 ")
        assert reason.endswith("CTP:资金不足")
        assert seat.go(CU, 0) == ("reached", CU)


def test_an_order_cancelled_by_somebody_else_fails_the_target(seat: Seat) -> None:
    seat.connection.trading.cancel(seat.rest())
    kind, _, reason = seat.end()
    assert kind == "failed"
    assert "遇到错单" in reason
    assert "已撤单" in reason


def test_one_of_two_contracts_fails_and_the_other_is_reached(seat: Seat) -> None:
    seat.begin(CU, 2, price=lambda _: math.nan)
    seat.begin(M, 3)
    seat.until(lambda: len(seat.told.ends) == 2)
    assert [end[:2] for end in sorted(seat.told.ends)] == [("failed", CU), ("reached", M)]
    assert seat.net(M) == 3
    assert [symbol for _, symbol, *_ in seat.told.named] == [M]


def test_two_contracts_fail_each_with_its_own_reason(seat: Seat) -> None:
    seat.begin(CU, 2, price=lambda _: math.nan)
    seat.begin(M, 2, price=lambda _: 1 / 0)
    seat.begin(RB, 100_000)
    seat.until(lambda: len(seat.told.ends) == 3)
    reasons = {end[1]: end[2] for end in seat.told.ends}
    assert "nan" in reasons[CU]
    assert "ZeroDivisionError" in reasons[M]
    assert "遇到错单: SHFE.rb2601" in reasons[RB]


def test_what_other_tasks_raise_still_comes_out_of_the_wait(seat: Seat) -> None:
    async def fail() -> None:
        raise LookupError("of another task")

    seat.begin(CU, 2, price=lambda _: math.nan)
    seat.connection.api.create_task(fail())
    with pytest.raises(LookupError, match="of another task"):
        seat.connection.wait(now_s() + 5)
    seat.until(lambda: seat.told.ends)
    assert [end[:2] for end in seat.told.ends] == [("failed", CU)]


def test_a_name_that_is_refused_refuses_the_order(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that cannot be written, a risk limit: nothing is sent, and no task waits for it."""

    def refuse(*_: Any) -> str:
        raise InvalidOrder("too many orders today")

    with monkeypatch.context() as patch:
        patch.setattr(seat.told, "name_order", refuse)
        kind, _, reason = seat.go(CU, 2)
    assert kind == "failed"
    assert reason.endswith("too many orders today")
    assert [order.status for order in seat.orders().values()] == ["FINISHED"]
    assert not any(order.exchange_order_id for order in seat.orders().values())
    assert seat.go(CU, 2) == ("reached", CU)
    assert seat.net() == 2


@pytest.mark.parametrize("moment", ["at once", "on the way out"])
def test_an_order_that_tqsdk_refuses_itself_ends_as_refused(
    moment: str, seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TqSdk raised it out of the wait, and its task waited for an order that had never left."""
    api = seat.connection.api
    owner, name = (api, "insert_order") if moment == "at once" else (api._auth, "_has_td_grants")
    answers = itertools.chain([PermissionError("您的账户不支持交易")], itertools.repeat(None))
    real = getattr(owner, name)

    def refuse_once(*terms: Any, **options: Any) -> Any:
        answer = next(answers)
        if answer is not None:
            raise answer
        return real(*terms, **options)

    if moment == "at once":
        api.insert_order = refuse_once  # below the naming of orders, which begins with a target
    else:
        monkeypatch.setattr(owner, name, refuse_once)
    seat.connection.trading.news()
    kind, _, reason = seat.go(CU, 2)
    assert kind == "failed"
    assert reason.endswith("您的账户不支持交易")
    ((order_id, *_),) = seat.told.named
    orders, _ = seat.connection.trading.news()
    told = {order.order_id: order for order in orders}[order_id]
    assert (told.status, told.volume_left, told.last_msg) == ("FINISHED", 2, "您的账户不支持交易")
    assert told.exchange_order_id == ""
    assert seat.go(CU, 2) == ("reached", CU)
    assert legs(seat) == [(BUY, OPEN, 2), (BUY, OPEN, 2)]


@pytest.mark.parametrize("lots", [1.0, "2", None, True, math.nan])
def test_lots_that_are_no_whole_number_are_refused(lots: Any, seat: Seat) -> None:
    with pytest.raises(BadVolume, match=r"SHFE\.cu2511.*whole net lots"):
        seat.begin(CU, lots)
    assert not seat.targets.is_busy(CU)


def test_what_tqsdk_refuses_as_a_target_is_no_target(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Exception("开平仓顺序(offset_priority) 错误")

    with monkeypatch.context() as patch:
        patch.setattr(seat.connection, "target_task", refuse)
        with pytest.raises(InvalidOrder, match=r"no target of 2 SHFE\.cu2511: 开平仓顺序"):
            seat.begin(CU, 2)
    assert not seat.targets.is_busy(CU)
    assert seat.go(CU, 2) == ("reached", CU)


def test_a_contract_that_nobody_asked_for_is_refused(seat: Seat) -> None:
    with pytest.raises(InvalidOrder, match=r"SHFE\.ag2512 has no quote"):
        seat.begin("SHFE.ag2512", 1)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"price": "MARKET"}, "MARKET"),
        ({"price": 80_000.0}, "80000"),
        ({"offset_priority": ""}, "offset_priority"),
        ({"offset_priority": ","}, "offset_priority"),
        ({"offset_priority": "今今开"}, "今今开"),
        ({"offset_priority": "close"}, "close"),
        ({"offset_priority": None}, "None"),
        ({"min_volume": 2}, "max_volume is None"),
        ({"max_volume": 2}, "min_volume is None"),
        ({"min_volume": 0, "max_volume": 2}, "min_volume is 0"),
        ({"min_volume": 1.5, "max_volume": 2}, "1.5"),
        ({"min_volume": 5, "max_volume": 2}, "min_volume is 5; expected at most 2"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any], named: str) -> None:
    with pytest.raises(WrongSetting, match=named):
        TargetOptions(**options)


# ---- time


def test_a_new_task_does_not_take_an_old_quote_for_fresh(seat: Seat) -> None:
    """A last quote of 00:59:59 looked open to a task that was made at 02:00."""
    seat.targets = TargetTasks(seat.connection, seat.told, lambda: ns("2025-09-16 02:00:00"))
    seat.begin(CU, 2)
    seat.connection.run_tasks()
    assert seat.told.named == []
    assert seat.end() == ("reached", CU)  # a quote of this moment has come


def test_a_target_of_the_break_waits_for_the_session() -> None:
    start, end = datetime(2025, 9, 16, 10, 13), datetime(2025, 9, 16, 10, 40)  # noqa: DTZ001
    with sitting("", start=start, end=end) as seat:
        seat.at("2025-09-16 10:20:00", IF)
        assert seat.quote(CU, "datetime") < "2025-09-16 10:15:01"
        assert seat.go(CU, 2) == ("reached", CU)
        assert seat.orders()[seat.id(1)].insert_ns >= ns("2025-09-16 10:30:00")


def test_a_target_before_the_opening_waits_for_it() -> None:
    start, end = datetime(2025, 9, 15, 14, 59), datetime(2025, 9, 15, 21, 10)  # noqa: DTZ001
    with sitting("2025-09-15 15:00:00", start=start, end=end) as seat:
        assert seat.quote(CU, "datetime") < "2025-09-15 21:00:00"
        assert seat.go(CU, 2) == ("reached", CU)
        assert seat.orders()[seat.id(1)].insert_ns >= ns("2025-09-15 21:00:00")


def test_a_resting_order_dies_with_its_trading_day_and_fails_the_target() -> None:
    start, end = datetime(2025, 9, 15, 14, 59), datetime(2025, 9, 15, 21, 10)  # noqa: DTZ001
    with sitting("2025-09-15 14:59:01", start=start, end=end) as seat:
        seat.rest()
        kind, _, reason = seat.end()
        assert kind == "failed"
        assert "已撤单:收盘" in reason
        assert seat.go(CU, 1) == ("reached", CU)


def test_targets_are_reached_at_speed() -> None:
    start, end = datetime(2025, 9, 15, 21, 0), datetime(2025, 9, 15, 22)  # noqa: DTZ001
    with sitting(start=start, end=end, speed=120) as seat:
        for lots in (2, -1, 0):
            assert seat.go(CU, lots) == ("reached", CU)
            assert seat.net() == lots


# ---- sessions


def test_tqsdks_local_account_reaches_targets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANQIN_USER", "someone")
    monkeypatch.setenv("TIANQIN_PASSWORD", "secret")
    with LocalExchange(end=EVENING) as exchange:
        urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url")}
        connection = Connection(load_settings(mode="sim", **urls))
        connection.open()
        seat = Seat(exchange, connection)
        seat.at(OPENED)
        for lots in (2, -1):
            assert seat.go(CU, lots) == ("reached", CU)
            assert seat.net() == lots
        assert legs(seat) == [(BUY, OPEN, 2), (SELL, TODAY, 2), (SELL, OPEN, 1)]
        assert seat.go(CU, 400_000)[0] == "failed"
        seat.rest()
        connection.close()
        assert seat.told.ends[-1] == ("stopped", CU)


def test_closing_the_session_withdraws_what_rests(complaints: list[str]) -> None:
    """TqSdk hung for 30 seconds, then raised out of close."""
    with LocalExchange(end=EVENING) as exchange:
        seat = Seat(exchange)
        seat.at(OPENED)
        seat.rest()
        seat.begin(M, 2, price="PASSIVE")
        began_ns = monotonic_ns()
        seat.connection.close()
        assert monotonic_ns() - began_ns < 1_000_000_000
        assert sorted(seat.told.ends) == [("stopped", M), ("stopped", CU)]
        with pytest.raises(NotStarted):
            seat.begin(CU, 1)
        seat.connection.close()
        after = Seat(exchange)
        orders = after.connection.trading.orders().values()
        after.connection.close()
        assert [order.status for order in orders if order.symbol == CU] == ["FINISHED"]
    del seat, after
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize("fault", ["kill", "stall"])
def test_closing_does_not_wait_for_a_gateway_that_is_silent(
    fault: str, complaints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tianqin_backtrader.targets.CLOSE_NS", 100_000_000)
    with LocalExchange(end=EVENING) as exchange:
        seat = Seat(exchange)
        seat.at(OPENED)
        seat.rest()
        if fault == "kill":
            exchange.kill()
        else:
            exchange.stall("td")
        began_ns = monotonic_ns()
        seat.connection.close()
        assert monotonic_ns() - began_ns < 2_000_000_000
    ((kind, symbol, reason),) = seat.told.ends
    assert (kind, symbol) == ("failed", CU)
    assert "look at the account" in reason
    del seat
    gc.collect()
    assert complaints == []


def test_a_session_after_another_starts_from_nothing() -> None:
    """TqSdk's registry of tasks is keyed by id(account), which a later session may share."""
    registered = dict(TargetPosTaskSingleton._instances)
    with LocalExchange(end=EVENING) as exchange:
        for lots in (2, -1):
            seat = Seat(exchange)
            seat.at(OPENED)
            assert seat.go(CU, lots) == ("reached", CU)
            seat.begin(CU, 5, price=lambda _: 80_000.0)
            seat.connection.close()
    assert registered == TargetPosTaskSingleton._instances


@pytest.mark.usefixtures("at_once")
def test_a_target_outlives_a_broken_trading_connection(seat: Seat) -> None:
    price = seat.quote(CU, "bid_price1") - FAR
    seat.begin(CU, 2, price=lambda _: price)
    seat.until(lambda: any(order.exchange_order_id for order in seat.orders().values()))
    seat.exchange.drop("td", 20)
    seat.until(lambda: seat.connection.trading.is_down)
    seat.until(lambda: not seat.connection.trading.is_down)
    price = seat.quote(CU, "ask_price1")
    assert seat.end() == ("reached", CU)
    assert seat.net() == 2
    assert [order.volume for order in seat.orders().values()] == [2, 2]


def test_an_order_that_was_lost_on_its_way_fails_the_target(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went into a socket that had just broken; TqSdk waited for its end all day."""
    seat.connection.trading.news()
    with monkeypatch.context() as patch:
        patch.setattr(seat.connection.api, "_send_pack", lambda _: None)
        seat.begin(CU, 2)
        seat.until(seat.alive)
    for _ in range(100):
        seat.connection.wait(now_s() + 5)
        assert not seat.targets.poll()
    seat.targets.lost([seat.id(1), "of another program"])
    kind, _, reason = seat.end()
    assert kind == "failed"
    assert reason.endswith("the order never reached the gateway")
    (order,), _ = seat.connection.trading.news()
    assert (order.order_id, order.status, order.volume_left) == (seat.id(1), "FINISHED", 2)
    assert seat.go(CU, 2) == ("reached", CU)
    assert seat.net() == 2
