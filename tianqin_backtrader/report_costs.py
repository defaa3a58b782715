"""What trading cost: fees by open, close today and close history, and slippage. Pure.

Slippage counts from the price that the order was about when it was written: a stop's trigger, for
any other order the last price at that moment. Positive: the fill was worse than that price.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .report_trips import Fill, Piece

__all__ = ["Cost", "Slip", "SlipSum", "costs", "slip_sums", "slippage"]

NAN = float("nan")
BASIS = 10_000
OPEN, TODAY, HISTORY = "open", "close_today", "close_history"
STOPS = frozenset({"Stop", "StopLimit", "StopTrail", "StopTrailLimit"})


@dataclass(frozen=True, slots=True)
class Cost:
    """Fees of one contract for one kind of fill; CNY, NaN where not known."""

    symbol: str
    kind: str  # open, close_today, close_history
    lots: float
    turnover_cny: float
    fees_cny: float

    @property
    def per_lot_cny(self) -> float:
        return self.fees_cny / self.lots if self.lots else NAN

    @property
    def basis_points(self) -> float:
        """Of turnover: 1 is 万分之一."""
        return self.fees_cny / self.turnover_cny * BASIS if self.turnover_cny else NAN


@dataclass(frozen=True, slots=True)
class Slip:
    """How far an order's fills lie from the price it was written at."""

    at_ns: int  # of the last fill
    key: str
    symbol: str
    direction: str
    kind: str  # Backtrader's order type
    lots: int
    reference: float  # CNY; NaN: not known
    average: float
    ticks: float  # > 0: worse
    cost_cny: float  # > 0: worse


@dataclass(frozen=True, slots=True)
class SlipSum:
    """Of all orders of one type whose slippage is known."""

    kind: str
    orders: int
    lots: int
    ticks: float  # mean of a lot
    cost_cny: float


def costs(fills: Iterable[Fill], pieces: Iterable[Piece]) -> list[Cost]:
    """By contract and kind. Where the exchange has no close-today, the lots that closed tell."""
    sums: dict[tuple[str, str], list[float]] = {}
    parts = [(fill, OPEN, fill.volume) for fill in fills if fill.is_open]
    parts += [(p.closed, TODAY if p.is_today else HISTORY, p.volume) for p in pieces]
    for fill, kind, lots in parts:
        share = lots / fill.volume
        row = sums.setdefault((fill.symbol, kind), [0.0, 0.0, 0.0])
        for place, value in enumerate((fill.volume, fill.turnover_cny, fill.commission_cny)):
            row[place] += value * share
    order = {OPEN: 0, TODAY: 1, HISTORY: 2}
    keys = sorted(sums, key=lambda key: (key[0], order[key[1]]))
    return [Cost(symbol, kind, *sums[symbol, kind]) for symbol, kind in keys]


def slippage(
    fills: Iterable[Fill], tickets: Mapping[str, Mapping[str, Any]], triggers: Mapping[str, float]
) -> list[Slip]:
    """A row for each order with fills and a ticket, in the order of their last fills.

    `tickets` and `triggers` (of stops, CNY) by the key of the order.
    """
    by_order: dict[str, list[Fill]] = {}
    for fill in fills:
        if fill.key in tickets:
            by_order.setdefault(fill.key, []).append(fill)
    rows = [_slip(tickets[key], triggers.get(key), each) for key, each in by_order.items()]
    return sorted(rows, key=lambda row: row.at_ns)


def _slip(ticket: Mapping[str, Any], trigger: float | None, fills: Sequence[Fill]) -> Slip:
    kind, last = str(ticket.get("kind", "")), fills[-1]
    reference = _reference(kind, ticket, trigger)
    lots = sum(fill.volume for fill in fills)
    average = sum(fill.price * fill.volume for fill in fills) / lots
    worse = (average - reference) * (1 if last.direction == "BUY" else -1)
    tick = ticket.get("price_tick") or NAN
    return Slip(
        at_ns=last.at_ns,
        key=last.key,
        symbol=last.symbol,
        direction=last.direction,
        kind=kind,
        lots=lots,
        reference=reference,
        average=average,
        ticks=worse / tick,
        cost_cny=worse * lots * (last.multiplier or NAN),
    )


def _reference(kind: str, ticket: Mapping[str, Any], trigger: float | None) -> float:
    price = ticket.get("signal_price")
    if kind in STOPS:
        price = ticket.get("price") if trigger is None else trigger
    return NAN if price is None else float(price)


def slip_sums(slips: Iterable[Slip]) -> list[SlipSum]:
    """By order type, those whose slippage is not known left out."""
    groups: dict[str, list[Slip]] = {}
    for slip in slips:
        if math.isfinite(slip.cost_cny) and math.isfinite(slip.ticks):
            groups.setdefault(slip.kind, []).append(slip)
    return [_sum(kind, each) for kind, each in sorted(groups.items())]


def _sum(kind: str, slips: Sequence[Slip]) -> SlipSum:
    lots = sum(slip.lots for slip in slips)
    ticks = sum(slip.ticks * slip.lots for slip in slips) / lots
    return SlipSum(kind, len(slips), lots, ticks, sum(slip.cost_cny for slip in slips))
