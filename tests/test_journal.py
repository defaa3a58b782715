"""The journal: every row that was reported as written is there, whatever dies when."""

from __future__ import annotations

import json
import math
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tianqin_backtrader
from tianqin_backtrader.errors import (
    BadJournal,
    ConfigError,
    JournalFailed,
    JournalTaken,
    StopError,
)
from tianqin_backtrader.journal import Journal, JournalWriter
from tianqin_backtrader.journal_records import (
    AccountRecord,
    AuditRecord,
    CountRecord,
    EventRecord,
    HoldingRecord,
    LegRecord,
    NoteRecord,
    OrderRecord,
    PositionRecord,
    RefusalRecord,
    RollRecord,
    RunRecord,
    StopRecord,
    TradeRecord,
)

NAN = math.nan
NOON = 1_757_995_200_000_000_000  # 2025-09-16 12:00 in Beijing

RUN = RunRecord("r7", NOON, {"mode": "sim", "tqsdk": "3.10.4"})
ORDER = OrderRecord(
    "r7.1", "r7", 1, "SHFE.cu2511", '{"size": -5}', "working", "Accepted", "", NOON
)  # fmt: skip
LEG = LegRecord(
    "TQ_r7_1_2", "r7.1", 2, 1, "SHFE.cu2511", "SELL", "CLOSETODAY", 3, 80_110.0, "", "alive", 2,
    "100012", "", NOON,
)  # fmt: skip
TRADE = TradeRecord(
    "TQ_r7_1_2", "5", "r7.1", "SHFE.cu2511", "SELL", "CLOSETODAY", 80_110.0, 1, 20.03, NOON
)
STOP = StopRecord("r7.1", 79_900.0, None, "held", NOON)
HOLDING = HoldingRecord("SHFE.cu2511", 3, 10, NOON)
ROLL = RollRecord(
    "main 2025-09-16", "KQ.m@SHFE.cu", "SHFE.cu2510", "SHFE.cu2511", -13, "closing", "r7.1", "",
    4, 0, NOON,
)  # fmt: skip

# What the first schema holds. Another list needs another version, or old journals are misread.
SCHEMA_1 = {
    "runs": "run started_ns about",
    "orders": "key run ref symbol ticket phase state reason at_ns",
    "legs": "order_id key number stage symbol direction offset volume price advanced state left "
    "exchange_order_id reason at_ns price_type",
    "trades": "order_id trade_id key symbol direction offset price volume commission_cny time_ns",
    "stops": "key price limit state at_ns",
    "holdings": "symbol long short at_ns",
    "rolls": "name main old new lots phase closing opening closed opened at_ns",
}
# What the second one holds besides.
SCHEMA_2 = SCHEMA_1 | {
    "events": "run at_ns wall_ns kind text",
    "refusals": "run key symbol code text at_ns",
    "counts": "day name value at_ns",
    "accounts": "run at_ns day why balance available margin close_profit position_profit "
    "commission",
    "positions": "run at_ns symbol long_today long_history short_today short_history long_price "
    "short_price margin",
    "notes": "run at_ns text",
    "audits": "run at_ns symbol duration_s bar_ns text",
}
NUMBERS = {
    "price", "limit", "commission_cny", "value", "balance", "available", "margin", "close_profit",
    "position_profit", "commission", "long_price", "short_price",
}  # fmt: skip
COUNTS = {
    "started_ns", "ref", "at_ns", "number", "stage", "volume", "left", "time_ns", "long", "short",
    "lots", "closed", "opened", "wall_ns", "long_today", "long_history", "short_today",
    "short_history", "duration_s", "bar_ns",
}  # fmt: skip
LATER: list[Any] = [
    EventRecord("r7", NOON, NOON + 5, "CONNECTION_LOST", "断线"),
    RefusalRecord("r7", "r7.1", "SHFE.cu2511", "ORDER_SIZE", "9 lots", NOON),
    CountRecord("2025-09-16", "orders", 3.0, NOON),
    AccountRecord("r7", NOON, "2025-09-16", "end", 1e6, 9e5, 1e5, 120.5, -30.0, 20.03),
    PositionRecord("r7", NOON, "SHFE.cu2511", 1, 2, 3, 4, 80_000.0, 80_010.0, 1e5),
    NoteRecord("r7", NOON, "the signal turned"),
    AuditRecord("r7", NOON, "SHFE.cu2511", 60, NOON - 60, "close 1, officially 2"),
]

