"""Which alarms go out, and when: the same text once, not too many an hour. Pure.

Rules:
- What is said again within `same_s` is counted and said once more when that time is over, with the
  number.
- At most `most` alarms go out in an hour. What is held back is counted; one summary says how many
  there were when room is again, or at the end. Urgent ones have as much room of their own.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from .notices import Notice

__all__ = ["ALARMING", "URGENT", "Message", "Throttle"]

HOUR_S = 3_600.0
URGENT = frozenset({Notice.RISK_HALT, Notice.JOURNAL_FAILED, Notice.STOPPED})
ALARMING = URGENT | {
    Notice.AUDIT_DIFFERENCE,
    Notice.CONNECTION_LOST,
    Notice.CONNECTION_RESTORED,
    Notice.JOURNAL_DIFFERENCE,
    Notice.JOURNAL_RESTORED,
    Notice.ORDER_REFUSED,
    Notice.ORDER_UNANSWERED,
    Notice.ROLL_FAILED,
    Notice.SESSION_REBUILT,
    Notice.SETTLED,
    Notice.STARTED,
}


@dataclass(frozen=True, slots=True)
class Message:
    """What a person is to read."""

    notice: Notice
    text: str


@dataclass(slots=True)
class _Said:
    """One text that went out: until when it is not said again, how often it was to be."""

    until_s: float
    repeats: int = 0


@dataclass(slots=True)
class _Room:
    """When the alarms of the last hour went out."""

    sent_s: deque[float] = field(default_factory=deque)

    def take(self, now_s: float, most: int) -> bool:
        """Whether one more may go out now; it counts then."""
        while self.sent_s and self.sent_s[0] <= now_s - HOUR_S:
            self.sent_s.popleft()
        if len(self.sent_s) >= most:
            return False
        self.sent_s.append(now_s)
        return True


class Throttle:
    """Turns what happens into what is sent; times are seconds of a clock that never steps back."""

    def __init__(self, same_s: float = 600.0, most: int = 20) -> None:
        self._same_s, self._most = same_s, most
        self._said: dict[Message, _Said] = {}
        self._held: Counter[Notice] = Counter()  # too many for the hour
        self._rooms = {True: _Room(), False: _Room()}

    def take(self, message: Message, now_s: float) -> list[Message]:
        """What goes out because of `message`, with what was due before it."""
        due = self.due(now_s)
        said = self._said.get(message)
        if said is not None:
            said.repeats += 1
            return due
        self._said[message] = _Said(now_s + self._same_s)
        return [*due, *self._let_out(message, now_s)]

    def due(self, now_s: float) -> list[Message]:
        """Repeats whose time is over, and the summary when there is room for it."""
        over = {m: said for m, said in self._said.items() if said.until_s <= now_s}
        for message in over:
            del self._said[message]
        found = [_again(message, said.repeats) for message, said in over.items() if said.repeats]
        out = [each for message in found for each in self._let_out(message, now_s)]
        if self._held and self._rooms[False].take(now_s, self._most):
            out.append(self._summary())
        return out

    def rest(self) -> list[Message]:
        """At the end: all that was counted and not said."""
        found = [_again(m, said.repeats) for m, said in self._said.items() if said.repeats]
        self._said.clear()
        return [*found, *([self._summary()] if self._held else [])]

    @property
    def waits(self) -> bool:
        """Whether something is to be said later."""
        return bool(self._held) or any(said.repeats for said in self._said.values())

    def _let_out(self, message: Message, now_s: float) -> list[Message]:
        if self._rooms[message.notice in URGENT].take(now_s, self._most):
            return [message]
        self._held[message.notice] += 1
        return []

    def _summary(self) -> Message:
        (most, _), *_ = self._held.most_common(1)
        parts = ", ".join(f"{count} {notice}" for notice, count in self._held.most_common())
        self._held.clear()
        return Message(most, f"more than {self._most} alarms in an hour, not sent: {parts}")


def _again(message: Message, repeats: int) -> Message:
    return Message(message.notice, f"{message.text} (+{repeats} the same)")
