"""A ledger that turns gateway messages about orders into events.

Rules: a terminal order stays terminal; each exchange trade counts once, by its order and trade id;
an order ends only when every leg has finished and all of its trades have arrived. Messages may
come repeated and in any order. Pure: no TqApi, no clock, no logging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import InvalidOrder
from .states import OrderState, Signal, advance
from .values import OrderPicture, Trade

__all__ = [
    "Accepted",
    "Done",
    "Event",
    "Filled",
    "LegState",
    "OrderLedger",
    "OrderState",
    "Signal",
    "advance",
]

MONEY_REASONS = ("资金不足", "保证金不足")  # TqSim: 开仓资金不足; CTP: 资金不足


@dataclass(frozen=True, slots=True)
class Accepted:
    """The exchange took the first leg of order `ref`."""

    ref: str


@dataclass(frozen=True, slots=True)
class Filled:
    """One exchange trade of order `ref`; it is never told again."""

    ref: str
    trade: Trade


@dataclass(frozen=True, slots=True)
class Done:
    """Order `ref` has ended in a terminal `state`; `reason` is the gateway's text, if any."""

    ref: str
    state: OrderState
    reason: str


Event = Accepted | Filled | Done


@dataclass(slots=True)
class LegState:
    """One exchange order of an order, as far as messages have told. Volumes are lots."""

    order_id: str
    volume: int
    filled: int = 0  # the sum of its trades
    final: int | None = None  # what it will have filled, once the gateway says it has finished
    refused: bool = False
    reason: str = ""

    @property
    def is_done(self) -> bool:
        """Finished, and all of its trades have arrived."""
        return self.filled >= (self.volume if self.final is None else self.final)

    @property
    def is_alive(self) -> bool:
        """It may still trade at the exchange: a cancel must reach it."""
        return self.final is None and not self.is_done

    @property
    def left(self) -> int:
        """Lots that may still trade, or whose trades have not arrived yet."""
        return (
            0 if self.is_done else (self.volume if self.final is None else self.final) - self.filled
        )


@dataclass(slots=True)
class _Order:
    ref: str
    legs: tuple[LegState, ...]
    volume: int
    is_open: bool  # legs may still be added: its end must be said
    state: OrderState = OrderState.SUBMITTED
    expires: bool = False
    trades: set[tuple[str, str]] = field(default_factory=set)

    @property
    def filled(self) -> int:
        return sum(leg.filled for leg in self.legs)

    @property
    def is_filled(self) -> bool:
        return self.filled >= self.volume


