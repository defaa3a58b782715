"""A run in the background: one thread for TqApi, pictures for the notebook, a clean end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from support import run

from tianqin_backtrader import BackgroundRun, LocalExchange, TqStore, connection
from tianqin_backtrader.errors import (
    NotStarted,
    SessionElsewhere,
    UnknownSymbol,
    WrongSetting,
)
from tianqin_backtrader.run_view import RunState

CU, M = "SHFE.cu2511", "DCE.m2601"
END = datetime(2025, 9, 15, 21, 30)  # noqa: DTZ001  Beijing time: thirty bars
PATIENCE_S = 60.0


class Script(bt.Strategy):
    """Calls `act(self)` on every live bar, and `told(self)` when it ends."""

    params: Any = (("act", None), ("seen", None))

    def next(self) -> None:
        if self.p.seen is not None:
            data = self.data
            self.p.seen.append((data.datetime.datetime(0), data.close[0], data.volume[0]))
        if not self.data.history_phase and self.p.act is not None:
            self.p.act(self)


def cerebro_of(
    store: TqStore,
    act: Callable[[Any], None] | None = None,
    seen: list[Any] | None = None,
    symbols: tuple[str, ...] = (CU,),
    history: int = 20,
) -> bt.Cerebro:
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    cerebro.setbroker(store.getbroker())
    for symbol in symbols:
        cerebro.adddata(store.getdata(symbol, history=history))
    cerebro.addstrategy(Script, act=act, seen=seen)
    return cerebro


def trade_now_and_then(strategy: Any) -> None:
    if len(strategy) % 5 == 0:
        (strategy.buy if len(strategy) % 2 else strategy.sell)(size=2)


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    gc.collect()
    until(lambda: not threads() & {"tianqin-run", "local-exchange"})


@pytest.fixture
def silent() -> Iterator[tuple[LocalExchange, TqStore]]:
    """A market that says nothing more, and a store that follows it."""
    with LocalExchange(end=END) as exchange:
        exchange.pause()
        with TqStore(exchange=exchange) as store:
            yield exchange, store


def test_it_is_the_same_run_as_in_the_foreground() -> None:
    plain, broker = run(LocalExchange(end=END), CU, trade_now_and_then, history=20)
    seen: list[Any] = []
    with TqStore(exchange=LocalExchange(end=END)) as store:
        background = store.run_background(cerebro_of(store, trade_now_and_then, seen))
        (strategy,) = background.wait(PATIENCE_S)
        status, positions, bars = background.status(), background.positions(), background.bars()
    assert isinstance(strategy, Script)
    assert seen == [(bar[0], bar[4], bar[5]) for bar in plain.bars]
    held = broker.get_account_position(CU)
    assert held.net != 0
    assert status.state is RunState.ENDED
    assert (status.bars, status.live_bars, status.error) == (50, 30, "")
    assert status.account == broker.account()
    assert [each.symbol for each in status.positions] == [CU]
    assert positions.loc[CU, "net"] == held.net
    assert positions.loc[CU, "margin"] == held.margin
    fills = {order.ref for order in plain.orders if order.status == order.Completed}
    assert status.trades == len(fills) == 5  # the order of the last bar came too late
    assert [f"{end:%H:%M}" for end in bars.index[-2:]] == ["21:29", "21:30"]
    assert list(bars["close"]) == [bar[1] for bar in seen]
    assert list(bars["session"].unique()) == ["afternoon", "night"]
    assert list(bars["trading_day"].unique()) == list(pd.to_datetime(["2025-09-15", "2025-09-16"]))


def test_bars_are_as_history_has_them() -> None:
    with TqStore(exchange=LocalExchange(end=END)) as store:
        background = store.run_background(cerebro_of(store, symbols=(CU, M)))
        background.wait(PATIENCE_S)
        assert background.status().bars == 2 * 50
    later = datetime(2025, 9, 15, 21, 30, 20)  # noqa: DTZ001
    with TqStore(exchange=LocalExchange(start=later)) as store:
        for symbol in (CU, M):
            pd.testing.assert_frame_equal(
                background.bars(symbol, 50), store.history(symbol, n=50), check_dtype=False
            )
    with pytest.raises(WrongSetting, match=r"SHFE\.xx"):
        background.bars("SHFE.xx")


def test_tqapi_lives_in_one_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[tuple[str, str]] = set()
    made: Any = connection._Session

    class Watched(made):
        def __getattribute__(self, name: str) -> Any:
            used.add((name, threading.current_thread().name))
            return super().__getattribute__(name)

    with TqStore(exchange=LocalExchange(end=END)) as store:
        store.history(CU, n=1)  # opens a session in this thread, which must not be the run's
        monkeypatch.setattr(connection, "_Session", Watched)
        background = store.run_background(cerebro_of(store, trade_now_and_then))
        while background.status().state is not RunState.ENDED:
            background.status(), background.positions(), background.chart(), repr(background)
            background._repr_html_()
            time.sleep(0.01)
        background.wait(PATIENCE_S)
    assert {"_pending_diffs", "wait_update", "close", "insert_order"} <= {name for name, _ in used}
    assert {thread for _, thread in used} == {"tianqin-run"}


# ---- its end


def test_what_the_strategy_raised_is_kept_and_raised_by_wait() -> None:
    error = ZeroDivisionError("half of nothing")

    def fail(strategy: Any) -> None:
        if len(strategy) == 25:
            raise error

    store = TqStore(exchange=LocalExchange(end=END))
    background = store.run_background(cerebro_of(store, fail))
    with pytest.raises(ZeroDivisionError) as caught:
        background.wait(PATIENCE_S)
    assert caught.value is error
    status = background.status()
    assert (status.state, status.bars) == (RunState.FAILED, 25)
    assert status.error == "ZeroDivisionError: half of nothing"
    assert "half of nothing" in background._repr_html_()
    assert status.account is not None


def test_a_feed_that_cannot_start_is_told_by_wait() -> None:
    with TqStore(exchange=LocalExchange(end=END)) as store:
        background = store.run_background(cerebro_of(store, symbols=("SHFE.xx2511",)))
        with pytest.raises(UnknownSymbol):
            background.wait(PATIENCE_S)
        status = background.status()
        assert (status.state, status.bars) == (RunState.FAILED, 0)


def test_stop_works_within_a_second_in_silence(silent: tuple[LocalExchange, TqStore]) -> None:
    """The best of three: other programs may hold the machine meanwhile."""
    _, store = silent
    took: list[float] = []
    while len(took) < 3 and min(took, default=1.0) >= 1.0:
        background = store.run_background(cerebro_of(store))
        until(lambda run=background: run.status().bars == 20)  # type: ignore[misc]
        began = time.monotonic()
        assert background.stop()
        took.append(time.monotonic() - began)
        assert background.status().state is RunState.STOPPED
        assert isinstance(background.wait(1)[0], Script)
        assert background.stop()  # again does nothing
    assert min(took) < 1.0


def test_a_run_that_is_stopped_before_it_began_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cerebro forgets at its start that it was to stop."""
    asked = threading.Event()
    begin = bt.Cerebro.run

    def late(cerebro: Any) -> Any:
        asked.wait(PATIENCE_S)
        return begin(cerebro)

    monkeypatch.setattr(bt.Cerebro, "run", late)
    with TqStore(exchange=LocalExchange()) as store:  # has no end of its own
        background = store.run_background(cerebro_of(store))
        assert not background.stop(timeout_s=0)
        asked.set()
        background.wait(PATIENCE_S)
        assert background.status().state is RunState.STOPPED


