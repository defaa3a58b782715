"""Orders from a strategy through the real TqApi to the embedded exchange and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import backtrader as bt
import pytest
from support import run

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.errors import BadPrice, BadVolume, InvalidOrder, NotStarted, WrongSetting

CU, M, IF = "SHFE.cu2511", "DCE.m2601", "CFFEX.IF2510"
DAY = date(2025, 9, 16)
EVENING = datetime(2025, 9, 15, 21, 45)  # noqa: DTZ001  Beijing time
NEXT = date(2025, 9, 17)
Act = Callable[[Any], None]


def script(*steps: tuple[int, Act]) -> Act:
    """Do something on the nth live bar, counted from 1."""
    todo = dict(steps)
    counted: Iterator[int] = iter(range(1, 100_000))

    def act(strategy: Any) -> None:
        step = todo.get(next(counted))
        if step is not None:
            step(strategy)

    return act


def story(orders: list[bt.Order]) -> list[tuple[int, str]]:
    """Status changes in the order they were told, references counted from 1."""
    refs = {ref: n for n, ref in enumerate(dict.fromkeys(order.ref for order in orders), 1)}
    return [(refs[order.ref], order.getstatusname()) for order in orders]


@pytest.mark.parametrize("symbol", [CU, M, IF], ids=["SHFE", "DCE", "CFFEX"])
def test_market_order_is_submitted_accepted_completed(symbol: str) -> None:
    """A predecessor told of Submitted only."""
    seen, broker = run(LocalExchange(end=DAY), symbol, script((3, lambda s: s.buy(size=1))), 5)
    assert story(seen.orders) == [(1, "Submitted"), (1, "Accepted"), (1, "Completed")]
    done = seen.orders[-1]
    assert (done.executed.size, done.executed.remsize) == (1, 0)
    assert done.executed.price > 0
    held = broker.get_account_position(symbol)
    assert (held.long.today, held.long.history, held.net) == (1, 0, 1)


def test_turning_over_closes_first_and_opens_the_rest() -> None:
    """Going from -2 to +1 opened 3 in a predecessor."""
    act = script((2, lambda s: s.sell(size=2)), (5, lambda s: s.buy(size=3)))
    seen, broker = run(LocalExchange(end=EVENING), CU, act, 5)
    held = broker.get_account_position(CU)
    assert (held.long.total, held.short.total) == (1, 0)
    turned = list(seen.orders[-1].executed.exbits)
    assert sum(bit.closed for bit in turned) == 2
    assert sum(bit.opened for bit in turned) == 1


def test_notify_trade_opens_and_closes_with_profit_by_the_multiplier() -> None:
    act = script((2, lambda s: s.buy(size=2)), (30, lambda s: s.close()))
    seen, broker = run(LocalExchange(end=EVENING), CU, act, 5)
    opened, closed = seen.trades[0], seen.trades[-1]
    assert opened.isopen
    assert closed.isclosed
    bought, sold = (o for o in seen.orders if o.status == bt.Order.Completed)
    by_hand = (sold.executed.price - bought.executed.price) * 2 * 5
    assert closed.pnl == pytest.approx(by_hand)
    fees = bought.executed.comm + sold.executed.comm
    assert closed.pnlcomm == pytest.approx(by_hand - fees)
    assert broker.getvalue() - 10_000_000 == pytest.approx(by_hand - fees)
    assert broker.getcash() == pytest.approx(broker.getvalue())


def test_closing_todays_lots_teaches_their_fee_where_the_offset_does_not_tell() -> None:
    """CFFEX knows one CLOSE only; closing today's lots there is many times dearer."""
    fees = []
    act = script(
        (2, lambda s: s.buy(size=2)),
        (20, lambda s: s.close()),
        (30, lambda s: fees.append(s.broker.terms.fees(IF))),
    )
    seen, _ = run(LocalExchange(end=DAY), IF, act, 5)
    (closing,) = [o for o in seen.orders if o.status == bt.Order.Completed and o.issell()]
    opening = next(o for o in seen.orders if o.status == bt.Order.Completed and o.isbuy())
    assert fees[0].close_today_cny == pytest.approx(closing.executed.comm / 2)
    assert fees[0].close_today_cny > 5 * opening.executed.comm / 2


def test_closing_five_of_three_today_and_ten_history_closes_three_and_two() -> None:
    """A predecessor sent 3 and 5, and the exchange refused the second."""

    def close_five(strategy: Any) -> None:
        held = strategy.broker.get_account_position(CU)
        assert (held.long.today, held.long.history) == (3, 10)
        strategy.sell(size=5)

    act = script(
        (2, lambda s: s.buy(size=10)),
        (480, lambda s: s.buy(size=3)),
        (485, close_five),
    )
    seen, broker = run(LocalExchange(end=NEXT), CU, act, 5)
    assert story(seen.orders)[-1] == (3, "Completed")
    held = broker.get_account_position(CU)
    assert (held.long.today, held.long.history) == (0, 8)