class OrderLedger:
    """Follows orders and their legs; unknown order ids (other programs' orders) are passed over."""

    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}
        self._by_leg: dict[str, tuple[_Order, LegState]] = {}

    def add(self, ref: str, legs: Mapping[str, int]) -> None:
        """Follow order `ref`, whose exchange order ids have these volumes in lots.

        Raises `InvalidOrder` if the order or an order id is followed already.
        """
        if ref in self._orders or not legs or self._by_leg.keys() & legs.keys():
            raise InvalidOrder(
                f"order {ref} with legs {list(legs)}: ids must be new, legs not none"
            )
        self._orders[ref] = _Order(ref, (), sum(legs.values()), is_open=False)
        self.add_legs(ref, legs)

    def open(self, ref: str, volume: int) -> None:
        """Follow order `ref` of `volume` lots, whose legs come later.

        Short of filling it ends by `conclude` only. Raises `InvalidOrder` if it is known.
        """
        if ref in self._orders:
            raise InvalidOrder(f"order {ref} is followed already; expected a new one")
        self._orders[ref] = _Order(ref, (), volume, is_open=True)

    def add_legs(self, ref: str, legs: Mapping[str, int]) -> None:
        """More exchange orders of order `ref`. Raises `InvalidOrder` for an id that is known."""
        if self._by_leg.keys() & legs.keys():
            raise InvalidOrder(f"order {ref} with legs {list(legs)}: ids must be new")
        order = self._orders[ref]
        new = tuple(LegState(order_id, lots) for order_id, lots in legs.items())
        order.legs += new
        self._by_leg.update({leg.order_id: (order, leg) for leg in new})

    def resize(self, ref: str, volume: int) -> None:
        """Order `ref` is of `volume` lots from now on."""
        self._orders[ref].volume = volume

    def state(self, ref: str) -> OrderState:
        return self._orders[ref].state

    def restore(self, ref: str, state: OrderState) -> None:
        """Order `ref` had come so far when it was last written down."""
        self._orders[ref].state = state

    def filled(self, ref: str) -> int:
        """Lots that order `ref` has traded."""
        return self._orders[ref].filled

    def legs(self, ref: str) -> tuple[LegState, ...]:
        return self._orders[ref].legs

    def leg(self, order_id: str) -> LegState:
        return self._by_leg[order_id][1]

    def follows(self, order_id: str) -> bool:
        """Whether the exchange order is a leg of an order here."""
        return order_id in self._by_leg

    def ref_of(self, order_id: str) -> str:
        """The order that the exchange order is a leg of; empty for a foreign one."""
        found = self._by_leg.get(order_id)
        return found[0].ref if found else ""

    def accept(self, ref: str) -> list[Event]:
        """Order `ref` stands, though no leg is at the exchange yet."""
        return self._accept(self._orders[ref])

    def conclude(self, ref: str, reason: str = "", signal: Signal | None = None) -> list[Event]:
        """Nothing of order `ref` will trade any more: it ends, by `signal` or as its legs did."""
        order = self._orders[ref]
        if order.state.is_terminal:
            return []
        order.is_open = False
        order.state = advance(order.state, signal or _ending(order))
        reasons = dict.fromkeys(text for text in (reason, *_reasons(order)) if text)
        return [Done(order.ref, order.state, "; ".join(reasons))]

    def expire(self, ref: str) -> None:
        """Its legs are being cancelled because its time is over: what remains ends as Expired."""
        self._orders[ref].expires = True

    def on_order(self, picture: OrderPicture) -> list[Event]:
        """Take a leg's picture; returns what is new."""
        if picture.order_id not in self._by_leg:
            return []
        order, leg = self._by_leg[picture.order_id]
        if not picture.is_alive:
            leg.final = picture.filled
            leg.refused = picture.is_refused
            leg.reason = picture.last_msg or leg.reason
        accepted = bool(picture.exchange_order_id) or picture.filled > 0
        return [*(self._accept(order) if accepted else ()), *self._finish(order)]

    def on_trade(self, trade: Trade) -> list[Event]:
        """Take a trade; returns what is new, nothing for one that was told before."""
        if trade.order_id not in self._by_leg:
            return []
        order, leg = self._by_leg[trade.order_id]
        key = (trade.order_id, trade.trade_id)
        if key in order.trades:
            return []
        order.trades.add(key)
        leg.filled += trade.volume
        events: list[Event] = [*self._accept(order), Filled(order.ref, trade)]
        if not order.is_filled:
            order.state = advance(order.state, Signal.FILL)
        return [*events, *self._finish(order)]

    def on_unsent(self, order_id: str, reason: str) -> list[Event]:
        """A leg that never reached the gateway and never will: it ends unfilled."""
        order, leg = self._by_leg[order_id]
        leg.final = leg.final or 0
        leg.reason = leg.reason or reason
        return self._finish(order)

    def _accept(self, order: _Order) -> list[Event]:
        if order.state is not OrderState.SUBMITTED:
            return []
        order.state = advance(order.state, Signal.ACCEPT)
        return [Accepted(order.ref)]

    def _finish(self, order: _Order) -> list[Event]:
        if order.state.is_terminal or not all(leg.is_done for leg in order.legs):
            return []
        if order.is_open and not order.is_filled:
            return []
        order.state = advance(order.state, _ending(order))
        return [Done(order.ref, order.state, "; ".join(_reasons(order)))]


def _reasons(order: _Order) -> dict[str, None]:
    return dict.fromkeys(leg.reason for leg in order.legs if leg.reason)


def _ending(order: _Order) -> Signal:
    """How an order ends whose legs have all finished."""
    refused = [leg for leg in order.legs if leg.refused]
    if order.is_filled:
        return Signal.COMPLETE
    if refused and not any(leg.filled for leg in order.legs):
        poor = any(text in leg.reason for leg in refused for text in MONEY_REASONS)
        return Signal.LACK_MONEY if poor else Signal.REFUSE
    return Signal.EXPIRE if order.expires else Signal.CANCEL
