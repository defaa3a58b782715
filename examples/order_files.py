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
import hashlib
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import backtrader as bt
import gallery

from tianqin_backtrader import Journal, TqStore
from tianqin_backtrader.legs import LOST
from tianqin_backtrader.recovery import NEVER_SENT
from tianqin_backtrader.tickets import Ticket

COLUMNS = ("symbol", "side", "lots", "price")
RESULTS = ("row", *COLUMNS, "status", "filled", "average", "fee", "note")
NOT_SENT = "not sent"
ENDED = {"Completed", "Canceled", "Expired", "Margin", "Rejected", NOT_SENT}
FOLDERS = ("inbox", "taken", "results", "done")
Row = dict[str, Any]
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

    def next(self) -> None:
        if any(data.history_phase for data in self.datas):
            return
        inbox, taken, _, done = (self.p.folder / name for name in FOLDERS)
        for path in sorted(inbox.glob("*.csv")):
            if not (taken / path.name).exists() and not (done / path.name).exists():
                path.rename(taken / path.name)
        for path in sorted(taken.glob("*.csv")):
            if path.name not in self.files:
                self.execute(path)
        if self.p.ends and not self.files:
            self.env.runstop()

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
        order = {"size": int(row["lots"]), "tradeid": row["number"], "why": f"row {row['row']}"}
        if row["price"]:
            order |= {"exectype": bt.Order.Limit, "price": float(row["price"])}
        (self.buy if row["side"] == "buy" else self.sell)(data=data, **order)
        row["status"] = "Submitted"

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


def read(path: Path, feeds: dict[str, Any]) -> list[Row]:
    """Rows with their numbers; `note` says what is wrong with one."""
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        return [row_of(path, 0, {}, f"no CSV file in UTF-8: {error}")]
    missing = [name for name in COLUMNS if name not in (lines[0] if lines else COLUMNS)]
    if missing or not lines:
        wrong = f"no column {missing[0]}" if missing else "no rows"
        return [row_of(path, 0, {}, f"{wrong}; expected {','.join(COLUMNS)} and rows")]
    return [row_of(path, n, line, fault(line, feeds)) for n, line in enumerate(lines, start=1)]


def row_of(path: Path, row: int, line: dict[str, Any], note: str) -> Row:
    number = int(hashlib.sha256(f"{path.name}/{row}".encode()).hexdigest()[:12], 16)
    asked = {name: (line.get(name) or "").strip() for name in COLUMNS}
    return {"row": row, "number": number, "status": "", "note": note} | asked | figures(0, 0.0, 0.0)


def fault(line: dict[str, Any], feeds: dict[str, Any]) -> str:
    """Why a row can never be sent; empty for a good one."""
    symbol, side, lots, price = ((line.get(name) or "").strip() for name in COLUMNS)
    if symbol not in feeds:
        return f"symbol {symbol!r}; expected one of {', '.join(feeds)}"
    if side not in ("buy", "sell"):
        return f"side {side!r}; expected buy or sell"
    if not (lots.isascii() and lots.isdigit() and int(lots) > 0):
        return f"lots {lots!r}; expected a whole number, at least 1"
    tick = feeds[symbol].instrument.price_tick
    try:
        steps = float(price or tick) / tick
        good = 0 < steps < 1e9 and abs(steps - round(steps)) < 1e-6
    except ValueError:
        good = False
    return "" if good else f"price {price!r}; expected a multiple of {tick:g}, or nothing"


def figures(lots: float, price: float, fee: float) -> Row:
    return {"filled": int(lots), "average": f"{price:.10g}", "fee": f"{fee:.2f}"}


def reason_of(order: bt.Order) -> str:
    return str(order.info.get("reason") or order.info.get("held") or "")


def was_lost(filled: float, reason: str) -> bool:
    return not filled and (LOST in reason or NEVER_SENT in reason)


def known_orders(path: Path) -> dict[int, Row]:
    """What the journal tells of rows that earlier runs ordered."""
    if not path.exists():
        return {}
    with Journal(path) as journal:
        orders, trades, known = journal.orders(), journal.trades(), {}
    for order in orders.itertuples():
        fills = trades[trades.key == order.key]
        lots, number = fills.volume.sum(), Ticket.from_text(order.ticket).tradeid
        if not was_lost(lots, order.reason):
            price = (fills.price * fills.volume).sum() / max(lots, 1)
            told = figures(lots, price, fills.commission_cny.sum())
            known[number] = {"status": order.state, "note": order.reason} | told
    return known


def result_of(path: Path) -> list[Row]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


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
    strategy = gallery.run(cerebro)
    told = {path.name: result_of(path) for path in sorted((folder / "results").glob("*.csv"))}
    lines = [
        (
            name,
            row["row"],
            f"{row['side']} {row['lots']} {row['symbol']}",
            row["status"],
            row["note"],
        )
        for name, rows in told.items()
        for row in rows
    ]
    gallery.show("Results", ("file", "row", "instruction", "status", "why"), lines)
    return gallery.report(strategy, "Orders") | {"results": told}


if __name__ == "__main__":
    folder = {"type": Path, "help": "holds inbox/; default: sample files", "metavar": "DIR"}
    contracts = gallery.symbols("SHFE.cu2511", "DCE.m2601")
    sys.exit(gallery.main(__doc__, play, folder=folder, symbols=contracts))
