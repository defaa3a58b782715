"""The journal of orders: sole owner of its database, which `journal_schema` opens for it.

`JournalWriter` is its one writer: a method returns when what it was given is committed, so that an
order is in the journal before it is sent. `Journal` reads along, while a run writes or afterwards;
`safe_journal` goes on where nothing can be written.

Rules: committed rows survive the death of the process, with `durable` that of the machine too.
A journal belongs to one account and has one writer at a time, who holds `<name>.lock`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from . import journal_schema as schema
from . import journal_tables as tables
from .errors import JournalFailed
from .journal_reader import Journal
from .journal_records import (
    CountRecord,
    HoldingRecord,
    LegRecord,
    OrderRecord,
    RollRecord,
    RunRecord,
    StopRecord,
    TradeRecord,
)
from .journal_tables import (
    COUNTS,
    HOLDINGS,
    LEGS,
    ORDERS,
    ROLLS,
    RUNS,
    STOPS,
    TABLE_OF,
    TRADES,
    Table,
)

__all__ = ["Journal", "JournalWriter"]

R = TypeVar("R")


class JournalWriter:
    """The one writer of a journal; a context manager.

    path: of the file, made with its folders where it is missing; None: in memory.
    durable: a row survives the death of the machine too, at the price of one flush of the disk.
    Raises `JournalTaken` at once where another writer has the file, `BadJournal` for a file that is
    damaged or no journal of this schema, and `JournalFailed` where it cannot be written.

    Every method that puts or adds raises `JournalFailed`; nothing is half-written then, and the
    same call may be tried again. For one thread.
    """

    def __init__(self, path: str | Path | None = None, *, durable: bool = False) -> None:
        self.path = None if path is None else Path(path).resolve()
        self._name = self.path or ":memory:"
        self._is_together = self._is_spoilt = False
        self.failure = ""  # see `safe_journal`: this one raises instead
        self._claim = None if self.path is None else schema.Claim(self.path)
        try:
            if self._claim is not None:
                self._claim.take()
            self._db = schema.open_for_writing(self.path, durable=durable)
        except BaseException as error:
            self._let_go()
            if isinstance(error, (OSError, sqlite3.OperationalError)):
                self._fail("cannot be opened for writing", error)
            if isinstance(error, sqlite3.Error):
                raise schema.unreadable(self._name, error) from error
            raise

    # ---- writing

    def put(self, record: Any) -> None:
        """Write any record of `journal_records` down; what has a key takes its old place."""
        self._put(TABLE_OF[type(record)], record)

    def begin_run(self, run: RunRecord) -> None:
        """Write a session of the process down."""
        self._put(RUNS, run)

    def put_order(self, order: OrderRecord) -> None:
        """Write an order as it stands now."""
        self._put(ORDERS, order)

    def put_leg(self, leg: LegRecord) -> None:
        """Write a leg as it stands now."""
        self._put(LEGS, leg)

    def add_trade(self, trade: TradeRecord) -> bool:
        """Write a fill down; False, and nothing changed, where it is there already."""
        return self._put(TRADES, trade) == 1

    def put_stop(self, stop: StopRecord) -> None:
        """Write a local stop as it stands now."""
        self._put(STOPS, stop)

    def put_holding(self, holding: HoldingRecord) -> None:
        """Write down what the account holds of a contract."""
        self._put(HOLDINGS, holding)

    def put_roll(self, roll: RollRecord) -> None:
        """Write a roll as it stands now."""
        self._put(ROLLS, roll)

    def together(self) -> AbstractContextManager[Any]:
        """All calls inside are one transaction, committed at its end; inner ones join it.

        An exception undoes all of it. A failure that is caught inside does too: the end raises
        `JournalFailed` then.
        """
        return self._all_or_nothing()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        is_outer, self._is_together = not self._is_together, True
        try:
            if is_outer:
                self._run("BEGIN IMMEDIATE")
            yield
            if is_outer:
                self._check_whole()
                self._run("COMMIT")
        except BaseException:
            self._is_spoilt = True
            raise
        finally:
            if is_outer:
                self._end()

    # ---- reading back

    def open_orders(self) -> list[OrderRecord]:
        """Orders that have not ended, oldest first."""
        return self._records(ORDERS, tables.OPEN_ORDERS)

    def orders(self, keys: Iterable[str]) -> list[OrderRecord]:
        """Orders in the order of `keys`, without those that are not there."""
        return [order for key in keys for order in self._records(ORDERS, tables.ORDER, key)]

    def run_orders(self, run: str) -> list[OrderRecord]:
        """All orders of one run."""
        return self._records(ORDERS, ORDERS.select("run = ?"), run)

    def legs(self, key: str) -> list[LegRecord]:
        """Legs of an order by their numbers."""
        return self._records(LEGS, tables.LEGS_OF, key)

    def trades(self, key: str) -> list[TradeRecord]:
        """Fills of an order in the order of arrival."""
        return self._records(TRADES, tables.TRADES_OF, key)

    def stops(self) -> list[StopRecord]:
        """Local stops that are held or have been hit, oldest first."""
        return self._records(STOPS, tables.STANDING_STOPS)

    def holdings(self) -> dict[str, HoldingRecord]:
        """What the account held when last seen, by contract."""
        return {found.symbol: found for found in self._records(HOLDINGS, HOLDINGS.select())}

    def rolls(self) -> list[RollRecord]:
        """Rolls under way, oldest first."""
        return self._records(ROLLS, tables.ROLLS_UNDER_WAY)

    def counts(self, day: str) -> list[CountRecord]:
        """What risk rules have counted on a trading day, an ISO date."""
        return self._records(COUNTS, COUNTS.select("day = ?"), day)

    def count_trades(self, begin_ns: int, end_ns: int) -> int:
        """Fills from `begin_ns` until before `end_ns`."""
        where = "SELECT count(*) FROM trades WHERE time_ns >= ? AND time_ns < ?"
        return int(self._rows(where, begin_ns, end_ns)[0][0])

    def is_settled(self, day: str) -> bool:
        """Whether the account was pictured at the end of a trading day, an ISO date."""
        where = "SELECT 1 FROM accounts WHERE why = 'settlement' AND day = ?"
        return bool(self._rows(where, day))

    def knows_run(self, run: str) -> bool:
        """Whether a session of this name was written down."""
        return bool(self._rows("SELECT 1 FROM runs WHERE run = ?", run))

    def owner_of(self, order_id: str) -> str:
        """The key of the order that an exchange order is a leg of; empty where it is none."""
        return next((str(key) for (key,) in self._rows(tables.OWNER_OF, order_id)), "")

    def prove(self) -> None:
        """Raise `JournalFailed` unless it can be written at this moment."""
        with self._all_or_nothing():
            pass

    # ---- life

    def close(self) -> None:
        """Let go of the file and its lock; may be called again."""
        try:
            self._db.close()
        finally:
            self._let_go()

    def wait_for_others(self, patient: bool) -> None:
        """Whether a foreign program that holds the file may make a statement wait."""
        with suppress(sqlite3.Error):
            self._db.execute(f"PRAGMA busy_timeout = {schema.WRITER_WAITS_MS if patient else 0}")

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _let_go(self) -> None:
        if self._claim is not None:
            self._claim.let_go()

    # ---- statements

    def _put(self, table: Table[R], record: R) -> int:
        """The number of rows that were written."""
        self._check_whole()
        values = table.values(record)
        try:
            try:
                return self._db.execute(table.put, values).rowcount
            except UnicodeEncodeError:
                return self._db.execute(table.put, _storable(values)).rowcount
        except (sqlite3.Error, OverflowError) as error:
            self._is_spoilt = self._is_together
            name = " ".join(str(getattr(record, part)) for part in table.key) or "a record"
            self._fail(f"{name} could not be written to {table.name}", error)

    def _run(self, statement: str) -> None:
        try:
            self._db.execute(statement)
        except sqlite3.Error as error:
            self._fail(f"{statement} did not work", error)

    def _check_whole(self) -> None:
        """SQLite may have ended a transaction in which it failed: what follows would stand."""
        try:
            is_whole = self._db.in_transaction == self._is_together and not self._is_spoilt
        except sqlite3.Error as error:
            self._fail("cannot be written", error)
        if not is_whole:
            remedy = "begin the whole transaction again"
            raise JournalFailed(self._name, "nothing more is written", "a part failed", remedy)

    def _end(self) -> None:
        """Undo what a transaction has left; there is nothing after a commit."""
        self._is_together = self._is_spoilt = False
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _rows(self, select: str, *values: str | int) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(select, values).fetchall()
        except sqlite3.Error as error:
            self._fail("cannot be read back", error)

    def _records(self, table: Table[R], select: str, *values: str) -> list[R]:
        return [table.record_of(row) for row in self._rows(select, *values)]

    def _fail(self, what: str, error: Exception) -> NoReturn:
        raise JournalFailed(self._name, what, error, schema.remedy_for(error)) from error


def _storable(values: Iterable[Any]) -> tuple[Any, ...]:
    """Texts with half of a surrogate pair, which JSON may hold and UTF-8 cannot, escape it."""
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in values
    )
