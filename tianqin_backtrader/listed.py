"""What a session knows of contracts: terms, trading hours, trading days."""

from __future__ import annotations

from collections.abc import Callable

from .calendar import TradingCalendar
from .config import Settings
from .connection import Connection
from .model import Instrument
from .sessions import Sessions
from .trading_days import TradingDays

__all__ = ["ListedContracts"]


class ListedContracts:
    """Terms and hours by symbol; `connection` gives the session while there is one."""

    def __init__(self, settings: Settings, connection: Callable[[], Connection]) -> None:
        self._is_demo, self._connection = settings.mode == "demo", connection
        self._days = TradingDays(settings.holidays)
        self._sessions: dict[str, Sessions] = {}
        self._wanted: dict[str, None] = {}  # symbols of the feeds, in order

    @property
    def calendar(self) -> TradingCalendar:
        """Trading days of the Chinese exchanges."""
        return self._days.calendar

    def want(self, symbol: str) -> None:
        """A feed of `symbol` will start: what all need is asked for at once."""
        self._wanted[symbol] = None

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms and today's limits; raises `UnknownSymbol`."""
        listing = self._connection().listing
        wanted = listing.instruments([*self._wanted, symbol])
        followed = [each.underlying_symbol for each in wanted.values() if each.is_main]
        listing.instruments(followed)  # orders go there
        return wanted[symbol]

    def sessions(self, symbol: str) -> Sessions:
        """The contract's trading hours by trading day, in ns since 1970 UTC."""
        if symbol not in self._sessions:
            hours, connection = self.instrument(symbol).trading_time, self._connection()
            day = connection.listing.market_day(symbol)
            if day is not None and not self._is_demo:
                self._days.prepare(day, connection.holidays)
            self._sessions[symbol] = Sessions(hours, self.calendar)
        return self._sessions[symbol]

    def warning(self, now_ns: int) -> str | None:
        """That holidays are not known from some day on, said once; else None."""
        return self._days.warning(now_ns)

    def forget(self) -> None:
        """The session is over."""
        self._sessions, self._wanted = {}, {}
