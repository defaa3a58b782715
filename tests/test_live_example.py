"""`examples/run_live.py --mode live`, as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from live_stage import ACCOUNT, ACCOUNT_PASSWORD, CREDENTIALS, PASSWORD, USER, Wire

from tianqin_backtrader import Journal, LocalExchange

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "run_live.py"
END = datetime(2025, 9, 15, 21, 45)  # noqa: DTZ001  Beijing time


@pytest.fixture
def wire() -> Iterator[Wire]:
    with LocalExchange(end=END) as exchange:
        yield Wire(exchange)


def example(
    wire: Wire, folder: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TIANQIN_", "TQ_"))}
    urls = {f"TIANQIN_{name.upper()}": url for name, url in wire.urls.items()}
    fixed = {"PYTHONIOENCODING": "utf-8", "HOME": str(folder), "COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLE), "--journal", "o.sqlite", *arguments],
        cwd=folder,
        env=kept | CREDENTIALS | urls | fixed | more,
        capture_output=True,
        encoding="utf-8",
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "more", "gates"),
    [
        ((), {}, ("environment:", "confirmation:")),
        (("--confirm-live", ACCOUNT), {}, ("environment:",)),
        ((), {"TIANQIN_LIVE_ENABLED": "true"}, ("confirmation:",)),
        (("--confirm-live", "17"), {"TIANQIN_LIVE_ENABLED": "true"}, ("another account",)),
    ],
    ids=["nothing said", "not enabled", "not confirmed", "another account"],
)
def test_a_shut_gate_is_one_line_and_a_supervisor_does_not_try_again(
    arguments: tuple[str, ...], more: dict[str, str], gates: tuple[str, ...],
    wire: Wire, tmp_path: Path,
) -> None:  # fmt: skip
    done = example(wire, tmp_path, "--mode", "live", *arguments, **more)
    assert done.returncode == 70
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Live")]
    assert all(gate in line for gate in gates)
    assert "Traceback" not in done.stderr
    assert ACCOUNT not in done.stdout + done.stderr
    assert wire.packs == []


def test_live_trades_to_the_end_of_the_market(wire: Wire, tmp_path: Path) -> None:
    done = example(
        wire, tmp_path, "--mode", "live", "--confirm-live", ACCOUNT, "--summary", "s.json",
        TIANQIN_LIVE_ENABLED="true",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert (told["mode"], told["bars"]) == ("live", 45)
    sent = wire.count("insert_order")
    assert sent == len(Journal(tmp_path / "o.sqlite").legs()) >= 1
    shown = done.stdout + done.stderr
    assert not [each for each in (ACCOUNT, ACCOUNT_PASSWORD, USER, PASSWORD) if each in shown]
