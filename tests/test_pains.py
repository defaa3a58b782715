"""What users of such adapters have suffered from, one regression test each.

The incidents stand in the public issue trackers of this adapter's predecessors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
import tqsdk.connect
from test_order_types import (
    STRAIGHT,
    A,
    Act,
    C,
    P,
    Play,
    Prices,
    S,
    Trader,
    bracket,
    buy,
    cancel,
    leave,
    market,
    moment,
    note,
    order,
    play,
    sell,
)

from tianqin_backtrader import Journal, LocalExchange, TqStore
from tianqin_backtrader.errors import InvalidOrder
from tianqin_backtrader.working import Rules

RB, CU, M, IF = "SHFE.rb2601", "SHFE.cu2511", "DCE.m2601", "CFFEX.IF2510"
FEW: dict[str, Any] = {"lots": 3, "deep": 3}
LIMIT: dict[str, Any] = {"exectype": bt.Order.Limit}
STOP: dict[str, Any] = {"exectype": bt.Order.Stop}
HOUR = ("10:31", "11:10")  # time to connect again: a market in lock-step does not wait for it


@pytest.fixture(autouse=True)
def _reconnects_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: 0.02)  # TqSdk's 10 to 20 s


def when_back(*acts: Act) -> Act:
    """Act on the first bar of an hour on which the trading line stands again."""

    def look(strategy: Trader) -> bool:
        if strategy.broker._store.connection.trading.is_down:
            return False
        for act in acts:
            act(strategy)
        return True

    return lambda strategy: strategy.waiting.append(look)


def net(strategy: Trader, symbol: str) -> int:
    return int(strategy.getposition(strategy.by[symbol]).size)


def by_another(
    direction: str, offset: str, symbol: str, volume: int, price: float, order_id: str
) -> Callable[[Trader], None]:
    """Another program writes an order on the same account."""

    def act(strategy: Trader) -> None:
        floor = strategy.p.exchange._venue.exchange
        exchange_id, instrument_id = symbol.split(".")
        (user,) = floor._desks
        pack = {
            "aid": "insert_order", "order_id": order_id, "user_id": user,
            "exchange_id": exchange_id, "instrument_id": instrument_id, "direction": direction,
            "offset": offset, "volume": volume, "price_type": "LIMIT", "limit_price": price,
            "time_condition": "GFD", "volume_condition": "ANY",
        }  # fmt: skip
        floor.insert_order(user, pack, strategy.p.exchange.now_ns)

    return act


# ---- only Submitted ever notified, `notify_trade` silent


def test_every_step_of_an_order_and_every_trade_is_notified(tmp_path: Path) -> None:
    result = play(
        market(tmp_path, {RB: Prices(3000, {"10:35": 3010})}, ("10:31", "10:38")),
        {"10:33": buy("in", RB, 2), "10:36": order("close", "out", RB)},
    )
    assert result.told("in") == STRAIGHT
    assert result.told("out") == STRAIGHT
    opened, closed = result.bt_trades
    assert opened.justopened
    assert closed.isclosed
    assert closed.pnl == pytest.approx((3009 - 3001) * 2 * 10)
    assert closed.pnlcomm == pytest.approx(160 - 4 * 3.1)  # 3.10 CNY a lot, today's too


def test_notifications_come_at_the_next_bar_without_quicknotify_too(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    class Plain(bt.Strategy):
        def notify_order(self, order: bt.Order) -> None:
            told.append((f"{self.data.datetime.datetime(0):%H:%M}", order.getstatusname()))

        def next(self) -> None:
            if f"{self.data.datetime.datetime(0):%H:%M}" == "10:33":
                self.buy(size=1)

    exchange = market(tmp_path, {RB: Prices(3000)}, ("10:31", "10:36"))
    with_store(exchange, Plain, quicknotify=False)
    assert told == [("10:34", status) for status in STRAIGHT]


def with_store(exchange: LocalExchange, strategy: Any, **options: Any) -> Any:
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False, **options)
        cerebro.setbroker(store.getbroker())
        for symbol in exchange.symbols:
            cerebro.adddata(store.getdata(symbol, history=0))
        cerebro.addstrategy(strategy)
        return cerebro.run()[0]


# ---- partial fills counted as cumulative


def test_partial_fills_are_each_counted_once_and_add_up(tmp_path: Path) -> None:
    """A limit order of 7 where three lots are shown a tick: 3, 3 and 1."""
    result = play(
        market(tmp_path, {RB: Prices(3000, **FEW)}, ("10:31", "10:36")),
        {"10:33": buy("seven", RB, 7, price=3001, **LIMIT), "10:35": order("close", "out", RB)},
    )
    assert [(n.status, n.filled, n.left) for n in result.of("seven")] == [
        (S, 0, 7),
        (A, 0, 7),
        (P, 3, 4),
        (P, 6, 1),
        (C, 7, 0),
    ]
    assert [size for size, _ in result.fills("seven")] == [3, 3, 1]
    assert [bit.psize for bit in result.orders["seven"].executed.exbits] == [3, 6, 7]
    assert [size for size, _ in result.fills("out")] == [-3, -3, -1]
    assert result.bt_trades[-1].isclosed
    assert result.bt_trades[-1].pnl == pytest.approx(-2 * 7 * 10)


# ---- fills counted twice after a reconnect


FAULTS: Mapping[str, Sequence[Callable[[LocalExchange], None]]] = {
    "trading lost": [lambda e: e.drop("td", 15)],
    "both lost": [lambda e: e.drop("td", 15), lambda e: e.drop("md", 15)],
    "killed and revived": [LocalExchange.kill, LocalExchange.revive],
    "everything repeated": [lambda e: e.repeat("td")],
    "packets reordered": [lambda e: e.reorder("td")],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_fills_are_counted_once_whatever_the_connection_does(
    tmp_path: Path, faults: Sequence[Callable[[LocalExchange], None]]
) -> None:
    """The whole picture of the account comes again after each reconnect, old trades included."""
    exchange = market(
        tmp_path,
        {RB: Prices(3000, {"10:33:20": 3005, "10:58:20": 3000}, **FEW), M: Prices(3000)},
        HOUR,
    )
    result = play(
        exchange,
        {
            "10:33": [buy("seven", RB, 7, price=3001, **LIMIT), buy("done", M, 2)],
            "10:34": lambda _: [fault(exchange) for fault in faults],
        },
    )
    assert [size for size, _ in result.fills("seven")] == [3, 3, 1]
    assert result.told("seven") == [S, A, P, P, C]
    assert result.told("done") == STRAIGHT
    assert result.held(RB) == (7, 0, 0, 0)
    assert result.held(M) == (2, 0, 0, 0)
    assert len(result.wire.sent) == 2


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that a reconnect does not show are given up after 20 ms instead of 3 s."""
    monkeypatch.setattr("tianqin_backtrader.broker.Rules", partial(Rules, answer_s=0.02))


