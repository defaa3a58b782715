"""`python -m tianqin_backtrader run CONFIG.toml`: a strategy from a file that says all of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from .beijing import beijing_datetime
from .cli_record import paced
from .errors import BadConfigFile, WrongSetting
from .program import Heard, run_program
from .run_config import RunConfig, load_runs
from .supervisor import Supervisor

__all__ = ["choose", "run"]

SECOND_NS = 1_000_000_000
TOLD_EVERY_NS = 60 * SECOND_NS  # of the clock, where there is no terminal

Config = Annotated[Path, typer.Argument(help="TOML file; see examples/config.toml.")]


def run(
    config: Config,
    account: Annotated[str | None, typer.Option(help="One of the file's [accounts].")] = None,
    confirm_live: Annotated[
        list[str], typer.Option(help="Account number that may trade live; repeat it for --all.")
    ] = [],  # noqa: B006  typer copies it
    all_: Annotated[
        bool, typer.Option("--all", help="All accounts, each in a process of its own.")
    ] = False,
) -> None:
    """Run the strategy of a TOML file to the end of the market, Ctrl-C or SIGTERM.

    Exit codes: 0 done, 1 the strategy failed, 2 settings to mend, 70 stopped for safety, 75 network
    (start it again).
    """
    runs = load_runs(config)
    if all_:
        if account is not None:
            raise WrongSetting("--account", account, "no account beside --all")
        raise typer.Exit(_supervise(config, runs, confirm_live))
    chosen = choose(config, runs, account)
    with _voice() as heard:
        strategy = run_program(chosen, config.resolve().parent, heard, confirm_live)
        counts = strategy.analyzers.watch.get_analysis()
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        value, began = strategy.broker.getvalue(), strategy.broker.startingvalue
        heard.line(None, f"the end: {told}; balance {value:,.2f} CNY ({value - began:+,.2f})")


def choose(path: Path, runs: dict[str, RunConfig], account: str | None) -> RunConfig:
    """The run that `--account` names, or the only one. Raises `BadConfigFile`."""
    if account is None and len(runs) == 1:
        return next(iter(runs.values()))
    names = ", ".join(filter(None, runs))
    if account is None:
        raise BadConfigFile(path, f"has the accounts {names}", "--account NAME, or --all")
    if account not in runs or not account:
        raise BadConfigFile(path, f"has no account {account!r}", names or "a file with [accounts]")
    return runs[account]


def _supervise(config: Path, runs: dict[str, RunConfig], confirm_live: list[str]) -> int:
    """Every account in a process of its own; the exit code."""
    if "" in runs:
        raise BadConfigFile(config, "has no accounts", "[accounts.NAME] for --all")
    _check_apart(config, runs)
    program = [sys.executable, "-m", "tianqin_backtrader", "run", str(config)]
    confirmed = [part for each in confirm_live for part in ("--confirm-live", each)]
    commands = {name: [*program, "--account", name, *confirmed] for name in runs}
    patience_s = max(each.run.deadline_s for each in runs.values())
    return Supervisor(commands, tell=_print, patience_s=patience_s + 20.0).run()


def _check_apart(config: Path, runs: dict[str, RunConfig]) -> None:
    """One journal belongs to one account."""
    owners: dict[Path, str] = {}
    for name, each in runs.items():
        journal = each.store.journal
        if journal is not None and owners.setdefault(journal, name) != name:
            arrived = f"the accounts {owners[journal]} and {name} share {journal.name}"
            raise BadConfigFile(config, arrived, "a journal of its own for each account")


# ---- what is shown


@contextmanager
def _voice() -> Iterator[Heard]:
    """A status line under what happens on a terminal; elsewhere plain lines."""
    console = Console(highlight=False)
    with _logging():
        if not console.is_terminal:
            yield Heard(_line, paced(TOLD_EVERY_NS, _line))
            return
        with Status("logging in", console=console) as status:
            yield Heard(
                lambda at, text: console.print(_text(at, text), markup=False),
                lambda at, text: status.update(escape(_text(at, text))),
            )


def _text(at: datetime | None, text: str) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}  {text}" if at else text


def _line(at: datetime | None, text: str) -> None:
    _print(_text(at, text))


def _print(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()  # a supervisor reads along


@contextmanager
def _logging() -> Iterator[None]:
    """Warnings, and what the package says of itself, on stderr in Beijing time."""
    handler = logging.StreamHandler()
    handler.setFormatter(_BeijingFormatter("%(asctime)s  %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _BeijingFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        moment = beijing_datetime(int(record.created * SECOND_NS))
        return f"{moment:%Y-%m-%d %H:%M:%S}"
