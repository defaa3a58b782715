"""The limit price that stands for a market order where the exchange takes none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .contracts import round_to_tick
from .errors import BadPrice
from .values import Direction, Instrument

__all__ = ["crossing_price"]


def crossing_price(
    instrument: Instrument, direction: Direction, quote: Mapping[str, Any], ticks: int
) -> float:
    """The limit price that stands for a market order: `ticks` beyond the opposite price.

    Never beyond the day's limit; the limit itself where the opposite side is empty.
    Raises `BadPrice` where neither is known.
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
