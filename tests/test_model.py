"""TqSdk's pictures: a real account's, a real catalogue's, and TqSdk's own defaults."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tianqin_backtrader.model import (
    AccountPosition,
    Direction,
    Offset,
    SideLots,
    account_from,
    bar_from_kline,
    instrument_from,
    order_from,
    position_from,
    tick_from,
    trade_from,
)

LONG, SHORT = "long", "short"


def load(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def account_records(records: Path) -> Path:
    return records / "account/kq-2025-12-24"


@pytest.fixture(scope="module")
def frozen(records: Path) -> dict[str, Any]:
    """A resting order to close one history lot, 2026-09-10."""
    return load(records / "account/kq-close-order-freezes-history.json")


# side, today, history: the account as its owner saw it
HELD = {
    "CZCE.AP605": (LONG, 2, 0),
    "DCE.a2601": (SHORT, 0, 2),  # volume_short_his is 0 and the lots sit in volume_short_today
    "DCE.eg2601": (LONG, 2, 0),
    "DCE.i2605": (LONG, 4, 10),
    "DCE.j2601": (SHORT, 4, 0),
    "DCE.jm2605": (SHORT, 0, 1),
    "DCE.p2605": (SHORT, 3, 4),
    "DCE.pg2601": (SHORT, 0, 4),
    "DCE.y2605": (SHORT, 0, 1),
    "INE.sc2601": (SHORT, 0, 3),
    "SHFE.ag2602": (SHORT, 5, 0),
    "SHFE.al2602": (LONG, 0, 5),
    "SHFE.au2602": (LONG, 0, 1),
    "SHFE.cu2601": (LONG, 0, 2),
    "SHFE.ni2601": (LONG, 0, 0),
    "SHFE.pb2611": (SHORT, 0, 2),
    "SHFE.rb2601": (LONG, 0, 0),
    "SHFE.ru2605": (SHORT, 0, 4),
    "SHFE.sn2601": (LONG, 0, 4),
    "SHFE.zn2601": (LONG, 1, 0),
}


def test_splits_today_and_history_of_twenty_positions(account_records: Path) -> None:
    pictures = load(account_records / "positions.json")
    assert pictures.keys() == HELD.keys()
    for symbol, picture in pictures.items():
        side, today, history = HELD[symbol]
        lots, none = SideLots(today, history), SideLots()
        position = position_from(picture)
        assert position.symbol == symbol
        assert (position.long, position.short) == ((lots, none) if side == LONG else (none, lots))
        assert position.net == picture["pos"]  # as TqApi adds it up
        assert lots.closable == lots.total == today + history


def test_positions_money_and_prices(account_records: Path) -> None:
    apples = position_from(load(account_records / "positions.json")["CZCE.AP605"])
    assert (apples.open_price_long, apples.float_profit, apples.margin) == (9200.0, -180.0, 20259.8)
    assert math.isnan(apples.open_price_short)


def test_a_resting_close_order_freezes_history_on_shfe(frozen: dict[str, Any]) -> None:
    rebar = position_from(frozen["positions"]["SHFE.rb2701"])
    assert rebar.long == SideLots(today=0, history=3, frozen_today=0, frozen_history=1)
    assert (rebar.long.closable_today, rebar.long.closable_history) == (0, 2)
    assert rebar.short == SideLots(today=0, history=1)
    assert rebar.net == 2


def test_dashes_are_missing_numbers_on_dce(frozen: dict[str, Any]) -> None:
    meal = position_from(frozen["positions"]["DCE.m2701"])
    assert meal.long == SideLots(today=0, history=3)
    assert (meal.float_profit, meal.margin, meal.open_price_long) == (300, 7171.5, 3415)
    assert math.isnan(meal.open_price_short)


def dce_picture(**fields: int) -> dict[str, Any]:
    return {"exchange_id": "DCE", "instrument_id": "i2605", **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # history frozen under the heading of today
        ({"pos_long_his": 3, "volume_long_frozen_today": 2}, SideLots(0, 3, 0, 2)),
        ({"pos_long_today": 3, "volume_long_frozen_his": 2}, SideLots(3, 0, 2, 0)),
        ({"pos_long_today": 2, "pos_long_his": 3, "volume_long_frozen_today": 4},
         SideLots(2, 3, 2, 2)),
        # only the sum is told
        ({"pos_long_today": 2, "pos_long_his": 3, "volume_long_frozen": 1}, SideLots(2, 3, 1, 0)),
        # more frozen than held: a position that shrank before its order's picture came
        ({"pos_long_today": 1, "volume_long_frozen_today": 5}, SideLots(1, 0, 1, 0)),
        ({"pos_long_his": 2, "volume_long_frozen_his": -1}, SideLots(0, 2, 0, 0)),
    ],
)  # fmt: skip
def test_frozen_lots_are_lots_that_exist(fields: dict[str, int], expected: SideLots) -> None:
    assert position_from(dce_picture(**fields)).long == expected


def test_closable_is_never_negative_nor_above_held() -> None:
    assert SideLots(today=2, history=1, frozen_today=3).closable == 1
    assert SideLots(today=2, frozen_today=-4).closable == 2


def test_reads_sixty_eight_orders(account_records: Path) -> None:
    pictures = load(account_records / "orders.json")
    orders = {key: order_from(picture) for key, picture in pictures.items()}
    assert len(orders) == 68
    assert not any(order.is_alive for order in orders.values())
    refused = Counter(order.last_msg for order in orders.values() if order.is_refused)
    assert refused == {
        "平仓手数超过持仓量": 3,
        "已撤单报单被拒绝价格超出涨停板": 2,
        "已撤单报单被拒绝价格跌破跌停板": 1,
        "平今手数超过今仓持仓量": 1,
    }
    assert Counter(order.filled > 0 for order in orders.values()) == {True: 50, False: 18}
    for key, order in orders.items():
        assert order.is_refused == pictures[key]["is_error"]  # as TqApi judges
        assert order.order_id == key
        assert order.price == pictures[key]["limit_price"]


def test_reads_fifty_trades(account_records: Path) -> None:
    trades = [trade_from(picture) for picture in load(account_records / "trades.json").values()]
    orders = {
        key: order_from(picture) for key, picture in load(account_records / "orders.json").items()
    }
    assert len(trades) == 50
    filled = Counter[str]()
    for trade in trades:
        filled[trade.order_id] += trade.volume
        assert trade.symbol == orders[trade.order_id].symbol
    assert filled == {key: order.filled for key, order in orders.items() if order.filled}
    first = next(t for t in trades if t.trade_id == "0726fee296dc4bec929e3e3530995e7c")
    assert (first.symbol, first.direction, first.offset) == (
        "SHFE.ru2605", Direction.BUY, Offset.CLOSE
    )  # fmt: skip
    assert (first.price, first.volume, first.time_ns) == (15420.0, 1, 1766541107209288442)
    assert first.commission_cny == pytest.approx(6.876)


def test_reads_the_account(account_records: Path) -> None:
    account = account_from(load(account_records / "account.json"))
    assert account.balance == 15236052.380390031
    assert account.available == 14473976.130390031
    assert account.risk_ratio == pytest.approx(account.margin / account.balance)
    assert account.balance == pytest.approx(
        account.static_balance + account.close_profit + account.position_profit - account.commission
    )


def test_a_market_order_has_no_price() -> None:
    order = order_from(
        {
            "order_id": "x", "exchange_id": "DCE", "instrument_id": "i2605", "direction": "SELL",
            "offset": "OPEN", "volume_orign": 3, "volume_left": 1, "price_type": "ANY",
            "limit_price": 0.0, "status": "ALIVE",
        }
    )  # fmt: skip
    assert math.isnan(order.price)
    assert (order.is_alive, order.filled, order.exchange_order_id, order.last_msg) == (
        True, 2, "", ""
    )  # fmt: skip


def test_reads_every_recorded_future(records: Path) -> None:
    """The raw catalogue names two fields otherwise than a Quote does."""
    rows = load(records / "instruments/2020-06-16.json")
    futures = [row for row in rows.values() if row["class"] == "FUTURE"]
    assert len(futures) == 145
    for row in futures:
        quote = {**row, "ins_class": row["class"], "instrument_name": row["ins_name"]}
        assert instrument_from(quote).price_tick > 0
    oil = rows["INE.sc2008"]
    read = instrument_from(oil | {"ins_class": "FUTURE", "instrument_name": "原油2008"})
    assert (read.symbol, read.exchange_id, read.product_id, read.name) == (
        "INE.sc2008", "INE", "sc", "原油2008"
    )  # fmt: skip
    assert (read.volume_multiple, read.price_tick) == (1000, 0.1)
    assert read.margin_cny == pytest.approx(19_936)
    assert read.expire_ns == 1_596_178_800_000_000_000
    assert read.trading_time["night"] == (("21:00:00", "26:30:00"),)
    assert math.isnan(read.upper_limit)
    assert (read.max_limit_order_volume, read.max_market_order_volume) == (500, 0)


def test_an_unfinished_quote_of_tqsdk_is_readable() -> None:
    """All fields still at TqSdk's own defaults, as before the first answer."""
    objs = pytest.importorskip("tqsdk.objs")
    quote = {key: value for key, value in vars(objs.Quote(None)).items() if key[0] != "_"}
    quote["trading_time"] = {"day": [], "night": []}
    instrument = instrument_from(quote)
    assert math.isnan(instrument.price_tick)
    assert (instrument.expire_ns, instrument.volume_multiple, instrument.expired) == (0, 0, False)


