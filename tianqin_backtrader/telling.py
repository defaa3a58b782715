"""What a store says: to strategies, to the journal, to people."""

from __future__ import annotations

from collections import deque
from typing import Any

from .chronicle import Chronicle
from .feed import TqData
from .notices import Notice

__all__ = ["Telling", "Told"]

Told = tuple[Any, tuple[Any, ...], dict[str, Any]]  # as Backtrader passes it on


class Telling:
    """The part of `TqStore` that tells."""

    _chronicle: Chronicle
    _notifications: deque[Told]
    datas: list[TqData]

    def tell(self, notice: Notice, text: str, **about: object) -> None:
        """Tell strategies a notice of ours, write it down, and send it where it is an alarm."""
        self.put_notification(notice, text, **about)
        self._chronicle.heard(notice, text, about)

    def note(self, text: str) -> None:
        """Write a note of the strategy into the journal."""
        self._chronicle.note(text)

    def snapshot(self, why: str) -> None:
        """Write the account and its positions into the journal as they are, with the reason."""
        self._chronicle.snapshot(why)

    def show_line(self, state: str) -> None:
        """Let every feed say what became of the line to the market; see `TqData.show_line`."""
        for data in self.datas:
            data.show_line(state)

    def put_notification(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Tell strategies through `notify_store`."""
        self._notifications.append((msg, args, kwargs))

    def _take_notifications(self) -> list[Told]:
        told = list(self._notifications)
        self._notifications.clear()
        return told
