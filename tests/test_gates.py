"""Mode live with a gate shut: it fails, it says which, and nothing goes over the wire."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from live_stage import (
    ACCOUNT,
    ACCOUNT_PASSWORD,
    BROKER,
    PASSWORD,
    USER,
    Tripwire,
    Wire,
    set_credentials,
    trade,
)
from pydantic import ValidationError
from test_broker import CU, script

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.config import load_settings
from tianqin_backtrader.connection import Connection
from tianqin_backtrader.errors import (
    BadJournal,
    InvalidOrder,
    JournalFailed,
    JournalTaken,
    LiveTradingRefused,
    NotStarted,
    WrongSetting,
)
from tianqin_backtrader.gates import GATES, Said, refusals
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.live import _trading_ns
from tianqin_backtrader.model import Direction, ExchangeOrder, Offset
from tianqin_backtrader.preflight import CHECKS, Findings, problems
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.sim.account import Account
from tianqin_backtrader.sim.desk import Desk
from tianqin_backtrader.values import Instrument

END = datetime(2025, 9, 15, 21, 20)  # noqa: DTZ001  Beijing time
SECRETS = (ACCOUNT, ACCOUNT_PASSWORD, USER, PASSWORD)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_credentials(monkeypatch, tmp_path)


@pytest.fixture
def tripwire() -> Iterator[Tripwire]:
    wire = Tripwire()
    yield wire
    wire.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with LocalExchange(end=END) as exchange:
        yield Wire(exchange)


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANQIN_LIVE_ENABLED", "true")


Open = dict[str, Any]
Attempt = Callable[[Open], object]


def live(where: Open, **given: Any) -> None:
    """Make a store of mode live and start it; `given` in place of what opens the gates."""
    options: Open = {"confirm_live": ACCOUNT, "journal": Path("orders.sqlite")}
    store = TqStore("live", **options | where | given)
    try:
        store.start()
    finally:
        store.stop()


def enable(word: str = "true") -> None:
    os.environ["TIANQIN_LIVE_ENABLED"] = word


def enabled_by(word: str) -> Attempt:
    def attempt(where: Open) -> None:
        enable(word)
        live(where)

    return attempt


def confirmed_by(word: Any) -> Attempt:
    def attempt(where: Open) -> None:
        enable()
        live(where, confirm_live=word)

    return attempt


def by_environment_alone(where: Open) -> None:
    enable()
    os.environ.update({"TIANQIN_MODE": "live", "TIANQIN_CONFIRM_LIVE": ACCOUNT})
    os.environ.update({f"TIANQIN_{name.upper()}": str(value) for name, value in where.items()})
    os.environ["TIANQIN_JOURNAL"] = "orders.sqlite"
    try:
        TqStore.from_env().start()
    finally:
        for name in where:
            del os.environ[f"TIANQIN_{name.upper()}"]


def with_the_gate_opened_by_the_program(where: Open) -> None:
    live(where, live_enabled=True)


def with_the_journal_in_memory(where: Open) -> None:
    enable()
    live(where, journal=None)


def with_the_gate_shut_before_the_start(where: Open) -> None:
    enable()
    store = TqStore("live", confirm_live=ACCOUNT, journal=Path("orders.sqlite"), **where)
    del os.environ["TIANQIN_LIVE_ENABLED"]
    store.start()


def with_the_gate_only_in_dotenv_and_shut_there(where: Open) -> None:
    Path(".env").write_text("TIANQIN_LIVE_ENABLED=false\n", encoding="utf-8")
    live(where)


def as_a_second_program(where: Open) -> None:
    enable()
    first = TqStore("live", confirm_live=ACCOUNT, journal=Path("orders.sqlite"), **where)
    first._books.claim()
    try:
        live(where)
    finally:
        first.stop()


def with_a_journal_that_another_program_locks(where: Open) -> None:
    enable()
    JournalWriter(Path("orders.sqlite")).close()
    lock = sqlite3.connect("orders.sqlite", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        live(where)
    finally:
        lock.close()


def with_a_journal_that_is_none(where: Open) -> None:
    enable()
    Path("orders.sqlite").write_text("no database" * 100, encoding="utf-8")
    live(where)


def by_changing_the_mode_of_a_paper_store(where: Open) -> None:
    enable()
    store = TqStore("paper", **where)
    store._settings.mode = "live"


def by_forcing_the_mode_of_a_paper_store(where: Open) -> None:
    enable()
    store = TqStore("paper", journal=Path("orders.sqlite"), **where)
    object.__setattr__(store._settings, "mode", "live")
    store.start()


def by_giving_a_demo_store_other_settings(where: Open) -> None:
    enable()
    store = TqStore()
    store._settings = load_settings(mode="live", journal=Path("orders.sqlite"), **where)
    store.start()


def by_a_subclass_that_lies(where: Open) -> None:
    class Liar(TqStore):
        @property
        def mode(self) -> str:
            return "paper"

    Liar("live", confirm_live=ACCOUNT, journal=Path("orders.sqlite"), **where).start()


def past_the_store(where: Open) -> None:
    enable()
    Connection(load_settings(mode="live", journal=Path("orders.sqlite"), **where)).open()


def by_a_broker_that_was_not_started(where: Open) -> None:
    enable()
    store = TqStore("live", confirm_live=ACCOUNT, journal=Path("orders.sqlite"), **where)
    store.getbroker().buy_open(CU, 1)


ENVIRONMENT, CONFIRMATION = "environment: .*TIANQIN_LIVE_ENABLED=true", "confirmation: .*--confirm"
ATTEMPTS: dict[str, tuple[Attempt, type[Exception], str]] = {
    "no environment": (live, LiveTradingRefused, ENVIRONMENT),
    "environment says 1": (enabled_by("1"), WrongSetting, "live_enabled.*'1'.*the word true"),
    "environment says yes": (enabled_by("yes"), WrongSetting, "live_enabled.*the word true"),
    "environment says on": (enabled_by("on"), WrongSetting, "live_enabled.*the word true"),
    "environment says nothing": (enabled_by(""), LiveTradingRefused, ENVIRONMENT),
    "environment says false": (enabled_by("false"), LiveTradingRefused, ENVIRONMENT),
    "gate said by the program": (
        with_the_gate_opened_by_the_program, WrongSetting, "in the environment or in .env, not in"),
    "gate shut in dotenv": (
        with_the_gate_only_in_dotenv_and_shut_there, LiveTradingRefused, ENVIRONMENT),
    "gate shut before the start": (
        with_the_gate_shut_before_the_start, LiveTradingRefused, "taken back.*set it again"),
    "no confirmation": (confirmed_by(None), LiveTradingRefused, CONFIRMATION),
    "empty confirmation": (confirmed_by(""), LiveTradingRefused, CONFIRMATION),
    "another account": (confirmed_by("8800231418"), LiveTradingRefused, "is another account"),
    "a part of the account": (confirmed_by(ACCOUNT[:-1]), LiveTradingRefused, "another account"),
    "a number for a text": (confirmed_by(int(ACCOUNT)), LiveTradingRefused, "no text"),
    "True for the account": (confirmed_by(True), LiveTradingRefused, "no text"),
    "the environment alone": (by_environment_alone, LiveTradingRefused, CONFIRMATION),
    "journal in memory": (with_the_journal_in_memory, LiveTradingRefused, "journal: .*name a file"),
    "second program": (as_a_second_program, JournalTaken, "written by process .*stop the other"),
    "journal locked": (
        with_a_journal_that_another_program_locks, JournalFailed, "locked.*close the program"),
    "no journal": (with_a_journal_that_is_none, BadJournal, "not a database"),
    "mode changed": (by_changing_the_mode_of_a_paper_store, ValidationError, "frozen"),
    "mode forced": (by_forcing_the_mode_of_a_paper_store, LiveTradingRefused, "confirmation"),
    "settings swapped": (by_giving_a_demo_store_other_settings, LiveTradingRefused, "confirmation"),
    "a lying subclass": (by_a_subclass_that_lies, LiveTradingRefused, ENVIRONMENT),
    "past the store": (past_the_store, LiveTradingRefused, "confirmation"),
    "broker not started": (by_a_broker_that_was_not_started, NotStarted, "running store"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTEMPTS)
def test_attempt_fails_before_anything_is_opened(name: str, tripwire: Tripwire) -> None:
    attempt, kind, text = ATTEMPTS[name]
    with pytest.raises(kind, match=text) as caught:
        attempt(dict(tripwire.urls))
    assert tripwire.visits == 0
    told = f"{caught.value} {caught.value!r}"
    assert not [secret for secret in SECRETS if secret in told]


def test_every_shut_gate_is_named_at_once() -> None:
    said = Said(is_enabled=False, account_id=ACCOUNT, confirmed="", is_on_disk=False)
    assert list(refusals(said)) == [name for name, _ in GATES]
    assert ACCOUNT not in repr(said)


@pytest.mark.parametrize("word", ["true", "True", " TRUE "])
def test_the_word_true_opens_the_gate(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANQIN_LIVE_ENABLED", word)
    TqStore("live", confirm_live=ACCOUNT)


def test_dotenv_opens_the_gate_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TIANQIN_LIVE_ENABLED=true\n", encoding="utf-8")
    TqStore("live", confirm_live=ACCOUNT)


def test_a_gate_shut_by_a_wrong_word_shuts_other_modes_too(monkeypatch: Any) -> None:
    """A typing error is told where it is made, not on the day when it matters."""
    monkeypatch.setenv("TIANQIN_LIVE_ENABLED", "ture")
    with pytest.raises(WrongSetting, match="the word true"):
        TqStore()


def test_from_env_goes_live_with_a_confirmation(enabled: None, monkeypatch: Any) -> None:
    monkeypatch.setenv("TIANQIN_MODE", "live")
    assert TqStore.from_env(confirm_live=ACCOUNT).mode == "live"


# ---- with all gates open


def store_on(wire: Wire, tmp_path: Path, mode: str = "live", **options: Any) -> TqStore:
    confirmed: dict[str, Any] = {"confirm_live": ACCOUNT} if mode == "live" else {}
    return TqStore(mode, journal=tmp_path / "orders.sqlite", **wire.urls, **confirmed, **options)


def test_live_trades_when_every_gate_stands_open(enabled: None, wire: Wire, tmp_path: Path) -> None:
    act = script((2, lambda s: s.buy(size=2)), (5, lambda s: s.sell(size=2)))
    seen, broker = trade(store_on(wire, tmp_path), act)
    (login,) = (pack for pack in wire.packs if pack["aid"] == "req_login")
    assert (login["bid"], login["user_name"]) == (BROKER, ACCOUNT)
    assert wire.count("insert_order") == 2
    assert [o.getstatusname() for o in seen.orders if not o.alive()] == ["Completed"] * 2
    assert broker.positions() == {}


def session_of(**changes: str) -> Callable[[Desk], dict[str, Any]]:
    plain = Desk._session
    return lambda desk: plain(desk) | changes


FAULTS: dict[str, tuple[str, Any, str]] = {
    "another account": (
        "sim.desk.Desk._session", session_of(user_id="17"), "account: .*another account"),
    "no trading day": (
        "sim.desk.Desk._session", session_of(trading_day=""), "trading day: .*yyyymmdd"),
    "a calendar of the past": (
        "calendar.KnownDays.covered_until", date(2025, 9, 15),
        "trading day: .*until 2025-09-15.*is 2025-09-16"),
    "a clock behind": ("live._clock", lambda *_: (3600.0, 0.0), "clock: .*3600 s behind.*NTP"),
    "a clock ahead": ("live._clock", lambda *_: (-3600.0, 3600.0), "clock: .*3600 s of trading"),
    "terms that are missing": (
        "live._terms", lambda _: {"SHFE.cu2511": None}, r"contracts: .*SHFE\.cu2511"),
    "no risk limits": ("halting.limits_of", lambda *_: None, "risk limits: .*RiskLimits"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_preflight_sends_no_order(
    name: str, enabled: None, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, fault, text = FAULTS[name]
    monkeypatch.setattr(f"tianqin_backtrader.{place}", fault)
    with pytest.raises(LiveTradingRefused, match=text) as caught:
        trade(store_on(wire, tmp_path), script((1, lambda s: s.buy())))
    assert wire.count("req_login") == 1
    assert wire.count("insert_order") == 0
    assert not [secret for secret in SECRETS if secret in str(caught.value)]


def test_a_balance_that_is_no_number_sends_no_order(
    enabled: None, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Account.picture
    monkeypatch.setattr(Account, "picture", lambda account: plain(account) | {"balance": "-"})
    with pytest.raises(LiveTradingRefused, match=r"picture: the balance is nan"):
        trade(store_on(wire, tmp_path), script((1, lambda s: s.buy())))
    assert wire.count("insert_order") == 0


def test_a_stop_of_an_earlier_run_waits_for_the_preflight(
    enabled: None, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is restored would be sent before a strategy's first bar."""

    def protect(strategy: Any) -> None:
        close = strategy.data.close[0]
        stop = strategy.sell(exectype=bt.Order.Stop, price=close - 900)
        strategy.sell(exectype=bt.Order.Limit, price=close + 900, oco=stop)

    ended = lambda s: s.env.runstop()  # noqa: E731
    trade(store_on(wire, tmp_path), script((2, lambda s: s.buy()), (3, protect), (5, ended)))
    assert wire.count("insert_order") == 2
    with monkeypatch.context() as patch:
        patch.setattr("tianqin_backtrader.live._clock", lambda *_: (3600.0, None))
        with pytest.raises(LiveTradingRefused):
            trade(store_on(wire, tmp_path), None)
    assert wire.count("insert_order") == 2
    trade(store_on(wire, tmp_path), script((3, ended)))
    assert wire.count("insert_order") == 3  # the limit order stands again


