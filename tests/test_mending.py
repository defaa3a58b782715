"""Official klines in the place of bars that lack ticks: in order, none twice, none unfinished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, cast

from tianqin_backtrader.mending import Mender
from tianqin_backtrader.values import NAN, Bar

MINUTE = 60_000_000_000


def bar(minute: int, *, complete: bool = True, price: float = 1.0) -> Bar:
    start, day = minute * MINUTE, date(2025, 9, 16)
    end = start + MINUTE
    return Bar(start, end, price, price, price, price, 1, NAN, 1, 1, day, complete=complete)


@dataclass
class Answer:
    """A request whose answer comes when the test says so."""

    count: int
    is_ready: bool = False
    klines: list[dict[str, Any]] = field(default_factory=list)
    is_released: bool = False

    def rows(self) -> list[dict[str, Any]]:
        return self.klines[-self.count :]

    def release(self) -> None:
        self.is_released = True


class Line:
    def __init__(self) -> None:
        self.requests: list[Answer] = []

    def klines(self, symbol: str, duration_s: int, count: int) -> Answer:
        assert (symbol, duration_s) == ("SHFE.cu2511", 60)
        self.requests.append(Answer(count))
        return self.requests[-1]

    def wait_until(self, ready: Callable[[], bool], _: str) -> None:
        self.answer(range(1_000))
        assert ready()

    def answer(self, minutes: range) -> None:
        """The server has klines of these minutes, at price 9."""
        request = self.requests[-1]
        request.is_ready = True
        request.klines = [{"datetime": minute * MINUTE} for minute in minutes]


class Desk:
    def __init__(self) -> None:
        self.line, self.went = Line(), [(0, 0)]
        self.went.clear()
        self.mender = Mender(
            cast("Any", self.line),
            "SHFE.cu2511",
            60,
            lambda row: bar(row["datetime"] // MINUTE, price=9.0),
            self.let_go,
        )

    def let_go(self, each: Bar, *, official: bool) -> None:
        assert official == (each.close == 9.0)
        self.went.append((each.start_ns // MINUTE, int(each.close)))

    def take(self, *bars: Bar, building: int) -> None:
        for each in bars:
            self.mender.take(each)
        self.mender.ask(building * MINUTE)


def test_whole_bars_go_on_at_once_and_nothing_is_asked() -> None:
    desk = Desk()
    desk.take(bar(1), bar(2), building=3)
    assert desk.went == [(1, 1), (2, 1)]
    assert desk.line.requests == []


def test_a_hole_is_filled_before_later_bars_go_on() -> None:
    desk = Desk()
    desk.take(bar(1), bar(2, complete=False), bar(6, complete=False), bar(7), building=8)
    assert desk.went == [(1, 1)]
    desk.mender.poll(8 * MINUTE)
    assert desk.went == [(1, 1)]  # no answer yet
    desk.line.answer(range(9))
    desk.mender.poll(8 * MINUTE)
    assert desk.went == [(1, 1), (2, 9), (3, 9), (4, 9), (5, 9), (6, 9), (7, 1)]
    assert desk.line.requests[0].is_released


def test_a_kline_that_was_open_when_asked_for_is_asked_for_again() -> None:
    """Asked for in minute 4, which lacks its beginning; the answer came in minute 5."""
    desk = Desk()
    desk.take(bar(1), bar(2, complete=False), building=4)
    desk.mender.take(bar(4, complete=False))
    desk.line.answer(range(5))
    desk.mender.poll(5 * MINUTE)
    assert desk.went == [(1, 1), (2, 9), (3, 9)]
    assert len(desk.line.requests) == 2
    desk.line.answer(range(6))
    desk.mender.poll(5 * MINUTE)
    assert desk.went[-1] == (4, 9)


def test_klines_that_reach_not_back_are_asked_for_again() -> None:
    """The market went on for hours while the request was on the way."""
    desk = Desk()
    desk.take(bar(1), bar(2, complete=False), building=3)
    desk.line.answer(range(40))
    desk.mender.poll(40 * MINUTE)
    while len(desk.went) == 1:
        desk.line.answer(range(40))
        desk.mender.poll(40 * MINUTE)
    assert desk.went == [(1, 1), *((n, 9) for n in range(2, 40))]


def test_records_without_those_klines_hold_nothing_up() -> None:
    desk = Desk()
    desk.take(bar(1), bar(2, complete=False), bar(90), building=91)
    desk.line.answer(range(90, 92))
    desk.mender.poll(91 * MINUTE)
    assert desk.went == [(1, 1), (90, 1)]


def test_the_end_waits_for_what_was_asked_for() -> None:
    desk = Desk()
    desk.take(bar(1), bar(2, complete=False), building=3)
    desk.mender.finish(3 * MINUTE)
    assert desk.went == [(1, 1), (2, 9)]


def test_a_bar_goes_on_once_only() -> None:
    desk = Desk()
    desk.take(bar(1), bar(2), bar(2), bar(1), building=3)
    assert desk.went == [(1, 1), (2, 1)]
