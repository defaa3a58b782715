"""Minute bars of a file of ticks by vn.py's `BarGenerator`, in a virtual environment that has it.

    python benchmarks/_bars_vnpy.py '{"file": "SHFE.cu2511.csv", "symbol": "SHFE.cu2511"}'

Prints one line of JSON, as `_bars_worker.py` does. Imports nothing of this project.
"""

from __future__ import annotations

import csv
import gc
import json
import sys
import time
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vnpy.trader.constant import Exchange
from vnpy.trader.object import BarData, TickData
from vnpy.trader.utility import BarGenerator

BEIJING = timezone(timedelta(hours=8))
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def ticks_of(path: Path, symbol: str) -> list[TickData]:
    """As vn.py's gateways make them: Beijing time, 0 for a price that there is not."""
    exchange, _, name = symbol.partition(".")
    with path.open(encoding="utf-8", newline="") as file:
        return [_tick(row, name, Exchange(exchange)) for row in csv.DictReader(file)]


def _tick(row: dict[str, str], name: str, exchange: Exchange) -> TickData:
    moment = EPOCH + timedelta(microseconds=int(row["datetime"]) // 1_000)
    return TickData(
        gateway_name="CTP",
        symbol=name,
        exchange=exchange,
        datetime=moment.astimezone(BEIJING),
        volume=float(row["volume"]),
        turnover=float(row["amount"] or 0),
        open_interest=float(row["open_interest"]),
        last_price=float(row["last_price"] or 0),
        high_price=float(row["highest"] or 0),
        low_price=float(row["lowest"] or 0),
    )


def main() -> None:
    asked: dict[str, Any] = json.loads(sys.argv[1])
    ticks = ticks_of(Path(asked["file"]), asked["symbol"])
    bars: list[BarData] = []
    generator = BarGenerator(bars.append)
    gc.collect()
    began = time.process_time()
    for tick in ticks:
        generator.update_tick(tick)
    generator.generate()  # the bar that no later tick ends
    seconds = time.process_time() - began
    print(json.dumps({"cpu": seconds, "version": version("vnpy"), "bars": [_row(b) for b in bars]}))


def _row(bar: BarData) -> list[float]:
    seconds = (bar.datetime - EPOCH) // timedelta(seconds=1)
    prices = (bar.open_price, bar.high_price, bar.low_price, bar.close_price)
    return [seconds * 10**9, *prices, bar.volume, bar.open_interest]


if __name__ == "__main__":
    main()
