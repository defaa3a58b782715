"""Two clients do whatever they like; after every step their books must balance to the cent.

The ledger below knows nothing of the exchange's code: it replays the trades, ticks and settlements
that a client heard of, in exact fractions, and must arrive at the same money.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sim_floor import ALICE, BOB, CONTRACTS, CU, CU_JAN, DAY, IF, MIDDLE, SR, Floor, M

SYMBOLS = (CU, CU_JAN, M, SR, IF)
USERS = (ALICE, BOB)
KINDS = {
    "SHFE": ("GFD", "GFD", "FAK", "FOK", "ANY"),
    "DCE": ("GFD", "GFD", "FAK", "FOK", "ANY"),
    "CZCE": ("GFD", "GFD", "FAK", "FOK", "ANY"),
    "CFFEX": ("GFD", "GFD", "FAK", "FOK", "BEST", "FIVELEVEL"),
}
OWN_DAY = {"SHFE", "INE"}
Side = tuple[str, int]  # symbol, +1 long or -1 short


def rounded(amount_cny: Decimal) -> Fraction:
    """CNY to the cent, half up."""
    return Fraction(amount_cny.quantize(Decimal("0.01"), ROUND_HALF_UP))


def rate(cny: float, lots: int) -> Fraction:
    return rounded(Decimal(str(cny)) * lots)


def exact(price: float) -> Fraction:
    return Fraction(str(price))


@dataclass
class Ledger:
    """One client's money in exact CNY; lots as [day, open price, carried price], oldest first."""

    static: Fraction = Fraction(10_000_000)
    close_profit: Fraction = Fraction(0)
    commission: Fraction = Fraction(0)
    day: int = 0
    lots: dict[Side, list[list[Any]]] = field(default_factory=lambda: defaultdict(list))

    def trade(self, trade: dict[str, Any]) -> None:
        symbol = f"{trade['exchange_id']}.{trade['instrument_id']}"
        contract, price, volume = CONTRACTS[symbol], exact(trade["price"]), trade["volume"]
        bought, opened = trade["direction"] == "BUY", trade["offset"] == "OPEN"
        sign = 1 if bought == opened else -1
        held = self.lots[symbol, sign]
        today = 0
        for _ in range(volume):
            if opened:
                held.append([self.day, price, price])
                continue
            lot = next(lot for lot in held if self.may_close(contract.exchange_id, trade, lot[0]))
            held.remove(lot)
            today += lot[0] == self.day
            self.close_profit += sign * (price - lot[2]) * contract.volume_multiple
        fee = Decimal(str(contract.commission_cny)) * (volume - today)
        fee += Decimal(str(contract.commission_close_today_cny)) * today
        assert trade["commission"] == float(rounded(fee))
        self.commission += rounded(fee)

    def may_close(self, exchange_id: str, trade: dict[str, Any], day: int) -> bool:
        if exchange_id not in OWN_DAY:
            return True
        closes_today: bool = trade["offset"] == "CLOSETODAY"
        return (day == self.day) == closes_today

    def profit(self, last: dict[str, Fraction], column: int) -> Fraction:
        return sum(
            (
                sign * (last[symbol] - lot[column]) * CONTRACTS[symbol].volume_multiple
                for (symbol, sign), held in self.lots.items()
                for lot in held
            ),
            Fraction(0),
        )

    def balance(self, last: dict[str, Fraction]) -> Fraction:
        return self.static + self.close_profit + self.profit(last, 2) - self.commission

    def margin(self) -> Fraction:
        sides: dict[tuple[str, str], dict[int, Fraction]] = defaultdict(
            lambda: {1: Fraction(0), -1: Fraction(0)}
        )
        for (symbol, sign), held in self.lots.items():
            contract = CONTRACTS[symbol]
            product = contract.exchange_id, contract.product_id
            sides[product][sign] += rate(contract.margin_cny, len(held))
        return sum((max(side.values()) for side in sides.values()), Fraction(0))

    def settle(self, last: dict[str, Fraction]) -> None:
        self.static = self.balance(last)
        self.close_profit = self.commission = Fraction(0)
        self.day += 1
        for (symbol, _), held in self.lots.items():
            for lot in held:
                lot[2] = last[symbol]


def merge(tree: dict[str, Any], diff: dict[str, Any]) -> None:
    """What TqApi does with a diff."""
    for key, value in diff.items():
        if value is None:
            tree.pop(key, None)
        elif isinstance(value, dict):
            merge(tree.setdefault(key, {}), value)
        else:
            tree[key] = value


