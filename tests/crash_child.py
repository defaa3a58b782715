"""The trading program that the crash matrix kills: orders of each type, and points to die at.

As a program it reads runs from its input, a JSON object a line, and says what happens on its
output, a JSON object a line as well. What it has imported serves every run: where the system can
fork, a run is a fork of it; elsewhere it does one run and ends. At a marked point a run stops dead,
says so, and waits to be killed.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import backtrader as bt
import tqsdk.api
import tqsdk.connect

from tianqin_backtrader import TqStore
from tianqin_backtrader.blotter import Blotter
from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.desk import OrderDesk
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.legs import LegFollower
from tianqin_backtrader.orders import Done, Filled
from tianqin_backtrader.progress import Progress
from tianqin_backtrader.sending import Sender
from tianqin_backtrader.tidings import Modified, Moved
from tianqin_backtrader.trading import TradingChannel
from tianqin_backtrader.working import Phase

CU, M = "SHFE.cu2511", "DCE.m2601"
TICK = {CU: 10, M: 1}  # CNY
BASE = {CU: 80_000, M: 3_000}  # CNY, the price 0 of a way
OPENING = datetime(2025, 9, 16, 14, 56)  # noqa: DTZ001  Beijing time; of instant 0
EVENING = datetime(2025, 9, 16, 21, 0, 5)  # noqa: DTZ001  of the next trading day's first instant
STEP_S = 5
CLOSE_AT = 48  # the instant of 15:00:00
ABANDONED_S = 60.0

Act = Callable[[Any], Any]


# ---- what is ordered


@dataclass(frozen=True)
class Scenario:
    """One order type at work in a market of its own.

    way: last prices as (instant, ticks from `BASE`), each until the next. acts: what the strategy
    does, by instant. subject: Backtrader's reference of the order that the marks are about. facts:
    what happens to it, which decides the marks that make sense; "given up": a death in its course
    may end it, with the reason, though all of it was at the exchange. ends: what the orders come to
    when nobody dies, by reference: status and signed lots. early: what some come to where the death
    comes before the strategy has done all of its acts. until: the last instant.
    """

    name: str
    way: tuple[tuple[int, int], ...]
    acts: Mapping[int, Act]
    facts: frozenset[str]
    ends: Mapping[int, tuple[str, int]]
    subject: int = 1
    symbol: str = CU
    until: int = 40
    largest: int = 0  # lots of an exchange order; 0: the contract's own limit
    protects: frozenset[int] = frozenset()  # orders that may not be given up
    early: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    execution: str = "direct"


def cny(strategy: Any, ticks: int) -> float:
    """A price so many ticks from `BASE`."""
    symbol = strategy.data.symbol
    return float(BASE[symbol] + ticks * TICK[symbol])


def buy(size: int, ticks: int | None = None, **options: Any) -> Act:
    """Market, or a limit at a price."""
    return _write("buy", size, ticks, options)


def sell(size: int, ticks: int | None = None, **options: Any) -> Act:
    return _write("sell", size, ticks, options)


def _write(verb: str, size: int, ticks: int | None, options: dict[str, Any]) -> Act:
    def act(strategy: Any) -> Any:
        given = dict(options)
        if ticks is not None:
            given = {"exectype": bt.Order.Limit, "price": cny(strategy, ticks)} | given
        if "plimit" in given:
            given["plimit"] = cny(strategy, given["plimit"])
        if "oco" in given:
            given["oco"] = strategy.written[given["oco"]]
        order = getattr(strategy, verb)(size=size, **given)
        strategy.written[order.ref] = order
        return order

    return act


def both(*acts: Act) -> Act:
    return lambda strategy: [act(strategy) for act in acts]


def bracket(size: int, price: int, stop: int, limit: int) -> Act:
    return lambda strategy: strategy.buy_bracket(
        size=size,
        exectype=bt.Order.Limit,
        price=cny(strategy, price),
        stopprice=cny(strategy, stop),
        limitprice=cny(strategy, limit),
    )


def cancel(ref: int) -> Act:
    return lambda strategy: strategy.cancel(strategy.written[ref])


def modify(ref: int, ticks: int) -> Act:
    return lambda strategy: strategy.broker.modify(
        strategy.written[ref], price=cny(strategy, ticks)
    )


Stop, StopLimit = bt.Order.Stop, bt.Order.StopLimit
Trail, TrailLimit = bt.Order.StopTrail, bt.Order.StopTrailLimit
TARGET = frozenset({"wired", "fills", "ends", "parts", "given up"})  # TqSdk's task sends its legs
SENDS = frozenset({"sends", "wired"})
FILLS = SENDS | {"fills", "ends"}
PARTS = FILLS | {"parts"}
HITS = PARTS | {"due"}
FLAT, FALLS, RISES = ((0, 0),), ((0, 0), (20, -12)), ((0, 0), (20, 12))
DIPS = ((0, 0), (15, -3))
RISES_AND_FALLS = ((0, 0), (12, 5), (20, -6))
FILLED_THEN_UP, FILLED_THEN_DOWN = ((0, 0), (12, -4), (24, 12)), ((0, 0), (12, -4), (24, -32))
OPENED = {1: ("Completed", 4)}
BRACKET = {5: bracket(4, -2, -30, 10)}
BRACKET_UP = {1: ("Completed", 4), 2: ("Canceled", 0), 3: ("Completed", -4)}
BRACKET_DOWN = {1: ("Completed", 4), 2: ("Completed", -4), 3: ("Canceled", 0)}

ALL = (
    Scenario("Market, SHFE", FLAT, {5: buy(5)}, PARTS, {1: ("Completed", 5)}),
    Scenario("Market, DCE", FLAT, {5: buy(5)}, PARTS, {1: ("Completed", 5)}, symbol=M),
    Scenario(
        "Limit, resting", FLAT, {5: buy(3, -50)}, SENDS, {1: ("Accepted", 0)}, until=CLOSE_AT + 8
    ),
    Scenario("Limit, filling", DIPS, {5: buy(5, -1)}, PARTS, {1: ("Completed", 5)}),
    Scenario(
        "Limit, cancelled",
        FLAT,
        {5: buy(3, -50), 12: cancel(1)},
        SENDS | {"ends", "withdrawn"},
        {1: ("Canceled", 0)},
        early={1: ("Accepted", 0)},
    ),
    Scenario(
        "Limit, DAY",
        FLAT,
        {5: buy(3, -50, valid=bt.Order.DAY)},
        SENDS | {"ends", "withdrawn"},
        {1: ("Expired", 0)},
        until=CLOSE_AT + 8,
    ),
    Scenario(
        "Limit, modified",
        DIPS,
        {5: buy(5, -50), 10: modify(1, -1)},
        PARTS | {"withdrawn", "modified", "given up"},
        {1: ("Completed", 5)},
        early={1: ("Accepted", 0)},
    ),
    Scenario("Limit, split", DIPS, {5: buy(5, -1)}, PARTS, {1: ("Completed", 5)}, largest=2),
    Scenario(
        "Turning over",
        FLAT,
        {4: buy(2), 8: sell(4)},
        FILLS | {"parts", "turns"},
        {1: ("Completed", 2), 2: ("Completed", -4)},
        subject=2,
    ),
    Scenario(
        "Stop",
        FALLS,
        {4: buy(4), 8: sell(4, -10, exectype=Stop)},
        HITS,
        OPENED | {2: ("Completed", -4)},
        subject=2,
        protects=frozenset({2}),
    ),
    Scenario(
        "StopLimit",
        FALLS,
        {4: buy(4), 8: sell(4, -10, exectype=StopLimit, plimit=-14)},
        HITS,
        OPENED | {2: ("Completed", -4)},
        subject=2,
        protects=frozenset({2}),
    ),
    Scenario(
        "StopTrail",
        RISES_AND_FALLS,
        {4: buy(4), 8: sell(4, exectype=Trail, trailamount=100.0)},
        HITS | {"trails"},
        OPENED | {2: ("Completed", -4)},
        subject=2,
        protects=frozenset({2}),
    ),
    Scenario(
        "StopTrailLimit",
        RISES_AND_FALLS,
        {4: buy(4), 8: sell(4, 0, exectype=TrailLimit, trailamount=100.0, plimit=-3)},
        HITS | {"trails"},
        OPENED | {2: ("Completed", -4)},
        subject=2,
        protects=frozenset({2}),
    ),
    Scenario(
        "Close",
        FLAT,
        {4: buy(4), 8: sell(4, exectype=bt.Order.Close)},
        HITS,
        OPENED | {2: ("Completed", -4)},
        subject=2,
        until=CLOSE_AT,
    ),
    Scenario(
        "OCO, the limit fills",
        RISES,
        {4: buy(2), 8: both(sell(2, -10, exectype=Stop), sell(2, 10, oco=2))},
        FILLS,
        {1: ("Completed", 2), 2: ("Canceled", 0), 3: ("Completed", -2)},
        subject=3,
        protects=frozenset({2, 3}),
        early={2: ("Accepted", 0)},
    ),
    Scenario(
        "OCO, the stop goes off",
        FALLS,
        {4: buy(4), 8: both(sell(4, -10, exectype=Stop), sell(4, 10, oco=2))},
        HITS | {"withdrawn"},
        OPENED | {2: ("Completed", -4), 3: ("Canceled", 0)},
        subject=2,
        protects=frozenset({2, 3}),
    ),
    Scenario(
        "Bracket, parent",
        FILLED_THEN_UP,
        BRACKET,
        PARTS,
        BRACKET_UP,
        subject=1,
        protects=frozenset({2, 3}),
    ),
    Scenario(
        "Bracket, limit child",
        FILLED_THEN_UP,
        BRACKET,
        PARTS | {"child"},
        BRACKET_UP,
        subject=3,
        protects=frozenset({2, 3}),
    ),
    Scenario(
        "Bracket, stop child",
        FILLED_THEN_DOWN,
        BRACKET,
        HITS | {"child", "withdrawn"},
        BRACKET_DOWN,
        subject=2,
        protects=frozenset({2, 3}),
    ),
    Scenario(
        "Target",
        FLAT,
        {5: buy(5)},
        TARGET,
        {1: ("Completed", 5)},
        execution="target",
    ),
    Scenario(
        "Target, turning over",
        FLAT,
        {4: buy(2), 10: sell(4)},
        TARGET,
        {1: ("Completed", 2), 2: ("Completed", -4)},
        subject=2,
        execution="target",
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in ALL}

NIGHT = CLOSE_AT + 8
OVER_NIGHT = (
    Scenario(
        "Limit, over the night", DIPS, {5: buy(5, -1)}, PARTS, {1: ("Completed", 5)}, until=NIGHT
    ),
    Scenario(
        "Stop, over the night",
        FALLS,
        {4: buy(4), 8: sell(4, -10, exectype=Stop)},
        HITS,
        OPENED | {2: ("Completed", -4)},
        subject=2,
        until=NIGHT,
        protects=frozenset({2}),
    ),
)
EVERY = SCENARIOS | {scenario.name: scenario for scenario in OVER_NIGHT}


# ---- where it dies


class Freezer:
    """Stops the process dead when a marked point is passed; `subject`: an order's reference."""

    def __init__(self, subject: int) -> None:
        self._subject = str(subject)

    def freeze(self) -> None:
        say(mark=True, acted=_acted)
        time.sleep(ABANDONED_S)
        os._exit(3)  # nobody has killed it

    def ours(self, name: str) -> bool:
        """Whether an order's key, or one of its exchange orders' ids, is that of the subject."""
        return name.split(".")[1:2] == [self._subject]

    def before(self, owner: type, name: str, when: Callable[..., bool]) -> None:
        """Before a call of a method; `when` has the call's arguments, without `self`."""
        self._around(owner, name, when, lambda *_: False)

    def after(self, owner: type, name: str, when: Callable[..., bool]) -> None:
        """After a call of a method."""
        self._around(owner, name, lambda *_: False, when)

    def _around(
        self, owner: type, name: str, first: Callable[..., bool], last: Callable[..., bool]
    ) -> None:
        inner = getattr(owner, name)

        def wrapped(itself: Any, *args: Any, **options: Any) -> Any:
            if first(*args):
                self.freeze()
            found = inner(itself, *args, **options)
            if last(*args):
                self.freeze()
            return found

        setattr(owner, name, wrapped)

    def on_the_wire(self, aid: str, when: Callable[[str], bool]) -> None:
        """After TqSdk's socket has sent a packet about such an order, before anything is read."""
        send_all, freeze = tqsdk.connect.TqConnect._send_handler, self.freeze

        class Wire:
            def __init__(self, client: Any) -> None:
                self._client = client

            async def send(self, text: str) -> None:
                await self._client.send(text)
                pack = json.loads(text)
                if pack.get("aid") == aid and when(pack["order_id"]):
                    freeze()

            def __getattr__(self, name: str) -> Any:
                return getattr(self._client, name)

        async def wired(connect: Any, channel: Any, client: Any) -> None:
            await send_all(connect, channel, Wire(client))

        tqsdk.connect.TqConnect._send_handler = wired

    def at_row(self, number: int) -> None:
        """Before the `number`-th row that goes to the journal, whatever it is."""
        rows = count(1)
        self.before(JournalWriter, "_put", lambda *_: next(rows) == number)

    # ---- whether a call is about the subject

    def has_key(self, found: Any, *_: Any) -> bool:
        """Of an order at work, or its record."""
        return self.ours(found.key)

    def has_leg(self, leg: Any, *_: Any) -> bool:
        """Of an exchange order's trade, or of its id."""
        return self.ours(getattr(leg, "order_id", leg))

    def fills(self, work: Any, events: Any) -> bool:
        """What has happened to it holds a fill."""
        return self.ours(work.key) and any(isinstance(event, Filled) for event in events)

    def is_accepted(self, work: Any, picture: Any) -> bool:
        return self.ours(work.key) and bool(picture.exchange_order_id)

    def opens_next(self, work: Any, *_: Any, **__: Any) -> bool:
        """The leg that opens, of an order that turns over."""
        return self.ours(work.key) and work.due[0].stage > 0

    def is_opening(self, work: Any, leg: Any) -> bool:
        return self.ours(work.key) and leg.stage > 0

    def tells(self, kind: type) -> Callable[..., bool]:
        def told_of(told: Any) -> bool:
            return self.ours(told.ref) and isinstance(told, kind)

        return told_of


