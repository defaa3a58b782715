"""A running session as the chronicle looks at it: its account, its time, its trading days."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Protocol

from .connection import Connection
from .errors import NotStarted
from .pump import Pump
from .sessions import Sessions
from .trading import TradingChannel

__all__ = ["SessionView"]


class Store(Protocol):
    """The owner of the session; what it has raises `NotStarted` while there is none."""

    @property
    def datas(self) -> Sequence[Any]: ...

    @property
    def connection(self) -> Connection: ...

    @property
    def pump(self) -> Pump: ...

    def sessions(self, symbol: str) -> Sessions: ...


class SessionView:
    """A `chronicle.Watched`. The trading day of several contracts ends with the last of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last_ns = 0

    @property
    def trading(self) -> TradingChannel:
        return self._store.connection.trading

    @property
    def market_ns(self) -> int:
        """The newest time that the exchange has told, also after the session's end."""
        with suppress(NotStarted):
            self._last_ns = max(self._last_ns, self._store.pump.market_ns)
        return self._last_ns

    @property
    def symbols(self) -> list[str]:
        """What the feeds follow."""
        return list(dict.fromkeys(data.symbol for data in self._store.datas))

    @property
    def strategies(self) -> list[Any]:
        """Those of the Cerebro that the feeds are in."""
        env = next((data._env for data in self._store.datas), None)
        return list(getattr(env, "runningstrats", ()))

    def _hours(self) -> list[Sessions]:
        return [self._store.sessions(symbol) for symbol in self.symbols]

    def close_after(self, now_ns: int) -> int:
        """When the trading day of this moment is over, after its close the next one; 0: unknown."""
        hours = self._hours()
        if not now_ns or not hours:
            return 0
        day = hours[0].trading_day_of(now_ns)
        close_ns = max(each.close_of(day) for each in hours)
        if close_ns > now_ns:
            return close_ns
        following = hours[0].calendar.next_day(day)
        return max(each.close_of(following) for each in hours)

    def day_at(self, now_ns: int) -> str:
        """The trading day of this moment, an ISO date; empty: unknown."""
        first = next(iter(self._hours()), None)
        return "" if first is None or not now_ns else first.trading_day_of(now_ns).isoformat()

    def span_of(self, day: str) -> tuple[int, int]:
        """From when until when a trading day lasts; nothing where no contract is followed."""
        hours, when = self._hours(), date.fromisoformat(day)
        begin_ns = min((each.open_of(when) for each in hours), default=0)
        return begin_ns, max((each.close_of(when) + 1 for each in hours), default=0)
