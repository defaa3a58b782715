"""One roll without a market: what follows on what, wherever programs and orders end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.journal_records import RollRecord, TradeRecord
from tianqin_backtrader.roll_orders import average, fate, shift_of
from tianqin_backtrader.rolls import (
    Act,
    Sight,
    Stage,
    Stand,
    keys_of,
    roll_of,
    step,
    ticket_of,
    with_key,
)
from tianqin_backtrader.tickets import Kind, Ticket
from tianqin_backtrader.values import Direction, Offset

MAIN, OLD, NEW = "KQ.m@SHFE.cu", "SHFE.cu2511", "SHFE.cu2512"
BUY, SELL = Direction.BUY, Direction.SELL
ENDS = (Stage.DONE.value, Stage.FAILED.value)
HALF_DONE = replace(roll_of(MAIN, OLD, NEW, 3, 0), closed=3, opened=2, phase="failed")
DONE = replace(HALF_DONE, opened=3, phase="done")


Stands = dict[str, Stand]


def sight(
    roll: RollRecord, stands: Stands | None = None, *, now_ns: int = 0, is_quiet: bool = True
) -> Sight:
    return Sight(now_ns, roll.lots, is_quiet, True, 1_000, stands or {})


# ---- step by step


def test_nothing_is_closed_while_another_order_may_trade_the_old_contract() -> None:
    roll = roll_of(MAIN, OLD, NEW, 3, 0)
    assert step(roll, sight(roll, is_quiet=False)).act is Act.WAIT
    todo = step(roll, replace(sight(roll), lots=2))  # one lot traded meanwhile
    assert (todo.act, todo.volume, todo.roll.lots) == (Act.CLOSE, 2, 2)


def test_nothing_is_opened_before_the_closing_has_ended() -> None:
    """Elsewhere the new contract was opened before the old one was closed."""
    roll = with_key(roll_of(MAIN, OLD, NEW, 3, 0), Act.CLOSE, "a")
    for filled in (0, 2, 3):
        assert step(roll, sight(roll, {"a": Stand(filled)})).act is Act.WAIT
    todo = step(roll, sight(roll, {"a": Stand(3, ended=True)}))
    assert (todo.act, todo.volume, todo.roll.phase, todo.roll.closed) == (
        Act.OPEN,
        3,
        "opening",
        3,
    )


def test_a_closing_that_ends_short_is_tried_once_more_at_the_opening() -> None:
    roll = with_key(roll_of(MAIN, OLD, NEW, -3, 0), Act.CLOSE, "a")
    short = step(roll, sight(roll, {"a": Stand(1, ended=True)}, now_ns=500))
    assert (short.act, short.roll.phase, short.roll.at_ns) == (Act.WAIT, "waiting", 500)
    before = sight(short.roll, {"a": Stand(1, ended=True)}, now_ns=999)
    assert step(short.roll, before).act is Act.WAIT
    again = step(short.roll, replace(before, now_ns=1_000))
    assert (again.act, again.volume, again.roll.phase) == (Act.CLOSE, 2, "retrying")
    roll = with_key(again.roll, Act.CLOSE, "b")
    stands = {"a": Stand(1, ended=True), "b": Stand(1, ended=True)}
    todo = step(roll, sight(roll, stands))
    assert (todo.act, todo.volume, todo.roll.closed) == (Act.OPEN, 2, 2)  # no third try
    roll = with_key(todo.roll, Act.OPEN, "c")
    end = step(roll, sight(roll, {"c": Stand(2, ended=True), **stands}))
    assert (end.act, end.roll.phase, end.roll.closed, end.roll.opened) == (
        Act.FINISH,
        "failed",
        2,
        2,
    )


def test_nothing_closed_means_nothing_opened() -> None:
    roll = replace(with_key(roll_of(MAIN, OLD, NEW, 3, 0), Act.CLOSE, "a"), phase="retrying")
    end = step(roll, sight(roll, {"a": Stand(0, ended=True)}))
    assert (end.act, end.roll.phase, end.roll.opening) == (Act.FINISH, "failed", "")


def test_without_lots_there_is_nothing_to_do_but_move_the_orders() -> None:
    roll = roll_of(MAIN, OLD, NEW, 0, 0)
    assert step(roll, sight(roll, is_quiet=False)).act is Act.WAIT
    end = step(roll, sight(roll))
    assert (end.act, end.roll.phase, end.roll.lots) == (Act.FINISH, "done", 0)


@pytest.mark.parametrize("lost", [{}, {"a": Stand(0, ended=True, lost=True)}])
def test_an_order_that_never_reached_the_exchange_is_written_again(lost: Stands) -> None:
    """The program died between the record and its order, or between the order and the wire."""
    roll = with_key(roll_of(MAIN, OLD, NEW, 3, 0), Act.CLOSE, "a")
    todo = step(roll, sight(roll, lost))
    assert (todo.act, todo.volume, todo.roll.phase) == (Act.CLOSE, 3, "closing")
    roll = replace(roll, phase="opening", closed=3)
    roll = with_key(with_key(roll, Act.OPEN, "b"), Act.OPEN, "c")
    todo = step(roll, sight(roll, {"b": Stand(1, ended=True, lost=True), **lost}))
    assert (todo.act, todo.volume) == (Act.OPEN, 2)
    assert keys_of(todo.roll) == ["a", "b", "c"]


def test_a_halted_account_opens_nothing_until_it_goes_on() -> None:
    roll = with_key(roll_of(MAIN, OLD, NEW, 3, 0), Act.CLOSE, "a")
    closed = sight(roll, {"a": Stand(3, ended=True)})
    halted = step(roll, replace(closed, may_open=False))
    assert (halted.act, halted.roll.phase) == (Act.WAIT, "opening")
    assert step(halted.roll, closed).act is Act.OPEN


@pytest.mark.parametrize(
    ("lots", "closing", "opening"), [(3, SELL, BUY), (-3, BUY, SELL)], ids=["long", "short"]
)
def test_orders_of_a_roll_are_market_orders_with_an_offset(
    lots: int, closing: Direction, opening: Direction
) -> None:
    roll = roll_of(MAIN, OLD, NEW, lots, 0)
    first = ticket_of(roll, Act.CLOSE, 3, "net")
    assert (first.symbol, first.direction, first.offset) == (OLD, closing, Offset.CLOSE)
    second = ticket_of(roll, Act.OPEN, 2, "net")
    assert (second.symbol, second.direction, second.offset) == (NEW, opening, Offset.OPEN)
    assert (first.volume, second.volume, first.kind, first.feed) == (3, 2, Kind.MARKET, MAIN)


# ---- any order of events


@dataclass
class Order:
    """An order of a roll at a made-up exchange."""

    act: Act
    volume: int
    filled: int = 0
    alive: bool = True
    lost: bool = False


@dataclass
class World:
    """Account, journal and exchange; what drives the roll keeps nothing else."""

    lots: int
    record: RollRecord
    orders: dict[str, Order] = field(default_factory=dict)
    now_ns: int = 0
    opens_ns: int = 10
    is_quiet: bool = False
    may_open: bool = True
    written: int = 0

    def look(self, dies_before_the_order: bool = False) -> None:
        """Take one step, as a program does; it may die between the record and its order."""
        stands = {
            key: Stand(order.filled, not order.alive, order.lost)
            for key, order in self.orders.items()
        }
        seen = Sight(self.now_ns, self.lots, self.is_quiet, self.may_open, self.opens_ns, stands)
        todo = step(self.record, seen)
        if todo.act in (Act.CLOSE, Act.OPEN):
            self.written += 1
            key = f"run.{self.written}"
            self.record = with_key(todo.roll, todo.act, key)
            if not dies_before_the_order:
                assert todo.volume > 0
                self.orders[key] = Order(todo.act, todo.volume)
        else:
            self.record = todo.roll

    @property
    def alive(self) -> list[Order]:
        return [order for order in self.orders.values() if order.alive]

    def fill(self, lots: int) -> None:
        for order in self.alive:
            traded = min(lots, order.volume - order.filled)
            order.filled += traded
            if order.act is Act.CLOSE:
                self.lots -= traded if self.lots > 0 else -traded
            order.alive = order.filled < order.volume

    def end(self, *, lost: bool) -> None:
        for order in self.alive:
            order.alive, order.lost = False, lost

    def total(self, act: Act) -> int:
        return sum(order.filled for order in self.orders.values() if order.act is act)


EVENTS: dict[str, Callable[[World], object]] = {
    "look": World.look,
    "look and die": lambda w: w.look(dies_before_the_order=True),
    "one lot fills": lambda w: w.fill(1),
    "all fills": lambda w: w.fill(10),
    "it is refused": lambda w: w.end(lost=False),
    "it is lost": lambda w: w.end(lost=True),
    "the market opens": lambda w: setattr(w, "now_ns", w.opens_ns),
    "the old contract is not quiet": lambda w: setattr(w, "is_quiet", False),
    "it is quiet": lambda w: setattr(w, "is_quiet", True),
    "the account is halted": lambda w: setattr(w, "may_open", False),
    "the account goes on": lambda w: setattr(w, "may_open", True),
}
ENDINGS = ("one lot fills", "all fills", "it is refused", "it is lost")


@given(
    lots=st.integers(-4, 4),
    events=st.lists(st.sampled_from(["look", "look", *EVENTS]), max_size=25),
    endings=st.lists(st.sampled_from(ENDINGS), max_size=15),
)
@settings(max_examples=500, deadline=None)
def test_never_more_opened_than_closed_and_one_order_at_a_time(
    lots: int, events: list[str], endings: list[str]
) -> None:
    world = World(lots, roll_of(MAIN, OLD, NEW, lots, 0))
    for event in events:
        EVENTS[event](world)
        check(world, abs(lots))
    world.is_quiet = world.may_open = True
    for ending in [*endings, *["all fills"] * 4]:  # looked at all the time, as a program does
        world.now_ns += 10
        world.look()
        EVENTS[ending](world)
        check(world, abs(lots))
        world.look()
        check(world, abs(lots))
    assert world.record.phase in ENDS
    assert world.record.closed == world.total(Act.CLOSE)
    assert world.record.opened == world.total(Act.OPEN)
    assert (world.record.phase == "done") == (world.record.opened == abs(lots))
    assert step(world.record, sight(world.record)).act is Act.WAIT  # an end is an end


def check(world: World, lots: int) -> None:
    closed, opened = world.total(Act.CLOSE), world.total(Act.OPEN)
    assert opened <= closed <= lots
    assert world.record.opened <= world.record.closed <= lots
    assert len(world.alive) <= 1
    asked = sum(order.volume for order in world.alive if order.act is Act.OPEN)
    assert asked <= closed
    if world.total(Act.OPEN) or asked:
        assert not [order for order in world.alive if order.act is Act.CLOSE]
    if world.record.phase in ENDS:
        assert not world.alive


# ---- the orders that wait


def ticket(kind: Kind, direction: Direction = SELL, volume: int = 3, **options: object) -> Ticket:
    return replace(Ticket("run.1", OLD, direction, volume, kind), **options)  # type: ignore[arg-type]


def test_prices_move_by_what_the_new_contract_costs_more() -> None:
    stop = fate(ticket(Kind.STOP, price=87_410.0), 0, DONE, -120.0, 10.0).ticket
    assert stop is not None
    assert (stop.symbol, stop.price, stop.volume, stop.key) == (NEW, 87_290.0, 3, "run.1")
    limited = ticket(Kind.STOP_LIMIT, price=87_413.5, limit=87_400.0)
    moved = fate(limited, 0, DONE, 30.0, 10.0).ticket
    assert moved is not None
    assert (moved.price, moved.limit) == (87_443.5, 87_430.0)  # a stop needs no price tick
    trail = fate(ticket(Kind.TRAIL, trail_amount=500.0), 0, DONE, 30.0, 10.0).ticket
    assert trail is not None
    assert (trail.price, trail.trail_amount) == (None, 500.0)


def test_prices_stay_on_the_grid() -> None:
    """100.1 + 0.2 is not 100.3."""
    bond = ticket(Kind.LIMIT, price=108.105)
    moved = fate(bond, 0, DONE, shift_of(108.1, 108.435, 0.005), 0.005).ticket
    assert moved is not None
    assert moved.price == 108.44


@pytest.mark.parametrize(
    ("closed", "opened", "tick", "shift"),
    [
        (87_700.0, 87_580.0, 10.0, -120.0),
        (87_703.4, 87_716.7, 10.0, 10.0),  # 13.3: averages lie between ticks
        (4_000.2, 3_950.8, 0.2, -49.4),
        (3_000.0, 3_000.0, 1.0, 0.0),
    ],
)
def test_the_shift_is_a_number_of_ticks(
    closed: float, opened: float, tick: float, shift: float
) -> None:
    assert shift_of(closed, opened, tick) == shift


def test_a_price_that_is_not_known_moves_nothing() -> None:
    assert math.isnan(shift_of(math.nan, 3_000.0, 1.0))
    assert math.isnan(average([]))


def test_average_price_weighs_lots() -> None:
    trades = [
        TradeRecord("o", str(lots), "run.1", OLD, "SELL", "CLOSE", price, lots, 0.0, 0)
        for price, lots in ((87_000.0, 1), (87_040.0, 3))
    ]
    assert average(trades) == 87_030.0


def test_orders_stay_where_nothing_was_opened() -> None:
    failed = replace(HALF_DONE, closed=0, opened=0)
    entry = ticket(Kind.LIMIT, BUY, price=87_000.0)
    stop = ticket(Kind.STOP, price=87_000.0)
    assert fate(entry, 0, failed, 0.0, 10.0).ticket == entry
    assert fate(stop, 0, failed, 0.0, 10.0).ticket == stop


def test_a_stop_for_lots_that_are_gone_ends() -> None:
    """Closed and not opened again: it would open a short position."""
    gone = replace(HALF_DONE, closed=3, opened=0)
    assert fate(ticket(Kind.STOP, price=87_000.0), 0, gone, 0.0, 10.0).ticket is None
    entry = ticket(Kind.LIMIT, BUY, price=87_000.0)
    assert fate(entry, 0, gone, 0.0, 10.0).ticket == entry


def test_a_stop_stands_for_no_more_lots_than_were_opened() -> None:
    two = fate(ticket(Kind.STOP, price=87_000.0), 0, HALF_DONE, 0.0, 10.0).ticket
    assert two is not None
    assert (two.symbol, two.volume) == (NEW, 2)
    filled = fate(ticket(Kind.LIMIT, volume=4, price=87_000.0), 1, HALF_DONE, 0.0, 10.0).ticket
    assert filled is not None
    assert filled.volume == 3  # one traded, two may still
    rest = fate(ticket(Kind.STOP, price=87_000.0), 0, replace(HALF_DONE, closed=1, opened=0), 0, 10)
    assert rest.ticket is not None
    assert (rest.ticket.symbol, rest.ticket.volume) == (OLD, 2)


def test_an_order_that_must_close_stays_with_the_lots_of_its_side() -> None:
    """Long and short of one contract: the net lots move, those that are locked stay."""
    net_long = replace(DONE, lots=2, closed=2, opened=2)
    closes_short = ticket(Kind.LIMIT, BUY, price=87_000.0, offset=Offset.CLOSE)
    assert fate(closes_short, 0, net_long, 50.0, 10.0).ticket == closes_short
    locked = replace(DONE, lots=0, closed=0, opened=0)
    closes_long = ticket(Kind.LIMIT, price=87_000.0, offset=Offset.CLOSE)
    assert fate(closes_long, 0, locked, 50.0, 10.0).ticket == closes_long
