"""Kill the trading program at every marked point of every order type, start it again, and judge.

The exchange lives here and survives; the program runs in a process of its own (`crash_child`). What
became of the orders is read from the exchange's own books and held against the journal:
- each trade is in the journal once, each exchange order under its id, none was sent twice;
- an order never had more lots at the exchange, traded or alive, than were asked for;
- an order ends as it would have without the death, or, if it did not reach the exchange whole, is
  ended with the reason; stops, OCO pairs and the children of brackets always stand again;
- the last run tells its strategy each order as it stands and counts each lot once.

`python tests/crash_matrix.py [words]` prints the table of the cells whose names have these words;
with the word `rows` it also plays a death before each row that goes to the journal.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pandas as pd
from crash_child import (
    BASE,
    CLOSE_AT,
    EVENING,
    EVERY,
    MARKS,
    OPENING,
    SCENARIOS,
    STEP_S,
    TICK,
    Scenario,
)
from rich import box
from rich.console import Console
from rich.table import Table

from tianqin_backtrader import Journal, LocalExchange

CHILD = Path(__file__).with_name("crash_child.py")
CAN_FORK = hasattr(os, "fork")
PATIENCE_S = 60.0
BEGINS_AT = 2  # the instant at which the market begins
BOOK = {"SHFE": (2,), "DCE": (2, 10)}  # lots on each level of either side
ENDED = frozenset({"Completed", "Canceled", "Expired", "Margin", "Rejected"})
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows either ends a process at once
JOBS = 2


@dataclass(frozen=True)
class Cell:
    """Die in `scenario` at `mark`, or before row `row` of the journal; neither: nobody dies.

    again: a row of the second run before which that one dies too. away: instants of the market that
    pass before the last run begins.
    """

    scenario: str
    mark: str = ""
    row: int = 0
    again: int = 0
    away: int = 0

    def __str__(self) -> str:
        parts = [self.scenario, self.mark or (f"row {self.row}" if self.row else "nobody dies")]
        parts += [f"again at row {self.again}"] if self.again else []
        parts += [f"{self.away} instants away"] if self.away else []
        return "; ".join(parts)


@dataclass
class Verdict:
    """What is wrong with a cell. reached, again: it died, and died again, where it should."""

    cell: Cell
    faults: list[str] = field(default_factory=list)
    reached: bool = True
    again: bool = True
    duplicates: int = 0
    losses: int = 0
    log: str = ""

    @property
    def holds(self) -> bool:
        return self.reached and not self.faults

    def duplicate(self, text: str) -> None:
        self.duplicates += 1
        self.faults.append(f"duplicate: {text}")

    def loss(self, text: str) -> None:
        self.losses += 1
        self.faults.append(f"loss: {text}")

    def wrong(self, text: str) -> None:
        self.faults.append(text)

    def __str__(self) -> str:
        faults = self.faults if self.reached else ["it did not die where it should", *self.faults]
        return "\n    ".join([str(self.cell), *faults, *self.log.splitlines()[-20:]])


def cells() -> list[Cell]:
    """Every mark of every scenario that passes it."""
    return [
        Cell(scenario.name, mark.name)
        for scenario in SCENARIOS.values()
        for mark in MARKS
        if not mark.needs or mark.needs in scenario.facts
    ]


# ---- the market


def market(scenario: Scenario, folder: Path) -> LocalExchange:
    """The scenario's market, from a record made here."""
    path = folder / f"{scenario.symbol}.csv"
    rows = [_tick(scenario, n) for n in range(scenario.until + 1)]
    pd.DataFrame(rows).to_csv(path, index=False)
    terms: dict[str, Any] = {"instrument_id": scenario.symbol, "class": "FUTURE"}
    if scenario.largest:
        terms["max_limit_order_volume"] = scenario.largest
    return LocalExchange(replay=path, start=_moment(BEGINS_AT), instruments=[terms])


def _moment(instant: int) -> datetime:
    if instant <= CLOSE_AT:
        return OPENING + timedelta(seconds=STEP_S * instant)
    return EVENING + timedelta(seconds=STEP_S * (instant - CLOSE_AT - 1))


