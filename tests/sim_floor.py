"""A trading floor for tests: contracts of all exchanges, and an exchange that takes short words."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import Any

from tianqin_backtrader.sim.exchange import Exchange
from tianqin_backtrader.sim.values import Contract, DayTerms, Level, MarketTick

DAY, NEXT_DAY, THIRD_DAY = date(2025, 12, 3), date(2025, 12, 4), date(2025, 12, 5)
NOW_NS = 1_764_725_400_000_000_000  # 2025-12-03 09:30 Beijing time
EXPIRE_NS = 1_765_782_000_000_000_000
ALICE, BOB = "alice", "bob"


def contract(
    symbol: str,
    price_tick: float,
    volume_multiple: int,
    margin_cny: float,
    commission_cny: float,
    close_today_cny: float,
    max_market: int = 0,
    max_limit: int = 500,
) -> Contract:
    exchange_id, instrument_id = symbol.split(".", 1)
    return Contract(
        symbol=symbol,
        ins_class="FUTURE",
        exchange_id=exchange_id,
        product_id=instrument_id.rstrip("0123456789"),
        name=instrument_id,
        price_tick=price_tick,
        price_decs=2,
        volume_multiple=volume_multiple,
        margin_cny=margin_cny,
        commission_cny=commission_cny,
        commission_close_today_cny=close_today_cny,
        limit_rate=0.1,
        max_limit_order_volume=max_limit,
        max_market_order_volume=max_market,
        delivery_year=2025,
        delivery_month=12,
        expire_ns=EXPIRE_NS,
        expired=False,
        trading_time={"day": [["09:00:00", "15:00:00"]], "night": []},
    )


CU, CU_JAN = "SHFE.cu2512", "SHFE.cu2601"
SC, M, SR, IF, SI = "INE.sc2601", "DCE.m2605", "CZCE.SR605", "CFFEX.IF2512", "GFEX.si2605"
MAIN, OLD = "KQ.m@SHFE.cu", "SHFE.cu2511"
# Terms of 2020-06-16 in the real records; fees for closing today chosen to differ.
_CU = contract(CU, 10, 5, 16369.5, 11.6925, 5.8463)
CONTRACTS = {
    CU: _CU,
    CU_JAN: replace(_CU, symbol=CU_JAN),
    OLD: replace(_CU, symbol=OLD, expired=True),
    MAIN: replace(_CU, symbol=MAIN, ins_class="CONT", exchange_id="KQ"),
    SC: contract(SC, 0.1, 1000, 19936.0, 20.0, 0.0),
    M: contract(M, 1, 10, 1412.5, 1.5, 0.75, max_market=1000, max_limit=1000),
    SR: contract(SR, 1, 10, 2532.0, 3.0, 0.0, max_market=200, max_limit=1000),
    IF: contract(IF, 0.2, 300, 119940.0, 27.5862, 413.793, max_market=10, max_limit=20),
    SI: contract(SI, 5, 5, 4000.0, 4.0, 4.0, max_market=1000),
}
MIDDLE = {CU: 50000.0, CU_JAN: 50100.0, SC: 450.0, M: 3000.0, SR: 5400.0, IF: 4000.0, SI: 9000.0}
CONDITIONS = {"GFD": ("GFD", "ANY"), "FAK": ("IOC", "ANY"), "FOK": ("IOC", "ALL")}


class Floor:
    """Two clients at one exchange; `is_open` can be set."""

    def __init__(self, balance_cny: float = 10_000_000.0) -> None:
        self.is_open = True
        self.exchange = Exchange(
            CONTRACTS.get, lambda _contract, _ns: self.is_open, initial_balance_cny=balance_cny
        )
        self.day, self._ids, self._time_ns = DAY, 0, NOW_NS
        for user in (ALICE, BOB):
            self.exchange.login(user, DAY)
        for symbol in MIDDLE:
            self.terms(symbol)

    def terms(self, symbol: str) -> None:
        middle = MIDDLE[symbol]
        limits = round(middle * 1.1, 1), round(middle * 0.9, 1)
        self.exchange.on_terms(symbol, DayTerms(self.day, middle, middle, 1000, *limits))

    def order(
        self,
        direction: str,
        offset: str,
        symbol: str,
        volume: Any,
        price: Any = None,
        *,
        kind: str = "GFD",
        user: str = ALICE,
        **changed: Any,
    ) -> str:
        """Send an order and return its id; without a price a market order."""
        self._ids += 1
        exchange_id, instrument_id = symbol.split(".", 1)
        time_condition, volume_condition = CONDITIONS[kind]
        pack = {
            "aid": "insert_order",
            "order_id": f"o{self._ids}",
            "user_id": user,
            "exchange_id": exchange_id,
            "instrument_id": instrument_id,
            "direction": direction,
            "offset": offset,
            "volume": volume,
            "price_type": "ANY" if price is None else "LIMIT",
            "limit_price": price,
            "time_condition": "IOC" if price is None else time_condition,
            "volume_condition": volume_condition,
            **changed,
        }
        self.exchange.insert_order(user, pack, self._time_ns)
        return str(pack["order_id"])

    def tick(
        self,
        symbol: str,
        *,
        bids: tuple[Level, ...] = (),
        asks: tuple[Level, ...] = (),
        last: float = math.nan,
    ) -> None:
        self._time_ns += 500_000_000
        self.exchange.on_tick(
            MarketTick(
                symbol, self._time_ns, self.day, last, last, last, last, 0, 0.0, 0, bids, asks
            )
        )

    def open_now(self, direction: str, symbol: str, volume: int, price: float) -> None:
        """Open lots at `price`, which is also the last price."""
        level = ((price, volume),)
        self.tick(symbol, bids=level, asks=level, last=price)
        found = self.found(self.order(direction, "OPEN", symbol, volume, price))
        if found["volume_left"]:
            raise RuntimeError(found["last_msg"])

    def settle(self, next_day: date, prices: dict[str, float]) -> None:
        self.exchange.settle(next_day, prices)
        self.day = next_day
        for symbol in MIDDLE:
            self.terms(symbol)

    def found(self, order_id: str, user: str = ALICE) -> dict[str, Any]:
        found: dict[str, Any] = self.exchange.picture(user)["orders"][order_id]
        return found

    def trades(self, order_id: str, user: str = ALICE) -> list[tuple[float, int]]:
        """(price, volume) of an order's fills, in order."""
        trades = self.exchange.picture(user)["trades"]
        numbered = sorted(
            (int(trade_id.split("|")[1]), trade["price"], trade["volume"])
            for trade_id, trade in trades.items()
            if trade["order_id"] == order_id
        )
        assert [number for number, _, _ in numbered] == list(range(1, len(numbered) + 1))
        return [(price, volume) for _, price, volume in numbered]

    def account(self, user: str = ALICE) -> dict[str, Any]:
        account: dict[str, Any] = self.exchange.picture(user)["accounts"]["CNY"]
        return account

    def position(self, symbol: str, user: str = ALICE) -> dict[str, Any]:
        position: dict[str, Any] = self.exchange.picture(user)["positions"][symbol]
        return position
