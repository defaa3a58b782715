"""The states of an order's life, as a table. Pure.

Rule: a terminal order stays terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from .errors import StopError

__all__ = ["TRANSITIONS", "OrderState", "Signal", "advance"]


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
