"""Imports point down only (DESIGN: L0 values, L1 pure core, L2 owners, L3 face; sim apart)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tianqin_backtrader"

LAYER = {
    "beijing": 0, "clock": 0, "config": 0, "errors": 0, "exits": 0, "model": 0, "notices": 0,
    "values": 0,
    "alarm_rules": 1, "audit": 1, "bars": 1, "blotter": 1, "calendar": 1, "candles": 1,
    "charts": 1, "comparing": 1, "contracts": 1, "delivery": 1, "diagnosis": 1, "families": 1,
    "fee_book": 1, "flow": 1, "frames": 1, "gates": 1, "health": 1, "journal_entries": 1,
    "journal_lines": 1, "journal_records": 1, "journal_tables": 1, "legs": 1, "listing": 1,
    "logins": 1, "lots": 1, "merging": 1, "news": 1, "offsets": 1, "orders": 1, "permits": 1,
    "preflight": 1, "pricing": 1, "progress": 1, "queries": 1, "recovery": 1, "register": 1,
    "report_costs": 1, "report_figures": 1, "report_tables": 1, "report_timeline": 1,
    "report_trips": 1, "report_words": 1, "risk": 1, "risk_counts": 1, "risk_gate": 1,
    "risk_losses": 1, "risk_rules": 1, "roll_orders": 1, "rolls": 1, "run_sections": 1,
    "run_view": 1, "sending": 1, "sessions": 1, "states": 1, "stops": 1, "stream": 1,
    "surroundings": 1, "tick_bars": 1, "tickets": 1, "tidings": 1, "triggers": 1, "upkeep": 1,
    "validity": 1, "winding": 1, "working": 1,
    "account_view": 2, "alarms": 2, "auditing": 2, "books": 2, "chronicle": 2, "closing": 2,
    "connection": 2, "contract_recorder": 2, "demo": 2, "discarding": 2, "exports": 2,
    "floor": 2, "guard": 2, "hiding": 2, "instance": 2, "journal": 2, "journal_reader": 2,
    "journal_schema": 2, "journal_tail": 2, "keeper": 2, "leftovers": 2, "listed": 2,
    "machine_checks": 2, "main_contract": 2, "making": 2, "market_data": 2, "mending": 2,
    "network_checks": 2, "opening": 2, "paper": 2, "paper_floor": 2, "pump": 2, "rebuilding": 2,
    "recorder": 2, "recording": 2, "report_data": 2, "report_digest": 2, "report_extra": 2,
    "report_page": 2, "report_prices": 2, "roll_view": 2, "run_config": 2, "safe_journal": 2,
    "series": 2, "session_view": 2, "strategy_sources": 2, "supervisor": 2, "switch": 2,
    "target_desk": 2, "target_task": 2, "targets": 2, "tick_files": 2, "tick_reading": 2,
    "tick_series": 2, "trading": 2, "trading_days": 2,
    "analyzers": 3, "background": 3, "broker": 3, "commission": 3, "desk": 3, "entry": 3,
    "execution": 3, "exploring": 3, "feed": 3, "flattening": 3, "halting": 3,
    "known_contracts": 3, "lines": 3, "live": 3, "live_chart": 3, "making_orders": 3,
    "market_calendar": 3, "marks": 3, "ordering": 3, "program": 3, "recorded": 3, "restart": 3,
    "rolling": 3, "run_watch": 3, "running": 3, "store": 3, "strategies": 3, "telling": 3,
    "terms": 3, "timeframes": 3, "verbs": 3,
    "cli_doctor": 4, "cli_export": 4, "cli_record": 4, "cli_report": 4, "cli_run": 4,
    "cli_status": 4, "cli_switch": 4, "cli_tail": 4, "cli_target": 4,
    "cli": 5,
    "__init__": 6, "__main__": 6,
}  # fmt: skip
ONLY = {
    "tqsdk": {"connection"},
    "backtrader": {name for name, layer in LAYER.items() if layer == 3},
}
CLOCKS = {"time", "datetime.now", "datetime.utcnow", "date.today"}


def imports(path: Path) -> set[str]:
    """Absolute names of what a module imports, TYPE_CHECKING blocks included."""
    package = ["tianqin_backtrader", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            found |= {stem} | {f"{stem}.{alias.name}" for alias in node.names}
    return found


def modules(names: set[str]) -> set[str]:
    """Top-level modules of the package among imported names."""
    parts = (name.split(".") for name in names)
    return {p[1] for p in parts if len(p) > 1 and p[0] == "tianqin_backtrader"} & (
        LAYER.keys() | {"sim"}
    )


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_point_down(path: Path) -> None:
    assert path.stem in LAYER, f"{path.name} has no layer; give it one here"
    above = {name for name in modules(imports(path)) if LAYER.get(name, 0) > LAYER[path.stem]}
    assert not above, f"{path.stem} imports {above}"


@pytest.mark.parametrize("library", ONLY)
def test_library_has_one_importer(library: str) -> None:
    importers = {
        path.stem
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert importers <= ONLY[library]


@pytest.mark.parametrize("path", sorted((PACKAGE / "sim").glob("*.py")), ids=lambda path: path.stem)
def test_exchange_borrows_nothing_but_errors(path: Path) -> None:
    assert modules(imports(path)) <= {"errors", "sim"}


@pytest.mark.parametrize("name", sorted(name for name, layer in LAYER.items() if layer == 1))
def test_core_is_pure(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    if not path.exists():
        pytest.fail(f"{name} has a layer but no file")
    roots = {found.split(".")[0] for found in imports(path)}
    assert not roots & {"tqsdk", "backtrader", "logging", "time", "asyncio", "socket"}


def test_wall_clock_is_read_in_one_module() -> None:
    readers = {
        path.stem
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("now", "utcnow", "today", "time", "time_ns", "perf_counter_ns")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("time", "datetime", "date")
    }
    assert readers == {"clock"}
