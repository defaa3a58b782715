"""Takes orders up where an earlier run left them: journal and account are put together. Pure.

Rules:
- What the journal has of an order stands: its fills were told, its stops are held, its legs bear
  the ids that were written before they were sent.
- The account's whole picture says what became of those legs. One that it does not show, on the day
  that it was sent, never reached the exchange: a stop that had gone off is sent again, for it
  protects a position; any other order ends.
- A step that was not written down did not happen: an order that was due and never sent ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from .blotter import Blotter
from .journal_records import HoldingRecord, LegRecord, OrderRecord, StopRecord, TradeRecord
from .progress import Progress, trigger_of
from .states import OrderState
from .tickets import Ticket
from .values import AccountPosition, Direction, Offset, OrderPicture, Trade
from .working import Exchange, LegWork, Phase, Then, Work

__all__ = ["Past", "catch_up", "differences", "restore", "trade_of"]

NEVER_SENT = "the program ended before it was sent"


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
    blotter: Blotter, orders: Mapping[str, OrderPicture], trades: Iterable[Trade]
) -> list[Trade]:
    """Let restored orders learn what the account shows; returns the trades that are new to them."""
    progress = blotter.progress
    unsent = [w for w in blotter.alive if w.phase is Phase.DUE and not w.ticket.is_stop]
    news = []
    for trade in trades:
        if not progress.ledger.follows(trade.order_id):
            blotter.is_new(trade)
        elif blotter.on_trade(trade, is_held=True):
            news.append(trade)
    for picture in orders.values():
        blotter.on_order(picture)
    for work in blotter.alive:
        _lose_unknown(progress, work, orders)
    for work in blotter.alive:
        if work.ticket.execution == "target" and work.phase in (Phase.WORKING, Phase.LEAVING):
            progress.cancel(work, "its target ended with the program")
    for work in unsent:
        if work.phase is Phase.DUE:
            progress.cancel(work, NEVER_SENT)
    for work in blotter.alive:
        _release_orphan(progress, work)
    return news


def differences(
    before: Mapping[str, HoldingRecord],
    now: Mapping[str, AccountPosition],
    news: Iterable[Trade],
) -> list[str]:
    """Where the account does not hold what it held when last seen plus `news`, as sentences."""
    expected = {symbol: [held.long, held.short] for symbol, held in before.items()}
    for trade in news:
        sides = expected.setdefault(trade.symbol, [0, 0])
        opens = trade.offset is Offset.OPEN
        is_long = (trade.direction is Direction.BUY) == opens
        sides[0 if is_long else 1] += trade.volume if opens else -trade.volume
    told = []
    for symbol in sorted(expected.keys() | now.keys()):
        held = now.get(symbol, AccountPosition(symbol))
        was, has = expected.get(symbol, [0, 0]), [held.long.total, held.short.total]
        if was != has:
            told.append(
                f"{symbol}: the account holds {has[0]} long and {has[1]} short lots, the journal "
                f"expects {was[0]} and {was[1]}; others have traded, or it was not running"
            )
    return told


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
    tied = {each.run for each in living if _ties(each)}
    keys = {each.key for each in living} | {key for each in living for key in _ties(each)}
    parents = {Ticket.from_text(each.ticket).parent for each in living} - {""}
    found = {each.key: each for each in living}
    for run in sorted(tied):
        for record in past.run_orders(run):
            if record.key in keys or Ticket.from_text(record.ticket).parent in parents:
                found.setdefault(record.key, record)
    return sorted(found.values(), key=lambda each: (each.run, each.ref))


def _ties(record: OrderRecord) -> list[str]:
    ticket = Ticket.from_text(record.ticket)
    return [key for key in (ticket.oco, ticket.parent) if key]


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
    if work.phase is Phase.LEAVING:
        work.then, work.why = Then.CANCEL, "it was being withdrawn when the program ended"
    return work


def _add_leg(progress: Progress, exchange: Exchange, work: Work, record: LegRecord) -> None:
    ledger = progress.ledger
    ledger.add_legs(work.key, {record.order_id: record.volume})
    told = ledger.leg(record.order_id)
    leg = LegWork(
        record.order_id, record.number, record.stage, Offset(record.offset), record.volume, told
    )
    leg.advanced, leg.state = record.advanced or None, record.state
    leg.price = record.price_type if record.price_type in ("BEST", "FIVELEVEL") else record.price
    sessions = exchange.sessions(work.symbol)
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


def _lose_unknown(progress: Progress, work: Work, orders: Mapping[str, OrderPicture]) -> None:
    lost = [leg for leg in work.alive if leg.order_id not in orders]
    for leg in lost:
        progress.legs.lose(work, leg)
    if work.legs:
        progress.follow_up(work)


def _release_orphan(progress: Progress, work: Work) -> None:
    """A child whose parent ended in the moment the program did."""
    parent = progress.works.get(work.ticket.parent)
    if work.phase is Phase.WAITING and parent is not None and parent.phase is Phase.DONE:
        progress.release(work, progress.ledger.filled(parent.key))
