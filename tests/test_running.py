"""How a run ends: by a signal, an error, Ctrl-C or of itself; what becomes of its orders."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from support import Seen, Watcher
from test_broker import CU, M, script

from tianqin_backtrader import Journal, LocalExchange, Notice, TqBroker, TqStore
from tianqin_backtrader.connection import Connection
from tianqin_backtrader.errors import NotFlat, NotStarted
from tianqin_backtrader.pump import Pump
from tianqin_backtrader.sending import Sender

END = datetime(2025, 9, 15, 22, 0)  # noqa: DTZ001  Beijing time
Act = Callable[[Any], None]


class Ender(Watcher):
    """Also keeps what the store says and whether `stop` was called."""

    params: Any = (("notices", None), ("fails", None))

    def notify_store(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.p.notices.append((msg, args[0]))

    def notify_order(self, order: bt.Order) -> None:
        super().notify_order(order)
        if self.p.fails and order.status == bt.Order.Canceled:
            raise self.p.fails

    def stop(self) -> None:
        self.p.notices.append(("stop()", ""))


class Counter(bt.Analyzer):
    def __init__(self) -> None:
        self.ended: list[str] = []

    def notify_order(self, order: bt.Order) -> None:
        self.ended += [] if order.alive() else [order.getstatusname()]


class Stage:
    """One exchange; `run` trades on it with a store of its own."""

    def __init__(self, exchange: LocalExchange, journal: Path) -> None:
        self.exchange, self.journal = exchange, journal
        self.store: TqStore
        self.broker: Any
        self.cerebro: Any
        self.seen = Seen()
        self.notices: list[tuple[Any, str]] = []

    def run(
        self,
        act: Act | None,
        *,
        symbols: tuple[str, ...] = (CU,),
        fails: Any = None,
        execution: str = "direct",
        **how: Any,
    ) -> Any:
        self.seen, self.notices = Seen(), []
        self.store = TqStore(exchange=self.exchange, journal=self.journal)
        self.cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        self.broker = self.store.getbroker(execution)
        self.cerebro.setbroker(self.broker)
        for symbol in symbols:
            self.cerebro.adddata(self.store.getdata(symbol, history=5))
        heard = {"seen": self.seen, "notices": self.notices, "fails": fails}
        self.cerebro.addstrategy(Ender, act=act, **heard)
        self.cerebro.addanalyzer(Counter, _name="count")
        return self.store.run(self.cerebro, **how)

    @property
    def alive(self) -> list[str]:
        """Orders that live at the exchange, by its own books."""
        (desk,) = self.exchange._venue.exchange._desks.values()
        return [key for key, order in desk.orders.items() if order.picture()["status"] == "ALIVE"]

    @property
    def lots(self) -> int:
        (desk,) = self.exchange._venue.exchange._desks.values()
        pictures = [position.picture() for position in desk.account.positions.values()]
        return sum(p["pos_long_today"] + p["pos_short_today"] for p in pictures)

    @property
    def ends(self) -> list[tuple[str, str]]:
        """Type and end of each order that has ended."""
        last = {order.ref: order for order in self.seen.orders}.values()
        return [(o.getordername(), o.getstatusname()) for o in last if not o.alive()]

    @property
    def said(self) -> str:
        """The sentence with which the run ended."""
        (text,) = [text for msg, text in self.notices if msg == Notice.STOPPED]
        return text


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with LocalExchange(end=END) as exchange:
        yield Stage(exchange, tmp_path / "orders.sqlite")
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def rest(strategy: Any) -> None:
    """A limit order far below the market."""
    strategy.buy(exectype=bt.Order.Limit, price=strategy.data.close[0] - 800)


def send(number: int) -> Act:
    return lambda _: signal.raise_signal(number)


def stop_cerebro(strategy: Any) -> None:
    strategy.env.runstop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_withdraws_what_rests_and_everybody_hears_of_it(stage: Stage, number: int) -> None:
    """A predecessor died with its orders at the exchange."""
    (strategy,) = stage.run(script((2, rest), (5, send(number))))
    assert len(stage.seen.bars) == 5 + 5
    assert stage.ends == [("Limit", "Canceled")]
    assert stage.alive == []
    assert strategy.analyzers.count.ended == ["Canceled"]
    assert [msg for msg, _ in stage.notices] == [Notice.STARTED, Notice.STOPPED, "stop()"]
    assert signal.Signals(number).name in stage.said
    with pytest.raises(NotStarted):
        _ = stage.store.connection
    assert list(Journal(stage.journal).orders().state) == ["Canceled"]


def test_an_error_of_the_strategy_is_raised_when_nothing_is_left(stage: Stage) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError("of the strategy")

    with pytest.raises(ZeroDivisionError, match="of the strategy"):
        stage.run(script((2, rest), (5, fail)))
    assert stage.alive == []
    assert stage.broker.account().balance == pytest.approx(10_000_000)  # readable afterwards
    with pytest.raises(NotStarted):
        _ = stage.store.connection


def test_ctrl_c_inside_a_strategy_ends_as_a_signal_does(stage: Stage) -> None:
    """A notebook raises KeyboardInterrupt where its code is."""

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    (strategy,) = stage.run(script((2, rest), (5, interrupt)))
    assert stage.alive == []
    assert strategy.analyzers.count.ended == ["Canceled"]
    assert ("stop()", "") in stage.notices


def test_ctrl_c_inside_the_wait_of_tqsdk_ends_as_a_signal_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, waits = Connection.wait, []

    def interrupted(connection: Connection, deadline_s: float) -> bool:
        waits.append(deadline_s)
        if len(stage.seen.bars) == 10 and waits[0]:
            waits[0] = 0.0
            raise KeyboardInterrupt
        return wait(connection, deadline_s)

    monkeypatch.setattr(Connection, "wait", interrupted)
    stage.run(script((2, rest)))
    assert waits[0] == 0.0
    assert stage.alive == []
    assert stage.ends == [("Limit", "Canceled")]


def test_a_strategy_that_stops_cerebro_leaves_nothing_behind(stage: Stage) -> None:
    (strategy,) = stage.run(script((2, rest), (5, stop_cerebro)))
    assert len(stage.seen.bars) == 5 + 5
    assert stage.alive == []
    assert strategy.analyzers.count.ended == ["Canceled"]


def test_an_order_of_the_last_moment_is_withdrawn_too(stage: Stage) -> None:
    def act(strategy: Any) -> None:
        rest(strategy)
        signal.raise_signal(signal.SIGTERM)

    stage.run(script((2, act)))
    assert stage.alive == []
    assert stage.ends == [("Limit", "Canceled")]


def test_the_end_of_the_market_ends_the_run_of_itself(stage: Stage) -> None:
    stage.run(script((2, lambda s: s.buy())))
    assert len(stage.seen.bars) == 5 + 60
    assert stage.lots == 1


def protect(strategy: Any) -> None:
    """A stop, and a limit order that takes profit: one cancels the other."""
    close = strategy.data.close[0]
    stop = strategy.sell(exectype=bt.Order.Stop, price=close - 900)
    strategy.sell(exectype=bt.Order.Limit, price=close + 900, oco=stop)


def test_stops_are_kept_with_their_partners_and_stand_at_the_next_start(stage: Stage) -> None:
    """Cancelled with the rest, the take-profit order took the stop of the position along."""
    stage.run(script((2, lambda s: s.buy()), (4, protect), (6, send(signal.SIGTERM))))
    assert stage.ends == [("Market", "Completed")]
    assert stage.alive == []
    kept = Journal(stage.journal).orders()
    assert list(kept.phase) == ["done", "held", "parked"]
    assert list(kept.state) == ["Completed", "Accepted", "Accepted"]
    found: list[list[str]] = []
    stage.run(
        script(
            (2, lambda s: found.append(stage.alive)),
            (3, lambda s: s.cancel(stage.broker.get_orders_open()[0])),
            (5, send(signal.SIGTERM)),
        )
    )
    assert [len(each) for each in found] == [1]  # the limit order is at the exchange again
    assert sorted(stage.ends)[:2] == [("Limit", "Canceled"), ("Market", "Completed")]


def test_a_bracket_at_work_is_kept_and_an_unfilled_one_ends(stage: Stage) -> None:
    def bracket(near: float) -> Act:
        def act(s: Any) -> None:
            close = s.data.close[0]
            prices = {"limitprice": close + 900, "stopprice": close - 900}
            s.buy_bracket(price=close + near, **prices)

        return act

    stage.run(script((2, bracket(100)), (3, bracket(-500)), (6, send(signal.SIGTERM))))
    assert stage.alive == []
    kept = Journal(stage.journal).orders()
    assert list(kept.phase) == ["done", "held", "parked", "done", "done", "done"]
    assert list(kept.state) == ["Completed", "Accepted", "Accepted", *["Canceled"] * 3]


def test_a_stop_that_has_gone_off_is_sent_again_at_the_next_start(stage: Stage) -> None:
    """It protects a position: withdrawn for good, the position would stand alone."""

    def go_off(strategy: Any) -> None:
        close = strategy.data.close[0]
        strategy.sell(exectype=bt.Order.StopLimit, price=close + 900, plimit=close + 900)

    stage.run(script((2, lambda s: s.buy()), (4, go_off), (6, send(signal.SIGTERM))))
    assert stage.alive == []
    assert list(Journal(stage.journal).orders().phase) == ["done", "parked"]
    found: list[int] = []
    act = script((2, lambda s: found.append(len(stage.alive))), (4, send(signal.SIGTERM)))
    stage.run(act)
    assert found == [1]
    assert Journal(stage.journal).orders().phase[1] == "parked"  # and again


def test_flatten_closes_positions_and_keeps_nothing(stage: Stage) -> None:
    """A stop that outlived its position would open one."""
    act = script(
        (2, lambda s: s.buy(size=2)),
        (3, lambda s: s.sell(s.data1, size=3)),
        (4, protect),
        (6, send(signal.SIGTERM)),
    )
    stage.run(act, symbols=(CU, M), flatten=True)
    assert stage.lots == 0
    assert stage.broker.positions() == {}
    assert stage.alive == []
    assert Journal(stage.journal).orders().phase.unique().tolist() == ["done"]


def test_flatten_after_an_error_of_the_strategy(stage: Stage) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage.run(script((2, lambda s: s.buy(size=2)), (5, fail)), flatten=True)
    assert stage.lots == 0


@pytest.mark.parametrize("flatten", [False, True])
def test_targets_at_work_end_with_the_run(stage: Stage, flatten: bool) -> None:
    """TqSdk's tasks send orders of their own: none may outlive the run."""

    def aim(strategy: Any) -> None:
        strategy.broker.set_target(strategy.data, 400)
        signal.raise_signal(signal.SIGTERM)

    stage.run(script((2, lambda s: s.buy(size=2)), (5, aim)), execution="target", flatten=flatten)
    assert stage.alive == []
    assert Journal(stage.journal).orders().phase.unique().tolist() == ["done"]
    assert stage.lots == 0 if flatten else stage.lots >= 2


