"""What a feed does after an interruption: the same bars, and it says which of them are old news."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
import tqsdk.connect
from test_feeds import CU, MINUTE, FeedSeen, Recorder, beijing, feeds_of, official, watch

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.sim import hub
from tianqin_backtrader.sim.diff import kline_fields
from tianqin_backtrader.sim.market import Market

START, END = "2025-09-16T10:31:30", "2025-09-16T11:20:00"
NO_RETRY_S = 0.02  # TqSdk waits 10 to 20 s before it connects again


class Flags(Recorder):
    """Keeps (end, is news) of every bar; something happens at the nth one."""

    params: Any = (("at", 0), ("happens", None), ("flags", None))

    def next(self) -> None:
        self.look()
        self.p.flags.append(
            (f"{self.data.datetime.datetime(0):%H:%M}", not self.data.history_phase)
        )
        if len(self.p.flags) == self.p.at:
            self.p.happens()


def run_with(
    exchange: LocalExchange, at: int, happens: Callable[[], Any]
) -> tuple[list[tuple[str, bool]], Any]:
    flags: list[tuple[str, bool]] = []
    seen = FeedSeen()
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(CU, history=0))
        options = {"seen": [seen], "notices": [], "at": at, "happens": happens, "flags": flags}
        cerebro.addstrategy(Flags, **options)
        cerebro.run()
        seen.audit = cerebro.datas[0].audit
    return flags, seen


def test_bars_of_an_outage_are_told_as_backfill(monkeypatch: pytest.MonkeyPatch) -> None:
    """They came as if they were news, and the strategy traded on prices of minutes ago."""
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: NO_RETRY_S)
    exchange = LocalExchange(start=beijing(START), end=beijing(END))
    flags, seen = run_with(exchange, 5, lambda: exchange.drop("md", 600))
    assert [end for end, _ in flags] == [
        f"{m // 60}:{m % 60:02}" for m in range(632, 681)
    ]  # every minute once, in order
    news = [is_news for _, is_news in flags]
    old = [end for end, is_news in flags if not is_news]
    assert old == [f"10:{m}" for m in range(37, 46)]  # lost at 10:36, back after 10 minutes
    assert news[:5] == [True] * 5
    outage = ["CONNBROKEN", "CONNECTED", "DELAYED", "LIVE"]
    assert seen.statuses == ["DELAYED", "LIVE", *outage, "DISCONNECTED"]
    assert seen.audit.differed == 0


def test_an_outage_while_official_bars_are_asked_for_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer came ten minutes later, for the newest bars: those asked for were not in it."""
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: NO_RETRY_S)
    monkeypatch.setattr("tianqin_backtrader.auditing.EVERY_NS", 0)
    start, end = beijing("2025-09-16T10:30:30"), beijing("2025-09-16T11:21:00")
    exchange = LocalExchange(start=start, end=end)
    _, seen = run_with(exchange, 5, lambda: exchange.drop("md", 600))
    assert (seen.audit.differed, seen.audit.pending) == (0, 0)
    assert seen.audit.agreed >= 35  # of 50, ten of which are official themselves


