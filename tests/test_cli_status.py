"""`status`, `tail`, `halt`, `resume` and `export` on what a run has left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Here, assert_refused, command, config

STRATEGY = '''
import backtrader as bt


class Trade(bt.Strategy):
    """Buys two lots at the first bar; then rests a buy far below, and holds a stop."""

    def next(self):
        if self.data.history_phase or getattr(self, "done", False):
            return
        self.done = True
        self.buy(size=2)
        price = self.data.close[0]
        self.low = self.buy(size=1, price=price - 1000, exectype=bt.Order.Limit)
        self.sell(size=2, price=price - 900, exectype=bt.Order.Stop)
'''


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of ten minutes that is over."""
    folder = tmp_path_factory.mktemp("run")
    path = config(folder, "trade.py:Trade")
    (folder / "trade.py").write_text(STRATEGY, encoding="utf-8")
    done = command(folder, "run", str(path))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(left: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(left, tmp_path / "copy")
    return tmp_path / "copy"


def status(here: Here, folder: Path, *arguments: str) -> dict[str, Any]:
    done = here(folder, "status", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ---- status


def test_status_shows_what_a_run_has_left(left: Path, here: Here) -> None:
    found = status(here, left, "a.sqlite")["a"]
    assert found["running"] is False
    assert found["state"] == "NORMAL"
    assert found["mode"] == "demo"
    assert found["day"] == "2025-09-16"  # its night session is the evening of the 15th
    assert found["trades_today"] == 1
    (position,) = found["positions"]
    assert (position["symbol"], position["long"], position["short"]) == ("SHFE.cu2511", 2, 0)


@pytest.mark.parametrize("width", ["80", "120"])
def test_status_for_people_fits_the_terminal(
    left: Path, width: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    done = here(left, "status", "a.sqlite")
    assert done.returncode == 0, done.stderr
    for word in ("not running", "NORMAL", "SHFE.cu2511"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= int(width)


def test_status_as_a_process(left: Path) -> None:
    done = command(left, "status", "a.sqlite", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["a"]["trades_today"] == 1


def test_status_of_a_toml_file_is_that_of_its_journal(left: Path, here: Here) -> None:
    assert status(here, left, "a.toml")["a"]["trades_today"] == 1


def test_status_without_a_path_looks_in_the_home_folder(folder: Path, here: Here) -> None:
    empty = here(folder, "status")
    assert empty.returncode == 0
    assert "no journal" in empty.stdout
    home = folder / ".tianqin-backtrader"
    home.mkdir()
    shutil.copy(folder / "a.sqlite", home / "kq-1.sqlite")
    (home / "kq-2.sqlite").write_text("no database", encoding="utf-8")
    found = status(here, folder)
    assert found["kq-1"]["trades_today"] == 1
    assert "error" in found["kq-2"]  # and hides no other
    assert here(folder, "status", "--all").returncode == 0


# ---- tail


def test_tail_shows_orders_and_trades_in_beijing_time(left: Path) -> None:
    done = command(left, "tail", "a.sqlite", "--no-follow", "-n", "100")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("2025-09-15 21:") for line in lines if " event " not in line)
    (trade,) = [line for line in lines if " trade " in line]
    assert "bought 2 SHFE.cu2511 to open at" in trade
    assert any("buy 2 SHFE.cu2511 Market Completed" in line for line in lines)


def test_tail_begins_with_the_last_lines(left: Path, here: Here) -> None:
    whole = here(left, "tail", "a.sqlite", "--no-follow", "-n", "100").stdout.splitlines()
    last = here(left, "tail", "a.sqlite", "--no-follow", "-n", "2").stdout.splitlines()
    assert last == whole[-2:]


# ---- halt and resume


def test_halt_and_resume_are_seen_by_status(folder: Path, here: Here) -> None:
    done = command(folder, "halt", "a.sqlite", "--reason", "the fan makes a noise")
    assert done.returncode == 0, done.stderr
    assert "does not run" in done.stdout
    found = status(here, folder, "a.sqlite")["a"]
    assert (found["state"], found["reason"]) == ("HALTED", "the fan makes a noise")
    assert here(folder, "halt", "a.toml", "--reduce").returncode == 0
    assert status(here, folder, "a.sqlite")["a"]["state"] == "REDUCING"
    assert command(folder, "resume", "a.sqlite").returncode == 0
    assert status(here, folder, "a.sqlite")["a"]["state"] == "NORMAL"
    again = here(folder, "resume", "a.sqlite")
    assert again.returncode == 0
    assert "was so already" in again.stdout


def test_run_that_starts_halted_sends_nothing(folder: Path, here: Here) -> None:
    assert here(folder, "halt", "a.sqlite").returncode == 0
    done = command(folder, "run", "a.toml")
    assert done.returncode == 0, done.stderr
    assert "bought" not in done.stdout
    assert "Rejected: " in done.stdout


def test_flatten_leaves_an_account_reducing_and_a_halted_one_halted(
    folder: Path, here: Here
) -> None:
    flat = ("flatten", "a.sqlite", "--config", "a.toml")  # a new exchange: nothing to close
    assert here(folder, *flat).returncode == 0
    assert status(here, folder, "a.sqlite")["a"]["state"] == "REDUCING"
    assert here(folder, "halt", "a.sqlite", "--reason", "mine").returncode == 0
    assert here(folder, *flat).returncode == 0
    found = status(here, folder, "a.sqlite")["a"]
    assert (found["state"], found["reason"]) == ("HALTED", "mine")


# ---- export


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_export_writes_one_row_per_trade(kind: str, left: Path, tmp_path: Path, here: Here) -> None:
    run = command if kind == "csv" else here
    done = run(left, "export", "a.sqlite", "--out", str(tmp_path / "out"), "--format", kind)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").glob(f"*trade*.{kind}")
    frame = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    assert len(frame) == 1


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "nowhere.toml"], ["nowhere.toml"]),
        (["status", "a.toml", "--account", "x"], ["a.toml", "'x'"]),
        (["status", "--fly"], ["--fly"]),
        (["tail"], ["journal"]),
        (["tail", "nowhere.sqlite"], ["nowhere.sqlite", "does not exist"]),
        (["tail", "a.sqlite", "-n", "-1"], ["-n"]),
        (["halt"], ["journal"]),
        (["halt", "nowhere.sqlite"], ["nowhere.sqlite", "does not exist"]),
        (["halt", "a.sqlite", "--fly"], ["--fly"]),
        (["resume", "nowhere.sqlite"], ["nowhere.sqlite", "does not exist"]),
        (["resume", "--fly"], ["--fly"]),
        (["export", "nowhere.sqlite", "--out", "x"], ["nowhere.sqlite", "does not exist"]),
        (["export", "a.sqlite"], ["--out"]),
        (["export", "a.sqlite", "--out", "x", "--format", "xls"], ["xls", "csv or parquet"]),
        (["export", "a.sqlite", "--out", "a.toml"], ["a.toml"]),
        (["tail", "mine.py", "--no-follow"], ["mine.py"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(
    arguments: list[str], words: list[str], left: Path, here: Here
) -> None:
    assert_refused(here(left, *arguments), *words)


@pytest.mark.parametrize("name", ["status", "tail", "halt", "resume", "export"])
def test_process_says_one_line_of_a_missing_journal(name: str, left: Path) -> None:
    more = ["--out", "x"] if name == "export" else []
    done = command(left, name, "nowhere.sqlite", *more)
    assert_refused(done, "nowhere.sqlite", "does not exist")
