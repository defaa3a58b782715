"""Official klines of days that are over: from columns at once, what `klines` grows tick by tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np

from .calendar import MarketCalendar
from .daybars import Bools, DayBars, Floats, Ints
from .klines import KlineBuilder, day_labels
from .listing import MAIN
from .source import Source
from .values import DAY_NS, Contract, KlineRow, MarketTick

__all__ = ["PastKlines", "merge", "rows_of"]

DayTicks = Callable[[str, date], Sequence[MarketTick]]


class PastKlines:
    """One official series over trading days that are over.

    Made from the source's own klines where those divide the duration, else grown from ticks.
    """

    def __init__(
        self,
        source: Source,
        calendar: MarketCalendar,
        contract: Contract,
        duration_ns: int,
        day_ticks: DayTicks,
    ) -> None:
        self._source, self._calendar = source, calendar
        self._contract, self._duration_ns = contract, duration_ns
        self._day_ticks = day_ticks

    def until(self, today: date, count: int) -> tuple[list[KlineRow], KlineBuilder]:
        """The last `count` rows or more of the days before `today`, and what makes the next."""
        days = self._source.days_before(self._contract.symbol, today)
        used = len(days) - self._days_for(days, count)
        earlier = self._labels_in(days[:used])
        shorter = self._source.bar_duration(self._traded(today))
        if shorter and self._duration_ns % shorter == 0:
            rows = self._from_klines(days[used:])
            builder = self._builder(rows[-1] if rows else None, today)
        else:
            builder = self._builder(None, today)
            rows = self._from_ticks(builder, days[used:], count)
        for row in rows:
            row.id += earlier
        return rows, builder

    def _from_klines(self, days: Sequence[date]) -> list[KlineRow]:
        bars = [self._source.bars(self._traded(day), day) for day in days]
        found = [each for each in bars if each is not None]
        labels = [0] * len(found)
        if self._duration_ns >= DAY_NS:
            labels = [self._labels(each.trading_day)[0].start for each in found]
        return rows_of(found, labels, self._duration_ns)

    def _from_ticks(
        self, builder: KlineBuilder, days: Sequence[date], count: int
    ) -> list[KlineRow]:
        rows: list[KlineRow] = []
        for day in days:
            for tick in self._day_ticks(self._contract.symbol, day):
                merge(rows, builder.on_tick(tick))
            del rows[: -count - 1]
        return rows

    def _builder(self, last: KlineRow | None, today: date) -> KlineBuilder:
        return KlineBuilder(
            self._contract,
            self._duration_ns,
            self._calendar,
            last,
            skips_unseen=self._source.skips_unseen(self._traded(today)),
        )

    def _traded(self, day: date) -> str:
        symbol = self._contract.symbol
        return (
            (self._source.main_contract(symbol, day) or "") if symbol.startswith(MAIN) else symbol
        )

    def _labels(self, day: date) -> list[range]:
        return day_labels(self._calendar, self._contract, day, self._duration_ns)

    def _days_for(self, days: Sequence[date], count: int) -> int:
        """How many of the last `days` hold `count` rows and begin with a bar of their own."""
        if not self._source.gapless:
            return len(days)
        rows, used = 0, 0
        for day in reversed(days):
            labels = self._labels(day)
            before = self._labels(self._calendar.previous_trading_day(day))
            joined = labels[0][0] == before[-1][-1]  # one bar holds parts of both days
            used += 1
            if rows >= count and not joined:
                break  # a day more than needed, whose first bars know nothing of the day before
            rows += sum(map(len, labels)) - joined
        return used

    def _labels_in(self, days: Sequence[date]) -> int:
        """How many bars there are in `days` of a market without holes."""
        total, last = 0, -1
        for day in days:
            spans = self._labels(day)
            total += sum(map(len, spans)) - (spans[0][0] == last)
            last = spans[-1][-1]
        return total


def merge(rows: list[KlineRow], grown: Sequence[KlineRow]) -> None:
    """Append those of `grown` that are new; the others are changed in place already."""
    for row in grown:
        if not rows or row.id > rows[-1].id:
            rows.append(row)


def rows_of(
    days: Sequence[DayBars], labels_of_days: Sequence[int], duration_ns: int
) -> list[KlineRow]:
    """Klines of `duration_ns` from shorter ones; ids count from 0.

    labels_of_days: for durations of whole days, the label of each of `days`; else ignored.
    The minutes before a trading day's first trade repeat the carried close and count only where
    nothing else is in the bar.
    """
    if not days:
        return []
    start = np.concatenate([bars.label_ns for bars in days])
    volume = np.concatenate([bars.volume for bars in days])
    idle = np.concatenate([np.cumsum(bars.volume) == 0 for bars in days])
    holes = np.concatenate([bars.after_hole for bars in days])
    opens, highs, lows, closes = (
        np.concatenate([getattr(bars, name) for bars in days])
        for name in ("open", "high", "low", "close")
    )
    open_oi = np.concatenate([bars.open_oi for bars in days])
    close_oi = np.concatenate([bars.close_oi for bars in days])
    if duration_ns >= DAY_NS:
        label = np.repeat(labels_of_days, [len(bars) for bars in days])
    else:
        label = start - start % duration_ns
    _carry(opens, highs, lows, closes, idle & ~holes)
    first = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
    last = np.append(first[1:], len(label)) - 1
    counted = ~idle | np.repeat(np.logical_and.reduceat(idle, first), last - first + 1)
    opening = _first_counted(counted, first)
    high = np.maximum.reduceat(np.where(counted, highs, -np.inf), first)
    low = np.minimum.reduceat(np.where(counted, lows, np.inf), first)
    before = np.concatenate((open_oi[:1], close_oi[last[:-1]]))
    opening_oi = np.where(holes[first], open_oi[first], before)
    columns = (
        label[first], opens[opening], high, low, closes[last],
        np.add.reduceat(volume, first), opening_oi, close_oi[last],
    )  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [KlineRow(number, *row) for number, row in enumerate(rows)]


def _carry(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    carried: Bools,
) -> None:
    """Flatten bars before a day's first trade at the close before them: of a main contract that has
    moved on, that was another contract's."""
    for at in np.flatnonzero(carried[1:]) + 1:
        opens[at] = highs[at] = lows[at] = closes[at] = closes[at - 1]


def _first_counted(counted: Bools, first: Ints) -> Ints:
    at = np.where(counted, np.arange(len(counted)), len(counted))
    found: Ints = np.minimum.reduceat(at, first)
    return found
