"""A journal that cannot be written while a run trades: nothing is sent, nothing is lost.

First an exchange that stands still until told otherwise, with a journal that fails at every place
in turn; then real files, the real TqApi and Cerebro.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
import tqsdk
from order_floor import BUY, CU, SELL, Desk, M, total
from test_broker import script
from test_journal import TRADE
from test_restart import trade

from tianqin_backtrader import Journal, LocalExchange, Notice, safe_journal
from tianqin_backtrader.errors import JournalFailed, NotWrittenDown
from tianqin_backtrader.journal_records import LegRecord, NoteRecord
from tianqin_backtrader.leftovers import leftovers_path
from tianqin_backtrader.orders import OrderState
from tianqin_backtrader.safe_journal import SafeJournal
from tianqin_backtrader.values import ExchangeOrder
from tianqin_backtrader.working import Rules

FULL = "database or disk is full"
EVENING = datetime(2025, 9, 15, 21, 45)  # noqa: DTZ001  Beijing time
SYMBOL = "SHFE.cu2511"


@pytest.fixture(autouse=True)
def _tries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_journal, "RETRY_NS", 0)


# ---- a journal that fails where it is told to


class Failing(SafeJournal):
    """In memory; its writes number `begin` to `end` fail, a retry counting as one."""

    def __init__(self, begin: int = 0, end: int = 0) -> None:
        self.begin, self.end, self.writes = begin, end, 0
        self.notices: list[Notice] = []
        super().__init__(tell=lambda notice, text, **about: self.notices.append(notice))
        self.writes = 0

    def _commit(self, rows: Any) -> None:
        self.writes += bool(rows)
        if rows and self.begin <= self.writes <= self.end:
            raise JournalFailed(":memory:", "orders could not be written", FULL, "free space")
        super()._commit(rows)


class FaultyDesk(Desk):
    """Sends as the real session does: after the journal was asked; and looks whether it has it."""

    journal: Failing

    def __init__(self, begin: int = 0, end: int = 0) -> None:
        super().__init__()
        self.journal = Failing(begin, end)
        self.blotter = type(self.blotter)(self, self.journal, self.told.append, Rules())

    def send(self, order: ExchangeOrder) -> None:
        self.journal.check()
        assert self.journal.owner_of(order.order_id), f"{order} is sent and not in the journal"
        super().send(order)

    def works(self) -> None:
        """All that can happen at the exchange happens."""
        self.journal.poll()
        self.blotter.on_time()
        self.arrive()

    def fill_all(self) -> None:
        """What the last price reaches fills."""
        self.works()
        for order in self.resting():
            last = self.quote(order.symbol)["last_price"]
            price = last if order.price is None else float(order.price)
            if price >= last if order.direction is BUY else price <= last:
                self.fill(order.order_id, price=last)
        self.works()


def trade_a_day(desk: FaultyDesk) -> dict[str, str]:
    """Every kind of order on its way; returns the keys of those that a test looks at."""
    keys = {"open": desk.order(CU, BUY, 3)}
    desk.fill_all()
    keys["rest"] = desk.order(CU, BUY, 2, limit=89_000.0)
    desk.works()
    keys["turn"] = desk.order(CU, SELL, 5)
    desk.fill_all()
    keys["parent"], keys["profit"], keys["loss"] = desk.bracket(
        M, BUY, 2, {"limit": 3_100.0}, {"stop": 2_950.0}, limit=3_000.0
    )
    desk.fill_all()
    keys["stop"] = desk.order(M, SELL, 1, stop=2_960.0)
    desk.cancel_order(keys["rest"])
    desk.works()
    desk.tick(M, 2_955.0)
    desk.fill_all()
    desk.tick(M, 2_945.0)
    for _ in range(3):
        desk.fill_all()
    return keys


def undisturbed() -> tuple[FaultyDesk, dict[str, str]]:
    desk = FaultyDesk()
    return desk, trade_a_day(desk)


WRITES = undisturbed()[0].journal.writes


def compare(desk: FaultyDesk) -> None:
    """The journal tells of every order, leg and trade what is known of it."""
    journal, progress = desk.journal, desk.blotter.progress
    for key, work in progress.works.items():
        (record,) = journal.orders([key])
        assert record.state == desk.state(key).value
        assert record.phase == work.phase.value
        legs = {leg.order_id: leg.state for leg in journal.legs(key)}
        assert legs == {leg.order_id: leg.state for leg in work.legs}
        told = [(trade.order_id, trade.trade_id) for trade in desk.fills(key)]
        assert [(each.order_id, each.trade_id) for each in journal.trades(key)] == told
    for symbol, held in journal.holdings().items():
        assert (held.long, held.short) == desk.held(symbol)


def test_the_day_of_these_tests_is_what_it_should_be() -> None:
    desk, keys = undisturbed()
    ends = {name: desk.state(key).value for name, key in keys.items()}
    assert ends == {
        "open": "Completed", "rest": "Canceled", "turn": "Completed", "parent": "Completed",
        "profit": "Canceled", "loss": "Completed", "stop": "Completed",
    }  # fmt: skip
    assert (desk.held(CU), desk.held(M)) == ((0, 2), (0, 1))
    assert WRITES > 30
    compare(desk)


@pytest.mark.parametrize("lasts", [1, 2, 6])
def test_an_outage_at_any_write_loses_nothing_and_sends_nothing_unwritten(lasts: int) -> None:
    for begin in range(1, WRITES + 1):
        desk = FaultyDesk(begin, begin + lasts - 1)
        keys = trade_a_day(desk)
        for _ in range(lasts + 2):
            desk.fill_all()
        assert not desk.journal.failure
        assert desk.journal.notices == [Notice.JOURNAL_FAILED, Notice.JOURNAL_RESTORED], begin
        compare(desk)
        for key in keys.values():  # refused as a whole or sent as a whole: nothing hangs
            filled, work = total(desk.fills(key)), desk.work(key)
            if desk.state(key) is OrderState.REJECTED:
                assert "JOURNAL" in work.reason
                assert filled == 0
            elif desk.state(key) is OrderState.COMPLETED:
                assert filled == work.ticket.volume
            else:
                assert desk.state(key) in (OrderState.CANCELED, OrderState.ACCEPTED)


def test_a_new_order_of_an_outage_is_rejected_with_the_journals_reason() -> None:
    desk = FaultyDesk(1, 10**9)
    market, stop = desk.order(CU, BUY, 1), desk.order(M, SELL, 1, stop=2_900.0)
    assert (desk.state(market), desk.state(stop)) == (OrderState.REJECTED, OrderState.REJECTED)
    assert "free space" in desk.work(market).reason
    desk.sends_nothing()
    assert desk.journal.notices == [Notice.JOURNAL_FAILED]  # once, though much failed


def test_a_bracket_of_an_outage_is_refused_whole() -> None:
    desk = FaultyDesk(1, 10**9)
    keys = desk.bracket(M, BUY, 2, {"limit": 3_100.0}, {"stop": 2_950.0}, limit=3_000.0)
    assert not desk.blotter.alive
    assert desk.state(keys[0]) is OrderState.REJECTED
    desk.sends_nothing()


def test_cancels_go_out_in_an_outage() -> None:
    desk = FaultyDesk()
    key = desk.order(CU, BUY, 2, limit=89_000.0)
    desk.works()
    desk.journal.begin, desk.journal.end = 0, 10**9
    desk.cancel_order(key)
    assert desk.on_wire("cancel") == ["t.1.0"]
    desk.works()
    assert desk.state(key) is OrderState.CANCELED
    assert desk.journal.orders([key])[0].state == "Accepted"  # not written yet
    desk.journal.end = 0
    desk.works()
    assert desk.journal.orders([key])[0].state == "Canceled"


def test_a_stop_that_goes_off_in_an_outage_is_sent_when_it_is_over() -> None:
    """It protects a position: a rejected stop would leave it bare."""
    desk = FaultyDesk()
    desk.hold(M, long=(0, 1))
    key = desk.order(M, SELL, 1, stop=2_960.0)
    desk.journal.begin, desk.journal.end = desk.journal.writes + 1, 10**9
    desk.tick(M, 2_955.0)
    desk.sends_nothing()
    assert desk.state(key) is OrderState.ACCEPTED
    desk.journal.end = 0
    desk.works()
    desk.fill_all()
    assert desk.state(key) is OrderState.COMPLETED
    assert desk.held(M) == (0, 0)
    compare(desk)


def test_a_new_order_that_waits_for_its_market_is_refused_where_it_cannot_be_written() -> None:
    desk = FaultyDesk()
    desk.at("2025-12-03 12:00:00")  # lunch
    desk.journal.begin, desk.journal.end = 0, 10**9
    key = desk.order(CU, BUY, 1)
    assert desk.state(key) is OrderState.REJECTED
    desk.journal.end = 0
    desk.works()
    compare(desk)


def test_fills_of_an_outage_are_kept_and_written() -> None:
    desk = FaultyDesk()
    key = desk.order(CU, BUY, 2, limit=90_000.0)
    desk.works()
    desk.journal.begin, desk.journal.end = 0, 10**9
    (order,) = desk.resting()
    desk.fill(order.order_id, 1)
    desk.fill(order.order_id, 1)
    assert desk.state(key) is OrderState.COMPLETED
    assert desk.journal.trades(key) == []
    desk.journal.end = 0
    desk.works()
    assert [trade.volume for trade in desk.journal.trades(key)] == [1, 1]
    compare(desk)


# ---- the journal itself


NOTE = NoteRecord("r1", 5, "x" * 5_000)  # needs pages of its own
Told = list[tuple[Notice, str]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def journal(tmp_path: Path, told: Told) -> Iterator[SafeJournal]:
    def tell(notice: Notice, text: str, **_: object) -> None:
        told.append((notice, text))

    with SafeJournal(tmp_path / "j.sqlite", tell=tell) as made:
        yield made


def fill_disk(journal: SafeJournal) -> Callable[[], object]:
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    return lambda: journal._db.execute("PRAGMA max_page_count = 1000000")


def lock(journal: SafeJournal) -> Callable[[], object]:
    assert journal.path is not None
    browser = sqlite3.connect(journal.path, isolation_level=None)
    browser.execute("BEGIN IMMEDIATE")
    journal._db.execute("PRAGMA busy_timeout = 10")  # as ours, in less of the tests' time
    return browser.close


def damage(journal: SafeJournal) -> Callable[[], object]:
    """Garbage from the second page on; the way back is a copy."""
    assert journal.path is not None
    path, db = journal.path, journal._db
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    db.execute("PRAGMA shrink_memory")

    def mend() -> None:
        path.write_bytes(whole)
        db.execute("PRAGMA shrink_memory")

    return mend


def make_readonly(journal: SafeJournal) -> Callable[[], object]:
    """As a file system that was remounted after an error."""
    journal._db.execute("PRAGMA query_only = ON")
    return lambda: journal._db.execute("PRAGMA query_only = OFF")


Fault = Callable[[SafeJournal], Callable[[], object]]
FAULTS: dict[str, tuple[Fault, str]] = {
    "full": (fill_disk, "free space"),
    "locked": (lock, "close the program that holds the file"),
    "damaged": (damage, "put the file aside"),
    "readonly": (make_readonly, "let this user write to the file"),
}


@pytest.mark.parametrize(("fault", "remedy"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_written_is_kept_and_written_later(
    journal: SafeJournal, told: Told, fault: Fault, remedy: str
) -> None:
    assert journal.path is not None
    mend = fault(journal)
    journal.put(NOTE)
    with journal.together():
        journal.put(NoteRecord("r1", 6, "second"))
        journal.put(NoteRecord("r1", 7, "third"))
    assert [notice for notice, _ in told] == [Notice.JOURNAL_FAILED]
    assert remedy in told[0][1]
    with pytest.raises(NotWrittenDown, match="JOURNAL"):
        journal.check()
    mend()
    journal.poll()
    journal.check()
    assert [notice for notice, _ in told] == [Notice.JOURNAL_FAILED, Notice.JOURNAL_RESTORED]
    with Journal(journal.path) as reader:
        assert reader.notes()["at_ns"].tolist() == [5, 6, 7]
    journal.put(NoteRecord("r1", 8, "fourth"))
    with Journal(journal.path) as reader:
        assert reader.notes()["at_ns"].tolist() == [5, 6, 7, 8]


def test_it_is_tried_again_once_a_second_and_waits_for_nobody(
    journal: SafeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_journal, "RETRY_NS", 1_000_000_000)
    now_ns = [10**12]
    monkeypatch.setattr(safe_journal, "monotonic_ns", lambda: now_ns[0])
    mend = lock(journal)
    journal.put(NOTE)
    assert journal._db.execute("PRAGMA busy_timeout").fetchone() == (0,)
    mend()
    journal.poll()
    assert journal.failure
    now_ns[0] += 1_000_000_000
    journal.poll()
    assert not journal.failure
    assert journal._db.execute("PRAGMA busy_timeout").fetchone() == (1_000,)


def test_what_is_left_at_the_end_is_in_a_file_that_the_next_run_reads(
    tmp_path: Path, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.sqlite"

    def tell(notice: Notice, text: str, **_: object) -> None:
        told.append((notice, text))

    first = SafeJournal(path, tell=tell)
    make_readonly(first)
    first.put(NOTE)
    first.put(NoteRecord("r1", 6, "拒单\n"))
    first.close()
    assert leftovers_path(path).is_file()
    with leftovers_path(path).open("a", encoding="utf-8") as file:
        file.write('["notes", "r1"')  # a run that was killed while it wrote
    with SafeJournal(path, tell=tell):
        pass
    assert not leftovers_path(path).exists()
    with Journal(path) as reader:
        assert reader.notes()["text"].tolist() == [NOTE.text, "拒单\n"]


def test_a_page_that_cannot_be_read_is_an_outage_until_it_can(
    journal: SafeJournal, told: Told
) -> None:
    mend = damage(journal)
    with pytest.raises(JournalFailed, match="put the file aside"):
        journal.orders(["r1.1"])
    journal.poll()
    assert journal.failure
    mend()
    journal.poll()
    journal.check()
    assert [notice for notice, _ in told] == [Notice.JOURNAL_FAILED, Notice.JOURNAL_RESTORED]


def test_a_journal_that_cannot_be_written_can_be_told_before_anything_is_sent(
    journal: SafeJournal,
) -> None:
    journal.prove()
    mend = make_readonly(journal)
    with pytest.raises(JournalFailed, match="let this user write"):
        journal.prove()
    mend()
    journal.prove()
    assert not journal.failure


def test_a_trade_that_is_there_already_is_not_new(journal: SafeJournal) -> None:
    assert journal.add_trade(TRADE)
    assert not journal.add_trade(TRADE)
    with journal.together():
        journal.add_trade(TRADE)
    assert journal.trades(TRADE.key) == [TRADE]


def test_an_exception_undoes_what_was_put_together(journal: SafeJournal) -> None:
    with suppress(KeyError), journal.together():
        journal.put(NOTE)
        raise KeyError
    assert journal.path is not None
    with Journal(journal.path) as reader:
        assert reader.notes().empty


# ---- Cerebro


class Spy:
    """Orders that reached TqSdk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        insert = tqsdk.TqApi.insert_order
        spy = self

        def insert_order(api: Any, *terms: Any, **options: Any) -> Any:
            spy.sent.append(options["order_id"])
            return insert(api, *terms, **options)

        monkeypatch.setattr(tqsdk.TqApi, "insert_order", insert_order)


