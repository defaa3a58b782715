"""Contract terms: fees worked by hand, in Backtrader's own broker, and from real accounts."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader import TqCommInfo
from tianqin_backtrader.errors import WrongSetting
from tianqin_backtrader.fee_book import FeeBook, closed_today
from tianqin_backtrader.model import (
    AccountPosition,
    Direction,
    Instrument,
    Offset,
    SideLots,
    Trade,
    instrument_from,
    position_from,
    trade_from,
)
from tianqin_backtrader.offsets import CloseFees
from tianqin_backtrader.sim.money import charge
from tianqin_backtrader.sim.positions import Side

FIRST, SECOND, THIRD = 20190411, 20190412, 20190415


def instrument(symbol: str = "SHFE.cu1905", **changed: Any) -> Instrument:
    exchange_id, instrument_id = symbol.split(".")
    quote = {
        "instrument_id": symbol,
        "exchange_id": exchange_id,
        "product_id": instrument_id[:-4],
        "ins_class": "FUTURE",
        "price_tick": 10.0,
        "volume_multiple": 5,
        "margin": 16369.5,  # as on 2020-06-16 in the real records
        "commission": 11.6925,
    }
    return instrument_from(quote | changed)


class FlatBars(bt.feed.DataBase):
    """Flat bars: (trading day, price), a minute each."""

    lines: Any = ("trading_day",)
    params: Any = (("rows", ()),)

    def start(self) -> None:
        super().start()
        self._rows: Iterator[tuple[int, float]] = iter(self.p.rows)
        self._time = datetime(2019, 4, 10, 21, 0)  # noqa: DTZ001  any

    def _load(self) -> bool:
        row = next(self._rows, None)
        if row is None:
            return False
        self._time += timedelta(minutes=1)
        self.lines.datetime[0] = bt.date2num(self._time)
        self.lines.trading_day[0], price = row
        for name in ("open", "high", "low", "close"):
            getattr(self.lines, name)[0] = price
        self.lines.volume[0] = self.lines.openinterest[0] = 0
        return True


class Undated(bt.feed.DataBase):
    """A feed that tells no trading day."""


class Script(bt.Strategy):
    """Trades `sizes[n]` lots on bar n, so that they fill on bar n + 1."""

    params = (("sizes", ()), ("fills", None), ("seen", None))

    def next(self) -> None:
        if self.p.seen is not None:
            self.p.seen.append((self.broker.getcash(), self.broker.getvalue()))
        size = self.p.sizes[len(self) - 1] if len(self) <= len(self.p.sizes) else 0
        if size:
            (self.buy if size > 0 else self.sell)(size=abs(size))

    def notify_order(self, order: bt.Order) -> None:
        for bit in order.executed.iterpending():
            self.p.fills.append((bit.closed, bit.closedcomm, bit.opened, bit.openedcomm))


Fill = tuple[float, float, float, float]


def backtest(
    terms: TqCommInfo,
    feed: FlatBars,
    sizes: Sequence[int],
    cash: float = 10_000_000.0,
    **broker: Any,
) -> tuple[list[Fill], list[tuple[float, float]]]:
    """Fills (lots closed, their fee, lots opened, their fee), and (cash, value) of each bar."""
    fills: list[Fill] = []
    seen: list[tuple[float, float]] = []
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(bt.brokers.BackBroker(cash=cash, **broker))
    cerebro.broker.addcommissioninfo(terms)
    cerebro.adddata(feed)
    cerebro.addstrategy(Script, sizes=sizes, fills=fills, seen=seen)
    cerebro.run()
    return fills, seen


def feed_of(*days: tuple[int, int], price: float = 50_000.0) -> FlatBars:
    """Bars of (trading day, how many)."""
    return FlatBars(rows=[(day, price) for day, count in days for _ in range(count)])


# ---- terms


def test_terms_of_an_instrument() -> None:
    terms = TqCommInfo.of(instrument())
    assert (terms.p.mult, terms.p.margin, terms.p.commission) == (5, 16369.5, 11.6925)
    assert terms.getvaluesize(-2, 50_000) == terms.getoperationcost(2, 50_000) == 32_739
    assert terms.profitandloss(-2, 50_000, 49_990) == 100
    assert not terms.stocklike


def test_what_tqsdk_does_not_tell_costs_nothing_and_locks_one_yuan() -> None:
    terms = TqCommInfo.of(instrument(margin="-", commission=math.nan))
    assert (terms.getvaluesize(3, 50_000), terms.getcommission(3, 50_000)) == (3, 0)


def test_fixed_fee_and_rate_add_up() -> None:
    """IF at 3800.2: 300 x 3800.2 x 0.000023 = 26.22138, and 1 CNY of the broker's own."""
    terms = TqCommInfo(
        mult=300, commission=1.0, commission_rate=0.000023, close_today_rate=0.000345
    )
    assert terms.open_fee(1, 3800.2) == 27.22
    assert terms.open_fee(3, 3800.2) == 81.66  # 81.66414: the fill is rounded, not the lot
    assert terms.close_fee(1, 0, 3800.2) == 27.22  # not said: as to open
    assert terms.close_fee(0, 1, 3800.2) == 393.32  # 393.3207; of a fee that is said no part is 0


