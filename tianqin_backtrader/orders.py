"""The life of an order: a table of states, and a ledger that turns gateway messages into events.

Rules: a terminal order stays terminal; each exchange trade counts once, by its order and trade id;
an order ends only when every leg has finished and all of its trades have arrived. Messages may
come repeated and in any order. Pure: no TqApi, no clock, no logging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .errors import InvalidOrder, StopError
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


class OrderState(str, Enum):
    """Backtrader's words for an order's life."""

    CREATED = "Created"
    SUBMITTED = "Submitted"
    ACCEPTED = "Accepted"
    PARTIAL = "Partial"
    COMPLETED = "Completed"
    CANCELED = "Canceled"
    EXPIRED = "Expired"
    MARGIN = "Margin"
    REJECTED = "Rejected"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


class Signal(str, Enum):
    """What can happen to an order."""

    SUBMIT = "submit"
    ACCEPT = "accept"
    FILL = "fill"  # part of it
    COMPLETE = "complete"
    CANCEL = "cancel"
    EXPIRE = "expire"
    LACK_MONEY = "lack money"
    REFUSE = "refuse"


S, E = OrderState, Signal
TERMINAL = frozenset({S.COMPLETED, S.CANCELED, S.EXPIRED, S.MARGIN, S.REJECTED})
ENDS = {E.CANCEL: S.CANCELED, E.EXPIRE: S.EXPIRED}
REFUSALS = {E.LACK_MONEY: S.MARGIN, E.REFUSE: S.REJECTED}
TRANSITIONS: Mapping[OrderState, Mapping[Signal, OrderState]] = {
    S.CREATED: {E.SUBMIT: S.SUBMITTED, **ENDS, **REFUSALS},
    S.SUBMITTED: {E.ACCEPT: S.ACCEPTED, **ENDS, **REFUSALS},
    # one leg may be refused after another was accepted and withdrawn unfilled
    S.ACCEPTED: {E.FILL: S.PARTIAL, E.COMPLETE: S.COMPLETED, **ENDS, **REFUSALS},
    S.PARTIAL: {E.FILL: S.PARTIAL, E.COMPLETE: S.COMPLETED, **ENDS},
}


def advance(state: OrderState, signal: Signal) -> OrderState:
    """The state after `signal`; a terminal state stays as it is.

    Raises `StopError` for a transition that no order can make.
    """
    if state in TERMINAL:
        return state
    try:
        return TRANSITIONS[state][signal]
    except KeyError:
        raise StopError(f"an order that is {state.value} cannot {signal.value}") from None


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


@dataclass(slots=True)
class _Order:
    ref: str
    legs: tuple[LegState, ...]
    state: OrderState = OrderState.SUBMITTED
    expires: bool = False
    trades: set[tuple[str, str]] = field(default_factory=set)

    @property
    def is_filled(self) -> bool:
        return all(leg.filled >= leg.volume for leg in self.legs)


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
        order = _Order(ref, tuple(LegState(order_id, lots) for order_id, lots in legs.items()))
        self._orders[ref] = order
        self._by_leg.update({leg.order_id: (order, leg) for leg in order.legs})

    def state(self, ref: str) -> OrderState:
        return self._orders[ref].state

    def legs(self, ref: str) -> tuple[LegState, ...]:
        return self._orders[ref].legs

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
        order.state = advance(order.state, _ending(order))
        reasons = dict.fromkeys(leg.reason for leg in order.legs if leg.reason)
        return [Done(order.ref, order.state, "; ".join(reasons))]


def _ending(order: _Order) -> Signal:
    """How an order ends whose legs have all finished."""
    refused = [leg for leg in order.legs if leg.refused]
    if order.is_filled:
        return Signal.COMPLETE
    if refused and not any(leg.filled for leg in order.legs):
        poor = any(text in leg.reason for leg in refused for text in MONEY_REASONS)
        return Signal.LACK_MONEY if poor else Signal.REFUSE
    return Signal.EXPIRE if order.expires else Signal.CANCEL
