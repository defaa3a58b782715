"""Backtrader orders: of a call of `buy` or `sell`, and those that need no bar of their feed."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from .feed import TqData
from .lines import days_of
from .model import Direction
from .ordering import known_options
from .tickets import Ticket

__all__ = ["blank_order", "called_order"]


def blank_order(
    data: Any, direction: Direction, volume: int, price: float | None, **options: Any
) -> bt.Order:
    """A Backtrader order that needs no bar of its feed."""
    kind = bt.order.BuyOrder if direction is Direction.BUY else bt.order.SellOrder
    order = kind(owner=None, data=data, size=volume, price=price, simulated=True, **options)
    order.p.simulated = False  # Cerebro tells strategies nothing of simulated orders
    return order


def called_order(
    kind: type[bt.Order], owner: Any, data: TqData, ticket: Ticket, options: dict[str, Any]
) -> bt.Order:
    """A Backtrader order; options that are none of its parameters become its `info`."""
    known = known_options(options)
    asked = options.get("valid") is not None  # every order ends with its contract at the latest
    valid = days_of(ticket.expires_ns) if asked and ticket.expires_ns else None
    order = kind(owner=owner, data=data, size=ticket.volume, **known | {"valid": valid})
    extra = {name: value for name, value in options.items() if name not in known}
    order.addinfo(**{name: value for name, value in extra.items() if name != "plimit"})
    return order
