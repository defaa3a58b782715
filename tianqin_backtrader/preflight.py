"""The last look before mode live may send: is the account the right one, whole, and in time? Pure.

Rule: each check reads `Findings` of an open session and answers with the reason to refuse and what
to do, or nothing. No text names an account.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from .values import Instrument

__all__ = ["CHECKS", "Findings", "problems"]

# How far this machine's clock may lag behind the newest quote: quotes do not come from the future.
BEHIND_S = 60.0
# How much trading time may lie between the newest quote and this machine's clock: a clock that is
# further ahead would end bars too early (`clock.long_past_ns`).
AHEAD_S = 600.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What an open session shows before its first order.

    wanted, found: the account of the settings and that of the login. day: the trading day that the
    gateway says. known_until: the last day of which the calendar is sure. behind_s: seconds by
    which the newest quote is ahead of this machine; silent_s: trading time since that quote by this
    machine; None: no market of real time to compare with. terms: of the contracts of all feeds.
    unwritten: why the journal cannot be written. has_limits: the broker, if there is one, has risk
    limits.
    """

    wanted: str = field(repr=False)
    found: str = field(repr=False)
    is_whole: bool
    balance_cny: float
    day: str
    known_until: date
    behind_s: float | None
    silent_s: float | None
    terms: Mapping[str, Instrument | None]
    unwritten: str
    has_limits: bool


def _account(found: Findings) -> str:
    if found.found == found.wanted and found.wanted:
        return ""
    return "the gateway logged in another account than TIANQIN_ACCOUNT_ID; look at the broker's id"


def _picture(found: Findings) -> str:
    if not found.is_whole:
        return "the account's picture is not whole; start again when the gateway has sent it"
    if math.isfinite(found.balance_cny):
        return ""
    return f"the balance is {found.balance_cny}; expected an amount of CNY, ask the broker"


def _trading_day(found: Findings) -> str:
    day = _day(found.day)
    if day is None:
        return f"the gateway's trading day is {found.day!r}; expected yyyymmdd, start again later"
    if day <= found.known_until:
        return ""
    return (
        f"holidays are known until {found.known_until} and the trading day is {day}; update "
        "exchange-calendars or set TIANQIN_HOLIDAYS"
    )


def _clock(found: Findings) -> str:
    if found.behind_s is not None and found.behind_s > BEHIND_S:
        return f"this machine's clock is {found.behind_s:.0f} s behind the exchange; set it by NTP"
    if found.silent_s is not None and found.silent_s > AHEAD_S:
        return (
            f"the newest quote is {found.silent_s:.0f} s of trading time old by this machine's "
            "clock; set it by NTP, or look why no quotes come"
        )
    return ""


def _terms(found: Findings) -> str:
    bad = [symbol for symbol, terms in found.terms.items() if not _is_tradable(terms)]
    if not bad:
        return ""
    return f"the terms of {', '.join(bad)} are not there or it has expired; look at the symbols"


def _journal(found: Findings) -> str:
    return found.unwritten and f"the journal cannot be written: {found.unwritten}"


def _limits(found: Findings) -> str:
    if found.has_limits:
        return ""
    return "the broker has no risk limits; give it some: getbroker(risk=RiskLimits(...))"


CHECKS: tuple[tuple[str, Callable[[Findings], str]], ...] = (
    ("account", _account),
    ("picture", _picture),
    ("trading day", _trading_day),
    ("clock", _clock),
    ("contracts", _terms),
    ("journal", _journal),
    ("risk limits", _limits),
)


def problems(found: Findings) -> dict[str, str]:
    """The checks that fail, and what to do; empty when the first order may be sent."""
    texts = ((name, check(found)) for name, check in CHECKS)
    return {name: text for name, text in texts if text}


def _day(text: str) -> date | None:
    if len(text) != 8 or not text.isdigit():
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _is_tradable(terms: Instrument | None) -> bool:
    """Main contracts stand for a contract that trades."""
    if terms is None or terms.expired:
        return False
    return terms.price_tick > 0 and terms.volume_multiple > 0 and any(terms.trading_time.values())
