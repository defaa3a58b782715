"""What may be ordered of a contract: symbols, price grid, limits and each exchange's order kinds.

Rule: an order that the exchange would refuse is refused here, with the value and the remedy.
Sources: TqApi.insert_order and its `_get_insert_order_future_pack`.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from numbers import Real

from .errors import BadPrice, BadVolume, InvalidOrder, UnknownSymbol
from .model import Direction, Instrument

__all__ = [
    "FIVE_LEVEL_ORDERS",
    "NO_MARKET_ORDERS",
    "SPLITS_TODAY",
    "check_kind",
    "check_limits",
    "check_order",
    "check_tradable",
    "is_on_tick",
    "round_to_tick",
    "split_symbol",
    "takes_market_orders",
]

SPLITS_TODAY = frozenset({"SHFE", "INE"})  # CLOSETODAY exists only here
NO_MARKET_ORDERS = frozenset({"CFFEX", "SHFE", "INE", "SSE", "SZSE"})
FIVE_LEVEL_ORDERS = frozenset({"CFFEX"})  # BEST and FIVELEVEL exist only here

TRADABLE = frozenset({"FUTURE", "OPTION", "FUTURE_OPTION", "COMBINE", "FUTURE_COMBINE"})
OPTIONS = frozenset({"OPTION", "FUTURE_OPTION"})
TICK_TOLERANCE = 1e-6  # of a tick: the noise of binary prices, 5806.400000000001


def split_symbol(symbol: str) -> tuple[str, str]:
    """Exchange and contract: "SHFE.cu2512" is ("SHFE", "cu2512").

    Raises `UnknownSymbol` unless both are there.
    """
    exchange_id, dot, instrument_id = symbol.partition(".")
    if not (dot and exchange_id and instrument_id):
        raise UnknownSymbol(symbol)
    return exchange_id, instrument_id


def is_on_tick(price: float, tick: float) -> bool:
    """Whether `price` is a multiple of `tick`, but for the noise of binary numbers."""
    steps = price / tick
    return math.isfinite(steps) and abs(steps - round(steps)) <= TICK_TOLERANCE


def round_to_tick(price: float, tick: float, direction: Direction) -> float:
    """The price on the grid that is no worse for the trader: down to buy, up to sell."""
    if is_on_tick(price, tick):
        steps = Decimal(round(price / tick))
    else:
        rounding = ROUND_FLOOR if direction is Direction.BUY else ROUND_CEILING
        steps = (Decimal(repr(price)) / Decimal(repr(tick))).to_integral_value(rounding)
    return float(steps * Decimal(repr(tick)))


def check_order(
    instrument: Instrument, direction: Direction, volume: float, price: float | None
) -> None:
    """Refuse what the exchange would refuse. `volume` in lots; `price` None for a market order.

    Raises `InvalidOrder` (expired, or not tradable), `BadVolume` or `BadPrice`.
    """
    check_tradable(instrument)
    _check_volume(instrument, volume, is_market=price is None)
    if price is None:
        check_kind(instrument, "ANY")
    else:
        _check_price(instrument, direction, price)


def takes_market_orders(instrument: Instrument) -> bool:
    """Whether the exchange takes orders without a price for this contract."""
    if instrument.exchange_id == "DCE" and instrument.ins_class in OPTIONS:
        return False
    return instrument.exchange_id not in NO_MARKET_ORDERS


def check_kind(instrument: Instrument, price_type: str, advanced: str | None = None) -> None:
    """Refuse order kinds that the exchange does not have.

    `price_type` is "LIMIT", "ANY" (market), "BEST" or "FIVELEVEL"; `advanced` None, "FAK" or "FOK".
    Raises `InvalidOrder`.
    """
    symbol, exchange = instrument.symbol, instrument.exchange_id
    if price_type == "ANY" and not takes_market_orders(instrument):
        raise InvalidOrder(f"{symbol}: {exchange} takes no market order here; give a limit price")
    if price_type in ("BEST", "FIVELEVEL"):
        if exchange not in FIVE_LEVEL_ORDERS:
            raise InvalidOrder(f"{symbol}: {price_type} exists only on CFFEX; give a limit price")
        if advanced == "FOK":
            raise InvalidOrder(f"{symbol}: {price_type} cannot be FOK; use FAK or a limit price")
    if advanced == "FOK" and exchange == "CZCE" and instrument.ins_class == "FUTURE":
        raise InvalidOrder(f"{symbol}: CZCE futures take no FOK; use FAK")


def check_tradable(instrument: Instrument) -> None:
    """Refuse contracts that no order can be for. Raises `InvalidOrder`."""
    if instrument.expired:
        raise InvalidOrder(f"{instrument.symbol} has expired; trade a listed contract")
    if instrument.ins_class not in TRADABLE:
        remedy = instrument.underlying_symbol or "a listed contract"
        raise InvalidOrder(
            f"{instrument.symbol} is of class {instrument.ins_class} and cannot be traded; "
            f"trade {remedy}"
        )


def _check_volume(instrument: Instrument, volume: float, *, is_market: bool) -> None:
    symbol = instrument.symbol
    if not _is_finite(volume) or volume != int(volume) or volume < 1:
        raise BadVolume(symbol, volume, "a whole number of lots, at least 1")
    most = instrument.max_market_order_volume if is_market else instrument.max_limit_order_volume
    if 0 < most < volume:
        raise BadVolume(symbol, volume, f"at most {most} lots in one order; split it")


def _check_price(instrument: Instrument, direction: Direction, price: float) -> None:
    symbol, tick = instrument.symbol, instrument.price_tick
    if not _is_finite(price):
        raise BadPrice(symbol, price, "a finite number, or None for a market order")
    if not is_on_tick(price, tick):
        nearest = round_to_tick(price, tick, direction)
        raise BadPrice(symbol, price, f"a multiple of {tick}, such as {nearest}")
    check_limits(instrument, price)


def check_limits(instrument: Instrument, price: float) -> None:
    """Refuse a price, CNY, beyond the day's limits. Raises `BadPrice`."""
    symbol, slack = instrument.symbol, instrument.price_tick * TICK_TOLERANCE
    if price > instrument.upper_limit + slack:  # a limit that is not known is NaN: never exceeded
        raise BadPrice(symbol, price, f"at most the day's upper limit {instrument.upper_limit}")
    if price < instrument.lower_limit - slack:
        raise BadPrice(symbol, price, f"at least the day's lower limit {instrument.lower_limit}")


def _is_finite(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, Real) and math.isfinite(float(value))