def killed(exchange: LocalExchange) -> Act:
    """The server dies and comes back: whatever is on its way is lost, accounts stay."""

    def act(_: Trader) -> None:
        exchange.kill()
        exchange.revive()

    return act


@pytest.mark.usefixtures("impatient")
def test_orders_that_rest_through_a_reconnect_stay(tmp_path: Path) -> None:
    """TqSdk tells only what has changed: what rested as before was taken for lost, and sent again.

    A limit order was told Rejected and filled afterwards; a stop-limit stood twice.
    """
    exchange = market(tmp_path, {RB: Prices(3000, {"11:05": 2949}), M: Prices(3000)}, HOUR)
    result = play(
        exchange,
        {
            "10:33": [
                buy("limit", RB, 2, price=2950, **LIMIT),
                buy("stoplimit", M, exectype=bt.Order.StopLimit, price=3000, plimit=2950),
            ],
            "10:34": killed(exchange),
            "10:40": killed(exchange),
            "10:50": lambda _: exchange.drop("td", 20),
        },
    )
    assert len(result.sent("limit")) == len(result.sent("stoplimit")) == 1
    assert result.told("limit") == STRAIGHT
    assert result.fills("limit") == [(2, 2950)]
    assert result.told("stoplimit") == [S, A]


@pytest.mark.usefixtures("impatient")
def test_order_lost_with_the_line_ends_and_is_not_sent_again(tmp_path: Path) -> None:
    """Written in the moment that the server died: nobody has it, and nobody may wait for it.

    What was to protect a position goes out again; children of what was lost end with it.
    """
    exchange = market(tmp_path, {RB: Prices(3000), M: Prices(3000, {"10:36": 2970})}, HOUR)
    result = play(
        exchange,
        {
            "10:33": buy("held", M, 2),
            "10:34": [
                sell("protect", M, 2, price=2980, **STOP),
                killed(exchange),
                buy("lost", RB, 2),
                lambda s: s.orders.update(zip(
                    ("parent", "stop"), s.buy_bracket(data=s.by[RB], price=2990, stopprice=2950,
                                                      limitexec=None), strict=False)),
            ],
        },
    )  # fmt: skip
    assert result.told("lost") == [S, "Rejected"]
    assert result.told("parent") == [S, "Rejected"]
    assert "never reached the exchange" in result.orders["lost"].info.reason
    assert result.told("stop")[-1] == "Canceled"
    assert not [sent for sent in result.wire.sent if sent.symbol == RB]
    assert sum(size for size, _ in result.fills("protect")) == -2
    assert result.broker.positions() == {}


