"""One contract's ticks as bars of no length: history from the tick serial, then live."""

from __future__ import annotations

from .delivery import Delivery, DeliveryQueue
from .flow import TickFlow
from .model import Tick
from .notices import Notice, Tell
from .sessions import Sessions
from .tick_bars import TickBars

__all__ = ["TickSeries"]

NEVER_NS = 2**62


class TickSeries:
    """Every tick that has a price; its volume is what was traded since the tick before.

    `history`: ticks delivered first. A tick before the first one only tells what had been traded.
    """

    def __init__(
        self, symbol: str, flow: TickFlow, sessions: Sessions, history: int, tell: Tell
    ) -> None:
        self._symbol, self._history, self._tell = symbol, history, tell
        self._bars = TickBars(sessions)
        self._flow, self._ticks_before = flow, 0
        self._newest_ns = -1
        self._is_live = False
        self._late_until_ns = -1
        self.open_end_ns = NEVER_NS  # a tick is over when it comes
        self.queue = DeliveryQueue()
        flow.join(self)

    def on_tick(self, tick: Tick, missing: bool) -> None:
        if missing and self._is_live:
            text = f"{self._symbol}: ticks before id {tick.id} are lost"
            self._tell(Notice.TICKS_LOST, text, tick=tick)
        self._newest_ns = tick.time_ns
        bar = self._bars.on_tick(tick)
        if bar is not None:
            self.queue.put(Delivery(bar, not self._is_live, tick.time_ns))

    def settle(self, late: bool) -> None:
        if late:
            self._late_until_ns = self._newest_ns - 1
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
