"""Rolls over a change of main contract, through the real TqApi at the embedded exchange.

The market is written by hand: a tick of price p shows one level on either side, a price tick (10)
away. Copper is followed in cu2511 until Tuesday's close and in cu2512 from that evening on, for
cu2512 had the most lots on Tuesday.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from support import DIARY

from tianqin_backtrader import Journal, LocalExchange, Notice, TqStore, main_contract, pump
from tianqin_backtrader.desk import OrderDesk
from tianqin_backtrader.errors import WrongSetting
from tianqin_backtrader.floor import Floor
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.model import ExchangeOrder, Offset
from tianqin_backtrader.queries import underlying_of
from tianqin_backtrader.rolling import Rolling
from tianqin_backtrader.rolls import roll_of

MAIN, OLD, NEW = "KQ.m@SHFE.cu", "SHFE.cu2511", "SHFE.cu2512"
NAME = f"{MAIN} {OLD}>{NEW}"
TICK = 10
MONDAY = ("2025-09-15 14:58", "2025-09-15 14:59:50")
TUESDAY = ("2025-09-16 14:55", "2025-09-16 14:59:50")
EVENING = ("2025-09-16 20:59", "2025-09-16 21:05:50")
MORNING = ("2025-09-17 08:59", "2025-09-17 09:03:50")
COLUMNS = (
    "datetime,last_price,volume,open_interest,bid_price1,bid_volume1,ask_price1,ask_volume1,"
    "upper_limit,lower_limit"
)
Act = Callable[["Roller"], Any]
Moves = Mapping[str, float]


# ---- the market


@dataclass(frozen=True)
class Prices:
    """Prices of a contract, others from the moments of `moves` on; `lots` on either side."""

    price: float
    moves: Moves = field(default_factory=dict)
    lots: int = 100


def market(
    folder: Path, old: Prices, new: Prices, *spans: tuple[str, str], **options: Any
) -> LocalExchange:
    """Both contracts on Monday and during `spans`; traded from Tuesday's on."""
    files = [
        _written(folder, OLD, old, spans, (900, 10)),
        _written(folder, NEW, new, spans, (10, 900)),
    ]
    return LocalExchange(replay=files, start=_moment(TUESDAY[0]), **options)


