"""What an account may risk: limits, the states of trading, and what a refusal says. Pure.

Rule: a limit is about what an order would open. Cancels, and orders that only reduce, are never
refused for a limit; an order that crosses zero is judged by its opening part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from .errors import WrongSetting

__all__ = ["Code", "Lots", "Refusal", "RiskLimits", "TradingState", "code_of", "limit_for"]

HALF_DAY_S = 43_200
Lots = int | Mapping[str, int]  # one for all, or by name: the first pattern that fits


class TradingState(str, Enum):
    """What is taken: all orders, those that only reduce, or none. Cancels always go."""

    NORMAL = "NORMAL"
    REDUCING = "REDUCING"
    HALTED = "HALTED"

    __str__ = str.__str__


class Code(str, Enum):
    """Why an order was not sent; stands in `order.info.code` and in the journal."""

    HALTED = "HALTED"
    REDUCING = "REDUCING"
    DAILY_LOSS = "DAILY_LOSS"
    DRAWDOWN = "DRAWDOWN"
    SYMBOL = "SYMBOL"
    SESSION_TIME = "SESSION_TIME"
    ORDER_SIZE = "ORDER_SIZE"
    PRICE_DISTANCE = "PRICE_DISTANCE"
    SELF_TRADE = "SELF_TRADE"
    NET_POSITION = "NET_POSITION"
    GROSS_POSITION = "GROSS_POSITION"
    PRODUCT_POSITION = "PRODUCT_POSITION"
    NOTIONAL = "NOTIONAL"
    MARGIN_USE = "MARGIN_USE"
    ORDERS_PER_SECOND = "ORDERS_PER_SECOND"
    CANCELS_PER_SECOND = "CANCELS_PER_SECOND"
    ORDERS_PER_DAY = "ORDERS_PER_DAY"
    CANCELS_PER_DAY = "CANCELS_PER_DAY"
    REFUSED = "REFUSED"  # by the exchange, or by TqSdk
    NOT_NOW = "NOT_NOW"  # no risk rule, but the moment: price limits, a roll, a lost connection

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order is not sent: a code for programs, a sentence for people."""

    code: Code
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits:
    """Limits of one account; None: no limit. Raises `WrongSetting` for what cannot be meant.

    order_lots: that one order may open. net_lots, gross_lots: held of a contract at worst, orders
    at work included; product_net_lots, product_gross_lots: of all contracts of a product. Each a
    number, or numbers by pattern of symbol ("SHFE.cu*") or product ("SHFE.cu"); what no pattern
    fits has no limit.
    orders_per_day, cancels_per_day: exchange orders and cancels of a trading day, of the account;
    symbol_...: of one contract. orders_per_second, cancels_per_second: within any second.
    refuse_self_trade: no order that could trade with one of the account's own.
    price_distance: from the last price, 0.02 for 2 %. order_notional_cny, total_notional_cny: price
    x multiplier x lots of one order, of all that is held and at work. margin_use: margin / balance
    after the order. daily_loss_cny: of the trading day; drawdown: from the day's peak, a fraction
    of the balance; `on_loss` says what follows until the next trading day or `resume`: "REDUCING"
    or "HALTED". quiet_open_s, quiet_close_s: seconds after the beginning and before the end of a
    stretch of trading in which nothing is opened. symbols: patterns of what may be opened.
    """

    order_lots: int | None = None
    net_lots: Lots | None = None
    gross_lots: Lots | None = None
    product_net_lots: Lots | None = None
    product_gross_lots: Lots | None = None
    orders_per_day: int | None = None
    cancels_per_day: int | None = None
    symbol_orders_per_day: int | None = None
    symbol_cancels_per_day: int | None = None
    orders_per_second: int | None = None
    cancels_per_second: int | None = None
    refuse_self_trade: bool = False
    price_distance: float | None = None
    order_notional_cny: float | None = None
    total_notional_cny: float | None = None
    margin_use: float | None = None
    daily_loss_cny: float | None = None
    drawdown: float | None = None
    on_loss: str = TradingState.REDUCING.value
    quiet_open_s: float | None = None
    quiet_close_s: float | None = None
    symbols: Iterable[str] | None = None

    def __post_init__(self) -> None:
        for name in WHOLE:
            _check_whole(name, getattr(self, name))
        for name in BY_NAME:
            self._keep(name, _checked_lots(name, getattr(self, name)))
        for name, (most, expected) in NUMBERS.items():
            _check_number(name, getattr(self, name), most, expected)
        if not isinstance(self.refuse_self_trade, bool):
            raise WrongSetting("refuse_self_trade", self.refuse_self_trade, "True or False")
        losses = (TradingState.REDUCING.value, TradingState.HALTED.value)
        if self.on_loss not in losses:
            raise WrongSetting("on_loss", self.on_loss, " or ".join(map(repr, losses)))
        self._keep("symbols", _checked_patterns(self.symbols))

    @classmethod
    def cautious(cls) -> RiskLimits:
        """What mode live goes by when it is told no limits of its own.

        Exchanges call 500 cancels of a contract in a day abnormal trading (异常交易行为).
        """
        return cls(
            order_lots=10,
            net_lots=20,
            gross_lots=40,
            orders_per_day=1_000,
            symbol_cancels_per_day=400,
            orders_per_second=10,
            refuse_self_trade=True,
            price_distance=0.03,
            margin_use=0.5,
            drawdown=0.05,
        )

    @property
    def watches_losses(self) -> bool:
        """Whether the account's money can stop trading."""
        return self.daily_loss_cny is not None or self.drawdown is not None

    def allows(self, symbol: str) -> bool:
        """Whether anything may be opened of a contract."""
        return self.symbols is None or any(fnmatchcase(symbol, each) for each in self.symbols)

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def code_of(reason: str) -> str:
    """The code of a reason that names one, as "RECONCILING: ..." does; else NOT_NOW."""
    code, colon, _ = reason.partition(": ")
    return code if colon and code.isupper() and code.isidentifier() else Code.NOT_NOW.value


