"""Medians, spreads and Markdown tables, for `all.py`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

Cells = Sequence[str]


def table(header: Cells, rows: Iterable[Cells], left: int = 1) -> str:
    """A Markdown table whose first `left` columns are text."""
    rule = [":--" if number < left else "--:" for number in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """The median, and the least and the greatest."""
    if len(values) == 1:
        return format(values[0], form)
    low, high = (format(each, form) for each in (min(values), max(values)))
    return f"{statistics.median(values):{form}} ({low} - {high})"


def ratios(own: Sequence[float], peer: Sequence[float]) -> list[float]:
    """Round by round, so that what the machine did else hits both."""
    return [mine / other for mine, other in zip(own, peer, strict=True)]


def times(values: Sequence[float]) -> str:
    """Ratios as a cell."""
    return spread(values, ".2f" if statistics.median(values) < 100 else ".0f")


def share(part: int, whole: int) -> str:
    """Per cent, rounded down: 100.0% is all of them."""
    return f"{part * 1_000 // whole / 10:.1f}%"


def wins(ratio: float, ours: str, peer: str, what: str) -> str:
    """Who needs less, in a plain sentence; `ratio`: ours to the peer."""
    if ratio > 1.05:
        return sentence(f"{peer} wins: {ours} takes {ratio:.2f} times {what}.")
    if ratio < 0.95:
        return sentence(f"{ours} wins: {ratio:.2f} times {what} of {peer}.")
    return sentence(f"{ours} and {peer} are level ({ratio:.2f}).")


def sentence(text: str) -> str:
    """With a capital, but for the name of vn.py."""
    return text if text.startswith("vn.py") else text[:1].upper() + text[1:]


def target(ratio: float, wanted: float) -> str:
    """Whether a target of the project is met."""
    return f"the target of {wanted:g} is {'met' if ratio <= wanted else 'missed'}"
