"""Follows which contract a main contract stands for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from .connection import Connection
from .errors import TianqinError
from .model import Tick
from .queries import underlying_of, underlying_query
from .sessions import DAY_TURNS_NS, Sessions, midnight_ns

__all__ = ["MainContract"]

logger = logging.getLogger(__name__)


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

    @property
    def is_asking(self) -> bool:
        """Whether the ticks of now may be those of another contract already."""
        return self._answer is not None

    def settle(self, late: bool) -> None:
        """Nothing is delivered."""

    def poll(self) -> None:
        """Look whether TqSdk has told of another contract."""
        quoted = str(self._connection.listing.quote(self._symbol).get("underlying_symbol") or "")
        if quoted != self._quoted and self._become(quoted):
            self._quoted = quoted
        contract = underlying_of(self._answer()) if self._answer is not None else ""
        if contract and self._become(contract):
            self._answer = None

    def _become(self, contract: str) -> bool:
        """Follow `contract`; False while its terms, which orders need, cannot be had."""
        if contract in ("", self._contract):
            return True
        try:
            self._connection.instrument(contract)
        except TianqinError as error:
            logger.warning(
                "%s follows %s, whose terms are missing: %s", self._symbol, contract, error
            )
            return False
        self._contract = contract
        self._on_roll(contract)
        return True
