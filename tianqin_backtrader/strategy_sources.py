"""Which strategies run, and from which source: so that a record can be traced to the code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from pathlib import Path

__all__ = ["names_of", "source_hash", "sources_of"]


def names_of(strategies: Iterable[object]) -> list[str]:
    """Import paths of their classes."""
    return [f"{type(each).__module__}.{type(each).__qualname__}" for each in strategies]


def sources_of(strategies: Iterable[object]) -> dict[str, str]:
    """SHA-256 of the source of each strategy's class, by import path."""
    found = list(strategies)
    return dict(zip(names_of(found), (source_hash(type(each)) for each in found), strict=True))


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
