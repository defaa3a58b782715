"""One process per account: when one is started again, and how all are ended."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import until

from tianqin_backtrader.supervisor import Supervisor
from tianqin_backtrader.upkeep import Backoff, died, wait_s, worst

DEFAULT = Backoff()
AT_ONCE = Backoff(first_s=0.0, longest_s=0.0)


# ---- the rule


@pytest.mark.parametrize("code", [0, 1, 2, 70, 130])
def test_what_would_end_the_same_way_stays_ended(code: int) -> None:
    assert wait_s(code, 3_600.0, 0, DEFAULT) is None


@pytest.mark.parametrize("code", [75, -9, -11, 0xC0000005], ids=["75", "kill", "segv", "windows"])
def test_network_and_death_by_signal_are_tried_again(code: int) -> None:
    assert wait_s(code, 1.0, 0, DEFAULT) == (5.0, 1)


def test_pause_doubles_up_to_five_minutes() -> None:
    pauses, lives = [], 0
    for _ in range(9):
        pause, lives = wait_s(75, 1.0, lives, DEFAULT) or (0.0, 0)
        pauses.append(pause)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_week_of_failures_overflows_nothing() -> None:
    assert wait_s(75, 1.0, 100_000, DEFAULT) == (300.0, 100_001)


def test_long_life_forgets_earlier_failures() -> None:
    assert wait_s(75, 600.0, 7, DEFAULT) == (5.0, 1)
    assert wait_s(75, 599.0, 7, DEFAULT) == (300.0, 8)


@pytest.mark.parametrize(
    ("codes", "whole"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 75], 75),
        ([75, 1], 1),
        ([1, 2], 2),
        ([2, 70, 0], 70),
        ([0, -9], 1),
        ([3], 1),
    ],
)
def test_exit_code_is_the_worst_one(codes: list[int], whole: int) -> None:
    assert worst(codes) == whole


def test_ctrl_c_on_windows_is_no_crash() -> None:
    assert died(0xC0000005)
    assert not died(0xC000013A)
    assert not died(75)


# ---- the processes


def python(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", text, *arguments]


def lives(path: Path, then: str) -> list[str]:
    """A program that adds a line to `path` in each life, and does `then` with their number, `n`."""
    text = (
        "import os, signal, sys, time\n"
        "with open(sys.argv[1], 'a') as f: f.write('.')\n"
        f"n = os.path.getsize(sys.argv[1])\n{then}\n"
    )
    return python(text, str(path))


def count(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_one_accounts_failure_touches_no_other(tmp_path: Path) -> None:
    said: list[str] = []
    commands = {
        "bad": python("import sys; print('going'); sys.exit(2)"),
        "good": python("import time; time.sleep(0.5); print('done')"),
    }
    assert Supervisor(commands, tell=said.append, backoff=AT_ONCE).run() == 2
    assert "[bad]  going" in said
    assert "[bad]  ended with exit code 2" in said
    assert said[-2:] == ["[good] done", "[good] ended with exit code 0"]


def test_accounts_run_at_the_same_time(tmp_path: Path) -> None:
    waits = "other = sys.argv[1][:-1] + ('b' if sys.argv[1][-1] == 'a' else 'a')\n"
    waits += "while not os.path.exists(other): time.sleep(0.02)"
    commands = {name: lives(tmp_path / name, waits) for name in ("a", "b")}
    supervisor = Supervisor(commands, tell=lambda _: None, patience_s=0.1)
    deadline = threading.Timer(20.0, supervisor.stop)
    deadline.start()
    assert supervisor.run() == 0
    assert deadline.is_alive()  # both have ended by themselves
    deadline.cancel()


def test_network_failure_is_tried_until_it_works(tmp_path: Path) -> None:
    said: list[str] = []
    command = lives(tmp_path / "a", "sys.exit(75 if n < 3 else 0)")
    assert Supervisor({"a": command}, tell=said.append, backoff=AT_ONCE).run() == 0
    assert count(tmp_path / "a") == 3
    assert said == [
        "[a] ended with exit code 75; it is started again in 0 s",
        "[a] ended with exit code 75; it is started again in 0 s",
        "[a] ended with exit code 0",
    ]


@pytest.mark.parametrize("code", [1, 2, 70])
def test_what_is_to_be_mended_is_not_tried_again(code: int, tmp_path: Path) -> None:
    command = lives(tmp_path / "a", f"sys.exit({code})")
    assert Supervisor({"a": command}, tell=lambda _: None, backoff=AT_ONCE).run() == code
    assert count(tmp_path / "a") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_process_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    command = lives(tmp_path / "a", "n > 1 or os.kill(os.getpid(), signal.SIGKILL)")
    assert Supervisor({"a": command}, tell=said.append, backoff=AT_ONCE).run() == 0
    assert said[0] == "[a] died of signal 9; it is started again in 0 s"


def test_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    commands = {"a": [str(tmp_path / "nowhere")], "b": python("print('works')")}
    assert Supervisor(commands, tell=said.append).run() == 1
    assert any(line.startswith("[a] cannot be started") for line in said)
    assert "[b] works" in said


def stopped_when(ready: Callable[[], object], supervisor: Supervisor) -> threading.Thread:
    def wait() -> None:
        until(ready, "children")
        supervisor.stop()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


ENDS_CLEANLY = """
def end(*_):
    print('ending'); sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + '.ready', 'w').close()
while True: time.sleep(0.05)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_stop_ends_all_cleanly(tmp_path: Path) -> None:
    said: list[str] = []
    commands = {name: lives(tmp_path / name, ENDS_CLEANLY) for name in ("a", "b")}
    supervisor = Supervisor(commands, tell=said.append, backoff=AT_ONCE)
    ready = [tmp_path / "a.ready", tmp_path / "b.ready"]
    thread = stopped_when(lambda: all(path.exists() for path in ready), supervisor)
    assert supervisor.run() == 0
    thread.join()
    assert sorted(said) == ["[a] ending", "[b] ending"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_process_that_does_not_end_is_killed(tmp_path: Path) -> None:
    said: list[str] = []
    deaf = ENDS_CLEANLY.replace("sys.exit(0)", "pass")
    supervisor = Supervisor(
        {"a": lives(tmp_path / "a", deaf)}, tell=said.append, patience_s=0.3, backoff=AT_ONCE
    )
    thread = stopped_when((tmp_path / "a.ready").exists, supervisor)
    assert supervisor.run() == 1
    thread.join()
    assert "[a] did not end in time and is killed" in said


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_process_that_waits_for_its_next_start_is_not_started_when_all_end(tmp_path: Path) -> None:
    said: list[str] = []
    command = lives(tmp_path / "a", "sys.exit(75)")
    supervisor = Supervisor({"a": command}, tell=said.append, backoff=Backoff(first_s=60.0))
    thread = stopped_when(lambda: said, supervisor)
    assert supervisor.run() == 75
    thread.join()
    assert count(tmp_path / "a") == 1


def test_output_that_nobody_takes_stops_no_account() -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError("the terminal was closed")

    noisy = python("for _ in range(20_000): print('x' * 80)")  # more than a pipe holds
    assert Supervisor({"a": noisy}, tell=gone).run() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        seen: list[object] = []
        commands = {"a": python("print('x')")}
        Supervisor(commands, tell=lambda _: seen.append(signal.getsignal(signal.SIGHUP))).run()
        assert set(seen) == {signal.SIG_IGN}
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signal_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    Supervisor({}, tell=lambda _: None).run()
    assert signal.getsignal(signal.SIGTERM) is before
