"""The kill switch: files beside the journal that another process may write."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from test_order_types import Play, Prices, Trader, leave, market, play

from tianqin_backtrader import TqStore, halting
from tianqin_backtrader.switch import Switch, TradingState, switch_of

HALTED, REDUCING, NORMAL = TradingState.HALTED, TradingState.REDUCING, TradingState.NORMAL
CU, M = "SHFE.cu2511", "DCE.m2601"
PATHS = {CU: Prices(80000), M: Prices(3000)}
SPAN = ("10:31", "10:39")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "account.sqlite"


# ---- by itself


def test_no_file_means_normal(path: Path) -> None:
    assert switch_of(path).read() == (NORMAL, "")


def test_what_is_set_is_read_by_another_process(path: Path) -> None:
    switch_of(path).set(HALTED, "单边行情")
    assert Switch(path).read() == (HALTED, "单边行情")
    content = json.loads((path.parent / "account.sqlite.halt").read_text(encoding="utf-8"))
    assert content == {"state": "HALTED", "reason": "单边行情"}
    switch_of(path).set(REDUCING, "cooling down")
    assert switch_of(path).read() == (REDUCING, "cooling down")
    switch_of(path).clear()
    assert switch_of(path).read() == (NORMAL, "")
    switch_of(path).clear()


def test_setting_normal_is_resuming(path: Path) -> None:
    switch_of(path).set(HALTED, "x")
    switch_of(path).set(NORMAL, "")
    assert [each.name for each in path.parent.iterdir()] == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '"HALTED"', '{"reason": "x"}', '{"state": "OFF"}', '{"state": 5}'],
)
def test_a_damaged_file_halts_and_says_what_helps(path: Path, content: str) -> None:
    path.with_name("account.sqlite.halt").write_text(content, encoding="utf-8")
    state, reason = switch_of(path).read()
    assert state is HALTED
    assert "account.sqlite.halt" in reason
    assert "remove it" in reason


def test_bytes_that_are_no_text_halt(path: Path) -> None:
    path.with_name("account.sqlite.halt").write_bytes(b"\xff\xfe\x00HALT")
    assert switch_of(path).read()[0] is HALTED


def test_a_folder_in_the_place_of_the_file_halts(path: Path) -> None:
    path.with_name("account.sqlite.halt").mkdir()
    assert switch_of(path).read()[0] is HALTED


def test_a_bare_file_of_the_operator_may_lack_a_reason(path: Path) -> None:
    path.with_name("account.sqlite.halt").write_text('{"state": "REDUCING"}', encoding="utf-8")
    assert switch_of(path).read() == (REDUCING, "REDUCING")


def test_what_cannot_be_written_stands_for_this_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    switch = switch_of(path)
    monkeypatch.setattr(Path, "write_text", full)
    switch.set(HALTED, "disk full")
    assert switch.read() == (HALTED, "disk full")
    assert [each.name for each in path.parent.iterdir()] == []
    switch.clear()
    assert switch.read() == (NORMAL, "")


def test_in_memory_it_is_for_one_process() -> None:
    switch = Switch(None)
    switch.set(HALTED, "x")
    assert switch.read() == (HALTED, "x")
    assert Switch(None).read() == (NORMAL, "")
    assert switch.take_request() is None
    with pytest.raises(OSError, match="memory"):
        switch.request("flatten")


def test_a_request_is_taken_once(path: Path) -> None:
    running = switch_of(path)
    assert running.take_request() is None
    switch_of(path).request("flatten")
    assert running.take_request() == "flatten"
    assert running.take_request() is None
    assert list(path.parent.iterdir()) == []


def test_a_request_that_cannot_be_removed_is_obeyed_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows removes no file that somebody reads."""

    def busy(*_: Any, **__: Any) -> None:
        raise PermissionError("in use")

    running = switch_of(path)
    switch_of(path).request("flatten")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", busy)
        assert running.take_request() == "flatten"
        assert running.take_request() is None
    assert running.take_request() is None
    switch_of(path).request("flatten")
    assert running.take_request() == "flatten"


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"do": "flatten"}'])
def test_a_damaged_request_is_passed_over_and_removed(path: Path, content: str) -> None:
    path.with_name("account.sqlite.request").write_text(content, encoding="utf-8")
    assert switch_of(path).take_request() is None
    assert list(path.parent.iterdir()) == []


