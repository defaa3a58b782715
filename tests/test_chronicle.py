"""What a run leaves in the journal beside its orders: who ran, what happened, what was held."""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from support import Seen, Watcher
from test_broker import CU, script

from tianqin_backtrader import Journal, LocalExchange, Notice, TqStore
from tianqin_backtrader.audit import Difference
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.strategy_sources import source_hash, sources_of
from tianqin_backtrader.values import Bar

SOON = datetime(2025, 9, 15, 21, 15)  # noqa: DTZ001  Beijing time; the market begins at 21:00
MINUTE_NS = 60_000_000_000
BALANCE = 1_000_000.0


class Listener(Watcher):
    """Also keeps the notices."""

    params: Any = (("notices", None), ("period", 7), ("token", "geheim"))

    def notify_store(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.p.notices.append((msg, args[0], kwargs))


def run(path: Path, act: Any, end: Any = SOON, **market: Any) -> tuple[Seen, list[Any], Any]:
    """A run on the embedded exchange; what was seen, the notices, the account at the end."""
    seen, notices = Seen(), list[Any]()
    with LocalExchange(end=end, balance_cny=BALANCE, **market) as exchange:
        with TqStore(exchange=exchange, journal=path) as store:
            cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
            broker = store.getbroker()
            cerebro.setbroker(broker)
            cerebro.adddata(store.getdata(CU, history=5))
            cerebro.addstrategy(Listener, seen=seen, act=act, notices=notices)
            cerebro.run()
        return seen, notices, broker.account()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.sqlite"


def test_a_run_says_what_ran_on_what(path: Path) -> None:
    run(path, None)
    with Journal(path) as journal:
        (row,) = journal.runs().to_dict("records")
    about = json.loads(row["about"])
    assert re.fullmatch(r"[0-9a-f]{8}", row["run"])
    assert about["mode"] == "demo"
    assert about["symbols"] == CU
    assert about["pid"] == str(os.getpid())
    assert json.loads(about["settings"])["journal"] == str(path)
    for name in ("python", "tqsdk", "backtrader", "pandas", "tianqin-backtrader", "platform"):
        assert about[name]
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert json.loads(about["strategy_numbers"]) == {"test_chronicle.Listener": {"period": 7}}
    assert json.loads(about["strategy_hashes"]) == {"test_chronicle.Listener": source}


def test_what_happened_is_written_in_order(path: Path) -> None:
    def tell(strategy: Any) -> None:
        store = strategy.broker._store
        store.tell(Notice.CONNECTION_LOST, "the market socket is lost", what="market")
        store.note("the signal turned")

    _, notices, _ = run(path, script((3, tell)))
    with Journal(path) as journal:
        events, notes = journal.events(), journal.notes()
        (name,) = journal.runs()["run"]
    assert events["kind"].tolist() == ["STARTED", "CONNECTION_LOST", "STOPPED"]
    assert events["text"][1] == "the market socket is lost"
    assert set(events["run"]) == set(notes["run"]) == {name}
    assert events["at_ns"].is_monotonic_increasing
    assert (events["wall_ns"] > 1_700_000_000 * 10**9).all()
    assert notes["text"].tolist() == ["the signal turned"]
    assert notes["at_ns"][0] == events["at_ns"][1]
    assert [str(notice[0]) for notice in notices[:2]] == ["STARTED", "CONNECTION_LOST"]


def test_the_account_is_pictured_at_the_start_each_minute_and_at_the_end(path: Path) -> None:
    _, _, account = run(path, script((2, lambda s: s.buy(size=3))))
    with Journal(path) as journal:
        accounts, positions = journal.accounts(), journal.positions()
    whys = accounts["why"].tolist()
    assert (whys[0], whys[-1]) == ("start", "end")
    assert set(whys[1:-1]) == {"regular"}
    assert accounts["balance"][0] == BALANCE
    assert accounts["balance"].iloc[-1] == pytest.approx(account.balance)
    assert accounts["commission"].iloc[-1] == pytest.approx(account.commission)
    assert accounts["margin"].iloc[-1] == pytest.approx(account.margin)
    assert set(accounts["day"]) == {"2025-09-16"}  # its night has begun
    steps = accounts["at_ns"].diff().dropna()
    assert (steps[1:-1] >= MINUTE_NS - 10**9).sum() >= len(steps) - 4  # the trade made one more
    assert 10 <= len(accounts) <= 20  # of 15 minutes
    assert (positions["long_today"] == 3).all()
    assert positions["at_ns"].iloc[-1] == accounts["at_ns"].iloc[-1]
    assert not positions["long_price"].isna().any()


COLUMNS = "datetime last_price volume open_interest bid_price1 bid_volume1 ask_price1 ask_volume1"


def two_days(folder: Path) -> Path:
    """A tick each half minute of the day sessions of two days, no nights; up 10 CNY each minute."""
    path, count = folder / f"{CU}.csv", 0
    lines = [COLUMNS.replace(" ", ",")]
    for day in (16, 17):
        for begin, end in (("09:00", "10:15"), ("10:30", "11:30"), ("13:30", "15:00")):
            for moment in pd.date_range(
                f"2025-09-{day} {begin}", f"2025-09-{day} {end}", freq="30s"
            ):
                count += 1
                price = 80_000 + count // 2 * 10
                time_ns = moment.tz_localize("Asia/Shanghai").value
                book = f"{price - 10},20,{price + 10},30"
                lines.append(f"{time_ns},{price},{count},5000,{book}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_trading_day_that_is_over_is_settled_once(path: Path, tmp_path: Path) -> None:
    """The report is of the day that has ended, not of the empty one that begins."""
    act = script((2, lambda s: s.buy(size=2)), (9, lambda s: s.close()))
    days = {"start": date(2025, 9, 16), "end": date(2025, 9, 17)}
    _, notices, _ = run(path, act, replay=two_days(tmp_path), **days)
    settled = [each for each in notices if each[0] is Notice.SETTLED]
    assert [each[2]["day"] for each in settled] == ["2025-09-16", "2025-09-17"]
    with Journal(path) as journal:
        accounts, trades = journal.accounts(), journal.trades()
    rows = accounts[accounts["why"] == "settlement"]
    assert rows["day"].tolist() == ["2025-09-16", "2025-09-17"]
    bought, sold = trades["price"]
    profit, fees = (sold - bought) * 2 * 5, trades["commission_cny"].sum()
    assert rows["close_profit"].tolist() == pytest.approx([profit, 0.0])
    assert rows["commission"].tolist() == pytest.approx([fees, 0.0])
    assert rows["balance"].tolist() == pytest.approx([BALANCE + profit - fees] * 2)
    assert profit > 0
    expected = f"2025-09-16: balance {BALANCE + profit - fees:,.2f} CNY, close profit +"
    assert settled[0][1].startswith(expected)
    assert settled[0][1].endswith(", 2 trades")
    assert settled[1][1].endswith(", 0 trades")
    with JournalWriter(path) as writer:
        assert writer.is_settled("2025-09-16")
        assert not writer.is_settled("2025-09-18")


def test_a_bar_that_differs_is_an_audit_row(path: Path) -> None:
    def differ(strategy: Any) -> None:
        at_ns = 1_757_944_800_000_000_000
        bar = Bar(at_ns, at_ns + MINUTE_NS, 1, 2, 1, 2, 5, 0.0, 1, 1, date(2025, 9, 16))
        found = Difference(bar, None, ("datetime",))
        strategy.data._tell(Notice.AUDIT_DIFFERENCE, "it differs", difference=found, duration_s=60)

    run(path, script((2, differ)))
    with Journal(path) as journal:
        (row,) = journal.audits().to_dict("records")
    assert (row["symbol"], row["duration_s"]) == (CU, 60)
    assert row["bar_ns"] == 1_757_944_800_000_000_000
    assert row["text"] == "the official series has no such bar"


def test_a_session_without_a_broker_writes_nothing(path: Path) -> None:
    with LocalExchange(end=SOON) as exchange, TqStore(exchange=exchange, journal=path) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.adddata(store.getdata(CU, history=5))
        cerebro.addstrategy(Listener, seen=Seen(), notices=[], act=script((1, _note)))
        cerebro.run()
    assert not path.exists()


def _note(strategy: Any) -> None:
    strategy.data._store.note("nobody reads it")


def test_an_end_that_was_told_is_not_told_again(path: Path) -> None:
    run(path, script((3, lambda s: s.broker._store.tell(Notice.STOPPED, "by hand"))))
    with Journal(path) as journal:
        assert journal.events()["text"].tolist()[1:] == ["by hand"]


def test_a_strategy_without_source_has_no_hash() -> None:
    made: dict[str, Any] = {}
    exec("class Made: pass", made)  # as in an interpreter
    assert source_hash(made["Made"]) == ""
    assert sources_of([]) == {}


def test_what_is_written_of_settings_has_no_credentials(path: Path) -> None:
    from tianqin_backtrader.config import load_settings, public_settings  # noqa: PLC0415

    url = "ws://user:p4ss@td.example.com:7777/front?token=t0ken"
    settings = load_settings(
        mode="kq", user="13800138000", password="geheim", account_id="880012", broker_id="H海通",
        account_password="geheim2", td_url=url, alerts="json://host/t0ken",
    )  # fmt: skip
    public = public_settings(settings)
    assert public["td_url"] == "ws://td.example.com:7777/front"
    for secret in ("13800138000", "geheim", "880012", "海通", "t0ken", "p4ss"):
        assert secret not in json.dumps(public, ensure_ascii=False)
