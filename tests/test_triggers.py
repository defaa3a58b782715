"""When a stop held here goes off, and how a trailing one moves: by hand, and as Backtrader does."""

from __future__ import annotations

import math
import random
from dataclasses import asdict
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tianqin_backtrader.errors import InvalidOrder
from tianqin_backtrader.triggers import Effect, Trigger
from tianqin_backtrader.values import Direction

BUY, SELL = Direction.BUY, Direction.SELL
NOTHING, MOVED, HIT = Effect.NOTHING, Effect.MOVED, Effect.HIT


def effects(trigger: Trigger, *prices: float) -> list[Effect]:
    return [trigger.on_price(price) for price in prices]


# ---- by hand


@pytest.mark.parametrize(
    ("direction", "last", "effect"),
    [
        (BUY, 99.0, NOTHING),
        (BUY, 100.0, HIT),  # exactly at it
        (BUY, 130.0, HIT),  # a gap over it
        (SELL, 101.0, NOTHING),
        (SELL, 100.0, HIT),
        (SELL, 70.0, HIT),
    ],
)
def test_a_stop_goes_off_at_its_price_or_beyond(
    direction: Direction, last: float, effect: Effect
) -> None:
    trigger = Trigger(direction, 100.0, tick=1.0)
    assert trigger.on_price(last) is effect
    assert (trigger.price, trigger.limit) == (100.0, None)


def test_a_stop_limit_keeps_its_limit() -> None:
    trigger = Trigger(BUY, 100.0, tick=1.0, limit=102.0)
    assert effects(trigger, 80.0, 99.0, 105.0) == [NOTHING, NOTHING, HIT]
    assert (trigger.price, trigger.limit) == (100.0, 102.0)


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf, 0.0, -5.0])
@pytest.mark.parametrize("direction", Direction)
def test_a_price_that_is_none_says_nothing(price: float, direction: Direction) -> None:
    plain = Trigger(direction, 100.0, tick=1.0)
    trailing = Trigger.trailing(direction, last=100.0, tick=1.0, trail_amount=5.0)
    before = asdict(trailing)
    assert plain.on_price(price) is NOTHING
    assert trailing.on_price(price) is NOTHING
    assert asdict(trailing) == before


def test_a_trailing_sell_stop_follows_upwards_and_never_retreats() -> None:
    trigger = Trigger.trailing(SELL, last=100.0, tick=1.0, trail_amount=5.0)
    assert trigger.price == 95.0
    assert effects(trigger, 99.0, 103.0, 100.0, 103.0) == [NOTHING, MOVED, NOTHING, NOTHING]
    assert trigger.price == 98.0
    assert effects(trigger, 99.0, 98.0) == [NOTHING, HIT]


def test_a_trailing_buy_stop_follows_downwards_and_never_retreats() -> None:
    trigger = Trigger.trailing(BUY, last=100.0, tick=1.0, trail_amount=5.0)
    assert trigger.price == 105.0
    assert effects(trigger, 97.0, 99.0, 97.0) == [MOVED, NOTHING, NOTHING]
    assert trigger.price == 102.0
    assert effects(trigger, 101.0, 110.0) == [NOTHING, HIT]
    assert trigger.price == 102.0  # what hits does not move


def test_percent_trails_by_a_part_of_each_price() -> None:
    trigger = Trigger.trailing(SELL, last=100.0, tick=1.0, trail_percent=0.02)
    assert trigger.price == 98.0
    assert trigger.on_price(150.0) is MOVED
    assert trigger.price == 147.0
    trigger = Trigger.trailing(BUY, last=100.0, tick=1.0, trail_percent=0.02)
    assert (trigger.on_price(50.0), trigger.price) == (MOVED, 51.0)


def test_the_amount_counts_when_both_are_given() -> None:
    both = Trigger.trailing(SELL, last=100.0, tick=1.0, trail_amount=5.0, trail_percent=0.5)
    assert both.price == 95.0
    none = Trigger.trailing(SELL, last=100.0, tick=1.0, trail_amount=0.0, trail_percent=0.5)
    assert none.price == 50.0


def test_the_reference_is_price_then_plimit_then_last() -> None:
    given = Trigger.trailing(SELL, last=100.0, price=110.0, tick=1.0, trail_amount=5.0)
    assert given.price == 105.0
    limit = Trigger.trailing(SELL, last=100.0, plimit=90.0, tick=1.0, trail_amount=5.0)
    assert (limit.price, limit.limit) == (85.0, None)  # a StopTrail, however odd its plimit


