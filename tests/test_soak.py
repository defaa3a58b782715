"""Twenty trading days with random faults: nothing is lost, and memory stays flat."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest
from soak import soak

MIB = 2**20
WARM, END = 5, "2025-10-13T15:10:00"  # days until all windows are full; the twentieth day
GROWTH = 30 * MIB, 0.1  # of memory, and of the number of objects, from then on
NIGHTLY = [(END, seed) for seed in range(2, 8)] + [("2025-12-05T15:10:00", 8)]


def check(end: str, seed: int, journal: Path) -> int:
    soaked = soak(datetime.fromisoformat(end), seed, journal)
    assert soaked.wrong == []
    assert len(soaked.faults) >= 5
    assert soaked.notices["SESSION_REBUILT"] >= 5
    assert sum(soaked.executed.values()) >= 2 * soaked.days
    bytes_more, objects_more = GROWTH
    assert soaked.rss[-1] - soaked.rss[WARM - 1] < bytes_more
    assert soaked.objects[-1] / soaked.objects[WARM - 1] < 1 + objects_more
    return soaked.days


def test_twenty_days_of_faults(tmp_path: Path) -> None:
    assert check(END, 1, tmp_path / "soak.sqlite") == 20


@pytest.mark.skipif(not os.environ.get("TIANQIN_NIGHTLY"), reason="minutes long; set it at night")
@pytest.mark.parametrize(("end", "seed"), NIGHTLY)
def test_more_days_and_other_faults(end: str, seed: int, tmp_path: Path) -> None:
    assert check(end, seed, tmp_path / "soak.sqlite") >= 20
