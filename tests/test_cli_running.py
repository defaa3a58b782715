"""What the command line says to an instance that runs, and does where none runs."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import assert_refused, command, config, running, until

from tianqin_backtrader import Journal, LocalExchange

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends by POSIX signals")


def status(folder: Path) -> dict[str, Any]:
    done = command(folder, "status", "a.sqlite", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["a"]
    return found


def net_lots(folder: Path) -> int:
    with Journal(folder / "a.sqlite") as journal:
        trades = journal.trades()
    sides = trades["direction"].map({"BUY": 1, "SELL": -1})
    return int((sides * trades["volume"]).sum())


def test_running_instance_is_seen_flattened_and_resumed(tmp_path: Path) -> None:
    path, said = config(tmp_path, end="2025-09-16", speed=60), tmp_path / "said"

    def count(word: str) -> int:
        return said.read_text(encoding="utf-8").count(word)

    with running(tmp_path, "run", str(path)) as program:
        until(lambda: count("bought 2"), "fill")
        found = status(tmp_path)
        assert found["running"] is True
        assert found["owner"]["pid"] == program.pid
        assert [each["long"] for each in found["positions"]] == [2]

        done = command(tmp_path, "flatten", "a.sqlite")
        assert done.returncode == 0, done.stderr
        assert "is flat and REDUCING from now on" in done.stdout
        assert net_lots(tmp_path) == 0
        refused = count("Rejected")
        until(lambda: count("Rejected") > refused, "refusal of what would open")
        assert status(tmp_path)["state"] == "REDUCING"

        assert command(tmp_path, "resume", "a.sqlite").returncode == 0
        until(lambda: count("bought 2") > 1, "fill after the resume")
        assert command(tmp_path, "halt", "a.sqlite").returncode == 0
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=45) == 0, said.read_text(encoding="utf-8")
    assert status(tmp_path)["running"] is False


def test_tail_follows_until_it_is_told_to_end(tmp_path: Path) -> None:
    path, other = config(tmp_path, end="2025-09-16", speed=60), tmp_path / "other"
    other.mkdir()
    with running(tmp_path, "run", str(path)):
        ours = tmp_path / "said"
        until(lambda: "bought 2" in ours.read_text(encoding="utf-8"), "fill")
        with running(other, "tail", str(tmp_path / "a.sqlite"), "-n", "1") as tail:
            said = other / "said"
            until(lambda: "\n2025-" in "\n" + said.read_text(encoding="utf-8"), "first line")
            until(lambda: command(tmp_path, "flatten", "a.sqlite").returncode == 0, "flat", 60)
            until(lambda: "sold 2" in said.read_text(encoding="utf-8"), "line of the fill")
            assert "bought 2" not in said.read_text(encoding="utf-8")  # it was there before
            tail.send_signal(signal.SIGINT)
            assert tail.wait(timeout=30) == 0


def test_killed_instance_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    path = config(tmp_path, end="2025-09-16", speed=60)
    with running(tmp_path, "run", str(path)) as program:
        until(lambda: "bought 2" in (tmp_path / "said").read_text(encoding="utf-8"), "fill")
        program.kill()
        program.wait(timeout=30)
    assert (tmp_path / "a.sqlite.owner").exists()
    assert status(tmp_path)["running"] is False
    done = command(tmp_path, "flatten", "a.sqlite")
    assert_refused(done, "no running instance", "--config CONFIG.toml")


KQ = """
auth_url = "{auth}"
md_url = "{md}"
td_url = "{td}"
"""


def test_flatten_logs_in_by_itself_where_no_instance_runs(tmp_path: Path) -> None:
    path, said = config(tmp_path), tmp_path / "said"
    known = {"TIANQIN_USER": "somebody", "TIANQIN_PASSWORD": "hunter2secret"}
    with LocalExchange(speed=60) as exchange:
        urls = KQ.format(auth=exchange.auth_url, md=exchange.md_url, td=exchange.td_url)
        text = path.read_text(encoding="utf-8").replace('"demo"', '"kq"').split("[demo]")[0]
        path.write_text(text + urls, encoding="utf-8")
        with running(tmp_path, "run", str(path), **known) as program:
            until(lambda: "bought 2" in said.read_text(encoding="utf-8"), "fill")
            program.send_signal(signal.SIGTERM)
            assert program.wait(timeout=45) == 0, said.read_text(encoding="utf-8")
        assert net_lots(tmp_path) == 2
        assert command(tmp_path, "halt", "a.sqlite").returncode == 0
        done = command(tmp_path, "flatten", "a.sqlite", "--config", "a.toml", **known)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "is flat and HALTED from now on" in done.stdout  # as it was before
    assert net_lots(tmp_path) == 0
    assert "hunter2secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["flatten", "--fly"], ["--fly"]),
        (["flatten", "nowhere.sqlite"], ["nowhere.sqlite", "does not exist"]),
    ],
    ids=" ".join,
)
def test_flatten_says_one_line(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    assert_refused(command(tmp_path, *arguments), *words)
