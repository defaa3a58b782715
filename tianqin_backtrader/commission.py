"""Contract terms in Backtrader's form, for the live broker and for a backtest alike.

Rules: a lot costs its fixed fee and its rate of price x multiplier, both added up; opening, closing
history lots and closing today's lots have fees of their own (手续费, 平今). The fee of a fill is
rounded to the cent, half up, as the embedded exchange does; TqKq leaves the fractions. Margin is
locked per lot whatever the price, as TqSdk's simulations do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import backtrader as bt

from .contracts import SPLITS_TODAY
from .errors import WrongSetting
from .model import AccountPosition, Instrument
from .offsets import CloseFees

__all__ = ["TqCommInfo"]

FEES = ("commission", "commission_rate", "close", "close_rate", "close_today", "close_today_rate")
CENT_NOISE = 1e-6  # of a cent: binary fractions such as 1.005 lie below what they stand for


class TqCommInfo(bt.CommInfoBase):
    """Multiplier, margin and fees of one futures contract; one object for one contract.

    mult: units per lot. margin, margin_short: CNY per lot held, long and short; None: as long.
    Fees, each CNY per lot and, as `_rate`, a part of price x `mult` (0.0001 is 万分之一):
    commission: to open. close: to close history lots; if neither it nor its rate is given, as to
    open. close_today: to close today's lots; if neither is given, as `close`.
    exchange_id: on SHFE and INE today's lots are closed before history lots and are fills of their
    own; elsewhere history lots go first. data: the feed whose line `trading_day` tells which lots
    are today's. day: a function that tells the trading day, for feeds without that line. With
    neither no lot is today's.

    Backtrader's built-in broker is followed fill by fill, for its net position. A live account
    knows its lots and fees itself. Raises `WrongSetting`.
    """

    params = (
        ("stocklike", False),
        ("commtype", bt.CommInfoBase.COMM_FIXED),
        ("margin_short", None),
        ("commission_rate", 0.0),
        ("close", None),
        ("close_rate", None),
        ("close_today", None),
        ("close_today_rate", None),
        ("exchange_id", ""),
        ("data", None),
        ("day", None),
    )

    def __init__(self, **unknown: Any) -> None:
        super().__init__()  # Backtrader has taken the parameters that it knows
        for name in unknown:
            raise WrongSetting("parameter", name, f"one of {', '.join(self.p._getkeys())}")
        for name in FEES:
            _check_fee(name, getattr(self.p, name))
        if self.p.data is not None:
            _check_data(self.p.data)
        self._held = HeldLots(today_first=self.p.exchange_id in SPLITS_TODAY)
        self._valued = 0.0  # the lots that the broker looks at: those it holds or is going to
        self._to_close = 0.0  # the closing part of the fill that the broker is booking
        self._was_flat = False  # before that fill

    @classmethod
    def of(
        cls, instrument: Instrument, *, day: Callable[[], Any] | None = None, **overrides: Any
    ) -> TqCommInfo:
        """The terms of `instrument`; what TqSdk does not tell counts as no fee and 1 CNY margin.

        day and overrides are parameters of this class, such as `data` and `close_today`.
        """
        terms = {
            "mult": float(instrument.volume_multiple),
            "margin": _known(instrument.margin_cny, 1.0),
            "commission": _known(instrument.commission_cny, 0.0),
            "exchange_id": instrument.exchange_id,
            "day": day,
        }
        return cls(**(terms | overrides))

    # ---- fees

    def fees(self, price: float) -> CloseFees:
        """What a lot costs at `price`, not rounded."""
        p, value = self.p, price * self.p.mult
        opening = p.commission + p.commission_rate * value
        closing = _fee(p.close, p.close_rate, value, opening)
        return CloseFees(opening, closing, _fee(p.close_today, p.close_today_rate, value, closing))

    def open_fee(self, lots: float, price: float) -> float:
        """CNY that one fill costs which opens `lots` at `price`."""
        return _to_cent(lots * self.fees(price).open_cny)

    def close_fee(self, history: float, today: float, price: float) -> float:
        """CNY that it costs to close these lots at `price`: on SHFE and INE two fills, else one."""
        fees = self.fees(price)
        parts = history * fees.close_cny, today * fees.close_today_cny
        if self._held.today_first:
            return _to_cent(parts[0]) + _to_cent(parts[1])
        return _to_cent(sum(parts))

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
        """CNY for `size` lots, > 0 bought; of a fill that has happened when not `pseudoexec`."""
        if self._was_flat and not pseudoexec:
            self._held.clear()  # lots of an earlier run
        self._held.begin(self._trading_day())
        closed = self._closing_part(size) if pseudoexec else self._held.closed_by(size)
        history, today = self._held.split(closed)
        fee = self.close_fee(history, today, price) if closed else 0.0
        if abs(size) > closed:
            fee += self.open_fee(abs(size) - closed, price)
        if not pseudoexec:
            self._held.book(size)
        return fee

    def _trading_day(self) -> Any:
        """Of the newest bar; None where nobody tells it."""
        data = self.p.data
        if data is not None:
            return data.trading_day[0] if len(data) else None
        return self.p.day() if self.p.day else None

    def _closing_part(self, size: float) -> float:
        """Lots that a fill of `size` closes, all or none.

        Backtrader's broker asks for the fee of each part just after it has valued it: the lots held
        when closing, those to be held when opening. Others are answered by the net position.
        """
        if abs(size) == abs(self._valued):
            return abs(size) if size == -self._valued else 0.0
        return abs(size) if self._held.closed_by(size) == abs(size) else 0.0

    # ---- margin

    def getvaluesize(self, size: float, price: float) -> float:
        """Margin of `size` lots held, CNY; < 0 is short."""
        self._valued = size
        return abs(size) * self._margin(size, price)

    def getvalue(self, position: bt.Position, price: float) -> float:
        """Margin of `position`, CNY."""
        return float(abs(position.size) * self._margin(position.size, price))

    def getoperationcost(self, size: float, price: float) -> float:
        """Margin that an execution of `size` lots locks or sets free, CNY."""
        closes, self._to_close = bool(size) and size == self._to_close, 0.0
        return self.getvaluesize(-size if closes else size, price)

    def profitandloss(self, size: float, price: float, newprice: float) -> float:
        """CNY earned by `size` lots from `price` to `newprice`.

        Backtrader's broker begins the booking of a fill with it; 0 at 0 tells a flat position.
        """
        self._to_close, self._was_flat = -size, not size and not price
        return float(super().profitandloss(size, price, newprice))

    def _margin(self, size: float, price: float) -> float:
        if size < 0 and self.p.margin_short is not None:
            return float(self.p.margin_short)
        return float(self.get_margin(price))

    # ---- what an account tells

    def take_fees(self, fees: CloseFees) -> None:
        """Charge from now on, per lot, what is known of `fees`."""
        told = (fees.open_cny, fees.close_cny, fees.close_today_cny)
        for name, cny in zip(FEES[::2], told, strict=True):
            if not math.isnan(cny):
                setattr(self.p, name, cny)
                setattr(self.p, f"{name}_rate", 0.0)

    def take_margin(self, position: AccountPosition) -> None:
        """Lock what the account locks per lot, where it holds one side only: it tells the sum."""
        lots = position.long.total + position.short.total
        if not lots or (position.long.total and position.short.total) or not position.margin > 0:
            return
        name = "margin" if position.long.total else "margin_short"
        setattr(self.p, name, position.margin / lots)


@dataclass(slots=True)
class HeldLots:
    """The net lots of one contract, > 0 long; how many are today's, whether those go first."""

    today_first: bool
    size: float = 0.0
    today: float = 0.0
    day: Any = None

    def begin(self, day: Any) -> None:
        """It is `day` now; None: unknown."""
        if day != self.day:
            self.day, self.today = day, 0.0

    def clear(self) -> None:
        self.size = self.today = 0.0

    def closed_by(self, size: float) -> float:
        """Lots held that a fill of `size` closes."""
        return min(abs(size), abs(self.size)) if size * self.size < 0 else 0.0

    def split(self, closed: float) -> tuple[float, float]:
        """History and today's lots among the `closed` ones; lots that nobody saw are history."""
        history = abs(self.size) - self.today
        if self.today_first:
            today = min(closed, self.today)
        else:
            today = min(max(closed - history, 0.0), self.today)
        return closed - today, today

    def book(self, size: float) -> None:
        """A fill of `size` has happened."""
        closed = self.closed_by(size)
        self.today -= self.split(closed)[1]
        self.size += size
        if self.day is not None:
            self.today += abs(size) - closed


def _fee(fixed: float | None, rate: float | None, value: float, otherwise: float) -> float:
    """CNY per lot; `otherwise` where neither part is given."""
    if fixed is None and rate is None:
        return otherwise
    return (fixed or 0.0) + (rate or 0.0) * value


def _to_cent(cny: float) -> float:
    """Half up."""
    return math.floor(cny * 100 + 0.5 + CENT_NOISE) / 100


def _check_fee(name: str, value: Any) -> None:
    if value is None and name not in FEES[:2]:
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise WrongSetting(name, value, "CNY per lot, or as a rate a part of the value, from 0 on")


def _check_data(data: Any) -> None:
    if getattr(data.lines, "trading_day", None) is None:
        expected = "a feed with the line trading_day (TqData, RecordedData), or day=, a function"
        raise WrongSetting("data", data._name or type(data).__name__, expected)


def _known(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) and value >= 0 else otherwise
