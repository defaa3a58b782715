"""What each exchange takes: against TqApi's own rules and prices worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianqin_backtrader.contracts import (
    check_kind,
    check_order,
    is_on_tick,
    round_to_tick,
    split_symbol,
)
from tianqin_backtrader.errors import BadPrice, BadVolume, InvalidOrder, UnknownSymbol
from tianqin_backtrader.model import Direction, Instrument

BUY, SELL = Direction.BUY, Direction.SELL
COPPER = Instrument(
    symbol="SHFE.cu2512",
    exchange_id="SHFE",
    product_id="cu",
    name="沪铜2512",
    ins_class="FUTURE",
    price_tick=10.0,
    volume_multiple=5,
    trading_time={},
    margin_cny=40_000.0,
    commission_cny=20.0,
    expire_ns=0,
    expired=False,
    max_limit_order_volume=500,
    max_market_order_volume=0,
    upper_limit=90_000.0,
    lower_limit=80_000.0,
    pre_settlement=85_000.0,
    underlying_symbol="",
)
IRON = replace(
    COPPER, symbol="DCE.i2605", exchange_id="DCE", price_tick=0.5, max_market_order_volume=200
)


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [("SHFE.cu2512", ("SHFE", "cu2512")), ("KQ.m@SHFE.cu", ("KQ", "m@SHFE.cu"))],
)
def test_splits_a_symbol_at_its_first_dot(symbol: str, parts: tuple[str, str]) -> None:
    assert split_symbol(symbol) == parts


@pytest.mark.parametrize("symbol", ["", "cu2512", ".cu2512", "SHFE."])
def test_refuses_a_symbol_without_its_exchange(symbol: str) -> None:
    with pytest.raises(UnknownSymbol, match="expected EXCHANGE"):
        split_symbol(symbol)


@pytest.mark.parametrize(
    ("price", "tick", "expected"),
    [
        (5806.400000000001, 0.2, True),  # an upper limit as CTP sent it, CFFEX.IF 2021-01-05
        (3426.2, 0.2, True),
        (0.1 + 0.2, 0.1, True),
        (3426.3, 0.2, False),
        (85_005, 10, False),
        (100.005, 0.005, True),  # treasury bonds
        (-35, 5, True),  # spreads can be negative
        (math.nan, 1, False),
        (math.inf, 1, False),
    ],
)
def test_price_grid(price: float, tick: float, expected: bool) -> None:
    assert is_on_tick(price, tick) is expected


def test_rounds_to_the_price_that_is_no_worse() -> None:
    assert round_to_tick(85_007, 10, BUY) == 85_000
    assert round_to_tick(85_003, 10, SELL) == 85_010
    assert round_to_tick(5806.400000000001, 0.2, SELL) == 5806.4  # noise is no reason to move
    assert round_to_tick(0.1 + 0.2, 0.1, BUY) == 0.3
    assert round_to_tick(-3, 5, BUY) == -5


@given(
    price=st.floats(0.01, 1e6),
    tick=st.sampled_from([0.005, 0.02, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]),
    direction=st.sampled_from(Direction),
)
def test_rounded_prices_are_on_the_grid_and_near(
    price: float, tick: float, direction: Direction
) -> None:
    rounded = round_to_tick(price, tick, direction)
    assert is_on_tick(rounded, tick)
    assert abs(rounded - price) < tick
    assert rounded <= price + tick * 1e-6 if direction is BUY else rounded >= price - tick * 1e-6


@pytest.mark.parametrize("volume", [1, 2.0, 500])
def test_takes_whole_lots(volume: float) -> None:
    check_order(COPPER, BUY, volume, 85_000)


@pytest.mark.parametrize("volume", [0, -1, 1.5, math.nan, math.inf, True, "2", None])
def test_refuses_what_is_no_whole_number_of_lots(volume: float) -> None:
    with pytest.raises(BadVolume, match="at least 1") as caught:
        check_order(COPPER, BUY, volume, 85_000)
    assert repr(volume) in str(caught.value)


def test_refuses_more_than_one_order_may_hold() -> None:
    with pytest.raises(BadVolume, match="at most 500"):
        check_order(COPPER, BUY, 501, 85_000)
    with pytest.raises(BadVolume, match="at most 200"):
        check_order(IRON, BUY, 201, None)
    check_order(replace(COPPER, max_limit_order_volume=0), BUY, 9_999, 85_000)  # not known


@pytest.mark.parametrize(
    ("price", "message"),
    [
        (math.nan, "a finite number"),
        (math.inf, "a finite number"),
        (True, "a finite number"),
        (85_005, "a multiple of 10.0, such as 85000.0"),
        (90_010, "upper limit 90000.0"),
        (79_990, "lower limit 80000.0"),
    ],
)
def test_refuses_bad_prices(price: float, message: str) -> None:
    with pytest.raises(BadPrice, match=message):
        check_order(COPPER, BUY, 1, price)


def test_takes_prices_at_the_limits_and_without_known_limits() -> None:
    check_order(COPPER, BUY, 1, 90_000)
    check_order(COPPER, SELL, 1, 80_000)
    unknown = replace(COPPER, upper_limit=math.nan, lower_limit=math.nan)
    check_order(unknown, SELL, 1, 10)


def test_refuses_expired_contracts_and_main_contracts() -> None:
    with pytest.raises(InvalidOrder, match="expired"):
        check_order(replace(COPPER, expired=True), BUY, 1, 85_000)
    main = replace(COPPER, symbol="KQ.m@SHFE.cu", ins_class="CONT", underlying_symbol="SHFE.cu2512")
    with pytest.raises(InvalidOrder, match=r"trade SHFE\.cu2512"):
        check_order(main, BUY, 1, 85_000)


EXCHANGES = ["SHFE", "INE", "CFFEX", "DCE", "CZCE", "GFEX"]
LIMIT_PRICES = {"LIMIT": 100.0, "ANY": None, "BEST": "BEST", "FIVELEVEL": "FIVELEVEL"}


def tqsdk_takes(instrument: Instrument, price_type: str, advanced: str | None) -> bool:
    """Ask TqApi itself to write the order; it says 不支持 (not supported) when it does not."""
    api = pytest.importorskip("tqsdk.api")
    stand_in = SimpleNamespace(
        _data={"quotes": {instrument.symbol: SimpleNamespace(ins_class=instrument.ins_class)}},
        _ensure_shfe_ine_combination_supported=lambda *_: None,
        _account=SimpleNamespace(_get_account_key=lambda _: "", _get_account_id=lambda _: ""),
        _risk_manager=SimpleNamespace(
            _could_insert_order=lambda _: None, _on_insert_order=lambda _: None
        ),
    )
    write = api.TqApi._get_insert_order_future_pack
    try:
        write(stand_in, instrument.symbol, "BUY", "OPEN", 1, LIMIT_PRICES[price_type], advanced, "")
    except Exception as error:
        if "不支持" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("ins_class", ["FUTURE", "FUTURE_OPTION"])
def test_order_kinds_are_those_that_tqsdk_takes(exchange: str, ins_class: str) -> None:
    instrument = replace(
        COPPER, symbol=f"{exchange}.xx2601", exchange_id=exchange, ins_class=ins_class
    )
    for price_type in LIMIT_PRICES:
        for advanced in (None, "FAK", "FOK"):
            if tqsdk_takes(instrument, price_type, advanced):
                check_kind(instrument, price_type, advanced)
            else:
                with pytest.raises(InvalidOrder, match=instrument.symbol):
                    check_kind(instrument, price_type, advanced)


def test_a_market_order_is_refused_where_there_is_none() -> None:
    check_order(IRON, BUY, 1, None)
    with pytest.raises(InvalidOrder, match="give a limit price"):
        check_order(COPPER, BUY, 1, None)
