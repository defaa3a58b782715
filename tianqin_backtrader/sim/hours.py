"""Trading hours that fit recorded klines: a product's own, extended where records say otherwise.

Hours have changed over the years (nights to 23:30 until 2019, index futures from 09:15 until 2015);
the catalogue knows today's only.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from .calendar import MarketCalendar, beijing_midnight_ns, clock_ns
from .daybars import Ints
from .values import DAY_NS, HOUR_NS, SECOND_NS, Contract

__all__ = ["fitted_hours"]

TradingTime = dict[str, list[list[str]]]
NIGHT_IS_OVER_NS = 6 * HOUR_NS


def fitted_hours(
    contract: Contract,
    days: dict[date, Ints],
    duration_ns: int,
    calendar: MarketCalendar,
) -> TradingTime:
    """`trading_time` that covers the kline labels of `days`, those of each trading day.

    A night that no recorded day has is dropped.
    """
    hours = {part: list(contract.trading_time.get(part) or []) for part in ("day", "night")}
    if duration_ns >= DAY_NS:
        return hours
    outside: dict[str, set[int]] = {"day": set(), "night": set()}
    nights = 0
    for day, labels in days.items():
        midnight = beijing_midnight_ns(day)
        eve = beijing_midnight_ns(calendar.previous_trading_day(day))
        is_night = labels < midnight + NIGHT_IS_OVER_NS
        nights += int(is_night.sum())
        stray = labels[_is_outside(labels, duration_ns, calendar.stretches(contract, day))]
        is_night = stray < midnight + NIGHT_IS_OVER_NS
        outside["night"] |= (
            set((stray[is_night] - eve).tolist()) if calendar.has_night(day) else set()
        )
        outside["day"] |= set((stray[~is_night] - midnight).tolist())
    if not nights and sum(map(calendar.has_night, days)) > 1:
        hours["night"] = []
    return {part: _merged(hours[part], outside[part], duration_ns) for part in hours}


def _is_outside(
    labels: Ints, duration_ns: int, stretches: tuple[tuple[int, int], ...]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    inside = np.zeros(len(labels), bool)
    for start, end in stretches:
        inside |= (labels + duration_ns > start) & (labels < end)
    return ~inside


def _merged(parts: list[list[str]], stray: set[int], duration_ns: int) -> list[list[str]]:
    if not stray:
        return parts
    known = [(clock_ns(start), clock_ns(end)) for start, end in parts]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(known + [(label, label + duration_ns) for label in stray]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return [[_clock(start), _clock(end)] for start, end in merged]


def _clock(since_midnight_ns: int) -> str:
    minutes, seconds = divmod(since_midnight_ns // SECOND_NS, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
