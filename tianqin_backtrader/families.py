"""Orders that hang together: one cancels the other (OCO), and brackets. Pure.

Rules, Backtrader's own but for what keeps a position protected:
- OCO: as soon as an order of the group trades, or ends in any way, the others are withdrawn; not
  one that has traded itself, for the others gave way to it.
- Bracket: children wait for their parent's end. They then stand for the lots that it traded, also
  when it was withdrawn half-filled; when it traded none they end as Canceled. Lots that one child
  has closed are no longer the others'. A child that has filled, was cancelled or has expired takes
  the others with it; one that the exchange refused does not, for the stop must stay.
- A stop that goes off takes the place of the others: they are withdrawn first, and their end does
  not end it. Lots that they traded meanwhile are no longer its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .states import OrderState
from .working import Phase, Work

__all__ = ["Families"]

QUEUED = (Phase.DUE, Phase.PARKED)
GONE_OFF = (*QUEUED, Phase.WORKING, Phase.LEAVING)
REFUSED = (OrderState.REJECTED, OrderState.MARGIN)


class Families:
    """The groups among `works`, by key; `filled` says how many lots an order has traded."""

    def __init__(self, works: dict[str, Work], filled: Callable[[str], int]) -> None:
        self._works, self._filled = works, filled
        self._leaders: dict[str, str] = {}  # of each order: the first of its group
        self._groups: dict[str, list[str]] = {}  # by the first one's key
        self._children: dict[str, list[str]] = {}  # by the parent's key

    def add(self, work: Work) -> None:
        """Take the order's ties; a group that has traded and ended binds nobody any more."""
        ticket = work.ticket
        leader = self._leaders.get(ticket.oco, ticket.oco) or ticket.key
        group = self._groups.get(leader, [])
        if any(map(self._filled, group)) and not any(self._living(group)):
            leader = ticket.key
        self._leaders[ticket.key] = leader
        self._groups.setdefault(leader, []).append(ticket.key)
        if ticket.parent:
            self._children.setdefault(ticket.parent, []).append(ticket.key)

    def others(self, work: Work) -> list[Work]:
        """The living orders of its OCO group."""
        return self._living(self._others(work))

    def children(self, work: Work) -> list[Work]:
        """The living orders that wait for its end, or protect what it opened."""
        return self._living(self._children.get(work.key, ()))

    def siblings(self, work: Work) -> list[Work]:
        """The other living children of its bracket."""
        keys = self._children.get(work.ticket.parent, ()) if work.ticket.parent else ()
        return self._living(key for key in keys if key != work.key)

    def rivals(self, work: Work) -> list[Work]:
        """Who must be gone before a stop may be sent: they would trade the same lots."""
        if not work.ticket.is_stop:
            return []
        near = {each.key: each for each in (*self.others(work), *self.siblings(work))}
        return [each for each in near.values() if each.is_at_exchange or each.phase in QUEUED]

    def stands(self, work: Work) -> bool:
        """Whether it is sent again when it never reached the exchange: others count on it."""
        return work.ticket.is_stop or bool(work.ticket.parent or self._others(work))

    def is_crowded(self, work: Work) -> bool:
        """Whether siblings at the exchange are about to close the lots that it would close."""
        resting = sum(leg.told.left for each in self.siblings(work) for leg in each.alive)
        return resting > 0 and resting + self.room(work) > self._unclosed(work.ticket.parent)

    def room(self, work: Work) -> int:
        """Lots that `work` may still trade."""
        ticket = work.ticket
        twins = [self._filled(key) for key in self._others(work) if self._is_twin(work, key)]
        left = min(ticket.volume, (ticket.asked or ticket.volume) - sum(twins))
        left -= self._filled(work.key)
        return min(left, self._unclosed(ticket.parent)) if ticket.parent else left

    def outdone_by(self, work: Work) -> list[Work]:
        """The orders that are withdrawn because `work` has traded."""
        return [
            each
            for each in self._untraded(work)
            if not (_has_gone_off(each) and self._is_twin(work, each.key))
        ]

    def falls_with(self, work: Work, state: OrderState) -> list[Work]:
        """The orders that end because `work` has ended in `state`."""
        falling = self._untraded(work)
        if state not in REFUSED:
            falling += self.siblings(work)
        return [] if any(map(_has_gone_off, falling)) else falling

    def _untraded(self, work: Work) -> list[Work]:
        return [each for each in self.others(work) if not self._filled(each.key)]

    def _others(self, work: Work) -> list[str]:
        return [key for key in self._groups[self._leaders[work.key]] if key != work.key]

    def _is_twin(self, work: Work, key: str) -> bool:
        """Whether another order of the group would trade the same lots."""
        mine, other = work.ticket, self._works[key].ticket
        return (mine.symbol, mine.direction) == (other.symbol, other.direction)

    def _unclosed(self, parent: str) -> int:
        closed = sum(self._filled(key) for key in self._children[parent])
        return self._filled(parent) - closed

    def _living(self, keys: Iterable[str]) -> list[Work]:
        found = (self._works.get(key) for key in keys)
        return [work for work in found if work is not None and work.phase is not Phase.DONE]


def _has_gone_off(work: Work) -> bool:
    return work.ticket.is_stop and work.phase in GONE_OFF
