"""Memory of a trading program over simulated days, in a process of its own, for `all.py`.

    python benchmarks/_days_client.py '{"loop": "ours", "urls": {...}, "days": 30, ...}'

Each day both programs buy two lots at 09:30, leave an order far away, and are flat at 14:45. Prints
a line of JSON after each trading day: bytes resident, and objects that the collector knows.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import threading
from typing import Any

import backtrader as bt
import psutil
from _worker_client import Asked, end_with_parent, let_go, tell
from tqsdk import TqApi, TqAuth, TqKq

from tianqin_backtrader import TqStore

OPENS, CLOSES = "09:30", "14:45"
FAR_CNY = 90


class Days:
    """Tells of each trading day, and knows when there have been enough."""

    def __init__(self, count: int) -> None:
        self.left, self.day = count, ""

    def is_over(self, day: str, lots: float) -> bool:
        """Whether these were enough; tells of the day before, `lots` traded so far."""
        if day != self.day:
            if self.day:
                gc.collect()
                rss = psutil.Process().memory_info().rss
                tell(rss=rss, objects=len(gc.get_objects()), lots=lots)
                self.left -= 1
            self.day = day
        return self.left <= 0


class Remote:
    """The exchange of the other process as `TqStore` wants one in mode demo: in market time."""

    is_running, speed, is_paused = True, None, False

    def __init__(self, urls: dict[str, str]) -> None:
        self.auth_url, self.md_url, self.td_url = (
            urls[f"TQ_{name}_URL"] for name in ("AUTH", "MD", "TD")
        )
        self._control = urls["TIANQIN_CONTROL"].partition(":")

    def start(self) -> Remote:
        return self

    def stop(self) -> None:
        """The other process ends by itself."""

    @property
    def now_ns(self) -> int:
        return int(self._ask("status")["now_ns"])

    def pause(self) -> None:
        self._ask("pause")

    def resume(self) -> None:
        self._ask("resume")

    def _ask(self, verb: str) -> dict[str, Any]:
        host, _, port = self._control
        with socket.create_connection((host, int(port))) as control:
            control.sendall(json.dumps({"do": verb}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(control.makefile().readline())
        return answer


class Daily(bt.Strategy):
    """Two lots a day.

    The indicator, as most strategies have one: with `exactbars=1` Backtrader keeps as many bars as
    the longest needs, and with a single one a fill between two bars finds none (`IndexError`).
    """

    params: Any = (("days", None),)

    def __init__(self) -> None:
        self.resting: Any = None
        self.lots: dict[int, float] = {}  # traded, by order
        self.average = bt.indicators.SimpleMovingAverage(self.data, period=20)

    def notify_order(self, order: bt.Order) -> None:
        self.lots[order.ref] = abs(order.executed.size)

    def next(self) -> None:
        data = self.data
        if data.history_phase:
            return
        if self.p.days.is_over(str(data.trading_day[0]), sum(self.lots.values())):
            self.env.runstop()
            return
        now = f"{data.datetime.datetime(0):%H:%M}"
        if now == OPENS:
            self.buy(size=2)
            price = data.close[0] - FAR_CNY
            self.resting = self.buy(size=1, price=price, exectype=bt.Order.Limit)
        elif now == CLOSES:
            self.cancel(self.resting)
            self.close()


def ours(asked: Asked) -> None:
    """TqStore and Cerebro, a journal on disk, minute bars."""
    exchange: Any = Remote(asked["urls"])
    with TqStore(exchange=exchange, journal=asked["journal"]) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(asked["symbol"], history=200))
        cerebro.addstrategy(Daily, days=Days(asked["days"]))
        cerebro.run(exactbars=asked["exactbars"])


def raw(asked: Asked) -> None:
    """The same orders and the same subscriptions with TqApi alone."""
    os.environ.update(asked["urls"])
    api = TqApi(TqKq(), auth=TqAuth("demo", "demo"), debug=False, disable_print=True)
    symbol, days = asked["symbol"], Days(asked["days"])
    quote, bars = api.get_quote(symbol), api.get_kline_serial(symbol, 60, 200)
    api.get_tick_serial(symbol)
    resting, done, minute = None, "", 0.0
    sent: list[Any] = []
    let_go(asked)
    while True:
        api.wait_update()
        if bars["datetime"].iloc[-1] == minute:
            continue
        minute = bars["datetime"].iloc[-1]
        day, now = quote.datetime[:10], quote.datetime[11:16]
        traded = sum(order.volume_orign - order.volume_left for order in sent)
        if now < "20:00" and days.is_over(day, traded):
            break
        if OPENS <= now < CLOSES and done != day:
            sent.append(api.insert_order(symbol, "BUY", "OPEN", 2, quote.upper_limit))
            far = quote.last_price - FAR_CNY
            resting, done = api.insert_order(symbol, "BUY", "OPEN", 1, far), day
        elif CLOSES <= now < "15:00" and resting is not None:
            api.cancel_order(resting)
            sent.append(api.insert_order(symbol, "SELL", "CLOSE", 2, quote.lower_limit))
            resting = None
    api.close()


def main() -> None:
    asked: Asked = json.loads(sys.argv[1])
    threading.Thread(target=end_with_parent, daemon=True).start()
    {"ours": ours, "raw": raw}[asked["loop"]](asked)


if __name__ == "__main__":
    main()
