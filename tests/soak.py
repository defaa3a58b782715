"""Many trading days with random faults, the exchange in a process of its own.

    python tests/soak.py 60 7        # sixty days, seed 7: prints what became of them

Each day a strategy opens lots, leaves an order far away, and closes; faults come at random minutes.
In the end every bar must be the official one, every fill the exchange's, and memory flat.
"""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import backtrader as bt
import psutil
import tqsdk.connect
from fault_stage import Books, net_of

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.working import Rules

SYMBOL = "DCE.m2601"
START = datetime(2025, 9, 8, 8, 55)  # noqa: DTZ001  Beijing time
TICKS_A_MINUTE = 2
QUICK_S, SLOW_S = 0.05, 60.0  # after which TqSdk connects again; TqSdk's own are 10 to 20 s
PACE_S, PACED = 0.03, 25  # real seconds of a bar after a fault, and bars that take so long
FAULTS = ("md", "td", "both", "restart", "forget", "half md", "half td", "half both", "spoil")
OPENS, CLOSES = time(9, 30), time(14, 45)


class Remote:
    """An exchange in another process: its methods by name, as `LocalExchange` has them."""

    def __init__(self, **made: Any) -> None:
        command = [sys.executable, __file__, "exchange", json.dumps(made)]
        pipe = subprocess.PIPE
        self._process: Any = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")
        urls = self.ask("urls")
        self.auth_url, self.md_url, self.td_url = urls
        self.is_running, self.speed, self.is_paused = True, None, False

    def ask(self, what: str, *args: Any) -> Any:
        self._process.stdin.write(json.dumps([what, *args]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self) -> Remote:
        return self

    def stop(self) -> None:
        """The market outlives the session; `close` ends it."""

    @property
    def now_ns(self) -> int:
        return int(self.ask("now_ns"))

    def pause(self) -> None:
        self.ask("pause")

    def resume(self) -> None:
        self.ask("resume")

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)


def serve(made: dict[str, Any]) -> None:
    """The other process: one request a line."""
    start, end = datetime.fromisoformat(made["start"]), datetime.fromisoformat(made["end"])
    exchange = LocalExchange(start=start, end=end, ticks_per_minute=TICKS_A_MINUTE)
    books = Books().of(exchange)
    with exchange:
        for line in sys.stdin:
            what, *args = json.loads(line)
            if what == "urls":
                told: Any = [exchange.auth_url, exchange.md_url, exchange.td_url]
            elif what == "books":
                told = [books.inserted, books.filled, net_of(exchange, SYMBOL)]
            elif what == "official":
                told = _official(exchange)
            elif what == "now_ns":
                told = exchange.now_ns
            else:
                told = getattr(exchange, what)(*args)
            print(json.dumps(told), flush=True)


def _official(exchange: LocalExchange) -> list[list[float]]:
    """All minutes from the start on, as the exchange's own klines have them."""
    venue = exchange._venue
    rows = venue.hub.feed(SYMBOL, venue.tape.now_ns).klines[60 * 10**9].rows  # type: ignore[union-attr]
    names = ("datetime", "open", "high", "low", "close", "volume", "close_oi")
    return [[float(row[name]) for name in names] for row in rows if row]


