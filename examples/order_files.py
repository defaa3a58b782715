"""A folder of order instructions: each CSV file is executed once, its results are written beside.

Idea: another program, or a person with a spreadsheet, decides; this one trades.
Rules: a file in `inbox/` (write it elsewhere, then move it there) has the columns symbol, side,
lots and price; no price means at market. Once a minute it is taken, by a rename. All of its rows
are good, or none is sent and the result says what is wrong with each. `results/<file>` tells what
every row came to, `done/` keeps files that are over; a name that is there already is left alone.
Each row is one order with a number that follows from file name and row. After a crash the journal
tells which rows were ordered; only what never reached the exchange is sent again.

    python examples/order_files.py                                  # sample files
    python examples/order_files.py --mode kq --folder orders --symbols SHFE.cu2601 DCE.m2605

With --folder it waits for more files until Ctrl-C.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import backtrader as bt
import gallery
from order_rows import RESULTS, Row, figures, known_orders, read, reason_of, result_of, was_lost

from tianqin_backtrader import TqStore
from tianqin_backtrader.errors import OrderError

NOT_SENT = "not sent"
ENDED = {"Completed", "Canceled", "Expired", "Margin", "Rejected", NOT_SENT}
FOLDERS = ("inbox", "taken", "results", "done")
SAMPLES = {
    "1-open.csv": "symbol,side,lots,price\nSHFE.cu2511,buy,2,\nDCE.m2601,sell,5,\n",
    "2-typos.csv": "symbol,side,lots,price\nDCE.m2601,buy,1,\nDCE.m2601,by,1,\ncu2511,buy,2,\n",
    "3-limit.csv": "symbol,side,lots,price\nDCE.m2601,sell,3,3300\n",
}


class OrderFiles(bt.Strategy):
    """Executes the files of `folder`. known: what earlier runs ordered, by the row's number."""

    params = (("folder", None), ("known", None), ("ends", False))

    def __init__(self) -> None:
        self.files: dict[str, list[Row]] = {}  # under way
        self.left: set[str] = set()

    def next(self) -> None:
        if any(data.history_phase for data in self.datas):
            return
        inbox, taken, _, done = (self.p.folder / name for name in FOLDERS)
        for path in sorted(inbox.glob("*.csv")):
            if (taken / path.name).exists() or (done / path.name).exists():
                self.leave(path.name)
            else:
                with suppress(OSError):  # its writer still holds it, or another scanner was faster
                    path.rename(taken / path.name)
        for path in sorted(taken.glob("*.csv")):
            if path.name not in self.files:
                self.execute(path)
        if self.p.ends and not self.files:
            self.env.runstop()

    def leave(self, name: str) -> None:
        if name not in self.left:
            self.left.add(name)
            gallery.console.print(f"{name} stays in inbox/: a file of that name was executed")

    def execute(self, path: Path) -> None:
        """Check every row, then order those that no earlier run has ordered."""
        feeds = {data.symbol: data for data in self.datas}
        rows = self.files[path.name] = read(path, feeds)
        if any(row["note"] for row in rows):
            for row in rows:
                row.update(status=NOT_SENT, note=row["note"] or "another row is wrong")
        for row in rows:
            if row["number"] in self.p.known:
                row.update(self.p.known[row["number"]])
            elif not row["note"]:
                self.send(row, feeds[row["symbol"]])
        self.write(path.name)

    def send(self, row: Row, data: Any) -> None:
        why = f"{row['file']}:{row['row']}"
        order = {"size": int(row["lots"]), "tradeid": row["number"], "why": why}
        if row["price"]:
            order |= {"exectype": bt.Order.Limit, "price": float(row["price"])}
        row["status"] = "Submitted"
        try:
            (self.buy if row["side"] == "buy" else self.sell)(data=data, **order)
        except OrderError as error:  # what no look at the row could tell
            row.update(status=NOT_SENT, note=str(error))

    def notify_order(self, order: bt.Order) -> None:
        if order.info.get("restored") and was_lost(order.executed.size, reason_of(order)):
            self.p.known.pop(order.tradeid, None)  # an earlier run's that never arrived
            return
        told = {"status": order.getstatusname(), "note": reason_of(order)}
        told |= figures(abs(order.executed.size), order.executed.price, order.executed.comm)
        self.p.known[order.tradeid] = told
        for name, rows in list(self.files.items()):
            for row in (row for row in rows if row["number"] == order.tradeid):
                row.update(told)
                self.write(name)

    def write(self, name: str) -> None:
        """Results so far, whole at every moment; when all rows have ended, the file is done."""
        path, rows = self.p.folder / "results" / name, self.files[name]
        with path.with_suffix(".tmp").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, RESULTS, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
        path.with_suffix(".tmp").replace(path)
        if all(row["status"] in ENDED for row in rows):
            (self.p.folder / "taken" / name).rename(self.p.folder / "done" / name)
            del self.files[name]


def brief(row: Row) -> tuple[str, ...]:
    asked = f"{row['side']} {row['lots']} {row['symbol']}"
    return (row["row"], asked, row["status"], row["note"])


def play(options: argparse.Namespace) -> dict[str, Any]:
    if options.folder is not None:
        return trade(options, options.folder)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "inbox").mkdir()
        for name, text in SAMPLES.items():
            (Path(folder) / "inbox" / name).write_text(text, encoding="utf-8")
        return trade(options, Path(folder))


def trade(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    options.journal = options.journal or folder / "orders.sqlite"
    known = known_orders(options.journal)
    day = date(2025, 9, 16)
    with gallery.store(options, start=day, end=day) as store:
        return run(options, store, folder, known)


def run(options: argparse.Namespace, store: TqStore, folder: Path, known: Any) -> dict[str, Any]:
    cerebro = gallery.cerebro(store)
    for symbol in options.symbols:
        cerebro.adddata(store.getdata(symbol, history=5))
    ends = options.folder is None
    cerebro.addstrategy(OrderFiles, folder=folder, known=known, ends=ends)
    strategy = gallery.run(store, cerebro)
    told = {path.name: result_of(path) for path in sorted((folder / "results").glob("*.csv"))}
    lines = [(name, *brief(row)) for name, rows in told.items() for row in rows]
    gallery.show("Results", ("file", "row", "instruction", "status", "why"), lines)
    return gallery.report(strategy, "Orders") | {"results": told}


if __name__ == "__main__":
    folder = {"type": Path, "help": "holds inbox/; default: sample files", "metavar": "DIR"}
    contracts = gallery.symbols("SHFE.cu2511", "DCE.m2601")
    sys.exit(gallery.main(__doc__, play, folder=folder, symbols=contracts))
