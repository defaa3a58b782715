"""Klines of one trading day as columns, and the walk of ticks that makes exactly these klines.

The walk is the inverse of `klines`: what it makes of a recorded or generated kline gives that kline
again, in all seven fields. Pure numpy; books come later, in `minting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from .values import DAY_NS, MINUTE_NS, SECOND_NS, Contract, Stretch

__all__ = ["Bools", "DayBars", "DayWalk", "Floats", "Ints", "count_ticks", "walk"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HALF_SECOND_NS = SECOND_NS // 2


@dataclass(frozen=True, slots=True)
class DayBars:
    """Klines of one trading day, oldest first; `after_hole`: klines before this one are missing."""

    trading_day: date
    duration_ns: int
    label_ns: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Ints
    open_oi: Ints
    close_oi: Ints
    after_hole: Bools

    def __len__(self) -> int:
        return len(self.label_ns)


@dataclass(frozen=True, slots=True)
class DayWalk:
    """The ticks of one trading day without their books; volume and amount since it began."""

    time_ns: Ints
    price: Floats
    volume: Ints
    amount_cny: Floats
    open_interest: Ints
    after_hole: Bools


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which prices each bar's ticks must visit, and how many ticks it gets.

    Places: the open, the first and the second extreme, the close. `first_ns` and `last_ns` are open
    market time since the day began.
    """

    wanted: Bools  # (bars, 4)
    price: Floats  # (bars, 4)
    count: Ints
    first_ns: Ints
    last_ns: Ints
    closings: Bools  # per stretch: whether its end was recorded


def count_ticks(bars: DayBars, stretches: Sequence[Stretch], ticks_per_minute: int) -> int:
    """How many ids the ticks of `walk` take: one a tick, and one skipped at each hole."""
    plan = _plan(bars, stretches, ticks_per_minute)
    return int(plan.count.sum() + plan.closings.sum() + bars.after_hole.sum())


def walk(
    bars: DayBars,
    stretches: Sequence[Stretch],
    contract: Contract,
    ticks_per_minute: int,
    rng: np.random.Generator,
) -> DayWalk:
    """Ticks that make `bars` by the rules of the official klines.

    Every bar gets a tick, all of them strictly inside it; 0.5 s after the end of a stretch its last
    tick is repeated, as the exchanges do, so that whoever listens learns that the stretch is over.
    """
    plan = _plan(bars, stretches, ticks_per_minute)
    count = plan.count
    start = np.cumsum(count) - count
    of_bar = np.repeat(np.arange(len(bars)), count)
    step = np.arange(int(count.sum())) - start[of_bar]
    price = _prices(bars, plan, start, of_bar, contract, rng)
    lots = _lots(bars.volume, count, of_bar, step, rng)
    amount = np.cumsum(lots * price) * contract.volume_multiple
    made = DayWalk(
        _times(plan, stretches, of_bar, step, rng),
        price,
        np.cumsum(lots),
        amount,
        _interest(bars, count, of_bar, step),
        bars.after_hole[of_bar] & (step == 0),
    )
    return _with_closings(made, stretches, plan.closings)


def _plan(bars: DayBars, stretches: Sequence[Stretch], ticks_per_minute: int) -> _Plan:
    first, last, ends = _open_time(bars, stretches)
    starts = np.concatenate(([0], ends[:-1]))
    traded_before = np.cumsum(bars.volume) - bars.volume
    fresh = np.isin(first, starts) | bars.after_hole | ((traded_before == 0) & (bars.volume > 0))
    low_first = bars.close >= bars.open
    one = np.where(low_first, bars.low, bars.high)
    two = np.where(low_first, bars.high, bars.low)
    visits_one, visits_two = one != bars.open, two != bars.open
    before_close = np.where(visits_two, two, np.where(visits_one, one, bars.open))
    visited = fresh | visits_one | visits_two
    closes = (before_close != bars.close) | ~visited
    closes |= bars.after_hole & (bars.open_oi != bars.close_oi)
    wanted = np.stack([fresh, visits_one, visits_two, closes], axis=1)
    pace = _ticks_a_bar(bars.duration_ns, int(ends[-1]), ticks_per_minute)
    count = np.maximum(wanted.sum(axis=1), np.minimum(bars.volume, pace)).astype(np.int64)
    covers = (first[:, None] < ends) & (ends <= last[:, None])
    covers[:1] &= ends == last[:1, None]  # else no tick need be there to repeat
    closings: Bools = np.asarray(covers.any(axis=0))
    price = np.stack([bars.open, one, two, bars.close], axis=1)
    return _Plan(wanted, price, count, first, last, closings)


def _ticks_a_bar(duration_ns: int, day_length_ns: int, ticks_per_minute: int) -> int:
    open_ns = min(duration_ns, day_length_ns) if duration_ns >= DAY_NS else duration_ns
    return max(1, round(ticks_per_minute * open_ns / MINUTE_NS))


