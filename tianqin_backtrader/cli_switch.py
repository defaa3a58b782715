"""`halt`, `resume`, `flatten`: said to a running instance through files beside its journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .cli_record import signals
from .cli_run import choose
from .cli_target import journal_at
from .clock import monotonic_ns
from .errors import BadJournal
from .exits import FAILED
from .flattening import flatten_account
from .instance import left_of, owner_of
from .run_config import load_runs
from .switch import TradingState, switch_of

__all__ = ["flatten", "halt", "resume"]

SECOND_NS = 1_000_000_000
LOOK_S = 0.2

JournalPath = Annotated[Path, typer.Argument(help="Journal, or TOML file.")]
Account = Annotated[str | None, typer.Option(help="One of the TOML file's accounts.")]


def halt(
    journal: JournalPath,
    reduce: Annotated[bool, typer.Option("--reduce", help="Orders that close still go.")] = False,
    reason: Annotated[str, typer.Option(help="What orders are refused with.")] = "halted by hand",
    account: Account = None,
) -> None:
    """Stop an account's trading: no new order goes out until `resume`. Cancels still do.

    It holds for the instance that runs, and for those that start later.
    """
    path = journal_at(journal, account)
    state = TradingState.REDUCING if reduce else TradingState.HALTED
    switch_of(path).set(state, reason)
    whom = "is told at once" if owner_of(path) else "does not run; it will find this when it starts"
    typer.echo(f"{path.name}: {state.value} ({reason}); the instance {whom}")


def resume(journal: JournalPath, account: Account = None) -> None:
    """Let an account trade again after `halt`."""
    path = journal_at(journal, account)
    before, reason = switch_of(path).read()
    switch_of(path).clear()
    was = (
        f"was {before.value} ({reason})" if before is not TradingState.NORMAL else "was so already"
    )
    typer.echo(f"{path.name}: {TradingState.NORMAL.value}; it {was}")


def flatten(
    journal: JournalPath,
    timeout_s: Annotated[float, typer.Option(min=0, help="How long to wait.")] = 60.0,
    config: Annotated[
        Path | None, typer.Option(help="TOML file to log in with where no instance runs.")
    ] = None,
    account: Account = None,
    confirm_live: Annotated[str | None, typer.Option(help="Account number, in mode live.")] = None,
) -> None:
    """Cancel an account's orders and close its positions; exit code 0 when it is flat, else 1.

    The running instance does it; where none runs, --config opens a session for it. From then on
    the strategy may only reduce, until `resume`.
    """
    path = journal_at(journal, account)
    is_running = owner_of(path) is not None
    if config is None and not is_running:
        arrived = "is written by no running instance that could close its positions"
        raise BadJournal(path, arrived, "--config CONFIG.toml, to log in for it")
    with _reducing(path):
        if config is None or is_running:
            left = _ask(path, timeout_s)
        else:
            run = choose(config, load_runs(config), account)
            confirm = [] if confirm_live is None else [confirm_live]
            left = ", ".join(flatten_account(run, path, timeout_s, confirm))
    if left:
        typer.echo(f"{path.name} is not flat after {timeout_s:g} s: {left}", err=True)
        raise typer.Exit(FAILED)
    state, _ = switch_of(path).read()
    typer.echo(f"{path.name} is flat and {state.value} from now on; `resume` lifts that")


@contextmanager
def _reducing(path: Path) -> Iterator[None]:
    """Nothing is opened meanwhile and afterwards; what was halted stays halted."""
    before, reason = switch_of(path).read()
    switch_of(path).set(TradingState.REDUCING, reason or "flattened by hand")
    try:
        yield
    finally:
        if before is TradingState.HALTED:
            switch_of(path).set(before, reason)


def _ask(path: Path, timeout_s: float) -> str:
    """Ask the running instance and wait for what its journal shows; what is left then."""
    switch_of(path).request("flatten")
    until_ns = monotonic_ns() + int(timeout_s * SECOND_NS)
    with signals() as stopped:
        left = _left(path)
        while left and monotonic_ns() < until_ns and not stopped.wait(LOOK_S):
            left = _left(path)
    return left


def _left(path: Path) -> str:
    """What stands between the account and flat; empty: nothing."""
    if path.with_name(f"{path.name}.request").exists():
        return "the instance has not taken the request yet"
    return ", ".join(left_of(path))
