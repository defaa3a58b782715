"""How a run stands and what has come since the last look, read from journals made by hand."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tianqin_backtrader.instance import left_of, owner_of, picture_of, trading_day_of
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.journal_records import (
    AccountRecord,
    EventRecord,
    HoldingRecord,
    LegRecord,
    NoteRecord,
    OrderRecord,
    PositionRecord,
    RefusalRecord,
    RunRecord,
    StopRecord,
    TradeRecord,
)
from tianqin_backtrader.journal_tail import JournalTail

SECOND_NS = 1_000_000_000
BEIJING = timezone(timedelta(hours=8))


def at(text: str) -> int:
    """ns since 1970 of Beijing time "16 10:00", a moment in September 2025."""
    moment = datetime.strptime(f"2025-09-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=BEIJING)
    return int(moment.timestamp()) * SECOND_NS


TEN = at("16 10:00")
TICKET = {"direction": "BUY", "volume": 3, "symbol": "SHFE.cu2511", "kind": "Limit", "price": 90000}


def order(key: str, state: str, at_ns: int = TEN, reason: str = "") -> OrderRecord:
    ref = int(key.split(".")[1])
    return OrderRecord(
        key, "r", ref, "SHFE.cu2511", json.dumps(TICKET), "resting", state, reason, at_ns
    )


def leg(key: str, volume: int, left: int) -> LegRecord:
    return LegRecord(
        f"{key}.0", key, 0, 0, "SHFE.cu2511", "BUY", "OPEN", volume, 90000.0, "", "alive", left,
        "", "", TEN,
    )  # fmt: skip


def trade(key: str, number: int, at_ns: int = TEN) -> TradeRecord:
    return TradeRecord(
        f"{key}.0", f"t{number}", key, "SHFE.cu2511", "BUY", "OPEN", 90010.0, 1, 4.5, at_ns
    )


def account(balance: float, at_ns: int = TEN) -> AccountRecord:
    return AccountRecord("r", at_ns, "2025-09-16", "regular", balance, 1.0, 2.0, 3.0, 4.0, 5.0)


def position(long_today: int, at_ns: int = TEN) -> PositionRecord:
    return PositionRecord(
        "r", at_ns, "SHFE.cu2511", long_today, 1, 0, 0, 90010.0, float("nan"), 80.0
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.sqlite"


def write(path: Path, *records: object) -> None:
    with JournalWriter(path) as journal:
        for each in records:
            journal.put(each)


# ---- the picture


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("16 10:00", "2025-09-16"),
        ("15 21:00", "2025-09-16"),  # Monday's evening opens Tuesday
        ("19 22:00", "2025-09-22"),  # Friday's Monday
        ("20 01:00", "2025-09-22"),  # its night, after midnight
        ("16 17:59", "2025-09-16"),
        ("16 18:00", "2025-09-17"),
    ],
)
def test_night_belongs_to_the_next_trading_day(moment: str, day: str) -> None:
    assert str(trading_day_of(at(moment))) == day


def test_picture_of_living_orders_stops_and_lots(path: Path) -> None:
    write(
        path,
        RunRecord("r", TEN, {"mode": "kq"}),
        order("r.1", "Completed", at("15 10:00")),  # of the trading day before
        order("r.2", "Partial"),
        leg("r.2", 3, 2),
        trade("r.2", 1),
        order("r.3", "Accepted"),
        StopRecord("r.3", 89000.0, None, "held", TEN),
        HoldingRecord("SHFE.cu2511", 4, 0, TEN),
        HoldingRecord("SHFE.al2511", 0, 0, TEN),
        account(1e6),
        position(3),
        EventRecord("r", TEN, TEN, "STARTED", "run r\nbegins"),
        RefusalRecord("r", "r.4", "SHFE.cu2511", "ORDER_SIZE", "too many", TEN),
    )
    found = picture_of(path)
    assert (found.mode, found.run, found.owner, found.state) == ("kq", "r", None, "NORMAL")
    assert str(found.day) == "2025-09-16"
    assert (found.orders_today, found.trades_today, found.refusals_today) == (2, 1, 1)
    assert [(each["key"], each["filled"]) for each in found.orders] == [("r.2", 1), ("r.3", 0)]
    assert found.orders[0]["asked"] == "buy 3 SHFE.cu2511 Limit 90000"
    assert [(each["key"], each["trigger"]) for each in found.stops] == [("r.3", 89000.0)]
    (held,) = found.positions
    assert held == {
        "symbol": "SHFE.cu2511", "long": 4, "short": 0,
        "long_price": 90010.0, "short_price": None, "margin": 80.0,
    }  # fmt: skip
    assert found.account is not None
    assert found.account["balance"] == 1e6
    assert [line.text for line in found.events] == ["STARTED run r begins"]


def test_lots_that_have_changed_since_the_snapshot_have_no_price(path: Path) -> None:
    write(path, account(1e6), position(3), HoldingRecord("SHFE.cu2511", 9, 0, TEN + 1))
    (held,) = picture_of(path).positions
    assert (held["long"], held["long_price"], held["margin"]) == (9, None, None)


def test_lots_of_an_earlier_snapshot_are_not_shown(path: Path) -> None:
    write(path, account(1e6, TEN - 1), position(3, TEN - 1), account(1e6), position(5))
    (held,) = picture_of(path).positions
    assert held["long"] == 6  # 5 of today, 1 of before


def test_flat_is_without_lots_and_living_orders(path: Path) -> None:
    write(path, order("r.1", "Completed"), HoldingRecord("SHFE.cu2511", 0, 0, TEN))
    assert left_of(path) == []
    write(path, order("r.2", "Accepted"), HoldingRecord("SHFE.cu2511", 0, 2, TEN))
    assert left_of(path) == ["SHFE.cu2511 0 long 2 short", "order r.2"]


def test_owner_is_who_has_the_lock(path: Path) -> None:
    assert owner_of(path) is None
    with JournalWriter(path):
        owner = owner_of(path)
        assert owner is not None
        assert owner.pid > 0
        assert owner.started_ns > 0
        note = path.with_name("a.sqlite.owner").read_bytes()
    assert owner_of(path) is None
    path.with_name("a.sqlite.owner").write_bytes(note)  # what a killed process leaves
    assert owner_of(path) is None
    with JournalWriter(path):  # looking took no lock away
        path.with_name("a.sqlite.owner").write_text("{", encoding="utf-8")
        assert owner_of(path) is not None


# ---- the tail


def texts(tail: JournalTail, limit: int = -1) -> list[str]:
    return [f"{line.kind} {line.text}" for line in tail.news(limit)]


def test_tail_tells_each_change_once(path: Path) -> None:
    with JournalWriter(path) as journal:
        journal.put(order("r.1", "Accepted"))
        with JournalTail(path) as tail:
            asked = "buy 3 SHFE.cu2511 Limit 90000"
            assert texts(tail) == [f"order r.1 {asked} Accepted"]
            assert texts(tail) == []
            journal.put(trade("r.1", 1))
            journal.put(trade("r.1", 2))
            assert texts(tail) == ["trade r.1 bought 1 SHFE.cu2511 to open at 90010, fee 4.50"] * 2
            journal.put(order("r.1", "Completed"))  # at the same moment of market time
            journal.put(order("r.2", "Accepted"))
            assert sorted(texts(tail)) == [
                f"order r.1 {asked} Completed",
                f"order r.2 {asked} Accepted",
            ]
            assert texts(tail) == []
            journal.put(order("r.2", "Rejected", TEN + 1, "资金\n不足"))
            assert texts(tail) == [f"order r.2 {asked} Rejected: 资金 不足"]
            assert texts(tail) == []


def test_tail_is_in_the_order_of_time_and_begins_with_the_last_lines(path: Path) -> None:
    write(
        path,
        NoteRecord("r", TEN + 3 * SECOND_NS, "third"),
        RefusalRecord("r", "", "SHFE.cu2511", "HALTED", "second", TEN + 2 * SECOND_NS),
        EventRecord("r", TEN + SECOND_NS, TEN, "STARTED", "first"),
        NoteRecord("r", TEN + 4 * SECOND_NS, "fourth"),
    )
    with JournalTail(path) as tail:
        assert texts(tail, 2) == ["note third", "note fourth"]
        assert texts(tail) == []  # earlier ones are not told later
    with JournalTail(path) as tail:
        lines = [str(line) for line in tail.news()]
    assert lines == [
        "2025-09-16 10:00:01  event   STARTED first",
        "2025-09-16 10:00:02  refused HALTED SHFE.cu2511 second",
        "2025-09-16 10:00:03  note    third",
        "2025-09-16 10:00:04  note    fourth",
    ]


def test_tail_can_begin_with_nothing(path: Path) -> None:
    write(path, NoteRecord("r", TEN, "before"), order("r.1", "Accepted"))
    with JournalTail(path) as tail:
        assert texts(tail, 0) == []
        assert texts(tail) == []
        write(path, NoteRecord("r", TEN, "after"))
        assert texts(tail) == ["note after"]


def test_event_before_the_market_was_heard_has_the_machines_time(path: Path) -> None:
    write(path, EventRecord("r", 0, TEN, "CONNECTION_LOST", "no market"))
    with JournalTail(path) as tail:
        (line,) = tail.news()
    assert (line.at_ns, line.bad) == (TEN, True)
