"""Charts of a TqSdk session: ticks by id, official klines on request, a probe of the line.

Asked for with the `set_chart` packs that TqSdk's own downloader sends and read from its tree by row
id, because a DataFrame that is shifted on every tick costs more than all the rest. Nothing here
waits: who must, asks `is_ready` after each update.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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

    def __init__(self, pack: Mapping[str, Any], node: Node) -> None:
        self.pack, self._node = pack, node
        self.width, self.symbol = int(pack["view_width"]), str(pack["ins_list"])
        self.bind()

    def bind(self) -> None:
        """Look at the tree of the TqApi that stands now."""
        duration_ns = self.pack["duration"]
        path = ["klines", self.symbol, str(duration_ns)] if duration_ns else ["ticks", self.symbol]
        self._chart, self._tree = self._node("charts", self.pack["chart_id"]), self._node()
        self._serial = self._node(*path)

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

    def __init__(self, pack: Mapping[str, Any], node: Node) -> None:
        self._streams: weakref.WeakSet[TickStream] = weakref.WeakSet()
        super().__init__(pack, node)

    def bind(self) -> None:
        super().bind()
        for stream in self._streams:
            stream.follow(self._serial)

    @property
    def is_empty(self) -> bool:
        """Whether the contract never had a tick."""
        return self.first_id < 0

    def stream(self) -> TickStream:
        """The window's ticks from its oldest one on. Streams do not disturb each other."""
        stream = TickStream(self.symbol, self._serial, max(self.first_id, 0))
        self._streams.add(stream)
        return stream


class KlineRequest(_Chart):
    """Official klines that were asked for; `release` it when they are read."""

    def __init__(self, release: Callable[[], None], pack: Mapping[str, Any], node: Node) -> None:
        super().__init__(pack, node)
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


C = TypeVar("C", bound=_Chart)


class Charts:
    """Every chart of one session. `send` hands a pack to TqSdk, `node` reads its tree."""

    def __init__(self, send: Send, node: Node) -> None:
        self._send_pack, self._node = send, node
        self._count = 0
        self._open: dict[str, _Chart] = {}  # by id, those that the server shows
        self._ticks: dict[str, TickChart] = {}
        self._newest = ""  # contract that was asked for last

    # ---- another TqApi takes the place of the one that they were asked of

    @property
    def symbols(self) -> list[str]:
        """The contracts whose ticks are shown."""
        return list(self._ticks)

    def bind(self) -> None:
        """Look at the tree of the TqApi that stands now."""
        for chart in self._open.values():
            chart.bind()

    def renew(self) -> None:
        """Ask for everything once more, of the TqApi that stands now."""
        self.bind()
        for chart in self._open.values():
            self._send_pack(dict(chart.pack))

    @property
    def are_ready(self) -> bool:
        """Whether the server has answered all that was asked."""
        return all(chart.is_ready for chart in self._open.values())

    # ---- what can be asked for

    def ticks(self, symbol: str, width: int) -> TickChart:
        """The chart of the newest `width` ticks; those who ask for one contract share it."""
        chart = self._ticks.get(symbol)
        if chart is None or chart.width < width:
            chart = TickChart(self._pack(TICKS_OF + symbol, symbol, 0, width), self._node)
            self._ticks[symbol] = self._ask(chart)
        return chart

    def drop_ticks(self, symbol: str) -> None:
        """Give a chart of ticks back."""
        self._ticks.pop(symbol, None)
        self._drop(TICKS_OF + symbol, 0)

    def klines(self, symbol: str, duration_s: int, count: int) -> KlineRequest:
        """Ask for the newest `count` klines of `duration_s` seconds."""
        self._count += 1
        chart_id, duration_ns = f"tianqin_klines_{self._count}", duration_s * SECOND_NS
        pack = self._pack(chart_id, symbol, duration_ns, count)
        return self._ask(KlineRequest(lambda: self._drop(chart_id, duration_ns), pack, self._node))

    def probe(self, who: str = "") -> Callable[[], bool]:
        """Ask the server anything; what is returned tells whether it has answered.

        Its packets come in order, so with the answer all is here that it had sent before. who: of
        several that ask; a question takes the place of the same one's last.
        """
        last = self._open.get(PROBE + who)
        width = 1 if last is not None and last.width == 2 else 2  # unlike the last one's answer
        probe = self._ask(_Chart(self._pack(PROBE + who, self._busiest(), 0, width), self._node))
        return lambda: probe.is_ready

    def _busiest(self) -> str:
        """A contract that has ticks, if any has: its chart is never empty."""
        return next(iter(self._ticks), self._newest)

    def _pack(self, chart_id: str, symbol: str, duration_ns: int, width: int) -> dict[str, Any]:
        self._newest = symbol
        pack = {"chart_id": chart_id, "ins_list": symbol, "duration": duration_ns}
        return {"aid": "set_chart", "view_width": width} | pack

    def _ask(self, chart: C) -> C:
        self._open[chart.pack["chart_id"]] = chart
        self._send_pack(dict(chart.pack))
        return chart

    def _drop(self, chart_id: str, duration_ns: int) -> None:
        self._open.pop(chart_id, None)
        gone = {"chart_id": chart_id, "ins_list": "", "duration": duration_ns}
        self._send_pack({"aid": "set_chart", "view_width": 1} | gone)
