"""One Backtrader order at work: its legs, which of them were sent, and its execution bits.

The opening leg waits until the closing legs have filled, so that a position never passes through
zero in the wrong offset; when a closing leg dies, the opening leg is never sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import backtrader as bt

from .connection import Connection
from .model import AccountPosition, Direction, Offset, SideLots, Trade
from .offsets import Leg
from .ordering import Request

__all__ = ["SentLeg", "WorkingOrder", "execute", "net_position", "without_reserved"]

DAY_NS = 86_400_000_000_000
EPOCH_DAY = 719_163.0  # Backtrader's number of 1970-01-01


@dataclass(slots=True)
class SentLeg:
    """One exchange order of ours. `acknowledged`: the account's picture contains it."""

    order_id: str
    offset: Offset
    volume: int
    sent: bool = False
    acknowledged: bool = False
    done: bool = False


@dataclass(slots=True)
class WorkingOrder:
    """A Backtrader order between `submit` and its end."""

    order: bt.Order
    request: Request
    legs: list[SentLeg] = field(default_factory=list)

    @classmethod
    def plan(cls, order: bt.Order, request: Request, legs: Sequence[Leg], run: str) -> WorkingOrder:
        """Give each leg its exchange order id, which follows from run, order and leg."""
        ids = (f"{run}.{order.ref}.{n}" for n in range(len(legs)))
        pairs = zip(ids, legs, strict=True)
        sent = [SentLeg(order_id, leg.offset, leg.volume) for order_id, leg in pairs]
        return cls(order, request, sent)

    @property
    def due(self) -> list[SentLeg]:
        """Legs that may be sent now."""
        waiting = [leg for leg in self.legs if not leg.sent and not leg.done]
        closing = [leg for leg in self.legs if leg.offset is not Offset.OPEN and not leg.done]
        return waiting if not closing else [leg for leg in waiting if leg in closing]

    def send(self, connection: Connection, price: float | None) -> None:
        """Hand the due legs to the connection at `price` (CNY; None: at market)."""
        for leg in self.due:
            leg.sent = True
            connection.send_order(
                leg.order_id,
                self.request.instrument.symbol,
                self.request.direction,
                leg.offset,
                leg.volume,
                price,
                self.request.advanced,
            )

    def leg(self, order_id: str) -> SentLeg:
        return next(leg for leg in self.legs if leg.order_id == order_id)


def execute(order: bt.Order, trade: Trade, position: bt.Position) -> None:
    """Book one exchange trade into `order` and `position`, as the built-in broker would."""
    comminfo = order.comminfo
    size = trade.volume if order.isbuy() else -trade.volume
    price_before = position.price
    psize, pprice, opened, closed = position.update(size, trade.price)
    commission = trade.commission_cny
    if math.isnan(commission):
        commission = comminfo.getcommission(size, trade.price)
    closed_part = abs(closed) / abs(size)
    order.execute(
        EPOCH_DAY + trade.time_ns / DAY_NS,
        size,
        trade.price,
        closed,
        comminfo.getoperationcost(closed, price_before),
        commission * closed_part,
        opened,
        comminfo.getoperationcost(opened, trade.price),
        commission * (1 - closed_part),
        comminfo.margin,
        comminfo.profitandloss(-closed, price_before, trade.price) if closed else 0.0,
        psize,
        pprice,
    )


def net_position(position: AccountPosition) -> bt.Position:
    """Net lots, with the average opening price of the larger side."""
    long, short = position.long.total, position.short.total
    price = position.open_price_long if long >= short else position.open_price_short
    return bt.Position(size=position.net, price=price if position.net else 0.0)


def without_reserved(position: AccountPosition, working: Sequence[WorkingOrder]) -> AccountPosition:
    """`position` with the lots frozen that our own closing legs will freeze once they arrive."""
    for each in working:
        if each.request.instrument.symbol != position.symbol:
            continue
        for leg in each.legs:
            if leg.offset is Offset.OPEN or leg.acknowledged or leg.done:
                continue
            if each.request.direction is Direction.SELL:
                position = replace(position, long=_frozen(position.long, leg))
            else:
                position = replace(position, short=_frozen(position.short, leg))
    return position


def _frozen(side: SideLots, leg: SentLeg) -> SideLots:
    today = leg.volume if leg.offset is Offset.CLOSETODAY else 0
    history = leg.volume - today
    spill = max(history - side.closable_history, 0)  # CLOSE takes either kind where there is one
    return replace(
        side,
        frozen_today=side.frozen_today + today + spill,
        frozen_history=side.frozen_history + history - spill,
    )