def test_the_last_moment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What trades after the last look at the account, before the session closes."""
    monkeypatch.setattr("tianqin_backtrader.run_watch.LOOK_NS", 2**62)
    with TqStore(exchange=LocalExchange(end=END)) as store:
        background = store.run_background(cerebro_of(store, trade_now_and_then))
        background.wait(PATIENCE_S)
    status = background.status()
    assert status.trades == 5
    assert len(status.positions) == 1
    assert status.account is not None


def test_waiting_has_an_end(silent: tuple[LocalExchange, TqStore]) -> None:
    _, store = silent
    background = store.run_background(cerebro_of(store))
    with pytest.raises(TimeoutError, match="still goes on"):
        background.wait(0.05)
    assert background.stop()


@pytest.mark.parametrize("first", ["stopped", "failed", "ended"])
def test_a_second_run_works(first: str) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    with LocalExchange(end=END) as exchange, TqStore(exchange=exchange) as store:
        if first != "ended":
            exchange.pause()
        background = store.run_background(cerebro_of(store, fail if first == "failed" else None))
        if first == "stopped":
            until(lambda: background.status().bars == 20)
            background.stop()
        exchange.resume()
        if first == "ended":
            background.wait(PATIENCE_S)
        if first == "failed":
            with pytest.raises(ZeroDivisionError):
                background.wait(PATIENCE_S)
        seen: list[Any] = []
        again = store.run_background(cerebro_of(store, seen=seen, history=10))
        again.wait(PATIENCE_S)
        assert again.status().state is RunState.ENDED
        assert seen[-1][0] == END
        assert len({bar[0] for bar in seen}) == len(seen) >= 10


def test_an_exchange_that_ended_with_its_store_is_not_replaced_in_silence() -> None:
    """A second run on a made-up market instead of the one that was asked for misled."""
    with TqStore(exchange=LocalExchange(end=END)) as store:
        store.run_background(cerebro_of(store)).wait(PATIENCE_S)
        again = store.run_background(cerebro_of(store))
        with pytest.raises(WrongSetting, match="its day is over"):
            again.wait(PATIENCE_S)


def test_the_store_s_end_is_the_run_s() -> None:
    with TqStore() as store:
        background = store.run_background(cerebro_of(store))
    assert background.status().state is RunState.STOPPED
    with pytest.raises(NotStarted):
        _ = store.connection


def test_a_forgotten_run_ends() -> None:
    store = TqStore()
    store.run_background(cerebro_of(store))  # nobody keeps the handle
    gc.collect()
    until(lambda: "tianqin-run" not in threads())


ENDS_WITHOUT_A_WORD = """
import backtrader as bt
from tianqin_backtrader import TqStore
store = TqStore()
cerebro = bt.Cerebro(tz=0, stdstats=False)
cerebro.setbroker(store.getbroker())
cerebro.adddata(store.getdata("SHFE.cu2511", history=10))
cerebro.addstrategy(bt.Strategy)
background = store.run_background(cerebro)
while background.status().live_bars < 3:
    pass
