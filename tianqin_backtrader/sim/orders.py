"""An order as the exchange keeps it, read from whatever a client sent, and its fills.

Reading never fails: what makes no sense becomes an empty word, 0 lots or a NaN price, and
`rules` refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .money import in_cny
from .positions import MISSING

__all__ = ["Order", "Trade"]

LARGEST_VOLUME = 2**31 - 1  # CTP counts lots in 32 bits
LARGEST_PRICE = 1e9


@dataclass(slots=True, eq=False)
class Order:
    """Money in cents, volumes in lots. FINISHED is final."""

    order_id: str
    user_id: str
    exchange_id: str
    instrument_id: str
    direction: str
    offset: str
    volume_orign: int  # DIFF spells it so
    price_type: str
    limit_price: float  # NaN unless price_type is LIMIT
    time_condition: str
    volume_condition: str
    insert_ns: int
    seqno: int
    exchange_order_id: str = ""  # the exchange took the order once it has one
    volume_left: int = 0
    status: str = "ALIVE"
    last_msg: str = ""
    reserved: int = 0  # lots for which money or lots are frozen
    frozen_margin: int = 0
    frozen_commission: int = 0
    fills: int = 0

    @classmethod
    def read(cls, user_id: str, pack: Mapping[str, Any], now_ns: int, seqno: int) -> Order:
        """The order that an `insert_order` pack asks for, good or bad."""
        volume = _volume(pack.get("volume"))
        price_type = _word(pack, "price_type")
        return cls(
            order_id=_word(pack, "order_id"),
            user_id=user_id,
            exchange_id=_word(pack, "exchange_id"),
            instrument_id=_word(pack, "instrument_id"),
            direction=_word(pack, "direction"),
            offset=_word(pack, "offset"),
            volume_orign=volume,
            price_type=price_type,
            limit_price=_price(pack.get("limit_price")) if price_type == "LIMIT" else math.nan,
            time_condition=_word(pack, "time_condition"),
            volume_condition=_word(pack, "volume_condition"),
            insert_ns=now_ns,
            seqno=seqno,
            volume_left=volume,
        )

    @property
    def symbol(self) -> str:
        return f"{self.exchange_id}.{self.instrument_id}"

    @property
    def is_alive(self) -> bool:
        return self.status == "ALIVE"

    @property
    def is_immediate(self) -> bool:
        """Whether what cannot trade at once is cancelled."""
        return self.time_condition == "IOC" or self.price_type != "LIMIT"

    @property
    def is_fok(self) -> bool:
        return self.volume_condition == "ALL"

    def picture(self) -> dict[str, Any]:
        """The order as DIFF shows it."""
        return {
            **_common_picture(self),
            "volume_orign": self.volume_orign,
            "volume_left": self.volume_left,
            "price_type": self.price_type,
            "limit_price": MISSING if math.isnan(self.limit_price) else self.limit_price,
            "time_condition": self.time_condition,
            "volume_condition": self.volume_condition,
            "insert_date_time": self.insert_ns,
            "exchange_order_id": self.exchange_order_id,
            "status": self.status,
            "last_msg": self.last_msg,
            "frozen_margin": in_cny(self.frozen_margin),
            "frozen_commission": in_cny(self.frozen_commission),
            "frozen_premium": 0.0,
        }


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill of an order, the `number`-th of that order."""

    order: Order
    number: int
    price: float
    volume: int
    commission: int  # cents
    time_ns: int
    seqno: int

    @property
    def trade_id(self) -> str:
        return f"{self.order.order_id}|{self.number}"

    def picture(self) -> dict[str, Any]:
        """The trade as DIFF shows it."""
        return {
            **_common_picture(self.order),
            "trade_id": self.trade_id,
            "exchange_trade_id": f"{self.seqno:012d}",
            "price": self.price,
            "volume": self.volume,
            "trade_date_time": self.time_ns,
            "commission": in_cny(self.commission),
            "seqno": self.seqno,
        }


def _common_picture(order: Order) -> dict[str, Any]:
    names = ("order_id", "user_id", "exchange_id", "instrument_id", "direction", "offset", "seqno")
    return {name: getattr(order, name) for name in names}


def _word(pack: Mapping[str, Any], name: str) -> str:
    value = pack.get(name)
    return value if isinstance(value, str) else ""


def _volume(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value <= LARGEST_VOLUME else 0


def _price(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if abs(value) < LARGEST_PRICE else math.nan