def _tick(scenario: Scenario, instant: int) -> dict[str, Any]:
    tick = TICK[scenario.symbol]
    level = [ticks for since, ticks in scenario.way if since <= instant][-1]
    last = BASE[scenario.symbol] + level * tick
    of_day = instant if instant <= CLOSE_AT else instant - CLOSE_AT
    row = {"datetime": str(_moment(instant)), "last_price": last, "volume": 10 * of_day + 10,
           "open_interest": 5_000}  # fmt: skip
    for n, lots in enumerate(BOOK[scenario.symbol.partition(".")[0]], 1):
        row |= {f"bid_price{n}": last - n * tick, f"bid_volume{n}": lots}
        row |= {f"ask_price{n}": last + n * tick, f"ask_volume{n}": lots}
    return row


class Books:
    """What the exchange saw and did, of all days."""

    def __init__(self, exchange: LocalExchange) -> None:
        self._exchange, self._venue = exchange, exchange._venue
        self.received: list[str] = []  # order ids, repeats included
        self.most: dict[str, int] = {}  # by order: the most lots that had traded or might
        self._past: dict[str, dict[str, Any]] = {"orders": {}, "trades": {}}
        self._insert = self._venue.exchange.insert_order
        self._settle = self._venue.exchange.settle
        vars(self._venue.exchange).update(insert_order=self._on_insert, settle=self._on_settle)

    def _on_insert(self, user: str, pack: Mapping[str, Any], now_ns: int) -> None:
        order_id = str(pack["order_id"])
        self.received.append(order_id)
        self._insert(user, pack, now_ns)
        key = key_of(order_id)
        self.most[key] = max(self.lots_of(key), self.most.get(key, 0))

    def _on_settle(self, *args: Any) -> None:
        """The exchange forgets a day's orders and trades when the next one begins."""
        desk = self._desk()
        begin_day = desk.begin_day

        def begin(day: Any) -> None:
            for kind, past in self._past.items():
                past.update(desk.picture()[kind])
            begin_day(day)

        desk.begin_day = begin
        try:
            self._settle(*args)
        finally:
            del desk.begin_day

    def _desk(self) -> Any:
        return next(iter(self._venue.exchange._desks.values()))

    def orders(self) -> dict[str, dict[str, Any]]:
        return self._past["orders"] | dict(self._desk().picture()["orders"])

    def trades(self) -> dict[str, dict[str, Any]]:
        return self._past["trades"] | dict(self._desk().picture()["trades"])

    def lots_of(self, key: str) -> int:
        """Lots of an order that have traded, or may at this moment."""
        return _lots(self.orders(), key)

    def traded(self, key: str) -> int:
        """Lots of an order that have traded, sold ones negative."""
        trades = [t for t in self.trades().values() if key_of(t["order_id"]) == key]
        return sum(t["volume"] if t["direction"] == "BUY" else -t["volume"] for t in trades)

    def held(self) -> dict[str, tuple[int, int]]:
        """Long and short lots by contract."""
        return {
            symbol: (_total(picture, "long"), _total(picture, "short"))
            for symbol, picture in self._desk().picture()["positions"].items()
        }

    def wait_until_alone(self) -> None:
        """The dead program's sockets are noticed, and all that they held has been read."""
        deadline = time.monotonic() + PATIENCE_S
        while self._venue.watchers or self._venue.traders:
            if time.monotonic() > deadline:
                raise TimeoutError("the exchange still has the sockets of a run that is over")
            time.sleep(0.001)

    def go_on(self, instants: int) -> None:
        """The market moves and nobody sees it."""

        async def advance() -> None:
            for _ in range(instants):
                self._venue.advance()

        self._exchange._call(advance())


def key_of(order_id: str) -> str:
    """The key of the order that an exchange order belongs to."""
    return order_id.rpartition(".")[0]


def ref_of(key: str) -> int:
    return int(key.rpartition(".")[2])


def _lots(orders: Mapping[str, Mapping[str, Any]], key: str) -> int:
    mine = [picture for picture in orders.values() if key_of(picture["order_id"]) == key]
    dead = sum(each["volume_left"] for each in mine if each["status"] != "ALIVE")
    return int(sum(each["volume_orign"] for each in mine) - dead)


def _total(position: Mapping[str, Any], side: str) -> int:
    return int(position[f"volume_{side}_today"] + position[f"volume_{side}_his"])


# ---- the program