Put = Callable[[JournalWriter], object]


def put_one_of_each(writer: JournalWriter) -> None:
    writer.begin_run(RUN)
    writer.put_order(ORDER)
    writer.put_leg(LEG)
    assert writer.add_trade(TRADE)
    writer.put_stop(STOP)
    writer.put_holding(HOLDING)
    writer.put_roll(ROLL)
    for record in LATER:
        writer.put(record)


def frames(path: Path) -> dict[str, pd.DataFrame]:
    with Journal(path) as journal:
        return {name: getattr(journal, name)() for name in SCHEMA_2}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "account 7" / "日志.db"


@pytest.fixture
def writer(path: Path) -> Iterator[JournalWriter]:
    with JournalWriter(path) as made:
        yield made


# ---- what goes in comes out


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(max_size=20),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(),
    "float | None": st.none() | st.floats(allow_nan=False),
}


def records(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{f.name: VALUES[str(f.type)] for f in fields(kind)})


def same(left: Any, right: Any) -> bool:
    """Whether two records are equal, with NaN for NaN."""
    pairs = zip(astuple(left), astuple(right), strict=True)
    return type(left) is type(right) and all(a == b or (a != a and b != b) for a, b in pairs)  # noqa: PLR0124


@settings(max_examples=60, deadline=None)
@given(
    records(OrderRecord), records(LegRecord), records(TradeRecord), records(StopRecord),
    records(HoldingRecord), records(RollRecord),
)  # fmt: skip
def test_records_come_back_as_they_went_in(
    order: OrderRecord,
    leg: LegRecord,
    trade: TradeRecord,
    stop: StopRecord,
    holding: HoldingRecord,
    roll: RollRecord,
) -> None:
    stop, roll = replace(stop, state="hit"), replace(roll, phase="opening")
    with JournalWriter() as writer:
        writer.put_order(order)
        writer.put_leg(leg)
        writer.add_trade(trade)
        writer.put_stop(stop)
        writer.put_holding(holding)
        writer.put_roll(roll)
        pairs: list[tuple[Any, list[Any]]] = [
            (order, writer.orders([order.key])),
            (leg, writer.legs(leg.key)),
            (trade, writer.trades(trade.key)),
            (stop, writer.stops()),
            (holding, list(writer.holdings().values())),
            (roll, writer.rolls()),
        ]
        assert writer.owner_of(leg.order_id) == leg.key
    for put, back in pairs:
        assert len(back) == 1
        assert same(put, back[0])


def test_frames_hold_a_row_for_each_record(writer: JournalWriter, path: Path) -> None:
    put_one_of_each(writer)
    found = frames(path)
    rows = {name: frame.to_dict("records") for name, frame in found.items()}
    assert json.loads(rows["runs"][0].pop("about")) == {"mode": "sim", "tqsdk": "3.10.4"}
    assert rows["runs"] == [{"run": "r7", "started_ns": NOON}]
    for name, record in (("orders", ORDER), ("legs", LEG), ("trades", TRADE), ("rolls", ROLL)):
        assert [tuple(row.values()) for row in rows[name]] == [astuple(record)]
    assert rows["holdings"] == [{"symbol": "SHFE.cu2511", "long": 3, "short": 10, "at_ns": NOON}]
    assert found["stops"]["limit"].isna().all()
    for name, record in zip(list(SCHEMA_2)[len(SCHEMA_1) :], LATER, strict=True):
        assert [tuple(row.values()) for row in rows[name]] == [astuple(record)]


def test_counts_are_of_their_day_and_the_newest_stands(writer: JournalWriter) -> None:
    for day, value in (("2025-09-15", 9.0), ("2025-09-16", 1.0), ("2025-09-16", 2.0)):
        writer.put(CountRecord(day, "orders", value, NOON))
    assert writer.counts("2025-09-16") == [CountRecord("2025-09-16", "orders", 2.0, NOON)]


