"""Random sessions: a strategy orders whatever a seed says; packets, sockets and books misbehave.

One session is a lock-step exchange with a thin made-up market, a store, and a strategy that writes
random orders on each bar. At quiescent points the market is held still and what the strategy sees
is compared with the exchange's own books, read inside the exchange and not through TqSdk:

- each execution of an order is one trade of its exchange orders, each trade is executed once;
- lots (long and short, today's and history, frozen), cash and value are the account's;
- no exchange order is sent twice, none was refused for its offset, unless the day that it was sent
  on was over when it arrived, and the exchange orders of one order never could trade more than it
  asked for;
- an order ends once, as Completed exactly when all of it traded; at rest nothing lives anywhere.

`python tests/random_sessions.py --seed 7` runs one session and tells its story.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import backtrader as bt
import tqsdk.api
import tqsdk.connect

from tianqin_backtrader import LocalExchange, TqStore, broker
from tianqin_backtrader.errors import OrderError
from tianqin_backtrader.sim.gateway import Side
from tianqin_backtrader.working import Rules

__all__ = ["Report", "run_session"]

OVER_CLOSING = ("平今手数超过", "平昨手数超过", "平仓手数超过")
TERMINAL = ("Completed", "Canceled", "Expired", "Margin", "Rejected")
NO_RETRY_S = 0.02  # TqSdk waits 10 to 20 s before it connects again
ANSWER_S = 0.3  # for `Rules.answer_s`: real time, while the market runs hundreds of times fast
PATIENCE_S = 2.0  # real time in which all is told and heard while the market stands still
CALM_MINUTES = 7  # at the end without new orders and faults
RESTS = 6  # bars of the calm end after which everything must have ended

WINDOWS = {
    "one stretch": [("2025-09-16 10:31", "2025-09-16 10:58")],
    "the morning's break": [
        ("2025-09-16 10:03", "2025-09-16 10:15"),
        ("2025-09-16 10:30", "2025-09-16 10:45"),
    ],
    "the lunch break": [
        ("2025-09-16 11:18", "2025-09-16 11:30"),
        ("2025-09-16 13:30", "2025-09-16 13:45"),
    ],
    "the settlement": [
        ("2025-09-16 14:48", "2025-09-16 15:00"),
        ("2025-09-16 21:00", "2025-09-16 21:15"),
    ],
    "the next day": [
        ("2025-09-16 14:48", "2025-09-16 15:00"),
        ("2025-09-17 09:30", "2025-09-17 09:45"),
    ],
}
# symbol: price, price tick, and whether it trades at night
CONTRACTS = {
    "SHFE.cu2511": (80_000.0, 10.0, True),
    "SHFE.rb2601": (3_100.0, 1.0, True),
    "INE.sc2511": (490.0, 0.1, True),
    "DCE.m2601": (3_000.0, 1.0, True),
    "DCE.p2601": (9_400.0, 2.0, True),
    "CZCE.SR601": (5_500.0, 1.0, True),
    "CZCE.TA601": (4_700.0, 2.0, True),
    "CFFEX.IF2510": (4_500.0, 0.2, False),
    "CFFEX.IC2510": (7_000.0, 0.2, False),
    "CFFEX.T2512": (108.0, 0.005, False),
    "GFEX.si2601": (8_500.0, 5.0, False),
}
LEVELS = 3
TICKS_A_MINUTE = (1, 2, 3)
COLUMNS = ["datetime", "last_price", "volume", "open_interest", "upper_limit", "lower_limit"] + [
    f"{side}_{what}{n}"
    for n in range(1, LEVELS + 1)
    for side in ("bid", "ask")
    for what in ("price", "volume")
]
POLICIES = (
    "net", "lock", "close_history_first", "cheapest", "今昨开",
    "昨开", "今昨,开", "昨今开", "开", "今昨",
)  # fmt: skip


# ---- the market


def _trades(symbol: str, window: str) -> bool:
    """Whether the contract trades in all stretches of the window, and hardly between them."""
    is_index = symbol.startswith("CFFEX.I")
    fits = {
        "the settlement": CONTRACTS[symbol][2],
        "the next day": is_index,
        "the lunch break": not symbol.startswith("CFFEX"),
    }
    return fits.get(window, True)


@dataclass(frozen=True)
class Scene:
    """What a seed makes of market and account."""

    window: str
    symbols: tuple[str, ...]
    balance_cny: float
    broker: Mapping[str, Any]
    faults: tuple[str, ...]

    @classmethod
    def of(cls, seed: int) -> Scene:
        dice = random.Random(f"{seed} scene")
        window = dice.choice(list(WINDOWS))
        awake = [symbol for symbol in CONTRACTS if _trades(symbol, window)]
        symbols = tuple(dice.sample(awake, min(dice.randint(1, 3), len(awake))))
        kinds = [kind for kind in FAULTS if dice.random() < 0.4]
        broker = {
            "policy": dice.choice(POLICIES[:5]) if dice.random() < 0.4 else "net",
            "market_ticks": dice.randint(0, 3),
            "holds_closed": dice.random() < 0.85,
        }
        balance = dice.choice((10_000_000.0, 10_000_000.0, 1_000_000.0, 200_000.0))
        return cls(window, symbols, balance, broker, tuple(kinds))

    @property
    def end(self) -> datetime:
        return datetime.fromisoformat(WINDOWS[self.window][-1][1])


def thin_market(seed: int, scene: Scene, folder: Path) -> list[Path]:
    """One file of ticks a contract: a walk, books of a few lots, now and then an empty side."""
    moments = list(_moments(random.Random(f"{seed} moments"), WINDOWS[scene.window]))
    files = []
    for symbol in scene.symbols:
        path = folder / f"{symbol}.csv"
        rows = _ticks(random.Random(f"{seed} {symbol}"), moments, *CONTRACTS[symbol][:2])
        path.write_text("\n".join([",".join(COLUMNS), *rows]), encoding="utf-8")
        files.append(path)
    return files


def _moments(dice: random.Random, spans: list[tuple[str, str]]) -> Iterator[datetime]:
    for first, last in spans:
        minute, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
        yield minute
        while minute < end:
            for second in sorted(dice.sample(range(1, 60), dice.choice(TICKS_A_MINUTE))):
                yield minute + timedelta(seconds=second)
            minute += timedelta(minutes=1)


def _ticks(
    dice: random.Random, moments: list[datetime], price: float, tick: float
) -> Iterator[str]:
    at, volume = round(price / tick), 0
    top, bottom = round(at * 1.05), round(at * 0.95)
    swing = dice.choice((1, 2, 4))
    for n, moment in enumerate(moments):
        if n not in (0, len(moments) - 1) and dice.random() < 0.1:
            continue  # nothing of this contract at this moment
        jump = dice.choice((-1, 1)) * dice.randint(5, 20) if dice.random() < 0.02 else 0
        at = min(max(at + dice.randint(-swing, swing) + jump, bottom), top)
        volume += dice.randint(0, 9)
        bid = at - dice.randint(0, 2)
        ask = bid + dice.randint(1, 2)
        sides = [(bid - k, ask + k) for k in range(LEVELS)]
        thin = [(0 if dice.random() < 0.07 else 1) * dice.choice((1, 1, 2, 3)) for _ in "ba"]
        book = []
        for bid_at, ask_at in sides:
            for level, most in zip((bid_at, ask_at), thin, strict=True):
                inside = bottom <= level <= top
                book += [level * tick, dice.randint(0, 3 * most) if inside else 0]
        numbers = [at * tick, volume, 1_000, top * tick, bottom * tick, *book]
        yield f"{moment:%Y-%m-%d %H:%M:%S}.000000," + ",".join(f"{x:.10g}" for x in numbers)


# ---- the exchange's own books


@dataclass(frozen=True)
class Picture:
    """The exchange's books at one moment. `is_quiet`: its client has heard all of it."""

    is_quiet: bool
    account: dict[str, Any]
    positions: dict[str, dict[str, Any]]
    orders: dict[str, dict[str, Any]]  # of all days
    trades: dict[str, list[tuple[int, float]]]  # by order: signed lots and price


