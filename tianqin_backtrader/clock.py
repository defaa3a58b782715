"""The only reader of the wall clock. Everything else takes time as an argument.

Market time is the exchange's. Between two messages of the exchange it is estimated here from the
monotonic clock, so that a drifting, stepped or UTC wall clock moves no bar.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

CLOCK_DRIFT_NS = 600_000_000_000


def now_s() -> float:
    """Seconds since 1970 UTC by the machine's clock, for deadlines that TqSdk compares with it."""
    return time.time()


def monotonic_ns() -> int:
    """A clock that never steps back, for durations."""
    return time.perf_counter_ns()


def long_past_ns() -> int:
    """A moment that is past even by a clock that runs ten minutes fast, ns since 1970 UTC.

    For one thing only: on a Saturday the bar of Friday's last minute is history, though no tick of
    a later minute has come.
    """
    return time.time_ns() - CLOCK_DRIFT_NS


@dataclass(slots=True)
class MarketClock:
    """Estimates market time between messages: newest exchange time + time since it came × speed.

    `speed` is multiples of real time; None means that only the exchange's own messages move time,
    as in a lock-step replay.
    """

    speed: float | None = 1.0
    exchange_ns: int = 0  # newest time stamped on a message
    _seen_ns: int = 0

    def observe(self, exchange_ns: int) -> None:
        """Take the time stamped on a message of the exchange (ns since 1970 UTC)."""
        if exchange_ns > self.exchange_ns:
            self.exchange_ns, self._seen_ns = exchange_ns, monotonic_ns()

    def now_ns(self) -> int:
        """Market time, ns since 1970 UTC; 0 before the first message."""
        if self.speed is None or not self.exchange_ns:
            return self.exchange_ns
        return self.exchange_ns + int((monotonic_ns() - self._seen_ns) * self.speed)
