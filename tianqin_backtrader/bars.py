"""Ticks to bars, as TqSdk makes its official ones. Pure: time and hours come in.

Rules, each found in official klines:
- Open is the bar's predecessor's close, and high and low include it; only a bar that begins a
  stretch of trading opens at its own first tick.
- Until the trading day's first trade bars are flat at the carried price; that trade's bar drops
  the carried price.
- Volume and amount are differences of the day's running totals; `open_oi` is the predecessor's
  `close_oi`. A minute without a trade has a flat bar all the same.
- A late tick, of a bar that is closed already, is counted in `late_ticks` and falls into the next
  bar: all of it inside a stretch, its volume alone over a break, nothing over a trading day.
"""

from __future__ import annotations

import math
from dataclasses import replace

from .sessions import BarSpan, Sessions
from .values import NAN, Bar, Tick

__all__ = ["BarBuilder"]

UNKNOWN = -1


class BarBuilder:
    """The bars of one contract and one duration, see `sessions.check_duration`.

    Bars leave in order, each label once; one without a tick is flat.

    A bar with `complete=False` misses ticks, and none are made up in a hole: from its label to the
    label of the next complete bar the owner takes the official klines.
    """

    def __init__(self, sessions: Sessions, duration_ns: int) -> None:
        self._sessions, self._duration_ns = sessions, duration_ns
        self.late_ticks = 0
        self._last_id = UNKNOWN
        self._tick: Tick | None = None  # the newest
        self._span: BarSpan | None = None  # the bar being built, and where its ticks lie
        self._after_ns = self._until_ns = 0
        self._known_until_ns = 0  # ticks up to here are in official history
        self._joined = True  # no tick can be missing between that history and the newest tick
        self._volume = UNKNOWN  # the day's running total, and what it was before this bar
        self._base = UNKNOWN
        self._amount_base = NAN
        self._open = self._high = self._low = self._close = NAN
        self._open_oi = self._oi = UNKNOWN
        self._fresh = False  # the next price opens the bar
        self._touched = False  # the bar holds a tick
        self._complete = False

    @property
    def span(self) -> BarSpan | None:
        """The bar being built; None before the first tick or `resume`."""
        return self._span

    def resume(self, last: Bar, cumulative_volume: int | None = None) -> None:
        """Continue after official history whose last whole bar is `last`.

        `cumulative_volume`: lots of its trading day traded up to its end, for an owner who feeds
        every tick after that end. If None, the serial must overlap history to show that nothing is
        missing: its older ticks only tell that total, and if there are none the first tick counts
        as coming after a gap.
        """
        span = self._sessions.span_of_label(last.start_ns, self._duration_ns)
        self._span, self._known_until_ns = span, span.until_ns
        self._joined, self._tick = cumulative_volume is not None, None
        self._close, self._oi = last.close, last.close_oi
        self._volume = UNKNOWN if cumulative_volume is None else cumulative_volume
        self._begin(self._next_span(span))

    def on_tick(self, tick: Tick, after_gap: bool = False) -> list[Bar]:
        """Take one tick; returns the bars that it closes, oldest first.

        Ids that are not newer than the newest are ignored. `after_gap`: ticks before this one are
        lost. The bar being built leaves incomplete, and so will the bar of this tick.
        """
        if tick.id <= self._last_id:
            return []
        self._last_id = tick.id
        if not self._joined:
            after_gap = self._join(tick) or after_gap
        if self._after_ns < tick.time_ns <= self._until_ns and not after_gap:
            self._take(tick)
            return []
        return self._on_edge(tick, after_gap)

    def close_until(self, now_ns: int) -> list[Bar]:
        """Close every bar whose end is not after `now_ns`, without waiting for a tick."""
        closed: list[Bar] = []
        while self._span is not None and self._span.end_ns <= now_ns:
            self._close_into(closed)
            self._begin(self._next_span(self._span))
        return closed

    def _join(self, tick: Tick) -> bool:
        """Whether ticks may be missing between official history and the first tick after it."""
        self._joined = True
        return tick.time_ns > self._known_until_ns

    def _on_edge(self, tick: Tick, after_gap: bool) -> list[Bar]:
        """A tick that is not simply the next of the bar being built."""
        if self._span is not None and tick.time_ns <= self._after_ns:
            if tick.time_ns <= self._known_until_ns:
                self._take_known(tick, self._span)
            else:
                self._take_late(tick, self._span)
                self._complete &= not after_gap
            return []
        closed = self._move_to(self._sessions.bar_of(tick.time_ns, self._duration_ns), after_gap)
        if self._oi == UNKNOWN:
            self._oi = self._open_oi = tick.open_interest
        self._take(tick)
        return closed

    def _move_to(self, span: BarSpan, after_gap: bool) -> list[Bar]:
        """Make `span` the bar being built, closing what comes before it."""
        closed: list[Bar] = []
        while not after_gap and self._span is not None and self._span.start_ns < span.start_ns:
            self._close_into(closed)
            self._begin(self._next_span(self._span))
        if self._span is None or self._span.start_ns < span.start_ns:
            self._complete = False
            self._close_into(closed)
            self._begin(span)
        self._complete &= not after_gap
        return closed

    def _begin(self, span: BarSpan) -> None:
        """Start an empty bar at the carried price, open interest and running totals."""
        new_day = self._span is None or span.trading_day != self._span.trading_day
        if new_day:
            self._volume = 0 if span.first else UNKNOWN
        tick = None if new_day or self._volume == UNKNOWN else self._tick
        self._base = self._volume
        self._amount_base = tick.amount if tick else 0.0 if self._volume == 0 else NAN
        self._complete = self._span is not None
        self._span, self._after_ns, self._until_ns = span, span.after_ns, span.until_ns
        self._open = self._high = self._low = self._close
        self._open_oi = self._oi
        self._fresh, self._touched = span.fresh, False

    def _take(self, tick: Tick) -> None:
        if tick.volume != self._volume:
            self._count(tick.volume)
        price = tick.last_price
        if self._fresh or math.isnan(self._close):
            self._open_at(price)
        elif self._volume and not math.isnan(price):
            if price > self._high:
                self._high = price
            elif price < self._low:
                self._low = price
            self._close = price
        self._oi = tick.open_interest
        self._tick = tick
        self._touched = True

    def _open_at(self, price: float) -> None:
        """The first price of a bar that carries none; before the day's first trade it stays flat
        at a carried price."""
        if math.isnan(price) or (not self._volume and not math.isnan(self._close)):
            return
        self._open = self._high = self._low = self._close = price
        self._fresh = False

    def _count(self, volume: int) -> None:
        """Follow the day's running total, which never falls."""
        if self._volume == UNKNOWN:
            self._base = volume
            self._complete = False
        elif self._volume == 0:
            self._fresh = True  # the day's first trade drops the carried price
        self._volume = max(self._volume, volume)

    def _take_late(self, tick: Tick, span: BarSpan) -> None:
        self.late_ticks += 1
        if not self._is_of_day(tick, span) or tick.volume < self._volume:
            return
        if span.fresh:  # the price is from before the break
            tick = replace(tick, last_price=NAN)
        self._take(tick)

    def _take_known(self, tick: Tick, span: BarSpan) -> None:
        """A tick that official history holds already: only the running totals move."""
        if not self._is_of_day(tick, span) or tick.volume <= self._base:
            return
        self._base = tick.volume
        self._volume = max(self._volume, tick.volume)
        self._amount_base = tick.amount
        if not self._touched:
            self._tick = tick

    def _is_of_day(self, tick: Tick, span: BarSpan) -> bool:
        return self._sessions.trading_day_of(tick.time_ns) == span.trading_day

    def _close_into(self, closed: list[Bar]) -> None:
        if self._span is not None:
            closed.append(self._bar(self._span))

    def _bar(self, span: BarSpan) -> Bar:
        tick = self._tick
        complete = self._complete and self._base != UNKNOWN and not math.isnan(self._close)
        amount = tick.amount - self._amount_base if tick and self._touched else 0.0
        return Bar(
            span.start_ns,
            span.end_ns,
            self._open,
            self._high,
            self._low,
            self._close,
            self._volume - self._base,
            amount,
            self._open_oi,
            self._oi,
            span.trading_day,
            tick.bid_price if tick else NAN,
            tick.ask_price if tick else NAN,
            tick.bid_volume if tick else NAN,
            tick.ask_volume if tick else NAN,
            complete,
        )

    def _next_span(self, span: BarSpan) -> BarSpan:
        return self._sessions.next_span(span, self._duration_ns)
