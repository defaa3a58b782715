"""Takes orders up where an earlier run left them: journal and account are put together. Pure.

Rules:
- What the journal has of an order stands: its fills were told, its stops are held, its legs bear
  the ids that were written before they were sent.
- The account's whole picture says what became of those legs. One that it does not show, on the day
  that it was sent, never reached the exchange: a stop that had gone off is sent again, for it
  protects a position, as is an order of an OCO group or a bracket's child; any other order ends.
- A step that was not written down did not happen: any other order that was due ends.
- What an order's fill or end means for its family is done now if the program died before.
- An exchange order of an earlier trading day may have traded there: its trades are shown no more.
  Where the account's lots are not those of the journal its order ends, lest lots be traded twice,
  as it does where another one that is gone could have undone its trades.
- An order that was being replaced goes on as it was changed, when what it left has been withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Protocol

from .blotter import Blotter
from .comparing import ambiguous, odd_lots
from .journal_records import HoldingRecord, LegRecord, OrderRecord, StopRecord, TradeRecord
from .progress import Progress
from .states import OrderState
from .stops import trigger_of
from .surroundings import Exchange
from .tickets import Ticket
from .values import AccountPosition, Direction, Offset, OrderPicture, Trade
from .working import REPLACED, LegWork, Phase, Then, Work

__all__ = ["Past", "catch_up", "restore", "trade_of"]

QUEUED = (Phase.DUE, Phase.PARKED)
NEVER_SENT = "the program ended before it was sent"
NOT_KNOWN = "its day is over and it may have traded: the account does not hold what is expected"


class Past(Protocol):
    """The journal as earlier runs left it."""

    def open_orders(self) -> list[OrderRecord]: ...

    def run_orders(self, run: str) -> list[OrderRecord]: ...

    def legs(self, key: str) -> list[LegRecord]: ...

    def trades(self, key: str) -> list[TradeRecord]: ...

    def stops(self) -> list[StopRecord]: ...


def restore(
    blotter: Blotter, exchange: Exchange, past: Past, follows: Callable[[Ticket], bool]
) -> list[Work]:
    """The orders of earlier runs that live and that `follows` takes, with their families.

    Those that it does not take stay as they are in the journal.
    """
    stops = {record.key: record for record in past.stops()}
    living = []
    for record in _with_families(past, follows):
        work = _work(blotter, exchange, past, record, stops.get(record.key))
        if work.phase is not Phase.DONE:
            living.append(work)
    return living


def catch_up(
    blotter: Blotter,
    orders: Mapping[str, OrderPicture],
    trades: Iterable[Trade],
    before: Mapping[str, HoldingRecord],
    held: Mapping[str, AccountPosition],
) -> list[Trade]:
    """Let restored orders learn what the account shows; returns the trades that are new to them.

    before: the lots that the journal expects; held: those of the account.
    """
    progress = blotter.progress
    stands = progress.families.stands
    due = [w for w in blotter.alive if w.phase is Phase.DUE and not w.not_before_ns]
    unsent = [w for w in due if not stands(w)]
    sent = {leg.order_id for work in blotter.alive for leg in work.alive}
    news = _read(blotter, orders, trades)
    gone = [(work, _lose(progress, work, sent - orders.keys())) for work in blotter.alive]
    odd = odd_lots(before, held, news).keys() | ambiguous(gone)
    for work, legs in gone:
        _go_on(progress, work, legs, is_odd=work.symbol in odd)
    for work in blotter.alive:
        if work.ticket.execution == "target" and work.phase in (Phase.WORKING, Phase.LEAVING):
            progress.cancel(work, "its target ended with the program")
    for work in unsent:
        if work.phase is Phase.DUE:
            progress.cancel(work, NEVER_SENT)
    for work in tuple(progress.works.values()):
        _act_on_family(progress, work)
    for work in blotter.alive:
        _release_orphan(progress, work)
        if work.phase in (Phase.HELD, Phase.WAITING):
            progress.apply(work, progress.ledger.accept(work.key))
    return news


def _read(
    blotter: Blotter, orders: Mapping[str, OrderPicture], trades: Iterable[Trade]
) -> list[Trade]:
    """Pass the account's picture on; returns the trades of ours that are new."""
    news = []
    for trade in trades:
        if not blotter.ledger.follows(trade.order_id):
            blotter.is_new(trade)
        elif blotter.on_trade(trade, is_held=True):
            news.append(trade)
    for picture in orders.values():
        blotter.on_order(picture)
    return news


def trade_of(record: TradeRecord) -> Trade:
    """A trade out of the journal."""
    return Trade(
        trade_id=record.trade_id,
        order_id=record.order_id,
        symbol=record.symbol,
        direction=Direction(record.direction),
        offset=Offset(record.offset),
        price=record.price,
        volume=record.volume,
        commission_cny=record.commission_cny,
        time_ns=record.time_ns,
    )


def _with_families(past: Past, follows: Callable[[Ticket], bool]) -> list[OrderRecord]:
    """Living orders and whoever they hang together with, parents and leaders first."""
    living = [each for each in past.open_orders() if follows(Ticket.from_text(each.ticket))]
    keys, found = {each.key for each in living}, []
    for run in sorted({each.run for each in living}):
        records = sorted(past.run_orders(run), key=lambda each: each.ref)
        families = _families(records)
        wanted = {families[each.key] for each in records if each.key in keys}
        found += [
            each
            for each in records
            if each.key in keys
            or (families[each.key] in wanted and OrderState(each.state).is_terminal)
        ]
    return found


