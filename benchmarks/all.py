"""Every benchmark against its peers in one run; writes `benchmarks/README.md`.

    python benchmarks/all.py [--quick] [--only bars] [--out FILE]

A line of log for each part. vn.py is installed by pip into an environment that is thrown away, but
not in the quick form, which is for tests: one round of each part, few ticks. With `--only` the page
is not written, its tables are printed. Exit code 0 when all parts ran; targets that are missed are
in the text. Two cores that had other work too took a quarter of an hour.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from string import Template

import _bars_part
import _loop_part
import _rest_part

HERE = Path(__file__).resolve().parent
PACKAGES = ("tqsdk", "backtrader", "pandas", "numpy", "websockets")
QUIET_LOAD = 0.6  # of the cores, before the first part

Texts = dict[str, str]
Part = Callable[..., Texts]
PARTS: dict[str, Part] = {
    "bars": _bars_part.run,
    "loop": _loop_part.run,
    "orders": _loop_part.run_orders,
    "history": _rest_part.run_history,
    "memory": _rest_part.run_memory,
    "journal": _rest_part.run_journal,
}


def run_parts(names: list[str], *, quick: bool) -> Texts:
    """What each part says, one after the other, with a line of log for each."""
    texts: Texts = {}
    for name in names:
        began = time.monotonic()
        texts |= run_part(name, quick=quick)
        log(f"{name}: done in {time.monotonic() - began:.0f} s, load {load()}")
    return texts


def run_part(name: str, *, quick: bool) -> Texts:
    """Once more where it failed: the machine may have been too busy."""
    try:
        return PARTS[name](quick=quick)
    except SystemExit as error:
        log(f"{name}: once more, because {error}")
        return PARTS[name](quick=quick)


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def load() -> str:
    """How many processes wanted a core, of late."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def machine() -> str:
    """CPU, cores and interpreter; nothing that names the machine."""
    system, python = platform.system(), platform.python_version()
    return f"{cpu_model()}, {os.cpu_count()} cores, {system}, Python {python}"


def cpu_model() -> str:
    """As the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load_note(before: str) -> str:
    """Whether the absolute figures can be trusted."""
    if before == "unknown" or float(before) <= QUIET_LOAD * (os.cpu_count() or 1):
        return "Nothing else of weight ran when it began."
    return "Other work ran at the same time: look at the ratios, not at the absolute figures."


def page(texts: Texts) -> str:
    """The whole page. Raises `KeyError` for a figure that no part has given."""
    template = Template((HERE / "_template.md").read_text(encoding="utf-8"))
    return template.substitute(texts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a smoke run, without vn.py")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts; prints their tables")
    parser.add_argument("--out", type=Path, default=HERE / "README.md")
    options = parser.parse_args()
    before = load()
    texts = run_parts(options.only or list(PARTS), quick=options.quick)
    if options.only:
        print("\n\n".join(f"{name}\n\n{text}" for name, text in texts.items()))
        return 0
    peers = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    texts |= {"machine": machine(), "peers": f"{peers}, vnpy {texts['vnpy_version']}"}
    texts |= {"load_before": before, "load_after": load(), "load_note": load_note(before)}
    options.out.write_text(page(texts), encoding="utf-8")
    log(f"written: {options.out.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
