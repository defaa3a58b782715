"""Which parts of an order may become exchange orders: what closes always, what opens if permitted.

Pure: who permits is the protocol `Gate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .errors import InvalidOrder
from .offsets import Leg
from .values import Offset
from .working import LegWork, Work

__all__ = ["Gate", "OpenGate", "Planned", "forbidden", "permitted"]


class Planned(Protocol):
    """A part of an order that is to become an exchange order."""

    @property
    def offset(self) -> Offset: ...

    @property
    def volume(self) -> int: ...


class Gate(Protocol):
    """Who may keep orders from opening lots."""

    def forbids(self, work: Work, legs: Sequence[Planned]) -> str:
        """Why those of `legs` that open may not be sent now; empty: they may."""


class OpenGate:
    """Lets everything pass."""

    def forbids(self, work: Work, legs: Sequence[Planned]) -> str:
        return ""


def permitted(gate: Gate, work: Work, plan: tuple[Leg, ...]) -> tuple[Leg, ...]:
    """The legs of a plan that may be written down. Raises `InvalidOrder` where none may."""
    why = gate.forbids(work, plan)
    closing = tuple(leg for leg in plan if not (why and leg.offset is Offset.OPEN))
    if why and not closing:
        raise InvalidOrder(why)
    return closing


def forbidden(gate: Gate, work: Work, due: Sequence[LegWork]) -> tuple[list[LegWork], InvalidOrder]:
    """Legs of a later stage that may not be sent any more, and why: time has passed."""
    why = gate.forbids(work, due)
    opening = [leg for leg in due if leg.offset is Offset.OPEN] if why else []
    return opening, InvalidOrder(why)
