"""Real records through the exchange, the real TqApi and Cerebro: every bar is the official one."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import official_bars, run

from tianqin_backtrader import LocalExchange

THREE_DAYS = {
    "from the record's first minute": ("SHFE.cu1905", "2019-03-05", "2019-03-07"),
    "over a Friday night": ("SHFE.cu1905", "2019-04-11", "2019-04-15"),
    "over a holiday without its night": ("SHFE.cu1905", "2019-04-03", "2019-04-08"),
    "without nights, over Labour Day": ("DCE.jd1909", "2019-04-29", "2019-05-06"),
    "on CFFEX hours": ("CFFEX.IF1908", "2019-06-24", "2019-06-26"),
}


@pytest.mark.parametrize(("symbol", "first", "last"), THREE_DAYS.values(), ids=THREE_DAYS)
def test_every_bar_equals_the_official_record(
    symbol: str, first: str, last: str, records: Path
) -> None:
    path = records / "klines" / "60s" / f"{symbol}.csv.gz"
    record = pd.read_csv(path)
    days = record[(record.trading_day >= first) & (record.trading_day <= last)]
    assert days.trading_day.nunique() == 3
    exchange = LocalExchange(
        replay=[path], start=date.fromisoformat(first), end=date.fromisoformat(last)
    )
    seen, _ = run(exchange, symbol, history=10)
    before = record[record.index < days.index[0]].tail(seen.history)
    assert seen.bars == official_bars(pd.concat([before, days]))


def test_history_comes_first_and_live_follows_without_a_seam(records: Path) -> None:
    path = records / "klines" / "60s" / "SHFE.cu1905.csv.gz"
    day = date(2019, 3, 12)
    seen, _ = run(LocalExchange(replay=[path], start=day, end=day), "SHFE.cu1905", history=500)
    assert seen.history == 500
    assert seen.statuses == ["DELAYED", "LIVE", "DISCONNECTED"]
    record = pd.read_csv(path)
    live = record[record.trading_day == day.isoformat()]
    expected = record.loc[live.index[0] - 500 : live.index[-1]]
    assert seen.bars == official_bars(expected)


def test_a_hole_in_the_records_makes_no_bars_up(records: Path) -> None:
    """jd1909 jumps from 2019-07-08 10:56 to its last minute on 2019-09-25."""
    path = records / "klines" / "60s" / "DCE.jd1909.csv.gz"
    record = pd.read_csv(path)
    tail = record[record.trading_day >= "2019-07-05"]
    seen, _ = run(LocalExchange(replay=[path], start=date(2019, 7, 5)), "DCE.jd1909", history=0)
    assert seen.bars == official_bars(tail)


def test_extra_lines_hold_the_quotes_amount_and_trading_day(records: Path) -> None:
    path = records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"
    record = pd.read_csv(path)
    at = pd.to_datetime(record.dt)
    until = datetime(2021, 1, 4, 9, 45)  # noqa: DTZ001  Beijing time
    lines: dict[str, tuple[float, ...]] = {}

    def look(strategy: Any) -> None:
        d = strategy.data
        quotes = (d.bid_price[0], d.ask_price[0], d.bid_volume[0], d.ask_volume[0])
        end = f"{d.datetime.datetime(0):%H:%M}"
        lines[end] = (*quotes, d.amount[0], d.trading_day[0])

    run(LocalExchange(replay=[path], end=until), "CFFEX.IF2101", look, history=0)
    for end in ("09:35", "09:40"):
        moment = pd.Timestamp(f"2021-01-04 {end}")
        minute = record[(at > moment - pd.Timedelta(minutes=1)) & (at <= moment)]
        newest, before = minute.iloc[-1], record[at <= moment - pd.Timedelta(minutes=1)].iloc[-1]
        names = ("bid_price1", "ask_price1", "bid_volume1", "ask_volume1")
        amount = newest.total_turnover - before.total_turnover
        assert lines[end] == (*(newest[name] for name in names), amount, 20210104)


def test_ticks_of_a_real_day_make_240_bars_and_the_days_volume(records: Path) -> None:
    """CTP ticks with auction and after-hours ticks, which make phantom bars elsewhere."""
    path = records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"
    seen, _ = run(LocalExchange(replay=[path]), "CFFEX.IF2101", history=0)
    ends = [f"{bar[0]:%H:%M}" for bar in seen.bars]
    assert (len(ends), ends[0], ends[119], ends[120], ends[-1]) == (
        240, "09:31", "11:30", "13:01", "15:00",
    )  # fmt: skip
    assert sum(bar[5] for bar in seen.bars) == pd.read_csv(path).total_volume.max()