def _families(records: Iterable[OrderRecord]) -> dict[str, str]:
    """The first order of each order's family; ties point to orders that were written before."""
    first: dict[str, str] = {}
    for record in records:
        ticket = Ticket.from_text(record.ticket)
        tie = ticket.parent or ticket.oco
        first[record.key] = first.get(tie, tie) or record.key
    return first


def _work(
    blotter: Blotter, exchange: Exchange, past: Past, record: OrderRecord, stop: StopRecord | None
) -> Work:
    ticket = Ticket.from_text(record.ticket)
    work = Work(ticket, Phase(record.phase), reason=record.reason)
    progress, state = blotter.progress, OrderState(record.state)
    progress.follow(work)
    for leg in past.legs(work.key):
        _add_leg(progress, exchange, work, leg)
    work.round = _round(work)
    for trade in map(trade_of, past.trades(work.key)):
        blotter.is_new(trade)
        progress.ledger.on_trade(trade)
    progress.ledger.restore(work.key, state)
    if state.is_terminal:
        work.phase = Phase.DONE
        progress.forget(work)
    elif ticket.is_stop and stop is not None:
        work.trigger = trigger_of(ticket, exchange, last=stop.price)
        work.trigger.price, work.trigger.limit = stop.price, stop.limit
    if work.phase in QUEUED and work.legs and progress.legs.ended_with_day(work.legs[-1]):
        work.not_before_ns = work.legs[-1].day_ends_ns  # it stands for several days
    if work.phase is Phase.LEAVING and record.reason == REPLACED:
        work.then, work.why, work.then_ticket, work.reason = Then.REPLACE, REPLACED, ticket, ""
    elif work.phase is Phase.LEAVING:
        is_over = 0 < ticket.expires_ns <= record.at_ns
        work.then = Then.EXPIRE if is_over else Then.CANCEL
        work.why = "it was being withdrawn when the program ended"
    return work


def _add_leg(progress: Progress, exchange: Exchange, work: Work, record: LegRecord) -> None:
    ledger = progress.ledger
    ledger.add_legs(work.key, {record.order_id: record.volume})
    told = ledger.leg(record.order_id)
    leg = LegWork(
        record.order_id, record.number, record.stage, Offset(record.offset), record.volume, told
    )
    leg.advanced, leg.state = record.advanced or None, record.state
    leg.exchange_order_id = record.exchange_order_id
    leg.price = record.price_type if record.price_type in ("BEST", "FIVELEVEL") else record.price
    sessions = exchange.sessions(work.symbol)
    if leg.state != "planned":
        leg.day_ends_ns = sessions.close_of(sessions.trading_day_of(record.at_ns))
    if leg.state in ("finished", "dropped"):
        told.final = record.volume - record.left
        told.reason = record.reason
    work.legs.append(leg)
    if not leg.is_done:
        progress.sender.reserve(work, leg)


def _round(work: Work) -> int:
    """The first leg of the plan that was being carried out: later ones follow it in stage."""
    first = 0
    for before, leg in zip(work.legs, work.legs[1:], strict=False):
        if leg.stage <= before.stage and before.state in ("finished", "dropped"):
            first = leg.number
    return first


def _lose(progress: Progress, work: Work, unknown: Set[str]) -> list[LegWork]:
    """Give up the exchange orders of earlier runs that the account does not show.

    Returns those of an earlier trading day, which may have traded.
    """
    lost = [leg for leg in work.alive if leg.order_id in unknown]
    for leg in lost:
        progress.legs.lose(work, leg)
    return [leg for leg in lost if not leg.lost]


def _go_on(progress: Progress, work: Work, gone: list[LegWork], *, is_odd: bool) -> None:
    """Let an order go on without the exchange orders that are gone, or end it where that is odd."""
    if is_odd and gone:
        ends_ns = max(leg.day_ends_ns for leg in gone)
        is_over = 0 < work.ticket.expires_ns <= ends_ns
        work.then, work.why = Then.EXPIRE if is_over else Then.CANCEL, NOT_KNOWN
    if work.legs:
        progress.follow_up(work)


def _act_on_family(progress: Progress, work: Work) -> None:
    """Withdraw whom its fill or its end withdraws."""
    families, reason = progress.families, f"order {work.key} has traded"
    others = families.outdone_by(work) if progress.ledger.filled(work.key) else []
    if work.phase is Phase.DONE:
        others += families.falls_with(work, progress.ledger.state(work.key))
        reason = f"order {work.key} has ended"
    for other in others:
        if other.phase is not Phase.DONE:
            progress.cancel(other, reason)


def _release_orphan(progress: Progress, work: Work) -> None:
    """A child whose parent ended in the moment the program did."""
    parent = progress.works.get(work.ticket.parent)
    if work.phase is Phase.WAITING and parent is not None and parent.phase is Phase.DONE:
        progress.release(work, progress.ledger.filled(parent.key))