def test_lots_that_cannot_be_closed_are_told(stage: Stage) -> None:
    stage.run(script((2, lambda s: s.buy()), (4, send(signal.SIGTERM))), symbols=(M,))
    with pytest.raises(NotFlat, match=r"DCE\.m2601: 1 long, 0 short.*no feed"):
        stage.run(script((2, send(signal.SIGTERM))), flatten=True, deadline_s=2)
    assert stage.lots == 1


def test_no_order_of_a_flatten_waits_for_the_opening(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept for the next opening, it would close what the next run has bought."""

    def close_the_market(_: Any) -> None:
        monkeypatch.setattr(Sender, "is_open", lambda *_: False)
        signal.raise_signal(signal.SIGTERM)

    act = script((2, lambda s: s.buy()), (4, close_the_market))
    with pytest.raises(NotFlat, match=r"SHFE\.cu2511: 1 long, 0 short.*market is closed"):
        stage.run(act, flatten=True, deadline_s=1)
    assert Journal(stage.journal).orders().phase.unique().tolist() == ["done"]


def test_flatten_at_the_end_of_the_market_says_what_is_left(stage: Stage) -> None:
    with pytest.raises(NotFlat, match=r"SHFE\.cu2511: 1 long"):
        stage.run(script((2, lambda s: s.buy())), flatten=True)


def test_a_line_without_answers_holds_the_end_up_until_the_deadline(stage: Stage) -> None:
    """A half-open socket hung the shutdown for ever."""

    def stall(_: Any) -> None:
        stage.exchange.stall("td")
        signal.raise_signal(signal.SIGTERM)

    since = time.monotonic()
    stage.run(script((2, rest), (5, stall)), deadline_s=1.0)
    assert time.monotonic() - since < 20
    key = Journal(stage.journal).orders().key[0]
    assert f"still at the exchange: {key}" in stage.said


def test_a_second_signal_ends_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run, looks = Pump.run, []

    def look(pump: Pump, budget_s: float) -> None:
        if stage.store._run is not None and stage.store._run._is_wound:
            looks.append(budget_s)
            if len(looks) == 2:
                signal.raise_signal(signal.SIGTERM)
        run(pump, budget_s)

    def stall(_: Any) -> None:
        stage.exchange.stall("td")
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Pump, "run", look)
    stage.run(script((2, rest), (5, stall)), deadline_s=3600.0)
    assert len(looks) <= 3  # broker.stop() looks once more


def test_a_second_signal_breaks_a_strategy_that_hangs(stage: Stage) -> None:
    def hang(_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")

    stage.run(script((2, rest), (5, hang)))
    assert len(stage.seen.bars) == 5 + 5
    assert ("stop()", "") in stage.notices


def test_a_signal_before_the_first_bar_ends_the_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = Connection.open

    def open_and_hear(connection: Connection) -> None:
        enter(connection)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Connection, "open", open_and_hear)
    monkeypatch.setattr(TqBroker, "begin", lambda _: pytest.fail("orders were taken up"))
    stage.run(script((1, lambda _: pytest.fail("a bar came"))))
    assert stage.seen.bars == []


def test_nothing_is_taken_while_the_run_ends(stage: Stage) -> None:
    """A strategy that answers a cancel with a new order would keep the run from ending."""
    news: list[bt.Order] = []

    class Stubborn(Ender):
        def notify_order(self, order: bt.Order) -> None:
            super().notify_order(order)
            if order.status == bt.Order.Canceled:
                news.append(self.buy())

    stage.seen = Seen()
    store = stage.store = TqStore(exchange=stage.exchange)
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    cerebro.setbroker(store.getbroker())
    cerebro.adddata(store.getdata(CU, history=5))
    act = script((2, rest), (5, send(signal.SIGTERM)))
    cerebro.addstrategy(Stubborn, seen=stage.seen, notices=[], act=act)
    store.run(cerebro)
    assert [order.getstatusname() for order in news] == ["Rejected"]
    assert news[0].info.reason == "the run is ending"
    assert (stage.lots, stage.alive) == (0, [])


def test_a_strategy_that_fails_at_the_news_of_the_end_is_heard(stage: Stage) -> None:
    failure = ValueError("on the last news")
    with pytest.raises(ValueError, match="on the last news"):
        stage.run(script((2, rest), (5, send(signal.SIGTERM))), fails=failure)
    assert stage.alive == []


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
def test_sigusr1_halts_and_the_run_goes_on(stage: Stage) -> None:
    act = script(
        (2, rest), (4, send(signal.SIGUSR1)), (6, lambda s: s.buy()), (9, send(signal.SIGTERM))
    )
    stage.run(act)
    assert len(stage.seen.bars) == 5 + 9
    assert sorted(stage.ends) == [("Limit", "Canceled"), ("Market", "Rejected")]


def test_another_thread_has_no_handlers_and_ends_as_well(stage: Stage) -> None:
    found: list[Any] = []

    def work() -> None:
        act = script((2, rest), (5, stop_cerebro))
        seen = signal.getsignal(signal.SIGTERM)
        found.append((stage.run(act), signal.getsignal(signal.SIGTERM) == seen))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert found[0][1]
    assert stage.alive == []