def test_a_trailing_limit_keeps_its_distance() -> None:
    """plimit 97 is 3 below the price 100, so the limit stays 3 below the stop."""
    trigger = Trigger.trailing(
        SELL, last=101.0, price=100.0, plimit=97.0, tick=1.0, trail_amount=5.0, limited=True
    )
    assert (trigger.price, trigger.limit) == (95.0, 92.0)
    assert trigger.on_price(104.0) is MOVED
    assert (trigger.price, trigger.limit) == (99.0, 96.0)
    bare = Trigger.trailing(SELL, last=100.0, tick=1.0, trail_amount=5.0, limited=True)
    assert (bare.price, bare.limit) == (95.0, 95.0)


@pytest.mark.parametrize(
    ("direction", "stop", "limit"),
    [(BUY, 102.03, 102.0), (SELL, 98.03, 98.2)],  # no worse: down to buy, up to sell
)
def test_a_trailing_limit_is_on_the_grid(direction: Direction, stop: float, limit: float) -> None:
    percent = abs(stop - 100) / 100
    trigger = Trigger.trailing(
        direction, last=100.0, tick=0.2, trail_percent=percent, limited=True
    )  # fmt: skip
    assert trigger.price == pytest.approx(stop)
    assert trigger.limit == limit


def test_noise_of_binary_prices_neither_delays_a_stop_nor_shifts_its_limit() -> None:
    """100.2 + 0.4 is 100.60000000000001, and 100.1 - 0.2 is 99.89999999999999."""
    buy = Trigger.trailing(BUY, last=100.2, tick=0.1, trail_amount=0.4, limited=True)
    assert buy.price > 100.6
    assert buy.limit == 100.6
    assert buy.on_price(100.6) is HIT
    sell = Trigger.trailing(SELL, last=100.1, tick=0.1, trail_amount=0.2, limited=True)
    assert sell.price < 99.9
    assert sell.limit == 99.9
    assert sell.on_price(99.9) is HIT


def test_it_goes_on_from_what_was_saved() -> None:
    begun = Trigger.trailing(
        BUY, last=100.0, plimit=101.3, price=100.0, tick=1.0, trail_percent=0.0125, limited=True
    )
    assert begun.on_price(97.0) is MOVED
    restored = Trigger(**asdict(begun))
    by_hand = Trigger(
        BUY, begun.price, tick=1.0, limit=begun.limit, trail_percent=0.0125
    )  # without the unrounded distance: never worse, and by less than a tick
    assert effects(restored, 91.0, 93.0) == effects(begun, 91.0, 93.0)
    assert restored == begun
    by_hand.on_price(91.0)
    assert by_hand.price == begun.price
    assert begun.limit is not None
    assert by_hand.limit in (begun.limit, begun.limit - 1.0)


@pytest.mark.parametrize(
    "distance",
    [
        {},
        {"trail_amount": 0.0},
        {"trail_amount": -1.0},
        {"trail_amount": math.inf},
        {"trail_amount": math.nan},
        {"trail_percent": -0.01},
        {"trail_percent": 2.0},  # meant as 2 %: the stop would never go off
        {"trail_percent": math.nan},
        {"trail_amount": -1.0, "trail_percent": 0.02},
    ],
    ids=str,
)
def test_a_trailing_stop_needs_a_distance(distance: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder, match=r"expected one of them.*0\.02 is 2 %"):
        Trigger.trailing(SELL, last=100.0, tick=1.0, **distance)


def test_numbers_that_cannot_work_are_refused() -> None:
    for last in (math.nan, 0.0, -1.0, math.inf):
        with pytest.raises(InvalidOrder, match=f"price of a stop is {last}"):
            Trigger.trailing(SELL, last=last, tick=1.0, trail_amount=5.0)
    with pytest.raises(InvalidOrder, match=r"price of a stop is -20\.0"):
        Trigger.trailing(SELL, last=100.0, tick=1.0, trail_amount=120.0)
    with pytest.raises(InvalidOrder, match="plimit of a stop is nan"):
        Trigger.trailing(
            SELL, last=1.0, price=1.0, plimit=math.nan, tick=1.0, trail_amount=0.1, limited=True
        )
    for wrong in ({"price": math.nan}, {"tick": 0.0}, {"tick": math.nan}, {"limit": -1.0}):
        numbers: dict[str, Any] = {"price": 100.0, "tick": 1.0, **wrong}
        with pytest.raises(InvalidOrder, match="expected CNY: a finite number above 0"):
            Trigger(BUY, **numbers)