def limit_for(limit: Lots | None, *names: str) -> int | None:
    """The limit of what goes by one of `names`; None: none."""
    if not isinstance(limit, Mapping):
        return limit
    fits = (lots for each, lots in limit.items() if any(fnmatchcase(n, each) for n in names))
    return next(fits, None)


WHOLE = (
    "order_lots", "orders_per_day", "cancels_per_day", "symbol_orders_per_day",
    "symbol_cancels_per_day", "orders_per_second", "cancels_per_second",
)  # fmt: skip
BY_NAME = ("net_lots", "gross_lots", "product_net_lots", "product_gross_lots")
FRACTION = 1.0, "a part above 0 and up to 1: 0.05 is 5 %"
MONEY = math.inf, "CNY above 0"
PAUSE = float(HALF_DAY_S), "seconds above 0, less than half a day"
NUMBERS = {
    "price_distance": FRACTION, "margin_use": FRACTION, "drawdown": FRACTION,
    "order_notional_cny": MONEY, "total_notional_cny": MONEY, "daily_loss_cny": MONEY,
    "quiet_open_s": PAUSE, "quiet_close_s": PAUSE,
}  # fmt: skip


def _check_whole(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise WrongSetting(name, value, "a whole number from 0 on, or None for no limit")


def _checked_lots(name: str, value: Any) -> Lots | None:
    if not isinstance(value, Mapping):
        _check_whole(name, value)
        return value  # type: ignore[no-any-return]
    for pattern, lots in value.items():
        if not isinstance(pattern, str) or not pattern:
            raise WrongSetting(name, pattern, "patterns of symbols or products, such as 'SHFE.cu*'")
        _check_whole(f"{name}[{pattern!r}]", 0.5 if lots is None else lots)
    return dict(value)


def _check_number(name: str, value: Any, most: float, expected: str) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= most or math.isinf(value):
        raise WrongSetting(name, value, f"{expected}, or None for no limit")


def _checked_patterns(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    patterns = (value,) if isinstance(value, str) else tuple(value)
    if not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise WrongSetting("symbols", value, "patterns such as 'SHFE.cu*', or None for all")
    return tuple(sorted(patterns))
