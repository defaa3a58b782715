"""Money and positions of the embedded exchange: by hand to the cent, and from real records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sim_floor import (
    ALICE,
    BOB,
    CONTRACTS,
    CU,
    CU_JAN,
    IF,
    NEXT_DAY,
    NOW_NS,
    SR,
    THIRD_DAY,
    Floor,
    M,
)

from tianqin_backtrader.sim.money import charge
from tianqin_backtrader.sim.values import Contract, DayTerms

ADDED_BY_TQAPI = {
    "is_dead", "is_online", "is_error", "trade_price", "trade_records", "orders", "pos", "pos_long",
    "pos_short",
}  # fmt: skip


@pytest.fixture
def floor() -> Floor:
    return Floor()


def both_sides(floor: Floor, symbol: str, price: float, volume: int = 9) -> None:
    floor.tick(symbol, bids=((price, volume),), asks=((price, volume),), last=price)


# ---- two days by hand


def test_long_over_two_days_on_shfe(floor: Floor) -> None:
    floor.open_now("BUY", CU, 3, 50000.0)  # fee 3 x 11.6925 = 35.0775
    both_sides(floor, CU, 50100.0)
    assert floor.account()["position_profit"] == 1500.0  # 3 lots x 100 x 5
    floor.order("SELL", "CLOSETODAY", CU, 1, 50100.0)  # +500, fee 5.8463
    account = floor.account()
    assert (account["close_profit"], account["position_profit"]) == (500.0, 1000.0)
    assert account["commission"] == 40.93
    assert account["balance"] == 10_001_459.07
    floor.settle(NEXT_DAY, {CU: 50060.0})  # 2 lots x 60 x 5 = 600 instead of 1000
    account, position = floor.account(), floor.position(CU)
    assert account["balance"] == account["static_balance"] == 10_001_059.07
    assert account["close_profit"] == account["commission"] == account["position_profit"] == 0.0
    assert account["available"] == 9_968_320.07  # less 2 x 16369.5
    assert (position["pos_long_his"], position["pos_long_today"]) == (2, 0)
    assert (position["position_price_long"], position["open_price_long"]) == (50060.0, 50000.0)
    assert (position["position_profit_long"], position["float_profit_long"]) == (0.0, 600.0)
    both_sides(floor, CU, 50020.0)
    floor.order("SELL", "CLOSE", CU, 1, 50020.0)  # -40 x 5, fee 11.6925
    assert floor.account()["balance"] == 10_000_647.38
    floor.settle(THIRD_DAY, {CU: 50090.0})  # the other lot +30 x 5
    assert floor.account()["balance"] == 10_000_997.38


def test_short_over_two_days_on_cffex(floor: Floor) -> None:
    floor.open_now("SELL", IF, 2, 4000.0)  # fee 2 x 27.5862 = 55.1724
    both_sides(floor, IF, 3990.2)
    floor.order("BUY", "CLOSE", IF, 1, 3990.2)  # 9.8 x 300, fee for today's lot 413.793
    account = floor.account()
    assert (account["close_profit"], account["position_profit"]) == (2940.0, 2940.0)
    assert account["commission"] == 468.96
    floor.settle(NEXT_DAY, {IF: 3991.4})  # 8.6 x 300 = 2580
    assert floor.account()["balance"] == 10_005_051.04
    floor.open_now("SELL", IF, 1, 3995.0)
    both_sides(floor, IF, 3996.0)
    floor.order("BUY", "CLOSE", IF, 1, 3996.0)  # the history lot: -4.6 x 300, fee 27.5862
    account, position = floor.account(), floor.position(IF)
    assert (account["close_profit"], account["position_profit"]) == (-1380.0, -300.0)
    assert account["commission"] == 55.18
    assert account["balance"] == 10_003_315.86
    assert (position["pos_short_his"], position["pos_short_today"]) == (0, 1)
    assert position["open_price_short"] == 3995.0
    floor.settle(THIRD_DAY, {IF: 3994.0})
    assert floor.account()["balance"] == 10_003_915.86


def test_history_lots_close_first_where_the_offset_does_not_say(floor: Floor) -> None:
    floor.open_now("BUY", M, 2, 3000.0)
    floor.settle(NEXT_DAY, {M: 3000.0})
    floor.open_now("BUY", M, 3, 3010.0)
    both_sides(floor, M, 3010.0)
    floor.order("SELL", "CLOSE", M, 4, 3010.0)  # 2 x 10 x 10; fee 2 x 1.5 + 2 x 0.75
    assert floor.account()["close_profit"] == 200.0
    assert floor.account()["commission"] == 4.5 + 4.5
    assert floor.position(M)["pos_long_today"] == 1


def test_closes_five_of_three_today_and_ten_history_on_shfe(floor: Floor) -> None:
    floor.open_now("BUY", CU, 10, 50000.0)
    floor.settle(NEXT_DAY, {CU: 50000.0})
    floor.open_now("BUY", CU, 3, 50000.0)
    both_sides(floor, CU, 50000.0)
    too_many = floor.found(floor.order("SELL", "CLOSETODAY", CU, 5, 50000.0))
    assert too_many["last_msg"] == "平今手数超过今仓持仓量"
    too_many = floor.found(floor.order("SELL", "CLOSE", CU, 11, 50000.0))
    assert too_many["last_msg"] == "平昨手数超过昨仓持仓量"
    floor.order("SELL", "CLOSETODAY", CU, 3, 50000.0)
    floor.order("SELL", "CLOSE", CU, 2, 50000.0)
    assert floor.position(CU)["pos_long_his"] == 8
    assert floor.position(CU)["pos_long_today"] == 0


def test_position_without_a_settlement_price_settles_at_its_last_price(floor: Floor) -> None:
    floor.open_now("BUY", CU, 1, 50000.0)
    both_sides(floor, CU, 50010.0)
    floor.settle(NEXT_DAY, {})
    assert floor.account()["balance"] == 10_000_000 + 50 - 11.69
    assert floor.position(CU)["position_price_long"] == 50010.0


def test_market_without_a_last_price_marks_at_the_fill(floor: Floor) -> None:
    sent = floor.order("BUY", "OPEN", CU, 1, 50020.0)
    assert floor.position(CU)["last_price"] == "-"
    floor.tick(CU, asks=((50010.0, 1),))
    assert floor.found(sent)["volume_left"] == 0
    assert floor.position(CU)["last_price"] == 50020.0
    assert floor.account()["position_profit"] == 0.0


# ---- margin and freezing


def test_margin_is_the_larger_side_of_a_product(floor: Floor) -> None:
    floor.open_now("BUY", CU, 3, 50000.0)
    floor.open_now("SELL", CU_JAN, 5, 50100.0)
    floor.open_now("BUY", M, 1, 3000.0)
    assert floor.account()["margin"] == 5 * 16369.5 + 1412.5
    assert floor.position(CU)["margin_long"] == 3 * 16369.5


def test_open_order_freezes_and_releases_fill_by_fill(floor: Floor) -> None:
    sent = floor.order("BUY", "OPEN", CU, 3, 50000.0)
    assert floor.found(sent)["frozen_commission"] == 35.08
    for left, frozen, fee in ((2, 32739.0, 23.39), (1, 16369.5, 11.69), (0, 0.0, 0.0)):
        floor.tick(CU, asks=((50000.0, 1),), last=50000.0)
        account, order = floor.account(), floor.found(sent)
        assert order["volume_left"] == left
        assert account["frozen_margin"] == order["frozen_margin"] == frozen
        assert account["frozen_commission"] == order["frozen_commission"] == fee
        assert account["margin"] == (3 - left) * 16369.5
    assert floor.account()["commission"] == pytest.approx(3 * 11.69)  # three fills, three roundings


def test_waiting_close_freezes_lots(floor: Floor) -> None:
    floor.open_now("BUY", CU, 2, 50000.0)
    floor.settle(NEXT_DAY, {CU: 50000.0})
    floor.open_now("BUY", CU, 3, 50000.0)
    waiting = floor.order("SELL", "CLOSE", CU, 1, 51000.0)
    floor.order("SELL", "CLOSETODAY", CU, 3, 51000.0)
    position = floor.position(CU)
    assert position["volume_long_frozen_his"] == 1
    assert position["volume_long_frozen_today"] == 3
    assert position["volume_long_frozen"] == 4
    assert "平今" in floor.found(floor.order("SELL", "CLOSETODAY", CU, 1, 51000.0))["last_msg"]
    assert "平昨" in floor.found(floor.order("SELL", "CLOSE", CU, 2, 51000.0))["last_msg"]
    floor.exchange.cancel_order(ALICE, waiting, NOW_NS)
    assert floor.position(CU)["volume_long_frozen_his"] == 0
    assert floor.found(floor.order("SELL", "CLOSE", CU, 2, 51000.0))["status"] == "ALIVE"


def test_waiting_close_freezes_history_before_today_on_czce(floor: Floor) -> None:
    floor.open_now("SELL", SR, 2, 5400.0)
    floor.settle(NEXT_DAY, {SR: 5400.0})
    floor.open_now("SELL", SR, 3, 5400.0)
    floor.order("BUY", "CLOSE", SR, 4, 5300.0)
    position = floor.position(SR)
    assert position["volume_short_frozen_his"] == 2
    assert position["volume_short_frozen_today"] == 2
    refused = floor.found(floor.order("BUY", "CLOSE", SR, 2, 5300.0))
    assert refused["last_msg"] == "平仓手数超过持仓量"


def test_dce_reports_history_as_today_but_pos_is_right(floor: Floor) -> None:
    floor.open_now("BUY", M, 3, 3000.0)
    floor.settle(NEXT_DAY, {M: 3000.0})
    floor.open_now("BUY", M, 1, 3000.0)
    position = floor.position(M)
    assert (position["volume_long_his"], position["volume_long_today"]) == (0, 4)
    assert (position["pos_long_his"], position["pos_long_today"]) == (3, 1)
    assert position["volume_long_yd"] == 3


# ---- the end of the day


def test_settlement_ends_orders_and_clears_the_day(floor: Floor) -> None:
    floor.open_now("BUY", CU, 1, 50000.0)
    waiting = floor.order("BUY", "OPEN", CU, 2, 49000.0)
    closing = floor.order("SELL", "CLOSETODAY", CU, 1, 51000.0)
    floor.exchange.take_changes(ALICE)
    floor.settle(NEXT_DAY, {CU: 50000.0})
    changes = floor.exchange.take_changes(ALICE)
    ended = {
        order_id: order["last_msg"]
        for change in changes
        for order_id, order in change.get("orders", {}).items()
        if order["status"] == "FINISHED"
    }
    assert ended == {waiting: "已撤单:收盘", closing: "已撤单:收盘"}
    picture = floor.exchange.picture(ALICE)
    assert picture["orders"] == picture["trades"] == {}
    assert picture["session"]["trading_day"] == "20251204"
    assert picture["accounts"]["CNY"]["frozen_margin"] == 0.0
    assert picture["positions"][CU]["volume_long_frozen"] == 0


def test_yesterdays_book_and_limits_are_forgotten(floor: Floor) -> None:
    floor.tick(CU, asks=((50000.0, 5),), last=50000.0)
    floor.exchange.settle(NEXT_DAY, {})
    assert floor.found(floor.order("BUY", "OPEN", CU, 1, 60000.0))["status"] == "ALIVE"
    floor.exchange.on_terms(CU, DayTerms(NEXT_DAY, 50000.0, 50000.0, 0, 55000.0, 45000.0))
    assert floor.found(floor.order("BUY", "OPEN", CU, 1, 60000.0))["status"] == "FINISHED"


def test_terms_of_the_next_day_survive_the_settlement(floor: Floor) -> None:
    floor.exchange.on_terms(CU, DayTerms(NEXT_DAY, 50000.0, 50000.0, 0, 55000.0, 45000.0))
    floor.exchange.settle(NEXT_DAY, {})
    assert floor.found(floor.order("BUY", "OPEN", CU, 1, 60000.0))["status"] == "FINISHED"


# ---- what clients hear


def test_changes_are_told_once_orders_before_trades_before_money(floor: Floor) -> None:
    assert floor.exchange.take_changes(ALICE) == []
    floor.open_now("BUY", CU, 1, 50000.0)
    changes = floor.exchange.take_changes(ALICE)
    assert [next(iter(change)) for change in changes] == [
        "orders", "trades", "positions", "accounts",
    ]  # fmt: skip
    picture = floor.exchange.picture(ALICE)
    assert changes[1]["trades"] == picture["trades"]
    assert changes[3]["accounts"] == picture["accounts"]
    assert floor.exchange.take_changes(ALICE) == []
    assert floor.exchange.take_changes(BOB) == []
    both_sides(floor, CU, 50000.0)
    assert floor.exchange.take_changes(ALICE) == []
    both_sides(floor, CU, 50010.0)
    assert [next(iter(change)) for change in floor.exchange.take_changes(ALICE)] == [
        "positions", "accounts",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rate_cny", "lots", "cents"),
    [(11.6925, 3, 3508), (0.005, 1, 1), (7.775, 1, 778), (23.325, 1, 2333), (1.5, 0, 0)],
)
def test_charges_round_once_half_up(rate_cny: float, lots: int, cents: int) -> None:
    assert charge((rate_cny, lots)) == cents


# ---- real records


def test_pictures_have_the_fields_of_a_real_account(floor: Floor, records: Path) -> None:
    floor.open_now("BUY", CU, 1, 50000.0)
    ours = floor.exchange.picture(ALICE)
    folder = records / "account/kq-2025-12-24"
    for name in ("orders", "trades", "positions"):
        real = next(iter(json.loads((folder / f"{name}.json").read_text("utf-8")).values()))
        assert real.keys() - ADDED_BY_TQAPI <= next(iter(ours[name].values())).keys()
    real = json.loads((folder / "account.json").read_text("utf-8"))
    assert real.keys() <= ours["accounts"]["CNY"].keys()


def test_real_account_holds_the_identities(records: Path) -> None:
    real = json.loads((records / "account/kq-2025-12-24/account.json").read_text("utf-8"))
    earned = real["close_profit"] + real["position_profit"] - real["commission"]
    assert real["balance"] == pytest.approx(real["static_balance"] + earned, abs=0.005)
    frozen = real["frozen_margin"] + real["frozen_commission"]
    assert real["available"] == pytest.approx(real["balance"] - real["margin"] - frozen, abs=0.005)


def seen_alike(ours: dict[str, Any], real: dict[str, Any], *, without: tuple[str, ...]) -> None:
    """Every number that the real gateway sent is ours too."""
    for name in real.keys() & ours.keys():
        if real[name] != "-" and not name.startswith(without):
            assert ours[name] == pytest.approx(real[name]), name


def test_resting_close_freezes_history_as_a_real_account_saw(records: Path) -> None:
    """RB: 3 long, 1 short of yesterday, SELL CLOSE 1 waits. M: 3 long of yesterday."""
    text = (records / "account/kq-close-order-freezes-history.json").read_text("utf-8")
    real = json.loads(text)["positions"]
    rb, m = "SHFE.rb2701", "DCE.m2701"
    terms = {rb: ("rb", 10, 2214.1), m: ("m", 10, 2390.5)}
    floor = Floor()
    with pytest.MonkeyPatch.context() as patch:
        for symbol, (product_id, multiple, margin_cny) in terms.items():
            patch.setitem(CONTRACTS, symbol, like(symbol, product_id, multiple, margin_cny))
        floor.open_now("BUY", rb, 3, 3160.0)
        floor.open_now("SELL", rb, 1, 3165.0)
        floor.open_now("BUY", m, 3, 3415.0)
        floor.settle(NEXT_DAY, {rb: 3169.0, m: 3425.0})
        floor.order("SELL", "CLOSE", rb, 1, 3321.0)
    # The real RB lots cost 3159.75 on average, which no three lots do: others had left before.
    seen_alike(floor.position(rb), real[rb], without=("open_", "float_"))
    seen_alike(floor.position(m), real[m], without=())


def like(symbol: str, product_id: str, multiple: int, margin_cny: float) -> Contract:
    exchange_id = symbol.split(".", maxsplit=1)[0]
    return replace(
        CONTRACTS[M], symbol=symbol, exchange_id=exchange_id, product_id=product_id,
        volume_multiple=multiple, margin_cny=margin_cny,
    )  # fmt: skip
