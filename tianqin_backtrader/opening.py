"""Opens a session: a login, the pump that moves its news, the floor that takes its orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .clock import MarketClock, long_past_ns
from .config import Settings
from .connection import Connection
from .demo import DemoMarket
from .floor import Floor
from .keeper import House, keeper_of
from .offsets import CloseFees
from .paper_floor import PaperFloor
from .pump import Pump

__all__ = ["OpenSession", "Owner", "open_session"]


class Owner(House, Protocol):
    """Whoever a session belongs to."""

    def fees(self, symbol: str) -> CloseFees | None:
        """What closing costs by the account's own trades; None: not known."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """What stands between a login and its end."""

    connection: Connection
    pump: Pump
    floor: Floor


def open_session(
    settings: Settings,
    demo: DemoMarket | None,
    grace_s: float,
    owner: Owner,
    gate: Callable[[], None],
) -> OpenSession:
    """Log in; starts the embedded exchange `demo` first. `gate` is asked before an order leaves.

    Raises `LoginRefused`, `GatewayTimeout`, or `LiveTradingRefused` before anything is opened.
    """
    if demo is not None:
        speed, settings, now_ns = demo.start(settings)
    else:  # a time that a real market has passed for sure
        speed, now_ns = 1.0, long_past_ns() if settings.md_url is None else 0
    connection = Connection(settings)
    connection.open()
    connection.trading.gate = gate
    clock = MarketClock(speed)
    pump = Pump(connection, clock, grace_s, now_ns)
    pump.watch(keeper_of(settings, connection, pump, clock, owner))
    return OpenSession(connection, pump, _floor(connection, clock, owner))


def _floor(connection: Connection, clock: MarketClock, owner: Owner) -> Floor:
    if connection.paper is not None:
        return PaperFloor(connection, connection.paper, clock, owner.sessions, owner.fees)
    return Floor(connection, clock, owner.sessions, owner.fees)
