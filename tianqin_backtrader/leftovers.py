"""Records that a run could not write into its journal before it ended: a file beside it keeps them.

A line for each record, JSON: the table's name, then its columns. The next run writes them first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .journal_tables import TABLES, Table

__all__ = ["keep_leftovers", "leftovers_path", "read_leftovers"]

logger = logging.getLogger(__name__)

Row = tuple[Table[Any], Any]
BY_NAME = {table.name: table for table in TABLES}


def leftovers_path(journal: Path) -> Path:
    """Where they lie: "X.sqlite.unwritten" beside "X.sqlite"."""
    return journal.with_name(f"{journal.name}.unwritten")


def keep_leftovers(journal: Path | None, rows: Iterable[Row]) -> None:
    """Append records to the file; where that fails too they go to the log, so that none is lost."""
    lines = [json.dumps([table.name, *table.values(record)]) for table, record in rows]
    try:
        if journal is None:
            raise OSError("the journal is in memory")
        path = leftovers_path(journal)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        logger.error("%d records are not in the journal; the next run reads %s", len(lines), path)
    except OSError as error:
        logger.error("%d records are lost to the journal (%s):", len(lines), error)
        for line in lines:
            logger.error("not in the journal: %s", line)


def read_leftovers(journal: Path | None) -> list[Row]:
    """What an earlier run has left, which is taken away; nothing where it left nothing.

    A line that cannot be read is logged: the last one of a run that was killed as it wrote.
    """
    path = None if journal is None else leftovers_path(journal)
    if path is None or not path.is_file():
        return []
    found = [_row(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.unlink()
    return [row for row in found if row is not None]


def _row(line: str) -> Row | None:
    try:
        name, *values = json.loads(line)
        table = BY_NAME[name]
        return table, table.record_of(tuple(values))
    except (ValueError, LookupError, TypeError):
        logger.error("a leftover of the journal cannot be read: %s", line)
        return None
