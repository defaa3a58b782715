"""Fills matched into round trips: lots that one order opened and one order closed. Pure.

Rules: close-today takes lots of its own trading day, oldest first; every other close takes the
oldest lots, which are history first. Lots that were held before the first fill are seeded at their
average opening price. Prices are CNY per unit, `multiplier` units per lot, 0 where not known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Fill", "Piece", "RoundTrip", "match", "merged"]

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of the account. `day`: its trading day, an ISO date."""

    at_ns: int  # 0: held before
    day: str
    key: str  # of its order
    symbol: str
    direction: str  # BUY, SELL
    offset: str  # OPEN, CLOSE, CLOSETODAY
    price: float
    volume: int
    commission_cny: float
    multiplier: int

    @property
    def is_open(self) -> bool:
        return self.offset == "OPEN"

    @property
    def is_long(self) -> bool:
        """Whether the lots that it opens or closes are long ones."""
        return (self.direction == "BUY") == self.is_open

    @property
    def turnover_cny(self) -> float:
        return self.price * self.volume * (self.multiplier or NAN)


@dataclass(frozen=True, slots=True)
class Piece:
    """Lots of one closing fill and the opening fill that they came from; None: not known."""

    opened: Fill | None
    closed: Fill
    volume: int

    @property
    def is_today(self) -> bool:
        """Whether the lots were opened on the trading day that closed them."""
        if self.opened is None:
            return self.closed.offset == "CLOSETODAY"
        return self.opened.day == self.closed.day


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Lots opened and closed. Money in CNY; NaN where the entry or the multiplier is not known."""

    symbol: str
    is_long: bool
    volume: int
    opened_ns: int  # of the first lot; 0: held before
    closed_ns: int  # of the last lot
    opened_day: str
    closed_day: str
    entry: float  # average
    exit: float
    profit_cny: float  # before fees
    fees_cny: float  # of both ends

    @property
    def net_cny(self) -> float:
        return self.profit_cny - self.fees_cny


def match(fills: Iterable[Fill], held: Iterable[Fill] = ()) -> tuple[list[Piece], list[Fill]]:
    """What each closing fill has closed, and the opening fills with the lots that are still held.

    `fills` in the order of time; `held`: opening fills that stand for lots held before.
    """
    books: defaultdict[tuple[str, bool], list[Fill]] = defaultdict(list)
    for fill in held:
        books[fill.symbol, fill.is_long].append(fill)
    pieces: list[Piece] = []
    for fill in fills:
        book = books[fill.symbol, fill.is_long]
        if fill.is_open:
            book.append(fill)
        else:
            pieces += _take(book, fill)
    return pieces, [fill for book in books.values() for fill in book]


def _take(book: list[Fill], close: Fill) -> list[Piece]:
    """Take the lots of a closing fill out of the book."""
    left, pieces = close.volume, list[Piece]()
    for index in _turns(book, close):
        lots = min(left, book[index].volume)
        pieces.append(Piece(book[index], close, lots))
        book[index] = _part(book[index], book[index].volume - lots)
        left -= lots
        if not left:
            break
    book[:] = [fill for fill in book if fill.volume]
    return [*pieces, Piece(None, close, left)] if left else pieces


def _turns(book: list[Fill], close: Fill) -> list[int]:
    """In which order lots are closed."""
    if close.offset != "CLOSETODAY":
        return list(range(len(book)))
    todays = [n for n, fill in enumerate(book) if fill.day == close.day]
    return todays + [n for n in range(len(book)) if n not in todays]


def _part(fill: Fill, volume: int) -> Fill:
    """A fill of which only so many lots are left, with their part of the commission."""
    return replace(fill, volume=volume, commission_cny=_share(fill, volume))


def _share(fill: Fill, volume: int) -> float:
    return fill.commission_cny * volume / fill.volume if fill.volume else 0.0


def merged(pieces: Iterable[Piece]) -> list[RoundTrip]:
    """One round trip for each pair of orders, in the order of their ends."""
    groups: defaultdict[tuple[str, str, str, bool], list[Piece]] = defaultdict(list)
    for piece in pieces:
        opener = piece.opened.key if piece.opened else ""
        groups[opener, piece.closed.key, piece.closed.symbol, piece.closed.is_long].append(piece)
    return sorted((_trip(each) for each in groups.values()), key=lambda trip: trip.closed_ns)


def _trip(pieces: list[Piece]) -> RoundTrip:
    first, last = pieces[0], pieces[-1]
    opened = first.opened
    volume = sum(piece.volume for piece in pieces)
    entry = sum(p.volume * (p.opened.price if p.opened else NAN) for p in pieces) / volume
    exit_ = sum(p.volume * p.closed.price for p in pieces) / volume
    sign = 1 if first.closed.is_long else -1
    multiplier = first.closed.multiplier or NAN
    return RoundTrip(
        symbol=first.closed.symbol,
        is_long=first.closed.is_long,
        volume=volume,
        opened_ns=opened.at_ns if opened else 0,
        closed_ns=last.closed.at_ns,
        opened_day=opened.day if opened else "",
        closed_day=last.closed.day,
        entry=entry,
        exit=exit_,
        profit_cny=sign * (exit_ - entry) * volume * multiplier,
        fees_cny=sum(map(_fees, pieces)),
    )


def _fees(piece: Piece) -> float:
    opening = _share(piece.opened, piece.volume) if piece.opened else 0.0
    return opening + _share(piece.closed, piece.volume)
