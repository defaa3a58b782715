"""How a run stands, read from what it leaves on disk: journal, owner's note, switch. Read-only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from .beijing import beijing_datetime
from .journal import Journal
from .journal_lines import Line, asked, line_of
from .journal_records import EventRecord
from .states import OrderState
from .switch import switch_of

__all__ = ["Owner", "Picture", "left_of", "owner_of", "picture_of", "trading_day_of"]

EVENTS_SHOWN = 5
DAY = timedelta(days=1)
EVENING = timedelta(hours=6)  # a trading day begins at 18:00 of the evening before
SATURDAY = 5
ENDED = [state.value for state in OrderState if state.is_terminal]


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that writes a journal; 0: not known."""

    pid: int = 0
    started_ns: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """How a run stands. Times are ns since 1970 UTC, money CNY, volumes lots.

    owner: None where no process writes the journal. day: the trading day of the newest entry, which
    `orders_today`, `trades_today` and `refusals_today` belong to.
    """

    journal: Path
    owner: Owner | None
    mode: str
    run: str
    state: str
    reason: str
    newest_ns: int
    day: date | None
    orders_today: int = 0
    trades_today: int = 0
    refusals_today: int = 0
    account: dict[str, Any] | None = None
    positions: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    stops: list[dict[str, Any]] = field(default_factory=list)
    events: list[Line] = field(default_factory=list)


def owner_of(journal: Path) -> Owner | None:
    """Who writes the journal; None: nobody. A note without a lock was left by a killed process."""
    lock, note = (journal.with_name(f"{journal.name}.{end}") for end in ("lock", "owner"))
    if not note.is_file() or not lock.is_file():
        return None
    if not _is_locked(lock):
        return None
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        return Owner(int(found["pid"]), int(found["started_ns"]))
    except (OSError, ValueError, LookupError, TypeError):
        return Owner()


def _is_locked(path: Path) -> bool:
    probe = FileLock(path, thread_local=False)
    try:
        probe.acquire(timeout=0)
    except (Timeout, OSError):  # an account of another user is taken for a running one
        return True
    probe.release()
    return False


def trading_day_of(time_ns: int) -> date:
    """The trading day of a moment in trading hours: no night session opens a holiday."""
    day = (beijing_datetime(time_ns) + EVENING).date()
    while day.weekday() >= SATURDAY:
        day += DAY
    return day


def picture_of(path: Path) -> Picture:
    """How the run of this journal stands. Raises `BadJournal`."""
    with Journal(path) as journal:
        runs, orders, trades = journal.runs(), journal.orders(), journal.trades()
        accounts, refusals = journal.accounts(), journal.refusals()
        events = [_line(row) for row in _rows(journal.events().tail(EVENTS_SHOWN))]
        positions = _positions(_rows(journal.holdings()), _rows(journal.positions()))
        stops, legs = journal.stops(), journal.legs()
    times = [frame["at_ns"] for frame in (orders, accounts, refusals)]
    newest_ns = max(
        (int(each.max()) for each in [*times, trades["time_ns"]] if len(each)), default=0
    )
    day = trading_day_of(newest_ns) if newest_ns else None
    state, reason = switch_of(path).read()
    run = _rows(runs.tail(1))
    return Picture(
        journal=path,
        owner=owner_of(path),
        mode=str(json.loads(run[0]["about"]).get("mode", "")) if run else "",
        run=str(run[0]["run"]) if run else "",
        state=state.value,
        reason=reason,
        newest_ns=newest_ns,
        day=day,
        orders_today=_of_day(orders["at_ns"], day),
        trades_today=_of_day(trades["time_ns"], day),
        refusals_today=_of_day(refusals["at_ns"], day),
        account=next(iter(_rows(accounts.tail(1))), None),
        positions=positions,
        orders=_living(orders, legs),
        stops=_held(stops, orders),
        events=events,
    )


def left_of(path: Path) -> list[str]:
    """Lots and living orders that the journal shows; none: the account is flat. `BadJournal`."""
    with Journal(path) as journal:
        held = [row for row in _rows(journal.holdings()) if row["long"] or row["short"]]
        orders = _living(journal.orders(), journal.legs())
    lots = [f"{row['symbol']} {row['long']} long {row['short']} short" for row in held]
    return [*lots, *(f"order {order['key']}" for order in orders)]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _line(row: dict[str, Any]) -> Line:
    return line_of(EventRecord(**row))


def _of_day(times: Iterable[int], day: date | None) -> int:
    return sum(trading_day_of(int(each)) == day for each in times)


def _positions(
    holdings: list[dict[str, Any]], snapshots: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Lots by contract, with prices and margin where the newest snapshot says the same lots."""
    last_ns = max((row["at_ns"] for row in snapshots), default=0)
    newest = {row["symbol"]: row for row in snapshots if row["at_ns"] == last_ns}
    lots = {row["symbol"]: (row["long"], row["short"]) for row in holdings}
    for symbol, row in newest.items():
        lots.setdefault(symbol, _totals(row))
    return [
        {"symbol": symbol, "long": held[0], "short": held[1], **_detail(newest.get(symbol), held)}
        for symbol, held in sorted(lots.items())
        if any(held)
    ]


def _totals(row: dict[str, Any]) -> tuple[int, int]:
    """Long and short lots of a snapshot."""
    return (
        row["long_today"] + row["long_history"],
        row["short_today"] + row["short_history"],
    )


def _detail(row: dict[str, Any] | None, held: tuple[int, int]) -> dict[str, float | None]:
    """Prices and margin, CNY; None where they are not known."""
    names = ("long_price", "short_price", "margin")
    if row is None or _totals(row) != held:
        return dict.fromkeys(names)
    return {name: None if math.isnan(row[name]) else row[name] for name in names}


def _living(orders: pd.DataFrame, legs: pd.DataFrame) -> list[dict[str, Any]]:
    alive = orders[~orders["state"].isin(ENDED)]
    done = (legs["volume"] - legs["left"]).groupby(legs["key"]).sum()
    return [
        {
            "key": row["key"],
            "asked": asked(row["ticket"]),
            "state": row["state"],
            "filled": int(done.get(row["key"], 0)),
            "at_ns": row["at_ns"],
        }
        for row in _rows(alive)
    ]


def _held(stops: pd.DataFrame, orders: pd.DataFrame) -> list[dict[str, Any]]:
    tickets = dict(zip(orders["key"], orders["ticket"], strict=True))
    standing = stops[stops["state"].isin(["held", "hit"])]
    return [
        {"key": r["key"], "asked": asked(tickets.get(r["key"], "")), "trigger": r["price"],
         "state": r["state"], "at_ns": r["at_ns"]}
        for r in _rows(standing)
    ]  # fmt: skip