def _written(
    folder: Path,
    symbol: str,
    path: Prices,
    spans: tuple[tuple[str, str], ...],
    lots: tuple[int, int],
) -> Path:
    moves, rows = [(_moment(at), price) for at, price in sorted(path.moves.items())], [COLUMNS]
    daily = {MONDAY: lots[0], TUESDAY: lots[1]}
    for span in (MONDAY, *(spans or (TUESDAY, EVENING))):
        now = _moment(span[0])
        while now <= _moment(span[1]):
            price = next((p for at, p in reversed(moves) if at <= now), path.price)
            sides = (price - TICK, path.lots, price + TICK, path.lots)
            numbers = (price, daily.get(span, 1), 1000, *sides, 95_000, 78_000)
            rows.append(f"{now:%Y-%m-%d %H:%M:%S.%f}," + ",".join(f"{n:.10g}" for n in numbers))
            now += timedelta(seconds=10)
    file = folder / f"{symbol}.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    return file


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Tape:
    """What the exchange took and did, in its own order: "SELL CLOSE 3 SHFE.cu2511" and so on."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.orders: list[str] = []
        self.trades: list[str] = []
        self.cancels = 0
        self.refuse: Callable[[Any], str] = lambda order: ""
        floor: Any = exchange._venue.exchange
        refusal, fill, cancel = floor._refusal, floor._fill, floor.cancel_order

        def look(desk: Any, order: Any, *rest: Any) -> str:
            self.orders.append(
                f"{order.direction} {order.offset} {order.volume_orign} {order.symbol}"
            )
            return self.refuse(order) or str(refusal(desk, order, *rest))

        def trade(desk: Any, order: Any, price: float, volume: int, *rest: Any) -> None:
            what = f"{order.direction} {order.offset} {volume} {order.symbol} @ {price:g}"
            self.trades.append(what)
            fill(desk, order, price, volume, *rest)

        def withdraw(*about: Any) -> None:
            self.cancels += 1
            cancel(*about)

        floor._refusal, floor._fill, floor.cancel_order = look, trade, withdraw


# ---- the strategy


@dataclass
class Seen:
    """What one run came to."""

    story: list[str] = field(default_factory=list)
    notices: dict[str, dict[str, Any]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    orders: dict[str, bt.Order] = field(default_factory=dict)  # that the plan named
    rolls: list[bt.Order] = field(default_factory=list)  # the roll's own, as last told
    sizes: list[tuple[str, float]] = field(default_factory=list)
    trades: list[bt.Trade] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    broker: Any = None


class Roller(bt.Strategy):
    """Does what `plan` says when a bar ends, or when a notice comes; keeps all it hears."""

    params = (("seen", None), ("plan", None), ("leaves", ""))

    def __init__(self) -> None:
        self.seen: Seen = self.p.seen
        self.orders = self.seen.orders

    def notify_store(self, msg: Any, *args: Any, **about: Any) -> None:
        if msg in DIARY:
            return
        self.seen.story.append(str(msg))
        self.seen.texts[str(msg)] = args[0]
        self.seen.notices[str(msg)] = {k: v for k, v in about.items() if k != "data"}
        self._do(str(msg))

    def notify_order(self, order: bt.Order) -> None:
        name = next((n for n, each in self.orders.items() if each.ref == order.ref), "")
        if order.info.get("roll"):
            assert order.info.roll == NAME
            name = f"roll {'buys' if order.isbuy() else 'sells'} {order.info.contract}"
            self.seen.rolls = [each for each in self.seen.rolls if each.ref != order.ref] + [order]
        if order.info.get("opening"):
            name = f"opening of {order.info.contract}"
        self.seen.story.append(f"{name or order.ref} {order.getstatusname()}")

    def notify_trade(self, trade: bt.Trade) -> None:
        self.seen.trades.append(trade)
        self.seen.story.append("trade closed" if trade.isclosed else "trade")

    def next(self) -> None:
        at = f"{self.data.datetime.datetime(0):%H:%M}"
        self.seen.sizes.append((at, self.position.size))
        self._do(at)
        if at == self.p.leaves:
            self.env.runstop()

    def _do(self, key: str) -> None:
        act = self.p.plan.get(key)
        for each in act if isinstance(act, (list, tuple)) else [act] if act else []:
            each(self)


def play(
    exchange: LocalExchange,
    plan: Mapping[str, Any],
    mode: str | None = "auto",
    journal: Path | None = None,
    leaves: str = "",
    **options: Any,
) -> Seen:
    """Run `plan` on copper's main contract; `options` are the broker's."""
    seen = Seen()
    with TqStore(exchange=exchange, journal=journal) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        seen.broker = store.getbroker(**options)
        cerebro.setbroker(seen.broker)
        data = store.getdata(MAIN, history=0)
        cerebro.adddata(data)
        if mode is not None:
            store.roll(data, mode)
        cerebro.addstrategy(Roller, seen=seen, plan=plan, leaves=leaves)
        cerebro.run()
    return seen


def protect(strategy: Roller) -> None:
    """A stop 500 below the market, a target 500 above it: one cancels the other."""
    stop = strategy.sell(size=3, exectype=bt.Order.Stop, price=86_500)
    target = strategy.sell(size=3, exectype=bt.Order.Limit, price=87_500, oco=stop)
    strategy.orders.update(stop=stop, target=target)


def buy(strategy: Roller) -> None:
    strategy.orders["entry"] = strategy.buy(size=3)


LONG = {"14:56": buy, "14:58": protect}


def held(seen: Seen) -> dict[str, int]:
    return {symbol: position.net for symbol, position in seen.broker.positions().items()}


def alive(strategy: Roller) -> dict[str, tuple[str, float, str]]:
    """Named orders that live: contract, price and what they wait for."""
    found = {}
    for name, order in strategy.orders.items():
        if order.alive():
            found[name] = (
                str(order.info.get("contract")),
                order.created.price,
                str(order.info.get("held") or ""),
            )
    return found


def note(name: str, look: Callable[[Roller], Any]) -> Act:
    return lambda strategy: strategy.seen.notes.update({name: look(strategy)})


# ---- a roll


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Tape]:
    """Three lots, their stop and their target: 87,000 in the old contract, 87,120 in the new."""
    exchange = market(tmp_path_factory.mktemp("long"), Prices(87_000), Prices(87_120))
    tape = Tape(exchange)

    def order_now(strategy: Roller) -> None:
        strategy.orders["too early"] = strategy.buy(size=1)
        strategy.orders["by name"] = strategy.broker.sell_close(OLD, 1)

    plan = LONG | {
        "CONTRACT_CHANGED": [
            note("size", lambda s: s.position.size),
            note("waiting", alive),
            order_now,
        ],
        "21:02": note("moved", alive),
        "21:03": lambda s: s.orders.update(after=s.buy(size=1)),
    }
    return play(exchange, plan), tape


def test_old_lots_are_closed_and_only_then_new_ones_opened(long: tuple[Seen, Tape]) -> None:
    """Elsewhere the new contract was opened before the old one was closed."""
    seen, tape = long
    assert tape.trades == [
        f"BUY OPEN 3 {OLD} @ 87010",
        f"SELL CLOSE 3 {OLD} @ 86990",  # of the day before: history lots
        f"BUY OPEN 3 {NEW} @ 87130",
        f"BUY OPEN 1 {NEW} @ 87130",
    ]
    assert held(seen) == {NEW: 4}


def test_strategy_hears_of_a_roll_in_order(long: tuple[Seen, Tape]) -> None:
    seen, _ = long
    assert seen.story.count("ORDER_REFUSED") == 2  # too early, by name: told when a round begins
    story = [told for told in seen.story if told != "ORDER_REFUSED"]
    begun = story.index("CONTRACT_CHANGED")
    assert story[begun - 2 : story.index("after Submitted")] == [
        f"roll sells {OLD} Submitted",
        f"roll sells {OLD} Accepted",  # held here: the market opens at 21:00
        "CONTRACT_CHANGED",
        "too early Rejected",
        "by name Rejected",
        f"roll sells {OLD} Completed",
        "trade closed",
        f"roll buys {NEW} Submitted",
        f"roll buys {NEW} Accepted",
        f"roll buys {NEW} Completed",
        "trade",
        "stop Accepted",  # as it stands in the new contract
        "target Accepted",
        "ROLLED",
    ]
    assert seen.notices["ROLLED"] == {
        "before": OLD,
        "after": NEW,
        "closed": 3,
        "opened": 3,
        "shift": 140.0,
    }


def test_stop_and_target_move_with_the_price(long: tuple[Seen, Tape]) -> None:
    """Closed at 86,990 and opened at 87,130: 140 more."""
    seen, tape = long
    waiting, moved = seen.notes["waiting"], seen.notes["moved"]
    assert {name: told[:2] for name, told in waiting.items()} == {
        "stop": (OLD, 86_500.0),
        "target": (OLD, 87_500.0),
    }
    assert all(NAME in told[2] for told in waiting.values())
    assert moved == {
        "stop": (NEW, 86_640.0, "held here until the price reaches 86640"),
        "target": (NEW, 87_640.0, ""),
    }
    assert tape.orders[-2:] == [f"SELL CLOSETODAY 3 {NEW}", f"BUY OPEN 1 {NEW}"]


def test_position_shows_the_lots_of_both_contracts_while_they_move(long: tuple[Seen, Tape]) -> None:
    seen, _ = long
    assert seen.notes["size"] == 3
    assert [size for at, size in seen.sizes if at in ("15:00", "21:01", "21:02", "21:04")] == [
        3, 3, 3, 4,
    ]  # fmt: skip


def test_orders_of_the_meantime_are_rejected_with_the_rolls_name(long: tuple[Seen, Tape]) -> None:
    seen, _ = long
    for name in ("too early", "by name"):
        assert NAME in seen.orders[name].info.reason
    assert seen.orders["after"].status == bt.Order.Completed


def test_trades_of_a_roll_count_in_the_contract_that_they_were_of(long: tuple[Seen, Tape]) -> None:
    """20 lost on each of 15 t, fees of 2 times 3 lots; then a new trade begins."""
    seen, _ = long
    closed = next(trade for trade in seen.trades if trade.isclosed)
    assert closed.pnl == pytest.approx(-20 * 15)
    assert seen.trades[-1].isopen
    assert seen.trades[-1].price == pytest.approx(87_130)
    assert [order.executed.price for order in seen.rolls] == [86_990.0, 87_130.0]


def test_the_gap_between_the_contracts_sets_no_stop_off(tmp_path: Path) -> None:
    """The evening's first ticks are the new contract's already, 1,000 below the old one's."""
    exchange = market(tmp_path, Prices(87_000), Prices(86_000, {"2025-09-16 21:04": 85_510}))
    plan = LONG | {"21:03": note("moved", alive)}
    seen = play(exchange, plan)
    assert seen.notes["moved"]["stop"][:2] == (NEW, 85_520.0)  # 86,010 - 86,990 = -980
    assert seen.orders["stop"].status == bt.Order.Completed
    assert seen.orders["target"].status == bt.Order.Canceled
    assert held(seen) == {}


