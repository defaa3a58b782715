"""When one contract trades, and which bar a moment belongs to. Pure: trading hours come in.

Rules (found in official klines; the contract's own `trading_time` decides, never a table):
- A bar labelled L of length d holds the ticks with L < t <= L + d; L is the floor of the clock,
  a multiple of d since 1970 UTC. A day's bar is labelled 00:00 Beijing time of its trading day.
- Ticks before a stretch opens belong to its first bar, ticks at or after its end to its last.
- A trading day begins at 18:00 of the evening before it (tqsdk.datetime).
- Which evenings have a night session: `calendar`.
So all ticks of all time fall into exactly one bar: bars tile the time line, and none joins two
trading days. Between those lie 15:15 to 21:00 at least: no bar of up to 4 hours spans that pause,
and of the longer lengths that divide a day each has an edge in it, 17:36 (17,280 s), 20:00 (6 h and
12 h) or 16:00 (8 h).
Times are nanoseconds since 1970 UTC; Beijing is UTC+8, without daylight saving since 1991.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TypeVar

from .calendar import LATE_NIGHTS, TradingCalendar, has_night
from .errors import WrongSetting
from .model import TradingTime

__all__ = [
    "DAY_NS",
    "BarSpan",
    "Sessions",
    "Stretch",
    "beijing_date",
    "check_duration",
    "midnight_ns",
]

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
BEIJING_OFFSET_NS = 8 * HOUR_NS

DAY_TURNS_NS = 18 * HOUR_NS
LONGEST_FREE_NS = 4 * HOUR_NS  # short of the 5 h 45 min that separate trading days
LONGEST_PRE_OPEN_NS = HOUR_NS
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
K = TypeVar("K")
V = TypeVar("V")
CACHED = 16  # windows, and days, that stay at hand: bars come in the order of time


@dataclass(frozen=True, slots=True)
class Stretch:
    """One unbroken stretch of trading, [start_ns, end_ns)."""

    start_ns: int
    end_ns: int
    trading_day: date


@dataclass(frozen=True, slots=True)
class BarSpan:
    """One bar's place in time.

    `start_ns` is TqSdk's label; `end_ns` the last moment of it that trades; a tick belongs to it
    when `after_ns` < t <= `until_ns`. `fresh`: it begins a stretch; `first`: a trading day.
    """

    start_ns: int
    end_ns: int
    trading_day: date
    fresh: bool
    first: bool
    after_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class _Window:
    """The stretches of a few trading days; ticks after `reach_ns[i]` belong to stretch i."""

    stretches: tuple[Stretch, ...]
    starts_ns: tuple[int, ...]
    reach_ns: tuple[int, ...]


def beijing_date(time_ns: int) -> date:
    return date.fromordinal(EPOCH_ORDINAL + (time_ns + BEIJING_OFFSET_NS) // DAY_NS)


def midnight_ns(day: date) -> int:
    """00:00 Beijing time of `day`."""
    return (day.toordinal() - EPOCH_ORDINAL) * DAY_NS - BEIJING_OFFSET_NS


def check_duration(duration_ns: int) -> None:
    """Raises `WrongSetting` for a length that bars cannot have.

    Lengths are whole seconds up to 4 hours; longer ones divide a day: 17,280 s, 6, 8, 12, 24 hours.
    """
    longest = DAY_NS if DAY_NS % max(duration_ns, 1) == 0 else LONGEST_FREE_NS
    if not (0 < duration_ns <= longest and duration_ns % SECOND_NS == 0):
        raise WrongSetting(
            "duration_ns",
            duration_ns,
            "whole seconds up to 4 hours, or of longer ones a length that divides a day: 17,280 s, "
            "6, 8, 12 or 24 hours",
        )


class Sessions:
    """The trading hours of one contract: when it would trade, listed already or not.

    `trading_time` as TqSdk tells it: {"day": [["09:00:00", "10:15:00"], ...], "night": [...]},
    hours above 24 being after midnight. Raises `WrongSetting` when it names no day session.

    Answers for any moment: beyond `calendar.covered_until` weekdays trade. The hours are today's;
    nights once ended at other times.
    """

    def __init__(self, trading_time: TradingTime, calendar: TradingCalendar) -> None:
        if not trading_time.get("day"):
            raise WrongSetting("trading_time", dict(trading_time), "at least one day session")
        self.calendar = calendar
        self._day = _offsets(trading_time, "day")
        self._night = _offsets(trading_time, "night")
        self._windows: dict[int, _Window] = {}  # by Beijing day
        self._days: dict[date, tuple[Stretch, ...]] = {}

    def stretches(self, day: date) -> tuple[Stretch, ...]:
        """The stretches of trading day `day`, its night first; none if it is no trading day."""
        found = self._days.get(day)
        if found is None:
            found = _kept(self._days, day, self._lay_out(day))
        return found

    def has_night(self, day: date) -> bool:
        """Whether trading day `day` begins with a night session, on the evening before it."""
        stretches = self.stretches(day)
        return bool(stretches) and stretches[0].start_ns < midnight_ns(day)

    def open_of(self, day: date) -> int:
        """When trading day `day` opens, its night included; the next trading day if it is none."""
        return self.stretches(self._trading_day_from(day))[0].start_ns

    def close_of(self, day: date) -> int:
        """When trading day `day` ends, 15:00 or 15:15; of the next trading day if it is none."""
        return self.stretches(self._trading_day_from(day))[-1].end_ns

    def stretch_at(self, time_ns: int) -> Stretch | None:
        """The stretch that trades at this moment, if any; at its end none does."""
        window = self._window(time_ns)
        stretch = window.stretches[bisect_right(window.starts_ns, time_ns) - 1]
        return stretch if stretch.start_ns <= time_ns < stretch.end_ns else None

    def is_open(self, time_ns: int) -> bool:
        """Whether the contract trades at this moment: auctions and breaks are not open."""
        return self.stretch_at(time_ns) is not None

    def next_open(self, time_ns: int) -> int:
        """When the first stretch that begins at or after this moment begins."""
        window = self._window(time_ns)
        return window.starts_ns[bisect_left(window.starts_ns, time_ns)]

    def trading_day_of(self, time_ns: int) -> date:
        """The trading day of a moment: from 18:00 on the next one, so 20:59 is of the day it opens.

        TqSdk turns at the same time (tqsdk.datetime).
        """
        return self._trading_day_from(beijing_date(time_ns + DAY_NS - DAY_TURNS_NS))

    def bar_of(self, time_ns: int, duration_ns: int) -> BarSpan:
        """The bar that a tick stamped `time_ns` belongs to.

        Raises `WrongSetting` for a length that `check_duration` refuses.
        """
        window = self._window(time_ns)
        index = bisect_left(window.reach_ns, time_ns) - 1
        if duration_ns == DAY_NS:
            day = window.stretches[index].trading_day
            return _span(window, index, midnight_ns(day), DAY_NS)
        check_duration(duration_ns)
        stretch = window.stretches[index]
        inside = min(max(time_ns, stretch.start_ns + 1), stretch.end_ns)
        return _span(window, index, (inside - 1) // duration_ns * duration_ns, duration_ns)

    def span_of_label(self, label_ns: int, duration_ns: int) -> BarSpan:
        """The bar of an official kline. A label outside today's hours (they changed over the
        years) gets its whole length."""
        if duration_ns == DAY_NS:
            return self.bar_of(label_ns + DAY_NS // 2, DAY_NS)
        end_ns, window = label_ns + duration_ns, self._window(label_ns)
        index = bisect_right(window.starts_ns, label_ns) - 1
        for stretch in window.stretches[index : index + 2]:  # the label may precede its stretch
            if stretch.start_ns < end_ns and label_ns < stretch.end_ns:
                return self.bar_of(max(label_ns, stretch.start_ns) + 1, duration_ns)
        day = self.trading_day_of(label_ns)
        return BarSpan(label_ns, end_ns, day, False, False, label_ns, end_ns)

    def next_span(self, span: BarSpan, duration_ns: int) -> BarSpan:
        """The bar that follows `span`, over breaks, nights and holidays."""
        return self.bar_of(span.until_ns + 1, duration_ns)

    def spans_between(self, after: BarSpan, before: BarSpan, duration_ns: int) -> Iterator[BarSpan]:
        """The bars strictly between two bars: the ones in which no tick came."""
        span = self.next_span(after, duration_ns)
        while span.start_ns < before.start_ns:
            yield span
            span = self.next_span(span, duration_ns)

    def _trading_day_from(self, day: date) -> date:
        """`day`, or the first trading day after it."""
        return day if self.calendar.is_trading_day(day) else self.calendar.next_day(day)

    def _lay_out(self, day: date) -> tuple[Stretch, ...]:
        if not self.calendar.is_trading_day(day):
            return ()
        eve = self.calendar.previous_day(day)
        late_ns = _clock(LATE_NIGHTS.get(eve, "00:00:00"))
        night = self._night if has_night(eve, day) else ()
        parts = [
            (midnight_ns(eve), [(max(start, late_ns), end) for start, end in night]),
            (midnight_ns(day), self._day),
        ]
        return tuple(
            Stretch(origin + start, origin + end, day)
            for origin, offsets in parts
            for start, end in offsets
        )

    def _window(self, time_ns: int) -> _Window:
        day = (time_ns + BEIJING_OFFSET_NS) // DAY_NS
        found = self._windows.get(day)
        if found is None:
            found = _kept(self._windows, day, self._build_window(beijing_date(time_ns)))
        return found

    def _build_window(self, day: date) -> _Window:
        """Two trading days before and after `day`: what any bar near it can touch."""
        previous, following = self.calendar.previous_day, self.calendar.next_day
        before, after = previous(day), following(day)
        days = (previous(before), before, day, after, following(after))
        stretches = tuple(stretch for each in days for stretch in self.stretches(each))
        reach = [stretches[0].start_ns]
        reach += [_reach(a, b) for a, b in pairwise(stretches)]
        return _Window(stretches, tuple(s.start_ns for s in stretches), tuple(reach))


def _kept(cache: dict[K, V], key: K, value: V) -> V:
    if len(cache) >= CACHED:
        cache.clear()
    cache[key] = value
    return value


def _span(window: _Window, index: int, label_ns: int, duration_ns: int) -> BarSpan:
    """The bar labelled `label_ns` that holds a part of stretch `index`."""
    stretches = window.stretches
    day, stop_ns = stretches[index].trading_day, label_ns + duration_ns
    # a day's bar holds all of its trading day, the night before its label included
    from_ns = stretches[0].start_ns if duration_ns == DAY_NS else label_ns
    first = last = index
    while stretches[first - 1].trading_day == day and stretches[first - 1].end_ns > from_ns:
        first -= 1
    while stretches[last + 1].trading_day == day and stretches[last + 1].start_ns < stop_ns:
        last += 1
    begins = from_ns <= stretches[first].start_ns
    ends = stop_ns >= stretches[last].end_ns
    return BarSpan(
        start_ns=label_ns,
        end_ns=min(stop_ns, stretches[last].end_ns),
        trading_day=day,
        fresh=begins,
        first=begins and stretches[first - 1].trading_day != day,
        after_ns=window.reach_ns[first] if begins else label_ns,
        until_ns=window.reach_ns[last + 1] if ends else stop_ns,
    )


def _reach(before: Stretch, after: Stretch) -> int:
    """Ticks up to this moment belong to the stretch `before`, later ones to `after`."""
    if before.trading_day != after.trading_day:
        return midnight_ns(beijing_date(before.end_ns)) + DAY_TURNS_NS
    pause_ns = after.start_ns - before.end_ns
    return after.start_ns - min(LONGEST_PRE_OPEN_NS, pause_ns // 2)


def _offsets(trading_time: TradingTime, part: str) -> tuple[tuple[int, int], ...]:
    return tuple((_clock(start), _clock(end)) for start, end in trading_time.get(part) or ())


def _clock(text: str) -> int:
    """Nanoseconds after midnight: "25:00:00" is 1 a.m. of the next day."""
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return (hours * 3_600 + minutes * 60 + seconds) * SECOND_NS
