"""Mode live between its settings and its first order: gates, the account's lock, the preflight."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .clock import now_s
from .config import Settings, live_is_enabled
from .errors import LiveTradingRefused, TianqinError
from .gates import require
from .model import Instrument
from .preflight import Findings, problems
from .sessions import Sessions

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["check_before_login", "check_before_orders"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000


def check_before_login(settings: Settings) -> None:
    """Raise `LiveTradingRefused` unless every gate stands open at this moment."""
    require(settings)
    if settings.mode == "live" and not live_is_enabled():
        raise LiveTradingRefused(
            "mode live is refused: environment: TIANQIN_LIVE_ENABLED=true was taken back since "
            "the store was made; set it again"
        )


def check_before_orders(store: TqStore, settings: Settings) -> None:
    """Let orders of mode live leave, or raise `LiveTradingRefused` with all that is wrong."""
    if settings.mode != "live":
        return
    check_before_login(settings)
    found = problems(_findings(store, settings))
    if found:
        said = "; ".join(f"{name}: {text}" for name, text in found.items())
        raise LiveTradingRefused(f"mode live is refused by its preflight: {said}")
    store.connection.guard.permit()
    logger.info("the preflight has passed: orders may leave")


def _findings(store: TqStore, settings: Settings) -> Findings:
    account, day, is_whole = store.connection.trading.login()
    behind_s, silent_s = _clock(store, settings)
    has_limits = store.broker is None or store.broker.limits is not None
    return Findings(
        wanted=settings.account_id or "",
        found=account,
        is_whole=is_whole,
        balance_cny=store.connection.trading.account().balance,
        day=day,
        known_until=store.calendar.covered_until,
        behind_s=behind_s,
        silent_s=silent_s,
        terms=_terms(store),
        unwritten=_unwritten(store),
        has_limits=has_limits,
    )


def _terms(store: TqStore) -> dict[str, Instrument | None]:
    listing = store.connection.listing
    wanted = {name for data in store.datas for name in (data.symbol, data.contract)}
    return {name: listing.terms(name) if listing.has(name) else None for name in sorted(wanted)}


def _unwritten(store: TqStore) -> str:
    """Why the journal cannot be written; its opening writes the run down."""
    try:
        journal = store.journal
        with journal.together():
            pass
    except TianqinError as error:
        return str(error)
    return "" if journal.path is not None else "it is in memory; name a file: TqStore(journal=...)"


def _clock(store: TqStore, settings: Settings) -> tuple[float | None, float | None]:
    """Seconds that the newest quote lies ahead of this machine, and trading seconds since it."""
    newest = store.pump.market_ns
    if settings.md_url is not None or not newest:  # another market keeps a time of its own
        return None, None
    now_ns = int(now_s() * SECOND_NS)
    behind_s = (newest - now_ns) / SECOND_NS
    silent = [_trading_ns(store.sessions(data.contract), newest, now_ns) for data in store.datas]
    return behind_s, min(silent, default=0) / SECOND_NS


def _trading_ns(sessions: Sessions, from_ns: int, to_ns: int) -> int:
    """Trading time of a contract between two moments, for two trading days at most."""
    day = sessions.trading_day_of(from_ns)
    days = day, sessions.calendar.next_day(day)
    stretches = [stretch for each in days for stretch in sessions.stretches(each)]
    spans = [min(s.end_ns, to_ns) - max(s.start_ns, from_ns) for s in stretches]
    return sum(span for span in spans if span > 0)
