"""`doctor`: what it looks at, what it says of it, and its exit code."""

from __future__ import annotations

import email.utils
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import time

import pytest
from commands import Here, assert_refused, command, config

from tianqin_backtrader import LocalExchange
from tianqin_backtrader.config import Settings
from tianqin_backtrader.diagnosis import GIB, Health, clock_check, disk_check
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.network_checks import network_checks

OURS = {"TIANQIN_USER": "somebody", "TIANQIN_PASSWORD": "hunter2secret"}


def checks(text: str) -> dict[str, dict[str, str]]:
    return {each["name"]: each for each in json.loads(text)}


def test_demo_is_well(tmp_path: Path) -> None:
    done = command(tmp_path, "doctor", "--json", "--symbol", "SHFE.cu2511")
    assert done.returncode == 0, done.stdout
    found = checks(done.stdout)
    assert {each["health"] for each in found.values()} <= {"ok", "skip", "warn"}
    assert "tqsdk" in found["packages"]["found"]
    assert found["login"]["health"] == "ok"
    assert "futr" in found["permissions"]["found"]
    assert "tick 10, 5 a lot" in found["contract SHFE.cu2511"]["found"]  # copper of SHFE
    assert "opens 2025-09-15 21:00" in found["contract SHFE.cu2511"]["found"]


def test_what_fails_is_exit_code_1_and_says_what_to_mend(tmp_path: Path) -> None:
    config(tmp_path)
    done = command(tmp_path, "doctor", "--config", "a.toml", "--symbol", "SHFE.xx2511")
    assert done.returncode == 1
    assert "SHFE.xx2511" in done.stdout
    assert "look at the symbol" in done.stdout
    assert "1 failed" in done.stdout


@pytest.mark.parametrize("width", ["80", "120"])
def test_table_fits_the_terminal(
    width: str, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    done = here(tmp_path, "doctor")
    assert max(map(len, done.stdout.splitlines())) <= int(width)
    assert ("found, and what to mend" in done.stdout) is (width == "80")


def test_credentials_are_named_and_never_shown(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUTH", "MD", "TD"):
        monkeypatch.setenv(f"TIANQIN_{name}_URL", "http://127.0.0.1:9")
    done = here(tmp_path, "doctor", "--mode", "kq", "--json")
    assert done.returncode == 1
    found = checks(done.stdout)
    assert found["credentials"]["health"] == "fail"
    assert "TIANQIN_USER, TIANQIN_PASSWORD" in found["credentials"]["found"]
    assert found["address login"]["health"] == "fail"
    assert found["login"]["health"] == "skip"
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    done = here(tmp_path, "doctor", "--mode", "kq", "--json")
    assert checks(done.stdout)["credentials"]["health"] == "ok"
    assert not any(value in done.stdout + done.stderr for value in OURS.values())


def test_refused_login_is_a_failure_without_the_password(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalExchange() as exchange:
        exchange.refuse_logins()
        for name in ("auth", "md", "td"):
            monkeypatch.setenv(f"TIANQIN_{name.upper()}_URL", getattr(exchange, f"{name}_url"))
        for name, value in OURS.items():
            monkeypatch.setenv(name, value)
        done = here(tmp_path, "doctor", "--mode", "kq", "--json")
    assert done.returncode == 1
    found = checks(done.stdout)
    assert found["address trading"]["health"] == "ok"
    assert found["login"]["health"] == "fail"
    assert "LoginRefused" in found["login"]["found"]
    assert "hunter2secret" not in done.stdout + done.stderr


def test_mode_live_shows_its_gate_and_no_account_number(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIANQIN_AUTH_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("TIANQIN_MD_URL", "ws://127.0.0.1:9")
    monkeypatch.setenv("TIANQIN_TD_URL", "ws://127.0.0.1:9")
    monkeypatch.setenv("TIANQIN_ACCOUNT_ID", "88001234")
    done = here(tmp_path, "doctor", "--mode", "live", "--json")
    assert done.returncode == 1
    found = checks(done.stdout)
    assert found["live"]["health"] == "fail"
    assert "TIANQIN_LIVE_ENABLED=true" in found["live"]["mend"]
    assert "88001234" not in done.stdout + done.stderr


def test_journal_that_is_being_written_or_damaged_is_said(tmp_path: Path, here: Here) -> None:
    config(tmp_path)
    with JournalWriter(tmp_path / "a.sqlite"):
        found = checks(here(tmp_path, "doctor", "--config", "a.toml", "--json").stdout)
    assert found["journal"]["health"] == "warn"
    assert "is writing a.sqlite" in found["journal"]["found"]
    (tmp_path / "a.sqlite").write_text("no database", encoding="utf-8")
    done = here(tmp_path, "doctor", "--config", "a.toml", "--json")
    assert done.returncode == 1
    assert checks(done.stdout)["journal"]["health"] == "fail"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fly"], ["--fly"]),
        (["--mode", "fly"], ["'fly'", "demo"]),
        (["--config", "nowhere.toml"], ["nowhere.toml"]),
        (["--config", "b.toml"], ["b.toml", "demo.sped", "speed?"]),
        (["--config", "a.toml", "--account", "x"], ["a.toml", "'x'"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(
    arguments: list[str], words: list[str], tmp_path: Path, here: Here
) -> None:
    config(tmp_path)
    config(tmp_path, more="sped = 3\n", name="b.toml")
    assert_refused(here(tmp_path, "doctor", *arguments), *words)


def test_process_says_one_line(tmp_path: Path) -> None:
    assert_refused(command(tmp_path, "doctor", "--config", "nowhere.toml"), "nowhere.toml")


# ---- clock and disk


@pytest.mark.parametrize(
    ("ahead_s", "health"),
    [(0.0, "ok"), (-2.0, "ok"), (2.1, "warn"), (-60.0, "warn"), (61.0, "fail"), (-300.0, "fail")],
)
def test_clock_is_judged_by_its_drift(ahead_s: float, health: str) -> None:
    found = clock_check(ahead_s, "auth.example")
    assert found.health == health
    assert ("behind" in found.found) is (ahead_s < 0)


@pytest.mark.parametrize(
    ("free", "health"), [(2 * GIB, "ok"), (GIB // 2, "warn"), (GIB // 20, "fail")]
)
def test_disk_is_judged_by_what_is_left(free: int, health: str) -> None:
    assert disk_check(free, "/x").health == health


@contextmanager
def server(ahead_s: float) -> Iterator[str]:
    """A web server whose clock is wrong; it knows no page."""

    class Page(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(404)
            self.send_header("Date", email.utils.formatdate(time() + ahead_s, usegmt=True))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    found = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_port}"
    finally:
        found.shutdown()
        thread.join()
        found.server_close()


@pytest.mark.parametrize(
    ("ahead_s", "health"), [(0, Health.OK), (300, Health.FAIL), (-300, Health.FAIL)]
)
def test_clock_is_compared_with_the_login_server(ahead_s: int, health: Health) -> None:
    with server(ahead_s) as url:
        settings = Settings(mode="kq", auth_url=url, md_url=url, td_url=url)
        clock = next(network_checks(settings, [], has_login=False))
    assert (clock.name, clock.health) == ("clock", health)
    if ahead_s:
        assert ("behind" in clock.found) is (ahead_s > 0)  # the server is ahead of this machine
