"""How the journal lies on disk: tables, statements, the claim of its writer, opening, checking.

Rule: a journal says what it is (`application_id`) and by which schema it was written
(`user_version`). A file that says something else is never changed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from .beijing import beijing_datetime
from .clock import now_s
from .errors import BadJournal, JournalTaken
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
    "TABLE_OF",
    "TRADES",
    "TRADES_OF",
    "VERSION",
    "Claim",
    "Table",
    "open_for_reading",
    "open_for_writing",
    "remedy_for",
    "unreadable",
]

R = TypeVar("R")
SECOND_NS = 1_000_000_000
NAN = float("nan")

APPLICATION = int.from_bytes(b"TqBt", "big")
VERSION = 2
# The writer stands in the way of trading and is alone: only a foreign program can make it wait.
WRITER_WAITS_S = 1.0
READER_WAITS_S = 5.0

# How a field lies in SQLite. A number that is not known (NaN) is NULL, as is one that may lack.
COLUMNS = {"int": "INTEGER NOT NULL", "float": "REAL", "float | None": "REAL"}
INDEXES = """
CREATE INDEX legs_of_order ON legs ("key", number);
CREATE INDEX trades_of_order ON trades ("key");
"""
REMEDIES = {
    "full": "free space on its disk and try again",
    "locked": "close the program that holds the file (a database browser?) and try again",
    "readonly": "let this user write to the file and its folder",
    "unable to open": "let this user write to its folder; no folder may bear its name",
    "malformed": "put the file aside for inspection, check the account and begin a new journal",
    "not a database": "give the journal a name of its own",
    "closed database": "open it again",
}


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


class Claim:
    """The right to write a journal: a lock that ends with its process, and a note on who has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._note = path.with_name(f"{path.name}.owner")
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), thread_local=False)

    def take(self) -> None:
        """Raises `JournalTaken`, or OSError for a folder that cannot be written to."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise JournalTaken(self._path, self._owner()) from None
        note = {"pid": os.getpid(), "started_ns": int(now_s() * SECOND_NS)}
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def let_go(self) -> None:
        if self._lock.is_locked:
            with suppress(OSError):  # Windows: somebody reads it
                self._note.unlink()
            self._lock.release()

    def _owner(self) -> str:
        """Who has the lock, as far as the note tells."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            pid, since = note["pid"], beijing_datetime(note["started_ns"])
        except (OSError, ValueError, LookupError, TypeError):
            return "another process"
        return f"process {pid} since {since:%Y-%m-%d %H:%M:%S} Beijing time"


def open_for_writing(path: Path | None, *, durable: bool) -> sqlite3.Connection:
    """A connection that commits every statement by itself; None: in memory.

    Raises `BadJournal` for a journal of another schema or another program's database, and leaves it
    as it was, or sqlite3.Error: an OperationalError where the file cannot be opened or written,
    another one where it is damaged.
    """
    db = sqlite3.connect(path or ":memory:", timeout=WRITER_WAITS_S, isolation_level=None)
    with _closed_on_failure(db):
        is_new = _holds_nothing(db)
        if path is not None and not is_new:
            _check_version(db, path)
            _check_pages(db, path)
        _use_wal(db, durable)
        if is_new:
            _create(db)
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write and holds no writer up. Raises `BadJournal`."""
    if not path.is_file():
        arrived = "is no file" if path.exists() else "does not exist"
        raise BadJournal(path, arrived, "the path of a journal that a run has written")
    # The last part of the path may be a link, and SQLite's other files lie beside its target.
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        db = sqlite3.connect(address, timeout=READER_WAITS_S, isolation_level=None, uri=True)
        with _closed_on_failure(db):
            _check_version(db, path)
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    return db


def unreadable(path: str | Path, error: sqlite3.Error) -> BadJournal:
    """An error of SQLite's on reading, as the caller is to see it."""
    return BadJournal(path, f"cannot be read ({error})", f"a journal; {remedy_for(error)}")


def remedy_for(error: Exception) -> str:
    """What the caller can do about an error of SQLite's or of the file system."""
    text = "unable to open" if isinstance(error, OSError) else str(error)
    found = (remedy for part, remedy in REMEDIES.items() if part in text)
    return next(found, "look at the file and its disk")


@contextmanager
def _closed_on_failure(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _holds_nothing(db: sqlite3.Connection) -> bool:
    """Whether the file is new: a writer that died while it made one leaves it so."""
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return not (tables or _number(db, "application_id") or _number(db, "user_version"))


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    if _holds_nothing(db):
        raise BadJournal(path, "is empty", "a journal that a run has written")
    if _number(db, "application_id") != APPLICATION:
        expected = "a journal of orders; give the journal a path of its own"
        raise BadJournal(path, "is a database of another program", expected)
    version = _number(db, "user_version")
    if version != VERSION:
        expected = f"{VERSION}; use the release that wrote it, or begin a new journal"
        raise BadJournal(path, f"has schema version {version}", expected)


def _check_pages(db: sqlite3.Connection, path: Path) -> None:
    """Nobody may trade on a damaged journal."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        arrived = f"is damaged ({' '.join(found.split())})"
        raise BadJournal(path, arrived, f"a whole file; {REMEDIES['malformed']}")


def _use_wal(db: sqlite3.Connection, durable: bool) -> None:
    """WAL: readers and the writer do not wait for each other, and a commit is one append."""
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode not in ("wal", "memory"):
        raise sqlite3.OperationalError(f"unable to open a write-ahead log, journal mode is {mode}")
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    if durable:
        db.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves data in the drive's cache


def _create(db: sqlite3.Connection) -> None:
    """All or nothing: the numbers are part of the transaction."""
    numbers = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
    tables = " ".join(table.create for table in TABLES)
    db.executescript(f"BEGIN IMMEDIATE; {tables} {INDEXES} {numbers} COMMIT;")
