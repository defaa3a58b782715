"""The values that every layer speaks in: frozen, typed, free of TqSdk's placeholders.

Rule: prices are CNY per unit, volumes lots, money CNY, times nanoseconds since 1970 UTC (`_ns`).
`model` makes them out of what TqSdk shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum

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
]

NAN = math.nan

TradingTime = Mapping[str, tuple[tuple[str, str], ...]]  # {"day": (("09:00:00", "10:15:00"), ...)}


class Direction(str, Enum):
    BUY = "BUY"
    SELL = "SELL"


class Offset(str, Enum):
    OPEN = "OPEN"
    CLOSE = "CLOSE"  # on SHFE and INE: history lots only
    CLOSETODAY = "CLOSETODAY"  # SHFE and INE only


NOT_SENT = "paper: not sent"  # begins the reason of every order of mode paper


@dataclass(frozen=True, slots=True)
class Instrument:
    """Terms of one contract and the day's price limits; unknown prices are NaN, volumes 0."""

    symbol: str  # "SHFE.cu2512", "KQ.m@SHFE.cu"
    exchange_id: str
    product_id: str
    name: str
    ins_class: str  # "FUTURE", "CONT", "INDEX", ...
    price_tick: float
    volume_multiple: int
    trading_time: TradingTime
    margin_cny: float  # per lot
    commission_cny: float  # per lot
    expire_ns: int  # 0: never, or unknown
    expired: bool
    max_limit_order_volume: int  # 0: unknown
    max_market_order_volume: int  # 0: unknown, or no market orders
    upper_limit: float
    lower_limit: float
    pre_settlement: float
    underlying_symbol: str  # of a main contract: the one it follows now; of an option; else ""

    @property
    def is_main(self) -> bool:
        """Whether it is a main contract, which stands for another one."""
        return self.ins_class == "CONT"


@dataclass(frozen=True, slots=True)
class Tick:
    """One row of a tick serial. `volume` and `amount` count from the trading day's beginning."""

    id: int
    time_ns: int
    last_price: float
    volume: int
    amount: float
    open_interest: int
    bid_price: float
    ask_price: float
    bid_volume: int
    ask_volume: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, by TqSdk's rules; `start_ns` is TqSdk's label, `end_ns` the last moment it trades.

    `amount`, quotes (of the bar's last tick) are NaN when unknown. `complete` is False when ticks
    of it are known to be missing: take the official kline of that label instead.
    """

    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    amount: float
    open_oi: int
    close_oi: int
    trading_day: date
    bid_price: float = NAN
    ask_price: float = NAN
    bid_volume: float = NAN
    ask_volume: float = NAN
    complete: bool = True


@dataclass(frozen=True, slots=True)
class SideLots:
    """Lots held on one side of a contract, and how many of them resting closing orders freeze."""

    today: int = 0
    history: int = 0
    frozen_today: int = 0
    frozen_history: int = 0

    @property
    def total(self) -> int:
        return self.today + self.history

    @property
    def closable_today(self) -> int:
        return min(self.today, max(0, self.today - self.frozen_today))

    @property
    def closable_history(self) -> int:
        return min(self.history, max(0, self.history - self.frozen_history))

    @property
    def closable(self) -> int:
        return self.closable_today + self.closable_history


@dataclass(frozen=True, slots=True)
class AccountPosition:
    """Both sides of one contract as the account holds them; average prices NaN without lots."""

    symbol: str
    long: SideLots = SideLots()
    short: SideLots = SideLots()
    open_price_long: float = NAN
    open_price_short: float = NAN
    float_profit: float = 0.0  # CNY, against the opening prices
    margin: float = 0.0  # CNY

    @property
    def net(self) -> int:
        return self.long.total - self.short.total


@dataclass(frozen=True, slots=True)
class ExchangeOrder:
    """An order as it is sent to the exchange.

    price: CNY, "BEST" or "FIVELEVEL", None at market; advanced: "FAK", "FOK" or None.
    """

    order_id: str
    symbol: str
    direction: Direction
    offset: Offset
    volume: int
    price: float | str | None
    advanced: str | None = None


@dataclass(frozen=True, slots=True)
class OrderPicture:
    """An exchange order (one leg) as the gateway shows it. Volumes are lots."""

    order_id: str
    symbol: str
    direction: Direction
    offset: Offset
    volume: int
    volume_left: int
    price: float  # NaN for a market order
    price_type: str  # "LIMIT", "ANY", "BEST", "FIVELEVEL"
    status: str  # "ALIVE", "FINISHED"
    last_msg: str
    exchange_order_id: str  # "" until the exchange took it
    insert_ns: int

    @property
    def is_alive(self) -> bool:
        return self.status == "ALIVE"

    @property
    def filled(self) -> int:
        return self.volume - self.volume_left

    @property
    def is_refused(self) -> bool:
        """Finished without the exchange ever having taken it.

        Gateways leave `exchange_order_id` empty. TqSim fills it for refused orders too, but says 撤
        in the reason of every withdrawal and of no refusal (tqsdk.tradeable.sim.trade_future).
        """
        if self.is_alive or self.filled:
            return False
        is_withdrawn = "撤" in self.last_msg or self.last_msg.startswith(NOT_SENT)
        return not self.exchange_order_id or bool(self.last_msg and not is_withdrawn)


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill of one order. `trade_id` is unique among the account's trades."""

    trade_id: str
    order_id: str
    symbol: str
    direction: Direction
    offset: Offset
    price: float
    volume: int
    commission_cny: float  # NaN when the gateway does not say
    time_ns: int


@dataclass(frozen=True, slots=True)
class Account:
    """The account's money in CNY; `risk_ratio` is margin / balance."""

    balance: float
    available: float
    margin: float
    frozen_margin: float
    commission: float
    frozen_commission: float
    close_profit: float
    position_profit: float
    float_profit: float
    static_balance: float
    pre_balance: float
    deposit: float
    withdraw: float
    risk_ratio: float
