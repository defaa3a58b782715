"""Fixtures that several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import Here

RECORDS = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def records() -> Path:
    """The folder of real market records, kept beside the project and not inside it."""
    if not RECORDS.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the real records are missing in CI: expected {RECORDS}")
        pytest.skip(f"the real records are not here: {RECORDS}")
    return RECORDS


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Commands of the command line in this process."""
    return Here(monkeypatch, capsys)
