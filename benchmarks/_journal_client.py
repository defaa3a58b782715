"""One trading day through Cerebro, in a process of its own, for `journal.py`.

    python benchmarks/_journal_client.py '{"journal": "orders.sqlite", "day": "2025-09-16"}'

`journal` null: nothing is written anywhere, and nothing is made for writing. Prints one line of
JSON: seconds of the loop, CPU seconds of its thread and those of them in the journal, ticks,
orders, and records written.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from datetime import date
from typing import Any

import backtrader as bt

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.chronicle import Chronicle
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.safe_journal import SafeJournal

SYMBOL = "SHFE.cu2511"
EVERY = 5  # bars from one order to the next
rows = depth = 0
inside_s = 0.0


class Turning(bt.Strategy):
    """Opens and closes in turn, each position with a trailing stop: more orders than most have."""

    stop_order: Any = None
    bars = 0

    def next(self) -> None:
        if self.data.history_phase:
            return
        self.bars += 1
        if self.bars % EVERY:
            return
        if self.stop_order is not None:
            self.cancel(self.stop_order)
            self.stop_order = None
        if self.position:
            self.close()
        else:
            self.buy(size=2)
            trail = {"exectype": bt.Order.StopTrail, "trailamount": 400}
            self.stop_order = self.sell(size=2, **trail)


class Timed(bt.Strategy):
    """Says how long the loop took."""

    def start(self) -> None:
        gc.collect()
        self.begin = time.perf_counter(), time.thread_time()

    def stop(self) -> None:
        self.took = time.perf_counter() - self.begin[0], time.thread_time() - self.begin[1]


def write_nothing() -> None:
    """The journal is as if it were not there."""

    class Nowhere:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    nowhere = Nowhere()
    for name in ("put", "put_order", "put_leg", "add_trade", "put_stop", "put_holding"):
        setattr(JournalWriter, name, lambda *_: True)
    setattr(SafeJournal, "add_trade", lambda *_: True)  # noqa: B010
    setattr(SafeJournal, "together", lambda *_: nowhere)  # noqa: B010
    setattr(SafeJournal, "poll", lambda *_: None)  # noqa: B010


def watch(kind: Any, name: str) -> None:
    """Add up the CPU time of a method; of those that call each other only the outermost."""
    call = getattr(kind, name)

    def timed(*terms: Any, **options: Any) -> Any:
        global inside_s, depth  # noqa: PLW0603
        begin, depth = time.thread_time(), depth + 1
        try:
            return call(*terms, **options)
        finally:
            depth -= 1
            inside_s += 0 if depth else time.thread_time() - begin

    setattr(kind, name, timed)


def count_rows() -> None:
    put = JournalWriter._put

    def counted(journal: Any, table: Any, record: Any) -> int:
        global rows  # noqa: PLW0603
        rows += 1
        return put(journal, table, record)

    setattr(JournalWriter, "_put", counted)  # noqa: B010


def main() -> None:
    asked = json.loads(sys.argv[1])
    if asked["journal"] is None:
        write_nothing()
    else:
        count_rows()
        for kind, name in ((SafeJournal, "_put"), (SafeJournal, "_write"), (Chronicle, "poll")):
            watch(kind, name)
    day = date.fromisoformat(asked["day"])
    with TqStore(exchange=LocalExchange(start=day, end=day), journal=asked["journal"]) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        data = store.getdata(SYMBOL, history=10)
        cerebro.adddata(data)
        cerebro.addstrategy(Turning)
        cerebro.addstrategy(Timed)
        turning, timed = cerebro.run()
    wall_s, cpu_s = timed.took
    orders = turning.bars // EVERY
    found = {"wall_s": wall_s, "cpu_s": cpu_s, "inside_s": inside_s}
    counts = {"ticks": data.ticks, "orders": orders, "rows": rows}
    print(json.dumps(found | counts), flush=True)


if __name__ == "__main__":
    main()
