"""History, memory over days, and the journal, by the parts of `feeds.py` and `journal.py`.

For `all.py`.
"""

from __future__ import annotations

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import feeds
import journal
from _figures import ratios, sentence, spread, table, target, times, wins

HISTORY_ROUNDS, JOURNAL_ROUNDS = 4, 3
HISTORY_NAMES = {
    "PandasData": "`bt.feeds.PandasData`, as Cerebro runs it by default",
    "PandasData *": "`bt.feeds.PandasData`, as with live feeds (no preload, no runonce)",
    "ours, bars at hand": "**ours**, from the strategy's start, the bars here",
    "ours, with download": "**ours**, with the download from the exchange",
    "ours, all": "**ours**, with the login too",
}
HISTORY_SYMBOL, HISTORY_START = "SHFE.cu2511", "2025-09-16T08:55"

DAYS, QUICK_DAYS, SETTLED_DAY = 12, 2, 4
DAYS_PACE = 2  # ticks a minute
DAYS_SYMBOL = "DCE.m2601"
DAYS_LOOPS: dict[str, tuple[str, int]] = {  # what the client runs, and Cerebro's exactbars
    "raw TqApi: quote, ticks, klines, orders": ("raw", 0),
    "**ours**: Cerebro with `exactbars=1`": ("ours", 1),
    "**ours**: Cerebro as it is by default, which keeps every bar": ("ours", 0),
}
MB = 1e6


# ---- history


def run_history(*, quick: bool) -> dict[str, str]:
    """The texts of the history's part."""
    rounds = 1 if quick else HISTORY_ROUNDS
    found = measure_history(rounds)
    cpu = {name: [row["cpu"] for row in rows] for name, rows in found.items()}
    rows = []
    for name, text in HISTORY_NAMES.items():
        against = [times(ratios(cpu[name], cpu[peer])) for peer in feeds.PANDAS]
        wall = spread([row["wall"] for row in found[name]])
        rows.append((text, *against, spread(cpu[name]), wall))
    header = ("feed", "x PandasData", "x PandasData as live", "CPU s", "clock s")
    return {
        "history": table(header, rows),
        "history_verdict": _history_verdict(cpu),
        "history_rounds": f"{rounds}",
        "history_bars": f"{feeds.HISTORY_BARS:,}",
    }


