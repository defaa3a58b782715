"""From ticks to minute bars: are they the official ones, and what do they cost? For `all.py`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _bars_market import Tape, tapes
from _child import answer_of
from _exactness import FIELDS, Verdict, judge
from _figures import ratios, share, spread, table, times, wins

HERE = Path(__file__).resolve().parent
PATIENCE_S = 300
ROUNDS = 3
# What vn.py's `BarGenerator` imports; vn.py's own requirements bring a desktop program.
VNPY = ("vnpy", "numpy", "ta-lib", "tzlocal", "tzdata")

NAMES = {
    "ours": "**ours**: `BarBuilder`",
    "recorded": "**ours**: `RecordedData` in Cerebro",
    "feed": "**ours**: exchange, TqApi, feed, Cerebro",
    "resampler": "Backtrader: `PandasData` of ticks, `resampledata`",
    "live_resampler": "Backtrader: the same, as with live feeds",
    "vnpy": "vn.py: `BarGenerator`",
}
SHORT = {
    "ours": "our `BarBuilder`",
    "vnpy": "vn.py's `BarGenerator`",
    "recorded": "our `RecordedData`",
    "resampler": "Backtrader's `resampledata`",
}
EXACT = ("ours", "recorded", "feed", "resampler", "live_resampler", "vnpy")
COSTS = ("ours", "vnpy", "recorded", "resampler")
PAIRS = (("vnpy", "ours"), ("resampler", "recorded"))
HEADER = (
    "market", "builder", "stamps", "official minutes", "bars made", "**all fields equal**",
    *FIELDS, "equal with TqSdk's open", "equal as stamped", "missing", "no trading minute",
)  # fmt: skip

Answer = dict[str, Any]


def run(*, quick: bool) -> dict[str, str]:
    """The texts of this part."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, _peer(quick) as python:
        folder = Path(name)
        markets = list(tapes(folder, quick=quick))
        exact, version = exactness(markets, python)
        costs = measure_costs(markets[0], python, 1 if quick else ROUNDS)
    return {
        "exactness": _exactness_table(exact),
        "resampler_ways": _ways(exact[0][1]),
        "bar_costs": _cost_table(markets[0], costs),
        "bar_verdicts": _verdicts(costs),
        "bar_rounds": str(len(costs["ours"])),
        "vnpy_version": version or "not installed",
    }


# ---- exactness


def exactness(
    markets: Sequence[Tape], python: str | None
) -> tuple[list[tuple[Tape, dict[str, Verdict]]], str]:
    """Every builder on every market, and vn.py's version; two at a time, as nothing is timed.

    Backtrader as with live feeds on the first market only.
    """
    pairs = [(tape, name) for tape in markets for name in EXACT if name != "vnpy" or python]
    pairs = [(t, name) for t, name in pairs if name != "live_resampler" or t is markets[0]]
    longest_first = sorted(pairs, key=lambda pair: (pair[1] != "feed", -pair[0].ticks))
    with ThreadPoolExecutor(2) as pool:
        jobs = {(t.symbol, name): pool.submit(build, t, name, python) for t, name in longest_first}
    found, version = [], ""
    for tape in markets:
        verdicts = {}
        for each, name in pairs:
            if each is tape:
                answer = jobs[tape.symbol, name].result()
                version = answer.get("version", version)
                stamps_end = name != "vnpy"
                verdicts[name] = judge(answer["bars"], tape.official, stamps_end=stamps_end)
        found.append((tape, verdicts))
    return found, version


def build(tape: Tape, name: str, python: str | None) -> Answer:
    """The bars of one builder, made in a process of its own."""
    script = "_bars_vnpy.py" if name == "vnpy" else "_bars_worker.py"
    interpreter = python if name == "vnpy" and python else sys.executable
    asked = json.dumps(tape.asked() | {"builder": name})
    command = [interpreter, "-X", "utf8", str(HERE / script), asked]
    answer: Answer = answer_of(command, f"the bars of {name}", PATIENCE_S)
    return answer


def _exactness_table(found: Sequence[tuple[Tape, dict[str, Verdict]]]) -> str:
    rows = []
    for tape, verdicts in found:
        for name in _distinct(verdicts):
            v = verdicts[name]
            equal = f"**{v.equal:,}** ({share(v.equal, v.official)})"
            counts = (*v.by_field, v.carried, v.as_stamped, v.missing, v.outside + v.twice)
            stamps = "begin" if name == "vnpy" else "end"
            made = (f"{v.official:,}", f"{v.made:,}", equal)
            rows.append((tape.title, NAMES[name], stamps, *made, *(f"{n:,}" for n in counts)))
    return table(HEADER, rows, left=3)


def _ways(verdicts: dict[str, Verdict]) -> str:
    same = verdicts["live_resampler"] == verdicts["resampler"]
    return "gives the same counts" if same else "gives other counts, which have a row of their own"


def _distinct(verdicts: dict[str, Verdict]) -> list[str]:
    """Backtrader's resampler once, where both ways of running it give the same counts."""
    same = verdicts.get("live_resampler") == verdicts["resampler"]
    return [name for name in verdicts if name != "live_resampler" or not same]


# ---- cost


def measure_costs(tape: Tape, python: str | None, rounds: int) -> dict[str, list[float]]:
    """CPU us per tick, round by round, the builders in turn."""
    names = [name for name in COSTS if name != "vnpy" or python]
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(build(tape, name, python)["cpu"] / tape.ticks * 1e6)
    return found


def _cost_table(tape: Tape, costs: dict[str, list[float]]) -> str:
    rows = []
    for peer, own in PAIRS:
        if peer in costs:
            ratio = times(ratios(costs[own], costs[peer]))
            cells = (NAMES[own], NAMES[peer], f"**{ratio}**")
            rows.append((*cells, spread(costs[own]), spread(costs[peer]), f"{tape.ticks:,}"))
    header = ("ours", "peer", "ours / peer", "ours, us a tick", "peer, us a tick", "ticks")
    return table(header, rows, left=2)


def _verdicts(costs: dict[str, list[float]]) -> str:
    said = []
    for peer, own in PAIRS:
        if peer in costs:
            ratio = statistics.median(ratios(costs[own], costs[peer]))
            said.append(wins(ratio, SHORT[own], SHORT[peer], "the CPU time"))
    return " ".join(said)


# ---- vn.py


@contextmanager
def _peer(quick: bool) -> Iterator[str | None]:
    """The interpreter of a throw-away environment with vn.py; None in the quick form."""
    if quick:
        yield None
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        venv.create(name, with_pip=True)
        scripts = Path(name) / ("Scripts" if sys.platform == "win32" else "bin")
        python = str(scripts / "python")
        command = [python, "-m", "pip", "install", "-q", "--no-deps", *VNPY]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if done.returncode:
            raise SystemExit(f"vn.py could not be installed: {done.stderr[-2_000:]}")
        yield python
