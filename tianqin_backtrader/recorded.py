"""`RecordedData`: recorded ticks as an ordinary Backtrader feed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import backtrader as bt
import pandas as pd

from .bars import BarBuilder
from .beijing import BEIJING
from .calendar import TradingCalendar
from .config import load_settings
from .errors import BadTimeframe, WrongSetting
from .lines import EXTRA_LINES, LineWriter
from .market_calendar import take_hours
from .merging import BarMerger
from .model import Bar, Tick
from .sessions import Sessions
from .tick_bars import TickBars
from .tick_files import NEEDED
from .tick_reading import read_ticks, recorded_terms
from .timeframes import TICKS, duration_of
from .trading_days import TradingDays
from .values import NAN, TradingTime

__all__ = ["RecordedData", "bars_of", "merged_bars_of", "tick_bars_of", "ticks_of"]

SECOND_NS = 1_000_000_000
MINUTE_S = 60
COLUMNS = ("id", *NEEDED, "amount")


class RecordedData(bt.feed.DataBase):
    """Bars of recorded ticks, by the rules of the live feed; preloads and runs once.

    dataname: a Parquet file or folder that `record` wrote, or a CSV of ticks (see `read_ticks`).
    symbol: which contract of a folder that holds several. timeframe, compression: ticks, N seconds,
    N minutes, or days, which last from 21:00 of the evening before to 15:00. trading_time: the
    contract's hours as TqSdk tells them; if None, those in the recording's `instruments.json`.
    calendar: trading days; if None, those of the Shanghai stock exchange and of `TIANQIN_HOLIDAYS`.

    A bar carries its END as its time, stored in UTC and read in Beijing time. Lines beside
    Backtrader's seven: as in `TqData`. Where ticks are missing no bars are made up, and the bars on
    both sides hold the ticks that there are.

    Raises `BadTimeframe` at once; `BadReplayFile` or `WrongSetting` when it starts.
    """

    lines: Any = EXTRA_LINES
    params: Any = (
        ("timeframe", bt.TimeFrame.Minutes),
        ("compression", 1),
        ("symbol", None),
        ("trading_time", None),
        ("calendar", None),
    )

    history_phase = False  # as of `TqData`: every bar may be traded on

    def __init__(self) -> None:
        self._duration_s = duration_of(self.p.timeframe, self.p.compression)
        self._days: TradingCalendar | None = self.p.calendar
        if self._days is not None and not hasattr(self._days, "is_trading_day"):
            raise WrongSetting("calendar", self._days, "trading days such as `KnownDays`, or None")
        self.p.calendar = None  # Backtrader's own, for its resampler, which is not used here
        self._bars: Iterator[Bar] = iter(())

    def start(self) -> None:
        super().start()
        days = self._days or TradingDays(load_settings(mode="demo").holidays).calendar
        sessions = Sessions(self._hours(), days)
        ticks = ticks_of(read_ticks(self.p.dataname, self.p.symbol, COLUMNS))
        if self._duration_s == TICKS:
            self._bars = tick_bars_of(ticks, sessions)
        else:
            self._bars = self._bars_of(ticks, sessions)
        take_hours(self, sessions)
        self._writer = LineWriter(self.lines)

    def _bars_of(self, ticks: Iterable[Tick], sessions: Sessions) -> Iterator[Bar]:
        """As the live feed: bars of whole minutes are made of minutes."""
        if self._duration_s % MINUTE_S or self._duration_s == MINUTE_S:
            return bars_of(ticks, sessions, self._duration_s * SECOND_NS)
        minutes = bars_of(ticks, sessions, MINUTE_S * SECOND_NS)
        return merged_bars_of(minutes, sessions, self._duration_s * SECOND_NS)

    def _hours(self) -> TradingTime:
        if self.p.trading_time is not None:
            hours: TradingTime = self.p.trading_time
            return hours
        terms = recorded_terms(self.p.dataname, self.p.symbol)
        if terms is None or not isinstance(terms.get("trading_time"), dict):
            raise WrongSetting(
                "trading_time",
                None,
                "the contract's hours: there is no instruments.json with them beside "
                f"{self.p.dataname}",
            )
        found: TradingTime = terms["trading_time"]
        return found

    def _gettz(self) -> Any:
        return BEIJING

    def _load(self) -> bool:
        bar = next(self._bars, None)
        if bar is None:
            return False
        self._writer.write(bar, bar.end_ns)
        return True

    # ---- larger bars: from ticks too, for Backtrader's resampler knows no trading day

    def clone(self, **kwargs: Any) -> RecordedData:
        """Another feed of the same ticks, for `cerebro.resampledata`."""
        options = dict(self.p._getkwargs()) | {"calendar": self._days} | kwargs
        return type(self)(**options)

    def copyas(self, _dataname: str, **kwargs: Any) -> RecordedData:
        """A clone under another name."""
        copy = self.clone(**kwargs)
        copy._dataname = copy._name = _dataname
        return copy

    def resample(self, **kwargs: Any) -> None:
        """Deliver bars of another timeframe, as if it had been asked for at first.

        Raises `BadTimeframe`.
        """
        timeframe = kwargs.get("timeframe", bt.TimeFrame.Days)
        compression = kwargs.get("compression", 1)
        self._duration_s = duration_of(timeframe, compression)
        for params in (self.p, self):
            params.timeframe, params.compression = timeframe, compression
            params._timeframe, params._compression = timeframe, compression

    def replay(self, **kwargs: Any) -> None:
        """Raises `BadTimeframe`: `LocalExchange(replay=...)` is what replays."""
        raise BadTimeframe(
            "a replay of recorded bars", "resampledata, or LocalExchange(replay=...)"
        )


def ticks_of(frame: pd.DataFrame) -> Iterator[Tick]:
    """The rows of `read_ticks`; counts that are missing are 0, as in the live feed."""
    amount = frame["amount"] if "amount" in frame else pd.Series(NAN, frame.index)
    counts = [frame[name].fillna(0).astype("int64") for name in ("volume", "open_interest")]
    book = [frame[name] for name in ("bid_price1", "ask_price1")]
    lots = [frame[name].fillna(0).astype("int64") for name in ("bid_volume1", "ask_volume1")]
    columns = (frame["id"], frame["datetime"], frame["last_price"], counts[0], amount, counts[1])
    for row in zip(*(column.tolist() for column in (*columns, *book, *lots)), strict=True):
        yield Tick(*row)


def bars_of(ticks: Iterable[Tick], sessions: Sessions, duration_ns: int) -> Iterator[Bar]:
    """The bars of one contract; ids that jump show where ticks are missing.

    After such a hole the bars begin anew, as at the start: what was traded in the hole belongs to
    none. There are none before the first price, and the last bar is closed where the ticks end.
    """
    return (bar for bar in _built(ticks, sessions, duration_ns) if not math.isnan(bar.close))


def _built(ticks: Iterable[Tick], sessions: Sessions, duration_ns: int) -> Iterator[Bar]:
    builder, last = BarBuilder(sessions, duration_ns), None
    for tick in ticks:
        if last is not None and tick.id != last.id + 1 and _is_beyond(builder, tick):
            yield from _rest(builder, last)
            builder = BarBuilder(sessions, duration_ns)
        yield from builder.on_tick(tick)
        last = tick
    if last is not None:
        yield from _rest(builder, last)


def tick_bars_of(ticks: Iterable[Tick], sessions: Sessions) -> Iterator[Bar]:
    """Ticks as bars of no length, see `TickBars`."""
    bars = TickBars(sessions)
    return (bar for tick in ticks if (bar := bars.on_tick(tick)) is not None)


def merged_bars_of(minutes: Iterable[Bar], sessions: Sessions, duration_ns: int) -> Iterator[Bar]:
    """Longer bars out of one-minute bars; the last one is closed where the minutes end."""
    merger = BarMerger(sessions, duration_ns)
    for minute in minutes:
        yield from merger.add(minute)
    if merger.partial is not None:
        yield merger.partial


def _is_beyond(builder: BarBuilder, tick: Tick) -> bool:
    """Whether the tick belongs to a later bar than the one being built."""
    return builder.span is not None and tick.time_ns > builder.span.until_ns


def _rest(builder: BarBuilder, last: Tick) -> Iterable[Bar]:
    """The bar being built, if it holds a tick."""
    span = builder.span
    return builder.close_until(span.end_ns) if span and last.time_ns > span.after_ns else ()
