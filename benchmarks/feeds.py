"""What a feed costs, how late its bars are, whether memory stays flat, how fast history is.

    python benchmarks/feeds.py [--quick] [--only cpu|delay|memory|history]
    python benchmarks/feeds.py --only memory --ticks 10000000

Every figure is measured by this run, each in a client process of its own, against the embedded
exchange in another process. Exit code 1: a target is missed. CPU seconds are compared by their
minimum, which a busy machine disturbs least; the median beside it tells how busy it was.

cpu      CPU seconds of the client process, all its threads, per tick, from the moment the market
         is let go until so many ticks are read, counted by the ids of the tick serials; start-up
         and history are not in it. The exchange is in lock-step: all get the same ticks in the
         same packets. `raw` is the shortest TqSdk program that has all ticks: quote, tick serial,
         wait_update; `raw + klines` has TqSdk's minute bars besides: its serials are DataFrames,
         ours are not. Two more loops tell where ours is spent, and are no peers: `quotes only`
         sees the last tick of a packet and can build no bars; `TqSdk alone` has the subscriptions
         of our feeds and reads nothing. TqSdk's log is off for all. Twelve ticks a minute: at two
         a second bars would weigh less.
delay    Real time, two ticks a second of every contract, each 4.9 ms after the one before it: how
         long after the end of its minute a bar is in `next()`. The exchange's clock counts: its
         process notes each minute's smallest (monotonic clock - stamp of the newest tick), and
         both processes read one clock. No network is in it. Bars of one minute leave together,
         when all contracts have ticked again or 0.5 s of grace are over: a run has as many
         independent samples as minutes. A silent contract ticks every 170 s.
memory   Resident memory of a client with 20 contracts, Cerebro with exactbars=1, in lock-step,
         about twenty ticks a packet, none skipped. A million ticks are seven hours of them. Beside
         it ten million through our part alone, without TqSdk and Backtrader. Flat: what the last
         nine tenths of the ticks add.
history  10,000 klines asked for, which are 9,999 bars before the open one: until the last is in
         `next()`. PandasData's time begins at the call of `cerebro.run`, its bars in a DataFrame
         (* with preload and runonce off, as live feeds run); ours at the strategy's start, with
         the bars here (this has the target), at that same call, and at the login before it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
RECORD = HERE.parents[1] / "shared" / "data" / "klines" / "60s" / "SHFE.cu1905.csv.gz"
CPU_RATIO, LATEST_S, GROWTH, HISTORY_RATIO = 1.25, 1.0, 0.05, 1.2  # targets
MINUTE_NS = 60_000_000_000
HISTORY_BARS = 9_999

Row = dict[str, Any]
console = Console(width=120)


# ---- processes


def started(script: str, **asked: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-X", "utf8", str(HERE / script), json.dumps(asked)]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, encoding="utf-8")


def told(process: subprocess.Popen[str]) -> Iterator[Row]:
    """What a worker says; TqSdk prints between."""
    for line in process.stdout or ():
        if line.startswith("{"):
            yield json.loads(line)


@contextmanager
def exchange(**asked: Any) -> Iterator[Row]:
    """The exchange's addresses and contracts; when it has ended, also what it said at last."""
    process = started("_worker_exchange.py", **asked)
    said = told(process)
    market = next(said, None)
    if market is None or process.stdin is None:
        raise SystemExit("the exchange did not start")
    try:
        yield market
    finally:
        process.stdin.close()
        for row in said:
            market |= row
        process.wait(60)


def client(market: Row, measure: str, **asked: Any) -> Iterator[Row]:
    """What a client tells of one measurement, as it comes."""
    process = started("_worker_client.py", measure=measure, urls=market["urls"], **asked)
    row = None
    for row in told(process):
        yield row
    if process.wait() or row is None:
        raise SystemExit(f"the measurement of {measure} failed ({process.returncode})")


# ---- CPU

PEERS = ("raw", "raw + klines")
LOOPS: dict[str, tuple[str, Row]] = {  # what the client measures
    "raw": ("raw", {"klines": False}),
    "raw + klines": ("raw", {"klines": True}),
    "ours": ("feeds", {"history": 200}),
    "(TqSdk alone)": ("bare", {}),
    "(quotes only)": ("quotes", {}),
}


