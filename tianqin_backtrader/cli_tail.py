"""`python -m tianqin_backtrader tail JOURNAL`: what happens in a run, line by line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from .cli_record import signals
from .cli_target import journal_at
from .journal_lines import Line
from .journal_tail import JournalTail

__all__ = ["tail"]

LOOK_S = 0.5
STYLES = {"order": "cyan", "trade": "green", "event": "", "note": "magenta", "refused": "red"}


def tail(
    journal: Annotated[Path, typer.Argument(help="Journal, or TOML file.")],
    lines: Annotated[int, typer.Option("-n", min=0, help="Lines to begin with.")] = 20,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C.")] = True,
    account: Annotated[str | None, typer.Option(help="One of the TOML file's accounts.")] = None,
) -> None:
    """Show orders, trades, refusals, events and notes as they come, in Beijing time."""
    console = Console(highlight=False, soft_wrap=True)
    with JournalTail(journal_at(journal, account)) as reader, signals() as stopped:
        _show(console, reader.news(lines))
        while follow and not stopped.wait(LOOK_S):
            _show(console, reader.news())


def _show(console: Console, lines: list[Line]) -> None:
    for line in lines:
        style = "red" if line.bad else STYLES.get(line.kind, "")
        console.print(Text(str(line), style))
    sys.stdout.flush()
