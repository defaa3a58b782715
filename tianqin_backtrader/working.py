"""An order at work: where it stands, its exchange orders, and what its surroundings must give.

Pure: the exchange and the journal are protocols here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from .errors import WrongSetting
from .journal_records import OrderRecord
from .orders import LegState, OrderState
from .tickets import Ticket
from .triggers import Trigger
from .values import Offset

__all__ = [
    "REPLACED",
    "LegWork",
    "Phase",
    "Rules",
    "Then",
    "Work",
]

SECOND_NS = 1_000_000_000
HALF_DAY_S = 43_200
REPLACED = "replaced"  # why an order is being withdrawn that goes on as its ticket says


class Phase(str, Enum):
    """Where an order stands on its way."""

    WAITING = "waiting"  # for the order whose fill it follows
    HELD = "held"  # here, until its price or its time comes
    DUE = "due"  # to be sent as soon as nothing hinders
    PARKED = "parked"  # here, until the market opens
    WORKING = "working"  # at the exchange
    LEAVING = "leaving"  # being withdrawn from the exchange
    DONE = "done"


class Then(str, Enum):
    """What follows when the exchange has let go of an order."""

    CANCEL = "cancel"
    EXPIRE = "expire"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Rules:
    """How orders are worked.

    market_ticks: where the exchange takes no market order, how many price ticks beyond the opposite
    price the limit order lies that stands for one. tries: how often such an order follows the price
    before it stays where it is. close_lead_s: how long before the day's end a Close order is sent.
    answer_s: real seconds that an order has to appear after a whole picture without it.
    silence_s: real seconds without a word of an order that was sent, after which it is told.
    holds_closed: an order for a closed market waits for the opening; if False it is sent anyway.
    """

    market_ticks: int = 2
    tries: int = 20
    close_lead_s: float = 30.0
    answer_s: float = 3.0
    silence_s: float = 10.0
    holds_closed: bool = True

    def __post_init__(self) -> None:
        ticks, lead_s = self.market_ticks, self.close_lead_s
        if not isinstance(ticks, int) or isinstance(ticks, bool) or ticks < 0:
            raise WrongSetting("market_ticks", ticks, "a whole number of price ticks, from 0 on")
        if not isinstance(lead_s, (int, float)) or not 0 < lead_s < HALF_DAY_S:
            raise WrongSetting("close_lead_s", lead_s, "seconds before the day's end, above 0")


@dataclass(slots=True)
class LegWork:
    """One exchange order. `state`: planned, sending, alive, finished or dropped."""

    order_id: str
    number: int
    stage: int
    offset: Offset
    volume: int
    told: LegState  # what the exchange has told of it
    price: float | str | None = None
    advanced: str | None = None
    state: str = "planned"
    day_ends_ns: int = 0  # close of the trading day on which it was sent
    exchange_order_id: str = ""
    lost: bool = False  # the exchange never had it
    absent_ns: int = 0  # when a whole picture did not show it, by a monotonic clock
    sent_ns: int = 0  # when it was handed over, by a monotonic clock; 0: answered, or said so

    @property
    def is_sent(self) -> bool:
        return self.state in ("sending", "alive", "finished")

    @property
    def is_done(self) -> bool:
        """Nothing of it will trade any more, and all its trades are known."""
        return self.state == "dropped" or (self.is_sent and self.told.is_done)

    @property
    def is_alive(self) -> bool:
        """It may trade at the exchange: a cancel must reach it."""
        return self.is_sent and not self.is_done


@dataclass(slots=True)
class Work:
    """One order between its writing and its end."""

    ticket: Ticket
    phase: Phase = Phase.DUE
    legs: list[LegWork] = field(default_factory=list)
    trigger: Trigger | None = None
    then: Then | None = None
    why: str = ""  # the reason of its withdrawal
    then_ticket: Ticket | None = None  # of a replacement
    tries: int = 0
    round: int = 0  # the first leg of the plan that is being carried out
    follows_price: bool = False  # the rest of a market order waits for the next tick
    not_before_ns: int = 0  # market time until which the exchange takes nothing of it
    paused: str = ""  # the roll of its contract that it waits for
    withdrawn_ns: int = 0  # market time of the last cancel
    reason: str = ""

    @property
    def key(self) -> str:
        return self.ticket.key

    @property
    def symbol(self) -> str:
        return self.ticket.symbol

    @property
    def alive(self) -> Iterator[LegWork]:
        return (leg for leg in self.legs if leg.is_alive)

    @property
    def is_at_exchange(self) -> bool:
        return any(leg.is_alive for leg in self.legs)

    @property
    def unsent(self) -> list[LegWork]:
        return [leg for leg in self.legs if leg.state == "planned"]

    @property
    def due(self) -> list[LegWork]:
        """Legs of the first stage that is left, when all before it have ended."""
        unsent = self.unsent
        if not unsent:
            return []
        stage = min(leg.stage for leg in unsent)
        if any(leg.stage < stage and not leg.is_done for leg in self.legs):
            return []
        return [leg for leg in unsent if leg.stage == stage]

    def leg(self, order_id: str) -> LegWork:
        return next(leg for leg in self.legs if leg.order_id == order_id)

    def record(self, state: OrderState, at_ns: int) -> OrderRecord:
        """As the journal keeps it."""
        run, _, ref = self.key.rpartition(".")
        text, reason = _text(self.ticket), self.reason or self.paused
        is_changing = self.then is Then.REPLACE and not state.is_terminal
        if is_changing and self.then_ticket is not None:
            text, reason = _text(self.then_ticket), REPLACED
        stands = text, self.phase.value, state.value, reason, at_ns
        return OrderRecord(self.key, run, int(ref), self.symbol, *stands)


@lru_cache(maxsize=64)
def _text(ticket: Ticket) -> str:
    """An order is written down several times with one ticket."""
    return ticket.to_text()
