"""Records one contract: every tick that the server shows goes to the folder once."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from .beijing import beijing_datetime
from .connection import Connection
from .errors import GatewayTimeout, WrongSetting
from .model import Instrument, Tick, tick_from
from .recording import TickFolder
from .sessions import Sessions
from .trading_days import TradingDays

__all__ = ["MOST", "ContractRecorder", "Progress"]

logger = logging.getLogger(__name__)

MOST = 10_000  # ticks that TqSdk gives
MARGIN = 100  # ticks that may come while more of the past is asked for

Rows = list[tuple[int, Mapping[str, Any]]]


@dataclass(slots=True)
class Progress:
    """What was recorded of one contract since the start: ticks, and the newest of them."""

    symbol: str
    ticks: int = 0
    lost: int = 0  # ticks that the server had no more
    last_price: float = math.nan
    last_ns: int = 0  # its time, ns since 1970 UTC


class ContractRecorder:
    """Follows one contract by tick id, from the newest tick on disk or `width` ticks back.

    on_day: called with the first tick of each trading day that begins while it records. tell: takes
    lines for a person.
    Raises `WrongSetting` where the folder holds ticks of another market.
    """

    def __init__(
        self,
        connection: Connection,
        folder: TickFolder,
        instrument: Instrument,
        days: TradingDays,
        width: int,
        on_day: Callable[[Tick], None],
        tell: Callable[[str], None],
    ) -> None:
        self.symbol = instrument.symbol
        self.progress = Progress(self.symbol)
        self._connection, self._folder, self._width = connection, folder, width
        self._hours, self._days = instrument.trading_time, days
        self._sessions = self._make_sessions()
        self._on_day = on_day
        self._day: date | None = None
        self._last_id, self._last_ns = folder.newest(self.symbol) or (-1, 0)
        if self._last_ns:
            tell(f"{self.symbol}: recorded up to {beijing_datetime(self._last_ns)}, going on")
        self._chart = connection.tick_chart(self.symbol, width)
        self._stream = self._chart.stream()
        rows = self._rows()
        self._check(rows)
        self._write(rows)

    def take(self) -> None:
        """Write the ticks that have come; never waits, unless some are missing."""
        if self._chart.is_empty and self._has_quote():
            self._look_back(self._width)
        if self._stream.waiting:
            self._write(self._rows())

    def forget(self) -> None:
        """Let rows that were taken leave TqSdk's tree: 5 kB each, and it would grow for weeks."""
        serials = self._connection.api._data.get("ticks", {})
        rows = serials.get(self.symbol, {}).get("data", {})
        for row_id in [row_id for row_id in rows if int(row_id) <= self._last_id]:
            del rows[row_id]

    def end(self) -> None:
        """No more ticks are to come."""
        if self._day is not None:
            self._folder.end_day(self.symbol, self._day)

    # ---- inside

    def _make_sessions(self) -> Sessions:
        """By the trading days that are known now: a recorder outlives the end of a calendar."""
        day = self._connection.listing.market_day(self.symbol)
        if day is not None:
            self._days.prepare(day, self._connection.holidays)
        return Sessions(self._hours, self._days.calendar)

    def _rows(self) -> Rows:
        return [(tick_id, row) for tick_id, row, _ in self._stream.rows()]

    def _has_quote(self) -> bool:
        """Whether the exchange has said anything of a contract that had no tick."""
        return bool(self._connection.listing.quote(self.symbol).get("datetime"))

    def _check(self, rows: Rows) -> None:
        """Compare what is shown with what is on disk."""
        days: dict[date, dict[int, int]] = {}
        for tick_id, row in rows:
            time_ns = int(row["datetime"])
            day = self._sessions.trading_day_of(time_ns)
            if day not in days:
                days[day] = self._folder.times(self.symbol, day)
            if days[day].get(tick_id, time_ns) != time_ns:
                raise self._mixed(tick_id)

    def _write(self, rows: Rows) -> None:
        for tick_id, row in self._bridged(rows):
            if tick_id > self._last_id:
                self._put(tick_id, row)
            elif int(row["datetime"]) > self._last_ns:
                raise self._mixed(tick_id)

    def _bridged(self, rows: Rows) -> Rows:
        """`rows` without the hole that an interruption has left, if the server can fill it."""
        newest = rows[-1][0] if rows else -1
        missing = newest - self._last_id - sum(tick_id > self._last_id for tick_id, _ in rows)
        wanted = min(newest - self._last_id + MARGIN, MOST)
        if self._last_id < 0 or missing <= 0 or wanted <= self._chart.width:
            return rows
        return self._rows() if self._look_back(wanted) else []  # then the next tick tries again

    def _look_back(self, ticks: int) -> bool:
        """Let the server show the newest `ticks` ticks again; whether it answered."""
        try:
            chart = self._connection.tick_chart(self.symbol, ticks)
        except GatewayTimeout as error:
            logger.warning("%s: %s; trying again", self.symbol, error)
            return False
        self._chart, self._stream = chart, chart.stream()
        return True

    def _put(self, tick_id: int, row: Mapping[str, Any]) -> None:
        progress, time_ns = self.progress, int(row["datetime"])
        lost = tick_id - self._last_id - 1 if self._last_id >= 0 else 0
        if lost:
            progress.lost += lost
            logger.warning("%s: %d ticks before id %d are lost", self.symbol, lost, tick_id)
        day = self._sessions.trading_day_of(time_ns)
        if self._day is None or day > self._day:
            self._turn(day, tick_from(tick_id, row))
        self._folder.add(self.symbol, day, tick_id, row)
        self._last_id, self._last_ns = tick_id, max(time_ns, self._last_ns)
        progress.ticks += 1
        progress.last_ns = time_ns
        price = row.get("last_price")
        progress.last_price = price if isinstance(price, int | float) else math.nan

    def _turn(self, day: date, tick: Tick) -> None:
        """A trading day begins."""
        self.end()
        began, self._day = self._day, day
        if began is not None:
            self._sessions = self._make_sessions()
            self._on_day(tick)
        warning = self._days.warning(tick.time_ns)
        if warning:
            logger.warning("%s", warning)

    def _mixed(self, tick_id: int) -> WrongSetting:
        return WrongSetting(
            "out",
            str(self._folder.path),
            f"a folder of this market's ticks: tick {tick_id} of {self.symbol} is another one "
            "there; choose another --out",
        )
