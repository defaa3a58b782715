"""Puts another TqApi in the place of one whose way back would take too long.

The part of `connection.Connection` that needs nothing of TqSdk itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from .config import Settings
from .discarding import discard
from .guard import OrderGuard
from .market_data import MarketData
from .trading import TradingChannel

__all__ = ["REBUILDING_S", "Rebuilding"]

REBUILDING_S = 15.0  # how long a session may take to stand that takes another's place


class Rebuilding(MarketData):
    """One session, whichever TqApi it has just now, and the way from one to the next."""

    trading: TradingChannel
    _api: Any

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._account: Any = None
        self.guard = OrderGuard(settings.mode)
        self._when_rebuilt: list[Callable[[], None]] = []
        self._is_renewing = self._is_renewed = False

    @property
    @abstractmethod
    def api(self) -> Any:
        """The TqApi that stands now. Raises `NotStarted`."""

    @abstractmethod
    def _logged_in(self, patience_s: float) -> tuple[Any, Any]:
        """A new TqApi and its account. Raises `GatewayTimeout` or `LoginRefused`."""

    @property
    def can_rebuild(self) -> bool:
        """TqSdk's local TqSim keeps account and orders in the TqApi: they would end with it."""
        return self._settings.mode != "sim"

    def rebuild(self) -> None:
        """Open another TqApi and ask it for all that this one was asked for; end this one.

        Whoever holds charts, quotes or orders goes on with them; the next `wait` brings the whole
        account and all ticks. This one stays if the other cannot be had in time. Raises
        `GatewayTimeout`, or `LoginRefused` when the credentials are not taken any more.
        """
        before = self.api, self._account
        self._api, self._account = self._logged_in(REBUILDING_S)
        self._is_renewing = True
        try:
            self._ask_again()
        except BaseException:
            failed, (self._api, self._account) = self._api, before
            self._charts.bind()
            discard(failed)
            raise
        finally:
            self._is_renewing = False
        self.guard.stand_before(self._api)
        self.trading.look_at_packets()
        self._market_news.renew(self._charts.symbols, dict(self._node("notify")))
        self.trading.renew()
        for act in self._when_rebuilt:
            act()
        discard(before[0])
        self._is_renewed = True

    def when_rebuilt(self, act: Callable[[], None]) -> None:
        """Let `act`, which must not raise, know that another TqApi stands, before the old ends."""
        self._when_rebuilt.append(act)
