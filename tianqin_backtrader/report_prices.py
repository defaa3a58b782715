"""Prices for the report's charts, and where the fills lie on them.

The journal holds no bars: they come from market records, as `LocalExchange(replay=...)` reads them.
Without records a contract's prices are those of its fills.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .report_trips import Fill
from .sim.records import KlineRecord, TickRecord, read_records

__all__ = ["MOST_CANDLES", "Candle", "Mark", "Prices", "read_prices"]

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
MOST_CANDLES = 12_000  # of one contract: more are merged, by the clock
STEPS_NS = tuple(n * MINUTE_NS for n in (1, 5, 15, 30, 60, 240, 1440))

Candle = tuple[
    int, float, float, float, float
]  # start in ns since 1970 UTC, open, high, low, close


@dataclass(frozen=True, slots=True)
class Mark:
    """Fills of one candle: bought or sold, to open or to close."""

    at_ns: int  # start of the candle
    is_buy: bool
    is_open: bool
    lots: int
    price: float  # average


@dataclass(frozen=True, slots=True)
class Prices:
    """A contract's prices; `source`: klines, ticks, or fills, which have no candles but points."""

    symbol: str
    source: str
    duration_ns: int  # of a candle; 0: points
    candles: tuple[Candle, ...]
    marks: tuple[Mark, ...]


def read_prices(
    fills: Sequence[Fill], span_ns: tuple[int, int], paths: Sequence[Path]
) -> list[Prices]:
    """Of every contract with fills, then of the others that the records hold, within a span.

    Raises `BadReplayFile`.
    """
    records = read_records(paths) if paths else {}
    by_symbol: dict[str, list[Fill]] = {}
    for fill in fills:
        by_symbol.setdefault(fill.symbol, []).append(fill)
    busiest = sorted(by_symbol, key=lambda symbol: -len(by_symbol[symbol]))
    rest = [symbol for symbol in records if symbol not in by_symbol]
    found = [_prices(s, by_symbol.get(s, []), records, span_ns) for s in [*busiest, *rest]]
    return [each for each in found if each.candles]


def _prices(
    symbol: str,
    fills: Sequence[Fill],
    records: Mapping[str, KlineRecord | TickRecord],
    span_ns: tuple[int, int],
) -> Prices:
    record = records.get(symbol)
    frame = pd.DataFrame() if record is None else _frame(record, *span_ns)
    if record is None or frame.empty:
        points = tuple(_points(fills))
        return Prices(symbol, "fills", 0, points, tuple(_marks(fills, points)))
    source = "klines" if isinstance(record, KlineRecord) else "ticks"
    given_ns = record.duration_ns if isinstance(record, KlineRecord) else MINUTE_NS
    duration_ns, merged = _merged(frame, given_ns)
    candles = tuple(merged.itertuples(name=None))
    return Prices(symbol, source, duration_ns, candles, tuple(_marks(fills, candles)))


def _frame(record: KlineRecord | TickRecord, first_ns: int, last_ns: int) -> pd.DataFrame:
    """Prices by time within the span; those of ticks by their minute."""
    inside = (record.time_ns >= first_ns) & (record.time_ns <= last_ns)
    names = ("open", "high", "low", "close")
    if isinstance(record, KlineRecord):
        columns = {name: record.columns[name][inside] for name in names}
        klines: pd.DataFrame = pd.DataFrame(columns, index=record.time_ns[inside])
        return klines
    inside &= np.isfinite(record.columns["last_price"])
    last = pd.Series(record.columns["last_price"][inside], index=record.time_ns[inside])
    parts = last.groupby(last.index // MINUTE_NS * MINUTE_NS).agg(["first", "max", "min", "last"])
    minutes: pd.DataFrame = parts.set_axis(list(names), axis=1)
    return minutes


def _merged(frame: pd.DataFrame, given_ns: int) -> tuple[int, pd.DataFrame]:
    """No more candles than a page bears: of the shortest duration that makes it so."""
    if len(frame) <= MOST_CANDLES:
        return given_ns, frame
    columns = {"open": "first", "high": "max", "low": "min", "close": "last"}
    found, step = frame, given_ns
    for step in (step for step in STEPS_NS if step > given_ns):
        # Beijing's days begin at 16:00 UTC: both are whole hours, so the offset matters to 24 h
        labels = (frame.index + 8 * HOUR_NS) // step * step - 8 * HOUR_NS
        found = frame.groupby(labels).agg(columns)
        if len(found) <= MOST_CANDLES:
            return step, found
    return step, found


def _points(fills: Iterable[Fill]) -> Iterable[Candle]:
    """The last price of each second with fills."""
    last = {fill.at_ns // SECOND_NS * SECOND_NS: fill.price for fill in fills}
    for at_ns, price in sorted(last.items()):
        yield at_ns, price, price, price, price


def _marks(fills: Iterable[Fill], candles: Sequence[Candle]) -> Iterable[Mark]:
    starts = [candle[0] for candle in candles]
    groups: dict[tuple[int, bool, bool], list[Fill]] = {}
    for fill in fills:
        place = max(bisect_right(starts, fill.at_ns) - 1, 0)
        key = starts[place], fill.direction == "BUY", fill.is_open
        groups.setdefault(key, []).append(fill)
    for (at_ns, is_buy, is_open), each in sorted(groups.items()):
        lots = sum(fill.volume for fill in each)
        price = sum(fill.price * fill.volume for fill in each) / lots
        yield Mark(at_ns, is_buy, is_open, lots, price)
