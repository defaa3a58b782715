"""Turns an order that is due into exchange orders, writes them down and hands them over. Pure."""

from __future__ import annotations

from .contracts import check_limits, takes_market_orders
from .errors import NotWrittenDown, OrderError
from .journal_entries import leg_record, stop_record
from .journal_records import LegRecord
from .lots import Lots
from .offsets import Leg, plan_close, plan_legs, policy_of
from .orders import OrderLedger
from .permits import Gate, OpenGate, forbidden, permitted
from .pricing import crossing_price
from .surroundings import Diary, Exchange
from .values import Direction, ExchangeOrder, Offset, OrderPicture
from .working import SECOND_NS, LegWork, Phase, Rules, Work

__all__ = ["CLOSED", "DOWN", "Sender"]

CLOSED = "the market is closed: it is sent when it opens"
DOWN = "the trading connection is lost: it is sent when it stands again"
LEAVING = "orders that hold the lots are being withdrawn"
UNSETTLED = "the account does not show all trades yet"
MOST = 2**31 - 1  # CTP counts lots in 32 bits
PATIENCE_NS = 3 * SECOND_NS  # how long the account's picture may disagree with what was told


class Sender:
    """Plans and sends legs; `ledger` and `lots` learn of each before it is sent."""

    def __init__(
        self, exchange: Exchange, diary: Diary, ledger: OrderLedger, lots: Lots, rules: Rules
    ) -> None:
        self._exchange, self._diary = exchange, diary
        self._ledger, self._lots, self._rules = ledger, lots, rules
        self.gate: Gate = OpenGate()

    # ---- may it be sent

    def hindrance(self, work: Work) -> str:
        """Why an order that is due cannot be sent yet; empty when it can."""
        obstacle = self.obstacle(work)
        if obstacle:
            return obstacle
        if work.ticket.offset is Offset.OPEN:
            return ""
        if self._lots.are_freed(work.symbol, work.ticket.direction):
            return LEAVING
        return "" if self._agrees(work) else UNSETTLED

    def obstacle(self, work: Work) -> str:
        """Why nothing of the order can be sent now; empty when it can."""
        if self._exchange.is_down:
            return DOWN
        if self._exchange.now_ns <= work.not_before_ns:
            return CLOSED
        if self._rules.holds_closed and not self.is_open(work.symbol):
            return CLOSED
        return ""

    def is_open(self, symbol: str) -> bool:
        """Whether the contract trades at this moment of the market."""
        return self._exchange.sessions(symbol).is_open(self._exchange.now_ns)

    def day_ends_ns(self, symbol: str) -> int:
        """Close of the trading day of this moment, after it of the next; ns since 1970 UTC."""
        sessions, now_ns = self._exchange.sessions(symbol), self._exchange.now_ns
        day = sessions.trading_day_of(now_ns)
        close_ns = sessions.close_of(day)
        return close_ns if close_ns > now_ns else sessions.close_of(sessions.calendar.next_day(day))

    def _agrees(self, work: Work) -> bool:
        """Whether the account's picture fits; one that does not for long is taken as it is."""
        if self._lots.agrees(work.symbol):
            return True
        if self._lots.disagrees_for_ns(work.symbol, self._exchange.mono_ns) < PATIENCE_NS:
            return False
        self._lots.trust(work.symbol)
        return True

    def protected(self, work: Work) -> int:
        """Lots that the child of a bracket can protect: those that the account holds still.

        Whoever closed them by other means wants no position of the other side.
        """
        if not work.ticket.parent:
            return MOST
        held, is_sell = self._lots.position(work.symbol), work.ticket.direction is Direction.SELL
        return held.long.total if is_sell else held.short.total

    # ---- plan

    def legs(self, work: Work, volume: int) -> tuple[Leg, ...]:
        """How `volume` lots of the order become exchange orders now. Raises `OrderError`."""
        ticket, terms = work.ticket, self._exchange.terms(work.symbol)
        most = terms.max_limit_order_volume
        if self._price(work)[0] is None:
            most = terms.max_market_order_volume
        limit = self._limit(work)
        if limit is not None:
            check_limits(terms, limit)
        held = self._lots.position(work.symbol)
        fees = self._exchange.fees(work.symbol)
        plan = plan_legs
        policy = policy_of("开" if ticket.offset is Offset.OPEN else ticket.policy)
        if ticket.offset not in (None, Offset.OPEN):
            plan = plan_close
        return plan(ticket.direction, volume, held, terms.exchange_id, policy, fees, most)

    def begin(self, work: Work, volume: int) -> None:
        """Write the exchange orders of `volume` lots down and send the first of them.

        Raises `OrderError`, with nothing written, for what cannot be sent.
        """
        plan = permitted(self.gate, work, self.legs(work, volume))
        work.round = len(work.legs)
        for leg in plan:
            self._add(work, leg)
        work.phase = Phase.WORKING
        self.send_due(work, with_order=True)

    def _add(self, work: Work, leg: Leg) -> None:
        number = len(work.legs)
        order_id = f"{work.key}.{number}"
        self._ledger.add_legs(work.key, {order_id: leg.volume})
        made = LegWork(
            order_id, number, leg.stage, leg.offset, leg.volume, self._ledger.leg(order_id)
        )
        work.legs.append(made)
        self.reserve(work, made)

    def take_over(self, work: Work, picture: OrderPicture) -> None:
        """An exchange order that another program sent becomes the order's first leg."""
        self._ledger.add_legs(work.key, {picture.order_id: picture.volume})
        told = self._ledger.leg(picture.order_id)
        leg = LegWork(picture.order_id, 0, 0, picture.offset, picture.volume, told)
        leg.price, leg.state = work.ticket.price, "sending"
        leg.day_ends_ns = self.day_ends_ns(work.symbol)
        work.legs.append(leg)
        self.reserve(work, leg)
        self._write(work, [leg], with_order=True)

    def reserve(self, work: Work, leg: LegWork) -> None:
        """The lots that the leg closes are not for others."""
        direction, told = work.ticket.direction, leg.told
        self._lots.reserve(work.symbol, leg.order_id, direction, leg.offset, lambda: told.left)

    def taken(self, work: Work, leg: LegWork) -> None:
        """The exchange has the leg."""
        self._lots.taken(work.symbol, leg.order_id)

    def leave(self, work: Work, leg: LegWork) -> None:
        """The leg is being withdrawn."""
        self._lots.leave(work.symbol, leg.order_id)

    def release(self, work: Work, leg: LegWork) -> None:
        """The leg trades no more."""
        self._lots.release(work.symbol, leg.order_id)

    # ---- send

    def send_due(self, work: Work, *, with_order: bool = False) -> bool:
        """Send the legs whose turn it is, after the journal has them; False if one cannot be."""
        due = work.due
        barred = [] if with_order else self._bar(work, due)
        due = [leg for leg in due if leg not in barred]
        for leg in due:
            leg.day_ends_ns = self.day_ends_ns(work.symbol)
        try:
            price, advanced = self._price(work)
        except OrderError as error:
            for leg in due:
                self._refuse(work, leg, error)
            return False
        for leg in due:
            leg.price, leg.advanced, leg.state = price, advanced, "sending"
        self._write(work, due, with_order)
        taken = [self._hand_over(work, leg) for leg in due]
        return all(taken) and not barred

    def _bar(self, work: Work, due: list[LegWork]) -> list[LegWork]:
        """Refuse the legs that may not be sent any more."""
        barred, error = forbidden(self.gate, work, due)
        for leg in barred:
            self._refuse(work, leg, error)
        return barred

    def _hand_over(self, work: Work, leg: LegWork) -> bool:
        ticket = work.ticket
        try:
            self._exchange.send(
                ExchangeOrder(
                    leg.order_id,
                    ticket.symbol,
                    ticket.direction,
                    leg.offset,
                    leg.volume,
                    leg.price,
                    leg.advanced,
                )
            )
        except OrderError as error:
            self._refuse(work, leg, error)
            return False
        leg.sent_ns = self._exchange.mono_ns
        return True

    def _refuse(self, work: Work, leg: LegWork, error: OrderError) -> None:
        protects = work.ticket.is_stop or bool(work.ticket.parent)  # it waits for the journal
        leg.lost = protects and isinstance(error, NotWrittenDown)
        leg.told.refused = not leg.lost
        self.drop(work, leg, f"not sent: {error}")

    def drop(self, work: Work, leg: LegWork, reason: str) -> None:
        """The leg never reached the exchange and never will."""
        leg.state = "dropped"
        self.release(work, leg)
        self._ledger.on_unsent(leg.order_id, reason)  # its order stays open until it is concluded
        self._diary.put_leg(self.record(work, leg))

    def record(self, work: Work, leg: LegWork) -> LegRecord:
        return leg_record(work, leg, self._exchange.now_ns, None)

    def _write(self, work: Work, due: list[LegWork], with_order: bool) -> None:
        now_ns = self._exchange.now_ns
        with self._diary.together():
            if with_order:
                self._diary.put_order(work.record(self._ledger.state(work.key), now_ns))
                if work.trigger is not None:
                    self._diary.put_stop(stop_record(work.key, work.trigger, "hit", now_ns))
            for leg in work.legs[work.round :] if with_order else due:
                self._diary.put_leg(self.record(work, leg))

    def _limit(self, work: Work) -> float | None:
        """The limit price, CNY; a stop's ends at the day's limit, as no trade lies beyond it."""
        ticket = work.ticket
        price, terms = ticket.exchange_limit, self._exchange.terms(work.symbol)
        if price is None or not ticket.is_stop:
            return price
        if ticket.direction is Direction.BUY:
            return min(price, terms.upper_limit)  # which may be NaN: it stays as it is
        return max(price, terms.lower_limit)

    def _price(self, work: Work) -> tuple[float | str | None, str | None]:
        """Price and condition of an exchange order of this moment.

        What stands for a market order takes what is there and follows the price with the rest.
        Raises `BadPrice`.
        """
        ticket, limit = work.ticket, self._limit(work)
        if limit is not None:
            return limit, ticket.advanced
        if ticket.price_type:
            return ticket.price_type, ticket.advanced
        terms = self._exchange.terms(work.symbol)
        if takes_market_orders(terms):
            return None, ticket.advanced
        quote, ticks = self._exchange.quote(work.symbol), self._rules.market_ticks
        price = crossing_price(terms, ticket.direction, quote, ticks)
        worst = terms.upper_limit if ticket.direction is Direction.BUY else terms.lower_limit
        stays = price == worst or work.tries >= self._rules.tries
        return price, ticket.advanced or (None if stays else "FAK")
