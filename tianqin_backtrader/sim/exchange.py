"""The embedded exchange: takes or refuses orders, matches them with the market, keeps accounts.

It knows no clock and no socket: time is passed in. Orders trade with the published book only, each
client alone with it: orders of clients never meet one another, and their trades do not move the
market. A waiting order trades at its own price, for it stood first; an incoming one at the
level's price. Orders die at the end of the trading day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from itertools import count
from typing import Any

from .book import Book
from .desk import Desk
from .orders import Order, Trade
from .rules import CLOSED_NOW, NO_MONEY, over_closing, refusal
from .values import Contract, DayTerms, MarketTick

__all__ = ["Exchange"]

ACCEPTED, PARTLY_FILLED, FILLED = "报单成功", "部分成交", "全部成交"
CANCELLED, LEFTOVER_DIES, DAY_ENDS = "已撤单", "已撤单报单已提交", "已撤单:收盘"
FORGOTTEN = "已撤单:前置重启"


class Exchange:
    """Accounts and orders of all clients.

    contract_of: terms of a symbol, None if it does not exist. is_open: whether a contract trades at
    a time (ns). initial_balance_cny: paid into each new account.
    """

    def __init__(
        self,
        contract_of: Callable[[str], Contract | None],
        is_open: Callable[[Contract, int], bool],
        *,
        initial_balance_cny: float = 10_000_000.0,
    ) -> None:
        self._contract_of = contract_of
        self._is_open = is_open
        self._initial_balance_cny = initial_balance_cny
        self._desks: dict[str, Desk] = {}
        self._books: dict[str, Book] = {}
        self._seqno = count(1)

    # ---- clients

    def login(self, user_id: str, trading_day: date) -> None:
        """Open the account of a new client; say which trading day it is."""
        if user_id not in self._desks:
            number = len(self._desks) + 1
            self._desks[user_id] = Desk(user_id, number, self._initial_balance_cny)
        self._desks[user_id].trading_day = trading_day

    def picture(self, user_id: str) -> dict[str, Any]:
        """All that DIFF shows under `trade.{user_id}`. Raises `KeyError` before a login."""
        return self._desks[user_id].picture()

    def take_changes(self, user_id: str) -> list[dict[str, Any]]:
        """Diffs under `trade.{user_id}` since the last call; whole objects."""
        desk = self._desks.get(user_id)
        return [] if desk is None else desk.take_changes()

    def notices(self, user_id: str) -> list[str]:
        """Texts for the client since the last call."""
        desk = self._desks.get(user_id)
        return [] if desk is None else desk.take_notices()

    # ---- orders

    def insert_order(self, user_id: str, pack: Mapping[str, Any], now_ns: int) -> None:
        """Take or refuse a DIFF `insert_order` pack; a repeated order_id is ignored."""
        desk = self._desks.get(user_id)
        if desk is None:
            return
        order = Order.read(user_id, pack, now_ns, next(self._seqno))
        if not desk.admit(order):
            return
        contract = self._contract_of(order.symbol)
        reason = self._refusal(desk, order, contract, now_ns)
        if reason or contract is None:
            self._change(desk, order, reason, status="FINISHED")
        else:
            self._accept(desk, order, contract)
            self._trade_or_wait(desk, order, now_ns)

    def cancel_order(self, user_id: str, order_id: str, now_ns: int) -> None:
        """Cancel a live order, at any `now_ns`: breaks do not hinder it. Else leave a notice."""
        desk = self._desks.get(user_id)
        if desk is None:
            return
        order = desk.orders.get(order_id)
        if order is None:
            desk.notify(f"撤单失败: 报单不存在 {order_id}")
        elif not order.is_alive:
            desk.notify(f"撤单失败: 报单已完成 {order_id}")
        else:
            self._finish(desk, order, CANCELLED)

    # ---- the market

    def on_terms(self, symbol: str, terms: DayTerms) -> None:
        """Price limits of a contract for the coming trading day."""
        self._book(symbol).terms = terms

    def on_tick(self, tick: MarketTick) -> None:
        """A new book: match those who wait for it, then mark positions to the last price."""
        book = self._books.get(tick.symbol) or self._book(tick.symbol)
        book.show(tick)
        if book.buys or book.sells:
            self._match_waiting(book, tick.time_ns)
        for desk, position in book.holders:
            if desk.account.mark(position, tick.last_price):
                desk.position_changed(tick.symbol)

    def settle(self, next_day: date, settlement_prices: Mapping[str, float]) -> None:
        """End the trading day: orders die, profits are paid, today's lots become history.

        settlement_prices: CNY by symbol; a position without one settles at its last price.
        """
        for desk in self._desks.values():
            for order in [order for order in desk.orders.values() if order.is_alive]:
                self._finish(desk, order, DAY_ENDS)
            desk.account.settle(settlement_prices)
            desk.begin_day(next_day)
        for book in self._books.values():
            book.end_day(next_day)

    def forget(self) -> None:
        """Lose all orders and trades, and which ids were taken; money and positions stay."""
        for desk in self._desks.values():
            for order in [order for order in desk.orders.values() if order.is_alive]:
                self._finish(desk, order, FORGOTTEN)
            desk.forget()

    # ---- inside

    def _book(self, symbol: str) -> Book:
        return self._books.setdefault(symbol, Book())

    def _refusal(self, desk: Desk, order: Order, contract: Contract | None, now_ns: int) -> str:
        book = self._books.get(order.symbol)
        terms = None if book is None else book.terms
        reason = refusal(order, contract, terms, now_ns)
        if reason or contract is None:
            return reason
        if not self._is_open(contract, now_ns):
            return CLOSED_NOW
        if order.offset != "OPEN":
            return over_closing(order, desk.account.positions.get(order.symbol))
        return "" if desk.account.affords(contract, order.volume_orign) else NO_MONEY

    def _accept(self, desk: Desk, order: Order, contract: Contract) -> None:
        book = self._book(order.symbol)
        if order.symbol not in desk.account.positions:
            book.holders.append((desk, desk.account.hold(contract)))
        order.exchange_order_id = f"{next(self._seqno):012d}"
        desk.account.reserve(order, order.volume_orign)
        self._change(desk, order, ACCEPTED)
        desk.position_changed(order.symbol)

    def _trade_or_wait(self, desk: Desk, order: Order, now_ns: int) -> None:
        book = self._book(order.symbol)
        if not order.is_fok or book.reachable(order) >= order.volume_left:
            for price, volume in book.take(order):
                self._fill(desk, order, price, volume, now_ns)
        if order.is_alive and order.is_immediate:
            self._finish(desk, order, LEFTOVER_DIES)
        elif order.is_alive:
            book.wait(order)

    def _match_waiting(self, book: Book, time_ns: int) -> None:
        for queue in (book.buys, book.sells):
            for order in list(queue):
                fills = book.take(order)
                if not fills:
                    break  # those behind ask for no less
                desk = self._desks[order.user_id]
                for _, volume in fills:
                    self._fill(desk, order, order.limit_price, volume, time_ns)

    def _fill(self, desk: Desk, order: Order, price: float, volume: int, time_ns: int) -> None:
        last_price = self._book(order.symbol).last_price
        commission = desk.account.fill(order, price, volume, last_price)
        order.fills += 1
        order.volume_left -= volume
        seqno = next(self._seqno)
        desk.traded(Trade(order, order.fills, price, volume, commission, time_ns, seqno))
        desk.position_changed(order.symbol)
        if order.volume_left:
            self._change(desk, order, PARTLY_FILLED)
        else:
            self._finish(desk, order, FILLED)

    def _finish(self, desk: Desk, order: Order, message: str) -> None:
        """End an order that the exchange had taken, and give back what is still frozen."""
        desk.account.reserve(order, -order.reserved)
        self._book(order.symbol).leave(order)
        self._change(desk, order, message, status="FINISHED")
        desk.position_changed(order.symbol)

    def _change(self, desk: Desk, order: Order, message: str, status: str = "ALIVE") -> None:
        order.status, order.last_msg, order.seqno = status, message, next(self._seqno)
        desk.order_changed(order)
