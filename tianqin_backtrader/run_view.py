"""What another thread may see of a run: immutable pictures, taken in the run's own thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from html import escape
from threading import RLock
from typing import Any

import pandas as pd

from .beijing import beijing_datetime
from .errors import WrongSetting
from .frames import BAR_COLUMNS, beijing_index
from .values import Account, AccountPosition, Trade

__all__ = ["RunBar", "RunState", "RunStatus", "RunView", "position_frame"]

KEPT = 10_000  # bars of a feed that can still be drawn
POSITION_COLUMNS = (
    "net", "long_today", "long_history", "short_today", "short_history", "open_price_long",
    "open_price_short", "float_profit", "margin",
)  # fmt: skip


class RunState(str, Enum):
    """Where a run is; the last three are final."""

    STARTING = "starting"  # logs in, loads history
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"  # of itself: the market's records are over
    STOPPED = "stopped"  # because it was asked to
    FAILED = "failed"  # by an exception

    @property
    def is_final(self) -> bool:
        return self in (RunState.ENDED, RunState.STOPPED, RunState.FAILED)


@dataclass(frozen=True, slots=True)
class RunBar:
    """One bar that the strategy has seen; `end_ns` since 1970 UTC, `trading_day` yyyymmdd."""

    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    open_interest: int
    trading_day: int
    session: str
    history: bool  # old news: delivered before the live bars, or late


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment. Bars are counted over all feeds; money in CNY."""

    state: RunState = RunState.STARTING
    bars: int = 0
    live_bars: int = 0
    last_bar: RunBar | None = None  # the newest of all feeds
    last_symbol: str = ""
    positions: tuple[AccountPosition, ...] = ()  # those with lots
    account: Account | None = None
    open_orders: int = 0
    trades: int = 0
    error: str = ""

    def rows(self) -> dict[str, str]:
        """What people read, by its name."""
        shown = {"state": self.state.value, "bars": f"{self.bars:,} ({self.live_bars:,} live)"}
        if self.last_bar is not None:
            end = beijing_datetime(self.last_bar.end_ns)
            shown["last bar"] = (
                f"{self.last_symbol} {end:%Y-%m-%d %H:%M:%S} {self.last_bar.close:g}"
            )
        held = [f"{each.symbol} {each.net:+d}" for each in self.positions]
        shown["positions, lots"] = ", ".join(held) or "none"
        shown["open orders, trades"] = f"{self.open_orders}, {self.trades}"
        if self.account is not None:
            shown["balance, CNY"] = f"{self.account.balance:,.2f}"
            shown["available, CNY"] = f"{self.account.available:,.2f}"
        if self.error:
            shown["error"] = self.error
        return shown

    def __str__(self) -> str:
        return "\n".join(f"{name:20} {text}" for name, text in self.rows().items())

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in self.rows().items()
        )
        return f"<table>{cells}</table>"


@dataclass(frozen=True)
class RunView:
    """Written by the run's thread, read by any other; what is read never changes."""

    _bars: dict[str, deque[RunBar]] = field(default_factory=dict)
    _trades: dict[str, Trade] = field(default_factory=dict)
    _status: list[RunStatus] = field(default_factory=lambda: [RunStatus()])
    _contracts: dict[str, str] = field(default_factory=dict)  # by feed
    _lock: RLock = field(default_factory=RLock)  # a forgotten run asks as it is collected

    # ---- the run's thread

    def add_bar(self, feed: str, contract: str, bar: RunBar, *, grows: bool) -> None:
        """The feed's newest bar; `grows`: it takes the place of the one before."""
        with self._lock:
            bars = self._bars.setdefault(feed, deque(maxlen=KEPT))
            self._contracts[feed] = contract
            if grows and bars:
                bars.pop()
            bars.append(bar)
            now = self._status[0]
            self._status[0] = replace(
                now,
                bars=now.bars + (not grows),
                live_bars=now.live_bars + (not grows and not bar.history),
                last_bar=bar,
                last_symbol=feed,
            )

    def add_trades(self, trades: list[Trade]) -> None:
        with self._lock:
            self._trades.update({trade.trade_id: trade for trade in trades})

    def change(self, **fields: Any) -> None:
        """Other fields of the status; what is final stays."""
        with self._lock:
            now = self._status[0]
            if now.state.is_final:
                fields.pop("state", None)
            self._status[0] = replace(now, trades=len(self._trades), **fields)

    # ---- any thread

    def status(self) -> RunStatus:
        with self._lock:
            return self._status[0]

    def feeds(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._bars)

    def bars(self, feed: str | None, n: int) -> tuple[str, pd.DataFrame]:
        """A feed's name (None: the first one's) and its newest `n` bars, as `store.history` has
        them. Raises `WrongSetting` for a feed that is not there."""
        with self._lock:
            name = next(iter(self._bars), "") if feed is None else feed
            bars = list(self._bars.get(name, ()))[-n:]
            known = ", ".join(self._bars)
        if feed is not None and not bars:
            raise WrongSetting("symbol", feed, f"a feed that has a bar: {known or 'none has yet'}")
        columns = {column: [getattr(bar, column) for bar in bars] for column in BAR_COLUMNS}
        frame = pd.DataFrame(columns, index=beijing_index((bar.end_ns for bar in bars), "end"))
        frame["trading_day"] = pd.to_datetime(frame["trading_day"].astype(str), format="%Y%m%d")
        return name, frame

    def trades(self, feed: str) -> pd.DataFrame:
        """Fills in the contract of a feed: time, side (+1 bought, -1 sold), volume, price."""
        with self._lock:
            contract = self._contracts.get(feed, feed)
            fills = [each for each in self._trades.values() if each.symbol == contract]
        columns = {
            "side": [1 if fill.direction.value == "BUY" else -1 for fill in fills],
            "offset": [fill.offset.value for fill in fills],
            "volume": [fill.volume for fill in fills],
            "price": [fill.price for fill in fills],
        }
        index = beijing_index((fill.time_ns for fill in fills), "time")
        frame: pd.DataFrame = pd.DataFrame(columns, index=index).sort_index()
        return frame


def position_frame(positions: tuple[AccountPosition, ...]) -> pd.DataFrame:
    """Positions by contract: lots; average opening prices, profit and margin in CNY."""
    rows: list[Mapping[str, Any]] = [
        {
            "net": held.net,
            "long_today": held.long.today,
            "long_history": held.long.history,
            "short_today": held.short.today,
            "short_history": held.short.history,
            "open_price_long": held.open_price_long,
            "open_price_short": held.open_price_short,
            "float_profit": held.float_profit,
            "margin": held.margin,
        }
        for held in positions
    ]
    index = pd.Index([held.symbol for held in positions], name="symbol", dtype="str")
    frame: pd.DataFrame = pd.DataFrame(rows, index=index, columns=list(POSITION_COLUMNS))
    return frame
