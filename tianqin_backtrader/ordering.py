"""What a Backtrader order asks the exchange for, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import backtrader as bt

from .contracts import check_kind, check_order, is_on_tick, round_to_tick, takes_market_orders
from .errors import BadPrice, BadVolume, InvalidOrder
from .model import Direction, Instrument

__all__ = ["Request", "beyond_limits", "crossing_price", "read_request"]

EXECTYPES = (bt.Order.Market, bt.Order.Limit)
NOT_YET = ("oco", "parent", "trailamount", "trailpercent")


@dataclass(frozen=True, slots=True)
class Request:
    """Buy or sell `volume` lots of a contract at `price` (CNY; None: at market) or better.

    `advanced`: "FAK", "FOK" or None.
    """

    instrument: Instrument
    direction: Direction
    volume: int
    price: float | None
    advanced: str | None


def read_request(
    instrument: Instrument, direction: Direction, size: Any, options: Mapping[str, Any]
) -> Request:
    """The request behind `buy(size=..., **options)`.

    Raises an `InvalidOrder` for what can never be sent: a volume that is no whole number of lots, a
    price off the grid, an order type or an instruction that the exchange does not have. The day's
    limits are not looked at: they change, see `beyond_limits`.
    """
    price = _limit_price(instrument, options)
    volume = _lots(instrument, size)
    advanced = options.get("advanced")
    if advanced not in (None, "FAK", "FOK"):
        raise InvalidOrder(f"advanced is {advanced!r}; expected 'FAK', 'FOK' or None")
    unlimited = replace(instrument, upper_limit=float("nan"), lower_limit=float("nan"))
    crosses = price is None and not takes_market_orders(instrument)
    check_order(unlimited, direction, volume, instrument.price_tick if crosses else price)
    check_kind(instrument, "LIMIT" if crosses or price is not None else "ANY", advanced)
    return Request(instrument, direction, volume, price, advanced)


def beyond_limits(request: Request) -> str:
    """Why today's limits forbid the price; empty where they do not, or are not known."""
    price, terms = request.price, request.instrument
    if price is not None and price > terms.upper_limit:
        return f"price {price} is above the day's upper limit {terms.upper_limit}"
    if price is not None and price < terms.lower_limit:
        return f"price {price} is below the day's lower limit {terms.lower_limit}"
    return ""


def crossing_price(
    instrument: Instrument, direction: Direction, quote: Mapping[str, Any], ticks: int
) -> float:
    """The limit price that stands for a market order: `ticks` beyond the opposite price.

    Never beyond the day's limit; the limit itself where the opposite side is empty.
    """
    step = ticks * instrument.price_tick
    if direction is Direction.BUY:
        crossing, limit = quote["ask_price1"] + step, instrument.upper_limit
        within = crossing <= limit
    else:
        crossing, limit = quote["bid_price1"] - step, instrument.lower_limit
        within = crossing >= limit
    if within:
        return round_to_tick(crossing, instrument.price_tick, direction)
    if limit != limit:  # noqa: PLR0124  NaN: the limits are not known
        raise BadPrice(instrument.symbol, crossing, "a known opposite price or price limit")
    return limit


def _lots(instrument: Instrument, size: Any) -> int:
    try:
        whole = int(size)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if isinstance(size, bool) or whole != size or whole < 1:
        raise BadVolume(instrument.symbol, size, "a whole number of lots, at least 1")
    return whole


def _limit_price(instrument: Instrument, options: Mapping[str, Any]) -> float | None:
    exectype = options.get("exectype")
    if exectype not in (None, *EXECTYPES):
        known = isinstance(exectype, int) and 0 <= exectype < len(bt.Order.ExecTypes)
        name = bt.Order.ExecTypes[exectype] if known else repr(exectype)
        raise InvalidOrder(f"order type {name}; expected Market or Limit")
    given = [name for name in NOT_YET if options.get(name) is not None]
    if given:
        raise InvalidOrder(f"{given[0]} is given; expected a plain market or limit order")
    if exectype != bt.Order.Limit:
        return None
    price = options.get("price")
    if not isinstance(price, (int, float)) or not is_on_tick(price, instrument.price_tick):
        raise BadPrice(
            instrument.symbol, price, f"a multiple of the price tick {instrument.price_tick}"
        )
    return float(price)