def test_trades_of_a_span_are_counted(writer: JournalWriter) -> None:
    for number in range(4):
        writer.add_trade(replace(TRADE, trade_id=str(number), time_ns=NOON + number))
    assert writer.count_trades(NOON + 1, NOON + 3) == 2


def test_what_is_known_of_a_run_later_takes_its_place(writer: JournalWriter, path: Path) -> None:
    writer.begin_run(RUN)
    writer.begin_run(replace(RUN, about={"mode": "sim", "symbols": "SHFE.cu2511"}))
    (about,) = frames(path)["runs"]["about"]
    assert json.loads(about) == {"mode": "sim", "symbols": "SHFE.cu2511"}


# ---- an earlier schema


OLD = """
CREATE TABLE runs (seq INTEGER PRIMARY KEY, "run" TEXT NOT NULL, "started_ns" INTEGER NOT NULL,
"about" TEXT NOT NULL, UNIQUE ("run"));
CREATE TABLE orders (seq INTEGER PRIMARY KEY, "key" TEXT NOT NULL, "run" TEXT NOT NULL,
"ref" INTEGER NOT NULL, "symbol" TEXT NOT NULL, "ticket" TEXT NOT NULL, "phase" TEXT NOT NULL,
"state" TEXT NOT NULL, "reason" TEXT NOT NULL, "at_ns" INTEGER NOT NULL, UNIQUE ("key"));
CREATE TABLE legs (seq INTEGER PRIMARY KEY, "order_id" TEXT NOT NULL, "key" TEXT NOT NULL,
"number" INTEGER NOT NULL, "stage" INTEGER NOT NULL, "symbol" TEXT NOT NULL,
"direction" TEXT NOT NULL, "offset" TEXT NOT NULL, "volume" INTEGER NOT NULL, "price" REAL,
"advanced" TEXT NOT NULL, "state" TEXT NOT NULL, "left" INTEGER NOT NULL,
"exchange_order_id" TEXT NOT NULL, "reason" TEXT NOT NULL, "at_ns" INTEGER NOT NULL,
"price_type" TEXT NOT NULL, UNIQUE ("order_id"));
CREATE TABLE trades (seq INTEGER PRIMARY KEY, "order_id" TEXT NOT NULL, "trade_id" TEXT NOT NULL,
"key" TEXT NOT NULL, "symbol" TEXT NOT NULL, "direction" TEXT NOT NULL, "offset" TEXT NOT NULL,
"price" REAL, "volume" INTEGER NOT NULL, "commission_cny" REAL, "time_ns" INTEGER NOT NULL,
UNIQUE ("order_id", "trade_id"));
CREATE TABLE stops (seq INTEGER PRIMARY KEY, "key" TEXT NOT NULL, "price" REAL, "limit" REAL,
"state" TEXT NOT NULL, "at_ns" INTEGER NOT NULL, UNIQUE ("key"));
CREATE TABLE holdings (seq INTEGER PRIMARY KEY, "symbol" TEXT NOT NULL, "long" INTEGER NOT NULL,
"short" INTEGER NOT NULL, "at_ns" INTEGER NOT NULL, UNIQUE ("symbol"));
CREATE TABLE rolls (seq INTEGER PRIMARY KEY, "name" TEXT NOT NULL, "main" TEXT NOT NULL,
"old" TEXT NOT NULL, "new" TEXT NOT NULL, "lots" INTEGER NOT NULL, "phase" TEXT NOT NULL,
"closing" TEXT NOT NULL, "opening" TEXT NOT NULL, "closed" INTEGER NOT NULL,
"opened" INTEGER NOT NULL, "at_ns" INTEGER NOT NULL, UNIQUE ("name"));
CREATE INDEX legs_of_order ON legs ("key", number);
CREATE INDEX trades_of_order ON trades ("key");
INSERT INTO orders VALUES (1, 'r7.1', 'r7', 1, 'SHFE.cu2511', '{"size": -5}', 'working',
'Accepted', '', 1757995200000000000);
PRAGMA application_id = 1416708724;
PRAGMA user_version = 1;
"""


