"""One contract's ticks, read once and handed to everything that is made of them."""

from __future__ import annotations

from typing import Protocol

from .charts import TickChart
from .model import Tick

__all__ = ["Follower", "TickFlow"]


class Follower(Protocol):
    """What is made of ticks."""

    def on_tick(self, tick: Tick, missing: bool) -> None:
        """Take a tick; `missing`: others before it are lost for good."""

    def settle(self, late: bool) -> None:
        """All that has come is taken; `late`: it was more than one moment's ticks at once."""


class TickFlow:
    """Ticks of one contract by id, none lost and none twice, whoever joins when."""

    def __init__(self, chart: TickChart, *, paced: bool) -> None:
        """`paced`: market time passes by itself, so the clock tells what is late."""
        self._chart, self._paced = chart, paced
        self._stream = chart.stream()
        self._followers: list[Follower] = []
        self.last_tick: Tick | None = None
        self.count = 0  # ticks read since the chart was opened

    def wake(self, chart: TickChart) -> None:
        """Go on with another chart: the contract may have ticks now."""
        self._chart, self._stream = chart, chart.stream()

    def let_go(self) -> None:
        """Nobody joins any more: ticks that were handed out need not be kept."""
        self._stream.let_go()

    def join(self, follower: Follower) -> None:
        """Let `follower` have every tick that the serial holds, and from now on all new ones."""
        self.read()
        for tick, missing in self._chart.stream().read():
            follower.on_tick(tick, missing)
        follower.settle(False)
        self._followers.append(follower)

    def follow(self, follower: Follower) -> None:
        """Let `follower` have the ticks that come from now on."""
        self._followers.append(follower)

    def read(self) -> int:
        """Hand out the ticks that have come; returns the newest one's time, 0 where none is."""
        first_ns = 0
        for tick, missing in self._stream.read():
            self.count += 1
            self.last_tick = tick
            first_ns = first_ns or tick.time_ns
            for follower in self._followers:
                follower.on_tick(tick, missing)
        newest = self.last_tick
        if newest is None:
            return 0
        for follower in self._followers:
            follower.settle(not self._paced and 0 < first_ns < newest.time_ns)
        return newest.time_ns
