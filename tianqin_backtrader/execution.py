"""Books what the exchange did into Backtrader's orders, as its built-in broker would."""

from __future__ import annotations

import math

import backtrader as bt

from .commission import TqCommInfo
from .lines import days_of
from .model import AccountPosition, Offset, Trade

__all__ = ["execute", "finish", "net_position"]


def execute(order: bt.Order, trade: Trade, position: bt.Position) -> None:
    """Book one exchange trade into `order` and `position`."""
    comminfo = order.comminfo
    size = trade.volume if order.isbuy() else -trade.volume
    price_before = position.price
    psize, pprice, opened, closed = position.update(size, trade.price)
    commission = trade.commission_cny
    if math.isnan(commission):
        commission = _fee(comminfo, trade)
    closed_part = abs(closed) / abs(size)
    order.execute(
        days_of(trade.time_ns),
        size,
        trade.price,
        closed,
        comminfo.getvaluesize(-closed, price_before),
        commission * closed_part,
        opened,
        comminfo.getvaluesize(opened, trade.price),
        commission * (1 - closed_part),
        comminfo.margin,
        comminfo.profitandloss(-closed, price_before, trade.price) if closed else 0.0,
        psize,
        pprice,
    )


def _fee(comminfo: bt.CommInfoBase, trade: Trade) -> float:
    """What a trade cost, CNY, by the contract's terms: the gateway did not say."""
    lots = trade.volume
    if not isinstance(comminfo, TqCommInfo):
        return float(comminfo.getcommission(lots, trade.price))
    if trade.offset is Offset.OPEN:
        return comminfo.open_fee(lots, trade.price)
    today = lots if trade.offset is Offset.CLOSETODAY else 0
    return comminfo.close_fee(lots - today, today, trade.price)


def finish(order: bt.Order, status: int, reason: str, at_ns: int) -> None:
    """End an order, with the reason in `order.info.reason`; `at_ns`: market time."""
    order.status = status
    order.executed.dt = days_of(at_ns)
    order.addinfo(reason=reason)


def net_position(position: AccountPosition) -> bt.Position:
    """Net lots, with the average opening price of the larger side."""
    long, short = position.long.total, position.short.total
    price = position.open_price_long if long >= short else position.open_price_short
    return bt.Position(size=position.net, price=price if position.net else 0.0)