def test_a_fee_not_given_is_that_of_opening_and_today_that_of_closing() -> None:
    assert TqCommInfo(commission=3.0).fees(1.0) == CloseFees(3.0, 3.0, 3.0)
    assert TqCommInfo(commission=3.0, close=2.0).fees(1.0) == CloseFees(3.0, 2.0, 2.0)
    free = TqCommInfo(mult=10, commission=1.0, commission_rate=0.0001, close_today=0)
    assert free.fees(3000.0) == CloseFees(4.0, 4.0, 0.0)


def test_half_a_cent_is_charged_as_one() -> None:
    """2 x 11.6925 = 23.385; 1.005 lies below itself in binary."""
    assert TqCommInfo(commission=11.6925).open_fee(2, 1.0) == 23.39
    assert TqCommInfo(commission=1.005).open_fee(1, 1.0) == 1.01
    assert TqCommInfo(commission=1.004).open_fee(1, 1.0) == 1.0


def test_two_kinds_of_lots_are_two_fills_on_shfe_and_one_elsewhere() -> None:
    """0.005 + 0.005: two half cents are two cents or one."""
    fees = {"commission": 0.005, "close_today": 0.005}
    assert TqCommInfo(exchange_id="SHFE", **fees).close_fee(1, 1, 1.0) == 0.02
    assert TqCommInfo(exchange_id="DCE", **fees).close_fee(1, 1, 1.0) == 0.01


@pytest.mark.parametrize("fee", [-0.01, math.nan, math.inf, "3", True])
def test_a_fee_that_is_none_raises(fee: Any) -> None:
    with pytest.raises(WrongSetting, match="close_today"):
        TqCommInfo(close_today=fee)


def test_a_misspelt_parameter_raises() -> None:
    with pytest.raises(WrongSetting, match=r"closetoday.*close_today_rate"):
        TqCommInfo(closetoday=3.0)


def test_data_without_trading_days_raises() -> None:
    with pytest.raises(WrongSetting, match=r"trading_day.*day="):
        TqCommInfo(data=Undated())


# ---- in Backtrader's own broker

FEES = {"mult": 5, "margin": 1000.0, "commission": 2.0, "close": 3.0, "close_today": 7.0}
# Bars 1-4 are the first day, 5-9 the second: two history lots, three of today, then four closed.
STORY = (2, 0, 0, 0, 3, -4, -1)


def test_shfe_closes_todays_lots_first() -> None:
    feed = feed_of((FIRST, 4), (SECOND, 5))
    fills, _ = backtest(TqCommInfo(exchange_id="SHFE", data=feed, **FEES), feed, STORY)
    assert fills == [(0, 0, 2, 4), (0, 0, 3, 6), (-4, 3 * 7 + 3, 0, 0), (-1, 3, 0, 0)]


