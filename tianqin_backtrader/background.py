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
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import backtrader as bt
import pandas as pd

from .broker import TqBroker
from .candles import candlestick
from .clock import monotonic_ns
from .errors import NotStarted
from .feed import TqData
from .frames import session_of
from .lines import time_ns_of
from .live_chart import keep_drawing
from .run_view import RunBar, RunState, RunStatus, RunView, position_frame
from .sessions import Sessions
from .timeframes import duration_of
from .trading import TradingChannel

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["BackgroundRun", "Worker"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
LOOK_NS = SECOND_NS // 5  # how often the account is looked at
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

        Returns what it returns and raises what it raises; `NotStarted` when the run is over.
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
        self._watch = _RoundWatch(store, cerebro, self.view, self._between)
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
        self.join(timeout_s)
        if self.is_alive():
            logger.warning("the run in the background has not ended after %g s", timeout_s)
        return not self.is_alive()

    def wait(self, timeout_s: float | None) -> list[Any]:
        self.join(timeout_s)
        if self.is_alive():
            raise TimeoutError(f"the run still goes on after {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        return self._strategies

    def call(self, act: Callable[[], T]) -> T:
        """Let the run's thread do `act`; see `BackgroundRun.call`."""
        if threading.current_thread() is self:
            return act()
        answer: Future[T] = Future()
        with self._gate:
            if self._is_over:
                raise NotStarted("a question to a run that is over")
            self._questions.put((act, answer))
        return answer.result(ANSWER_S)

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
        run = getattr(self._store, "run", None)  # which also ends orders
        return list(self._cerebro.run() if run is None else run(self._cerebro))

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


class _RoundWatch:
    """Cerebro asks every store for news in every round: this one looks around instead."""

    def __init__(
        self,
        store: TqStore,
        cerebro: bt.Cerebro,
        view: RunView,
        between: Callable[[], None],
    ) -> None:
        self._store, self._cerebro, self._view, self._between = store, cerebro, view, between
        self._seen: dict[TqData, int] = {}
        self._sessions: dict[TqData, Sessions] = {}
        self._channel: TradingChannel | None = None
        self._trades = self._looked_ns = 0

    def start(self) -> None:
        """Cerebro's call, when the session stands: its last moment will be seen as well."""
        connection = self._store.connection
        self._channel = connection.trading
        connection.before_close(self._look_last)

    def stop(self) -> None:
        """Cerebro's call."""

    def get_notifications(self) -> list[Any]:
        """Cerebro's call at the start of each round."""
        if self._view.status().state is RunState.STARTING:
            self._view.change(state=RunState.RUNNING)
        self.look()
        self._between()
        return []

    def _look_last(self) -> None:
        try:
            self.look(now=True)
        except Exception:
            logger.exception("the last look at the run failed")

    def look(self, now: bool = False) -> None:
        """Take pictures of what is new; of the account now and then, or `now`."""
        with suppress(NotStarted):  # it failed before the session stood
            for data in self._cerebro.datas:
                if isinstance(data, TqData) and len(data):
                    self._look_at(data)
        now_ns = monotonic_ns()
        if now or now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            with suppress(NotStarted):
                self._look_at_account()

    def _look_at(self, data: TqData) -> None:
        count, seen = len(data), self._seen.get(data, 0)
        if count == seen and not data.replaying:
            return
        for back in range(max(count - seen, 1) - 1, -1, -1):
            grows = count == seen
            bar = _bar(data, back, self._sessions_of(data))
            self._view.add_bar(data._name or data.symbol, data.contract, bar, grows=grows)
        self._seen[data] = count

    def _sessions_of(self, data: TqData) -> Sessions:
        if data not in self._sessions:
            self._sessions[data] = self._store.sessions(data.symbol)
        return self._sessions[data]

    def _look_at_account(self) -> None:
        broker, channel = self._cerebro.broker, self._channel
        if isinstance(broker, TqBroker):
            account, held = broker.account(), broker.positions()
            with suppress(NotStarted):  # the broker has stopped: nothing is open
                self._view.change(open_orders=len(broker.get_orders_open()))
        elif channel is not None:
            account, held = channel.account(), channel.positions()
        else:
            return
        with suppress(NotStarted):  # the session is closed: its last look has been
            self._look_at_trades()
        lots = [each for each in held.values() if each.long.total or each.short.total]
        self._view.change(account=account, positions=tuple(lots))

    def _look_at_trades(self) -> None:
        if self._channel is not None and self._channel.trade_count != self._trades:
            self._trades = self._channel.trade_count
            self._view.add_trades(self._channel.trades())


def _bar(data: TqData, back: int, sessions: Sessions) -> RunBar:
    """The feed's bar `back` bars ago."""
    end_ns = time_ns_of(data.datetime[-back])
    duration_s = duration_of(data._timeframe, data._compression) or 1  # a tick is of a second
    span = sessions.bar_of(end_ns, duration_s * SECOND_NS)
    return RunBar(
        end_ns,
        data.open[-back],
        data.high[-back],
        data.low[-back],
        data.close[-back],
        int(data.volume[-back]),
        int(data.openinterest[-back]),
        int(data.trading_day[-back]),
        session_of(sessions, span.trading_day, span.start_ns, span.end_ns),
        data.history_phase,
    )


def _drawn(view: RunView, symbol: str | None, n: int, colors: str) -> Any:
    name, bars = view.bars(symbol, n)
    return candlestick(bars, title=name, trades=view.trades(name), colors=colors)
