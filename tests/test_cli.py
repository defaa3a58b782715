"""The command line and the example, run as a user runs them: as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "run_live.py"
TIMEOUT_S = 90


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Without credentials of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TIANQIN_", "TQ_"))}
    return kept | {"PYTHONIOENCODING": "utf-8", "HOME": str(tmp_path), "COLUMNS": "160"} | more


def example(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLE), *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


def test_example_trades_a_day_with_its_night_and_says_what_happened(tmp_path: Path) -> None:
    began = time.monotonic()
    done = example(tmp_path, "--summary", "summary.json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 90
    for title in ("Orders", "Trades", "Positions", "Account"):
        assert title in done.stdout
    told: dict[str, Any] = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert told["mode"] == "demo"
    assert told["bars"] == 465  # copper: 4 hours of night, 3 h 45 min of day
    assert told["first_bar"] == "2025-09-15 21:01:00"
    assert told["last_bar"] == "2025-09-16 15:00:00"
    assert told["orders"] > 1
    assert told["trades"] > 1
    assert told["value"] > 0
    assert f"… {told['orders'] - 12}" in done.stdout  # the first six and the last six are shown
    assert len(done.stdout.splitlines()) < 40  # a screen


def test_example_replays_a_record_file(tmp_path: Path, records: Path) -> None:
    path = records / "quotes-2020-08-21" / "CFFEX.IF2009.csv.gz"  # 13:37:10 to 14:37:09
    done = example(tmp_path, "--replay", str(path), "--summary", "s.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert (told["symbol"], told["bars"]) == ("CFFEX.IF2009", 61)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbol", "SHFE.xx2511"], "SHFE.xx2511"),
        (["--symbol", "cu2511"], "cu2511"),
        (["--mode", "fly"], "fly"),
        (["--mode", "kq"], "TIANQIN_USER"),
        (["--mode", "live"], "TIANQIN_"),
        (["--days", "0"], "--days"),
        (["--speed", "-1"], "speed"),
        (["--replay", "nowhere.csv"], "nowhere.csv"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = example(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "Orders" not in done.stdout


def test_replay_file_with_wrong_columns_names_file_and_columns(tmp_path: Path) -> None:
    (tmp_path / "SHFE.cu1905.csv").write_text("when,price\n1,2\n", encoding="utf-8")
    done = example(tmp_path, "--replay", "SHFE.cu1905.csv")
    assert done.returncode == 2
    assert "SHFE.cu1905.csv" in done.stderr
    assert "datetime" in done.stderr


def test_wrong_password_in_the_environment_is_never_shown(tmp_path: Path) -> None:
    done = example(
        tmp_path,
        "--mode",
        "kq",
        TIANQIN_USER="somebody",
        TIANQIN_PASSWORD="hunter2secret",
        TIANQIN_AUTH_URL="http://127.0.0.1:9",
    )
    assert done.returncode == 75  # nobody answers there: try again
    assert "hunter2secret" not in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_ends_the_example_cleanly(name: str, tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(EXAMPLE), "--speed", "60", "--summary", "s.json"],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONUNBUFFERED="1", FORCE_COLOR="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert program.stdout is not None
    shown = ""
    while "lots" not in shown:  # the progress display: trading has begun
        shown += program.stdout.read(64)
    program.send_signal(getattr(signal, name))
    rest, _ = program.communicate(timeout=30)
    assert program.returncode == 0, shown + rest
    assert "Account" in rest
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["bars"] < 465


def test_exchange_as_a_process_prints_its_addresses_first(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tianqin_backtrader", "exchange"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert program.stdout is not None
        lines = [program.stdout.readline() for _ in range(3)]
        assert [line.split("=")[0] for line in lines] == [
            "export TQ_AUTH_URL",
            "export TQ_MD_URL",
            "export TQ_TD_URL",
        ]
        addresses = dict(line.strip().removeprefix("export ").split("=", 1) for line in lines)
        done = example(
            tmp_path,
            "--mode",
            "kq",
            "--symbol",
            "SHFE.xx2511",
            TIANQIN_USER="somebody",
            TIANQIN_PASSWORD="secret",
            TIANQIN_AUTH_URL=addresses["TQ_AUTH_URL"],
            TIANQIN_MD_URL=addresses["TQ_MD_URL"],
            TIANQIN_TD_URL=addresses["TQ_TD_URL"],
        )
        assert "SHFE.xx2511" in done.stderr  # it logged in and asked
    finally:
        program.terminate()
        assert program.wait(timeout=20) == 0
        if program.stdout is not None:
            program.stdout.close()


@pytest.mark.parametrize(
    "arguments",
    [["exchange", "--fly"], ["exchange", "--start", "soon"], ["exchange", "--speed", "-3"]],
    ids=" ".join,
)
def test_bad_flags_of_the_command_line_exit_with_2(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tianqin_backtrader", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
