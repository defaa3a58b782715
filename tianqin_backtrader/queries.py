"""What is asked of TqSdk's contract service, in GraphQL, and how its answers read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

__all__ = ["KNOWN", "known_symbols", "underlying_of", "underlying_query"]

KNOWN = (
    "query($instrument_id:[String]){multi_symbol_info(instrument_id:$instrument_id)"
    "{... on basic{instrument_id}}}"
)
UNDERLYING = (
    "($instrument_id:[String]){multi_symbol_info(instrument_id:$instrument_id)"
    "{... on basic{instrument_id} ... on derivative{underlying{edges{node{... on basic"
    "{instrument_id}}}}}}}"
)


def known_symbols(answer: Mapping[str, Any]) -> set[str]:
    """The contracts that an answer to `KNOWN` lists."""
    return {row["instrument_id"] for row in _rows(answer)}


def underlying_query(main: str, day: date) -> tuple[str, str]:
    """Name and text of the question which contract a main contract follows on `day`.

    TqSdk sends the same question only once, so that of each day has a name of its own.
    """
    name = f"main_{day:%Y%m%d}_{main.replace('.', '_').replace('@', '_')}"
    return name, f"query {name}{UNDERLYING}"


def underlying_of(answer: Mapping[str, Any] | None) -> str:
    """The contract that an answer to `underlying_query` names; empty while there is none."""
    for row in _rows(answer or {}):
        for edge in (row.get("underlying") or {}).get("edges", ()):
            return str(edge["node"]["instrument_id"])
    return ""


def _rows(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((answer.get("result") or {}).get("multi_symbol_info") or ())
