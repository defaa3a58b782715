"""The command line: `python -m tianqin_backtrader COMMAND`."""

from __future__ import annotations

import logging
import signal
import threading
from asyncio.log import logger as asyncio_logger
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from .cli_doctor import doctor
from .cli_export import export
from .cli_record import record
from .cli_report import report
from .cli_run import run
from .cli_status import status
from .cli_switch import flatten, halt, resume
from .cli_tail import tail
from .errors import TianqinError
from .exits import MEND, code_of
from .sim import LocalExchange

__all__ = ["main"]

_USAGE: type[Any] = typer.BadParameter.__mro__[2]  # ClickException: typer may bring its own click

app = typer.Typer(
    help="Trade Chinese futures with Backtrader through TqSdk.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


for command in (doctor, run, status, tail, halt, resume, flatten, export, record, report):
    app.command()(command)


@app.callback()
def _root() -> None:
    """Trade Chinese futures with Backtrader through TqSdk."""


@app.command()
def exchange(
    replay: Annotated[list[Path], typer.Option(help="CSV, CSV.gz, Parquet or a recording.")] = [],  # noqa: B006
    start: Annotated[str | None, typer.Option(help="Trading day or Beijing time.")] = None,
    end: Annotated[str | None, typer.Option(help="Trading day or Beijing time.")] = None,
    speed: Annotated[float, typer.Option(help="Multiples of real time; 0: lock-step.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Of the made-up market.")] = 1,
    instruments: Annotated[Path | None, typer.Option(help="JSON of contract terms.")] = None,
    port: Annotated[int, typer.Option(help="0: the system chooses.")] = 0,
    control_port: Annotated[int, typer.Option(help="Of the control socket; 0: chosen.")] = 0,
    balance: Annotated[float, typer.Option(help="CNY of a new account.")] = 10_000_000.0,
) -> None:
    """Run the embedded exchange until Ctrl-C; prints where TqSdk finds it."""
    venue = LocalExchange(
        replay=replay,
        start=_moment(start, "--start"),
        end=_moment(end, "--end"),
        speed=speed or None,
        seed=seed,
        instruments=instruments,
        port=port,
        control_port=control_port,
        balance_cny=balance,
    )
    done = threading.Event()
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda *_: done.set())
    with venue:
        for name, url in venue.environment().items():
            typer.echo(f"export {name}={url}")
        while not done.wait(0.5):  # a bare wait() cannot be interrupted on Windows
            pass


def _moment(text: str | None, option: str) -> date | datetime | None:
    """`2025-09-16` is a trading day, `2025-09-15T21:00` a moment in Beijing time."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r}; expected 2025-09-16 or 2025-09-15T21:00", param_hint=option
        ) from error


def _not_of_tasks(record: logging.LogRecord) -> bool:
    """TqSdk leaves tasks behind when its login fails, which asyncio tells after our one line."""
    return "Task was destroyed" not in record.getMessage()


def _place(error: Any) -> str:
    """The command that was misused."""
    return str(error.ctx.command_path if getattr(error, "ctx", None) else "tianqin_backtrader")


def main() -> None:
    """Run a command; an error of ours is one line, and `exits` has its exit code."""
    asyncio_logger.addFilter(_not_of_tasks)  # getLogger may give another: a library renews them
    try:
        raise SystemExit(typer.main.get_command(app).main(standalone_mode=False) or 0)
    except TianqinError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise SystemExit(code_of(error)) from None
    except _USAGE as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            typer.echo(f"{_place(error)}: {text}; --help shows what there is", err=True)
        raise SystemExit(MEND) from None
