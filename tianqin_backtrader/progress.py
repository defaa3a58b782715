"""One order's way: taken, held, sent, followed, ended, and what hangs together with it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from .errors import InvalidOrder, OrderError
from .families import Families
from .journal_records import StopRecord
from .legs import LegFollower
from .lots import Lots
from .orders import Done, Event, Filled, OrderLedger
from .sending import CLOSED, Sender
from .states import Signal
from .tickets import Kind, Ticket, amended
from .triggers import Trigger
from .working import (
    SECOND_NS,
    Diary,
    Exchange,
    Held,
    Modified,
    Moved,
    Phase,
    Rules,
    Then,
    Triggered,
    Work,
)

__all__ = ["Progress", "Targets", "Told", "trigger_of"]

Told = Event | Held | Moved | Triggered | Modified
ENDS = {Then.CANCEL: Signal.CANCEL, Then.EXPIRE: Signal.EXPIRE}


class Targets(Protocol):
    """Whoever executes orders as net targets, with exchange orders of its own making."""

    def works_on(self, work: Work) -> bool:
        """Whether the order is being executed so now."""

    def begin(self, work: Work, volume: int) -> None:
        """Trade `volume` lots; legs appear, and the end is said, in due course."""

    def cancel(self, work: Work) -> None:
        """Withdraw; the end is said when no exchange order lives."""


class Progress:
    """Moves orders from phase to phase; each step is in the journal before the next.

    `tell` hears each change once, in order.
    """

    def __init__(
        self, exchange: Exchange, diary: Diary, tell: Callable[[Told], None], rules: Rules
    ) -> None:
        self._exchange, self._diary, self._rules = exchange, diary, rules
        self.tell = tell
        self.ledger = OrderLedger()
        self.lots = Lots(exchange.position)
        self.works: dict[str, Work] = {}
        self.living: dict[str, Work] = {}
        self.watched: dict[str, list[Work]] = {}  # living ones by contract
        self.families = Families(self.works, self.ledger.filled)
        self.sender = Sender(exchange, diary, self.ledger, self.lots, rules)
        self.legs = LegFollower(self.sender, self.ledger, exchange, diary, rules)
        self.targets: Targets | None = None

    # ---- taken

    def take(self, ticket: Ticket) -> Work:
        """A new order, in the phase that its type begins with."""
        work = Work(ticket)
        if ticket.is_stop:
            work.trigger = trigger_of(ticket, self._exchange)
        if ticket.parent:
            work.phase = Phase.WAITING
        elif ticket.is_stop or ticket.kind is Kind.CLOSE:
            work.phase = Phase.HELD
        self.follow(work)
        return work

    def follow(self, work: Work) -> None:
        """Follow an order from now on."""
        self.ledger.open(work.key, work.ticket.volume)
        self.lots.follow(work.symbol)
        self.works[work.key] = self.living[work.key] = work
        self.families.add(work)
        self.watched.setdefault(work.symbol, []).append(work)

    def begin(self, work: Work) -> None:
        """Set a new order going."""
        if work.phase is Phase.DUE:
            self.attempt(work)
        else:
            self.apply(work, self.ledger.accept(work.key))
            self.tell(Held(work.key, _waits_for(work)))

    # ---- due

    def close_in_time(self, work: Work) -> None:
        """A Close order goes shortly before the day ends."""
        lead_ns = int(self._rules.close_lead_s * SECOND_NS)
        if self._exchange.now_ns >= self.sender.day_ends_ns(work.symbol) - lead_ns:
            self.due(work)
            self.attempt(work)

    def due(self, work: Work) -> None:
        """Its price or its time has come: from now on it is to be sent."""
        work.phase = Phase.DUE
        if work.trigger is not None and work.ticket.limit is not None:
            work.ticket = amended(work.ticket, 0, limit=work.trigger.limit)
        with self._diary.together():
            self.note(work)
            self.note_stop(work, "hit")

    def attempt(self, work: Work) -> None:
        """Send an order that is due, unless something hinders."""
        if work.follows_price or self._waits_for_rivals(work):
            return
        volume = self.families.room(work)
        if volume < 1:
            self.cancel(work, "nothing is left for it to close")
            return
        hindrance = self.sender.hindrance(work)
        if hindrance:
            self._park(work, hindrance)
            return
        try:
            self._send(work, volume)
        except OrderError as error:
            self.conclude(work, str(error), self.refused(work))
            return
        self.follow_up(work)

    def _send(self, work: Work, volume: int) -> None:
        if work.ticket.execution == "target" and self.targets is not None:
            self.targets.begin(work, volume)
        else:
            self.sender.begin(work, volume)

    def _waits_for_rivals(self, work: Work) -> bool:
        rivals = self.families.rivals(work)
        for rival in rivals:
            if rival.phase is not Phase.LEAVING:
                self.cancel(rival, f"order {work.key} goes off in its place")
        return bool(rivals)

    def _park(self, work: Work, why: str) -> None:
        if why == CLOSED and work.phase is not Phase.PARKED:
            work.phase = Phase.PARKED
            self.apply(work, self.ledger.accept(work.key))
            self.note(work)
            self.tell(Held(work.key, why))

    # ---- withdrawn, changed

    def cancel(self, work: Work, reason: str, then: Then = Then.CANCEL) -> None:
        """Withdraw what has not traded."""
        work.then, work.why = then, reason
        if self.targets is not None and self.targets.works_on(work):
            self._leave(work)
            self.targets.cancel(work)
        elif work.is_at_exchange:
            self._leave(work)
            self.legs.withdraw(work)
            self._drop_unsent(work, reason)
        else:
            self._drop_unsent(work, reason)
            self.conclude(work)

    def change(self, work: Work, ticket: Ticket) -> None:
        """Let the order become `ticket`; what is at the exchange is withdrawn first."""
        work.then_ticket = ticket
        if not work.is_at_exchange:
            self._replace(work)
            return
        work.then, work.why = Then.REPLACE, "replaced"
        self._leave(work)
        self.legs.withdraw(work)
        self._drop_unsent(work, "replaced")

    def _leave(self, work: Work) -> None:
        if work.phase is not Phase.LEAVING:
            self.move(work, Phase.LEAVING)

    def _drop_unsent(self, work: Work, reason: str) -> None:
        for leg in work.unsent:
            self.sender.drop(work, leg, reason)

    def _replace(self, work: Work) -> None:
        ticket, work.then_ticket = work.then_ticket or work.ticket, None
        work.ticket, work.then, work.why = ticket, None, ""
        self.ledger.resize(work.key, ticket.volume)
        waits = work.phase in (Phase.HELD, Phase.WAITING)
        if work.trigger is not None and waits:
            work.trigger = trigger_of(ticket, self._exchange)
        if not waits:
            work.phase = Phase.DUE
        with self._diary.together():
            self.note(work)
            self.note_stop(work, "held" if waits else "hit")
        self.tell(Modified(work.key, ticket))
        if not waits:
            self.attempt(work)

    # ---- followed

    def follow_up(self, work: Work) -> None:
        """Go on by what its exchange orders have come to."""
        if self.ledger.state(work.key).is_terminal:
            return
        if self.targets is not None and self.targets.works_on(work):
            self.legs.note_ends(work)
            return
        then = self.legs.follow_up(work)
        if then is Phase.DUE:
            self.move(work, Phase.DUE)
        elif then is Phase.DONE and work.then is Then.REPLACE:
            self._replace(work)
        elif then is Phase.DONE:
            self.conclude(work)

    def apply(self, work: Work, events: Iterable[Event]) -> None:
        """Tell what has happened, and let it take its effect on others."""
        for event in events:
            if isinstance(event, Done):
                self._end(work, event)
                continue
            self.tell(event)
            if isinstance(event, Filled):
                for other in self.families.others(work):
                    self.cancel(other, f"order {work.key} has traded")
            else:
                self.note(work)

    # ---- ended

    def conclude(self, work: Work, reason: str = "", signal: Signal | None = None) -> None:
        """Nothing of the order will trade any more."""
        signal = signal or (ENDS.get(work.then) if work.then else None)
        self.apply(work, self.ledger.conclude(work.key, reason or work.why, signal))

    def refused(self, work: Work) -> Signal:
        """How an order ends that cannot be sent: the lots that it has traded stay."""
        return Signal.CANCEL if self.ledger.filled(work.key) else Signal.REFUSE

    def _end(self, work: Work, done: Done) -> None:
        work.phase, work.reason = Phase.DONE, done.reason
        self.forget(work)
        with self._diary.together():
            self.note(work)
            self.note_stop(work, "ended")
        self.tell(done)
        for other in self.families.falls_with(work, done.state):
            self.cancel(other, f"order {work.key} has ended")
        for child in self.families.children(work):
            if child.phase is Phase.WAITING:
                self.release(child, self.ledger.filled(work.key))

    def forget(self, work: Work) -> None:
        """It has ended: only late news are still taken."""
        self.watched[work.symbol].remove(work)
        del self.living[work.key]

    def release(self, child: Work, filled: int) -> None:
        """The child's parent has ended, having traded `filled` lots."""
        if not filled:
            self.cancel(child, "its parent ended without a fill")
        elif child.ticket.is_stop or child.ticket.kind is Kind.CLOSE:
            self.move(child, Phase.HELD)
            self.tell(Held(child.key, _waits_for(child)))
        else:
            self.move(child, Phase.DUE)
            self.attempt(child)

    # ---- written down

    def move(self, work: Work, phase: Phase) -> None:
        work.phase = phase
        self.note(work)

    def note(self, work: Work) -> None:
        """Write down where an order stands."""
        state = self.ledger.state(work.key)
        self._diary.put_order(work.record(state, self._exchange.now_ns))

    def note_stop(self, work: Work, state: str) -> None:
        """Write down where a stop stands: held, hit or ended."""
        if work.trigger is not None:
            price, limit = work.trigger.price, work.trigger.limit
            record = StopRecord(work.key, price, limit, state, self._exchange.now_ns)
            self._diary.put_stop(record)


def trigger_of(ticket: Ticket, exchange: Exchange, last: float | None = None) -> Trigger:
    """The watch that a stop needs; a trailing one starts from its price, or the `last` price.

    Raises `InvalidOrder` for numbers that cannot work.
    """
    if last is None:
        last = float(exchange.quote(ticket.symbol)["last_price"])
    tick = exchange.terms(ticket.symbol).price_tick
    if ticket.kind in (Kind.TRAIL, Kind.TRAIL_LIMIT):
        return Trigger.trailing(
            ticket.direction,
            last=last,
            tick=tick,
            price=ticket.price,
            plimit=ticket.limit,
            trail_amount=ticket.trail_amount,
            trail_percent=ticket.trail_percent,
            limited=ticket.kind is Kind.TRAIL_LIMIT,
        )
    if ticket.price is None:
        raise InvalidOrder(f"a stop of {ticket.symbol} without a price; expected where it goes off")
    return Trigger(ticket.direction, ticket.price, tick=tick, limit=ticket.limit)


def _waits_for(work: Work) -> str:
    if work.phase is Phase.WAITING:
        return f"held here until order {work.ticket.parent} has filled"
    if work.trigger is None:
        return "held here until the day's end"
    return f"held here until the price reaches {work.trigger.price:g}"