# ---- stale positions after a reconnect


def test_positions_after_a_reconnect_are_those_of_now(tmp_path: Path) -> None:
    """While the line was down an order filled, and another program bought."""
    exchange = market(tmp_path, {RB: Prices(3000, {"10:34:40": 2990}), M: Prices(3000)}, HOUR)
    result = play(
        exchange,
        {
            "10:33": buy("rests", RB, 2, price=2991, **LIMIT),
            "10:34": [
                lambda _: exchange.drop("td", 150),
                by_another("BUY", "OPEN", M, 3, 3001, "another"),
            ],
            "10:35": note("lost", lambda s: (net(s, RB), s.orders["rests"].getstatusname())),
            "10:36": when_back(
                note("back", lambda s: (net(s, RB), net(s, M))), order("close", "out", RB)
            ),
        },
    )
    assert result.notes["lost"] == (0, A)  # nobody can know
    assert result.notes["back"] == (2, 3)
    assert result.told("rests") == STRAIGHT
    assert result.fills("rests") == [(2, 2991)]
    assert result.legs("out") == [("SELL", "CLOSETODAY", 2)]
    assert result.held(RB) == (0, 0, 0, 0)
    assert result.held(M) == (3, 0, 0, 0)


def test_order_written_while_the_line_is_down_is_rejected_with_that_reason(tmp_path: Path) -> None:
    exchange = market(tmp_path, {RB: Prices(3000)}, HOUR)
    result = play(
        exchange,
        {
            "10:33": buy("rests", RB, price=2900, **LIMIT),
            "10:34": lambda _: exchange.drop("td", 150),
            "10:35": [buy("lost", RB), cancel("rests")],
            "10:36": when_back(buy("back", RB)),
        },
    )
    assert result.told("lost") == ["Rejected"]
    assert "connection is lost" in result.orders["lost"].info.reason
    assert result.told("rests") == [S, A, "Canceled"]  # the cancel goes out when the line stands
    assert result.told("back") == STRAIGHT


