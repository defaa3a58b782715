"""The seeded market: same seed, same ticks; ids, days and contracts that join."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.errors import UnknownSymbol, WrongSetting
from tianqin_backtrader.sim.market import Market
from tianqin_backtrader.sim.tape import DayEnd, Tape
from tianqin_backtrader.sim.values import DAY_NS, MINUTE_NS, SECOND_NS

DAY = date(2025, 9, 16)
COPPER = "SHFE.cu2511"
TUTORIAL = [
    "SHFE.ni2206", "CZCE.FG209", "DCE.i2209", "DCE.m2105", "DCE.m2207", "SHFE.ni2205",
    "SHFE.rb2104", "SHFE.rb2105", "CFFEX.T2103", "CFFEX.T2012", "KQ.m@SHFE.rb", "KQ.m@SHFE.au",
]  # fmt: skip


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.seeded()


# ---- the seeded market


def test_starts_with_the_night_of_2025_09_15(market: Market) -> None:
    assert market.calendar.trading_day_of(market.start_ns) == DAY
    first = market.day_ticks(COPPER, DAY)[0]
    assert pd.Timestamp(first.time_ns, tz="Asia/Shanghai").strftime("%m-%d %H:%M") == "09-15 21:00"


def test_same_seed_same_ticks_whatever_was_asked_before(market: Market) -> None:
    other = Market.seeded()
    other.day_ticks("SHFE.rb2601", date(2025, 10, 9))
    other.klines_before(COPPER, MINUTE_NS, other.start_ns, 100)
    assert other.day_ticks(COPPER, DAY) == market.day_ticks(COPPER, DAY)
    assert Market.seeded(seed=2).day_ticks(COPPER, DAY) != market.day_ticks(COPPER, DAY)


def test_a_later_start_finds_the_same_days(market: Market) -> None:
    later = Market.seeded(start=date(2025, 9, 22))
    assert later.day_ticks(COPPER, DAY) == market.day_ticks(COPPER, DAY)


@pytest.mark.parametrize("symbol", [*TUTORIAL, COPPER, "INE.sc2511", "GFEX.lc2511", "CFFEX.IF2509"])
def test_every_tick_is_on_the_grid_within_limits_and_in_order(market: Market, symbol: str) -> None:
    contract, terms = market.contract(symbol), market.terms(symbol, DAY)
    assert contract is not None
    ticks = market.day_ticks(symbol, DAY)
    assert all(a.time_ns < b.time_ns and a.volume <= b.volume for a, b in pairwise(ticks))
    for tick in ticks:
        assert terms.lower_limit <= tick.last_price <= terms.upper_limit
        steps = tick.last_price / contract.price_tick
        assert abs(steps - round(steps)) < 1e-6
        assert tick.bids[0][0] < tick.asks[0][0]
        assert len(tick.bids) == (5 if symbol[:4] in ("SHFE", "INE.") or "SHFE" in symbol else 1)
    assert ticks[-1].highest == max(tick.last_price for tick in ticks if tick.volume)
    assert ticks[-1].volume > 500


def test_days_chain(market: Market) -> None:
    today, following = DAY, market.next_day(DAY)
    assert following == date(2025, 9, 17)
    last = market.day_ticks(COPPER, today)[-1]
    terms = market.terms(COPPER, following)
    assert terms.pre_close == last.last_price
    assert terms.pre_open_interest == last.open_interest
    assert terms.pre_settlement == pytest.approx(last.average, abs=5)  # half a tick of copper
    assert terms.pre_settlement == market.settlement(COPPER, today)


def test_contracts_of_one_product_stay_together(market: Market) -> None:
    near, far = (market.day_ticks(s, DAY) for s in ("SHFE.cu2510", "SHFE.cu2512"))
    assert abs(near[-1].last_price / far[-1].last_price - 1) < 0.03


@pytest.mark.parametrize("duration_s", [10, 60, 90, 240, 3_600, 86_400, 5 * 86_400])
@pytest.mark.parametrize("symbol", [COPPER, "KQ.m@SHFE.rb", "SHFE.ni2206"])
def test_history_joins_what_grows_live(market: Market, symbol: str, duration_s: int) -> None:
    """The same rows, with the same ids, whenever they are asked for."""
    duration_ns = duration_s * SECOND_NS
    ticks = market.day_ticks(symbol, DAY)
    early, late = ticks[700].time_ns, ticks[-1].time_ns
    rows, builder = market.open_series(symbol, duration_ns, early, 50)
    known = {row.id: row for row in rows}
    for tick in ticks[701:]:
        known |= {row.id: row for row in builder.on_tick(tick)}
    asked = market.klines_before(symbol, duration_ns, late, len(known))
    assert asked == list(known.values())
    tomorrow = market.next_day(DAY)
    assert tomorrow is not None
    past = market.klines_before(symbol, duration_ns, market.calendar.begins_ns(tomorrow), 20)
    assert past == asked[-20:]


def test_ids_of_ticks_join_over_days(market: Market) -> None:
    tomorrow = market.next_day(DAY)
    assert tomorrow is not None
    now = market.day_ticks(COPPER, tomorrow)[9].time_ns
    rows = market.ticks_before(COPPER, now, 10_000)
    assert [row.id for row in rows] == list(range(rows[0].id, rows[0].id + 10_000))
    early = market.ticks_before(COPPER, market.day_ticks(COPPER, DAY)[-1].time_ns, 3)
    by_id = {row.id: row.tick for row in rows}
    assert [by_id[row.id] for row in early] == [row.tick for row in early]


def test_history_is_deep_enough(market: Market) -> None:
    assert len(market.klines_before(COPPER, DAY_NS, market.start_ns, 10_000)) >= 260
    minutes = market.klines_before("CFFEX.IF2512", MINUTE_NS, market.start_ns, 10_000)
    assert len(minutes) == 10_000
    days = market.klines_before(COPPER, DAY_NS, market.start_ns, 10_000)
    assert days[0].id == 0
    assert any(row.volume == 0 for row in market.klines_before(
        "SHFE.ni2206", MINUTE_NS, market.start_ns, 2_000
    ))  # fmt: skip


@pytest.mark.parametrize(
    "symbol",
    ["SHFE.CU2511", "DCE.cu2511", "SHFE.cu251", "CZCE.SR2601", "SHFE.cu2513", "SHFE.cu2500",
     "SHFE.xx2511", "cu2511", "", "KQ.m@SHFE.xx", "SHFE.cu2511C80000"],
)  # fmt: skip
def test_no_such_contract(market: Market, symbol: str) -> None:
    assert market.contract(symbol) is None
    with pytest.raises(UnknownSymbol):
        market.day_ticks(symbol, DAY)


def test_a_past_delivery_month_trades_on_as_the_next_such_month(market: Market) -> None:
    nickel = market.contract("SHFE.ni2206")
    assert nickel is not None
    assert (nickel.delivery_year, nickel.delivery_month, nickel.expired) == (2022, 6, False)
    assert pd.Timestamp(nickel.expire_ns, tz="Asia/Shanghai").date() == date(2026, 6, 15)


def test_main_contract_rolls(market: Market) -> None:
    assert market.main_contract("KQ.m@SHFE.rb", DAY) == "SHFE.rb2601"
    assert market.main_contract("KQ.m@CFFEX.IF", date(2025, 9, 18)) == "CFFEX.IF2509"
    assert market.main_contract("KQ.m@CFFEX.IF", date(2025, 9, 22)) == "CFFEX.IF2510"
    assert market.main_contract(COPPER, DAY) == COPPER
    main = market.contract("KQ.m@SHFE.rb")
    assert main is not None
    assert (main.ins_class, main.exchange_id) == ("CONT", "KQ")
    assert main.underlying_symbol == "SHFE.rb2601"


def test_six_exchanges_list_their_contracts(market: Market) -> None:
    contracts = market.contracts()
    assert {c.exchange_id for c in contracts} == {
        "SHFE",
        "INE",
        "DCE",
        "CZCE",
        "CFFEX",
        "GFEX",
        "KQ",
    }
    assert len({c.symbol for c in contracts}) == len(contracts)
    index = next(c for c in contracts if c.symbol == "CFFEX.IF2509")
    assert index.commission_close_today_cny > 5 * index.commission_cny
    assert {c.exchange_id for c in contracts if c.max_market_order_volume} - {"KQ"} == {
        "CZCE",
        "DCE",
        "GFEX",
    }


def test_end_is_the_last_day_or_moment() -> None:
    market = Market.seeded(start=date(2025, 9, 16), end=date(2025, 9, 17))
    assert market.next_day(date(2025, 9, 16)) == date(2025, 9, 17)
    assert market.next_day(date(2025, 9, 17)) is None
    noon = Market.seeded(end=datetime(2025, 9, 16, 11, 0))  # noqa: DTZ001  Beijing time
    last = noon.day_ticks(COPPER, DAY)[-1].time_ns
    assert pd.Timestamp(last, tz="Asia/Shanghai").strftime("%H:%M") in ("10:59", "11:00")
    assert noon.next_day(DAY) is None


def test_end_before_start_is_refused() -> None:
    with pytest.raises(WrongSetting, match="end"):
        Market.seeded(start=date(2025, 9, 16), end=date(2025, 9, 12))


def test_instruments_override_the_catalogue(records: Path) -> None:
    path = records / "instruments/2020-06-16.json"
    market = Market.seeded(start=date(2020, 6, 16), instruments=path)
    row = json.loads(path.read_text(encoding="utf-8"))["SHFE.cu2007"]
    found = market.contract("SHFE.cu2007")
    assert found is not None
    assert (found.margin_cny, found.commission_cny) == (row["margin"], row["commission"])
    assert found.expire_ns == row["expire_datetime"] * SECOND_NS
    rows = [{"instrument_id": COPPER, "price_tick": 20.0, "volume_multiple": 7}]
    changed = Market.seeded(instruments=rows).contract(COPPER)
    assert changed is not None
    assert (changed.price_tick, changed.volume_multiple) == (20.0, 7)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    offset=st.integers(0, 400),
    symbol=st.sampled_from(
        ["SHFE.cu2512", "DCE.jd2601", "CFFEX.T2603", "CZCE.SR605", "INE.sc2601"]
    ),
)
def test_any_seed_and_day_stays_within_the_limits(seed: int, offset: int, symbol: str) -> None:
    market = Market.seeded(seed=seed, ticks_per_minute=1)
    day = market.calendar.day_at(market.calendar.index(DAY) + offset)
    terms = market.terms(symbol, day)
    prices = [tick.last_price for tick in market.day_ticks(symbol, day)]
    assert terms.lower_limit <= min(prices)
    assert max(prices) <= terms.upper_limit


def test_after_the_settlement_the_market_is_closed_until_the_night() -> None:
    """An order that came between both met history lots in a market that seemed open."""
    market = Market.seeded(start=datetime(2025, 9, 16, 14, 58), ticks_per_minute=1)  # noqa: DTZ001
    tape = Tape(market)
    tape.activate(COPPER)
    while not isinstance(tape.advance(), DayEnd):
        pass
    evening = datetime(2025, 9, 16, 18, tzinfo=timezone(timedelta(hours=8)))
    assert tape.now_ns == int(evening.timestamp()) * SECOND_NS
    contract = market.contract(COPPER)
    assert contract is not None
    assert not market.calendar.is_open(contract, tape.now_ns)
    assert tape.advance()  # 21:00
    assert market.calendar.is_open(contract, tape.now_ns)
