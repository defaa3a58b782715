"""HANS123: the first half hour's range is the day's trap; flat before the close.

Idea: the opening of the day session says where the day goes.
Rules: the highest and the lowest price from 09:00 to 09:30 are the range. At 09:30 a buy stop is
written one price tick above it and a sell stop one below; the first one to go off cancels the
other. Ten minutes before the close what stands is cancelled and what is held is closed. No lots
over night, none in the night session.

    python examples/hans123.py                                      # the embedded exchange
    python examples/hans123.py --mode kq --symbol KQ.m@CFFEX.IF     # 快期模拟; credentials in .env

Sessions come from the contract: stock index futures open at 09:30 and bonds close at 15:15, and
`store.market_calendar` and the feed's own session end know it.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date, datetime, timedelta
from typing import Any

import backtrader as bt
import gallery


class Hans123(bt.Strategy):
    """Breakout of the day session's opening range. `calendar`: of `store.market_calendar`."""

    params = (("calendar", None), ("minutes", 30), ("flat_minutes", 10), ("lots", 2), ("tick", 10))

    def __init__(self) -> None:
        before = timedelta(minutes=-self.p.flat_minutes)
        self.add_timer(bt.timer.SESSION_END, offset=before, tzdata=self.data)
        self.day: date | None = None
        self.top, self.bottom, self.is_over = 0.0, 0.0, False
        self.entries: list[bt.Order] = []
        self.leaving: bt.Order | None = None

    def start(self) -> None:
        instrument = getattr(self.data, "instrument", None)  # in a backtest there is none
        self.tick = instrument.price_tick if instrument else self.p.tick

    def next(self) -> None:
        now = self.data.datetime.datetime(0)  # a bar's time is its end
        if self.p.calendar.trading_day(now) != self.day:
            self.begin(self.p.calendar.trading_day(now))
        if self.opens < now <= self.ranged:
            self.top = max(self.top, self.data.high[0])
            self.bottom = min(self.bottom, self.data.low[0])
        if getattr(self.data, "history_phase", False):
            return
        if now == self.ranged and not self.position:
            self.enter()
        if self.is_over:
            self.go_flat()

    def begin(self, day: date) -> None:
        """A trading day has begun, perhaps in the evening before it."""
        sessions = self.p.calendar.sessions(day)
        self.opens: datetime = next(begin for begin, _ in sessions if begin.date() == day)
        self.ranged = self.opens + timedelta(minutes=self.p.minutes)
        self.day, self.is_over = day, False
        self.top, self.bottom = 0.0, float("inf")

    def enter(self) -> None:
        stop = {"exectype": bt.Order.Stop, "size": self.p.lots}
        up = self.buy(price=self.top + self.tick, why="above range", **stop)
        down = self.sell(price=self.bottom - self.tick, why="below range", oco=up, **stop)
        self.entries = [up, down]

    def notify_timer(self, timer: Any, when: datetime, *args: Any, **kwargs: Any) -> None:
        if self.p.calendar.trading_day(when) == self.day:  # a start at night rings for yesterday
            self.is_over = True

    def go_flat(self) -> None:
        """Tried again on each bar until nothing is held."""
        for order in self.entries:
            self.cancel(order)
        if self.position and (self.leaving is None or not self.leaving.alive()):
            self.leaving = self.close(why="day ends")


def play(options: argparse.Namespace) -> dict[str, Any]:
    market = gallery.hours("2025-09-16 08:59", "2025-09-17 15:30")
    with gallery.store(options, ticks_per_minute=4, **market) as store:
        cerebro = gallery.cerebro(store)
        cerebro.adddata(store.getdata(options.symbol, history=500))
        cerebro.addstrategy(Hans123, calendar=store.market_calendar(options.symbol))
        strategy = gallery.run(store, cerebro)
        return gallery.report(strategy, f"HANS123, {options.symbol}")


if __name__ == "__main__":
    sys.exit(gallery.main(__doc__, play, symbol=gallery.symbol("SHFE.cu2511")))
