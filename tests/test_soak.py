"""Twenty trading days with random faults: nothing is lost, and memory stays flat."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest
from soak import soak

MIB = 2**20
WARM, END = 5, "2025-10-13T15:10:00"  # days until all windows are full; the twentieth day
# Of memory and of the number of objects from then on. A day may end in the midst of a fault, with
# packets in hand, so the least of the last days counts. Each TqApi that stayed had 110,000 objects.
GROWTH, LAST = (30 * MIB, 0.05), 4
NIGHTLY = [(END, seed) for seed in range(2, 8)] + [("2025-12-05T15:10:00", 8)]


def check(end: str, seed: int, journal: Path) -> int:
    soaked = soak(datetime.fromisoformat(end), seed, journal)
    assert soaked.wrong == []
    assert len(soaked.faults) >= 5
    assert soaked.notices["SESSION_REBUILT"] >= 5
    assert sum(soaked.executed.values()) >= 2 * soaked.days
    bytes_more, objects_more = GROWTH
    assert min(soaked.rss[-LAST:]) - soaked.rss[WARM - 1] < bytes_more
    assert min(soaked.objects[-LAST:]) / soaked.objects[WARM - 1] < 1 + objects_more
    return soaked.days


def test_twenty_days_of_faults(tmp_path: Path) -> None:
    assert check(END, 1, tmp_path / "soak.sqlite") == 20


@pytest.mark.skipif(not os.environ.get("TIANQIN_NIGHTLY"), reason="minutes long; set it at night")
@pytest.mark.parametrize(("end", "seed"), NIGHTLY)
def test_more_days_and_other_faults(end: str, seed: int, tmp_path: Path) -> None:
    assert check(end, seed, tmp_path / "soak.sqlite") >= 20
