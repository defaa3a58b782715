"""Kill the trading program at every marked point of every order type, start it again, and judge.

The exchange lives here and survives; the program runs in a process of its own (`crash_child`). What
became of the orders is read from the exchange's own books and held against the journal:
- each trade is in the journal once, each exchange order under its id, none was sent twice;
- an order never had more lots at the exchange, traded or alive, than were asked for;
- an order ends as it would have without the death, or, if it did not reach the exchange whole, is
  ended with the reason; stops, OCO pairs and the children of brackets always stand again;
- the second run tells its strategy each order as it stands and counts each lot once.

`python tests/crash_matrix.py` prints the table.
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pandas as pd
from crash_child import (
    BASE,
    BY_NAME,
    CLOSE_AT,
    EVENING,
    MARKS,
    OPENING,
    SCENARIOS,
    STEP_S,
    TICK,
    Scenario,
)
from rich.console import Console
from rich.table import Table

from tianqin_backtrader import Journal, LocalExchange

CHILD = Path(__file__).with_name("crash_child.py")
CAN_FORK = hasattr(os, "fork")
FIRST = 2  # the instant at which the market begins
PATIENCE_S = 30.0
BOOK_LOTS, NEXT_LEVEL_LOTS = 2, 10
ENDED = frozenset({"Completed", "Canceled", "Expired", "Margin", "Rejected"})
UNTOLD = "a row"  # begins the name of a cell that dies before a row of the journal


@dataclass(frozen=True)
class Cell:
    """Die in `scenario` at `mark`, or before row `row` of the journal; neither: nobody dies.

    again: a row of the second run before which that one dies too. away: instants of the market that
    nobody sees between the runs.
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
    """What is wrong with a cell; `reached`: it died where it should."""

    cell: Cell
    faults: list[str] = field(default_factory=list)
    reached: bool = True
    died_again: bool = False
    duplicates: int = 0
    losses: int = 0
    log: str = ""
    took_s: float = 0.0

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


def cells() -> list[Cell]:
    """Every mark of every scenario that passes it."""
    return [
        Cell(scenario.name, mark.name)
        for scenario in SCENARIOS.values()
        for mark in MARKS
        if makes_sense(scenario, mark.name)
    ]


def makes_sense(scenario: Scenario, mark: str) -> bool:
    needs = BY_NAME[mark].needs
    return not needs or needs in scenario.facts


# ---- the market


def market(scenario: Scenario, folder: Path) -> LocalExchange:
    """The scenario's market, from a record made here."""
    symbol = scenario.symbol
    path = folder / f"{symbol}.csv"
    if not path.exists():
        rows = [_instant(scenario, n) for n in range(scenario.until + 1)]
        pd.DataFrame(rows).to_csv(path, index=False)
    terms = {"instrument_id": symbol, "class": "FUTURE"}
    if scenario.largest:
        terms["max_limit_order_volume"] = scenario.largest
    return LocalExchange(replay=path, start=_moment(FIRST), instruments=[terms])


def _moment(instant: int) -> datetime:
    if instant <= CLOSE_AT:
        return OPENING + timedelta(seconds=STEP_S * instant)
    return EVENING + timedelta(seconds=STEP_S * (instant - CLOSE_AT - 1))


def _instant(scenario: Scenario, instant: int) -> dict[str, Any]:
    """A tick: two lots on the best level of each side, ten on the next."""
    tick = TICK[scenario.symbol]
    level = [ticks for since, ticks in scenario.way if since <= instant][-1]
    last = BASE[scenario.symbol] + level * tick
    day = instant if instant <= CLOSE_AT else instant - CLOSE_AT
    row = {"datetime": str(_moment(instant)), "last_price": last, "volume": 10 * day + 10,
           "open_interest": 5_000}  # fmt: skip
    for n, lots in ((1, BOOK_LOTS), (2, NEXT_LEVEL_LOTS if scenario.symbol.startswith("DCE") else 0)):
        row |= {f"bid_price{n}": last - n * tick, f"bid_volume{n}": lots}
        row |= {f"ask_price{n}": last + n * tick, f"ask_volume{n}": lots}
    return row


