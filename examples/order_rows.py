"""Rows of order files: read, checked, numbered, found again in the journal (`order_files.py`)."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import backtrader as bt

from tianqin_backtrader import Journal
from tianqin_backtrader.legs import LOST
from tianqin_backtrader.recovery import NEVER_SENT
from tianqin_backtrader.tickets import Ticket

COLUMNS = ("symbol", "side", "lots", "price")
RESULTS = ("row", *COLUMNS, "status", "filled", "average", "fee", "note")
Row = dict[str, Any]


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
    known = {"file": path.name, "row": row, "number": number, "status": "", "note": note}
    return known | asked | figures(0, 0.0, 0.0)


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
        lots, number = fills.volume.sum(), Ticket.from_text(str(order.ticket)).tradeid
        if not was_lost(lots, str(order.reason)):
            price = (fills.price * fills.volume).sum() / max(lots, 1)
            told = figures(lots, price, fills.commission_cny.sum())
            known[number] = {"status": order.state, "note": order.reason} | told
    return known


def result_of(path: Path) -> list[Row]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
