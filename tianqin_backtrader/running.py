"""One run of Cerebro on a store, and its end: by a signal, an error, Ctrl-C, or of itself.

The end, each step within one deadline: no new orders; what rests at the exchange is withdrawn and
its answers are heard, what is held here stays in the journal (see `winding`); on request every
position is closed and nothing is kept; strategies hear of it; the last snapshot is written; TqApi
is closed. A step that fails is logged, and the next one follows.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from .clock import monotonic_ns
from .errors import NotFlat, TianqinError
from .notices import Notice
from .progress import Progress
from .winding import ENDS, at_exchange, end, keep, to_be_kept
from .working import Work

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["Run", "Runs"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
STEP_S = 0.1  # how long one look for answers lasts
PICTURE_S = 3.0  # how long the account's picture may lag behind the last fill
TRIES = 3  # lots that were frozen when the positions were closed are closed again
SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last one on Windows
HALTS = "SIGUSR1"  # not on Windows


class Runs:
    """What a store can run: Cerebro, one at a time."""

    _run: Run | None = None

    def run(self, cerebro: Any, *, flatten: bool = False, deadline_s: float = 20.0) -> list[Any]:
        """Run Cerebro and end it cleanly whatever ends it; returns its strategies.

        SIGINT, SIGTERM (in the main thread), Ctrl-C in a notebook or an error of a strategy: no new
        orders, those at the exchange are withdrawn, those held here stay in the journal for the
        next start; then TqApi is closed, and the error raised again. A second signal ends at once.
        flatten: also close every position and keep nothing; raises `NotFlat` if lots are left.
        deadline_s: real seconds for all of it. SIGUSR1 halts the broker.
        """
        self._run = Run(cast("TqStore", self), cerebro, flatten, deadline_s)
        try:
            return self._run.go()
        finally:
            self._run = None

    def wind_up(self) -> None:
        """The broker is about to stop: what `run` promised is done before."""
        if self._run is not None:
            self._run.wind_up()


class Run:
    """`go` runs Cerebro to its end; the store calls `is_over` in every round, the broker `wind_up`.

    flatten: close all positions at the end. deadline_s: real seconds for all of the end.
    """

    def __init__(self, store: TqStore, cerebro: Any, flatten: bool, deadline_s: float) -> None:
        self._store, self._cerebro = store, cerebro
        self._flattens, self._deadline_ns = flatten, int(deadline_s * SECOND_NS)
        self._ends_ns = 0  # by a monotonic clock
        self._asked = ""  # the signal that asked for the end
        self._is_wound = self._hurries = self._halts = self._is_broken = False
        self._failure: Exception | None = None  # of a strategy that heard of the end
        self._left: dict[str, str] = {}  # lots that could not be closed, by contract
        self._why_left = ""

    def go(self) -> list[Any]:
        """Run; returns Cerebro's strategies. Raises what ended the run, and `NotFlat`."""
        with self._signals():
            try:
                found = self._run()
            finally:
                self._close()
        if self._failure is not None:
            raise self._failure
        if self._left:
            raise NotFlat(self._left, self._why_left)
        return found

    def _run(self) -> list[Any]:
        try:
            return list(self._cerebro.run())
        except KeyboardInterrupt:  # a notebook's, or the second signal
            self.wind_up("interrupted")
            return self._stop_strategies()
        except BaseException as error:
            self._is_broken = True
            self.wind_up(f"{type(error).__name__} ended it")
            if self._left:
                logger.error("%s", NotFlat(self._left, self._why_left))
            raise

    def _stop_strategies(self) -> list[Any]:
        """As Cerebro does at the end of its loop."""
        strategies = list(getattr(self._cerebro, "runningstrats", []))
        for strategy in strategies:
            strategy._stop()
        return strategies

    def _close(self) -> None:
        broker = self._store.broker
        if broker is not None and broker.is_open:
            self._attempt(broker.stop)
        self._attempt(self._store.stop)

    # ---- signals

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Handlers while the run lasts; only the main thread may have any."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = dict.fromkeys(SIGNALS, self._on_end) | {HALTS: self._on_halt}
        numbers = {getattr(signal, name, None): act for name, act in wanted.items()}
        before = {n: signal.signal(n, act) for n, act in numbers.items() if n is not None}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_end(self, number: int, _: FrameType | None) -> None:
        """The first one ends the run in order, the second one at once."""
        is_second, self._asked = bool(self._asked), signal.Signals(number).name
        if is_second:
            self._hurries = True
            if not self._is_wound:  # it is stuck somewhere
                raise KeyboardInterrupt

    def _on_halt(self, *_: object) -> None:
        self._halts = True

    # ---- what store and broker call

    def is_over(self) -> bool:
        """Do what signals asked for; True when Cerebro is to stop. Called between two rounds."""
        if self._halts and self._store.broker is not None:
            self._halts = False
            self._store.broker.halt(f"halted by {HALTS}")
        if self._asked:
            self.wind_up(self._asked)
            self._cerebro.runstop()
        return self._is_wound or bool(self._asked)

    def wind_up(self, why: str = "the run is over") -> None:
        """End the run's trading; does nothing when it has ended, or had not begun."""
        if self._is_wound or not self._store.is_trading:
            return
        self._is_wound = True
        self._ends_ns = monotonic_ns() + self._deadline_ns
        logger.info("the run ends: %s", why)
        if self._store.broker is not None:
            self._end_orders(self._store.broker)
        snapshot = getattr(self._store, "snapshot", None)
        if snapshot is not None:
            self._attempt(lambda: snapshot("end"))
        self._attempt(lambda: self._say(why))

    # ---- the end

    def _end_orders(self, broker: Any) -> None:
        self._attempt(lambda: broker.refuse(ENDS))
        progress = broker.progress
        if self._store.pump.ended:
            self._note_left(broker)
            return
        self._attempt(lambda: self._withdraw(progress, everything=self._flattens))
        self._attempt(lambda: self._wait(lambda: not at_exchange(progress)))
        if self._flattens:
            self._attempt(lambda: self._flatten(broker))
            self._attempt(lambda: self._note_left(broker))
        if not self._is_broken:
            self._deliver()

    def _withdraw(self, progress: Progress, everything: bool) -> None:
        kept = [] if everything else to_be_kept(progress)
        for work in kept:
            self._surely(keep, progress, work)
        keys = {work.key for work in kept}
        for work in [each for each in progress.living.values() if each.key not in keys]:
            self._surely(end, progress, work)

    def _surely(
        self, step: Callable[[Progress, Work], None], progress: Progress, work: Work
    ) -> None:
        """A cancel leaves even if the journal cannot be written."""
        try:
            step(progress, work)
        except TianqinError as error:
            logger.warning("order %s: %s", work.key, error)
            for leg in work.alive:
                self._store.floor.cancel(leg.order_id)

    def _flatten(self, broker: Any) -> None:
        for _ in range(TRIES):
            if not broker.positions() or self._is_late:
                return
            broker.refuse("")
            try:
                broker.flatten()
            except TianqinError as error:
                self._why_left = str(error)
                return
            finally:
                broker.refuse(ENDS)
            self._wait(lambda: not broker.get_orders_open())
            self._wait(lambda: not broker.positions(), PICTURE_S)
            self._withdraw(broker.progress, everything=True)  # nothing may close lots later

    def _note_left(self, broker: Any) -> None:
        held = broker.positions() if self._flattens else {}
        self._left = {s: f"{p.long.total} long, {p.short.total} short" for s, p in held.items()}

    def _deliver(self) -> None:
        """Let strategies and analyzers hear what became of their orders."""
        try:
            self._cerebro._brokernotify()
            for strategy in self._cerebro.runningstrats:
                strategy._notify()
        except Exception as error:
            self._failure = error
            logger.warning("a strategy failed when it heard of the end", exc_info=True)

    def _say(self, why: str) -> None:
        store, broker = self._store, self._store.broker
        left = [] if broker is None else [work.key for work in at_exchange(broker.progress)]
        rest = f"; still at the exchange: {', '.join(left)}" if left else ""
        store.tell(Notice.STOPPED, f"the run ended: {why}{rest}", run=store.run_name, why=why)

    # ---- in time

    @property
    def _is_late(self) -> bool:
        return self._hurries or monotonic_ns() >= self._ends_ns

    def _wait(self, is_done: Callable[[], bool], most_s: float = float("inf")) -> None:
        """Let answers in until `is_done`, or for as long as may be."""
        pump, since_ns = self._store.pump, monotonic_ns()
        while not (is_done() or self._is_late or pump.ended):
            if monotonic_ns() - since_ns > most_s * SECOND_NS:
                return
            pump.new_cycle()
            pump.run(STEP_S)

    def _attempt(self, step: Callable[[], object]) -> None:
        """A step of the end; none may keep the others from happening."""
        try:
            step()
        except KeyboardInterrupt:
            self._hurries = True
        except Exception:
            logger.exception("a step of the end failed; the next one follows")
