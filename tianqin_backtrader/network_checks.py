"""What `doctor` looks at beyond this machine: clock, addresses, login, permissions, contracts."""

from __future__ import annotations

import email.utils
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from .beijing import beijing_datetime
from .calendar import TradingCalendar
from .clock import monotonic_ns, now_s
from .config import Settings, bypass_proxy
from .connection import Connection
from .diagnosis import Check, Health, clock_check, fail, ok, skip, warn
from .errors import TianqinError
from .sessions import Sessions
from .trading_days import TradingDays

__all__ = ["network_checks"]

SECOND_NS = 1_000_000_000
PATIENCE_S = 5.0
FEW_DAYS = 14  # of a permission that ends
FUTURES = "futr"  # what TqSdk calls the permission for futures
AUTH = "https://auth.shinnytech.com"  # tqsdk.auth
NAMES = {"market names": "https://api.shinnytech.com", "terms": "https://openmd.shinnytech.com"}
BROKERS = "https://files.shinnytech.com"


def network_checks(
    settings: Settings, symbols: Sequence[str], *, has_login: bool, now_ns: int | None = None
) -> Iterator[Check]:
    """has_login: no credential is missing. now_ns: of an embedded exchange; None: a real one."""
    bypass_proxy(settings.auth_url, settings.md_url, settings.td_url)
    auth = settings.auth_url or AUTH
    if now_ns is None:
        yield _clock(auth)
    else:
        yield skip("clock", "the embedded exchange has this machine's clock")
    reached = _addresses(_wanted(settings))
    yield from reached
    if not has_login or any(each.health is Health.FAIL for each in reached):
        why = "not all addresses are reached" if has_login else "credentials are missing"
        yield skip("login", f"not tried: {why}")
        return
    yield from _session(settings, symbols, now_ns)


# ---- clock and addresses


def _clock(url: str) -> Check:
    """This machine's clock and the date in an answer's head, which is cut to seconds."""
    began_ns = monotonic_ns()
    try:
        said = _date(url)
    except (OSError, ValueError) as error:
        return warn("clock", f"cannot be compared ({_reason(error)})", "see the address `login`")
    halfway_s = (monotonic_ns() - began_ns) / SECOND_NS / 2
    ahead_s = now_s() - halfway_s - (said.timestamp() + 0.5)
    return clock_check(ahead_s, urlsplit(url).hostname or url)


def _date(url: str) -> datetime:
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            text = answer.headers["Date"]
    except urllib.error.HTTPError as error:  # its head has the date too
        text = error.headers["Date"]
        error.close()
    if not text:
        raise ValueError("the answer has no date")
    said = email.utils.parsedate_to_datetime(text)
    return said if said.tzinfo else said.replace(tzinfo=timezone.utc)


def _wanted(settings: Settings) -> dict[str, str]:
    """Addresses by what they are for; those that only a login tells are left out."""
    wanted = {"login": settings.auth_url or AUTH}
    if settings.md_url:
        wanted["market data"] = settings.md_url
    else:
        wanted |= NAMES
    if settings.td_url:
        wanted["trading"] = settings.td_url
    elif settings.mode == "live":
        wanted["brokers"] = BROKERS
    return wanted


def _addresses(wanted: dict[str, str]) -> list[Check]:
    """All at once: a network that swallows packets takes its time for each."""
    found: dict[str, Check] = {}

    def look(name: str, url: str) -> None:
        found[name] = _address(name, url)

    threads = [threading.Thread(target=look, args=item, daemon=True) for item in wanted.items()]
    for thread in threads:
        thread.start()
    until_ns = monotonic_ns() + int((PATIENCE_S + 1.0) * SECOND_NS)
    for thread in threads:
        thread.join(max(0.0, (until_ns - monotonic_ns()) / SECOND_NS))
    mend = "look at the name server"
    return [
        found.get(n) or fail(f"address {n}", f"{u}: no answer", mend) for n, u in wanted.items()
    ]


