"""What the bar audit asks for, and what it makes of answers that begin too late or lack bars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, cast

import pytest

from tianqin_backtrader.audit import BarAudit
from tianqin_backtrader.auditing import MOST, Auditor
from tianqin_backtrader.notices import Notice
from tianqin_backtrader.values import Bar

MINUTE_NS = 60_000_000_000
DAY = date(2025, 9, 16)
Row = Mapping[str, Any]


def built(minute: int, price: float = 100.0) -> Bar:
    start_ns = minute * MINUTE_NS
    prices = price, price, price, price
    return Bar(start_ns, start_ns + MINUTE_NS, *prices, 1, 100.0, 5, 5, DAY)


def official(minute: int, close: float = 100.0) -> Row:
    fields = {"open": close, "high": close, "low": close, "close": close}
    return {"datetime": minute * MINUTE_NS, "volume": 1, "open_oi": 5, "close_oi": 5} | fields


class Server:
    """Answers requests with the newest of its rows, as the market-data server does."""

    def __init__(self, rows: list[Row]) -> None:
        self.series = rows
        self.asked: list[int] = []

    def klines(self, symbol: str, duration_s: int, count: int) -> Any:
        self.asked.append(count)
        return Answer(self, count)

    def wait_until(self, ready: Any, what: str, patience_s: float) -> None:
        assert ready()


class Answer:
    is_ready = True

    def __init__(self, server: Server, width: int) -> None:
        self._server, self.width = server, width

    def rows(self) -> list[Row]:
        return self._server.series[-self.width :]

    def release(self) -> None: ...

    def forget_old(self) -> None: ...


def compare(server: Server, bars: list[Bar]) -> tuple[BarAudit, list[str]]:
    """Audit `bars` after all of them have come; what is told of differences."""
    audit, connection = BarAudit(), cast("Any", server)
    told: list[str] = []

    def tell(notice: Notice, text: str, **about: object) -> None:
        told.append(text)

    auditor = Auditor(connection, "DCE.m2601", 60, audit, tell)
    for bar in bars:
        auditor.add(bar, built=True)
    auditor.finish(ended=True)
    return audit, told


def test_an_answer_that_begins_too_late_is_asked_for_again() -> None:
    """A hundred bars came between the question and its answer: the oldest was not among them."""
    server = Server([official(minute) for minute in range(200)])
    audit, told = compare(server, [built(60), built(61)])
    assert (audit.agreed, audit.differed, audit.pending, told) == (2, 0, 0, [])
    assert server.asked == [5, 10, 20, 40, 80, 160]


def test_bars_that_the_official_series_lacks_are_told() -> None:
    server = Server([official(minute) for minute in range(200) if minute != 150])
    audit, told = compare(server, [built(minute) for minute in range(149, 152)])
    assert (audit.agreed, audit.differed) == (2, 1)
    assert told == ["DCE.m2601: a bar of 60 s differs: the official series has no such bar"]


@pytest.mark.parametrize("longest", [50, MOST + 50])
def test_bars_from_before_the_official_series_end_the_asking(longest: int) -> None:
    """Of a series that begins later, and of one of which the server gives only so much."""
    server = Server([official(minute) for minute in range(100, 100 + longest)])
    audit, _ = compare(server, [built(7), built(99 + longest)])
    assert (audit.agreed, audit.differed, audit.pending) == (1, 1, 0)
    assert max(server.asked) <= MOST


def test_official_bars_take_their_place_and_are_not_compared() -> None:
    audit = BarAudit()
    audit.add(built(1))
    for minute in range(2, 10):
        audit.add(built(minute), built=False)
    audit.add(built(10))
    assert (audit.span, audit.pending) == (10, 2)
    assert [str(each) for each in audit.check([official(1), official(10, 101.0)], ended=True)] == [
        "open 100, officially 101, high 100, officially 101, low 100, officially 101, "
        "close 100, officially 101"
    ]
    assert (audit.span, audit.pending) == (0, 0)