def test_stop_that_goes_off_while_the_line_is_down_is_sent_when_it_stands(tmp_path: Path) -> None:
    """Market data may flow while trading is lost: a stop that saw its price must not forget it."""
    exchange = market(tmp_path, {RB: Prices(3000, {"10:34:40": 2970})}, HOUR)
    result = play(
        exchange,
        {
            "10:33": [buy("in", RB, 2), sell("stop", RB, 2, price=2980, **STOP)],
            "10:34": lambda _: exchange.drop("td", 100),
        },
    )
    (sent,) = result.sent("stop")
    assert sent.at > "10:35:50"
    assert result.told("stop") == STRAIGHT
    assert result.fills("stop") == [(-2, 2969)]


# ---- a cancel that reaches only the first leg


def test_cancel_reaches_every_leg(tmp_path: Path) -> None:
    """Closing today's and history lots of SHFE are two exchange orders."""
    spans = ("14:58", "15:00"), ("21:00", "21:06")
    result = play(
        market(tmp_path, {RB: Prices(3000), M: Prices(3000)}, *spans),
        {
            "16 14:59": [buy("old", RB, 2), buy("old m", M, 2)],
            "16 21:02": [buy("new", RB, 3)],
            "16 21:03": [
                sell("both", RB, 5, price=3050, **LIMIT),
                sell("turn", M, 5, price=3050, **LIMIT),
            ],
            "16 21:04": [cancel("both"), cancel("turn")],
        },
    )
    assert result.legs("both") == [("SELL", "CLOSETODAY", 3), ("SELL", "CLOSE", 2)]
    assert [ref for ref, _ in result.wire.cancels].count(result.orders["both"].ref) == 2
    assert result.told("both") == [S, A, "Canceled"]
    assert result.legs("turn") == [("SELL", "CLOSE", 2)]  # the opening leg was not sent yet
    assert result.told("turn") == [S, A, "Canceled"]
    assert result.broker.account().frozen_margin == 0
    held = result.broker.get_account_position(RB).long
    assert (held.closable_today, held.closable_history) == (3, 2)


def test_cancel_and_close_in_one_bar_closes(tmp_path: Path) -> None:
    """The order that was withdrawn held the lots still: the close opened the other side instead."""
    al = "SHFE.al2511"
    paths = {RB: Prices(3000), M: Prices(3000), CU: Prices(80000), al: Prices(20000)}
    result = play(
        market(tmp_path, paths, ("10:31", "10:38")),
        {
            "10:33": [buy(f"in {symbol}", symbol, 2) for symbol in paths],
            "10:34": [
                *(sell(f"rest {s}", s, 2, price=p.price * 1.02, **LIMIT) for s, p in paths.items()),
            ],
            "10:35": [
                cancel(f"rest {RB}"),
                order("close", "close", RB),
                cancel(f"rest {M}"),
                sell("turn", M, 3),
                cancel(f"rest {CU}"),
                lambda s: s.orders.update(verb=s.broker.sell_close(CU, 2)),
            ],
            "10:36": [
                lambda s: s.broker.cancel_all(),
                lambda s: s.orders.update(flat=s.broker.flatten()[0]),
            ],
        },
    )
    assert result.legs("close") == [("SELL", "CLOSETODAY", 2)]
    assert result.legs("turn") == [("SELL", "CLOSE", 2), ("SELL", "OPEN", 1)]
    assert result.legs("verb") == [("SELL", "CLOSETODAY", 2)]
    assert result.broker.positions() == {}


# ---- closing 5 of 3 today + 10 yesterday sends 3 + 5


def test_closing_five_of_three_today_and_ten_of_yesterday_sends_three_and_two(
    tmp_path: Path,
) -> None:
    spans = ("14:58", "15:00"), ("21:00", "21:05")
    result = play(
        market(tmp_path, {RB: Prices(3000)}, *spans),
        {
            "16 14:59": buy("old", RB, 10),
            "16 21:02": buy("new", RB, 3),
            "16 21:03": order("close", "five", RB, size=5),
        },
    )
    assert result.legs("five") == [("SELL", "CLOSETODAY", 3), ("SELL", "CLOSE", 2)]
    assert result.held(RB) == (0, 8, 0, 0)


