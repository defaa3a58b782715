"""Longer bars out of shorter ones of the same contract, as TqSdk makes its official series. Pure.

Rules, each found in official klines:
- A long bar's label is the floor of the clock, or 00:00 of the trading day; `Sessions` decides.
- It leaves with the last minute of it that trades, without waiting for the next one.
- Until the trading day's first trade minutes are flat at a carried price, which counts for open,
  high and low only while the long bar has no trade. Later untraded minutes count.
"""

from __future__ import annotations

import math

from .sessions import DAY_NS, BarSpan, Sessions, check_duration
from .values import NAN, Bar

__all__ = ["BarMerger"]

NONE_NS = -1


class BarMerger:
    """The long bars of one contract and one duration, out of its minutes.

    The minutes may be bars of any duration that divides the long one. Long bars leave in order,
    each label once; the owner takes the official kline of one with `complete=False`.
    Raises `WrongSetting` for a length that `sessions.check_duration` refuses.

    Whether the day has traded is not known when merging begins inside a day, or after a hole,
    until a minute trades. That one is the day's first if it does not open where the minute before
    it closed; after a break no price tells, the day is taken to have traded before, and the bar
    leaves incomplete if that decides its prices.
    """

    def __init__(self, sessions: Sessions, duration_ns: int) -> None:
        check_duration(duration_ns)
        self._sessions, self._duration_ns = sessions, duration_ns
        self.clear()

    def clear(self) -> None:
        """Forget the bar being merged, and what was before it."""
        self._span: BarSpan | None = None  # the bar being merged
        self._end_ns = NONE_NS  # its end
        self._newest: Bar | None = None  # its newest minute
        self._left: BarSpan | None = None  # the newest bar that has been begun, left or not
        self._traded: bool | None = None  # whether its day has; None: unknown
        self._leading = False  # all minutes so far may be from before the day's first trade
        self._open = self._high = self._low = NAN
        self._volume, self._amount, self._open_oi = 0, NAN, 0
        self._complete = False

    @property
    def span(self) -> BarSpan | None:
        """The place of the bar being merged; None when none is open."""
        return self._span

    @property
    def partial(self) -> Bar | None:
        """The bar being merged as it stands, with its final label and end; None when none is open.

        `complete`: nothing of it is missing so far.
        """
        if self._span is None or self._newest is None:
            return None
        return self._bar(self._span, self._newest)

    def add(self, minute: Bar) -> list[Bar]:
        """Take the next minute; returns the long bars that it closes, oldest first.

        A minute that is not later than the newest, or of a bar that has left, is ignored.
        """
        closed: list[Bar] = []
        newest = self._newest
        if newest is None or minute.end_ns > self._end_ns:
            self._leave_into(closed)
            self._begin(minute)
        elif minute.end_ns > newest.end_ns:
            self._take(minute, newest)
        if minute.end_ns >= self._end_ns:
            self._leave_into(closed)
        return closed

    def _begin(self, minute: Bar) -> None:
        """Open the long bar of a minute."""
        span, before = self._span_of(minute), self._left
        if before is not None and span.start_ns <= before.start_ns:
            return
        had_traded = self._had_traded(span, before)
        self._leading = not (had_traded or minute.volume)
        self._traded = minute.volume > 0 or had_traded
        self._span = self._left = span
        self._end_ns, self._newest = span.end_ns, minute
        self._open, self._high, self._low = minute.open, minute.high, minute.low
        self._volume, self._amount, self._open_oi = minute.volume, minute.amount, minute.open_oi
        self._complete = minute.complete and self._is_next(minute, span.after_ns)

    def _had_traded(self, span: BarSpan, before: BarSpan | None) -> bool | None:
        """Whether its day has traded when a bar begins; None: unknown."""
        if before is None or before.trading_day != span.trading_day:
            return False if span.first else None
        if self._traded or (self._complete and span.after_ns == before.until_ns):
            return self._traded
        return None  # it may have in a hole

    def _take(self, minute: Bar, before: Bar) -> None:
        """Merge a further minute; `before` is the one that came before it."""
        if minute.start_ns != before.end_ns and not self._is_next(minute, before.end_ns):
            self._complete = False
        if self._leading:
            self._lead(minute, before)
        self._high = max(self._high, minute.high)
        self._low = min(self._low, minute.low)
        self._volume += minute.volume
        self._amount += minute.amount
        self._newest = minute
        if not minute.complete:
            self._complete = False

    def _lead(self, minute: Bar, before: Bar) -> None:
        """A minute after nothing but untraded ones: the day's first trade drops their price."""
        jumps = minute.open != before.close
        drops = self._traded is False or (jumps and minute.start_ns == before.end_ns)
        if math.isnan(before.close) or (minute.volume and drops):
            self._open = self._high = self._low = minute.open
        elif minute.volume and jumps:
            self._complete = False
        if minute.volume:
            self._traded, self._leading = True, False

    def _leave_into(self, closed: list[Bar]) -> None:
        if self._span is None or self._newest is None:
            return
        if self._newest.end_ns < self._span.end_ns:
            self._complete = False
        closed.append(self._bar(self._span, self._newest))
        self._span = self._newest = None
        self._end_ns = NONE_NS

    def _bar(self, span: BarSpan, newest: Bar) -> Bar:
        return Bar(
            span.start_ns,
            span.end_ns,
            self._open,
            self._high,
            self._low,
            newest.close,
            self._volume,
            self._amount,
            self._open_oi,
            newest.close_oi,
            span.trading_day,
            newest.bid_price,
            newest.ask_price,
            newest.bid_volume,
            newest.ask_volume,
            self._complete,
        )

    def _span_of(self, minute: Bar) -> BarSpan:
        """The long bar of a minute; one outside today's hours is of the floor of its clock."""
        duration_ns = self._duration_ns
        span = self._sessions.bar_of(minute.end_ns, duration_ns)
        if duration_ns == DAY_NS or span.start_ns < minute.end_ns <= span.end_ns:
            return span
        return self._sessions.span_of_label(
            minute.start_ns // duration_ns * duration_ns, duration_ns
        )

    def _is_next(self, minute: Bar, time_ns: int) -> bool:
        """Whether nothing trades between a moment and a minute: a label may lie in a break."""
        sessions = self._sessions
        opening_ns = time_ns if sessions.is_open(time_ns) else sessions.next_open(time_ns)
        return minute.start_ns <= opening_ns < minute.end_ns
