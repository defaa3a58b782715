"""Follows which contract a main contract stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .connection import Connection
from .model import Tick
from .queries import underlying_of, underlying_query
from .sessions import DAY_TURNS_NS, Sessions, midnight_ns

__all__ = ["MainContract"]


class MainContract:
    """Asks at the beginning of each trading day, and looks at what TqSdk itself says of it."""

    def __init__(
        self,
        connection: Connection,
        symbol: str,
        contract: str,
        sessions: Sessions,
        on_roll: Callable[[str], None],
    ) -> None:
        self._connection, self._symbol, self._contract = connection, symbol, contract
        self._sessions, self._on_roll = sessions, on_roll
        self._quoted = contract  # what TqSdk's quote says
        self._day_ends_ns = 0
        self._answer: Callable[[], Mapping[str, Any] | None] | None = None

    def on_tick(self, tick: Tick, missing: bool) -> None:
        if tick.time_ns > self._day_ends_ns:
            day = self._sessions.trading_day_of(tick.time_ns)
            self._day_ends_ns = midnight_ns(day) + DAY_TURNS_NS
            name, query = underlying_query(self._symbol, day)
            self._answer = self._connection.ask(name, query, self._symbol)

    def settle(self, late: bool) -> None:
        """Nothing is delivered."""

    def poll(self) -> None:
        """Look whether TqSdk has told of another contract."""
        quoted = str(self._connection.listing.quote(self._symbol).get("underlying_symbol") or "")
        if quoted != self._quoted:
            self._quoted = quoted
            self._become(quoted)
        contract = underlying_of(self._answer()) if self._answer is not None else ""
        if contract:
            self._answer = None
            self._become(contract)

    def _become(self, contract: str) -> None:
        if contract and contract != self._contract:
            self._contract = contract
            self._connection.instrument(contract)  # orders need its terms and limits
            self._on_roll(contract)
