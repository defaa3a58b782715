"""The session as the orders at work see it: `working.Exchange` over a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .clock import MarketClock, monotonic_ns
from .connection import Connection
from .contracts import check_tradable
from .errors import InvalidOrder, OrderError
from .offsets import CloseFees
from .sessions import Sessions
from .values import AccountPosition, ExchangeOrder, Instrument

__all__ = ["Floor"]

# What may change of a contract while a session lasts, in TqSdk's words.
CHANGING = (
    "upper_limit", "lower_limit", "pre_settlement", "margin", "commission", "expired",
    "expire_datetime", "underlying_symbol", "max_limit_order_volume", "max_market_order_volume",
)  # fmt: skip


class Floor:
    """Sends and reads for orders; `sessions` and `fees` answer by contract."""

    def __init__(
        self,
        connection: Connection,
        clock: MarketClock,
        sessions: Callable[[str], Sessions],
        fees: Callable[[str], CloseFees | None],
    ) -> None:
        self._connection, self._clock = connection, clock
        self.sessions, self.fees = sessions, fees
        self._terms: dict[str, tuple[list[Any], Instrument]] = {}  # beside what may change of them
        self.on_sent: Callable[[str], None] = _pass_over  # by contract: an order is about to leave

    def send(self, order: ExchangeOrder) -> None:
        """Hand an exchange order to TqSdk. Raises `InvalidOrder` with TqSdk's own words."""
        self.on_sent(order.symbol)
        try:
            self._connection.trading.send(order)
        except OrderError:
            raise
        except Exception as error:  # noqa: BLE001  TqSdk's are bare, and may hold secrets
            said = self._connection.hider.hide(str(error))
            raise InvalidOrder(f"TqSdk takes no such order: {said}") from None

    def cancel(self, order_id: str) -> None:
        self._connection.trading.cancel(order_id)

    def position(self, symbol: str) -> AccountPosition:
        return self._connection.trading.position(symbol)

    def terms(self, symbol: str) -> Instrument:
        """The contract's terms. Raises `InvalidOrder` when it cannot be traded, or not any more."""
        terms = self.listed(symbol)
        has_ended = 0 < terms.expire_ns <= self.now_ns
        check_tradable(replace(terms, expired=True) if has_ended else terms)
        return terms

    def listed(self, symbol: str) -> Instrument:
        """The contract's terms, whether it can be traded or not.

        Read anew only when they have changed: an order asks several times on its way.
        """
        quote = self._connection.listing.quote(symbol)
        changing = [quote.get(name) for name in CHANGING]
        known = self._terms.get(symbol)
        if known is None or known[0] != changing:
            known = self._terms[symbol] = changing, self._connection.listing.terms(symbol)
        return known[1]

    def knows(self, symbol: str) -> bool:
        """Whether the contract's terms and quote are at hand."""
        return self._connection.listing.has(symbol)

    def quote(self, symbol: str) -> Mapping[str, Any]:
        return self._connection.listing.quote(symbol)

    @property
    def now_ns(self) -> int:
        return self._clock.now_ns()

    @property
    def mono_ns(self) -> int:
        return monotonic_ns()

    @property
    def is_down(self) -> bool:
        return self._connection.trading.is_down


def _pass_over(_: str) -> None:
    """Nobody counts."""
