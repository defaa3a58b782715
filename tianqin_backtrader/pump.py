"""The only place that waits: reads what TqApi brought and hands it on, once per Cerebro cycle.

Bars are let out together: a bar that ended at E leaves when every series has closed E, or when the
market's time has passed E by the grace, so that a contract without ticks delays no other.
"""

from __future__ import annotations

from typing import Protocol

from .clock import MarketClock, monotonic_ns, now_s
from .connection import Connection
from .model import OrderPicture, Trade
from .series import BarSeries

__all__ = ["Pump", "Trading"]

SECOND_NS = 1_000_000_000


class Trading(Protocol):
    """Whoever follows orders and trades: the broker."""

    def on_order(self, picture: OrderPicture) -> None: ...

    def on_trade(self, trade: Trade) -> None: ...


class Pump:
    """Moves news from `connection` to the series and the broker."""

    def __init__(self, connection: Connection, clock: MarketClock, grace_s: float) -> None:
        self._connection = connection
        self._clock = clock
        self._grace_ns = int(grace_s * SECOND_NS)
        self._series: list[BarSeries] = []
        self._waited = False
        self._asked_ns: int | None = None  # since when an unanswered request for news is out
        self.trading: Trading | None = None

    def add(self, series: BarSeries) -> None:
        """Let `series` have its ticks from now on."""
        if series.last_tick is not None:
            self._clock.observe(series.last_tick.time_ns)
            series.close_until(self._clock.exchange_ns - self._grace_ns)
        series.go_live()
        self._series.append(series)

    def new_cycle(self) -> None:
        """Cerebro begins another round: one wait is allowed."""
        self._waited = False

    def run(self, budget_s: float) -> None:
        """Wait at most `budget_s` for something that a strategy may see.

        A second call in one cycle returns at once, unless an order is still to be sent.
        """
        if self._waited and not self.has_unsent:
            return
        self._waited = True
        deadline_s = now_s() + budget_s
        while True:
            arrived = self._wait(deadline_s)
            if self._take(arrived) or now_s() >= deadline_s:
                return

    @property
    def has_unsent(self) -> bool:
        """Whether an order or a cancel leaves only with the next wait."""
        return self._connection.has_unsent

    def may_leave(self, series: BarSeries) -> bool:
        """Whether the oldest bar of `series` may leave now."""
        ready_ns = series.ready_ns
        if ready_ns is None:
            return False
        return ready_ns <= self._horizon_ns() or all(
            other.open_end_ns > ready_ns for other in self._series
        )

    def _wait(self, deadline_s: float) -> bool:
        if self._asked_ns is None:
            self._asked_ns = monotonic_ns()
        closing_s = self._seconds_to_close()
        if closing_s is not None:
            deadline_s = min(deadline_s, now_s() + closing_s)
        arrived = self._connection.wait(deadline_s)
        if arrived:
            self._asked_ns = None
        return arrived

    def _take(self, arrived: bool) -> bool:
        """Hand on what has come; True when there is something to tell a strategy."""
        told = arrived and self._take_trading()
        for series in self._series:
            if series.stream.waiting:
                self._clock.observe(series.read())
        self._close()
        if self._connection.ended:
            for series in self._series:
                series.finish()
            return True
        return told or any(self.may_leave(series) for series in self._series)

    def _take_trading(self) -> bool:
        orders, trades = self._connection.trading_news()
        if self.trading is None or not (orders or trades):
            return False
        for trade in trades:
            self.trading.on_trade(trade)
        for picture in orders:
            self.trading.on_order(picture)
        return True

    # ---- closing bars by the calendar

    def _close(self) -> None:
        horizon_ns = self._horizon_ns()
        for series in self._series:
            if series.open_end_ns <= horizon_ns:
                series.close_until(horizon_ns)

    def _horizon_ns(self) -> int:
        """Bars that end up to here are complete.

        The estimate of the clock counts only once a request for news has gone unanswered for the
        grace: ticks may wait on the wire after a strategy that slept.
        """
        quiet_ns = 0 if self._asked_ns is None else monotonic_ns() - self._asked_ns
        silent = quiet_ns * (self._clock.speed or 0.0) >= self._grace_ns
        now_ns = self._clock.now_ns() if silent else self._clock.exchange_ns
        return now_ns - self._grace_ns

    def _seconds_to_close(self) -> float | None:
        """Wall time until the clock may close a bar; None where only ticks close bars."""
        if not self._clock.speed or not self._series or not self._clock.exchange_ns:
            return None
        end_ns = min(series.open_end_ns for series in self._series) + self._grace_ns
        return max((end_ns - self._clock.now_ns()) / self._clock.speed / SECOND_NS, 0.01)
