"""How many bars of a builder are the official ones, field by field. Pure, for `all.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

FIELDS = ("open", "high", "low", "close", "volume", "open interest")
MINUTE_NS = 60_000_000_000
OPEN, HIGH, LOW, CLOSE = 1, 2, 3, 4

Bar = Sequence[float]  # time (ns since 1970 UTC), then `FIELDS`


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of bars; `equal` in all fields, `by_field` those that have the official minute's.

    carried: equal in all fields once each bar opens where the one before it closed, as TqSdk's do.
    as_stamped: equal in all fields under the builder's own time stamps, TqSdk's being the begin.
    twice: further bars of a minute that there is one of already.
    """

    official: int
    made: int
    equal: int
    by_field: tuple[int, ...]
    carried: int
    as_stamped: int
    missing: int
    outside: int
    twice: int


def judge(bars: Sequence[Bar], official: Sequence[Bar], *, stamps_end: bool) -> Verdict:
    """Compare; `stamps_end`: the builder's time is the end of the minute, not its begin.

    What comes before the first official minute is not looked at.
    """
    truth = {int(bar[0]): tuple(bar[1:]) for bar in official}
    first = min(truth)
    begun = [(int(bar[0]) - MINUTE_NS * stamps_end, *bar[1:]) for bar in bars]
    begun = [bar for bar in begun if bar[0] >= first]
    got = by_begin(begun)
    known = got.keys() & truth.keys()
    return Verdict(
        official=len(truth),
        made=len(begun),
        equal=_equal(got, truth),
        by_field=tuple(
            sum(got[begin][n] == truth[begin][n] for begin in known) for n in range(len(FIELDS))
        ),
        carried=_equal(by_begin(carry(begun)), truth),
        as_stamped=_equal(by_begin(bars), truth),
        missing=len(truth) - len(known),
        outside=len(got) - len(known),
        twice=len(begun) - len(got),
    )


def by_begin(bars: Iterable[Bar]) -> dict[int, tuple[float, ...]]:
    """Bars by their time; the first one of a time counts."""
    found: dict[int, tuple[float, ...]] = {}
    for bar in bars:
        found.setdefault(int(bar[0]), tuple(bar[1:]))
    return found


def carry(bars: Sequence[Bar]) -> list[Bar]:
    """Each bar that follows another one at once opens at its close, high and low include it."""
    return [*bars[:1], *(_carried(before, bar) for before, bar in pairwise(bars))]


def _carried(before: Bar, bar: Bar) -> Bar:
    if bar[0] != before[0] + MINUTE_NS:
        return bar
    price = before[CLOSE]
    extremes = max(bar[HIGH], price), min(bar[LOW], price)
    return (bar[0], price, *extremes, *bar[CLOSE:])


def _equal(got: dict[int, tuple[float, ...]], truth: dict[int, tuple[float, ...]]) -> int:
    return sum(got.get(begin) == row for begin, row in truth.items())
