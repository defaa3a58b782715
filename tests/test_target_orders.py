"""execution="target" through Cerebro: TqSdk's TargetPosTask works the orders of a strategy."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import backtrader as bt
import pytest
from support import Seen, Watcher
from test_broker import CU, EVENING, IF, M, script, story

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.errors import InvalidOrder, WrongSetting
from tianqin_backtrader.model import OrderPicture, Trade

Act = Callable[[Any], None]
MORNING = datetime(2025, 9, 16, 9, 45)  # noqa: DTZ001  Beijing time; index futures have no night


def run(
    act: Act, symbol: str = CU, *, exchange: LocalExchange | None = None, **options: Any
) -> tuple[Seen, Any, dict[str, OrderPicture], list[Trade]]:
    """Run to the end; also the account's own orders and trades."""
    seen, books = Seen(), []

    class Looker(Watcher):
        def stop(self) -> None:
            channel = self.broker._store.connection.trading
            books.append((channel.orders(), channel.trades()))

    with TqStore(exchange=exchange or LocalExchange(end=EVENING)) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker("target", **options)
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(symbol, history=5))
        cerebro.addstrategy(Looker, seen=seen, act=act)
        cerebro.run()
    return seen, broker, *books[0]


def final(seen: Seen) -> dict[int, bt.Order]:
    """The last picture of each order, counted from 1."""
    refs = {ref: n for n, ref in enumerate(dict.fromkeys(o.ref for o in seen.orders), 1)}
    return {refs[order.ref]: order for order in seen.orders}


@pytest.mark.parametrize("symbol", [CU, M, IF], ids=["SHFE", "DCE", "CFFEX"])
def test_orders_of_one_bar_are_worked_one_after_the_other(symbol: str) -> None:
    """+2, then -3, then -1: each order executes its own lots, and the account ends at -2."""

    def turn(strategy: Any) -> None:
        strategy.sell(size=3)
        strategy.sell(size=1)

    market = LocalExchange(end=EVENING if symbol != IF else MORNING)
    act = script((2, lambda s: s.buy(size=2)), (4, turn))
    seen, broker, orders, trades = run(act, symbol, exchange=market)
    assert [(n, o.executed.size, o.getstatusname()) for n, o in final(seen).items()] == [
        (1, 2, "Completed"),
        (2, -3, "Completed"),
        (3, -1, "Completed"),
    ]
    assert broker.get_account_position(symbol).net == -2
    assert broker.get_account_position(symbol).long.total == 0
    bits = [bit for order in final(seen).values() for bit in order.executed.exbits]
    assert sorted((abs(bit.size), bit.price) for bit in bits) == sorted(
        (trade.volume, trade.price) for trade in trades
    )
    assert {trade.order_id for trade in trades} <= orders.keys()
    assert not [order_id for order_id in orders if order_id.startswith("PYSDK")]


def test_trades_and_profit_follow_the_executions() -> None:
    seen, broker, _, _ = run(script((2, lambda s: s.buy(size=2)), (30, lambda s: s.close())))
    bought, sold = final(seen).values()
    by_hand = (sold.executed.price - bought.executed.price) * 2 * 5
    assert seen.trades[-1].pnl == pytest.approx(by_hand)
    assert broker.getvalue() - 10_000_000 == pytest.approx(
        by_hand - bought.executed.comm - sold.executed.comm
    )


def test_a_cancel_withdraws_and_ends_the_order_when_the_task_has_ended() -> None:
    """And the next order begins only then."""
    orders: list[bt.Order] = []

    def cancel(strategy: Any) -> None:
        strategy.cancel(orders[0])
        orders.append(strategy.buy(size=1))

    act = script((2, lambda s: orders.append(s.buy(size=2))), (4, cancel))
    far = {CU: lambda direction: 88_000.0}
    seen, broker, at_exchange, _ = run(act, target_price=far)
    assert story(seen.orders)[:3] == [(1, "Submitted"), (1, "Accepted"), (2, "Submitted")]
    assert (1, "Canceled") in story(seen.orders)
    assert story(seen.orders).index((1, "Canceled")) < story(seen.orders).index((2, "Accepted"))
    assert broker.positions() == {}
    assert len(at_exchange) == 2


def test_set_target_replaces_what_is_under_way() -> None:
    """A resting target of +5 is withdrawn; -1 is reached from flat, not from +5."""

    def replace(strategy: Any) -> None:
        strategy.broker.set_target(strategy.data, -1)

    act = script((2, lambda s: s.broker.set_target(s.data, 5)), (4, replace))
    seen, broker, _, _ = run(act, target_price=lambda d: 88_000.0 if d == "BUY" else 85_000.0)
    assert [o.getstatusname() for o in final(seen).values()] == ["Canceled", "Completed"]
    assert broker.get_account_position(CU).net == -1