class Books:
    """What the exchange saw and did, of all days."""

    def __init__(self, exchange: LocalExchange) -> None:
        self._exchange = exchange
        self._venue = exchange._venue
        self.received: list[str] = []  # order ids, repeats included
        self.most: dict[str, int] = {}  # by order: the most lots ever traded or alive
        self._past: dict[str, dict[str, Any]] = {"orders": {}, "trades": {}}
        sim = self._venue.exchange
        self._insert, self._settle = sim.insert_order, sim.settle
        sim.insert_order = self._on_insert  # type: ignore[method-assign]
        sim.settle = self._on_settle  # type: ignore[method-assign]

    def _on_insert(self, user: str, pack: Mapping[str, Any], now_ns: int) -> None:
        self.received.append(str(pack["order_id"]))
        self._insert(user, pack, now_ns)
        self._measure(order_of(str(pack["order_id"])))

    def _measure(self, key: str) -> None:
        """Lots of an order that have traded, or may at this moment."""
        lots = 0
        for picture in self.orders().values():
            if order_of(picture["order_id"]) == key:
                is_alive = picture["status"] == "ALIVE"
                lots += picture["volume_orign"] - (0 if is_alive else picture["volume_left"])
        self.most[key] = max(lots, self.most.get(key, 0))

    def _on_settle(self, *args: Any) -> None:
        desk = self._desk()
        begin_day = desk.begin_day

        def begin(day: Any) -> None:
            for kind, past in self._past.items():
                past |= desk.picture()[kind]
            begin_day(day)

        desk.begin_day = begin
        try:
            self._settle(*args)
        finally:
            del desk.begin_day

    def _desk(self) -> Any:
        return next(iter(self._venue.exchange._desks.values()))

    def orders(self) -> dict[str, dict[str, Any]]:
        return self._past["orders"] | self._desk().picture()["orders"]

    def trades(self) -> dict[str, dict[str, Any]]:
        return self._past["trades"] | self._desk().picture()["trades"]

    def lots(self) -> dict[str, tuple[int, int]]:
        """Long and short lots by contract."""
        held = self._desk().picture()["positions"]
        return {
            symbol: tuple(
                int(p[f"volume_{side}_today"]) + int(p[f"volume_{side}_his"])
                for side in ("long", "short")
            )
            for symbol, p in held.items()
        }

    def wait_until_alone(self) -> None:
        """The dead program's sockets are noticed, and all that they held has been read."""
        deadline = time.monotonic() + PATIENCE_S
        while self._venue.watchers or self._venue.traders:
            if time.monotonic() > deadline:
                raise TimeoutError("the exchange still has the dead program's sockets")
            time.sleep(0.001)

    def go_on(self, instants: int) -> None:
        """The market moves and nobody sees it."""

        async def advance() -> None:
            for _ in range(instants):
                self._venue.advance()

        self._exchange._call(advance())


def order_of(order_id: str) -> str:
    """The key of the order that an exchange order belongs to."""
    return order_id.rpartition(".")[0]


