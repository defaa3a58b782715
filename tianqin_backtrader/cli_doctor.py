"""`python -m tianqin_backtrader doctor`: what may keep a run from trading, and what to mend."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .cli_run import choose
from .config import MODES, Settings, load_settings
from .diagnosis import Check, Health
from .errors import MissingCredentials
from .exits import DONE, FAILED
from .machine_checks import machine_checks
from .network_checks import network_checks
from .program import environment_of
from .run_config import load_runs
from .run_sections import RunConfig
from .sim import LocalExchange

__all__ = ["doctor"]

WIDE = 110  # columns of a terminal
STYLES = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "bold red", Health.SKIP: "dim"}


def doctor(
    symbol: Annotated[list[str], typer.Option(help="Contract to look up; may be repeated.")] = [],  # noqa: B006
    mode: Annotated[
        str | None, typer.Option(help=f"{', '.join(MODES)}; else TIANQIN_MODE.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of a run.")] = None,
    account: Annotated[str | None, typer.Option(help="One of the file's [accounts].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at everything that a run needs, and say what to mend.

    Exit code 0 when nothing failed, else 1. Passwords and account numbers are never shown; in mode
    live only the market side is logged in to.
    """
    with ExitStack() as stack:
        run = None if config is None else choose(config, load_runs(config), account)
        if run is not None:
            stack.enter_context(environment_of(run))
        symbols = list(symbol) or ([each.symbol for each in run.data] if run else [])
        checks = _looked(_checks(stack, run, _given(run, mode), symbols), shown=not as_json)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in checks], indent=2, ensure_ascii=False))
    raise typer.Exit(FAILED if any(c.health is Health.FAIL for c in checks) else DONE)


def _given(run: RunConfig | None, mode: str | None) -> dict[str, Any]:
    """What file and flags say of the settings."""
    store: dict[str, Any] = {} if run is None else run.store.model_dump(exclude_none=True)
    given = {name: value for name, value in store.items() if name in Settings.model_fields}
    return given if mode is None else {**given, "mode": mode}


def _missing(given: dict[str, Any]) -> tuple[str, ...]:
    """Variables that the mode lacks. Raises `WrongSetting` for what cannot be meant."""
    try:
        load_settings(**given)
    except MissingCredentials as error:
        return error.variables
    return ()


def _alerts(run: RunConfig | None, settings: Settings) -> str:
    """Addresses of alarms."""
    if run is not None and run.store.alerts_env:
        return os.environ.get(run.store.alerts_env, "")
    found = getattr(settings, "alerts", None)
    return str(found.get_secret_value()) if found else ""


def _checks(
    stack: ExitStack, run: RunConfig | None, given: dict[str, Any], symbols: Sequence[str]
) -> Iterator[Check]:
    missing = _missing(given)
    settings = Settings(**given)
    yield from machine_checks(settings, missing, _alerts(run, settings))
    now_ns = None
    if settings.mode == "demo" and settings.md_url is None:
        exchange = stack.enter_context(LocalExchange())
        exchange.pause()
        urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
        settings, now_ns = settings.model_copy(update=urls), exchange.now_ns
    yield from network_checks(settings, symbols, has_login=not missing, now_ns=now_ns)


def _looked(checks: Iterator[Check], *, shown: bool) -> list[Check]:
    """All checks; on a terminal it says what it is at."""
    console = Console(highlight=False)
    if not shown:
        return list(checks)
    found: list[Check] = []
    with console.status("looking") as status:
        for each in checks:
            found.append(each)
            status.update(f"{each.name}: {each.health.value}")
    console.print(_table(found, console.width))
    console.print(_summary(found))
    return found


def _table(checks: Sequence[Check], width: int) -> Table:
    """On a narrow terminal what to mend stands below what was found."""
    is_wide = width >= WIDE
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("")
    for title in ("found", "what to mend") if is_wide else ("found, and what to mend",):
        table.add_column(title, overflow="fold")
    for each in checks:
        dim = "dim" if each.health is Health.SKIP else ""
        state = Text("-" if dim else each.health.value, STYLES[each.health])
        found, mend = Text(each.found, dim), Text(each.mend)
        if not is_wide and each.mend:
            found, mend = Text.assemble(found, "\n", ("→ ", STYLES[each.health]), mend), Text()
        table.add_row(Text(each.name, dim), state, found, *([mend] if is_wide else []))
    return table


def _summary(checks: Sequence[Check]) -> Text:
    failed = sum(each.health is Health.FAIL for each in checks)
    warned = sum(each.health is Health.WARN for each in checks)
    if failed:
        return Text(f"{failed} failed, {warned} to look at: a run would not work", "bold red")
    if warned:
        return Text(f"nothing failed, {warned} to look at", "yellow")
    return Text("all is well", "green")
