"""Follows the exchange orders of an order: what they came to, and what is to be done next. Pure."""

from __future__ import annotations

from collections.abc import Callable

from .journal_entries import leg_record
from .orders import Event, OrderLedger
from .sending import Sender
from .surroundings import Diary, Exchange
from .tickets import Ticket
from .tidings import Unanswered
from .values import OrderPicture
from .working import SECOND_NS, LegWork, Phase, Rules, Then, Work

__all__ = ["LOST", "LegFollower"]

LOST = "it never reached the exchange"
# TqSim: 交易日结束，自动撤销当日有效的委托单（GFD）; others end orders at 收盘
DAY_ENDED = ("收盘", "交易日结束")
AGAIN_NS = 10 * SECOND_NS  # market time after which an unanswered cancel is sent once more


class LegFollower:
    """Reads pictures into legs, withdraws them, and says when an order may go on.

    `stands`: whether an order that never reached the exchange is sent again.
    """

    def __init__(
        self,
        sender: Sender,
        ledger: OrderLedger,
        exchange: Exchange,
        diary: Diary,
        rules: Rules,
        stands: Callable[[Work], bool],
    ) -> None:
        self._sender, self._ledger, self._stands = sender, ledger, stands
        self._exchange, self._diary = exchange, diary
        self._tries = rules.tries
        self._answer_ns = int(rules.answer_s * SECOND_NS)
        self._silence_ns = int(rules.silence_s * SECOND_NS)

    def on_picture(self, work: Work, picture: OrderPicture) -> list[Event]:
        """Take a leg's picture; one that comes to life after its order's end is withdrawn."""
        leg = work.leg(picture.order_id)
        leg.absent_ns = leg.sent_ns = 0
        leg.exchange_order_id = picture.exchange_order_id or leg.exchange_order_id
        before = leg.state
        known = bool(picture.exchange_order_id) or picture.filled > 0
        events = self._ledger.on_order(picture)
        if leg.state == "sending" and known and picture.is_alive:
            leg.state = "alive"
        if known:
            self._sender.taken(work, leg)
        if self._ended(work, leg) or leg.state != before:
            self._write(work, leg, picture)
        is_forsaken = leg.state == "dropped" or (work.phase is Phase.DONE and leg.is_alive)
        if picture.is_alive and known and is_forsaken:
            self._exchange.cancel(leg.order_id)
        return events

    def withdraw(self, work: Work) -> None:
        """Cancel every exchange order that may still trade."""
        work.withdrawn_ns = self._exchange.now_ns
        for leg in work.alive:
            self._sender.leave(work, leg)
            if leg.told.final is None:
                self._exchange.cancel(leg.order_id)

    def unanswered(self, work: Work) -> list[Unanswered]:
        """Legs of which nothing was heard for long, each once."""
        if self._exchange.is_down:  # nothing can be heard
            return []
        now_ns, found = self._exchange.mono_ns, []
        for leg in work.legs:
            if leg.state == "sending" and 0 < leg.sent_ns <= now_ns - self._silence_ns:
                for_s = (now_ns - leg.sent_ns) / SECOND_NS
                found.append(Unanswered(work.key, leg.order_id, for_s))
                leg.sent_ns = 0
        return found

    def doubts(self, work: Work) -> bool:
        """Settle what stayed without an answer; True when that changed something."""
        for leg in work.alive:
            if self._misses_trades(work, leg):
                leg.absent_ns = leg.absent_ns or self._exchange.mono_ns
        lost = [leg for leg in work.alive if self._is_lost(leg)]
        for leg in lost:
            if leg.told.final is None:
                self.lose(work, leg)
            else:
                self._forgo(work, leg)
        if work.phase is Phase.LEAVING and work.is_at_exchange:
            self._withdraw_again(work)
        return bool(lost)

    def _withdraw_again(self, work: Work) -> None:
        is_late = self._exchange.now_ns - work.withdrawn_ns >= AGAIN_NS
        if is_late and not self._sender.obstacle(work):
            self.withdraw(work)

    def lose(self, work: Work, leg: LegWork) -> None:
        """The exchange does not know the leg: its day is over, or it was never sent."""
        is_over = leg.day_ends_ns <= self._exchange.now_ns
        if not is_over and not leg.told.filled:
            leg.told.refused = not self._stands(work)
        leg.told.final = leg.told.filled
        leg.lost = not is_over
        self._sender.drop(work, leg, DAY_ENDED[0] if is_over else LOST)

    def _misses_trades(self, work: Work, leg: LegWork) -> bool:
        """Whether the exchange said that it traded, and a later day has begun without its trades.

        They were made while the line was lost: a gateway shows those of its own day only.
        """
        is_past = leg.told.final is not None and leg.day_ends_ns <= self._exchange.now_ns
        return is_past and not self._exchange.is_down and self._sender.is_open(work.symbol)

    def _forgo(self, work: Work, leg: LegWork) -> None:
        """Its trades will not be told any more: the order ends, lest its lots be traded twice."""
        untold = (leg.told.final or 0) - leg.told.filled
        work.then, work.then_ticket = Then.CANCEL, None
        work.why = (
            f"{untold} lots have traded whose trades were never shown; the account holds them"
        )
        leg.told.final = leg.told.filled

    def _is_lost(self, leg: LegWork) -> bool:
        return 0 < leg.absent_ns <= self._exchange.mono_ns - self._answer_ns

    # ---- what next

    def follow_up(self, work: Work) -> Phase | None:
        """What an order is to do: DUE, send the rest again; DONE, end; None, wait."""
        self.note_ends(work)
        legs = [leg for leg in work.legs[work.round :] if leg.day_ends_ns]  # those that were sent
        short = [leg for leg in legs if leg.is_done and leg.told.filled < leg.volume]
        if short:
            reason = next((leg.told.reason for leg in short if leg.told.reason), "it was cancelled")
            for leg in work.unsent:
                self._sender.drop(work, leg, f"not sent, a leg before it ended: {reason}")
        elif work.due and not self._sender.obstacle(work):
            if self._sender.send_due(work):
                return None
            return self.follow_up(work)
        if work.is_at_exchange or work.unsent:
            return None
        return self._next(work, short)

    def note_ends(self, work: Work) -> None:
        """Write down which legs have ended, now that all their trades are known."""
        for leg in work.legs:
            if self._ended(work, leg):
                self._write(work, leg, None)

    def _next(self, work: Work, short: list[LegWork]) -> Phase:
        if work.then is not None or any(leg.told.refused for leg in short):
            return Phase.DONE
        if not short or any(leg.lost for leg in short):
            return Phase.DUE  # lots are left, or it protects a position
        if work.ticket.advanced is not None:
            return Phase.DONE
        if any(self.ended_with_day(leg) for leg in short):
            return self._after_day(work, work.ticket, short)
        if work.tries < self._tries and all(self._follows(leg) for leg in short):
            work.tries += 1
            work.follows_price = True
            return Phase.DUE
        return Phase.DONE

    def _follows(self, leg: LegWork) -> bool:
        """Whether the exchange cancelled what the leg could not trade at once, on its own day."""
        is_immediate = leg.advanced == "FAK" or leg.price is None
        return is_immediate and self._exchange.now_ns < leg.day_ends_ns

    def _after_day(self, work: Work, ticket: Ticket, short: list[LegWork]) -> Phase:
        """Exchanges end all orders with the day; those that stand longer are sent again."""
        ends_ns = max(leg.day_ends_ns for leg in short)
        if 0 < ticket.expires_ns <= ends_ns:
            work.then, work.why = Then.EXPIRE, "its day is over"
            return Phase.DONE
        work.not_before_ns = ends_ns
        return Phase.DUE

    def ended_with_day(self, leg: LegWork) -> bool:
        """Whether the exchange let go of a leg because its trading day was over."""
        said = any(text in leg.told.reason for text in DAY_ENDED)
        rests = leg.advanced is None and isinstance(leg.price, float)  # others end by themselves
        return said or (rests and leg.day_ends_ns <= self._exchange.now_ns)

    def _ended(self, work: Work, leg: LegWork) -> bool:
        """Note that a leg has ended; True the first time."""
        if leg.state in ("finished", "dropped") or not (leg.is_sent and leg.is_done):
            return False
        leg.state = "finished"
        self._sender.release(work, leg)
        return True

    def _write(self, work: Work, leg: LegWork, picture: OrderPicture | None) -> None:
        self._diary.put_leg(leg_record(work, leg, self._exchange.now_ns, picture))
