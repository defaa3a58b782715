"""`run CONFIG.toml` as a user runs it: as a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import (
    PROGRAM,
    Here,
    assert_refused,
    command,
    config,
    errors,
    running,
    until,
)
from test_cli import environment

from tianqin_backtrader import Journal

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "config.toml"


def test_example_configuration_runs(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert "end = 2025-09-16 " in text  # a whole day; half an hour of it says as much
    text = text.replace("end = 2025-09-16 ", "end = 2025-09-15T21:30:00 ")
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    shutil.copy(EXAMPLE.parent / "strategy.py", tmp_path)
    done = command(tmp_path, "run", "config.toml")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert "30 bars" in last
    assert "200 history" in last


def test_run_tells_orders_in_market_time_and_keeps_a_journal_beside_its_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = command(tmp_path / "elsewhere", "run", str(config(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "10 bars" in done.stdout  # 21:01 to 21:10
    assert "order 1 buy 2 SHFE.cu2511 market Completed" in done.stdout
    assert "2025-09-15 21:01:01  order 1 bought 2 at " in done.stdout
    with Journal(tmp_path / "a.sqlite") as journal:
        (trade,) = journal.trades().to_dict("records")
    assert (trade["symbol"], trade["volume"], trade["offset"]) == ("SHFE.cu2511", 2, "OPEN")


def test_params_of_the_file_reach_the_strategy(tmp_path: Path) -> None:
    path = config(tmp_path, more="[strategy.params]\nlots = -3\n")
    done = command(tmp_path, "run", str(path))
    assert done.returncode == 0, done.stderr
    assert "order 1 sell 3 SHFE.cu2511 market Completed" in done.stdout


def test_strategy_that_raises_ends_with_its_traceback_and_code_1(tmp_path: Path) -> None:
    done = command(tmp_path, "run", str(config(tmp_path, "mine.py:Raise")))
    assert done.returncode == 1
    assert "ZeroDivisionError: the strategy's own mistake" in done.stderr
    assert "Traceback" in done.stderr


def test_dead_network_is_code_75_so_that_a_supervisor_tries_again(tmp_path: Path) -> None:
    path = config(tmp_path)
    kq = path.read_text(encoding="utf-8").replace('"demo"', '"kq"').split("[demo]")[0]
    path.write_text(kq + 'auth_url = "http://127.0.0.1:9"\n', encoding="utf-8")
    done = command(
        tmp_path, "run", str(path), TIANQIN_USER="somebody", TIANQIN_PASSWORD="hunter2secret"
    )
    assert done.returncode == 75, done.stderr
    (line,) = errors(done)
    assert line.startswith("GatewayTimeout: ")
    assert "hunter2secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], ["config"]),
        (["run", "--fly"], ["--fly"]),
        (["run", "nowhere.toml"], ["nowhere.toml"]),
        (["run", "a.toml", "--account", "x"], ["a.toml", "'x'"]),
        (["run", "a.toml", "--all"], ["a.toml", "[accounts.NAME]"]),
        (["run", "a.toml", "--all", "--account", "x"], ["--account"]),
        (["fly"], ["fly"]),
    ],
    ids=" ".join,
)
def test_bad_flag_is_one_line(
    arguments: list[str], words: list[str], tmp_path: Path, here: Here
) -> None:
    config(tmp_path)
    assert_refused(here(tmp_path, *arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["run", "--fly"], ["--fly"]), (["run", "nowhere.toml"], ["nowhere.toml"])],
    ids=["bad flag", "missing file"],
)
def test_process_says_one_line(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    assert_refused(command(tmp_path, *arguments), *words)


def test_process_says_one_line_of_a_wrong_key(tmp_path: Path) -> None:
    done = command(tmp_path, "run", str(config(tmp_path, more="sped = 3")))
    assert_refused(done, "a.toml", "demo.sped", "speed?")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("nowhere.py:Hold", ["nowhere.py"]),
        ("mine.py:Hald", ["Hald", "Hold, Raise"]),
        ("mine.py", ["several", "Hold, Raise"]),
        ("broken.py", ["broken.py:2", "SyntaxError"]),
        ("needy.py:Needy", ["needy.py:1", "nothing_of_that_name"]),
        ("empty.py", ["no strategy"]),
        ("no.such.module:Hold", ["no.such.module", "ModuleNotFoundError"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_strategy_that_is_not_there_is_one_line(
    strategy: str, words: list[str], tmp_path: Path, here: Here
) -> None:
    (tmp_path / "broken.py").write_text("x = 1\nclass (:\n", encoding="utf-8")
    (tmp_path / "needy.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    (tmp_path / "empty.py").write_text("x = 1\n", encoding="utf-8")
    path = config(tmp_path, strategy)
    assert_refused(here(tmp_path, "run", str(path)), *words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("sped = 3", ["demo.sped", "speed?"]),
        ("[risk]\norder_lot = 3", ["risk.order_lot", "order_lots?"]),
        ("[stor]\nmode = 'kq'", ["stor", "store?"]),
        ("[strategy.params]\nlot = 3", ["lot", "lots?"]),
        ("[broker]\npassword = 'hunter2secret'", ["password", "TIANQIN_PASSWORD"]),
        ("end = 3\n", ["no TOML"]),
        ("[accounts.x]\nalerts_env = 'NOBODY'", ["alerts_env", "NOBODY"]),
    ],
    ids=[
        "wrong key",
        "wrong limit",
        "wrong table",
        "wrong parameter",
        "secret",
        "no TOML",
        "no alarms",
    ],
)
def test_wrong_key_is_one_line_with_the_nearest_one(
    more: str, words: list[str], tmp_path: Path, here: Here
) -> None:
    done = here(tmp_path, "run", str(config(tmp_path, more=more)))
    assert_refused(done, *words)
    assert "hunter2secret" not in done.stderr


def test_wrong_symbol_is_one_line(tmp_path: Path) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("cu2511", "xx2511"), encoding="utf-8")
    assert_refused(command(tmp_path, "run", str(path)), "SHFE.xx2511")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_ends_a_run_cleanly(tmp_path: Path) -> None:
    path = config(tmp_path, end="2025-09-16", speed=60)
    with running(tmp_path, "run", str(path)) as program:
        said = tmp_path / "said"
        until(lambda: "bought 2" in said.read_text(encoding="utf-8"), "fill")
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) == 0
        assert "the end: " in said.read_text(encoding="utf-8")
    assert not (tmp_path / "a.sqlite.owner").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
def test_terminal_shows_where_the_run_stands(tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, "run", str(config(tmp_path)))
    assert "SHFE.cu2511" in shown
    assert "+2 lots" in shown  # the status line
    assert "the end: 10 bars" in shown


def on_terminal(folder: Path, *arguments: str) -> str:
    """What a command shows on a terminal, with its control codes."""
    ours, theirs = os.openpty()
    program = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(folder, TERM="xterm-256color"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(4096):  # Linux: EIO when the last writer has gone
            shown += part
    assert program.wait(timeout=30) == 0, shown
    return shown.decode("utf-8", errors="replace")
