"""Follows one contract's tick serial by id. Pure: the serial is TqSdk's tree, passed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .model import Tick, tick_from

__all__ = ["TickStream"]


class TickStream:
    """Follows one contract's tick serial by id, so that no tick is lost between two looks."""

    def __init__(self, symbol: str, serial: Mapping[str, Any], first_id: int) -> None:
        self.symbol = symbol
        self._serial = serial
        self._next_id = first_id
        self._keeps, self._is_new = True, False

    def follow(self, serial: Mapping[str, Any]) -> None:
        """Go on, by id, with the serial as another session shows it."""
        self._serial = serial
        self._is_new = True

    def let_go(self) -> None:
        """Take rows out of TqSdk's tree from now on once they are read: each is about 5 kB."""
        self._keeps = False
        data = self._serial.get("data", {})
        for row_id in [each for each in data if int(each) < self._next_id]:
            del data[row_id]

    @property
    def waiting(self) -> bool:
        """Whether ticks have come since the last `read`."""
        return int(self._serial.get("last_id", -1)) >= self._next_id

    def read(self) -> Iterator[tuple[Tick, bool]]:
        """New ticks in order; True beside a tick before which others are missing for good."""
        for tick_id, row, missing in self.rows():
            yield tick_from(tick_id, row), missing

    def rows(self) -> Iterator[tuple[int, Mapping[str, Any], bool]]:
        """As `read`, but TqSdk's own rows beside their ids: all five levels of the book."""
        if self._is_new and not self._keeps:
            self.let_go()  # rows that were read in the session before
        self._is_new = False
        first_id, last_id = self._next_id, int(self._serial.get("last_id", -1))
        self._next_id = max(first_id, last_id + 1)
        data = self._serial.get("data", {})
        missing = False
        for tick_id in range(first_id, last_id + 1):
            row = data.get(str(tick_id)) if self._keeps else data.pop(str(tick_id), None)
            if row is None:
                missing = True
                continue
            yield tick_id, row, missing
            missing = False
