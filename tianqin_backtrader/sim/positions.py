"""The lots that one account holds in one contract, long and short, and what they have earned.

The first lots opened are the first closed (先开先平), history lots before today's, as in TqSim.
TqKq differs: its DCE.i2605 in the real records closed today's lots first. On SHFE and INE the
offset chooses the day: the resting CLOSE order of rb2701 there freezes a history lot and no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .money import charge, in_cny, value_per_lot
from .values import Contract

__all__ = ["MISSING", "Closed", "Position", "Side"]

MISSING = "-"  # what DIFF sends for a number that does not exist
SPLITS_TODAY = frozenset({"SHFE", "INE"})  # the exchanges where CLOSETODAY exists
REPORTS_HISTORY_AS_TODAY = frozenset({"DCE"})  # seen in every DCE position of the real records


@dataclass(slots=True)
class Lots:
    """Lots opened by one fill; money in cents per lot."""

    volume: int
    opened: int  # at the open price
    carried: int  # at the open price, or at the last settlement for history lots
    is_today: bool = True


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closing fill took away."""

    carried: int  # cents, all lots together
    today: int  # of these lots, opened today


@dataclass(slots=True)
class Side:
    """The long or the short lots of a position."""

    sign: int  # +1 long, -1 short
    lots: list[Lots] = field(default_factory=list)  # in the order they were opened
    volume: int = 0
    today: int = 0  # of `volume`
    overnight: int = 0  # lots held when the trading day began
    opened: int = 0  # cents, all lots together
    carried: int = 0
    frozen: dict[str, int] = field(default_factory=lambda: {"CLOSE": 0, "CLOSETODAY": 0})

    @property
    def history(self) -> int:
        return self.volume - self.today

    @property
    def frozen_volume(self) -> int:
        return self.frozen["CLOSE"] + self.frozen["CLOSETODAY"]

    def open(self, volume: int, value: int) -> None:
        """Add lots opened at `value` cents per lot."""
        self.lots.append(Lots(volume, value, value))
        self.today += volume
        self._count(volume, value, value)

    def close(self, volume: int, *, today_only: bool) -> Closed:
        """Take away `volume` lots, those opened first before others; today's alone if asked."""
        carried, today, missing = 0, 0, volume
        for lots in self.lots:
            taken = 0 if today_only and not lots.is_today else min(lots.volume, missing)
            lots.volume -= taken
            missing -= taken
            carried += taken * lots.carried
            today += taken if lots.is_today else 0
            self._count(-taken, lots.opened, lots.carried)
        self.today -= today
        self.lots = [lots for lots in self.lots if lots.volume]
        return Closed(carried, today)

    def settle(self, value: int) -> None:
        """Carry every lot at the settlement; today's lots become history."""
        for lots in self.lots:
            lots.carried, lots.is_today = value, False
        self.carried = value * self.volume
        self.today, self.overnight = 0, self.volume

    def _count(self, volume: int, opened: int, carried: int) -> None:
        self.volume += volume
        self.opened += volume * opened
        self.carried += volume * carried


class Position:
    """Both sides of one contract in one account, marked to `last_price`."""

    __slots__ = ("contract", "last_price", "long", "mark", "short")

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.long = Side(1)
        self.short = Side(-1)
        self.last_price: float | None = None
        self.mark = 0  # cents per lot at last_price

    def side(self, direction: str, offset: str) -> Side:
        """The side that an order opens or closes: SELL closes long lots."""
        return self.long if (direction == "BUY") == (offset == "OPEN") else self.short

    def closable(self, direction: str, offset: str) -> int:
        """Lots held that no resting order has frozen, of the kind that `offset` closes."""
        side = self.side(direction, offset)
        if self.contract.exchange_id not in SPLITS_TODAY:
            return side.volume - side.frozen_volume
        held = side.today if offset == "CLOSETODAY" else side.history
        return held - side.frozen[offset]

    def mark_to(self, price: float) -> None:
        self.last_price = price
        self.mark = value_per_lot(price, self.contract.volume_multiple)

    def settle(self, price: float) -> None:
        self.mark_to(price)
        self.long.settle(self.mark)
        self.short.settle(self.mark)

    @property
    def is_empty(self) -> bool:
        return not (self.long.volume or self.short.volume)

    @property
    def position_profit(self) -> int:
        """Cents earned since the last settlement, or since opening for today's lots."""
        return self._earned(self.long, self.long.carried) + self._earned(
            self.short, self.short.carried
        )

    @property
    def float_profit(self) -> int:
        """Cents earned since opening."""
        return self._earned(self.long, self.long.opened) + self._earned(
            self.short, self.short.opened
        )

    def margin(self, side: Side) -> int:
        return charge((self.contract.margin_cny, side.volume))

    def picture(self) -> dict[str, Any]:
        """The position as DIFF shows it."""
        return {
            "exchange_id": self.contract.exchange_id,
            "instrument_id": self.contract.instrument_id,
            "last_price": MISSING if self.last_price is None else self.last_price,
            "float_profit": in_cny(self.float_profit),
            "position_profit": in_cny(self.position_profit),
            "margin": in_cny(self.margin(self.long) + self.margin(self.short)),
            "market_value": 0.0,
            **self._side_picture("long", self.long),
            **self._side_picture("short", self.short),
        }

    def _earned(self, side: Side, cost: int) -> int:
        return side.sign * (self.mark * side.volume - cost)

    def _side_picture(self, name: str, side: Side) -> dict[str, Any]:
        return {
            f"pos_{name}_his": side.history,
            f"pos_{name}_today": side.today,
            f"volume_{name}": side.volume,
            f"volume_{name}_yd": side.overnight,
            **self._reported_volumes(name, side),
            f"open_price_{name}": self._average(side, side.opened),
            f"open_cost_{name}": in_cny(side.opened),
            f"position_price_{name}": self._average(side, side.carried),
            f"position_cost_{name}": in_cny(side.carried),
            f"float_profit_{name}": in_cny(self._earned(side, side.opened)),
            f"position_profit_{name}": in_cny(self._earned(side, side.carried)),
            f"margin_{name}": in_cny(self.margin(side)),
            f"market_value_{name}": 0.0,
        }

    def _reported_volumes(self, name: str, side: Side) -> dict[str, int]:
        """Lots and frozen lots by day, as a broker's query answers: wrong on DCE, on purpose."""
        history, frozen = side.history, side.frozen_volume
        if self.contract.exchange_id in REPORTS_HISTORY_AS_TODAY:
            history, frozen_history = 0, 0
        elif self.contract.exchange_id in SPLITS_TODAY:
            frozen_history = side.frozen["CLOSE"]
        else:
            frozen_history = min(frozen, history)
        return {
            f"volume_{name}_his": history,
            f"volume_{name}_today": side.volume - history,
            f"volume_{name}_frozen": frozen,
            f"volume_{name}_frozen_his": frozen_history,
            f"volume_{name}_frozen_today": frozen - frozen_history,
        }

    def _average(self, side: Side, cost: int) -> float | str:
        if not side.volume:
            return MISSING
        return in_cny(cost) / side.volume / self.contract.volume_multiple
