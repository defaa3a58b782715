"""What a Backtrader order asks for, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import backtrader as bt

from .contracts import check_kind, check_order, is_on_tick, takes_market_orders
from .errors import BadPrice, BadVolume, InvalidOrder
from .model import Direction, Instrument, Offset
from .offsets import policy_of
from .sessions import Sessions
from .tickets import STOPS, Kind, Ticket
from .validity import expiry_ns

__all__ = ["Asked", "known_options", "read_ticket", "whole_lots"]

NAN = float("nan")
PARAMETERS = frozenset(bt.Order.params._getkeys())  # of every Backtrader order
WORDS = ("advanced", "price_type", "policy")  # our own keywords of `buy` and `sell`


@dataclass(frozen=True, slots=True)
class Asked:
    """Around an order: who writes it, when, and what it hangs together with."""

    key: str
    feed: str
    policy: str
    now_ns: int
    sessions: Sessions
    offset: Offset | None = None
    oco: str = ""
    parent: str = ""
    execution: str = "direct"
    target: int | None = None
    last_price: Any = None  # of the contract, CNY; NaN or none: not known


def read_ticket(
    instrument: Instrument,
    direction: Direction,
    size: Any,
    options: Mapping[str, Any],
    asked: Asked,
) -> Ticket:
    """The ticket behind `buy(size=..., **options)`.

    Raises an `OrderError` for what can never be sent: a volume that is no whole number of lots, a
    price off the grid, an order type or an instruction that the exchange does not have. The day's
    limits are not looked at: they change.
    """
    kind, volume = _kind(options), _lots(instrument, size)
    ticket = Ticket(
        key=asked.key,
        symbol=instrument.symbol,
        direction=direction,
        volume=volume,
        kind=kind,
        price=_price(instrument, kind, options),
        limit=_limit(instrument, kind, options),
        trail_amount=_distance(kind, options, "trailamount"),
        trail_percent=_distance(kind, options, "trailpercent"),
        price_type=str(options.get("price_type") or ""),
        advanced=options.get("advanced"),
        offset=asked.offset,
        policy=str(options.get("policy") or asked.policy),
        expires_ns=_expiry(instrument, options.get("valid"), asked),
        oco=asked.oco,
        parent=asked.parent,
        feed=asked.feed,
        tradeid=int(options.get("tradeid") or 0),
        execution=asked.execution,
        target=asked.target,
        signal_price=_known(asked.last_price),
        price_tick=instrument.price_tick,
        multiplier=instrument.volume_multiple,
    )
    policy_of(ticket.policy)
    _check(instrument, ticket)
    return ticket


def known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `options` that are parameters of a Backtrader order."""
    names = {"plimit": "pricelimit"}
    renamed = {names.get(name, name): value for name, value in options.items()}
    return {name: value for name, value in renamed.items() if name in PARAMETERS}


def _check(instrument: Instrument, ticket: Ticket) -> None:
    """Refuse what the exchange would refuse whatever the day's limits and the volume are."""
    if ticket.advanced not in (None, "FAK", "FOK"):
        raise InvalidOrder(f"advanced is {ticket.advanced!r}; expected 'FAK', 'FOK' or None")
    if ticket.price_type not in ("", "BEST", "FIVELEVEL"):
        raise InvalidOrder(
            f"price_type is {ticket.price_type!r}; expected 'BEST', 'FIVELEVEL' or nothing"
        )
    if ticket.price_type and ticket.exchange_limit is not None:
        raise InvalidOrder(f"{ticket.price_type} is given with a limit; expected a market order")
    if ticket.execution == "target" and (
        ticket.exchange_limit is not None or ticket.price_type or ticket.advanced or ticket.offset
    ):
        raise InvalidOrder(
            "with execution='target' TqSdk chooses price and offset; expected a Market, Close, "
            "Stop or StopTrail order by buy or sell"
        )
    free = replace(
        instrument,
        upper_limit=NAN,
        lower_limit=NAN,
        max_limit_order_volume=0,
        max_market_order_volume=0,
    )
    limit = ticket.exchange_limit
    crosses = limit is None and (ticket.price_type or not takes_market_orders(instrument))
    check_order(free, ticket.direction, ticket.volume, instrument.price_tick if crosses else limit)
    kind = ticket.price_type or ("LIMIT" if crosses or limit is not None else "ANY")
    check_kind(instrument, kind, ticket.advanced)


def _expiry(instrument: Instrument, valid: Any, asked: Asked) -> int:
    """Until when the order stands, at most as long as its contract; ns since 1970 UTC, 0: on."""
    until = (expiry_ns(valid, asked.now_ns, asked.sessions), instrument.expire_ns)
    return min((moment for moment in until if moment), default=0)


def _kind(options: Mapping[str, Any]) -> Kind:
    exectype = options.get("exectype")
    if exectype is None:
        return Kind.MARKET
    known = isinstance(exectype, int) and 0 <= exectype < len(bt.Order.ExecTypes)
    name = bt.Order.ExecTypes[exectype] if known else repr(exectype)
    try:
        return Kind(name)
    except ValueError:
        types = ", ".join(kind.value for kind in Kind)
        raise InvalidOrder(f"order type {name}; expected one of {types}") from None


def whole_lots(symbol: str, size: Any) -> int:
    """`size` as a number of lots, negative ones too. Raises `BadVolume`."""
    try:
        whole = int(size)
        is_whole = whole == size and not isinstance(size, bool)
    except (TypeError, ValueError, OverflowError):
        whole, is_whole = 0, False
    if not is_whole:
        raise BadVolume(symbol, size, "a whole number of lots")
    return whole


def _lots(instrument: Instrument, size: Any) -> int:
    whole = whole_lots(instrument.symbol, size)
    if whole < 1:
        raise BadVolume(instrument.symbol, size, "a whole number of lots, at least 1")
    return whole


def _price(instrument: Instrument, kind: Kind, options: Mapping[str, Any]) -> float | None:
    price = options.get("price")
    if kind is Kind.LIMIT:
        return _on_grid(instrument, price)
    if kind not in STOPS or (price is None and kind in (Kind.TRAIL, Kind.TRAIL_LIMIT)):
        return None  # Backtrader's order_target_value gives market orders a price
    number = isinstance(price, (int, float)) and not isinstance(price, bool)
    if not number or not 0 < float(price or 0) < float("inf"):
        raise BadPrice(instrument.symbol, price, "the price, CNY above 0, that sets the stop off")
    return float(price or 0)


def _limit(instrument: Instrument, kind: Kind, options: Mapping[str, Any]) -> float | None:
    plimit = options.get("plimit")
    if kind is Kind.STOP_LIMIT:
        return _on_grid(instrument, options.get("price") if plimit is None else plimit)
    if kind is Kind.TRAIL_LIMIT and plimit is not None:
        return _on_grid(instrument, plimit)
    return None


def _distance(kind: Kind, options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    if kind not in (Kind.TRAIL, Kind.TRAIL_LIMIT):
        raise InvalidOrder(f"{name} is given for a {kind.value} order; expected a trailing stop")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidOrder(f"{name} is {value!r}; expected a number above 0")
    return float(value)


def _known(price: Any) -> float | None:
    return float(price) if isinstance(price, (int, float)) and math.isfinite(price) else None


def _on_grid(instrument: Instrument, price: Any) -> float:
    number = isinstance(price, (int, float)) and not isinstance(price, bool)
    if not number or not is_on_tick(price, instrument.price_tick):
        raise BadPrice(
            instrument.symbol, price, f"a multiple of the price tick {instrument.price_tick}"
        )
    return float(price)
