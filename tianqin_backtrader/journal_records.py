"""What the journal of orders holds, one frozen value for each kind of row. Pure.

Rules: prices are CNY per unit, volumes lots, money CNY, `at_ns` market time in ns since 1970 UTC.
A `key` names an order over all runs: "<run>.<ref>". No record has room for a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "HoldingRecord",
    "LegRecord",
    "OrderRecord",
    "RollRecord",
    "RunRecord",
    "StopRecord",
    "TradeRecord",
]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One session of a process."""

    run: str
    started_ns: int
    about: Mapping[str, str]  # versions, mode, ...; never credentials


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order of the strategy as it stands."""

    key: str
    run: str
    ref: int  # Backtrader's number of the order within its run
    symbol: str
    ticket: str  # JSON: what was asked for
    phase: str  # where its execution stands
    state: str  # Backtrader's word, a value of `states.OrderState`
    reason: str  # why it ended, in the gateway's words
    at_ns: int  # market time of the last change


@dataclass(frozen=True, slots=True)
class LegRecord:
    """One exchange order of an order, written before it is sent."""

    order_id: str  # the exchange order's id, which follows from run, order and leg
    key: str
    number: int  # place among the legs of the order
    stage: int  # legs of a stage are sent together, after those of the stage before
    symbol: str
    direction: str  # BUY, SELL
    offset: str  # OPEN, CLOSE, CLOSETODAY
    volume: int
    price: float | None  # None: at no price of its own, see `price_type`
    advanced: str  # FAK, FOK or empty
    state: str  # planned, alive, finished, dropped
    left: int  # lots without a fill
    exchange_order_id: str
    reason: str
    at_ns: int
    price_type: str = "LIMIT"  # LIMIT, ANY (market), BEST, FIVELEVEL


@dataclass(frozen=True, slots=True)
class TradeRecord:
    """One fill: the exchange's trade `trade_id` of the exchange order `order_id`."""

    order_id: str
    trade_id: str
    key: str
    symbol: str
    direction: str
    offset: str
    price: float
    volume: int
    commission_cny: float  # NaN: the gateway does not say
    time_ns: int


@dataclass(frozen=True, slots=True)
class StopRecord:
    """A stop order that is held here and not at the exchange."""

    key: str
    price: float  # the trigger now; a trailing one moves
    limit: float | None  # of the order that the stop sends; None: at market
    state: str  # held, hit, ended
    at_ns: int


@dataclass(frozen=True, slots=True)
class HoldingRecord:
    """What the account held of a contract when last seen."""

    symbol: str
    long: int
    short: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class RollRecord:
    """The move of a position from an old main contract to a new one."""

    name: str
    main: str  # "KQ.m@SHFE.cu"
    old: str
    new: str
    lots: int  # net: > 0 long, < 0 short
    phase: str  # a value of `rolls.Stage`; done and failed are its ends
    closing: str  # keys of the orders that close the old contract, apart by spaces; empty: none yet
    opening: str  # those of the orders that open the new one
    closed: int  # lots
    opened: int
    at_ns: int
