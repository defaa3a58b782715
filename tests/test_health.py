"""When a session is well, when it is asked, when it is rebuilt: by facts alone."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.calendar import KnownDays
from tianqin_backtrader.health import Act, Contract, Facts, Health, Rhythm, in_maintenance
from tianqin_backtrader.logins import account_refusal, is_cut, is_refusal
from tianqin_backtrader.sessions import Sessions

SECOND = 1_000_000_000
EPOCH = datetime(1970, 1, 1, 8)  # noqa: DTZ001  Beijing time
HOURS = {
    "day": (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00")),
    "night": (("21:00:00", "25:00:00"),),
}
WEEKDAYS = [date(2025, 8, 1) + timedelta(days=n) for n in range(120)]
HOLIDAYS = {date(2025, 10, d) for d in range(1, 9)}
DAYS = KnownDays([d for d in WEEKDAYS if d.weekday() < 5 and d not in HOLIDAYS])
SESSIONS = Sessions(HOURS, DAYS)
AFTER_S = 30


def ns(text: str) -> int:
    """Beijing time on 2025-09-16, a Tuesday, or on the day that `text` names."""
    moment = datetime.fromisoformat(text if "-" in text else f"2025-09-16T{text}")
    return int((moment - EPOCH).total_seconds()) * SECOND


def health() -> Health:
    return Health(AFTER_S, random.Random(1))


def facts(at: str = "10:40:00", now_s: float = 1_000, **about: object) -> Facts:
    """All is well at `at`: heard a moment ago, nothing lost, nothing asked."""
    now_ns = int(now_s * SECOND)
    contract = Contract("SHFE.cu2512", ns(at) - SECOND, SESSIONS)
    calm = Facts(now_ns, (ns(at),), {}, now_ns, None, (contract,))
    return replace(calm, **about)  # type: ignore[arg-type]


def test_all_is_well() -> None:
    assert health().look(facts()).act is Act.NOTHING


OFF_DUTY = ["08:54:59", "10:20:00", "11:31:00", "13:24:59", "15:01:00", "19:15:00", "20:54:59",
            "2025-09-17T01:00:00", "2025-09-20T10:40:00", "2025-09-30T21:30:00",
            "2025-10-08T21:30:00"]  # fmt: skip
ON_DUTY = ["08:55:00", "10:25:00", "13:25:00", "20:55:00", "09:00:00", "14:59:59",
           "2025-09-17T00:59:59", "2025-10-09T08:55:00"]  # fmt: skip


@pytest.mark.parametrize("at", OFF_DUTY)
def test_off_duty_nothing_is_done(at: str) -> None:
    """Lunch, night, Saturday, and the evenings around a holiday: no rebuild, no alarm."""
    lost = {"market": 0, "trading": 0}
    verdict = health().look(facts(at, lost=lost, heard_ns=0, asked_ns=0))
    assert (verdict.act, verdict.is_on_duty, verdict.is_wedged) == (Act.NOTHING, False, False)


@pytest.mark.parametrize("at", ON_DUTY)
def test_a_session_stands_five_minutes_before_each_opening(at: str) -> None:
    verdict = health().look(facts(at, lost={"trading": 0}))
    assert (verdict.act, verdict.is_on_duty) == (Act.REBUILD, True)
    assert verdict.reason == "the trading connection is lost"


@pytest.mark.parametrize(
    ("lost_s", "act"), [(0, Act.NOTHING), (29, Act.NOTHING), (30, Act.REBUILD)]
)
@pytest.mark.parametrize("what", ["market", "trading"])
def test_tqsdk_has_half_a_minute_to_reconnect(what: str, lost_s: int, act: Act) -> None:
    lost = {what: (1_000 - lost_s) * SECOND}
    verdict = health().look(facts(lost=lost))
    assert verdict.act is act
    assert verdict.broken == {what}


def test_silence_is_a_question_first() -> None:
    """A contract that trades seldom is silent for minutes, on the best of lines."""
    judge = health()
    assert judge.look(facts(heard_ns=996 * SECOND)).act is Act.NOTHING
    assert judge.look(facts(heard_ns=995 * SECOND)).act is Act.ASK
    asked: dict[str, Any] = {"heard_ns": 995 * SECOND, "asked_ns": 1_000 * SECOND}
    assert judge.look(facts(now_s=1_024, **asked)).act is Act.NOTHING
    verdict = judge.look(facts(now_s=1_025, **asked))
    assert (verdict.act, verdict.is_wedged) == (Act.REBUILD, True)
    assert verdict.broken == {"market"}


def test_a_question_that_was_answered_proves_the_line() -> None:
    judge = health()
    heard = 1_000 * SECOND  # the answer
    assert judge.look(facts(now_s=1_004, heard_ns=heard)).act is Act.NOTHING
    assert judge.look(facts(now_s=1_005, heard_ns=heard)).act is Act.ASK


def ticking(judge: Health, gap_s: int, until: str = "10:40:00") -> None:
    """A contract that ticks every `gap_s` seconds since 10:30."""
    at = ns("10:30:00")
    while at <= ns(until):
        contract = Contract("SHFE.cu2512", at, SESSIONS)
        judge.look(facts(market_ns=(at,), contracts=(contract,)))
        at += gap_s * SECOND


@pytest.mark.parametrize(
    ("gap_s", "silent_s", "stale"),
    [(1, 59, False), (1, 60, True), (9, 60, False), (30, 600, False)],
)
def test_silence_of_what_usually_ticks_is_told(gap_s: int, silent_s: int, stale: bool) -> None:
    judge = health()
    ticking(judge, gap_s)
    newest = ns("10:40:00") // (gap_s * SECOND) * gap_s * SECOND
    contract = Contract("SHFE.cu2512", newest, SESSIONS)
    quiet = facts(market_ns=(newest + silent_s * SECOND,), contracts=(contract,))
    verdict = judge.look(quiet)
    assert (verdict.is_stale, verdict.act) == (stale, Act.NOTHING)


def test_silence_over_lunch_is_none() -> None:
    judge = health()
    ticking(judge, 1, "11:29:59")
    contract = Contract("SHFE.cu2512", ns("11:29:59"), SESSIONS)
    for at in ("11:45:00", "13:29:59", "13:30:30"):
        assert not judge.look(facts(at, contracts=(contract,))).is_stale
    assert judge.look(facts("13:31:00", contracts=(contract,))).is_stale


def test_a_contract_that_has_expired_needs_nobody() -> None:
    gone = Contract("SHFE.cu2509", 0, SESSIONS, expire_ns=ns("2025-09-15T15:00:00"))
    verdict = health().look(facts(contracts=(gone,), lost={"market": 0}))
    assert not verdict.is_on_duty


def test_the_wall_clock_knows_the_time_after_a_weekend_of_silence() -> None:
    """Market time stands where the last message left it: a program started on Sunday slept on."""
    late = (ns("2025-09-19T15:20:00"), ns("2025-09-22T08:56:00"))
    assert health().look(facts(market_ns=late, lost={"trading": 0})).act is Act.REBUILD


@settings(deadline=None)
@given(st.integers(0, 24 * 3_600 - 1))
def test_maintenance_is_half_an_hour_each_evening(second: int) -> None:
    midnight = ns("00:00:00")
    inside = 19 * 3_600 <= second < 19 * 3_600 + 1_800
    assert in_maintenance(midnight + second * SECOND) == inside


@settings(deadline=None)  # the first look lays days out
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_rebuilds_back_off_with_jitter(seed: int, tries: int) -> None:
    """5 s, 10, 20 ... up to 300 s, each half to one and a half times as long."""
    judge, now_s = Health(AFTER_S, random.Random(seed)), 1_000.0
    for n in range(tries):
        lost = facts(now_s=now_s, lost={"market": 0})
        assert judge.look(lost).act is Act.REBUILD
        judge.tried(lost.now_ns)
        pause = min(5 * 2**n, 300)
        early, late = now_s + 0.499 * pause, now_s + 1.501 * pause
        assert judge.look(facts(now_s=early, lost={"market": 0})).act is Act.NOTHING
        now_s = late


def test_a_while_of_health_ends_the_back_off() -> None:
    judge = health()
    judge.look(facts(now_s=0))
    for n in range(8):
        judge.tried(n * SECOND)
    assert judge.look(facts(now_s=20, lost={"market": -100 * SECOND})).act is Act.NOTHING
    judge.look(facts(now_s=100))
    judge.tried(100 * SECOND)
    assert judge.look(facts(now_s=108, lost={"market": 0})).act is Act.REBUILD


def test_a_new_duty_begins_anew() -> None:
    """What failed all morning is tried at 13:25 at once."""
    judge, lost = health(), {"market": 0}
    judge.look(facts("11:29:59", lost=lost))
    for _ in range(8):
        judge.tried(1_000 * SECOND)
    assert judge.look(facts("11:29:59", lost=lost)).act is Act.NOTHING
    judge.look(facts("11:40:00", lost=lost))
    assert judge.look(facts("13:25:00", lost=lost)).act is Act.REBUILD


moments = st.integers(ns("2025-09-10T00:00:00"), ns("2025-10-12T00:00:00"))
since = st.integers(0, 2_000 * SECOND)


@settings(deadline=None)
@given(moments, st.dictionaries(st.sampled_from(["market", "trading"]), since), since,
       st.none() | since, st.integers(0, 2_000))  # fmt: skip
def test_whatever_the_facts(
    at: int, lost: dict[str, int], heard: int, asked: int | None, now_s: int
) -> None:
    """Off duty nothing is done; a rebuild has a reason; a live line is never rebuilt or asked."""
    now = now_s * SECOND
    contract = Contract("SHFE.cu2512", at, SESSIONS)
    verdict = health().look(Facts(now, (at,), lost, heard, asked, (contract,)))
    if not verdict.is_on_duty:
        assert verdict.act is Act.NOTHING
    if verdict.act is Act.REBUILD:
        assert verdict.reason
        assert verdict.broken
    if not lost and now - heard < 5 * SECOND:
        assert verdict.act is Act.NOTHING
    assert verdict.is_on_duty or not SESSIONS.is_open(at)


def test_a_gap_over_a_break_is_no_rhythm() -> None:
    rhythm = Rhythm()
    for at in ("10:14:58", "10:14:59", "10:30:01", "10:30:02"):
        rhythm.note(Contract("SHFE.cu2512", ns(at), SESSIONS))
    assert (rhythm.count, rhythm.gap_ns) == (2, SECOND)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("用户权限认证失败 (401,{'error': 'invalid_grant'})", True),
        ("用户权限认证失败 (400,{'error_description': 'Account disabled'})", True),
        ("用户权限认证失败 (503,{})", False),
        ("用户权限认证失败 (429,{})", False),
        ("与 wss://x 的连接失败，每日 19:00-19:30 为日常运维时间，请稍后再试", False),
        ("调用名称服务失败: 502, b''", False),
        ("添加期货账户失败。403, {}", True),
        ("您的账户不支持 <class 'TqAccount'>，需要购买后才能使用。", True),
    ],
)
def test_a_wrong_password_is_told_from_a_server_that_is_away(text: str, refused: bool) -> None:
    assert is_refusal(text) == refused


@pytest.mark.parametrize(
    ("content", "refuses"), [("登录失败, CTP:不合法的登录", True), ("CTP:还没有初始化", False)]
)
def test_a_broker_that_is_not_open_yet_refuses_nobody(content: str, refuses: bool) -> None:
    notices = {"1": {"level": "ERROR", "content": content, "_account_name": "x"}}
    assert bool(account_refusal(notices)) == refuses
    assert not is_cut(notices)