def _any(*_: Any) -> bool:
    return True


def _is_let_go(work: Any, picture: Any) -> bool:
    """The answer to a cancel, of whatever order."""
    return work.phase is Phase.LEAVING and not picture.is_alive


@dataclass(frozen=True)
class Mark:
    """A point at which a run dies. needs: the fact of a scenario without which it is not passed."""

    name: str
    needs: str
    install: Callable[[Freezer], None]


MARKS = (
    Mark("before its row", "", lambda f: f.before(JournalWriter, "put_order", f.has_key)),
    Mark("row | legs", "", lambda f: f.before(Progress, "begin", f.has_key)),
    Mark("legs | send", "sends", lambda f: f.before(Sender, "_hand_over", f.has_key)),
    Mark("send | wait", "sends", lambda f: f.after(TradingChannel, "send", f.has_leg)),
    Mark("wire | answer", "wired", lambda f: f.on_the_wire("insert_order", f.ours)),
    Mark("accepted", "wired", lambda f: f.after(LegFollower, "on_picture", f.is_accepted)),
    Mark("fill | journal", "fills", lambda f: f.before(Blotter, "on_trade", f.has_leg)),
    Mark("journal | told", "fills", lambda f: f.before(Progress, "apply", f.fills)),
    Mark("between fills", "parts", lambda f: f.after(Blotter, "on_trade", f.has_leg)),
    Mark("end | its row", "ends", lambda f: f.before(Progress, "_end", f.has_key)),
    Mark("end | told", "ends", lambda f: f.before(OrderDesk, "_hear", f.tells(Done))),
    Mark("before cancel", "withdrawn", lambda f: f.before(TradingChannel, "cancel", _any)),
    Mark("cancel | wait", "withdrawn", lambda f: f.after(TradingChannel, "cancel", _any)),
    Mark("cancel | answer", "withdrawn", lambda f: f.on_the_wire("cancel_order", _any)),
    Mark("cancelled", "withdrawn", lambda f: f.after(LegFollower, "on_picture", _is_let_go)),
    Mark("withdrawn | change", "modified", lambda f: f.before(Progress, "_replace", f.has_key)),
    Mark("change | new leg", "modified", lambda f: f.before(OrderDesk, "_hear", f.tells(Modified))),
    Mark("trail moved", "trails", lambda f: f.before(OrderDesk, "_hear", f.tells(Moved))),
    Mark("due | its row", "due", lambda f: f.before(Progress, "due", f.has_key)),
    Mark("due | legs", "due", lambda f: f.after(Progress, "due", f.has_key)),
    Mark("closed | opening", "turns", lambda f: f.before(Sender, "send_due", f.opens_next)),
    Mark("opening | send", "turns", lambda f: f.before(Sender, "_hand_over", f.is_opening)),
    Mark("parent | child", "child", lambda f: f.before(Progress, "release", f.has_key)),
)
BY_NAME = {mark.name: mark for mark in MARKS}
_acted: list[int] = []  # the instants whose acts are done