def test_a_short_position_moves_lot_by_lot_through_a_thin_book(tmp_path: Path) -> None:
    """One lot on either side: the rest of a market order follows the quotes."""
    exchange = market(tmp_path, Prices(87_000, lots=1), Prices(87_120, lots=1))
    tape = Tape(exchange)

    def sell(strategy: Roller) -> None:
        strategy.sell(size=3)

    def protect_short(strategy: Roller) -> None:
        strategy.orders["trail"] = strategy.buy(
            size=3, exectype=bt.Order.StopTrail, trailamount=400
        )

    plan = {"14:56": sell, "14:58": protect_short, "21:05": note("moved", alive)}
    seen = play(exchange, plan)
    rolled = [trade for trade in tape.trades if "SELL OPEN 1 SHFE.cu2511" not in trade]
    assert rolled == [f"BUY CLOSE 1 {OLD} @ 87010"] * 3 + [f"SELL OPEN 1 {NEW} @ 87110"] * 3
    assert held(seen) == {NEW: -3}
    assert seen.notes["moved"]["trail"][:2] == (NEW, 87_500.0)  # 87,400 and 100
    assert seen.notices["ROLLED"]["shift"] == 100.0


def test_without_lots_the_orders_move_by_the_last_prices(tmp_path: Path) -> None:
    exchange = market(tmp_path, Prices(87_000), Prices(87_120))
    tape = Tape(exchange)

    def bid(strategy: Roller) -> None:
        limit = {"exectype": bt.Order.Limit, "price": 86_700.0}
        strategy.orders["bid"] = strategy.buy(size=2, **limit)

    seen = play(exchange, {"14:57": bid, "21:02": note("moved", alive)})
    assert seen.notes["moved"]["bid"][:2] == (NEW, 86_820.0)
    assert seen.notices["ROLLED"] == {
        "before": OLD,
        "after": NEW,
        "closed": 0,
        "opened": 0,
        "shift": 120.0,
    }
    assert tape.orders == [f"BUY OPEN 2 {OLD}", f"BUY OPEN 2 {NEW}"]


