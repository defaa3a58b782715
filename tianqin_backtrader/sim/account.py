"""One client's money and positions, to the cent.

After every step balance = static_balance + close_profit + position_profit - commission, and
available = balance - margin - frozen_margin - frozen_commission. Nobody is forced to close when
money runs out, and nothing is delivered: both are outside this exchange.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .money import charge, in_cents, in_cny, value_per_lot
from .orders import Order
from .positions import MISSING, Position
from .values import Contract

__all__ = ["Account"]


class Account:
    """Money in cents. `initial_balance_cny` is paid in before the first trading day."""

    def __init__(self, initial_balance_cny: float) -> None:
        self.static_balance = in_cents(initial_balance_cny)  # the balance of the last settlement
        self.close_profit = 0
        self.position_profit = 0
        self.float_profit = 0
        self.commission = 0
        self.margin = 0
        self.frozen_margin = 0
        self.frozen_commission = 0
        self.positions: dict[str, Position] = {}
        self._product_margin: dict[tuple[str, str], int] = {}

    @property
    def balance(self) -> int:
        return self.static_balance + self.close_profit + self.position_profit - self.commission

    @property
    def available(self) -> int:
        return self.balance - self.margin - self.frozen_margin - self.frozen_commission

    def affords(self, contract: Contract, volume: int) -> bool:
        """Whether `volume` more lots can be opened: their margin and commission are available."""
        margin = charge((contract.margin_cny, volume))
        return margin + charge((contract.commission_cny, volume)) <= self.available

    def hold(self, contract: Contract) -> Position:
        """A position of no lots yet, for orders and fills to come."""
        return self.positions.setdefault(contract.symbol, Position(contract))

    def reserve(self, order: Order, lots: int) -> None:
        """Freeze money (to open) or lots (to close) for `lots` more of `order`; < 0 gives back."""
        order.reserved += lots
        position = self.positions[order.symbol]
        if order.offset != "OPEN":
            position.side(order.direction, order.offset).frozen[order.offset] += lots
            return
        margin = charge((position.contract.margin_cny, order.reserved))
        commission = charge((position.contract.commission_cny, order.reserved))
        self.frozen_margin += margin - order.frozen_margin
        self.frozen_commission += commission - order.frozen_commission
        order.frozen_margin, order.frozen_commission = margin, commission

    def fill(self, order: Order, price: float, volume: int, last_price: float) -> int:
        """Book a fill of `volume` lots and give back what was reserved; returns its commission.

        last_price: the market's, NaN before the day's first trade.
        """
        self.reserve(order, -volume)
        position = self.positions[order.symbol]
        if position.is_empty:
            position.mark_to(price if math.isnan(last_price) else last_price)
        profits = position.position_profit, position.float_profit
        commission = self._move_lots(order, position, price, volume)
        self.commission += commission
        self._take_profits(position, *profits)
        self._charge_margin(position.contract)
        return commission

    def mark(self, position: Position, price: float) -> bool:
        """Value the lots held at the market's last price; says whether that changed anything."""
        if position.is_empty or price == position.last_price or math.isnan(price):
            return False
        profits = position.position_profit, position.float_profit
        position.mark_to(price)
        self._take_profits(position, *profits)
        return True

    def settle(self, prices: Mapping[str, float]) -> None:
        """Pay the day's profit into the balance; a position without a price settles at its mark."""
        for symbol, position in self.positions.items():
            price = prices.get(symbol, math.nan)
            self.mark(position, price)
            if position.last_price is not None:
                position.settle(position.last_price)
        self.static_balance = self.balance
        self.close_profit = self.position_profit = self.commission = 0

    def picture(self) -> dict[str, Any]:
        """The account as DIFF shows it."""
        absent = ("deposit", "withdraw", "premium", "frozen_premium", "market_value",
                  "pre_option_market_value")  # fmt: skip
        named = (
            "balance", "available", "static_balance", "margin", "frozen_margin", "commission",
            "frozen_commission", "close_profit", "position_profit", "float_profit",
        )  # fmt: skip
        return {
            "currency": "CNY",
            "pre_balance": in_cny(self.static_balance),
            **{name: in_cny(getattr(self, name)) for name in named},
            **dict.fromkeys(absent, 0.0),
            "risk_ratio": self.margin / self.balance if self.balance > 0 else MISSING,
            "ctp_balance": MISSING,
            "ctp_available": MISSING,
        }

    def _move_lots(self, order: Order, position: Position, price: float, volume: int) -> int:
        contract = position.contract
        side = position.side(order.direction, order.offset)
        value = value_per_lot(price, contract.volume_multiple)
        if order.offset == "OPEN":
            side.open(volume, value)
            return charge((contract.commission_cny, volume))
        closed = side.close(volume, today_only=order.offset == "CLOSETODAY")
        self.close_profit += side.sign * (value * volume - closed.carried)
        return charge(
            (contract.commission_cny, volume - closed.today),
            (contract.commission_close_today_cny, closed.today),
        )

    def _take_profits(self, position: Position, position_profit: int, float_profit: int) -> None:
        """Take over what `position` earned beyond what it had earned before."""
        self.position_profit += position.position_profit - position_profit
        self.float_profit += position.float_profit - float_profit

    def _charge_margin(self, contract: Contract) -> None:
        """The larger side of a product, all its months together (as TqSim; 单向大边)."""
        product = contract.exchange_id, contract.product_id
        held = [
            position
            for position in self.positions.values()
            if (position.contract.exchange_id, position.contract.product_id) == product
        ]
        long = sum(position.margin(position.long) for position in held)
        short = sum(position.margin(position.short) for position in held)
        self.margin += max(long, short) - self._product_margin.get(product, 0)
        self._product_margin[product] = max(long, short)
