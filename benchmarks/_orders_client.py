"""One program that answers price changes with orders, in a process of its own, for `orders.py`.

    python benchmarks/_orders_client.py '{"loop": "raw", "urls": {...}, "orders": 100, ...}'

Prints one line of JSON with a row for each order, ns: from the packet with the price change until
the program sees it, until its call that orders has returned, until the order is given to the
socket, and the CPU time of the thread until then; the first two are null where the program makes no
call. All loops have the same socket, which notes the times; nothing else of TqSdk is touched, and
nothing of ours.
"""

from __future__ import annotations

import gc
import json
import os
import sys
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
TAIL = 20  # updates after the last order, which leaves with the first of them

Moment = tuple[int, int]  # ns of the monotonic clock, ns of CPU time of this thread
packets: list[tuple[Moment, bytes]] = []  # all that came, and when they were whole
calls: list[tuple[Moment, Moment]] = []  # before and after each call that ordered
orders: list[tuple[Moment, str]] = []  # all that went, and when they did


def now() -> Moment:
    return time.perf_counter_ns(), time.thread_time_ns()


class Stamped(ClientConnection):
    """A websocket that notes when a packet is whole and when an order goes."""

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            packets.append((now(), bytes(event.data)))
        super().process_event(event)

    async def send(self, message: Any, **options: Any) -> None:
        if isinstance(message, str) and '"insert_order"' in message:
            orders.append((now(), message))
        await super().send(message, **options)


def main() -> None:
    asked: Asked = json.loads(sys.argv[1])
    os.environ.update(asked["urls"])
    vars(websockets)["connect"] = partial(websockets.connect, create_connection=Stamped)
    LOOPS[asked["loop"]](asked)
    print(json.dumps(answers(asked["symbol"])), flush=True)


# ---- what the socket saw


def answers(symbol: str) -> list[list[int | None]]:
    """A row for each order, counted from the newest price change before it to its side."""
    moves, rows, answered = _moves(symbol), [], set()
    for number, (went, side) in enumerate(_departures()):
        came = max(moment for moment, direction in moves if moment < went and direction == side)
        seen = [moment[0] - came[0] for moment in calls[number]] if calls else [None, None]
        rows.append([*seen, went[0] - came[0], went[1] - came[1]])
        answered.add(came)
    if len(rows) - len(answered) > len(rows) / 50:
        raise SystemExit("price changes with two orders: the loop is slower than the market")
    return rows


def _departures() -> list[tuple[Moment, str]]:
    """When each order went, and its side; what was left of one and sent again is no answer."""
    packs = [(moment, json.loads(text)) for moment, text in orders]
    ids = [pack["order_id"].split(".") for _, pack in packs]  # of ours: run.order.leg
    return [
        (moment, pack["direction"])
        for (moment, pack), parts in zip(packs, ids, strict=True)
        if len(parts) == 1 or parts[-1] == "0"
    ]


def _moves(symbol: str) -> list[tuple[Moment, str]]:
    """When the price rose or fell, as the side of the order that answers it."""
    moves, last = [], None
    for moment, text in packets:
        for diff in json.loads(text).get("data", []):
            price = diff.get("quotes", {}).get(symbol, {}).get("last_price", last)
            if None not in (price, last) and price != last:
                moves.append((moment, "BUY" if price > last else "SELL"))
            last = price
    return moves


def timed(order: Callable[..., Any], *terms: Any) -> None:
    """Order, and note when."""
    before = now()
    order(*terms)
    calls.append((before, now()))


# ---- loops without us


def raw(asked: Asked, *, ticks: bool) -> None:
    """The shortest TqSdk program: a quote, with `ticks` its serial too, and `insert_order`."""
    symbol = asked["symbol"]
    api = TqApi(TqKq(), auth=TqAuth("demo", "demo"), debug=False, disable_print=True)
    quote = api.get_quote(symbol)
    if ticks:
        api.get_tick_serial(symbol)
    gc.collect()
    for _ in range(WARM):
        api.wait_update()
    last = quote.last_price
    while len(calls) < asked["orders"]:
        api.wait_update()
        rises, falls = quote.last_price > last, quote.last_price < last
        last = quote.last_price
        if rises:
            timed(api.insert_order, symbol, "BUY", "OPEN", 1, quote.ask_price1)
        elif falls and calls:
            timed(api.insert_order, symbol, "SELL", "CLOSETODAY", 1, quote.bid_price1)
    for _ in range(TAIL):
        api.wait_update()
    api.close()


# ---- our loops


def run(asked: Asked, strategy: type[bt.Strategy], timeframe: int) -> None:
    """As a program on a real market has it: nothing is known of the exchange but its addresses."""
    urls = {f"{name}_url": asked["urls"][f"TQ_{name.upper()}_URL"] for name in ("auth", "md", "td")}
    user = {"user": "demo", "password": "demo", "journal": asked["journal"]}
    with TqStore("kq", **urls, **user) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(asked["symbol"], timeframe, history=1))
        cerebro.addstrategy(strategy, orders=asked["orders"], prices=asked["prices"])
        cerebro.run()


class Answering(bt.Strategy):
    """Ends the run when all its orders have filled."""

    params = (("orders", 0), ("prices", ()))

    def start(self) -> None:
        self.updates = self.filled = 0
        gc.collect()

    def notify_order(self, order: bt.Order) -> None:
        if order.status == order.Completed:
            self.filled += 1
            if self.filled == self.p.orders:
                self.env.runstop()
        elif order.status not in (order.Submitted, order.Accepted):
            raise SystemExit(f"order {order.ref} is {order.getstatusname()}: {order.info}")


class Ticks(Answering):
    """Buys on a rise and sells on a fall, in `next`."""

    def next(self) -> None:
        self.updates += not self.data.history_phase
        if self.updates < WARM or len(calls) == self.p.orders:
            return
        last, before = self.data.close[0], self.data.close[-1]
        if last > before:
            timed(self.buy)
        elif last < before and calls:
            timed(self.sell)


class Stops(Answering):
    """Has a stop at the next price all the time; they open and close in turn."""

    armed = False

    def notify_data(self, data: Any, status: int, *_: Any) -> None:
        if status == data.LIVE and not self.armed:
            self.armed = True
            self.arm()

    def notify_order(self, order: bt.Order) -> None:
        super().notify_order(order)
        if order.status == order.Completed and self.filled < self.p.orders:
            self.arm()

    def arm(self) -> None:
        order = self.sell if self.filled % 2 else self.buy
        order(exectype=bt.Order.Stop, price=self.p.prices[self.filled % 2 == 0])


LOOPS: dict[str, Callable[[Asked], None]] = {
    "raw": partial(raw, ticks=False),
    "raw + ticks": partial(raw, ticks=True),
    "buy in next": partial(run, strategy=Ticks, timeframe=bt.TimeFrame.Ticks),
    "stop, ticks": partial(run, strategy=Stops, timeframe=bt.TimeFrame.Ticks),
    "stop, minutes": partial(run, strategy=Stops, timeframe=bt.TimeFrame.Minutes),
}

if __name__ == "__main__":
    main()
