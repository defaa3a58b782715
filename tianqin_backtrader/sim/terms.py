"""Prices on a contract's tick grid, and what is fixed before a trading day begins."""

from __future__ import annotations

import math
from datetime import date

from .values import Contract, DayTerms

__all__ = ["day_terms", "on_grid"]


def on_grid(price: float, contract: Contract) -> float:
    """The nearest price of the tick grid, CNY."""
    return _price(round(price / contract.price_tick), contract)


def day_terms(
    contract: Contract,
    day: date,
    *,
    pre_settlement: float,
    pre_close: float,
    pre_open_interest: int,
    reaches: tuple[float, float] | None = None,
) -> DayTerms:
    """Terms of `day`: limits `limit_rate` around the settlement, rounded inwards.

    reaches: lowest and highest price that were recorded; limits that were narrower give way.
    """
    tick = contract.price_tick
    upper = math.floor(pre_settlement * (1 + contract.limit_rate) / tick + 1e-9)
    lower = math.ceil(pre_settlement * (1 - contract.limit_rate) / tick - 1e-9)
    if reaches is not None:
        lower, upper = min(lower, round(reaches[0] / tick)), max(upper, round(reaches[1] / tick))
    return DayTerms(
        trading_day=day,
        pre_settlement=pre_settlement,
        pre_close=pre_close,
        pre_open_interest=pre_open_interest,
        upper_limit=_price(upper, contract),
        lower_limit=_price(lower, contract),
    )


def _price(steps: int, contract: Contract) -> float:
    return round(steps * contract.price_tick, contract.price_decs)
