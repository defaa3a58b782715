"""Which journals a command is about: a path, the accounts of a TOML file, or all of one's own."""

from __future__ import annotations

from pathlib import Path

from .errors import BadConfigFile, BadJournal
from .program import journal_of
from .run_config import load_runs

__all__ = ["HOME", "journal_at", "journals_at"]

HOME = Path("~") / ".tianqin-backtrader"


def journals_at(target: Path | None, account: str | None = None) -> dict[str, Path]:
    """Journals by a name for people: of a file, of a TOML file's accounts, or in the home folder.

    They need not exist. Raises a `ConfigError`.
    """
    if target is None:
        found = sorted(HOME.expanduser().glob("*.sqlite"))
        return {path.stem: path for path in found}
    if target.suffix != ".toml":
        return {target.stem: target}
    runs = load_runs(target)
    if account is not None and account not in runs:
        names = ", ".join(filter(None, runs)) or "a file with [accounts]"
        raise BadConfigFile(target, f"has no account {account!r}", names)
    wanted = runs if account is None else {account: runs[account]}
    return {name or target.stem: journal_of(run) for name, run in wanted.items()}


def journal_at(target: Path, account: str | None = None) -> Path:
    """The one journal of a command, which must exist. Raises a `ConfigError`."""
    found = journals_at(target, account)
    if len(found) > 1:
        raise BadConfigFile(target, f"has the accounts {', '.join(found)}", "--account NAME")
    path = next(iter(found.values()))
    if not path.is_file():
        arrived = "is no file" if path.exists() else "does not exist"
        raise BadJournal(path, arrived, "the path of a journal that a run has written")
    return path
