"""Orders at the embedded exchange: refused by the rules, matched by price and time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_floor import (
    ALICE,
    BOB,
    CU,
    DAY,
    EXPIRE_NS,
    IF,
    MAIN,
    NEXT_DAY,
    NOW_NS,
    OLD,
    SC,
    SI,
    SR,
    Floor,
    M,
)


@pytest.fixture
def floor() -> Floor:
    return Floor()


# ---- refusals: FINISHED, no exchange_order_id, nothing traded, the reason in last_msg

REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "unknown contract": (("BUY", "OPEN", "SHFE.xx2512", 1, 50000.0), {}, "合约代码不存在"),
    "expired": (("BUY", "OPEN", OLD, 1, 50000.0), {}, "合约已到期"),
    "main contract": (("BUY", "OPEN", MAIN, 1, 50000.0), {}, "主连合约不可交易"),
    "off the tick": (("BUY", "OPEN", CU, 1, 50005.0), {}, "价格非最小变动价位的整数倍"),
    "above the limit": (("BUY", "OPEN", CU, 1, 55010.0), {}, "价格超出涨停板"),
    "below the limit": (("SELL", "OPEN", CU, 1, 44990.0), {}, "价格跌破跌停板"),
    "NaN price": (("BUY", "OPEN", CU, 1, math.nan), {}, "报单价格无效"),
    "price as text": (("BUY", "OPEN", CU, 1, "50000"), {}, "报单价格无效"),
    "infinite price": (("BUY", "OPEN", CU, 1, math.inf), {}, "报单价格无效"),
    "enormous price": (("BUY", "OPEN", CU, 1, 10**400), {}, "报单价格无效"),
    "no lots": (("BUY", "OPEN", CU, 0, 50000.0), {}, "报单手数必须为正整数"),
    "negative lots": (("BUY", "OPEN", CU, -1, 50000.0), {}, "报单手数必须为正整数"),
    "half a lot": (("BUY", "OPEN", CU, 0.5, 50000.0), {}, "报单手数必须为正整数"),
    "lots as text": (("BUY", "OPEN", CU, "1", 50000.0), {}, "报单手数必须为正整数"),
    "lots as truth": (("BUY", "OPEN", CU, True, 50000.0), {}, "报单手数必须为正整数"),
    "too many lots": (("BUY", "OPEN", CU, 501, 50000.0), {}, "报单手数超过单笔最大手数500"),
    "too many at market": (("BUY", "OPEN", SR, 201), {}, "报单手数超过单笔最大手数200"),
    "direction": (("BOTH", "OPEN", CU, 1, 50000.0), {}, "报单字段错误:direction"),
    "offset": (("BUY", "CLOSEYESTERDAY", CU, 1, 50000.0), {}, "报单字段错误:offset"),
    "price type": (("BUY", "OPEN", CU, 1), {"price_type": "STOP"}, "报单字段错误:price_type"),
    "good till cancelled": (
        ("BUY", "OPEN", CU, 1, 50000.0), {"time_condition": "GTC"}, "报单字段错误:time_condition",
    ),
    "minimum volume": (
        ("BUY", "OPEN", CU, 1, 50000.0), {"volume_condition": "MIN"},
        "报单字段错误:volume_condition",
    ),
    "all, but not at once": (
        ("BUY", "OPEN", CU, 1, 50000.0), {"volume_condition": "ALL"}, "只可用于立即成交",
    ),
    "market order on SHFE": (("BUY", "OPEN", CU, 1), {}, "不支持市价指令"),
    "market order on INE": (("BUY", "OPEN", SC, 1), {}, "不支持市价指令"),
    "market order on CFFEX": (("BUY", "OPEN", IF, 1), {}, "不支持市价指令"),
    "BEST on DCE": (("BUY", "OPEN", M, 1), {"price_type": "BEST"}, "不支持最优价指令"),
    "FIVELEVEL on CZCE": (("BUY", "OPEN", SR, 1), {"price_type": "FIVELEVEL"}, "不支持最优价指令"),
    "FOK on CZCE": (("BUY", "OPEN", SR, 1, 5400.0), {"kind": "FOK"}, "郑商所期货不支持FOK"),
    "FOK at the best": (
        ("BUY", "OPEN", IF, 1), {"kind": "FOK", "price_type": "BEST"}, "最优价指令不支持FOK",
    ),
    "FOK over five levels": (
        ("BUY", "OPEN", IF, 1), {"kind": "FOK", "price_type": "FIVELEVEL"}, "最优价指令不支持FOK",
    ),
    "CLOSETODAY on DCE": (("SELL", "CLOSETODAY", M, 1, 3000.0), {}, "不区分平今"),
    "CLOSETODAY on CFFEX": (("SELL", "CLOSETODAY", IF, 1, 4000.0), {}, "不区分平今"),
    "nothing of today": (("SELL", "CLOSETODAY", CU, 1, 50000.0), {}, "平今手数超过今仓持仓量"),
    "nothing of yesterday": (("SELL", "CLOSE", CU, 1, 50000.0), {}, "平昨手数超过昨仓持仓量"),
    "nothing to close": (("SELL", "CLOSE", M, 1, 3000.0), {}, "平仓手数超过持仓量"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(floor: Floor, name: str) -> None:
    order, changed, reason = REFUSED[name]
    before = floor.account()
    found = floor.found(floor.order(*order, **changed))
    assert found["status"] == "FINISHED"
    assert found["exchange_order_id"] == ""
    assert found["volume_left"] == found["volume_orign"]
    assert found["frozen_margin"] == found["frozen_commission"] == 0.0
    assert reason in found["last_msg"]
    assert floor.account() == before
    assert floor.exchange.picture(ALICE)["trades"] == {}


@pytest.mark.parametrize(("balance_cny", "status"), [(32762.39, "ALIVE"), (32762.38, "FINISHED")])
def test_margin_and_commission_must_be_available(balance_cny: float, status: str) -> None:
    floor = Floor(balance_cny)  # 2 x 16369.5 and 2 x 11.6925 CNY
    found = floor.found(floor.order("BUY", "OPEN", CU, 2, 50000.0))
    assert found["status"] == status
    assert ("资金不足" in found["last_msg"]) == (status == "FINISHED")


def test_money_frozen_by_a_waiting_order_is_not_available_to_another() -> None:
    floor = Floor(32762.39 + 16381.19 - 0.01)  # enough for two lots, not for one more
    waiting = floor.order("BUY", "OPEN", CU, 2, 50000.0)
    assert "资金不足" in floor.found(floor.order("BUY", "OPEN", CU, 1, 50000.0))["last_msg"]
    floor.exchange.cancel_order(ALICE, waiting, NOW_NS)
    assert floor.found(floor.order("BUY", "OPEN", CU, 1, 50000.0))["status"] == "ALIVE"


def test_refuses_outside_trading_hours(floor: Floor) -> None:
    floor.is_open = False
    sent = floor.order("BUY", "OPEN", CU, 1, 50000.0)
    assert "不在可交易时间段内" in floor.found(sent)["last_msg"]


def test_refuses_from_the_moment_of_expiry(floor: Floor) -> None:
    pack = {
        "order_id": "late", "exchange_id": "SHFE", "instrument_id": "cu2512", "direction": "BUY",
        "offset": "OPEN", "volume": 1, "price_type": "LIMIT", "limit_price": 50000.0,
        "time_condition": "GFD", "volume_condition": "ANY",
    }  # fmt: skip
    floor.exchange.insert_order(ALICE, {**pack, "order_id": "last"}, EXPIRE_NS - 1)
    floor.exchange.insert_order(ALICE, pack, EXPIRE_NS)
    assert floor.found("last")["status"] == "ALIVE"
    assert "合约已到期" in floor.found("late")["last_msg"]


def test_price_on_the_tick_despite_binary_fractions(floor: Floor) -> None:
    price = 0.1 + 0.2 + 449.9  # 450.2, in floats 450.19999999999999
    assert floor.found(floor.order("BUY", "OPEN", SC, 1, price))["status"] == "ALIVE"
    assert floor.found(floor.order("BUY", "OPEN", SC, 1, 450.25))["status"] == "FINISHED"


def test_prices_at_the_limits_are_taken(floor: Floor) -> None:
    assert floor.found(floor.order("BUY", "OPEN", CU, 1, 55000.0))["status"] == "ALIVE"
    assert floor.found(floor.order("SELL", "OPEN", CU, 1, 45000.0))["status"] == "ALIVE"


def test_refuses_in_the_words_of_a_real_account(floor: Floor, records: Path) -> None:
    orders = json.loads((records / "account/kq-2025-12-24/orders.json").read_text("utf-8"))
    real = {order["last_msg"] for order in orders.values() if not order["exchange_order_id"]}
    refused = (
        floor.order("BUY", "OPEN", CU, 1, 55010.0),
        floor.order("BUY", "OPEN", CU, 1, 44990.0),
        floor.order("BUY", "CLOSE", M, 1, 3000.0),
        floor.order("BUY", "CLOSETODAY", CU, 1, 50000.0),
    )
    assert {floor.found(order_id)["last_msg"] for order_id in refused} == real


# ---- matching


def test_incoming_order_takes_levels_at_their_prices(floor: Floor) -> None:
    floor.tick(CU, asks=((50010.0, 2), (50020.0, 3), (50030.0, 9)), last=50010.0)
    sent = floor.order("BUY", "OPEN", CU, 8, 50020.0)
    assert floor.trades(sent) == [(50010.0, 2), (50020.0, 3)]
    assert (floor.found(sent)["status"], floor.found(sent)["volume_left"]) == ("ALIVE", 3)


def test_taken_volume_is_gone_until_the_next_tick(floor: Floor) -> None:
    asks = ((50010.0, 2),)
    floor.tick(CU, asks=asks, last=50010.0)
    floor.order("BUY", "OPEN", CU, 2, 50010.0)
    late = floor.order("BUY", "OPEN", CU, 1, 50010.0, user=BOB)
    assert floor.trades(late, BOB) == []
    floor.tick(CU, asks=asks, last=50010.0)
    assert floor.trades(late, BOB) == [(50010.0, 1)]


def test_waiting_order_trades_at_its_own_price(floor: Floor) -> None:
    waiting = floor.order("SELL", "OPEN", CU, 2, 50000.0)
    floor.tick(CU, bids=((50030.0, 5),), last=50030.0)
    assert floor.trades(waiting) == [(50000.0, 2)]


def test_better_price_first_then_earlier_arrival_across_clients(floor: Floor) -> None:
    first = floor.order("BUY", "OPEN", CU, 2, 50000.0)
    second = floor.order("BUY", "OPEN", CU, 2, 50000.0, user=BOB)
    better = floor.order("BUY", "OPEN", CU, 2, 50010.0, user=BOB)
    floor.tick(CU, asks=((50000.0, 5),), last=50000.0)
    assert floor.trades(better, BOB) == [(50010.0, 2)]
    assert floor.trades(first) == [(50000.0, 2)]
    assert floor.trades(second, BOB) == [(50000.0, 1)]


def test_levels_beyond_the_waiting_limit_stay_for_nobody(floor: Floor) -> None:
    waiting = floor.order("BUY", "OPEN", CU, 9, 50000.0)
    floor.tick(CU, asks=((49990.0, 1), (50000.0, 2), (50010.0, 9)), last=50000.0)
    assert floor.trades(waiting) == [(50000.0, 1), (50000.0, 2)]


def test_fak_cancels_what_is_left(floor: Floor) -> None:
    floor.tick(CU, asks=((50010.0, 2),), last=50010.0)
    found = floor.found(floor.order("BUY", "OPEN", CU, 5, 50010.0, kind="FAK"))
    assert (found["status"], found["volume_left"]) == ("FINISHED", 3)
    assert found["last_msg"] == "已撤单报单已提交"
    assert found["exchange_order_id"] != ""


@pytest.mark.parametrize(("volume", "left"), [(5, 0), (6, 6)])
def test_fok_trades_all_or_nothing(floor: Floor, volume: int, left: int) -> None:
    floor.tick(CU, asks=((50010.0, 2), (50020.0, 3), (50030.0, 9)), last=50010.0)
    found = floor.found(floor.order("BUY", "OPEN", CU, volume, 50020.0, kind="FOK"))
    assert (found["status"], found["volume_left"]) == ("FINISHED", left)


def test_market_order_sweeps_the_book_within_the_price_limits(floor: Floor) -> None:
    floor.tick(M, bids=((2999.0, 1), (2990.0, 2), (2600.0, 9)), last=3000.0)
    sent = floor.order("SELL", "OPEN", M, 5)
    assert floor.trades(sent) == [(2999.0, 1), (2990.0, 2)]
    assert floor.found(sent)["volume_left"] == 2
    assert floor.found(sent)["status"] == "FINISHED"
    assert floor.found(sent)["limit_price"] == "-"


@pytest.mark.parametrize("symbol", [M, SR, SI])
def test_market_orders_exist_on_dce_czce_and_gfex(floor: Floor, symbol: str) -> None:
    floor.tick(symbol, asks=((1.0, 1),), last=1.0)
    assert floor.found(floor.order("BUY", "OPEN", symbol, 1))["volume_left"] == 0


@pytest.mark.parametrize(("price_type", "filled"), [("BEST", 1), ("FIVELEVEL", 5)])
def test_cffex_best_prices(floor: Floor, price_type: str, filled: int) -> None:
    floor.tick(IF, asks=tuple((4000.2 + 0.2 * i, 1) for i in range(7)), last=4000.0)
    sent = floor.order("BUY", "OPEN", IF, 7, price_type=price_type)
    assert len(floor.trades(sent)) == filled
    assert floor.found(sent)["status"] == "FINISHED"
    assert floor.found(sent)["volume_left"] == 7 - filled


def test_before_the_first_tick_orders_wait_and_fak_dies(floor: Floor) -> None:
    waiting = floor.order("BUY", "OPEN", CU, 1, 50000.0)
    dead = floor.order("BUY", "OPEN", CU, 1, 50000.0, kind="FAK")
    assert floor.found(waiting)["status"] == "ALIVE"
    assert floor.found(dead)["status"] == "FINISHED"


def test_cancel_gives_everything_back_and_a_second_one_is_noticed(floor: Floor) -> None:
    before = floor.account()
    sent = floor.order("BUY", "OPEN", CU, 3, 50000.0)
    assert floor.account()["frozen_margin"] == 49108.5
    floor.exchange.cancel_order(ALICE, sent, NOW_NS)
    assert floor.account() == before
    assert floor.found(sent)["last_msg"] == "已撤单"
    for order_id in (sent, "never"):
        floor.exchange.cancel_order(ALICE, order_id, NOW_NS)
    floor.exchange.cancel_order(BOB, sent, NOW_NS)
    assert len(floor.exchange.notices(ALICE)) == 2
    assert len(floor.exchange.notices(BOB)) == 1
    assert floor.exchange.notices(ALICE) == []


def test_orders_of_one_client_do_not_meet_those_of_another(floor: Floor) -> None:
    floor.order("BUY", "OPEN", CU, 1, 50010.0)
    sent = floor.order("SELL", "OPEN", CU, 1, 50000.0, user=BOB)
    assert floor.found(sent, BOB)["status"] == "ALIVE"


# ---- repeats and rubbish


def test_repeated_order_id_is_never_executed_twice(floor: Floor) -> None:
    floor.tick(CU, asks=((50010.0, 9),), last=50010.0)
    floor.order("BUY", "OPEN", CU, 2, 50010.0, order_id="mine")
    picture = floor.exchange.picture(ALICE)
    floor.order("SELL", "OPEN", CU, 1, 50010.0, order_id="mine")
    assert floor.exchange.picture(ALICE) == picture
    assert "mine" in floor.exchange.notices(ALICE)[0]
    floor.settle(NEXT_DAY, {})
    floor.order("BUY", "OPEN", CU, 2, 50010.0, order_id="mine")
    assert floor.exchange.picture(ALICE)["orders"] == {}


def test_same_order_id_of_two_clients_are_two_orders(floor: Floor) -> None:
    for user in (ALICE, BOB):
        floor.order("BUY", "OPEN", CU, 1, 50000.0, order_id="same", user=user)
        assert floor.found("same", user)["status"] == "ALIVE"


RUBBISH = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just(10**400),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.none()),
)  # fmt: skip
FIELDS = {
    "order_id": "x", "exchange_id": "SHFE", "instrument_id": "cu2512", "direction": "BUY",
    "offset": "OPEN", "volume": 1, "price_type": "LIMIT", "limit_price": 50000.0,
    "time_condition": "GFD", "volume_condition": "ANY",
}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(FIELDS)), RUBBISH),
    st.sets(st.sampled_from(sorted(FIELDS))),
)
def test_rubbish_never_raises_and_pictures_stay_json(
    spoiled: dict[str, Any], missing: set[str]
) -> None:
    floor = Floor()
    pack = {key: value for key, value in {**FIELDS, **spoiled}.items() if key not in missing}
    floor.exchange.insert_order(ALICE, pack, NOW_NS)
    picture = floor.exchange.picture(ALICE)
    json.dumps(picture, allow_nan=False)
    took_it = any(order["status"] == "ALIVE" for order in picture["orders"].values())
    assert took_it or floor.account()["frozen_margin"] == 0.0
    assert picture["orders"] or floor.exchange.notices(ALICE)


def test_nobody_is_nobody(floor: Floor) -> None:
    floor.order("BUY", "OPEN", CU, 1, 50000.0, user="stranger")
    floor.exchange.cancel_order("stranger", "o1", NOW_NS)
    assert floor.exchange.take_changes("stranger") == []
    assert floor.exchange.notices("stranger") == []


def test_login_again_keeps_the_account(floor: Floor) -> None:
    floor.open_now("BUY", CU, 1, 50000.0)
    before = floor.exchange.picture(ALICE)
    floor.exchange.login(ALICE, DAY)
    assert floor.exchange.picture(ALICE) == before


def test_pictures_are_fresh(floor: Floor) -> None:
    floor.open_now("BUY", CU, 1, 50000.0)
    before = floor.exchange.picture(ALICE)
    floor.exchange.picture(ALICE)["positions"][CU]["pos_long_today"] = 99
    assert floor.exchange.picture(ALICE) == before


def test_a_gateway_without_memory_keeps_lots_and_money_and_knows_no_order(floor: Floor) -> None:
    floor.open_now("BUY", CU, 2, 50000.0)
    resting = floor.order("BUY", "OPEN", CU, 1, 49000.0)
    held, free = floor.position(CU)["pos_long_today"], floor.account()["available"]
    floor.exchange.forget()
    shown = floor.exchange.picture(ALICE)
    assert (shown["orders"], shown["trades"]) == ({}, {})
    assert floor.position(CU)["pos_long_today"] == held == 2
    assert floor.account()["frozen_margin"] == 0
    assert floor.account()["available"] > free  # what the order had frozen
    assert floor.exchange.take_changes(ALICE) == []
    floor.tick(CU, asks=((49000.0, 5),), last=49000.0)
    assert floor.position(CU)["pos_long_today"] == 2  # the order is gone
    again = floor.order("BUY", "OPEN", CU, 1, 49000.0, order_id=resting)
    assert floor.found(again)["volume_left"] == 0  # its number is free again
