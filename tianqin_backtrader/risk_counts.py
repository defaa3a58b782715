"""What risk rules count over a trading day, kept in the journal so that restarts go on. Pure.

Rules: a night belongs to the trading day after it; numbers begin at 0 with each trading day. A
number is written down before what it counts is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date
from typing import Any, Protocol

from .calendar import TradingCalendar
from .journal_records import CountRecord
from .sessions import DAY_NS, DAY_TURNS_NS, beijing_date

__all__ = ["CountBook", "DayCounts", "Traffic", "trading_day"]

SECOND_NS = 1_000_000_000


def trading_day(calendar: TradingCalendar, time_ns: int) -> date:
    """The trading day of a moment whatever is traded; as `Sessions.trading_day_of`."""
    day = beijing_date(time_ns + DAY_NS - DAY_TURNS_NS)
    return day if calendar.is_trading_day(day) else calendar.next_day(day)


class CountBook(Protocol):
    """The journal as counting needs it."""

    def together(self) -> AbstractContextManager[Any]: ...

    def put(self, record: Any) -> None: ...

    def counts(self, day: str) -> list[CountRecord]: ...


class DayCounts:
    """Numbers by name; `day_of`: the trading day of a moment of the market, ns since 1970 UTC."""

    def __init__(self, book: CountBook, day_of: Callable[[int], date]) -> None:
        self._book, self._day_of = book, day_of
        self._day = ""
        self._values: dict[str, float] = {}

    def at(self, now_ns: int) -> Mapping[str, float]:
        """The numbers of the trading day of `now_ns`."""
        if now_ns > 0:
            day = self._day_of(now_ns).isoformat()
            if day != self._day:
                self._day = day
                self._values = {each.name: each.value for each in self._book.counts(day)}
        return self._values

    @property
    def day(self) -> str:
        """The trading day that is counted, ISO; empty before the market has said a time."""
        return self._day

    def put(self, now_ns: int, values: Mapping[str, float]) -> None:
        """Write numbers down, all or none. Raises `JournalFailed`."""
        known = self.at(now_ns)
        changed = {name: value for name, value in values.items() if known.get(name) != value}
        if self._day and changed:
            with self._book.together():
                for name, value in changed.items():
                    self._book.put(CountRecord(self._day, name, value, now_ns))
        self._values.update(changed)

    def add(self, now_ns: int, *names: str) -> None:
        """One more of each of `names`. Raises `JournalFailed`."""
        known = self.at(now_ns)
        self.put(now_ns, {name: known.get(name, 0) + 1 for name in names})


class Traffic:
    """How many orders, or cancels, left within the last second of real time."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque()

    def add(self, mono_ns: int) -> None:
        """One more, at a moment of a clock that never steps back."""
        self._times_ns.append(mono_ns)

    def within_a_second(self, mono_ns: int) -> int:
        """How many have left in the second before `mono_ns`."""
        while self._times_ns and self._times_ns[0] <= mono_ns - SECOND_NS:
            self._times_ns.popleft()
        return len(self._times_ns)
