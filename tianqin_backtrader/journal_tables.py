"""The tables of the journal: what of a record lies in which column, and the statements. Pure.

Rule: another list of columns needs another version of the schema, see `journal_schema`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any, Generic, TypeVar

from .journal_records import (
    AccountRecord,
    AuditRecord,
    CountRecord,
    EventRecord,
    HoldingRecord,
    LegRecord,
    NoteRecord,
    OrderRecord,
    PositionRecord,
    RefusalRecord,
    RollRecord,
    RunRecord,
    StopRecord,
    TradeRecord,
)
from .states import OrderState

__all__ = [
    "ACCOUNTS",
    "AUDITS",
    "COUNTS",
    "EVENTS",
    "HOLDINGS",
    "INDEXES",
    "LEGS",
    "LEGS_OF",
    "NOTES",
    "OPEN_ORDERS",
    "ORDER",
    "ORDERS",
    "OWNER_OF",
    "POSITIONS",
    "REFUSALS",
    "ROLLS",
    "ROLLS_UNDER_WAY",
    "RUNS",
    "STANDING_STOPS",
    "STOPS",
    "TABLES",
    "TABLE_OF",
    "TRADES",
    "TRADES_OF",
    "Table",
]

R = TypeVar("R")
NAN = float("nan")

# How a field lies in SQLite. A number that is not known (NaN) is NULL, as is one that may lack.
COLUMNS = {"int": "INTEGER NOT NULL", "float": "REAL", "float | None": "REAL"}
INDEXES = """
CREATE INDEX legs_of_order ON legs ("key", number);
CREATE INDEX trades_of_order ON trades ("key");
"""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


@dataclass(frozen=True)
class Table(Generic[R]):
    """A kind of record and its statements; the columns are the record's fields."""

    name: str
    record: type[R]
    key: tuple[str, ...]  # what names a row; empty: every record is a row of its own
    repeats: bool = True  # whether a record of the same key takes the place of the one before

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """Column: annotation."""
        return {field.name: str(field.type) for field in fields(self.record)}  # type: ignore[arg-type]

    @cached_property
    def create(self) -> str:
        """The table; `seq` keeps the order of arrival."""
        columns = [f'"{n}" {COLUMNS.get(k, "TEXT NOT NULL")}' for n, k in self.kinds.items()]
        unique = [f"UNIQUE ({_listed(self.key)})"] if self.key else []
        parts = ", ".join(["seq INTEGER PRIMARY KEY", *columns, *unique])
        return f"CREATE TABLE {self.name} ({parts});"

    @cached_property
    def values(self) -> Callable[[R], tuple[Any, ...]]:
        """What is stored of a record."""
        return attrgetter(*self.kinds)

    @cached_property
    def put(self) -> str:
        """Insert a row, or replace what is there under its key."""
        names = _listed(self.kinds)
        marks = ", ".join("?" for _ in self.kinds)
        changes = [f'"{n}" = excluded."{n}"' for n in self.kinds if n not in self.key]
        action = f"UPDATE SET {', '.join(changes)}" if self.repeats else "NOTHING"
        conflict = f"ON CONFLICT ({_listed(self.key)}) DO {action}" if self.key else ""
        return f"INSERT INTO {self.name} ({names}) VALUES ({marks}) {conflict}"

    def select(self, where: str = "1", order: str = "seq") -> str:
        """All columns in the order of the record's fields."""
        return f"SELECT {_listed(self.kinds)} FROM {self.name} WHERE {where} ORDER BY {order}"

    def record_of(self, row: tuple[Any, ...]) -> R:
        """A row as it was put; NULL is NaN where a number belongs and None where it may lack."""
        pairs = zip(row, self.kinds.values(), strict=True)
        return self.record(*(NAN if v is None and kind == "float" else v for v, kind in pairs))


class _Runs(Table[RunRecord]):
    """The table of runs, where `about` is JSON."""

    def record_of(self, row: tuple[Any, ...]) -> RunRecord:
        run, started_ns, about = row
        return RunRecord(run, started_ns, json.loads(about))

    @cached_property
    def values(self) -> Callable[[RunRecord], tuple[Any, ...]]:
        return lambda run: (run.run, run.started_ns, json.dumps(dict(run.about)))


RUNS = _Runs("runs", RunRecord, ("run",))
ORDERS = Table("orders", OrderRecord, ("key",))
LEGS = Table("legs", LegRecord, ("order_id",))
TRADES = Table("trades", TradeRecord, ("order_id", "trade_id"), repeats=False)
STOPS = Table("stops", StopRecord, ("key",))
HOLDINGS = Table("holdings", HoldingRecord, ("symbol",))
ROLLS = Table("rolls", RollRecord, ("name",))
EVENTS = Table("events", EventRecord, ())
REFUSALS = Table("refusals", RefusalRecord, ())
COUNTS = Table("counts", CountRecord, ("day", "name"))
ACCOUNTS = Table("accounts", AccountRecord, ())
POSITIONS = Table("positions", PositionRecord, ())
NOTES = Table("notes", NoteRecord, ())
AUDITS = Table("audits", AuditRecord, ())
TABLES: tuple[Table[Any], ...] = (
    RUNS, ORDERS, LEGS, TRADES, STOPS, HOLDINGS, ROLLS,
    EVENTS, REFUSALS, COUNTS, ACCOUNTS, POSITIONS, NOTES, AUDITS,
)  # fmt: skip
TABLE_OF: Mapping[type[Any], Table[Any]] = {table.record: table for table in TABLES}

ENDED = ", ".join(f"'{state.value}'" for state in OrderState if state.is_terminal)
OPEN_ORDERS = ORDERS.select(f"state NOT IN ({ENDED})")
ORDER = ORDERS.select('"key" = ?')
LEGS_OF = LEGS.select('"key" = ?', "number, seq")
TRADES_OF = TRADES.select('"key" = ?')
STANDING_STOPS = STOPS.select("state IN ('held', 'hit')")
ROLLS_UNDER_WAY = ROLLS.select("phase NOT IN ('done', 'failed')")
OWNER_OF = 'SELECT "key" FROM legs WHERE order_id = ?'