def test_feeds_of_one_main_contract_roll_once(tmp_path: Path) -> None:
    exchange = market(tmp_path, Prices(87_000), Prices(87_120))
    tape, seen = Tape(exchange), Seen()
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        seen.broker = store.getbroker()
        cerebro.setbroker(seen.broker)
        data = store.getdata(MAIN, history=0)
        cerebro.adddata(data)
        cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=2)
        plan = {"14:58": [buy, lambda strategy: store.roll(strategy.data1, "auto")]}
        cerebro.addstrategy(Roller, seen=seen, plan=plan)
        cerebro.run()
    assert tape.orders == [f"BUY OPEN 3 {OLD}", f"SELL CLOSE 3 {OLD}", f"BUY OPEN 3 {NEW}"]
    assert seen.story.count("CONTRACT_CHANGED") == 2  # each feed says so
    assert seen.story.count("ROLLED") == 1


def test_orders_that_tqsdk_executes_as_targets_move_too(tmp_path: Path) -> None:
    exchange = market(tmp_path, Prices(87_000), Prices(87_120, {"2025-09-16 21:03": 86_630}))
    tape = Tape(exchange)

    def protect_target(strategy: Roller) -> None:
        strategy.orders["stop"] = strategy.sell(size=3, exectype=bt.Order.Stop, price=86_500)

    def set_target(strategy: Roller) -> None:
        strategy.orders["too early"] = strategy.broker.set_target(strategy.data, 5)

    plan = {"14:56": buy, "14:58": protect_target, "CONTRACT_CHANGED": set_target}
    seen = play(exchange, plan, execution="target")
    assert [trade.split(" @ ")[0] for trade in tape.trades] == [
        f"BUY OPEN 3 {OLD}",
        f"SELL CLOSE 3 {OLD}",
        f"BUY OPEN 3 {NEW}",
        f"SELL CLOSETODAY 3 {NEW}",
    ]
    assert NAME in seen.orders["too early"].info.reason
    assert seen.orders["stop"].status == bt.Order.Completed
    assert held(seen) == {}


