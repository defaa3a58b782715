"""Backtrader's timeframes as durations in seconds."""

from __future__ import annotations

import backtrader as bt

from .errors import BadTimeframe, WrongSetting
from .sessions import check_duration

__all__ = ["DAY_S", "TICKS", "duration_of"]

SECOND_NS = 1_000_000_000
DAY_S = 86_400
TICKS = 0  # the duration of a tick
UNITS_S = {bt.TimeFrame.Ticks: TICKS, bt.TimeFrame.Seconds: 1, bt.TimeFrame.Minutes: 60}
EXPECTED = (
    "TimeFrame.Ticks or TimeFrame.Days with compression 1, or TimeFrame.Seconds or "
    "TimeFrame.Minutes up to 4 hours or of 6, 8 or 12 hours"
)


def duration_of(timeframe: int, compression: int) -> int:
    """Seconds of one bar; 0 for ticks. Raises `BadTimeframe` for what cannot be built."""
    whole = isinstance(compression, int) and not isinstance(compression, bool) and compression > 0
    if whole and timeframe in (bt.TimeFrame.Ticks, bt.TimeFrame.Days) and compression == 1:
        return DAY_S if timeframe == bt.TimeFrame.Days else TICKS
    if whole and UNITS_S.get(timeframe):
        seconds = UNITS_S[timeframe] * compression
        try:
            check_duration(seconds * SECOND_NS)
        except WrongSetting:
            raise _refusal(timeframe, compression) from None
        if seconds != DAY_S:
            return seconds
    raise _refusal(timeframe, compression)


def _refusal(timeframe: object, compression: object) -> BadTimeframe:
    known = isinstance(timeframe, int) and timeframe in range(len(bt.TimeFrame.Names))
    name = bt.TimeFrame.Names[timeframe] if known else timeframe
    return BadTimeframe(f"{compression} {name}", EXPECTED)
