"""The store: modes, credentials, several symbols, life and death."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from support import Seen as SeenBars
from support import Watcher, run

import tianqin_backtrader
from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.config import load_settings
from tianqin_backtrader.errors import (
    BadTimeframe,
    ConfigError,
    GatewayTimeout,
    LiveTradingRefused,
    LoginRefused,
    MissingCredentials,
    NotStarted,
    UnknownSymbol,
    WrongMode,
    WrongSetting,
)

CU, M = "SHFE.cu2511", "DCE.m2601"
DAY = date(2025, 9, 16)
EVENING = datetime(2025, 9, 15, 21, 45)  # noqa: DTZ001  Beijing time


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests may have some."""
    for name in ("USER", "PASSWORD", "MODE", "BROKER_ID", "ACCOUNT_ID", "ACCOUNT_PASSWORD"):
        monkeypatch.delenv(f"TIANQIN_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_public_names_are_there() -> None:
    for name in tianqin_backtrader.__all__:
        assert getattr(tianqin_backtrader, name) is not None


def test_wrong_mode_names_it_and_the_known_ones() -> None:
    with pytest.raises(WrongMode, match=r"'fly'.*demo, paper, sim, kq, live"):
        TqStore("fly")


@pytest.mark.parametrize("mode", ["sim", "kq", "live"])
def test_missing_credentials_name_the_variables(mode: str) -> None:
    with pytest.raises(MissingCredentials, match=r"TIANQIN_USER, TIANQIN_PASSWORD.*\.env"):
        TqStore(mode)


def test_misspelt_setting_is_named_and_its_value_is_not() -> None:
    with pytest.raises(WrongSetting, match="passwrod") as caught:
        TqStore("kq", user="me", passwrod="hush")
    assert "hush" not in str(caught.value)


def test_live_is_refused_without_its_gates() -> None:
    with pytest.raises(LiveTradingRefused):
        TqStore("live", user="x", password="x", broker_id="x", account_id="x", account_password="x")


def test_credentials_come_from_the_environment_or_dotenv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "TIANQIN_USER=me\nTIANQIN_PASSWORD=hush\nTIANQIN_MODE=kq\n", encoding="utf-8"
    )
    assert TqStore.from_env().mode == "kq"
    monkeypatch.setenv("TIANQIN_MODE", "sim")
    assert TqStore.from_env().mode == "sim"


def test_no_secret_in_representations() -> None:
    settings = load_settings(mode="kq", user="me", password="hush")
    store = TqStore("kq", user="me", password="hush")
    for shown in (repr(settings), str(settings), repr(store), repr(store.__dict__)):
        assert "hush" not in shown


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeframe": bt.TimeFrame.Ticks, "compression": 5}, BadTimeframe),
        ({"timeframe": bt.TimeFrame.Days, "compression": 2}, BadTimeframe),
        ({"timeframe": bt.TimeFrame.Weeks}, BadTimeframe),
        ({"timeframe": bt.TimeFrame.MicroSeconds}, BadTimeframe),
        ({"timeframe": 99}, BadTimeframe),
        ({"timeframe": "1m"}, BadTimeframe),
        ({"compression": 0}, BadTimeframe),
        ({"compression": 2.5}, BadTimeframe),
        ({"compression": 241}, BadTimeframe),
        ({"compression": 1440}, BadTimeframe),
        ({"timeframe": bt.TimeFrame.Seconds, "compression": -10}, BadTimeframe),
        ({"history": -1}, WrongSetting),
        ({"history": 10_001}, WrongSetting),
        ({"history": 1.5}, WrongSetting),
    ],
)
def test_bad_feed_options_raise_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        TqStore().getdata(CU, **options)


@pytest.mark.parametrize("options", [{"execution": "both"}, {"risk": 5}])
def test_broker_options_that_do_not_exist_raise_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(WrongSetting, match=r"target|5"):
        TqStore().getbroker(**options)


@pytest.mark.parametrize("symbol", ["SHFE.xx2511", "cu2511", "SHFE.CU2511", "DCE.cu2511", ".", 5])
def test_unknown_symbol_is_named_at_once(symbol: Any) -> None:
    with pytest.raises(UnknownSymbol, match=re.escape(repr(symbol))):
        run(LocalExchange(end=DAY), [symbol])