def test_a_journal_of_the_first_schema_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(OLD)
    before = frames(path)
    assert before["orders"]["key"].tolist() == ["r7.1"]
    assert before["events"].empty
    with JournalWriter(path) as writer:
        assert writer.open_orders() == [ORDER]
        put_one_of_each(writer)
    after = frames(path)
    assert {name: len(frame) for name, frame in after.items()} == dict.fromkeys(SCHEMA_2, 1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


@pytest.mark.parametrize("is_empty", [True, False])
def test_columns_have_the_same_types_in_an_empty_journal(
    writer: JournalWriter, path: Path, is_empty: bool
) -> None:
    if not is_empty:
        put_one_of_each(writer)
    for name, frame in frames(path).items():
        assert list(frame.columns) == SCHEMA_2[name].split()
        assert len(frame) == (0 if is_empty else 1)
        for column, dtype in frame.dtypes.items():
            expected = {"f"} if column in NUMBERS else {"i"} if column in COUNTS else {"O", "T"}
            assert dtype.kind in expected


def test_nanoseconds_stay_whole_beside_missing_numbers(writer: JournalWriter, path: Path) -> None:
    writer.add_trade(replace(TRADE, commission_cny=NAN, time_ns=NOON + 1))
    trades = frames(path)["trades"]
    assert trades["time_ns"].tolist() == [NOON + 1]
    assert trades["commission_cny"].isna().all()
    assert same(writer.trades("r7.1")[0], replace(TRADE, commission_cny=NAN, time_ns=NOON + 1))


def test_half_a_surrogate_pair_in_a_reason_does_not_stop_trading(writer: JournalWriter) -> None:
    writer.put_order(replace(ORDER, reason=json.loads(r'"拒单\ud83d"')))
    assert writer.orders(["r7.1"])[0].reason == r"拒单\ud83d"


# ---- upserts


def test_a_later_record_takes_the_place_of_the_earlier(writer: JournalWriter) -> None:
    put_one_of_each(writer)
    leg = replace(LEG, state="finished", left=0, reason="全部成交", at_ns=NOON + 1)
    holding = replace(HOLDING, short=9)
    writer.put_leg(leg)
    writer.put_holding(holding)
    assert writer.legs("r7.1") == [leg]
    assert writer.holdings() == {"SHFE.cu2511": holding}


def test_a_trade_that_comes_twice_counts_once(writer: JournalWriter) -> None:
    assert writer.add_trade(TRADE)
    assert not writer.add_trade(replace(TRADE, volume=99))
    assert writer.trades("r7.1") == [TRADE]
    assert writer.add_trade(replace(TRADE, order_id="TQ_r7_1_1"))  # exchanges number by order


def test_open_orders_are_those_that_have_not_ended_oldest_first(writer: JournalWriter) -> None:
    states = [
        "Created", "Submitted", "Accepted", "Partial",
        "Completed", "Canceled", "Expired", "Margin", "Rejected",
    ]  # fmt: skip
    for ref, state in enumerate(states):
        writer.put_order(replace(ORDER, key=f"r7.{ref}", ref=ref, state=state))
    writer.put_order(replace(ORDER, key="r7.0", ref=0, state="Partial", at_ns=NOON + 5))
    assert [order.key for order in writer.open_orders()] == ["r7.0", "r7.1", "r7.2", "r7.3"]
    assert [order.key for order in writer.orders(["r7.8", "r6.1", "r7.0"])] == ["r7.8", "r7.0"]


def test_legs_come_by_number(writer: JournalWriter) -> None:
    for number in (3, 1, 2):
        writer.put_leg(replace(LEG, order_id=f"TQ_r7_1_{number}", number=number))
    writer.put_leg(replace(LEG, order_id="TQ_r7_2_1", key="r7.2"))
    assert [leg.number for leg in writer.legs("r7.1")] == [1, 2, 3]
    assert writer.owner_of("TQ_r7_2_1") == "r7.2"
    assert writer.owner_of("someone else's") == ""


def test_what_has_ended_is_not_taken_up_again(writer: JournalWriter) -> None:
    for state in ("held", "hit", "ended"):
        writer.put_stop(replace(STOP, key=state, state=state))
    for phase in ("planned", "closing", "opening", "done", "failed"):
        writer.put_roll(replace(ROLL, name=phase, phase=phase))
    assert [stop.key for stop in writer.stops()] == ["held", "hit"]
    assert [roll.name for roll in writer.rolls()] == ["planned", "closing", "opening"]


def test_runs_are_known_by_name(writer: JournalWriter) -> None:
    writer.begin_run(RUN)
    assert writer.knows_run("r7")
    assert not writer.knows_run("r8")


# ---- transactions


def test_together_is_all(writer: JournalWriter, path: Path) -> None:
    with writer.together():
        writer.put_order(ORDER)
        with writer.together():
            writer.put_leg(LEG)
        assert frames(path)["legs"].empty  # the inner one has joined and not committed
    assert len(frames(path)["legs"]) == len(frames(path)["orders"]) == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_together_is_nothing_after_an_exception(
    writer: JournalWriter, path: Path, error: type[BaseException]
) -> None:
    writer.put_order(ORDER)
    with pytest.raises(error), writer.together():  # noqa: PT012
        writer.put_order(replace(ORDER, state="Partial"))
        with writer.together():
            writer.add_trade(TRADE)
        raise error
    assert writer.orders(["r7.1"]) == [ORDER]
    assert frames(path)["trades"].empty
    assert writer.add_trade(TRADE)  # and by itself it is committed at once
    assert len(frames(path)["trades"]) == 1


def test_together_cannot_keep_half_where_an_inner_failure_was_caught(
    writer: JournalWriter, path: Path
) -> None:
    again = "begin the whole transaction again"
    with pytest.raises(JournalFailed, match=again), writer.together():  # noqa: PT012
        writer.put_order(ORDER)
        with suppress(ValueError), writer.together():
            raise ValueError
    assert frames(path)["orders"].empty
    with writer.together():
        writer.put_order(ORDER)
    assert len(frames(path)["orders"]) == 1


def test_a_row_that_failed_takes_the_rows_beside_it_with_it(
    writer: JournalWriter, path: Path
) -> None:
    with pytest.raises(JournalFailed, match="a part failed"), writer.together():  # noqa: PT012
        writer.put_order(ORDER)
        with pytest.raises(JournalFailed, match="too large"):
            writer.put_leg(replace(LEG, volume=2**63))
        with pytest.raises(JournalFailed, match="a part failed"):
            writer.put_leg(LEG)
    assert frames(path)["orders"].empty
    assert frames(path)["legs"].empty


def test_nothing_is_called_written_within_a_transaction_that_nobody_ends(
    writer: JournalWriter, path: Path
) -> None:
    writer._db.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalFailed):
        writer.put_order(ORDER)
    with pytest.raises(JournalFailed), writer.together():
        pytest.fail("a transaction began")
    writer.put_order(ORDER)
    assert len(frames(path)["orders"]) == 1


