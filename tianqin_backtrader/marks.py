"""How a Backtrader order shows what has become of it, beside its fills and its end."""

from __future__ import annotations

import backtrader as bt

from .lines import days_of
from .orders import OrderState
from .tickets import Ticket
from .tidings import Held, Moved, Triggered

__all__ = ["STATUS", "change", "mark"]

STATUS = {state: getattr(bt.Order, state.value) for state in OrderState}


def mark(order: bt.Order, told: Held | Moved | Triggered) -> None:
    """Show where an order stands that the exchange does not have."""
    if isinstance(told, Held):
        order.addinfo(held=told.text)
    elif isinstance(told, Moved):
        order.created.price = told.price
        if told.limit is not None:
            order.created.pricelimit = told.limit
    else:
        order.triggered = True
        order.addinfo(held="", triggered=told.price)


def change(order: bt.Order, ticket: Ticket) -> None:
    """Show an order as it was changed."""
    size = ticket.volume if order.isbuy() else -ticket.volume
    order.executed.remsize += size - order.created.size
    order.created.size = order.size = size
    if ticket.price is not None:
        order.created.price = order.price = ticket.price
    if ticket.limit is not None:
        order.created.pricelimit = order.pricelimit = ticket.limit
    order.created.trailamount = order.trailamount = ticket.trail_amount
    order.created.trailpercent = order.trailpercent = ticket.trail_percent
    order.valid = days_of(ticket.expires_ns) if ticket.expires_ns else None
    if not order.executed.size:
        order.status = bt.Order.Accepted