@dataclass(frozen=True)
class Life:
    """A run: what its strategy heard, None if it was killed; the acts that were done by then."""

    heard: Mapping[str, Any] | None = None
    acted: tuple[int, ...] = ()


class Program:
    """A process that serves runs, one after the other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=PATIENCE_S)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def run(
        self, spec: Mapping[str, Any], begun: Callable[[], None], mark: Callable[[], None]
    ) -> Life:
        """Do a run. begun: called when the market may go on; mark: when it has stopped dead."""
        self._begin(spec)
        pid, life, failed = 0, Life(), ""
        try:
            for said in self._said():
                if "pid" in said:
                    pid = said["pid"]
                elif "begun" in said:
                    begun()
                elif "mark" in said:
                    mark()
                    life = Life(acted=tuple(said["acted"]))
                    os.kill(pid, KILL)
                elif "done" in said:
                    life = Life(said["done"])
                elif "failed" in said:
                    failed = said["failed"]
                elif "exit" in said:
                    break
            else:
                self.close()  # it cannot fork and has ended with its run
        except TimeoutError:
            with suppress(OSError):
                if pid:
                    os.kill(pid, KILL)
            self.close()
            raise
        if failed:
            raise RuntimeError(failed)
        return life

    def _begin(self, spec: Mapping[str, Any]) -> None:
        process = self._process or self._launch()
        if process.stdin is not None:
            process.stdin.write(json.dumps(spec) + "\n")
            process.stdin.flush()

    def _launch(self) -> subprocess.Popen[str]:
        pipe, self._lines = subprocess.PIPE, queue.Queue()
        command = [sys.executable, str(CHILD)]
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")
        reader = threading.Thread(target=_read, args=(process.stdout, self._lines), daemon=True)
        reader.start()
        self._process = process
        next(self._said())
        return process

    def _said(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                said = self._lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                raise TimeoutError(f"the program said nothing for {PATIENCE_S:g} s") from None
            if said is None:
                return
            yield said


def _read(pipe: IO[str], lines: queue.Queue[dict[str, Any] | None]) -> None:
    for line in pipe:
        lines.put(json.loads(line))
    lines.put(None)


# ---- a cell


@dataclass(frozen=True)
class Moment:
    """How things stood when a run was over."""

    states: Mapping[str, str]  # of the journal's orders
    orders: Mapping[str, dict[str, Any]]  # of the exchange
    life: Life

    @property
    def is_dead(self) -> bool:
        return self.life.heard is None


@dataclass(frozen=True)
class Outcome:
    """How things stood at the end: the moments after each run, the journal, the exchange."""

    moments: Sequence[Moment]
    orders: pd.DataFrame
    legs: pd.DataFrame
    trades: pd.DataFrame
    stops: pd.DataFrame
    holdings: pd.DataFrame
    books: Books


def play(cell: Cell, program: Program, folder: Path) -> Verdict:
    """Run a cell and judge it."""
    verdict, log = Verdict(cell), folder / "log.txt"
    try:
        outcome = outcome_of(cell, program, folder)
        verdict.reached = outcome.moments[0].is_dead or not (cell.mark or cell.row)
        verdict.again = outcome.moments[1:] != [] and outcome.moments[1].is_dead
        judge(verdict, EVERY[cell.scenario], outcome)
    except Exception as error:  # noqa: BLE001  one cell's trouble is not the others'
        verdict.wrong(f"{type(error).__name__}: {error}")
    if log.exists() and not verdict.holds:
        verdict.log = log.read_text(encoding="utf-8")
    return verdict


def outcome_of(cell: Cell, program: Program, folder: Path) -> Outcome:
    """Run a cell."""
    scenario, journal = EVERY[cell.scenario], folder / "journal.sqlite"
    with market(scenario, folder) as exchange:
        exchange.pause()
        books = Books(exchange)
        urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
        base = {"scenario": scenario.name, "journal": str(journal), "urls": urls,
                "log": str(folder / "log.txt")}  # fmt: skip

        def run(mark: str = "", row: int = 0, *, writes: bool = False) -> Moment:
            spec = base | {"mark": mark, "row": row, "writes": writes}
            life = program.run(spec, exchange.resume, exchange.pause)
            exchange.pause()
            books.wait_until_alone()
            return _moment_of(journal, books, life)

        moments = [run(cell.mark, cell.row, writes=True)]
        if moments[-1].is_dead and cell.again:
            moments.append(run(row=cell.again))
        if moments[-1].is_dead:
            books.go_on(cell.away)
            moments.append(run())
    with Journal(journal) as found:
        return Outcome(
            moments, found.orders(), found.legs(), found.trades(), found.stops(), found.holdings(),
            books,
        )  # fmt: skip


def _moment_of(journal: Path, books: Books, life: Life) -> Moment:
    with Journal(journal) as found:
        states = found.orders().set_index("key")["state"].to_dict()
    return Moment(states, books.orders(), life)


# ---- the judgement


def judge(verdict: Verdict, scenario: Scenario, outcome: Outcome) -> None:
    """Write into `verdict` whatever does not hold."""
    _judge_trades(verdict, outcome)
    _judge_sent(verdict, outcome)
    _judge_legs(verdict, outcome)
    for row in outcome.orders.itertuples():
        _judge_state(verdict, outcome, row)
        _judge_end(verdict, scenario, outcome, row)
    _judge_rows(verdict, scenario, outcome)
    _judge_lots(verdict, outcome)
    if len(outcome.moments) > 1:
        _judge_told(verdict, outcome)


def _judge_trades(verdict: Verdict, outcome: Outcome) -> None:
    """Each trade of the exchange is in the journal once."""
    columns = ["order_id", "trade_id", "price", "volume"]
    booked = {tuple(t[name] for name in columns) for t in outcome.books.trades().values()}
    kept = [tuple(row) for row in outcome.trades[columns].itertuples(index=False)]
    for trade in booked - set(kept):
        verdict.loss(f"trade {trade} is not in the journal")
    for trade in set(kept) - booked:
        verdict.wrong(f"trade {trade} is in the journal and never happened")
    if len(kept) != len(set(kept)):
        verdict.duplicate("a trade is in the journal twice")


def _judge_sent(verdict: Verdict, outcome: Outcome) -> None:
    """No exchange order was sent twice, and no lot of an order was."""
    received = outcome.books.received
    for order_id in {each for each in received if received.count(each) > 1}:
        verdict.duplicate(f"{order_id} was sent {received.count(order_id)} times")
    volumes = {row.key: _asked(row)["volume"] for row in outcome.orders.itertuples()}
    for key, lots in outcome.books.most.items():
        if lots > volumes.get(key, 0):
            text = f"{lots} lots of it have traded or might at once"
            verdict.duplicate(f"order {key} is of {volumes.get(key, 0)} lots, {text}")


def _judge_legs(verdict: Verdict, outcome: Outcome) -> None:
    """The exchange's orders are the journal's legs, and both say the same of them."""
    legs, orders = outcome.legs.set_index("order_id").to_dict("index"), outcome.books.orders()
    for order_id in orders.keys() - legs.keys():
        verdict.loss(f"exchange order {order_id} is not in the journal")
    for order_id, leg in legs.items():
        picture = orders.get(str(order_id))
        if picture is None:
            if leg["state"] != "dropped":
                verdict.wrong(f"{order_id} is {leg['state']} and never reached the exchange")
            continue
        asked = [picture[name] for name in ("direction", "offset", "volume_orign")]
        if asked != [leg[name] for name in ("direction", "offset", "volume")]:
            verdict.wrong(f"{order_id} is {asked} at the exchange, in the journal {leg}")
        is_alive = picture["status"] == "ALIVE"
        if is_alive != (leg["state"] in ("sending", "alive")):
            verdict.wrong(f"{order_id} is {picture['status']}, in the journal {leg['state']}")
        if not is_alive and leg["left"] != picture["volume_left"]:
            verdict.wrong(
                f"{order_id}: {picture['volume_left']} left, in the journal {leg['left']}"
            )


def _asked(row: Any) -> dict[str, Any]:
    """The ticket of an order's row."""
    ticket: dict[str, Any] = json.loads(row.ticket)
    return ticket


