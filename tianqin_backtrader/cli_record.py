"""`python -m tianqin_backtrader record SYMBOL...`: ticks to Parquet until somebody says stop."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .beijing import beijing_datetime
from .clock import monotonic_ns
from .config import Settings, load_settings
from .connection import Connection
from .errors import WrongMode
from .recorder import Progress, Recorder
from .sim import LocalExchange
from .trading_days import TradingDays

__all__ = ["paced", "record", "signals"]

P = ParamSpec("P")

SECOND_NS = 1_000_000_000
DEMO_SPEED = 60.0  # of the exchange that mode demo brings along: a minute a second
MODES = ("demo", "sim", "kq")
SHOWN_EVERY_NS = SECOND_NS
TOLD_EVERY_NS = 60 * SECOND_NS


def record(
    symbols: Annotated[list[str], typer.Argument(help="SHFE.cu2512, KQ.m@SHFE.cu, ...")],
    out: Annotated[Path, typer.Option(help="Folder of the recordings.")] = Path("ticks"),
    mode: Annotated[str | None, typer.Option(help="demo, sim or kq; else TIANQIN_MODE.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long.")] = None,
    width: Annotated[
        int, typer.Option(min=1, max=10_000, help="Past ticks that a new contract begins with.")
    ] = 1_000,
) -> None:
    """Record ticks to Parquet, by trading day and contract, until Ctrl-C.

    Killed, it loses the last second at most, and every file stays readable. Started again it goes
    on where it ended.
    """
    settings = _settings(mode)
    days = TradingDays(settings.holidays)
    with ExitStack() as stack:
        connection = stack.enter_context(_session(settings))
        recorder = stack.enter_context(Recorder(connection, out, days, width, typer.echo))
        recorder.start(symbols)
        typer.echo(f"recording {', '.join(p.symbol for p in recorder.progress)} into {out}")
        stopped = stack.enter_context(signals())
        _run(recorder, stopped, seconds)
    _tell(recorder.progress)


def _settings(mode: str | None) -> Settings:
    if mode is not None and mode not in MODES:
        raise WrongMode(mode, MODES)
    settings = load_settings(mode=mode)
    if settings.mode not in MODES:
        raise WrongMode(settings.mode, MODES)
    return settings


@contextmanager
def _session(settings: Settings) -> Iterator[Connection]:
    """A session; in mode demo without addresses, on an exchange of its own."""
    with ExitStack() as stack:
        if settings.mode == "demo" and settings.md_url is None:
            exchange = stack.enter_context(LocalExchange(speed=DEMO_SPEED))
            urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
            settings = settings.model_copy(update=urls)
        connection = Connection(settings)
        connection.open()
        stack.callback(connection.close)
        yield connection


@contextmanager
def signals() -> Iterator[threading.Event]:
    """Set by SIGINT and SIGTERM instead of ending the program in the middle of a write."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _run(recorder: Recorder, stopped: threading.Event, seconds: float | None) -> None:
    ends_ns = math.inf if seconds is None else monotonic_ns() + seconds * SECOND_NS
    with _display(recorder) as show:
        while not stopped.is_set() and not recorder.ended and monotonic_ns() < ends_ns:
            recorder.step()
            show()


@contextmanager
def _display(recorder: Recorder) -> Iterator[Callable[[], None]]:
    """A table that lives on a terminal, elsewhere a few lines a minute."""
    console = Console()
    if not console.is_terminal:
        yield paced(TOLD_EVERY_NS, lambda: _tell(recorder.progress))
        return
    with Live(_table(recorder.progress), console=console, auto_refresh=False) as live:
        yield paced(SHOWN_EVERY_NS, lambda: live.update(_table(recorder.progress), refresh=True))
        live.update(_table(recorder.progress), refresh=True)


def paced(every_ns: int, show: Callable[P, object]) -> Callable[P, None]:
    """`show`, called no more often than `every_ns` of the clock."""
    due_ns = monotonic_ns() + every_ns

    def maybe(*args: P.args, **kwargs: P.kwargs) -> None:
        nonlocal due_ns
        if monotonic_ns() >= due_ns:
            due_ns = monotonic_ns() + every_ns
            show(*args, **kwargs)

    return maybe


def _table(contracts: Iterable[Progress]) -> Table:
    table = Table("contract", "ticks", "lost", "last price", "Beijing time")
    for each in contracts:
        table.add_row(each.symbol, f"{each.ticks:,}", f"{each.lost:,}", *_newest(each))
    return table


def _tell(contracts: Iterable[Progress]) -> None:
    for each in contracts:
        price, time = _newest(each)
        lost = f", {each.lost} lost" if each.lost else ""
        typer.echo(f"{each.symbol}: {each.ticks} ticks{lost}, the last {price} at {time}")


def _newest(progress: Progress) -> tuple[str, str]:
    """Price and time of the newest tick."""
    if not progress.last_ns:
        return "-", "-"
    moment = beijing_datetime(progress.last_ns)
    return f"{progress.last_price:.10g}", f"{moment:%Y-%m-%d %H:%M:%S}"
