"""A journal of three trading days written by hand; every figure in it can be worked out on paper.

Copper, 5 t a lot, a tick of 10 CNY. 100,000 CNY at the start.

16 Sep: 2 lots bought at 80,000 in the night, sold at 80,100 in the morning: +1,000, fees 20 + 40.
17 Sep: 1 lot sold short at 80,200 in the night, fee 10; marked at 80,290 at the end: -450.
18 Sep: bought back by a stop at 80,320, fee 10: -600 in all, -150 on this day.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.journal_records import (
    AccountRecord,
    AuditRecord,
    EventRecord,
    NoteRecord,
    OrderRecord,
    PositionRecord,
    RefusalRecord,
    RunRecord,
    StopRecord,
    TradeRecord,
)
from tianqin_backtrader.tickets import Kind, Ticket
from tianqin_backtrader.values import Direction

CU = "SHFE.cu2511"
ATTACK = "<script>document.title='hacked'</script><img src=x onerror=alert(1)>"


def at(text: str) -> int:
    """Beijing time of September 2025, "15 21:30"."""
    day, clock = text.split()
    return int(pd.Timestamp(f"2025-09-{day} {clock}", tz="Asia/Shanghai").value)


def order(run: str, ref: int, side: str, volume: int, kind: Kind, **ticket: Any) -> OrderRecord:
    key = f"{run}.{ref}"
    asked = Ticket(
        key, CU, Direction(side), volume, kind, price_tick=10.0, multiplier=5, **ticket
    ).to_text()
    return OrderRecord(key, run, ref, CU, asked, "ended", "Completed", "", at("18 15:00"))


def trade(key: str, side: str, offset: str, price: float, lots: int, fee: float, when: str) -> Any:
    return TradeRecord(f"{key}.1", key, key, CU, side, offset, price, lots, fee, at(when))


def account(run: str, when: str, why: str, balance: float, *money: float) -> AccountRecord:
    """`money`: close profit, position profit, commission, margin."""
    closed, held, fees, margin = money or (0.0, 0.0, 0.0, 0.0)
    moment = pd.Timestamp(at(when), tz="UTC").tz_convert("Asia/Shanghai") + pd.Timedelta("6h")
    day = f"{moment:%Y-%m-%d}"
    free = balance - margin
    return AccountRecord(run, at(when), day, why, balance, free, margin, closed, held, fees)


def event(run: str, when: str, wall_s: int, kind: str, text: str = "") -> EventRecord:
    return EventRecord(run, at(when), (1_800_000_000 + wall_s) * 10**9, kind, text or kind)


def write_story(path: Path) -> Path:
    """Two runs: the first of two days, the second goes on where it ended."""
    hashes = json.dumps({"strategy.Dual": "ab" * 32})
    settings = json.dumps({"mode": "demo", "journal": "j.sqlite"})
    about = {"mode": "demo", "symbols": CU, "settings": settings, "strategy_hashes": hashes,
             "tqsdk": "3.10.4"}  # fmt: skip
    with JournalWriter(path) as journal:
        for run, when in (("r1", "15 20:55"), ("r2", "18 08:55")):
            journal.begin_run(RunRecord(run, at(when), about))
        for each in (
            order("r1", 1, "BUY", 2, Kind.MARKET, signal_price=79_990.0),
            order("r1", 2, "SELL", 2, Kind.LIMIT, price=80_100.0, signal_price=80_100.0),
            order("r1", 3, "SELL", 1, Kind.MARKET),
            order("r2", 4, "BUY", 1, Kind.STOP, price=80_300.0, signal_price=80_250.0),
        ):
            journal.put_order(each)
        for fill in (
            trade("r1.1", "BUY", "OPEN", 80_000.0, 2, 20.0, "15 21:30"),
            trade("r1.2", "SELL", "CLOSETODAY", 80_100.0, 2, 40.0, "16 10:00"),
            trade("r1.3", "SELL", "OPEN", 80_200.0, 1, 10.0, "16 22:00"),
            trade("r2.4", "BUY", "CLOSE", 80_320.0, 1, 10.0, "18 09:30"),
        ):
            journal.add_trade(fill)
        journal.put(StopRecord("r2.4", 80_300.0, None, "ended", at("18 09:30")))
        for row in (
            account("r1", "15 21:00", "start", 100_000.0),
            account("r1", "15 23:00", "regular", 99_000.0, 0.0, -980.0, 20.0, 30_000.0),
            account("r1", "16 15:00", "settlement", 100_940.0, 1_000.0, 0.0, 60.0, 0.0),
            account("r1", "17 15:00", "settlement", 100_480.0, 0.0, -450.0, 10.0, 40_000.0),
            account("r2", "18 09:00", "start", 100_480.0, 0.0, 0.0, 0.0, 40_000.0),
            account("r2", "18 15:00", "end", 100_320.0, -150.0, 0.0, 10.0, 0.0),
        ):
            journal.put(row)
        journal.put(
            PositionRecord("r2", at("18 09:00"), CU, 0, 0, 0, 1, math.nan, 80_200.0, 40_000.0)
        )
        for what in (
            event("r1", "15 21:00", 0, "STARTED"),
            event("r1", "16 10:00", 100, "CONNECTION_LOST", "the market socket is lost"),
            event("r1", "16 10:00", 110, "CONNECTION_LOST", "the trading socket is lost"),
            event("r1", "16 10:01", 130, "CONNECTION_RESTORED", "the market socket is back"),
            event("r1", "16 10:01", 145, "CONNECTION_RESTORED", "the trading socket is back"),
            event("r1", "17 15:00", 200, "STOPPED"),
            event("r2", "18 09:00", 300, "STARTED"),
            event("r2", "18 15:00", 400, "STOPPED", ATTACK),
        ):
            journal.put(what)
        journal.put(
            RefusalRecord("r1", "r1.9", CU, "ORDER_SIZE", "9 lots; at most 5", at("16 11:00"))
        )
        journal.put(
            AuditRecord("r1", at("16 11:00"), CU, 60, at("16 10:59"), "close 1, officially 2")
        )
        journal.put(NoteRecord("r1", at("16 11:00"), ATTACK))
        journal.put(NoteRecord("r2", at("18 11:00"), "今天没有信号 & nothing < else"))
    return path
