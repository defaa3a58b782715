"""What tests of the command line share: commands as processes, configurations, strategies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest
from test_cli import environment

from tianqin_backtrader import cli

TIMEOUT_S = 90
TQSDK_SAYS = "shinnytech.com/blog/disclaimer"  # on stderr, whenever it is imported
PROGRAM = [sys.executable, "-W", "ignore", "-m", "tianqin_backtrader"]

STRATEGIES = '''
import backtrader as bt


class Hold(bt.Strategy):
    """Wants `lots` at any time, and asks for them at every bar."""

    params = (("lots", 2),)
    order = None

    def notify_order(self, order):
        if not order.alive():
            self.order = None

    def next(self):
        change = self.p.lots - self.position.size
        if not self.data.history_phase and self.order is None and change:
            self.order = self.buy(size=change) if change > 0 else self.sell(size=-change)


class Raise(bt.Strategy):
    def next(self):
        if not self.data.history_phase:
            raise ZeroDivisionError("the strategy's own mistake")
'''

CONFIG = """
[strategy]
path = "{strategy}"
[[data]]
symbol = "SHFE.cu2511"
history = 5
[store]
mode = "demo"
journal = "a.sqlite"
[demo]
end = {end}
speed = {speed}
"""


def config(
    folder: Path,
    strategy: str = "mine.py:Hold",
    end: str = "2025-09-15T21:10:00",
    speed: float = 0,
    more: str = "",
    name: str = "a.toml",
) -> Path:
    """A configuration with its strategies; the embedded exchange trades from 21:00 until `end`."""
    (folder / "mine.py").write_text(STRATEGIES, encoding="utf-8")
    text = CONFIG.format(strategy=strategy, end=end, speed=speed) + more
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def command(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command of the package, run in `folder` to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


@contextmanager
def running(folder: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; what it says goes to a file, `said`, since nobody empties a pipe."""
    with (folder / "said").open("w", encoding="utf-8") as said:
        program = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=folder,
            env=environment(folder, PYTHONUNBUFFERED="1", **more),
            stdout=said,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        try:
            yield program
        finally:
            program.kill()
            program.wait(timeout=TIMEOUT_S)


def until(ready: Callable[[], object], what: str, patience_s: float = 45.0) -> None:
    """Wait for another process."""
    deadline = monotonic() + patience_s
    while not ready():
        assert monotonic() < deadline, f"no {what} within {patience_s:g} s"
        sleep(0.05)


class Here:
    """Commands in this process, where one of its own would only take time."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capture = patch, capture
        for name in [name for name in os.environ if name.startswith(("TIANQIN_", "TQ_"))]:
            patch.delenv(name)
        patch.setattr(sys, "path", list(sys.path))
        patch.setenv("COLUMNS", "160")

    def __call__(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        self._patch.chdir(folder)
        self._patch.setenv("HOME", str(folder))
        self._patch.setattr(sys, "argv", ["tianqin_backtrader", *arguments])
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said, code = self._capture.readouterr(), int(ended.value.code or 0)
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Lines of stderr without TqSdk's own."""
    return [line for line in done.stderr.splitlines() if TQSDK_SAYS not in line]


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One clear line on stderr that holds `words`, and exit code 2."""
    assert done.returncode == 2, done.stderr + done.stdout
    (line,) = errors(done)
    for word in words:
        assert word in line
