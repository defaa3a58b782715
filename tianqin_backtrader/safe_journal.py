"""The journal of a run that must not die of a full disk: what cannot be written is kept and told.

Rules while writing fails:
- No call that puts raises; records are kept in memory, in order, and written when it works again,
  tried at most once a second. What is left when the journal is closed goes to a file beside it,
  `<name>.unwritten`, which the next run writes first.
- `failure` says why, and `check` raises it: whoever sends an order asks before. Cancels do not ask.
- It is told once when it begins and once when it is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .clock import monotonic_ns
from .errors import JournalFailed, NotWrittenDown
from .journal import JournalWriter
from .journal_records import TradeRecord
from .journal_tables import Table
from .leftovers import keep_leftovers, read_leftovers
from .notices import Notice, Tell

__all__ = ["SafeJournal"]

logger = logging.getLogger(__name__)

RETRY_NS = 1_000_000_000  # of real time
HAS_TRADE = "SELECT 1 FROM trades WHERE order_id = ? AND trade_id = ?"
Row = tuple[Table[Any], Any]  # a record and where it belongs


class SafeJournal(JournalWriter):
    """A `JournalWriter` whose putting never fails; opening and reading raise as its do.

    tell: hears when writing fails and when it works again. hide: takes secrets out of a text.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        tell: Tell,
        hide: Callable[[str], str] | None = None,
        durable: bool = False,
    ) -> None:
        super().__init__(path, durable=durable)
        self._tell, self._hide = tell, hide
        self._kept: dict[tuple[object, ...], Row] = {}  # not written yet, the newest of each key
        self._probe: tuple[str, tuple[str | int, ...]] | None = None  # a question that failed
        self._tried_ns = 0
        self.trades_put = 0  # so far
        self._transaction = _Transaction(self._write)
        self._write(read_leftovers(self.path))

    def check(self) -> None:
        """Raise `NotWrittenDown` unless all that was put is on disk."""
        if self.failure:
            raise NotWrittenDown(self.failure)

    def together(self) -> AbstractContextManager[Any]:
        """All calls inside are one transaction, written at its end; inner ones join it.

        An exception undoes what was put inside.
        """
        return self._transaction

    def add_trade(self, trade: TradeRecord) -> bool:
        """Write a fill down, unless it is there already; False then, if that is known by now.

        Within `together`, and while writing fails, it is not.
        """
        self.trades_put += 1
        if self._transaction.is_open or self.failure:
            return super().add_trade(trade)
        is_new = not super()._rows(HAS_TRADE, trade.order_id, trade.trade_id)
        super().add_trade(trade)
        return is_new

    def poll(self) -> None:
        """Try again what could not be written, at most once a second."""
        if self.failure and monotonic_ns() - self._tried_ns >= RETRY_NS:
            self.flush()

    def flush(self) -> bool:
        """Write what is kept; whether all is on disk."""
        if not self.failure:
            return True
        kept = list(self._kept.values())
        try:
            if self._probe is not None:
                super()._rows(self._probe[0], *self._probe[1])
            self._commit(kept)
        except JournalFailed as error:
            self._failed(error)
            return False
        self.failure, self._probe = "", None
        self._kept = {}
        self.wait_for_others(True)
        text = f"the journal is written again, {len(kept)} records late; orders are taken again"
        logger.warning(text)
        self._tell(Notice.JOURNAL_RESTORED, text)
        return True

    def close(self) -> None:
        """Write what is left, let go of the file; may be called again."""
        kept = list(self._kept.values())
        if self.failure and not self.flush():
            keep_leftovers(self.path, kept)
        self._kept = {}
        super().close()

    def __enter__(self) -> SafeJournal:
        return self

    # ---- inside

    def _put(self, table: Table[Any], record: Any) -> int:
        row = table, self._discreet(record)
        if self._transaction.is_open:
            self._transaction.rows.append(row)
        else:
            self._write([row])
        return 1

    def _write(self, rows: list[Row]) -> None:
        if self.failure:
            self._keep(rows)
            self.poll()
            return
        try:
            self._commit(rows)
        except JournalFailed as error:
            self._keep(rows)
            self._failed(error)

    def _rows(self, select: str, *values: str | int) -> list[tuple[Any, ...]]:
        """What cannot be read is as bad as what cannot be written; it raises all the same."""
        try:
            return super()._rows(select, *values)
        except JournalFailed as error:
            self._probe = select, values
            self._failed(error)
            raise

    def _commit(self, rows: list[Row]) -> None:
        """All or nothing."""
        if len(rows) == 1:
            super()._put(*rows[0])
        elif rows:
            with self._all_or_nothing():
                for row in rows:
                    super()._put(*row)

    def _keep(self, rows: list[Row]) -> None:
        """Of one key the newest record counts, and of a trade the first."""
        for table, record in rows:
            key = tuple(getattr(record, part) for part in table.key) or (len(self._kept),)
            name = table.name, *key
            if table.repeats:
                self._kept[name] = table, record
            else:
                self._kept.setdefault(name, (table, record))

    def _failed(self, error: JournalFailed) -> None:
        """The first failure is told; `tell` may put, which is kept then."""
        self._tried_ns, is_new = monotonic_ns(), not self.failure
        self.failure = f"JOURNAL: orders cannot be written down, so none is sent: {error}"
        if not is_new:
            return
        self.wait_for_others(False)
        logger.error(self.failure)
        self._tell(Notice.JOURNAL_FAILED, self.failure)

    def _discreet(self, record: Any) -> Any:
        """Gateways put account numbers into their reasons."""
        for name in ("reason", "text") if self._hide is not None else ():
            text = getattr(record, name, "")
            if text and self._hide is not None and (hidden := self._hide(text)) != text:
                record = replace(record, **{name: hidden})
        return record


class _Transaction:
    """Collects rows; the outermost end writes them."""

    def __init__(self, write: Callable[[list[Row]], None]) -> None:
        self._write, self.rows = write, list[Row]()
        self._begins: list[int] = []  # where open transactions began

    @property
    def is_open(self) -> bool:
        return bool(self._begins)

    def __enter__(self) -> None:
        self._begins.append(len(self.rows))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        begin = self._begins.pop()
        if kind is not None:
            del self.rows[begin:]
        if not self._begins and self.rows:
            rows, self.rows = self.rows, []
            self._write(rows)
