"""The watches of stop orders, and what orders that are held here wait for. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from .errors import InvalidOrder
from .surroundings import Exchange
from .tickets import Kind, Ticket
from .triggers import Trigger
from .working import Phase, Work

__all__ = ["changed_trigger", "released_trigger", "trigger_of", "waits_for"]

TRAILING = (Kind.TRAIL, Kind.TRAIL_LIMIT)


def trigger_of(ticket: Ticket, exchange: Exchange, last: float | None = None) -> Trigger:
    """The watch that a stop needs; a trailing one starts from its price, or the `last` price.

    Raises `InvalidOrder` for numbers that cannot work.
    """
    if last is None:
        last = float(exchange.quote(ticket.symbol)["last_price"])
    tick = exchange.terms(ticket.symbol).price_tick
    if ticket.kind in TRAILING:
        return Trigger.trailing(
            ticket.direction,
            last=last,
            tick=tick,
            price=ticket.price,
            plimit=ticket.limit,
            trail_amount=ticket.trail_amount,
            trail_percent=ticket.trail_percent,
            limited=ticket.kind is Kind.TRAIL_LIMIT,
        )
    if ticket.price is None:
        raise InvalidOrder(f"a stop of {ticket.symbol} without a price; expected where it goes off")
    return Trigger(ticket.direction, ticket.price, tick=tick, limit=ticket.limit)


def released_trigger(work: Work, exchange: Exchange) -> Trigger | None:
    """The watch of a bracket's child whose parent has filled: a trailing one begins here."""
    last = float(exchange.quote(work.symbol)["last_price"])
    if work.ticket.kind not in TRAILING or not 0 < last < math.inf:
        return work.trigger
    try:
        return trigger_of(work.ticket, exchange, last)
    except InvalidOrder:  # the price has fallen below the distance
        return work.trigger


def changed_trigger(work: Work, ticket: Ticket, exchange: Exchange) -> Trigger | None:
    """The watch of a held order that becomes `ticket`.

    One whose prices stay keeps what it has trailed. A trailing one with another distance trails
    from the last price: from where it began it would give back what it has won.
    Raises `InvalidOrder` for numbers that cannot work.
    """
    before, trigger = work.ticket, work.trigger
    if trigger is None or _prices(before) == _prices(ticket):
        return trigger
    if ticket.kind not in TRAILING or ticket.price != before.price:
        return trigger_of(ticket, exchange)
    last = float(exchange.quote(ticket.symbol)["last_price"])
    limit = ticket.limit
    if limit == before.limit and trigger.limit_offset is not None:
        limit = last - trigger.limit_offset
    return trigger_of(replace(ticket, price=last, limit=limit), exchange)


def _prices(ticket: Ticket) -> tuple[float | None, ...]:
    return ticket.price, ticket.limit, ticket.trail_amount, ticket.trail_percent


def waits_for(work: Work) -> str:
    """What an order that is held here waits for, in words."""
    if work.phase is Phase.WAITING:
        return f"held here until order {work.ticket.parent} has filled"
    if work.trigger is None:
        return "held here until the day's end"
    return f"held here until the price reaches {work.trigger.price:g}"