@pytest.mark.parametrize("execution", ["direct", "target"])
@pytest.mark.parametrize("fault", [each for each, _ in FAULTS.values()], ids=FAULTS)
def test_trading_stops_and_goes_on_with_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, execution: str
) -> None:
    """An exception out of Cerebro's loop left orders and positions alone for the night."""
    path, spy = tmp_path / "orders.sqlite", Spy(monkeypatch)
    mends: list[Callable[[], object]] = []
    counts: list[int] = []
    rested: list[bt.Order] = []

    def rest(strategy: Any) -> None:
        price = strategy.data.close[0] - 900
        rested.append(strategy.buy(size=1, exectype=bt.Order.Limit, price=price))

    def break_it(strategy: Any) -> None:
        journal = strategy.broker._store.journal
        mends.append(fault(journal))
        strategy.broker._store.note(NOTE.text)
        counts.append(len(spy.sent))
        strategy.buy(size=2)
        if rested:
            strategy.cancel(rested[0])

    def mend(strategy: Any) -> None:
        counts.append(len(spy.sent))
        strategy.sell(size=3)
        mends[0]()

    steps = [(2, lambda s: s.buy(size=1)), (6, break_it), (9, mend), (12, lambda s: s.buy(size=4))]
    if execution == "direct":
        steps.insert(1, (4, rest))

    with LocalExchange(end=EVENING) as exchange:
        seen, notices, broker = trade(exchange, path, script(*steps), 15, execution=execution)
    ends = {order.ref: (order.getstatusname(), order.info.get("reason")) for order in seen.orders}
    words = [word for word, _ in ends.values()]
    rejected = [reason for word, reason in ends.values() if word == "Rejected"]
    assert words.count("Completed") == 2
    assert len(rejected) == 2
    assert all("JOURNAL" in reason for reason in rejected)
    assert words.count("Canceled") == (execution == "direct")
    assert counts[0] == counts[1]  # nothing was sent in between
    assert broker.get_account_position(SYMBOL).net == 5
    kinds = [str(each[1]) for each in notices]
    assert kinds.count("JOURNAL_FAILED") == kinds.count("JOURNAL_RESTORED") == 1
    with Journal(path) as journal:
        taken = [word for word in words if word != "Rejected"]
        assert sorted(journal.orders()["state"]) == sorted(taken)
        assert journal.trades()["volume"].sum() == 5
        assert journal.notes()["text"].tolist() == [NOTE.text]
        assert {"JOURNAL_FAILED", "JOURNAL_RESTORED"} <= set(journal.events()["kind"])


@pytest.mark.parametrize("execution", ["direct", "target"])
def test_an_exchange_order_that_cannot_be_written_down_does_not_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, execution: str
) -> None:
    """The order itself was written; the disk is full when its leg is."""
    path, spy, fails = tmp_path / "orders.sqlite", Spy(monkeypatch), [True]
    commit = SafeJournal._commit

    def full(journal: SafeJournal, rows: Any) -> None:
        if fails[0] and any(isinstance(record, LegRecord) for _, record in rows):
            raise JournalFailed(path, "a leg could not be written", FULL, "free space")
        commit(journal, rows)

    monkeypatch.setattr(SafeJournal, "_commit", full)
    steps = (2, lambda s: s.buy(size=1)), (6, lambda _: fails.__setitem__(0, False))
    with LocalExchange(end=EVENING) as exchange:
        seen, _, broker = trade(exchange, path, script(*steps), 12, execution=execution)
    last = seen.orders[-1]
    assert last.getstatusname() == "Rejected"
    assert "JOURNAL" in last.info.reason
    assert spy.sent == []
    assert broker.positions() == {}
    with Journal(path) as journal:
        assert journal.orders()["state"].tolist() == ["Rejected"]
        assert set(journal.legs()["state"]) <= {"dropped", "finished"}