def test_store_closes_after_a_strategy_that_raised() -> None:
    class Broken(bt.Strategy):
        def next(self) -> None:
            raise ZeroDivisionError

    exchange = LocalExchange(end=DAY)
    store = TqStore(exchange=exchange)
    cerebro = bt.Cerebro()
    cerebro.setbroker(store.getbroker())
    cerebro.adddata(store.getdata(CU, history=1))
    cerebro.addstrategy(Broken)
    with pytest.raises(ZeroDivisionError), store:
        cerebro.run()
    assert not exchange.is_running
    with pytest.raises(NotStarted):
        _ = store.connection


def test_refused_login_stops_and_a_dead_gateway_may_be_tried_again() -> None:
    with LocalExchange(end=DAY) as exchange:
        urls = {n: getattr(exchange, n) for n in ("auth_url", "md_url", "td_url")}
        exchange.refuse_logins()
        with pytest.raises(LoginRefused, match="401"):
            TqStore("kq", user="me", password="hush", **urls).start()
    with pytest.raises(GatewayTimeout):
        TqStore("kq", user="me", password="hush", **urls).start()


@pytest.mark.parametrize("mode", ["sim", "kq"])
def test_simulations_trade_wherever_the_addresses_point(mode: str) -> None:
    seen = SeenBars()

    def act(strategy: Any) -> None:
        if len(seen.bars) == 10:
            strategy.buy(size=1)

    with LocalExchange(end=EVENING) as exchange:
        store = TqStore(
            mode,
            user="me",
            password="hush",
            auth_url=exchange.auth_url,
            md_url=exchange.md_url,
            td_url=exchange.td_url,
        )
        with store:
            cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
            broker = store.getbroker()
            cerebro.setbroker(broker)
            cerebro.adddata(store.getdata(CU, history=5))
            cerebro.addstrategy(Watcher, seen=seen, act=act)
            cerebro.run()
    assert len(seen.bars) == 5 + 45
    assert [o.getstatusname() for o in seen.orders] == ["Submitted", "Accepted", "Completed"]
    assert broker.get_account_position(CU).long.today == 1


def test_bars_of_one_minute_arrive_together() -> None:
    together: list[tuple[int, ...]] = []

    class Both(bt.Strategy):
        def next(self) -> None:
            live = not any(data.history_phase for data in self.datas)
            if live:
                ends = {data.datetime.datetime(0) for data in self.datas}
                together.append((len(ends), *(len(data) for data in self.datas)))

    with TqStore(exchange=LocalExchange(end=EVENING)) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        for symbol in (CU, "SHFE.ni2511", "SHFE.al2511"):
            cerebro.adddata(store.getdata(symbol, history=10))
        cerebro.addstrategy(Both)
        cerebro.run()
    assert len(together) == 45  # one call of next() a minute, not three
    assert {ends for ends, *_ in together} == {1}


def test_a_session_shorter_than_the_others_delays_nobody() -> None:
    """m stops at 23:00, cu at 01:00: cu's bars must not wait for the morning."""
    ends: list[str] = []

    class Night(bt.Strategy):
        def next(self) -> None:
            if not self.data0.history_phase:
                ends.append(f"{self.data0.datetime.datetime(0):%H:%M}")

    with TqStore(exchange=LocalExchange(end=DAY)) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        for symbol in (CU, M):
            cerebro.adddata(store.getdata(symbol, history=10))
        cerebro.addstrategy(Night)
        cerebro.run()
    assert ends.index("00:30") < ends.index("09:01")
    assert len(dict.fromkeys(ends)) == 465


def test_two_stores_are_two_stores() -> None:
    """Backtrader's own store class is a singleton that drops the second one's arguments."""
    first, second = TqStore(), TqStore("kq", user="me", password="hush")
    assert first is not second
    assert (first.mode, second.mode) == ("demo", "kq")


def test_errors_are_grouped_by_what_to_do() -> None:
    assert issubclass(UnknownSymbol, ConfigError)
    assert issubclass(WrongMode, ConfigError)
    assert not issubclass(LoginRefused, ConfigError)
