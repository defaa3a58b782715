"""Ticks through a feed's own part alone, without a TqApi, for the memory section of `feeds.py`.

    python benchmarks/_worker_series.py '{"marks": [100000, 1000000, 10000000]}'

A stand-in holds TqSdk's tree of one contract: a tick comes, is read, becomes part of a bar, and the
bar is taken away. What grows here is ours.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from datetime import date
from typing import Any, cast

import psutil

from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.charts import TickChart
from tianqin_backtrader.delivery import Straight
from tianqin_backtrader.flow import TickFlow
from tianqin_backtrader.series import BarSeries, Plan
from tianqin_backtrader.sessions import Sessions

SYMBOL = "SHFE.cu2511"
FIRST_DAY = date(2020, 6, 1)
HALF_SECOND_NS = 500_000_000
MINUTE_NS = 60_000_000_000
HOURS = {
    "day": (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00")),
    "night": (("21:00:00", "25:00:00"),),
}


class Tree:
    """TqSdk's tree of one contract: two klines before the first tick, then ticks."""

    def __init__(self, begins_ns: int) -> None:
        self.serial: dict[str, Any] = {"last_id": -1, "data": {}}
        prices = dict.fromkeys(("open", "high", "low", "close"), 80_000.0)
        self._klines = [
            {
                "datetime": begins_ns + n * MINUTE_NS,
                **prices,
                "volume": 0,
                "open_oi": 1,
                "close_oi": 1,
            }
            for n in (0, 1)
        ]

    def history(self, *_: Any) -> list[dict[str, Any]]:
        return self._klines

    def put(self, time_ns: int, volume: int) -> None:
        self.serial["last_id"] += 1
        self.serial["data"][str(self.serial["last_id"])] = {
            "datetime": time_ns,
            "last_price": 80_000.0 + time_ns // HALF_SECOND_NS % 97,
            "volume": volume,
            "amount": volume * 400_000.0,
            "open_interest": 5,
            **dict.fromkeys(("bid_price1", "ask_price1", "bid_volume1", "ask_volume1"), 1.0),
        }


def ticks(sessions: Sessions) -> Iterator[tuple[int, int]]:
    """Time and lots of the day so far, two a second of every session, without an end."""
    day = FIRST_DAY
    while True:
        volume = 0
        for stretch in sessions.stretches(day):
            for time_ns in range(stretch.start_ns, stretch.end_ns, HALF_SECOND_NS):
                volume += 1
                yield time_ns + HALF_SECOND_NS, volume
        day = sessions.calendar.next_day(day)


def main() -> None:
    marks = json.loads(sys.argv[1])["marks"]
    sessions = Sessions(HOURS, shanghai_calendar())
    tree = Tree(sessions.open_of(FIRST_DAY))
    stream = ticks(sessions)
    for _ in range(200):
        tree.put(*next(stream))
    pack = {"chart_id": "ticks", "ins_list": SYMBOL, "duration": 0, "view_width": 1_000}
    nodes = {"charts": {"left_id": 0}, "ticks": tree.serial, "": {}}
    chart = TickChart(pack, lambda *path: nodes[path[0] if path else ""])
    flow = TickFlow(chart, paced=True)
    plan = Plan(SYMBOL, 60, 60, Straight(), 1, True, date.max)
    series = BarSeries(cast("Any", tree), flow, sessions, plan, lambda *_, **__: None, None)
    series.go_live()
    flow.let_go()
    bars, began, done = 0, time.process_time(), 0
    for mark in marks:
        while done < mark:
            tree.put(*next(stream))
            flow.read()
            while series.queue.pop() is not None:
                bars += 1
            done += 1
        gc.collect()
        rss, objects = psutil.Process().memory_info().rss, len(gc.get_objects())
        cpu = time.process_time() - began
        row = {"ticks": done, "bars": bars, "rss": rss, "objects": objects, "cpu": cpu, "wall": cpu}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
