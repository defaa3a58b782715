"""What was there before a run: orders, lots and trades of the account, shown to the strategy.

Order of events, all before the first `next`: the journal's orders are bound to Backtrader orders,
the account's picture is read into them, what differs is told, and the lots that are held appear as
fills of synthetic orders.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import backtrader as bt

from .account_view import enabled_rules
from .comparing import differences
from .desk import OrderDesk, holding_of
from .execution import net_position
from .floor import Floor
from .journal_entries import trade_record
from .lines import days_of
from .making_orders import blank_order
from .notices import Notice, Tell
from .recovery import catch_up, restore, trade_of
from .safe_journal import SafeJournal
from .tickets import Ticket
from .trading import TradingChannel
from .values import AccountPosition, Direction
from .working import Work

__all__ = ["Restart"]

logger = logging.getLogger(__name__)


class Restart:
    """Takes up where an earlier run left off; `feeds` by the symbols that they were asked for."""

    def __init__(
        self,
        desk: OrderDesk,
        floor: Floor,
        channel: TradingChannel,
        journal: SafeJournal,
        feeds: Mapping[str, Any],
        tell: Tell,
    ) -> None:
        self._desk, self._floor, self._channel = desk, floor, channel
        self._journal, self._feeds, self._tell = journal, feeds, tell

    def run(self, make: Callable[[Any, Ticket], bt.Order], restored: Callable[[], None]) -> None:
        """Do all of it.

        `make` gives the Backtrader order of a ticket on a feed; `restored` is called when the
        journal's orders stand, before the account says what became of them.
        """
        before = self._journal.holdings()
        works = restore(self._desk.blotter, self._floor, self._journal, self._follows)
        for work in works:
            self._bind(work, make)
        restored()
        held = self._channel.positions()
        with self._desk.quietly(), self._journal.together():  # all of it, or none if it dies here
            orders, trades = self._channel.orders(), self._channel.trades()
            news = catch_up(self._desk.blotter, orders, trades, before, held)
            for symbol in before.keys() | held.keys():
                position = held.get(symbol, AccountPosition(symbol))
                self._journal.put_holding(holding_of(symbol, position, self._floor.now_ns))
        self._desk.show_all()
        if before or works:
            for text in differences(before, held, news):
                self._warn(Notice.JOURNAL_DIFFERENCE, text)
        self._count_late()
        self._tell_unfollowed()
        self._tell_foreign()
        self._tell_rules()
        for symbol in held.keys() | {data.contract for data in self._feeds.values()}:
            self._desk.blotter.progress.lots.follow(symbol)

    def opening(self, data: Any, contract: str, comminfo: Any) -> bt.Order | None:
        """The net lots of a contract of the feed as a filled order; None without lots."""
        position = net_position(self._channel.position(contract))
        if not position.size:
            return None
        direction = Direction.BUY if position.size > 0 else Direction.SELL
        order = blank_order(data, direction, abs(position.size), price=position.price)
        order.addcomminfo(comminfo)
        order.addinfo(opening=True, contract=contract)
        value = comminfo.getoperationcost(position.size, position.price)
        order.execute(
            days_of(self._floor.now_ns), position.size, position.price,
            0, 0.0, 0.0,
            position.size, value, 0.0,
            comminfo.margin, 0.0, position.size, position.price,
        )  # fmt: skip
        return order

    # ---- inside

    def _follows(self, ticket: Ticket) -> bool:
        data = self._feeds.get(ticket.feed)
        return data is not None and self._floor.knows(ticket.symbol)

    def _bind(self, work: Work, make: Callable[[Any, Ticket], bt.Order]) -> None:
        order = make(self._feeds[work.ticket.feed], work.ticket)
        order.addinfo(restored=True)
        trades = map(trade_of, self._journal.trades(work.key))
        self._desk.take_over(order, work, list(trades))

    def _count_late(self) -> None:
        """Trades of orders that had ended in the journal, as one given up for lost that arrived."""
        for trade in self._channel.trades():
            owner = self._journal.owner_of(trade.order_id)
            if not owner or self._desk.blotter.ledger.follows(trade.order_id):
                continue
            if self._journal.add_trade(trade_record(owner, trade)):
                text = (
                    f"order {owner} of {trade.symbol} had ended and has traded {trade.volume} lots "
                    f"at {trade.price:g} since; the account holds them"
                )
                self._warn(Notice.JOURNAL_DIFFERENCE, text, key=owner)

    def _tell_unfollowed(self) -> None:
        for record in self._journal.open_orders():
            if not self._desk.knows(record.key):
                text = (
                    f"order {record.key} of {record.symbol} ({record.phase}) of an earlier run is "
                    "not followed: no feed of its contract; add the feed and start again"
                )
                self._warn(Notice.ORDER_UNFOLLOWED, text, key=record.key)

    def _tell_foreign(self) -> None:
        for picture in self._desk.blotter.foreign.values():
            if picture.is_alive:
                owner = self._journal.owner_of(picture.order_id)
                whose = f"leg of order {owner} of an earlier run" if owner else "another program's"
                text = (
                    f"{picture.order_id}: {picture.direction.value} {picture.offset.value} "
                    f"{picture.volume_left} {picture.symbol} at {picture.price:g} is alive, {whose}"
                )
                self._warn(Notice.EXTERNAL_ORDER, text, order=picture)

    def _tell_rules(self) -> None:
        found = self._channel.risk_rules()
        text = enabled_rules(found)
        if text:
            text = f"TqSdk's servers watch this account and may refuse its orders: {text}"
            self._warn(Notice.ACCOUNT_RULES, text, rules=found)

    def _warn(self, notice: Notice, text: str, **about: object) -> None:
        logger.warning("%s: %s", notice, text)
        self._tell(notice, text, **about)
