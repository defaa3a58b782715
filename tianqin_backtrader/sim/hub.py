"""What the market looks like now, per contract: its quote, its ticks by id, its official klines.

Each change of a contract is worked out once here and shared by every client that subscribed.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .diff import LONGEST, Fields, kline_fields, quote_fields, tick_fields
from .klines import KlineBuilder
from .market import Market
from .minting import DEPTH
from .values import Contract, DayTerms, KlineRow, MarketTick

__all__ = ["Change", "Hub", "Series", "SymbolFeed"]


@dataclass(slots=True)
class Series:
    """Rows of one serial by id; beyond twice the longest chart the oldest are forgotten."""

    first_id: int
    rows: list[Fields] = field(default_factory=list)

    @property
    def last_id(self) -> int:
        return self.first_id + len(self.rows) - 1

    def put(self, row_id: int, fields: Fields) -> None:
        """Add the row of a new id (ids may skip), or replace the newest one."""
        at = row_id - self.first_id
        if not self.rows:
            self.first_id, at = row_id, 0
        if at < len(self.rows):
            self.rows[at] = fields
            return
        self.rows.extend({} for _ in range(at - len(self.rows)))
        self.rows.append(fields)
        if len(self.rows) > 2 * LONGEST:
            del self.rows[:LONGEST]
            self.first_id += LONGEST

    def window(self, left: int, right: int) -> Fields:
        """`{id: row}` from `left` to `right`, of the rows there are."""
        left, right = max(left, self.first_id), min(right, self.last_id)
        rows = self.rows[left - self.first_id : right - self.first_id + 1]
        return {str(left + n): row for n, row in enumerate(rows) if row}

    def id_at(self, time_ns: int) -> int:
        """Id of the last row whose time is not after `time_ns`; the first row's where none is."""
        filled = [n for n, row in enumerate(self.rows) if row]
        at = bisect_right(filled, time_ns, key=lambda n: int(self.rows[n]["datetime"]))
        return self.first_id + (filled[at - 1] if at else 0)

    def id_with_time(self, time_ns: int) -> int | None:
        """Id of the row of exactly this time."""
        at = bisect_left(self.rows, time_ns, key=lambda row: int(row.get("datetime", 0)))
        found = at < len(self.rows) and self.rows[at].get("datetime") == time_ns
        return self.first_id + at if found else None


@dataclass(frozen=True, slots=True)
class Change:
    """What one tick changed: quote fields that differ, its own row, new kline rows by duration."""

    symbol: str
    quote: Fields
    tick_id: int
    tick: Fields
    klines: dict[int, list[tuple[int, Fields]]]


class SymbolFeed:
    """One contract's published state."""

    def __init__(self, market: Market, contract: Contract, now_ns: int) -> None:
        self.contract = contract
        self._market = market
        self._depth = DEPTH.get(contract.exchange_id, 1)
        self._builders: dict[int, KlineBuilder] = {}
        self._day_open = float("nan")
        self._terms: DayTerms | None = None
        self.klines: dict[int, Series] = {}
        self.ticks: Series | None = None
        self.quote: Fields = {}
        self._next_id = 0
        for row in market.ticks_before(contract.symbol, now_ns, 1):
            self._quote_of(row.tick)
            self._next_id = row.id + 1

    def on_tick(self, tick: MarketTick) -> Change:
        """Publish `tick`: everything that follows from it, once for all clients."""
        before = self.quote
        quote = self._quote_of(tick)
        changed = {key: value for key, value in quote.items() if before.get(key) != value}
        tick_id = self._next_id + (1 if tick.after_hole else 0)
        self._next_id = tick_id + 1
        fields = tick_fields(tick, self._depth)
        if self.ticks is not None:
            self.ticks.put(tick_id, fields)
        klines = {duration: self._grow(duration, tick) for duration in self._builders}
        return Change(self.contract.symbol, changed, tick_id, fields, klines)

    def series(self, duration_ns: int, now_ns: int) -> Series:
        """The serial of this duration (0: ticks), with its history when first asked for."""
        if duration_ns == 0:
            self.ticks = self.ticks or self._open_ticks(now_ns)
            return self.ticks
        if duration_ns not in self.klines:
            self.klines[duration_ns] = self._open_series(duration_ns, now_ns)
        return self.klines[duration_ns]

    def _open_ticks(self, now_ns: int) -> Series:
        rows = self._market.ticks_before(self.contract.symbol, now_ns, LONGEST)
        series = Series(self._next_id)
        for row in rows:
            series.put(row.id, tick_fields(row.tick, self._depth))
        return series

    def _open_series(self, duration_ns: int, now_ns: int) -> Series:
        rows, builder = self._market.open_series(self.contract.symbol, duration_ns, now_ns, LONGEST)
        self._builders[duration_ns] = builder
        series = Series(rows[0].id if rows else 0)
        for row in rows:
            series.put(row.id, kline_fields(row))
        return series

    def _grow(self, duration_ns: int, tick: MarketTick) -> list[tuple[int, Fields]]:
        rows: Sequence[KlineRow] = self._builders[duration_ns].on_tick(tick)
        series, grown = self.klines[duration_ns], []
        for row in rows:
            fields = kline_fields(row)
            series.put(row.id, fields)
            grown.append((row.id, fields))
        return grown

    def _quote_of(self, tick: MarketTick) -> Fields:
        terms = self._terms
        if terms is None or terms.trading_day != tick.trading_day:
            terms = self._terms = self._market.terms(self.contract.symbol, tick.trading_day)
            self._day_open = float("nan")
        if math.isnan(self._day_open) and tick.volume > 0:
            day = self._market.day_ticks(self.contract.symbol, tick.trading_day)
            self._day_open = next(each.last_price for each in day if each.volume > 0)
        self.quote = quote_fields(tick, terms, self._day_open, self._depth)
        return self.quote


class Hub:
    """All contracts that somebody asked for."""

    def __init__(self, market: Market, activate: Callable[[str], None]) -> None:
        self._market = market
        self._activate = activate
        self._feeds: dict[str, SymbolFeed] = {}

    def feed(self, symbol: str, now_ns: int) -> SymbolFeed | None:
        """The contract's state, its ticks flowing from now on; None where it is unknown."""
        if symbol not in self._feeds:
            contract = self._market.contract(symbol, self._market.calendar.trading_day_of(now_ns))
            if contract is None:
                return None
            self._feeds[symbol] = SymbolFeed(self._market, contract, now_ns)
            self._activate(symbol)
        return self._feeds[symbol]

    def on_tick(self, tick: MarketTick) -> Change:
        return self._feeds[tick.symbol].on_tick(tick)

    def __contains__(self, symbol: Any) -> bool:
        return symbol in self._feeds
