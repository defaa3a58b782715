"""Answers `ins_query`: which contracts there are, and their terms.

Reads the GraphQL that TqSdk writes (`TqApi._query_for_quote`, `query_quotes`, `query_cont_quotes`,
`query_graphql`): the arguments of `multi_symbol_info` decide the rows, the selection is ignored and
every row is whole. graphql-core comes with TqSdk (sgqlc).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from graphql import GraphQLError, parse
from graphql.language import ast

from .market import Market
from .values import Contract

__all__ = ["answer", "instrument_row"]

Row = dict[str, Any]


def answer(market: Market, pack: Mapping[str, Any], day: date) -> Row:
    """The value under `symbols.{query_id}` for an `ins_query` pack."""
    query, variables = str(pack.get("query", "")), pack.get("variables") or {}
    reply: Row = {"query": query}
    if variables:
        reply["variables"] = dict(variables)
    try:
        arguments = _arguments(query, variables)
    except GraphQLError as error:
        return reply | {"error": str(error)}
    rows = [instrument_row(market, found, day) for found in _select(market, arguments, day)]
    return reply | {"result": {"multi_symbol_info": rows}}


def instrument_row(market: Market, contract: Contract, day: date) -> Row:
    """One row of `multi_symbol_info`, the underlying of a main contract included."""
    row = _terms(contract, day)
    if contract.ins_class == "CONT":
        underlying = market.contract(contract.underlying_symbol, day)
        if underlying is not None:
            node = _terms(underlying, day)
            row["underlying"] = {"count": 1, "edges": [{"underlying_multiple": 1, "node": node}]}
    return row


def _terms(contract: Contract, day: date) -> Row:
    row: Row = {
        "__typename": "future" if contract.ins_class == "FUTURE" else "derivative",
        "instrument_id": contract.symbol,
        "exchange_id": contract.exchange_id,
        "instrument_name": contract.name,
        "ins_name": contract.name,
        "class": contract.ins_class,
        "product_id": contract.product_id,
        "price_tick": contract.price_tick,
        "price_decs": contract.price_decs,
        "volume_multiple": contract.volume_multiple,
        "trading_day": f"{day:%Y%m%d}",
        "trading_time": contract.trading_time,
        "expired": contract.expired,
    }
    if contract.ins_class == "FUTURE":
        row |= {
            "delivery_year": contract.delivery_year,
            "delivery_month": contract.delivery_month,
            "expire_datetime": contract.expire_ns,
            "margin": contract.margin_cny,
            "commission": contract.commission_cny,
            "max_limit_order_volume": contract.max_limit_order_volume,
            "max_market_order_volume": contract.max_market_order_volume,
            "min_limit_order_volume": 1,
            "min_market_order_volume": 1,
            "open_max_limit_order_volume": contract.max_limit_order_volume,
            "open_max_market_order_volume": contract.max_market_order_volume,
            "open_min_limit_order_volume": 1,
            "open_min_market_order_volume": 1,
        }
    return row


def _arguments(query: str, variables: Mapping[str, Any]) -> Row:
    """Arguments of the first `multi_symbol_info`; {} where the query has none."""
    for definition in parse(query).definitions:
        if isinstance(definition, ast.OperationDefinitionNode):
            for field in definition.selection_set.selections:
                if isinstance(field, ast.FieldNode) and field.name.value == "multi_symbol_info":
                    return {a.name.value: _value(a.value, variables) for a in field.arguments}
    return {}


def _value(node: ast.ValueNode, variables: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.VariableNode):
        return variables.get(node.name.value)
    if isinstance(node, ast.ListValueNode):
        return [_value(item, variables) for item in node.values]
    return getattr(node, "value", None)


_FILTERS: dict[str, Callable[[Contract, Any], bool]] = {
    "class": lambda contract, wanted: contract.ins_class in wanted,
    "exchange_id": lambda contract, wanted: contract.exchange_id in wanted,
    "product_id": lambda contract, wanted: contract.product_id in wanted,
    "expired": lambda contract, wanted: contract.expired is wanted,
    "has_night": lambda contract, wanted: bool(contract.trading_time.get("night")) is wanted,
}


def _select(market: Market, arguments: Row, day: date) -> list[Contract]:
    symbols = arguments.pop("instrument_id", None)
    if symbols is not None:
        symbols = [symbols] if isinstance(symbols, str) else symbols
        found = [market.contract(symbol, day) for symbol in symbols if isinstance(symbol, str)]
        listed = [contract for contract in found if contract is not None]
    else:
        listed = list(market.contracts(day))
    for name, wanted in arguments.items():
        if name in _FILTERS and wanted is not None:
            listed = [c for c in listed if _FILTERS[name](c, wanted)]
    return listed
