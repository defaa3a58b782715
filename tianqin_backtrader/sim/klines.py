"""The official klines, made from ticks one by one, as TqSdk's servers make them.

A bar's label L is its start; a tick at t belongs to it when L < t <= L + d. Bars of less than a day
take the floor of the clock, counted from 1970-01-01 00:00 UTC (real records decide only for
durations that divide 8 hours; for others this is the same floor carried on). A bar of n days holds
n consecutive trading days and is labelled 00:00 Beijing time of the first of them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date

from .calendar import MarketCalendar, beijing_midnight_ns
from .values import (
    BEIJING_OFFSET_NS,
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    Contract,
    KlineRow,
    MarketTick,
    Stretch,
)

__all__ = ["KlineBuilder", "day_labels", "floor_label"]

FOREVER_NS = 2**62
# In a pause the ticks of its second half, but of its last hour at most, announce the next stretch.
LONGEST_PRE_OPEN_NS = HOUR_NS


def floor_label(time_ns: int, duration_ns: int) -> int:
    """Label of the bar that begins at or before `time_ns`.

    Multiples of the duration since 1970 UTC; whole days begin at 00:00 Beijing time.
    """
    if duration_ns % DAY_NS == 0:
        return time_ns - (time_ns + BEIJING_OFFSET_NS) % duration_ns
    return time_ns - time_ns % duration_ns


def day_labels(
    calendar: MarketCalendar, contract: Contract, day: date, duration_ns: int
) -> list[range]:
    """Labels of all bars that hold a part of trading day `day`, in order, none twice."""
    if duration_ns >= DAY_NS:
        label = _label_of_day(calendar, day, duration_ns)
        return [range(label, label + 1)]
    labels: list[range] = []
    for start, end in calendar.stretches(contract, day):
        first, last = floor_label(start, duration_ns), floor_label(end - 1, duration_ns)
        if labels:
            first = max(first, labels[-1][-1] + duration_ns)
        if first <= last:
            labels.append(range(first, last + 1, duration_ns))
    return labels


class KlineBuilder:
    """Grows one official series tick by tick.

    last: the newest row before the first tick, None where the series begins; changed in place.
    skips_unseen: whether the cumulative volume counts lots that traded before the record began or
    in a hole of it; such lots belong to no bar.
    """

    def __init__(
        self,
        contract: Contract,
        duration_ns: int,
        calendar: MarketCalendar,
        last: KlineRow | None = None,
        *,
        skips_unseen: bool = False,
    ) -> None:
        self.last = last
        self._contract = contract
        self._duration_ns = duration_ns
        self._calendar = calendar
        self._skips_unseen = skips_unseen
        self._day: date | None = None
        self._stretches: tuple[Stretch, ...] = ()
        self._volume = 0  # lots of the trading day so far
        self._after_ns = self._until_ns = 0  # ticks of the open bar: after_ns < t <= until_ns

    def on_tick(self, tick: MarketTick) -> list[KlineRow]:
        """Rows that changed or are new, newest last; untraded periods in between included.

        The newest row is changed in place by the ticks that follow.
        """
        row = self.last
        if (
            row is not None
            and self._after_ns < tick.time_ns <= self._until_ns
            and tick.trading_day == self._day
        ):
            return [row] if self._count(row, tick) else []
        return self._turn(tick)

    def _turn(self, tick: MarketTick) -> list[KlineRow]:
        """A tick that may begin a bar."""
        if tick.trading_day != self._day:
            self._day, self._volume = tick.trading_day, 0
            self._stretches = self._calendar.stretches(self._contract, tick.trading_day)
        label, begins = self._place(tick.time_ns)
        row = self.last
        if row is not None and label <= row.time_ns:
            return [row] if self._count(row, tick) else []
        if row is None or tick.after_hole:
            return self._begin_afresh(tick, label)
        rows = list(self._untraded(row, label))
        row = rows[-1] if rows else row
        price = tick.last_price if begins and tick.volume else row.close
        return [*rows, self._begin(tick, label, row.id + 1, price, row.close_oi)]

    def _begin_afresh(self, tick: MarketTick, label: int) -> list[KlineRow]:
        """The first bar of the record or after a hole: nothing is carried into it."""
        if math.isnan(tick.last_price):
            return []
        if self._skips_unseen and tick.time_ns > self._stretches[0][0] + MINUTE_NS:
            self._volume = tick.volume
        row_id = 0 if self.last is None else self.last.id + 1
        return [self._begin(tick, label, row_id, tick.last_price, tick.open_interest)]

    def _begin(
        self, tick: MarketTick, label: int, row_id: int, price: float, open_oi: int
    ) -> KlineRow:
        row = KlineRow(row_id, label, price, price, price, price, 0, open_oi, open_oi)
        self.last = row
        self._count(row, tick)
        if self._duration_ns < DAY_NS:
            self._after_ns, self._until_ns = label, label + self._duration_ns
        else:
            self._after_ns, self._until_ns = 0, FOREVER_NS
        return row

    def _count(self, row: KlineRow, tick: MarketTick) -> bool:
        """Take `tick` into `row`; whether that changed anything."""
        price, oi, lots = tick.last_price, tick.open_interest, tick.volume - self._volume
        if not lots and price == row.close and oi == row.close_oi:
            return False
        moved = oi != row.close_oi
        row.close_oi = oi
        if not tick.volume:  # before the day's first trade bars are flat at the carried price
            return moved
        if not self._volume and not row.volume:  # the first trade drops the carried price
            row.open = row.high = row.low = price
        elif price > row.high:
            row.high = price
        elif price < row.low:
            row.low = price
        row.close = price
        row.volume += lots
        self._volume = tick.volume
        return True

    def _place(self, time_ns: int) -> tuple[int, bool]:
        """Label of the bar that a tick belongs to, and whether that bar begins a stretch."""
        start, end = self._stretch_of(time_ns)
        if self._duration_ns >= DAY_NS:
            day = self._day
            label = 0 if day is None else _label_of_day(self._calendar, day, self._duration_ns)
            return label, False
        inside = min(max(time_ns, start + 1), end)
        label = floor_label(inside - 1, self._duration_ns)
        return label, label <= start

    def _stretch_of(self, time_ns: int) -> Stretch:
        found = self._stretches[0]
        for stretch in self._stretches[1:]:
            pause_ns = stretch[0] - found[1]
            if time_ns <= stretch[0] - min(pause_ns // 2, LONGEST_PRE_OPEN_NS):
                break
            found = stretch
        return found

    def _untraded(self, last: KlineRow, until: int) -> Iterator[KlineRow]:
        """Flat rows between `last` and the bar labelled `until`."""
        row_id, price, oi = last.id, last.close, last.close_oi
        for label in self._labels_between(last.time_ns, until):
            row_id += 1
            yield KlineRow(row_id, label, price, price, price, price, 0, oi, oi)

    def _labels_between(self, last: int, until: int) -> Iterator[int]:
        if until <= last + self._duration_ns:
            return
        day = self._calendar.trading_day_of(last)
        while self._day is not None and day <= self._day:
            for labels in day_labels(self._calendar, self._contract, day, self._duration_ns):
                yield from labels[bisect_right(labels, last) : bisect_left(labels, until)]
            day = self._calendar.next_trading_day(day)


def _label_of_day(calendar: MarketCalendar, day: date, duration_ns: int) -> int:
    days = duration_ns // DAY_NS
    if days > 1:
        index = calendar.index(day)
        day = calendar.day_at(index - index % days)
    return beijing_midnight_ns(day)
