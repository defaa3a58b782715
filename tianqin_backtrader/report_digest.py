"""Everything that a report says, computed out of a story; `report_page` only shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

from .journal_records import AccountRecord
from .report_costs import Cost, Slip, SlipSum, costs, slip_sums, slippage
from .report_data import Story
from .report_figures import DayRow, Statistics, drawdowns, statistics, trading_days
from .report_prices import Prices
from .report_tables import Cell, cell
from .report_timeline import Stretch, stretches
from .report_trips import Fill, RoundTrip, match, merged

__all__ = ["Digest", "chart_data", "digest", "figures", "strip"]

SECOND_NS = 1_000_000_000
BEIJING_S = 8 * 3_600  # the charts know no time zones: they are given Beijing time as if it was UTC
FEWEST_DAYS = 3  # with fewer trading days the curve goes by pictures of the account
MOST_POINTS = 1_500
HEADLINES = (
    "profit_cny", "total_return", "max_drawdown", "sharpe", "win_rate", "profit_factor",
    "fees_cny", "slip_cny",
)  # fmt: skip
KINDS: Mapping[str, str] = {
    "days": "count", "start_cny": "money", "end_cny": "money", "profit_cny": "signed",
    "total_return": "signed_percent", "annual_return": "signed_percent", "volatility": "percent",
    "sharpe": "ratio", "sortino": "ratio", "max_drawdown": "percent", "max_drawdown_cny": "money",
    "deepest": "percent", "trips": "count", "win_rate": "percent", "profit_factor": "ratio",
    "mean_win_cny": "signed", "mean_loss_cny": "signed", "fees_cny": "money",
    "turnover_cny": "money", "turnover": "ratio", "slip_cny": "money",
}  # fmt: skip
NAMES = {"days": "days_count", "trips": "trips_count"}  # of words


@dataclass(frozen=True, slots=True)
class Digest:
    """The figures of a report."""

    days: tuple[DayRow, ...]
    statistics: Statistics
    trips: tuple[RoundTrip, ...]
    held: tuple[Fill, ...]
    costs: tuple[Cost, ...]
    slips: tuple[Slip, ...]
    slip_sums: tuple[SlipSum, ...]
    stretches: tuple[Stretch, ...]


def digest(story: Story) -> Digest:
    """All figures of a story."""
    pieces, held = match(story.fills, story.held)
    trips = merged(pieces)
    days = trading_days(story.accounts, story.fills)
    slips = slippage(story.fills, story.tickets, story.triggers)
    return Digest(
        days=tuple(days),
        statistics=statistics(days, story.accounts, trips, story.fills),
        trips=tuple(trips),
        held=tuple(held),
        costs=tuple(costs(story.fills, pieces)),
        slips=tuple(slips),
        slip_sums=tuple(slip_sums(slips)),
        stretches=tuple(stretches(story.events)),
    )


def figures(found: Digest) -> tuple[list[tuple[str, Cell]], list[tuple[str, Cell]]]:
    """The headlines, and all statistics: keys of words with what they say."""
    values = {each.name: getattr(found.statistics, each.name) for each in fields(Statistics)}
    costs = [each.cost_cny for each in found.slip_sums]
    values["slip_cny"] = sum(costs) if costs else math.nan
    cells = {name: cell(kind, values[name]) for name, kind in KINDS.items()}
    every = [(NAMES.get(name, name), each) for name, each in cells.items()]
    return [(name, cells[name]) for name in HEADLINES], every


# ---- for the charts


def chart_data(story: Story, found: Digest, prices: Sequence[Prices]) -> dict[str, Any]:
    """What the page's script draws. Times: trading days, or seconds as if Beijing was UTC."""
    by_day = len(found.days) >= FEWEST_DAYS
    curve = _by_day(found) if by_day else _by_picture(story.accounts)
    return {
        "equity": curve,
        "profits": [[day.day, round(day.profit, 2)] for day in found.days] if by_day else [],
        "contracts": [_contract(each) for each in prices],
    }


def _by_day(found: Digest) -> list[list[Any]]:
    """The ends of trading days; before them the start, on the weekday before the first one."""
    first = date.fromisoformat(found.days[0].day)
    eve = first - timedelta(3 if first.weekday() == 0 else 1)
    days = [eve.isoformat(), *(day.day for day in found.days)]
    balances = [found.statistics.start_cny, *(day.balance for day in found.days)]
    return [
        [day, round(balance, 2), round(fall * 100, 4)]
        for day, balance, fall in zip(days, balances, drawdowns(balances), strict=True)
    ]


def _by_picture(accounts: Sequence[AccountRecord]) -> list[list[Any]]:
    """A point a second at most, and no more than a chart shows."""
    falls = drawdowns(each.balance for each in accounts)
    points = {
        _seconds(each.at_ns): [round(each.balance, 2), round(fall * 100, 4)]
        for each, fall in zip(accounts, falls, strict=True)
    }
    step = -(-len(points) // MOST_POINTS)
    kept = sorted(points)[::-step][::-1]  # the last one above all
    return [[at, *points[at]] for at in kept]


def _seconds(at_ns: int) -> int:
    return at_ns // SECOND_NS + BEIJING_S


def _contract(prices: Prices) -> dict[str, Any]:
    decimals = max((_decimals(candle[4]) for candle in prices.candles), default=0)
    return {
        "symbol": prices.symbol,
        "source": prices.source,
        "seconds": prices.duration_ns // SECOND_NS,
        "decimals": decimals,
        "candles": [[_seconds(at), *rest] for at, *rest in _shortened(prices)],
        "marks": [
            [_seconds(m.at_ns), int(m.is_buy), int(m.is_open), m.lots, round(m.price, 4)]
            for m in prices.marks
        ],
    }


def _shortened(prices: Prices) -> list[tuple[Any, ...]]:
    """Whole prices without ".0": a page has thousands of them. Points need one price."""
    count = 2 if prices.source == "fills" else 5
    return [
        (at, *(int(p) if p == int(p) else p for p in rest))[:count] for at, *rest in prices.candles
    ]


def _decimals(price: float) -> int:
    return len(f"{price:.4f}".rstrip("0").partition(".")[2])


# ---- the strip of connections


def strip(found: Sequence[Stretch]) -> list[tuple[str, float, float]]:
    """Kind, beginning and width of each stretch in per cent of the whole time."""
    if not found:
        return []
    first = min(each.from_ns for each in found)
    whole = max(each.until_ns for each in found) - first or 1
    return [
        (
            each.kind,
            (each.from_ns - first) / whole * 100,
            (each.until_ns - each.from_ns) / whole * 100,
        )
        for each in found
    ]
