"""What a rebuilt session takes along beside bars and lots, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from datetime import datetime, time
from time import sleep
from typing import Any

import backtrader as bt
import pytest
import tqsdk.connect
from fault_stage import MORNING, M, Planner, Run, net_of, play
from support import Watcher

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.discarding import discard


@pytest.fixture(autouse=True)
def slow_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: 9_999.0)


def dead(exchange: LocalExchange) -> None:
    exchange.half_open("td")
    exchange.half_open("md")


class Aiming(Planner):
    """Wants two lots at a price far away; the fault comes, and then a price that fills."""

    params: Any = (("near", None),)

    def next(self) -> None:
        Watcher.next(self)
        now = self.data.datetime.datetime(0).time()
        if now == time(9, 5):
            self.buy(size=2)
        if now == time(9, 10):
            self.p.fault(self.p.exchange)
        if now == time(9, 15):
            self.p.near.append(True)


@pytest.mark.parametrize("fault", [dead, lambda e: e.half_open("md", 300)], ids=["both", "market"])
def test_a_target_at_work_is_withdrawn_and_begun_again(fault: Callable[..., None]) -> None:
    near: list[bool] = []
    start, end = map(datetime.fromisoformat, MORNING)
    exchange, run = LocalExchange(start=start, end=end), Run()
    run.books.of(exchange)

    def price(side: str) -> float:
        quote = store.floor.quote(M)
        far = quote["lower_limit"] if side == "BUY" else quote["upper_limit"]
        return float(quote["ask_price1" if side == "BUY" else "bid_price1"] if near else far)

    with TqStore(exchange=exchange, rebuild_after_s=0.3) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker(execution="target", target_price=price))
        cerebro.adddata(store.getdata(M, history=3))
        cerebro.addstrategy(Aiming, seen=run, exchange=exchange, fault=fault, near=near)
        cerebro.run()
    assert [o.getstatusname() for o in run.orders] == ["Submitted", "Accepted", "Completed"]
    assert "REBUILT" in run.notices
    assert len(run.books.inserted) == len(set(run.books.inserted)) > 1
    assert run.books.cancelled
    assert run.executed() == run.books.lots()
    assert net_of(exchange, M) == 2


class Cut(Planner):
    """Its trading line is lost while it holds a lot and an order rests: it wants out."""

    params: Any = (("verbs", None),)

    def next(self) -> None:
        Watcher.next(self)
        now, broker = self.data.datetime.datetime(0).time(), self.broker
        if now == time(9, 5):
            self.buy(size=1)
            limit = {"price": self.data.close[0] - 90, "exectype": bt.Order.Limit}
            self.p.verbs["rests"] = self.buy(size=1, **limit)
        if now == time(9, 10):
            self.p.exchange.drop("td", 240)
            self.pace_s = 0.06
        if now == time(9, 11):
            self.cancel(self.p.verbs["rests"])
            self.p.verbs["closes"] = broker.sell_close(self.data, 1)
            self.p.verbs["opens"] = self.buy(size=1)
        sleep(self.pace_s)


def test_what_only_reduces_waits_for_the_line_and_new_risk_does_not() -> None:
    """A rejected exit leaves a strategy in a market that it wanted to leave."""
    verbs: dict[str, bt.Order] = {}
    run = play(None, strategy=Cut, verbs=verbs)
    said = {name: [o.getstatusname() for o in run.orders if o.ref == order.ref]
            for name, order in verbs.items()}  # fmt: skip
    assert said["closes"] == ["Submitted", "Accepted", "Completed"]
    assert said["opens"] == ["Rejected"]
    assert run.reasons == ["RECONCILING: the trading connection is lost: nothing was sent"]
    assert said["rests"] == ["Submitted", "Accepted", "Canceled"]
    assert (run.net, run.exchange_net) == (0, 0)
    assert run.executed() == run.books.lots()


class Counting(Planner):
    """Counts the TqApis that are alive at the end."""

    params: Any = (("apis", None),)

    def stop(self) -> None:
        gc.collect()
        self.p.apis += [each for each in gc.get_objects() if isinstance(each, tqsdk.TqApi)]


def test_a_session_that_was_replaced_leaves_nothing_behind() -> None:
    """Each TqApi holds a tree of some megabytes, a loop and two sockets.

    Any order of the day kept it alive: TqSdk's objects know the TqApi that they are of.
    """
    gc.collect()
    before = [each for each in gc.get_objects() if isinstance(each, tqsdk.TqApi)]
    apis: list[Any] = []
    run = play(dead, strategy=Counting, apis=apis)
    assert "REBUILT" in run.notices
    assert len([api for api in apis if api not in before]) == 1


def test_discarding_waits_for_no_task() -> None:
    """A task of TqSdk waits thirty seconds for the end of its orders when it is cancelled."""

    class Api:
        _loop = asyncio.new_event_loop()

        def _clear_running_loop(self) -> tuple[None, None]:
            return None, None

        def _restore_running_loop(self, *_: Any) -> None:
            """Nothing was taken away."""

    async def stubborn() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(100)

    api = Api()
    task = api._loop.create_task(stubborn())
    api._loop.run_until_complete(asyncio.sleep(0))
    discard(api)
    assert task.done()
    assert api._loop.is_closed()
    discard(api)  # twice is once