def test_set_target_that_is_held_already_is_no_order() -> None:
    told: list[Any] = []
    act = script(
        (2, lambda s: s.broker.set_target(s.data, 2)),
        (10, lambda s: told.append(s.broker.set_target(s.data, 2))),
        (12, lambda s: s.broker.set_target(s.data, 0)),
    )
    seen, broker, _, _ = run(act)
    assert told == [None]
    assert [o.executed.size for o in final(seen).values()] == [2, -2]
    assert broker.positions() == {}


def test_flatten_brings_every_contract_to_zero() -> None:
    act = script((2, lambda s: s.sell(size=3)), (8, lambda s: s.broker.flatten()))
    _, broker, _, _ = run(act)
    assert broker.positions() == {}


def test_a_price_function_that_gives_nan_rejects_with_tqsdks_reason_and_the_next_order_works() -> (
    None
):
    """TqSdk's task dies of it; the order says so and a fresh task takes the next one."""
    prices = iter([math.nan])

    def price(_: str) -> float:
        return next(prices, 99_000.0)

    act = script((2, lambda s: s.buy(size=1)), (6, lambda s: s.buy(size=2)))
    seen, broker, _, _ = run(act, target_price=price)
    assert [o.getstatusname() for o in final(seen).values()] == ["Rejected", "Completed"]
    assert "nan" in final(seen)[1].info.reason
    assert broker.get_account_position(CU).net == 2


def test_lack_of_money_is_told_as_margin_with_the_exchanges_reason() -> None:
    poor = LocalExchange(end=EVENING, balance_cny=1_000.0)
    seen, broker, _, _ = run(script((2, lambda s: s.buy(size=1))), exchange=poor)
    assert story(seen.orders)[-1] == (1, "Margin")
    assert "资金不足" in seen.orders[-1].info.reason
    assert broker.positions() == {}


def test_a_stop_goes_off_and_is_executed_as_a_target() -> None:
    def protect(strategy: Any) -> None:
        price = strategy.data.close[0] - 60
        strategy.sell(size=2, exectype=bt.Order.Stop, price=price)

    seen, broker, _, _ = run(script((2, lambda s: s.buy(size=2)), (3, protect)))
    stop = final(seen)[2]
    assert stop.getstatusname() == "Completed"
    assert stop.info.triggered <= stop.created.price
    assert broker.positions() == {}


@pytest.mark.parametrize(
    "write",
    [
        lambda s: s.buy(size=1, exectype=bt.Order.Limit, price=90_000),
        lambda s: s.buy(size=1, advanced="FOK"),
        lambda s: s.broker.buy_open(s.data, 1),
        lambda s: s.broker.sell_close(s.data, 1),
    ],
    ids=["limit", "FOK", "buy_open", "sell_close"],
)
def test_direct_orders_and_targets_do_not_mix(write: Act) -> None:
    def bad(strategy: Any) -> None:
        with pytest.raises(InvalidOrder, match="target"):
            write(strategy)

    seen, _, orders, _ = run(script((2, bad)))
    assert seen.orders == []
    assert orders == {}


@pytest.mark.parametrize(
    "options",
    [
        {"target_price": "MARKET"},
        {"min_volume": 2},
        {"min_volume": 5, "max_volume": 2},
        {"policy": "cheapest"},
        {"policy": "x"},
    ],
)
def test_bad_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(WrongSetting):
        TqStore().getbroker("target", **options)


def test_large_orders_are_split_between_min_and_max_volume() -> None:
    act = script((2, lambda s: s.buy(size=12)))
    rich = LocalExchange(end=EVENING, balance_cny=1e9)
    seen, broker, orders, _ = run(act, M, exchange=rich, min_volume=2, max_volume=4)
    assert broker.get_account_position(M).net == 12
    sizes = [order.volume for order in orders.values()]
    assert sum(sizes) >= 12
    assert max(sizes) <= 4
    assert final(seen)[1].executed.size == 12


def test_locking_opens_the_other_side_where_today_would_be_closed() -> None:
    act = script((2, lambda s: s.buy(size=2)), (8, lambda s: s.sell(size=2)))
    _, broker, _, _ = run(act, policy="lock")
    held = broker.get_account_position(CU)
    assert (held.long.today, held.short.today, held.net) == (2, 2, 0)