# ---- the program


class Writer(bt.Strategy):
    """Writes a scenario's orders, or none, and keeps what it is told."""

    params: Any = (("acts", None), ("heard", None))

    def __init__(self) -> None:
        self.written: dict[int, bt.Order] = {}
        self.counted = 0  # lots by the executions that it was told of

    def notify_order(self, order: bt.Order) -> None:
        self.counted += sum(bit.size for bit in order.executed.iterpending())
        self.p.heard["orders"].append(
            {
                "key": self.broker._desk.key_of(order),
                "status": order.getstatusname(),
                "lots": order.executed.size,
                "bits": sum(bit.size for bit in order.executed.exbits),
                "reason": order.info.get("reason") or "",
                "restored": bool(order.info.get("restored")),
            }
        )

    def notify_store(self, msg: Any, *args: Any, **_: Any) -> None:
        self.p.heard["notices"].append([str(msg), *map(str, args[:1])])

    def next(self) -> None:
        instant = self._instant()
        act = self.p.acts.get(instant)
        if act is not None:
            act(self)
            _acted.append(instant)

    def stop(self) -> None:
        said = {"counted": self.counted, "net": self.position.size, "bars": len(self)}
        self.p.heard.update(said)

    def _instant(self) -> int:
        now: datetime = self.data.datetime.datetime(0).replace(tzinfo=None)
        if now >= EVENING:
            return CLOSE_AT + 1 + round((now - EVENING).total_seconds() / STEP_S)
        return round((now - OPENING).total_seconds() / STEP_S)