# ---- against Backtrader


def simulated(direction: Direction, **options: Any) -> Any:
    """Backtrader's own order, which needs no data."""
    kind = bt.BuyOrder if direction is BUY else bt.SellOrder
    return kind(size=1, simulated=True, **options)


prices = st.integers(1_000, 3_000).map(float)
distances = st.one_of(
    st.integers(1, 200).map(lambda lots: {"amount": float(lots)}),
    st.integers(1, 99).map(lambda part: {"percent": part / 1_000}),
    st.just({"amount": 30.0, "percent": 0.5}),
)


@settings(max_examples=300, deadline=None)
@given(
    direction=st.sampled_from(Direction),
    price=st.one_of(st.none(), prices),
    plimit=st.one_of(st.none(), prices),
    distance=distances,
    limited=st.booleans(),
    path=st.lists(prices, max_size=40),
)
def test_moves_as_backtraders_order(
    *, direction: Direction, price: float | None, plimit: float | None, distance: dict[str, Any],
    limited: bool, path: list[float],
) -> None:  # fmt: skip
    assume(price or plimit)  # Backtrader takes the last price from data: see the broker's test
    order = simulated(
        direction,
        price=price,
        pricelimit=plimit,
        exectype=bt.Order.StopTrailLimit if limited else bt.Order.StopTrail,
        **{f"trail{kind}": value for kind, value in distance.items()},
    )
    trigger = Trigger.trailing(
        direction, last=math.nan, tick=1.0, price=price, plimit=plimit, limited=limited,
        **{f"trail_{kind}": value for kind, value in distance.items()},
    )  # fmt: skip
    for last in path:
        stop = order.created.price
        assert trigger.price == stop
        check_limit(trigger, order.created.pricelimit if limited else None)
        beyond = last >= stop if direction is BUY else last <= stop
        if beyond or math.isclose(last, stop, rel_tol=1e-12):
            assert trigger.on_price(last) is HIT
            return
        order.trailadjust(last)
        moved = order.created.price != stop
        assert trigger.on_price(last) is (MOVED if moved else NOTHING)
    assert trigger.price == order.created.price


def check_limit(trigger: Trigger, expected: float | None) -> None:
    """Backtrader's limit, on whole prices and no worse for the trader."""
    if expected is None or trigger.limit is None:
        assert trigger.limit is expected
        return
    better = expected - trigger.limit if trigger.direction is BUY else trigger.limit - expected
    assert -1e-9 < better < 1
    assert trigger.limit == int(trigger.limit)


class OneStop(bt.Strategy):
    """Sends one order on the first bar and notes the bar that it traded on."""

    params = (("options", None), ("side", "buy"))
    filled = 0

    def next(self) -> None:
        if len(self) == 1:
            getattr(self, self.p.side)(size=1, **self.p.options)

    def notify_order(self, order: bt.Order) -> None:
        if order.status == order.Completed:
            self.filled = len(self) - 1


def filled_bar(path: list[float], side: str, options: dict[str, Any]) -> int:
    """The bar on which Backtrader's own broker executes, bars being single prices; 0: none."""
    index = pd.date_range("2019-03-05 09:01", periods=len(path), freq="min")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), path), index=index)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(OneStop, options=options, side=side)
    (strategy,) = cerebro.run()
    return int(strategy.filled)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    ("options", "distance"),
    [
        ({"trailamount": 4.0}, {"trail_amount": 4.0}),
        ({"trailpercent": 0.03}, {"trail_percent": 0.03}),
    ],
    ids=["amount", "percent"],
)
def test_goes_off_on_the_price_on_which_backtraders_broker_fills(
    seed: int, side: str, options: dict[str, float], distance: dict[str, Any]
) -> None:
    steps, path = random.Random(seed), [200.0]
    for _ in range(300):
        path.append(path[-1] + steps.choice([-1.5, -1.0, 0.0, 1.0, 1.5]))
    expected = filled_bar(path, side, {"exectype": bt.Order.StopTrail, **options})
    trigger = Trigger.trailing(Direction[side.upper()], last=path[0], tick=0.5, **distance)
    hits = (bar for bar, last in enumerate(path[1:], 1) if trigger.on_price(last) is HIT)
    assert next(hits, 0) == expected
    assert expected