def _judge_state(verdict: Verdict, outcome: Outcome, row: Any) -> None:
    """The journal's word on an order is what the exchange says, and something moves it on."""
    orders, volume = outcome.books.orders().values(), _asked(row)["volume"]
    mine = [each for each in orders if key_of(each["order_id"]) == row.key]
    lives = any(each["status"] == "ALIVE" for each in mine)
    traded, is_over = abs(outcome.books.traded(row.key)), row.state in ENDED
    at_work = row.phase in ("working", "leaving")
    holds = {
        "it is Completed when all has traded": (traded == volume) == (row.state == "Completed"),
        "it is done when it has ended": is_over == (row.phase == "done"),
        "it lives at the exchange when it is at work": lives == (at_work and not is_over),
        "it moves on": is_over or row.phase not in ("due", "leaving"),
        "it is Partial when some has traded": not traded or row.state != "Accepted",
    }
    for rule, does_hold in holds.items():
        if not does_hold:
            text = f"order {row.key} is {row.state}, {row.phase}, {traded} of {volume} have traded"
            verdict.wrong(f"{text}; alive at the exchange: {lives}; expected that {rule}")


def _judge_end(verdict: Verdict, scenario: Scenario, outcome: Outcome, row: Any) -> None:
    """An order came to what it was meant to, or was given up and said so."""
    ref, lots, moment = ref_of(row.key), outcome.books.traded(row.key), outcome.moments[0]
    is_early = max(scenario.acts) not in moment.life.acted and moment.is_dead
    expected, early = scenario.ends[ref], scenario.early.get(ref)
    if (row.state, lots) in (expected, early if is_early else expected):
        return
    text = f"order {row.key} is {row.state} with {lots} lots ({row.reason!r}), expected {expected}"
    was_whole = _lots(moment.orders, row.key) == _asked(row)["volume"]
    if ref in scenario.protects:
        if not _was_orphaned(outcome, row):
            verdict.loss(text)
    elif was_whole and "given up" not in scenario.facts:
        verdict.loss(text)
    elif row.state not in ("Canceled", "Rejected") or not row.reason:
        verdict.loss(f"{text}; given up, it must say why")
    elif abs(lots) > abs(expected[1]):
        verdict.duplicate(text)


