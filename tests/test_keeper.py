"""What the keeper of a session does with what it finds, on a clock that a test moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from test_health import SECOND, SESSIONS, ns

from tianqin_backtrader import TqStore, keeper
from tianqin_backtrader.errors import GatewayTimeout, LoginRefused, WrongSetting
from tianqin_backtrader.health import Health
from tianqin_backtrader.keeper import SessionKeeper

SYMBOL = "SHFE.cu2512"


class Desk:
    """A keeper, and in place of session and market what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
        self.market_ns, self.mono_ns, self.tick_ns = ns(at), 10**15, ns(at)
        self.changes: list[tuple[str, bool]] = []
        self.heard = self.answers = True
        self.probes = self.repeated = self.blocks_ns = 0
        self.rebuilds: list[int] = []
        self.failures: list[Exception] = []
        self.told: list[str] = []
        self.shown: list[str] = []
        self.trading = SimpleNamespace(is_doubtful=False)
        self.can_probe = self.can_rebuild = True
        self.listing = SimpleNamespace(terms=lambda _: SimpleNamespace(is_main=False, expire_ns=0))
        monkeypatch.setattr(keeper, "monotonic_ns", lambda: self.mono_ns)
        clock = SimpleNamespace(now_ns=lambda: self.market_ns)
        pump = SimpleNamespace(newest_ticks=lambda: {SYMBOL: self.tick_ns})
        parts = cast("Any", (self, pump, clock, self, Health(30, random.Random(1))))
        self.keeper = SessionKeeper(*parts, is_real=False)

    # in place of the connection

    def socket_changes(self) -> list[tuple[str, bool]]:
        changes, self.changes = self.changes, []
        return changes

    def has_heard(self) -> bool:
        return self.heard

    def probe(self, _: str) -> Callable[[], bool]:
        self.probes += 1
        return lambda: self.answers

    def ask_unanswered(self) -> None:
        self.repeated += 1

    def rebuild(self) -> None:
        self.rebuilds.append(self.market_ns)
        self.mono_ns += self.blocks_ns
        if self.failures:
            raise self.failures.pop(0)
        self.changes += [("market", False), ("trading", False)]
        self.heard = self.answers = True

    # in place of the store

    def sessions(self, _: str) -> Any:
        return SESSIONS

    def tell(self, notice: Any, text: str, **about: Any) -> None:
        word = str(notice).removeprefix("CONNECTION_").removeprefix("SESSION_")
        self.told.append(f"{word} {about.get('what', '')}".strip())

    def show_line(self, state: str) -> None:
        self.shown.append(state)

    def run(self, seconds: float, ticks: bool = False) -> None:
        """Look four times a second."""
        for _ in range(int(seconds * 4)):
            self.market_ns += SECOND // 4
            self.mono_ns += SECOND // 4
            if ticks:
                self.tick_ns = self.market_ns
            self.keeper.poll()


def test_a_line_that_died_in_the_night_is_rebuilt_before_the_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half-open since 15:00; asked at 20:55, given up half a minute later."""
    desk = Desk(monkeypatch, "20:50:00")
    desk.heard = desk.answers = False
    desk.run(299)
    assert (desk.probes, desk.rebuilds, desk.told) == (0, [], [])
    desk.run(61)
    assert [ns("20:55:15") <= at <= ns("20:55:45") for at in desk.rebuilds] == [True]
    assert desk.told == ["LOST market", "REBUILT", "RESTORED market"]
    assert desk.shown == ["broken", "stands"]
    assert not desk.trading.is_doubtful


def test_nothing_is_said_of_the_maintenance(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, "18:59:00")
    desk.run(60)
    desk.changes = [("market", True), ("trading", True)]
    desk.run(1_800)
    desk.changes = [("market", False), ("trading", False)]
    desk.run(60)
    assert (desk.told, desk.rebuilds) == ([], [])
    assert desk.shown == ["broken", "stands"]


def test_a_line_that_is_lost_just_after_the_close_is_no_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last look was before the close: what was true then is not any more."""
    desk = Desk(monkeypatch, "14:59:00")
    desk.run(59)
    desk.market_ns = ns("15:00:00")
    desk.changes = [("trading", True)]
    desk.keeper.poll()
    assert desk.told == []


def test_what_is_still_lost_when_the_duty_begins_is_told_and_rebuilt_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch, "20:50:00")
    desk.changes = [("trading", True)]
    desk.run(299)
    assert desk.told == []
    desk.run(2)
    assert desk.told == ["LOST trading", "REBUILT", "RESTORED trading"]
    assert len(desk.rebuilds) == 1


def test_a_dead_network_is_tried_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, "10:31:00")
    desk.failures = [GatewayTimeout("no answer")] * 6
    desk.changes = [("market", True), ("trading", True)]
    desk.run(1_200)
    pauses = [(b - a) / SECOND for a, b in zip(desk.rebuilds, desk.rebuilds[1:], strict=False)]
    assert len(desk.rebuilds) == 7
    for pause, expected in zip(pauses, (5, 10, 20, 40, 80, 160), strict=True):
        assert 0.5 * expected <= pause <= 1.5 * expected + 0.25
    assert desk.told == ["LOST market", "LOST trading", "REBUILT", "RESTORED market",
                         "RESTORED trading"]  # fmt: skip


def test_a_refused_login_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, "10:31:00")
    desk.failures = [LoginRefused("wrong password")]
    desk.changes = [("market", True)]
    with pytest.raises(LoginRefused, match="wrong password"):
        desk.run(60)
    assert len(desk.rebuilds) == 1
    assert desk.shown == ["broken", "ended"]
    assert desk.trading.is_doubtful


def test_a_loss_must_be_allowed_some_time() -> None:
    with pytest.raises(WrongSetting, match="rebuild_after_s is 0"):
        TqStore(rebuild_after_s=0)


def test_a_server_that_answers_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that does not trade for ten minutes; the question costs a packet in 5 seconds."""
    desk = Desk(monkeypatch, "10:31:00")
    desk.heard = False
    desk.run(600)
    assert (desk.rebuilds, desk.told) == ([], [])
    assert 100 <= desk.probes <= 120


def test_silence_at_1040_of_what_ticks_each_second_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch, "10:31:00")
    desk.run(540, ticks=True)
    desk.run(300)
    assert (desk.shown, desk.rebuilds) == (["silent"], [])


def test_a_strategy_that_slept_has_not_missed_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lay unread in the buffer: only time in which somebody listens counts."""
    desk = Desk(monkeypatch, "10:31:00")
    desk.heard = desk.answers = False
    desk.run(8)
    desk.mono_ns += 3_600 * SECOND
    desk.keeper.poll()
    assert desk.rebuilds == []
    desk.answers = True
    desk.run(60)
    assert desk.rebuilds == []


def test_the_time_of_a_login_is_no_silence_of_the_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trading line is lost, logins take a minute and fail: the market is not to blame."""
    desk = Desk(monkeypatch, "10:31:00")
    desk.failures, desk.blocks_ns = [GatewayTimeout("no answer")] * 9, 60 * SECOND
    desk.changes = [("trading", True)]
    desk.run(30.25)
    assert len(desk.rebuilds) == 1
    before = desk.keeper._now_ns
    desk.keeper.poll()
    assert desk.keeper._now_ns == before
    desk.run(60)
    assert desk.told == ["LOST trading"]


def test_a_session_that_keeps_its_account_in_itself_is_left_to_tqsdk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch, "10:31:00")
    desk.can_rebuild = False
    desk.changes = [("market", True)]
    desk.run(300)
    assert (desk.rebuilds, desk.told) == ([], ["LOST market"])
