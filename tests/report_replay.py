"""A replay of twenty trading days with their nights, and a strategy that trades through them."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd

from tianqin_backtrader import LocalExchange, TqStore

SYMBOL = "SHFE.rb2601"
DAYS = [date(2025, 9, 1) + timedelta(n) for n in range(26) if n % 7 < 5]  # no holiday in them
BALANCE = 1_000_000.0
STEP_MIN = 15
HOURS = (("21:00", "23:00"), ("09:00", "10:15"), ("10:30", "11:30"), ("13:30", "15:00"))


def write_klines(path: Path) -> Path:
    """Klines of a quarter of an hour: a random walk on the grid of 1 CNY."""
    noise, rows, close = random.Random(7), list[str](), 3_100
    for day in DAYS:
        eve = day - timedelta(3 if day.weekday() == 0 else 1)
        for begin, end in HOURS:
            on = eve if begin == "21:00" else day
            span = f"{on} {begin}", f"{on} {end}"
            for moment in pd.date_range(*span, freq=f"{STEP_MIN}min", inclusive="left"):
                opened, close = close, close + round(noise.gauss(0, 7))
                top, bottom = max(opened, close) + 2, min(opened, close) - 2
                label = moment.tz_localize("Asia/Shanghai").value
                rows.append(f"{label},{opened},{top},{bottom},{close},4000,5000,5000")
    head = "datetime,open,high,low,close,volume,open_oi,close_oi"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


class Crossing(bt.Strategy):
    """Two lots with the crossing of two averages, a note each time."""

    def __init__(self) -> None:
        fast, slow = bt.ind.SMA(period=4), bt.ind.SMA(period=12)
        self.cross = bt.ind.CrossOver(fast, slow)
        self.pending: Any = None

    def next(self) -> None:
        if self.data.history_phase or not self.cross[0]:
            return
        if self.pending is not None and self.pending.alive():
            return
        self.broker._store.note(f"the averages crossed at {self.data.close[0]:g}")
        self.pending = self.order_target_size(target=2 if self.cross[0] > 0 else -2)


def replay(folder: Path) -> tuple[Path, Path]:
    """The journal of a lock-step replay, and the klines that it replayed."""
    klines, journal = write_klines(folder / f"{SYMBOL}.csv"), folder / "replay.sqlite"
    exchange = LocalExchange(
        replay=klines, start=DAYS[0], end=DAYS[-1], balance_cny=BALANCE, ticks_per_minute=1
    )
    with exchange, TqStore(exchange=exchange, journal=journal) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(SYMBOL, bt.TimeFrame.Minutes, STEP_MIN, history=20))
        cerebro.addstrategy(Crossing)
        cerebro.run()
    return journal, klines
