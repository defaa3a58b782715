"""The made-up market: one-minute klines of every contract from a seed, a day at a time.

A day depends on the seed, the contract and the date alone, whatever was asked before: products walk
from close to close along one fixed path, their contracts follow a little apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache

import numpy as np

from .calendar import MarketCalendar
from .catalogue import Product
from .daybars import DayBars, DayWalk, Floats, Ints, count_ticks, walk
from .instruments import Instruments
from .klines import day_labels
from .listing import MAIN, Listing, months_between
from .minting import mint
from .seeds import generator, unit
from .shape import begins_stretch, shape_minutes
from .terms import day_terms
from .values import MINUTE_NS, Contract, DayTerms, MarketTick, Stretch

__all__ = ["SeededSource"]

HISTORY_DAYS = 300  # trading days of klines before the market's start
TICK_HISTORY_DAYS = 10  # trading days of ticks before it
BLOCK = 256  # trading days whose price moves are drawn together
DAYS_A_YEAR = 243
PULL = 0.995  # what is left, each day, of a price's distance from its usual level
# Shares of the price limit. A day's prices stay within `DAY_REACH` of the close before, so that
# they stay within the limits around a settlement that is itself an average of such prices.
CLOSE_REACH, DAY_REACH = 0.25, 0.3
SPREAD = 0.01  # contracts of one product differ by up to this fraction
NIGHT_SHARE = 0.6  # of the day session's lots a minute
THINNEST = 0.03  # of the main contract's lots
CACHED_DAYS = 512


class SeededSource:
    """What the market asks of its imagination."""

    gapless = True

    def __init__(
        self,
        instruments: Instruments,
        calendar: MarketCalendar,
        start: date,
        ticks_per_minute: int,
        seed: int,
    ) -> None:
        self._calendar, self._pace, self._seed = calendar, ticks_per_minute, seed
        self._start = start
        self._listing = Listing(instruments, calendar, rolls=True)
        self._products = instruments.products
        first = calendar.index(start)
        self.first_day = calendar.day_at(first - HISTORY_DAYS)
        self.first_tick_day = calendar.day_at(first - TICK_HISTORY_DAYS)
        self._levels: dict[tuple[str, str], list[float]] = {}
        self._day = lru_cache(CACHED_DAYS)(self._make_day)
        self._path = lru_cache(64)(self._make_path)
        self._terms_of = lru_cache(CACHED_DAYS)(self._contract_of)

    # ---- contracts

    def contract(self, symbol: str, day: date) -> Contract | None:
        """The contract with the margin of the price level before `day`."""
        contract = self._listing.contract(symbol, day)
        if contract is None:
            return None
        product = self._products[contract.exchange_id, contract.product_id]
        if product.margin_cny is not None:
            return contract
        before = self._calendar.previous_trading_day(day)
        price = self._close_steps(contract, product, before) * contract.price_tick
        margin = price * contract.volume_multiple * product.margin_rate
        return replace(contract, margin_cny=round(margin, 2))

    def main(self, product_symbol: str, underlying: Contract) -> Contract | None:
        product = self._products.get(_key(product_symbol))
        return None if product is None else self._listing.main(product, underlying)

    def symbols(self, day: date) -> list[str]:
        listed = (self._listing.listed(product, day) for product in self._products.values())
        return [symbol for symbols in listed for symbol in symbols]

    def main_symbols(self) -> list[str]:
        return [f"{MAIN}{'.'.join(key)}" for key in self._products]

    def main_contract(self, symbol: str, day: date) -> str | None:
        product = self._products.get(_key(symbol.removeprefix(MAIN)))
        return None if product is None else self._listing.main_contract(product, day)

    # ---- days

    def next_day(self, day: date) -> date | None:
        return self._calendar.next_trading_day(day)

    def days_before(self, symbol: str, day: date) -> Sequence[date]:
        first, end = self._calendar.index(self.first_day), self._calendar.index(day)
        return [self._calendar.day_at(index) for index in range(first, end)]

    def bars(self, symbol: str, day: date) -> DayBars:
        return self._day(symbol, day)

    def bar_duration(self, symbol: str) -> int:
        return MINUTE_NS

    def skips_unseen(self, symbol: str) -> bool:
        return False

    def ticks(self, symbol: str, day: date) -> list[MarketTick]:
        contract = self._terms_of(symbol)
        made = self._walk(contract, day)
        rng = generator(self._seed, symbol, day.toordinal(), "book")
        return mint(made, contract, self.terms(symbol, day), rng)

    def tick_ids(self, symbol: str, day: date) -> int:
        stretches = self._calendar.stretches(self._terms_of(symbol), day)
        return count_ticks(self.bars(symbol, day), stretches, self._pace)

    def settlement(self, symbol: str, day: date) -> float:
        """The day's average price, on the tick grid."""
        contract = self._terms_of(symbol)
        made = self._walk(contract, day)
        average = made.amount_cny[-1] / made.volume[-1] / contract.volume_multiple
        steps = round(float(average) / contract.price_tick)
        return round(steps * contract.price_tick, contract.price_decs)

    def terms(self, symbol: str, day: date) -> DayTerms:
        before = self._calendar.previous_trading_day(day)
        bars = self.bars(symbol, before)
        return day_terms(
            self._terms_of(symbol),
            day,
            pre_settlement=self.settlement(symbol, before),
            pre_close=float(bars.close[-1]),
            pre_open_interest=int(bars.close_oi[-1]),
        )

    def _walk(self, contract: Contract, day: date) -> DayWalk:
        rng = generator(self._seed, contract.symbol, day.toordinal(), "walk")
        stretches = self._calendar.stretches(contract, day)
        return walk(self.bars(contract.symbol, day), stretches, contract, self._pace, rng)

    def _contract_of(self, symbol: str) -> Contract:
        contract = self._listing.contract(symbol, self._start)
        if contract is None:
            raise KeyError(symbol)
        return contract

    # ---- prices

    def _level(self, product: Product, day: date) -> float:
        """Logarithm of the product's close on `day` over its usual price."""
        levels = self._levels.setdefault(product.key, [0.0])
        index = self._calendar.index(day)
        sigma = product.annual_volatility / math.sqrt(DAYS_A_YEAR)
        reach = CLOSE_REACH * product.limit_rate
        while len(levels) <= index:
            block = len(levels) // BLOCK
            rng = generator(self._seed, ".".join(product.key), block, "closes")
            moves = rng.normal(0.0, sigma, BLOCK)[len(levels) % BLOCK :]
            for move in moves.tolist():
                pull = (PULL - 1) * levels[-1]
                levels.append(levels[-1] + min(max(pull + move, -reach), reach))
        return levels[index]

    def _make_path(self, key: tuple[str, str], day: date, minutes: int) -> Floats:
        """The product's way through the day: its open, then each minute's close, as logarithms."""
        product = self._products[key]
        before = self._level(product, self._calendar.previous_trading_day(day))
        last = self._level(product, day)
        rng = generator(self._seed, ".".join(key), day.toordinal(), "path")
        sigma = product.annual_volatility / math.sqrt(DAYS_A_YEAR)
        opened = before + rng.normal(0.0, 0.3 * sigma)
        loose = np.concatenate(
            ([0.0], np.cumsum(rng.normal(0, sigma / math.sqrt(minutes), minutes)))
        )
        share = np.linspace(0.0, 1.0, minutes + 1)
        path = opened + loose + (last - opened - loose[-1]) * share
        reach = DAY_REACH * product.limit_rate
        inside: Floats = np.clip(path, before - reach, before + reach)
        return inside

    def _make_day(self, symbol: str, day: date) -> DayBars:
        contract = self._terms_of(symbol)
        product = self._products[contract.exchange_id, contract.product_id]
        rng = generator(self._seed, symbol, day.toordinal(), "klines")
        spans = day_labels(self._calendar, contract, day, MINUTE_NS)
        labels = np.concatenate([np.arange(s.start, s.stop, s.step) for s in spans])
        stretches = self._calendar.stretches(contract, day)
        volume = self._volumes(contract, product, day, labels, stretches, rng)
        path = self._path(product.key, day, len(labels))
        steps = self._steps(contract, product, path)
        before = self._close_steps(contract, product, self._calendar.previous_trading_day(day))
        columns = shape_minutes(steps, before, volume, begins_stretch(labels, stretches), rng)
        tick, decs = contract.price_tick, contract.price_decs
        opened, high, low, close = (np.round(column * tick, decs) for column in columns)
        open_oi, close_oi = self._interest(contract, product, day, volume)
        holes = np.zeros(len(labels), bool)
        return DayBars(
            day, MINUTE_NS, labels, opened, high, low, close, volume, open_oi, close_oi, holes
        )

    def _steps(self, contract: Contract, product: Product, levels: Floats) -> Ints:
        """Prices of the contract in ticks, at these levels of its product."""
        apart = 1 + SPREAD * (2 * unit(self._seed, contract.symbol) - 1)
        prices = product.price * apart * np.exp(levels)
        steps: Ints = np.rint(prices / contract.price_tick).astype(np.int64)
        return steps

    def _close_steps(self, contract: Contract, product: Product, day: date) -> int:
        return int(self._steps(contract, product, np.array([self._level(product, day)]))[0])

    # ---- volumes

    def _volumes(
        self,
        contract: Contract,
        product: Product,
        day: date,
        labels: Ints,
        stretches: Sequence[Stretch],
        rng: np.random.Generator,
    ) -> Ints:
        """Lots of each minute: most at the opening and the close of a stretch, fewer at night."""
        expected = np.full(len(labels), product.lots_per_minute * self._liquidity(contract, day))
        for number, (start, end) in enumerate(stretches):
            inside = (labels >= start) & (labels < end)
            since, left = (labels - start) / MINUTE_NS, (end - labels) / MINUTE_NS
            shape = 0.7 + 1.8 * np.exp(-since / 6) + 0.8 * np.exp(-left / 8)
            is_night = number == 0 and len(stretches) > 1 and contract.trading_time["night"]
            share = NIGHT_SHARE if is_night and self._calendar.has_night(day) else 1.0
            expected[inside] *= shape[inside] * share
        volume: Ints = rng.poisson(expected * rng.lognormal(-0.18, 0.6, len(labels)))
        volume[-1] = max(volume[-1], 1)  # the day's last minute trades: its close is the day's
        return volume

    def _liquidity(self, contract: Contract, day: date) -> float:
        """The contract's lots as a share of the main contract's."""
        product = self._products[contract.exchange_id, contract.product_id]
        main = self._listing.main_contract(product, day)
        if main == contract.symbol:
            return 1.0
        last, other = (self._listing.last_day(s, day) for s in (contract.symbol, main))
        apart = abs(months_between(last, other.year, other.month))
        busy = 1.0 if contract.delivery_month in product.main_months else 0.1
        return max(THINNEST, 0.6 * busy * math.exp(-apart / 3))

    def _interest(
        self, contract: Contract, product: Product, day: date, volume: Ints
    ) -> tuple[Ints, Ints]:
        """Open interest before and after each minute; it moves with the trades."""
        before = self._interest_at(contract, product, self._calendar.previous_trading_day(day))
        after = self._interest_at(contract, product, day)
        share = np.cumsum(volume) / volume.sum()
        closes: Ints = before + np.rint((after - before) * share).astype(np.int64)
        return np.concatenate(([before], closes[:-1])), closes

    def _interest_at(self, contract: Contract, product: Product, day: date) -> int:
        lots = product.lots_per_minute * 400 * self._liquidity(contract, day)
        drift = 1 + 0.06 * unit(self._seed, contract.symbol + "/interest", day.toordinal())
        return round(lots * drift)


def _key(product: str) -> tuple[str, str]:
    exchange_id, _, product_id = product.partition(".")
    return exchange_id, product_id