def test_no_door_is_open_before_the_preflight(enabled: None, wire: Wire, tmp_path: Path) -> None:
    """The broker, the channel, the TqApi itself and its packets."""
    order = ExchangeOrder("a.1.0", CU, Direction.BUY, Offset.OPEN, 1, 90_000.0)
    pack = {"aid": "insert_order", "order_id": "x", "user_id": ACCOUNT}
    with store_on(wire, tmp_path) as store:
        store.start()
        store.instrument(CU)
        connection = store.connection
        with pytest.raises(InvalidOrder, match="preflight"):
            store.floor.send(order)
        with pytest.raises(LiveTradingRefused, match="preflight"):
            connection.trading.send(order)
        with pytest.raises(LiveTradingRefused, match="preflight"):
            connection.api.insert_order(CU, "BUY", "OPEN", 1, 90_000.0)
        with pytest.raises(LiveTradingRefused, match="preflight"):
            connection.api._send_pack(pack)
        connection.wait(0.0)
        connection.wait(0.0)
    assert wire.count("req_login") == 1
    assert wire.count("insert_order") == 0


# ---- modes that are not live


def test_paper_with_live_credentials_opens_no_trading_socket(wire: Wire, tmp_path: Path) -> None:
    act = script((2, lambda s: s.buy(size=2)))
    trade(store_on(wire, tmp_path, "paper"), act)
    assert wire.packs == []