class TwoClients(RuleBasedStateMachine):
    """Random orders, cancels, ticks and settlements; the invariants are the exchange's promises."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = Floor()
        self.last: dict[str, Fraction] = {}
        self.ledgers = {user: Ledger() for user in USERS}
        self.heard = {user: self.floor.exchange.picture(user) for user in USERS}
        self.sent: list[tuple[str, str]] = []
        self.finished: dict[tuple[str, str], dict[str, Any]] = {}
        self.offered: dict[tuple[str, str], int] = {}

    def price(self, symbol: str, steps: int) -> float:
        return round(MIDDLE[symbol] + steps * CONTRACTS[symbol].price_tick, 2)

    @initialize()
    def first_ticks(self) -> None:
        for symbol in SYMBOLS[1:]:
            self.tick(symbol, 0, [2, 3], [3, 2])

    @rule(
        data=st.data(),
        user=st.sampled_from(USERS),
        symbol=st.sampled_from(SYMBOLS),
        direction=st.sampled_from(["BUY", "SELL"]),
        offset=st.sampled_from(["OPEN", "OPEN", "OPEN", "CLOSE", "CLOSETODAY"]),
    )
    def order(
        self, data: st.DataObject, user: str, symbol: str, direction: str, offset: str
    ) -> None:
        self.send(data, user, (direction, offset, symbol, data.draw(st.integers(1, 6))))

    @rule(
        user=st.sampled_from(USERS),
        symbol=st.sampled_from(SYMBOLS),
        direction=st.sampled_from(["BUY", "SELL"]),
        volume=st.integers(1, 8),
        steps=st.integers(-3, 3),
    )
    def open_at_once(self, user: str, symbol: str, direction: str, volume: int, steps: int) -> None:
        self.trade_at_once(user, (direction, "OPEN", symbol, volume), steps)

    @rule(data=st.data(), steps=st.integers(-3, 3), at_once=st.booleans())
    def close(self, data: st.DataObject, steps: int, at_once: bool) -> None:
        """Close lots that are held, with an offset that fits their day and their exchange."""
        held = sorted(
            (user, *side, lot[0] == ledger.day)
            for user, ledger in self.ledgers.items()
            for side, lots in ledger.lots.items()
            for lot in lots
        )
        if not held:
            return
        user, symbol, sign, is_today = data.draw(st.sampled_from(held))
        own_day = CONTRACTS[symbol].exchange_id in OWN_DAY
        offset = "CLOSETODAY" if own_day and is_today else "CLOSE"
        order = "SELL" if sign > 0 else "BUY", offset, symbol, data.draw(st.integers(1, 4))
        if at_once:
            self.trade_at_once(user, order, steps)
        else:
            self.send(data, user, order)

    def trade_at_once(self, user: str, order: tuple[str, str, str, int], steps: int) -> None:
        self.tick(order[2], steps, [1, 3, 2], [2, 1, 3])
        price = self.price(order[2], 6 if order[0] == "BUY" else -6)
        self.sent.append((user, self.floor.order(*order, price, user=user)))
        self.listen()

    def send(self, data: st.DataObject, user: str, order: tuple[str, str, str, int]) -> None:
        symbol = order[2]
        kind = data.draw(st.sampled_from(KINDS[CONTRACTS[symbol].exchange_id]))
        if kind in ("ANY", "BEST", "FIVELEVEL"):
            order_id = self.floor.order(*order, user=user, price_type=kind)
        else:
            price = self.price(symbol, data.draw(st.integers(-4, 4)))
            order_id = self.floor.order(*order, price, kind=kind, user=user)
        self.sent.append((user, order_id))
        self.listen()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.sent:
            user, order_id = data.draw(st.sampled_from(self.sent))
            self.floor.exchange.cancel_order(user, order_id, 0)
            self.listen()

    @rule(data=st.data(), symbol=st.sampled_from(SYMBOLS))
    def repeat(self, data: st.DataObject, symbol: str) -> None:
        if self.sent:
            user, order_id = data.draw(st.sampled_from(self.sent))
            before = self.floor.exchange.picture(user)
            self.floor.order(
                "BUY", "OPEN", symbol, 1, self.price(symbol, 4), user=user, order_id=order_id
            )
            assert self.floor.exchange.picture(user) == before

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        steps=st.integers(-4, 4),
        bids=st.lists(st.integers(0, 6), max_size=3),
        asks=st.lists(st.integers(0, 6), max_size=3),
    )
    def tick(self, symbol: str, steps: int, bids: list[int], asks: list[int]) -> None:
        self.last[symbol] = exact(self.price(symbol, steps))
        self.offered[symbol, "BUY"], self.offered[symbol, "SELL"] = sum(asks), sum(bids)
        self.floor.tick(
            symbol,
            bids=tuple((self.price(symbol, steps - i), volume) for i, volume in enumerate(bids)),
            asks=tuple((self.price(symbol, steps + 1 + i), v) for i, v in enumerate(asks)),
            last=self.price(symbol, steps),
        )
        self.listen()

    @rule(steps=st.dictionaries(st.sampled_from(SYMBOLS), st.integers(-4, 4)))
    def settle(self, steps: dict[str, int]) -> None:
        prices = {symbol: self.price(symbol, up) for symbol, up in steps.items()}
        for symbol, price in prices.items():
            self.last[symbol] = exact(price)
        self.floor.settle(DAY.fromordinal(self.floor.day.toordinal() + 1), prices)
        for ledger in self.ledgers.values():
            ledger.settle(self.last)
        self.offered.clear()
        self.finished.clear()
        self.listen()
        for heard in self.heard.values():  # a new day: clients keep the old one, pictures do not
            assert all(order["status"] == "FINISHED" for order in heard["orders"].values())
            heard["orders"], heard["trades"] = {}, {}

    def listen(self) -> None:
        for user in USERS:
            for change in self.floor.exchange.take_changes(user):
                for trade in change.get("trades", {}).values():
                    self.hear_trade(user, trade)
                merge(self.heard[user], change)

    def hear_trade(self, user: str, trade: dict[str, Any]) -> None:
        self.ledgers[user].trade(trade)
        market = f"{trade['exchange_id']}.{trade['instrument_id']}", trade["direction"]
        self.offered[market] -= trade["volume"]
        assert self.offered[market] >= 0, "more lots traded than the book had"

    # ---- promises

    @invariant()
    def diffs_make_the_picture(self) -> None:
        for user in USERS:
            assert self.heard[user] == self.floor.exchange.picture(user)

    @invariant()
    def money_balances_to_the_cent(self) -> None:
        for user, ledger in self.ledgers.items():
            account = {
                name: value if isinstance(value, str) else Fraction(str(value))
                for name, value in self.floor.account(user).items()
            }
            assert account["static_balance"] == account["pre_balance"] == ledger.static
            assert account["close_profit"] == ledger.close_profit
            assert account["commission"] == ledger.commission
            assert account["position_profit"] == ledger.profit(self.last, 2)
            assert account["float_profit"] == ledger.profit(self.last, 1)
            assert account["balance"] == ledger.balance(self.last)
            assert account["margin"] == ledger.margin()
            margin, commission = self.frozen_money(user)
            assert (account["frozen_margin"], account["frozen_commission"]) == (margin, commission)
            available = ledger.balance(self.last) - ledger.margin() - margin - commission
            assert account["available"] == available

    def frozen_money(self, user: str) -> tuple[Fraction, Fraction]:
        margin = commission = Fraction(0)
        for order in self.live_orders(user):
            contract = CONTRACTS[f"{order['exchange_id']}.{order['instrument_id']}"]
            if order["offset"] == "OPEN":
                margin += rate(contract.margin_cny, order["volume_left"])
                commission += rate(contract.commission_cny, order["volume_left"])
        return margin, commission

    def live_orders(self, user: str) -> list[dict[str, Any]]:
        orders = self.floor.exchange.picture(user)["orders"].values()
        return [order for order in orders if order["status"] == "ALIVE"]

    @invariant()
    def lots_are_those_of_the_trades(self) -> None:
        for user, ledger in self.ledgers.items():
            for symbol, position in self.floor.exchange.picture(user)["positions"].items():
                for name, sign in (("long", 1), ("short", -1)):
                    held = ledger.lots[symbol, sign]
                    today = sum(lot[0] == ledger.day for lot in held)
                    assert position[f"pos_{name}_today"] == today
                    assert position[f"pos_{name}_his"] == len(held) - today
                    assert position[f"volume_{name}"] == len(held)
                    self.frozen_lots_are_those_of_live_orders(user, symbol, name, position)

    def frozen_lots_are_those_of_live_orders(
        self, user: str, symbol: str, name: str, position: dict[str, Any]
    ) -> None:
        direction = "SELL" if name == "long" else "BUY"
        frozen = sum(
            order["volume_left"]
            for order in self.live_orders(user)
            if f"{order['exchange_id']}.{order['instrument_id']}" == symbol
            and order["direction"] == direction
            and order["offset"] != "OPEN"
        )
        assert position[f"volume_{name}_frozen"] == frozen
        for day in ("today", "his"):
            held = position[f"volume_{name}_{day}"]
            assert 0 <= position[f"volume_{name}_frozen_{day}"] <= held

    @invariant()
    def orders_are_their_trades(self) -> None:
        for user in USERS:
            picture = self.floor.exchange.picture(user)
            traded: dict[str, int] = defaultdict(int)
            for trade_id, trade in picture["trades"].items():
                assert trade_id == trade["trade_id"]
                traded[trade["order_id"]] += trade["volume"]
            for order_id, order in picture["orders"].items():
                assert order["volume_orign"] - order["volume_left"] == traded[order_id]
                assert order["status"] == "ALIVE" or order["frozen_margin"] == 0.0
                assert order["volume_left"] > 0 or order["status"] == "FINISHED"

    @invariant()
    def finished_orders_never_change(self) -> None:
        for user in USERS:
            for order_id, order in self.floor.exchange.picture(user)["orders"].items():
                if order["status"] == "FINISHED":
                    assert self.finished.setdefault((user, order_id), order) == order


TestTwoClients = TwoClients.TestCase
TestTwoClients.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
