"""Records cut into trading days, and what one day tells the terms of the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np

from .calendar import MarketCalendar
from .daybars import Ints
from .values import BEIJING_OFFSET_NS, DAY_NS, HOUR_NS

__all__ = ["DaySummary", "cut_into_days"]

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
EVENING_SHIFT_NS = 6 * HOUR_NS  # from 18:00 on a moment belongs to the next trading day


@dataclass(frozen=True, slots=True)
class DaySummary:
    """What a recorded day tells the terms of the next one."""

    open: float
    close: float
    highest: float
    lowest: float
    average: float
    open_oi: int
    close_oi: int
    volume: int


def cut_into_days(times: Ints, calendar: MarketCalendar, *, whole: bool) -> dict[date, slice]:
    """Where each trading day's rows lie; `whole`: labels of daily klines, which are dates."""
    shift_ns = BEIJING_OFFSET_NS + (0 if whole else EVENING_SHIFT_NS)
    numbers = (times + shift_ns) // DAY_NS
    cuts = [*np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1)).tolist(), len(times)]
    found: dict[date, slice] = {}
    for start, end in pairwise(cuts):
        day = calendar.first_trading_day(date.fromordinal(EPOCH_ORDINAL + int(numbers[start])))
        found[day] = slice(found[day].start if day in found else start, end)
    return found