def _address(name: str, url: str) -> Check:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _port(parts.scheme)
    proxy = urllib.request.getproxies().get(parts.scheme.replace("ws", "http"), "")
    through = ""
    if proxy and not urllib.request.proxy_bypass(host):
        at = urlsplit(proxy)
        host, port, through = at.hostname or "", at.port or _port(at.scheme), " through a proxy"
    began_ns = monotonic_ns()
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_S):
            took_ms = (monotonic_ns() - began_ns) / 1e6
    except OSError as error:
        mend = "look at network, name server, proxy and firewall"
        return fail(f"address {name}", f"{host}:{port}{through}: {_reason(error)}", mend)
    return ok(f"address {name}", f"{host}:{port}{through} in {took_ms:.0f} ms")


def _port(scheme: str) -> int:
    return 443 if scheme in ("https", "wss") else 80


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(getattr(reason, "strerror", None) or getattr(error, "strerror", None) or error)


# ---- what a session shows


def _session(settings: Settings, symbols: Sequence[str], now_ns: int | None) -> Iterator[Check]:
    """Of mode live only the market side: an account is logged in where it trades."""
    if settings.mode in ("live", "paper"):
        settings = settings.model_copy(update={"mode": "sim"})
    began_ns = monotonic_ns()
    try:
        with _open(settings) as connection:
            yield ok("login", f"in {(monotonic_ns() - began_ns) / SECOND_NS:.1f} s")
            yield _permissions(connection, is_real=now_ns is None)
            for symbol in symbols:
                yield _contract(connection, settings, symbol, now_ns)
            if not symbols:
                yield skip("contract", "none named; --symbol SHFE.cu2512")
    except TianqinError as error:
        mend = "look at TIANQIN_USER and TIANQIN_PASSWORD, or try again"
        yield fail("login", f"{type(error).__name__}: {error}", mend)


@contextmanager
def _open(settings: Settings) -> Iterator[Connection]:
    connection = Connection(settings)
    connection.open()
    try:
        yield connection
    finally:
        connection.close()


def _permissions(connection: Connection, *, is_real: bool) -> Check:
    auth: Any = connection.api._auth
    features = sorted(map(str, (getattr(auth, "_grants", None) or {}).get("features", ())))
    found = f"{', '.join(features) or 'none'}"
    if FUTURES not in features:
        mend = "the account may not see futures: https://www.shinnytech.com/tqsdk-buy/"
        return fail("permissions", found, mend)
    ends = _end_of(auth) if is_real else None
    if ends is None:
        return ok("permissions", found)
    left = (ends - beijing_datetime(int(now_s() * SECOND_NS)).date()).days
    found += f"; until {ends}"
    if left >= FEW_DAYS:
        return ok("permissions", found)
    return warn("permissions", found, "renew them: https://account.shinnytech.com/")


def _end_of(auth: Any) -> date | None:
    try:
        return auth.expire_datetime.date()  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001  TqSdk raises bare Exception, and requests' own
        return None


def _contract(connection: Connection, settings: Settings, symbol: str, now_ns: int | None) -> Check:
    name = f"contract {symbol}"
    try:
        terms = connection.listing.instruments([symbol])[symbol]
    except TianqinError as error:
        return fail(name, str(error), "look at the symbol")
    if terms.expired:
        return fail(name, "has expired", "trade a listed contract, or KQ.m@EXCHANGE.product")
    what = f"{terms.name}, tick {terms.price_tick:g}, {terms.volume_multiple} a lot"
    what += f", now {terms.underlying_symbol}" if terms.is_main else ""
    moment_ns = int(now_s() * SECOND_NS) if now_ns is None else now_ns
    hours = Sessions(terms.trading_time, _days(settings))
    return ok(name, f"{what}; {_hours(hours, moment_ns)}")


def _days(settings: Settings) -> TradingCalendar:
    return TradingDays(settings.holidays).calendar


def _hours(hours: Sessions, now_ns: int) -> str:
    if hours.is_open(now_ns):
        return "trades now"
    return f"opens {beijing_datetime(hours.next_open(now_ns)):%Y-%m-%d %H:%M}"
