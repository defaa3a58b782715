"""Puts a feed's series together: ticks, base bars, larger bars, audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from .audit import BarAudit
from .auditing import Auditor
from .connection import Connection
from .delivery import Maker, Merging, Replaying, Straight
from .main_contract import MainContract
from .merging import BarMerger
from .model import Instrument
from .notices import Tell
from .pump import Pump
from .series import BarSeries, Plan, Series
from .sessions import Sessions
from .tick_series import TickSeries

__all__ = ["FeedPlan", "make_series", "watch_main_contract"]

SECOND_NS = 1_000_000_000
MINUTE_S = 60
# Ticks asked for: eight minutes of the busiest contract, to go on after an interruption and to
# build the bar that was open at the start. TqSdk gives 10,000 at most, of about 5 kB each.
TICKS = 1_000
MOST = 10_000
TICKS_A_SECOND = 2


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """What a feed is asked for: bars of `duration_s` seconds, 0 for ticks.

    replayed_s: duration of the smaller bars by which they are seen to grow; None for whole bars.
    """

    instrument: Instrument
    duration_s: int
    replayed_s: int | None
    history: int
    flat: bool


def make_series(
    connection: Connection,
    pump: Pump,
    sessions: Sessions,
    plan: FeedPlan,
    tell: Tell,
    audit: BarAudit | None,
) -> Series:
    """The bars of `plan`, history loaded, their ticks flowing."""
    symbol = plan.instrument.symbol
    base_s = _base_s(plan)
    flow = pump.flow(symbol, _window(plan, base_s))
    series: Series
    if not plan.duration_s:
        series = TickSeries(symbol, flow, sessions, plan.history, tell)
    else:
        auditor = Auditor(connection, symbol, plan.duration_s, audit, tell) if audit else None
        maker, last_day = _maker(plan, base_s, sessions), _last_day(plan.instrument, sessions)
        bars = Plan(symbol, plan.duration_s, base_s, maker, plan.history, plan.flat, last_day)
        series = BarSeries(connection, flow, sessions, bars, tell, auditor)
    pump.add(series, flow)
    return series


def watch_main_contract(
    connection: Connection,
    pump: Pump,
    sessions: Sessions,
    main: Instrument,
    on_roll: Callable[[str], None],
) -> MainContract:
    """Call `on_roll` with the contract that `main` follows whenever that has changed."""
    watch = MainContract(connection, main.symbol, main.underlying_symbol, sessions, on_roll)
    pump.flow(main.symbol, TICKS).join(watch)
    pump.watch(watch)
    return watch


def _base_s(plan: FeedPlan) -> int:
    """Bars of whole minutes are made of minutes: the tick serial reaches back over one of those."""
    if plan.replayed_s is not None:
        return plan.replayed_s
    return plan.duration_s if plan.duration_s % MINUTE_S else min(plan.duration_s, MINUTE_S)


def _window(plan: FeedPlan, base_s: int) -> int:
    wanted = plan.history + 1 if not plan.duration_s else (base_s + MINUTE_S) * TICKS_A_SECOND
    return min(max(wanted, TICKS), MOST)


def _last_day(instrument: Instrument, sessions: Sessions) -> date:
    """The contract's last trading day; a main contract goes on when the one it follows ends."""
    if instrument.is_main or not instrument.expire_ns:
        return date.max
    return sessions.trading_day_of(instrument.expire_ns)


def _maker(plan: FeedPlan, base_s: int, sessions: Sessions) -> Maker:
    duration_ns = plan.duration_s * SECOND_NS
    if plan.replayed_s is not None:
        return Replaying(BarMerger(sessions, duration_ns))
    return Straight() if base_s == plan.duration_s else Merging(BarMerger(sessions, duration_ns))
