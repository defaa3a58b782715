"""What the extra `report` installs, and TradingView's Lightweight Charts out of it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .errors import ConfigError

__all__ = ["charts_script", "check_extra"]

MODULES = ("jinja2", "empyrical")
CHARTS = "lightweight-charts"
SCRIPT = "lightweight_charts/js/lightweight-charts.js"  # 4.1, under the Apache License 2.0


def check_extra() -> None:
    """Raises `ConfigError` if a part of the extra is not installed."""
    for name in MODULES:
        if importlib.util.find_spec(name) is None:
            raise _missing(name)
    charts_script()


def charts_script() -> str:
    """The library that draws, with the notice of its license.

    Only the file is read: the package, imported, would bring up a toolkit of windows. Raises
    `ConfigError` if it is not installed.
    """
    try:
        path = Path(str(distribution(CHARTS).locate_file(SCRIPT)))
        return path.read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError) as error:
        raise _missing(CHARTS) from error


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"a report needs {name}, which is not installed; pip install 'tianqin-backtrader[report]'"
    )
