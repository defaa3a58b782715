"""What the README prints works as printed."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tianqin_backtrader import LocalExchange

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_there_are_two_commands() -> None:
    assert len(blocks("sh")) == 2


def test_the_program_runs_and_buys_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its market has no end: here it ends after some minutes of the first evening."""
    evening = datetime(2025, 9, 15, 21, 30)  # noqa: DTZ001  Beijing time
    monkeypatch.setattr(
        "tianqin_backtrader.store.LocalExchange", lambda: LocalExchange(end=evening)
    )
    (program,) = blocks("python")
    names: dict[str, Any] = {}
    exec(program, names)
    held = names["broker"].get_account_position("SHFE.cu2512")
    assert (held.long.today, held.net) == (1, 1)
