"""One client's market-data subscriptions, and the diffs it is owed. Pure: no socket, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from .diff import LONGEST, Fields
from .hub import Change, Hub, Series, SymbolFeed
from .values import DAY_NS, SECOND_NS

__all__ = ["Subscriptions"]


@dataclass(slots=True)
class Chart:
    """A window on serials of one duration; its ids are those of the first symbol's rows."""

    chart_id: str
    state: Fields
    feeds: list[SymbolFeed]
    duration_ns: int
    width: int
    left_id: int = -1
    right_id: int = -1
    follows: bool = True  # the newest row moves the window

    @property
    def symbol(self) -> str:
        return self.feeds[0].contract.symbol


class Subscriptions:
    """Quotes and charts of one connection."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._quotes: set[str] = set()
        self._charts: dict[str, Chart] = {}

    @property
    def wanted(self) -> bool:
        """Whether the client follows anything at all."""
        return bool(self._quotes or self._charts)

    def subscribe_quotes(self, ins_list: str, now_ns: int) -> list[Fields]:
        """The whole list of quotes that the client wants; answers the pictures of the new ones."""
        symbols = {symbol for symbol in ins_list.split(",") if symbol}
        quotes: Fields = {}
        for symbol in sorted(symbols - self._quotes):
            feed = self._hub.feed(symbol, now_ns)
            if feed is not None:
                quotes[symbol] = dict(feed.quote)
        self._quotes = {symbol for symbol in symbols if symbol in self._hub}
        return [{"quotes": quotes, "ins_list": ins_list, "mdhis_more_data": False}]

    def set_chart(self, pack: Mapping[str, Any], now_ns: int) -> list[Fields]:
        """Open, move or (empty `ins_list`) remove a chart; answers its rows and their window."""
        chart_id = str(pack.get("chart_id", ""))
        symbols = [symbol for symbol in str(pack.get("ins_list", "")).split(",") if symbol]
        feeds = [feed for symbol in symbols if (feed := self._hub.feed(symbol, now_ns))]
        duration = pack.get("duration")
        if not symbols or len(feeds) != len(symbols) or not _is_duration(duration):
            self._charts.pop(chart_id, None)
            return [{"charts": {chart_id: None}}]
        state = {key: value for key, value in pack.items() if key != "_path"}
        width = min(max(_whole(pack.get("view_width"), 1), 1), LONGEST)
        chart = Chart(chart_id, state, feeds, duration, width)
        self._charts[chart_id] = chart
        _place(chart, pack, feeds[0].series(duration, now_ns))
        return [_picture(chart, now_ns)]

    def on_change(self, change: Change) -> Fields:
        """What `change` means for this client; empty where it follows nothing of it."""
        diff: Fields = {}
        if change.symbol in self._quotes:
            diff["quotes"] = {change.symbol: change.quote}
        for chart in self._charts.values():
            if any(feed.contract.symbol == change.symbol for feed in chart.feeds):
                left = chart.left_id
                _extend(diff, chart, change)
                if chart.left_id > left >= 0:
                    self._forget(diff, chart, left)
        return diff

    def _forget(self, diff: Fields, moved: Chart, left_id: int) -> None:
        """Delete at the client the rows that `moved` left behind and no other chart shows.

        Without it a client's tree grows by every tick for as long as it runs.
        """
        same = [c for c in self._charts.values() if c.duration_ns == moved.duration_ns]
        for feed in moved.feeds:
            symbol = feed.contract.symbol
            others = [c for c in same if any(f.contract.symbol == symbol for f in c.feeds)]
            if len(moved.feeds) > 1 or any(c.left_id <= left_id <= c.right_id for c in others):
                continue
            data = _serial(diff, symbol, moved.duration_ns).setdefault("data", {})
            data.update((str(old), None) for old in range(left_id, moved.left_id))


def _is_duration(value: Any) -> TypeGuard[int]:
    """0 for ticks, whole seconds up to a day, or whole days: what TqSdk asks for."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 28 * DAY_NS:
        return False
    return value % (SECOND_NS if value <= DAY_NS else DAY_NS) == 0


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value >= 0 else default