# ---- what the exchange refuses


def closes(order: Any) -> bool:
    return str(order.offset) != "OPEN" and order.symbol == OLD


def test_a_refused_closing_is_tried_again_when_the_market_opens(tmp_path: Path) -> None:
    exchange = market(tmp_path, Prices(87_000), Prices(87_120), TUESDAY, EVENING, MORNING)
    tape = Tape(exchange)
    refusals = iter(["交易权限不足"])
    tape.refuse = lambda order: (
        next(refusals, "") if closes(order) and "21:" in _at(exchange) else ""
    )
    plan = LONG | {"21:03": note("waiting", alive), "09:02": note("moved", alive)}
    seen = play(exchange, plan)
    assert set(seen.notes["waiting"]) == {"stop", "target"}
    assert tape.trades[1:] == [f"SELL CLOSE 3 {OLD} @ 86990", f"BUY OPEN 3 {NEW} @ 87130"]
    assert [order.getstatusname() for order in seen.rolls] == ["Rejected", "Completed", "Completed"]
    assert seen.notices["ROLLED"]["closed"] == 3
    assert seen.notes["moved"]["stop"][:2] == (NEW, 86_640.0)


def test_a_closing_refused_twice_leaves_all_with_the_old_contract(tmp_path: Path) -> None:
    exchange = market(tmp_path, Prices(87_000), Prices(87_120), TUESDAY, EVENING, MORNING)
    tape = Tape(exchange)
    tape.refuse = lambda order: "交易权限不足" if closes(order) and order.price_type else ""

    def protect_below(strategy: Roller) -> None:
        stop = strategy.sell(size=3, exectype=bt.Order.Stop, price=86_500)
        strategy.orders["stop"] = stop

    plan = {"14:56": buy, "14:58": protect_below, "09:02": note("left", alive)}
    seen = play(exchange, plan)
    assert tape.trades == [f"BUY OPEN 3 {OLD} @ 87010"]
    assert held(seen) == {OLD: 3}
    assert seen.notices["ROLL_FAILED"] == {
        "before": OLD,
        "after": NEW,
        "closed": 0,
        "opened": 0,
        "shift": 0.0,
    }
    assert "交易权限不足" in seen.texts["ROLL_FAILED"]
    assert seen.notes["left"]["stop"][:2] == (OLD, 86_500.0)


