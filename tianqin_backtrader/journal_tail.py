"""Reads along in a journal: what has come since the last look. Writes nothing, holds nobody up."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from . import journal_schema as schema
from .journal_lines import Line, line_of
from .journal_records import OrderRecord
from .journal_tables import EVENTS, NOTES, ORDERS, REFUSALS, TRADES, Table

__all__ = ["JournalTail"]

GROWING: tuple[Table[Any], ...] = (TRADES, EVENTS, REFUSALS, NOTES)  # rows never change


class JournalTail:
    """Events, orders, trades, refusals and notes of a journal; a context manager.

    Raises `BadJournal` for a file that is missing, damaged, or no journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = schema.open_for_reading(path)
        self._seen = dict.fromkeys((table.name for table in GROWING), 0)
        self._orders_ns = -1  # the newest change of an order that was told
        self._states: dict[str, str] = {}  # of the orders that changed at that moment

    def news(self, limit: int = -1) -> list[Line]:
        """Lines of what is new, oldest first, at most `limit`; -1: all."""
        most = max(limit, 1) if limit >= 0 else limit  # the newest row says where to go on
        try:
            lines = [line for table in GROWING for line in self._rows(table, most)]
            lines += self._changed_orders(most)
        except sqlite3.Error as error:
            raise schema.unreadable(self._path, error) from error
        lines.sort(key=lambda line: line.at_ns)
        return lines[max(0, len(lines) - limit) :] if limit >= 0 else lines

    def _rows(self, table: Table[Any], limit: int) -> list[Line]:
        if not self._has(table):
            return []
        columns = ", ".join(f'"{name}"' for name in table.kinds)
        select = f"SELECT seq, {columns} FROM {table.name} WHERE seq > ? ORDER BY seq DESC LIMIT ?"
        rows = self._db.execute(select, (self._seen[table.name], limit)).fetchall()
        self._seen[table.name] = max([self._seen[table.name], *(row[0] for row in rows)])
        return [line_of(table.record_of(row[1:])) for row in reversed(rows)]

    def _has(self, table: Table[Any]) -> bool:
        """Journals of earlier releases lack later tables."""
        found = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._db.execute(found, (table.name,)).fetchone() is not None

    def _changed_orders(self, limit: int) -> list[Line]:
        """Orders keep their row: what changed at or after the last change that was told."""
        select = ORDERS.select("at_ns >= ?", "at_ns DESC LIMIT ?")
        rows = self._db.execute(select, (self._orders_ns, limit)).fetchall()
        orders = [ORDERS.record_of(row) for row in reversed(rows)]
        fresh = [each for each in orders if self._states.get(each.key) != _state(each)]
        if orders:
            newest = max(each.at_ns for each in orders)
            kept = self._states if newest == self._orders_ns else {}
            now = {each.key: _state(each) for each in orders if each.at_ns == newest}
            self._orders_ns, self._states = newest, {**kept, **now}
        return [line_of(each) for each in fresh]

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> JournalTail:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _state(order: OrderRecord) -> str:
    return f"{order.state} {order.reason}"
