"""When a bar is over: by the exchange's own time, or by the clock where the market is silent."""

from __future__ import annotations

from collections.abc import Callable

from .clock import MarketClock, now_s
from .connection import Connection

__all__ = ["Closing"]

SECOND_NS = 1_000_000_000
SHORTEST_WAIT_S = 0.01


class Closing:
    """Says up to which market time bars are complete.

    A message of the exchange that is `grace_s` younger than a bar's end closes it. In silence the
    clock does, `grace_s` real seconds after the end, once the server has answered a question that
    was asked after the end: a silence may also be a line that is stuck, with ticks on it.
    """

    def __init__(self, connection: Connection, clock: MarketClock, grace_s: float) -> None:
        self._connection, self._clock = connection, clock
        self._grace_ns = int(grace_s * SECOND_NS)
        self._silent_ns = -1  # up to here silence is proved
        self._probed_ns = -1  # the end that the last question was asked for
        self._has_answered: Callable[[], bool] = bool

    @property
    def horizon_ns(self) -> int:
        """Bars that end up to here are complete."""
        return max(self._clock.exchange_ns - self._grace_ns, self._silent_ns)

    def look(self, end_ns: int) -> int:
        """The horizon after a look at the clock; `end_ns`: when the next bar ends."""
        if end_ns > self.horizon_ns and self._seconds_since(end_ns) >= 0:
            self._ask(end_ns)
            overdue = self._seconds_since(end_ns) * SECOND_NS >= self._grace_ns
            if overdue and self._probed_ns == end_ns and self._has_answered():
                self._silent_ns = end_ns
        return self.horizon_ns

    def deadline_s(self, deadline_s: float, end_ns: int) -> float:
        """`deadline_s`, or sooner where the clock must be looked at before; s since 1970."""
        passed_s = self._seconds_since(end_ns)
        if passed_s < 0:
            due_s = -passed_s
        elif passed_s < self._grace_ns / SECOND_NS:
            due_s = self._grace_ns / SECOND_NS - passed_s
        else:
            return deadline_s  # the answer wakes us
        return min(deadline_s, now_s() + max(due_s, SHORTEST_WAIT_S))

    def stale_ns(self, seconds: float) -> int:
        """Market time of so many real seconds ago; -1 where only the exchange moves time."""
        speed = self._clock.speed
        return -1 if not speed else self._clock.now_ns() - int(seconds * speed * SECOND_NS)

    def _seconds_since(self, end_ns: int) -> float:
        """Real seconds since the clock passed `end_ns`; negative before, and where it cannot."""
        speed = self._clock.speed
        if not speed or not self._clock.exchange_ns:
            return float("-inf")
        return (self._clock.now_ns() - end_ns) / speed / SECOND_NS

    def _ask(self, end_ns: int) -> None:
        if self._probed_ns != end_ns and not self._connection.market_is_down:
            self._probed_ns = end_ns
            self._has_answered = self._connection.probe()
