"""One program that answers price changes with orders, in a process of its own, for `orders.py`.

    python benchmarks/_orders_client.py '{"loop": "raw", "urls": {...}, "orders": 100, ...}'

Prints one line of JSON: ns from each tick's arrival to its order's departure, in order. All loops
have the same websocket, which notes the times; nothing of TqSdk or of ours is touched.
"""

from __future__ import annotations

import cProfile
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import backtrader as bt
import websockets
from tqsdk import TqApi, TqAuth, TqKq
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from tianqin_backtrader import TqStore

Asked = dict[str, Any]
WARM = 100  # updates before the first order: what came during the login is behind
TAIL = 20  # updates after the last order: it leaves with the first of them
received: list[tuple[int, bytes]] = []  # packets, and when they were whole
sent: list[tuple[int, str]] = []  # orders, and when they were given to the socket


class Stamped(ClientConnection):
    """A websocket that notes when a packet has come and when an order goes."""

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            received.append((time.perf_counter_ns(), bytes(event.data)))
        super().process_event(event)

    async def send(self, message: Any, **options: Any) -> None:
        if isinstance(message, str) and '"insert_order"' in message:
            sent.append((time.perf_counter_ns(), message))
        await super().send(message, **options)


def main() -> None:
    asked: Asked = json.loads(sys.argv[1])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(asked["urls"])
    setattr(websockets, "connect", partial(websockets.connect, create_connection=Stamped))  # noqa: B010
    loop = partial(LOOPS[asked["loop"]], asked)
    if asked.get("profile"):
        cProfile.runctx("loop()", {}, {"loop": loop}, asked["profile"])
    else:
        loop()
    print(json.dumps({"ns": delays(asked["symbol"])}), flush=True)


def _end_with_parent() -> None:
    """The parent closes the pipe, or dies."""
    sys.stdin.read()
    os._exit(1)


# ---- what the socket saw


def delays(symbol: str) -> list[int]:
    """Each order with the newest price change to its side; no change may have two."""
    moves, last = [], None
    for at_ns, text in received:
        for price in _prices(json.loads(text), symbol):
            if last is not None and price != last:
                moves.append((at_ns, "BUY" if price > last else "SELL"))
            last = price
    found = {}
    for at_ns, text in sent:
        wanted = json.loads(text)["direction"]
        began_ns = max(ns for ns, side in moves if ns < at_ns and side == wanted)
        found[began_ns] = at_ns - began_ns
    if len(found) != len(sent):
        raise SystemExit("one price change has two orders: the loop is slower than the market")
    return list(found.values())


def _prices(packet: dict[str, Any], symbol: str) -> list[float]:
    quotes = (diff.get("quotes", {}).get(symbol, {}) for diff in packet.get("data", []))
    return [quote["last_price"] for quote in quotes if "last_price" in quote]


# ---- the loops without us


def raw(asked: Asked, ticks: bool = False) -> None:
    """The shortest TqSdk program: a quote, `wait_update`, `insert_order`."""
    symbol, count = asked["symbol"], 0
    api = TqApi(TqKq(), auth=TqAuth("demo", "demo"), debug=False, disable_print=True)
    quote = api.get_quote(symbol)
    if ticks:
        api.get_tick_serial(symbol)
    gc.collect()
    for _ in range(WARM):
        api.wait_update()
    last = quote.last_price
    while count < asked["orders"]:
        api.wait_update()
        if quote.last_price == last:
            continue
        rises, last = quote.last_price > last, quote.last_price
        if rises:
            api.insert_order(symbol, "BUY", "OPEN", 1, quote.ask_price1)
            count += 1
        elif count:
            api.insert_order(symbol, "SELL", "CLOSETODAY", 1, quote.bid_price1)
            count += 1
    for _ in range(TAIL):
        api.wait_update()
    api.close()


# ---- our loops


def run(asked: Asked, strategy: type[bt.Strategy], timeframe: int) -> None:
    """As a program on a real market has it: it knows nothing of the exchange but its addresses."""
    urls = {f"{name}_url": asked["urls"][f"TQ_{name.upper()}_URL"] for name in ("auth", "md", "td")}
    about = {"user": "demo", "password": "demo", "journal": asked["journal"]}
    with TqStore("kq", **urls, **about) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=asked.get("observers", False))
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(asked["symbol"], timeframe, history=5))
        cerebro.addstrategy(strategy, asked=asked)
        cerebro.run()


class Answering(bt.Strategy):
    """Counts its orders, and ends the run some ticks after the last."""

    params = (("asked", None),)

    def start(self) -> None:
        self.count = self.updates = 0
        gc.collect()

    def notify_order(self, order: bt.Order) -> None:
        if order.status in (order.Rejected, order.Margin, order.Canceled):
            raise SystemExit(f"order {order.ref} is {order.getstatusname()}: {order.info}")
        if order.status == order.Completed:
            self.count += 1
            if self.count >= self.p.asked["orders"]:
                self.env.runstop()


class Ticks(Answering):
    """Buys on a rise and sells on a fall, in `next`."""

    def next(self) -> None:
        self.updates += not self.data.history_phase
        if self.updates < WARM:
            return
        change = self.data.close[0] - self.data.close[-1]
        if change > 0:
            self.buy()
        elif change < 0 and self.position.size:
            self.sell()


class Stops(Answering):
    """Always has a stop at the next price: one that opens, one that closes in turn."""

    armed = False

    def next(self) -> None:
        if not self.armed and not self.data.history_phase:
            self.armed = True
            self.arm()

    def notify_data(self, data: Any, status: int, *_: Any) -> None:
        if status == data.LIVE and len(data) and not self.armed:
            self.armed = True
            self.arm()

    def notify_order(self, order: bt.Order) -> None:
        super().notify_order(order)
        if order.status == order.Completed:
            self.arm()

    def arm(self) -> None:
        low, high = self.p.asked["prices"]
        if self.count % 2:
            self.sell(exectype=bt.Order.Stop, price=low)
        else:
            self.buy(exectype=bt.Order.Stop, price=high)


LOOPS: dict[str, Callable[[Asked], None]] = {
    "raw": raw,
    "raw + ticks": partial(raw, ticks=True),
    "ticks": partial(run, strategy=Ticks, timeframe=bt.TimeFrame.Ticks),
    "stop": partial(run, strategy=Stops, timeframe=bt.TimeFrame.Minutes),
    "stop on ticks": partial(run, strategy=Stops, timeframe=bt.TimeFrame.Ticks),
}

if __name__ == "__main__":
    main()
