"""What an account is charged per lot, learnt from its own trades. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from .contracts import SPLITS_TODAY, split_symbol
from .offsets import CloseFees
from .values import NAN, AccountPosition, Direction, Offset, Trade

__all__ = ["FeeBook", "closed_today"]

UNKNOWN = CloseFees(NAN, NAN, NAN)


class FeeBook:
    """What an account was last charged per lot, by contract: only its trades tell that.

    A fee by value follows the price of that trade.
    """

    def __init__(self) -> None:
        self._known: dict[str, CloseFees] = {}

    def fees(self, symbol: str) -> CloseFees:
        """What is known of `symbol`."""
        return self._known.get(symbol, UNKNOWN)

    def learn(self, trade: Trade, today: int | None = None) -> None:
        """Remember what `trade` cost, if it says so.

        today: how many of the lots that it closed were opened today, which the offset does not tell
        except on SHFE and INE. If unknown (None), or some of them, nothing is learnt.
        """
        kind = _kind_of(trade, today)
        if kind and trade.volume > 0 and not math.isnan(trade.commission_cny):
            known = {kind: trade.commission_cny / trade.volume}
            self._known[trade.symbol] = replace(self.fees(trade.symbol), **known)


def closed_today(trade: Trade, before: AccountPosition) -> int | None:
    """How many lots that a trade closed were opened today; None where that cannot be told.

    before: what was held. With lots of both kinds the exchange chooses.
    """
    side = before.short if trade.direction is Direction.BUY else before.long
    if not side.history:
        return trade.volume
    return None if side.today else 0


def _kind_of(trade: Trade, today: int | None) -> str:
    """The fee that `trade` was charged, by its name in `CloseFees`; "" where it cannot be told."""
    if trade.offset is Offset.OPEN:
        return "open_cny"
    if trade.offset is Offset.CLOSETODAY:
        return "close_today_cny"
    if split_symbol(trade.symbol)[0] in SPLITS_TODAY:
        return "close_cny"
    if today is None or 0 < today < trade.volume:
        return ""
    return "close_today_cny" if today else "close_cny"
