"""One symbol's records, cut into trading days: as klines, or as ticks kept as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import numpy as np

from ..errors import BadReplayFile
from .calendar import MarketCalendar
from .daybars import Bools, DayBars, Ints, count_ticks, walk
from .hours import fitted_hours
from .klines import day_labels
from .minting import mint
from .records import KlineRecord, TickRecord
from .seeds import generator
from .values import (
    BEIJING_OFFSET_NS,
    DAY_NS,
    HOUR_NS,
    Contract,
    DayTerms,
    Level,
    MarketTick,
)

__all__ = ["DaySummary", "KlineRecording", "TickRecording"]

# Longest silence of ticks without ids, in open market time, that is no hole of the record.
LONGEST_SILENCE_NS = HOUR_NS
BOOK_DEPTH = 5
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class DaySummary:
    """What a recorded day tells the terms of the next one."""

    open: float
    close: float
    highest: float
    lowest: float
    average: float
    open_oi: int
    close_oi: int
    volume: int


class KlineRecording:
    """Recorded klines, and the ticks that make them."""

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
        self._slices = _days(record.time_ns, calendar, whole=record.duration_ns >= DAY_NS)
        labels = {day: record.time_ns[part] for day, part in self._slices.items()}
        hours = fitted_hours(contract, labels, record.duration_ns, calendar)
        self.contract = replace(contract, trading_time=hours)
        self._holes = self._find_holes()
        self.days = list(self._slices)

    def bars(self, day: date) -> DayBars | None:
        """The klines of `day`; None where none were recorded."""
        part = self._slices.get(day)
        if part is None:
            return None
        whole, prices = ("volume", "open_oi", "close_oi"), ("open", "high", "low", "close")
        columns = self._record.columns
        return DayBars(
            day,
            self.duration_ns,
            self._record.time_ns[part],
            *(columns[name][part] for name in prices),
            *(columns[name][part].astype(np.int64) for name in whole),
            self._holes[part],
        )

    def ticks(self, day: date, terms: DayTerms) -> list[MarketTick]:
        bars = self.bars(day)
        if bars is None:
            return []
        stretches = self._calendar.stretches(self.contract, day)
        made = walk(bars, stretches, self.contract, self._pace, self._generator(day, "walk"))
        if day == self.days[0]:
            made.after_hole[0] = False  # no tick was ever before it
        return mint(made, self.contract, terms, self._generator(day, "book"))

    def tick_ids(self, day: date) -> int:
        """How many ids the ticks of `day` take, skipped ones included."""
        bars = self.bars(day)
        if bars is None:
            return 0
        stretches = self._calendar.stretches(self.contract, day)
        return count_ticks(bars, stretches, self._pace) - (day == self.days[0])

    def summary(self, day: date) -> DaySummary:
        bars = self.bars(day)
        if bars is None:
            raise KeyError(day)
        stretches = self._calendar.stretches(self.contract, day)
        made = walk(bars, stretches, self.contract, self._pace, self._generator(day, "walk"))
        lots = int(made.volume[-1])
        amount = float(made.amount_cny[-1]) / self.contract.volume_multiple
        return DaySummary(
            float(bars.open[0]),
            float(bars.close[-1]),
            float(bars.high.max()),
            float(bars.low.min()),
            amount / lots if lots else float(bars.close[-1]),
            int(bars.open_oi[0]),
            int(bars.close_oi[-1]),
            lots,
        )

    def fixed_terms(self, day: date) -> dict[str, float]:
        return {}

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
        days = list(self._slices)
        day, last = days[0], -1
        while day <= days[-1]:
            for labels in day_labels(self._calendar, self.contract, day, self.duration_ns):
                for label in labels:
                    if label > last:
                        yield label
                    last = label
            day = self._calendar.next_trading_day(day)


class TickRecording:
    """Recorded ticks, auction and after-hours ones included."""

    skips_unseen = True
    duration_ns = 0  # no klines

    def __init__(self, record: TickRecord, contract: Contract, calendar: MarketCalendar) -> None:
        self._record, self._calendar, self.contract = record, calendar, contract
        self._slices = _days(record.time_ns, calendar, whole=False)
        self.days = list(self._slices)
        self._holes = self._find_holes()

    def bars(self, day: date) -> DayBars | None:
        return None

    def ticks(self, day: date, terms: DayTerms) -> list[MarketTick]:
        part = self._slices.get(day)
        if part is None:
            return []
        columns = self._record.columns
        amount = columns.get("amount")
        average = self._average(part) if amount is not None else columns["last_price"][part]
        highest, lowest = self._extreme("highest", part), self._extreme("lowest", part)
        rows = zip(
            self._record.time_ns[part].tolist(),
            columns["last_price"][part].tolist(),
            highest,
            lowest,
            (columns["average"][part] if "average" in columns else average).tolist(),
            columns["volume"][part].astype(np.int64).tolist(),
            (amount[part] if amount is not None else average * 0).tolist(),
            columns["open_interest"][part].astype(np.int64).tolist(),
            self._side("bid", part),
            self._side("ask", part),
            self._holes[part].tolist(),
            strict=True,
        )
        symbol = self.contract.symbol
        return [MarketTick(symbol, row[0], terms.trading_day, *row[1:]) for row in rows]

    def tick_ids(self, day: date) -> int:
        part = self._slices.get(day)
        return part.stop - part.start + int(self._holes[part].sum()) if part else 0

    def summary(self, day: date) -> DaySummary:
        part = self._slices[day]
        columns = self._record.columns
        price, oi = columns["last_price"][part], columns["open_interest"][part]
        average = self._average(part)[-1] if "amount" in columns else price[-1]
        average = columns["average"][part][-1] if "average" in columns else average
        return DaySummary(
            float(price[0]),
            float(price[-1]),
            max(float(price.max()), _finite_max(self._extreme("highest", part))),
            min(float(price.min()), -_finite_max([-p for p in self._extreme("lowest", part)])),
            float(average),
            int(oi[0]),
            int(oi[-1]),
            int(columns["volume"][part][-1]),
        )

    def fixed_terms(self, day: date) -> dict[str, float]:
        """What the record itself says of the day's terms (CTP does), by `DayTerms`' names."""
        names = ("pre_settlement", "pre_close", "pre_open_interest", "upper_limit", "lower_limit")
        part, columns = self._slices.get(day), self._record.columns
        if part is None:
            return {}
        said = {name: float(columns[name][part][0]) for name in names if name in columns}
        return {name: value for name, value in said.items() if math.isfinite(value)}

    def _average(self, part: slice) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        columns = self._record.columns
        lots = columns["volume"][part] * self.contract.volume_multiple
        traded = lots > 0
        return np.where(traded, columns["amount"][part] / np.where(traded, lots, 1), np.nan)

    def _extreme(self, name: str, part: slice) -> list[float]:
        columns = self._record.columns
        if name in columns:
            found: list[float] = columns[name][part].tolist()
            return found
        best = np.maximum if name == "highest" else np.minimum
        running: list[float] = best.accumulate(columns["last_price"][part]).tolist()
        return running

    def _side(self, side: str, part: slice) -> list[tuple[Level, ...]]:
        """The levels that have a price and a volume, best first."""
        columns = self._record.columns
        depth = [n for n in range(1, BOOK_DEPTH + 1) if f"{side}_price{n}" in columns]
        prices = zip(*(columns[f"{side}_price{n}"][part].tolist() for n in depth), strict=True)
        volumes = zip(*(columns[f"{side}_volume{n}"][part].tolist() for n in depth), strict=True)
        return [
            tuple((p, int(v)) for p, v in zip(row, lots, strict=True) if v > 0 and math.isfinite(p))
            for row, lots in zip(prices, volumes, strict=True)
        ]

    def _find_holes(self) -> Bools:
        """Where ids jump; without ids, where the open market was silent for too long."""
        ids = self._record.columns.get("id")
        if ids is not None:
            holes: Bools = np.diff(ids, prepend=ids[0] - 1) != 1
            return holes
        times = self._record.time_ns
        holes = np.zeros(len(times), bool)
        for at in np.flatnonzero(np.diff(times) > LONGEST_SILENCE_NS).tolist():
            silent_ns = self._open_between(int(times[at]), int(times[at + 1]))
            holes[at + 1] = silent_ns > LONGEST_SILENCE_NS
        return holes

    def _open_between(self, after_ns: int, until_ns: int) -> int:
        day, last = (self._calendar.trading_day_of(t) for t in (after_ns, until_ns))
        open_ns = 0
        while day <= last and open_ns <= LONGEST_SILENCE_NS:
            for start, end in self._calendar.stretches(self.contract, day):
                open_ns += max(0, min(end, until_ns) - max(start, after_ns))
            day = self._calendar.next_trading_day(day)
        return open_ns


def _days(times: Ints, calendar: MarketCalendar, *, whole: bool) -> dict[date, slice]:
    """Where each trading day's rows lie; `whole`: labels of daily klines, which are dates."""
    shift_ns = BEIJING_OFFSET_NS + (0 if whole else 6 * HOUR_NS)
    numbers = (times + shift_ns) // DAY_NS
    cuts = [*np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1)).tolist(), len(times)]
    found: dict[date, slice] = {}
    for start, end in pairwise(cuts):
        day = calendar.first_trading_day(date.fromordinal(EPOCH_ORDINAL + int(numbers[start])))
        found[day] = slice(found[day].start if day in found else start, end)
    return found


def _finite_max(values: list[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=-math.inf)
