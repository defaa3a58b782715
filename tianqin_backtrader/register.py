"""The register of orders at work, and what the journal says of each. Pure."""

from __future__ import annotations

from datetime import date

from .families import Families
from .journal_entries import stop_record
from .legs import LegFollower
from .lots import Lots
from .orders import OrderLedger
from .sending import Sender
from .states import Signal
from .surroundings import Diary, Exchange
from .working import Phase, Rules, Work

__all__ = ["Register"]


class Register:
    """All orders that were ever taken, those that live, and what is known of them.

    works: all, by key. living: those that have not ended. watched: living ones by contract.
    """

    def __init__(self, exchange: Exchange, diary: Diary, rules: Rules) -> None:
        self._exchange, self._diary, self._rules = exchange, diary, rules
        self.ledger = OrderLedger()
        self.lots = Lots(exchange.position, self._day)
        self.works: dict[str, Work] = {}
        self.living: dict[str, Work] = {}
        self.watched: dict[str, list[Work]] = {}
        self.families = Families(self.works, self.ledger.filled)
        self.sender = Sender(exchange, diary, self.ledger, self.lots, rules)
        stands = self.families.stands
        self.legs = LegFollower(self.sender, self.ledger, exchange, diary, rules, stands)

    def _day(self, symbol: str) -> date:
        return self._exchange.sessions(symbol).trading_day_of(self._exchange.now_ns)

    def follow(self, work: Work) -> None:
        """Follow an order from now on."""
        self.ledger.open(work.key, work.ticket.volume)
        self.lots.follow(work.symbol)
        self.works[work.key] = self.living[work.key] = work
        self.families.add(work)
        self.watched.setdefault(work.symbol, []).append(work)

    def forget(self, work: Work) -> None:
        """It has ended: only late news are still taken."""
        self.watched[work.symbol].remove(work)
        del self.living[work.key]

    def is_filled(self, work: Work) -> bool:
        return self.ledger.filled(work.key) >= work.ticket.volume

    def refused(self, work: Work) -> Signal:
        """How an order ends that cannot be sent: the lots that it has traded stay."""
        return Signal.CANCEL if self.ledger.filled(work.key) else Signal.REFUSE

    def move(self, work: Work, phase: Phase) -> None:
        work.phase = Phase.PARKED if work.paused and phase is Phase.DUE else phase
        self.note(work)

    def note(self, work: Work) -> None:
        """Write down where an order stands; all of its end at once."""
        state = self.ledger.state(work.key)
        with self._diary.together():
            if state.is_terminal:
                work.phase = Phase.DONE
                self.legs.note_ends(work)
                self.note_stop(work, "ended")
            self._diary.put_order(work.record(state, self._exchange.now_ns))

    def note_due(self, work: Work) -> None:
        """Write down that an order is to be sent, and the stop that set it off."""
        with self._diary.together():
            self.note(work)
            self.note_stop(work, "hit")

    def note_stop(self, work: Work, state: str) -> None:
        """Write down where a stop stands: held, hit or ended."""
        if work.trigger is not None:
            self._diary.put_stop(stop_record(work.key, work.trigger, state, self._exchange.now_ns))
