"""One symbol's recorded klines by trading day, and the ticks that make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import numpy as np

from ..errors import BadReplayFile
from .calendar import MarketCalendar
from .daybars import Bools, DayBars, DayWalk, Ints, count_ticks, walk
from .days import DaySummary, cut_into_days
from .hours import fitted_hours
from .klines import day_labels
from .minting import mint
from .records import KlineRecord
from .seeds import generator
from .values import BEIJING_OFFSET_NS, DAY_NS, Contract, DayTerms, MarketTick

__all__ = ["KlineRecording"]


class KlineRecording:
    """Recorded klines, and ticks that make exactly these. Raises `BadReplayFile`."""

    skips_unseen = False

    def __init__(
        self,
        record: KlineRecord,
        contract: Contract,
        calendar: MarketCalendar,
        ticks_per_minute: int,
        seed: int,
    ) -> None:
        self._record, self._calendar = record, calendar
        self._pace, self._seed = ticks_per_minute, seed
        self.duration_ns = record.duration_ns
        self._slices = cut_into_days(record.time_ns, calendar, whole=record.duration_ns >= DAY_NS)
        self.days = list(self._slices)
        labels = {day: record.time_ns[part] for day, part in self._slices.items()}
        hours = fitted_hours(contract, labels, record.duration_ns, calendar)
        self.contract = replace(contract, trading_time=hours)
        self._holes = self._find_holes()

    def bars(self, day: date) -> DayBars | None:
        """The klines of `day`; None where none were recorded."""
        return self._bars(day) if day in self._slices else None

    def ticks(self, day: date, terms: DayTerms) -> list[MarketTick]:
        if day not in self._slices:
            return []
        made = self._walk(self._bars(day))
        if day == self.days[0]:
            made.after_hole[0] = False  # no tick was ever before it
        return mint(made, self.contract, terms, self._generator(day, "book"))

    def tick_ids(self, day: date) -> int:
        """How many ids the ticks of `day` take, skipped ones included."""
        if day not in self._slices:
            return 0
        stretches = self._calendar.stretches(self.contract, day)
        return count_ticks(self._bars(day), stretches, self._pace) - (day == self.days[0])

    def summary(self, day: date) -> DaySummary:
        """What the recorded day `day` came to; its average is that of its ticks."""
        bars = self._bars(day)
        made = self._walk(bars)
        lots = int(made.volume[-1])
        amount = float(made.amount_cny[-1]) / self.contract.volume_multiple
        return DaySummary(
            open=float(bars.open[0]),
            close=float(bars.close[-1]),
            highest=float(bars.high.max()),
            lowest=float(bars.low.min()),
            average=amount / lots if lots else float(bars.close[-1]),
            open_oi=int(bars.open_oi[0]),
            close_oi=int(bars.close_oi[-1]),
            volume=lots,
        )

    def fixed_terms(self, day: date) -> dict[str, float]:
        """What the record says of the day's terms: klines say nothing."""
        return {}

    def _bars(self, day: date) -> DayBars:
        part = self._slices[day]
        prices = {n: self._record.columns[n][part] for n in ("open", "high", "low", "close")}
        return DayBars(
            day,
            self.duration_ns,
            self._record.time_ns[part],
            **prices,
            volume=self._whole("volume", part),
            open_oi=self._whole("open_oi", part),
            close_oi=self._whole("close_oi", part),
            after_hole=self._holes[part],
        )

    def _whole(self, name: str, part: slice) -> Ints:
        return self._record.columns[name][part].astype(np.int64)

    def _walk(self, bars: DayBars) -> DayWalk:
        stretches = self._calendar.stretches(self.contract, bars.trading_day)
        rng = self._generator(bars.trading_day, "walk")
        return walk(bars, stretches, self.contract, self._pace, rng)

    def _generator(self, day: date, purpose: str) -> np.random.Generator:
        return generator(self._seed, self.contract.symbol, day.toordinal(), purpose)

    def _find_holes(self) -> Bools:
        """Before which klines others are missing; the first one of all counts as such."""
        expected = np.fromiter(self._expected(), np.int64)
        labels = self._record.time_ns
        at = np.minimum(np.searchsorted(expected, labels), len(expected) - 1)
        stray = np.flatnonzero(expected[at] != labels)
        if len(stray):
            moment = np.datetime64(int(labels[stray[0]]) + BEIJING_OFFSET_NS, "ns")
            raise BadReplayFile(
                self._record.path,
                f"a kline labelled {moment.astype('datetime64[s]')}",
                f"labels within the trading hours {self.contract.trading_time} of trading days",
            )
        holes: Bools = np.diff(at, prepend=-1) != 1
        holes[0] = True
        return holes

    def _expected(self) -> Iterator[int]:
        """Every label from the first recorded day to the last."""
        day, last = self.days[0], -1
        while day <= self.days[-1]:
            for labels in day_labels(self._calendar, self.contract, day, self.duration_ns):
                yield from (label for label in labels if label > last)
                last = labels[-1]
            day = self._calendar.next_trading_day(day)
