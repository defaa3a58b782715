"""The embedded exchange and TqSdk's own SimTrade, step by step with the same orders.

TqSim trades an order as a whole at its limit, knows one commission, and averages a side's position
price; the script stays within that: whole fills, one price per side when lots are closed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sim_floor import ALICE, CONTRACTS, CU, CU_JAN, IF, NEXT_DAY, THIRD_DAY, Floor, M
from tqsdk.tradeable.sim.trade_future import SimTrade

COMPARED = (
    "balance", "available", "static_balance", "pre_balance", "margin", "frozen_margin",
    "commission", "close_profit", "position_profit", "float_profit", "risk_ratio",
)  # fmt: skip
COMPARED_POSITION = (
    "pos_long_his", "pos_long_today", "pos_short_his", "pos_short_today", "volume_long",
    "volume_short", "volume_long_frozen", "volume_short_frozen", "open_cost_long",
    "open_cost_short", "position_cost_long", "position_cost_short", "float_profit",
    "position_profit", "margin_long", "margin_short",
)  # fmt: skip
COMMISSION_CNY = 12.5  # whole cents: TqSim does not round


class Twins:
    """Both exchanges, given the same ticks, orders and settlements, compared after each."""

    def __init__(self) -> None:
        self.ours = Floor()
        self.theirs = SimTrade(
            "account",
            init_balance=10_000_000.0,
            get_trade_timestamp=lambda: 0,
            is_in_trading_time=lambda quote: True,
        )

    def tick(self, symbol: str, price: float) -> None:
        contract = CONTRACTS[symbol]
        self.ours.tick(symbol, bids=((price, 99),), asks=((price, 99),), last=price)
        quote = {
            "datetime": "2025-12-03 09:30:00.000000", "ins_class": "FUTURE", "last_price": price,
            "ask_price1": price, "bid_price1": price, "margin": contract.margin_cny,
            "commission": contract.commission_cny, "exchange_id": contract.exchange_id,
            "product_id": contract.product_id, "volume_multiple": contract.volume_multiple,
        }  # fmt: skip
        self.theirs.update_quotes(symbol, {"quotes": {symbol: quote}})
        self.compare()

    def order(self, direction: str, offset: str, symbol: str, volume: int, price: float) -> None:
        order_id = self.ours.order(direction, offset, symbol, volume, price)
        exchange_id, instrument_id = symbol.split(".")
        pack = {
            "aid": "insert_order", "user_id": ALICE, "order_id": order_id,
            "exchange_id": exchange_id, "instrument_id": instrument_id, "direction": direction,
            "offset": offset, "volume": volume, "price_type": "LIMIT", "limit_price": price,
            "time_condition": "GFD", "volume_condition": "ANY",
        }  # fmt: skip
        self.theirs.insert_order(symbol, pack)
        self.compare()

    def settle(self, next_day: Any) -> None:
        """TqSim settles at the last price; so do we when no settlement price is given."""
        self.ours.settle(next_day, {})
        self.theirs.settle()
        self.compare()

    def compare(self) -> None:
        account = self.ours.account()
        theirs = dict(self.theirs._account)
        # TqSim freezes no commission; ours leaves `available` as long as an order waits.
        theirs["available"] -= account["frozen_commission"]
        for name in COMPARED:
            assert account[name] == pytest.approx(theirs[name], abs=1e-6), name
        for symbol, ours in self.ours.exchange.picture(ALICE)["positions"].items():
            for name in COMPARED_POSITION:
                assert ours[name] == pytest.approx(self.theirs._positions[symbol][name]), name


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> Twins:
    for symbol in (CU, CU_JAN, M, IF):
        flat = replace(
            CONTRACTS[symbol],
            commission_cny=COMMISSION_CNY,
            commission_close_today_cny=COMMISSION_CNY,
        )
        monkeypatch.setitem(CONTRACTS, symbol, flat)
    return Twins()


def test_open_close_today_overnight_close_history(twins: Twins) -> None:
    twins.tick(CU, 50000.0)
    twins.order("BUY", "OPEN", CU, 5, 50000.0)
    twins.tick(CU, 50120.0)
    twins.order("SELL", "CLOSETODAY", CU, 2, 50120.0)
    twins.order("SELL", "CLOSETODAY", CU, 4, 50120.0)  # too many for both
    twins.order("SELL", "CLOSETODAY", CU, 1, 50300.0)  # waits
    twins.tick(CU, 50080.0)
    twins.settle(NEXT_DAY)
    twins.tick(CU, 49990.0)
    twins.order("SELL", "CLOSETODAY", CU, 1, 49990.0)  # there are none of today
    twins.order("SELL", "CLOSE", CU, 1, 49990.0)
    twins.tick(CU, 50010.0)
    twins.order("SELL", "CLOSE", CU, 2, 50010.0)
    twins.settle(THIRD_DAY)
    assert twins.ours.account()["balance"] == 10_000_000 + 2 * 600 + 2 * 50 - 50 - 10 * 12.5


def test_both_sides_two_months_and_three_exchanges(twins: Twins) -> None:
    for symbol, price in ((CU, 50000.0), (CU_JAN, 50100.0), (M, 3000.0), (IF, 4000.0)):
        twins.tick(symbol, price)
        twins.order("BUY", "OPEN", symbol, 3, price)
        twins.order("SELL", "OPEN", symbol, 4, price)
    twins.order("SELL", "OPEN", CU_JAN, 2, 50100.0)
    twins.order("BUY", "OPEN", M, 2, 2990.0)  # waits and freezes
    for symbol, price in ((CU, 50230.0), (CU_JAN, 50010.0), (M, 2991.0), (IF, 4010.4)):
        twins.tick(symbol, price)
    twins.order("BUY", "CLOSE", IF, 3, 4010.4)
    twins.settle(NEXT_DAY)
    for symbol, price in ((CU, 50000.0), (M, 3011.0), (IF, 3990.2)):
        twins.tick(symbol, price)
    twins.order("SELL", "CLOSE", M, 3, 3011.0)
    twins.order("BUY", "CLOSE", CU, 4, 50000.0)
    twins.order("SELL", "CLOSE", IF, 1, 3990.2)
    twins.settle(THIRD_DAY)
