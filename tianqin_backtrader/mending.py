"""Puts official klines where bars could not be built whole, and keeps the order meanwhile."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .charts import Kline, KlineRequest
from .connection import Connection
from .model import Bar

__all__ = ["Mender"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
MOST = 10_000  # klines that TqSdk gives
MARGIN = 10  # asked for beyond those that are missing


class LetGo(Protocol):
    """Whoever takes the bars that are whole; `official`: it is TqSdk's, in place of ours."""

    def __call__(self, bar: Bar, /, *, official: bool) -> None: ...


class Mender:
    """Lets whole bars of one series go on in order.

    From a bar with `complete=False` on, bars are held until the official klines are here: from its
    label to the label of the next complete bar they take the place of what was built. None is let
    go twice.
    """

    def __init__(
        self,
        connection: Connection,
        symbol: str,
        duration_s: int,
        bar_of: Callable[[Kline], Bar],
        let_go: LetGo,
    ) -> None:
        self._connection, self._symbol, self._duration_s = connection, symbol, duration_s
        self._bar_of, self._let_go = bar_of, let_go
        self._held: deque[Bar] = deque()
        self._request: KlineRequest | None = None
        self._count = 0  # klines asked for
        self._before_ns = -1  # klines with earlier labels were over when they were asked for
        self.newest_ns = -1  # start of the newest bar that went on

    @property
    def is_holding(self) -> bool:
        """Whether bars wait for official klines."""
        return bool(self._held)

    @property
    def newest_closed_ns(self) -> int:
        """Start of the newest bar that came, held or not."""
        return self._held[-1].start_ns if self._held else self.newest_ns

    def take(self, bar: Bar) -> None:
        """The next bar that was built."""
        if self._held or not bar.complete:
            self._held.append(bar)
        else:
            self._go(bar, official=False)

    def ask(self, open_ns: int) -> None:
        """Ask for klines if bars are held; `open_ns`: start of the bar that is being built."""
        if self._held and self._request is None:
            known_ns = max(self.newest_ns, self._held[0].start_ns - SECOND_NS)
            missing = (open_ns - known_ns) // (self._duration_s * SECOND_NS)
            self._ask(missing + MARGIN, open_ns)

    def poll(self, open_ns: int) -> None:
        """Look whether the klines have come; never waits."""
        request = self._request
        if request is not None and request.is_ready:
            self._request, rows = None, request.rows()
            request.release()
            self._mend(rows, open_ns)

    def finish(self, open_ns: int) -> None:
        """Wait for what was asked for. Raises `GatewayTimeout`."""
        while self._request is not None:
            self._connection.wait_until(self._has_answer, "missing klines")
            self.poll(open_ns)

    def _has_answer(self) -> bool:
        return self._request is not None and self._request.is_ready

    def _ask(self, count: int, open_ns: int) -> None:
        self._before_ns, self._count = open_ns, min(count, MOST)
        self._request = self._connection.klines(self._symbol, self._duration_s, self._count)

    def _mend(self, rows: list[Kline], open_ns: int) -> None:
        """Put klines where bars are missing, and let go what waited for them.

        A kline that was open when they were asked for may lack its end.
        """
        if self._starts_late(rows):
            self._ask(2 * self._count, open_ns)
            return
        held, before_ns = self._held, self._before_ns
        while held and (held[0].complete or held[0].start_ns < before_ns):
            until_ns = min(next((b.start_ns for b in held if b.complete), before_ns), before_ns)
            while held and not held[0].complete and held[0].start_ns < before_ns:
                held.popleft()
            for row in rows:
                if self.newest_ns < int(row["datetime"]) < until_ns:
                    self._go(self._bar_of(row), official=True)
            while held and held[0].complete:
                self._go(held.popleft(), official=False)
        self.ask(open_ns)

    def _starts_late(self, rows: list[Kline]) -> bool:
        """Whether older klines are needed and there: the market went on while these came."""
        reaches_back = not rows or int(rows[0]["datetime"]) <= self.newest_ns
        if reaches_back or self.newest_ns < 0 or len(rows) < self._count:
            return False
        if self._count == MOST:
            logger.warning("%s: bars before the oldest official one are lost", self._symbol)
        return self._count < MOST

    def _go(self, bar: Bar, *, official: bool) -> None:
        if bar.start_ns > self.newest_ns:
            self.newest_ns = bar.start_ns
            self._let_go(bar, official=official)
