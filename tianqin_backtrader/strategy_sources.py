"""Which strategies run, and from which source: so that a record can be traced to the code."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["names_of", "numbers_of", "source_hash", "sources_of"]


def names_of(strategies: Iterable[object]) -> list[str]:
    """Import paths of their classes."""
    return [f"{type(each).__module__}.{type(each).__qualname__}" for each in strategies]


def sources_of(strategies: Iterable[object]) -> dict[str, str]:
    """SHA-256 of the source of each strategy's class, by import path."""
    found = list(strategies)
    return dict(zip(names_of(found), (source_hash(type(each)) for each in found), strict=True))


def numbers_of(strategies: Iterable[object]) -> dict[str, dict[str, float | bool]]:
    """The parameters of each strategy that are numbers, by import path: texts may be secrets."""
    found = list(strategies)
    return {
        name: {
            word: value
            for word, value in _parameters(each).items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        }
        for name, each in zip(names_of(found), found, strict=True)
    }


def _parameters(strategy: object) -> Mapping[str, Any]:
    """As Backtrader keeps them."""
    params: Any = getattr(strategy, "p", None)
    return {} if params is None else dict(params._getkwargs())


def source_hash(kind: type) -> str:
    """SHA-256 of the file that defines a class, of the class's text in a notebook.

    Empty where there is no source.
    """
    try:
        path = inspect.getsourcefile(kind)
        if path is not None and Path(path).is_file():
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return hashlib.sha256(inspect.getsource(kind).encode()).hexdigest()
    except (OSError, TypeError):
        return ""
