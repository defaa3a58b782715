"""The gates of mode live: what must be said on purpose before a session is opened. Pure.

Rule: a refusal names the gate and how to open it, never an account or a password. What only an open
session can show is `preflight`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .config import Settings, journal_path
from .errors import LiveTradingRefused

__all__ = ["GATES", "Said", "refusals", "require", "said_in"]


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of trading live, and where orders would be written down."""

    is_enabled: bool  # TIANQIN_LIVE_ENABLED=true in the environment or `.env`
    account_id: str = field(repr=False)
    confirmed: object = field(repr=False)  # the account once more, by the program's caller
    is_on_disk: bool  # the journal is a file


def _environment(said: Said) -> str:
    if said.is_enabled:
        return ""
    return "the environment does not allow it; set TIANQIN_LIVE_ENABLED=true there or in .env"


def _confirmation(said: Said) -> str:
    how = "repeat TIANQIN_ACCOUNT_ID: TqStore('live', confirm_live='...') or --confirm-live ACCOUNT"
    if said.confirmed is None or said.confirmed == "":
        return f"nobody confirmed the account; {how}"
    if not isinstance(said.confirmed, str):
        return f"confirm_live is no text; {how}"
    return "" if said.confirmed == said.account_id else f"confirm_live is another account; {how}"


def _journal(said: Said) -> str:
    if said.is_on_disk:
        return ""
    return "orders would be kept in memory; name a file: TqStore(journal=...) or TIANQIN_JOURNAL"


GATES: tuple[tuple[str, Callable[[Said], str]], ...] = (
    ("environment", _environment),
    ("confirmation", _confirmation),
    ("journal", _journal),
)


def refusals(said: Said) -> dict[str, str]:
    """The gates that are shut, and how to open them; empty when all stand open."""
    found = ((name, gate(said)) for name, gate in GATES)
    return {name: text for name, text in found if text}


def said_in(settings: Settings) -> Said:
    """What settings say."""
    return Said(
        settings.live_enabled,
        settings.account_id or "",
        settings.confirm_live,
        journal_path(settings) is not None,
    )


def require(settings: Settings) -> None:
    """Raise `LiveTradingRefused` for a session of mode live with a gate shut."""
    shut = refusals(said_in(settings)) if settings.mode == "live" else {}
    if shut:
        raise LiveTradingRefused(
            "mode live is refused: " + "; ".join(f"{name}: {text}" for name, text in shut.items())
        )
