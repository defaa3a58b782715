"""Finds a strategy where a configuration says it is: "package.module:Class" or "file.py:Class"."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import backtrader as bt

from .errors import BadStrategy

__all__ = ["check_params", "load_strategy"]

EXPECTED = "package.module:Class or file.py:Class, a subclass of backtrader.Strategy"


def load_strategy(where: str, folder: Path) -> type[bt.Strategy]:
    """The class that `where` names; without a class the only strategy that stands there.

    folder: where modules are looked for first. Raises `BadStrategy`, for whatever goes wrong in the
    import as well.
    """
    place, name = _split(where)
    shown = f"{Path(place).name}:{name}" if place.endswith(".py") and name else Path(place).name
    module = _imported(place, shown, folder)
    found = _strategies(module)
    if name:
        if getattr(module, name, None) not in found.values():
            arrived = f"there is no strategy {name}" + _among(found)
            raise BadStrategy(shown, arrived, EXPECTED)
        return found.get(name) or getattr(module, name)
    if len(found) != 1:
        arrived = "there are several strategies" if found else "there is no strategy"
        raise BadStrategy(shown, arrived + _among(found), EXPECTED)
    return next(iter(found.values()))


def check_params(strategy: type[bt.Strategy], params: Mapping[str, Any]) -> None:
    """Raise `BadStrategy` for a parameter that the strategy does not have."""
    known = list(strategy.params._getkeys())
    for name in params:
        if name not in known:
            near = get_close_matches(name, known, 1)
            expected = f"{near[0]}?" if near else f"one of {', '.join(known) or 'none'}"
            raise BadStrategy(strategy.__name__, f"it has no parameter {name}", expected)


def _split(where: str) -> tuple[str, str]:
    """Place and class; a colon of a Windows drive is none of ours."""
    place, colon, name = where.rpartition(":")
    if not colon or not name.isidentifier():
        return where, ""
    return place, name


def _imported(place: str, shown: str, folder: Path) -> ModuleType:
    is_file = place.endswith(".py")
    home = str(Path(place).parent if is_file else folder)
    if home not in sys.path:
        sys.path.insert(0, home)
    try:
        return _from_file(Path(place)) if is_file else importlib.import_module(place)
    except FileNotFoundError as error:
        if is_file and not Path(place).is_file():
            raise BadStrategy(shown, f"there is no file {place}", EXPECTED) from None
        raise _failed(shown, error) from error
    except Exception as error:  # a user's module may raise anything
        raise _failed(shown, error) from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # Backtrader looks a strategy's module up
    spec.loader.exec_module(module)
    return module


def _failed(shown: str, error: Exception) -> BadStrategy:
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if "importlib" not in f.filename), None)
    name, line = (last.filename, last.lineno) if last else ("", None)
    if isinstance(error, SyntaxError):
        name, line = error.filename or name, error.lineno
    where = f" at {Path(name).name}:{line}" if name != __file__ and line else ""
    text = error.msg if isinstance(error, SyntaxError) else error
    arrived = f"cannot be imported ({type(error).__name__}: {text}{where})"
    return BadStrategy(shown, arrived, EXPECTED)


def _strategies(module: ModuleType) -> dict[str, type[bt.Strategy]]:
    """Strategies that the module itself defines, or else those that it imports."""
    found = {
        name: each
        for name, each in vars(module).items()
        if isinstance(each, type)
        and issubclass(each, bt.Strategy)
        and not each.__module__.startswith("backtrader.")
    }
    own = {name: each for name, each in found.items() if each.__module__ == module.__name__}
    return own or found


def _among(found: Mapping[str, object]) -> str:
    return f" among {', '.join(found)}" if found else ""