def test_an_outage_longer_than_the_tick_serial_is_filled_from_klines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two hours: of 1,440 ticks the serial holds the last 300."""
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: NO_RETRY_S)
    monkeypatch.setattr("tianqin_backtrader.making.TICKS", 300)
    start, end = beijing("2025-09-15T21:03:10"), beijing("2025-09-15T23:40:00")
    exchange = LocalExchange(start=start, end=end)
    _, seen = run_with(exchange, 9, lambda: exchange.drop("md", 7_200))
    expected = official(Market.seeded(start=start, end=end), CU, 60, end)
    got = [row[1:] for row in seen.rows]
    assert got == expected[-len(got) :]
    assert len(got) == 157
    assert seen.audit.differed == 0
    assert 30 < seen.audit.agreed < 100  # bars taken from klines are not compared with themselves


@pytest.mark.parametrize("wedged_s", [0.6, 1.5])
def test_a_wedged_server_makes_no_flat_bars_up(wedged_s: float) -> None:
    """The clock closed minutes without a trade while their ticks waited on the line."""
    start, end = beijing("2025-09-16T10:40:00"), beijing("2025-09-16T11:00:00")
    exchange = LocalExchange(start=start, end=end, speed=120)

    def wedge() -> None:
        exchange.stall("md")
        time.sleep(wedged_s)  # market time passes, and nothing comes
        exchange.stall("md", False)

    _, seen = run_with(exchange, 4, wedge)
    expected = official(Market.seeded(start=start, end=end), CU, 60, end)
    got = [row[1:] for row in seen.rows]
    assert got == expected[-len(got) :]
    assert len(got) >= 15  # the market runs while the session is opened


def test_a_strategy_that_slept_gets_every_bar() -> None:
    start, end = beijing("2025-09-16T10:40:00"), beijing("2025-09-16T11:00:00")
    exchange = LocalExchange(start=start, end=end, speed=120)
    _, seen = run_with(exchange, 4, lambda: time.sleep(2))
    expected = official(Market.seeded(start=start, end=end), CU, 60, end)
    got = [row[1:] for row in seen.rows]
    assert got == expected[-len(got) :]
    assert len(got) >= 15  # the market runs while the session is opened


def test_a_bar_that_is_not_the_official_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    label = int((beijing("2025-09-16T10:45:00") - datetime(1970, 1, 1, 8)).total_seconds()) * 10**9  # noqa: DTZ001

    def slanted(row: Any) -> Any:
        fields = kline_fields(row)
        return fields | {"high": fields["high"] + 10} if row.time_ns == label else fields

    monkeypatch.setattr(hub, "kline_fields", slanted)
    start, end = beijing("2025-09-16T10:40:00"), beijing("2025-09-16T10:55:00")
    (feed,), notices = watch(
        LocalExchange(start=start, end=end), feeds_of(CU, [(MINUTE, 1)], history=3)
    )
    assert (feed.audit.agreed, feed.audit.differed, feed.audit.pending) == (15, 1, 0)
    ((message, (text,), about),) = notices
    assert message == "AUDIT_DIFFERENCE"
    assert about["difference"].built.start_ns == label
    assert about["difference"].fields == ("high",)
    assert "high" in text
    assert "officially" in text


def test_the_audit_can_be_switched_off() -> None:
    start, end = beijing("2025-09-16T10:40:00"), beijing("2025-09-16T10:45:00")
    (feed,), _ = watch(
        LocalExchange(start=start, end=end), feeds_of(CU, [(MINUTE, 1)], history=3, audit=False)
    )
    assert (feed.audit.agreed, feed.audit.differed, feed.audit.pending) == (0, 0, 0)


def test_a_contract_without_ticks_blocks_nobody_after_a_reconnect(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TqSdk held all data back for ever: its chart of a contract listed later stayed empty."""
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: NO_RETRY_S)
    later = records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"
    now = records / "quotes-2020-08-21" / "CFFEX.IF2009.csv.gz"
    exchange = LocalExchange(
        replay=[now, later],
        start=beijing("2020-08-21T13:40:00"),
        end=beijing("2020-08-21T14:00:00"),
    )
    ends: list[str] = []

    class Watch(bt.Strategy):
        def look(self) -> None:
            ends.append(f"{self.data.datetime.datetime(0):%H:%M}")
            if len(ends) == 5:
                exchange.drop("md", 0)

        next = prenext = look

    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        for symbol in ("CFFEX.IF2009", "CFFEX.IF2101"):
            cerebro.adddata(store.getdata(symbol, history=0))
        cerebro.addstrategy(Watch)
        cerebro.run()
    assert ends == [f"13:{m}" for m in range(41, 60)] + ["14:00"]


def test_a_contract_listed_tomorrow_has_its_first_bar_whole(records: Path) -> None:
    """No history, no quote, no tick: its feed waits, and no minute is missing from its first."""
    exchange = LocalExchange(
        replay=[records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"],
        start=beijing("2021-01-04T09:10:00"),
        end=beijing("2021-01-04T09:40:00"),
    )
    (feed,), notices = watch(exchange, feeds_of("CFFEX.IF2101", [(MINUTE, 1)], history=10))
    assert [f"{row[0]:%H:%M}" for row in feed.rows] == [f"09:{m}" for m in range(31, 41)]
    record = pd.read_csv(records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz")
    traded = record[record.dt <= "2021-01-04 09:40:00.000"].total_volume.iloc[-1]
    assert sum(row[5] for row in feed.rows) == traded
    assert notices == []


def test_a_market_that_is_over_in_a_moment_is_not_missed(records: Path) -> None:
    """The first tick of a new contract woke its feed a quarter of a second later: too late."""
    exchange = LocalExchange(
        replay=[records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"],
        end=beijing("2021-01-04T09:33:00"),
    )
    (feed,), _ = watch(exchange, feeds_of("CFFEX.IF2101", [(MINUTE, 1)], history=0))
    assert [f"{row[0]:%H:%M}" for row in feed.rows] == ["09:31", "09:32", "09:33"]


def test_an_outage_over_the_end_of_the_records_ends_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exchange refused connections until a time that never came."""
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: NO_RETRY_S)
    exchange = LocalExchange(start=beijing(START), end=beijing(END))
    flags, _ = run_with(exchange, 45, lambda: exchange.drop("md", 3_600))
    assert [end for end, _ in flags] == [f"{m // 60}:{m % 60:02}" for m in range(632, 681)]