# ---- on a broker


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The market of a test runs faster than a second a second."""
    monkeypatch.setattr(halting, "POLL_NS", 0)


def told(result: Play) -> list[str]:
    return [text for notice, text in result.notices if notice == "RISK_HALT"]


def buy(name: str, symbol: str = CU, **options: Any) -> Any:
    def act(s: Trader) -> None:
        s.orders[name] = s.buy(data=s.by[symbol], **options)

    return act


def test_a_file_halts_a_running_program_and_its_removal_resumes(tmp_path: Path, path: Path) -> None:
    result = play(
        market(tmp_path, PATHS, SPAN),
        {
            "10:33": lambda s: switch_of(path).set(HALTED, "somebody said stop"),
            "10:35": [buy("halted"), lambda s: switch_of(path).clear()],
            "10:37": buy("resumed"),
        },
        journal=path,
    )
    assert result.told("halted") == ["Rejected"]
    assert result.orders["halted"].info.reason == "somebody said stop"
    assert result.orders["halted"].info.code == "HALTED"
    assert result.told("resumed")[-1] == "Completed"
    assert told(result) == [
        "trading is HALTED: somebody said stop",
        "trading is NORMAL again",
    ]
    assert len(result.wire.sent) == 1


def test_a_request_flattens_once_though_halted(tmp_path: Path, path: Path) -> None:
    """Resting orders are withdrawn, both sides are closed, and nothing is opened."""

    def ask(s: Trader) -> None:
        s.broker.halt("going home")
        switch_of(path).request("flatten")

    result = play(
        market(tmp_path, PATHS, SPAN),
        {
            "10:32": [
                lambda s: s.broker.buy_open(s.by[CU], 3),
                lambda s: s.broker.sell_open(s.by[M], 2),
            ],
            "10:33": [
                buy("rests", exectype=2, price=79_000),
                lambda s: s.broker.sell_close(s.by[CU], 2, price=81_000),
            ],
            "10:34": ask,
        },
        journal=path,
    )
    assert result.broker.positions() == {}
    assert result.told("rests")[-1] == "Canceled"
    assert [sent.short for sent in result.wire.sent[-2:]] == [
        ("BUY", "CLOSE", 2),
        ("SELL", "CLOSETODAY", 3),  # it waits until the resting order has let go of its lots
    ]
    assert result.broker.trading_state is HALTED
    assert not path.with_name("account.sqlite.request").exists()


def test_a_halt_outlasts_the_program(tmp_path: Path, path: Path) -> None:
    exchange = market(tmp_path, PATHS, SPAN)
    with exchange:
        plan: dict[str, Any] = {"10:33": [lambda s: s.broker.halt("for the night"), leave]}
        first = play(exchange, plan, journal=path)
        plan = {
            "10:35": buy("halted"),
            "10:36": lambda s: s.broker.resume(),
            "10:37": buy("resumed"),
        }
        second = play(exchange, plan, journal=path, wire=first.wire)
    assert second.orders["halted"].info.reason == "for the night"
    assert told(second) == ["trading is HALTED: for the night", "trading is NORMAL again"]
    assert second.told("resumed")[-1] == "Completed"
    assert not path.with_name("account.sqlite.halt").exists()


def test_what_is_said_before_the_start_counts() -> None:
    broker = TqStore().getbroker()
    assert broker.trading_state is NORMAL
    broker.reduce("not yet")
    assert broker.trading_state is REDUCING
    broker.resume()
    assert broker.trading_state is NORMAL


def test_what_is_said_before_the_start_stands_in_the_run(tmp_path: Path, path: Path) -> None:
    seen: list[tuple[TradingState, str]] = []

    class Tries(bt.Strategy):
        def next(self) -> None:
            if not seen:
                order = self.buy()
                seen.append((self.broker.trading_state, order.info.reason))

    with TqStore(exchange=market(tmp_path, PATHS, SPAN), journal=path) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker()
        broker.halt("not before I have looked")
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata(CU, history=0))
        cerebro.addstrategy(Tries)
        cerebro.run()
    assert seen == [(HALTED, "not before I have looked")]
    assert switch_of(path).read() == (HALTED, "not before I have looked")


def test_reducing_takes_what_closes(tmp_path: Path, path: Path) -> None:
    def act(s: Trader) -> None:
        s.broker.reduce("cooling down")
        s.orders["opens"] = s.buy(data=s.by[CU])
        s.orders["crosses"] = s.sell(data=s.by[CU], size=3)
        s.orders["closes"] = s.sell(data=s.by[CU], size=1)
        s.orders["protects"] = s.sell(data=s.by[CU], size=1, exectype=3, price=70_000)

    result = play(
        market(tmp_path, PATHS, SPAN),
        {"10:32": buy("first", size=2), "10:34": act},
        journal=path,
    )
    for name in ("opens", "crosses"):
        assert result.orders[name].info.code == "REDUCING"
        assert result.orders[name].info.reason == "cooling down; only closing is taken"
        assert result.told(name) == ["Rejected"]
    assert result.told("closes")[-1] == "Completed"
    assert result.told("protects")[-1] == "Accepted"
    refusals = _refusals(path)
    assert [row["code"] for row in refusals] == ["REDUCING", "REDUCING"]


def test_a_resume_that_cannot_remove_the_file_says_so(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[Exception] = []

    def act(s: Trader) -> None:
        s.broker.halt("stop")
        with monkeypatch.context() as patch:
            patch.setattr(Switch, "clear", _raise)
            try:
                s.broker.resume()
            except Exception as error:  # noqa: BLE001
                caught.append(error)
        s.orders["halted"] = s.buy()

    result = play(market(tmp_path, PATHS, SPAN), {"10:33": act}, journal=path)
    assert "remove its file" in str(caught[0])
    assert result.told("halted")[-1] == "Rejected"


def _raise(*_: Any) -> None:
    raise PermissionError("in use")


def _refusals(path: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute("SELECT * FROM refusals ORDER BY seq")]
    db.close()
    return rows
