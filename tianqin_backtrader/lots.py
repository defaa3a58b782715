"""Which lots can be closed now, from a picture of the account that agrees with what was told.

A gateway tells orders, trades and positions one by one, so a position may lag behind a trade that
is known, or run ahead of it. Closing by such a picture closes too much or too little: an order that
may close waits until the lots held are those before plus the trades told, the lots of today no more
than those opened on it, and the lots frozen those of the closing orders that rest. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from .contracts import SPLITS_TODAY, split_symbol
from .values import AccountPosition, Direction, Offset, OrderPicture, SideLots, Trade

__all__ = ["Lots"]


@dataclass(slots=True)
class Reserved:
    """Lots that a closing order takes when it trades."""

    direction: Direction
    offset: Offset
    left: Callable[[], int]
    taken: bool = False  # the exchange has the order, so the account shows its lots as frozen
    leaving: bool = False  # it is being withdrawn: its lots will be free


@dataclass(slots=True)
class Opened:
    """Lots opened on a trading day, as far as was told."""

    day: date
    long: int = 0
    short: int = 0


class Lots:
    """Lots held and reserved by contract.

    position: the account's picture of this moment; day: the trading day of this moment.
    """

    def __init__(
        self, position: Callable[[str], AccountPosition], day: Callable[[str], date]
    ) -> None:
        self._position, self._day = position, day
        self._opened: dict[str, Opened] = {}
        self._counts: dict[str, list[int]] = {}  # long and short by our own counting
        self._reserved: dict[str, dict[str, Reserved]] = {}
        self._off: dict[str, tuple[int, int]] = {}  # by how much it disagreed when trusted last
        self._trusted: set[str] = set()  # contracts whose picture is taken as it is
        self._odd_since_ns: dict[str, int] = {}  # when a picture was first seen not to fit

    def follow(self, symbol: str) -> None:
        """Count from the picture of now, which holds all trades told so far."""
        if symbol not in self._counts:
            self.count_anew(symbol)

    def count_anew(self, symbol: str) -> None:
        """Forget our counting and go by the account."""
        held = self._position(symbol)
        self._counts[symbol] = [held.long.total, held.short.total]
        self._opened[symbol] = Opened(self._day(symbol), held.long.today, held.short.today)

    def trust(self, symbol: str) -> None:
        """The picture did not come to agree: go by the account until the next news of it.

        What is off by the same lots twice is no lag: it is counted anew.
        """
        held, counts = self._position(symbol), self._counts[symbol]
        off = held.long.total - counts[0], held.short.total - counts[1]
        if off == self._off.get(symbol):
            self.count_anew(symbol)
        self._off[symbol] = off
        self._trusted.add(symbol)

    def counted(self, symbol: str) -> tuple[int, int] | None:
        """Long and short lots with all trades told; None for a contract that is not followed."""
        counts = self._counts.get(symbol)
        return None if counts is None else (counts[0], counts[1])

    # ---- what is told

    def on_trade(self, trade: Trade) -> None:
        """A trade of the account that was not told before, whoever ordered it."""
        self._doubt(trade.symbol)
        counts = self._counts.get(trade.symbol)
        if counts is None:
            return
        opens = trade.offset is Offset.OPEN
        is_long = (trade.direction is Direction.BUY) == opens
        counts[0 if is_long else 1] += trade.volume if opens else -trade.volume
        if opens:
            opened = self._opened_today(trade.symbol)
            opened.long += trade.volume if is_long else 0
            opened.short += 0 if is_long else trade.volume

    def on_foreign_order(self, picture: OrderPicture) -> None:
        """An order of another program: what it closes is not ours to close."""
        self._doubt(picture.symbol)
        if picture.offset is Offset.OPEN:
            return
        if not picture.is_alive:
            self.release(picture.symbol, picture.order_id)
            return
        left = picture.volume_left
        held = Reserved(picture.direction, picture.offset, lambda: left, taken=True)
        self._reserved.setdefault(picture.symbol, {})[picture.order_id] = held

    def reserve(
        self,
        symbol: str,
        order_id: str,
        direction: Direction,
        offset: Offset,
        left: Callable[[], int],
    ) -> None:
        """A closing order of ours; `left` says how many lots of it may still trade."""
        if offset is not Offset.OPEN:
            reserved = self._reserved.setdefault(symbol, {})
            reserved[order_id] = Reserved(direction, offset, left)

    def taken(self, symbol: str, order_id: str) -> None:
        """The exchange has the order."""
        self._doubt(symbol)
        reserved = self._reserved.get(symbol, {}).get(order_id)
        if reserved is not None:
            reserved.taken = True

    def leave(self, symbol: str, order_id: str) -> None:
        """The order is being withdrawn."""
        reserved = self._reserved.get(symbol, {}).get(order_id)
        if reserved is not None:
            reserved.leaving = True

    def are_freed(self, symbol: str, direction: Direction) -> bool:
        """Whether lots that a `direction` order would close are about to be free."""
        reserved = self._reserved.get(symbol, {}).values()
        return any(each.leaving and each.direction is direction for each in reserved)

    def release(self, symbol: str, order_id: str) -> None:
        """The order trades no more."""
        self._reserved.get(symbol, {}).pop(order_id, None)

    def _doubt(self, symbol: str) -> None:
        """Something was told: the picture has its time again to come to agree."""
        self._trusted.discard(symbol)
        self._odd_since_ns.pop(symbol, None)

    # ---- what follows

    def agrees(self, symbol: str) -> bool:
        """Whether the account's picture is that of all that was told."""
        if symbol in self._trusted:
            return True
        self.follow(symbol)
        held, counts = self._position(symbol), self._counts[symbol]
        rest = {Direction.BUY: 0, Direction.SELL: 0}
        for each in self._reserved.get(symbol, {}).values():
            rest[each.direction] += each.left() if each.taken else 0
        shown = [held.long.total, held.short.total, _frozen(held.long), _frozen(held.short)]
        if shown != [*counts, rest[Direction.SELL], rest[Direction.BUY]]:
            return False
        if self._is_of_yesterday(symbol, held):
            return False
        self._odd_since_ns.pop(symbol, None)
        return True

    def _is_of_yesterday(self, symbol: str, held: AccountPosition) -> bool:
        """Whether it shows lots as today's that nobody has opened today: they are history now."""
        if not (held.long.today or held.short.today):
            return False
        opened = self._opened_today(symbol)
        return held.long.today > opened.long or held.short.today > opened.short

    def _opened_today(self, symbol: str) -> Opened:
        opened, day = self._opened[symbol], self._day(symbol)
        if day != opened.day:
            opened = self._opened[symbol] = Opened(day)
        return opened

    def disagrees_for_ns(self, symbol: str, now_ns: int) -> int:
        """How long a picture that does not agree has been looked at, since the last news."""
        return now_ns - self._odd_since_ns.setdefault(symbol, now_ns)

    def position(self, symbol: str) -> AccountPosition:
        """What the account holds, with all lots frozen that closing orders will take.

        Those of orders that are being withdrawn count as free: who closes them waits for that.
        """
        held = self._position(symbol)
        known = replace(held, long=_thawed(held.long), short=_thawed(held.short))
        for each in self._reserved.get(symbol, {}).values():
            if each.leaving:
                continue
            if each.direction is Direction.SELL:
                known = replace(known, long=_freeze(known.long, each, symbol))
            else:
                known = replace(known, short=_freeze(known.short, each, symbol))
        if symbol not in self._trusted:
            return known
        # the account's own figure may hold orders that nobody has told of yet, and ours among them
        long, short = (
            max(known.long, held.long, key=_frozen),
            max(known.short, held.short, key=_frozen),
        )
        return replace(held, long=long, short=short)


def _frozen(side: SideLots) -> int:
    return side.frozen_today + side.frozen_history


def _thawed(side: SideLots) -> SideLots:
    return replace(side, frozen_today=0, frozen_history=0)


def _freeze(side: SideLots, reserved: Reserved, symbol: str) -> SideLots:
    """Exchanges that do not tell today's lots from others take either kind for CLOSE."""
    left = reserved.left()
    today = left if reserved.offset is Offset.CLOSETODAY else 0
    history = left - today
    if split_symbol(symbol)[0] not in SPLITS_TODAY:
        spill = max(history - side.closable_history, 0)
        today, history = today + spill, history - spill
    return replace(
        side,
        frozen_today=side.frozen_today + today,
        frozen_history=side.frozen_history + history,
    )
