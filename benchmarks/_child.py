"""Measurements in a process of their own, which print one line of JSON in the end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

__all__ = ["answer_of"]


def answer_of(command: Sequence[str], what: str, patience_s: float) -> Any:
    """What `command` printed last; TqSdk prints before it. Ends the program when it fails."""
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=patience_s, check=False
    )
    if done.returncode:
        raise SystemExit(f"{what} failed: {done.stderr[-2_000:]}")
    return json.loads(done.stdout.splitlines()[-1])
