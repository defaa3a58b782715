"""Ticks as bars of no length. Pure: trading days come in."""

from __future__ import annotations

import math
from datetime import date

from .sessions import Sessions
from .values import Bar, Tick

__all__ = ["TickBars"]


class TickBars:
    """Every tick that has a price, its volume and amount since the tick before.

    The first tick only tells what had been traded.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._last: Tick | None = None
        self._day = date.min

    def on_tick(self, tick: Tick) -> Bar | None:
        """Take the next tick; None for the first one and for one without a price."""
        before, self._last = self._last, tick
        day_before, self._day = self._day, self._sessions.trading_day_of(tick.time_ns)
        if before is None or math.isnan(tick.last_price):
            return None
        return self._bar(tick, before, is_first=day_before != self._day)

    def _bar(self, tick: Tick, before: Tick, *, is_first: bool) -> Bar:
        volume, amount = (0, 0.0) if is_first else (before.volume, before.amount)
        return Bar(
            start_ns=tick.time_ns,
            end_ns=tick.time_ns,
            open=tick.last_price,
            high=tick.last_price,
            low=tick.last_price,
            close=tick.last_price,
            volume=max(tick.volume - volume, 0),
            amount=tick.amount - amount,
            open_oi=before.open_interest,
            close_oi=tick.open_interest,
            trading_day=self._day,
            bid_price=tick.bid_price,
            ask_price=tick.ask_price,
            bid_volume=tick.bid_volume,
            ask_volume=tick.ask_volume,
        )