def run(spec: Mapping[str, Any]) -> None:
    """One run: `scenario`, `writes` its orders or none, dies at `mark` or at a journal row."""
    scenario = EVERY[spec["scenario"]]
    freezer = Freezer(scenario.subject)
    if spec["mark"]:
        BY_NAME[spec["mark"]].install(freezer)
    if spec["row"]:
        freezer.at_row(spec["row"])
    heard: dict[str, Any] = {"orders": [], "notices": []}
    with TqStore(
        "kq", user="crash", password="crash", journal=spec["journal"], **spec["urls"]
    ) as s:
        _say_when_begun(s)
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(s.getbroker(scenario.execution))
        cerebro.adddata(s.getdata(scenario.symbol, timeframe=bt.TimeFrame.Ticks, history=0))
        cerebro.addstrategy(Writer, acts=scenario.acts if spec["writes"] else {}, heard=heard)
        cerebro.run()
    say(done=heard)


def _say_when_begun(store: Any) -> None:
    """All feeds stand and what was there before is known: the market may go on."""
    ask = store.get_notifications

    def first() -> Any:
        found = ask()
        store.get_notifications = ask
        say(begun=True)
        return found

    store.get_notifications = first


# ---- serving runs


def say(**what: Any) -> None:
    os.write(_output, (json.dumps(what) + "\n").encode())


_output = 1


def warm() -> None:
    """What every run would do again, in seconds: done once, before any run."""
    shanghai_calendar()
    # contracts that expired before 2020, which no run trades: unpacking their list takes 0.4 s
    tqsdk.api.lzma.open = lambda *_, **__: io.StringIO("{}")


def serve(spec: Mapping[str, Any]) -> None:
    """A run whose prints and errors go to its log."""
    log = Path(spec["log"]).open("a", encoding="utf-8")  # noqa: SIM115  until the process ends
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    say(pid=os.getpid())
    try:
        run(spec)
    except BaseException:  # noqa: BLE001  whatever it is, it is told
        say(failed=traceback.format_exc())


def main() -> None:
    global _output  # noqa: PLW0603  prints must not come between
    _output = os.dup(1)
    os.dup2(2, 1)
    warm()
    say(ready=True)
    for line in sys.stdin:
        spec = json.loads(line)
        if not hasattr(os, "fork"):
            serve(spec)
            return
        pid = os.fork()
        if not pid:
            with suppress(BaseException):
                serve(spec)
            os._exit(0)
        say(exit=os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