# ---- going from -2 to +1 opens 3


@pytest.mark.parametrize("symbol", [RB, M, IF], ids=["SHFE", "DCE", "CFFEX"])
def test_going_from_minus_two_to_plus_one_opens_one(tmp_path: Path, symbol: str) -> None:
    result = play(
        market(tmp_path, {symbol: Prices(3000)}, ("10:31", "10:37")),
        {
            "10:33": sell("short", symbol, 2),
            "10:35": order("order_target_size", "turn", symbol, target=1),
        },
    )
    close = "CLOSETODAY" if symbol == RB else "CLOSE"
    assert result.legs("turn") == [("BUY", close, 2), ("BUY", "OPEN", 1)]
    assert result.held(symbol) == (1, 0, 0, 0)


# ---- opening the new contract of a roll before the old one is closed


def test_roll_opens_the_new_contract_when_the_old_one_is_closed(tmp_path: Path) -> None:
    """Three lots a tick in the old book: nothing is opened before the seventh lot is closed."""
    evening = ("20:59", "21:05")
    old = Prices(3000, lots=3, deep=3, spans=(("14:57", "15:00"), evening))
    new = Prices(3050, spans=(("14:30", "15:00"), evening))  # busier on Tuesday
    exchange = market(tmp_path, {RB: old, "SHFE.rb2605": new})
    result = play(
        exchange, {"16 14:58": buy("in", "KQ.m@SHFE.rb", 7)}, ["KQ.m@SHFE.rb"], roll="auto"
    )
    sent = [(s.symbol, s.offset, s.volume) for s in result.wire.sent if s.at >= "20:59"]
    closing = [volume for symbol, offset, volume in sent if (symbol, offset) == (RB, "CLOSE")]
    assert closing == [7, 4, 1]  # what the book lacks is sent again with the next tick
    assert sent[len(closing) :] == [("SHFE.rb2605", "OPEN", 7)]
    trades = [(t.symbol, t.volume) for t in result.trades if t.offset.value != "OPEN"]
    assert trades == [(RB, 3), (RB, 3), (RB, 1)]
    assert result.held("SHFE.rb2605") == (7, 0, 0, 0)
    assert result.held(RB) == (0, 0, 0, 0)


# ---- a process in UTC reading local time


@contextmanager
def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows has no TZ")
def test_times_of_orders_do_not_depend_on_the_machines_zone(tmp_path: Path) -> None:
    """A server in UTC expired orders eight hours late, and its fills were of the wrong day."""
    spans = ("14:50", "15:00"), ("20:59", "21:04")
    told = {}
    for name in ("Asia/Shanghai", "UTC"):
        with zone(name):
            result = play(
                market(tmp_path, {RB: Prices(3000), M: Prices(3000)}, *spans),
                {
                    "14:52": [
                        buy("fill", RB),
                        buy("moment", M, price=2950, valid=moment("14:55"), **LIMIT),
                        buy("span", M, price=2940, valid=timedelta(minutes=5), **LIMIT),
                        buy("day", M, price=2930, valid=bt.Order.DAY, **LIMIT),
                        buy("night", M, price=2920, valid=moment("21:02"), **LIMIT),
                    ],
                },
            )
        ends = {n: (result.end(n).status, result.end(n).at) for n in result.orders}
        made = result.orders["fill"]
        stamps = [str(bt.num2date(day))[:19] for day in (made.created.dt, made.executed.dt)]
        until = str(bt.num2date(result.orders["moment"].valid))[:19]
        told[name] = ends, stamps, until, result.broker.getvalue()
    assert told["UTC"] == told["Asia/Shanghai"]
    ends, stamps, until, _ = told["UTC"]
    assert ends == {
        "fill": (C, "14:52:10"),
        "moment": ("Expired", "14:55:00"),
        "span": ("Expired", "14:57:10"),
        "day": ("Expired", "15:00:00"),
        "night": ("Expired", "21:02:00"),
    }
    assert stamps == ["2025-09-16 06:52:00", "2025-09-16 06:52:10"]  # UTC, as Backtrader keeps it
    assert until == "2025-09-16 06:55:00"


