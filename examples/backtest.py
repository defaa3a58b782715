"""One strategy, two places: a backtest, and the embedded exchange over the same recorded days.

The file `strategy.py` runs unchanged in `run_live.py` and here: first at the exchange, which
replays the klines, then in Backtrader's own broker with `TqCommInfo`. The table compares both.
Where they differ, a rule of `RULES` says why and by how much, to the cent; what no rule explains is
called UNEXPLAINED, and the program ends with 1.

    python examples/backtest.py                                       # klines of the made-up market
    python examples/backtest.py --data SHFE.cu1905.csv.gz --days 5    # your own, CSV or Parquet

A file of one-minute klines is named after its contract and has TqSdk's columns: datetime (ns since
1970, start of the minute), open, high, low, close, volume, open_oi, close_oi. What the exchange
charged is what the backtest charges; for one alone, write your broker's terms:

    fees = {"commission": 20.2, "close_today": 40.4}
    TqCommInfo(mult=5, margin=36_000, exchange_id="SHFE", data=feed, **fees)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zlib
from datetime import date
from pathlib import Path
from typing import Any

import backtrader as bt
import gallery
import pandas as pd
from parity import OHLCV, RULES, UNEXPLAINED, Row, Story, compare
from strategy import DualMovingAverage

from tianqin_backtrader import LocalExchange, TqCommInfo, TqStore
from tianqin_backtrader.beijing import BEIJING
from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.errors import BadReplayFile, WrongSetting

EQUITY_CNY = 10_000_000.0
MINUTE_NS = 60_000_000_000
EPOCH_DAY = 719_163  # 1970-01-01, as Backtrader counts days


# ---- the records


def klines_of(path: Path) -> pd.DataFrame:
    """Recorded klines with their trading days. Raises `BadReplayFile`."""
    try:
        read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
        frame: pd.DataFrame = read(path)
    except (OSError, EOFError, ValueError, ImportError, zlib.error) as error:
        raise BadReplayFile(path, str(error), "a CSV or Parquet file of klines") from error
    missing = {"datetime", "open_oi", "close_oi", *OHLCV} - set(frame.columns)
    if missing:
        raise BadReplayFile(path, f"no column {min(missing)}", "TqSdk's columns of klines")
    if frame.empty:
        raise BadReplayFile(path, "no rows", "one-minute klines")
    if not pd.api.types.is_integer_dtype(frame["datetime"]):
        raise BadReplayFile(path, f"datetime {frame['datetime'][0]!r}", "ns since 1970 UTC")
    apart = frame["datetime"].diff().min() / 1e9
    if apart != 60:
        raise BadReplayFile(path, f"klines {apart:g} s apart", "one-minute klines")
    if "trading_day" not in frame.columns:
        frame["trading_day"] = trading_days(frame["datetime"])
    frame["trading_day"] = pd.to_datetime(frame["trading_day"]).dt.date
    return frame


def trading_days(labels: pd.Series[int]) -> list[date]:
    """From 18:00 on a moment belongs to the next trading day."""
    calendar, known = shanghai_calendar(), dict[date, date]()
    evenings = pd.to_datetime(labels + (8 + 6) * 60 * MINUTE_NS).dt.date
    for day in evenings.unique():
        known[day] = day if calendar.is_trading_day(day) else calendar.next_day(day)
    return [known[day] for day in evenings]


def mint(folder: Path, symbol: str, days: int) -> Path:
    """The klines of some days of the made-up market, as its history tells them."""
    exchange = LocalExchange(**gallery.hours("2025-09-18 20:59", "2025-09-18 21:01"))
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(stdstats=False)
        data = store.getdata(symbol, history=465 * days)  # copper: 465 minutes a day
        cerebro.adddata(data)
        cerebro.addstrategy(bt.Strategy)
        cerebro.run()
        columns = {name: list(getattr(data, name).array) for name in (*OHLCV, "trading_day")}
        ends = [round((end - EPOCH_DAY) * 1440) for end in data.datetime.array]
        frame = pd.DataFrame(columns).assign(
            datetime=[(minute - 1) * MINUTE_NS for minute in ends],
            close_oi=list(data.openinterest.array),
        )
    frame["open_oi"] = frame["close_oi"].shift(1, fill_value=frame["close_oi"][0])
    frame["trading_day"] = pd.to_datetime(frame["trading_day"].astype(int).astype(str))
    path = folder / f"{symbol}.csv"
    frame[: 465 * days].to_csv(path, index=False)
    return path


# ---- the two runs


def at_exchange(path: Path, days: list[date]) -> Story:
    exchange = LocalExchange(
        replay=[path], start=days[0], end=days[-1], balance_cny=EQUITY_CNY, ticks_per_minute=4
    )
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(exchange.symbols[0], history=0))
        return told_by(cerebro)


class Klines(bt.feeds.PandasData):
    """Recorded klines, each at its end, in Beijing time."""

    lines: Any = ("trading_day",)
    params: Any = (("trading_day", "trading_day"), ("openinterest", "close_oi"), ("tz", BEIJING))


def in_backtest(klines: pd.DataFrame, exchange: Story) -> Story:
    terms, listed = exchange.terms, exchange.instrument
    numbered = pd.to_datetime(klines["trading_day"]).dt.strftime("%Y%m%d").astype(int)
    ends = pd.to_datetime(klines["datetime"] + MINUTE_NS)
    feed = Klines(dataname=klines.assign(trading_day=numbered).set_index(ends))
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.setcash(EQUITY_CNY)
    cerebro.broker.set_slippage_fixed(listed.price_tick, slip_out=True)
    fees = {"commission": terms.commission, "close_today": terms.close_today}
    money = {"mult": terms.mult, "margin": terms.margin, "exchange_id": listed.exchange_id}
    cerebro.broker.addcommissioninfo(TqCommInfo(data=feed, **money, **fees))
    cerebro.adddata(feed)
    return told_by(cerebro)


def told_by(cerebro: bt.Cerebro) -> Story:
    cerebro.addstrategy(DualMovingAverage)
    cerebro.addanalyzer(Story, _name="story")
    story: Story = cerebro.run()[0].analyzers.story
    return story


# ---- the program


def play(options: argparse.Namespace) -> dict[str, Any]:
    if options.mode != "demo":
        raise WrongSetting("--mode", options.mode, "demo: recorded days, the embedded exchange")
    if options.days < 1:
        raise WrongSetting("--days", options.days, "a whole number of trading days, at least 1")
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or mint(Path(folder), "SHFE.cu2511", min(options.days, 20))
        klines = klines_of(path)
        days = list(klines["trading_day"].unique())
        days = days[1:] if options.data and len(days) > 1 else days  # the first may be cut
        days = days[: options.days]
        traded = at_exchange(path, days)
        tested = in_backtest(klines[klines["trading_day"].isin(days)], traded)
    return show(f"{path.name}, {days[0]} to {days[-1]}", compare(tested, traded))


def show(title: str, rows: list[Row]) -> dict[str, Any]:
    lines = [
        (row.what, *(f"{n:,.10g}" for n in (row.backtest, row.exchange)), _signed(row), row.rule)
        for row in rows
    ]
    gallery.show(title, ("", ">backtest", ">exchange", ">difference", "rule"), lines)
    for rule in dict.fromkeys(row.rule for row in rows if row.rule):
        gallery.console.print(f"[bold]{rule}[/]: {RULES.get(rule, 'look into it')}")
    unexplained = [row.what for row in rows if row.rule == UNEXPLAINED]
    told = [vars(row) | {"difference": row.difference} for row in rows]
    return {"rows": told, "unexplained": unexplained, "failed": bool(unexplained)}


def _signed(row: Row) -> str:
    return f"{row.difference:+,.10g}" if row.difference else "0"


if __name__ == "__main__":
    data = {"type": Path, "metavar": "FILE", "help": "one-minute klines of a contract"}
    count = {"type": int, "default": 2, "help": "trading days (default: 2)"}
    sys.exit(gallery.main(__doc__, play, data=data, days=count))