@dataclass
class Soaked:
    """What became of it. rss: bytes at the end of each day; bars: seven numbers each."""

    days: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)
    bars: array[float] = field(default_factory=lambda: array("d"))
    rss: list[int] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    executed: dict[int, int] = field(default_factory=dict)
    audit: Any = None
    net: int = 0
    exchange_net: int = 0
    inserted: list[str] = field(default_factory=list)
    filled: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Soaker(bt.Strategy):
    """Trades each day, and lets faults happen at random minutes."""

    params: Any = (("soaked", None), ("remote", None), ("dice", None))

    def __init__(self) -> None:
        self.way: Any = None
        self.resting: Any = None
        self.day = 0.0
        self.until_fault = 60
        self.paced = 0
        self.spoilt = ""

    def notify_store(self, msg: Any, *_: Any, **about: Any) -> None:
        self.p.soaked.notices[f"{msg} {about.get('what', '')}".strip()] += 1

    def notify_order(self, order: bt.Order) -> None:
        if order.executed.size:
            self.p.soaked.executed[order.ref] = abs(order.executed.size)

    def next(self) -> None:
        data, soaked = self.data, self.p.soaked
        lines = (data.datetime, data.open, data.high, data.low, data.close, data.volume)
        soaked.bars.extend([*(line[0] for line in lines), data.openinterest[0]])
        if data.trading_day[0] != self.day:
            self.day = data.trading_day[0]
            self._end_day()
        if data.history_phase:
            return
        self._trade(data.datetime.datetime(0).time())
        self.until_fault -= 1
        if not self.until_fault:
            self.until_fault = self.p.dice.randrange(60, 240)
            self._break()
        if self.paced:
            self.paced -= 1
            sleep(PACE_S)

    def _end_day(self) -> None:
        soaked = self.p.soaked
        soaked.days += 1
        gc.collect()
        soaked.rss.append(psutil.Process().memory_info().rss)
        soaked.objects.append(len(gc.get_objects()))

    def _trade(self, now: time) -> None:
        if now == OPENS:
            self.resting = self.buy(size=1, price=self.data.close[0] - 90, exectype=bt.Order.Limit)
        if now == CLOSES and self.resting is not None:
            self.cancel(self.resting)
        missing = (2 if OPENS <= now < CLOSES else 0) - self.position.size
        if missing and not (self.way is not None and self.way.alive()):
            self.way = (self.buy if missing > 0 else self.sell)(size=abs(missing))

    def _break(self) -> None:
        dice, remote = self.p.dice, self.p.remote
        kind, seconds = dice.choice(FAULTS), dice.choice((1, 60, 600))
        self.p.soaked.faults[kind] += 1
        wait_s = dice.choice((QUICK_S, SLOW_S))
        tqsdk.connect.random.uniform = lambda *_: wait_s
        self.paced = PACED
        if kind == "spoil":
            self._spoil(dice, remote)
        elif kind in ("restart", "forget"):
            for what in ("kill", "forget", "revive")[:: 1 if kind == "forget" else 2]:
                remote.ask(what)
        elif kind.startswith("half"):
            for side in ("td", "md") if kind == "half both" else (kind[-2:],):
                remote.ask("half_open", side, seconds if kind == "half md" else 0)
            if kind == "half td":
                remote.ask("drop", "td", 1)  # as the pings do that nobody answers
        else:
            for side in ("td", "md") if kind == "both" else (kind,):
                remote.ask("drop", side, seconds)

    def _spoil(self, dice: random.Random, remote: Remote) -> None:
        for side in ("md", "td"):
            if self.spoilt:
                remote.ask(self.spoilt, side, False)
        self.spoilt = dice.choice(("repeat", "split", "reorder"))
        for side in ("md", "td"):
            remote.ask(self.spoilt, side, True)


def soak(end: datetime, seed: int, journal: Path | None = None) -> Soaked:
    """Run from `START` to `end`; what is wrong is listed in the answer."""
    soaked = Soaked()
    remote: Any = Remote(start=START.isoformat(), end=end.isoformat())
    before = tqsdk.connect.random.uniform
    try:
        with TqStore(exchange=remote, rebuild_after_s=0.3, journal=journal) as store:
            cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
            broker = store.getbroker()
            broker._rules = partial(Rules, answer_s=0.1)()
            cerebro.setbroker(broker)
            cerebro.adddata(store.getdata(SYMBOL, history=1))
            options = {"soaked": soaked, "remote": remote, "dice": random.Random(seed)}
            cerebro.addstrategy(Soaker, **options)
            cerebro.run()
            soaked.net = broker.get_account_position(SYMBOL).net
            soaked.audit = cerebro.datas[0].audit
        soaked.inserted, filled, soaked.exchange_net = remote.ask("books")
        for order_id, volume in filled.items():
            ref = int(order_id.split(".")[1])
            soaked.filled[ref] = soaked.filled.get(ref, 0) + volume
        _judge(soaked, remote.ask("official"))
    finally:
        tqsdk.connect.random.uniform = before
        remote.close()
    return soaked


def _judge(soaked: Soaked, official: list[list[float]]) -> None:
    wrong = soaked.wrong
    got = [tuple(soaked.bars[n + 1 : n + 7]) for n in range(0, len(soaked.bars), 7)]
    expected = [tuple(row[1:]) for row in official][-len(got) :]
    if got != expected:
        wrong.append(f"{len(got)} bars, of which some are not the official ones")
    if soaked.executed != soaked.filled:
        wrong.append(f"filled here {soaked.executed}, there {soaked.filled}")
    if len(soaked.inserted) != len(set(soaked.inserted)):
        wrong.append("an order was sent twice")
    if soaked.net != soaked.exchange_net:
        wrong.append(f"{soaked.net} lots here, {soaked.exchange_net} there")
    if soaked.audit.differed:
        texts = [f"{each.built.start_ns}: {each}" for each in soaked.audit.differences]
        wrong.append(f"{soaked.audit.differed} bars differ from the official ones: {texts}")
    for what in ("market", "trading"):
        lost, back = (soaked.notices[f"CONNECTION_{w} {what}"] for w in ("LOST", "RESTORED"))
        if not lost - 1 <= back <= lost:
            wrong.append(f"the {what} connection was lost {lost} times, and restored {back} times")


if __name__ == "__main__":
    if sys.argv[1] == "exchange":
        serve(json.loads(sys.argv[2]))
    else:
        last = datetime.fromisoformat(sys.argv[1])
        done = soak(last, int(sys.argv[2]))
        print(done.days, done.faults, done.notices, done.wrong)
        print([f"{n / 2**20:.1f}" for n in done.rss], done.objects)
