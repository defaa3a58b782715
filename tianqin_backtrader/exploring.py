"""What a store answers in a notebook: history, ticks, contracts, and runs in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import backtrader as bt
import pandas as pd

from .background import BackgroundRun, Worker
from .clock import long_past_ns
from .errors import BadTimeframe, SessionElsewhere, UnknownProduct, WrongSetting
from .frames import bar_frame, contract_frame, tick_frame
from .model import Bar, bar_from_kline, tick_from
from .queries import contracts_query, listed_contracts, main_contracts, mains_query
from .sessions import Sessions, beijing_date
from .timeframes import TICKS, duration_of

__all__ = ["Exploring"]

SECOND_NS = 1_000_000_000
MOST = 10_000  # klines, and ticks, that TqSdk shows
GRACE_NS = SECOND_NS // 2  # a tick may be so late

T = TypeVar("T")


class Exploring:
    """The part of `TqStore` that answers questions.

    Each of them opens the session if it is not open. While a run is in the background, its thread
    answers between two rounds of Cerebro, and the caller waits.
    """

    _worker: Worker | None = None

    # ---- questions

    def history(
        self: Any,
        symbol: str,
        timeframe: int = bt.TimeFrame.Minutes,
        compression: int = 1,
        n: int = 1_000,
    ) -> pd.DataFrame:
        """The newest `n` official bars that are over, at most 10,000, oldest first.

        Index: a bar's end in Beijing time. Columns: open, high, low, close (CNY), volume,
        open_interest (lots), trading_day, session; see `frames`. Raises `UnknownSymbol`,
        `BadTimeframe`, `WrongSetting` or `GatewayTimeout`.
        """
        duration_s = duration_of(timeframe, compression)
        if duration_s == TICKS:
            raise BadTimeframe("ticks", "a timeframe of bars; store.ticks(symbol, n) gives ticks")
        count = _checked(n)
        found: pd.DataFrame = self._answer(lambda: _bars(self, str(symbol), duration_s, count))
        return found

    def ticks(self: Any, symbol: str, n: int = 1_000) -> pd.DataFrame:
        """The newest `n` ticks, at most 10,000, oldest first.

        Index: Beijing time. Columns: last_price, bid_price, ask_price (CNY), bid_volume,
        ask_volume, open_interest (lots), volume and amount since the trading day's beginning,
        trading_day, session. Raises as `history`.
        """
        count = _checked(n)
        found: pd.DataFrame = self._answer(lambda: _ticks(self, str(symbol), count))
        return found

    def contracts(self: Any, product: str) -> pd.DataFrame:
        """The listed contracts of "cu" or "SHFE.cu", those that expire first coming first.

        Index: symbol. Columns: name, product, delivery, expires, volume_multiple, price_tick,
        margin_cny and commission_cny per lot, max_limit_order_volume, main (the one that the main
        contract follows). Raises `UnknownProduct` or `GatewayTimeout`.
        """
        found: pd.DataFrame = self._answer(lambda: _contracts(self, str(product)))
        return found

    def run_background(self: Any, cerebro: bt.Cerebro) -> BackgroundRun:
        """Run `cerebro` in a thread of its own; the session lives there until it ends.

        Keep the handle: a run whose handle is forgotten is stopped. A session that was open here
        is closed before. Raises `SessionElsewhere` while another run goes on.
        """
        if self._worker is not None and self._worker.is_alive():
            raise SessionElsewhere("another run")
        self._disconnect()
        self._worker = Worker(self, cerebro)
        return BackgroundRun(self._worker)

    # ---- threads

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the session lives in another thread than the one that asks."""
        worker = self._worker
        if worker is None or worker is threading.current_thread():
            return False
        return worker.is_alive()

    def _answer(self: Any, ask: Callable[[], T]) -> T:
        if self._is_elsewhere:
            found: T = self._worker.call(ask)
            return found
        self.start()
        return ask()

    @property
    def _passed_ns(self: Any) -> int:
        """Market time that has passed for sure, ns since 1970 UTC; 0: unknown."""
        if self._demo is not None:
            return int(self._demo.now_ns)
        return long_past_ns() if self._settings.md_url is None else 0


def _checked(n: Any) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST:
        raise WrongSetting("n", n, "a whole number, 1 to 10,000")
    return n


def _bars(store: Any, symbol: str, duration_s: int, n: int) -> pd.DataFrame:
    """TqSdk's newest kline is open until the next one exists, or until its end has passed."""
    sessions: Sessions = store.sessions(symbol)
    passed_ns = store._passed_ns - GRACE_NS  # before the question: the answer is no older
    rows = store.connection.history(symbol, duration_s, min(n + 1, MOST))
    bars: list[Bar] = []
    for row in rows:
        span = sessions.span_of_label(int(row["datetime"]), duration_s * SECOND_NS)
        bars.append(bar_from_kline(row, span.end_ns, span.trading_day))
    if bars and bars[-1].end_ns > passed_ns:
        bars.pop()
    return bar_frame(bars[-n:], sessions)


def _ticks(store: Any, symbol: str, n: int) -> pd.DataFrame:
    sessions: Sessions = store.sessions(symbol)
    rows = store.connection.history(symbol, TICKS, n)
    ticks = [tick_from(number, row) for number, row in enumerate(rows)]
    return tick_frame([(t, sessions.bar_of(t.time_ns, SECOND_NS)) for t in ticks], sessions)


def _contracts(store: Any, product: str) -> pd.DataFrame:
    """TqSdk sends one question only once: that of each day has a name of its own."""
    exchange_id, _, product_id = product.rpartition(".")
    if not product_id:
        raise UnknownProduct(product)
    query, day = store.connection.query, beijing_date(store._passed_ns)
    answer = query(contracts_query(day), {"product_id": [product_id]})
    rows = [
        row
        for row in listed_contracts(answer)
        if row.get("product_id") == product_id and exchange_id in ("", row["exchange_id"])
    ]
    if not rows:
        raise UnknownProduct(product)
    return contract_frame(rows, main_contracts(query(mains_query(day), {})))
