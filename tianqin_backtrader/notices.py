"""What strategies are told through `notify_store(msg, *args, **kwargs)`.

`msg` is a `Notice`, a text that compares equal to its name; the first argument is a sentence for
people; keywords hold what it is about, `data` above all.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

__all__ = ["Notice", "Tell"]


class Notice(str, Enum):
    AUDIT_DIFFERENCE = "AUDIT_DIFFERENCE"  # difference: a bar that is not the official one
    LATE_TICK = "LATE_TICK"  # count: ticks that came after their bar had left
    TICKS_LOST = "TICKS_LOST"  # a tick feed has a hole that nothing fills
    CONTRACT_CHANGED = "CONTRACT_CHANGED"  # before, after: what a main contract follows
    ROLL_DUE = "ROLL_DUE"  # before, after, lots: to be rolled by the strategy
    ROLLED = "ROLLED"  # before, after, closed, opened, shift: lots, and CNY that prices moved
    ROLL_FAILED = "ROLL_FAILED"  # as ROLLED: not all lots were closed, or opened again
    CONTRACT_EXPIRED = "CONTRACT_EXPIRED"  # no bar will come any more
    JOURNAL_DIFFERENCE = "JOURNAL_DIFFERENCE"  # the account is not as the journal left it
    EXTERNAL_ORDER = "EXTERNAL_ORDER"  # order: one that another program has at the exchange
    ACCOUNT_RULES = "ACCOUNT_RULES"  # rules: what TqSdk's servers watch and may refuse orders for
    ORDER_UNFOLLOWED = "ORDER_UNFOLLOWED"  # key: an earlier run's order without a feed
    ORDER_UNANSWERED = "ORDER_UNANSWERED"  # key: sent long ago, and the exchange says nothing
    ORDER_REFUSED = "ORDER_REFUSED"  # key, symbol, code: an order that was Rejected, and why
    CONNECTION_LOST = "CONNECTION_LOST"  # what: "market" or "trading"
    CONNECTION_RESTORED = "CONNECTION_RESTORED"  # what: "market" or "trading"
    SESSION_REBUILT = "SESSION_REBUILT"  # reason: a new TqApi took the place of the old one
    RISK_HALT = "RISK_HALT"  # state, reason: trading is HALTED or REDUCING, or NORMAL again
    JOURNAL_FAILED = "JOURNAL_FAILED"  # what cannot be written down is not sent
    JOURNAL_RESTORED = "JOURNAL_RESTORED"  # all is written, orders are sent again
    SETTLED = "SETTLED"  # day, account: a trading day is over
    STARTED = "STARTED"  # run: a session begins
    STOPPED = "STOPPED"  # run, why: it ends
    CALENDAR_ENDS = "CALENDAR_ENDS"  # holidays are not known from a date on

    __str__ = str.__str__


class Tell(Protocol):
    """Passes a notice on to the strategies."""

    def __call__(self, notice: Notice, text: str, **about: object) -> None: ...
