"""Backtrader analyzers by trading day: a night belongs to the day after it, Friday's to Monday.

Backtrader's own daily analyzers group by the calendar date of the stored (UTC) time, which puts a
night session into the day before it. Rule: the line `trading_day` of the feeds says which day it
is; of several feeds the newest one, for some contracts have no night.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import date
from typing import Any

import backtrader as bt
import pandas as pd

from .errors import WrongSetting

__all__ = ["TradingDay", "TradingDayReturns", "TradingDays"]


@dataclass(frozen=True, slots=True)
class TradingDay:
    """What an account did in a trading day, money in CNY."""

    value_cny: float  # of the account, at the day's last bar
    pnl_cny: float = 0.0  # since the end of the day before, fees taken off
    fees_cny: float = 0.0
    trades: int = 0  # that ended: their position is closed
    lots: float = 0.0  # bought and sold
    drawdown_cny: float = 0.0  # the deepest fall from the day's highest value, >= 0


class _ByTradingDay(bt.Analyzer):
    """Tells `on_bar` of every bar that may be traded on, with its trading day.

    `value` is the account's at this bar, `before` what it was at the end of the day before, CNY.
    """

    params = (("data", None),)

    def start(self) -> None:
        super().start()
        self._feeds = _feeds(self.datas if self.p.data is None else [self.p.data])
        self._day = 0  # yyyymmdd
        self._told = self.value = self.before = float(self.strategy.broker.getvalue())

    def stop(self) -> None:
        super().stop()
        self._feeds = []  # results of an optimization travel between processes

    def notify_cashvalue(self, cash: float, value: float) -> None:
        self._told = float(value)

    def next(self) -> None:
        feeds = [feed for feed in self._feeds if len(feed)]
        if not self._day and all(getattr(feed, "history_phase", False) for feed in feeds):
            return  # nothing was earned before the first bar that may be traded on
        day = max(int(feed.trading_day[0]) for feed in feeds)
        if day > self._day:
            self._day, self.before = day, self.value
        self.value = self._told
        self.on_bar(date(day // 10_000, day // 100 % 100, day % 100))

    def on_bar(self, day: date) -> None:
        raise NotImplementedError


class TradingDayReturns(_ByTradingDay):
    """The account's return of each trading day, a part of its value at the end of the day before.

    data: the feed that tells the trading day; None: the newest day of all that tell one. The first
    return is against the value at the start. Bars of history before the first bar that may be
    traded on do not count. Lots are valued at the market's last price, as Backtrader does, not at
    the settlement. Raises `WrongSetting` at the start where no feed tells trading days.
    """

    def on_bar(self, day: date) -> None:
        self.rets[day] = self.value / self.before - 1 if self.before else math.nan

    def get_analysis(self) -> OrderedDict[date, float]:
        """Returns by trading day; the newest one changes until its day is over."""
        found: OrderedDict[date, float] = self.rets
        return found

    def as_series(self) -> pd.Series[float]:
        """The returns as quantstats takes them; pyfolio wants `.tz_localize("UTC")` on top."""
        values = list(self.rets.values())
        returns: pd.Series[float] = pd.Series(values, _index(self.rets), float, "return")
        return returns


class TradingDays(_ByTradingDay):
    """What the account did in each trading day: a `TradingDay` each.

    data, history, values and errors as in `TradingDayReturns`. What is told between two bars
    belongs to the later one.
    """

    def start(self) -> None:
        super().start()
        self._news = TradingDay(0.0)
        self._peak = self.value

    def notify_order(self, order: bt.Order) -> None:
        for bit in order.executed.iterpending():
            if bit is not None:
                fees = bit.openedcomm + bit.closedcomm
                self._news = _added(self._news, TradingDay(0.0, fees_cny=fees, lots=abs(bit.size)))

    def notify_trade(self, trade: bt.Trade) -> None:
        if trade.isclosed:
            self._news = _added(self._news, TradingDay(0.0, trades=1))

    def on_bar(self, day: date) -> None:
        found = self.rets.get(day)
        if found is None:
            found, self._peak = TradingDay(self.value), self.before
        self._peak = max(self._peak, self.value)
        fall = max(found.drawdown_cny, self._peak - self.value)
        pnl = self.value - self.before
        found = replace(found, value_cny=self.value, pnl_cny=pnl, drawdown_cny=fall)
        self.rets[day], self._news = _added(found, self._news), TradingDay(0.0)

    def stop(self) -> None:
        """What was told after the last bar belongs to its day."""
        super().stop()
        if self.rets:
            day = next(reversed(self.rets))
            self.rets[day] = _added(self.rets[day], self._news)

    def get_analysis(self) -> OrderedDict[date, TradingDay]:
        """Trading days in order; the newest one changes until it is over."""
        found: OrderedDict[date, TradingDay] = self.rets
        return found

    def as_frame(self) -> pd.DataFrame:
        """A row for each trading day, columns as in `TradingDay`."""
        rows = [astuple(day) for day in self.rets.values()]
        columns = [field.name for field in fields(TradingDay)]
        frame: pd.DataFrame = pd.DataFrame(rows, _index(self.rets), columns)
        return frame


def _added(day: TradingDay, news: TradingDay) -> TradingDay:
    """`day` with the fees, lots and trades of `news` on top."""
    return replace(
        day,
        fees_cny=day.fees_cny + news.fees_cny,
        trades=day.trades + news.trades,
        lots=day.lots + news.lots,
    )


def _index(days: Iterable[date]) -> pd.DatetimeIndex:
    index: pd.DatetimeIndex = pd.DatetimeIndex(list(days), name="trading_day")
    return index


def _feeds(datas: Sequence[Any]) -> list[Any]:
    """Those that tell the trading day."""
    found = [data for data in datas if getattr(data.lines, "trading_day", None) is not None]
    if not found:
        names = ", ".join(data._name or type(data).__name__ for data in datas)
        expected = "a feed with the line trading_day (yyyymmdd), such as TqData or RecordedData"
        raise WrongSetting("data", names, expected)
    return found