@pytest.mark.parametrize("exchange_id", ["DCE", "CZCE", "CFFEX", "GFEX", ""])
def test_others_close_history_first(exchange_id: str) -> None:
    feed = feed_of((FIRST, 4), (SECOND, 5))
    fills, _ = backtest(TqCommInfo(exchange_id=exchange_id, data=feed, **FEES), feed, STORY)
    assert fills == [(0, 0, 2, 4), (0, 0, 3, 6), (-4, 2 * 3 + 2 * 7, 0, 0), (-1, 7, 0, 0)]


@pytest.mark.parametrize("shortcash", [True, False])
@pytest.mark.parametrize("sign", [1, -1], ids=["long", "short"])
def test_turning_over_pays_for_the_close_and_for_the_opening(sign: int, shortcash: bool) -> None:
    """As many lots opened as closed: only what was asked before tells the parts apart."""
    feed = feed_of((FIRST, 8))
    terms = TqCommInfo(data=feed, **FEES)
    sizes = [sign * lots for lots in (2, -4, 5)]
    fills, _ = backtest(terms, feed, sizes, shortcash=shortcash)
    s = sign
    assert fills == [(0, 0, 2 * s, 4), (-2 * s, 14, -2 * s, 4), (2 * s, 14, 3 * s, 6)]


def test_lots_held_overnight_are_history_and_friday_night_is_mondays() -> None:
    """The trading day of the feed decides, not the calendar date of the bar."""
    feed = feed_of((SECOND, 3), (THIRD, 5))
    fills, _ = backtest(TqCommInfo(data=feed, **FEES), feed, (1, 0, 1, -1, -1))
    assert fills == [(0, 0, 1, 2), (0, 0, 1, 2), (-1, 3, 0, 0), (-1, 7, 0, 0)]


def test_without_a_trading_day_no_lot_is_todays() -> None:
    fills, _ = backtest(TqCommInfo(**FEES), feed_of((FIRST, 5)), (1, -1))
    assert fills == [(0, 0, 1, 2), (-1, 3, 0, 0)]


def test_a_function_tells_the_day_of_other_feeds() -> None:
    feed = feed_of((FIRST, 6))
    terms = TqCommInfo.of(
        instrument(commission=2.0), day=lambda: len(feed) // 3, close=3.0, close_today=7.0
    )
    fills, _ = backtest(terms, feed, (1, -1, 1, -1))  # filled on bars 2 | 3, 4, 5
    assert fills == [(0, 0, 1, 2), (-1, 3, 0, 0), (0, 0, 1, 2), (-1, 7, 0, 0)]


def test_short_lots_lock_their_own_margin_and_give_it_back() -> None:
    feed = feed_of((FIRST, 6))
    terms = TqCommInfo(data=feed, margin=1000.0, margin_short=1500.0, mult=5)
    _, seen = backtest(terms, feed, (-2, 5, -3))
    cash = [cash for cash, _ in seen]
    assert cash[:4] == [10_000_000, 10_000_000 - 3000, 10_000_000 - 3000, 10_000_000]
    assert {value for _, value in seen} == {10_000_000}
    assert terms.getvalue(bt.Position(-2, 50_000.0), 50_000.0) == 3000


def test_a_second_run_begins_without_lots() -> None:
    """The terms stay with the broker from run to run; lots of the last run are no lots of this."""
    feed = feed_of((FIRST, 6))
    terms = TqCommInfo(exchange_id="SHFE", data=feed, **FEES)
    first, _ = backtest(terms, feed, (3, -1))
    second, _ = backtest(terms, feed, (-2, 1))
    assert first == [(0, 0, 3, 6), (-1, 7, 0, 0)]
    assert second == [(0, 0, -2, 4), (1, 7, 0, 0)]


def test_a_flat_second_feed_does_not_forget_the_lots_of_the_first() -> None:
    """Minutes and days of a contract share its terms; the broker values both feeds on every bar."""
    feed, other = feed_of((FIRST, 6)), feed_of((FIRST, 6))
    terms = TqCommInfo(exchange_id="SHFE", data=feed, **FEES)

    class Looks(Script):
        def next(self) -> None:
            assert not self.getposition(other).size
            super().next()

    fills: list[Fill] = []
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.addcommissioninfo(terms)
    for each in (feed, other):
        cerebro.adddata(each)
    cerebro.addstrategy(Looks, sizes=(2, 0, -2), fills=fills)
    cerebro.run()
    assert fills == [(0, 0, 2, 4), (-2, 14, 0, 0)]


