"""Orders at work as the journal keeps them. Pure."""

from __future__ import annotations

from .journal_records import LegRecord, StopRecord, TradeRecord
from .triggers import Trigger
from .values import OrderPicture, Trade
from .working import LegWork, Work

__all__ = ["leg_record", "stop_record", "trade_record"]


def leg_record(work: Work, leg: LegWork, at_ns: int, picture: OrderPicture | None) -> LegRecord:
    """As the journal keeps it."""
    price = leg.price if isinstance(leg.price, float) else None
    kind = leg.price if isinstance(leg.price, str) else "ANY" if price is None else "LIMIT"
    return LegRecord(
        order_id=leg.order_id,
        key=work.key,
        number=leg.number,
        stage=leg.stage,
        symbol=work.symbol,
        direction=work.ticket.direction.value,
        offset=leg.offset.value,
        volume=leg.volume,
        price=price,
        advanced=leg.advanced or "",
        state=leg.state,
        left=leg.volume - leg.told.filled if picture is None else picture.volume_left,
        exchange_order_id=leg.exchange_order_id,
        reason=leg.told.reason,
        at_ns=at_ns,
        price_type=kind,
    )


def trade_record(key: str, trade: Trade) -> TradeRecord:
    """As the journal keeps it."""
    return TradeRecord(
        order_id=trade.order_id,
        trade_id=trade.trade_id,
        key=key,
        symbol=trade.symbol,
        direction=trade.direction.value,
        offset=trade.offset.value,
        price=trade.price,
        volume=trade.volume,
        commission_cny=trade.commission_cny,
        time_ns=trade.time_ns,
    )


def stop_record(key: str, trigger: Trigger, state: str, at_ns: int) -> StopRecord:
    """As the journal keeps it; `state`: held, hit or ended."""
    return StopRecord(key, trigger.price, trigger.limit, state, at_ns)
