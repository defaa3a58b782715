"""Each fault of network, gateway, clock or calendar: the run ends as if nothing had happened.

For every cell: bars equal those of the undisturbed run, each order is at the exchange once, its
fills are those of the exchange's books, lots are those of the account, and strategies were told
what had happened, each change once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import time as clock_time
from functools import partial
from typing import Any, cast

import pytest
import tqsdk.connect
from fault_stage import Fault, M, Run, check_alike, lost_at_night, play, undisturbed

from tianqin_backtrader import LocalExchange
from tianqin_backtrader.errors import LoginRefused
from tianqin_backtrader.working import Rules

PACE_S = 0.06  # of a bar in an outage
QUICK_S, SLOW_S = 0.05, 9_999.0  # TqSdk waits 10 to 20 s before it connects again
CALM = ["DELAYED", "LIVE", "DISCONNECTED"]
LOST_MARKET, LOST_TRADING = ["LOST market", "RESTORED market"], ["LOST trading", "RESTORED trading"]
Reconnects = Callable[[float], None]


@pytest.fixture
def reconnects(monkeypatch: pytest.MonkeyPatch) -> Reconnects:
    """Says after how long TqSdk connects again."""

    def after(seconds: float) -> None:
        monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: seconds)

    return after


def both(seconds: float) -> Fault:
    def fault(exchange: LocalExchange) -> None:
        exchange.drop("td", seconds)
        exchange.drop("md", seconds)

    return fault


def restarted(exchange: LocalExchange) -> None:
    exchange.kill()
    exchange.revive()


def restarted_without_state(exchange: LocalExchange) -> None:
    exchange.kill()
    exchange.forget()
    exchange.revive()


def lines(run: Run) -> list[str]:
    """What feeds told of the line, without the changes between old bars and news."""
    return [status for status in run.statuses if status in ("CONNBROKEN", "CONNECTED")]


LOST: dict[str, tuple[Fault, list[str]]] = {
    "market lost for 1 s": (lambda e: e.drop("md", 1), LOST_MARKET),
    "market lost for 10 minutes": (lambda e: e.drop("md", 600), LOST_MARKET),
    "trading lost for 1 s": (lambda e: e.drop("td", 1), LOST_TRADING),
    "trading lost for 10 minutes": (lambda e: e.drop("td", 600), LOST_TRADING),
    "both lost for 10 minutes": (both(600), [*LOST_MARKET, *LOST_TRADING]),
    "gateway restarted": (restarted, [*LOST_MARKET, *LOST_TRADING]),
}


@pytest.mark.parametrize("name", LOST)
def test_what_tqsdk_mends_by_itself_is_left_to_it(name: str, reconnects: Reconnects) -> None:
    reconnects(QUICK_S)
    fault, notices = LOST[name]
    run = play(fault, rebuild_after_s=30)
    check_alike(run, undisturbed())
    assert sorted(run.notices) == sorted(notices)
    assert lines(run) == (["CONNBROKEN", "CONNECTED"] if "LOST market" in notices else [])
    assert run.state("rests") == ["Submitted", "Accepted", "Canceled"]
    assert run.state("stops") == ["Submitted", "Accepted"]


@pytest.mark.parametrize("name", LOST)
def test_what_takes_tqsdk_too_long_is_rebuilt(name: str, reconnects: Reconnects) -> None:
    reconnects(SLOW_S)
    fault, notices = LOST[name]
    run = play(fault, pace_s=PACE_S)
    check_alike(run, undisturbed())
    assert sorted(run.notices) == sorted([*notices, "REBUILT"])
    assert lines(run) == (["CONNBROKEN", "CONNECTED"] if "LOST market" in notices else [])
    assert run.state("rests") == ["Submitted", "Accepted", "Canceled"]
    assert run.state("stops") == ["Submitted", "Accepted"]


def test_new_risk_is_refused_until_the_account_is_whole(reconnects: Reconnects) -> None:
    reconnects(SLOW_S)
    run = play(lambda e: e.drop("td", 240), pace_s=PACE_S)
    refused = {reason.partition(":")[0] for reason in run.reasons}
    assert "RECONCILING" in refused
    assert refused <= {"RECONCILING", "DCE.m2601 still delivers history"}  # a slow strategy's bars
    assert run.notices == ["LOST trading", "REBUILT", "RESTORED trading"]


def test_a_gateway_without_memory_ends_what_it_does_not_know(
    reconnects: Reconnects, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnects(QUICK_S)
    monkeypatch.setattr("tianqin_backtrader.broker.Rules", partial(Rules, answer_s=0.05))
    run = play(restarted_without_state, rebuild_after_s=30, pace_s=PACE_S)
    check_alike(run, undisturbed())
    assert run.state("rests") == ["Submitted", "Accepted", "Rejected"]
    assert run.state("stops") == ["Submitted", "Accepted"]


SPOILT: dict[str, Fault] = {
    "market packets repeated": lambda e: e.repeat("md"),
    "market packets split": lambda e: e.split("md"),
    "market packets reordered": lambda e: e.reorder("md"),
    "market packets delayed": lambda e: e.delay("md", 0.002),
    "trading packets repeated": lambda e: e.repeat("td"),
    "trading packets split": lambda e: e.split("td"),
    "trading packets reordered": lambda e: e.reorder("td"),
    "trading packets delayed": lambda e: e.delay("td", 0.002),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_packets_change_nothing(name: str) -> None:
    run = play(SPOILT[name], rebuild_after_s=30)
    check_alike(run, undisturbed())
    assert run.notices == []
    assert run.statuses == CALM


@pytest.mark.parametrize("seconds", [0, 600])
def test_a_half_open_market_socket_is_found_out_by_a_question(
    seconds: int, reconnects: Reconnects
) -> None:
    """It looks healthy for ever: no packet, no error. Bars of ten minutes come late, and whole."""
    reconnects(SLOW_S)
    run = play(lambda e: e.half_open("md", seconds))
    check_alike(run, undisturbed())
    assert run.notices == ["LOST market", "REBUILT", "RESTORED market"]
    assert lines(run) == ["CONNBROKEN", "CONNECTED"]


@pytest.mark.parametrize("side", ["td", "both"])
def test_a_half_open_trading_socket_swallows_no_order_for_good(
    side: str, reconnects: Reconnects, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnects(SLOW_S)
    clients: dict[str, Any] = {}
    send = tqsdk.connect.TqConnect._send_handler

    async def known(connect: Any, chan: Any, client: Any) -> None:
        clients[connect._conn_id] = client
        await send(connect, chan, client)

    def miss_pings() -> None:  # websockets does so by itself, 20 to 40 seconds later
        clients["td_0"].transport.abort()

    monkeypatch.setattr(tqsdk.connect.TqConnect, "_send_handler", known)
    monkeypatch.setattr("tianqin_backtrader.broker.Rules", partial(Rules, answer_s=0.05))

    def fault(exchange: LocalExchange) -> None:
        exchange.half_open("td")
        if side == "both":
            exchange.half_open("md")

    run = play(fault, pace_s=PACE_S, found=miss_pings if side == "td" else lambda: None)
    check_alike(run, undisturbed())
    lost = LOST_TRADING if side == "td" else LOST_MARKET
    assert run.notices == [lost[0], "REBUILT", lost[1]]


def test_wrong_credentials_stop_at_once(reconnects: Reconnects) -> None:
    """A dead network is tried again; a password that is wrong now stays wrong."""
    reconnects(SLOW_S)

    def fault(exchange: LocalExchange) -> None:
        exchange.refuse_logins()
        exchange.drop("md", 3_600)

    run = play(fault)
    assert isinstance(run.error, LoginRefused)
    assert len(run.books.inserted) == len(set(run.books.inserted))
    assert run.exchange_net == 1  # as it was


def test_a_dead_network_is_tried_again_until_it_lives(
    reconnects: Reconnects, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnects(SLOW_S)
    calm, tries = undisturbed(), cast("list[str]", [])
    login = tqsdk.TqAuth.login

    def flaky(auth: Any) -> None:
        tries.append("login")
        if 1 < len(tries) < 5:
            raise ConnectionError("the network is unreachable")
        login(auth)

    monkeypatch.setattr(tqsdk.TqAuth, "login", flaky)
    run = play(lambda e: e.half_open("md"))
    check_alike(run, calm)
    assert len(tries) == 5
    assert run.notices == ["LOST market", "REBUILT", "RESTORED market"]


@pytest.mark.parametrize("jump_s", [-300, 300])
@pytest.mark.parametrize("fault", ["none", "market lost for 10 minutes"])
def test_a_clock_that_jumps_moves_no_bar(
    jump_s: int, fault: str, reconnects: Reconnects, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnects(SLOW_S)
    true_time = time.time

    def jump(exchange: LocalExchange) -> None:
        if fault != "none":
            LOST[fault][0](exchange)
        monkeypatch.setattr(time, "time", lambda: true_time() + jump_s)

    run = play(jump)
    check_alike(run, undisturbed())
    assert [notice for notice in run.notices if notice != "REBUILT"] == (
        [] if fault == "none" else LOST_MARKET
    )


NIGHT = "2025-09-16T14:50:30", "2025-09-16T21:12:00"
HOLIDAYS = "2025-09-30T14:50:30", "2025-10-09T09:12:00"  # no night of 09-30, none until 10-09


@pytest.mark.parametrize("window", [NIGHT, HOLIDAYS], ids=["maintenance", "holiday night"])
def test_nothing_is_rebuilt_or_told_while_all_is_closed(
    window: tuple[str, str], reconnects: Reconnects
) -> None:
    """The servers are maintained from 19:00 to 19:30; nobody trades over the holidays."""
    reconnects(QUICK_S)
    run = play(None, M, window, watch=lost_at_night, trades=False)
    assert run.error is None
    assert run.bars == undisturbed(M, window, trades=False).bars
    assert run.notices == []
    assert set(lines(run)) == {"CONNBROKEN", "CONNECTED"}  # feeds do not lie about their line


def test_a_contract_that_expires_needs_no_line_any_more(reconnects: Reconnects) -> None:
    reconnects(QUICK_S)
    window, symbol = ("2025-09-19T14:40:30", "2025-09-22T09:40:00"), "CFFEX.IF2509"
    options: dict[str, Any] = {
        "trades": False,
        "fault_at": clock_time(14, 50),
        "rebuild_after_s": 5,
    }
    run = play(lambda e: e.drop("md", 120), symbol, window, **options)
    assert run.error is None
    assert run.bars == undisturbed(symbol, window, trades=False).bars
    assert run.notices.count("CONTRACT_EXPIRED") == 1
    assert [n for n in run.notices if n != "CONTRACT_EXPIRED"] == LOST_MARKET
