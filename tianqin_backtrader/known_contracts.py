"""What a store says of contracts: terms, fees, trading hours, trading days."""

from __future__ import annotations

from .broker import TqBroker
from .calendar import TradingCalendar
from .listed import ListedContracts
from .market_calendar import MarketCalendar
from .model import Instrument
from .offsets import CloseFees
from .sessions import Sessions

__all__ = ["KnownContracts"]


class KnownContracts:
    """The part of `TqStore` that answers questions about contracts."""

    broker: TqBroker | None
    _listed: ListedContracts

    def fees(self, symbol: str) -> CloseFees | None:
        """What closing costs by the account's own trades; None: not known."""
        return None if self.broker is None else self.broker.terms.fees(symbol)

    @property
    def calendar(self) -> TradingCalendar:
        """Trading days of the Chinese exchanges."""
        return self._listed.calendar

    def want(self, symbol: str) -> None:
        """A feed of `symbol` will start: what all need is asked for at once."""
        self._listed.want(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms and today's limits; raises `UnknownSymbol`."""
        return self._listed.instrument(symbol)

    def sessions(self, symbol: str) -> Sessions:
        """The contract's trading hours by trading day, in ns since 1970 UTC; needs the session."""
        return self._listed.sessions(symbol)

    def market_calendar(self, symbol: str) -> MarketCalendar:
        """The contract's hours as a Backtrader calendar, for timers, feeds and people.

        Can be made before the session stands; answers when it does. Raises `UnknownSymbol` then.
        """
        return MarketCalendar(lambda: self.sessions(symbol))
