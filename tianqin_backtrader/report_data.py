"""What a report reads out of a journal: the runs that make one account's story, typed.

Several runs are one story as long as market time goes on from each to the next; runs of a market
that was played again are not, and only the newest of them count.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from .calendar import TradingCalendar
from .contracts import split_symbol
from .errors import BadJournal, WrongSetting
from .journal_reader import Journal
from .journal_records import (
    AccountRecord,
    AuditRecord,
    EventRecord,
    NoteRecord,
    PositionRecord,
    RefusalRecord,
    RunRecord,
    TradeRecord,
)
from .report_trips import Fill
from .sessions import beijing_date

__all__ = ["Story", "read_story", "trading_day_of"]

R = TypeVar("R")
TURN_NS = 6 * 3_600_000_000_000  # from 18:00 on it is the next trading day, as TqSdk has it
DAY_NS = 24 * 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Story:
    """The runs of a report in the order of time, and what belongs to them."""

    path: Path
    runs: tuple[RunRecord, ...]
    left_out: int  # earlier runs, whose market time does not come before
    accounts: tuple[AccountRecord, ...]
    held: tuple[Fill, ...]  # before the first fill
    fills: tuple[Fill, ...]
    tickets: Mapping[str, Mapping[str, Any]]  # by the key of the order
    triggers: Mapping[str, float]  # of stops, CNY, by the key of the order
    events: tuple[EventRecord, ...]
    refusals: tuple[RefusalRecord, ...]
    audits: tuple[AuditRecord, ...]
    notes: tuple[NoteRecord, ...]


def read_story(path: Path, run: str | None, days: TradingCalendar) -> Story:
    """Of one run, or of all that follow each other.

    Raises `BadJournal` for what is no journal of this schema or holds nothing to report, and
    `WrongSetting` for a run that it does not hold.
    """
    with Journal(path) as journal:
        every = [RunRecord(*row) for row in _rows(journal.runs())]
        if not every:
            raise BadJournal(path, "holds no run", "one that a run has traded with")
        pictures = [
            each
            for each in _typed(journal.accounts(), AccountRecord)
            if each.at_ns and each.day and math.isfinite(each.balance)
        ]
        runs = _chosen(path, [each.run for each in every], pictures, run)
        names = set(runs)
        accounts = _of(names, pictures)
        tickets = _tickets(journal, names)
        trades = _typed(journal.trades(), TradeRecord)
        ours = [each for each in trades if each.key.split(".")[0] in names]
        multipliers = _multipliers(tickets.values())
        positions = _of(names, _typed(journal.positions(), PositionRecord))
        stops = journal.stops()
        return Story(
            path=path,
            runs=tuple(_plain(each) for each in every if each.run in names),
            left_out=len({each.run for each in pictures}) - len(runs) if run is None else 0,
            accounts=accounts,
            held=tuple(_held(accounts[0], positions)),
            fills=tuple(_fills(ours, multipliers, days)),
            tickets=tickets,
            triggers=dict(zip(stops["key"], stops["price"], strict=True)),
            events=_of(names, _typed(journal.events(), EventRecord)),
            refusals=_of(names, _typed(journal.refusals(), RefusalRecord)),
            audits=_of(names, _typed(journal.audits(), AuditRecord)),
            notes=_of(names, _typed(journal.notes(), NoteRecord)),
        )


def trading_day_of(time_ns: int, days: TradingCalendar) -> date:
    """The trading day of a moment, its night before it."""
    day = beijing_date(time_ns + TURN_NS)
    return day if days.is_trading_day(day) else days.next_day(day)


# ---- rows


def _rows(frame: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    return frame.itertuples(index=False, name=None)


def _typed(frame: pd.DataFrame, record: type[R]) -> list[R]:
    return [record(*row) for row in _rows(frame)]


def _of(names: set[str], records: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(each for each in records if each.run in names)


def _plain(run: RunRecord) -> RunRecord:
    about: Any = run.about  # as the reader gives it: JSON
    return RunRecord(run.run, run.started_ns, json.loads(about))


def _tickets(journal: Journal, names: set[str]) -> dict[str, Mapping[str, Any]]:
    orders = journal.orders()
    pairs = zip(orders["key"], orders["run"], orders["ticket"], strict=True)
    return {key: json.loads(text) for key, run, text in pairs if run in names}


# ---- which runs


def _chosen(
    path: Path, runs: Sequence[str], pictures: Sequence[AccountRecord], asked: str | None
) -> list[str]:
    if asked is not None and asked not in runs:
        raise WrongSetting("--run", asked, f"one of {', '.join(runs[-5:])}")
    spans: dict[str, tuple[int, int]] = {}
    for each in pictures:
        first, last = spans.get(each.run, (each.at_ns, each.at_ns))
        spans[each.run] = min(first, each.at_ns), max(last, each.at_ns)
    if asked is not None:
        spans = {run: span for run, span in spans.items() if run == asked}
    if not spans:
        which = "" if asked is None else f" of run {asked}"
        raise BadJournal(
            path, f"holds no picture of the account{which}", "a run that has begun to trade"
        )
    return _successive([(run, *spans[run]) for run in runs if run in spans])


def _successive(spans: Sequence[tuple[str, int, int]]) -> list[str]:
    """The newest runs, as far back as each ends before the next one begins."""
    found, until = list[str](), math.inf
    for run, first, last in reversed(spans):
        if last > until:
            break
        found.insert(0, run)
        until = first
    return found


# ---- fills


def _held(first: AccountRecord, positions: Iterable[PositionRecord]) -> Iterable[Fill]:
    """The lots of the account's first picture, as if opened at their average price."""
    for each in positions:
        if (each.run, each.at_ns) != (first.run, first.at_ns):
            continue
        sides = (
            ("BUY", each.long_price, each.long_history, each.long_today),
            ("SELL", each.short_price, each.short_history, each.short_today),
        )
        for direction, price, *lots in sides:
            for day, volume in zip(("", first.day), lots, strict=True):
                if volume:
                    yield Fill(0, day, "", each.symbol, direction, "OPEN", price, volume, 0.0, 0)


def _fills(
    trades: Iterable[TradeRecord], multipliers: Mapping[str, int], days: TradingCalendar
) -> Iterable[Fill]:
    for each in sorted(trades, key=lambda trade: trade.time_ns):
        yield Fill(
            at_ns=each.time_ns,
            day=trading_day_of(each.time_ns, days).isoformat(),
            key=each.key,
            symbol=each.symbol,
            direction=each.direction,
            offset=each.offset,
            price=each.price,
            volume=each.volume,
            commission_cny=each.commission_cny,
            multiplier=multipliers.get(_product(each.symbol), 0),
        )


def _multipliers(tickets: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """By product: the orders of a roll do not say it."""
    said = ((_product(each["symbol"]), each.get("multiplier") or 0) for each in tickets)
    return {product: multiplier for product, multiplier in said if multiplier}


def _product(symbol: str) -> str:
    exchange_id, contract = split_symbol(symbol)
    return f"{exchange_id}.{contract.rstrip('0123456789')}"
