"""An order on the wire when the trading socket breaks: it is asked about, never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import backtrader as bt
import pytest
import tqsdk.connect
from support import Seen, Watcher
from test_broker import CU, EVENING, script, story

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.working import Rules

NO_RETRY_S = 0.02  # TqSdk waits 10 to 20 s before it connects again
QUICK = partial(Rules, answer_s=0.01)  # patience in keeping with a market in lock-step


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: NO_RETRY_S)


class Wire:
    """The trading socket of the client; `eat` decides which packets vanish on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, eat: Callable[[str], bool]) -> None:
        self.eaten: list[dict[str, Any]] = []
        send = tqsdk.connect.TqConnect._send_handler
        wire = self

        async def leaky(connect: Any, send_chan: Any, client: Any) -> None:
            class Client:
                async def send(self, message: str) -> None:
                    if eat(message):
                        wire.eaten.append(json.loads(message))
                    else:
                        await client.send(message)

            await send(connect, send_chan, Client())

        monkeypatch.setattr(tqsdk.connect.TqConnect, "_send_handler", leaky)


def play(exchange: LocalExchange, act: Callable[[Any], None]) -> tuple[Seen, Any]:
    seen = Seen()
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(CU, history=5))
        cerebro.addstrategy(Watcher, seen=seen, act=act)
        cerebro.run()
    return seen, broker


def test_an_order_that_was_lost_with_the_socket_is_rejected_once_the_account_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stayed Submitted for ever, and its lots with it."""
    exchange = LocalExchange(end=EVENING)
    wire = Wire(monkeypatch, lambda message: '"insert_order"' in message and not wire.eaten)

    act = script(
        (2, lambda s: s.buy(size=1)),
        (4, lambda _: exchange.drop("td", 30)),
        (20, lambda s: s.buy(size=2)),
    )
    monkeypatch.setattr("tianqin_backtrader.broker.Rules", QUICK)
    seen, broker = play(exchange, act)
    assert len(wire.eaten) == 1
    assert story(seen.orders)[:2] == [(1, "Submitted"), (1, "Rejected")]
    assert "never reached" in seen.orders[1].info.reason
    assert story(seen.orders)[-1] == (2, "Completed")
    assert broker.get_account_position(CU).net == 2


def test_a_stop_that_was_lost_with_the_socket_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange = LocalExchange(end=EVENING)
    wire = Wire(
        monkeypatch,
        lambda message: (
            '"insert_order"' in message and '"SELL"' in message.replace(" ", "") and not wire.eaten
        ),
    )

    def protect(strategy: Any) -> None:
        price = strategy.data.close[0] + 50
        strategy.sell(size=1, exectype=bt.Order.Stop, price=price)

    act = script((2, lambda s: s.buy(size=1)), (4, protect), (6, lambda _: exchange.drop("td", 30)))
    monkeypatch.setattr("tianqin_backtrader.broker.Rules", QUICK)
    seen, broker = play(exchange, act)
    assert len(wire.eaten) == 1
    assert story(seen.orders)[-1] == (2, "Completed")
    assert broker.positions() == {}
    ids = [leg["order_id"] for leg in wire.eaten]
    assert len(ids) == len(set(ids))


def test_a_cancel_that_was_lost_with_the_socket_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange = LocalExchange(end=EVENING)
    wire = Wire(monkeypatch, lambda message: '"cancel_order"' in message and not wire.eaten)
    orders: list[bt.Order] = []

    def rest(strategy: Any) -> None:
        price = strategy.data.close[0] - 900
        orders.append(strategy.buy(size=1, exectype=bt.Order.Limit, price=price))

    act = script(
        (2, rest), (4, lambda s: s.cancel(orders[0])), (6, lambda _: exchange.drop("td", 30))
    )
    seen, broker = play(exchange, act)
    assert len(wire.eaten) == 1
    assert story(seen.orders) == [(1, "Submitted"), (1, "Accepted"), (1, "Canceled")]
    assert broker.account().frozen_margin == 0


def test_a_resting_order_that_nothing_has_changed_is_not_taken_for_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TqSdk's diffs leave out what it knows already: the order seemed to be missing."""
    exchange = LocalExchange(end=EVENING)
    orders: list[bt.Order] = []

    def rest(strategy: Any) -> None:
        price = strategy.data.close[0] - 900
        orders.append(strategy.buy(size=1, exectype=bt.Order.Limit, price=price))

    def still_there(strategy: Any) -> None:
        assert orders[0].getstatusname() == "Accepted"
        strategy.cancel(orders[0])

    act = script((2, rest), (4, lambda _: exchange.drop("td", 30)), (30, still_there))
    monkeypatch.setattr("tianqin_backtrader.broker.Rules", QUICK)
    seen, broker = play(exchange, act)
    assert story(seen.orders) == [(1, "Submitted"), (1, "Accepted"), (1, "Canceled")]
    assert broker.account().frozen_margin == 0
