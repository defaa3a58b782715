"""The contracts that somebody asked for: their terms, and TqSdk's live quotes of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from .contracts import split_symbol
from .errors import UnknownSymbol
from .model import Instrument, instrument_from
from .queries import KNOWN, known_symbols

__all__ = ["Listing"]

Quote = Mapping[str, Any]


class Listing:
    """Contracts by symbol.

    `query` puts a question about contracts to TqSdk, `subscribe` gets their live quotes; both wait.
    """

    def __init__(
        self,
        query: Callable[[str, list[str]], Mapping[str, Any]],
        subscribe: Callable[[list[str]], Sequence[Quote]],
    ) -> None:
        self._query, self._subscribe = query, subscribe
        self._quotes: dict[str, Quote] = {}

    def instruments(self, symbols: Iterable[str]) -> dict[str, Instrument]:
        """Terms and today's limits of each contract, its quote subscribed: all asked for at once.

        Raises `UnknownSymbol` at once where TqSdk itself would wait 30 seconds.
        """
        wanted = list(dict.fromkeys(symbols))
        for symbol in wanted:
            split_symbol(symbol)
        new = [symbol for symbol in wanted if symbol not in self._quotes]
        if new:
            self._check_known(new)
            self._quotes.update(zip(new, self._subscribe(new), strict=True))
        return {symbol: self.terms(symbol) for symbol in wanted}

    def renew(self) -> None:
        """Ask another TqApi for the quotes of all contracts; those of before stay if it fails."""
        if self._quotes:
            symbols = list(self._quotes)
            self._quotes = dict(zip(symbols, self._subscribe(symbols), strict=True))

    def has(self, symbol: str) -> bool:
        """Whether the contract was asked for."""
        return symbol in self._quotes

    def quote(self, symbol: str) -> Quote:
        """TqSdk's live quote of a contract that was asked for; never waits."""
        return self._quotes[symbol]

    def terms(self, symbol: str) -> Instrument:
        """The contract with the limits of this moment; never waits."""
        return instrument_from(self._quotes[symbol])

    def market_day(self, symbol: str) -> date | None:
        """The calendar day of the contract's newest quote; None while it has none."""
        text = str(self._quotes[symbol].get("datetime") or "")[:10]
        return date.fromisoformat(text) if text else None

    def _check_known(self, symbols: list[str]) -> None:
        known = known_symbols(self._query(KNOWN, symbols))
        for symbol in symbols:
            if symbol not in known:
                raise UnknownSymbol(symbol)
