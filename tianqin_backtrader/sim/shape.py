"""One-minute klines from a path of closes and the lots of each minute, by the official rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .daybars import Bools, Ints
from .values import Stretch

__all__ = ["begins_stretch", "shape_minutes"]


def begins_stretch(labels: Ints, stretches: Sequence[Stretch]) -> Bools:
    begins: Bools = np.isin(labels, [start for start, _ in stretches])
    return begins


def shape_minutes(
    path: Ints, before: int, volume: Ints, begins: Bools, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints]:
    """Open, high, low and close of each minute in ticks, by the rules of the official klines.

    path: the day's open, then where each minute closes if it trades; before: the last close.
    """
    traded = volume > 0
    latest = np.maximum.accumulate(np.where(traded, np.arange(1, len(path)), 0))
    close = np.concatenate(([before], path[1:]))[latest]
    carried = np.concatenate(([before], close[:-1]))
    first = np.flatnonzero(traded)[0]
    fresh = traded & begins
    fresh[first] = True
    opened = np.where(fresh, carried + rng.integers(-1, 2, len(volume)), carried)
    opened[first] = path[first]
    opened = np.where(fresh & (volume == 1), close, opened)
    noise = rng.poisson(0.7, (2, len(volume))) * (volume >= 4)
    top, bottom = path.max(), path.min()
    highest, lowest = np.maximum(opened, close), np.minimum(opened, close)
    high = np.maximum(np.minimum(highest + noise[0], top), highest)
    low = np.minimum(np.maximum(lowest - noise[1], bottom), lowest)
    return opened, high, low, close
