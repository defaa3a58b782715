"""The rules that say whether an order may open what it would open. Pure: all facts come in.

Working orders count at worst: what may open counts as opened, what may close as still there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .risk import Code, Refusal, RiskLimits, limit_for
from .sessions import Stretch
from .values import Account, Direction

__all__ = ["Exposure", "Opening", "Resting", "Sight", "product_of", "refusal"]

SECOND_NS = 1_000_000_000
LETTERS = re.compile(r"[A-Za-z_]+")


@dataclass(frozen=True, slots=True)
class Opening:
    """What an order would open.

    lots: that it would open, `legs`: exchange orders for them. price: CNY, its limit or what it
    meets; NaN when not known. at_market: it trades with whatever is there.
    """

    symbol: str
    direction: Direction
    lots: int
    legs: int = 1
    price: float = math.nan
    at_market: bool = False


@dataclass(frozen=True, slots=True)
class Exposure:
    """One contract: lots held, and lots of orders at work: that may open, all buys, all sells."""

    long: int = 0
    short: int = 0
    opening: int = 0
    buys: int = 0
    sells: int = 0

    @property
    def gross(self) -> int:
        """Lots that may be held at worst."""
        return self.long + self.short + self.opening

    def net(self, direction: Direction) -> int:
        """Net lots towards `direction`, at worst; an order of it adds to them."""
        net = self.long - self.short
        return net + self.buys if direction is Direction.BUY else self.sells - net


@dataclass(frozen=True, slots=True)
class Resting:
    """An order of the account at the exchange; price NaN: at market."""

    symbol: str
    direction: Direction
    price: float


@dataclass(frozen=True, slots=True)
class Sight:
    """Account, market and counters at the moment of an order.

    stretch: that trades now. last: CNY. lot_cny: value of one lot by contract, NaN: not known.
    margin_cny: of one lot of the order. pending_cny: margin of orders at work that the account
    does not show as frozen yet. counts: of the trading day. second: orders and cancels of the last.
    """

    now_ns: int
    stretch: Stretch | None
    last: float
    lot_cny: Mapping[str, float]
    margin_cny: float
    pending_cny: float
    account: Account
    exposures: Mapping[str, Exposure]
    resting: Sequence[Resting] = ()
    counts: Mapping[str, float] = field(default_factory=dict)
    second: tuple[int, int] = (0, 0)

    def count(self, name: str) -> int:
        """How often something happened on this trading day."""
        return int(self.counts.get(name, 0))


def product_of(symbol: str) -> str:
    """ "SHFE.cu2512" is of "SHFE.cu"."""
    exchange, _, contract = symbol.partition(".")
    letters = LETTERS.match(contract)
    return f"{exchange}.{letters.group() if letters else contract}"


def refusal(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    """Why the order may not open its lots; None: it may."""
    found = (rule(limits, order, sight) for rule in RULES)
    return next((each for each in found if each is not None), None)


# ---- what, and when


def _symbol(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    if limits.allows(order.symbol):
        return None
    allowed = ", ".join(limits.symbols or ())
    return Refusal(Code.SYMBOL, f"{order.symbol} is none of {allowed}: add it to `symbols` first")


def _session_time(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    stretch = sight.stretch
    if stretch is None:
        return None
    since_s = (sight.now_ns - stretch.start_ns) / SECOND_NS
    left_s = (stretch.end_ns - sight.now_ns) / SECOND_NS
    if limits.quiet_open_s is not None and since_s < limits.quiet_open_s:
        text = f"trading began {since_s:.0f} s ago; nothing is opened in the first"
        return Refusal(Code.SESSION_TIME, f"{text} {limits.quiet_open_s:g} s (quiet_open_s)")
    if limits.quiet_close_s is not None and left_s <= limits.quiet_close_s:
        text = f"trading ends in {left_s:.0f} s; nothing is opened in the last"
        return Refusal(Code.SESSION_TIME, f"{text} {limits.quiet_close_s:g} s (quiet_close_s)")
    return None


# ---- the order by itself


def _order_size(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    if limits.order_lots is None or order.lots <= limits.order_lots:
        return None
    text = f"the order would open {order.lots} lots of {order.symbol}"
    return _over(Code.ORDER_SIZE, text, limits.order_lots, "order_lots", "send it in parts")


def _price_distance(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    most = limits.price_distance
    if most is None:
        return None
    distance = abs(order.price / sight.last - 1) if sight.last > 0 else math.nan
    if distance <= most * (1 + 1e-9):
        return None
    where = f"price {order.price:g} lies {distance:.2%} from the last price {sight.last:g}"
    if math.isnan(distance):
        where = f"price {order.price:g} cannot be compared with the last price {sight.last:g}"
    where = f"{order.symbol}: {where}"
    return _over(Code.PRICE_DISTANCE, where, f"{most:.2%}", "price_distance", "mend the price")


def _self_trade(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    if not limits.refuse_self_trade:
        return None
    for other in sight.resting:
        if other.symbol == order.symbol and _meets(order, other):
            text = (
                f"{order.direction.value} {order.symbol} at {order.price:g} could trade with the "
                f"account's own {other.direction.value} at {other.price:g}: cancel that one first"
            )
            return Refusal(Code.SELF_TRADE, text)
    return None


def _meets(order: Opening, other: Resting) -> bool:
    if order.direction is other.direction:
        return False
    if order.at_market or math.isnan(order.price) or math.isnan(other.price):
        return True
    is_buy = order.direction is Direction.BUY
    return order.price >= other.price if is_buy else order.price <= other.price


# ---- what is held afterwards


def _net_position(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    most = limit_for(limits.net_lots, order.symbol, product_of(order.symbol))
    net = sight.exposures.get(order.symbol, Exposure()).net(order.direction) + order.lots
    if most is None or net <= most:
        return None
    what = f"{net} net lots of {order.symbol} with orders at work"
    return _over(Code.NET_POSITION, what, most, "net_lots")


def _gross_position(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    most = limit_for(limits.gross_lots, order.symbol, product_of(order.symbol))
    gross = sight.exposures.get(order.symbol, Exposure()).gross + order.lots
    if most is None or gross <= most:
        return None
    what = f"{gross} lots of {order.symbol}, long and short, with orders at work"
    return _over(Code.GROSS_POSITION, what, most, "gross_lots")


def _product_position(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    product = product_of(order.symbol)
    of_it = [each for name, each in sight.exposures.items() if product_of(name) == product]
    net = sum(each.net(order.direction) for each in of_it) + order.lots
    gross = sum(each.gross for each in of_it) + order.lots
    for lots, kind, option in (
        (net, "net lots", "product_net_lots"),
        (gross, "lots, long and short,", "product_gross_lots"),
    ):
        most = limit_for(getattr(limits, option), product)
        if most is not None and lots > most:
            what = f"{lots} {kind} of {product} with orders at work"
            return _over(Code.PRODUCT_POSITION, what, most, option)
    return None


def _notional(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    scale = order.price / sight.last if sight.last > 0 and order.price > 0 else 1.0
    lot_cny = sight.lot_cny.get(order.symbol, math.nan) * scale
    cny, most = order.lots * lot_cny, limits.order_notional_cny
    if most is not None and not cny <= most:
        what = f"an order worth {cny:,.0f} CNY"
        return _over(Code.NOTIONAL, what, f"{most:,.0f}", "order_notional_cny", "send less")
    most = limits.total_notional_cny
    if most is None:
        return None
    held = [each.gross * sight.lot_cny.get(name, math.nan) for name, each in _held(sight)]
    total = cny + sum(held)
    if total <= most:
        return None
    what = f"positions and orders worth {total:,.0f} CNY with this one"
    return _over(Code.NOTIONAL, what, f"{most:,.0f}", "total_notional_cny")


def _held(sight: Sight) -> list[tuple[str, Exposure]]:
    return [(name, each) for name, each in sight.exposures.items() if each.gross]


def _margin_use(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    most, account = limits.margin_use, sight.account
    if most is None:
        return None
    needed = account.margin + account.frozen_margin + sight.pending_cny
    needed += order.lots * sight.margin_cny
    use = needed / account.balance if account.balance > 0 else math.inf
    if use <= most:
        return None
    what = f"margin of {needed:,.0f} CNY would be {use:.1%} of the balance"
    return _over(Code.MARGIN_USE, what, f"{most:.1%}", "margin_use")


# ---- how often


def _per_second(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    (orders, cancels), span = sight.second, "within a second"
    orders += order.legs
    return _too_many(
        Code.ORDERS_PER_SECOND, f"{orders} orders {span}", orders, limits, "orders_per_second"
    ) or _too_many(
        Code.CANCELS_PER_SECOND, f"{cancels} cancels {span}", cancels + 1, limits,
        "cancels_per_second",
    )  # fmt: skip


def _per_day(limits: RiskLimits, order: Opening, sight: Sight) -> Refusal | None:
    for name, prefix in (("", ""), (f" {order.symbol}", "symbol_")):
        orders = sight.count(f"orders{name}") + order.legs
        cancels = sight.count(f"cancels{name}")
        what = f"{{}}{name} on this trading day"
        found = _too_many(
            Code.ORDERS_PER_DAY, what.format(f"{orders} orders"), orders, limits,
            f"{prefix}orders_per_day",
        ) or _too_many(
            Code.CANCELS_PER_DAY, what.format(f"{cancels} cancels"), cancels + 1, limits,
            f"{prefix}cancels_per_day",
        )  # fmt: skip
        if found is not None:
            return found
    return None


def _too_many(code: Code, what: str, count: int, limits: RiskLimits, option: str) -> Refusal | None:
    most = getattr(limits, option)
    if most is None or count <= most:
        return None
    return _over(code, what, most, option, "wait")


def _over(
    code: Code, what: str, most: object, option: str, remedy: str = "open less, or close first"
) -> Refusal:
    return Refusal(code, f"{what}; the limit is {most} ({option}): {remedy}, or raise it")


Rule = Callable[[RiskLimits, Opening, Sight], Refusal | None]
RULES: tuple[Rule, ...] = (
    _symbol, _session_time, _order_size, _price_distance, _self_trade, _net_position,
    _gross_position, _product_position, _notional, _margin_use, _per_second, _per_day,
)  # fmt: skip
