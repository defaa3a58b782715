"""Orders that hang together: one cancels the other (OCO), and brackets. Pure.

Rules, Backtrader's own but for what keeps a position protected:
- OCO: as soon as an order of the group trades, or ends in any way, the others are withdrawn.
- Bracket: children wait for their parent's end. They then stand for the lots that it traded, also
  when it was withdrawn half-filled; when it traded none they end as Canceled. Lots that one child
  has closed are no longer the others'. A child that has filled, was cancelled or has expired takes
  the others with it; one that the exchange refused does not, for the stop must stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .states import OrderState
from .working import Phase, Work

__all__ = ["Families"]


class Families:
    """The groups among `works`, by key; `filled` says how many lots an order has traded."""

    def __init__(self, works: dict[str, Work], filled: Callable[[str], int]) -> None:
        self._works, self._filled = works, filled
        self._leaders: dict[str, str] = {}  # of each order: the first of its group
        self._groups: dict[str, list[str]] = {}  # by the first one's key
        self._children: dict[str, list[str]] = {}  # by the parent's key

    def add(self, work: Work) -> None:
        """Take the order's ties."""
        ticket = work.ticket
        leader = self._leaders.get(ticket.oco, ticket.oco) or ticket.key
        self._leaders[ticket.key] = leader
        self._groups.setdefault(leader, []).append(ticket.key)
        if ticket.parent:
            self._children.setdefault(ticket.parent, []).append(ticket.key)

    def others(self, work: Work) -> list[Work]:
        """The living orders of its OCO group."""
        group = self._groups[self._leaders[work.key]]
        return self._living(key for key in group if key != work.key)

    def children(self, work: Work) -> list[Work]:
        """The living orders that wait for its end, or protect what it opened."""
        return self._living(self._children.get(work.key, ()))

    def siblings(self, work: Work) -> list[Work]:
        """The other living children of its bracket."""
        keys = self._children.get(work.ticket.parent, ()) if work.ticket.parent else ()
        return self._living(key for key in keys if key != work.key)

    def rivals(self, work: Work) -> list[Work]:
        """Whose exchange orders must be gone before a stop may be sent: they hold the same lots."""
        if not work.ticket.is_stop:
            return []
        near = {each.key: each for each in (*self.others(work), *self.siblings(work))}
        return [each for each in near.values() if each.is_at_exchange]

    def room(self, work: Work) -> int:
        """Lots that `work` may still trade."""
        left = work.ticket.volume - self._filled(work.key)
        parent = work.ticket.parent
        if not parent:
            return left
        closed = sum(self._filled(key) for key in self._children[parent])
        return min(left, self._filled(parent) - closed)

    def falls_with(self, work: Work, state: OrderState) -> list[Work]:
        """The orders that end because `work` has ended in `state`."""
        falling = self.others(work)
        if work.ticket.parent and state not in (OrderState.REJECTED, OrderState.MARGIN):
            falling += self.siblings(work)
        return falling

    def _living(self, keys: Iterable[str]) -> list[Work]:
        found = (self._works.get(key) for key in keys)
        return [work for work in found if work is not None and work.phase is not Phase.DONE]