def test_missing_numbers_of_a_tick() -> None:
    row = dict.fromkeys(("last_price", "amount", "bid_price1", "ask_price1"), "-") | dict.fromkeys(
        ("volume", "open_interest", "bid_volume1", "ask_volume1"), math.nan
    )
    tick = tick_from(7, {"datetime": 1_568_617_199_999_500_000, **row})
    assert (tick.id, tick.time_ns) == (7, 1_568_617_199_999_500_000)
    assert math.isnan(tick.last_price)
    assert (tick.volume, tick.open_interest, tick.bid_volume) == (0, 0, 0)


def test_an_official_kline_is_a_bar_without_quotes() -> None:
    """SHFE.cu1905, 2019-03-04 22:51."""
    row = {
        "datetime": 1551711060000000000, "open": 49570, "high": 49570, "low": 49540,
        "close": 49570, "volume": 381, "open_oi": 109803, "close_oi": 109825,
    }  # fmt: skip
    bar = bar_from_kline(row, 1551711120000000000, date(2019, 3, 5))
    assert (bar.start_ns, bar.end_ns) == (1551711060000000000, 1551711120000000000)
    assert (bar.volume, bar.open_oi, bar.close_oi, bar.low) == (381, 109803, 109825, 49540)
    assert bar.complete
    assert math.isnan(bar.bid_price)
    assert math.isnan(bar.amount)


def test_net_position_counts_both_sides() -> None:
    assert AccountPosition("SHFE.cu2512", SideLots(1, 2), SideLots(4, 1)).net == -2


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        ("开仓资金不足", True),
        ("下单失败, 不在可交易时间段内", True),
        ("平今仓手数不足", True),
        ("已撤单", False),
        ("已撤单报单已提交", False),
        ("市价指令剩余撤销", False),
        ("交易日结束，自动撤销当日有效的委托单（GFD）", False),
    ],
)
def test_tqsim_refusal_is_told_by_its_text(reason: str, refused: bool) -> None:
    picture = order_from(
        {
            "order_id": "a",
            "exchange_order_id": "a",
            "exchange_id": "SHFE",
            "instrument_id": "cu2511",
            "direction": "BUY",
            "offset": "OPEN",
            "volume_orign": 1,
            "volume_left": 1,
            "price_type": "LIMIT",
            "limit_price": 80_000.0,
            "status": "FINISHED",
            "last_msg": reason,
        }
    )
    assert picture.is_refused is refused
