"""`python -m tianqin_backtrader status`: how runs stand, from their journals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .beijing import beijing_datetime
from .cli_target import HOME, journals_at
from .errors import BadJournal
from .instance import Picture, picture_of

__all__ = ["status"]

MONEY = (
    {"balance": "balance", "available": "available", "margin": "margin"},
    {"closed profit": "close_profit", "open profit": "position_profit", "fees": "commission"},
)
COLOURS = {"NORMAL": "green", "REDUCING": "yellow", "HALTED": "bold red"}


def status(
    target: Annotated[
        Path | None, typer.Argument(help=f"Journal or TOML file; else all in {HOME.as_posix()}.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="One of the TOML file's accounts.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All journals of the home folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show how runs stand: state, money, positions, orders, stops, what happened last.

    Reads only: it can be called at any time, and after a run has ended.
    """
    journals = journals_at(None if all_ else target, account)
    is_one = target is not None and len(journals) == 1 and not all_
    look = picture_of if is_one else _picture
    pictures = {name: look(path) for name, path in journals.items()}
    if as_json:
        told = {name: _plain(each) for name, each in pictures.items()}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False, default=str))
        return
    console = Console(highlight=False)
    if not pictures:
        console.print(f"no journal in {HOME.as_posix()}; name one: status JOURNAL", markup=False)
    for name, each in pictures.items():
        console.print(_panel(name, each))


def _picture(path: Path) -> Picture | BadJournal:
    """How a run stands; among several one damaged journal hides no other."""
    try:
        return picture_of(path)
    except BadJournal as error:
        return error


def _plain(picture: Picture | BadJournal) -> dict[str, Any]:
    if isinstance(picture, BadJournal):
        return {"error": str(picture)}
    plain = asdict(picture)
    plain["running"] = picture.owner is not None
    plain["events"] = [str(line) for line in picture.events]
    return plain


def _panel(name: str, picture: Picture | BadJournal) -> Panel:
    if isinstance(picture, BadJournal):
        return Panel(Text(str(picture), "red"), title=name, title_align="left")
    blocks = [_head(picture), _money(picture), _positions(picture), _orders(picture)]
    events = [_event(str(line), line.bad) for line in picture.events]
    blocks.append(Group(*events) if events else None)
    parts = [part for block in blocks if block is not None for part in (block, Text())][:-1]
    border = COLOURS[picture.state] if picture.owner else "dim"
    return Panel(Group(*parts), title=Text(name, "bold"), title_align="left", border_style=border)


def _head(picture: Picture) -> Table:
    """Who, how, and what was done on the newest trading day."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("process", _process(picture))
    rows.add_row("trading", _state(picture))
    if picture.newest_ns:
        rows.add_row("market time", _time(picture.newest_ns))
        counts = (picture.orders_today, picture.trades_today, picture.refusals_today)
        told = "{} orders, {} trades, {} refused".format(*counts)
        rows.add_row(f"{picture.day}", told)
    rows.add_row("journal", str(picture.journal))
    return rows


def _process(picture: Picture) -> Text:
    mode = f", mode {picture.mode}" if picture.mode else ""
    if picture.owner is None:
        return Text(f"not running{mode}", "dim")
    pid, since = picture.owner.pid, picture.owner.started_ns
    who = f"running as process {pid} since {_time(since)}" if pid else "running"
    return Text(who + mode, "green")


def _state(picture: Picture) -> Text:
    reason = f": {picture.reason}" if picture.reason else ""
    return Text(picture.state + reason, COLOURS[picture.state])


def _money(picture: Picture) -> RenderableType | None:
    """The newest snapshot of the account, CNY."""
    account = picture.account
    if account is None:
        return None
    table = Table.grid(padding=(0, 2))
    for _ in range(len(MONEY[0])):
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
    for row in MONEY:
        cells = ((title, f"{account[name]:,.2f}") for title, name in row.items())
        table.add_row(*(cell for pair in cells for cell in pair))
    when = f"CNY at {_time(account['at_ns'])} ({account['why']})"
    return Group(table, Text(when, "dim"))


def _positions(picture: Picture) -> RenderableType | None:
    if not picture.positions:
        return None
    names = ("long", "short", "long_price", "short_price", "margin")
    return _table("position", names, picture.positions, "symbol")


def _orders(picture: Picture) -> RenderableType | None:
    """Orders that can still trade, and stops that are held here."""
    if not picture.orders:
        return None
    stops = {each["key"]: each["trigger"] for each in picture.stops}
    newest = beijing_datetime(picture.newest_ns).date()
    rows = [
        {**each, "trigger": stops.get(each["key"]), "since": _since(each["at_ns"], newest)}
        for each in picture.orders
    ]
    return _table("order", ("asked", "filled", "trigger", "state", "since"), rows, "key")


def _since(time_ns: int, day: date) -> str:
    moment = beijing_datetime(time_ns)
    return f"{moment:%H:%M}" if moment.date() == day else f"{moment:%m-%d}"


def _table(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]], key: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(title, no_wrap=True)
    for name in names:
        is_text = name in ("asked", "state", "since")
        title = name.replace("_", " ")
        table.add_column(title, justify="left" if is_text else "right", no_wrap=name != "asked")
    for row in rows:
        table.add_row(str(row[key]), *(_cell(row[name]) for name in names))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def _event(line: str, bad: bool) -> Text:
    return Text(line, "yellow" if bad else "dim", overflow="ellipsis", no_wrap=True)


def _time(time_ns: int) -> str:
    return f"{beijing_datetime(time_ns):%Y-%m-%d %H:%M:%S}"