class Books:
    """Reads the books inside the exchange's thread; keeps what a settlement throws away."""

    def __init__(self, exchange: LocalExchange) -> None:
        self._exchange = exchange
        self._venue: Any = exchange._venue
        self.received: list[str] = []  # ids of exchange orders as they arrived, repeats too
        self.arrived_ns: dict[str, int] = {}  # market time, by exchange order
        self.could_trade: dict[str, int] = defaultdict(int)  # most lots by order, see `_exposure`
        self._past: list[tuple[dict[str, Any], dict[str, Any]]] = []
        floor: Any = self._venue.exchange
        self.untold: set[str] = set()  # orders of days that ended while the client was cut off
        self.tell: Callable[[str], None] | None = None
        self._insert, self._settle, self._cancel = (
            floor.insert_order, floor.settle, floor.cancel_order,
        )  # fmt: skip
        floor.insert_order, floor.settle = self.insert_order, self.settle
        floor.cancel_order = self.cancel_order

    def insert_order(self, user: str, pack: Mapping[str, Any], now_ns: int) -> None:
        order_id = str(pack["order_id"])
        self.received.append(order_id)
        self.arrived_ns[order_id] = now_ns
        self._insert(user, pack, now_ns)
        if self.tell:
            self.tell(f"    exchange takes {_words(self._desk.orders[order_id].picture())}")
        key = key_of(order_id)
        self.could_trade[key] = max(self.could_trade[key], self._exposure(key))

    def cancel_order(self, user: str, order_id: str, now_ns: int) -> None:
        if self.tell:
            self.tell(f"    exchange cancels {order_id}")
        self._cancel(user, order_id, now_ns)

    def settle(self, *args: Any) -> None:
        desk = self._desk
        if desk is not None:
            self._past.append((desk.orders, desk._trades))
            if not self._venue.traders:
                self.untold |= {key_of(order_id) for order_id in desk.orders}
        self._settle(*args)

    def picture(self) -> Picture:
        """The books of now. `is_quiet` is asked at the same moment."""

        async def look() -> Picture:
            return self._picture()

        return self._exchange._call(look())

    def is_away(self) -> bool:
        """Whether a side is cut off on demand."""
        gateway = self._exchange._gateway
        return gateway._is_away("md") or gateway._is_away("td")

    @property
    def _desk(self) -> Any:
        desks = list(self._venue.exchange._desks.values())
        return desks[0] if desks else None

    def _all(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        yield from self._past
        yield self._desk.orders, self._desk._trades

    def _exposure(self, key: str) -> int:
        """Lots that the exchange orders of one order have traded or may still trade."""
        lots = 0
        for orders, _ in self._all():
            for order_id, order in orders.items():
                if key_of(order_id) == key:
                    left = order.volume_left if order.is_alive else 0
                    done = order.volume_orign - order.volume_left
                    lots += done + left
        return lots

    def _picture(self) -> Picture:
        desk, traders = self._desk, self._venue.traders
        trades: dict[str, list[tuple[int, float]]] = defaultdict(list)
        pictures = {}
        for orders, fills in self._all():
            pictures.update({order_id: order.picture() for order_id, order in orders.items()})
            for trade in fills.values():
                sign = 1 if trade.order.direction == "BUY" else -1
                trades[trade.order.order_id].append((sign * trade.volume, trade.price))
        return Picture(
            bool(traders) and all(peer.hungry for peer in traders),
            desk.account.picture(),
            {symbol: held.picture() for symbol, held in desk.account.positions.items()},
            pictures,
            dict(trades),
        )


def key_of(order_id: str) -> str:
    """Ids of exchange orders are run.reference.leg; the order's own key is without the leg."""
    return order_id.rpartition(".")[0]


# ---- faults


def _toggle(name: str, exchange: LocalExchange, dice: random.Random) -> None:
    getattr(exchange, name)("td", dice.random() < 0.6)


def _delay(exchange: LocalExchange, dice: random.Random) -> None:
    exchange.delay("td", dice.choice((0.0, 0.001, 0.004)))


def _drop_trading(exchange: LocalExchange, dice: random.Random) -> None:
    exchange.drop("td", dice.choice((0, 3, 30, 90)))


def _drop_market(exchange: LocalExchange, dice: random.Random) -> None:
    exchange.drop("md", dice.choice((0, 3, 60)))


def _drop_both(exchange: LocalExchange, dice: random.Random) -> None:
    exchange.drop("td", dice.choice((0, 30)))
    exchange.drop("md", dice.choice((0, 30)))


def _stall(exchange: LocalExchange, dice: random.Random) -> threading.Timer:
    """Nothing leaves on a side for some milliseconds of real time."""
    sides: tuple[Side, ...] = ("td", "td", "md")
    side = dice.choice(sides)
    exchange.stall(side)
    timer = threading.Timer(dice.uniform(0.001, 0.03), exchange.stall, (side, False))
    timer.start()
    return timer


def _die(exchange: LocalExchange, dice: random.Random) -> threading.Timer:
    """As a gateway that dies and is started again, with the state of before."""
    exchange.kill()
    timer = threading.Timer(dice.uniform(0.001, 0.03), exchange.revive)
    timer.start()
    return timer


Fault = Callable[[LocalExchange, random.Random], "threading.Timer | None"]
FAULTS: dict[str, Fault] = {
    "split": partial(_toggle, "split"),
    "repeat": partial(_toggle, "repeat"),
    "reorder": partial(_toggle, "reorder"),
    "delay": _delay,
    "td drop": _drop_trading,
    "md drop": _drop_market,
    "both drop": _drop_both,
    "stall": _stall,
    "death": _die,
}


class Saboteur:
    """Makes the faults of one session."""

    def __init__(self, exchange: LocalExchange, seed: int, kinds: tuple[str, ...]) -> None:
        self._exchange, self._kinds = exchange, kinds
        exchange._gateway.faults["td"]._random = random.Random(f"{seed} shuffle")
        self._timers: list[threading.Timer] = []
        self.made: list[str] = []

    def act(self, dice: random.Random) -> str:
        if self._kinds and dice.random() < 0.3:
            kind = dice.choice(self._kinds)
            timer = FAULTS[kind](self._exchange, dice)
            if timer is not None:
                self._timers.append(timer)
            self.made.append(kind)
            return kind
        return ""

    def rest(self) -> None:
        """End all of them."""
        self.wait()
        for name in ("split", "repeat", "reorder"):
            getattr(self._exchange, name)("td", False)
        self._exchange.delay("td", 0)

    def wait(self) -> None:
        """Wait for those that end by themselves."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()


# ---- orders


class Writer:
    """Writes random orders by the verbs of strategy and broker."""

    def __init__(self, strategy: Any) -> None:
        self._strategy, self._broker = strategy, strategy.broker
        self.orders: dict[int, bt.Order] = {}
        self.most: dict[int, int] = {}  # lots that each order asked for at any time
        self.raised: list[str] = []
        self.did: list[str] = []

    def write(self, dice: random.Random, datas: list[Any]) -> None:
        """One random act; an order that can never be sent raises, and nothing happens."""
        data = dice.choice(datas)
        (act,) = dice.choices(list(ACTS), list(ACTS.values()))
        try:
            made = act(self, dice, data)
            self.did.append(act.__name__)
        except OrderError as error:
            self.raised.append(f"{act.__name__}: {error}")
            return
        for order in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(order, bt.Order):
                self._keep(order)

    def _keep(self, order: bt.Order) -> None:
        self.orders[order.ref] = order
        self.most[order.ref] = max(self.most.get(order.ref, 0), int(abs(order.created.size)))

    @property
    def alive(self) -> list[bt.Order]:
        return [order for order in self.orders.values() if order.alive()]

    # ---- parts of an order

    def verb(self, dice: random.Random) -> Any:
        return dice.choice((self._strategy.buy, self._strategy.sell))

    def size(self, dice: random.Random) -> int:
        return dice.choice((1, 1, 2, 3, 4, 5, 8, 13, 21))

    def price(self, data: Any, ticks: int) -> float:
        """So many price ticks above the last price."""
        tick = CONTRACTS[data.symbol][1]
        return float(f"{(round(data.close[0] / tick) + ticks) * tick:.10g}")

    def options(self, dice: random.Random) -> dict[str, Any]:
        """What may go with any order."""
        options: dict[str, Any] = {}
        if dice.random() < 0.3:
            options["policy"] = dice.choice(POLICIES)
        if dice.random() < 0.2:
            minutes = timedelta(minutes=dice.randint(1, 9))
            options["valid"] = dice.choice((bt.Order.DAY, minutes))
        return options

    # ---- acts

    def market(self, dice: random.Random, data: Any) -> Any:
        return self.verb(dice)(data=data, size=self.size(dice), **self.options(dice))

    def limit(self, dice: random.Random, data: Any) -> Any:
        price = self.price(data, dice.randint(-4, 4))
        options = self.options(dice) | {"exectype": bt.Order.Limit, "price": price}
        return self.verb(dice)(data=data, size=self.size(dice), **options)

    def immediate(self, dice: random.Random, data: Any) -> Any:
        price = self.price(data, dice.randint(-4, 4))
        options = self.options(dice) | {"exectype": bt.Order.Limit, "price": price}
        options["advanced"] = dice.choice(("FAK", "FOK"))
        return self.verb(dice)(data=data, size=self.size(dice), **options)

    def best_price(self, dice: random.Random, data: Any) -> Any:
        options = self.options(dice) | {"price_type": dice.choice(("BEST", "FIVELEVEL"))}
        return self.verb(dice)(data=data, size=self.size(dice), **options)

    def beyond_limits(self, dice: random.Random, data: Any) -> Any:
        far = round(data.close[0] * 0.3 / CONTRACTS[data.symbol][1]) * dice.choice((-1, 1))
        options = {"exectype": bt.Order.Limit, "price": self.price(data, far)}
        return self.verb(dice)(data=data, size=1, **options)

    def unaffordable(self, dice: random.Random, data: Any) -> Any:
        return self._broker.buy_open(data, 400, self.price(data, 3))

    def stop(self, dice: random.Random, data: Any) -> Any:
        kinds = (bt.Order.Stop, bt.Order.StopLimit)
        options = self.options(dice) | {"exectype": dice.choice(kinds)}
        options["price"] = self.price(data, dice.choice((-6, -3, -1, 1, 3, 6)))
        if options["exectype"] == bt.Order.StopLimit:
            options["plimit"] = self.price(data, dice.randint(-5, 5))
        return self.verb(dice)(data=data, size=self.size(dice), **options)

    def trail(self, dice: random.Random, data: Any) -> Any:
        options = self.options(dice)
        tick = CONTRACTS[data.symbol][1]
        options["exectype"] = dice.choice((bt.Order.StopTrail, bt.Order.StopTrailLimit))
        if dice.random() < 0.7:
            options["trailamount"] = dice.randint(1, 6) * tick
        else:
            options["trailpercent"] = dice.choice((0.0005, 0.002))
        return self.verb(dice)(data=data, size=self.size(dice), **options)

    def at_close(self, dice: random.Random, data: Any) -> Any:
        return self.verb(dice)(data=data, size=self.size(dice), exectype=bt.Order.Close)

    def bracket(self, dice: random.Random, data: Any) -> Any:
        is_buy = dice.random() < 0.5
        make = self._strategy.buy_bracket if is_buy else self._strategy.sell_bracket
        sign, entry = (1 if is_buy else -1), dice.randint(-2, 4)
        options: dict[str, Any] = {
            "size": self.size(dice),
            "price": self.price(data, sign * entry),
            "stopprice": self.price(data, sign * (entry - dice.randint(2, 6))),
            "limitprice": self.price(data, sign * (entry + dice.randint(2, 6))),
        }
        if dice.random() < 0.3:
            options["exectype"] = bt.Order.Market
        return make(data=data, **options)

    def oco(self, dice: random.Random, data: Any) -> Any:
        """Two or three orders of which one cancels the others."""
        first = self.limit(dice, data)
        self._keep(first)
        others = [first]
        for _ in range(dice.randint(1, 2)):
            options = {"oco": first, "size": self.size(dice)}
            if dice.random() < 0.5:
                kind, ticks = bt.Order.Stop, dice.randint(1, 5)
            else:
                kind, ticks = bt.Order.Limit, dice.randint(-4, 4)
            options |= {"exectype": kind, "price": self.price(data, ticks)}
            others.append(self.verb(dice)(data=data, **options))
            self._keep(others[-1])
        return others

    def opening(self, dice: random.Random, data: Any) -> Any:
        verb = dice.choice((self._broker.buy_open, self._broker.sell_open))
        price = None if dice.random() < 0.5 else self.price(data, dice.randint(-3, 3))
        return verb(data, self.size(dice), price)

    def closing(self, dice: random.Random, data: Any) -> Any:
        verb = dice.choice((self._broker.buy_close, self._broker.sell_close))
        price = None if dice.random() < 0.5 else self.price(data, dice.randint(-3, 3))
        return verb(data, dice.randint(1, 6), price)

    def close(self, dice: random.Random, data: Any) -> Any:
        return self._strategy.close(data=data)

    def target(self, dice: random.Random, data: Any) -> Any:
        return self._strategy.order_target_size(data=data, target=dice.randint(-8, 8))

    def cancel(self, dice: random.Random, data: Any) -> Any:
        for order in dice.sample(self.alive, min(len(self.alive), dice.randint(1, 3))):
            self._strategy.cancel(order)
            if dice.random() < 0.2:
                self._strategy.cancel(order)

    def modify(self, dice: random.Random, data: Any) -> Any:
        if not self.alive:
            return
        order = dice.choice(self.alive)
        changes: dict[str, Any] = {}
        if dice.random() < 0.6 or order.exectype in (bt.Order.Market, bt.Order.Close):
            changes["size"] = self.size(dice)
        elif order.exectype in (bt.Order.Limit, bt.Order.Stop, bt.Order.StopLimit):
            changes["price"] = self.price(order.data, dice.randint(-5, 5))
        else:
            changes["trailamount"] = dice.randint(1, 6) * CONTRACTS[order.data.symbol][1]
        most = changes.get("size", 0)
        self.most[order.ref] = max(self.most[order.ref], most)
        self._broker.modify(order, **changes)

    def cancel_all(self, dice: random.Random, data: Any) -> Any:
        self._broker.cancel_all()

    def flatten(self, dice: random.Random, data: Any) -> Any:
        return self._broker.flatten()

    def halted(self, dice: random.Random, data: Any) -> Any:
        self._broker.halt("a pause")
        try:
            return self.market(dice, data)
        finally:
            self._broker.resume()


ACTS: dict[Callable[[Writer, random.Random, Any], Any], float] = {
    Writer.market: 10, Writer.limit: 14, Writer.immediate: 6, Writer.best_price: 4,
    Writer.beyond_limits: 2, Writer.unaffordable: 2, Writer.stop: 8, Writer.trail: 6,
    Writer.at_close: 1, Writer.bracket: 7, Writer.oco: 6, Writer.opening: 8, Writer.closing: 12,
    Writer.close: 4, Writer.target: 5, Writer.cancel: 12, Writer.modify: 10,
    Writer.cancel_all: 1.5, Writer.flatten: 1.5, Writer.halted: 1,
}  # fmt: skip


# ---- what was told, and what must be so


@dataclass
class Report:
    """What one session came to; nothing is wrong when `problems` is empty."""

    seed: int
    scene: Scene
    problems: list[str] = field(default_factory=list)
    orders: int = 0
    legs: int = 0
    trades: int = 0
    refusals: int = 0
    faults: int = 0
    checks: int = 0  # comparisons with the exchange's books
    rests: int = 0  # of these: all was withdrawn before
    ends: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class News:
    """Statuses as `notify_order` told them; what never may happen is noted at once."""

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems
        self.statuses: dict[int, list[str]] = defaultdict(list)
        self._filled: dict[int, float] = defaultdict(float)

    def hear(self, order: bt.Order) -> None:
        told, status = self.statuses[order.ref], order.getstatusname()
        if told and told[-1] in TERMINAL:
            self._problems.append(f"order {order.ref} ended as {told[-1]} and is {status} now")
        filled = abs(order.executed.size)
        if filled < self._filled[order.ref]:
            self._problems.append(f"order {order.ref} had {self._filled[order.ref]}, now {filled}")
        if status == "Completed" and order.executed.remsize:
            self._problems.append(f"order {order.ref} is {status}, {order.executed.remsize} left")
        told.append(status)
        self._filled[order.ref] = filled


def late_ones(broker: Any, books: Books) -> set[str]:
    """Exchange orders that arrived on a later day than they were sent on: today's lots had passed.

    While both sockets are down the market goes on without the client: minutes become a night.
    """
    legs = (leg for work in broker._desk.blotter.progress.works.values() for leg in work.legs)
    return {leg.order_id for leg in legs if books.arrived_ns.get(leg.order_id, 0) > leg.day_ends_ns}


def compare_orders(
    orders: Mapping[int, bt.Order],
    most: Mapping[int, int],
    books: Books,
    seen: Picture,
    run: str,
    late: set[str],
) -> Iterator[str]:
    """What is wrong with executions and exchange orders; `late`: as `late_ones` has them."""
    legs: dict[str, list[str]] = defaultdict(list)
    for order_id, picture in seen.orders.items():
        legs[key_of(order_id)].append(order_id)
        if order_id not in late and any(text in picture["last_msg"] for text in OVER_CLOSING):
            yield f"{_words(picture)} refused: {picture['last_msg']}"
    for order_id, times in Counter(books.received).items():
        if times > 1:
            yield f"exchange order {order_id} was sent {times} times"
    known = {f"{run}.{ref}" for ref in orders}
    for key in legs.keys() - known:
        yield f"exchange orders {legs[key]} belong to no order"
    for ref, order in orders.items():
        key = f"{run}.{ref}"
        traded = [trade for leg in legs[key] for trade in seen.trades.get(leg, ())]
        bits = [(int(bit.size), bit.price) for bit in order.executed.exbits]
        if not _same(bits, traded, key in books.untold):
            yield f"order {ref}: executions {sorted(bits)}, trades {sorted(traded)}"
        if order.executed.size != sum(size for size, _ in bits):
            yield f"order {ref}: executed {order.executed.size} of {bits}"
        if books.could_trade[key] > most[ref]:
            yield f"order {ref} of {most[ref]} lots could trade {books.could_trade[key]}"


def compare_account(broker: Any, datas: list[Any], seen: Picture) -> Iterator[str]:
    """What the strategy sees of money and lots, against the exchange's own."""
    money = broker.account()
    for ours, theirs in (
        (broker.getcash(), "available"), (broker.getvalue(), "balance"), (money.margin, "margin"),
        (money.frozen_margin, "frozen_margin"),
    ):  # fmt: skip
        if abs(ours - seen.account[theirs]) > 0.005:
            yield f"{theirs}: {ours} here, {seen.account[theirs]} at the exchange"
    for symbol, held in seen.positions.items():
        ours = broker.get_account_position(symbol)
        for name, side in (("long", ours.long), ("short", ours.short)):
            here = side.today, side.history, side.frozen_today + side.frozen_history
            there = (
                held[f"pos_{name}_today"], held[f"pos_{name}_his"], held[f"volume_{name}_frozen"],
            )  # fmt: skip
            if here != there:
                yield f"{symbol} {name} today, history, frozen: {here} here, {there} there"
    for data in datas:
        sides = seen.positions.get(data.symbol, {})
        net = sides.get("volume_long", 0) - sides.get("volume_short", 0)
        if broker.getposition(data).size != net:
            yield f"{data.symbol}: {broker.getposition(data).size} here, {net} there"


def compare_at_rest(
    orders: Mapping[int, bt.Order], told: Mapping[int, list[str]], journal: Any, seen: Picture,
    run: str, untold: set[str],
) -> Iterator[str]:  # fmt: skip
    """What is wrong when everything was withdrawn and has ended."""
    for picture in seen.orders.values():
        if picture["status"] == "ALIVE":
            yield f"{_words(picture)} lives on at the exchange"
    for ref, order in orders.items():
        if order.alive() or not told[ref] or told[ref][-1] != order.getstatusname():
            yield f"order {ref} is {order.getstatusname()}, told {told[ref]}"
        if (order.getstatusname() == "Completed") != (order.executed.size == order.created.size):
            done = f"{order.executed.size:g} of {order.created.size:g}"
            yield f"order {ref} is {order.getstatusname()} with {done}"
        key = f"{run}.{ref}"
        yield from _compare_journal(journal, key, seen, key in untold)


def _same(heard: list[tuple[int, float]], there: list[tuple[int, float]], untold: bool) -> bool:
    """Whether trades were heard of, each once.

    A gateway shows the trades of its day alone: what traded while the client was cut off until
    after the day's end is `untold` for ever, though lots and money show it.
    """
    return not (Counter(heard) - Counter(there)) and (untold or len(heard) == len(there))


def _compare_journal(journal: Any, key: str, seen: Picture, untold: bool) -> Iterator[str]:
    written = {leg.order_id: leg for leg in journal.legs(key)}
    there = {order_id for order_id in seen.orders if key_of(order_id) == key}
    if not there <= written.keys():
        yield f"{there - written.keys()} are not in the journal"
    for order_id, leg in written.items():
        if order_id not in there and leg.state != "dropped":
            yield f"{order_id} is {leg.state} in the journal and unknown to the exchange"
        elif order_id in there and not untold and leg.left != seen.orders[order_id]["volume_left"]:
            yield f"{leg.left} lots left in the journal: {_words(seen.orders[order_id])}"
    traded = [trade for order_id in there for trade in seen.trades.get(order_id, ())]
    noted = [
        (trade.volume if trade.direction == "BUY" else -trade.volume, trade.price)
        for trade in journal.trades(key)
    ]
    if not _same(noted, traded, untold):
        yield f"order {key}: trades {sorted(noted)} in the journal, {sorted(traded)} there"


def _words(order: Mapping[str, Any]) -> str:
    return (
        f"{order['order_id']} {order['direction']} {order['offset']} {order['volume_orign']} "
        f"{order['exchange_id']}.{order['instrument_id']} at {order['limit_price']}, "
        f"{order['volume_left']} left"
    )


# ---- a session


class RandomTrader(bt.Strategy):
    """Acts at random until the last minutes, then lets everything come to rest."""

    params: Any = (
        ("seed", 0), ("exchange", None), ("store", None), ("report", None), ("tell", None),
    )  # fmt: skip

    def __init__(self) -> None:
        self.exchange, self.store, self.report = self.p.exchange, self.p.store, self.p.report
        scene = self.report.scene
        self.books = self.p.exchange.books
        self.writer, self.news = Writer(self), News(self.report.problems)
        self.saboteur = Saboteur(self.exchange, self.p.seed, scene.faults)
        self.calm_from = scene.end - timedelta(minutes=CALM_MINUTES)
        self.calm_bars, self.is_over = 0, False

    def notify_order(self, order: bt.Order) -> None:
        if self.p.tell:
            self.p.tell(f"  {order.ref} {order.getstatusname()} {order.executed.size:g}/"
                        f"{order.created.size:g} {dict(order.info)}")  # fmt: skip
        self.news.hear(order)

    def look(self) -> None:
        datas = [data for data in self.datas if len(data)]
        moment = max(data.datetime.datetime(0) for data in datas)
        dice = random.Random(f"{self.p.seed} {moment} {[len(data) for data in datas]}")
        if self.is_over:
            return
        if moment >= self.calm_from:
            self.calm_down()
            return
        fault = self.saboteur.act(dice)
        if fault and self.p.tell:
            self.p.tell(f"{moment:%d %H:%M} fault: {fault}")
        for _ in range(dice.choice((0, 1, 2, 2, 3, 4))):
            before = len(self.writer.did), len(self.writer.raised)
            self.writer.write(dice, datas)
            if self.p.tell:
                did, raised = self.writer.did[before[0] :], self.writer.raised[before[1] :]
                self.p.tell(f"{moment:%d %H:%M} {did or raised} {list(self.writer.orders)[-3:]}")
        if dice.random() < 0.2:
            self.check(withdraws=dice.random() < 0.3)

    next = prenext = look

    # ---- checks

    def calm_down(self) -> None:
        if not self.calm_bars:
            self.saboteur.rest()
        self.calm_bars += 1
        if self.check(withdraws=True, must=self.calm_bars == RESTS):
            self.is_over = True

    def check(self, *, withdraws: bool, must: bool = False) -> bool:
        """Compare with the exchange at a quiescent point; True when all had ended there."""
        self.saboteur.wait()
        if self.books.is_away():
            return False
        self.exchange.pause()
        try:
            return self.compare(withdraws, must)
        finally:
            self.exchange.resume()

    def compare(self, withdraws: bool, must: bool) -> bool:
        """What differs for long while the market stands still is wrong."""
        if withdraws:
            self.broker.cancel_all()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            seen = self.settled(withdraws)
            is_at_rest = withdraws and not self.broker._desk.alive
            if seen is None or (must and not is_at_rest):
                if must:
                    alive = [(o.ref, o.getstatusname()) for o in self.broker._desk.alive]
                    self.report.problems.append(f"no rest: {alive} alive, {seen and seen.is_quiet}")
                return False
            problems = self.differences(seen, is_at_rest)
            # after a reconnect TqSdk may ask twice, so that a packet is still on its way
            if not problems or time.monotonic() > deadline:
                break
        self.note(seen, problems, is_at_rest)
        return is_at_rest

    def differences(self, seen: Picture, is_at_rest: bool) -> list[str]:
        orders, run = self.writer.orders, self.store.key_of(0).rpartition(".")[0]
        problems = [
            *compare_orders(
                orders, self.writer.most, self.books, seen, run, late_ones(self.broker, self.books)
            ),
            *compare_account(self.broker, self.datas, seen),
        ]
        if is_at_rest:
            self.broker_news()
            told, untold = self.news.statuses, self.books.untold
            problems += compare_at_rest(orders, told, self.store.journal, seen, run, untold)
        return problems

    def note(self, seen: Picture, problems: list[str], is_at_rest: bool) -> None:
        self.report.checks += 1
        self.report.rests += is_at_rest
        if is_at_rest:
            self.count(seen)
        moment = f"{self.data.datetime.datetime(0):%d %H:%M}" if len(self.data) else "?"
        self.report.problems += [f"{moment}: {problem}" for problem in problems]
        if self.p.tell:
            self.p.tell(f"{moment} compared, {is_at_rest=} {problems}")

    def settled(self, withdraws: bool) -> Picture | None:
        """The exchange's books once all of them was heard here; None if that takes too long."""
        deadline = time.monotonic() + PATIENCE_S
        quiet: Picture | None = None
        while time.monotonic() < deadline:
            self.store.pump.new_cycle()
            self.store.pump.run(0.003)
            seen = self.books.picture()
            quiet = seen if seen.is_quiet and not self.store.floor.is_down else None
            if quiet is not None and not (withdraws and self.broker._desk.alive):
                break
        return quiet

    def broker_news(self) -> None:
        """Hear what the broker has not passed on yet; Cerebro will not tell it again."""
        for order in list(self.broker._notifications):
            if order is not None:
                self.news.hear(order)
        self.broker._notifications.clear()

    def count(self, seen: Picture) -> None:
        report = self.report
        report.orders, report.legs = len(self.writer.orders), len(self.books.received)
        report.trades = sum(len(trades) for trades in seen.trades.values())
        refused = [o for o in seen.orders.values() if not o["exchange_order_id"]]
        report.refusals = len(refused)
        report.faults = len(self.saboteur.made)
        report.ends = Counter(order.getstatusname() for order in self.writer.orders.values())
        report.acts = Counter(self.writer.did)


def run_session(seed: int, tell: Callable[[str], None] | None = None) -> Report:
    """Run the session of `seed`; `tell` hears its story."""
    scene = Scene.of(seed)
    report = Report(seed, scene)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, _in_a_hurry():
        files = thin_market(seed, scene, Path(folder))
        exchange: Any = LocalExchange(replay=files, balance_cny=scene.balance_cny)
        exchange.books = Books(exchange)
        exchange.books.tell = tell
        try:
            _run(seed, exchange, report, tell)
        except Exception as error:
            if tell:
                raise
            report.problems.append(f"{type(error).__name__}: {error}")
    if not report.rests:
        report.problems.append("it never came to rest")
    report.seconds = time.perf_counter() - began
    return report


def _run(seed: int, exchange: Any, report: Report, tell: Callable[[str], None] | None) -> None:
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker(**report.scene.broker))
        for symbol in report.scene.symbols:
            cerebro.adddata(store.getdata(symbol, history=0))
        options = {"exchange": exchange, "store": store, "report": report, "tell": tell}
        cerebro.addstrategy(RandomTrader, seed=seed, **options)
        cerebro.run()