# ---- positions and orders that existed before the start unseen


def test_positions_of_before_the_start_are_seen_on_the_first_bar(tmp_path: Path) -> None:
    """Lots and a resting order of another program, without any journal of ours."""
    exchange = market(tmp_path, {RB: Prices(3000), M: Prices(3000)}, ("10:31", "10:42"))
    with exchange:
        play(
            exchange,
            {
                "10:33": [
                    by_another("BUY", "OPEN", RB, 3, 3001, "theirs-1"),
                    by_another("SELL", "OPEN", M, 2, 2999, "theirs-2"),
                    by_another("BUY", "OPEN", RB, 1, 2950, "theirs-3"),
                ],
                "10:34": leave,
            },
        )
        result = play(
            exchange,
            {
                "10:36": [
                    note("held", lambda s: (net(s, RB), net(s, M))),
                    note("price", lambda s: s.getposition(s.by[RB]).price),
                    note("orders", lambda s: [o.order_id for o in s.broker.external_orders()]),
                    order("close", "out", RB),
                    order("order_target_size", "more", M, target=-3),
                ],
            },
        )
    assert result.notes["held"] == (3, -2)
    assert result.notes["price"] == 3001
    assert result.notes["orders"] == ["theirs-3"]
    assert ("EXTERNAL_ORDER", True) in [(m, "theirs-3" in text) for m, text in result.notices]
    assert result.legs("out") == [("SELL", "CLOSETODAY", 3)]
    assert result.legs("more") == [("SELL", "OPEN", 1)]
    opened = [t for t in result.bt_trades if t.justopened]
    assert {(t.data.symbol, t.size) for t in opened} >= {(RB, 3), (M, -2)}
    closed = [t for t in result.bt_trades if t.isclosed]
    assert [(t.data.symbol, t.pnl) for t in closed] == [(RB, pytest.approx(-2 * 3 * 10))]


def test_orders_of_before_the_start_can_be_adopted_and_cancelled(tmp_path: Path) -> None:
    exchange = market(tmp_path, {RB: Prices(3000, {"10:37:20": 2979})}, ("10:31", "10:42"))
    with exchange:
        play(
            exchange,
            {
                "10:33": [
                    by_another("BUY", "OPEN", RB, 2, 2950, "low"),
                    by_another("BUY", "OPEN", RB, 2, 2980, "near"),
                ],
                "10:34": leave,
            },
        )
        result = play(
            exchange,
            {
                "10:36": lambda s: [
                    s.cancel(o) for o in {n.ref: n.clone for n in s.play.news}.values()
                    if o.created.price == 2950
                ],
            },
            adopt=True,
        )  # fmt: skip
    adopted = {news.clone.created.price: news.clone for news in result.news}
    assert sorted(adopted) == [2950, 2980]
    assert adopted[2950].getstatusname() == "Canceled"
    assert adopted[2980].getstatusname() == C
    assert adopted[2980].executed.size == 2
    assert result.held(RB) == (2, 0, 0, 0)


# ---- orders sent twice after a restart


def restored(result: Play, price: float) -> bt.Order:
    """What was last told of the order of an earlier run that has this price."""
    found = [
        news.clone
        for news in result.news
        if news.clone.info.get("restored") and news.clone.created.price == price
    ]
    return found[-1]


