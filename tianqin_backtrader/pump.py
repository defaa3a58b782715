"""The only place that waits: reads what TqApi brought and hands it on, once per Cerebro cycle.

Bars leave in the order of time: one that ended at E leaves when every series has closed E, or when
market time has passed E by the grace, so that a contract without ticks delays no other.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from .clock import MarketClock, monotonic_ns, now_s
from .closing import Closing
from .connection import Connection
from .delivery import Delivery
from .errors import GatewayTimeout
from .flow import Follower, TickFlow
from .model import OrderPicture, Trade
from .series import Series

__all__ = ["Pump", "Trading"]

SECOND_NS = 1_000_000_000
POLL_NS = SECOND_NS // 4  # how often series may ask the server something
# A bar that reaches the strategy so many real seconds after its end is no news: the strategy slept,
# or the connection did.
STALE_S = 10
NEVER_NS = 2**62


class Trading(Protocol):
    """Whoever follows orders and trades: the broker."""

    def on_order(self, picture: OrderPicture) -> bool: ...

    def on_trade(self, trade: Trade) -> bool: ...

    def on_absent(self, order_ids: set[str]) -> None:
        """Orders of ours that a whole picture of the account does not show."""

    def settle(self) -> bool:
        """All that has come is told; returns whether there is something to tell a strategy."""


class Polled(Protocol):
    """Whoever asks the server something now and then."""

    def poll(self) -> None: ...


class Pump:
    """Moves news from `connection` to the series and the broker."""

    def __init__(
        self, connection: Connection, clock: MarketClock, grace_s: float, now_ns: int
    ) -> None:
        """`now_ns`: market time when the session began, or a moment before; 0: unknown."""
        self._connection, self._clock = connection, clock
        self._began_ns = now_ns
        self._closing = Closing(connection, clock, grace_s)
        self._flows: dict[str, TickFlow] = {}
        self._widths: dict[str, int] = {}  # of their charts
        self._asleep: set[str] = set()  # contracts that never had a tick
        self._series: list[Series] = []
        self._polled: list[Polled] = []
        self._next_end_ns = NEVER_NS  # of all bars being built
        self._leaving_ns: int | None = None  # time of the bars that leave in this cycle
        self._polled_ns = 0
        self._waited = False
        self._runs = False  # all feeds stand, Cerebro's loop has begun
        self.trading: Trading | None = None
        self.ended = False  # the market's records are over

    @property
    def market_ns(self) -> int:
        """The newest time that the exchange has told, ns since 1970 UTC; 0 before."""
        return self._clock.exchange_ns

    def flow(self, symbol: str, ticks: int) -> TickFlow:
        """The contract's ticks; feeds of one contract share them."""
        self._widths[symbol] = max(ticks, self._widths.get(symbol, 0))
        chart = self._connection.tick_chart(symbol, self._widths[symbol])
        if symbol not in self._flows:
            self._flows[symbol] = TickFlow(chart, paced=self._clock.speed is not None)
        if chart.is_empty:
            self._asleep.add(symbol)
        return self._flows[symbol]

    def follow(self, symbol: str, follower: Follower) -> bool:
        """Let `follower` have the contract's live ticks; False if no feed has them."""
        if symbol in self._flows:
            self._flows[symbol].follow(follower)
        return symbol in self._flows

    def add(self, series: Series, flow: TickFlow) -> None:
        """Let `series` have its ticks from now on."""
        if flow.last_tick is not None:
            self._clock.observe(flow.last_tick.time_ns)
            series.close_until(max(self._closing.horizon_ns, self._began_ns))
        series.go_live()
        self._series.append(series)
        self._polled.append(series)
        self._look()

    def newest_ticks(self) -> dict[str, int]:
        """Market time of each contract's newest tick, ns since 1970 UTC; 0 where none came."""
        ticks = {symbol: flow.last_tick for symbol, flow in self._flows.items()}
        return {symbol: 0 if tick is None else tick.time_ns for symbol, tick in ticks.items()}

    def watch(self, watch: Polled) -> None:
        """Let something else look for answers as well."""
        self._polled.append(watch)

    def new_cycle(self) -> None:
        """Cerebro begins another round: one wait is allowed, bars of one time may leave."""
        if not self._runs:
            self._runs = True
            for flow in self._flows.values():
                flow.let_go()
        self._waited = False
        self._leaving_ns = None

    def run(self, budget_s: float) -> None:
        """Wait at most `budget_s` for something that a strategy may see.

        A second call in one cycle returns at once, unless an order is still to be sent.
        """
        if self.ended or (self._waited and not self.has_unsent):
            return
        self._waited = True
        until_ns = monotonic_ns() + int(budget_s * SECOND_NS)  # the wall clock may be set
        while True:
            deadline_s = now_s() + (until_ns - monotonic_ns()) / SECOND_NS
            arrived = self._connection.wait(self._closing.deadline_s(deadline_s, self._next_end_ns))
            if self._take(arrived) or monotonic_ns() >= until_ns:
                return

    @property
    def has_unsent(self) -> bool:
        """Whether an order or a cancel leaves only with the next wait."""
        return self._connection.trading.has_unsent

    # ---- what may leave

    @property
    def is_ready(self) -> bool:
        """Whether any bar may leave."""
        return self._may_leave(self._oldest_ns())

    @property
    def is_leaving(self) -> bool:
        """Whether there are bars that leave in this cycle; all of them have the same time."""
        if self._leaving_ns is None:
            self._leaving_ns = self._oldest_ns()
        return self._may_leave(self._leaving_ns)

    def pop(self, series: Series) -> Delivery | None:
        """The oldest bar of `series` if it leaves in this cycle."""
        if not self.is_leaving or series.queue.ready_ns != self._leaving_ns:
            return None
        delivery = series.queue.pop()
        if delivery is not None and delivery.time_ns < self._closing.stale_ns(STALE_S):
            delivery.history = True
        return delivery

    def _oldest_ns(self) -> int:
        waiting = (series.queue.ready_ns for series in self._series)
        return min((time_ns for time_ns in waiting if time_ns is not None), default=NEVER_NS)

    def _may_leave(self, time_ns: int) -> bool:
        if time_ns == NEVER_NS:
            return False
        is_over = time_ns <= self._closing.horizon_ns
        return is_over or time_ns < self._next_end_ns or self.ended

    # ---- what has come

    def _take(self, arrived: bool) -> bool:
        """Hand on what has come; True when there is something to tell a strategy."""
        if arrived:
            self._take_trading()
            self._wake()
            self._take_ticks()
            self._send()
        self._close()
        told = self.trading is not None and self.trading.settle()
        self._send()
        self._poll()
        self._leaving_ns = None
        if self._connection.ended:
            self._finish()
            return True
        return told or self.is_leaving

    def _take_ticks(self) -> None:
        ticked = self._connection.ticked()
        flows = [self._flows[symbol] for symbol in ticked if symbol in self._flows]
        for flow in flows:
            self._clock.observe(flow.read())
        if flows:
            self._look()

    def _take_trading(self) -> None:
        if self.trading is None:
            return
        orders, trades = self._connection.trading.news()
        for trade in trades:
            self.trading.on_trade(trade)
        for picture in orders:
            self.trading.on_order(picture)
        absent = self._connection.trading.absent()
        if absent:
            self.trading.on_absent(absent)

    def _send(self) -> None:
        """Orders that the news set off leave before a strategy thinks about them."""
        if self.has_unsent:
            self._connection.trading.has_unsent = False
            self._connection.run_tasks()

    def _close(self) -> None:
        horizon_ns = self._closing.look(self._next_end_ns)
        if self._next_end_ns <= horizon_ns:
            for series in self._series:
                if series.open_end_ns <= horizon_ns:
                    series.close_until(horizon_ns)
            self._look()

    def _poll(self) -> None:
        """Let the series look for answers when some came, and for questions now and then."""
        now_ns = monotonic_ns()
        if self._connection.has_answers() or now_ns - self._polled_ns >= POLL_NS:
            self._polled_ns = now_ns
            for each in self._polled:
                each.poll()

    def _wake(self) -> None:
        """Ask for the ticks of contracts that had none, once they have a quote."""
        for symbol in [each for each in self._asleep if self._has_quote(each)]:
            with suppress(GatewayTimeout):  # asked again when the next news come
                self._flows[symbol].wake(self._connection.tick_chart(symbol, self._widths[symbol]))
                self._asleep.discard(symbol)

    def _has_quote(self, symbol: str) -> bool:
        return bool(self._connection.listing.quote(symbol).get("datetime"))

    def _finish(self) -> None:
        self.ended = True
        for series in self._series:
            series.finish()
        self._look()

    def _look(self) -> None:
        self._next_end_ns = min((series.open_end_ns for series in self._series), default=NEVER_NS)