def test_lots_that_cannot_be_opened_again_take_their_stop_with_them(tmp_path: Path) -> None:
    """A stop for lots that are closed would open a short position."""
    exchange = market(tmp_path, Prices(87_000), Prices(87_120))
    tape = Tape(exchange)
    tape.refuse = lambda order: "CTP:资金不足" if order.symbol == NEW else ""
    seen = play(exchange, LONG)
    assert held(seen) == {}
    told = seen.notices["ROLL_FAILED"]
    assert (told["closed"], told["opened"]) == (3, 0)
    assert "资金不足" in seen.texts["ROLL_FAILED"]
    assert [seen.orders[name].status for name in ("stop", "target")] == [bt.Order.Canceled] * 2
    assert NAME in seen.orders["stop"].info.reason  # and the target falls with it


def _at(exchange: LocalExchange) -> str:
    return f"{datetime(1970, 1, 1, 8) + timedelta(microseconds=exchange.now_ns / 1000):%H:%M:%S}"  # noqa: DTZ001


# ---- telling only


def test_notify_tells_and_trades_nothing(tmp_path: Path) -> None:
    exchange = market(tmp_path, Prices(87_000, {"2025-09-16 21:03": 86_490}), Prices(87_120))
    tape = Tape(exchange)

    def close_one(strategy: Roller) -> None:
        strategy.orders["by name"] = strategy.broker.sell_close(OLD, 1)

    def protect_two(strategy: Roller) -> None:
        stop = strategy.sell(size=2, exectype=bt.Order.Stop, price=86_500)
        strategy.orders["stop"] = stop

    plan = {"14:56": buy, "14:58": protect_two, "21:02": close_one}
    seen = play(exchange, plan, "notify")
    assert seen.notices["ROLL_DUE"] == {"before": OLD, "after": NEW, "lots": 3}
    assert OLD in seen.texts["ROLL_DUE"]
    assert tape.trades[1:] == [
        f"SELL CLOSE 1 {OLD} @ 86990",
        f"SELL CLOSE 2 {OLD} @ 86480",  # its stop still watches the old contract
    ]
    assert seen.orders["stop"].info.contract == OLD
    assert not seen.rolls


def test_notify_is_silent_without_lots_and_orders(tmp_path: Path) -> None:
    seen = play(market(tmp_path, Prices(87_000), Prices(87_120)), {}, "notify")
    assert seen.story == ["CONTRACT_CHANGED"]


def test_without_a_call_nothing_is_rolled(tmp_path: Path) -> None:
    seen = play(market(tmp_path, Prices(87_000), Prices(87_120)), {"14:56": buy}, None)
    assert held(seen) == {OLD: 3}
    assert seen.story[-1] == "CONTRACT_CHANGED"


def test_wrong_settings_are_refused_at_once() -> None:
    store = TqStore()
    with pytest.raises(WrongSetting, match="mode is 'later'; expected 'notify' or 'auto'"):
        store.roll(store.getdata(MAIN), "later")
    with pytest.raises(WrongSetting, match=r"SHFE\.cu2511.*a main contract"):
        store.roll(store.getdata(OLD), "auto")


# ---- whatever dies when


class Died(BaseException):
    """The program ended here."""


def _rolls(order: Any) -> bool:
    return bool(order.info.get("roll"))


def before_the_record(monkeypatch: pytest.MonkeyPatch, offset: Offset) -> None:
    write = Rolling._order

    def die(self: Rolling, todo: Any) -> Any:
        if (todo.act.value == "open") == (offset is Offset.OPEN):
            raise Died
        return write(self, todo)

    monkeypatch.setattr(Rolling, "_order", die)


def before_the_order(monkeypatch: pytest.MonkeyPatch, offset: Offset) -> None:
    submit = OrderDesk.submit

    def die(self: OrderDesk, orders: Any) -> None:
        for order, ticket in orders:
            if _rolls(order) and ticket.offset is offset:
                raise Died
        submit(self, orders)

    monkeypatch.setattr(OrderDesk, "submit", die)


def before_the_wire(monkeypatch: pytest.MonkeyPatch, offset: Offset) -> None:
    send = Floor.send

    def die(self: Floor, order: ExchangeOrder) -> None:
        if "CLOSE" in order.offset.value and order.symbol == OLD and offset is Offset.CLOSE:
            raise Died
        if order.symbol == NEW and offset is Offset.OPEN:
            raise Died
        send(self, order)

    monkeypatch.setattr(Floor, "send", die)


