"""A stand-in exchange for orders at work: nothing moves until the test says so.

What is sent waits on the wire until it arrives; what the exchange does becomes messages that wait
until they are delivered. Lots, frozen lots and over-closing follow the exchanges' rules in code of
their own. An order that no exchange should ever see is an `AssertionError` at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any

from tianqin_backtrader.blotter import Blotter
from tianqin_backtrader.calendar import KnownDays
from tianqin_backtrader.errors import InvalidOrder
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.offsets import CloseFees
from tianqin_backtrader.orders import Accepted, Done, Filled, OrderState
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.tickets import Kind, Ticket
from tianqin_backtrader.tidings import Held, Modified, Moved, Told, Triggered, Unanswered
from tianqin_backtrader.values import (
    AccountPosition,
    Direction,
    ExchangeOrder,
    Instrument,
    Offset,
    OrderPicture,
    SideLots,
    Trade,
    TradingTime,
)
from tianqin_backtrader.working import Rules, Work

BUY, SELL = Direction.BUY, Direction.SELL
OPEN, CLOSE, CLOSETODAY = Offset.OPEN, Offset.CLOSE, Offset.CLOSETODAY
CU, M, IF = "SHFE.cu2602", "DCE.m2605", "CFFEX.IF2601"
SECOND = 1_000_000_000
BEIJING = timezone(timedelta(hours=8))
DAYS = [date(2025, 12, 1) + timedelta(days=n) for n in range(31)]
CALENDAR = KnownDays(day for day in DAYS if day.weekday() < 5)  # December has no holiday
TEN = "2025-12-03 10:00:00"  # a Wednesday
WITHDRAWN, DAY_IS_OVER = "已撤单", "已撤单:收盘"
OWN_DAY = ("SHFE",)  # of the exchanges here, where CLOSETODAY exists
DAY_HOURS = (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))
HOURS: dict[str, TradingTime] = {
    CU: {"day": DAY_HOURS, "night": (("21:00:00", "25:00:00"),)},
    M: {"day": DAY_HOURS, "night": (("21:00:00", "23:00:00"),)},
    IF: {"day": (("09:30:00", "11:30:00"), ("13:00:00", "15:00:00")), "night": ()},
}


def ns(text: str) -> int:
    """Nanoseconds of a Beijing time such as "2025-12-03 10:00:00.5"."""
    seconds, _, part = text.partition(".")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=BEIJING)
    return int(moment.timestamp()) * SECOND + round(float(f"0.{part or 0}") * SECOND)


def contract(symbol: str, tick: float, multiple: int, lower: float, upper: float) -> Instrument:
    exchange_id, instrument_id = symbol.split(".")
    return Instrument(
        symbol=symbol,
        exchange_id=exchange_id,
        product_id=instrument_id.rstrip("0123456789"),
        name=instrument_id,
        ins_class="FUTURE",
        price_tick=tick,
        volume_multiple=multiple,
        trading_time=HOURS[symbol],
        margin_cny=1_000.0,
        commission_cny=5.0,
        expire_ns=0,
        expired=False,
        max_limit_order_volume=500,
        max_market_order_volume=200 if exchange_id == "DCE" else 0,
        upper_limit=upper,
        lower_limit=lower,
        pre_settlement=(lower + upper) / 2,
        underlying_symbol="",
    )


TERMS = {
    CU: contract(CU, 10.0, 5, 81_000.0, 99_000.0),
    M: contract(M, 1.0, 10, 2_700.0, 3_300.0),
    IF: contract(IF, 0.2, 300, 3_600.0, 4_400.0),
}
MIDDLE = {CU: 90_000.0, M: 3_000.0, IF: 4_000.0}


@dataclass
class Resting:
    """An order as the exchange has it; volumes are lots."""

    order_id: str
    symbol: str
    direction: Direction
    offset: Offset
    volume: int
    price: float | str | None
    advanced: str | None
    is_ours: bool = True
    left: int = 0
    is_alive: bool = True
    msg: str = ""
    exchange_id: str = ""  # "" until the exchange took it
    trades: list[Trade] = field(default_factory=list)

    @property
    def side(self) -> str:
        """The lots that it opens or closes: SELL closes long ones."""
        return "long" if (self.direction is BUY) == (self.offset is OPEN) else "short"

    @property
    def is_immediate(self) -> bool:
        return self.advanced is not None or not isinstance(self.price, float)

    def picture(self) -> OrderPicture:
        limit = self.price if isinstance(self.price, float) else math.nan
        named = self.price if isinstance(self.price, str) else "ANY"
        return OrderPicture(
            order_id=self.order_id,
            symbol=self.symbol,
            direction=self.direction,
            offset=self.offset,
            volume=self.volume,
            volume_left=self.left,
            price=limit,
            price_type="LIMIT" if isinstance(self.price, float) else named,
            status="ALIVE" if self.is_alive else "FINISHED",
            last_msg=self.msg,
            exchange_order_id=self.exchange_id,
            insert_ns=1,
        )


Message = OrderPicture | Trade | AccountPosition


class OrderFloor:
    """The exchange, and the session that sees it: `working.Exchange` and what a test moves.

    prompt: messages are delivered as they arise, and everything learns of them at once.
    """

    blotter: Blotter

    def __init__(self, start: str = TEN) -> None:
        self.now_ns, self.mono_ns = ns(start), 5 * SECOND
        self.is_down, self.prompt = False, True
        self.refuses_to_send = ""  # what TqSdk says of any order
        self.wire: list[tuple[str, str]] = []  # ("order" or "cancel", order id), oldest first
        self.sent: dict[str, Resting] = {}  # all that was ever sent
        self.orders: dict[str, Resting] = {}  # what arrived on this trading day
        self.news: list[Message] = []
        self.contracts = dict(TERMS)
        self.interfered = False  # others trade on the account: over-closing may be their fault
        self._lots = {(symbol, side): [0, 0] for symbol in TERMS for side in ("long", "short")}
        self._shown: dict[str, AccountPosition] = {}
        self._told_alive: set[str] = set()  # by the last picture delivered
        self._numbers = 0
        self._sessions = {symbol: Sessions(hours, CALENDAR) for symbol, hours in HOURS.items()}
        self._quotes = {symbol: _quote(price, TERMS[symbol]) for symbol, price in MIDDLE.items()}

    # ---- working.Exchange

    def send(self, order: ExchangeOrder) -> None:
        if self.refuses_to_send:
            raise InvalidOrder(self.refuses_to_send)
        order_id = order.order_id
        assert order_id not in self.sent, f"order id {order_id} was used before"
        assert not self.is_down, f"{order_id} is sent into a lost connection"
        resting = Resting(**asdict(order), left=order.volume)
        _check(resting, self.contracts[order.symbol])
        self.sent[order_id] = resting
        self._told_alive.add(order_id)
        self.wire.append(("order", order_id))

    def cancel(self, order_id: str) -> None:
        assert order_id in self.sent, f"{order_id} was never sent"
        if not self.is_down:
            self.wire.append(("cancel", order_id))

    def position(self, symbol: str) -> AccountPosition:
        return self._shown.get(symbol, AccountPosition(symbol))

    def terms(self, symbol: str) -> Instrument:
        return self.contracts[symbol]

    def quote(self, symbol: str) -> Mapping[str, Any]:
        return self._quotes[symbol]

    def fees(self, symbol: str) -> CloseFees | None:
        return None

    def sessions(self, symbol: str) -> Sessions:
        return self._sessions[symbol]

    # ---- time and market

    def at(self, text: str) -> None:
        """It is this moment, Beijing time; a part of a day is enough."""
        today = datetime.fromtimestamp(self.now_ns / SECOND, BEIJING).date()
        self.pass_s((ns(text if "-" in text else f"{today} {text}") - self.now_ns) / SECOND)

    def pass_s(self, seconds: float) -> None:
        """Time goes on, of the market and of the room."""
        assert seconds >= 0
        self.now_ns += round(seconds * SECOND)
        self.mono_ns += round(seconds * SECOND)
        self.blotter.on_time()

    def tick(
        self, symbol: str, last: float, bid: float | None = None, ask: float | None = None
    ) -> None:
        """A trade of the market at `last`; bid and ask are a price tick away unless said."""
        quote = _quote(last, TERMS[symbol])
        if bid is not None:
            quote["bid_price1"] = bid
        if ask is not None:
            quote["ask_price1"] = ask
        self._quotes[symbol] = quote
        self.blotter.on_tick(symbol, last)

    def is_open(self, symbol: str) -> bool:
        return self._sessions[symbol].is_open(self.now_ns)

    # ---- what the account holds

    def hold(
        self,
        symbol: str,
        *,
        long: tuple[int, int] = (0, 0),
        short: tuple[int, int] = (0, 0),
    ) -> None:
        """The account holds (today's, history) lots, and shows them."""
        self._lots[symbol, "long"], self._lots[symbol, "short"] = list(long), list(short)
        self._shown[symbol] = self.truth(symbol)

    def held(self, symbol: str) -> tuple[int, int]:
        """Long and short lots."""
        return sum(self._lots[symbol, "long"]), sum(self._lots[symbol, "short"])

    def truth(self, symbol: str) -> AccountPosition:
        """What the account really holds."""
        return AccountPosition(symbol, self._side(symbol, "long"), self._side(symbol, "short"))

    def closable(self, order: Resting) -> int:
        """Lots that an arriving order may close: those of its kind that no other order freezes."""
        side = self._side(order.symbol, order.side)
        if order.symbol.partition(".")[0] not in OWN_DAY:
            assert order.offset is not CLOSETODAY, f"{order.order_id}: CLOSETODAY of {order.symbol}"
            return side.today + side.history - side.frozen_today - side.frozen_history
        if order.offset is CLOSETODAY:
            return side.today - side.frozen_today
        return side.history - side.frozen_history

    def _side(self, symbol: str, name: str) -> SideLots:
        today, history = self._lots[symbol, name]
        resting = [each for each in self.resting(symbol) if each.side == name]
        frozen_today = sum(each.left for each in resting if each.offset is CLOSETODAY)
        frozen = sum(each.left for each in resting if each.offset is CLOSE)
        if symbol.partition(".")[0] not in OWN_DAY:
            frozen_today = max(frozen - history, 0)
            frozen -= frozen_today
        return SideLots(today, history, frozen_today, frozen)

    def resting(self, symbol: str = "") -> list[Resting]:
        """Orders that the exchange has and that may trade."""
        return [
            each
            for each in self.orders.values()
            if each.is_alive and each.exchange_id and symbol in ("", each.symbol)
        ]

    # ---- what the exchange does

    def arrive(self, count: int = 1_000) -> None:
        """What waits on the wire arrives: orders are taken, cancels obeyed."""
        for _ in range(min(count, len(self.wire))):
            kind, order_id = self.wire[0]
            if kind == "order":
                self.take(order_id)
            else:
                self.obey(order_id)

    def take(self, *order_ids: str) -> None:
        """The exchange takes orders from the wire; it refuses one that others made impossible."""
        for order_id in order_ids:
            order = self._arrived(order_id)
            if not order.is_alive:
                continue  # it comes a second time
            if order.offset is not OPEN and order.volume > self.closable(order):
                assert self.interfered, (
                    f"{order_id} closes {order.volume} lots with {order.offset.value} and "
                    f"{self.closable(order)} can be closed: {self.truth(order.symbol)}"
                )
                self._refused(order, "平仓手数超过持仓量")
                continue
            self._numbers += 1
            order.exchange_id = f"X{self._numbers}"
            self._tell(order)

    def refuse(self, order_id: str, text: str) -> None:
        """The exchange refuses an order from the wire."""
        self._refused(self._arrived(order_id), text)

    def fill(self, order_id: str, lots: int = 0, price: float = 0.0) -> None:
        """The exchange trades `lots` of an order, by default all, by default at the middle."""
        order = self.orders[order_id]
        lots = lots or order.left
        assert order.is_alive
        assert order.exchange_id
        assert lots <= order.left
        order.left -= lots
        self._move_lots(order, lots)
        number = f"{len(order.trades) + 1}"  # numbers repeat from order to order
        trade = Trade(
            number, order_id, order.symbol, order.direction, order.offset,
            price or MIDDLE[order.symbol], lots, 1.5, self.now_ns,
        )  # fmt: skip
        order.trades.append(trade)
        if not order.left:
            order.is_alive, order.msg = False, "全部成交"
        self._tell(order, trade)

    def finish(self, order_id: str, text: str = WITHDRAWN) -> None:
        """The exchange ends an order with what it has traded."""
        order = self.orders[order_id]
        if order.is_alive:
            order.is_alive, order.msg = False, text
            self._tell(order)

    def obey(self, *order_ids: str) -> None:
        """Cancels arrive; one that comes too late changes nothing."""
        for order_id in order_ids:
            self.wire.remove(("cancel", order_id))
            if order_id in self.orders:
                self.finish(order_id)

    def end_day(self) -> None:
        """The trading day closes: orders end with it, today's lots become history."""
        sessions = self._sessions[CU]
        close_ns = sessions.close_of(sessions.trading_day_of(self.now_ns))
        self.pass_s((close_ns - self.now_ns) / SECOND)
        self.arrive()
        for order in self.resting():
            self.finish(order.order_id, DAY_IS_OVER)
        for lots in self._lots.values():
            lots[:] = [0, sum(lots)]
        for symbol in TERMS:
            self._say(self.truth(symbol))
        self.orders = {}

    def foreign(self, order_id: str, symbol: str, direction: Direction, offset: Offset, lots: int,
                price: float = 0.0) -> None:  # fmt: skip
        """Another program's order reaches the exchange and rests there."""
        order = Resting(order_id, symbol, direction, offset, lots, price or MIDDLE[symbol], None)
        order.is_ours, order.left = False, lots
        self.sent[order_id] = self.orders[order_id] = order
        assert offset is OPEN or lots <= self.closable(order)
        self._numbers += 1
        order.exchange_id = f"X{self._numbers}"
        self._tell(order)

    def _arrived(self, order_id: str) -> Resting:
        self.wire.remove(("order", order_id))
        order = self.orders[order_id] = self.sent[order_id]
        return order

    def _refused(self, order: Resting, text: str) -> None:
        order.is_alive, order.msg = False, text
        self._tell(order)

    def _move_lots(self, order: Resting, lots: int) -> None:
        held = self._lots[order.symbol, order.side]
        if order.offset is OPEN:
            held[0] += lots
            return
        own_day = order.symbol.partition(".")[0] in OWN_DAY
        from_today = lots if order.offset is CLOSETODAY else 0
        if not own_day:
            from_today = max(lots - held[1], 0)
        held[0] -= from_today
        held[1] -= lots - from_today
        assert min(held) >= 0, f"{order.order_id} closed more than there was: {held}"

    # ---- messages

    def _tell(self, order: Resting, *trades: Trade) -> None:
        self._say(*trades, order.picture(), self.truth(order.symbol))

    def _say(self, *messages: Message) -> None:
        if self.is_down:
            return
        self.news += messages
        if self.prompt:
            self.deliver()

    @contextmanager
    def lagging(self) -> Iterator[None]:
        """Nothing is delivered inside of itself."""
        self.prompt, before = False, self.prompt
        try:
            yield
        finally:
            self.prompt = before

    def deliver(self, *kinds: type[Message], repeat: bool = False) -> None:
        """Deliver what has come, or of it only messages of these kinds; positions first.

        Positions are read off the session, as TqSdk has taken in the whole packet by then.
        """
        chosen = [each for each in self.news if not kinds or isinstance(each, kinds)]
        self.news = [] if not kinds else [n for n in self.news if not isinstance(n, kinds)]
        for message in sorted(chosen, key=lambda each: not isinstance(each, AccountPosition)):
            self.hear(message)
            if repeat:
                self.hear(message)
        self.blotter.on_time()

    def hear(self, message: Message) -> None:
        """One message reaches the session."""
        if isinstance(message, AccountPosition):
            self._shown[message.symbol] = message
        elif isinstance(message, Trade):
            self.blotter.on_trade(message)
        else:
            if message.is_alive:
                self._told_alive.add(message.order_id)
            else:
                self._told_alive.discard(message.order_id)
            self.blotter.on_order(message)

    # ---- the connection

    def disconnect(self, arrived: int = 0) -> None:
        """The connection is lost: of the wire only the first `arrived` still reach the exchange."""
        self.is_down = True
        self.arrive(arrived)
        self.wire.clear()
        self.news.clear()

    def reconnect(self) -> None:
        """It stands again: the whole picture comes, and what it does not show is told."""
        self.is_down = False
        known = list(self.orders.values())
        self.news = [self.truth(symbol) for symbol in TERMS]
        self.news += [trade for order in known for trade in order.trades]
        self.news += [order.picture() for order in known]
        absent = {key for key in self._told_alive if key not in self.orders}
        self.deliver()
        self.blotter.on_absent(absent)
        self.blotter.on_time()


class Desk(OrderFloor):
    """The floor with one account's blotter on it; keys of orders are "t.1", "t.2", ..."""

    def __init__(self, start: str = TEN, rules: Rules | None = None) -> None:
        super().__init__(start)
        self.journal = JournalWriter(None)
        self.told: list[Told] = []
        self.blotter = Blotter(self, self.journal, self.told.append, rules or Rules())
        self._written = 0

    # ---- orders

    def ticket(self, symbol: str, direction: Direction, volume: int, **terms: Any) -> Ticket:
        """An order; `limit=` makes it a limit order, `stop=` a stop, both a stop-limit."""
        limit, stop = terms.pop("limit", None), terms.pop("stop", None)
        kind = terms.pop("kind", None)
        if kind is None and stop is not None:
            kind = Kind.STOP if limit is None else Kind.STOP_LIMIT
        elif kind is None and limit is not None:
            kind = Kind.LIMIT
        price = terms.pop("price", limit if kind is Kind.LIMIT else stop)
        limit = None if kind is Kind.LIMIT else limit
        self._written += 1
        return Ticket(
            f"t.{self._written}", symbol, direction, volume, kind or Kind.MARKET, price, limit,
            **terms,
        )  # fmt: skip

    def order(self, symbol: str, direction: Direction, volume: int, **terms: Any) -> str:
        """Write an order; returns its key."""
        ticket = self.ticket(symbol, direction, volume, **terms)
        self.blotter.submit([ticket])
        return ticket.key

    def bracket(
        self, symbol: str, direction: Direction, volume: int, *children: Mapping[str, Any],
        **terms: Any,
    ) -> list[str]:  # fmt: skip
        """Write a parent and its children, each against it; returns the keys."""
        parent = self.ticket(symbol, direction, volume, **terms)
        against = SELL if direction is BUY else BUY
        family = [
            self.ticket(symbol, against, **{"volume": volume, "parent": parent.key, **child})
            for child in children
        ]
        self.blotter.submit([parent, *family])
        return [parent.key, *(child.key for child in family)]

    def cancel_order(self, key: str) -> bool:
        return self.blotter.cancel(key)

    def work(self, key: str) -> Work:
        return self.blotter.progress.works[key]

    def state(self, key: str) -> OrderState:
        return self.blotter.state(key)

    # ---- what was heard

    def heard(self, key: str) -> list[str]:
        """What was told of an order, in short words."""
        return [_words(told) for told in self.told if told.ref == key]

    def fills(self, key: str) -> list[Trade]:
        return [told.trade for told in self.told if isinstance(told, Filled) and told.ref == key]

    def legs(self, key: str) -> list[tuple[Offset, int, float | str | None]]:
        """The exchange orders of an order that were sent: offset, lots, price."""
        mine = [order for order_id, order in self.sent.items() if order_id.startswith(f"{key}.")]
        return [(order.offset, order.volume, order.price) for order in mine]

    def on_wire(self, kind: str = "order") -> list[str]:
        """Ids of the orders, or of the cancels, that wait on the wire."""
        return [order_id for what, order_id in self.wire if what == kind]

    def sends_nothing(self) -> None:
        """Nothing waits on the wire."""
        assert self.wire == []


def _words(told: Told) -> str:
    if isinstance(told, Accepted):
        return "Accepted"
    if isinstance(told, Filled):
        return f"{told.trade.volume} @ {told.trade.price:g}"
    if isinstance(told, Done):
        return told.state.value
    if isinstance(told, Moved):
        return f"moved to {told.price:g}"
    return _rare_words(told)


def _rare_words(told: Told) -> str:
    if isinstance(told, Modified):
        return f"modified to {told.ticket.volume}"
    if isinstance(told, Unanswered):
        return f"unanswered for {told.for_s:.0f} s"
    return {Held: "held", Triggered: "triggered"}[type(told)]


def _quote(last: float, terms: Instrument) -> dict[str, float]:
    tick = terms.price_tick
    return {"last_price": last, "bid_price1": last - tick, "ask_price1": last + tick}


def _check(order: Resting, terms: Instrument) -> None:
    """What every exchange would refuse of any client."""
    price = order.price
    most = terms.max_market_order_volume if price is None else terms.max_limit_order_volume
    assert 1 <= order.volume <= most, f"{order.volume} lots in one order of {order.symbol}"
    assert order.advanced in (None, "FAK", "FOK")
    if price is None:
        assert terms.exchange_id == "DCE", f"a market order of {order.symbol}"
        return
    assert isinstance(price, float)
    steps = price / terms.price_tick
    assert abs(steps - round(steps)) < 1e-6, f"{price} is off the grid of {order.symbol}"
    assert not terms.lower_limit > price, f"{price} is below the day's limit"
    assert not terms.upper_limit < price, f"{price} is above the day's limit"


def total(trades: Iterable[Trade]) -> int:
    return sum(trade.volume for trade in trades)