# ---- writing fails


def full(writer: JournalWriter) -> None:
    pages = writer._db.execute("PRAGMA page_count").fetchone()[0]
    writer._db.execute(f"PRAGMA max_page_count = {pages}")


def roomy(writer: JournalWriter) -> None:
    writer._db.execute("PRAGMA max_page_count = 1000000")


def fill(writer: JournalWriter) -> list[str]:
    """Put orders until the disk is full; returns the keys of those that were written."""
    done: list[str] = []
    for ref in range(1000):
        try:
            writer.put_order(replace(ORDER, key=f"r7.{ref}", ticket="x" * 500))
        except JournalFailed as error:
            assert "free space" in str(error)  # noqa: PT017
            assert f"r7.{ref}" in str(error)  # noqa: PT017
            return done
        done.append(f"r7.{ref}")
    raise AssertionError("the disk was never full")


def test_a_full_disk_loses_nothing_and_can_be_mended(writer: JournalWriter, path: Path) -> None:
    full(writer)
    done = fill(writer)
    assert frames(path)["orders"]["key"].tolist() == done
    failed = replace(ORDER, key=f"r7.{len(done)}", ticket="x" * 500)
    with pytest.raises(JournalFailed):
        writer.put_order(failed)
    roomy(writer)
    writer.put_order(failed)
    assert frames(path)["orders"]["key"].tolist() == [*done, failed.key]