def _open_time(bars: DayBars, stretches: Sequence[Stretch]) -> tuple[Ints, Ints, Ints]:
    """Open market time when each bar begins and ends, and when each stretch ends."""
    lengths = np.array([end - start for start, end in stretches])
    ends = np.cumsum(lengths)
    if bars.duration_ns >= DAY_NS:
        return np.zeros(len(bars), np.int64), np.full(len(bars), ends[-1]), ends
    first = np.zeros(len(bars), np.int64)
    last = np.zeros(len(bars), np.int64)
    for (start, _), length in zip(stretches, lengths, strict=True):
        first += np.clip(bars.label_ns - start, 0, length)
        last += np.clip(bars.label_ns + bars.duration_ns - start, 0, length)
    return first, last, ends


def _prices(
    bars: DayBars,
    plan: _Plan,
    start: Ints,
    of_bar: Ints,
    contract: Contract,
    rng: np.random.Generator,
) -> Floats:
    """From one price that must be visited to the next, on the tick grid, inside high and low."""
    bar, place = np.nonzero(plan.wanted)
    at = _visits(plan, rng)[bar, place] + start[bar]
    total = len(of_bar)
    between = np.interp(np.arange(total), at, plan.price[bar, place])
    between += rng.normal(0.0, contract.price_tick, total)
    price = np.round(np.round(between / contract.price_tick) * contract.price_tick, 6)
    price = np.clip(price, bars.low[of_bar], bars.high[of_bar])
    price[at] = plan.price[bar, place]
    return price


def _visits(plan: _Plan, rng: np.random.Generator) -> Ints:
    """Which tick of its bar visits each wanted place: in order, the first and last ones fixed."""
    bars = len(plan.count)
    rank = np.cumsum(plan.wanted, axis=1) - 1
    spare = plan.count - plan.wanted.sum(axis=1)
    share = np.sort(rng.random((bars, 4)), axis=1)
    share[:, 0] = 0.0
    last = rank == plan.wanted.sum(axis=1)[:, None] - 1
    ahead = np.where(last, spare[:, None], (share * spare[:, None]).astype(np.int64))
    ahead[:, 0] = np.where(plan.wanted.sum(axis=1) > 1, 0, spare)
    visits: Ints = rank + ahead
    return visits


def _lots(volume: Ints, count: Ints, of_bar: Ints, step: Ints, rng: np.random.Generator) -> Ints:
    """Lots of each tick: one at least as long as there are any, the rest at random."""
    each = np.minimum(count, volume)
    weight = rng.random(len(of_bar))
    running = np.cumsum(weight)
    before = (running - weight)[np.cumsum(count) - count]
    whole = running[np.cumsum(count) - 1] - before
    share = (running - before[of_bar]) / whole[of_bar]
    share[np.cumsum(count) - 1] = 1.0
    spread = ((volume - each)[of_bar] * share).astype(np.int64)
    so_far = spread + np.minimum(step + 1, each[of_bar])
    lots: Ints = np.diff(so_far, prepend=0)
    lots[step == 0] = so_far[step == 0]
    return lots


def _interest(bars: DayBars, count: Ints, of_bar: Ints, step: Ints) -> Ints:
    """Open interest on its way through the bar; a hole's first tick shows where it stood."""
    moved = (bars.close_oi - bars.open_oi)[of_bar] * (step + 1) // count[of_bar]
    moved[bars.after_hole[of_bar] & (step == 0) & (count[of_bar] > 1)] = 0
    interest: Ints = bars.open_oi[of_bar] + moved
    return interest


def _times(
    plan: _Plan,
    stretches: Sequence[Stretch],
    of_bar: Ints,
    step: Ints,
    rng: np.random.Generator,
) -> Ints:
    """Strictly inside the open time of each bar: on half seconds where there is room."""
    count, first = plan.count[of_bar], plan.first_ns[of_bar]
    length = plan.last_ns[of_bar] - first
    halves = length // HALF_SECOND_NS - 1
    loose = (step + rng.random(len(of_bar)) / 2) * halves / count
    on_half = (1 + loose.astype(np.int64)) * HALF_SECOND_NS
    even = length * (step + 1) // (count + 1)
    since = first + np.where(halves >= 2 * count, on_half, even)
    ends = np.cumsum([end - start for start, end in stretches])
    starts_ns = np.array([start for start, _ in stretches])
    stretch = np.searchsorted(ends, since, "left")
    times: Ints = starts_ns[stretch] + since - np.concatenate(([0], ends[:-1]))[stretch]
    return times


def _with_closings(made: DayWalk, stretches: Sequence[Stretch], closings: Bools) -> DayWalk:
    """`made` with the last tick of each recorded stretch repeated after the stretch's end."""
    ends = np.array([end for _, end in stretches])[closings]
    if not len(ends):
        return made
    after = np.searchsorted(made.time_ns, ends, "right")
    order = np.insert(np.arange(len(made.time_ns)), after, after - 1)
    repeated = after + np.arange(len(after))
    times, holes = made.time_ns[order], made.after_hole[order]
    times[repeated] = ends + HALF_SECOND_NS
    holes[repeated] = False
    return DayWalk(
        times,
        made.price[order],
        made.volume[order],
        made.amount_cny[order],
        made.open_interest[order],
        holes,
    )
