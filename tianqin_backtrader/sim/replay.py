"""The recorded market: contracts, terms and ticks of what the files hold, and nothing else."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from ..errors import BadReplayFile
from .calendar import MarketCalendar, beijing_midnight_ns
from .daybars import DayBars
from .days import DaySummary
from .instruments import Instruments, parse_symbol
from .listing import CLOSES_NS, MAIN, Listing
from .recording import KlineRecording
from .records import KlineRecord, Record, read_records
from .terms import day_terms, on_grid
from .tick_recording import TickRecording
from .values import Contract, DayTerms, MarketTick

__all__ = ["ReplaySource"]

Recording = KlineRecording | TickRecording


class ReplaySource:
    """What the market asks of its records. Days on which nothing was recorded do not exist."""

    gapless = False

    def __init__(
        self,
        files: Sequence[Path | str],
        instruments: Instruments,
        calendar: MarketCalendar,
        ticks_per_minute: int,
        seed: int,
    ) -> None:
        self._listing = Listing(instruments, calendar, rolls=False)
        self._calendar = calendar
        self._pace, self._seed = ticks_per_minute, seed
        records = read_records(files)
        self._recordings = {symbol: self._open(record) for symbol, record in records.items()}
        self.days = sorted({day for r in self._recordings.values() for day in r.days})
        self.first_day = self.first_tick_day = self.days[0]
        self._summaries: dict[tuple[str, date], DaySummary] = {}

    def contract(self, symbol: str, day: date) -> Contract | None:
        recording = self._recordings.get(symbol)
        if recording is None:
            return None
        contract = recording.contract
        return replace(contract, expired=contract.expire_ns < beijing_midnight_ns(day))

    def main(self, product_symbol: str, underlying: Contract) -> Contract | None:
        product = self._listing.instruments.product_of(underlying.symbol)
        return None if product is None else self._listing.main(product, underlying)

    def symbols(self, day: date) -> list[str]:
        return list(self._recordings)

    def main_symbols(self) -> list[str]:
        return list(dict.fromkeys(MAIN + _product(symbol) for symbol in self._recordings))

    def main_contract(self, symbol: str, day: date) -> str | None:
        """The product's recorded contract with the most lots on its recorded day before `day`."""
        product = symbol.removeprefix(MAIN)
        candidates = {s: r for s, r in self._recordings.items() if _product(s) == product}
        alive = {s: r for s, r in candidates.items() if r.days[-1] >= day} or candidates
        return max(alive, key=lambda s: self._lots_before(s, day), default=None)

    def next_day(self, day: date) -> date | None:
        at = bisect_right(self.days, day)
        return self.days[at] if at < len(self.days) else None

    def days_before(self, symbol: str, day: date) -> list[date]:
        days = self.days if symbol.startswith(MAIN) else self._recordings[symbol].days
        return days[: bisect_left(days, day)]

    def bars(self, symbol: str, day: date) -> DayBars | None:
        return self._recordings[symbol].bars(day)

    def bar_duration(self, symbol: str) -> int:
        return self._recordings[symbol].duration_ns

    def skips_unseen(self, symbol: str) -> bool:
        return self._recordings[symbol].skips_unseen

    def ticks(self, symbol: str, day: date) -> list[MarketTick]:
        return self._recordings[symbol].ticks(day, self.terms(symbol, day))

    def tick_ids(self, symbol: str, day: date) -> int:
        return self._recordings[symbol].tick_ids(day)

    def settlement(self, symbol: str, day: date) -> float:
        """What the next recorded day says, else the average price of `day`, on the tick grid.

        Of a day that was not recorded: of the last one before it, or the record's first price.
        """
        recording = self._recordings[symbol]
        at = bisect_right(recording.days, day)
        if at == 0:
            return self._summary(symbol, recording.days[0]).open
        said = recording.fixed_terms(recording.days[at]) if at < len(recording.days) else {}
        average = self._summary(symbol, recording.days[at - 1]).average
        return on_grid(said.get("pre_settlement", average), recording.contract)

    def terms(self, symbol: str, day: date) -> DayTerms:
        recording = self._recordings[symbol]
        at = bisect_left(recording.days, day)
        before = self._summary(symbol, recording.days[at - 1]) if at else None
        recorded = at < len(recording.days) and recording.days[at] == day
        today = self._summary(symbol, day) if recorded else None
        first = self._summary(symbol, recording.days[0])
        terms = day_terms(
            recording.contract,
            day,
            pre_settlement=self.settlement(symbol, recording.days[at - 1]) if at else first.open,
            pre_close=before.close if before else first.open,
            pre_open_interest=before.close_oi if before else first.open_oi,
            reaches=(today.lowest, today.highest) if today else None,
        )
        return _corrected(terms, recording.fixed_terms(day), recording.contract)

    def _summary(self, symbol: str, day: date) -> DaySummary:
        key = (symbol, day)
        if key not in self._summaries:
            self._summaries[key] = self._recordings[symbol].summary(day)
        return self._summaries[key]

    def _lots_before(self, symbol: str, day: date) -> int:
        days = self._recordings[symbol].days
        at = bisect_left(days, day)
        return self._summary(symbol, days[at - 1]).volume if at else 0

    def _open(self, record: Record) -> Recording:
        last = self._calendar.trading_day_of(int(record.time_ns[-1]))
        contract = self._listing.contract(
            record.symbol, self._calendar.trading_day_of(int(record.time_ns[0]))
        )
        if contract is None:
            raise BadReplayFile(
                record.path,
                f"symbol {record.symbol}, whose terms are not known",
                "a product of the built-in catalogue, or its row in instruments=",
            )
        closes_ns = max(contract.expire_ns, beijing_midnight_ns(last) + CLOSES_NS)
        contract = replace(contract, expire_ns=closes_ns, expired=False)
        if isinstance(record, KlineRecord):
            return KlineRecording(record, contract, self._calendar, self._pace, self._seed)
        return TickRecording(record, contract, self._calendar)


def _product(symbol: str) -> str:
    code = parse_symbol(symbol)
    return f"{code.exchange_id}.{code.product_id}" if code else symbol


def _corrected(terms: DayTerms, said: Mapping[str, float], contract: Contract) -> DayTerms:
    """`terms` with what the record itself says instead."""

    def price(name: str, made: float) -> float:
        return on_grid(said[name], contract) if name in said else made

    return DayTerms(
        terms.trading_day,
        price("pre_settlement", terms.pre_settlement),
        price("pre_close", terms.pre_close),
        int(said.get("pre_open_interest", terms.pre_open_interest)),
        price("upper_limit", terms.upper_limit),
        price("lower_limit", terms.lower_limit),
    )
