"""Contract terms that the user brings: rows as TqSdk writes them, which override the catalogue."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BadReplayFile, WrongSetting
from .catalogue import PRODUCTS, Product

__all__ = ["Instruments", "parse_symbol"]

Row = Mapping[str, Any]
EXPECTED_FILE = "a JSON object of rows by symbol, or a list of rows with instrument_id"
SYMBOL = re.compile(r"([A-Z]+)\.([A-Za-z]+)(\d{3,4})")
TERMS = {
    "price_tick": float,
    "price_decs": int,
    "volume_multiple": int,
    "max_limit_order_volume": int,
    "max_market_order_volume": int,
}


@dataclass(frozen=True, slots=True)
class Code:
    """A contract's code taken apart: "CZCE.SR601" has `digits` "601"."""

    exchange_id: str
    product_id: str
    digits: str

    @property
    def month(self) -> int:
        return int(self.digits[-2:])


def parse_symbol(symbol: str) -> Code | None:
    """The parts of a well-formed futures symbol; CZCE writes three digits, the others four."""
    found = SYMBOL.fullmatch(symbol)
    if found is None:
        return None
    code = Code(*found.groups())
    long_enough = len(code.digits) == (3 if code.exchange_id == "CZCE" else 4)
    return code if long_enough and 1 <= code.month <= 12 else None


class Instruments:
    """The products that exist here: the catalogue's, and what the user's rows say of them."""

    def __init__(self, source: str | Path | Sequence[Row] | None) -> None:
        self._rows = _rows(source)
        self._by_product: dict[tuple[str, str], Row] = {}
        for symbol, row in self._rows.items():
            code = parse_symbol(symbol)
            if code is not None and row.get("price_tick"):
                self._by_product.setdefault((code.exchange_id, code.product_id), row)
        keys = dict.fromkeys((*PRODUCTS, *self._by_product))
        self.products = {key: self._product(key) for key in keys}

    def product_of(self, symbol: str) -> Product | None:
        """Terms of the contract `symbol`: its own row, else its product's."""
        code = parse_symbol(symbol)
        product = self.products.get((code.exchange_id, code.product_id)) if code else None
        row = self._rows.get(symbol)
        return _overridden(product, row) if product is not None and row is not None else product

    def row(self, symbol: str) -> Row:
        """What the user said of the contract itself; empty if nothing."""
        return self._rows.get(symbol, {})

    def _product(self, key: tuple[str, str]) -> Product:
        row = self._by_product.get(key)
        if row is None:
            return PRODUCTS[key]
        return _overridden(PRODUCTS.get(key) or _unknown(key, row), row)


def _overridden(product: Product, row: Row) -> Product:
    terms: dict[str, Any] = {
        name: kind(row[name]) for name, kind in TERMS.items() if _is_number(row.get(name))
    }
    if _is_number(row.get("margin")):
        terms["margin_cny"] = float(row["margin"])
    if _is_number(row.get("commission")):
        fee = float(row["commission"])
        ratio = product.commission_close_today_cny / product.commission_cny
        terms |= {"commission_cny": fee, "commission_close_today_cny": round(fee * ratio, 2)}
    if row.get("trading_time"):
        hours = row["trading_time"]
        terms["trading_time"] = {part: hours.get(part) or [] for part in ("day", "night")}
    return replace(product, **terms)


def _unknown(key: tuple[str, str], row: Row) -> Product:
    """A product that the catalogue lacks: its terms from the row, its habits middling."""
    multiple = int(row.get("volume_multiple") or 1)
    margin = row["margin"] if _is_number(row.get("margin")) else 4000.0
    price = margin / multiple / 0.1
    tick = float(row["price_tick"])
    return Product(
        *key,
        name=str(row.get("product_short_name") or key[1]),
        price_tick=tick,
        price_decs=int(row.get("price_decs") or 0),
        volume_multiple=multiple,
        price=round(price / tick) * tick,
        commission_cny=3.0,
        commission_close_today_cny=3.0,
        max_limit_order_volume=500,
        max_market_order_volume=0,
        annual_volatility=0.2,
        lots_per_minute=300.0,
        margin_rate=0.1,
        limit_rate=0.08,
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rows(source: str | Path | Sequence[Row] | None) -> dict[str, Row]:
    if source is None:
        return {}
    if isinstance(source, str | Path):
        return _by_symbol(_read(Path(source)), source)
    return _by_symbol(source, "instruments")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadReplayFile(path, f"cannot be read ({error})", EXPECTED_FILE) from error
    except ValueError as error:
        raise BadReplayFile(path, f"no JSON ({error})", EXPECTED_FILE) from error


def _by_symbol(content: Any, origin: str | Path) -> dict[str, Row]:
    """Rows of futures by symbol, from an object by symbol or from a list of rows."""
    rows = content.values() if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping | list | tuple) or not all(
        isinstance(row, Mapping) and "instrument_id" in row for row in rows
    ):
        if origin == "instruments":
            raise WrongSetting("instruments", type(content).__name__, EXPECTED_FILE)
        raise BadReplayFile(origin, f"a JSON {type(content).__name__} without rows", EXPECTED_FILE)
    futures = (row for row in rows if row.get("class", "FUTURE") == "FUTURE")
    return {str(row["instrument_id"]): row for row in futures}
