"""One symbol's recorded ticks by trading day, kept as they are, after-hours ones included."""

from __future__ import annotations

import math
from datetime import date

import numpy as np

from ..errors import BadReplayFile
from .calendar import MarketCalendar
from .daybars import Bools, DayBars
from .days import DaySummary, cut_into_days
from .records import TickRecord
from .values import HOUR_NS, Contract, DayTerms, Level, MarketTick

__all__ = ["TickRecording"]

# Longest silence of ticks without ids, in open market time, that is no hole of the record.
LONGEST_SILENCE_NS = HOUR_NS
BOOK_DEPTH = 5


class TickRecording:
    """Recorded ticks, auction and after-hours ones included."""

    skips_unseen = True
    duration_ns = 0  # no klines

    def __init__(self, record: TickRecord, contract: Contract, calendar: MarketCalendar) -> None:
        self._record, self._calendar, self.contract = record, calendar, contract
        self._slices = _priced_days(record, calendar)
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
        price = price[np.isfinite(price)]
        average = self._average(part)[-1] if "amount" in columns else price[-1]
        average = columns["average"][part][-1] if "average" in columns else average
        average = average if math.isfinite(average) else price[-1]  # a day without a trade
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


def _priced_days(record: TickRecord, calendar: MarketCalendar) -> dict[date, slice]:
    """Where each day's ticks lie, of days that have a price: a new contract has none at first."""
    priced = np.isfinite(record.columns["last_price"])
    days = cut_into_days(record.time_ns, calendar, whole=False)
    found = {day: part for day, part in days.items() if priced[part].any()}
    if not found:
        raise BadReplayFile(record.path, "no last_price at all", "ticks of a traded contract")
    return found


def _finite_max(values: list[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=-math.inf)
