"""The systemd unit and the Dockerfile of `examples/deploy`: what they say is so."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tianqin_backtrader import errors, exits

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "examples" / "deploy"
UNIT = DEPLOY / "tianqin@.service"


def unit() -> dict[str, list[str]]:
    """Directive: values, of all sections."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, lines joined, comments left out."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, " ".join(rest.split())) for word, _, rest in (x.partition(" ") for x in lines)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Checked as it stands, but for the interpreter's path, which must exist."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/tianqin/.venv/bin/python", sys.executable)
    text = re.sub(r"^Documentation=.*$", "", text, flags=re.MULTILINE)
    copy = tmp_path / "tianqin@.service"
    copy.write_text(text, encoding="utf-8")
    instance = tmp_path / "tianqin@first.service"
    instance.symlink_to(copy)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(instance)],
        capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "tianqin" in line]
    assert (done.returncode, said) == (0, [])


def test_systemd_starts_again_after_what_may_be_tried_again() -> None:
    found = unit()
    assert found["Restart"] == ["on-failure"]
    kept_down = {int(code) for code in found["RestartPreventExitStatus"][0].split()}
    assert kept_down == {exits.FAILED, exits.MEND, exits.STOP}
    assert exits.code_of(errors.GatewayTimeout()) not in kept_down
    for error in (errors.LiveTradingRefused(), errors.NotFlat({}, ""), errors.LoginRefused()):
        assert exits.code_of(error) in kept_down


def test_systemd_leaves_time_for_a_clean_end() -> None:
    """20 s for answers to cancels, 5 s for open questions, 10 s to close dead sockets."""
    found = unit()
    assert found["KillSignal"] == ["SIGTERM"]
    assert int(found["TimeoutStopSec"][0]) > 20 + 5 + 10
    assert found["NoNewPrivileges"] == ["yes"]


def test_systemd_runs_the_example_with_options_it_has() -> None:
    _, script, options = shlex.split(unit()["ExecStart"][0])
    assert (script, options) == ("examples/run_live.py", "$RUN_OPTIONS")
    text = (DEPLOY / "account.env.example").read_text(encoding="utf-8")
    flags = set(re.findall(r"--[a-z-]+", text))
    help_ = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / script), "--help"],
        capture_output=True, encoding="utf-8", timeout=120, check=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    ).stdout  # fmt: skip
    assert flags == {"--mode", "--symbol", "--confirm-live"}
    assert all(flag in help_ for flag in (*flags, "--flatten"))


def test_the_image_copies_what_is_there_and_runs_as_nobody_special() -> None:
    found = instructions()
    words = [word for word, _ in found]
    assert found[0] == ("FROM", "python:3.12-slim")
    for _, what in [each for each in found if each[0] == "COPY"]:
        *sources, _ = what.split()
        assert all((ROOT / source).exists() for source in sources), what
    assert ("USER", "tianqin") in found
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert ("STOPSIGNAL", "SIGTERM") in found
    assert ("VOLUME", "/journal") in found
    assert ("ENV", "TIANQIN_JOURNAL=/journal/orders.sqlite") in found


def test_the_image_hands_signals_to_python() -> None:
    """A shell between them would keep SIGTERM to itself."""
    found = dict(instructions())
    entry, command = json.loads(found["ENTRYPOINT"]), json.loads(found["CMD"])
    assert entry == ["tini", "--", "python", "examples/run_live.py"]
    assert command == ["--mode", "demo"]


def test_no_secret_has_a_value_in_the_examples() -> None:
    for path in DEPLOY.iterdir():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.strip("# ").partition("=")
            if re.fullmatch(r"TIANQIN_(USER|\w*PASSWORD|ACCOUNT_ID|BROKER_ID)", name):
                assert value == "", line
