"""The model of market and account: its values, and how TqSdk's pictures become them.

Rule: TqSdk's dicts are read here and nowhere else. It writes "-" or NaN for a number that it does
not have; prices become NaN, counts 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from numbers import Real
from typing import Any

from .values import (
    Account,
    AccountPosition,
    Bar,
    Direction,
    ExchangeOrder,
    Instrument,
    Offset,
    OrderPicture,
    SideLots,
    Tick,
    Trade,
    TradingTime,
)

__all__ = [
    "Account",
    "AccountPosition",
    "Bar",
    "Direction",
    "ExchangeOrder",
    "Instrument",
    "Offset",
    "OrderPicture",
    "SideLots",
    "Tick",
    "Trade",
    "TradingTime",
    "account_from",
    "bar_from_kline",
    "instrument_from",
    "order_from",
    "position_from",
    "tick_from",
    "trade_from",
]

NAN = math.nan
SECOND_NS = 1_000_000_000

MONEY = tuple(field.name for field in fields(Account))

Picture = Mapping[str, Any]


def instrument_from(quote: Picture) -> Instrument:
    """The contract's terms out of a TqSdk `Quote` (its `expire_datetime` is in seconds)."""
    return Instrument(
        symbol=str(quote["instrument_id"]),
        exchange_id=str(quote["exchange_id"]),
        product_id=str(quote.get("product_id") or ""),
        name=str(quote.get("instrument_name") or ""),
        ins_class=str(quote["ins_class"]),
        price_tick=_real(quote["price_tick"]),
        volume_multiple=_count(quote["volume_multiple"]),
        trading_time=_trading_time(quote.get("trading_time")),
        margin_cny=_real(quote.get("margin")),
        commission_cny=_real(quote.get("commission")),
        expire_ns=_count(quote.get("expire_datetime")) * SECOND_NS,
        expired=bool(quote.get("expired")),
        max_limit_order_volume=_count(quote.get("max_limit_order_volume")),
        max_market_order_volume=_count(quote.get("max_market_order_volume")),
        upper_limit=_real(quote.get("upper_limit")),
        lower_limit=_real(quote.get("lower_limit")),
        pre_settlement=_real(quote.get("pre_settlement")),
        underlying_symbol=str(quote.get("underlying_symbol") or ""),
    )


def tick_from(id: int, row: Picture) -> Tick:  # noqa: A002 - the serial's own word
    """Row `id` of a TqSdk tick serial."""
    return Tick(
        id=id,
        time_ns=int(row["datetime"]),
        last_price=_real(row["last_price"]),
        volume=_count(row["volume"]),
        amount=_real(row["amount"]),
        open_interest=_count(row["open_interest"]),
        bid_price=_real(row["bid_price1"]),
        ask_price=_real(row["ask_price1"]),
        bid_volume=_count(row["bid_volume1"]),
        ask_volume=_count(row["ask_volume1"]),
    )


def bar_from_kline(row: Picture, end_ns: int, trading_day: date) -> Bar:
    """An official kline as a bar. `end_ns` and `trading_day` come from the contract's sessions."""
    return Bar(
        start_ns=int(row["datetime"]),
        end_ns=end_ns,
        open=_real(row["open"]),
        high=_real(row["high"]),
        low=_real(row["low"]),
        close=_real(row["close"]),
        volume=_count(row["volume"]),
        amount=NAN,
        open_oi=_count(row["open_oi"]),
        close_oi=_count(row["close_oi"]),
        trading_day=trading_day,
    )


def position_from(picture: Picture) -> AccountPosition:
    """A contract's position. Today and history come from `pos_*`: on DCE `volume_*_his` stays 0."""
    return AccountPosition(
        symbol=_symbol(picture),
        long=_side(picture, "long"),
        short=_side(picture, "short"),
        open_price_long=_real(picture.get("open_price_long")),
        open_price_short=_real(picture.get("open_price_short")),
        float_profit=_money(picture.get("float_profit")),
        margin=_money(picture.get("margin")),
    )


def order_from(picture: Picture) -> OrderPicture:
    """One exchange order; a market order's `price` is NaN whatever the gateway left there."""
    limited = picture["price_type"] == "LIMIT"
    return OrderPicture(
        order_id=str(picture["order_id"]),
        symbol=_symbol(picture),
        direction=Direction(picture["direction"]),
        offset=Offset(picture["offset"]),
        volume=_count(picture["volume_orign"]),
        volume_left=_count(picture["volume_left"]),
        price=_real(picture.get("limit_price")) if limited else NAN,
        price_type=str(picture["price_type"]),
        status=str(picture["status"]),
        last_msg=str(picture.get("last_msg") or ""),
        exchange_order_id=str(picture.get("exchange_order_id") or ""),
        insert_ns=_count(picture.get("insert_date_time")),
    )


def trade_from(picture: Picture) -> Trade:
    """One fill, with the commission in CNY where the gateway says it."""
    return Trade(
        trade_id=str(picture["trade_id"]),
        order_id=str(picture["order_id"]),
        symbol=_symbol(picture),
        direction=Direction(picture["direction"]),
        offset=Offset(picture["offset"]),
        price=_real(picture["price"]),
        volume=_count(picture["volume"]),
        commission_cny=_real(picture.get("commission")),
        time_ns=_count(picture.get("trade_date_time")),
    )


def account_from(picture: Picture) -> Account:
    """The account's money; what the gateway does not say is NaN."""
    return Account(*[_real(picture.get(name)) for name in MONEY])


def _side(picture: Picture, side: str) -> SideLots:
    """One side with its frozen lots spread over the lots that exist.

    A gateway may report lots frozen under the wrong heading (DCE: today's for history), so what
    exceeds one kind is counted against the other.
    """
    today = _count(picture.get(f"pos_{side}_today"))
    history = _count(picture.get(f"pos_{side}_his"))
    said_today = _count(picture.get(f"volume_{side}_frozen_today"))
    said_history = _count(picture.get(f"volume_{side}_frozen_his"))
    frozen = max(said_today + said_history, _count(picture.get(f"volume_{side}_frozen")))
    frozen = min(frozen, today + history)
    frozen_history = min(history, max(said_history, frozen - today))
    frozen_today = min(today, frozen - frozen_history)
    return SideLots(today, history, frozen_today, frozen_history)


def _symbol(picture: Picture) -> str:
    return f"{picture['exchange_id']}.{picture['instrument_id']}"


def _trading_time(value: Picture | None) -> TradingTime:
    if value is None:
        return {"day": (), "night": ()}
    return {
        part: tuple((str(start), str(end)) for start, end in value.get(part) or ())
        for part in ("day", "night")
    }


def _real(value: Any) -> float:
    if type(value) is float:  # almost all are
        return value
    return float(value) if isinstance(value, Real) else NAN


def _money(value: Any) -> float:
    number = _real(value)
    return 0.0 if math.isnan(number) else number


def _count(value: Any) -> int:
    """A count, exact for integers: nanoseconds do not fit a float."""
    if type(value) is int:
        return value
    return int(value) if math.isfinite(_real(value)) else 0