@pytest.mark.parametrize("dies", [before_the_record, before_the_order, before_the_wire])
@pytest.mark.parametrize("offset", [Offset.CLOSE, Offset.OPEN], ids=["closing", "opening"])
def test_a_roll_goes_on_where_the_program_ended(
    tmp_path: Path, dies: Callable[[pytest.MonkeyPatch, Offset], None], offset: Offset
) -> None:
    journal = tmp_path / "orders.sqlite"
    with market(tmp_path, Prices(87_000), Prices(87_120)) as exchange:
        tape = Tape(exchange)
        with pytest.MonkeyPatch.context() as patched:
            plan = LONG | {"14:59": lambda s: dies(patched, offset)}
            with pytest.raises(Died):
                play(exchange, plan, journal=journal)
        unfinished = Journal(journal).rolls().set_index("name").loc[NAME]
        assert unfinished.phase == ("closing" if offset is Offset.CLOSE else "opening") or (
            dies is before_the_record
        )
        seen = play(exchange, {"21:04": note("moved", restored)}, journal=journal)
    assert tape.trades[1:] == [f"SELL CLOSE 3 {OLD} @ 86990", f"BUY OPEN 3 {NEW} @ 87130"]
    assert held(seen) == {NEW: 3}
    assert seen.notices["ROLLED"]["shift"] == 140.0
    assert seen.notes["moved"] == {("Stop", NEW, 86_640.0), ("Limit", NEW, 87_640.0)}
    rolls = Journal(journal).rolls().set_index("name")
    assert tuple(rolls.loc[NAME, ["lots", "phase", "closed", "opened"]]) == (3, "done", 3, 3)
    assert tuple(rolls.loc[MAIN, ["new", "phase"]]) == (NEW, "following")


def restored(strategy: Roller) -> set[tuple[str, str, float]]:
    """Living orders of an earlier run: type, contract, price."""
    return {
        (order.getordername(), order.info.contract, order.created.price)
        for order in strategy.broker._desk.alive
    }


def answer_late(patched: pytest.MonkeyPatch, exchange: LocalExchange, at: str) -> None:
    """The server says only then what the main contract follows."""

    def underlying(answer: Any) -> str:
        return underlying_of(answer) if not "20:00" < _at(exchange) < at else ""

    patched.setattr(main_contract, "underlying_of", underlying)
    patched.setattr(pump, "POLL_NS", 0)  # a market in lock-step is over in a moment


def as_it_is_withdrawn(patched: pytest.MonkeyPatch) -> None:
    """Before the exchange's answer to the cancel of a resting order."""
    cancel = Floor.cancel

    def die(self: Floor, order_id: str) -> None:
        cancel(self, order_id)
        raise Died

    patched.setattr(Floor, "cancel", die)


def when_it_is_withdrawn(patched: pytest.MonkeyPatch) -> None:
    before_the_record(patched, Offset.CLOSE)


