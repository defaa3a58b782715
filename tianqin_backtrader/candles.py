"""Candlesticks of Chinese futures, drawn with plotly.

Every bar has the same width and stands beside the one before: breaks, nights and holidays leave no
hole. Night sessions have a grey ground, trading days a line between them.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pandas as pd

from .errors import ConfigError, WrongSetting

__all__ = ["COLORS", "candlestick", "plotly"]

# What rises and what falls. In China red rises; in the West green does.
COLORS = {"red_up": ("#d9303e", "#1f8a4c"), "green_up": ("#1f8a4c", "#d9303e")}
BUY, SELL = "#1f5fd0", "#8a2be2"
NIGHT, EDGE, GRID = "rgba(70,90,130,0.09)", "rgba(70,90,130,0.45)", "#e8e8ee"
MOST_SHAPES = 120  # days and nights marked; beyond, a chart of lines shows nothing
TICKS = 9  # labels of the time axis, at most
STEPS = (1, 2, 5, 10, 15, 30, 60)  # minutes between labels
NEEDED = ("open", "high", "low", "close", "volume", "trading_day", "session")


def plotly() -> Any:
    """plotly with its figures. Raises `ConfigError` where it is not installed."""
    try:
        import plotly as found  # noqa: PLC0415 - optional, and 0.5 s
        import plotly.graph_objects  # noqa: PLC0415
        import plotly.subplots  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "plotly is not installed and charts are drawn with it; "
            'run: pip install "tianqin-backtrader[notebook]"'
        ) from error
    return found


def candlestick(
    bars: pd.DataFrame,
    title: str = "",
    *,
    trades: pd.DataFrame | None = None,
    colors: str = "red_up",
    height: int = 520,
) -> Any:
    """A plotly `Figure` of bars as `TqStore.history` gives them, with their volume below.

    trades: fills by time (`side` +1 or -1, `offset`, `volume` in lots, `price`), drawn as
    triangles on the bar in which they happened. colors: "red_up" as in China, or "green_up".
    height: pixels. Raises `WrongSetting`, or `ConfigError` without plotly.
    """
    if colors not in COLORS:
        raise WrongSetting("colors", colors, " or ".join(map(repr, COLORS)))
    missing = [name for name in NEEDED if name not in bars.columns]
    if missing:
        raise WrongSetting(
            "bars", f"without {', '.join(missing)}", "bars as store.history has them"
        )
    library = plotly()
    graphs = library.graph_objects
    figure = library.subplots.make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.78, 0.22], vertical_spacing=0.03
    )
    labels = _labels(bars)
    figure.add_trace(_candles(graphs, bars, labels, COLORS[colors]), row=1, col=1)
    figure.add_trace(_volume(graphs, bars, labels, COLORS[colors]), row=2, col=1)
    if trades is not None and len(trades) and len(bars):
        for trace in _fills(graphs, bars, labels, trades):
            figure.add_trace(trace, row=1, col=1)
    figure.update_layout(shapes=_shapes(bars))
    _lay_out(figure, bars, labels, title, height)
    return figure


def _labels(bars: pd.DataFrame) -> list[str]:
    """Names of the bars on the axis, no two alike: the axis shows them side by side."""
    seconds = any(end.second or end.microsecond for end in bars.index)
    daily = len(bars) > 1 and bars["trading_day"].is_unique
    form = "%Y-%m-%d" if daily else "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    seen: dict[str, int] = {}
    found = []
    for end in bars.index:
        text = end.strftime(form)
        seen[text] = seen.get(text, 0) + 1
        found.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return found


def _candles(graphs: Any, bars: pd.DataFrame, labels: list[str], colors: tuple[str, str]) -> Any:
    rising, falling = colors
    return graphs.Candlestick(
        x=labels,
        open=bars["open"].tolist(),
        high=bars["high"].tolist(),
        low=bars["low"].tolist(),
        close=bars["close"].tolist(),
        increasing={"line": {"color": rising, "width": 1}, "fillcolor": rising},
        decreasing={"line": {"color": falling, "width": 1}, "fillcolor": falling},
        name="price",
        showlegend=False,
    )


def _volume(graphs: Any, bars: pd.DataFrame, labels: list[str], colors: tuple[str, str]) -> Any:
    rises = (bars["close"] >= bars["open"]).tolist()
    return graphs.Bar(
        x=labels,
        y=bars["volume"].tolist(),
        marker={"color": [colors[0] if up else colors[1] for up in rises], "line": {"width": 0}},
        opacity=0.65,
        name="volume",
        hovertemplate="volume %{y:,} lots<extra></extra>",
        showlegend=False,
    )


def _fills(graphs: Any, bars: pd.DataFrame, labels: list[str], trades: pd.DataFrame) -> list[Any]:
    """Triangles on the bars in which the fills happened; fills outside of `bars` are left out."""
    at = bars.index.searchsorted(trades.index)  # the first bar that ends at or after the fill
    begins = bars.index[0] - (bars.index[1] - bars.index[0] if len(bars) > 1 else pd.Timedelta(0))
    shown = trades.assign(at=at)[(at < len(bars)) & (trades.index > begins)]
    found = []
    for side, name, symbol, color in (
        (1, "bought", "triangle-up", BUY),
        (-1, "sold", "triangle-down", SELL),
    ):
        some = shown[shown["side"] == side]
        if some.empty:
            continue
        texts = [
            f"{name} {row.volume} {str(row.offset).lower()} @ {row.price:g}, {time:%H:%M:%S}"
            for time, row in zip(some.index, some.itertuples(), strict=True)
        ]
        found.append(
            graphs.Scatter(
                x=[labels[number] for number in some["at"]],
                y=some["price"].tolist(),
                mode="markers",
                marker={
                    "symbol": symbol,
                    "size": 11,
                    "color": color,
                    "line": {"color": "white", "width": 1},
                },
                name=name,
                text=texts,
                hovertemplate="%{text}<extra></extra>",
            )
        )
    return found


def _shapes(bars: pd.DataFrame) -> list[dict[str, Any]]:
    """Grey grounds of the nights and lines between trading days, where bars are not whole days."""
    days = [day for day, _ in groupby(bars["trading_day"])]
    if len(days) * 2 > MOST_SHAPES or len(days) == len(bars):
        return []
    found, place = [], 0
    for (_, session), group in groupby(zip(bars["trading_day"], bars["session"], strict=True)):
        count = len(list(group))
        if session == "night":
            found.append(_ground(place - 0.5, place + count - 0.5))
        place += count
    place = 0
    for _, group in groupby(bars["trading_day"]):
        if place:
            found.append(_edge(place - 0.5))
        place += len(list(group))
    return found


def _ground(left: float, right: float) -> dict[str, Any]:
    where = {"x0": left, "x1": right, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
    return {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": NIGHT, **where}


def _edge(place: float) -> dict[str, Any]:
    where = {"x0": place, "x1": place, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
    return {
        "type": "line",
        "layer": "below",
        "line": {"width": 1, "color": EDGE, "dash": "dot"},
    } | where


def _lay_out(figure: Any, bars: pd.DataFrame, labels: list[str], title: str, height: int) -> None:
    places, texts = _time_ticks(bars)
    axis = {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": labels,
        "tickmode": "array",
        "tickvals": [labels[place] for place in places],
        "ticktext": texts,
        "tickangle": 0,
        "showgrid": False,
        "range": [-0.8, max(len(labels), 1) - 0.2],
        "rangeslider": {"visible": False},
        "showspikes": True,
        "spikemode": "across",
        "spikethickness": 1,
        "spikedash": "dot",
        "spikecolor": "#888",
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, side="right")
    figure.update_yaxes(tickformat=",", row=1, col=1)
    figure.update_yaxes(nticks=4, tickformat="~s", row=2, col=1)
    figure.update_layout(
        title={"text": title, "x": 0.01, "y": 0.97, "font": {"size": 15}},
        height=height,
        margin={"l": 12, "r": 60, "t": 40 if title else 14, "b": 40},
        plot_bgcolor="white",
        paper_bgcolor="white",
        hovermode="x",
        bargap=0.25,
        dragmode="pan",
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 1.0, "yanchor": "bottom"},
    )


def _time_ticks(bars: pd.DataFrame) -> tuple[list[int], list[str]]:
    """Where the time axis is labelled, and how: the date where it is new, else the time of day."""
    if bars.empty:
        return [], []
    if len(bars) > 1 and bars["trading_day"].is_unique:
        places = _thinned(list(range(len(bars))))
        return places, [f"{bars.index[place]:%Y-%m-%d}" for place in places]
    places, whole = _places(bars)
    texts, before = [], None
    for place in places:
        moment = bars.index[place].floor("30min") if whole else bars.index[place]
        date = "" if moment.date() == before else f"<br>{moment:%m-%d}"
        before = moment.date()
        texts.append(f"{moment:%H:%M}{date}")
    return places, texts


def _places(bars: pd.DataFrame) -> tuple[list[int], bool]:
    """At round times of day, the closest that leave room; else where sessions, or days, begin.

    The second value: whether the labels are to name the beginning, 21:00 and not 21:01.
    """
    minutes = [end.hour * 60 + end.minute for end in bars.index]
    for step in STEPS:
        places = [n for n, minute in enumerate(minutes) if minute % step == 0]
        if 3 <= len(places) <= TICKS:
            return places, False
    sessions, days = (
        _firsts(bars, names) for names in (["trading_day", "session"], ["trading_day"])
    )
    for places in (sessions, days):
        if 3 <= len(places) <= TICKS:
            return places, True
    return (
        (_thinned(days), True) if len(days) > TICKS else (_thinned(list(range(len(bars)))), False)
    )


def _firsts(bars: pd.DataFrame, names: list[str]) -> list[int]:
    """The places where one of the columns changes."""
    keys = list(bars[names].itertuples(index=False, name=None))
    return [n for n, key in enumerate(keys) if not n or key != keys[n - 1]]


def _thinned(places: list[int]) -> list[int]:
    return places[:: -(-len(places) // TICKS)]
