"""How long an order takes from the tick that it answers to the wire, ours against raw TqSdk.

    python benchmarks/orders.py [--orders N] [--rounds N]

Every figure is measured by this run, each loop in a client process of its own against the embedded
exchange in another process, in real time: a tick every 20 ms, a price change every 240 ms, each
answered by one order, which opens a lot or closes it. The rounds take the loops in turn, so that
what else the machine does hits all alike; the first orders of a process are not counted. Exit code
1: the target is missed.

A time begins when the client's websocket has the packet with the price change, and ends when the
order is given to the websocket: TqSdk's reading and sending are in it, the network is not. Its
parts: until the program sees the tick, in the call that orders, from there to the wire. CPU: the
time of the client's thread from the one to the other, which a busy machine disturbs least.

raw            The shortest TqSdk program: `get_quote`, `wait_update`, `insert_order`. It sees the
               last of the ticks that come at once. The target is against this one.
raw + ticks    The same with the tick serial, which has every tick, as our feeds have.
buy in next    Cerebro, a feed of ticks, a strategy that calls `buy` or `sell` in `next`; the order
               is checked, split into legs, and in the journal on disk before it leaves.
stop, ticks    A Stop order, held here, that the tick sets off; the same feed.
stop, minutes  The same with a feed of minutes, so that no `next` follows the tick.
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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from _child import answer_of
from rich.console import Console
from rich.table import Table

CLIENT = Path(__file__).resolve().parent / "_orders_client.py"
PEERS = ("raw", "raw + ticks")
LOOPS = (*PEERS, "buy in next", "stop, ticks", "stop, minutes")
RATIO = 1.3  # target, of the medians
WARM = 10  # first orders of a process

SYMBOL = "SHFE.rb2601"
SECOND_NS = 1_000_000_000
OPENS = datetime(2025, 9, 16, 1, tzinfo=timezone.utc)  # 09:00 in Beijing
BEGINS, BEFORE_NS = "2025-09-16T09:02", 120 * SECOND_NS  # there is history before the first tick
SLOW_NS, STEP_NS = SECOND_NS // 2, SECOND_NS // 50
MOVE = 12  # ticks from one price to the other
PRICES, PRICE_TICK = (3_150, 3_160), 1  # CNY
LOGIN_S = 20  # and what comes before the first order
PATIENCE_S = 120
COLUMNS = "datetime last_price volume open_interest bid_price1 bid_volume1 ask_price1 ask_volume1"

PYTHON = (sys.executable, "-X", "utf8")
NAN = float("nan")

# us from the packet until the program sees it, its call has returned, the order is at the socket,
# and CPU us until then; NaN where it makes no call
Answer = tuple[float, ...]
WIRE, CPU = 2, 3
console = Console(width=120)


# ---- one measurement


def write_market(path: Path, orders: int) -> None:
    """Ticks of one contract for so many orders."""
    lasts_ns = LOGIN_S * SECOND_NS + (orders + 2 * WARM) * MOVE * STEP_NS * 2
    times = [*range(SLOW_NS, BEFORE_NS, SLOW_NS), *range(BEFORE_NS, BEFORE_NS + lasts_ns, STEP_NS)]
    opens_ns = int(OPENS.timestamp()) * SECOND_NS
    with path.open("w", encoding="utf-8") as file:
        file.write(COLUMNS.replace(" ", ",") + "\n")
        for count, time_ns in enumerate(times, 1):
            price = PRICES[count // MOVE % 2]
            book = f"{price - PRICE_TICK},20,{price + PRICE_TICK},30"
            file.write(f"{opens_ns + time_ns},{price},{count},5000,{book}\n")


@contextmanager
def exchange(market: Path) -> Iterator[dict[str, str]]:
    """The addresses of an exchange in a process of its own, in real time."""
    options = ["--replay", str(market), "--start", BEGINS, "--speed", "1"]
    command = [*PYTHON, "-m", "tianqin_backtrader", "exchange", *options]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=pipe, stderr=nowhere, encoding="utf-8")
    try:
        lines = [process.stdout.readline() if process.stdout else "" for _ in range(4)]
        if not all(lines):
            raise SystemExit(f"the exchange did not start: {' '.join(command)}")
        exports = [line.removeprefix("export ").strip().partition("=") for line in lines]
        yield {name: url for name, _, url in exports}
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def measure(loop: str, orders: int) -> list[Answer]:
    """The times of one client's orders."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        market = Path(folder) / f"{SYMBOL}.csv"
        write_market(market, orders)
        asked = {"loop": loop, "symbol": SYMBOL, "prices": PRICES, "orders": orders + WARM}
        asked["journal"] = str(Path(folder) / "journal.sqlite")
        with exchange(market) as urls:
            command = [*PYTHON, str(CLIENT), json.dumps(asked | {"urls": urls})]
            patience_s = PATIENCE_S + orders
            rows = answer_of(command, f"the measurement of {loop}", patience_s)[WARM:]
    return [tuple(NAN if ns is None else ns / 1_000 for ns in row) for row in rows]