def _was_orphaned(outcome: Outcome, row: Any) -> bool:
    """Whether a child ended because its parent did without a fill."""
    parent = _asked(row)["parent"]
    return bool(parent) and not outcome.books.traded(parent) and row.state == "Canceled"


def _judge_rows(verdict: Verdict, scenario: Scenario, outcome: Outcome) -> None:
    """An order without a row was never sent; a stop and its order end together."""
    refs = {ref_of(key) for key in outcome.orders["key"]}
    for ref in scenario.ends.keys() - refs:
        if any(ref_of(key_of(each)) == ref for each in outcome.books.received):
            verdict.loss(f"order {ref} was sent and has no row")
    states = outcome.orders.set_index("key")["state"]
    for stop in outcome.stops.itertuples():
        if (stop.state == "ended") != (states[stop.key] in ENDED):
            verdict.wrong(f"stop {stop.key} is {stop.state}, its order {states[stop.key]}")


def _judge_lots(verdict: Verdict, outcome: Outcome) -> None:
    """What the journal says is held is held."""
    kept = {row.symbol: (row.long, row.short) for row in outcome.holdings.itertuples()}
    for symbol, lots in outcome.books.held().items():
        if lots != kept.get(symbol, (0, 0)):
            verdict.wrong(f"{symbol}: {lots} held, in the journal {kept.get(symbol)}")


def _judge_told(verdict: Verdict, outcome: Outcome) -> None:
    """The last run's strategy was told of each order that lived, and counted each lot once."""
    before, heard = outcome.moments[-2], outcome.moments[-1].life.heard or {}
    last = {told["key"]: told for told in heard["orders"] if told["key"]}
    for row in outcome.orders.itertuples():
        told, lots = last.get(row.key), outcome.books.traded(str(row.key))
        if before.states.get(str(row.key)) in ENDED:
            if told is not None:
                verdict.wrong(f"order {row.key} had ended and was told again")
        elif told is None:
            verdict.loss(f"the strategy was never told of order {row.key}")
        elif (told["status"], told["lots"], told["bits"]) != (row.state, lots, lots):
            verdict.wrong(f"order {row.key} is {row.state} with {lots} lots, told {told}")
    for key in last:
        ends = [t for t in heard["orders"] if t["key"] == key and t["status"] in ENDED]
        if len(ends) > 1:
            verdict.duplicate(f"the end of order {key} was told {len(ends)} times")
    net = sum(long - short for long, short in outcome.books.held().values())
    counts = net if heard["bars"] else 0  # news of a feed wait for its first bar
    if (heard["counted"], heard["net"]) != (counts, net):
        verdict.wrong(f"{net} lots are held, told {heard['counted']} and {heard['net']}")
    for name, text in heard["notices"]:
        if name == "JOURNAL_DIFFERENCE":
            verdict.wrong(f"told of a difference that is none: {text}")


