"""Contracts as the exchange lists them: from a code and a product's terms to a `Contract`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from .calendar import MarketCalendar, beijing_midnight_ns
from .catalogue import Product
from .instruments import Instruments, parse_symbol
from .values import HOUR_NS, SECOND_NS, Contract

__all__ = ["MAIN", "Listing", "last_trading_day", "months_between", "symbol_of"]

MAIN = "KQ.m@"
CLOSES_NS = 15 * HOUR_NS
BONDS = frozenset({"T", "TF", "TS", "TL"})
FRIDAY = 4
DELIVERY_DAY = 15  # of commodities; roughly, the exchanges' own rules differ by days
MONTHS_LISTED = 12


class Listing:
    """Makes contracts. `rolls`: a delivery month that is past stands for the next such month to
    come (the seeded market trades any code); else a contract expires when its code says."""

    def __init__(self, instruments: Instruments, calendar: MarketCalendar, *, rolls: bool) -> None:
        self.instruments = instruments
        self._calendar = calendar
        self._rolls = rolls

    def contract(self, symbol: str, day: date) -> Contract | None:
        """The contract as of trading day `day`; None where no such contract can exist."""
        code, product = parse_symbol(symbol), self.instruments.product_of(symbol)
        if code is None or product is None:
            return None
        year = _year(code.digits, day)
        last = self.last_day(symbol, day)
        row = self.instruments.row(symbol)
        expire_ns = _row_expiry(row.get("expire_datetime"))
        if expire_ns is None or (self._rolls and expire_ns < beijing_midnight_ns(day)):
            expire_ns = beijing_midnight_ns(last) + CLOSES_NS
        name = row.get("instrument_name") or row.get("ins_name") or product.name + code.digits
        made = _contract(product, symbol, str(name))
        return replace(
            made,
            delivery_year=year,
            delivery_month=code.month,
            expire_ns=expire_ns,
            expired=expire_ns < beijing_midnight_ns(day),
        )

    def last_day(self, symbol: str, day: date) -> date:
        """The last trading day of `symbol`, as seen from `day`."""
        code, product = parse_symbol(symbol), self.instruments.product_of(symbol)
        if code is None or product is None:
            return day
        year = _year(code.digits, day)
        last = last_trading_day(product, year, code.month, self._calendar)
        while self._rolls and last < day:
            year += 1
            last = last_trading_day(product, year, code.month, self._calendar)
        return last

    def main_contract(self, product: Product, day: date) -> str:
        """The contract that is busiest on `day`, by the product's usual months."""
        year, month = day.year, day.month
        for _ in range(2 * MONTHS_LISTED):
            late_enough = months_between(day, year, month) >= product.lead
            if month in product.main_months and late_enough:
                last = last_trading_day(product, year, month, self._calendar)
                if last > day:
                    break
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return symbol_of(product, year, month)

    def main(self, product: Product, underlying: Contract) -> Contract:
        """The main contract of `product` while it follows `underlying`."""
        symbol = f"{MAIN}{product.exchange_id}.{product.product_id}"
        made = _contract(product, symbol, product.name + "主连")
        return replace(
            made,
            ins_class="CONT",
            exchange_id="KQ",
            expire_ns=underlying.expire_ns,
            margin_cny=underlying.margin_cny,
            trading_time=underlying.trading_time,
            underlying_symbol=underlying.symbol,
        )

    def listed(self, product: Product, day: date) -> list[str]:
        """Symbols of a product's contracts that trade on `day`, nearest delivery first."""
        symbols, year, month = [], day.year, day.month
        for _ in range(MONTHS_LISTED):
            last = last_trading_day(product, year, month, self._calendar)
            if month in product.months and last >= day:
                symbols.append(symbol_of(product, year, month))
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return symbols


def symbol_of(product: Product, year: int, month: int) -> str:
    digits = f"{year % 100:02d}{month:02d}"
    digits = digits[1:] if product.exchange_id == "CZCE" else digits
    return f"{product.exchange_id}.{product.product_id}{digits}"


def months_between(day: date, year: int, month: int) -> int:
    """Calendar months from `day`'s month to the delivery month."""
    return (year - day.year) * 12 + month - day.month


def last_trading_day(product: Product, year: int, month: int, calendar: MarketCalendar) -> date:
    """Stock index futures: the third Friday; bonds: the second; others: the 15th (roughly)."""
    if product.exchange_id != "CFFEX":
        return calendar.first_trading_day(date(year, month, DELIVERY_DAY))
    first = date(year, month, 1)
    friday = first + timedelta(days=(FRIDAY - first.weekday()) % 7)
    weeks = 1 if product.product_id in BONDS else 2
    return calendar.first_trading_day(friday + timedelta(weeks=weeks))


def _year(digits: str, day: date) -> int:
    """Delivery year of a code; CZCE's single digit means the year nearest to `day`."""
    if len(digits) == 4:
        return 2000 + int(digits[:2])
    earliest = day.year - 4
    return earliest + (int(digits[0]) - earliest) % 10


def _row_expiry(value: object) -> int | None:
    """`expire_datetime` of a row, which older TqSdk wrote in seconds, as ns."""
    if not isinstance(value, int | float) or value <= 0:
        return None
    return int(value) if value > 1e12 else int(value) * SECOND_NS


def _contract(product: Product, symbol: str, name: str) -> Contract:
    return Contract(
        symbol=symbol,
        ins_class="FUTURE",
        exchange_id=product.exchange_id,
        product_id=product.product_id,
        name=name,
        price_tick=float(product.price_tick),
        price_decs=product.price_decs,
        volume_multiple=product.volume_multiple,
        margin_cny=product.margin,
        commission_cny=product.commission_cny,
        commission_close_today_cny=product.commission_close_today_cny,
        limit_rate=product.limit_rate,
        max_limit_order_volume=product.max_limit_order_volume,
        max_market_order_volume=product.max_market_order_volume,
        delivery_year=0,
        delivery_month=0,
        expire_ns=0,
        expired=False,
        trading_time=product.hours,
    )
