"""`TqData`: what Backtrader sees of one contract's bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import backtrader as bt

from .beijing import BEIJING
from .errors import BadTimeframe, NotStarted, WrongSetting
from .model import Bar, Instrument
from .series import BarSeries
from .sessions import Sessions

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["TqData"]

MOST_HISTORY = 9_999  # TqSdk gives 10,000 klines; the newest is the one still open
DAY_NS = 86_400_000_000_000
# Backtrader's day 1 is 0001-01-01; 1970-01-01 is day 719,163.
EPOCH_DAY = 719_163.0


class TqData(bt.feed.DataBase):
    """One-minute bars of a contract: official history first, then bars built from live ticks.

    Made by `TqStore.getdata`. A bar carries its END as its time, stored in UTC and read in Beijing
    time. Lines beside Backtrader's seven: `bid_price`, `ask_price` (CNY), `bid_volume`,
    `ask_volume` (lots) at the bar's end, `amount` (CNY traded in the bar; NaN in history) and
    `trading_day` (yyyymmdd).

    history: official bars before the live ones. flat: deliver bars of minutes without a trade, as
    the official series does. qcheck: seconds that one round of Cerebro may wait for news.
    """

    lines: Any = ("bid_price", "ask_price", "bid_volume", "ask_volume", "amount", "trading_day")
    params: Any = (
        ("timeframe", bt.TimeFrame.Minutes),
        ("compression", 1),
        ("history", 10_000),
        ("flat", True),
        ("qcheck", 0.5),
    )

    def __init__(self, store: TqStore) -> None:
        self._store = store
        self._series: BarSeries | None = None
        self.instrument: Instrument | None = None
        self.history_phase = True
        _check(self.p.timeframe, self.p.compression, self.p.history)

    @property
    def symbol(self) -> str:
        """The TqSdk symbol that was asked for."""
        return str(self.p.dataname)

    @property
    def contract(self) -> str:
        """The contract that orders go to: of a main contract, the one it follows now."""
        if self.instrument is None:
            raise NotStarted(f"the contract of {self.symbol}")
        return self.instrument.underlying_symbol or self.instrument.symbol

    @property
    def ticks(self) -> int:
        """Live ticks that went into bars so far."""
        return self._series.ticks if self._series else 0

    # ---- what Cerebro calls

    def setenvironment(self, env: Any) -> None:
        """Cerebro took the feed: let it start, ask and stop the store as well."""
        super().setenvironment(env)
        env.addstore(self._store)

    def islive(self) -> bool:
        return True

    def haslivedata(self) -> bool:
        return self._series is not None and self._store.pump.may_leave(self._series)

    def start(self) -> None:
        super().start()
        self._store.start(data=self)
        connection = self._store.connection
        self.instrument = instrument = connection.instrument(self.symbol)
        if instrument.underlying_symbol:
            connection.instrument(instrument.underlying_symbol)
        sessions = Sessions(instrument.trading_time, self._store.calendar)
        history = min(self.p.history, MOST_HISTORY)
        self._series = BarSeries(
            connection, self.symbol, sessions, 60, history=history, flat=self.p.flat
        )
        self._store.pump.add(self._series)
        self.put_notification(self.DELAYED)

    def _gettz(self) -> Any:
        return BEIJING

    def _load(self) -> bool | None:
        """Fill the lines with the next bar; None: nothing yet; False: the records ended."""
        series, pump = self._series, self._store.pump
        if series is None:
            return False
        ready = pump.may_leave(series)
        if not ready or pump.has_unsent:
            pump.run(0.0 if ready else self._qcheck)
        if pump.may_leave(series):
            delivery = series.pop()
            if delivery is not None:
                self._become(delivery.history)
                self._fill(delivery.bar)
                return True
        if series.finished:
            return False
        if not series.has_history:
            self._become(history=False)
        return None

    # ---- inside

    def _become(self, history: bool) -> None:
        self.history_phase = history
        self.put_notification(self.DELAYED if history else self.LIVE)

    def _fill(self, bar: Bar) -> None:
        lines = self.lines
        lines.datetime[0] = EPOCH_DAY + bar.end_ns / DAY_NS
        lines.open[0], lines.high[0] = bar.open, bar.high
        lines.low[0], lines.close[0] = bar.low, bar.close
        lines.volume[0], lines.openinterest[0] = bar.volume, bar.close_oi
        lines.bid_price[0], lines.ask_price[0] = bar.bid_price, bar.ask_price
        lines.bid_volume[0], lines.ask_volume[0] = bar.bid_volume, bar.ask_volume
        lines.amount[0] = bar.amount
        day = bar.trading_day
        lines.trading_day[0] = day.year * 10_000 + day.month * 100 + day.day


def _check(timeframe: int, compression: int, history: Any) -> None:
    if timeframe != bt.TimeFrame.Minutes or compression != 1:
        name = bt.TimeFrame.getname(timeframe, compression)
        raise BadTimeframe(f"{compression} {name}", "TimeFrame.Minutes with compression 1")
    if not isinstance(history, int) or isinstance(history, bool) or not 0 <= history <= 10_000:
        raise WrongSetting("history", history, "a whole number of bars, 0 to 10,000")
