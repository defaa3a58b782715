"""A run of Cerebro in a thread of its own, for notebooks.

TqApi is made, used and closed in that thread alone; the notebook sees pictures that its thread took
(`run_view`). Whoever has a question for the session leaves it here, and it is answered between two
rounds of Cerebro.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import backtrader as bt
import pandas as pd

from .candles import candlestick
from .clock import monotonic_ns
from .errors import GatewayTimeout, NotStarted
from .live_chart import keep_drawing
from .run_view import RunState, RunStatus, RunView, position_frame
from .run_watch import RoundWatch

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["BackgroundRun", "Worker"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
STEP_S = 0.2
ENDS_S = 30.0  # how long a run may take to end when its store is closed
ANSWER_S = 60.0  # how long a question may wait: TqSdk's 30 s, and the round before

T = TypeVar("T")


class BackgroundRun:
    """The handle of a run in the background; made by `TqStore.run_background`.

    A run that nobody holds a handle of any more is stopped, and so is one that still goes on when
    the program ends.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker, self._view = worker, worker.view
        self._forgotten = weakref.finalize(self, worker.ask)
        self._forgotten.atexit = False  # the store sees to it
        worker.start()

    # ---- looking

    def status(self) -> RunStatus:
        """The run as it was a moment ago (0.2 s, or since the last bar)."""
        return self._view.status()

    def positions(self) -> pd.DataFrame:
        """What the account holds, by contract: lots, average opening prices, profit, margin."""
        return position_frame(self.status().positions)

    def bars(self, symbol: str | None = None, n: int = 200) -> pd.DataFrame:
        """The newest bars of a feed, the first one's by default, as `store.history` has them."""
        return self._view.bars(symbol, n)[1]

    def chart(self, symbol: str | None = None, n: int = 200, colors: str = "red_up") -> Any:
        """Candlesticks of a feed's newest bars with the account's fills, a plotly `Figure`.

        symbol: None for the first feed; colors: see `candlestick`. Raises `WrongSetting` for a
        feed that is not there, `ConfigError` without plotly.
        """
        return _drawn(self._view, symbol, n, colors)

    def show(
        self,
        symbol: str | None = None,
        n: int = 200,
        colors: str = "red_up",
        every_s: float = 1.0,
    ) -> None:
        """Draw the chart below the notebook's cell and draw it anew while the run goes on.

        Returns at once. Raises `ConfigError` outside of a notebook, otherwise as `chart`.
        """
        view, worker = self._view, self._worker
        keep_drawing(lambda: _drawn(view, symbol, n, colors), worker, every_s)

    # ---- asking

    def call(self, act: Callable[[], T]) -> T:
        """Let the run's thread do `act` between two rounds, such as `broker.cancel_all`.

        Returns what it returns and raises what it raises; `NotStarted` when the run is over,
        `GatewayTimeout` when it has not answered within a minute.
        """
        return self._worker.call(act)

    def stop(self, timeout_s: float = ENDS_S) -> bool:
        """Ask the run to end and wait for it; False if it has not ended by then.

        It ends with its round, at most `qcheck` of a feed (0.5 s) later. What the strategy raised
        is raised by `wait` only.
        """
        return self._worker.end(timeout_s)

    def wait(self, timeout_s: float | None = None) -> list[Any]:
        """Wait for the end; returns Cerebro's strategies. Ctrl-C ends the waiting, not the run.

        Raises what ended the run, or `TimeoutError` if it still goes on after `timeout_s`.
        """
        return self._worker.wait(timeout_s)

    def __repr__(self) -> str:
        status = self.status()
        return f"BackgroundRun({status.state.value}, {status.bars} bars)"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()


class Worker(threading.Thread):
    """The thread of a run, and the only one that touches the store's session meanwhile."""

    def __init__(self, store: TqStore, cerebro: bt.Cerebro) -> None:
        super().__init__(name="tianqin-run", daemon=True)
        self.view = RunView()
        self._store, self._cerebro = store, cerebro
        self._watch = RoundWatch(store, cerebro, self.view, self._between)
        self._questions: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._asked, self._is_over = threading.Event(), False
        self._gate = threading.Lock()  # between the last question and the end
        self._strategies: list[Any] = []
        self._error: BaseException | None = None

    # ---- any thread

    def ask(self) -> None:
        """Ask the run to end; waits for nothing."""
        self._asked.set()
        if not self.view.status().state.is_final:
            self.view.change(state=RunState.STOPPING)
        self._cerebro.runstop()

    def end(self, timeout_s: float = ENDS_S) -> bool:
        """Ask and wait; False if it has not ended by then, or if it asks itself."""
        self.ask()
        if threading.current_thread() is self:
            return False
        self._await(timeout_s)
        if self.is_alive():
            logger.warning("the run in the background has not ended after %g s", timeout_s)
        return not self.is_alive()

    def wait(self, timeout_s: float | None) -> list[Any]:
        self._await(timeout_s)
        if self.is_alive():
            raise TimeoutError(f"the run still goes on after {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        return self._strategies

    def _await(self, timeout_s: float | None) -> None:
        """Join in small steps: Windows lets nobody interrupt a long one."""
        ends_ns = None if timeout_s is None else monotonic_ns() + int(timeout_s * SECOND_NS)
        while self.is_alive() and (ends_ns is None or monotonic_ns() < ends_ns):
            self.join(STEP_S if timeout_s is None else min(timeout_s, STEP_S))

    def call(self, act: Callable[[], T]) -> T:
        """Let the run's thread do `act`; see `BackgroundRun.call`."""
        if threading.current_thread() is self:
            return act()
        answer: Future[T] = Future()
        with self._gate:
            if self._is_over:
                raise NotStarted("a question to a run that is over")
            self._questions.put((act, answer))
        done, _ = futures.wait([answer], ANSWER_S)
        if not done:
            raise GatewayTimeout(f"the run has not answered within {ANSWER_S:.0f} s")
        return answer.result()

    # ---- the run's own thread

    def run(self) -> None:
        self._cerebro.addstore(self._watch)
        state = RunState.FAILED
        try:
            self._strategies = self._go()
            state = RunState.STOPPED if self._asked.is_set() else RunState.ENDED
        except BaseException as error:  # noqa: BLE001 - whatever it was, `wait` raises it
            self._error = error
            text = f"{type(error).__name__}: {error}"
            logger.warning("the run in the background failed: %s", text)
            self.view.change(error=text)
        finally:
            self._watch.look(now=True)
            self._cerebro.stores.remove(self._watch)
            self._close()
            self.view.change(state=state)

    def _go(self) -> list[Any]:
        return list(self._store.run(self._cerebro))

    def _close(self) -> None:
        with self._gate:
            self._is_over = True
        try:
            self._store.stop()
        except Exception:
            logger.exception("the session of the run did not close cleanly")
        with suppress(Empty):
            while True:
                _, answer = self._questions.get_nowait()
                answer.set_exception(NotStarted("a question to a run that is over"))

    def _between(self) -> None:
        """Between two rounds: stop, or answer what was asked."""
        if self._asked.is_set():
            self._cerebro.runstop()  # a run that begins forgets what it was told before
            return
        with suppress(Empty):
            while True:
                act, answer = self._questions.get_nowait()
                try:
                    answer.set_result(act())
                except BaseException as error:  # noqa: BLE001 - the asker's
                    answer.set_exception(error)


def _drawn(view: RunView, symbol: str | None, n: int, colors: str) -> Any:
    name, bars = view.bars(symbol, n)
    return candlestick(bars, title=name, trades=view.trades(name), colors=colors)