def test_a_demo_store_goes_to_its_own_exchange_wherever_it_is_pointed(tripwire: Tripwire) -> None:
    with TqStore(exchange=LocalExchange(end=END), **tripwire.urls) as store:
        trade(store, script((2, lambda s: s.buy(size=2))))
    assert tripwire.visits == 0


# ---- the checks by themselves

TERMS = Instrument(
    CU, "SHFE", "cu", "沪铜", "FUTURE", 10.0, 5, {"day": (("09:00:00", "10:15:00"),), "night": ()},
    1.0, 1.0, 0, False, 500, 500, 1.0, 1.0, 1.0, "",
)  # fmt: skip
GOOD = Findings(
    wanted="17", found="17", is_whole=True, balance_cny=1.0, day="20250916",
    known_until=date(2025, 12, 31), behind_s=None, silent_s=None, terms={CU: TERMS},
    unwritten="", has_limits=True,
)  # fmt: skip
BAD: list[tuple[str, dict[str, Any]]] = [
    ("account", {"found": "18"}),
    ("account", {"found": ""}),
    ("account", {"found": "", "wanted": ""}),
    ("picture", {"is_whole": False}),
    ("picture", {"balance_cny": math.nan}),
    ("picture", {"balance_cny": math.inf}),
    ("trading day", {"day": ""}),
    ("trading day", {"day": "20251301"}),
    ("trading day", {"day": "2025-9-6"}),
    ("trading day", {"day": "20260105"}),
    ("clock", {"behind_s": 61.0}),
    ("clock", {"behind_s": -700.0, "silent_s": 601.0}),
    ("contracts", {"terms": {CU: None}}),
    ("contracts", {"terms": {CU: replace(TERMS, expired=True)}}),
    ("contracts", {"terms": {CU: replace(TERMS, price_tick=math.nan)}}),
    ("contracts", {"terms": {CU: replace(TERMS, volume_multiple=0)}}),
    ("contracts", {"terms": {CU: replace(TERMS, trading_time={"day": (), "night": ()})}}),
    ("journal", {"unwritten": "disk full"}),
    ("risk limits", {"has_limits": False}),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_each_check_finds_its_fault_alone(number: int) -> None:
    name, changes = BAD[number]
    assert list(problems(replace(GOOD, **changes))) == [name]


def test_a_whole_session_has_no_problem() -> None:
    assert problems(GOOD) == {}
    quiet: dict[str, Any] = {"behind_s": -86_400.0, "silent_s": 599.0}  # over a night
    assert problems(replace(GOOD, **quiet)) == {}
    assert {name for name, _ in BAD} == {name for name, _ in CHECKS}


NIGHT_AND_DAY: dict[str, Any] = {
    "night": (("21:00:00", "25:00:00"),),
    "day": (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00")),
}


@pytest.mark.parametrize(
    ("since", "until", "minutes"),
    [
        ("2025-09-16 09:30", "2025-09-16 09:40", 10),
        ("2025-09-16 10:14", "2025-09-16 10:31", 2),  # the break of the morning
        ("2025-09-16 11:29", "2025-09-16 13:31", 2),
        ("2025-09-16 15:00", "2025-09-16 20:59", 0),
        ("2025-09-12 15:00", "2025-09-13 10:00", 240),  # Friday's night, which is Monday's
        ("2025-09-13 01:00", "2025-09-15 09:05", 5),  # over a weekend
        ("2025-09-16 09:40", "2025-09-16 09:30", 0),  # a clock behind
    ],
)
def test_silence_counts_in_trading_time(since: str, until: str, minutes: int) -> None:
    """At lunch a quote of two hours ago is as new as can be."""
    sessions = Sessions(NIGHT_AND_DAY, shanghai_calendar())

    def ns(text: str) -> int:
        return int(datetime.fromisoformat(f"{text}:00+08:00").timestamp()) * 1_000_000_000

    assert _trading_ns(sessions, ns(since), ns(until)) == minutes * 60 * 1_000_000_000
