"""What is asked of TqSdk's contract service, in GraphQL, and how its answers read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

__all__ = [
    "KNOWN",
    "contracts_query",
    "known_symbols",
    "listed_contracts",
    "main_contracts",
    "mains_query",
    "underlying_of",
    "underlying_query",
]

KNOWN = (
    "query($instrument_id:[String]){multi_symbol_info(instrument_id:$instrument_id)"
    "{... on basic{instrument_id}}}"
)
UNDERLYING = (
    "($instrument_id:[String]){multi_symbol_info(instrument_id:$instrument_id)"
    "{... on basic{instrument_id} ... on derivative{underlying{edges{node{... on basic"
    "{instrument_id}}}}}}}"
)

CONTRACTS = (
    "($product_id:[String]){multi_symbol_info(class:[FUTURE],product_id:$product_id,expired:false)"
    "{... on basic{instrument_id exchange_id instrument_name price_tick}"
    "... on tradeable{volume_multiple}"
    "... on future{product_id delivery_year delivery_month expire_datetime margin commission "
    "max_limit_order_volume}}}"
)
MAINS = (
    "{multi_symbol_info(class:[CONT]){... on basic{instrument_id} ... on derivative"
    "{underlying{edges{node{... on basic{instrument_id}}}}}}}"
)


def contracts_query(day: date) -> str:
    """The question which contracts of a product are listed; asked anew each day, as below."""
    return f"query contracts_{day:%Y%m%d}{CONTRACTS}"


def mains_query(day: date) -> str:
    """The question which contracts all main contracts follow."""
    return f"query mains_{day:%Y%m%d}{MAINS}"


def listed_contracts(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of an answer to `contracts_query`: those that expire first come first.

    `expire_datetime`: ns since 1970 UTC; `margin`, `commission`: CNY per lot.
    """
    rows = [row for row in _rows(answer) if row.get("instrument_id")]
    return sorted(rows, key=lambda row: (row["exchange_id"], row.get("expire_datetime") or 0))


def main_contracts(answer: Mapping[str, Any]) -> set[str]:
    """The contracts that main contracts follow, from an answer to `mains_query`."""
    return {
        str(edge["node"]["instrument_id"])
        for row in _rows(answer)
        for edge in (row.get("underlying") or {}).get("edges", ())
    }


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
