"""Fetches the official klines that self-built bars are compared with, now and then, never waiting.

One request answers many bars: a chart that stays open would cost TqApi a kline for every tick.
"""

from __future__ import annotations

from .audit import BarAudit, Difference
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
        self._least = 0  # klines of the next request: the last one did not reach back far enough

    def add(self, bar: Bar, *, built: bool) -> None:
        """A bar was delivered; an official one is not compared with itself."""
        self._audit.add(bar, built=built)

    def poll(self) -> None:
        """Ask when it is time; compare when the answer is there."""
        if self._request is not None:
            if self._request.is_ready:
                self._compare(self._request, ended=False)
        elif self._audit.pending and self._is_time():
            self._request = self._ask()

    def finish(self, *, ended: bool) -> None:
        """Compare what is left. `ended`: nothing comes any more, so the newest kline is final."""
        is_done = False
        while self._audit.pending and not is_done:
            is_done = self._finish(self._request or self._ask(), ended)

    def _finish(self, request: KlineRequest, ended: bool) -> bool:
        """Wait and compare; False when more must be asked for."""
        try:
            self._connection.wait_until(lambda: request.is_ready, "klines to compare", PATIENCE_S)
        except GatewayTimeout:
            return True
        return self._compare(request, ended=ended)

    def _is_time(self) -> bool:
        many = self._least or self._audit.pending >= MANY
        return bool(many) or monotonic_ns() - self._asked_ns >= EVERY_NS

    def _ask(self) -> KlineRequest:
        self._asked_ns = monotonic_ns()
        count = min(max(self._audit.span + 3, self._least), MOST)
        return self._connection.klines(self._symbol, self._duration_s, count)

    def _compare(self, request: KlineRequest, *, ended: bool) -> bool:
        """Compare; False when the rows do not reach back to the oldest bar, and more may.

        The newest rows are answered: an answer that came after an outage begins too late.
        """
        rows = request.rows()
        request.release()
        self._request, self._least = None, 0
        if len(rows) >= request.width and request.width < MOST and not self._audit.is_within(rows):
            self._least = 2 * request.width
            return False
        self._tell_all(self._audit.check(rows, ended=ended))
        request.forget_old()
        return True

    def _tell_all(self, found: list[Difference]) -> None:
        for difference in found:
            self._tell(
                Notice.AUDIT_DIFFERENCE,
                f"{self._symbol}: a bar of {self._duration_s} s differs: {difference}",
                difference=difference,
                duration_s=self._duration_s,
            )