def test_orders_are_not_sent_twice_after_a_restart(tmp_path: Path) -> None:
    """A half-filled order, one that rests, one that filled while nobody looked, one that ended."""
    paths = {
        RB: Prices(3000, {"10:33:20": 3005, "10:38:20": 3000}, **FEW),
        M: Prices(3000, {"10:37:20": 2989}),
        CU: Prices(80000),
    }
    exchange, journal = market(tmp_path, paths, ("10:31", "10:42")), tmp_path / "orders.sqlite"
    with exchange:
        first = play(
            exchange,
            {
                "10:33": [
                    buy("half", RB, 7, price=3001, **LIMIT),
                    buy("rests", M, 1, price=2990, **LIMIT),
                    buy("far", M, 1, price=2900, **LIMIT),
                    buy("ended", CU, 2),
                ],
                "10:35": leave,
            },
            journal=journal,
        )
        result = play(
            exchange,
            {
                "10:37": note("held", lambda s: (net(s, RB), net(s, CU))),
                "10:39": lambda s: s.cancel(restored(s.play, 2900)),
            },
            wire=first.wire,
            journal=journal,
        )
    assert len(result.wire.sent) == 4  # of the first run
    assert result.notes["held"] == (3, 2)
    half, rests, far = (restored(result, price) for price in (3001, 2990, 2900))
    assert (half.getstatusname(), half.executed.size) == (C, 7)
    assert (rests.getstatusname(), rests.executed.size) == (C, 1)
    assert far.getstatusname() == "Canceled"
    assert not [
        n for n in result.news if n.clone.info.get("restored") and n.clone.data.symbol == CU
    ]
    assert result.held(RB) == (7, 0, 0, 0)
    with Journal(journal) as book:
        trades = book.trades()
        assert trades.groupby("symbol").volume.sum().to_dict() == {RB: 7, M: 1, CU: 2}
        assert not trades.duplicated(["order_id", "trade_id"]).any()
        assert len(book.legs()) == 4


# ---- stop and OCO orders forgotten at a restart


def test_stops_oco_pairs_and_brackets_live_through_a_restart(tmp_path: Path) -> None:
    paths = {
        RB: Prices(3000, {"10:38:20": 2979}),
        M: Prices(3000, {"10:38:20": 3021}),
        CU: Prices(80000, {"10:34:20": 80100, "10:38:20": 80040}),
        IF: Prices(4500, {"10:38:20": 4480}),
    }
    exchange, journal = market(tmp_path, paths, ("10:31", "10:42")), tmp_path / "orders.sqlite"

    def pair(s: Trader) -> None:
        low = s.buy(data=s.by[M], price=2980, **LIMIT)
        s.buy(data=s.by[M], price=3020, oco=low, **STOP)

    def protected(s: Trader) -> None:
        s.buy_bracket(data=s.by[IF], size=2, exectype=bt.Order.Market, stopprice=4485,
                      limitprice=4600)  # fmt: skip

    with exchange:
        first = play(
            exchange,
            {
                "10:33": [
                    buy("in", RB, 2),
                    sell("stop", RB, 2, price=2980, **STOP),
                    pair,
                    sell("trail", CU, exectype=bt.Order.StopTrail, trailamount=50),
                    protected,
                ],
                "10:36": leave,
            },
            journal=journal,
        )
        sent_before = len(first.wire.sent)
        result = play(exchange, {}, wire=first.wire, journal=journal)
    told = {(n.clone.data.symbol, n.clone.getordername()): n.clone for n in result.news
            if n.clone.info.get("restored")}  # fmt: skip
    ends = {key: (made.getstatusname(), made.executed.size) for key, made in told.items()}
    assert ends == {
        (RB, "Stop"): (C, -2),
        (M, "Limit"): ("Canceled", 0),
        (M, "Stop"): (C, 1),
        (CU, "StopTrail"): (C, -1),  # 80,100 at the peak: it stands at 80,050
        (IF, "Stop"): (C, -2),
        (IF, "Limit"): ("Canceled", 0),
    }
    assert {sent.at for sent in result.wire.sent[sent_before:]} == {"10:38:20"}
    assert [result.broker.get_account_position(s).net for s in paths] == [0, 1, -1, 0]


