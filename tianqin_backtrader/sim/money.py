"""Amounts of money as whole hundredths of CNY ("cents", 分): the only place where they are rounded.

Each amount is rounded once, when it arises, and only added and subtracted from then on, so that an
account balances to the cent. Floats exist in contract terms, in ticks and in pictures.
"""

from __future__ import annotations

__all__ = ["charge", "in_cents", "in_cny", "value_per_lot"]

CENTS_PER_CNY = 100
MICRO_PER_CNY = 1_000_000  # rates such as 11.6925 CNY per lot are exact in millionths
MICRO_PER_CENT = MICRO_PER_CNY // CENTS_PER_CNY


def in_cents(cny: float) -> int:
    """The nearest whole cent."""
    return round(cny * CENTS_PER_CNY)


def in_cny(cents: int) -> float:
    return cents / CENTS_PER_CNY


def charge(*parts: tuple[float, int]) -> int:
    """Cents of a commission or margin: the sum of (CNY per lot, lots), rounded once, half up."""
    micro = sum(round(rate_cny * MICRO_PER_CNY) * lots for rate_cny, lots in parts)
    return (micro + MICRO_PER_CENT // 2) // MICRO_PER_CENT


def value_per_lot(price: float, volume_multiple: int) -> int:
    """The cents that one lot is worth at `price`; exact wherever a price tick is whole cents."""
    return round(price * volume_multiple * CENTS_PER_CNY)
