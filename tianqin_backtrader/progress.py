"""One order's way: taken, held, sent, followed, ended, and what hangs together with it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from .errors import OrderError
from .orders import Done, Event, Filled
from .register import Register
from .sending import CLOSED, MOST
from .states import Signal
from .stops import changed_trigger, released_trigger, trigger_of, waits_for
from .surroundings import Diary, Exchange, Targets
from .tickets import Kind, Ticket
from .tidings import Held, Modified, Moved, Told
from .working import REPLACED, SECOND_NS, Phase, Rules, Then, Work

__all__ = ["Progress"]

ENDS = {Then.CANCEL: Signal.CANCEL, Then.EXPIRE: Signal.EXPIRE}


class Progress(Register):
    """Moves orders from phase to phase; each step is in the journal before the next.

    `tell` hears each change once, in order.
    """

    def __init__(
        self, exchange: Exchange, diary: Diary, tell: Callable[[Told], None], rules: Rules
    ) -> None:
        super().__init__(exchange, diary, rules)
        self.tell = tell
        self.targets: Targets | None = None

    # ---- taken

    def made(self, ticket: Ticket) -> Work:
        """A new order, in the phase that its type begins with. Raises `InvalidOrder`."""
        work = Work(ticket)
        if ticket.is_stop:
            work.trigger = trigger_of(ticket, self._exchange)
        if ticket.parent:
            work.phase = Phase.WAITING
        elif ticket.is_stop or ticket.kind is Kind.CLOSE:
            work.phase = Phase.HELD
        return work

    def is_written_when_sent(self, work: Work) -> bool:
        """Whether the order goes into the journal together with its exchange orders."""
        is_direct = work.phase is Phase.DUE and work.ticket.execution == "direct"
        return is_direct and not self.families.rivals(work)  # these are withdrawn first

    def begin(self, work: Work) -> None:
        """Set a new order going; one that could not be written down is refused."""
        is_late = bool(self._diary.failure)
        if not is_late:
            self._set_going(work)
        if self._diary.failure and (is_late or work.phase in (Phase.DUE, Phase.PARKED)):
            self.conclude(work, self._diary.failure, Signal.REFUSE)

    def _set_going(self, work: Work) -> None:
        if work.phase is Phase.DUE:
            self.go(work)
        else:
            self.apply(work, self.ledger.accept(work.key))
            self.tell(Held(work.key, waits_for(work)))

    # ---- due

    def close_in_time(self, work: Work) -> None:
        """A Close order goes shortly before the day ends."""
        lead_ns = int(self._rules.close_lead_s * SECOND_NS)
        if self._exchange.now_ns >= self.sender.day_ends_ns(work.symbol) - lead_ns:
            self.due(work)
            self.go(work)

    def due(self, work: Work) -> None:
        """Its price or its time has come: from now on it is to be sent."""
        work.phase = Phase.DUE
        if work.trigger is not None:
            work.ticket = replace(work.ticket, limit=work.trigger.limit)

    def go(self, work: Work) -> None:
        """Send an order that has just become due; one that cannot go yet is written down as due.

        One that goes is written with its exchange orders, in one transaction: before that nothing
        has happened that a restart could miss.
        """
        if not self.is_written_when_sent(work):
            self.note_due(work)
        self.attempt(work)
        if work.phase is Phase.DUE:
            self.note_due(work)

    def attempt(self, work: Work) -> None:
        """Send an order that is due, unless something hinders."""
        stays = self._diary.failure or work.paused or work.follows_price
        if stays or self._waits_for_rivals(work):
            return
        if self.families.is_crowded(work):
            return
        volume = self.fit(work)
        if volume < 1:
            self.cancel(work, "nothing is left for it to trade")
            return
        hindrance = self.sender.hindrance(work)
        if hindrance:
            self._park(work, hindrance)
            return
        volume = self.fit(work, self.sender.protected(work))
        if volume < 1:
            self.cancel(work, "the lots that it protects are gone")
            return
        try:
            self._send(work, volume)
        except OrderError as error:
            self.conclude(work, str(error), self.refused(work))
            return
        self.follow_up(work)

    def fit(self, work: Work, most: int = MOST) -> int:
        """Take away what others of its family have closed; returns the lots that are left."""
        room, filled = min(self.families.room(work), most), self.ledger.filled(work.key)
        if 0 < room < work.ticket.volume - filled:
            asked = work.ticket.asked or work.ticket.volume
            work.ticket = replace(work.ticket, volume=filled + room, asked=asked)
            self.ledger.resize(work.key, work.ticket.volume)
            self.note(work)
            self.tell(Modified(work.key, work.ticket))
        return room

    def _send(self, work: Work, volume: int) -> None:
        if work.ticket.execution == "target" and self.targets is not None:
            self.targets.begin(work, volume)
        else:
            self.sender.begin(work, volume)

    def _waits_for_rivals(self, work: Work) -> bool:
        rivals = self.families.rivals(work)
        for rival in rivals:
            if rival.then is not Then.CANCEL:
                self.cancel(rival, f"order {work.key} goes off in its place")
        return bool(rivals)

    def _park(self, work: Work, why: str) -> None:
        if why == CLOSED and work.phase is not Phase.PARKED:
            work.phase = Phase.PARKED
            self.apply(work, self.ledger.accept(work.key))
            self.note_due(work)
            self.tell(Held(work.key, why))

    # ---- withdrawn, changed

    def cancel(self, work: Work, reason: str, then: Then = Then.CANCEL) -> None:
        """Withdraw what has not traded."""
        work.then, work.why, work.then_ticket = then, reason, None
        self.ledger.resize(work.key, work.ticket.volume)
        if self.targets is not None and self.targets.works_on(work):
            self._leave(work)
            self.targets.cancel(work)
            return
        self._drop_unsent(work, reason)
        if not work.is_at_exchange:
            self.conclude(work)
        elif work.phase is not Phase.LEAVING:  # exchanges count cancels
            self._leave(work)
            self.legs.withdraw(work)
        else:
            self.note(work)  # it was leaving to come back changed

    def change(self, work: Work, ticket: Ticket) -> None:
        """Let the order become `ticket`; what is at the exchange is withdrawn first."""
        work.then_ticket = ticket
        self._drop_unsent(work, REPLACED)
        if not work.is_at_exchange:
            self._replace(work)
            return
        work.then, work.why = Then.REPLACE, REPLACED
        # a larger order is not complete when its old volume fills meanwhile
        self.ledger.resize(work.key, max(work.ticket.volume, ticket.volume))
        if work.phase is not Phase.LEAVING:
            self._leave(work)
            self.legs.withdraw(work)
        else:
            self.note(work)

    def _leave(self, work: Work) -> None:
        if work.phase is not Phase.LEAVING:
            self.move(work, Phase.LEAVING)

    def _drop_unsent(self, work: Work, reason: str) -> None:
        for leg in work.unsent:
            self.sender.drop(work, leg, reason)

    def _replace(self, work: Work) -> None:
        ticket, work.then_ticket = work.then_ticket or work.ticket, None
        waits = work.phase in (Phase.HELD, Phase.WAITING)
        if waits:
            work.trigger = changed_trigger(work, ticket, self._exchange)
        filled = self.ledger.filled(work.key)
        ticket = replace(ticket, volume=max(ticket.volume, filled))  # what traded meanwhile counts
        work.ticket, work.then, work.why = ticket, None, ""
        self.ledger.resize(work.key, ticket.volume)
        if not waits:
            work.phase = Phase.PARKED if work.paused else Phase.DUE
        with self._diary.together():
            self.note(work)
            self.note_stop(work, "held" if waits else "hit")
        self.tell(Modified(work.key, ticket))
        if waits:
            self._show(work)
        else:
            self.attempt(work)

    # ---- followed

    def follow_up(self, work: Work) -> None:
        """Go on by what its exchange orders have come to."""
        if self.ledger.state(work.key).is_terminal:
            return
        if self.targets is not None and self.targets.works_on(work):
            self.legs.note_ends(work)
            return
        if work.phase not in (Phase.WORKING, Phase.LEAVING):
            return  # a late word of an exchange order that has been given up
        if work.phase is Phase.WORKING and work.is_at_exchange and self.is_filled(work):
            self.cancel(work, "it has filled already")
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
                for other in self.families.outdone_by(work):
                    self.cancel(other, f"order {work.key} has traded")
            else:
                self.note(work)

    # ---- ended

    def conclude(self, work: Work, reason: str = "", signal: Signal | None = None) -> None:
        """Nothing of the order will trade any more."""
        if self.is_filled(work):
            signal = Signal.COMPLETE
        signal = signal or (ENDS.get(work.then) if work.then else None)
        self.apply(work, self.ledger.conclude(work.key, reason or work.why, signal))

    def _end(self, work: Work, done: Done) -> None:
        work.reason = done.reason
        self.forget(work)
        self.note(work)
        self.tell(done)
        for other in self.families.falls_with(work, done.state):
            self.cancel(other, f"order {work.key} has ended")
        for child in self.families.children(work):
            if child.phase is Phase.WAITING:
                self.release(child, self.ledger.filled(work.key))

    def release(self, child: Work, filled: int) -> None:
        """The child's parent has ended, having traded `filled` lots."""
        if not filled:
            self.cancel(child, "its parent ended without a fill")
            return
        self.fit(child)
        if child.ticket.is_stop or child.ticket.kind is Kind.CLOSE:
            self._hold(child)
        else:
            self.move(child, Phase.DUE)
            self.attempt(child)

    def _hold(self, child: Work) -> None:
        before, child.trigger = child.trigger, released_trigger(child, self._exchange)
        child.phase = Phase.HELD
        with self._diary.together():
            self.note(child)
            self.note_stop(child, "held")
        self.tell(Held(child.key, waits_for(child)))
        if child.trigger is not before:
            self._show(child)

    def _show(self, work: Work) -> None:
        if work.trigger is not None:
            self.tell(Moved(work.key, work.trigger.price, work.trigger.limit))
