"""The benchmarks' page: its quick form runs, bars are judged by comparison, its rows are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _exactness  # noqa: E402
import _figures  # noqa: E402

MINUTE_NS = 60_000_000_000
BUILDERS = (
    "**ours**: `BarBuilder`",
    "**ours**: `RecordedData` in Cerebro",
    "**ours**: exchange, TqApi, feed, Cerebro",
    "Backtrader: `PandasData` of ticks, `resampledata`",
)
COPPER_MINUTES = 465  # of a trading day: 240 at night, 75, 60 and 90 by day


def bar(minute: int, *fields: float) -> tuple[float, ...]:
    return (minute * MINUTE_NS, *fields)


# ---- the judge


OFFICIAL = [bar(100, 10, 12, 9, 11, 5, 70), bar(101, 11, 13, 11, 12, 6, 71)]


def test_a_bar_that_differs_in_one_field_is_not_equal() -> None:
    bars = [OFFICIAL[0], bar(101, 11, 13, 11, 12, 7, 71)]
    verdict = _exactness.judge(bars, OFFICIAL, stamps_end=False)
    assert (verdict.equal, verdict.by_field) == (1, (2, 2, 2, 2, 1, 2))


def test_stamps_of_the_end_are_brought_to_the_begin() -> None:
    later = [(time + MINUTE_NS, *rest) for time, *rest in OFFICIAL]
    verdict = _exactness.judge(later, OFFICIAL, stamps_end=True)
    assert (verdict.equal, verdict.as_stamped, verdict.outside) == (2, 0, 0)


def test_an_own_open_is_equal_once_it_is_carried() -> None:
    bars = [OFFICIAL[0], bar(101, 12.5, 13, 12, 12, 6, 71)]  # opened at its own first tick
    verdict = _exactness.judge(bars, OFFICIAL, stamps_end=False)
    assert (verdict.equal, verdict.carried) == (1, 2)
    assert verdict.by_field == (1, 2, 1, 2, 2, 2)


def test_missing_outside_and_double_bars_are_counted() -> None:
    bars = [OFFICIAL[0], OFFICIAL[0], bar(105, 1, 1, 1, 1, 1, 1), bar(99, 1, 1, 1, 1, 1, 1)]
    verdict = _exactness.judge(bars, OFFICIAL, stamps_end=False)
    assert (verdict.missing, verdict.outside, verdict.twice) == (1, 1, 1)
    assert verdict.made == 3  # the one before the first official minute is not looked at


def test_no_price_is_carried_over_a_hole() -> None:
    bars = [bar(100, 10, 10, 10, 10, 1, 1), bar(102, 12, 12, 12, 12, 1, 1)]
    assert _exactness.carry(bars) == bars


# ---- figures


def test_a_cell_has_the_median_and_the_spread() -> None:
    assert _figures.spread([3.0, 1.0, 2.0]) == "2.00 (1.00 - 3.00)"
    assert _figures.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


@pytest.mark.parametrize(("ratio", "says"), [(3.3, "Raw wins"), (0.5, "Ours wins"), (1, "level")])
def test_whoever_needs_less_wins(ratio: float, says: str) -> None:
    assert says in _figures.wins(ratio, "ours", "raw", "the time")


def test_an_incomplete_share_is_never_called_whole() -> None:
    assert _figures.share(2_999, 3_000) == "99.9%"
    assert _figures.share(3_000, 3_000) == "100.0%"


# ---- the command


@pytest.fixture(scope="module")
def quick() -> str:
    """What `--quick --only bars` prints: made-up ticks, nothing installed."""
    command = [sys.executable, "-X", "utf8", str(BENCHMARKS / "all.py"), "--quick"]
    done = subprocess.run(
        [*command, "--only", "bars"],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bars: done in" in done.stderr
    return done.stdout


def rows(text: str, heading: str) -> list[list[str]]:
    """Rows of the table under a heading, its names first."""
    table = text.partition(f"{heading}\n\n")[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if not line.startswith("| :--")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def test_the_quick_form_judges_every_builder(quick: str) -> None:
    names, *found = rows(quick, "exactness")
    assert [row[1] for row in found] == list(BUILDERS)
    assert {len(row) for row in found} == {len(names)}
    assert {row[3] for row in found} == {str(COPPER_MINUTES)}


def test_ours_are_all_equal_and_the_resampler_is_what_it_is(quick: str) -> None:
    _, *found = rows(quick, "exactness")
    equal = {row[1]: int(re.sub(r"\D", "", row[5].split()[0])) for row in found}
    assert [equal[name] for name in BUILDERS[:3]] == [COPPER_MINUTES] * 3
    resampled = next(row for row in found if row[1] == BUILDERS[3])
    by_field = [int(cell) for cell in resampled[6:12]]
    assert 0 < equal[BUILDERS[3]] <= min(by_field)
    # 10:15, 11:30, 15:00 and the end of the night each have a picture of half a second later
    assert resampled[-1] == "4"
    assert int(resampled[4]) == COPPER_MINUTES + 4


def test_costs_are_above_nothing(quick: str) -> None:
    _, *found = rows(quick, "bar_costs")
    assert len(found) == 1
    assert all(float(cell.strip("*")) > 0 for row in found for cell in row[2:5])


def test_the_page_has_a_figure_for_every_place_of_the_template() -> None:
    template = (BENCHMARKS / "_template.md").read_text(encoding="utf-8")
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert "$" not in page.replace("$ python", "")
    headings = [line for line in template.splitlines() if line.startswith("#")]
    assert [line for line in page.splitlines() if line.startswith("#")] == headings