def test_terms_travel_to_the_processes_of_an_optimization() -> None:
    feed = feed_of((FIRST, 6))
    twin, terms = pickle.loads(pickle.dumps((feed, TqCommInfo(data=feed, **FEES))))
    assert terms.p.data is twin
    fills, _ = backtest(terms, twin, (1, -1))
    assert fills == [(0, 0, 1, 2), (-1, 7, 0, 0)]


def test_an_opening_that_lacks_money_leaves_the_lots_as_they_are() -> None:
    """Backtrader books the closing part alone, when a gap has eaten the money of the rest."""
    feed = FlatBars(rows=[(FIRST, price) for price in (100.0, 100.0, 100.0, *[2000.0] * 4)])
    terms = TqCommInfo(data=feed, **(FEES | {"mult": 1.0}))
    fills, _ = backtest(terms, feed, (-2, 0, 7, -1, 1), cash=8000.0)
    assert fills == [(0, 0, -2, 4), (2, 14, 0, 0), (0, 0, -1, 2), (1, 7, 0, 0)]


def test_asking_for_a_fee_changes_nothing() -> None:
    feed = feed_of((FIRST, 6))
    terms = TqCommInfo(data=feed, **FEES)

    class Asks(Script):
        def next(self) -> None:
            super().next()
            if self.position.size == 2:
                answers = [self.broker.getcommissioninfo(feed).getcommission(-2, 1.0) for _ in "12"]
                assert answers == [14, 14]
                assert terms.getcommission(1, 1.0) == 2

    fills: list[Fill] = []
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.addcommissioninfo(terms)
    cerebro.adddata(feed)
    cerebro.addstrategy(Asks, sizes=(2, 0, -3), fills=fills)
    cerebro.run()
    assert fills == [(0, 0, 2, 4), (-2, 14, -1, 2)]


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=40),
    splits=st.booleans(),
)
def test_every_fee_is_the_exchanges_own(steps: list[tuple[int, bool]], splits: bool) -> None:
    """Against the embedded exchange's own lots and rounding, over drawn days and net positions."""
    days, day = [], FIRST
    for _, turns in steps:
        day += turns
        days.append(day)
    feed = FlatBars(rows=[(each, 50_000.0) for each in [*days, days[-1]]])
    fees = {"commission": 11.6925, "close_today": 23.3855}
    terms = TqCommInfo(exchange_id="SHFE" if splits else "DCE", mult=5, data=feed, **fees)
    targets = [target for target, _ in steps]
    sizes = [target - held for held, target in zip([0, *targets], targets, strict=False)]
    fills, _ = backtest(terms, feed, sizes)
    told = [round(100 * (closed + opened)) for _, closed, _, opened in fills]
    assert told == list(exchange_fees(sizes, [*days[1:], days[-1]], splits))


def exchange_fees(sizes: list[int], days: list[int], splits: bool) -> Iterator[int]:
    """Cents of each fill by `sim.positions`, whose `Side.close` takes the lots opened first."""
    sides = {1: Side(1), -1: Side(-1)}
    today = days[0]
    for size, day in zip(sizes, days, strict=True):
        if day != today:
            today = day
            for side in sides.values():
                side.settle(0)
        if size:
            yield _booked(sides[-1 if size > 0 else 1], sides[1 if size > 0 else -1], size, splits)


def _booked(other: Side, own: Side, size: int, splits: bool) -> int:
    closed = min(other.volume, abs(size))
    cents = 0
    if splits:
        today = min(other.today, closed)
        other.close(today, today_only=True)
        other.close(closed - today, today_only=False)
        cents += charge((23.3855, today)) + charge((11.6925, closed - today))
    elif closed:
        taken = other.close(closed, today_only=False)
        cents += charge((11.6925, closed - taken.today), (23.3855, taken.today))
    own.open(abs(size) - closed, 0)
    return cents + charge((11.6925, abs(size) - closed))


# ---- what an account tells