# ---- many cells


@contextmanager
def programs(count: int = JOBS) -> Iterator[queue.Queue[Program]]:
    """Serving processes for as many cells at once."""
    pool: queue.Queue[Program] = queue.Queue()
    made = [Program() for _ in range(count)]
    for program in made:
        pool.put(program)
    try:
        yield pool
    finally:
        for program in made:
            program.close()


def play_all(wanted: Sequence[Cell], folder: Path, jobs: int = JOBS) -> dict[Cell, Verdict]:
    """Play cells, `jobs` at a time."""
    with programs(jobs) as pool, ThreadPoolExecutor(jobs) as workers:

        def one(number: int, cell: Cell) -> Verdict:
            place = folder / f"{number}"
            place.mkdir()
            program = pool.get()
            try:
                return play(cell, program, place)
            finally:
                pool.put(program)

        return {v.cell: v for v in workers.map(one, range(len(wanted)), wanted)}


def table(verdicts: Mapping[Cell, Verdict]) -> Table:
    """Marks down, order types across; "-": an order of this type does not pass the mark."""
    sensible = set(cells())
    letters = {name: chr(ord("A") + n) for n, name in enumerate(SCENARIOS)}
    names = [f"{letter} {name}" for name, letter in letters.items()]
    lines = [", ".join(names[n : n + 4]) for n in range(0, len(names), 4)]
    printed = Table(
        title="Killed at ... x order type",
        caption="\n".join(lines),
        caption_justify="left",
        box=box.SIMPLE,
        padding=0,
    )
    printed.add_column("killed at", no_wrap=True)
    for letter in letters.values():
        printed.add_column(letter, justify="center")
    for mark in MARKS:
        row = (Cell(name, mark.name) for name in SCENARIOS)
        printed.add_row(mark.name, *(_word(each, each in sensible, verdicts) for each in row))
    return printed


def _word(cell: Cell, is_sensible: bool, verdicts: Mapping[Cell, Verdict]) -> str:
    if cell not in verdicts:
        return "" if is_sensible else "-"
    return "ok" if verdicts[cell].holds else "[red]NO[/red]"


def summary(verdicts: Sequence[Verdict]) -> str:
    """Cells, duplicates, losses."""
    return (
        f"{len(verdicts)} deaths: {sum(v.duplicates for v in verdicts)} duplicates, "
        f"{sum(v.losses for v in verdicts)} losses, {sum(not v.holds for v in verdicts)} not as "
        "they should be"
    )


def each_row(scenario: str, program: Program, folder: Path) -> list[Verdict]:
    """Die before each row of the journal in turn, until a run lives."""
    played: list[Verdict] = []
    while not played or played[-1].reached:
        place = folder / f"{scenario} {len(played) + 1}"
        place.mkdir()
        played.append(play(Cell(scenario, row=len(played) + 1), program, place))
    return played[:-1]


def main(words: Sequence[str]) -> int:
    wanted = [
        cell for cell in cells() if all(part in str(cell) for part in words if part != "rows")
    ]
    console, began = Console(width=100), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        played = play_all(wanted, folder)
        console.print(table(played))
        verdicts = list(played.values())
        if "rows" in words:
            with programs(1) as pool:
                program = pool.get()
                for scenario in dict.fromkeys(cell.scenario for cell in wanted):
                    rows = each_row(scenario, program, folder)
                    console.print(
                        f"{scenario}, before each of its {len(rows)} rows: {summary(rows)}"
                    )
                    verdicts += rows
    for verdict in verdicts:
        if not verdict.holds:
            console.print(str(verdict), markup=False)
    console.print(f"{summary(verdicts)}; {time.monotonic() - began:.0f} s")
    return int(any(not verdict.holds for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
