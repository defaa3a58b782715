"""`run --all`: every account of a file in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from commands import Here, assert_refused, command, config, running, until

from tianqin_backtrader import Journal

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

TWO = """
[accounts.bad]
journal = "bad.sqlite"
strategy.path = "mine.py:Raise"
[accounts.good]
journal = "good.sqlite"
strategy.params = { lots = 3 }
"""


def two(folder: Path, **options: object) -> Path:
    path = config(folder, more=TWO, **options)  # type: ignore[arg-type]
    text = path.read_text(encoding="utf-8").replace('journal = "a.sqlite"\n', "")
    path.write_text(text, encoding="utf-8")
    return path


def test_strategy_that_raises_touches_no_other_account(tmp_path: Path) -> None:
    done = command(tmp_path, "run", str(two(tmp_path)), "--all")
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert any("[bad]" in line and "ZeroDivisionError" in line for line in lines)
    assert "[bad]  ended with exit code 1" in lines
    assert any(line.startswith("[good] the end: 10 bars") for line in lines)
    assert "[good] ended with exit code 0" in lines
    with Journal(tmp_path / "good.sqlite") as journal:
        (trade,) = journal.trades().to_dict("records")
    assert trade["volume"] == 3  # by its own parameters
    with Journal(tmp_path / "bad.sqlite") as journal:
        assert journal.trades().empty


def test_one_account_of_a_file_runs_alone(tmp_path: Path, here: Here) -> None:
    path = two(tmp_path)
    done = command(tmp_path, "run", str(path), "--account", "good")
    assert done.returncode == 0, done.stderr
    assert "order 1 buy 3" in done.stdout
    assert not (tmp_path / "bad.sqlite").exists()
    assert_refused(here(tmp_path, "run", str(path)), "bad, good", "--account NAME, or --all")


def test_example_of_two_accounts_runs(tmp_path: Path, here: Here) -> None:
    for name in ("accounts.toml", "strategy.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    path = tmp_path / "accounts.toml"
    text = path.read_text(encoding="utf-8").replace("2025-09-16", "2025-09-15T21:20:00")
    path.write_text(text, encoding="utf-8")
    done = command(tmp_path, "run", str(path), "--all")
    assert done.returncode == 0, done.stdout
    for name in ("steady", "quick"):
        with Journal(tmp_path / f"{name}.sqlite") as journal:
            assert len(journal.runs()) == 1
    shown = here(tmp_path, "status", str(path))
    assert shown.returncode == 0, shown.stderr
    assert "steady" in shown.stdout
    assert "quick" in shown.stdout


def test_accounts_that_share_a_journal_are_refused(tmp_path: Path, here: Here) -> None:
    path = config(tmp_path, more="[accounts.x]\n[accounts.y]\n")
    assert_refused(here(tmp_path, "run", str(path), "--all"), "x and y share a.sqlite")


def test_env_file_of_an_account_goes_before_the_environment(tmp_path: Path, here: Here) -> None:
    more = '[accounts.x]\nmode = "kq"\nenv_file = "x.env"\nauth_url = "http://127.0.0.1:9"\n'
    path = config(tmp_path, more=more)
    assert_refused(here(tmp_path, "run", str(path), "--account", "x"), "x.env", "env_file")
    (tmp_path / "x.env").write_text("TIANQIN_USER=xaver\n", encoding="utf-8")
    done = here(tmp_path, "run", str(path), "--account", "x")
    assert_refused(done, "TIANQIN_PASSWORD is not set")  # but TIANQIN_USER is
    done = command(tmp_path, "run", str(path), "--account", "x", TIANQIN_PASSWORD="of the shell")
    assert done.returncode == 75, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_to_the_supervisor_ends_all_accounts_cleanly(tmp_path: Path) -> None:
    path = two(tmp_path, end="2025-09-16", speed=60)
    text = path.read_text(encoding="utf-8").replace("mine.py:Raise", "mine.py:Hold")
    path.write_text(text, encoding="utf-8")
    said = tmp_path / "said"
    with running(tmp_path, "run", str(path), "--all") as program:
        until(lambda: said.read_text(encoding="utf-8").count("bought") == 2, "fills")
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=45) == 0, said.read_text(encoding="utf-8")
    text = said.read_text(encoding="utf-8")
    assert text.count("the end: ") == 2
    assert not list(tmp_path.glob("*.owner"))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_account_that_is_killed_is_started_again_and_the_other_goes_on(tmp_path: Path) -> None:
    path = two(tmp_path, end="2025-09-16", speed=60)
    text = path.read_text(encoding="utf-8").replace("mine.py:Raise", "mine.py:Hold")
    path.write_text(text, encoding="utf-8")
    said = tmp_path / "said"
    with running(tmp_path, "run", str(path), "--all") as program:
        until(lambda: said.read_text(encoding="utf-8").count("bought") == 2, "fills")
        owner = (tmp_path / "bad.sqlite.owner").read_text(encoding="utf-8")
        os.kill(int(owner.split('"pid": ')[1].split(",")[0]), signal.SIGKILL)
        until(lambda: "[bad]  died of signal 9" in said.read_text(encoding="utf-8"), "its end")
        until(lambda: (tmp_path / "bad.sqlite.owner").read_text(encoding="utf-8") != owner, "it")
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=45) == 0, said.read_text(encoding="utf-8")
    assert said.read_text(encoding="utf-8").count("[good] the end: ") == 1