def test_a_full_disk_undoes_all_that_was_together(writer: JournalWriter, path: Path) -> None:
    full(writer)
    with pytest.raises(JournalFailed), writer.together():  # noqa: PT012
        fill(writer)  # catches the failure
        roomy(writer)
        with suppress(JournalFailed):
            writer.put_leg(LEG)
    assert frames(path)["orders"].empty
    assert frames(path)["legs"].empty
    put_one_of_each(writer)
    assert len(frames(path)["legs"]) == 1


PUTS: dict[str, Put] = {
    "run": lambda w: w.begin_run(RUN),
    "order": lambda w: w.put_order(ORDER),
    "leg": lambda w: w.put_leg(LEG),
    "trade": lambda w: w.add_trade(TRADE),
    "stop": lambda w: w.put_stop(STOP),
    "holding": lambda w: w.put_holding(HOLDING),
    "roll": lambda w: w.put_roll(ROLL),
}


@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS)
def test_a_locked_database_fails_every_put_and_can_be_mended(
    writer: JournalWriter, path: Path, put: Put
) -> None:
    writer._db.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as browser:
        browser.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFailed, match="close the program that holds the file"):
            put(writer)
        with pytest.raises(JournalFailed, match="locked"), writer.together():
            pytest.fail("a transaction began")
    put(writer)
    assert sum(len(frame) for frame in frames(path).values()) == 1


def test_a_database_that_cannot_be_written(writer: JournalWriter) -> None:
    writer._db.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalFailed, match="let this user write to the file"):
        writer.put_leg(LEG)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    for _ in range(2):  # the lock is free again
        with pytest.raises(JournalFailed, match="no folder may bear its name"):
            JournalWriter(tmp_path)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFailed, match="let this user write"):
        JournalWriter(tmp_path / "file" / "journal.db")


# ---- files that are none


def database(path: Path, version: int = 1, statement: str = "CREATE TABLE songs (name)") -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")


def of_version_99(path: Path) -> None:
    JournalWriter(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def damaged(path: Path) -> None:
    """Garbage from the second page on; the first one holds what a journal says of itself."""
    with JournalWriter(path) as writer, writer.together():
        for number in range(500):
            writer.put_leg(replace(LEG, order_id=f"TQ_r7_1_{number}", number=number))
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda p: p.write_text("time,price\n" * 1000), "name of its own"),
    "another program's": (database, "path of its own"),
    "another program's without tables": (
        lambda p: database(p, statement="PRAGMA application_id = 7"),
        "path of its own",
    ),
    "another version": (of_version_99, "has schema version 99; expected 2; use the release"),
    "damaged": (damaged, "put the file aside"),
}


@pytest.mark.parametrize(("make", "remedy"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], object], remedy: str
) -> None:
    path = tmp_path / "journal.db"
    make(path)
    before = path.read_bytes()
    for _ in range(2):  # the lock is free again
        with pytest.raises(BadJournal, match=remedy) as error:
            JournalWriter(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(BadJournal, match=remedy):
        frames(path)
    assert path.read_bytes() == before


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadJournal, match="does not exist"):
        Journal(tmp_path / "journal.db")
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadJournal, match="is no file"):
        Journal(tmp_path)
    (tmp_path / "empty.db").touch()
    with pytest.raises(BadJournal, match="is empty"):
        Journal(tmp_path / "empty.db")
    JournalWriter(tmp_path / "empty.db").close()  # as a writer that died at once leaves it
    assert frames(tmp_path / "empty.db")["orders"].empty


def test_a_reader_cannot_write(writer: JournalWriter, path: Path) -> None:
    with Journal(path) as journal, pytest.raises(sqlite3.OperationalError, match="readonly"):
        journal._db.execute("DELETE FROM orders")
    assert writer.open_orders() == []


