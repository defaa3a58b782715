"""What the orders at work need: the exchange, the journal, whoever works targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .journal_records import HoldingRecord, LegRecord, OrderRecord, StopRecord, TradeRecord
from .offsets import CloseFees
from .sessions import Sessions
from .values import AccountPosition, ExchangeOrder, Instrument
from .working import Work

__all__ = ["Diary", "Exchange", "Targets"]


class Exchange(Protocol):
    """What orders need of the session. Nothing here waits."""

    def send(self, order: ExchangeOrder) -> None: ...

    def cancel(self, order_id: str) -> None: ...

    def position(self, symbol: str) -> AccountPosition: ...

    def terms(self, symbol: str) -> Instrument: ...

    def quote(self, symbol: str) -> Mapping[str, Any]: ...

    def fees(self, symbol: str) -> CloseFees | None: ...

    def sessions(self, symbol: str) -> Sessions: ...

    @property
    def now_ns(self) -> int:
        """Market time, ns since 1970 UTC."""

    @property
    def mono_ns(self) -> int:
        """A clock that never steps back, for patience in real time."""

    @property
    def is_down(self) -> bool:
        """Whether what is sent now could vanish without an answer."""


class Diary(Protocol):
    """The journal as orders use it: each call is on disk when it returns.

    `failure` says why that is not so, and is empty otherwise: nothing is sent then.
    """

    @property
    def failure(self) -> str: ...

    def together(self) -> AbstractContextManager[Any]: ...

    def put_order(self, record: OrderRecord) -> None: ...

    def put_leg(self, record: LegRecord) -> None: ...

    def add_trade(self, record: TradeRecord) -> bool: ...

    def put_stop(self, record: StopRecord) -> None: ...

    def put_holding(self, record: HoldingRecord) -> None: ...


class Targets(Protocol):
    """Whoever executes orders as net targets, with exchange orders of its own making."""

    def works_on(self, work: Work) -> bool:
        """Whether the order is being executed so now."""

    def begin(self, work: Work, volume: int) -> None:
        """Trade `volume` lots; legs appear, and the end is said, in due course."""

    def cancel(self, work: Work) -> None:
        """Withdraw; the end is said when no exchange order lives."""
