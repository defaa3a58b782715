"""Market ticks from a day's walk: the day's highest, lowest and average, and a made-up book.

The book has its best bid and ask one tick apart around the last price and seeded volumes; beyond
the day's limits it has nothing.
"""

from __future__ import annotations

import numpy as np

from .daybars import DayWalk, Floats
from .values import Contract, DayTerms, MarketTick

__all__ = ["DEPTH", "mint", "price_ladder"]

DEPTH = {"SHFE": 5, "INE": 5}  # levels that the exchange publishes; the others publish one
POOL = 1021  # ready-made level volumes
MEAN_LEVEL_LOTS = 40.0


def price_ladder(low: float, high: float, contract: Contract) -> list[float]:
    """Every price of the tick grid from `low` to `high`, CNY."""
    tick = contract.price_tick
    steps = np.arange(round(low / tick), round(high / tick) + 1)
    ladder: list[float] = np.round(steps * tick, max(contract.price_decs, 0)).tolist()
    return ladder


def mint(
    made: DayWalk, contract: Contract, terms: DayTerms, rng: np.random.Generator
) -> list[MarketTick]:
    """The ticks of `terms.trading_day`, in time order."""
    symbol, day = contract.symbol, terms.trading_day
    depth = DEPTH.get(contract.exchange_id, 1)
    rising = price_ladder(terms.lower_limit, terms.upper_limit, contract)
    falling = rising[::-1]
    best_bid, best_ask = _best(made.price, rising, contract.price_tick, rng)
    bid_at = (len(rising) - 1 - best_bid).tolist()
    lots = np.rint(rng.lognormal(np.log(MEAN_LEVEL_LOTS), 0.8, POOL + depth)).astype(int) + 1
    pool: list[int] = lots.tolist()
    pick = rng.integers(0, POOL, (2, len(bid_at))).tolist()
    highest, lowest, average = _extremes(made, contract.volume_multiple)
    columns = zip(
        made.time_ns.tolist(), made.price.tolist(), highest, lowest, average,
        made.volume.tolist(), made.amount_cny.tolist(), made.open_interest.tolist(),
        made.after_hole.tolist(), bid_at, best_ask.tolist(), *pick,
        strict=True,
    )  # fmt: skip
    return [
        MarketTick(
            symbol, time_ns, day, price, high, low, mean, volume, amount, interest,
            tuple(zip(falling[b : b + depth], pool[u : u + depth])),  # noqa: B905  ends at the limit
            tuple(zip(rising[a : a + depth], pool[v : v + depth])),  # noqa: B905
            hole,
        )
        for time_ns, price, high, low, mean, volume, amount, interest, hole, b, a, u, v in columns
    ]  # fmt: skip


def _best(
    price: Floats, rising: list[float], price_tick: float, rng: np.random.Generator
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Indices of the best bid and ask; -1 and len(rising) stand for none."""
    top = len(rising) - 1
    at = np.clip(np.rint((price - rising[0]) / price_tick), 0, top).astype(np.int64)
    bid = at - rng.integers(0, 2, len(at))
    bid[at == top] = top
    bid[at == 0] = -1
    return bid, bid + 1


def _extremes(made: DayWalk, multiple: int) -> tuple[list[float], list[float], list[float]]:
    """The day's highest, lowest and average price at each tick; NaN before its first trade."""
    traded = made.volume > 0
    highest = np.maximum.accumulate(np.where(traded, made.price, -np.inf))
    lowest = np.minimum.accumulate(np.where(traded, made.price, np.inf))
    average = made.amount_cny / np.maximum(made.volume, 1) / multiple
    high, low, mean = (np.where(traded, each, np.nan) for each in (highest, lowest, average))
    return high.tolist(), low.tolist(), mean.tolist()
