"""How the journal lies on disk: the claim of its writer, opening, checking; see `journal_tables`.

Rule: a journal says what it is (`application_id`) and by which schema it was written
(`user_version`). A file that says something else is never changed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .beijing import beijing_datetime
from .clock import now_s
from .errors import BadJournal, JournalTaken
from .journal_tables import INDEXES, TABLES, Table

__all__ = [
    "VERSION",
    "Claim",
    "has_table",
    "open_for_reading",
    "open_for_writing",
    "remedy_for",
    "unreadable",
]

SECOND_NS = 1_000_000_000

APPLICATION = int.from_bytes(b"TqBt", "big")
VERSION = 2
READABLE = (1, 2)  # version 1 lacks the tables from EVENTS on; its own have the same columns
# The writer stands in the way of trading and is alone: only a foreign program can make it wait.
WRITER_WAITS_MS = 1_000
READER_WAITS_S = 5.0

REMEDIES = {
    "full": "free space on its disk and try again",
    "locked": "close the program that holds the file (a database browser?) and try again",
    "readonly": "let this user write to the file and its folder",
    "unable to open": "let this user write to its folder; no folder may bear its name",
    "malformed": "put the file aside for inspection, check the account and begin a new journal",
    "not a database": "give the journal a name of its own",
    "closed database": "open it again",
}


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
    db = sqlite3.connect(path or ":memory:", timeout=WRITER_WAITS_MS / 1_000, isolation_level=None)
    with _closed_on_failure(db):
        is_new = _holds_nothing(db)
        if path is not None and not is_new:
            _check_version(db, path)
            _check_pages(db, path)
        _use_wal(db, durable)
        if is_new:
            _create(db)
        elif _number(db, "user_version") != VERSION:
            _upgrade(db)
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


def has_table(db: sqlite3.Connection, table: Table[Any]) -> bool:
    """Whether the journal has the table: earlier versions lack some."""
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table.name,))
    return found.fetchone() is not None


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
    if version not in READABLE:
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


def _upgrade(db: sqlite3.Connection) -> None:
    """A journal of version 1 gets the tables that it lacks; all or nothing."""
    missing = " ".join(table.create for table in TABLES if not has_table(db, table))
    db.executescript(f"BEGIN IMMEDIATE; {missing} PRAGMA user_version = {VERSION}; COMMIT;")