def test_day_that_ended_while_nobody_looked_is_made_up_for(tmp_path: Path) -> None:
    """A day order is over, what stands longer stands again, yesterday's lots close as such."""
    spans = ("14:56", "15:00"), ("20:59", "21:08")
    exchange = market(tmp_path, {RB: Prices(3000), M: Prices(3000), CU: Prices(80000)}, *spans)
    journal = tmp_path / "orders.sqlite"
    with exchange:
        first = play(
            exchange,
            {
                "14:57": [
                    buy("in", RB, 2),
                    buy("day", M, price=2950, valid=bt.Order.DAY, **LIMIT),
                    buy("longer", M, price=2940, **LIMIT),
                    sell("stop", CU, price=79000, valid=moment("21:02"), **STOP),
                ],
                "14:58": sell("close", RB, 2, price=3050, **LIMIT),
                "14:59": leave,
            },
            journal=journal,
        )
        sent_before = len(first.wire.sent)
        play(exchange, {"21:02": leave}, wire=first.wire)  # another program looks on
        result = play(exchange, {}, wire=first.wire, journal=journal)
    ends = {price: restored(result, price).getstatusname() for price in (2950, 2940, 79000, 3050)}
    assert ends == {2950: "Expired", 2940: A, 79000: "Expired", 3050: A}
    again = [(leg.symbol, leg.offset, leg.price) for leg in result.wire.sent[sent_before:]]
    assert sorted(again) == [(M, "OPEN", 2940), (RB, "CLOSE", 3050)]


def test_stop_whose_price_was_passed_while_nobody_looked_goes_off_at_the_start(
    tmp_path: Path,
) -> None:
    exchange = market(tmp_path, {RB: Prices(3000, {"10:35:30": 2970})}, ("10:31", "10:42"))
    journal = tmp_path / "orders.sqlite"
    with exchange:
        first = play(
            exchange,
            {
                "10:33": [buy("in", RB, 2), sell("stop", RB, 2, price=2980, **STOP)],
                "10:35": leave,
            },
            journal=journal,
        )
        play(exchange, {"10:38": leave})  # another program looks on
        result = play(exchange, {}, wire=first.wire, journal=journal)
    stop = restored(result, 2980)
    assert (stop.getstatusname(), stop.executed.size) == (C, -2)
    assert result.held(RB) == (0, 0, 0, 0)


# ---- what the account contradicts


def test_bracket_protects_no_more_than_is_held(tmp_path: Path) -> None:
    """Closed by hand meanwhile, its stop would have opened a short position."""
    paths = {M: Prices(3000, {"10:36:20": 2970}), CU: Prices(80000, {"10:36:20": 81000})}
    alone: dict[str, Any] = {"size": 2, "exectype": bt.Order.Market, "limitexec": None}
    result = play(
        market(tmp_path, paths, ("10:31", "10:40")),
        {
            "10:33": [
                bracket("buy_bracket", "m m/stop m/target", M, stopprice=2980, **alone),
                bracket("sell_bracket", "cu cu/stop cu/target", CU, stopprice=80500, **alone),
            ],
            "10:35": [
                by_another("SELL", "CLOSE", M, 2, 2999, "by hand 1"),
                by_another("BUY", "CLOSETODAY", CU, 1, 80010, "by hand 2"),
            ],
        },
    )
    assert result.end("m/stop").status == "Canceled"
    assert sum(size for size, _ in result.fills("cu/stop")) == 1
    assert result.broker.positions() == {}


def test_close_verb_on_lots_that_are_gone_says_so(tmp_path: Path) -> None:
    raised: list[Any] = []

    def close(s: Trader) -> None:
        try:
            s.broker.sell_close(s.by[RB], 2)
        except InvalidOrder as error:
            raised.append(str(error))

    result = play(
        market(tmp_path, {RB: Prices(3000)}, ("10:31", "10:40")),
        {
            "10:33": buy("in", RB, 2),
            "10:35": by_another("SELL", "CLOSETODAY", RB, 2, 2999, "by hand"),
            "10:37": close,
        },
    )
    assert "close at most 0" in raised[0]
    assert len(result.wire.sent) == 2
