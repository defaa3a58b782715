"""The tables of a report: which columns, which values, as people read them. Pure.

A cell is a text and its class; a `word` is a key of `report_words` and is said in both languages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .beijing import beijing_datetime
from .journal_records import AuditRecord, EventRecord, NoteRecord, RefusalRecord
from .report_costs import Cost, Slip, SlipSum
from .report_figures import DayRow
from .report_trips import Fill, RoundTrip

__all__ = [
    "MOST_ROWS",
    "Cell",
    "Table",
    "audit_table",
    "cell",
    "cost_table",
    "day_table",
    "event_table",
    "held_table",
    "note_table",
    "refusal_table",
    "slip_sum_table",
    "slip_table",
    "trip_table",
]

MOST_ROWS = 1_000  # of one table: the newest
NOTHING = "–"
NOISE = 1e-6


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    style: str  # class: number, time, up, down, word, text
    is_word: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`columns`: keys of words, with the style of each; `hidden`: rows that are left out."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    hidden: int = 0


def cell(kind: str, value: Any) -> Cell:
    """A value as it is shown. `kind`: a name of `FORMATS`, time, word or text."""
    if kind == "word":
        return Cell(str(value), "word", is_word=True)
    if kind in FORMATS:
        missing = value is None or math.isnan(value)
        text = NOTHING if missing else FORMATS[kind](_without_noise(value))
        tone = "" if missing or not kind.startswith("signed") else _tone(_without_noise(value))
        return Cell(text, f"number {tone}".strip())
    if kind == "time":
        return Cell(moment(value), "time")
    return Cell(str(value), "text")


def moment(at_ns: int) -> str:
    """Beijing time to the second; nothing for 0."""
    return f"{beijing_datetime(at_ns):%Y-%m-%d %H:%M:%S}" if at_ns > 0 else NOTHING


def _without_noise(value: float) -> float:
    """0 for what binary fractions leave of it, which would be shown as -0.00."""
    return 0.0 if abs(value) < NOISE else value


def _tone(value: float) -> str:
    return "up" if value > 0 else "down" if value < 0 else ""


def _ratio(value: float) -> str:
    return f"{value:,.2f}" if math.isfinite(value) else "∞"


def _price(value: float) -> str:
    """Whole or to the fourth place, without noughts behind: an average may lie off the grid."""
    return f"{value:,.4f}".rstrip("0").rstrip(".")


FORMATS: Mapping[str, Callable[[Any], str]] = {
    "money": lambda value: f"{value:,.2f}",
    "signed": lambda value: f"{value:+,.2f}" if value else "0.00",
    "change": lambda value: f"{value:+,.2f}" if value else "0.00",  # neither good nor bad
    "price": _price,
    "count": lambda value: f"{value:,.0f}",
    "ratio": _ratio,
    "percent": lambda value: f"{value:.2%}",
    "signed_percent": lambda value: f"{value:+.2%}",
}


def _table(
    columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]], most: int = MOST_ROWS
) -> Table:
    every = list(rows)
    kinds = [kind for _, kind in columns]
    made = tuple(
        tuple(cell(kind, value) for kind, value in zip(kinds, row, strict=True))
        for row in every[-most:]
    )
    heads = tuple((name, "number" if kind in FORMATS else kind) for name, kind in columns)
    return Table(heads, made, max(0, len(every) - most))


# ---- tables


def day_table(days: Sequence[DayRow]) -> Table:
    columns = (
        ("day", "text"), ("balance", "money"), ("profit", "signed"), ("close_profit", "signed"),
        ("position_profit", "signed"), ("commission", "money"), ("other", "change"),
        ("margin", "money"), ("fills", "count"), ("lots", "count"), ("settled", "word"),
    )  # fmt: skip
    return _table(
        columns,
        (
            (
                d.day, d.balance, d.profit, d.close_profit, d.position_profit, d.commission,
                d.other, d.margin, d.fills, d.lots, "yes" if d.is_settled else "no",
            )
            for d in days
        ),
    )  # fmt: skip


def trip_table(trips: Sequence[RoundTrip]) -> Table:
    columns = (
        ("symbol", "text"), ("side", "word"), ("lots", "count"), ("opened", "time"),
        ("closed", "time"), ("entry", "price"), ("exit", "price"), ("profit", "signed"),
        ("fees_cny", "money"), ("net", "signed"),
    )  # fmt: skip
    return _table(
        columns,
        (
            (
                t.symbol, _side(t.is_long), t.volume, t.opened_ns, t.closed_ns, t.entry, t.exit,
                t.profit_cny, t.fees_cny, t.net_cny,
            )
            for t in trips
        ),
    )  # fmt: skip


def _side(is_long: bool) -> str:
    return "long" if is_long else "short"


def held_table(fills: Sequence[Fill]) -> Table:
    columns = (
        ("symbol", "text"), ("side", "word"), ("lots", "count"), ("opened", "time"),
        ("entry", "price"),
    )  # fmt: skip
    rows = ((f.symbol, _side(f.is_long), f.volume, f.at_ns, f.price) for f in fills)
    return _table(columns, rows)


def cost_table(rows: Sequence[Cost]) -> Table:
    columns = (
        ("symbol", "text"), ("kind", "word"), ("lots", "count"), ("turnover_cny", "money"),
        ("fees_cny", "money"), ("per_lot", "money"), ("bp", "ratio"),
    )  # fmt: skip
    return _table(
        columns,
        (
            (c.symbol, c.kind, c.lots, c.turnover_cny, c.fees_cny, c.per_lot_cny, c.basis_points)
            for c in rows
        ),
    )


def slip_sum_table(rows: Sequence[SlipSum]) -> Table:
    columns = (
        ("kind", "word"), ("orders", "count"), ("lots", "count"), ("ticks", "ratio"),
        ("cost", "money"),
    )  # fmt: skip
    return _table(columns, ((s.kind, s.orders, s.lots, s.ticks, s.cost_cny) for s in rows))


def slip_table(rows: Sequence[Slip]) -> Table:
    columns = (
        ("time", "time"), ("order", "text"), ("symbol", "text"), ("side", "word"),
        ("kind", "word"), ("lots", "count"), ("reference", "price"), ("average", "price"),
        ("ticks", "ratio"), ("cost", "money"),
    )  # fmt: skip
    return _table(
        columns,
        (
            (
                s.at_ns, s.key, s.symbol, s.direction, s.kind, s.lots, s.reference, s.average,
                s.ticks, s.cost_cny,
            )
            for s in rows
        ),
    )  # fmt: skip


def refusal_table(rows: Sequence[RefusalRecord]) -> Table:
    columns = (
        ("time", "time"), ("order", "text"), ("symbol", "text"), ("code", "text"),
        ("text", "text"),
    )  # fmt: skip
    return _table(columns, ((r.at_ns, r.key, r.symbol, r.code, r.text) for r in rows))


def audit_table(rows: Sequence[AuditRecord]) -> Table:
    columns = (("bar", "time"), ("symbol", "text"), ("seconds", "count"), ("text", "text"))
    return _table(columns, ((a.bar_ns, a.symbol, a.duration_s, a.text) for a in rows))


def event_table(rows: Sequence[EventRecord]) -> Table:
    columns = (
        ("wall", "time"), ("market", "time"), ("run", "text"), ("kind", "word"),
        ("text", "text"),
    )  # fmt: skip
    return _table(columns, ((e.wall_ns, e.at_ns, e.run, e.kind, e.text) for e in rows))


def note_table(rows: Sequence[NoteRecord]) -> Table:
    columns = (("time", "time"), ("run", "text"), ("text", "text"))
    return _table(columns, ((n.at_ns, n.run, n.text) for n in rows))
