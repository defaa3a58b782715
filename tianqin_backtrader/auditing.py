"""Fetches the official klines that self-built bars are compared with, now and then, never waiting.

One request answers many bars: a chart that stays open would cost TqApi a kline for every tick.
"""

from __future__ import annotations

from .audit import BarAudit
from .charts import KlineRequest
from .clock import monotonic_ns
from .connection import Connection
from .errors import GatewayTimeout
from .notices import Notice, Tell
from .values import Bar

__all__ = ["Auditor"]

EVERY_NS = 30_000_000_000  # of real time
MANY = 200  # bars pending that are worth a request at once, in a replay
MOST = 10_000  # klines that TqSdk gives
PATIENCE_S = 5.0  # of a program that is about to end


class Auditor:
    """Compares one series of bars with the official one."""

    def __init__(
        self, connection: Connection, symbol: str, duration_s: int, audit: BarAudit, tell: Tell
    ) -> None:
        self._connection, self._symbol, self._duration_s = connection, symbol, duration_s
        self._audit, self._tell = audit, tell
        self._request: KlineRequest | None = None
        self._asked_ns = monotonic_ns()
        self._since = 0  # bars delivered since the oldest pending one

    def add(self, bar: Bar, *, built: bool) -> None:
        """A bar was delivered; an official one only counts as a place in the series."""
        if built:
            self._audit.add(bar)
        self._since += 1

    def poll(self) -> None:
        """Ask when it is time; compare when the answer is there."""
        if self._request is not None:
            if self._request.is_ready:
                self._compare(self._request, ended=False)
        elif self._audit.pending and self._is_time():
            self._request = self._ask()

    def finish(self, *, ended: bool) -> None:
        """Compare what is left. `ended`: nothing comes any more, so the newest kline is final."""
        if not self._audit.pending:
            return
        request = self._request or self._ask()
        try:
            self._connection.wait_until(lambda: request.is_ready, "klines to compare", PATIENCE_S)
        except GatewayTimeout:
            return
        self._compare(request, ended=ended)

    def _is_time(self) -> bool:
        many = self._audit.pending >= MANY
        return many or monotonic_ns() - self._asked_ns >= EVERY_NS

    def _ask(self) -> KlineRequest:
        self._asked_ns = monotonic_ns()
        count = min(self._since + 3, MOST)
        return self._connection.klines(self._symbol, self._duration_s, count)

    def _compare(self, request: KlineRequest, *, ended: bool) -> None:
        found = self._audit.check(request.rows(), ended=ended)
        request.release()
        request.forget_old()
        self._request, self._since = None, self._audit.pending
        for difference in found:
            self._tell(
                Notice.AUDIT_DIFFERENCE,
                f"{self._symbol}: a bar of {self._duration_s} s differs: {difference}",
                difference=difference,
                duration_s=self._duration_s,
            )
