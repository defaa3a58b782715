"""What a feed hands to Cerebro: a bar, and how it is meant. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from .merging import BarMerger
from .values import Bar

__all__ = ["Delivery", "DeliveryQueue", "Made", "Maker", "Merging", "Replaying", "Straight"]


@dataclass(slots=True)
class Delivery:
    """A bar on its way to Cerebro.

    history: it was over when it came, from official klines or after an interruption. time_ns: how
    far it has grown. update: it replaces the newest bar. final: nothing of it is to come.
    """

    bar: Bar
    history: bool
    time_ns: int
    update: bool = False
    final: bool = True


class DeliveryQueue:
    """Deliveries in order."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._fresh: list[Delivery] = []  # since the last `settle`

    @property
    def ready_ns(self) -> int | None:
        """Time of the oldest delivery; None where none waits."""
        return self._waiting[0].time_ns if self._waiting else None

    @property
    def has_history(self) -> bool:
        return bool(self._waiting) and self._waiting[0].history

    def put(self, delivery: Delivery) -> None:
        self._waiting.append(delivery)
        self._fresh.append(delivery)

    def pop(self) -> Delivery | None:
        return self._waiting.popleft() if self._waiting else None

    def keep_newest(self, bars: int) -> None:
        """Forget the oldest finished bars until `bars` are left."""
        finished = sum(delivery.final for delivery in self._waiting)
        while finished > bars:
            finished -= self._waiting.popleft().final

    def settle(self, late_until_ns: int) -> None:
        """What came since the last call came at once: what ended by this time is no news."""
        for delivery in self._fresh:
            delivery.history |= delivery.time_ns <= late_until_ns
        self._fresh.clear()


@dataclass(frozen=True, slots=True)
class Made:
    """A bar out of base bars; `final`: nothing of it is to come."""

    bar: Bar
    time_ns: int
    update: bool = False
    final: bool = True


class Maker(Protocol):
    """Makes the bars of a feed out of base bars.

    waits: a bar that lacks something may wait for the official one, for it is shown only once.
    """

    waits: bool

    def add(self, base: Bar) -> list[Made]:
        """Take the next base bar."""


class Straight:
    """The base bars are the feed's own, mended already."""

    waits = False

    def add(self, base: Bar) -> list[Made]:
        return [Made(base, base.end_ns)]


class Merging:
    """Bars of many minutes, each when it is over."""

    waits = True

    def __init__(self, merger: BarMerger) -> None:
        self._merger = merger

    def add(self, base: Bar) -> list[Made]:
        return [Made(bar, bar.end_ns) for bar in self._merger.add(base)]


class Replaying:
    """Bars of many minutes, shown again each time they grow."""

    waits = False

    def __init__(self, merger: BarMerger) -> None:
        self._merger = merger
        self._shown_ns = -1  # start of the bar that was shown last

    def add(self, base: Bar) -> list[Made]:
        made = [self._show(bar, bar.end_ns, final=True) for bar in self._merger.add(base)]
        growing = self._merger.partial
        if growing is not None:
            made.append(self._show(growing, base.end_ns, final=False))
        return made

    def _show(self, bar: Bar, time_ns: int, *, final: bool) -> Made:
        update = bar.start_ns == self._shown_ns
        self._shown_ns = bar.start_ns
        return Made(bar, time_ns, update, final)
