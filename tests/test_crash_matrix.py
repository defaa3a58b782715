"""The crash matrix: whenever the program is killed, no order is sent twice and none is lost.

Stops, OCO pairs and the children of brackets stand again, and each trade is counted once. What is
expected of each order type is written in `crash_child`, by hand; the judge is the exchange.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from crash_child import CLOSE_AT, CU, MARKS, SCENARIOS
from crash_matrix import (
    CAN_FORK,
    Cell,
    Outcome,
    Program,
    Verdict,
    cells,
    judge,
    outcome_of,
    play_all,
    summary,
    table,
)
from rich.console import Console

from tianqin_backtrader.recovery import NOT_KNOWN

# Where a run cannot be forked it takes seconds to import TqSdk: some of the cells must do.
THINNED = 1 if CAN_FORK else 12
ROWS_APART = 11
MATRIX = cells()
ROWS = [
    Cell(name, row=row)
    for number, name in enumerate(SCENARIOS)
    for row in range(1 + number % ROWS_APART, 46, ROWS_APART)
]
AGAIN = [
    Cell(scenario.name, "wire | answer" if "wired" in scenario.facts else "row | legs", again=row)
    for scenario, row in zip(SCENARIOS.values(), [2, 4, 6] * 7, strict=False)
]
AWAY = [
    Cell("Limit, filling", "accepted", away=14),
    Cell("Limit, filling", "wire | answer", away=10),
    Cell("Limit, split", "accepted", away=14),
    Cell("Limit, resting", "accepted", away=46),
    Cell("Limit, DAY", "accepted", away=46),
    Cell("Limit, cancelled", "cancel | wait", away=3),
    Cell("Turning over", "wire | answer", away=3),
    Cell("Stop", "row | legs", away=14),
    Cell("Stop", "wire | answer", away=5),
    Cell("StopLimit", "row | legs", away=14),
    Cell("StopTrail", "trail moved", away=10),
    Cell("StopTrailLimit", "trail moved", away=10),
    Cell("Close", "row | legs", away=36),
    Cell("OCO, the limit fills", "accepted", away=14),
    Cell("OCO, the stop goes off", "row | legs", away=14),
    Cell("Bracket, parent", "accepted", away=10),
    Cell("Bracket, limit child", "accepted", away=14),
    Cell("Bracket, stop child", "parent | child", away=14),
]
EVENING_AT = CLOSE_AT + 2


def some(wanted: list[Cell]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    chosen = wanted[::THINNED]
    return pytest.mark.parametrize("cell", chosen, ids=[str(cell) for cell in chosen])


@pytest.fixture(scope="module")
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[Cell, Verdict]:
    """All cells that are asked for, played side by side."""
    mine = [item for item in request.session.items if item.path == request.path]
    specs = (getattr(item, "callspec", None) for item in mine)
    asked = [spec.params["cell"] for spec in specs if spec is not None]
    return play_all(list(dict.fromkeys(asked)), tmp_path_factory.mktemp("crash"))


@some(MATRIX)
def test_killed_at_a_marked_point(cell: Cell, verdicts: Mapping[Cell, Verdict]) -> None:
    assert verdicts[cell].holds, verdicts[cell]


@some(ROWS)
def test_killed_before_a_row_of_the_journal(cell: Cell, verdicts: Mapping[Cell, Verdict]) -> None:
    """Rows beyond the last one of a run kill nobody."""
    assert verdicts[cell].faults == [], verdicts[cell]


@some(AGAIN)
def test_killed_again_while_it_takes_up(cell: Cell, verdicts: Mapping[Cell, Verdict]) -> None:
    assert verdicts[cell].holds, verdicts[cell]
    assert verdicts[cell].again


@some(AWAY)
def test_market_goes_on_while_nobody_looks(cell: Cell, verdicts: Mapping[Cell, Verdict]) -> None:
    """Orders fill, prices pass stops, the day ends before the program is started again."""
    assert verdicts[cell].holds, verdicts[cell]


@some([Cell(name) for name in SCENARIOS])
def test_nobody_dies(cell: Cell, verdicts: Mapping[Cell, Verdict]) -> None:
    """What the matrix expects of each order type is what comes without a death."""
    assert verdicts[cell].holds, verdicts[cell]


def test_every_mark_is_passed_by_some_order_type() -> None:
    assert {cell.mark for cell in MATRIX} == {mark.name for mark in MARKS}
    assert {cell.scenario for cell in MATRIX} == SCENARIOS.keys()


def test_table_has_a_row_for_each_mark() -> None:
    played = {cell: Verdict(cell) for cell in MATRIX}
    played[MATRIX[0]].loss("a trade")
    printed = io.StringIO()
    Console(width=100, file=printed).print(table(played))
    lines = [line.split() for line in printed.getvalue().splitlines()]
    assert ["before", "its", "row", "NO", *["ok"] * 20] in lines
    assert ["trail", "moved", *["-"] * 11, "ok", "ok", *["-"] * 8] in lines
    total = f"{len(MATRIX)} deaths: 0 duplicates, 1 losses, 1 not as they should be"
    assert summary(list(played.values())) == total


# ---- a night that nobody saw: its trades are in no picture that a gateway shows


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    made = Program()
    yield made
    made.close()


def ended(outcome: Outcome, ref: int) -> tuple[str, str]:
    """State and reason of an order."""
    row = next(row for row in outcome.orders.itertuples() if str(row.key).endswith(f".{ref}"))
    return str(row.state), str(row.reason)


def differences(outcome: Outcome) -> list[str]:
    heard = outcome.moments[-1].life.heard
    assert heard is not None
    return [text for name, text in heard["notices"] if name == "JOURNAL_DIFFERENCE"]


def test_a_limit_that_filled_before_the_night_is_not_sent_again(
    program: Program, tmp_path: Path
) -> None:
    """It was not in the next day's picture, was sent once more, and its lots were held twice."""
    cell = Cell("Limit, over the night", "accepted", away=EVENING_AT - 5)
    outcome = outcome_of(cell, program, tmp_path)
    assert len(outcome.books.received) == 1
    assert outcome.books.held() == {CU: (5, 0)}
    state, reason = ended(outcome, 1)
    assert (state, reason.split("; ")[0]) == ("Canceled", NOT_KNOWN)
    (text,) = differences(outcome)
    assert "holds 5 long and 0 short lots, the journal expects 0 and 0" in text


