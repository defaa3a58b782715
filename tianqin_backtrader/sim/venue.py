"""The exchange as its gateway sees it: clients, what each is owed, and one step of the market.

Owns the tape, the hub, the accounts and the clients' subscriptions; knows no socket server and no
clock. All calls come from the gateway's event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import count
from typing import Any

from .charts import Subscriptions
from .diff import Fields
from .exchange import Exchange
from .hub import Hub
from .market import Market
from .peer import Peer
from .queries import answer
from .tape import DayEnd, Tape
from .values import Contract, MarketTick

__all__ = ["ENDED_CODE", "Venue"]

logger = logging.getLogger(__name__)

ENDED_CODE = 2026000001  # notice of this exchange alone: the market's records are over
GREETING: Fields = {"mdhis_more_data": False, "ins_list": "", "account_id": ""}


class Venue:
    """The market, the accounts, and everybody connected to them."""

    def __init__(self, market: Market, initial_balance_cny: float) -> None:
        self.market = market
        self.tape = Tape(market)
        self.hub = Hub(market, self._activate)
        self.exchange = Exchange(
            self._tradable, market.calendar.is_open, initial_balance_cny=initial_balance_cny
        )
        self.watchers: dict[Peer, Subscriptions] = {}
        self.traders: dict[Peer, str] = {}
        self._ended_told: set[Peer] = set()
        self._notice_ids = count(1)

    # ---- market data

    def join_market(self, peer: Peer) -> None:
        self.watchers[peer] = Subscriptions(self.hub)
        peer.owe([dict(GREETING)])
        if self.tape.ended:
            self._tell_end()

    def leave(self, peer: Peer) -> None:
        self.watchers.pop(peer, None)
        self.traders.pop(peer, None)
        self._ended_told.discard(peer)

    def on_market_pack(self, peer: Peer, pack: Mapping[str, Any]) -> None:
        """A request on a market-data socket; what nobody understands is ignored."""
        aid, now_ns = pack.get("aid"), self.tape.now_ns
        if aid == "subscribe_quote":
            subscribed = self.watchers[peer].subscribe_quotes(str(pack.get("ins_list", "")), now_ns)
            peer.owe(subscribed)
        elif aid == "set_chart":
            peer.owe(self.watchers[peer].set_chart(pack, now_ns))
        elif aid == "ins_query":
            peer.owe([{"symbols": {str(pack.get("query_id")): self._answer(pack)}}])
        elif aid != "peek_message":
            logger.warning("market-data socket: unknown request %r", aid)

    def _answer(self, pack: Mapping[str, Any]) -> Fields | None:
        if not pack.get("query"):
            return None
        return answer(self.market, pack, self.tape.day)

    # ---- trading

    def on_trade_pack(self, peer: Peer, pack: Mapping[str, Any]) -> None:
        """A request on a trading socket; orders before a login are ignored."""
        aid = pack.get("aid")
        if aid == "req_login":
            self._login(peer, str(pack.get("user_name", "")))
        elif aid == "insert_order" and peer in self.traders:
            self._insert(self.traders[peer], pack)
        elif aid == "cancel_order" and peer in self.traders:
            order_id = str(pack.get("order_id", ""))
            self.exchange.cancel_order(self.traders[peer], order_id, self.tape.now_ns)
        elif aid not in ("peek_message", "confirm_settlement"):
            logger.warning("trading socket: request %r ignored", aid)
        self.owe_changes()

    def _login(self, peer: Peer, user: str) -> None:
        self.exchange.login(user, self.tape.day)
        self.exchange.take_changes(user)
        self.traders[peer] = user
        peer.owe([{"trade": {user: self.exchange.picture(user)}}])

    def _insert(self, user: str, pack: Mapping[str, Any]) -> None:
        symbol = f"{pack.get('exchange_id')}.{pack.get('instrument_id')}"
        self.hub.feed(symbol, self.tape.now_ns)
        self.exchange.insert_order(user, pack, self.tape.now_ns)

    def owe_changes(self) -> None:
        """Pass what changed in the accounts to every session of their users."""
        for user in set(self.traders.values()):
            changes = self.exchange.take_changes(user)
            diffs: list[Fields] = [{"trade": {user: change}} for change in changes]
            diffs += [self._notice(text) for text in self.exchange.notices(user)]
            for peer, owner in self.traders.items():
                if owner == user:
                    peer.owe(diffs)

    # ---- the market moves

    @property
    def waited_for(self) -> bool:
        """Whether any client follows the market, so that it makes sense to go on."""
        return any(subscriptions.wanted for subscriptions in self.watchers.values())

    @property
    def all_hungry(self) -> bool:
        """Whether every client has seen everything and asked for more."""
        return all(peer.hungry for peer in (*self.watchers, *self.traders))

    @property
    def idle(self) -> bool:
        """Whether no contract that somebody follows is open now."""
        contracts = map(self._tradable, self.tape.symbols)
        calendar, now_ns = self.market.calendar, self.tape.now_ns
        return not any(calendar.is_open(c, now_ns) for c in contracts if c is not None)

    def advance(self) -> bool:
        """Let the next thing happen; False when the market's records are over."""
        event = self.tape.advance()
        if isinstance(event, DayEnd):
            self._settle(event)
        elif event is not None:
            for tick in event:
                self._publish(tick)
        elif self.tape.ended:
            self._tell_end()
        self.owe_changes()
        return event is not None

    def _publish(self, tick: MarketTick) -> None:
        change = self.hub.on_tick(tick)
        if not tick.symbol.startswith("KQ."):
            self.exchange.on_tick(tick)
        for peer, subscriptions in self.watchers.items():
            peer.owe([subscriptions.on_change(change)])

    def _settle(self, end: DayEnd) -> None:
        symbols = [s for s in self.tape.symbols if not s.startswith("KQ.")]
        prices = {symbol: self.market.settlement(symbol, end.day) for symbol in symbols}
        self.exchange.settle(end.next_day, prices)
        for symbol in symbols:
            self.exchange.on_terms(symbol, self.market.terms(symbol, end.next_day))

    def _tell_end(self) -> None:
        for peer in self.watchers.keys() - self._ended_told:
            self._ended_told.add(peer)
            peer.owe([self._notice("行情回放结束", ENDED_CODE)])

    def _tradable(self, symbol: str) -> Contract | None:
        return self.market.contract(symbol, self.tape.day)

    def _activate(self, symbol: str) -> None:
        self.tape.activate(symbol)
        if not symbol.startswith("KQ."):
            self.exchange.on_terms(symbol, self.market.terms(symbol, self.tape.day))
            for row in self.market.ticks_before(symbol, self.tape.now_ns, 1):
                self.exchange.on_tick(row.tick)

    def _notice(self, text: str, code: int = 0) -> Fields:
        body = {"type": "MESSAGE", "level": "INFO", "code": code, "content": text}
        return {"notify": {f"local_{next(self._notice_ids)}": body}}
