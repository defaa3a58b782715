"""`Journal`: what runs have written down, as DataFrames; it reads along while one writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd

from . import journal_schema as schema
from . import journal_tables as tables
from .journal_tables import Table

__all__ = ["Journal"]

TYPES = {"int": "int64", "float": "float64", "float | None": "float64"}


class Journal:
    """What happened, as DataFrames: a row for each record, in the order of arrival.

    The columns are the fields of `journal_records`; times are int64, ns since 1970 UTC; texts that
    are JSON stay so. Reads while a run writes, and what a killed one has left; journals of version
    1 too, whose later tables are empty. A context manager.
    Raises `BadJournal` for a file that is missing, damaged, or no journal of this schema.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._db = schema.open_for_reading(self.path)

    def runs(self) -> pd.DataFrame:
        """Sessions of processes; `about` is JSON: settings, versions, strategies."""
        return self._frame(tables.RUNS)

    def orders(self) -> pd.DataFrame:
        """Orders as they stand; `ticket` is JSON."""
        return self._frame(tables.ORDERS)

    def legs(self) -> pd.DataFrame:
        """Exchange orders as they stand; `price` NaN: none of its own."""
        return self._frame(tables.LEGS)

    def trades(self) -> pd.DataFrame:
        """Fills; `commission_cny` NaN: not said."""
        return self._frame(tables.TRADES)

    def stops(self) -> pd.DataFrame:
        """Stop orders held locally; `limit` NaN: at market."""
        return self._frame(tables.STOPS)

    def holdings(self) -> pd.DataFrame:
        """Lots of each contract when last seen."""
        return self._frame(tables.HOLDINGS)

    def rolls(self) -> pd.DataFrame:
        """Moves from old main contracts to new ones."""
        return self._frame(tables.ROLLS)

    def events(self) -> pd.DataFrame:
        """What happened to sessions; `kind` is a `Notice`."""
        return self._frame(tables.EVENTS)

    def refusals(self) -> pd.DataFrame:
        """Orders that were not taken, and those that the exchange refused."""
        return self._frame(tables.REFUSALS)

    def counts(self) -> pd.DataFrame:
        """What risk rules have counted, by trading day."""
        return self._frame(tables.COUNTS)

    def accounts(self) -> pd.DataFrame:
        """The account's money at the start, regularly, at each settlement, at the end; CNY."""
        return self._frame(tables.ACCOUNTS)

    def positions(self) -> pd.DataFrame:
        """What was held at the moments of `accounts`; nothing where nothing was held."""
        return self._frame(tables.POSITIONS)

    def notes(self) -> pd.DataFrame:
        """What strategies wanted to be remembered."""
        return self._frame(tables.NOTES)

    def audits(self) -> pd.DataFrame:
        """Delivered bars that were not the official ones."""
        return self._frame(tables.AUDITS)

    def close(self) -> None:
        """Let go of the file; may be called again."""
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _frame(self, table: Table[Any]) -> pd.DataFrame:
        frame = pd.DataFrame.from_records(self._rows(table), columns=list(table.kinds))
        types = {name: TYPES.get(kind, "str") for name, kind in table.kinds.items()}
        typed: pd.DataFrame = frame.astype(types)
        return typed

    def _rows(self, table: Table[Any]) -> list[tuple[Any, ...]]:
        try:
            if not schema.has_table(self._db, table):
                return []
            return self._db.execute(table.select()).fetchall()
        except sqlite3.Error as error:
            raise schema.unreadable(self.path, error) from error
