"""The face of the embedded exchange's market: contracts, terms, ticks and official klines by day.

Deterministic: what it gives depends on its inputs, never on what was asked before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UnknownSymbol, WrongSetting
from .calendar import EARLIEST_DAY, MarketCalendar
from .history import PastKlines, merge
from .instruments import Instruments
from .klines import KlineBuilder
from .listing import MAIN
from .recorded import instruments_beside
from .replay import ReplaySource
from .seeded import HISTORY_DAYS, SeededSource
from .source import Source
from .span import begin_ns, end_ns
from .values import (
    Contract,
    DayTerms,
    KlineRow,
    MarketTick,
    TickRow,
)

__all__ = ["Market"]

SEEDED_START = date(2025, 9, 16)
CONTRACTS = 4096  # contracts of a day kept at hand
MINTED_DAYS = 8  # contract-days of ticks kept at hand; one takes a few megabytes

InstrumentRows = str | Path | Sequence[dict[str, Any]] | None


class Market:
    """All contracts, day by day. Make one with `seeded` or `replaying`.

    A trading day that is not over is limited by `end`; before `start` all is history.
    """

    def __init__(
        self, source: Source, calendar: MarketCalendar, start_ns: int, end_ns: int | None
    ) -> None:
        self.calendar = calendar
        self.start_ns = start_ns
        self._source, self._end_ns = source, end_ns
        self._first = calendar.trading_day_of(start_ns)
        self._minted: OrderedDict[tuple[str, date], list[MarketTick]] = OrderedDict()
        self._contract = lru_cache(CONTRACTS)(self._find_contract)
        self._first_ids: dict[str, dict[date, int]] = {}

    @classmethod
    def seeded(
        cls,
        *,
        seed: int = 1,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        instruments: InstrumentRows = None,
        ticks_per_minute: int = 12,
    ) -> Market:
        """A made-up market of all six exchanges without an end.

        start, end: the first and last trading day (a `date`; a holiday stands for the trading day
        after it) or a moment in Beijing time (`datetime`). instruments: rows of terms, or a JSON
        file of them, that override the catalogue. Raises `WrongSetting` or `BadReplayFile`.
        """
        calendar = MarketCalendar()
        start_ns = begin_ns(calendar, SEEDED_START if start is None else start)
        first = calendar.trading_day_of(start_ns)
        if first < EARLIEST_DAY or calendar.index(first) <= HISTORY_DAYS:
            raise WrongSetting("start", start, "a day from 2002 on")
        source = SeededSource(
            Instruments(instruments), calendar, first, _pace(ticks_per_minute), seed
        )
        return cls(source, calendar, start_ns, end_ns(calendar, start_ns, end))

    @classmethod
    def replaying(
        cls,
        files: Sequence[Path | str],
        *,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        instruments: InstrumentRows = None,
        ticks_per_minute: int = 4,
        seed: int = 1,
    ) -> Market:
        """The market of recorded klines and ticks; `seed` is for what records do not tell (books).

        Records before `start` are history. Without `instruments` the `instruments.json` of recorded
        ticks is taken. Raises `WrongSetting` or `BadReplayFile`.
        """
        if not files:
            raise WrongSetting("replay", files, "one file at least")
        calendar = MarketCalendar()
        pace = _pace(ticks_per_minute)
        terms = instruments_beside(files) if instruments is None else instruments
        source = ReplaySource(files, Instruments(terms), calendar, pace, seed)
        start_ns = begin_ns(calendar, source.days[0] if start is None else start)
        if calendar.trading_day_of(start_ns) > source.days[-1]:
            raise WrongSetting("start", start, f"no later than the last record, {source.days[-1]}")
        return cls(source, calendar, start_ns, end_ns(calendar, start_ns, end))

    # ---- contracts

    def contract(self, symbol: str, day: date | None = None) -> Contract | None:
        """The contract as of `day` (None: the market's first); None where it is unknown."""
        return self._contract(symbol, day or self._first)

    def _find_contract(self, symbol: str, day: date) -> Contract | None:
        if not symbol.startswith(MAIN):
            return self._source.contract(symbol, day)
        underlying = self._source.main_contract(symbol, day)
        followed = self._source.contract(underlying, day) if underlying else None
        return self._source.main(symbol.removeprefix(MAIN), followed) if followed else None

    def contracts(self, day: date | None = None) -> tuple[Contract, ...]:
        """All contracts listed on `day` (None: the market's first), main contracts included."""
        day = day or self._first
        symbols = [*self._source.symbols(day), *self._source.main_symbols()]
        found = (self.contract(symbol, day) for symbol in symbols)
        return tuple(contract for contract in found if contract is not None)

    def main_contract(self, symbol: str, day: date) -> str:
        """What a main contract follows on `day`; any other symbol unchanged."""
        if not symbol.startswith(MAIN):
            return symbol
        found = self._source.main_contract(symbol, day)
        if found is None:
            raise UnknownSymbol(symbol)
        return found

    def terms(self, symbol: str, day: date) -> DayTerms:
        """What is fixed for `symbol` before `day` begins."""
        return self._source.terms(self._traded(symbol, day), day)

    def settlement(self, symbol: str, day: date) -> float:
        """Settlement price of `day`, CNY."""
        return self._source.settlement(self._traded(symbol, day), day)

    def next_day(self, day: date) -> date | None:
        """The trading day after `day`; None: the records or `end` are over."""
        found = self._source.next_day(day)
        over = found is None or (
            self._end_ns is not None and self.calendar.begins_ns(found) >= self._end_ns
        )
        return None if over else found

    # ---- ticks

    def day_ticks(self, symbol: str, day: date) -> Sequence[MarketTick]:
        """All ticks of `symbol` on trading day `day`, in time order, none after `end`."""
        key = (symbol, day)
        found = self._minted.get(key)
        if found is None:
            found = self._mint(symbol, day)
            if len(self._minted) >= MINTED_DAYS:
                self._minted.popitem(last=False)
            self._minted[key] = found
        self._minted.move_to_end(key)
        return found

    def ticks_before(self, symbol: str, now_ns: int, count: int) -> list[TickRow]:
        """The last `count` ticks at or before `now_ns`, oldest first, earlier days included.

        Ids are consecutive from the first tick that the market can give for `symbol`, one skipped
        before each tick that is `after_hole`; those of later ticks follow by the same rule.
        """
        rows: list[TickRow] = []
        today = self.calendar.trading_day_of(now_ns)
        first_ids = self._ids_until(symbol, today)
        for day in reversed(first_ids):
            if day > today or len(rows) >= count:
                continue
            ticks = self.day_ticks(symbol, day)
            ticks = ticks[: bisect_right(ticks, now_ns, key=lambda tick: tick.time_ns)]
            rows = _numbered(ticks, first_ids[day]) + rows
        return rows[-count:] if count > 0 else []

    # ---- klines

    def klines_before(
        self, symbol: str, duration_ns: int, now_ns: int, count: int
    ) -> list[KlineRow]:
        """The last `count` official rows that ticks at or before `now_ns` have begun, oldest first.

        The newest may still be open. Ids are consecutive from 0 at the oldest row that the market
        can give for this series.
        """
        return self.open_series(symbol, duration_ns, now_ns, count)[0]

    def kline_builder(self, symbol: str, duration_ns: int, now_ns: int) -> KlineBuilder:
        """What grows the series of `klines_before` by the ticks after `now_ns`."""
        return self.open_series(symbol, duration_ns, now_ns, 1)[1]

    def open_series(
        self, symbol: str, duration_ns: int, now_ns: int, count: int
    ) -> tuple[list[KlineRow], KlineBuilder]:
        """`klines_before` and the builder that goes on from its newest row, made together.

        duration_ns: whole seconds below a day, or whole days. Raises `UnknownSymbol`.
        """
        contract = self.contract(symbol)
        if contract is None:
            raise UnknownSymbol(symbol)
        today = self.calendar.trading_day_of(now_ns)
        past = PastKlines(self._source, self.calendar, contract, duration_ns, self._past_ticks)
        rows, builder = past.until(today, count)
        for tick in self.day_ticks(symbol, today):
            if tick.time_ns > now_ns:
                break
            merge(rows, builder.on_tick(tick))
        return (rows[-count:] if count > 0 else []), builder

    # ---- helpers

    def _traded(self, symbol: str, day: date) -> str:
        """The contract whose ticks `symbol` shows on `day`."""
        traded = self.main_contract(symbol, day)
        if self._source.contract(traded, day) is None:
            raise UnknownSymbol(symbol)
        return traded

    def _mint(self, symbol: str, day: date) -> list[MarketTick]:
        traded = self._traded(symbol, day)
        if traded != symbol:
            return [_shown_as(symbol, tick) for tick in self.day_ticks(traded, day)]
        ticks = self._source.ticks(symbol, day)
        if self._end_ns is not None and ticks and ticks[-1].time_ns > self._end_ns:
            ticks = [tick for tick in ticks if tick.time_ns <= self._end_ns]
        return ticks

    def _past_ticks(self, symbol: str, day: date) -> Sequence[MarketTick]:
        """A past day's ticks, without pushing those of today out of the cache."""
        key = (symbol, day)
        return self._minted[key] if key in self._minted else self._mint(symbol, day)

    def _ids_until(self, symbol: str, today: date) -> dict[date, int]:
        """Where the ids of each day begin, from the oldest day to `today`."""
        ids = self._first_ids.setdefault(symbol, {})
        days = [*self._source.days_before(symbol, today), today]
        next_id, known = 0, None
        for day in days:
            if day < self._source.first_tick_day:
                continue
            if day not in ids:
                if known is not None:
                    next_id = ids[known] + self._source.tick_ids(self._traded(symbol, known), known)
                ids[day] = next_id
            known = day
        return ids


def _numbered(ticks: Sequence[MarketTick], first_id: int) -> list[TickRow]:
    rows, next_id = [], first_id
    for tick in ticks:
        next_id += tick.after_hole
        rows.append(TickRow(next_id, tick))
        next_id += 1
    return rows


def _shown_as(symbol: str, tick: MarketTick) -> MarketTick:
    return replace(tick, symbol=symbol)


def _pace(ticks_per_minute: int) -> int:
    if not isinstance(ticks_per_minute, int) or ticks_per_minute < 1:
        raise WrongSetting("ticks_per_minute", ticks_per_minute, "a whole number from 1 on")
    return ticks_per_minute