@contextmanager
def _in_a_hurry() -> Iterator[None]:
    """TqSdk connects again at once, and silence is believed sooner; nothing is logged."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # client and exchange take turns in one process
    logging.disable(logging.CRITICAL)
    try:
        with ExitStack() as patches:
            for target, name, stand_in in (
                (tqsdk.connect.random, "uniform", lambda *_: NO_RETRY_S),
                # a list of contracts before 2020, read anew for every session
                (tqsdk.api.lzma, "open", lambda *_, **__: io.StringIO("{}")),
                (broker, "Rules", partial(Rules, answer_s=ANSWER_S)),
            ):
                patches.enter_context(patch.object(target, name, stand_in))
            yield
    finally:
        logging.disable(logging.NOTSET)
        sys.setswitchinterval(before)


def _say(text: str) -> None:
    print(f"{time.perf_counter():.4f} {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1, help="so many seeds from --seed on")
    parser.add_argument("--verbose", action="store_true", help="tell what happens")
    given = parser.parse_args()
    failed = 0
    for seed in range(given.seed, given.seed + given.count):
        report = run_session(seed, _say if given.verbose else None)
        told = {k: v for k, v in vars(report).items() if k not in ("problems", "scene")}
        print(told, report.scene.window, report.scene.symbols)
        for problem in report.problems:
            print("   WRONG", problem)
        failed += bool(report.problems)
    print(f"{failed} of {given.count} sessions failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