print(background.status().state.value, flush=True)
"""


def test_a_program_that_ends_takes_the_run_along() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", ENDS_WITHOUT_A_WORD],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "running"
    assert "Traceback" not in done.stderr
    assert "Fatal" not in done.stderr


# ---- the notebook meanwhile


def test_a_notebook_s_event_loop_stays_free() -> None:
    async def notebook() -> tuple[int, bool]:
        loop = asyncio.get_running_loop()
        with TqStore(exchange=LocalExchange(end=END)) as store:
            store.history(CU, n=10)  # in the notebook's own thread, inside of its loop
            background = store.run_background(cerebro_of(store, trade_now_and_then))
            turns = 0
            while not background.status().state.is_final:
                await asyncio.sleep(0.001)
                turns += 1
        return turns, loop is asyncio.get_running_loop()

    turns, is_same = asyncio.run(notebook())
    assert turns > 20
    assert is_same


def test_the_session_belongs_to_the_run(silent: tuple[LocalExchange, TqStore]) -> None:
    exchange, store = silent
    cerebro = cerebro_of(store)
    broker = cerebro.broker
    background = store.run_background(cerebro)
    until(lambda: background.status().bars == 20)
    for use in (broker.getcash, store.start, lambda: store.connection):
        with pytest.raises(SessionElsewhere, match="background"):
            use()
    with pytest.raises(SessionElsewhere, match="another run"):
        store.run_background(cerebro_of(store))
    assert background.call(broker.getcash) == 10_000_000.0
    assert background.call(lambda: threading.current_thread().name) == "tianqin-run"
    with pytest.raises(ZeroDivisionError):
        background.call(lambda: 1 / 0)
    assert list(store.history(CU, n=20)["close"]) == list(background.bars()["close"])
    assert len(store.ticks(CU, 5)) == 5
    assert store.contracts("cu")["main"].sum() == 1
    exchange.resume()
    background.wait(PATIENCE_S)
    with pytest.raises(NotStarted):
        background.call(broker.getcash)
    assert broker.getcash() == 10_000_000.0  # the last picture, in any thread


def test_orders_can_be_written_from_the_notebook(silent: tuple[LocalExchange, TqStore]) -> None:
    exchange, store = silent
    cerebro = cerebro_of(store)
    background = store.run_background(cerebro)
    until(lambda: background.status().bars == 20)
    background.call(lambda: cerebro.broker.buy_open(CU, 1, price=80_000.0))
    exchange.resume()
    background.wait(PATIENCE_S)
    assert background.status().state is RunState.ENDED


def test_status_is_a_picture_that_does_not_change(silent: tuple[LocalExchange, TqStore]) -> None:
    exchange, store = silent
    background = store.run_background(cerebro_of(store, trade_now_and_then))
    until(lambda: background.status().bars == 20)
    before = background.status()
    text = str(before)
    exchange.resume()
    background.wait(PATIENCE_S)
    assert str(before) == text
    assert str(background.status()) != text
    assert "20 (0 live)" in text
    assert "SHFE.cu2511 2025-09-15 15:00:00" in text


def test_the_chart_shows_bars_and_fills() -> None:
    with TqStore(exchange=LocalExchange(end=END)) as store:
        background = store.run_background(cerebro_of(store, trade_now_and_then))
        background.wait(PATIENCE_S)
        figure = background.chart(n=40)
    candles, _, bought, sold = figure.data
    bars = background.bars(n=40)
    assert list(candles.close) == list(bars["close"])
    assert (candles.x[0], candles.x[-1]) == ("2025-09-15 14:51", "2025-09-15 21:30")
    assert len(bought.x) + len(sold.x) == background.status().trades == 5
    lows, highs = (
        dict(zip(candles.x, candles.low, strict=True)),
        dict(zip(candles.x, candles.high, strict=True)),
    )
    for trace in (bought, sold):
        for bar, price in zip(trace.x, trace.y, strict=True):
            assert lows[bar] - 20 <= price <= highs[bar] + 20  # a book of one tick beside it


def test_a_run_that_has_no_bar_yet_has_an_empty_chart(
    silent: tuple[LocalExchange, TqStore],
) -> None:
    _, store = silent
    background = store.run_background(cerebro_of(store))
    assert isinstance(background, BackgroundRun)
    assert background.chart().data is not None
    background.stop()
