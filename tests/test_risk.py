"""Risk limits by themselves: what they may be, what each rule refuses, and what none ever does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_floor import BUY, CALENDAR, CLOSE, CU, OPEN, SELL, TEN, Desk, M, ns

from tianqin_backtrader import RiskLimits
from tianqin_backtrader.errors import JournalFailed, WrongSetting
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.orders import OrderState
from tianqin_backtrader.risk import Code, TradingState, limit_for
from tianqin_backtrader.risk_counts import DayCounts, Traffic, trading_day
from tianqin_backtrader.risk_gate import FREE, Halt, RiskGate
from tianqin_backtrader.risk_losses import DayLosses
from tianqin_backtrader.risk_rules import (
    Exposure,
    Opening,
    Resting,
    Sight,
    product_of,
    refusal,
)
from tianqin_backtrader.sessions import Stretch
from tianqin_backtrader.tickets import Kind
from tianqin_backtrader.values import Account, AccountPosition, ExchangeOrder, OrderPicture

# ---- what limits may be

NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "a size below 0": ({"order_lots": -1}, "order_lots is -1"),
    "half a lot": ({"order_lots": 0.5}, "a whole number"),
    "True orders": ({"orders_per_day": True}, "orders_per_day is True"),
    "NaN lots": ({"net_lots": math.nan}, "net_lots is nan"),
    "no pattern": ({"gross_lots": {"": 3}}, "patterns"),
    "no number by symbol": ({"gross_lots": {"SHFE.cu*": None}}, "SHFE.cu"),
    "percent as 5": ({"price_distance": 5}, "0.05 is 5 %"),
    "margin of 120 %": ({"margin_use": 1.2}, "margin_use is 1.2"),
    "a drawdown of 0": ({"drawdown": 0}, "drawdown is 0"),
    "NaN drawdown": ({"drawdown": math.nan}, "drawdown is nan"),
    "a loss below 0": ({"daily_loss_cny": -5_000}, "CNY above 0"),
    "endless notional": ({"order_notional_cny": math.inf}, "order_notional_cny"),
    "a day of quiet": ({"quiet_close_s": 86_400}, "half a day"),
    "an unknown end": ({"on_loss": "STOP"}, "'REDUCING' or 'HALTED'"),
    "no symbols": ({"symbols": []}, "symbols is []"),
    "self-trade as text": ({"refuse_self_trade": "yes"}, "True or False"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_with_what_arrived(name: str) -> None:
    options, text = NONSENSE[name]
    with pytest.raises(WrongSetting) as caught:
        RiskLimits(**options)
    assert text in str(caught.value)


def test_limits_are_a_value() -> None:
    assert RiskLimits(symbols="SHFE.cu*") == RiskLimits(symbols=["SHFE.cu*"])
    assert RiskLimits(net_lots={"SHFE.cu": 3}) == RiskLimits(net_lots={"SHFE.cu": 3})
    assert RiskLimits() != RiskLimits.cautious()
    assert RiskLimits.cautious().on_loss == "REDUCING"  # closing stays possible


def test_a_limit_by_name_goes_by_the_first_pattern_that_fits() -> None:
    lots = {"SHFE.cu2512": 1, "SHFE.*": 5}
    assert limit_for(lots, "SHFE.cu2512", "SHFE.cu") == 1
    assert limit_for(lots, "SHFE.al2512", "SHFE.al") == 5
    assert limit_for(lots, "DCE.m2605", "DCE.m") is None
    assert limit_for({"DCE.m": 4}, "DCE.m2605", "DCE.m") == 4
    assert limit_for(7, "anything") == 7


@pytest.mark.parametrize(
    ("symbol", "product"),
    [("SHFE.cu2512", "SHFE.cu"), ("CZCE.SR601", "CZCE.SR"), ("DCE.m2601-C-3000", "DCE.m")],
)
def test_products_are_named_without_the_month(symbol: str, product: str) -> None:
    assert product_of(symbol) == product


# ---- each rule by hand

ACCOUNT = Account(
    balance=100_000.0,
    available=80_000.0,
    margin=20_000.0,
    frozen_margin=0.0,
    commission=0.0,
    frozen_commission=0.0,
    close_profit=0.0,
    position_profit=0.0,
    float_profit=0.0,
    static_balance=100_000.0,
    pre_balance=100_000.0,
    deposit=0.0,
    withdraw=0.0,
    risk_ratio=0.2,
)
NINE, TEN_PAST = ns("2025-12-03 09:00:00"), ns("2025-12-03 10:15:00")
SIGHT = Sight(
    now_ns=ns(TEN),
    stretch=Stretch(NINE, TEN_PAST, date(2025, 12, 3)),
    last=90_000.0,
    lot_cny={CU: 450_000.0, "SHFE.cu2603": 450_000.0},
    margin_cny=9_000.0,
    pending_cny=0.0,
    account=ACCOUNT,
    exposures={},
)
LIMIT = Opening(CU, BUY, 2, 1, 90_000.0)
MARKET = replace(LIMIT, at_market=True)
LONG = {CU: Exposure(long=3)}
BOTH = {CU: Exposure(long=3, short=2, opening=1, buys=1)}
SHORT = {CU: Exposure(short=3)}
CLOSING = {CU: Exposure(short=3, buys=3)}  # three may be bought back, five are bought
OTHER_MONTH = {"SHFE.cu2603": Exposure(long=4), M: Exposure(long=9)}
OFFER, BID = Resting(CU, SELL, 90_000.0), Resting(CU, BUY, 90_000.0)

Case = tuple[dict[str, Any], Opening, dict[str, Any]]  # limits, the order, what differs of SIGHT
REFUSED: dict[str, tuple[Code, Case]] = {
    "none of the symbols": (Code.SYMBOL, ({"symbols": ["DCE.*"]}, LIMIT, {})),
    "right after the opening": (
        Code.SESSION_TIME,
        ({"quiet_open_s": 60}, LIMIT, {"now_ns": NINE + 59_000_000_000}),
    ),
    "right before the break": (
        Code.SESSION_TIME,
        ({"quiet_close_s": 60}, LIMIT, {"now_ns": TEN_PAST - 60_000_000_000}),
    ),
    "too many lots": (Code.ORDER_SIZE, ({"order_lots": 1}, LIMIT, {})),
    "dear": (Code.PRICE_DISTANCE, ({"price_distance": 0.01}, replace(LIMIT, price=90_910), {})),
    "cheap": (Code.PRICE_DISTANCE, ({"price_distance": 0.01}, replace(LIMIT, price=89_090), {})),
    "no last price": (Code.PRICE_DISTANCE, ({"price_distance": 0.9}, LIMIT, {"last": math.nan})),
    "a price of its own offer": (
        Code.SELF_TRADE,
        ({"refuse_self_trade": True}, LIMIT, {"resting": [OFFER]}),
    ),
    "at market into its own offer": (
        Code.SELF_TRADE,
        (
            {"refuse_self_trade": True},
            replace(MARKET, price=80_000.0),
            {"resting": [replace(OFFER, price=99_000.0)]},
        ),
    ),
    "sold to its own bid": (
        Code.SELF_TRADE,
        (
            {"refuse_self_trade": True},
            replace(LIMIT, direction=SELL, price=89_990.0),
            {"resting": [BID]},
        ),
    ),
    "net": (Code.NET_POSITION, ({"net_lots": 4}, LIMIT, {"exposures": LONG})),
    "net, with what is being bought back": (
        Code.NET_POSITION,
        ({"net_lots": 1}, LIMIT, {"exposures": CLOSING}),
    ),
    "net, by product": (
        Code.NET_POSITION,
        ({"net_lots": {"SHFE.cu": 4}}, LIMIT, {"exposures": LONG}),
    ),
    "gross": (Code.GROSS_POSITION, ({"gross_lots": 7}, LIMIT, {"exposures": BOTH})),
    "net of the product": (
        Code.PRODUCT_POSITION,
        ({"product_net_lots": 5}, LIMIT, {"exposures": OTHER_MONTH}),
    ),
    "gross of the product": (
        Code.PRODUCT_POSITION,
        (
            {"product_gross_lots": {"SHFE.cu": 5}},
            replace(LIMIT, direction=SELL),
            {"exposures": OTHER_MONTH},
        ),
    ),
    "an order's worth": (Code.NOTIONAL, ({"order_notional_cny": 899_999}, LIMIT, {})),
    "all that is held": (
        Code.NOTIONAL,
        ({"total_notional_cny": 2_249_999}, LIMIT, {"exposures": LONG}),
    ),
    "a position of unknown worth": (
        Code.NOTIONAL,
        ({"total_notional_cny": 1e12}, LIMIT, {"exposures": {M: Exposure(long=1)}}),
    ),
    "margin": (Code.MARGIN_USE, ({"margin_use": 0.37}, LIMIT, {})),
    "margin of orders on their way": (
        Code.MARGIN_USE,
        ({"margin_use": 0.40}, LIMIT, {"pending_cny": 3_000.0}),
    ),
    "margin that is not known": (
        Code.MARGIN_USE,
        ({"margin_use": 1.0}, LIMIT, {"margin_cny": math.nan}),
    ),
    "orders of a second": (
        Code.ORDERS_PER_SECOND,
        ({"orders_per_second": 3}, replace(LIMIT, legs=2), {"second": (2, 0)}),
    ),
    "cancels of a second": (
        Code.CANCELS_PER_SECOND,
        ({"cancels_per_second": 3}, LIMIT, {"second": (0, 3)}),
    ),
    "orders of the day": (
        Code.ORDERS_PER_DAY,
        ({"orders_per_day": 9}, LIMIT, {"counts": {"orders": 9}}),
    ),
    "orders of the contract": (
        Code.ORDERS_PER_DAY,
        ({"symbol_orders_per_day": 2}, LIMIT, {"counts": {f"orders {CU}": 2}}),
    ),
    "cancels of the day": (
        Code.CANCELS_PER_DAY,
        ({"cancels_per_day": 5}, LIMIT, {"counts": {"cancels": 5}}),
    ),
    "cancels of the contract": (
        Code.CANCELS_PER_DAY,
        ({"symbol_cancels_per_day": 5}, LIMIT, {"counts": {f"cancels {CU}": 5}}),
    ),
}
TAKEN: dict[str, Case] = {
    "one of the symbols": ({"symbols": ["DCE.*", "SHFE.cu26??"]}, LIMIT, {}),
    "a minute after the opening": (
        {"quiet_open_s": 60},
        LIMIT,
        {"now_ns": NINE + 60_000_000_000},
    ),
    "61 s before the break": ({"quiet_close_s": 60}, LIMIT, {"now_ns": TEN_PAST - 61_000_000_000}),
    "while the market is closed": ({"quiet_open_s": 60}, LIMIT, {"stretch": None}),
    "as many lots": ({"order_lots": 2}, LIMIT, {}),
    "one per cent away": ({"price_distance": 0.01}, replace(LIMIT, price=90_900), {}),
    "below its own offer": (
        {"refuse_self_trade": True},
        replace(LIMIT, price=89_990.0),
        {"resting": [OFFER, BID, replace(OFFER, symbol=M)]},
    ),
    "net": ({"net_lots": 5}, LIMIT, {"exposures": LONG}),
    "net, against what is held": ({"net_lots": 2}, LIMIT, {"exposures": SHORT}),
    "gross": ({"gross_lots": 8}, LIMIT, {"exposures": BOTH}),
    "of the product": ({"product_net_lots": 6}, LIMIT, {"exposures": OTHER_MONTH}),
    "short against the product": (
        {"product_net_lots": 2},
        replace(LIMIT, direction=SELL),
        {"exposures": OTHER_MONTH},
    ),
    "worth": ({"order_notional_cny": 900_000, "total_notional_cny": 900_000}, LIMIT, {}),
    "margin": ({"margin_use": 0.38}, LIMIT, {}),  # 20,000 and two times 9,000 of 100,000
    "orders": ({"orders_per_second": 3, "orders_per_day": 3}, replace(LIMIT, legs=3), {}),
    "cancels": (
        {"cancels_per_second": 3, "cancels_per_day": 3},
        LIMIT,
        {"second": (0, 2), "counts": {"cancels": 2}},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_beyond_a_limit_is_refused_with_code_and_remedy(name: str) -> None:
    code, (limits, order, sight) = REFUSED[name]
    found = refusal(RiskLimits(**limits), order, replace(SIGHT, **sight))
    assert found is not None
    assert found.code is code
    assert next(iter(limits)) in found.text or code is Code.SYMBOL or code is Code.SELF_TRADE
    assert refusal(RiskLimits(), order, replace(SIGHT, **sight)) is None


@pytest.mark.parametrize("name", TAKEN)
def test_within_its_limits_an_order_passes(name: str) -> None:
    limits, order, sight = TAKEN[name]
    assert refusal(RiskLimits(**limits), order, replace(SIGHT, **sight)) is None


# ---- counting

AFTERNOON, NIGHT = ns("2025-12-03 14:59:00"), ns("2025-12-03 21:00:00")
FRIDAY_NIGHT, MONDAY = ns("2025-12-05 21:30:00"), ns("2025-12-08 10:00:00")


def counts(book: JournalWriter) -> DayCounts:
    return DayCounts(book, lambda now_ns: trading_day(CALENDAR, now_ns))


def test_a_night_counts_for_the_day_after_it() -> None:
    with JournalWriter() as book:
        day = counts(book)
        day.add(AFTERNOON, "orders")
        day.add(AFTERNOON, "orders", "orders x")
        assert dict(day.at(AFTERNOON)) == {"orders": 2, "orders x": 1}
        assert dict(day.at(NIGHT)) == {}
        day.add(FRIDAY_NIGHT, "orders")
        assert dict(day.at(MONDAY)) == {"orders": 1}
        assert day.day == "2025-12-08"


def test_a_restart_goes_on_counting() -> None:
    with JournalWriter() as book:
        counts(book).add(AFTERNOON, "orders")
        again = counts(book)
        again.add(AFTERNOON + 1, "orders")
        assert {each.name: each.value for each in book.counts("2025-12-03")} == {"orders": 2}
        assert dict(counts(book).at(NIGHT)) == {}


def test_a_second_is_any_second() -> None:
    traffic, part_ns = Traffic(), 400_000_000
    for n in range(3):
        traffic.add(n * part_ns)
    assert traffic.within_a_second(2 * part_ns) == 3
    assert traffic.within_a_second(999_999_999) == 3
    assert traffic.within_a_second(1_000_000_000) == 2
    assert traffic.within_a_second(5_000_000_000) == 0


# ---- losses of a day


def money(profit: float, static: float = 100_000.0) -> Account:
    return replace(ACCOUNT, balance=static + profit, static_balance=static)


def losses(book: JournalWriter, **limits: Any) -> DayLosses:
    return DayLosses(RiskLimits(**limits), counts(book))


def test_a_loss_stops_for_the_rest_of_the_day_and_over_restarts() -> None:
    with JournalWriter() as book:
        day = losses(book, daily_loss_cny=1_000)
        day.look(money(-999.99), AFTERNOON)
        assert day.stop(AFTERNOON) is None
        day.look(money(-1_000), AFTERNOON)
        for profit in (-2_500, +5_000):  # it stands as it was noticed, whatever comes
            day.look(money(profit), AFTERNOON)
        found = losses(book, daily_loss_cny=1_000).stop(AFTERNOON + 1)
        assert found is not None
        assert found.code is Code.DAILY_LOSS
        assert "1,000 CNY" in found.text
        assert day.stop(NIGHT) is None


def test_a_drawdown_is_from_the_days_peak() -> None:
    """Peak 110,000: 5 % below it are 104,500, a profit of 4,500."""
    with JournalWriter() as book:
        day = losses(book, drawdown=0.05)
        for profit in (-4_999, 10_000, 4_501):
            day.look(money(profit), AFTERNOON)
            assert day.stop(AFTERNOON) is None
        again = losses(book, drawdown=0.05)
        again.look(money(4_500), AFTERNOON)
        found = again.stop(AFTERNOON)
        assert found is not None
        assert found.code is Code.DRAWDOWN


def test_a_deposit_is_no_profit() -> None:
    with JournalWriter() as book:
        day = losses(book, drawdown=0.05, daily_loss_cny=4_000)
        day.look(money(0), AFTERNOON)
        day.look(money(0, static=300_000.0), AFTERNOON)
        day.look(money(-3_000, static=100_000.0), AFTERNOON)
        assert day.stop(AFTERNOON) is None


def test_who_resumes_counts_anew() -> None:
    with JournalWriter() as book:
        day = losses(book, daily_loss_cny=1_000)
        day.look(money(-1_200), AFTERNOON)
        day.resume(money(-1_300), AFTERNOON)
        assert day.stop(AFTERNOON) is None
        day.look(money(-2_299), AFTERNOON)
        assert day.stop(AFTERNOON) is None
        day.look(money(-2_300), AFTERNOON)
        assert day.stop(AFTERNOON) is not None


def test_money_that_is_not_told_stops_nothing() -> None:
    with JournalWriter() as book:
        day = losses(book, daily_loss_cny=1_000)
        blank = replace(ACCOUNT, balance=math.nan)
        day.look(blank, AFTERNOON)
        assert day.stop(AFTERNOON) is None


# ---- the gate before the exchange


class Guarded(Desk):
    """A desk whose orders pass a gate, as the broker lets them."""

    def __init__(self, limits: RiskLimits | None = None) -> None:
        super().__init__()
        self.counts = counts(self.journal)
        positions: Callable[[], dict[str, AccountPosition]] = lambda: self._shown  # noqa: E731
        self.gate = RiskGate(
            limits,
            self,
            self.blotter,
            None if limits is None else self.counts,
            lambda: ACCOUNT,
            positions,
            lambda symbol: True,
        )
        self.blotter.progress.sender.gate = self.gate
        self.refused: list[str] = []

    def send(self, order: ExchangeOrder) -> None:
        self.gate.sent(order.symbol)
        super().send(order)

    def cancel(self, order_id: str) -> None:
        self.gate.cancelled(order_id)
        super().cancel(order_id)

    def write(self, symbol: str, direction: Any, volume: int, **terms: Any) -> str:
        """Write an order if the gate takes it; returns its key, or empty."""
        ticket = self.ticket(symbol, direction, volume, **terms)
        if self.gate.at_entry(ticket) is not None:
            self.refused.append(ticket.key)
            return ""
        self.blotter.submit([ticket])
        return ticket.key

    def stop_all(self, state: TradingState) -> None:
        self.gate.halt = Halt(state, Code(state.value), "enough")

    def code(self, key: str) -> str:
        found = self.gate.refusals.get(key)
        return "" if found is None else str(found.code)


HALTED, REDUCING, NORMAL = TradingState.HALTED, TradingState.REDUCING, TradingState.NORMAL


def test_orders_at_work_count_as_if_they_had_opened() -> None:
    desk = Guarded(RiskLimits(gross_lots=5))
    assert desk.write(CU, BUY, 3, limit=89_000.0)
    assert not desk.write(CU, BUY, 3, limit=88_000.0)
    assert desk.write(CU, SELL, 2, limit=91_000.0, offset=OPEN)
    desk.arrive()
    assert not desk.write(CU, BUY, 1, limit=88_000.0)
    desk.fill("t.1.0")
    assert not desk.write(CU, BUY, 1, limit=88_000.0)
    desk.cancel_order("t.3")
    desk.arrive()
    assert desk.write(CU, BUY, 1, limit=88_000.0)


def test_lots_that_wait_for_the_closing_ones_count() -> None:
    desk = Guarded(RiskLimits(gross_lots=6))
    desk.hold(CU, long=(3, 0))
    assert desk.write(CU, SELL, 5, limit=90_000.0)  # closes 3, then opens 2
    assert not desk.write(CU, BUY, 2, limit=89_000.0, offset=OPEN)
    assert desk.write(CU, BUY, 1, limit=89_000.0, offset=OPEN)


def test_margin_of_an_order_that_the_exchange_has_not_answered_counts() -> None:
    """20,000 CNY of 100,000 are used, a lot takes 1,000: three more make 23 %, six 26 %."""
    desk = Guarded(RiskLimits(margin_use=0.25))
    assert desk.write(CU, BUY, 3, limit=89_000.0)
    assert not desk.write(CU, BUY, 3, limit=89_000.0)
    assert desk.write(CU, BUY, 2, limit=89_000.0)


def test_a_fill_that_the_account_does_not_show_yet_counts() -> None:
    desk = Guarded(RiskLimits(net_lots=3))
    assert desk.write(CU, BUY, 3, limit=89_000.0)
    desk.arrive()
    with desk.lagging():
        desk.fill("t.1.0")
        trade = desk.orders["t.1.0"].trades[0]
        desk.hear(trade)  # the position's picture lags behind
        assert desk.position(CU).net == 0
        assert not desk.write(CU, BUY, 1, limit=89_000.0)


def test_orders_of_other_programs_count() -> None:
    desk = Guarded(RiskLimits(gross_lots=3, refuse_self_trade=True))
    desk.foreign("theirs", CU, BUY, OPEN, 2, 89_000.0)
    assert not desk.write(CU, BUY, 2, limit=89_000.0)
    assert not desk.write(CU, SELL, 1, limit=89_000.0)
    assert desk.write(CU, SELL, 1, limit=89_010.0)


def test_what_only_closes_passes_whatever_the_limits_say() -> None:
    nothing = RiskLimits(
        order_lots=0,
        net_lots=0,
        gross_lots=0,
        orders_per_day=0,
        orders_per_second=0,
        cancels_per_day=0,
        symbols=["DCE.nothing"],
        refuse_self_trade=True,
        price_distance=0.0001,
        order_notional_cny=1,
        margin_use=0.01,
        quiet_open_s=40_000,
        quiet_close_s=40_000,
    )
    desk = Guarded(nothing)
    desk.hold(CU, long=(2, 3), short=(4, 0))
    desk.stop_all(REDUCING)
    assert desk.write(CU, SELL, 5, limit=98_000.0)
    assert desk.write(CU, BUY, 4, offset=CLOSE)
    assert len(desk.on_wire()) == 3
    desk.arrive()
    assert desk.cancel_order("t.1")
    assert len(desk.on_wire("cancel")) == 2
    assert not desk.write(CU, BUY, 1, limit=89_000.0)


def test_an_order_across_zero_is_judged_by_what_it_opens() -> None:
    desk = Guarded(RiskLimits(order_lots=2))
    desk.hold(CU, long=(5, 0))
    assert desk.write(CU, SELL, 7, limit=90_000.0)
    assert not Guarded(RiskLimits(order_lots=2)).write(CU, SELL, 3, limit=90_000.0)
    other = Guarded(RiskLimits(order_lots=2))
    other.hold(CU, long=(5, 0))
    assert not other.write(CU, SELL, 8, limit=90_000.0)


def test_the_opening_leg_is_looked_at_again_when_its_turn_comes() -> None:
    """Halted while the closing leg rests: what it would open then is not sent."""
    desk = Guarded()
    desk.hold(CU, long=(3, 0))
    key = desk.write(CU, SELL, 5, limit=90_000.0)
    desk.arrive()
    desk.stop_all(HALTED)
    desk.fill(f"{key}.0")
    desk.sends_nothing()
    assert desk.state(key) is OrderState.CANCELED
    assert desk.code(key) == "HALTED"
    assert "enough" in desk.work(key).reason
    assert desk.held(CU) == (0, 0)


def test_an_order_whose_opening_leg_is_refused_ends_though_its_last_word_is_a_trade() -> None:
    desk = Guarded()
    desk.hold(CU, long=(3, 0))
    key = desk.write(CU, SELL, 5, limit=90_000.0)
    desk.arrive()
    desk.stop_all(HALTED)
    with desk.lagging():
        desk.fill(f"{key}.0")
    desk.deliver(AccountPosition, OrderPicture)
    desk.deliver()
    assert desk.state(key) is OrderState.CANCELED


def test_a_stop_that_goes_off_while_halted_closes_and_opens_nothing() -> None:
    desk = Guarded()
    desk.hold(CU, long=(2, 0))
    protects = desk.write(CU, SELL, 2, stop=89_000.0)
    crosses = desk.write(M, SELL, 3, stop=2_990.0)
    opens = desk.write(CU, BUY, 1, stop=91_000.0)
    desk.hold(M, long=(0, 2))
    desk.blotter.progress.lots.count_anew(M)
    desk.stop_all(HALTED)
    desk.tick(CU, 89_000.0)
    desk.tick(M, 2_990.0)
    assert desk.legs(protects)[0][1] == 2
    assert [leg[:2] for leg in desk.legs(crosses)] == [(CLOSE, 2)]
    desk.arrive()
    for order_id in (f"{protects}.0", f"{crosses}.0"):
        desk.fill(order_id)
    assert desk.state(protects) is OrderState.COMPLETED
    assert desk.state(crosses) is OrderState.CANCELED
    desk.tick(CU, 91_000.0)
    assert desk.state(opens) is OrderState.REJECTED
    assert desk.code(opens) == "HALTED"
    assert desk.held(CU) == desk.held(M) == (0, 0)


def test_a_stop_that_will_protect_what_is_being_bought_is_taken() -> None:
    """Buy and stop are written in one breath: the stop would open short lots only now."""
    desk = Guarded(RiskLimits(gross_lots=2))
    assert desk.write(CU, BUY, 2, limit=89_000.0)
    assert desk.write(CU, SELL, 2, stop=88_000.0)
    assert not desk.write(CU, SELL, 3, stop=88_000.0)


def test_the_price_of_a_stop_is_looked_at_when_it_goes_off() -> None:
    """A breakout order lies far from the price when it is written: that is its purpose."""
    desk = Guarded(RiskLimits(price_distance=0.01, refuse_self_trade=True, order_lots=2))
    assert desk.write(CU, SELL, 1, limit=92_000.0) == ""
    near = desk.write(CU, BUY, 1, stop=92_000.0, limit=92_100.0)
    far = desk.write(CU, BUY, 1, stop=92_000.0, limit=95_000.0)
    assert not desk.write(CU, BUY, 3, stop=92_000.0)
    desk.tick(CU, 92_000.0)
    assert desk.on_wire() == [f"{near}.0"]
    assert desk.code(far) == "PRICE_DISTANCE"
    assert desk.state(far) is OrderState.REJECTED


def test_a_stop_that_waits_opens_nothing_that_another_could_close() -> None:
    """A breakout either way: neither stop protects the other."""
    desk = Guarded()
    assert desk.write(CU, BUY, 2, stop=91_000.0)
    desk.stop_all(REDUCING)
    assert not desk.write(CU, SELL, 2, stop=89_000.0)


def test_a_bracket_is_judged_by_its_parent() -> None:
    desk = Guarded(RiskLimits(gross_lots=2))
    parent = desk.ticket(CU, BUY, 2, limit=89_000.0)
    child = desk.ticket(CU, SELL, 2, stop=88_000.0, parent=parent.key)
    assert desk.gate.at_entry(parent) is None
    assert desk.gate.at_entry(child, parent_lots=2) is None
    larger = replace(child, volume=5)
    assert desk.gate.at_entry(larger, parent_lots=2) is not None
    desk.stop_all(REDUCING)
    assert desk.gate.at_entry(parent) is not None
    assert desk.gate.at_entry(child, parent_lots=2) is None
    assert desk.gate.at_entry(child, parent_lots=1) is not None


def test_halted_takes_nothing_but_the_operators_closing() -> None:
    desk = Guarded()
    desk.hold(CU, long=(1, 0))
    desk.stop_all(HALTED)
    close = desk.ticket(CU, SELL, 1, offset=CLOSE)
    assert desk.gate.at_entry(close) is not None
    with desk.gate.urgently():
        assert desk.gate.at_entry(close) is None
        assert desk.gate.at_entry(desk.ticket(CU, SELL, 1, offset=OPEN)) is not None


def test_an_order_for_the_opening_is_looked_at_when_it_leaves() -> None:
    desk = Guarded(RiskLimits(gross_lots=2))
    desk.at("12:00:00")
    first, second = (desk.write(CU, BUY, 2, limit=89_000.0) for _ in range(2))
    desk.at("13:30:00")
    assert desk.on_wire() == [f"{first}.0"]
    assert desk.state(second) is OrderState.REJECTED
    assert desk.code(second) == "GROSS_POSITION"


def test_an_order_that_becomes_larger_is_looked_at_again() -> None:
    desk = Guarded(RiskLimits(order_lots=3))
    key = desk.write(CU, BUY, 2, limit=89_000.0)
    desk.arrive()
    desk.blotter.modify(key, volume=5)
    desk.arrive()
    assert desk.state(key) is OrderState.REJECTED
    assert desk.code(key) == "ORDER_SIZE"
    desk.sends_nothing()


def test_exchange_orders_and_cancels_are_counted_by_contract() -> None:
    desk = Guarded(RiskLimits(symbol_orders_per_day=3, cancels_per_day=9))
    desk.hold(CU, long=(1, 1))
    crossing = desk.write(CU, SELL, 3, limit=90_000.0)  # close today, close, later open
    desk.arrive()
    desk.cancel_order(crossing)
    assert dict(desk.counts.at(desk.now_ns)) == {
        "orders": 2,
        f"orders {CU}": 2,
        "cancels": 2,
        f"cancels {CU}": 2,
    }
    assert desk.write(CU, BUY, 1, limit=89_000.0)
    assert not desk.write(CU, BUY, 1, limit=89_000.0)
    assert desk.write(M, BUY, 1, limit=2_990.0)


def test_a_cancel_goes_though_it_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Guarded(RiskLimits(cancels_per_day=1))
    key = desk.write(CU, BUY, 1, limit=89_000.0)
    desk.arrive()

    def fails(*_: Any) -> None:
        raise JournalFailed("x.sqlite", "cannot be written", "disk full", "free space")

    monkeypatch.setattr(desk.counts, "add", fails)
    assert desk.cancel_order(key)
    assert desk.on_wire("cancel") == [f"{key}.0"]


# ---- whatever happens

LIMITS = RiskLimits(gross_lots=6, order_lots=4, product_gross_lots=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("order"),
            st.sampled_from([BUY, SELL]),
            st.integers(1, 6),
            st.sampled_from([None, None, OPEN, CLOSE]),
            st.sampled_from([None, 89_990.0, 90_010.0]),
        ),
        st.tuples(st.just("stop"), st.sampled_from([BUY, SELL]), st.integers(1, 6)),
        st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("modify"), st.integers(0, 9), st.integers(1, 8)),
        st.tuples(st.just("tick"), st.sampled_from([89_900.0, 90_000.0, 90_100.0])),
        st.tuples(st.just("state"), st.sampled_from([NORMAL, REDUCING, HALTED])),
        st.tuples(st.just("lag")),
    ),
    max_size=25,
)


class Player(Guarded):
    """Does what a list of steps says, and looks at the exchange after each."""

    def __init__(self) -> None:
        super().__init__(LIMITS)
        self.hold(CU, long=(2, 1), short=(1, 0))

    def send(self, order: ExchangeOrder) -> None:
        if order.offset is OPEN:
            assert self.gate.halt.state is NORMAL, "something was opened while that was forbidden"
        super().send(order)

    def play(self, step: tuple[Any, ...]) -> None:
        getattr(self, f"do_{step[0]}")(*step[1:])
        long, short = self.held(CU)
        waiting = [self.sent[order_id] for order_id in self.on_wire()]
        opening = sum(e.left for e in [*self.resting(), *waiting] if e.offset is OPEN)
        assert long + short + opening <= 6, f"{long} + {short} held, {opening} may open"

    def do_order(self, direction: Any, volume: int, offset: Any, limit: Any) -> None:
        ticket = self.ticket(CU, direction, volume, offset=offset, limit=limit)
        found = self.gate.at_entry(ticket)
        free = self.blotter.position(CU)
        closable = (free.short if direction is BUY else free.long).closable
        only_closes = offset is CLOSE or (offset is None and volume <= closable)
        if only_closes:
            assert (found is not None) == (self.gate.halt.state is HALTED)
        if found is None:
            self.blotter.submit([ticket])
            if only_closes:
                assert ticket.key not in self.gate.refusals

    def do_stop(self, direction: Any, volume: int) -> None:
        price = 90_100.0 if direction is BUY else 89_900.0
        self.write(CU, direction, volume, kind=Kind.STOP, price=price)

    def do_fill(self, which: int, lots: int) -> None:
        self.arrive()
        resting = self.resting()
        if resting:
            order = resting[which % len(resting)]
            self.fill(order.order_id, min(lots, order.left))

    def do_cancel(self, which: int) -> None:
        alive = self.blotter.alive
        if alive:
            work = alive[which % len(alive)]
            living = [leg.order_id for leg in work.alive]
            is_new = work.then is None
            assert self.cancel_order(work.key)
            if is_new:
                assert set(living) <= set(self.on_wire("cancel"))

    def do_modify(self, which: int, volume: int) -> None:
        alive = [work for work in self.blotter.alive if work.then is None]
        if alive:
            work = alive[which % len(alive)]
            if volume > self.blotter.ledger.filled(work.key):
                self.blotter.modify(work.key, volume=volume)

    def do_tick(self, last: float) -> None:
        self.arrive()
        self.tick(CU, last)

    def do_state(self, state: TradingState) -> None:
        self.gate.halt = FREE if state is NORMAL else Halt(state, Code(state.value), "x")

    def do_lag(self) -> None:
        self.prompt = not self.prompt
        if self.prompt:
            self.deliver()


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_history_exceeds_the_limits_and_nothing_that_closes_is_held_up(
    steps: list[tuple[Any, ...]],
) -> None:
    player = Player()
    for step in steps:
        player.play(step)
