"""Stands between the orders and the exchange: counts what leaves, refuses what would risk too much.

Rules:
- What closes is never refused here, nor is a cancel; only a halt refuses new orders that close.
- An order is looked at when it is written and again when it leaves: a stop, one that waited for the
  opening, what is sent anew. Then its closing part goes and its opening part is refused.
- Of a stop it is not known what it will close: when it is written it is judged by the lots that it
  could close once all orders at work have filled. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from .blotter import Blotter
from .errors import JournalFailed, OrderError
from .offsets import plan_legs, policy_of
from .permits import Planned
from .risk import Code, Refusal, RiskLimits, TradingState
from .risk_counts import DayCounts, Traffic
from .risk_rules import Exposure, Opening, Resting, Sight, refusal
from .surroundings import Exchange
from .tickets import Kind, Ticket
from .values import Account, AccountPosition, Direction, Offset, OrderPicture
from .working import LegWork, Phase, Work

__all__ = ["FREE", "Halt", "RiskGate"]

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Halt:
    """What is taken, and why not all of it."""

    state: TradingState = TradingState.NORMAL
    code: Code = Code.HALTED
    reason: str = ""


FREE = Halt()


class RiskGate:
    """Judges the orders of one account; a `permits.Gate`.

    account, positions: as the account shows them now. knows: whether terms and quote of a contract
    are at hand. `halt` is set by whoever watches the switch and the losses.
    """

    def __init__(
        self,
        limits: RiskLimits | None,
        exchange: Exchange,
        blotter: Blotter,
        counts: DayCounts | None,
        account: Callable[[], Account],
        positions: Callable[[], Mapping[str, AccountPosition]],
        knows: Callable[[str], bool],
    ) -> None:
        self.limits, self._exchange, self._blotter = limits, exchange, blotter
        self._counts, self._account, self._positions = counts, account, positions
        self._knows = knows
        self._later = None if limits is None else _of_what_waits(limits)
        self.halt = FREE
        self.refusals: dict[str, Refusal] = {}  # of orders that were refused lots here, by key
        self._orders, self._cancels = Traffic(), Traffic()
        self._is_urgent = False

    # ---- what is asked

    def at_entry(self, ticket: Ticket, parent_lots: int = 0) -> Refusal | None:
        """Why a new order is not taken. `parent_lots`: of the bracket's first order."""
        halt = self.halt
        if self.limits is None and halt is FREE:
            return None
        if halt.state is TradingState.HALTED and not self._is_urgent:
            return Refusal(halt.code, halt.reason)
        lots = self._opens(ticket, parent_lots)
        return self._judge(ticket, lots, self._legs_for(ticket, lots), None) if lots else None

    def forbids(self, work: Work, legs: Sequence[Planned]) -> str:
        """Why those of `legs` that open may not be sent; empty: they may."""
        if self.limits is None and self.halt is FREE:
            self.refusals.pop(work.key, None)
            return ""
        lots = [leg.volume for leg in legs if leg.offset is Offset.OPEN]
        found = self._judge(work.ticket, sum(lots), len(lots), work) if lots else None
        if found is None:
            self.refusals.pop(work.key, None)
            return ""
        self.refusals[work.key] = found
        return found.text

    @contextmanager
    def urgently(self) -> Iterator[None]:
        """The operator closes everything: a halt does not stand in the way."""
        before, self._is_urgent = self._is_urgent, True
        try:
            yield
        finally:
            self._is_urgent = before

    # ---- what leaves

    def sent(self, symbol: str) -> None:
        """An exchange order leaves. Raises `JournalFailed`."""
        if self._counts is not None:
            self._orders.add(self._exchange.mono_ns)
            self._counts.add(self._exchange.now_ns, "orders", f"orders {symbol}")

    def cancelled(self, order_id: str) -> None:
        """A cancel leaves, whatever becomes of its counting."""
        if self._counts is None:
            return
        self._cancels.add(self._exchange.mono_ns)
        key = self._blotter.ledger.ref_of(order_id)
        names = ["cancels"]
        if key:
            names.append(f"cancels {self._blotter.progress.works[key].symbol}")
        with suppress(JournalFailed):
            self._counts.add(self._exchange.now_ns, *names)

    # ---- how much would be opened

    def _opens(self, ticket: Ticket, parent_lots: int) -> int:
        if ticket.offset is not None:
            return ticket.volume if ticket.offset is Offset.OPEN else 0
        if ticket.parent:
            return max(ticket.volume - parent_lots, 0)
        if ticket.target is not None:
            return self._opens_towards(ticket)
        if ticket.is_stop or ticket.kind is Kind.CLOSE:
            return max(ticket.volume - self._to_close(ticket), 0)
        held, exchange = self._blotter.position(ticket.symbol), self._exchange
        terms, fees = exchange.terms(ticket.symbol), exchange.fees(ticket.symbol)
        policy = policy_of(ticket.policy)
        try:
            plan = plan_legs(ticket.direction, ticket.volume, held, terms.exchange_id, policy, fees)
        except OrderError:  # the policy opens none
            return 0
        return sum(leg.volume for leg in plan if leg.offset is Offset.OPEN)

    def _opens_towards(self, ticket: Ticket) -> int:
        """Of a net target; lots that are held on the other side are closed on the way."""
        held, lots = self._exchange.position(ticket.symbol), ticket.target or 0
        return max(lots - held.long.total, -lots - held.short.total, 0)

    def _to_close(self, ticket: Ticket) -> int:
        """Lots that an order may find to close when it goes off."""
        held, symbol = self._exchange.position(ticket.symbol), ticket.symbol
        is_buy = ticket.direction is Direction.BUY
        filled = self._blotter.ledger.filled
        coming = sum(
            work.ticket.volume - filled(work.key)
            for work in self._blotter.alive
            if work.symbol == symbol
            and work.ticket.direction is not ticket.direction
            and work.phase not in (Phase.HELD, Phase.WAITING)
        )
        return (held.short.total if is_buy else held.long.total) + coming

    def _legs_for(self, ticket: Ticket, lots: int) -> int:
        terms = self._exchange.terms(ticket.symbol)
        most = terms.max_limit_order_volume if ticket.exchange_limit is not None else 0
        return -(-lots // most) if most else 1

    # ---- judging

    def _judge(self, ticket: Ticket, lots: int, legs: int, work: Work | None) -> Refusal | None:
        halt = self.halt
        if halt.state is not TradingState.NORMAL:
            what = "" if halt.state is TradingState.HALTED else "; only closing is taken"
            return Refusal(halt.code, f"{halt.reason}{what}")
        if self.limits is None:
            return None
        limit = ticket.exchange_limit
        price = self._meets(ticket) if limit is None else limit
        order = Opening(ticket.symbol, ticket.direction, lots, legs, price, limit is None)
        waits = work is None and (ticket.is_stop or ticket.kind is Kind.CLOSE or ticket.parent)
        limits = self._later if waits and self._later is not None else self.limits
        return refusal(limits, order, self._sight(order, work))

    def _meets(self, ticket: Ticket) -> float:
        """The price that a market order meets first."""
        quote = self._exchange.quote(ticket.symbol)
        side = "ask_price1" if ticket.direction is Direction.BUY else "bid_price1"
        price = float(quote[side])
        return float(quote["last_price"]) if math.isnan(price) else price

    def _sight(self, order: Opening, work: Work | None) -> Sight:
        exchange, symbol = self._exchange, order.symbol
        now_ns, mono_ns = exchange.now_ns, exchange.mono_ns
        held, legs = self._positions(), list(self._at_work(work))
        exposures = self._exposures(held, legs, symbol)
        seconds = self._orders.within_a_second(mono_ns), self._cancels.within_a_second(mono_ns)
        return Sight(
            now_ns=now_ns,
            stretch=exchange.sessions(symbol).stretch_at(now_ns),
            last=self._last(symbol),
            lot_cny={name: self._lot_cny(name) for name in {*exposures, symbol}},
            margin_cny=self._margin(symbol, held),
            pending_cny=sum(self._pending(each, leg, held) for each, leg in legs),
            account=self._account(),
            exposures=exposures,
            resting=self._resting(legs),
            counts={} if self._counts is None else self._counts.at(now_ns),
            second=seconds,
        )

    def _at_work(self, work: Work | None) -> Iterator[tuple[Work, LegWork]]:
        """Legs that may still trade; of `work`, which is being judged, those at the exchange."""
        for each in self._blotter.alive:
            for leg in each.legs:
                if leg.is_alive or (leg.state == "planned" and each is not work):
                    yield each, leg

    def _exposures(
        self, held: Mapping[str, AccountPosition], legs: Iterable[tuple[Work, LegWork]], symbol: str
    ) -> dict[str, Exposure]:
        """By contract. Lots by our own counting, which has every trade that left an order."""
        resting = [(w.symbol, w.ticket.direction, leg.offset, leg.told.left) for w, leg in legs]
        resting += [(p.symbol, p.direction, p.offset, p.volume_left) for p in self._foreign()]
        buys, sells, opening = dict[str, int](), dict[str, int](), dict[str, int]()
        for name, direction, offset, left in resting:
            side = buys if direction is Direction.BUY else sells
            side[name] = side.get(name, 0) + left
            opens = left if offset is Offset.OPEN else 0
            opening[name] = opening.get(name, 0) + opens
        names = {*held, *opening, *self._blotter.progress.watched, symbol}
        return {
            name: Exposure(
                *self._lots(name), opening.get(name, 0), buys.get(name, 0), sells.get(name, 0)
            )
            for name in names
        }

    def _lots(self, symbol: str) -> tuple[int, int]:
        """Long and short."""
        counted = self._blotter.progress.lots.counted(symbol)
        if counted is not None:
            return counted
        shown = self._exchange.position(symbol)
        return shown.long.total, shown.short.total

    def _foreign(self) -> Iterator[OrderPicture]:
        return (each for each in self._blotter.foreign.values() if each.is_alive)

    def _resting(self, legs: Iterable[tuple[Work, LegWork]]) -> list[Resting]:
        ours = [
            Resting(each.symbol, each.ticket.direction, leg.price)
            for each, leg in legs
            if isinstance(leg.price, float)
        ]
        return ours + [Resting(each.symbol, each.direction, each.price) for each in self._foreign()]

    # ---- money

    def _last(self, symbol: str) -> float:
        last = float(self._exchange.quote(symbol)["last_price"])
        return self._exchange.terms(symbol).pre_settlement if math.isnan(last) else last

    def _lot_cny(self, symbol: str) -> float:
        if not self._knows(symbol):
            return NAN
        try:
            return self._last(symbol) * self._exchange.terms(symbol).volume_multiple
        except OrderError:  # it has expired
            return NAN

    def _margin(self, symbol: str, held: Mapping[str, AccountPosition]) -> float:
        """Of one lot, CNY: as the contract says, or as the account pays if that is more."""
        listed, position = self._exchange.terms(symbol).margin_cny, held.get(symbol)
        if position is None or not position.long.total + position.short.total:
            return listed
        paid = position.margin / max(position.long.total, position.short.total)
        return paid if math.isnan(listed) else max(listed, paid)

    def _pending(self, work: Work, leg: LegWork, held: Mapping[str, AccountPosition]) -> float:
        """Margin that the account does not show yet: the exchange has not answered."""
        if leg.offset is not Offset.OPEN or leg.state not in ("planned", "sending"):
            return 0.0
        return leg.told.left * self._margin(work.symbol, held)


def _of_what_waits(limits: RiskLimits) -> RiskLimits:
    """Without what goes by the moment at which an order leaves: it is looked at again then."""
    return replace(
        limits,
        price_distance=None,
        refuse_self_trade=False,
        quiet_open_s=None,
        quiet_close_s=None,
        orders_per_second=None,
        cancels_per_second=None,
    )
