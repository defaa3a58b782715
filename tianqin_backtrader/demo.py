"""The embedded exchange of a store in mode demo: started, held until all feeds stand, stopped."""

from __future__ import annotations

from .config import Settings
from .sim import LocalExchange

__all__ = ["DemoMarket"]


class DemoMarket:
    """An exchange of the program's own, or one that is made when the session begins.

    What runs already when the session begins goes on when it ends.
    """

    def __init__(self, exchange: LocalExchange | None) -> None:
        self._given = self._exchange = exchange
        self._stops_it = self._holds_it = False

    def start(self, settings: Settings) -> tuple[float | None, Settings, int]:
        """The market's pace, `settings` that lead there, and its time, ns since 1970 UTC.

        Raises `WrongSetting` for an exchange that has been stopped: its day is over.
        """
        exchange = self._exchange or LocalExchange()
        self._stops_it = self._stops_it or not exchange.is_running
        self._exchange = exchange.start()
        if exchange.speed is None and not exchange.is_paused:
            exchange.pause()  # until all feeds stand, so that each run begins at the same tick
            self._holds_it = True
        urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
        return exchange.speed, settings.model_copy(update=urls), exchange.now_ns

    @property
    def now_ns(self) -> int:
        """Market time, ns since 1970 UTC; 0 while there is no exchange."""
        return 0 if self._exchange is None else self._exchange.now_ns

    def let_go(self) -> None:
        """All feeds stand: let the market run."""
        if self._holds_it and self._exchange is not None:
            self._holds_it = False
            self._exchange.resume()

    def stop(self) -> None:
        """Stop the exchange if it was started here."""
        self.let_go()
        if self._exchange is not None and self._stops_it:
            self._exchange.stop()
            self._exchange, self._stops_it = self._given, False
