"""Minute bars of a file of ticks by one builder, in a process of its own, for `all.py`.

    python benchmarks/_bars_worker.py '{"builder": "ours", "file": "SHFE.cu2511.csv", ...}'

Prints one line of JSON: CPU seconds, and the bars with the time that the builder gives them.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import backtrader as bt
import pandas as pd

from tianqin_backtrader import LocalExchange, RecordedData, TqStore
from tianqin_backtrader.bars import BarBuilder
from tianqin_backtrader.recorded import ticks_of
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.tick_reading import read_ticks
from tianqin_backtrader.trading_days import TradingDays

MINUTE_NS = 60_000_000_000
HALF_SECOND = timedelta(milliseconds=500)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  Backtrader's times are UTC without saying so

Asked = dict[str, Any]
Found = tuple[float, list[list[float]]]


class Collector(bt.Strategy):
    """Notes each bar: what any strategy would look at."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, ...]] = []

    def next(self) -> None:
        d = self.data
        self.seen.append(
            (
                d.datetime[0], d.open[0], d.high[0], d.low[0], d.close[0],
                d.volume[0], d.openinterest[0],
            )
        )  # fmt: skip


def ours(asked: Asked) -> Found:
    """`BarBuilder`, which needs no Backtrader; the ticks are in memory."""
    ticks = list(ticks_of(read_ticks(asked["file"])))
    builder = BarBuilder(Sessions(asked["hours"], TradingDays(None).calendar), MINUTE_NS)
    gc.collect()
    began = time.process_time()
    bars = [bar for tick in ticks for bar in builder.on_tick(tick)]
    bars += builder.close_until(asked["until_ns"])
    seconds = time.process_time() - began
    return seconds, [[b.end_ns, b.open, b.high, b.low, b.close, b.volume, b.close_oi] for b in bars]


def recorded(asked: Asked) -> Found:
    """`RecordedData` in Cerebro, from the file to the last `next`."""
    days = TradingDays(None).calendar
    gc.collect()
    began = time.process_time()
    cerebro = bt.Cerebro(stdstats=False)
    about: Asked = {"dataname": asked["file"], "symbol": asked["symbol"]}
    about |= {"trading_time": asked["hours"], "calendar": days}
    cerebro.adddata(RecordedData(**about))
    cerebro.addstrategy(Collector)
    seen = cerebro.run()[0].seen
    return time.process_time() - began, [_stamped(row) for row in seen]


def resampler(asked: Asked, **how: bool) -> Found:
    """Backtrader's resampler on a `PandasData` of ticks, from the file to the last `next`."""
    gc.collect()
    began = time.process_time()
    cerebro = bt.Cerebro(stdstats=False)
    frame = pd.read_csv(asked["file"])
    ticks = bt.feeds.PandasData(dataname=_ticks(frame), timeframe=bt.TimeFrame.Ticks)
    cerebro.resampledata(ticks, timeframe=bt.TimeFrame.Minutes, compression=1)
    cerebro.addstrategy(Collector)
    seen = cerebro.run(**how)[0].seen
    return time.process_time() - began, [_stamped(row) for row in seen]


def _ticks(frame: pd.DataFrame) -> pd.DataFrame:
    """Ticks as Backtrader wants them: lots of each tick, not of the day so far.

    Times are UTC: the resampler counts minutes of a day, and China's nights go over midnight.
    """
    frame = frame[frame.last_price.notna()]
    lots = frame.volume.diff()
    price = frame.last_price
    ticks: pd.DataFrame = pd.DataFrame(
        {
            "open": price,
            "high": price,
            "low": price,
            "close": price,
            "volume": lots.where(lots >= 0, frame.volume),  # a new day, and the first tick
            "openinterest": frame.open_interest,
        }
    )
    ticks.index = pd.DatetimeIndex(pd.to_datetime(frame.datetime))
    return ticks


def live_resampler(asked: Asked) -> Found:
    """The same as Cerebro runs it with live feeds."""
    return resampler(asked, preload=False, runonce=False)


def feed(asked: Asked) -> Found:
    """Exchange, TqApi, `TqStore` and Cerebro, in lock-step. The exchange's CPU time is in it."""
    how = asked["exchange"]
    days = {name: date.fromisoformat(how[name]) for name in ("start", "end") if name in how}
    began = time.process_time()
    with TqStore(exchange=LocalExchange(**how | days)) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(asked["symbol"], history=0))
        cerebro.addstrategy(Collector)
        seen = cerebro.run()[0].seen
    return time.process_time() - began, [_stamped(row) for row in seen]


def _stamped(row: tuple[float, ...]) -> list[float]:
    """A bar of Backtrader with its time in ns since 1970 UTC; a float of days rounds."""
    seconds = (bt.num2date(row[0]) + HALF_SECOND - EPOCH) // timedelta(seconds=1)
    return [seconds * 10**9, *row[1:]]


BUILDERS: dict[str, Callable[[Asked], Found]] = {
    each.__name__: each for each in (ours, recorded, resampler, live_resampler, feed)
}


def main() -> None:
    asked: Asked = json.loads(sys.argv[1])
    seconds, bars = BUILDERS[asked["builder"]](asked)
    print(json.dumps({"cpu": seconds, "bars": bars}))


if __name__ == "__main__":
    main()