def test_limit_order_rests_and_a_cancel_ends_it() -> None:
    orders = []

    def place(strategy: Any) -> None:
        price = strategy.data.close[0] - 500
        orders.append(strategy.buy(size=1, exectype=bt.Order.Limit, price=price))

    act = script((2, place), (5, lambda s: s.cancel(orders[0])))
    seen, broker = run(LocalExchange(end=EVENING), CU, act, 5)
    assert story(seen.orders) == [(1, "Submitted"), (1, "Accepted"), (1, "Canceled")]
    assert broker.positions() == {}
    assert broker.account().frozen_margin == 0


def test_a_resting_close_freezes_lots_and_the_next_close_respects_it() -> None:
    def too_many(strategy: Any) -> None:
        with pytest.raises(InvalidOrder, match="frozen"):
            strategy.broker.sell_close(strategy.data, 2)
        strategy.broker.sell_close(strategy.data, 1)

    act = script(
        (2, lambda s: s.broker.buy_open(s.data, 3)),
        (5, lambda s: s.broker.sell_close(s.data, 2, price=s.data.close[0] + 500)),
        (8, too_many),
    )
    seen, broker = run(LocalExchange(end=EVENING), CU, act, 5)
    assert broker.get_account_position(CU).long.total == 2
    assert story(seen.orders)[-1] == (3, "Completed")


def test_two_closes_in_one_bar_do_not_close_the_same_lots_twice() -> None:
    def twice(strategy: Any) -> None:
        strategy.sell(size=2)
        with pytest.raises(InvalidOrder):
            strategy.broker.sell_close(strategy.data, 1)

    act = script((2, lambda s: s.buy(size=2)), (5, twice))
    seen, broker = run(LocalExchange(end=EVENING), CU, act, 5)
    assert broker.positions() == {}
    assert not [o for o in seen.orders if o.status == bt.Order.Rejected]


def test_locked_sides_are_both_told() -> None:
    act = script(
        (2, lambda s: s.broker.buy_open(s.data, 2)), (4, lambda s: s.broker.sell_open(CU, 1))
    )
    _, broker = run(LocalExchange(end=EVENING), CU, act, 5)
    held = broker.get_account_position(CU)
    assert (held.long.total, held.short.total, held.net) == (2, 1, 1)


def test_lack_of_money_is_margin_with_the_exchanges_reason() -> None:
    seen, broker = run(
        LocalExchange(end=EVENING, balance_cny=1_000.0), CU, script((2, lambda s: s.buy(size=1))), 5
    )
    assert story(seen.orders) == [(1, "Submitted"), (1, "Margin")]
    assert "资金不足" in seen.orders[-1].info.reason
    assert broker.getvalue() == 1_000.0


def test_lots_of_yesterday_become_history_and_day_orders_end_with_the_day() -> None:
    def rest(strategy: Any) -> None:
        price = strategy.data.close[0] - 4_000
        strategy.buy(size=1, exectype=bt.Order.Limit, price=price, valid=bt.Order.DAY)

    act = script((2, lambda s: s.buy(size=1)), (5, rest))
    seen, broker = run(LocalExchange(end=NEXT), CU, act, 5)
    held = broker.get_account_position(CU)
    assert (held.long.today, held.long.history) == (0, 1)
    assert story(seen.orders)[-1] == (2, "Expired")


def test_partial_fills_are_not_counted_as_cumulative() -> None:
    """More lots than the book shows: several trades, each executed once."""
    act = script((3, lambda s: s.buy(size=400)))
    seen, broker = run(LocalExchange(end=EVENING, balance_cny=1e9), M, act, 5)
    partial = [o for o in seen.orders if o.status == bt.Order.Partial]
    bits = list(seen.orders[-1].executed.exbits)
    assert len(bits) == len(partial) + (seen.orders[-1].status == bt.Order.Completed)
    assert sum(bit.size for bit in bits) == broker.get_account_position(M).net


def test_nothing_is_sent_on_history() -> None:
    refused: list[bt.Order] = []

    class Eager(bt.Strategy):
        def notify_order(self, order: bt.Order) -> None:
            refused.append(order)

        def next(self) -> None:
            if len(self) == 1:
                self.buy(size=1)

    with TqStore(exchange=LocalExchange(end=EVENING)) as store:
        cerebro = bt.Cerebro(quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(CU, history=50))
        cerebro.addstrategy(Eager)
        cerebro.run()
    assert [order.getstatusname() for order in refused] == ["Rejected"]
    assert "history" in refused[0].info.reason
    assert broker.positions() == {}


@pytest.mark.parametrize("size", [0, -1, 0.5, math.nan, math.inf, "2", None, True, 10**9])
def test_bad_volume_raises_and_sends_nothing(size: Any) -> None:
    def bad(strategy: Any) -> None:
        with pytest.raises(BadVolume, match="lots"):
            strategy.broker.buy_open(strategy.data, size)

    seen, broker = run(LocalExchange(end=EVENING), CU, script((2, bad)), 5)
    assert seen.orders == []
    assert broker.account().balance == 10_000_000


