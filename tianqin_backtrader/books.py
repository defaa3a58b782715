"""The journal of one session, and the name of its run, which begins the keys of its orders."""

from __future__ import annotations

import platform
import secrets

from .config import Settings, journal_path
from .errors import TianqinError
from .journal import JournalWriter
from .journal_records import RunRecord

__all__ = ["Books"]


class Books:
    """Opened when they are asked for first: a session without a broker writes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._journal: JournalWriter | None = None
        self._run = ""
        self._has_begun = False

    @property
    def run(self) -> str:
        """The name of the run; empty before the journal is opened."""
        return self._run

    def claim(self) -> JournalWriter:
        """The journal, before its run begins: nobody else writes it from now on.

        Raises `JournalTaken`, `BadJournal`.
        """
        if self._journal is None:
            self._journal = JournalWriter(journal_path(self._settings))
            self._has_begun = False
        return self._journal

    def reserve(self) -> None:
        """One program for one account, and a journal that can be written, or nothing is opened."""
        try:
            with self.claim().together():
                pass
        except TianqinError:
            self.close()
            raise

    def open(self, now_ns: int) -> JournalWriter:
        """The journal; `now_ns`: market time. Raises `JournalTaken`, `BadJournal`."""
        journal = self.claim()
        if not self._has_begun:
            self._run = secrets.token_hex(4)
            about = {"mode": self._settings.mode, "python": platform.python_version()}
            journal.begin_run(RunRecord(self._run, now_ns, about))
            self._has_begun = True
        return journal

    def key_of(self, ref: int) -> str:
        """The key of this run's order with Backtrader's reference `ref`."""
        return f"{self._run}.{ref}"

    def close(self) -> None:
        """Let go of the journal."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
