"""TqSdk's own tutorial programs run unchanged against the embedded exchange.

They are the proof that the exchange is one to TqSdk, not only to us: written by its authors,
installed with it, pointed here by environment variables alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tianqin_backtrader import LocalExchange

PATIENCE_S = 90.0

# Program, and what it prints when it has seen what it came for.
PROGRAMS = {
    "t10": "2025-",  # a quote
    "t20": "最新价变化",  # quotes, live
    "t30": "新K线",  # ticks and klines, live
    "t40": "可用资金",  # an order, its account and position
    "t41": "已平今",  # open two lots, close them today
    "t52": "KQ.m@SHFE.au",  # contract queries
    "t53": "DCE.jd",  # main contracts
    "t60": "市价平仓",  # market orders on a moving average of 10 s klines
    "t70": "全部成交",  # TargetPosTask on a moving average
    "t71": "全部成交",  # TargetPosTask on SHFE: close today, close history, open
    "t80": "当前价差",  # two contracts
    "t92": "http://127.0.0.1",  # the web chart
    "t94": "http://127.0.0.1",  # two klines on one chart
    "underlying_symbol": "SHFE.rb",  # main contract's underlying
}


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(speed=120) as running:
        yield running


def tutorial(name: str) -> Path:
    spec = find_spec("tqsdk")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "demo" / "tutorial" / f"{name}.py"


@pytest.mark.parametrize("name", PROGRAMS)
def test_tutorial_runs_unchanged(name: str, exchange: LocalExchange, tmp_path: Path) -> None:
    environment = (
        os.environ
        | exchange.environment()
        | {
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            "NO_PROXY": "127.0.0.1",
            "HOME": str(tmp_path),  # TqSdk writes its logs and caches below it
            "USERPROFILE": str(tmp_path),
        }
    )
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(tutorial(name))],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    watchdog = threading.Timer(PATIENCE_S, program.kill)
    watchdog.start()
    seen: list[str] = []
    try:
        assert program.stdout is not None
        for line in program.stdout:
            seen.append(line)
            if PROGRAMS[name] in line:
                return
        pytest.fail(f"{name}.py ended without {PROGRAMS[name]!r}:\n{''.join(seen[-30:])}")
    finally:
        watchdog.cancel()
        program.kill()
        program.wait()
        if program.stdout is not None:
            program.stdout.close()