@pytest.mark.parametrize("price", [80_001, 80_000.5, math.nan, math.inf, "80000"])
def test_bad_price_raises_and_sends_nothing(price: Any) -> None:
    def bad(strategy: Any) -> None:
        with pytest.raises(BadPrice, match=str(price)):
            strategy.buy(size=1, exectype=bt.Order.Limit, price=price)

    seen, _ = run(LocalExchange(end=EVENING), CU, script((2, bad)), 5)
    assert seen.orders == []


def test_price_beyond_the_limits_is_rejected_with_the_limit() -> None:
    def beyond(strategy: Any) -> None:
        strategy.buy(size=1, exectype=bt.Order.Limit, price=1_000_000)

    seen, _ = run(LocalExchange(end=EVENING), CU, script((2, beyond)), 5)
    assert story(seen.orders) == [(1, "Rejected")]
    assert "upper limit" in seen.orders[0].info.reason


@pytest.mark.parametrize(
    "options",
    [
        {"exectype": bt.Order.Stop},
        {"exectype": bt.Order.Stop, "price": math.nan},
        {"exectype": bt.Order.StopTrail},
        {"exectype": bt.Order.StopTrail, "trailpercent": 2},
        {"exectype": bt.Order.StopLimit, "price": 80_000, "plimit": 80_001},
        {"exectype": bt.Order.Historical},
        {"exectype": bt.Order.Limit},
        {"advanced": "FIK"},
        {"price_type": "BEST"},
        {"policy": "cheap"},
        {"valid": -1},
    ],
)
def test_what_can_never_be_sent_raises(options: dict[str, Any]) -> None:
    def bad(strategy: Any) -> None:
        with pytest.raises((InvalidOrder, WrongSetting)):
            strategy.buy(size=1, **options)

    seen, _ = run(LocalExchange(end=EVENING), CU, script((2, bad)), 5)
    assert seen.orders == []


def test_halted_broker_rejects_orders_and_resumes() -> None:
    def halted(strategy: Any) -> None:
        strategy.broker.halt("checking something")
        strategy.buy(size=1)
        strategy.broker.resume()
        strategy.buy(size=1)

    seen, broker = run(LocalExchange(end=EVENING), CU, script((2, halted)), 5)
    assert story(seen.orders)[0] == (1, "Rejected")
    assert seen.orders[0].info.reason == "checking something"
    assert broker.get_account_position(CU).net == 1


def test_flatten_and_cancel_all_leave_nothing() -> None:
    def rest(strategy: Any) -> None:
        strategy.broker.buy_open(strategy.data, 1, price=strategy.data.close[0] - 500)

    act = script(
        (2, lambda s: s.broker.buy_open(s.data, 3)),
        (3, lambda s: s.broker.sell_open(s.data, 2)),
        (5, rest),
        (7, lambda s: s.broker.cancel_all()),
        (8, lambda s: s.broker.flatten()),
    )
    _, broker = run(LocalExchange(end=EVENING), CU, act, 5)
    assert broker.positions() == {}
    assert broker.account().margin == 0


def test_orders_without_a_session_say_so() -> None:
    broker = TqStore().getbroker()
    with pytest.raises(NotStarted, match="running store"):
        broker.getcash()
    with pytest.raises(NotStarted):
        broker.cancel_all()


def test_main_contract_trades_its_underlying() -> None:
    act = script((2, lambda s: s.buy(size=1)))
    seen, broker = run(LocalExchange(end=EVENING), "KQ.m@SHFE.cu", act, 5)
    assert story(seen.orders)[-1] == (1, "Completed")
    assert [symbol[:7] for symbol in broker.positions()] == ["SHFE.cu"]


def test_backtraders_analyzers_and_observers_run_on_the_account() -> None:
    names = ("TradeAnalyzer", "TimeReturn", "DrawDown", "PyFolio", "Transactions", "Returns", "SQN")

    class Swing(bt.Strategy):
        def next(self) -> None:
            if self.data.history_phase:
                return
            if len(self) % 10 == 0 and len(self) < 45:
                self.buy(size=1)
            elif len(self) % 10 == 5:
                self.close()

    with TqStore(exchange=LocalExchange(end=EVENING)) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(CU, history=5))
        cerebro.addstrategy(Swing)
        for name in names:
            cerebro.addanalyzer(getattr(bt.analyzers, name), _name=name)
        analyzers = cerebro.run()[0].analyzers
    trades = analyzers.TradeAnalyzer.get_analysis()
    assert trades.total.closed == 4
    assert trades.pnl.net.total == pytest.approx(broker.getvalue() - 10_000_000)
    assert len(analyzers.Transactions.get_analysis()) == 8


def test_an_order_of_the_last_bar_is_sent_and_its_answer_heard() -> None:
    """It left when the session closed, and nobody knew."""
    _, broker = run(LocalExchange(end=EVENING), CU, script((20, stop_after_buying)), 5)
    assert broker.get_account_position(CU).net == 1


def stop_after_buying(strategy: Any) -> None:
    strategy.buy(size=1)
    strategy.env.runstop()
