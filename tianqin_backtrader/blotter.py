"""The orders at work: what their owner asks, what market and exchange bring.

What the exchanges lack is held here: stops, brackets, OCO, orders for a closed market, orders that
stand for several days. They go off on ticks. Each step is in the journal before the exchange hears
of it. Pure: what it needs of session and journal are the protocols of `working`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from .errors import InvalidOrder
from .journal_entries import trade_record
from .journal_records import HoldingRecord
from .orders import OrderLedger
from .progress import Progress
from .states import OrderState
from .stops import changed_trigger, trigger_of
from .surroundings import Diary, Exchange
from .tickets import Kind, Ticket, amended
from .tidings import Modified, Moved, Told, Triggered
from .triggers import Effect
from .values import AccountPosition, OrderPicture, Trade
from .working import Phase, Rules, Then, Work

__all__ = ["Blotter"]

QUEUED = (Phase.DUE, Phase.PARKED)


class Blotter:
    """Works the orders of one account; `tell` hears each change once, in order."""

    def __init__(
        self, exchange: Exchange, diary: Diary, tell: Callable[[Told], None], rules: Rules
    ) -> None:
        self._exchange, self._diary = exchange, diary
        self.progress = Progress(exchange, diary, tell, rules)
        self.foreign: dict[str, OrderPicture] = {}  # orders of other programs, as last told
        self._trades: set[tuple[str, str]] = set()

    @property
    def ledger(self) -> OrderLedger:
        return self.progress.ledger

    @property
    def alive(self) -> list[Work]:
        """Orders that have not ended."""
        return list(self.progress.living.values())

    def position(self, symbol: str) -> AccountPosition:
        """What the account holds, all lots frozen that closing orders will take."""
        return self.progress.lots.position(symbol)

    # ---- what the owner asks

    def check(self, ticket: Ticket) -> None:
        """Raise the `OrderError` that an order of now would meet, if that is certain already."""
        if ticket.is_stop:
            trigger_of(ticket, self._exchange)
        elif not ticket.parent and self.progress.lots.agrees(ticket.symbol):
            self.progress.sender.legs(Work(ticket), ticket.volume)

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Take new orders: one, or a bracket with its parent first."""
        works = [self.progress.made(ticket) for ticket in tickets]
        for work in works:  # all of a bracket, or nothing of it
            self.progress.follow(work)
        if len(works) == 1 and self.progress.is_written_when_sent(works[0]):
            self.progress.begin(works[0])
            return
        with self._diary.together():
            for work in works:
                self.progress.note(work)
                self.progress.note_stop(work, "held")
        for work in works:
            if work.key in self.progress.living:
                self.progress.begin(work)

    def cancel(self, key: str, reason: str = "cancelled") -> bool:
        """Withdraw what has not traded; False when the order has ended already."""
        work = self.progress.living.get(key)
        if work is not None:
            self.progress.cancel(work, reason)
        return work is not None

    def modify(self, key: str, **changes: Any) -> None:
        """Change a living order; at the exchange it is withdrawn first and sent again as changed.

        Raises `OrderError` for a change that cannot be.
        """
        work = self.progress.living.get(key)
        if work is None or work.then in (Then.CANCEL, Then.EXPIRE):
            raise InvalidOrder(f"order {key} is not alive; expected one that can still trade")
        if self.progress.targets is not None and self.progress.targets.works_on(work):
            raise InvalidOrder(f"order {key} is a target at work; cancel it and write another")
        ticket = amended(work.then_ticket or work.ticket, self.ledger.filled(key), **changes)
        if ticket.is_stop:
            changed_trigger(work, ticket, self._exchange)
        if work.then is None and replace(ticket, expires_ns=work.ticket.expires_ns) == work.ticket:
            self._stand_until(work, ticket)
        else:
            self.progress.change(work, ticket)

    def _stand_until(self, work: Work, ticket: Ticket) -> None:
        """No exchange knows until when an order stands: it keeps its place in the queue."""
        work.ticket = ticket
        self.progress.note(work)
        self.progress.tell(Modified(work.key, ticket))

    def adopt(self, ticket: Ticket, picture: OrderPicture, trades: Iterable[Trade]) -> None:
        """Follow an order that another program wrote; `trades`: what it has traded so far."""
        progress, order_id = self.progress, picture.order_id
        self.foreign.pop(order_id, None)
        progress.lots.release(picture.symbol, order_id)
        work = Work(ticket, Phase.WORKING)
        progress.follow(work)
        progress.sender.take_over(work, picture)
        for trade in trades:
            self._diary.add_trade(trade_record(work.key, trade))
            progress.apply(work, self.ledger.on_trade(trade))
        self.on_order(picture)

    # ---- what the market brings

    def on_tick(self, symbol: str, last_price: float) -> None:
        """A trade of the market at `last_price`, CNY: stops may go off, waiting orders leave."""
        for work in tuple(self.progress.watched.get(symbol, ())):
            if self._expire(work) or work.paused:
                continue
            if work.phase is Phase.HELD and work.trigger is not None:
                self._look(work, last_price)
            elif work.phase in QUEUED:
                work.follows_price = False
                self.progress.attempt(work)

    def _look(self, work: Work, last_price: float) -> None:
        trigger, progress = work.trigger, self.progress
        effect = Effect.NOTHING if trigger is None else trigger.on_price(last_price)
        if effect is Effect.MOVED and trigger is not None:
            progress.note_stop(work, "held")
            progress.tell(Moved(work.key, trigger.price, trigger.limit))
        elif effect is Effect.HIT:
            progress.due(work)
            progress.tell(Triggered(work.key, last_price))
            progress.go(work)

    def on_time(self) -> None:
        """Let what depends on time or on the account's picture go on."""
        for work in self.alive:
            if work.phase is not Phase.DONE:  # another's step may have ended it
                self._look_at_time(work)

    def _look_at_time(self, work: Work) -> None:
        progress = self.progress
        if self._expire(work):
            return
        if work.phase is Phase.HELD and work.ticket.kind is Kind.CLOSE and not work.paused:
            progress.close_in_time(work)
        elif work.phase in QUEUED:
            progress.attempt(work)
        elif work.phase is not Phase.HELD:
            for silence in progress.legs.unanswered(work):
                progress.tell(silence)
            if progress.legs.doubts(work) or work.due:
                progress.follow_up(work)

    def _expire(self, work: Work) -> bool:
        """Withdraw an order whose time is over; whether that is so."""
        ticket = work.then_ticket or work.ticket
        if not 0 < ticket.expires_ns <= self._exchange.now_ns:
            return False
        if work.phase is not Phase.DONE and work.then not in (Then.EXPIRE, Then.CANCEL):
            self.progress.cancel(work, "its time is over", Then.EXPIRE)
            return True
        return False

    def on_absent(self, order_ids: Iterable[str]) -> None:
        """A whole picture of the account does not show these exchange orders, ours or not."""
        for order_id in order_ids:
            picture = self.foreign.pop(order_id, None)
            if picture is not None:
                self.progress.lots.release(picture.symbol, order_id)
            work = self.progress.works.get(self.ledger.ref_of(order_id))
            if work is not None:
                work.leg(order_id).absent_ns = self._exchange.mono_ns

    # ---- what the exchange tells

    def on_trade(self, trade: Trade, *, is_held: bool = False) -> bool:
        """A trade of the account; False when it is none of ours, or was told before.

        is_held: the lots that are counted contain it already, as those of the start do.
        """
        if not self.is_new(trade):
            return False
        if not is_held:
            self.progress.lots.on_trade(trade)
        key = self.ledger.ref_of(trade.order_id)
        if not key:
            self._note_holding(trade)
            return False
        work = self.progress.works[key]
        with self._diary.together():
            self._diary.add_trade(trade_record(key, trade))
            if not is_held:
                self._note_holding(trade)
            events = self.ledger.on_trade(trade)
            self.progress.note(work)
        self.progress.apply(work, events)
        self.progress.follow_up(work)
        return True

    def _note_holding(self, trade: Trade) -> None:
        """What the account holds with this trade, by our own counting: in step with the trades."""
        counted = self.progress.lots.counted(trade.symbol)
        if counted is not None:
            record = HoldingRecord(trade.symbol, *counted, self._exchange.now_ns)
            self._diary.put_holding(record)

    def is_new(self, trade: Trade) -> bool:
        """Whether the trade was not told before; from now on it was."""
        name = trade.order_id, trade.trade_id
        is_new = name not in self._trades
        self._trades.add(name)
        return is_new

    def on_order(self, picture: OrderPicture) -> bool:
        """An exchange order's picture; False when it is none of ours."""
        key = self.ledger.ref_of(picture.order_id)
        if not key:
            self._on_foreign(picture)
            return False
        work = self.progress.works[key]
        self.progress.apply(work, self.progress.legs.on_picture(work, picture))
        self.progress.follow_up(work)
        return True

    def _on_foreign(self, picture: OrderPicture) -> None:
        known = self.foreign.get(picture.order_id)
        if known is not None and not known.is_alive:
            return  # an older picture that came late: no order comes to life again
        self.foreign[picture.order_id] = picture
        self.progress.lots.on_foreign_order(picture)

    def state(self, key: str) -> OrderState:
        """What an order has come to."""
        return self.ledger.state(key)
