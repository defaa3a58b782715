"""What was ordered: one order as its owner wrote it, with nothing of how far it has come. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from .errors import BadPrice, InvalidOrder
from .values import Direction, Offset

__all__ = ["Kind", "Ticket", "amended"]


class Kind(str, Enum):
    """Backtrader's order types by its own names."""

    MARKET = "Market"
    LIMIT = "Limit"
    CLOSE = "Close"
    STOP = "Stop"
    STOP_LIMIT = "StopLimit"
    TRAIL = "StopTrail"
    TRAIL_LIMIT = "StopTrailLimit"


write_json = json.JSONEncoder(ensure_ascii=False).encode  # made once: each order is written

STOPS = frozenset({Kind.STOP, Kind.STOP_LIMIT, Kind.TRAIL, Kind.TRAIL_LIMIT})
LIMITED = frozenset({Kind.STOP_LIMIT, Kind.TRAIL_LIMIT})


@dataclass(frozen=True, slots=True)
class Ticket:
    """Buy or sell `volume` lots of `symbol`.

    key: names the order in the journal, "run.ref". price: CNY; of a limit order its limit, of a
    stop where it goes off. limit: CNY, of the limit order that a stop-limit becomes. trail_amount
    in CNY, trail_percent as 0.02 for 2 %. price_type: "BEST" or "FIVELEVEL" of CFFEX, else empty.
    advanced: "FAK" or "FOK". offset: what the owner insists on, else `policy` decides. expires_ns:
    0 for never. oco: key of the group's first order. parent: key of the bracket's first order.
    feed: name of the feed that it was written on. execution: "direct", or "target" for TqSdk's
    TargetPosTask. target: the net lots to end with, whatever `volume` was when it was written.
    asked: lots that were written, where `volume` is less because others of the order's family have
    traded; else 0. signal_price: CNY, the last price when it was written; None: not known.
    price_tick in CNY and multiplier, units per lot, are the contract's; 0: not known.
    """

    key: str
    symbol: str
    direction: Direction
    volume: int
    kind: Kind = Kind.MARKET
    price: float | None = None
    limit: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    price_type: str = ""
    advanced: str | None = None
    offset: Offset | None = None
    policy: str = "net"
    expires_ns: int = 0
    oco: str = ""
    parent: str = ""
    feed: str = ""
    tradeid: int = 0
    execution: str = "direct"
    target: int | None = None
    asked: int = 0
    signal_price: float | None = None
    price_tick: float = 0.0
    multiplier: int = 0

    @property
    def is_stop(self) -> bool:
        """Whether it waits for a price; the exchanges have no such orders."""
        return self.kind in STOPS

    @property
    def exchange_limit(self) -> float | None:
        """The limit price that goes to the exchange, CNY; None for a market order."""
        if self.kind is Kind.LIMIT:
            return self.price
        return self.limit if self.kind in LIMITED else None

    def to_text(self) -> str:
        """As JSON, for the journal."""
        return write_json({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_text(cls, text: str) -> Ticket:
        """Out of the journal."""
        fields: dict[str, Any] = json.loads(text)
        offset = fields["offset"]
        return cls(
            **fields
            | {
                "direction": Direction(fields["direction"]),
                "kind": Kind(fields["kind"]),
                "offset": None if offset is None else Offset(offset),
            }
        )


def amended(ticket: Ticket, filled: int, **changes: Any) -> Ticket:
    """`ticket` with another volume, price, limit, trail or expiry.

    Raises `InvalidOrder` for anything else, or a volume that has `filled` already.
    """
    known = {"volume", "price", "limit", "trail_amount", "trail_percent", "expires_ns"}
    unknown = sorted(changes.keys() - known)
    if unknown:
        raise InvalidOrder(f"{unknown[0]} cannot be changed; expected {', '.join(sorted(known))}")
    asked = 0 if "volume" in changes else ticket.asked
    changed = replace(ticket, asked=asked, **changes)
    if changed.volume <= filled:
        raise InvalidOrder(
            f"volume {changed.volume} of an order that has filled {filled} lots; "
            "expected more, or cancel it"
        )
    if "price" in changes and changed.kind in (Kind.MARKET, Kind.CLOSE):
        raise BadPrice(ticket.symbol, changed.price, f"none: it is a {ticket.kind.value} order")
    return changed