# ---- all of them


def measure_all(orders: int, rounds: int) -> dict[str, list[list[Answer]]]:
    """The times of each loop, round by round."""
    found: dict[str, list[list[Answer]]] = {loop: [] for loop in LOOPS}
    for number in range(rounds):
        for loop in LOOPS[number % len(LOOPS) :] + LOOPS[: number % len(LOOPS)]:
            answers = measure(loop, orders)
            found[loop].append(answers)
            p50 = _p50([answers])
            console.print(f"round {number + 1}  {loop}  {p50:.0f} us, {_load()}", style="dim")
    return found


def report(found: dict[str, list[list[Answer]]]) -> list[str]:
    """Print what was found; returns the targets that are missed."""
    title = "From the tick to the wire (us); x: medians, CPU too"
    table = Table(title=title, title_justify="left")
    table.add_column("loop", no_wrap=True)
    names = ("orders", "p50", "p99", "mean", "sees", "calls", "sends", "CPU p50")
    for name in (*names, *(f"x {peer}" for peer in PEERS), "by round"):
        table.add_column(name, justify="right")
    missed = []
    for loop, rounds in found.items():
        times = sorted(answer[WIRE] for answers in rounds for answer in answers)
        figures = (_p50(rounds), times[int(0.99 * (len(times) - 1))], statistics.fmean(times))
        cells = [f"{us:,.0f}" for us in (*figures, *_parts(rounds), _p50(rounds, CPU))]
        cells += [_ratios(rounds, found[peer]) for peer in PEERS]
        each = [_p50([own]) / _p50([raw]) for own, raw in zip(rounds, found["raw"], strict=True)]
        cells.append(f"{min(each):.2f}-{max(each):.2f}")
        table.add_row(loop, f"{len(times)}", *(cell.replace("nan", "") for cell in cells))
        ratio = _p50(rounds) / _p50(found["raw"])
        if loop not in PEERS and ratio > RATIO:
            missed.append(f"an order of {loop} takes {ratio:.2f} x raw, {RATIO} is wanted")
    console.print(table)
    return missed


def _p50(rounds: list[list[Answer]], what: int = WIRE) -> float:
    return statistics.median(answer[what] for answers in rounds for answer in answers)


def _ratios(rounds: list[list[Answer]], peer: list[list[Answer]]) -> str:
    return ", ".join(f"{_p50(rounds, what) / _p50(peer, what):.2f}" for what in (WIRE, CPU))


def _parts(rounds: list[list[Answer]]) -> list[float]:
    """Medians of the parts of the way."""
    ways = [(0.0, *answer[: WIRE + 1]) for answers in rounds for answer in answers]
    steps = [[end - begin for begin, end in pairwise(way)] for way in ways]
    return [statistics.median(parts) for parts in zip(*steps, strict=True)]


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"


def _machine() -> str:
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("tqsdk", "backtrader", "websockets")
    )
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_load()}"
    return f"{where}, Python {platform.python_version()}, {packages}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--orders", type=int, default=100, help="of each loop in each round")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    console.print(_machine())
    missed = report(measure_all(options.orders, options.rounds))
    for what in missed:
        console.print(f"target missed: {what}", style="red")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
