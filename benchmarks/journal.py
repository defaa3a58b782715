"""What the journal costs: a trading day through Cerebro with a journal on disk, against none.

    python benchmarks/journal.py [--rounds N] [--day 2025-09-16]

Every figure is measured by this run, each day in a process of its own, on the embedded exchange in
lock-step: a copper contract with its night session, minute bars from ticks, an order every five
minutes, a trailing stop at each position. "None" has no journal at all, not even one in memory. The
rounds take both in turn; the least time of each counts, as what else the machine does only adds to
it. CPU: the time of Cerebro's thread, in which the exchange's own work is not: the target is about
it. Inside: the part of it that was spent in the journal, which one run tells by itself. Wall time
holds the disk's too.

Exit code 1: the day with a journal takes more than 1.05 times the CPU time of the day without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
from pathlib import Path

from _child import answer_of
from rich.console import Console
from rich.table import Table

CLIENT = Path(__file__).resolve().parent / "_journal_client.py"
RATIO = 1.05
PATIENCE_S = 900
Found = dict[str, float]
console = Console(width=100)


def measure(day: str, *, has_journal: bool) -> Found:
    """One day in a process of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        journal = str(Path(folder) / "orders.sqlite") if has_journal else None
        command = [sys.executable, "-X", "utf8", str(CLIENT)]
        asked = json.dumps({"journal": journal, "day": day})
        found: Found = answer_of([*command, asked], "the measurement", PATIENCE_S)
    return found


def measure_all(day: str, rounds: int) -> dict[str, list[Found]]:
    """Both, round by round."""
    found: dict[str, list[Found]] = {"none": [], "on disk": []}
    for number in range(rounds):
        kinds = list(found) if number % 2 else list(found)[::-1]
        for kind in kinds:
            took = measure(day, has_journal=kind == "on disk")
            found[kind].append(took)
            text = f"round {number + 1}  {kind}  {took['cpu_s']:.2f} s CPU, {took['wall_s']:.2f} s"
            console.print(text, style="dim")
    return found


def report(found: dict[str, list[Found]]) -> float:
    """Print what was found; returns the ratio of the least CPU times."""
    table = Table(title="A trading day through Cerebro", title_justify="left")
    names = ("journal", "CPU s", "inside s", "wall s", "ticks", "orders", "records")
    for name in names:
        table.add_column(name, justify="left" if name == "journal" else "right")
    least: dict[str, Found] = {}
    for kind, rounds in found.items():
        best = least[kind] = {name: min(each[name] for each in rounds) for name in rounds[0]}
        times = [f"{best[name]:.2f}" for name in ("cpu_s", "inside_s", "wall_s")]
        counts = [f"{best[name]:,.0f}" for name in ("ticks", "orders", "rows")]
        table.add_row(kind, *times, *counts)
    console.print(table)
    disk, none = least["on disk"], least["none"]
    for name, unit in (("cpu_s", "CPU"), ("wall_s", "wall")):
        console.print(f"{unit} time with a journal: {disk[name] / none[name]:.3f} x without")
    console.print(f"inside the journal: {disk['inside_s'] / disk['cpu_s']:.1%} of the CPU time")
    return disk["cpu_s"] / none["cpu_s"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--day", default="2025-09-16", help="a trading day, ISO")
    options = parser.parse_args()
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {load}"
    console.print(f"{where}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    ratio = report(measure_all(options.day, options.rounds))
    if ratio > RATIO:
        console.print(f"target missed: {ratio:.3f}, {RATIO} is wanted", style="red")
    return 1 if ratio > RATIO else 0


if __name__ == "__main__":
    sys.exit(main())
