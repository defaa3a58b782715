"""One contract's ticks as bars of no length: history from the tick serial, then live."""

from __future__ import annotations

import math

from .delivery import Delivery, DeliveryQueue
from .flow import TickFlow
from .model import Bar, Tick
from .notices import Notice, Tell
from .sessions import Sessions

__all__ = ["TickSeries"]

NEVER_NS = 2**62


class TickSeries:
    """Every tick that has a price; its volume is what was traded since the tick before.

    `history`: ticks delivered first. A tick before the first one only tells what had been traded.
    """

    def __init__(
        self, symbol: str, flow: TickFlow, sessions: Sessions, history: int, tell: Tell
    ) -> None:
        self._symbol, self._sessions, self._history, self._tell = symbol, sessions, history, tell
        self._flow, self._ticks_before = flow, 0
        self._last: Tick | None = None
        self._is_live = False
        self._late_until_ns = -1
        self.open_end_ns = NEVER_NS  # a tick is over when it comes
        self.queue = DeliveryQueue()
        flow.join(self)

    def on_tick(self, tick: Tick, missing: bool) -> None:
        if missing and self._is_live:
            text = f"{self._symbol}: ticks before id {tick.id} are lost"
            self._tell(Notice.TICKS_LOST, text, tick=tick)
        last, self._last = self._last, tick
        if last is not None and not math.isnan(tick.last_price):
            self.queue.put(Delivery(self._bar(last, tick), not self._is_live, tick.time_ns))

    def settle(self, late: bool) -> None:
        if late and self._last is not None:
            self._late_until_ns = self._last.time_ns - 1
        self.queue.settle(self._late_until_ns)

    def close_until(self, now_ns: int) -> None:
        """Ticks close nothing."""

    def poll(self) -> None:
        """Nothing is asked for."""

    def go_live(self) -> None:
        self.queue.keep_newest(self._history)
        self._is_live = True
        self._ticks_before = self._flow.count

    @property
    def ticks(self) -> int:
        return self._flow.count - self._ticks_before

    def finish(self) -> None:
        """Nothing is being built."""

    def conclude(self) -> None:
        """Nothing is audited."""

    def _bar(self, last: Tick, tick: Tick) -> Bar:
        price = tick.last_price
        day = self._sessions.trading_day_of(tick.time_ns)
        is_new_day = self._sessions.trading_day_of(last.time_ns) != day
        volume, amount = (0, 0.0) if is_new_day else (last.volume, last.amount)
        return Bar(
            start_ns=tick.time_ns,
            end_ns=tick.time_ns,
            open=price,
            high=price,
            low=price,
            close=price,
            volume=max(tick.volume - volume, 0),
            amount=tick.amount - amount,
            open_oi=last.open_interest,
            close_oi=tick.open_interest,
            trading_day=day,
            bid_price=tick.bid_price,
            ask_price=tick.ask_price,
            bid_volume=tick.bid_volume,
            ask_volume=tick.ask_volume,
        )
