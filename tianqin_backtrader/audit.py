"""Self-built bars against the official ones, once these are final. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .values import Bar

__all__ = ["BarAudit", "Difference"]

FIELDS = ("open", "high", "low", "close", "volume", "open_oi", "close_oi")
REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """A bar that is not the official one; `official` is TqSdk's row, None where it has none."""

    built: Bar
    official: Mapping[str, Any] | None
    fields: tuple[str, ...]

    def __str__(self) -> str:
        if self.official is None:
            return "the official series has no such bar"
        return ", ".join(
            f"{name} {getattr(self.built, name):g}, officially {self.official[name]:g}"
            for name in self.fields
        )


class BarAudit:
    """Counts how many bars agree with the official series and how many differ.

    A bar is `pending` until its official row is final: until that series has a newer row.
    """

    def __init__(self) -> None:
        self.agreed = 0
        self.differed = 0
        self.differences: deque[Difference] = deque(maxlen=REMEMBERED)  # the newest ones
        self._pending: deque[tuple[int, Bar]] = deque()  # with their place in the series
        self._places = 0

    def __repr__(self) -> str:
        return f"BarAudit(agreed={self.agreed}, differed={self.differed}, pending={self.pending})"

    @property
    def pending(self) -> int:
        """Bars whose official row is not final yet."""
        return len(self._pending)

    @property
    def span(self) -> int:
        """Bars of the series from the oldest pending one on."""
        return self._places - self._pending[0][0] if self._pending else 0

    def add(self, bar: Bar, *, built: bool = True) -> None:
        """A bar of the series, in order; an official one only takes its place in it."""
        if built:
            self._pending.append((self._places, bar))
        self._places += 1

    def is_within(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether `rows`, oldest first, reach back to the oldest pending bar."""
        return bool(rows) and int(rows[0]["datetime"]) <= self._pending[0][1].start_ns

    def check(self, rows: Sequence[Mapping[str, Any]], *, ended: bool = False) -> list[Difference]:
        """Compare with official rows, oldest first; the newest is open still unless `ended`."""
        final = rows if ended else rows[:-1]
        official = {int(row["datetime"]): row for row in final}
        newest = max(official, default=-1)
        found: list[Difference] = []
        while self._pending and self._pending[0][1].start_ns <= newest:
            _, bar = self._pending.popleft()
            difference = _compare(bar, official.get(bar.start_ns))
            if difference is None:
                self.agreed += 1
            else:
                self.differed += 1
                found.append(difference)
        self.differences.extend(found)
        return found


def _compare(bar: Bar, official: Mapping[str, Any] | None) -> Difference | None:
    if official is None:
        return Difference(bar, None, ("datetime",))
    fields = tuple(name for name in FIELDS if getattr(bar, name) != official[name])
    return Difference(bar, official, fields) if fields else None