def cpu(options: argparse.Namespace) -> Iterator[str]:
    names = ("contracts", "loop", "ticks", "min", "median", *(f"x {peer}" for peer in PEERS))
    table = _table("CPU of the client per tick, without start-up (us)", *names)
    ticks, times = (3_000, 2) if options.quick else (10_000, 4)
    for count in (1, 10, 100):
        costs: dict[str, list[float]] = {loop: [] for loop in LOOPS}
        for _ in range(times):
            raw: Row = {"ticks": ticks}
            for loop in LOOPS:
                row = loop_once(loop, count, raw)
                raw = row if loop == "raw" else raw
                costs[loop].append(cost_us(row))
        for loop, found in costs.items():
            ratios = [min(found) / min(costs[peer]) for peer in PEERS]
            cells = [f"{min(found):.0f}", f"{statistics.median(found):.0f}"]
            table.add_row(str(count), loop, f"{ticks:,}", *cells, *(f"{r:.2f}" for r in ratios))
        ratio = min(costs["ours"]) / min(costs["raw"])
        if ratio > CPU_RATIO:
            yield f"cpu of {count} contracts is {ratio:.2f} x raw"
    console.print(table)


def loop_once(loop: str, contracts: int, raw: Row) -> Row:
    """One measurement; `raw`: what the raw loop took for the same ticks."""
    measure, about = LOOPS[loop]
    with exchange(paused=True) as market:
        others = [symbol for symbol in market["symbols"] if symbol not in market["busy"]]
        symbols = (market["busy"] + others[:: len(others) // 100])[:contracts]
        asked = {"symbols": symbols, "marks": [raw["ticks"]], "updates": raw.get("updates")}
        [row] = client(market, measure, **asked, **about)
    return row


def cost_us(row: Row) -> float:
    return float(row["cpu"] / row["ticks"] * 1e6)


# ---- delay


def delay(options: argparse.Namespace) -> Iterator[str]:
    names = ("feeds", "minutes", "bars", "missing", "p50", "p99", "max")
    table = _table("From the end of a minute to next(), 100 contracts, real time (s)", *names)
    minutes = 1 if options.quick else options.minutes
    for busy, quiet in ((100, 0), (80, 20)):
        late, found = _lateness(minutes, busy, quiet)
        missing = found * (busy + quiet) - len(late)
        what = f"{busy} busy" + (f", {quiet} mostly silent" if quiet else "")
        ranks = (late[int(share * (len(late) - 1))] for share in (0.5, 0.99, 1.0))
        table.add_row(what, *map(str, (found, len(late), missing)), *(f"{s:.3f}" for s in ranks))
        if late[-1] >= LATEST_S or missing:
            yield f"a bar of {what} is {late[-1]:.2f} s late, {missing} are missing"
    console.print(table)


def _lateness(minutes: int, busy: int, quiet: int) -> tuple[list[float], int]:
    """Seconds of each bar, sorted, and how many minutes there were."""
    made = {"busy": busy, "quiet": quiet}
    with exchange(made=made, speed=1.0, start="2025-09-16T09:09:50", clock=True) as market:
        about = {"symbols": market["symbols"], "history": 5, "minutes": minutes}
        live, *rows = client(market, "delay", **about)
    for r in rows:
        r["end_ns"] = r["minute"] * MINUTE_NS + market["behind_ns"][str(r["minute"])]
    fresh = [row for row in rows if row["end_ns"] > live["live_ns"]]  # others are history
    late = [(r["seen_ns"] - r["end_ns"]) / 1e9 for r in fresh for _ in range(r["bars"])]
    return sorted(late), len({row["minute"] for row in fresh})


# ---- memory


def memory(options: argparse.Namespace) -> Iterator[str]:
    most = 250_000 if options.quick else options.ticks
    about = {"history": 200, "memory": True, "cerebro": {"exactbars": 1}, "marks": _marks(most)}
    with exchange(pace=120, paused=True) as market:
        rows = client(market, "feeds", symbols=market["busy"], **about)
        yield from _memory_table("Memory of a client with 20 contracts", rows)
    most = 1_000_000 if options.quick else 10_000_000
    rows = told(started("_worker_series.py", marks=_marks(most)))
    yield from _memory_table("Memory of our part alone, one contract", rows)


def _marks(most: int) -> list[int]:
    """Checkpoints from a tenth of the way on."""
    return [most * part // 40 for part in (4, 7, 10, 15, 20, 25, 30, 35, 40)]


def _memory_table(title: str, rows: Iterator[Row]) -> Iterator[str]:
    names = ("ticks", "calls of next()", "RSS MB", "grown", "objects", "us/tick", "minutes")
    table, first, grown = _table(title, *names), 0.0, 0.0
    for row in rows:
        first = first or row["rss"]
        grown = row["rss"] / first - 1
        memory = (f"{row['rss'] / 1e6:.1f}", f"{grown:+.1%}", f"{row['objects']:,}")
        times = (f"{cost_us(row):.0f}", f"{row['wall'] / 60:.1f}")
        cells = (f"{row['ticks']:,}", f"{row['bars']:,}", *memory, *times)
        table.add_row(*cells)
        console.print("  ".join(cells), style="dim")
    console.print(table)
    if not first or grown > GROWTH:
        yield f"{title.lower()} has grown by {grown:.1%} over nine tenths of the ticks"


# ---- history


def history(options: argparse.Namespace) -> Iterator[str]:
    recorded = {"replay": [str(RECORD)], "start": "2019-04-15T08:55"} if RECORD.exists() else {}
    symbol = "SHFE.cu1905" if recorded else "SHFE.cu2511"
    found: dict[str, list[Row]] = {}
    asked: Row = {"symbols": [symbol], "history": 10_000, "bars": HISTORY_BARS}
    with tempfile.TemporaryDirectory() as folder, exchange(paused=True, **recorded) as market:
        asked["file"] = str(Path(folder) / "bars.csv")
        for _ in range(2 if options.quick else 6):
            [row] = client(market, "history", **asked)
            for name, part in OURS.items():
                found.setdefault(name, []).append(row[part])
            for name, how in PANDAS.items():
                [row] = client(market, "pandas", cerebro=how, **asked)
                found.setdefault(name, []).append(row["run"])
    yield from _history_table(f"{HISTORY_BARS:,} bars of {symbol} to next() (s)", found)


OURS = {"ours, bars at hand": "delivery", "ours, with download": "run", "ours, all": "whole"}
PANDAS: dict[str, Row] = {"PandasData": {}, "PandasData *": {"runonce": False, "preload": False}}


def _history_table(title: str, found: dict[str, list[Row]]) -> Iterator[str]:
    names = ("CPU min", "CPU median", "clock min", "x PandasData", "x PandasData *")
    table = _table(title, "feed", *names)
    least = {name: min(row["cpu"] for row in rows) for name, rows in found.items()}
    peers = [least[name] for name in PANDAS]
    for name in sorted(found, key=least.__getitem__):
        middle = statistics.median(row["cpu"] for row in found[name])
        wall = min(row["wall"] for row in found[name])
        cells = (least[name], middle, wall, *(least[name] / peer for peer in peers))
        table.add_row(name, *(f"{cell:.2f}" for cell in cells))
    console.print(table)
    ratio = least["ours, bars at hand"] / peers[0]
    if ratio > HISTORY_RATIO:
        yield f"history takes {ratio:.2f} x PandasData"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="left" if name in ("loop", "feed", "feeds") else "right")
    return table


Section = Callable[[argparse.Namespace], Iterator[str]]
SECTIONS: dict[str, Section] = {s.__name__: s for s in (cpu, history, delay, memory)}


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("tqsdk", "backtrader", "pandas"))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}"
    return f"{where}, Python {platform.python_version()}, {packages}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer ticks, minutes, repetitions")
    parser.add_argument("--only", choices=SECTIONS, help="one section")
    parser.add_argument("--minutes", type=int, default=3, help="of the delay section")
    parser.add_argument("--ticks", type=int, default=1_000_000, help="of the memory section")
    options = parser.parse_args()
    console.print(_machine())
    missed: list[str] = []
    for name in [options.only] if options.only else SECTIONS:
        missed += SECTIONS[name](options)
    for what in missed:
        console.print(f"target missed: {what}", style="red")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
