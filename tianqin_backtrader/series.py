"""One contract's bars of one duration: history, then live, without a seam.

History is the official klines up to the one still open; from there on bars are built from ticks.
Where ticks are missing for good, whole bars are taken from official klines again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from .auditing import Auditor
from .bars import BarBuilder
from .charts import Kline
from .connection import Connection
from .delivery import Delivery, DeliveryQueue, Made, Maker
from .flow import Follower, TickFlow
from .mending import LetGo, Mender
from .model import Bar, Tick, bar_from_kline
from .notices import Notice, Tell
from .sessions import Sessions

__all__ = ["BarSeries", "Plan", "Series"]

SECOND_NS = 1_000_000_000
MOST = 10_000  # klines that TqSdk gives
LONGEST_DAY_S = 36_000  # more than any trading day has
NEVER_NS = 2**62


class Series(Follower, Protocol):
    """What the pump sees of a feed's bars."""

    queue: DeliveryQueue

    @property
    def ticks(self) -> int:
        """Ticks taken since the series went live."""

    @property
    def open_end_ns(self) -> int:
        """When the next bar is due; far away where none is."""

    def close_until(self, now_ns: int) -> None:
        """Close the bars that ended by `now_ns`."""

    def poll(self) -> None:
        """Look whether answers have come; never waits."""

    def go_live(self) -> None:
        """From here on bars are news; what has closed before was over when the feed began."""

    def finish(self) -> None:
        """The market's records are over: the bar being built is as whole as it will ever be."""

    def conclude(self) -> None:
        """The program ends: say what there is still to say of bars that were delivered."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What bars to make.

    Base bars of `base_s` seconds come from ticks; `maker` makes bars of `duration_s` of them.
    history: official bars delivered first, at most 9,999 beside the open one. flat: deliver bars
    without a trade too. last_day: trading day after which the contract is gone.
    """

    symbol: str
    duration_s: int
    base_s: int
    maker: Maker
    history: int
    flat: bool
    last_day: date


