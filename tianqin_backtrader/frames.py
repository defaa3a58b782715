"""Bars, ticks and contracts as DataFrames, in Beijing time, their sessions named.

Index: a bar's end, or a tick's time, tz-aware in Asia/Shanghai. `trading_day` is a date without a
time; `session` says when they traded: "night", "morning", "afternoon", joined by "+" for a bar over
several of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from .sessions import BarSpan, Sessions, Stretch, midnight_ns
from .values import Bar, Tick

__all__ = [
    "BAR_COLUMNS",
    "TICK_COLUMNS",
    "bar_frame",
    "beijing_index",
    "contract_frame",
    "session_of",
    "tick_frame",
]

HOUR_NS = 3_600_000_000_000
ZONE = "Asia/Shanghai"
NIGHT, MORNING, AFTERNOON = "night", "morning", "afternoon"
BAR_COLUMNS = (
    "open", "high", "low", "close", "volume", "open_interest", "trading_day", "session",
)  # fmt: skip
TICK_COLUMNS = (
    "last_price", "volume", "amount", "open_interest", "bid_price", "bid_volume", "ask_price",
    "ask_volume", "trading_day", "session",
)  # fmt: skip
CONTRACT_COLUMNS = (
    "name", "product", "delivery", "expires", "volume_multiple", "price_tick", "margin_cny",
    "commission_cny", "max_limit_order_volume", "main",
)  # fmt: skip


def beijing_index(times_ns: Iterable[int], name: str) -> pd.DatetimeIndex:
    """Times, ns since 1970 UTC, as an index in Beijing time."""
    moments = pd.to_datetime(pd.Series(list(times_ns), dtype="int64"), utc=True)
    index: pd.DatetimeIndex = pd.DatetimeIndex(moments, name=name).tz_convert(ZONE)
    return index


def session_of(sessions: Sessions, trading_day: date, start_ns: int, end_ns: int) -> str:
    """The sessions of `trading_day` that a bar from `start_ns` to `end_ns` covers.

    A bar outside today's hours, which have changed over the years, is named by the clock.
    """
    is_day = start_ns == midnight_ns(trading_day) and end_ns - start_ns > 6 * HOUR_NS  # its label
    names = [
        _name(stretch)
        for stretch in sessions.stretches(trading_day)
        if is_day or (stretch.start_ns < end_ns and start_ns < stretch.end_ns)
    ]
    if not names:
        names = [_name(Stretch(end_ns - 1, end_ns, trading_day))]
    return "+".join(dict.fromkeys(names))


def bar_frame(bars: Sequence[Bar], sessions: Sessions) -> pd.DataFrame:
    """Bars, oldest first; prices in CNY, volume and open interest in lots."""
    named = [session_of(sessions, bar.trading_day, bar.start_ns, bar.end_ns) for bar in bars]
    columns: dict[str, list[Any]] = {
        "open": [bar.open for bar in bars],
        "high": [bar.high for bar in bars],
        "low": [bar.low for bar in bars],
        "close": [bar.close for bar in bars],
        "volume": [bar.volume for bar in bars],
        "open_interest": [bar.close_oi for bar in bars],
        "trading_day": [bar.trading_day for bar in bars],
        "session": named,
    }
    return _frame(columns, beijing_index((bar.end_ns for bar in bars), "end"))


def tick_frame(ticks: Sequence[tuple[Tick, BarSpan]], sessions: Sessions) -> pd.DataFrame:
    """Ticks, oldest first, each beside the bar that it belongs to.

    `volume` (lots) and `amount` (CNY) count from the trading day's beginning. A tick before the
    opening belongs to the session that it opens.
    """
    names = [name for name in TICK_COLUMNS if name not in ("trading_day", "session")]
    columns: dict[str, list[Any]] = {
        name: [getattr(tick, name) for tick, _ in ticks] for name in names
    }
    spans = [span for _, span in ticks]
    columns["trading_day"] = [span.trading_day for span in spans]
    columns["session"] = [
        session_of(sessions, span.trading_day, span.start_ns, span.end_ns) for span in spans
    ]
    return _frame(columns, beijing_index((tick.time_ns for tick, _ in ticks), "time"))


def contract_frame(rows: Sequence[Mapping[str, Any]], mains: set[str]) -> pd.DataFrame:
    """Listed contracts by symbol, those that expire first coming first; margin, fee: CNY a lot.

    `main`: whether the product's main contract (KQ.m@...) follows it now.
    """
    columns: dict[str, Any] = {
        "name": [row.get("instrument_name") or "" for row in rows],
        "product": [row.get("product_id") or "" for row in rows],
        "delivery": [_month(row) for row in rows],
        "expires": beijing_index((int(row.get("expire_datetime") or 0) for row in rows), "expires"),
    }
    for name, source in (
        ("volume_multiple", "volume_multiple"),
        ("price_tick", "price_tick"),
        ("margin_cny", "margin"),
        ("commission_cny", "commission"),
        ("max_limit_order_volume", "max_limit_order_volume"),
    ):
        columns[name] = pd.to_numeric(pd.Series([row.get(source) for row in rows]), errors="coerce")
    columns["main"] = [row["instrument_id"] in mains for row in rows]
    index = pd.Index([str(row["instrument_id"]) for row in rows], name="symbol")
    frame: pd.DataFrame = pd.DataFrame(
        {name: list(columns[name]) for name in CONTRACT_COLUMNS}, index=index
    )
    return frame


def _frame(columns: Mapping[str, list[Any]], index: pd.DatetimeIndex) -> pd.DataFrame:
    frame: pd.DataFrame = pd.DataFrame(
        {name: pd.Series(values) for name, values in columns.items()}
    )
    for name in frame.columns:
        kind = _KINDS.get(str(name), "float64")
        frame[name] = frame[name].astype(kind)
    frame.index = index
    return frame


_KINDS: dict[str, Any] = {
    "volume": "int64",
    "open_interest": "int64",
    "bid_volume": "int64",
    "ask_volume": "int64",
    "trading_day": "datetime64[ns]",
    "session": "str",
}


def _name(stretch: Stretch) -> str:
    """Night sessions begin on the evening before their trading day, or after midnight before 6."""
    hour = (stretch.start_ns - midnight_ns(stretch.trading_day)) // HOUR_NS
    if hour < 6 or hour >= 18:
        return NIGHT
    return MORNING if hour < 12 else AFTERNOON


def _month(row: Mapping[str, Any]) -> str:
    year, month = row.get("delivery_year") or 0, row.get("delivery_month") or 0
    return f"{int(year):04d}-{int(month):02d}" if year and month else ""