CU_TRADE = Trade("t", "o", "SHFE.cu1905", Direction.BUY, Offset.OPEN, 50_000.0, 2, 23.39, 0)


def close_to(fees: CloseFees, *expected: float) -> bool:
    return (fees.open_cny, fees.close_cny, fees.close_today_cny) == pytest.approx(
        expected, nan_ok=True
    )


def test_a_real_accounts_trades_tell_its_fees(records: Path) -> None:
    """TqKq on 2025-12-24: of 4 lots of ru2605 27.504, ag2602 by value, i2605 7.775 a lot."""
    book = FeeBook()
    pictures = json.loads((records / "account/kq-2025-12-24/trades.json").read_text("utf-8"))
    for picture in pictures.values():
        book.learn(trade_from(picture))
    nan = math.nan
    assert close_to(book.fees("SHFE.ru2605"), 6.876, 6.876, 6.876)
    assert close_to(book.fees("SHFE.ag2602"), 12.21525, nan, 12.21525)
    assert close_to(book.fees("SHFE.ni2601"), nan, 3.0, nan)
    assert close_to(book.fees("DCE.i2605"), 7.775, nan, nan)  # which lots were closed is not told
    assert close_to(book.fees("DCE.nothing"), nan, nan, nan)


@pytest.mark.parametrize(
    ("side", "expected"),
    [((3, 0), 2), ((0, 5), 0), ((1, 4), None)],
    ids=["today's lots only", "history only", "both: the exchange chooses"],
)
def test_lots_held_tell_which_were_closed(side: tuple[int, int], expected: int | None) -> None:
    """On CFFEX the fee of closing today's lots was never learnt: it is many times dearer."""
    closing = Trade("1", "o", "CFFEX.IF2510", Direction.BUY, Offset.CLOSE, 4500.0, 2, 621.0, 1)
    held = AccountPosition("CFFEX.IF2510", long=SideLots(9, 9), short=SideLots(*side))
    assert closed_today(closing, held) == expected


def test_a_close_elsewhere_is_learnt_when_its_lots_are_known() -> None:
    closing = replace(CU_TRADE, symbol="CFFEX.IF1908", offset=Offset.CLOSE, commission_cny=60.0)
    book = FeeBook()
    for today in (None, 1):
        book.learn(closing, today)
        assert not book.fees("CFFEX.IF1908").are_known
    book.learn(closing, 0)
    book.learn(replace(closing, commission_cny=600.0), 2)
    book.learn(replace(closing, commission_cny=math.nan), 2)
    assert close_to(book.fees("CFFEX.IF1908"), math.nan, 30.0, 300.0)


def test_terms_take_over_what_the_account_charges() -> None:
    terms = TqCommInfo.of(instrument(), commission_rate=0.0001, close_today_rate=0.0003)
    terms.take_fees(CloseFees(12.5, math.nan, 0.0))
    assert terms.fees(50_000.0) == CloseFees(12.5, 12.5, 0.0)


def test_margin_is_taken_from_an_account_that_holds_one_side(records: Path) -> None:
    """TqKq on 2025-12-24 locked 84,528 for 2 long cu2601 and 55,008 for 4 short ru2605."""
    pictures = json.loads((records / "account/kq-2025-12-24/positions.json").read_text("utf-8"))
    held = {each["instrument_id"]: position_from(each) for each in pictures.values()}
    long, short = TqCommInfo.of(instrument()), TqCommInfo.of(instrument())
    long.take_margin(held["cu2601"])
    short.take_margin(held["ru2605"])
    assert long.getvaluesize(1, 0.0) == 42_264
    assert (short.getvaluesize(1, 0.0), short.getvaluesize(-1, 0.0)) == (16369.5, 13_752)


def test_margin_of_both_sides_tells_nothing() -> None:
    terms = TqCommInfo.of(instrument())
    for held in (SideLots(today=1), SideLots()):
        both = AccountPosition("SHFE.cu1905", long=held, short=held, margin=40_000.0)
        terms.take_margin(both)
    assert terms.getvaluesize(1, 0.0) == terms.getvaluesize(-1, 0.0) == 16369.5