class BarSeries:
    """Bars of one contract: oldest first, none twice and none missing."""

    def __init__(
        self,
        connection: Connection,
        flow: TickFlow,
        sessions: Sessions,
        plan: Plan,
        tell: Tell,
        auditor: Auditor | None,
    ) -> None:
        self._connection, self._flow, self._sessions = connection, flow, sessions
        self._plan, self._tell, self._auditor = plan, tell, auditor
        self._builder = BarBuilder(sessions, plan.base_s * SECOND_NS)
        self._base = self._mender(plan.base_s, self._take_base)
        self._whole = self._mender(plan.duration_s, self._take_whole)
        self._late_until_ns = -1
        self._late_ticks = 0
        self._ticks_before = 0
        self._is_live = self._is_over = False
        self.queue = DeliveryQueue()
        self._load()
        flow.join(self)

    # ---- what the pump sees

    @property
    def open_end_ns(self) -> int:
        """End of the base bar being built; far away before the first tick and after the last."""
        span = self._builder.span
        return NEVER_NS if span is None or self._is_over else span.end_ns

    def on_tick(self, tick: Tick, missing: bool) -> None:
        closed = self._builder.on_tick(tick, missing)
        if closed:
            self._take(closed)
        if self._builder.late_ticks != self._late_ticks:
            self._tell_late_tick(tick)

    def settle(self, late: bool) -> None:
        if late:
            self._late_until_ns = max(self._late_until_ns, self._base.newest_closed_ns)
        self.queue.settle(self._late_until_ns)
        self._ask()

    def close_until(self, now_ns: int) -> None:
        self._take(self._builder.close_until(now_ns))
        self._ask()
        span = self._builder.span
        if span is not None and span.trading_day > self._plan.last_day and not self._is_over:
            self._is_over = True
            self._tell(Notice.CONTRACT_EXPIRED, f"{self._plan.symbol} has had its last bar")

    def poll(self) -> None:
        if self._base.is_holding:
            self._base.poll(self._open_ns)
        if self._whole.is_holding:
            self._whole.poll(self._open_whole_ns)
        if self._auditor is not None:
            self._auditor.poll()

    @property
    def ticks(self) -> int:
        return self._flow.count - self._ticks_before

    def go_live(self) -> None:
        self.queue.keep_newest(self._plan.history)
        self._is_live = True
        self._ticks_before = self._flow.count

    def finish(self) -> None:
        span, tick = self._builder.span, self._flow.last_tick
        if not self._is_over and span and tick and tick.time_ns > span.after_ns:
            self.close_until(span.end_ns)
        self._is_over = True
        self._base.finish(self._open_ns)
        self._whole.finish(self._open_whole_ns)
        if self._auditor is not None:
            self._auditor.finish(ended=True)

    def conclude(self) -> None:
        if self._auditor is not None and not self._connection.market_is_down:
            self._auditor.finish(ended=False)

    # ---- history

    def _load(self) -> None:
        """Queue official bars and go on behind them.

        The newest official kline is open: it is built from the tick serial instead, which reaches
        back beyond the beginning of its last base bar.
        """
        plan = self._plan
        count = min(max(plan.history, 1) + 1, MOST)
        rows = self._connection.history(plan.symbol, plan.duration_s, count)
        official = [self._bar(row, plan.duration_s) for row in rows[:-1]]
        for bar in official[-plan.history :] if plan.history else ():
            if bar.volume or plan.flat:
                self.queue.put(Delivery(bar, True, bar.end_ns))
        if official:
            self._whole.newest_ns = official[-1].start_ns
        if plan.base_s == plan.duration_s:
            base = official
        else:
            base = self._base_of_open_bar(rows[-1]) if rows else []
        if base:
            self._base.newest_ns = base[-1].start_ns
            self._builder.resume(base[-1])

    def _base_of_open_bar(self, row: Kline) -> list[Bar]:
        """The base bars that are over, those of the open bar `row` taken."""
        plan, duration_ns = self._plan, self._plan.duration_s * SECOND_NS
        count = min(plan.duration_s, LONGEST_DAY_S) // plan.base_s + 2
        rows = self._connection.history(plan.symbol, plan.base_s, count)
        bars = [self._bar(each, plan.base_s) for each in rows[:-1]]
        for bar in bars:
            if self._sessions.bar_of(bar.end_ns, duration_ns).start_ns >= int(row["datetime"]):
                self._base.take(bar)
        return bars

    def _bar(self, row: Kline, duration_s: int) -> Bar:
        span = self._sessions.span_of_label(int(row["datetime"]), duration_s * SECOND_NS)
        return bar_from_kline(row, span.end_ns, span.trading_day)

    # ---- from base bars to deliveries

    def _mender(self, duration_s: int, let_go: LetGo) -> Mender:
        plan = self._plan
        return Mender(
            self._connection,
            plan.symbol,
            duration_s,
            lambda row: self._bar(row, duration_s),
            let_go,
        )

    def _take(self, bars: Iterable[Bar]) -> None:
        for bar in bars:
            if bar.trading_day <= self._plan.last_day:
                self._base.take(bar)

    def _ask(self) -> None:
        """Ask for official klines where bars are held, once all ticks that came are taken."""
        if self._base.is_holding:
            self._base.ask(self._open_ns)
        if self._whole.is_holding:
            self._whole.ask(self._open_whole_ns)

    def _take_base(self, bar: Bar, *, official: bool) -> None:
        maker, history = self._plan.maker, self._is_old(bar, official, self._plan.base_s)
        for made in maker.add(bar):
            if maker.waits:
                self._whole.take(made.bar)
            else:
                self._deliver(made, history, built=not official or made.bar is not bar)

    def _take_whole(self, bar: Bar, *, official: bool) -> None:
        history = self._is_old(bar, official, self._plan.duration_s)
        self._deliver(Made(bar, bar.end_ns), history, built=not official)

    def _deliver(self, made: Made, history: bool, *, built: bool) -> None:
        bar = made.bar
        if made.final and self._auditor is not None:
            self._auditor.add(bar, built=built)
        if bar.volume or self._plan.flat:
            late = history or made.time_ns <= self._late_until_ns
            self.queue.put(Delivery(bar, late, made.time_ns, made.update, made.final))

    def _is_old(self, bar: Bar, official: bool, duration_s: int) -> bool:
        """Whether a bar is no news; an official one is if it ended only now."""
        if not self._is_live or not official:
            return not self._is_live
        duration_ns = duration_s * SECOND_NS
        span = self._sessions.span_of_label(bar.start_ns, duration_ns)
        following = self._sessions.next_span(span, duration_ns).start_ns
        is_whole = duration_s == self._plan.duration_s
        return following != (self._open_whole_ns if is_whole else self._open_ns)

    @property
    def _open_ns(self) -> int:
        """Start of the base bar being built."""
        span = self._builder.span
        return NEVER_NS if span is None else span.start_ns

    @property
    def _open_whole_ns(self) -> int:
        """Start of the bar that the base bar being built belongs to."""
        span, duration_ns = self._builder.span, self._plan.duration_s * SECOND_NS
        if span is None:
            return NEVER_NS
        return self._sessions.bar_of(span.end_ns, duration_ns).start_ns

    def _tell_late_tick(self, tick: Tick) -> None:
        count, self._late_ticks = self._builder.late_ticks, self._builder.late_ticks
        if self._is_live:
            self._tell(
                Notice.LATE_TICK,
                f"{self._plan.symbol}: a tick came after its bar had left, {count} so far",
                count=count,
                tick=tick,
            )
