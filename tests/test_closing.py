"""When a silent minute is over: proved by the server's answer, never by the clock alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from tianqin_backtrader import clock
from tianqin_backtrader.clock import MarketClock
from tianqin_backtrader.closing import Closing

SECOND = 1_000_000_000
END = 1_757_944_800 * SECOND  # a minute's end, 2025-09-15 22:00 Beijing time
GRACE_S = 0.5


class Line:
    """A market-data line that answers when it is told to."""

    def __init__(self) -> None:
        self.market_is_down = self.answers = False
        self.asked = 0

    def probe(self) -> Callable[[], bool]:
        self.asked += 1
        return lambda: self.answers


class Desk:
    """A Closing with a clock in our hand; `s` are real seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, speed: float | None = 1.0) -> None:
        self.real_ns = 0
        monkeypatch.setattr(clock, "monotonic_ns", lambda: self.real_ns)
        self.line, self.clock = Line(), MarketClock(speed)
        self.closing = Closing(cast("Any", self.line), self.clock, GRACE_S)

    def tick(self, before_end_s: float) -> None:
        self.clock.observe(END - int(before_end_s * SECOND))

    def later(self, s: float) -> bool:
        """Let real time pass; whether the minute is over then."""
        self.real_ns += int(s * SECOND)
        return self.closing.look(END) >= END


def test_silence_closes_a_minute_after_the_grace_once_the_server_has_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch)
    desk.tick(before_end_s=2)
    assert not desk.later(1.9)
    assert desk.line.asked == 0  # not over by the clock: nothing to ask
    assert not desk.later(0.2)
    desk.line.answers = True
    assert not desk.later(0.3)  # 0.4 s past the end: within the grace
    assert desk.later(0.2)
    assert desk.line.asked == 1


def test_a_wedged_server_closes_nothing_however_long_it_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flat bars were made up while real ticks waited on a stuck line."""
    desk = Desk(monkeypatch)
    desk.tick(before_end_s=2)
    assert not any(desk.later(10) for _ in range(60))
    desk.line.answers = True
    assert desk.later(0)


def test_nothing_is_asked_and_nothing_closed_while_the_socket_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch)
    desk.tick(before_end_s=2)
    desk.line.market_is_down = desk.line.answers = True
    assert not desk.later(600)
    assert desk.line.asked == 0
    desk.line.market_is_down = False
    assert desk.later(1)


def test_a_younger_message_of_the_exchange_needs_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, speed=None)
    desk.tick(before_end_s=-0.4)
    assert not desk.later(3_600)  # lock-step: only the exchange moves time
    desk.tick(before_end_s=-0.5)
    assert desk.later(0)
    assert desk.line.asked == 0


def test_grace_is_real_time_at_any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 600 x a hiccup of 20 ms is 12 s of the market: half a second of it is no proof."""
    desk = Desk(monkeypatch, speed=600.0)
    desk.line.answers = True
    desk.tick(before_end_s=6)
    assert not desk.later(0.02)
    assert not desk.later(0.4)
    assert desk.later(0.2)


def test_waits_end_when_the_clock_must_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    monkeypatch.setattr("tianqin_backtrader.closing.now_s", lambda: 1_000.0)
    desk.tick(before_end_s=2)
    assert desk.closing.deadline_s(1_010.0, END) == pytest.approx(1_002.0)
    assert desk.closing.deadline_s(1_000.5, END) == 1_000.5
    desk.later(2.1)
    assert desk.closing.deadline_s(1_010.0, END) == pytest.approx(1_000.4)
    desk.later(5)
    assert desk.closing.deadline_s(1_010.0, END) == 1_010.0  # the answer wakes us