def test_a_limit_that_did_not_fill_stands_the_next_day(program: Program, tmp_path: Path) -> None:
    cell = Cell("Limit, resting", "accepted", away=EVENING_AT - 5)
    outcome = outcome_of(cell, program, tmp_path)
    assert [order_id[-4:] for order_id in outcome.books.received] == [".1.0", ".1.1"]
    assert ended(outcome, 1)[0] == "Accepted"
    assert differences(outcome) == []


def test_a_stop_that_may_have_closed_before_the_night_is_not_sent_again(
    program: Program, tmp_path: Path
) -> None:
    """Half of it closed; what is left is told as a difference."""
    cell = Cell("Stop, over the night", "wire | answer", away=EVENING_AT - 20)
    outcome = outcome_of(cell, program, tmp_path)
    assert [key[-4:] for key in outcome.books.received if ".2." in key] == [".2.0"]
    assert outcome.books.held() == {CU: (2, 0)}
    assert ended(outcome, 2)[1].startswith(NOT_KNOWN)
    assert len(differences(outcome)) == 1


def test_a_stop_that_was_not_sent_before_the_night_goes_off_after_it(
    program: Program, tmp_path: Path
) -> None:
    cell = Cell("Stop, over the night", "legs | send", away=EVENING_AT - 20)
    outcome = outcome_of(cell, program, tmp_path)
    assert outcome.books.held() == {CU: (0, 0)}
    assert ended(outcome, 2)[0] == "Completed"
    assert differences(outcome) == []


# ---- the judge


@pytest.fixture(scope="module")
def sound(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A market order of three legs, killed between two of its fills."""
    cell = Cell("Market, SHFE", "between fills")
    return outcome_of(cell, program, tmp_path_factory.mktemp("sound"))


def judged(outcome: Outcome) -> Verdict:
    verdict = Verdict(Cell("Market, SHFE", "between fills"))
    judge(verdict, SCENARIOS["Market, SHFE"], outcome)
    return verdict


def test_judge_finds_nothing_in_a_sound_outcome(sound: Outcome) -> None:
    assert judged(sound).faults == []


def test_judge_misses_a_trade(sound: Outcome) -> None:
    verdict = judged(replace(sound, trades=sound.trades[:-1]))
    assert (verdict.losses, verdict.duplicates) == (1, 0)
    assert "is not in the journal" in verdict.faults[0]


def test_judge_sees_a_trade_that_is_counted_twice(sound: Outcome) -> None:
    verdict = judged(replace(sound, trades=pd.concat([sound.trades, sound.trades[-1:]])))
    assert (verdict.losses, verdict.duplicates) == (0, 1)


def test_judge_misses_a_leg(sound: Outcome) -> None:
    verdict = judged(replace(sound, legs=sound.legs[1:]))
    assert (verdict.losses, verdict.duplicates) == (1, 0)


def test_judge_sees_a_leg_that_was_sent_twice(
    sound: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound.books, "received", [*sound.books.received, sound.books.received[0]])
    assert judged(sound).duplicates == 1


def test_judge_sees_lots_that_were_sent_twice(
    sound: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound.books, "most", dict.fromkeys(sound.books.most, 6))
    assert judged(sound).duplicates == 1


def test_judge_sees_an_order_that_ended_otherwise(sound: Outcome) -> None:
    verdict = judged(replace(sound, orders=sound.orders.assign(state="Canceled")))
    assert any("expected that it is Completed when all has traded" in f for f in verdict.faults)