def _place(chart: Chart, pack: Mapping[str, Any], series: Series) -> None:
    """Put the window where the pack asks: at an id, around a time, or at the newest row."""
    if "left_kline_id" in pack:
        chart.left_id, chart.follows = _whole(pack["left_kline_id"], 0), False
    elif "focus_datetime" in pack:
        focus = series.id_at(_whole(pack["focus_datetime"], 0))
        chart.left_id = max(focus - _whole(pack.get("focus_position"), 0), 0)
        chart.follows = False
    else:
        chart.left_id = max(series.last_id - chart.width + 1, 0)
    chart.right_id = min(chart.left_id + chart.width - 1, series.last_id)
    if not series.rows or chart.left_id > series.last_id:
        chart.left_id = chart.right_id = -1


def _picture(chart: Chart, now_ns: int) -> Fields:
    diff: Fields = {
        "charts": {
            chart.chart_id: {
                "left_id": chart.left_id,
                "right_id": chart.right_id,
                "more_data": False,
                "ready": True,
                "state": chart.state,
            }
        },
        "mdhis_more_data": False,
    }
    first = chart.feeds[0].series(chart.duration_ns, now_ns)
    for feed in chart.feeds:
        series = feed.series(chart.duration_ns, now_ns)
        left, right = _matching(first, series, chart.left_id, chart.right_id)
        _serial(diff, feed.contract.symbol, chart.duration_ns).update(
            last_id=series.last_id if series.rows else -1, data=series.window(left, right)
        )
        if feed is not chart.feeds[0]:
            binding = _bind(first, series, range(chart.left_id, chart.right_id + 1))
            _serial(diff, chart.symbol, chart.duration_ns)["binding"] = {
                **_serial(diff, chart.symbol, chart.duration_ns).get("binding", {}),
                feed.contract.symbol: binding,
            }
    return diff


def _matching(first: Series, other: Series, left: int, right: int) -> tuple[int, int]:
    """The ids of `other` that cover the same times as `left`..`right` of `first`."""
    if other is first or left < 0:
        return left, right
    edges = first.window(left, right)
    if not edges:
        return -1, -1
    times = [row["datetime"] for row in edges.values()]
    return other.id_at(times[0]), other.id_at(times[-1])


def _bind(first: Series, other: Series, ids: range) -> Fields:
    """`{id of first: id of other}` of rows with the same time."""
    rows = first.window(ids.start, ids.stop - 1)
    found = {key: other.id_with_time(row["datetime"]) for key, row in rows.items()}
    return {key: value for key, value in found.items() if value is not None}


def _serial(diff: Fields, symbol: str, duration_ns: int) -> Fields:
    if duration_ns == 0:
        found: Fields = diff.setdefault("ticks", {}).setdefault(symbol, {})
    else:
        by_duration = diff.setdefault("klines", {}).setdefault(symbol, {})
        found = by_duration.setdefault(str(duration_ns), {})
    return found


def _extend(diff: Fields, chart: Chart, change: Change) -> None:
    """Add the new rows of `change`, move the window, and let the row that left it go."""
    if chart.duration_ns == 0:
        rows = [(change.tick_id, change.tick)]
    else:
        rows = change.klines.get(chart.duration_ns, [])
    if not rows:
        return
    last_id = rows[-1][0]
    _window(diff, chart, change.symbol, last_id)
    serial = _serial(diff, change.symbol, chart.duration_ns)
    serial["last_id"] = last_id
    data = serial.setdefault("data", {})
    data.update((str(row_id), fields) for row_id, fields in rows)
    if len(chart.feeds) > 1:
        _rebind(diff, chart, change)


def _window(diff: Fields, chart: Chart, symbol: str, last_id: int) -> None:
    room = chart.follows or chart.right_id - chart.left_id + 1 < chart.width
    if symbol != chart.symbol or not room or last_id == chart.right_id:
        return
    chart.right_id = last_id
    chart.left_id = max(chart.left_id, 0)
    if chart.follows:
        chart.left_id = max(last_id - chart.width + 1, chart.left_id)
    diff.setdefault("charts", {})[chart.chart_id] = {
        "left_id": chart.left_id,
        "right_id": chart.right_id,
    }


def _rebind(diff: Fields, chart: Chart, change: Change) -> None:
    first = chart.feeds[0].klines[chart.duration_ns]
    for feed in chart.feeds[1:]:
        other = feed.klines[chart.duration_ns]
        binding = _bind(first, other, range(first.last_id, first.last_id + 1))
        if binding:
            _serial(diff, chart.symbol, chart.duration_ns)["binding"] = {
                feed.contract.symbol: binding
            }
