"""What the account holds against what the journal expects of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .journal_records import HoldingRecord
from .values import AccountPosition, Direction, Offset, Trade
from .working import LegWork, Work

__all__ = ["ambiguous", "differences", "odd_lots"]


def differences(
    before: Mapping[str, HoldingRecord],
    now: Mapping[str, AccountPosition],
    news: Iterable[Trade],
) -> list[str]:
    """Where the account does not hold what it held when last seen plus `news`, as sentences."""
    return [
        f"{symbol}: the account holds {has[0]} long and {has[1]} short lots, the journal "
        f"expects {was[0]} and {was[1]}; others have traded, or it was not running"
        for symbol, (was, has) in sorted(odd_lots(before, now, news).items())
    ]


def odd_lots(
    before: Mapping[str, HoldingRecord],
    now: Mapping[str, AccountPosition],
    news: Iterable[Trade],
) -> dict[str, tuple[list[int], list[int]]]:
    """Contracts of which the lots that are expected are not those held; long and short of both."""
    expected = {symbol: [held.long, held.short] for symbol, held in before.items()}
    for trade in news:
        sides = expected.setdefault(trade.symbol, [0, 0])
        opens = trade.offset is Offset.OPEN
        is_long = (trade.direction is Direction.BUY) == opens
        sides[0 if is_long else 1] += trade.volume if opens else -trade.volume
    found = {}
    for symbol in expected.keys() | now.keys():
        held = now.get(symbol, AccountPosition(symbol))
        was, has = expected.get(symbol, [0, 0]), [held.long.total, held.short.total]
        if was != has:
            found[symbol] = was, has
    return found


def ambiguous(gone: Iterable[tuple[Work, list[LegWork]]]) -> set[str]:
    """Contracts whose lots would be as before if all that is gone had traded in full or in part.

    An order that opens lots and one that closes lots of that side may both have filled: equal lots
    prove nothing.
    """
    signs: dict[tuple[str, bool], set[bool]] = {}
    for work, legs in gone:
        for leg in legs:
            opens = leg.offset is Offset.OPEN
            is_long = (work.ticket.direction is Direction.BUY) == opens
            signs.setdefault((work.symbol, is_long), set()).add(opens)
    return {symbol for (symbol, _), found in signs.items() if len(found) > 1}
