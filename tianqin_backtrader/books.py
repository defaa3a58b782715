"""The journal of one session, and the name of its run, which begins the keys of its orders."""

from __future__ import annotations

import json
import os
import platform
import secrets
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from .config import Settings, journal_path, public_settings
from .errors import TianqinError
from .hiding import Hider, secrets_of
from .journal_records import RunRecord
from .notices import Tell
from .safe_journal import SafeJournal

__all__ = ["Books"]

SHORTEST = 5  # letters of a secret: "demo" is none, and would be taken out of other words
PACKAGES = ("tianqin-backtrader", "tqsdk", "backtrader", "pandas")


class Books:
    """Opened when they are asked for first: a session without a broker writes nothing.

    tell: hears when the journal cannot be written.
    """

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings, self._tell = settings, tell
        secrets = secrets_of(settings, SHORTEST)
        self._hide = Hider(secrets, "***").hide if secrets else None
        self._record = RunRecord("", 0, {})
        self._claimed: SafeJournal | None = None
        self.journal: SafeJournal | None = None  # while a run writes it

    @property
    def run(self) -> str:
        """The name of the run; empty before it was written down."""
        return self._record.run

    def claim(self) -> SafeJournal:
        """The journal, before its run begins: nobody else writes it from now on.

        Raises `JournalTaken`, `BadJournal`, or `JournalFailed` where it cannot be opened at all.
        """
        if self._claimed is None:
            path = journal_path(self._settings)
            self._claimed = SafeJournal(path, tell=self._tell, hide=self._hide)
        return self._claimed

    def reserve(self) -> None:
        """One program for one account, and a journal that can be written, or nothing is opened."""
        try:
            self.claim().prove()
        except TianqinError:
            self.close()
            raise

    def open(self, now_ns: int) -> SafeJournal:
        """The journal, its run written down; `now_ns`: market time. Raises as `claim`."""
        if self.journal is None:
            journal = self.claim()
            self._record = RunRecord(secrets.token_hex(4), now_ns, _about(self._settings))
            self.journal = journal
            journal.begin_run(self._record)
        return self.journal

    def describe(self, **about: str) -> None:
        """Write down what has become known of the run."""
        if self.journal is not None:
            merged = {**self._record.about, **about}
            self._record = RunRecord(self.run, self._record.started_ns, merged)
            self.journal.begin_run(self._record)

    def headline(self) -> str:
        """The run in a few words, for people."""
        about = self._record.about
        parts = (about.get("mode"), about.get("symbols"), about.get("strategies"))
        return ", ".join(part for part in parts if part)

    def check(self) -> None:
        """Raise `NotWrittenDown` where no order may leave, for the journal lacks something."""
        if self.journal is not None:
            self.journal.check()

    @property
    def hide(self) -> Callable[[str], str]:
        """Takes the account's numbers and passwords out of a text."""
        return self._hide or str

    def key_of(self, ref: int) -> str:
        """The key of this run's order with Backtrader's reference `ref`."""
        return f"{self.run}.{ref}"

    def close(self) -> None:
        """Let go of the journal."""
        claimed, self._claimed, self.journal = self._claimed, None, None
        if claimed is not None:
            claimed.close()


def _about(settings: Settings) -> dict[str, str]:
    """Configuration, versions and machine: no credentials."""
    return {
        "mode": settings.mode,
        "settings": json.dumps(public_settings(settings)),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "pid": str(os.getpid()),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from its source folder
        return "unknown"
