"""Candlesticks: no holes where the market is closed, China's colours, the sessions marked."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from tianqin_backtrader import LocalExchange, TqStore, candlestick
from tianqin_backtrader.candles import COLORS, NIGHT
from tianqin_backtrader.errors import ConfigError, WrongSetting

CU = "SHFE.cu2511"
RED, GREEN = "#d9303e", "#1f8a4c"


@pytest.fixture(scope="module")
def store() -> Any:
    with TqStore(exchange=LocalExchange(start=datetime(2025, 9, 16, 15, 1))) as running:  # noqa: DTZ001
        yield running


@pytest.fixture(scope="module")
def minutes(store: TqStore) -> pd.DataFrame:
    """Two trading days, of 465 minutes each."""
    return store.history(CU, n=930)


def test_breaks_and_nights_leave_no_hole(minutes: pd.DataFrame) -> None:
    figure = candlestick(minutes, CU)
    candles, volume = figure.data
    assert len(candles.x) == len(set(candles.x)) == 930
    assert figure.layout.xaxis.type == "category"  # bars stand side by side, whatever their times
    assert list(figure.layout.xaxis.categoryarray) == list(candles.x) == list(volume.x)
    assert list(candles.x[239:241]) == ["2025-09-13 01:00", "2025-09-15 09:01"]
    assert list(candles.high) == list(minutes["high"])
    assert list(volume.y) == list(minutes["volume"])
    assert figure.layout.title.text == CU


def test_nights_have_a_ground_and_days_an_edge(minutes: pd.DataFrame) -> None:
    shapes = candlestick(minutes).layout.shapes
    nights = [(each.x0, each.x1) for each in shapes if each.fillcolor == NIGHT]
    assert nights == [(-0.5, 239.5), (464.5, 704.5)]
    assert [each.x0 for each in shapes if each.type == "line"] == [464.5]


def test_the_time_axis_names_sessions_and_dates(minutes: pd.DataFrame) -> None:
    axis = candlestick(minutes).layout.xaxis
    assert list(axis.ticktext) == [
        "21:00<br>09-12", "09:00<br>09-15", "13:30", "21:00", "09:00<br>09-16", "13:30",
    ]  # fmt: skip
    close = candlestick(minutes.tail(60)).layout.xaxis
    assert list(close.ticktext) == [
        "14:10<br>09-16", "14:20", "14:30", "14:40", "14:50", "15:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("colors", "rising", "falling"), [("red_up", RED, GREEN), ("green_up", GREEN, RED)]
)
def test_red_rises_in_china(minutes: pd.DataFrame, colors: str, rising: str, falling: str) -> None:
    candles, volume = candlestick(minutes, colors=colors).data
    assert candles.increasing.line.color == candles.increasing.fillcolor == rising
    assert candles.decreasing.line.color == candles.decreasing.fillcolor == falling
    row = minutes.iloc[0]
    assert volume.marker.color[0] == (rising if row["close"] >= row["open"] else falling)


def test_days_are_named_by_their_trading_day(store: TqStore) -> None:
    days = store.history(CU, bt.TimeFrame.Days, n=60)
    figure = candlestick(days)
    assert figure.data[0].x[-1] == "2025-09-16"
    assert not figure.layout.shapes
    assert len(figure.layout.xaxis.ticktext) <= 9


def test_fills_stand_on_the_bars_in_which_they_happened(minutes: pd.DataFrame) -> None:
    ends = [
        "2025-09-15 09:00:30",
        "2025-09-15 09:01:00",
        "2025-09-16 15:00:00",
        "2025-09-16 15:00:01",
    ]
    trades = pd.DataFrame(
        {
            "side": [1, -1, 1, 1],
            "offset": ["OPEN", "CLOSETODAY", "OPEN", "OPEN"],
            "volume": [2, 1, 3, 4],
            "price": [91_000.0, 91_010.0, 91_500.0, 91_510.0],
        },
        index=pd.DatetimeIndex(ends).tz_localize("Asia/Shanghai"),
    )
    *_, bought, sold = candlestick(minutes, trades=trades).data
    assert list(bought.x) == ["2025-09-15 09:01", "2025-09-16 15:00"]  # the last one is beyond
    assert list(sold.x) == ["2025-09-15 09:01"]
    assert list(bought.y) == [91_000.0, 91_500.0]
    assert bought.text[0] == "bought 2 open @ 91000, 09:00:30"
    assert sold.text[0] == "sold 1 closetoday @ 91010, 09:01:00"


def test_seconds_get_names_of_their_own(store: TqStore) -> None:
    seconds = store.history(CU, bt.TimeFrame.Seconds, 10, n=50)
    labels = candlestick(seconds).data[0].x
    assert len(set(labels)) == 50
    assert labels[-1] == "2025-09-16 15:00:00"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_bars_can_be_drawn(minutes: pd.DataFrame, count: int) -> None:
    assert len(candlestick(minutes.head(count)).data[0].x or ()) == count


def test_bad_input_is_named(minutes: pd.DataFrame) -> None:
    with pytest.raises(WrongSetting, match=r"'blue'.*'red_up' or 'green_up'"):
        candlestick(minutes, colors="blue")
    with pytest.raises(WrongSetting, match="without volume"):
        candlestick(minutes.drop(columns="volume"))
    assert set(COLORS) == {"red_up", "green_up"}


def test_without_plotly_the_remedy_is_said(
    minutes: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[notebook\]"):
        candlestick(minutes)
