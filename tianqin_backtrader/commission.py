"""Contract terms in Backtrader's form, for the live broker and for a backtest alike."""

from __future__ import annotations

import math
from typing import Any

import backtrader as bt

from .model import Instrument

__all__ = ["TqCommInfo"]


class TqCommInfo(bt.CommInfoBase):
    """Multiplier, margin and commission of one futures contract.

    `margin` and `commission` are CNY per lot, `mult` units per lot. Margin is locked per lot
    whatever the price, as TqSdk's own simulations do; profit is size x price change x `mult`.
    """

    params = (
        ("stocklike", False),
        ("commtype", bt.CommInfoBase.COMM_FIXED),
    )

    @classmethod
    def of(cls, instrument: Instrument) -> TqCommInfo:
        """The terms of `instrument`; what TqSdk does not tell counts as no fee and 1 CNY margin."""
        return cls(
            mult=float(instrument.volume_multiple),
            margin=_known(instrument.margin_cny, 1.0),
            commission=_known(instrument.commission_cny, 0.0),
        )


def _known(value: Any, otherwise: float) -> float:
    number = float(value)
    return number if math.isfinite(number) and number >= 0 else otherwise
