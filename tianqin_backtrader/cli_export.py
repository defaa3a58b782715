"""`python -m tianqin_backtrader export JOURNAL`: a journal as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import exports
from .cli_target import journal_at
from .errors import WrongSetting

__all__ = ["export"]

FORMATS = ("csv", "parquet")


def export(
    journal: Annotated[Path, typer.Argument(help="Journal, or TOML file.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    format_: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    account: Annotated[str | None, typer.Option(help="One of the TOML file's accounts.")] = None,
) -> None:
    """Write orders, trades, positions and account of a journal to files; one row per id."""
    if format_ not in FORMATS:
        raise WrongSetting("--format", format_, " or ".join(FORMATS))
    path = journal_at(journal, account)
    try:
        written = exports.export(path, out, format_)
    except OSError as error:
        raise WrongSetting(
            "--out", str(out), f"a folder that can be written to ({error})"
        ) from error
    for each in written or ():
        typer.echo(str(each))
