"""One contract's bars of one duration: history, then live, without a seam.

History is the official klines up to the one still open; from there on bars are built from ticks.
Where ticks are missing for good, whole bars are taken from official klines again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from .bars import BarBuilder
from .connection import Connection, Kline
from .model import Bar, Tick, bar_from_kline
from .sessions import Sessions

__all__ = ["BarSeries", "Delivery"]

SECOND_NS = 1_000_000_000
TICKS = 2_000  # of the serial: a quarter of an hour at two ticks a second
REPAIR = 2_000  # klines asked for at once behind a hole
NEVER_NS = 2**62


@dataclass(frozen=True, slots=True)
class Delivery:
    """A bar and where it comes from: official history, or built from live ticks."""

    bar: Bar
    history: bool


class BarSeries:
    """Bars of `symbol`, each of `duration_s` seconds: oldest first, none twice and none missing.

    `history`: official bars delivered first, at most 9,999 beside the open one. `flat`: make bars
    of minutes without a tick, as the official series has them.
    """

    def __init__(
        self,
        connection: Connection,
        symbol: str,
        sessions: Sessions,
        duration_s: int,
        *,
        history: int,
        flat: bool = True,
    ) -> None:
        self._connection = connection
        self._symbol = symbol
        self._sessions = sessions
        self._duration_s = duration_s
        self._builder = BarBuilder(sessions, duration_s * SECOND_NS, flat=flat)
        self._queue: deque[Delivery] = deque()
        self._newest_ns = -1  # start of the newest bar queued
        self.last_tick: Tick | None = None
        self.ticks = 0  # taken since the series went live
        self.finished = False
        self.stream = connection.follow(symbol, TICKS)
        self._is_live = False
        self._wanted = history
        self._load_history(history)
        self.read()

    # ---- what the pump sees

    @property
    def ready_ns(self) -> int | None:
        """End of the oldest bar waiting; None where none waits."""
        return self._queue[0].bar.end_ns if self._queue else None

    @property
    def has_history(self) -> bool:
        """Whether the oldest bar waiting is official history."""
        return bool(self._queue) and self._queue[0].history

    @property
    def open_end_ns(self) -> int:
        """End of the bar being built; far away before the first tick."""
        span = self._builder.span
        return NEVER_NS if span is None or self.finished else span.end_ns

    @property
    def late_ticks(self) -> int:
        """Ticks that came after their bar was closed."""
        return self._builder.late_ticks

    def read(self) -> int:
        """Take the ticks that have come; returns the newest one's time, 0 where there is none."""
        for tick, missing in self.stream.read():
            self.ticks += 1
            self.last_tick = tick
            closed = self._builder.on_tick(tick, missing)
            if closed:
                self._queue_built(closed)
        return self.last_tick.time_ns if self.last_tick else 0

    def close_until(self, now_ns: int) -> None:
        """Close the bars that ended by `now_ns`."""
        self._queue_built(self._builder.close_until(now_ns))

    def finish(self) -> None:
        """The market's records are over: the bar being built is as whole as it will ever be."""
        span, tick = self._builder.span, self.last_tick
        if not self.finished and span and tick and tick.time_ns > span.after_ns:
            self.close_until(span.end_ns)
        self.finished = True

    def go_live(self) -> None:
        """From here on bars are news; what has closed before was over when the feed began."""
        while len(self._queue) > self._wanted:
            self._queue.popleft()
        self._is_live = True
        self.ticks = 0

    def pop(self) -> Delivery | None:
        """The oldest bar waiting."""
        return self._queue.popleft() if self._queue else None

    # ---- history and repairs

    def _load_history(self, count: int) -> None:
        """Queue `count` official bars and carry on behind them.

        The newest official kline is open: it is built from the tick serial instead, which reaches
        back beyond its beginning.
        """
        rows = self._connection.history(self._symbol, self._duration_s, max(count, 1) + 1)
        bars = [self._bar(row) for row in rows[:-1]]
        if bars:
            self._newest_ns = bars[-1].start_ns
            self._builder.resume(bars[-1])
        self._queue.extend(Delivery(bar, True) for bar in (bars[-count:] if count else ()))

    def _queue_built(self, bars: Iterable[Bar]) -> None:
        for bar in bars:
            if not bar.complete:
                self._repair()
            elif bar.start_ns > self._newest_ns:
                self._newest_ns = bar.start_ns
                self._queue.append(Delivery(bar, history=not self._is_live))

    def _repair(self) -> None:
        """Ticks were lost: take the official bars up to the one being built.

        The last of them is news all the same when it ended only now.
        """
        span = self._builder.span
        until_ns = NEVER_NS if span is None else span.start_ns
        rows = self._connection.history(self._symbol, self._duration_s, REPAIR)
        for row in rows:
            if self._newest_ns < int(row["datetime"]) < until_ns:
                bar = self._bar(row)
                self._newest_ns = bar.start_ns
                old = not self._is_live or self._next_start_ns(bar) != until_ns
                self._queue.append(Delivery(bar, old))

    def _next_start_ns(self, bar: Bar) -> int:
        duration_ns = self._duration_s * SECOND_NS
        span = self._sessions.span_of_label(bar.start_ns, duration_ns)
        return self._sessions.next_span(span, duration_ns).start_ns

    def _bar(self, row: Kline) -> Bar:
        span = self._sessions.span_of_label(int(row["datetime"]), self._duration_s * SECOND_NS)
        return bar_from_kline(row, span.end_ns, span.trading_day)
