"""What a notebook asks a store: history, ticks and contracts as the exchange itself has them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from support import OFFICIAL, run

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.errors import (
    BadTimeframe,
    ConfigError,
    NotStarted,
    UnknownProduct,
    UnknownSymbol,
    WrongSetting,
)

CU, IF = "SHFE.cu2511", "CFFEX.IF2510"
MINUTE = pd.Timedelta(minutes=1)
NIGHT, MORNING, AFTERNOON = "night", "morning", "afternoon"


def at(text: str) -> datetime:
    """A moment in Beijing time, as `LocalExchange` takes it."""
    return datetime.fromisoformat(text)


def held_at(text: str) -> LocalExchange:
    """A made-up market that stands still at this moment."""
    exchange = LocalExchange(start=at(text))
    exchange.pause()
    return exchange


def beijing(text: str) -> pd.Timestamp:
    moment: pd.Timestamp = pd.Timestamp(text, tz="Asia/Shanghai")
    return moment


# ---- bars


def test_history_is_the_official_record(records: Path) -> None:
    record = pd.read_csv(records / "klines" / "60s" / "SHFE.cu1905.csv.gz")
    days = sorted(set(record["trading_day"]))
    before = record[record["trading_day"] < days[5]]
    replay = LocalExchange(
        replay=records / "klines" / "60s" / "SHFE.cu1905.csv.gz",
        start=date.fromisoformat(days[5]),
    )
    with TqStore(exchange=replay) as store:
        found = store.history("SHFE.cu1905", n=2_000)
    expected = before.tail(2_000)
    ends = pd.to_datetime(expected["datetime"], utc=True).dt.tz_convert("Asia/Shanghai") + MINUTE
    assert list(found.index) == list(ends)
    columns = [*OFFICIAL[1:-1], "open_interest"]
    assert (found[columns].to_numpy() == expected[OFFICIAL[1:]].to_numpy()).all()
    assert [f"{day:%Y-%m-%d}" for day in found["trading_day"]] == list(expected["trading_day"])


@pytest.mark.parametrize(
    ("timeframe", "compression", "seconds"),
    [
        (bt.TimeFrame.Seconds, 10, 10),
        (bt.TimeFrame.Minutes, 5, 300),
        (bt.TimeFrame.Minutes, 60, 3_600),
        (bt.TimeFrame.Days, 1, 86_400),
    ],
    ids=["10s", "5m", "1h", "1d"],
)
def test_every_length_is_the_exchange_s_own(timeframe: int, compression: int, seconds: int) -> None:
    with TqStore(exchange=held_at("2025-09-16 10:12:05")) as store:
        found = store.history(CU, timeframe, compression, n=300)
        official = store.connection.history(CU, seconds, 301)
    closed = official[:-1][-300:]  # at 10:12:05 the newest one of each length is open
    names = ("open", "high", "low", "close", "volume", "close_oi")
    assert [tuple(row) for row in found[[*names[:-1], "open_interest"]].to_numpy()] == [
        tuple(float(row[name]) for name in names) for row in closed
    ]


def test_bars_are_named_by_their_end_day_and_session() -> None:
    """By hand: Friday's night belongs to Monday; the 13:00 hour bar holds 13:30 to 14:00."""
    with TqStore(exchange=held_at("2025-09-15 15:00:30")) as store:
        minutes = store.history(CU, n=465)
        hours = store.history(CU, compression=60, n=9)
        days = store.history(CU, bt.TimeFrame.Days, n=1)
        no_night = store.history(IF, bt.TimeFrame.Days, n=1)
    assert dict(minutes.groupby("session").size()) == {NIGHT: 240, MORNING: 135, AFTERNOON: 90}
    assert set(minutes["trading_day"]) == {pd.Timestamp("2025-09-15")}
    assert minutes.index[0] == beijing("2025-09-12 21:01")
    assert minutes.index[-1] == beijing("2025-09-15 15:00")
    assert [f"{end:%d %H:%M}" for end in hours.index] == [
        "12 22:00", "12 23:00", "13 00:00", "13 01:00", "15 10:00", "15 11:00", "15 11:30",
        "15 14:00", "15 15:00",
    ]  # fmt: skip
    assert list(hours["session"]) == [NIGHT] * 4 + [MORNING] * 3 + [AFTERNOON] * 2
    assert days.index[0] == no_night.index[0] == beijing("2025-09-15 15:00")
    assert days["session"].iloc[0] == "night+morning+afternoon"
    assert no_night["session"].iloc[0] == "morning+afternoon"
    day = days.iloc[0]
    assert (day["open"], day["close"]) == (minutes["open"].iloc[0], minutes["close"].iloc[-1])
    assert (day["high"], day["low"]) == (minutes["high"].max(), minutes["low"].min())
    assert day["volume"] == minutes["volume"].sum()


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2025-09-15 21:10:30", "2025-09-15 21:10"),
        ("2025-09-15 21:00:20", "2025-09-15 15:00"),
        ("2025-09-16 11:29:59", "2025-09-16 11:29"),
        ("2025-09-16 11:31:00", "2025-09-16 11:30"),  # no newer kline until 13:30
        ("2025-09-16 15:01:00", "2025-09-16 15:00"),
    ],
    ids=["inside", "first", "edge", "noon", "close"],
)
def test_the_open_bar_is_left_out(now: str, last: str) -> None:
    with TqStore(exchange=held_at(now)) as store:
        assert store.history(CU, n=3).index[-1] == beijing(last)


