"""What the parts of the embedded exchange say to each other: contracts, ticks, klines, sessions.

Prices are CNY per unit, volumes lots, times nanoseconds since 1970 UTC (`_ns`), money CNY (`_cny`).
A trading day is the `date` of its day session; its night session begins the evening before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
BEIJING_OFFSET_NS = 8 * HOUR_NS  # no daylight saving since 1991

InsClass = Literal["FUTURE", "CONT"]
Level = tuple[float, int]  # (price, volume in lots)
Stretch = tuple[int, int]  # [start_ns, end_ns) of one unbroken stretch of trading


@dataclass(frozen=True, slots=True)
class Contract:
    """Terms of one contract, as `ins_query` tells them and as matching and accounts use them."""

    symbol: str  # "SHFE.cu2512", "KQ.m@SHFE.cu"
    ins_class: InsClass
    exchange_id: str  # of a main contract: "KQ"
    product_id: str  # "cu"
    name: str
    price_tick: float
    price_decs: int
    volume_multiple: int
    margin_cny: float  # per lot, long or short
    commission_cny: float  # per lot opened or closed
    commission_close_today_cny: float  # per lot closed on the day it was opened
    limit_rate: float  # daily price limit as a fraction of the previous settlement, 0.1 = 10 %
    max_limit_order_volume: int
    max_market_order_volume: int  # 0: the exchange takes no market order
    delivery_year: int
    delivery_month: int
    expire_ns: int
    expired: bool
    trading_time: dict[
        str, list[list[str]]
    ]  # {"day": [["09:00:00", "10:15:00"], ...], "night": []}
    underlying_symbol: str = ""  # of a main contract: the contract it follows now

    @property
    def instrument_id(self) -> str:
        return self.symbol.split(".", 1)[1]


@dataclass(frozen=True, slots=True)
class MarketTick:
    """One picture of the market: what the exchange publishes, and what orders match against."""

    symbol: str
    time_ns: int
    trading_day: date
    last_price: float
    highest: float  # of the trading day; NaN before its first trade
    lowest: float
    average: float
    volume: int  # lots since the trading day began
    amount: float  # CNY since the trading day began
    open_interest: int
    bids: tuple[Level, ...]  # best first; empty at the lower limit
    asks: tuple[Level, ...]
    after_hole: bool = False  # ticks before this one were never recorded: its id skips one


@dataclass(frozen=True, slots=True)
class DayTerms:
    """What is fixed for a contract before a trading day begins."""

    trading_day: date
    pre_settlement: float
    pre_close: float
    pre_open_interest: int
    upper_limit: float
    lower_limit: float


@dataclass(slots=True)
class KlineRow:
    """One official kline; the newest of a series changes until the next one exists."""

    id: int
    time_ns: int  # label: start of the bar; 00:00 Beijing time of the trading day for daily bars
    open: float
    high: float
    low: float
    close: float
    volume: int
    open_oi: int
    close_oi: int


@dataclass(slots=True)
class TickRow:
    id: int
    tick: MarketTick = field(repr=False)
