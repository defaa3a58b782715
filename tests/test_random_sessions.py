"""A hundred random sessions: what a strategy sees is what the exchange's own books say.

`TIANQIN_NIGHTLY=1 pytest tests/test_random_sessions.py` runs two thousand of them. A failure names
its seeds; `python tests/random_sessions.py --seed N --verbose` runs and tells one alone.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from random_sessions import FAULTS, Report, run_session

SESSIONS = 2_000 if os.environ.get("TIANQIN_NIGHTLY") else 100
GROUPS = 10
REPRODUCE = "python tests/random_sessions.py --verbose --seed"
reports: dict[int, Report] = {}


@pytest.mark.parametrize("group", range(GROUPS))
def test_executions_lots_and_money_are_those_of_the_exchange(group: int) -> None:
    wrong = []
    for seed in range(group, SESSIONS, GROUPS):
        reports[seed] = report = run_session(seed)
        wrong += [f"{REPRODUCE} {seed}: {problem}" for problem in report.problems]
    assert not wrong, "\n".join(wrong)


def test_the_sessions_were_worth_it() -> None:
    """Every fault was made, every way to end was seen, and each session was compared at rest."""
    if len(reports) < 100:
        pytest.skip("some groups were left out: there is too little to look at")
    seen = list(reports.values())
    ends = sum((report.ends for report in seen), Counter[str]())
    assert ends.keys() >= {"Completed", "Canceled", "Expired", "Margin", "Rejected"}
    assert {kind for report in seen for kind in report.scene.faults} == FAULTS.keys()
    assert all(report.rests for report in seen)
    for count in ("legs", "trades", "refusals", "faults"):
        assert sum(getattr(report, count) for report in seen) > 3 * len(seen), count