# ---- life


def test_errors_stand_where_the_caller_looks_for_them() -> None:
    assert issubclass(BadJournal, ConfigError)
    assert issubclass(JournalTaken, StopError)
    assert issubclass(JournalFailed, StopError)


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
def test_durability(tmp_path: Path, durable: bool, synchronous: int) -> None:
    """SQLite's numbers: 1 NORMAL, 2 FULL."""
    with JournalWriter(tmp_path / "journal.db", durable=durable) as writer:
        put_one_of_each(writer)
        assert writer._db.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert writer._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_closing_twice_and_opening_again(path: Path) -> None:
    writer = JournalWriter(str(path))
    put_one_of_each(writer)
    writer.close()
    writer.close()
    for use in (*PUTS.values(), JournalWriter.open_orders):
        with pytest.raises(JournalFailed, match="open it again"):
            use(writer)
    with pytest.raises(JournalFailed, match="open it again"), writer.together():
        pytest.fail("a transaction began")
    with JournalWriter(path) as again:
        assert again.open_orders() == [ORDER]
        assert again.stops() == [STOP]
        assert again.rolls() == [ROLL]
    assert sorted(p.name for p in path.parent.iterdir()) in (
        ["日志.db"], ["日志.db", "日志.db.lock"],
    )  # fmt: skip


def test_closing_within_a_transaction_undoes_it(path: Path) -> None:
    writer = JournalWriter(path)
    with pytest.raises(JournalFailed), writer.together():  # noqa: PT012
        writer.put_order(ORDER)
        writer.close()
    assert frames(path)["orders"].empty


def test_a_closed_journal_says_so(writer: JournalWriter, path: Path) -> None:
    journal = Journal(path)
    journal.close()
    journal.close()
    with pytest.raises(BadJournal, match="open it again"):
        journal.orders()


def test_a_second_writer_in_the_process_is_refused(writer: JournalWriter, path: Path) -> None:
    with pytest.raises(JournalTaken, match=f"process {os.getpid()} since 20..-..-..") as error:
        JournalWriter(path)
    assert str(path) in str(error.value)
    writer.put_order(ORDER)
    with pytest.raises(JournalTaken, match="stop the other one first"):
        JournalWriter(path.parent / ".." / path.parent.name / path.name)
    owner = json.loads((path.parent / "日志.db.owner").read_text(encoding="utf-8"))
    assert owner.keys() == {"pid", "started_ns"}


@pytest.mark.parametrize("note", [None, "", "{", "[]", '{"pid": 1, "started_ns": "x"}'])
def test_an_owner_without_a_note(writer: JournalWriter, path: Path, note: str | None) -> None:
    file = path.parent / "日志.db.owner"
    file.unlink()
    if note is not None:
        file.write_text(note, encoding="utf-8")
    with pytest.raises(JournalTaken, match="by another process"):
        JournalWriter(path)


def test_a_link_is_no_way_round_the_lock(writer: JournalWriter, path: Path) -> None:
    link = path.parent / "link.db"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("links need a privilege on Windows")
    with pytest.raises(JournalTaken):
        JournalWriter(link)
    writer.put_order(ORDER)
    assert len(frames(link)["orders"]) == 1


# ---- other processes