def measure_history(rounds: int) -> dict[str, list[dict[str, float]]]:
    """CPU and clock seconds of each feed, round by round."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in HISTORY_NAMES}
    asked: dict[str, Any] = {"symbols": [HISTORY_SYMBOL], "history": 10_000}
    asked["bars"] = feeds.HISTORY_BARS
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        feeds.exchange(paused=True, start=HISTORY_START) as market,
    ):
        asked["file"] = str(Path(folder) / "bars.csv")
        for _ in range(rounds):
            [row] = feeds.client(market, "history", **asked)
            for name, part in feeds.OURS.items():
                found[name].append(row[part])
            for name, how in feeds.PANDAS.items():
                [row] = feeds.client(market, "pandas", cerebro=how, **asked)
                found[name].append(row["run"])
    return found


def _history_verdict(cpu: dict[str, list[float]]) -> str:
    own = cpu["ours, bars at hand"]
    ratio = statistics.median(ratios(own, cpu["PandasData"]))
    live = statistics.median(ratios(own, cpu["PandasData *"]))
    what = "the CPU time"
    first = wins(ratio, "our feed with the bars at hand", "PandasData", what)
    met = sentence(target(ratio, feeds.HISTORY_RATIO))
    return f"{first} {met}. Against PandasData run as live feeds are: {live:.2f}. {_whole_way(cpu)}"


def _whole_way(cpu: dict[str, list[float]]) -> str:
    """PandasData needs no exchange."""
    ways = (("ours, with download", "with the download"), ("ours, all", "with the login too"))
    said = []
    for name, way in ways:
        ratio = statistics.median(ratios(cpu[name], cpu["PandasData"]))
        said.append(wins(ratio, f"our feed {way}", "PandasData", "the CPU time"))
    return " ".join(said)


# ---- memory


def run_memory(*, quick: bool) -> dict[str, str]:
    """The texts of the memory's part."""
    days = QUICK_DAYS if quick else DAYS
    settled = 1 if quick else SETTLED_DAY
    rows, last_rss = [], {}
    with ThreadPoolExecutor(2) as pool:  # in lock-step, and nothing is timed
        runs = {name: pool.submit(measure_days, *how, days) for name, how in DAYS_LOOPS.items()}
    for name, run in runs.items():
        found = run.result()
        early, last = found[settled - 1], found[-1]
        last_rss[name] = last["rss"] / MB
        span = max(days - settled, 1)
        rss = [f"{row['rss'] / MB:.1f}" for row in (early, last)]
        each = (last["rss"] - early["rss"]) / span / MB
        more = (last["objects"] - early["objects"]) / span
        counts = [f"{last[what]:,.0f}" for what in ("objects", "lots")]
        rows.append((name, f"{each:+.2f}", f"{more:+,.0f}", *rss, *counts))
    header = (
        "program", "MB more a day", "objects more a day",
        f"RSS MB, day {settled}", f"RSS MB, day {days}", f"objects, day {days}", "lots traded",
    )  # fmt: skip
    about = {"memory_days": f"{days}", "memory_settled": f"{settled}"}
    raw, ours = list(last_rss.values())[:2]
    said = wins(ours / raw, "our program with `exactbars=1`", "the raw program", "the memory")
    about["memory_verdict"] = f"{said} The difference: {ours - raw:+.1f} MB."
    return about | {"memory": table(header, rows)}


def measure_days(loop: str, exactbars: int, days: int) -> list[dict[str, float]]:
    """Resident bytes and objects after each trading day."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        feeds.exchange(pace=DAYS_PACE, paused=True) as market,
    ):
        asked = {"loop": loop, "exactbars": exactbars, "days": days, "symbol": DAYS_SYMBOL}
        asked |= {"journal": str(Path(folder) / "journal.sqlite"), "urls": market["urls"]}
        process = feeds.started("_days_client.py", **asked)
        rows = list(feeds.told(process))
        if process.wait() or len(rows) < days:
            raise SystemExit(f"the days of {loop} failed ({process.returncode})")
    return rows


# ---- journal


def run_journal(*, quick: bool) -> dict[str, str]:
    """The texts of the journal's part."""
    rounds = 1 if quick else JOURNAL_ROUNDS
    journal.console.quiet = True
    found = journal.measure_all("2025-09-16", rounds)
    disk, none = found["on disk"], found["none"]
    cpu = {kind: [row["cpu_s"] for row in rows] for kind, rows in found.items()}
    wall = {kind: [row["wall_s"] for row in rows] for kind, rows in found.items()}
    cells = {
        "on disk": [times(ratios(each["on disk"], each["none"])) for each in (cpu, wall)],
        "none": ["1", "1"],
    }
    rows = []
    for kind, name in (("on disk", "on disk"), ("none", "none at all")):
        counts = [f"{max(row[what] for row in found[kind]):,.0f}" for what in ("orders", "rows")]
        rows.append((name, *cells[kind], spread(cpu[kind]), spread(wall[kind]), *counts))
    header = ("journal", "x none, CPU", "x none, clock", "CPU s", "clock s", "orders", "records")
    inside = statistics.median(row["inside_s"] / row["cpu_s"] for row in disk)
    ratio = min(cpu["on disk"]) / min(cpu["none"])
    return {
        "journal": table(header, rows),
        "journal_verdict": f"By the least CPU times, which a busy machine disturbs least, the "
        f"ratio is {ratio:.3f}: {target(ratio, journal.RATIO)}. Counted from inside, the journal "
        f"has {inside:.1%} of the CPU time.",
        "journal_rounds": f"{len(none)}",
    }
