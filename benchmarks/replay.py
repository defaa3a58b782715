"""Replay real records in lock-step: is every bar the official one, and what does it cost?

    python benchmarks/replay.py [--records DIR] [--days N]

For each record the whole replay runs twice in this process: through a raw TqApi loop (quote and
tick serial, nothing else), and through the real TqApi, `TqStore` and Cerebro. Prints how many bars
equal the record in open, high, low, close, volume and open interest, and both rates in ticks per
second, counted from the moment the subscriptions stand to the end of the records.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
from rich.console import Console
from rich.table import Table
from tqsdk import TqApi, TqAuth, TqKq

from tianqin_backtrader import LocalExchange, TqStore

RECORDS = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FILES = ("SHFE.cu1905", "DCE.jd1909", "CFFEX.IF1908")
Row = tuple[Any, ...]


class Collector(bt.Strategy):
    def __init__(self) -> None:
        self.seen: list[Row] = []
        self.began = 0.0

    def start(self) -> None:
        self.began = time.perf_counter()

    def next(self) -> None:
        d = self.data
        lines = (d.open, d.high, d.low, d.close, d.volume, d.openinterest)
        self.seen.append((d.datetime.datetime(0), *(line[0] for line in lines)))


def through_backtrader(path: Path, symbol: str, end: date | None) -> tuple[list[Row], int, float]:
    """Bars delivered, ticks consumed and seconds taken."""
    with TqStore(exchange=LocalExchange(replay=[path], end=end)) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        data = store.getdata(symbol)
        cerebro.adddata(data)
        cerebro.addstrategy(Collector)
        strategy = cerebro.run()[0]
        return strategy.seen, data.ticks, time.perf_counter() - strategy.began


def through_raw_tqapi(path: Path, symbol: str, end: date | None) -> tuple[int, float]:
    """Ticks seen by the shortest TqSdk program, and seconds taken."""
    with LocalExchange(replay=[path], end=end) as exchange:
        auth = TqAuth("demo", "demo")
        auth._auth_url = exchange.auth_url
        api = TqApi(
            TqKq(td_url=exchange.td_url),
            auth=auth,
            _md_url=exchange.md_url,
            debug=False,
            disable_print=True,
        )
        api.get_quote(symbol)
        ticks = api.get_tick_serial(symbol)
        began = time.perf_counter()
        while not exchange.ended:
            api.wait_update(deadline=time.time() + 1)
        seconds = time.perf_counter() - began
        seen = int(ticks.id.iloc[-1]) + 1
        api.close()
    return seen, seconds


def official(path: Path, end: date | None) -> list[Row]:
    record = pd.read_csv(path)
    if end is not None:
        record = record[record.trading_day <= end.isoformat()]
    ends = pd.to_datetime(record.datetime + 60_000_000_000 + 8 * 3_600_000_000_000)
    prices = (record[name].tolist() for name in ("open", "high", "low", "close"))
    volumes = (record[name].tolist() for name in ("volume", "close_oi"))
    moments: list[datetime] = [moment.to_pydatetime() for moment in ends]
    return list(zip(moments, *prices, *volumes, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--days", type=int, help="trading days of each record (default: all)")
    options = parser.parse_args()
    folder = options.records / "klines" / "60s"
    if not folder.is_dir():
        print(f"no records at {folder}", file=sys.stderr)
        return 2
    table = Table(title="Lock-step replay of one-minute records, real TqApi", title_justify="left")
    for name in ("record", "days", "bars", "equal", "missing", "extra", "ticks"):
        table.add_column(name, justify="left" if name == "record" else "right")
    for name in ("raw TqApi ticks/s", "through Backtrader ticks/s", "ratio"):
        table.add_column(name, justify="right")
    wrong = 0
    for symbol in FILES:
        path = folder / f"{symbol}.csv.gz"
        days = sorted(pd.read_csv(path).trading_day.unique())[: options.days]
        end = date.fromisoformat(days[-1])
        expected = official(path, end)
        raw_ticks, raw_seconds = through_raw_tqapi(path, symbol, end)
        seen, ticks, seconds = through_backtrader(path, symbol, end)
        equal = len(set(seen) & set(expected))
        missing, extra = len(set(expected) - set(seen)), len(seen) - equal
        wrong += missing + extra
        raw_rate, rate = raw_ticks / raw_seconds, ticks / seconds
        cells = (len(days), len(expected), equal, missing, extra, ticks)
        rates = (f"{raw_rate:,.0f}", f"{rate:,.0f}", f"{rate / raw_rate:.2f}")
        table.add_row(symbol, *map(str, cells), *rates)
    Console(width=140).print(table)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
