"""What a journal holds as lines for people, one for each record. Pure.

Times are Beijing's: of the market, or of the machine where the market's is not known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .beijing import beijing_datetime
from .journal_records import EventRecord, NoteRecord, OrderRecord, RefusalRecord, TradeRecord

__all__ = ["Line", "asked", "line_of"]

SIDES = {"BUY": "bought", "SELL": "sold"}
GOOD = {"STARTED", "STOPPED", "SETTLED", "ROLLED", "CONNECTION_RESTORED", "ACCOUNT_RULES"}  # events
OFFSETS = {"OPEN": "to open", "CLOSE": "to close", "CLOSETODAY": "to close today's"}


@dataclass(frozen=True, slots=True)
class Line:
    """at_ns: when, ns since 1970 UTC; kind: "order", "trade", ...; bad: somebody should look."""

    at_ns: int
    kind: str
    text: str
    bad: bool = False

    def __str__(self) -> str:
        return f"{beijing_datetime(self.at_ns):%Y-%m-%d %H:%M:%S}  {self.kind:<8}{self.text}"


def line_of(record: Any) -> Line:
    """A record of `journal_records` as a line; raises KeyError for one that has none."""
    return _LINES[type(record)](record)


def asked(ticket: str) -> str:
    """What an order asks for, of its ticket: "buy 2 SHFE.cu2511 Limit 90000"."""
    try:
        found = json.loads(ticket)
        side, lots = str(found["direction"]).lower(), found["volume"]
        prices = [f"{found[name]:g}" for name in ("price", "limit") if found.get(name) is not None]
        return " ".join([side, str(lots), str(found["symbol"]), str(found["kind"]), *prices])
    except (ValueError, LookupError, TypeError):
        return ticket


def _order(order: OrderRecord) -> Line:
    text = f"{order.key} {asked(order.ticket)} {order.state}"
    text += f": {_one_line(order.reason)}" if order.reason else ""
    return Line(order.at_ns, "order", text, order.state in ("Rejected", "Margin"))


def _trade(trade: TradeRecord) -> Line:
    side, offset = SIDES.get(trade.direction, trade.direction), OFFSETS.get(trade.offset, "")
    fee = trade.commission_cny
    text = f"{trade.key} {side} {trade.volume} {trade.symbol} {offset} at {trade.price:g}"
    return Line(trade.time_ns, "trade", text + ("" if math.isnan(fee) else f", fee {fee:.2f}"))


def _event(event: EventRecord) -> Line:
    bad = event.kind not in GOOD
    text = f"{event.kind} {_one_line(event.text)}"
    return Line(event.at_ns or event.wall_ns, "event", text, bad)


def _refusal(refusal: RefusalRecord) -> Line:
    parts = (refusal.code, refusal.symbol, refusal.key, _one_line(refusal.text))
    return Line(refusal.at_ns, "refused", " ".join(filter(None, parts)), True)


def _note(note: NoteRecord) -> Line:
    return Line(note.at_ns, "note", _one_line(note.text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


_LINES: dict[type[Any], Callable[[Any], Line]] = {
    OrderRecord: _order,
    TradeRecord: _trade,
    EventRecord: _event,
    RefusalRecord: _refusal,
    NoteRecord: _note,
}
