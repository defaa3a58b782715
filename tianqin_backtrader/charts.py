"""Charts of a TqSdk session: ticks by id, official klines on request, a probe of the line.

Asked for with the `set_chart` packs that TqSdk's own downloader sends and read from its tree by row
id, because a DataFrame that is shifted on every tick costs more than all the rest. Nothing here
waits: who must, asks `is_ready` after each update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .stream import TickStream

__all__ = ["Charts", "Kline", "KlineRequest", "TickChart"]

SECOND_NS = 1_000_000_000
# Klines of one serial kept in TqSdk's tree once they were read: without a limit it grows by every
# bar for as long as the process runs.
KEPT_KLINES = 500
PROBE, TICKS_OF = "tianqin_probe", "tianqin_ticks_"

Kline = Mapping[str, Any]  # datetime (ns, start), open, high, low, close, volume, open_oi, close_oi
Send = Callable[[dict[str, Any]], None]
Node = Callable[..., Any]  # TqSdk's live object at a path of its tree


class _Chart:
    """A window on one serial of TqSdk's tree."""

    def __init__(self, width: int, chart: Any, serial: Any, tree: Mapping[str, Any]) -> None:
        self.width, self._chart, self._serial, self._tree = width, chart, serial, tree

    @property
    def is_ready(self) -> bool:
        """Whether the server has answered this very request with all rows."""
        answered = self._chart.get("state", {}).get("view_width") == self.width
        ready = answered and self._chart.get("ready", False)
        return bool(ready) and not self._tree.get("mdhis_more_data", True)

    @property
    def first_id(self) -> int:
        """Id of the oldest row of the window; -1 where there is none."""
        return int(self._chart.get("left_id", -1))

    @property
    def last_id(self) -> int:
        return int(self._chart.get("right_id", -1))


class TickChart(_Chart):
    """One contract's newest ticks; the window follows the market.

    A chart without any tick must be given back: after a reconnect TqSdk holds all data back until
    every chart has rows (tqsdk.connect, MdReconnectHandler), those of other contracts too.
    """

    def __init__(self, symbol: str, *where: Any) -> None:
        super().__init__(*where)
        self.symbol = symbol

    @property
    def is_empty(self) -> bool:
        """Whether the contract never had a tick."""
        return self.first_id < 0

    def stream(self) -> TickStream:
        """The window's ticks from its oldest one on. Streams do not disturb each other."""
        return TickStream(self.symbol, self._serial, max(self.first_id, 0))


class KlineRequest(_Chart):
    """Official klines that were asked for; `release` it when they are read."""

    def __init__(self, release: Callable[[], None], *where: Any) -> None:
        super().__init__(*where)
        self._release = release

    def rows(self) -> list[Kline]:
        """The klines, oldest first; the newest may still be open."""
        data = self._serial.get("data", {})
        ids = range(max(self.first_id, 0), self.last_id + 1)
        rows = (data.get(str(row_id)) for row_id in ids)
        return [dict(row) for row in rows if row is not None and row.get("datetime", 0) > 0]

    def release(self) -> None:
        """Give the chart back: nothing more comes for it."""
        self._release()

    def forget_old(self) -> None:
        """Let rows that were read long ago leave TqSdk's tree."""
        data = self._serial.get("data", {})
        if len(data) > 2 * KEPT_KLINES:
            for row_id in sorted(data, key=int)[:-KEPT_KLINES]:
                del data[row_id]


class Charts:
    """Every chart of one session. `send` hands a pack to TqSdk, `node` reads its tree."""

    def __init__(self, send: Send, node: Node) -> None:
        self._send_pack, self._node = send, node
        self._count = 0
        self._ticks: dict[str, TickChart] = {}
        self._newest = ""  # contract that was asked for last
        self._probe_width = 1

    def ticks(self, symbol: str, width: int) -> TickChart:
        """The chart of the newest `width` ticks; those who ask for one contract share it."""
        chart = self._ticks.get(symbol)
        if chart is None or chart.width < width:
            where = self._open(TICKS_OF + symbol, symbol, 0, width)
            chart = self._ticks[symbol] = TickChart(symbol, *where)
        return chart

    def drop_ticks(self, symbol: str) -> None:
        """Give a chart of ticks back."""
        self._ticks.pop(symbol, None)
        self._send({"chart_id": TICKS_OF + symbol, "ins_list": "", "duration": 0})

    def klines(self, symbol: str, duration_s: int, count: int) -> KlineRequest:
        """Ask for the newest `count` klines of `duration_s` seconds."""
        self._count += 1
        chart_id, duration_ns = f"tianqin_klines_{self._count}", duration_s * SECOND_NS
        where = self._open(chart_id, symbol, duration_ns, count)
        gone = {"chart_id": chart_id, "ins_list": "", "duration": duration_ns}
        return KlineRequest(lambda: self._send(gone), *where)

    def probe(self) -> Callable[[], bool]:
        """Ask the server anything; what is returned tells whether it has answered.

        Its packets come in order, so with the answer all is here that it had sent before.
        """
        self._probe_width = 3 - self._probe_width  # an answer must differ from the last one
        probe = _Chart(*self._open(PROBE, self._busiest(), 0, self._probe_width))
        return lambda: probe.is_ready

    def _busiest(self) -> str:
        """A contract that has ticks, if any has: its chart is never empty."""
        return next(iter(self._ticks), self._newest)

    def _open(self, chart_id: str, symbol: str, duration_ns: int, width: int) -> tuple[Any, ...]:
        self._send(
            {
                "chart_id": chart_id,
                "ins_list": symbol,
                "duration": duration_ns,
                "view_width": width,
            }
        )
        self._newest = symbol
        path = ["klines", symbol, str(duration_ns)] if duration_ns else ["ticks", symbol]
        return width, self._node("charts", chart_id), self._node(*path), self._node()

    def _send(self, chart: dict[str, Any]) -> None:
        self._send_pack({"aid": "set_chart", "view_width": 1} | chart)
