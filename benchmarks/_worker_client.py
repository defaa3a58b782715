"""One measurement of one client in a process of its own, for `feeds.py`.

    python benchmarks/_worker_client.py '{"measure": "raw", "urls": {...}, ...}'

Prints lines of JSON. Nothing is warm and nothing is shared between two measurements.
"""

from __future__ import annotations

import calendar
import gc
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import backtrader as bt
import pandas as pd
import psutil
from tqsdk import TqApi, TqAuth, TqKq

from tianqin_backtrader import TqStore
from tianqin_backtrader.making import TICKS

Asked = dict[str, Any]
LOOK = 20  # updates of a raw loop between two looks at its ids, which cost a little
COLUMNS = ("open", "high", "low", "close", "volume", "openinterest")
MINUTE_NS = 60_000_000_000


def main() -> None:
    asked: Asked = json.loads(sys.argv[1])
    threading.Thread(target=end_with_parent, daemon=True).start()
    MEASURES[asked["measure"]](asked)


def end_with_parent() -> None:
    """Without its exchange a client would wait for it forever."""
    os.read(0, 1)
    os._exit(1)


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


class Watch:
    """CPU seconds of this process, and seconds by the clock, since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"cpu": cpu, "wall": wall}


def let_go(asked: Asked) -> None:
    """Let the market move: it is held until all subscriptions stand."""
    host, _, port = asked["urls"]["TIANQIN_CONTROL"].partition(":")
    with socket.create_connection((host, int(port))) as control:
        control.sendall(b'{"do": "resume"}\n')
        control.recv(4096)


# ---- loops without us


def raw(asked: Asked) -> None:
    """Quotes, tick serials, with `klines` also one-minute bars, and `wait_update`: nothing else."""
    api, serials = _api(asked), []
    for symbol in asked["symbols"]:
        api.get_quote(symbol)
        serials.append(api.get_tick_serial(symbol))
        if asked["klines"]:
            api.get_kline_serial(symbol, 60)
    _loop(api, asked, lambda: sum(int(serial["id"].iloc[-1]) for serial in serials))
    api.close()


def quotes(asked: Asked) -> None:
    """Quotes and `wait_update`. Its ticks are not counted: it takes the packets that `raw` took."""
    api = _api(asked)
    api.get_quote_list(asked["symbols"])
    gc.collect()
    let_go(asked)
    watch = Watch()
    for _ in range(asked["updates"]):
        api.wait_update()
    tell(ticks=asked["marks"][-1], **watch.read())
    api.close()


def bare(asked: Asked) -> None:
    """TqSdk with the subscriptions of our feeds, and nobody who reads what comes."""
    with open_store(asked) as store:
        store.start()
        for symbol in asked["symbols"]:
            store.want(symbol)
        store.instrument(asked["symbols"][0])
        charts = [store.connection.tick_chart(symbol, TICKS) for symbol in asked["symbols"]]
        _loop(store.connection.api, asked, lambda: sum(chart.last_id for chart in charts))


def _api(asked: Asked) -> TqApi:
    os.environ.update(asked["urls"])
    return TqApi(TqKq(), auth=TqAuth("demo", "demo"), debug=False, disable_print=True)


def _loop(api: TqApi, asked: Asked, count: Callable[[], int]) -> None:
    before, ticks, updates = count(), 0, 0
    gc.collect()
    let_go(asked)
    watch = Watch()
    while ticks < asked["marks"][-1]:
        api.wait_update()
        updates += 1
        if updates % LOOK == 0:
            ticks = count() - before
    tell(ticks=ticks, updates=updates, **watch.read())


# ---- our loop


def open_store(asked: Asked) -> TqStore:
    """As a program on a real market has it: nothing is known of the exchange but its addresses."""
    urls = {f"{name}_url": asked["urls"][f"TQ_{name.upper()}_URL"] for name in ("auth", "md", "td")}
    return TqStore("kq", user="demo", password="demo", **urls)


def run(store: TqStore, asked: Asked, strategy: type[bt.Strategy], **how: Any) -> Any:
    """Cerebro as the README has it."""
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    cerebro.setbroker(store.getbroker())
    for symbol in asked["symbols"]:
        cerebro.adddata(store.getdata(symbol, history=asked["history"]), name=symbol)
    cerebro.addstrategy(strategy, asked=asked, watch=Watch())
    return cerebro.run(**how)[0]


class Waiting(bt.Strategy):
    """Lets the market go when every feed is live."""

    params = (("asked", None), ("watch", None))

    def start(self) -> None:
        self.silent = {data._name for data in self.datas}
        self.watch: Watch | None = None

    def notify_data(self, data: Any, status: int, *_: Any) -> None:
        if status == data.LIVE and self.watch is None:
            self.silent.discard(data._name)
            if not self.silent:
                self.go()

    def go(self) -> None:
        self.before = self.count()
        gc.collect()
        let_go(self.p.asked)
        self.watch = Watch()

    def count(self) -> int:
        return sum(data.ticks for data in self.datas)


class Metered(Waiting):
    """Does nothing with its bars; tells of each mark, a number of ticks, that is reached."""

    def start(self) -> None:
        super().start()
        self.marks, self.bars = list(self.p.asked["marks"]), 0

    def next(self) -> None:
        if self.watch is None:
            return
        self.bars += 1
        ticks = self.count() - self.before
        if self.marks and ticks >= self.marks[0]:
            self.tell_mark(ticks, self.watch.read())

    def tell_mark(self, ticks: int, read: dict[str, float]) -> None:
        self.marks = [mark for mark in self.marks if mark > ticks]
        about: dict[str, Any] = {"ticks": ticks, "bars": self.bars, **read}
        if self.p.asked.get("memory"):
            gc.collect()
            about["rss"] = psutil.Process().memory_info().rss
            about["objects"] = len(gc.get_objects())
        tell(**about)
        if not self.marks:
            self.env.runstop()


def feeds(asked: Asked) -> None:
    """Real TqApi, TqStore, Cerebro and a strategy that does nothing."""
    with open_store(asked) as store:
        run(store, asked, Metered, **asked.get("cerebro", {}))


# ---- how late a bar is


class Late(Waiting):
    """Tells when each bar reached `next`."""

    def start(self) -> None:
        super().start()
        self.lengths = [0] * len(self.datas)
        self.minutes = 0

    def go(self) -> None:
        super().go()
        tell(live_ns=time.perf_counter_ns())

    def next(self) -> None:
        seen_ns = time.perf_counter_ns()
        lengths = [len(data) for data in self.datas]
        fresh = [d for d, n, m in zip(self.datas, lengths, self.lengths, strict=True) if n > m]
        self.lengths = lengths
        if self.watch is None:
            return
        ends = [_end_minute(data) for data in fresh]
        for minute in set(ends):
            tell(minute=minute, bars=ends.count(minute), seen_ns=seen_ns)
        self.minutes += 1
        if self.minutes > self.p.asked["minutes"]:
            self.env.runstop()


def _end_minute(data: Any) -> int:
    """The minute since 1970 at whose begin the newest bar ended."""
    return round(calendar.timegm(bt.num2date(data.datetime[0]).timetuple()) / 60)


def delay(asked: Asked) -> None:
    with open_store(asked) as store:
        run(store, asked, Late)


# ---- history


class Counter(bt.Strategy):
    """Stops at the last bar of history."""

    params = (("asked", None), ("watch", None))

    def start(self) -> None:
        self.bars, self.started = 0, Watch()

    def next(self) -> None:
        self.bars += 1
        if self.bars == self.p.asked["bars"]:
            run, login = self.p.watch.read(), self.p.asked.get("login", {})
            whole = {clock: run[clock] + login.get(clock, 0.0) for clock in run}
            tell(delivery=self.started.read(), run=run, whole=whole)
            self.env.runstop()


def history(asked: Asked) -> None:
    """From the login on to the last bar of history; writes the bars down."""
    with open_store(asked) as store:
        login = Watch()
        store.start()
        asked["login"] = login.read()
        data = run(store, asked, Counter).data
        lines = {name: getattr(data.lines, name).array for name in COLUMNS}
        moments = [bt.num2date(number) for number in data.datetime.array]
        pd.DataFrame(lines, index=pd.DatetimeIndex(moments)).to_csv(asked["file"])


def pandas(asked: Asked) -> None:
    """The same bars through `bt.feeds.PandasData`."""
    frame = pd.read_csv(asked["file"], index_col=0, parse_dates=True)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(Counter, asked=asked, watch=Watch())
    cerebro.run(**asked["cerebro"])


MEASURES = {each.__name__: each for each in (raw, quotes, bare, feeds, delay, history, pandas)}

if __name__ == "__main__":
    main()