def test_the_minute_after_midnight_is_of_the_night() -> None:
    """Its label, 00:00 of the trading day, is that of the daily bar as well."""
    with TqStore(exchange=held_at("2025-09-16 00:02:30")) as store:
        found = store.history(CU, n=3)
        long = store.history(CU, compression=240, n=1)
    assert [f"{end:%H:%M}" for end in found.index] == ["00:00", "00:01", "00:02"]
    assert list(found["session"]) == [NIGHT] * 3
    assert (long.index[0], long["session"].iloc[0]) == (beijing("2025-09-16 00:00"), NIGHT)


def test_a_main_contract_has_a_history_too() -> None:
    with TqStore(exchange=held_at("2025-09-16 10:00:00")) as store:
        contracts = store.contracts("cu")
        main = contracts.index[contracts["main"]][0]
        mains, followed = store.history("KQ.m@SHFE.cu", n=20), store.history(main, n=20)
    pd.testing.assert_frame_equal(mains, followed)


def test_asking_first_changes_nothing_of_the_run_that_follows() -> None:
    end = at("2025-09-15 21:30:00")
    alone, _ = run(LocalExchange(end=end), CU, history=50)
    bars: list[Any] = []

    class Watch(bt.Strategy):
        def next(self) -> None:
            data = self.data
            bars.append((data.datetime.datetime(0), data.open[0], data.close[0], data.volume[0]))

    with TqStore(exchange=LocalExchange(end=end)) as store:
        store.history(CU, n=100)
        store.ticks(CU, n=100)
        store.contracts("cu")
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(CU, history=50))
        cerebro.addstrategy(Watch)
        cerebro.run()
    assert bars == [(bar[0], bar[1], bar[4], bar[5]) for bar in alone.bars]
    assert len(bars) == 80


# ---- ticks


def test_ticks_are_the_exchange_s_own() -> None:
    exchange = held_at("2025-09-16 09:05:00")
    with TqStore(exchange=exchange) as store:
        found = store.ticks(CU, 400)
        rows = exchange._venue.market.ticks_before(CU, exchange.now_ns, 400)
    ticks = [row.tick for row in rows]
    assert list(found.index) == [
        pd.Timestamp(tick.time_ns, tz="UTC").tz_convert("Asia/Shanghai") for tick in ticks
    ]
    assert list(found["last_price"]) == [tick.last_price for tick in ticks]
    assert list(found["volume"]) == [tick.volume for tick in ticks]
    assert list(found["open_interest"]) == [tick.open_interest for tick in ticks]
    assert (found["bid_price"] < found["ask_price"]).all()
    sessions = found.groupby("session").size()
    assert set(sessions.index) == {NIGHT, MORNING}
    assert (found["session"] == MORNING).sum() == (found.index > beijing("2025-09-16 02:00")).sum()
    assert set(found["trading_day"]) == {pd.Timestamp("2025-09-16")}


# ---- contracts


def test_contracts_are_the_listed_ones_with_their_terms() -> None:
    """Copper of autumn 2025: 5 t a lot, ticks of 10 CNY; it expires on the 15th, or after it."""
    exchange = held_at("2025-09-16 10:00:00")
    with TqStore(exchange=exchange) as store:
        found = store.contracts("cu")
        assert store.contracts("SHFE.cu").equals(found)
        assert list(store.contracts("IF")["volume_multiple"].unique()) == [300]
        listed = sorted(each for each in exchange.symbols if each.startswith("SHFE.cu"))
        terms = store.instrument(CU)
    assert list(found.index) == listed
    copper = found.loc[CU]
    assert (copper["name"], copper["product"], copper["delivery"]) == ("沪铜2511", "cu", "2025-11")
    assert (copper["volume_multiple"], copper["price_tick"]) == (5, 10.0)
    assert copper["expires"] == beijing("2025-11-17 15:00")  # the 15th was a Saturday
    assert (copper["margin_cny"], copper["commission_cny"]) == (
        terms.margin_cny,
        terms.commission_cny,
    )
    assert found["expires"].is_monotonic_increasing
    assert found["main"].sum() == 1


# ---- what cannot be answered


@pytest.mark.parametrize("symbol", ["SHFE.xx2511", "cu2511", "SHFE.CU2511", "", 5])
def test_an_unknown_symbol_is_named(symbol: Any) -> None:
    with TqStore(exchange=LocalExchange()) as store:
        for ask in (store.history, store.ticks):
            with pytest.raises(UnknownSymbol, match="no contract"):
                ask(symbol)


@pytest.mark.parametrize("product", ["xx", "CU", "SHFE.xx", "DCE.cu", "", "SHFE.", None])
def test_an_unknown_product_is_named(product: Any) -> None:
    with (
        TqStore(exchange=LocalExchange()) as store,
        pytest.raises(UnknownProduct, match=f"no product '{product}'"),
    ):
        store.contracts(product)


def test_bad_questions_are_refused_before_anything_is_opened() -> None:
    store = TqStore()
    for n in (0, -1, 10_001, 1.5, True, None):
        with pytest.raises(WrongSetting, match="1 to 10,000"):
            store.history(CU, n=n)  # type: ignore[arg-type]
        with pytest.raises(WrongSetting, match="1 to 10,000"):
            store.ticks(CU, n)  # type: ignore[arg-type]
    with pytest.raises(BadTimeframe, match=r"store\.ticks"):
        store.history(CU, bt.TimeFrame.Ticks)
    with pytest.raises(BadTimeframe):
        store.history(CU, bt.TimeFrame.Weeks)
    with pytest.raises(NotStarted):
        _ = store.connection
    assert issubclass(UnknownProduct, ConfigError)


def test_a_store_that_only_answered_closes_its_exchange() -> None:
    exchange = LocalExchange()
    store = TqStore(exchange=exchange)
    store.history(CU, n=1)
    assert exchange.is_running
    store.stop()
    assert not exchange.is_running