@pytest.mark.parametrize("dies", [as_it_is_withdrawn, when_it_is_withdrawn])
def test_orders_withdrawn_for_a_roll_are_kept_over_a_restart(
    tmp_path: Path, dies: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """A target rests at the exchange as the main contract changes in the middle of a session."""
    journal = tmp_path / "orders.sqlite"
    with market(tmp_path, Prices(87_000, lots=1), Prices(87_120)) as exchange:
        tape = Tape(exchange)
        with pytest.MonkeyPatch.context() as patched:
            dies(patched)
            answer_late(patched, exchange, "21:01")
            with pytest.raises(Died):
                play(exchange, LONG, journal=journal)
        phases = set(Journal(journal).orders().phase)
        assert phases == {"done", "held", "leaving" if dies is as_it_is_withdrawn else "parked"}
        seen = play(exchange, {"21:04": note("moved", restored)}, journal=journal)
    assert tape.cancels == 1
    assert seen.notes["moved"] == {("Stop", NEW, 86_640.0), ("Limit", NEW, 87_640.0)}
    assert held(seen) == {NEW: 3}


def test_a_late_answer_sets_no_stop_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For two minutes the ticks are the new contract's, and nobody knows; 87,500 is the target."""
    exchange = market(tmp_path, Prices(87_000), Prices(86_000))
    answer_late(monkeypatch, exchange, "21:02")
    seen = play(exchange, LONG | {"21:01": note("before", alive), "21:04": note("moved", alive)})
    assert seen.notes["before"]["stop"][1] == 86_500.0
    assert seen.notes["moved"]["stop"][:2] == (NEW, 85_520.0)
    assert seen.notes["moved"]["target"][:2] == (NEW, 86_520.0)


@pytest.mark.parametrize("mode", ["auto", "notify"])
def test_a_change_of_the_meantime_is_seen_at_the_next_start(tmp_path: Path, mode: str) -> None:
    journal = tmp_path / "orders.sqlite"
    with market(tmp_path, Prices(87_000), Prices(87_120)) as exchange:
        tape = Tape(exchange)
        play(exchange, LONG, mode, journal, leaves="14:59")
        play(exchange, {}, None, leaves="21:02")  # another program, as the market goes on
        seen = play(exchange, {"21:04": note("moved", restored)}, mode, journal)
    if mode == "notify":
        assert seen.notices["ROLL_DUE"]["lots"] == 3
        assert held(seen) == {OLD: 3}
        assert seen.notes["moved"] == {("Stop", OLD, 86_500.0), ("Limit", OLD, 87_500.0)}
        return
    assert tape.trades[1:] == [f"SELL CLOSE 3 {OLD} @ 86990", f"BUY OPEN 3 {NEW} @ 87130"]
    assert held(seen) == {NEW: 3}
    assert seen.notices["ROLLED"]["closed"] == 3
    assert seen.notes["moved"] == {("Stop", NEW, 86_640.0), ("Limit", NEW, 87_640.0)}
    assert f"opening of {OLD} Completed" in seen.story  # the lots of before, as they are held
    assert next(trade for trade in seen.trades if trade.isclosed).pnl == pytest.approx(-20 * 15)


def test_contracts_of_long_ago_do_not_hinder_a_start(tmp_path: Path) -> None:
    """A roll that nobody finished, and a contract that was followed then: delisted both."""
    journal = tmp_path / "orders.sqlite"
    gone = roll_of(MAIN, "SHFE.cu2401", "SHFE.cu2402", 3, 0)
    with JournalWriter(journal) as writer:
        writer.put_roll(gone)
        writer.put_roll(replace(gone, name=MAIN, phase="following"))
    exchange = market(tmp_path, Prices(87_000), Prices(87_120))
    seen = play(exchange, {"14:56": buy}, journal=journal)
    assert seen.notices["ROLL_FAILED"]["before"] == "SHFE.cu2401"
    assert seen.notices["ROLLED"]["before"] == OLD
    assert held(seen) == {NEW: 3}


# ---- the made-up market


@pytest.fixture
def october() -> Iterator[LocalExchange]:
    """Copper's main contract changes on Friday evening, 2025-10-31: that is Monday's session."""
    start, end = _moment("2025-10-31 14:50"), _moment("2025-10-31 21:04")
    with LocalExchange(start=start, end=end, ticks_per_minute=6) as exchange:
        yield exchange


def test_a_roll_in_the_seeded_market(october: LocalExchange) -> None:
    tape = Tape(october)
    seen = play(october, {"14:51": buy, "21:03": lambda s: s.close()})
    words = [trade.split(" @ ")[0] for trade in tape.trades]
    lots = [word.rsplit(" ", 2)[0] + " " + word.rsplit(" ", 1)[1] for word in words]
    assert list(dict.fromkeys(lots)) == [
        "BUY OPEN SHFE.cu2511",
        "SELL CLOSE SHFE.cu2511",
        "BUY OPEN SHFE.cu2512",
        "SELL CLOSETODAY SHFE.cu2512",
    ]
    assert seen.notices["ROLLED"]["opened"] == 3
    assert held(seen) == {}
    assert Notice.ROLLED in seen.story