def ref_of(key: str) -> int:
    return int(key.rpartition(".")[2])


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
        process = self._serving()
        assert process.stdin is not None
        process.stdin.write(json.dumps(spec) + "\n")
        process.stdin.flush()
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
                    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows: at once too
                elif "failed" in said:
                    failed = said["failed"]
                elif "done" in said:
                    life = Life(said["done"])
                elif "exit" in said:
                    break
            else:
                self.close()  # it cannot fork and has ended
        except TimeoutError:
            self.close()
            raise
        if failed:
            raise RuntimeError(failed)
        return life

    def _serving(self) -> subprocess.Popen[str]:
        if self._process is None:
            pipe = subprocess.PIPE
            command = [sys.executable, str(CHILD)]
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")
            assert self._process.stdout is not None
            self._lines = queue.Queue()
            reader = threading.Thread(
                target=_read, args=(self._process.stdout, self._lines), daemon=True
            )
            reader.start()
            next(self._said())
        return self._process

    def _said(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                raise TimeoutError(f"the program said nothing for {PATIENCE_S:g} s") from None
            if line is None:
                return
            yield line


def _read(pipe: IO[str], lines: queue.Queue[dict[str, Any] | None]) -> None:
    for line in pipe:
        lines.put(json.loads(line))
    lines.put(None)


# ---- a cell


@dataclass(frozen=True)
class Moment:
    """How things stood when a run had died."""

    states: Mapping[str, str]  # of the journal's orders
    orders: Mapping[str, dict[str, Any]]  # of the exchange
    acted: Sequence[int]  # the instants whose acts were done
    is_dead: bool


@dataclass(frozen=True)
class Outcome:
    """How things stood at the end, journal and exchange."""

    orders: pd.DataFrame
    legs: pd.DataFrame
    trades: pd.DataFrame
    stops: pd.DataFrame
    holdings: pd.DataFrame
    books: Books


def play(cell: Cell, program: Program, folder: Path) -> Verdict:
    """Run a cell and judge it."""
    began = time.monotonic()
    verdict = Verdict(cell)
    log = folder / "log.txt"
    try:
        _play(cell, program, folder, verdict, log)
    except Exception as error:  # noqa: BLE001  one cell's trouble is not the others'
        verdict.wrong(f"{type(error).__name__}: {error}")
    verdict.took_s = time.monotonic() - began
    verdict.log = log.read_text(encoding="utf-8") if log.exists() else ""
    return verdict


def _play(cell: Cell, program: Program, folder: Path, verdict: Verdict, log: Path) -> None:
    scenario = SCENARIOS[cell.scenario]
    journal = folder / "journal.sqlite"
    with market(scenario, folder) as exchange:
        exchange.pause()
        books = Books(exchange)
        urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
        base = {"scenario": cell.scenario, "journal": str(journal), "urls": urls, "log": str(log)}

        def run(mark: str = "", row: int = 0, *, writes: bool = False) -> Life:
            spec = base | {"mark": mark, "row": row, "writes": writes}
            life = program.run(spec, exchange.resume, exchange.pause)
            exchange.pause()
            books.wait_until_alone()
            moments.append(_moment_of(journal, books, life))
            return life

        moments: list[Moment] = []
        life = run(cell.mark, cell.row, writes=True)
        if life.heard is None and cell.again:
            life = run(row=cell.again)
            verdict.died_again = life.heard is None
        is_dead = life.heard is None
        if is_dead:
            books.go_on(cell.away)
            life = run()
        verdict.reached = moments[0].is_dead or not (cell.mark or cell.row)
        with Journal(journal) as found:
            outcome = Outcome(
                found.orders(), found.legs(), found.trades(), found.stops(), found.holdings(), books
            )
        judge(verdict, scenario, moments, outcome, life.heard if len(moments) > 1 else None)


def _moment_of(journal: Path, books: Books, life: Life) -> Moment:
    with Journal(journal) as found:
        states = found.orders().set_index("key")["state"].to_dict()
    return Moment(states, books.orders(), life.acted, life.heard is None)


# ---- the judgement


def judge(
    verdict: Verdict,
    scenario: Scenario,
    moments: Sequence[Moment],
    outcome: Outcome,
    heard: Mapping[str, Any] | None,
) -> None:
    """Write into `verdict` whatever does not hold; `heard`: what the last run's strategy heard."""
    _judge_trades(verdict, outcome)
    _judge_legs(verdict, scenario, outcome)
    for row in outcome.orders.itertuples():
        _judge_state(verdict, outcome, row)
        _judge_end(verdict, scenario, moments[0], outcome, row)
    _judge_rows(verdict, scenario, outcome)
    _judge_lots(verdict, outcome)
    if heard is not None:
        _judge_told(verdict, moments[-2], outcome, heard)


def _judge_trades(verdict: Verdict, outcome: Outcome) -> None:
    """Each trade of the exchange is in the journal once."""
    booked = {
        (t["order_id"], t["trade_id"], t["price"], t["volume"])
        for t in outcome.books.trades().values()
    }
    columns = ["order_id", "trade_id", "price", "volume"]
    kept = [tuple(row) for row in outcome.trades[columns].itertuples(index=False)]
    for trade in booked - set(kept):
        verdict.loss(f"trade {trade} is not in the journal")
    for trade in set(kept) - booked:
        verdict.wrong(f"trade {trade} is in the journal and never happened")
    if len(kept) != len(set(kept)):
        verdict.duplicate("a trade is in the journal twice")


def _judge_legs(verdict: Verdict, scenario: Scenario, outcome: Outcome) -> None:
    """Each exchange order is a leg of the journal, sent once, and no lot was sent twice."""
    received = outcome.books.received
    for order_id in {each for each in received if received.count(each) > 1}:
        verdict.duplicate(f"{order_id} was sent {received.count(order_id)} times")
    legs = outcome.legs.set_index("order_id")
    for order_id, picture in outcome.books.orders().items():
        if order_id not in legs.index:
            verdict.loss(f"exchange order {order_id} is not in the journal")
            continue
        leg = legs.loc[order_id]
        asked = (picture["direction"], picture["offset"], picture["volume_orign"])
        if asked != (leg["direction"], leg["offset"], leg["volume"]):
            verdict.wrong(f"{order_id} is {asked} at the exchange and {leg.to_dict()} in the journal")
        is_alive = picture["status"] == "ALIVE"
        if is_alive != (leg["state"] in ("sending", "alive")):
            verdict.wrong(f"{order_id} is {picture['status']} and {leg['state']} in the journal")
        if not is_alive and leg["left"] != picture["volume_left"]:
            verdict.wrong(f"{order_id} has {picture['volume_left']} left, {leg['left']} in the journal")
    for order_id in set(legs.index) - set(outcome.books.orders()):
        if legs.loc[order_id]["state"] != "dropped":
            verdict.wrong(f"{order_id} is {legs.loc[order_id]['state']} and never reached the exchange")
    volumes = {row.key: json.loads(row.ticket)["volume"] for row in outcome.orders.itertuples()}
    for key, lots in outcome.books.most.items():
        if lots > volumes.get(key, 0):
            verdict.duplicate(f"order {key} of {volumes.get(key, 0)} lots had {lots} at the exchange")


def _signed(outcome: Outcome, key: str) -> int:
    """Lots of an order that the exchange has traded, sold ones negative."""
    trades = [t for t in outcome.books.trades().values() if order_of(t["order_id"]) == key]
    return sum(t["volume"] if t["direction"] == "BUY" else -t["volume"] for t in trades)


def _judge_state(verdict: Verdict, outcome: Outcome, row: Any) -> None:
    """The journal's word on an order is what the exchange says."""
    volume = json.loads(row.ticket)["volume"]
    traded = abs(_signed(outcome, row.key))
    is_full, is_over = traded == volume, row.state in ENDED
    alive = [
        each["order_id"]
        for each in outcome.books.orders().values()
        if order_of(each["order_id"]) == row.key and each["status"] == "ALIVE"
    ]
    text = f"order {row.key} is {row.state}, {row.phase}, and {traded} of {volume} have traded"
    if is_full != (row.state == "Completed"):
        verdict.wrong(text)
    if is_over and alive:
        verdict.wrong(f"{text}, while {alive} live at the exchange")
    if is_over != (row.phase == "done"):
        verdict.wrong(text)
    if not is_over and row.phase in ("due", "leaving"):
        verdict.wrong(f"{text}: nothing moves it on")
    if not is_over and row.phase == "working" and not alive:
        verdict.wrong(f"{text}, and nothing of it lives at the exchange")
    if not is_over and row.phase != "working" and alive:
        verdict.wrong(f"{text}, while {alive} live at the exchange")
    if row.state == "Accepted" and traded:
        verdict.wrong(text)


def _judge_end(
    verdict: Verdict, scenario: Scenario, moment: Moment, outcome: Outcome, row: Any
) -> None:
    """An order came to what it was meant to, or was given up and said so."""
    ref, lots = ref_of(row.key), _signed(outcome, row.key)
    expected = scenario.ends.get(ref)
    if expected is None:
        verdict.wrong(f"order {row.key} was never written")
        return
    is_early = max(scenario.acts) not in moment.acted
    if (row.state, lots) in (expected, scenario.early.get(ref) if is_early else None):
        return
    text = f"order {row.key} is {row.state} with {lots} lots ({row.reason!r}), expected {expected}"
    if ref in scenario.protects:
        if not _parent_failed(scenario, outcome, row):
            verdict.loss(text)
        return
    if _was_whole(moment, row) and "modified" not in scenario.facts:
        verdict.loss(text)
    elif row.state not in ("Canceled", "Rejected") or not row.reason:
        verdict.loss(f"{text}, without a reason")
    elif abs(lots) > abs(expected[1]):
        verdict.duplicate(text)


def _parent_failed(scenario: Scenario, outcome: Outcome, row: Any) -> bool:
    """Whether a child ended because its parent did without a fill."""
    parent = json.loads(row.ticket)["parent"]
    return bool(parent) and not _signed(outcome, parent) and row.state == "Canceled"


def _was_whole(moment: Moment, row: Any) -> bool:
    """Whether all lots of the order were at the exchange, or traded, when the run died."""
    mine = [p for p in moment.orders.values() if order_of(p["order_id"]) == row.key]
    lots = sum(
        p["volume_orign"] - (0 if p["status"] == "ALIVE" else p["volume_left"]) for p in mine
    )
    return lots == json.loads(row.ticket)["volume"]


def _judge_rows(verdict: Verdict, scenario: Scenario, outcome: Outcome) -> None:
    """An order without a row was never sent; a stop that stands has its row."""
    refs = {ref_of(key) for key in outcome.orders["key"]}
    for ref in scenario.ends.keys() - refs:
        if any(ref_of(order_of(each)) == ref for each in outcome.books.received):
            verdict.loss(f"order {ref} was sent and has no row")
    stops = outcome.stops.set_index("key")["state"].to_dict()
    for row in outcome.orders.itertuples():
        if row.key in stops and (stops[row.key] == "ended") != (row.state in ENDED):
            verdict.wrong(f"stop {row.key} is {stops[row.key]}, its order {row.state}")


def _judge_lots(verdict: Verdict, outcome: Outcome) -> None:
    """What the journal says is held is held."""
    kept = {row.symbol: (row.long, row.short) for row in outcome.holdings.itertuples()}
    for symbol, lots in outcome.books.lots().items():
        if lots != kept.get(symbol, (0, 0)):
            verdict.wrong(f"{symbol}: {lots} held, {kept.get(symbol)} in the journal")


def _judge_told(
    verdict: Verdict, moment: Moment, outcome: Outcome, heard: Mapping[str, Any]
) -> None:
    """The second run's strategy was told of each order that lived, and counted each lot once."""
    last = {told["key"]: told for told in heard["orders"] if told["key"]}
    for row in outcome.orders.itertuples():
        if moment.states.get(row.key) in ENDED:
            if row.key in last:
                verdict.wrong(f"order {row.key} had ended and was told again")
            continue
        told = last.get(row.key)
        lots = _signed(outcome, row.key)
        if told is None:
            verdict.loss(f"the strategy was never told of order {row.key}")
        elif (told["status"], told["lots"], told["bits"]) != (row.state, lots, lots):
            verdict.wrong(f"order {row.key} is {row.state} with {lots} lots, told {told}")
    for key in last:
        ends = [t for t in heard["orders"] if t["key"] == key and t["status"] in ENDED]
        if len(ends) > 1:
            verdict.duplicate(f"the end of order {key} was told {len(ends)} times")
    net = sum(long - short for long, short in outcome.books.lots().values())
    if (heard["counted"], heard["net"]) != (net, net):
        verdict.wrong(f"{net} lots are held, told {heard['counted']} and {heard['net']}")
    differences = [text for name, *text in heard["notices"] if name == "JOURNAL_DIFFERENCE"]
    if differences:
        verdict.wrong(f"told of a difference that is none: {differences}")


# ---- many cells


@contextmanager
def programs(count: int) -> Iterator[queue.Queue[Program]]:
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


def play_all(
    wanted: Sequence[Cell], folder: Path, jobs: int = 2, done: Callable[[Verdict], None] | None = None
) -> dict[Cell, Verdict]:
    """Play cells, `jobs` at a time."""
    with programs(jobs) as pool, ThreadPoolExecutor(jobs) as workers:

        def one(numbered: tuple[int, Cell]) -> Verdict:
            number, cell = numbered
            place = folder / f"{number}"
            place.mkdir()
            program = pool.get()
            try:
                verdict = play(cell, program, place)
            finally:
                pool.put(program)
            if done is not None:
                done(verdict)
            return verdict

        return {verdict.cell: verdict for verdict in workers.map(one, enumerate(wanted))}


def table(verdicts: Mapping[Cell, Verdict]) -> Table:
    """Marks down, order types across."""
    printed = Table(title="killed at ... / order type", title_justify="left")
    printed.add_column("killed between", no_wrap=True)
    for name in SCENARIOS:
        printed.add_column(name, justify="center", width=8)
    for mark in MARKS:
        row = []
        for name in SCENARIOS:
            verdict = verdicts.get(Cell(name, mark.name))
            row.append("-" if verdict is None else "ok" if verdict.holds else "[red]FAIL[/red]")
        printed.add_row(mark.name, *row)
    return printed


def summary(verdicts: Mapping[Cell, Verdict]) -> str:
    """Cells, duplicates, losses."""
    found = verdicts.values()
    return (
        f"{len(found)} cells, {sum(not v.holds for v in found)} do not hold: "
        f"{sum(v.duplicates for v in found)} duplicates, {sum(v.losses for v in found)} losses"
    )


def main() -> int:
    wanted = [each for each in cells() if all(part in str(each) for part in sys.argv[1:])]
    console = Console(width=None if sys.stdout.isatty() else 240)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        verdicts = play_all(wanted, Path(folder))
    console.print(table(verdicts))
    for verdict in verdicts.values():
        if not verdict.holds:
            console.print(f"{verdict.cell}: reached {verdict.reached}")
            for fault in verdict.faults:
                console.print(f"    {fault}", markup=False)
    console.print(f"{summary(verdicts)}; {time.monotonic() - began:.0f} s")
    return int(any(not verdict.holds for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
