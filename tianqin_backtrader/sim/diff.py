"""Rows and fields of the DIFF protocol, made from the exchange's values. Pure.

Missing numbers are written "-", as the public servers do; TqSdk reads them as NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from .values import DayTerms, KlineRow, Level, MarketTick

__all__ = [
    "LONGEST",
    "Fields",
    "beijing_text",
    "forget_old_rows",
    "kline_fields",
    "merge",
    "quote_fields",
    "tick_fields",
]

Fields = dict[str, Any]
LONGEST = 10_000  # rows of a chart, TqSdk's own limit
BEIJING = timezone(timedelta(hours=8))


def beijing_text(time_ns: int) -> str:
    """`2025-12-03 21:00:00.500000`: Beijing time to the microsecond, as quotes carry it."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, BEIJING)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest // 1000:06d}"


def tick_fields(tick: MarketTick, depth: int) -> Fields:
    """A row of the tick serial with `depth` levels of the book."""
    fields = _prices(tick, depth)
    fields["datetime"] = tick.time_ns
    return fields


def quote_fields(tick: MarketTick, terms: DayTerms, day_open: float, depth: int) -> Fields:
    """A whole quote: the tick and what was fixed before the trading day."""
    fields = _prices(tick, depth)
    fields["datetime"] = beijing_text(tick.time_ns)
    fields["open"] = number(day_open)
    fields["close"] = fields["settlement"] = "-"
    fields["upper_limit"], fields["lower_limit"] = terms.upper_limit, terms.lower_limit
    fields["pre_settlement"], fields["pre_close"] = terms.pre_settlement, terms.pre_close
    fields["pre_open_interest"] = terms.pre_open_interest
    return fields


def kline_fields(row: KlineRow) -> Fields:
    return {
        "datetime": row.time_ns,
        "open": row.open,
        "high": row.high,
        "low": row.low,
        "close": row.close,
        "volume": row.volume,
        "open_oi": row.open_oi,
        "close_oi": row.close_oi,
    }


def number(value: float) -> float | str:
    return value if value == value else "-"  # noqa: PLR0124  NaN differs from itself


def merge(into: Fields, diffs: Iterable[Fields]) -> Fields:
    """Fold `diffs` into `into` key by key; None stays, so that it still deletes at the client."""
    for diff in diffs:
        for key, value in diff.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], [value])
            elif isinstance(value, dict):
                into[key] = merge({}, [value])
            else:
                into[key] = value
    return into


def forget_old_rows(diff: Fields, longest: int) -> None:
    """Drop from a merged diff the rows that no chart of `longest` rows can show any more."""
    serials = list(diff.get("ticks", {}).values())
    serials += [serial for by in diff.get("klines", {}).values() for serial in by.values()]
    for serial in serials:
        rows = serial.get("data", {})
        if len(rows) > 2 * longest:
            oldest = serial["last_id"] - longest
            serial["data"] = {key: row for key, row in rows.items() if int(key) > oldest}


def _prices(tick: MarketTick, depth: int) -> Fields:
    fields: Fields = {
        "last_price": number(tick.last_price),
        "highest": number(tick.highest),
        "lowest": number(tick.lowest),
        "average": number(tick.average),
        "volume": tick.volume,
        "amount": tick.amount,
        "open_interest": tick.open_interest,
    }
    _levels(fields, "ask", tick.asks, depth)
    _levels(fields, "bid", tick.bids, depth)
    return fields


def _levels(fields: Fields, side: str, levels: tuple[Level, ...], depth: int) -> None:
    price, volume = f"{side}_price", f"{side}_volume"
    for n, (level_price, level_volume) in enumerate(levels[:depth], 1):
        fields[f"{price}{n}"], fields[f"{volume}{n}"] = level_price, level_volume
    for n in range(len(levels) + 1, depth + 1):
        fields[f"{price}{n}"], fields[f"{volume}{n}"] = "-", 0
