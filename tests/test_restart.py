"""What was there before a run: another store on the same account and journal takes up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from support import Seen, Watcher
from test_broker import CU, EVENING, M, script

from tianqin_backtrader import Journal, LocalExchange, Notice, TqStore
from tianqin_backtrader.errors import JournalTaken
from tianqin_backtrader.model import Direction, Offset

Act = Callable[[Any], None]


class Looker(Watcher):
    """Also keeps what the store says, and how many bars had come when it said so."""

    params: Any = (("notices", None), ("stop_after", 0))

    def notify_store(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.p.notices.append((len(self), msg, args, kwargs))

    def next(self) -> None:
        super().next()
        live = len(self.p.seen.bars) - self.p.seen.history
        if self.p.stop_after and live >= self.p.stop_after:
            self.env.runstop()


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(end=EVENING) as market:
        yield market


def trade(
    exchange: LocalExchange,
    journal: Path | None,
    act: Act | None,
    bars: int,
    symbol: str = CU,
    **options: Any,
) -> tuple[Seen, list[Any], Any]:
    """Trade for some bars; what was seen, the notices, and the broker."""
    seen = Seen()
    notices: list[Any] = []
    with TqStore(exchange=exchange, journal=journal) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker(**options)
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(symbol, history=5))
        cerebro.addstrategy(Looker, seen=seen, act=act, notices=notices, stop_after=bars)
        cerebro.run()
    return seen, notices, broker


def test_positions_of_before_are_a_filled_order_and_an_open_trade(exchange: LocalExchange) -> None:
    """Positions that existed before the start were unseen: no trade was ever closed."""
    first, _, _ = trade(exchange, None, script((2, lambda s: s.buy(size=3))), 4)
    paid = first.orders[-1].executed.price
    seen, _, broker = trade(exchange, None, script((3, lambda s: s.close())), 6)
    opening, closing = seen.orders[0], seen.orders[-1]
    assert opening.info.opening
    assert (opening.executed.size, opening.getstatusname()) == (3, "Completed")
    assert opening.executed.price == pytest.approx(paid)
    opened, closed = seen.trades[0], seen.trades[-1]
    assert (opened.size, opened.isopen, closed.isclosed) == (3, True, True)
    assert closed.pnl == pytest.approx((closing.executed.price - paid) * 3 * 5)
    assert broker.positions() == {}


def test_a_resting_order_of_an_earlier_run_lives_on_and_can_be_cancelled(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    def rest(strategy: Any) -> None:
        price = strategy.data.close[0] - 800
        strategy.buy(size=2, exectype=bt.Order.Limit, price=price)

    path = tmp_path / "orders.sqlite"
    trade(exchange, path, script((2, rest)), 4)

    def cancel(strategy: Any) -> None:
        (order,) = strategy.broker._desk.alive
        assert (order.info.restored, order.getstatusname(), order.created.size) == (
            True,
            "Accepted",
            2,
        )
        strategy.cancel(order)

    seen, notices, broker = trade(exchange, path, script((2, cancel)), 4)
    assert [order.getstatusname() for order in seen.orders] == ["Accepted", "Canceled"]
    assert not [each for each in notices if each[1] == Notice.JOURNAL_DIFFERENCE]
    assert broker.account().frozen_margin == 0
    assert list(Journal(path).orders().state) == ["Canceled"]


def test_a_stop_and_its_oco_partner_stand_again_and_go_off(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    """Stops and OCO orders were forgotten at a restart."""

    def protect(strategy: Any) -> None:
        close = strategy.data.close[0]
        stop = strategy.sell(size=2, exectype=bt.Order.Stop, price=close - 40)
        strategy.sell(size=2, exectype=bt.Order.Limit, price=close + 900, oco=stop)

    path = tmp_path / "orders.sqlite"
    act = script((2, lambda s: s.buy(size=2)), (3, protect))
    first, _, _ = trade(exchange, path, act, 3)
    assert not [order for order in first.orders if order.info.get("triggered")]
    seen, _, broker = trade(exchange, path, None, 0)
    ended = {o.getordername(): o.getstatusname() for o in seen.orders if not o.info.get("opening")}
    assert ended == {"Stop": "Completed", "Limit": "Canceled"}
    assert broker.positions() == {}
    assert Journal(path).trades().volume.sum() == 4


def test_a_bracket_stands_again_with_parent_and_children(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    def bracket(strategy: Any) -> None:
        close = strategy.data.close[0]
        strategy.buy_bracket(size=1, price=close - 30, stopprice=close - 500, limitprice=close + 20)

    path = tmp_path / "orders.sqlite"
    first, _, _ = trade(exchange, path, script((2, bracket)), 2)
    assert {order.getstatusname() for order in first.orders} <= {"Submitted", "Accepted"}
    seen, _, broker = trade(exchange, path, None, 0)
    last = {order.ref: order.getstatusname() for order in seen.orders}
    assert list(last.values()) == ["Completed", "Canceled", "Completed"]
    assert broker.positions() == {}


def test_what_others_did_meanwhile_is_told_before_the_first_bar(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    path = tmp_path / "orders.sqlite"
    trade(exchange, path, script((2, lambda s: s.buy(size=2))), 4)

    def others(strategy: Any) -> None:
        strategy.broker.buy_open(strategy.data, 3)
        price = strategy.data.close[0] + 900
        strategy.broker.sell_close(strategy.data, 1, price=price)

    trade(exchange, None, script((2, others)), 4)
    _, notices, _ = trade(exchange, path, None, 2)
    differences = [each for each in notices if each[1] == Notice.JOURNAL_DIFFERENCE]
    (length, _, (text,), _) = differences[0]
    assert length == 0
    assert "5 long" in text
    assert "expects 2" in text
    (order,) = [each[3]["order"] for each in notices if each[1] == Notice.EXTERNAL_ORDER]
    assert (order.symbol, order.direction, order.offset) == (CU, Direction.SELL, Offset.CLOSETODAY)


def test_an_order_of_another_program_is_listed_adopted_and_cancelled(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    def others(strategy: Any) -> None:
        price = strategy.data.close[0] - 900
        strategy.broker.buy_open(strategy.data, 3, price=price)

    trade(exchange, None, script((2, others)), 4)

    def adopt(strategy: Any) -> None:
        (picture,) = strategy.broker.external_orders()
        order = strategy.broker.adopt(picture)
        assert strategy.broker.external_orders() == []
        assert (order.created.size, order.created.price) == (3, picture.price)
        strategy.cancel(order)

    path = tmp_path / "orders.sqlite"
    seen, _, broker = trade(exchange, path, script((2, adopt)), 5)
    assert [order.getstatusname() for order in seen.orders] == ["Accepted", "Canceled"]
    assert broker.account().frozen_margin == 0
    assert list(Journal(path).legs().state) == ["finished"]


def test_adopting_at_the_start_follows_all_of_them(exchange: LocalExchange) -> None:
    def others(strategy: Any) -> None:
        for below in (900, 910):
            strategy.broker.buy_open(strategy.data, 1, price=strategy.data.close[0] - below)

    trade(exchange, None, script((2, others)), 4)
    seen, _, broker = trade(
        exchange, None, script((2, lambda s: s.broker.cancel_all())), 5, adopt=True
    )
    assert sorted(order.getstatusname() for order in seen.orders) == [
        "Accepted",
        "Accepted",
        "Canceled",
        "Canceled",
    ]
    assert broker.account().frozen_margin == 0


def test_an_order_whose_contract_no_feed_follows_is_told_and_left_alone(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    def protect(strategy: Any) -> None:
        price = strategy.data.close[0] - 900
        strategy.sell(size=1, exectype=bt.Order.Stop, price=price)

    path = tmp_path / "orders.sqlite"
    trade(exchange, path, script((2, protect)), 3)
    seen, notices, _ = trade(exchange, path, None, 3, symbol=M)
    assert [each[1] for each in notices] == [Notice.STARTED, Notice.ORDER_UNFOLLOWED]
    assert seen.orders == []
    again, _, _ = trade(exchange, path, None, 3)
    assert [order.getordername() for order in again.orders] == ["Stop"]


def test_a_second_program_on_the_same_journal_is_refused(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    path = tmp_path / "orders.sqlite"
    with TqStore(exchange=exchange, journal=path) as first:
        first.start()
        assert first.journal is not None
        with TqStore(exchange=exchange, journal=path) as second:
            second.start()
            with pytest.raises(JournalTaken, match="orders"):
                second.journal  # noqa: B018
