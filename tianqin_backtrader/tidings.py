"""What the orders at work tell their owner. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .orders import Event
from .tickets import Ticket

__all__ = ["Held", "Modified", "Moved", "Told", "Triggered", "Unanswered"]


@dataclass(frozen=True, slots=True)
class Held:
    """Order `ref` stands here and not at the exchange, for the reason `text`."""

    ref: str
    text: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Trailing stop `ref` stands at `price` now, its limit at `limit`; CNY."""

    ref: str
    price: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class Triggered:
    """The market reached the price of stop order `ref`: it goes to the exchange."""

    ref: str
    price: float


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The exchange says nothing of exchange order `order_id` of order `ref`."""

    ref: str
    order_id: str
    for_s: float  # real time since it was sent


@dataclass(frozen=True, slots=True)
class Modified:
    """Order `ref` stands as changed."""

    ref: str
    ticket: Ticket


Told = Event | Held | Moved | Triggered | Modified | Unanswered
