"""What the journal holds, one frozen value for each kind of row. Pure.

Rules: prices are CNY per unit, volumes lots, money CNY, `at_ns` market time in ns since 1970 UTC.
A `key` names an order over all runs: "<run>.<ref>". No record has room for a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "AccountRecord",
    "AuditRecord",
    "CountRecord",
    "EventRecord",
    "HoldingRecord",
    "LegRecord",
    "NoteRecord",
    "OrderRecord",
    "PositionRecord",
    "RefusalRecord",
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


@dataclass(frozen=True, slots=True)
class EventRecord:
    """What happened to a session: connections, notices, halts, start and end."""

    run: str
    at_ns: int
    wall_ns: int  # by the machine's clock, ns since 1970 UTC: market time stands still when down
    kind: str  # a value of `notices.Notice`
    text: str


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """An order that was not taken, or that the exchange refused."""

    run: str
    key: str  # empty where the order never got one
    symbol: str
    code: str  # of a risk rule, as "ORDER_SIZE"; REFUSED by the exchange, HALTED, ...
    text: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class CountRecord:
    """A number that risk rules count over a trading day; restarts go on counting."""

    day: str  # ISO date of the trading day
    name: str  # "orders", "orders SHFE.cu2512", "peak", ...
    value: float
    at_ns: int


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """The account's money at a moment, CNY."""

    run: str
    at_ns: int
    day: str  # ISO date of the trading day
    why: str  # start, regular, settlement, end
    balance: float
    available: float
    margin: float
    close_profit: float
    position_profit: float
    commission: float


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """What the account held of a contract at the moment of an `AccountRecord`; prices in CNY."""

    run: str
    at_ns: int
    symbol: str
    long_today: int
    long_history: int
    short_today: int
    short_history: int
    long_price: float  # average opening price; NaN without lots
    short_price: float
    margin: float


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """What the strategy wanted to be remembered."""

    run: str
    at_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A delivered bar that is not the official one."""

    run: str
    at_ns: int
    symbol: str
    duration_s: int
    bar_ns: int  # start of the bar
    text: str  # which fields differ, and how