# Waits for a line, then writes without end; a line tells what is committed. A writer needs none of
# TqSdk, Backtrader and pandas, and without them a process starts in a tenth of the time.
CHILD = """
import sys
from dataclasses import replace
from itertools import count
from types import ModuleType

package = ModuleType("tianqin_backtrader")
package.__path__ = [sys.argv[1]]
sys.modules |= {package.__name__: package, "pandas": ModuleType("pandas")}
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.journal_records import *

run = sys.argv[3]
ORDER = OrderRecord("", run, 0, "SHFE.cu2511", "{}", "working", "Submitted", "", 0)
LEG = LegRecord("", "", 1, 1, "SHFE.cu2511", "BUY", "OPEN", 1, None, "", "planned", 1, "", "", 0)
TRADE = TradeRecord("", "1", "", "SHFE.cu2511", "BUY", "OPEN", 1.0, 1, float("nan"), 0)
print("ready", flush=True)
sys.stdin.readline()
with JournalWriter(sys.argv[2]) as writer:
    writer.begin_run(RunRecord(run, 0, {}))
    print("run", run, flush=True)
    for ref in count(1):
        key = f"{run}.{ref}"
        leg = replace(LEG, order_id=f"TQ.{key}", key=key)
        with writer.together():
            writer.put_order(replace(ORDER, key=key, ref=ref))
            writer.put_leg(leg)
        print("order", key, flush=True)
        assert writer.add_trade(replace(TRADE, order_id=leg.order_id, key=key))
        print("trade", key, flush=True)
        writer.put_leg(replace(leg, state="finished", left=0))
        print("leg", key, flush=True)
"""


class Child:
    """A process that writes to a journal from `go` on, until it is killed."""

    def __init__(self, path: Path, run: str) -> None:
        package = Path(tianqin_backtrader.__file__).parent
        command = [sys.executable, "-c", CHILD, str(package), str(path), run]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")
        self.told: list[tuple[str, str]] = []  # (what, key): committed

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def go(self) -> None:
        assert self._out.readline() == "ready\n"
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def listen(self, lines: int) -> None:
        for _ in range(lines):
            what, _, key = self._out.readline().rstrip().partition(" ")
            self.told.append((what, key))

    def kill(self) -> None:
        self.process.kill()
        *lines, _ = self._out.read().split("\n")  # the last one may be cut off
        self.told += [
            (what, key) for what, _, key in (line.partition(" ") for line in lines) if key
        ]
        self._out.close()
        self.process.wait(timeout=30)


@contextmanager
def child(path: Path, run: str) -> Iterator[Child]:
    made = Child(path, run)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.kill()


def missing(told: list[tuple[str, str]], found: dict[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """What was told and is not in the journal."""
    legs = found["legs"].set_index("key")["state"].to_dict()
    there = {("run", run) for run in found["runs"]["run"]}
    there |= {("order", key) for key in found["orders"]["key"]}
    there |= {("trade", key) for key in found["trades"]["key"]}
    there |= {("leg", key) for key, state in legs.items() if state == "finished"}
    return [line for line in told if line not in there]


def test_a_killed_writer_loses_nothing_that_it_has_told(tmp_path: Path) -> None:
    """Twenty writers of one journal, each killed: what all of them have told is there."""
    path, moments = tmp_path / "journal.db", random.Random(20)
    told: list[tuple[str, str]] = []
    with ExitStack() as stack:
        following = stack.enter_context(child(path, "r0"))
        for number in range(1, 21):
            writing, following = following, stack.enter_context(child(path, f"r{number}"))
            writing.go()
            writing.listen(moments.randint(1, 400))
            writing.kill()
            told += writing.told
            found = frames(path)
            assert missing(told, found) == []
            assert found["orders"]["key"].tolist() == found["legs"]["key"].tolist()
    with JournalWriter(path) as writer:
        assert all(writer.knows_run(f"r{number}") for number in range(20))
        assert len(writer.open_orders()) == len(found["orders"])


def test_a_second_writer_in_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with child(path, "r1") as other:
        other.go()
        other.listen(1)
        with pytest.raises(JournalTaken, match=f"process {other.process.pid} since"):
            JournalWriter(path)
        other.kill()
    with JournalWriter(path) as writer:  # the lock has died with its process, the note has not
        assert writer.knows_run("r1")
        with pytest.raises(JournalTaken, match=f"process {os.getpid()} since"):
            JournalWriter(path)


def test_a_reader_reads_along(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with child(path, "r1") as other:
        other.go()
        other.listen(1)
        with Journal(path) as journal:
            for _ in range(20):
                other.listen(50)
                keys = set(journal.orders()["key"])
                assert {key for what, key in other.told if what == "order"} <= keys
                assert missing(other.told, frames(path)) == []
        assert other.process.poll() is None  # readers have not stopped it
