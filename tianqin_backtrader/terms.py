"""The contracts' terms for one account: from the instrument, and from what its trades cost."""

from __future__ import annotations

import math
from collections.abc import Callable

from .commission import TqCommInfo
from .fee_book import FeeBook, closed_today
from .model import AccountPosition, Instrument, Trade
from .offsets import CloseFees

__all__ = ["AccountTerms"]


class AccountTerms:
    """Terms by contract; `instrument` gives a contract's listing.

    TqSdk lists one fee for each contract. What the account is really charged, today's lots apart,
    only its trades tell: each is learnt from.
    """

    def __init__(self, instrument: Callable[[str], Instrument]) -> None:
        self._instrument = instrument
        self._book = FeeBook()
        self._terms: dict[str, TqCommInfo] = {}

    def of(self, contract: str) -> TqCommInfo:
        """The terms as they are known now; the object stays the same."""
        if contract not in self._terms:
            self._terms[contract] = TqCommInfo.of(self._instrument(contract))
            self._terms[contract].take_fees(self._book.fees(contract))
        return self._terms[contract]

    def learn(self, trade: Trade, before: AccountPosition | None = None) -> None:
        """Take what a trade of the account has cost; `before`: what was held, where it is known."""
        self._book.learn(trade, None if before is None else closed_today(trade, before))
        if trade.symbol in self._terms:
            self._terms[trade.symbol].take_fees(self._book.fees(trade.symbol))

    def look_at(self, position: AccountPosition) -> None:
        """Take the margin per lot of a position, where it can be told."""
        if position.symbol in self._terms:
            self._terms[position.symbol].take_margin(position)

    def fees(self, contract: str) -> CloseFees:
        """CNY per lot; the listed fee where no trade has told, NaN for today's lots then."""
        known, listed = self._book.fees(contract), self._instrument(contract).commission_cny
        return CloseFees(
            listed if math.isnan(known.open_cny) else known.open_cny,
            listed if math.isnan(known.close_cny) else known.close_cny,
            known.close_today_cny,
        )
