"""The figures of a report: by trading day, and over all of them. Pure.

Rules: a night belongs to the day after it. The return of a trading day is its last balance over
that of the day before; the first day's, over the balance at the start. Ratios are those of
empyrical, a year having 243 trading days (the Chinese exchanges have had 242 to 244); no risk-free
rate is taken off. Deposits and withdrawals are not in the journal and would count as profit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import pandas as pd

from .journal_records import AccountRecord
from .report_trips import Fill, RoundTrip

__all__ = ["DAYS_OF_YEAR", "DayRow", "Statistics", "drawdowns", "statistics", "trading_days"]

DAYS_OF_YEAR = 243
FEWEST_DAYS = 20  # that tell anything of a year's return
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class DayRow:
    """What a trading day did to the account, money in CNY."""

    day: str  # ISO date
    balance: float  # at its end
    profit: float  # since the end of the day before: fees taken off
    close_profit: float
    position_profit: float
    commission: float
    other: float  # of `profit`, what the three do not explain: settlement prices, deposits
    margin: float
    fills: int
    lots: int
    turnover_cny: float
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """Over all trading days. Ratios are parts of 1, money is CNY; NaN: cannot be said."""

    days: int
    start_cny: float
    end_cny: float
    profit_cny: float
    total_return: float
    annual_return: float  # NaN for less than twenty days
    volatility: float  # of a year
    sharpe: float
    sortino: float
    max_drawdown: float  # <= 0, by the ends of trading days
    max_drawdown_cny: float  # <= 0
    deepest: float  # <= 0, within days too
    trips: int
    win_rate: float
    profit_factor: float  # infinite without a loss
    mean_win_cny: float
    mean_loss_cny: float  # <= 0
    fees_cny: float
    turnover_cny: float
    turnover: float  # over the mean balance


def trading_days(accounts: Sequence[AccountRecord], fills: Sequence[Fill]) -> list[DayRow]:
    """A row for each trading day of which there is a picture, in the order of time."""
    before, rows = accounts[0].balance if accounts else NAN, list[DayRow]()
    by_day: dict[str, list[Fill]] = {}
    for fill in fills:
        by_day.setdefault(fill.day, []).append(fill)
    for day, group in groupby(sorted(accounts, key=attrgetter("day")), key=attrgetter("day")):
        rows.append(_day_row(day, _last(list(group)), before, by_day.get(day, [])))
        before = rows[-1].balance
    return rows


def _last(pictures: Sequence[AccountRecord]) -> AccountRecord:
    """The day's settlement; its last picture where it has none."""
    settled = [each for each in pictures if each.why == "settlement"]
    return (settled or list(pictures))[-1]


def _day_row(day: str, last: AccountRecord, before: float, fills: Sequence[Fill]) -> DayRow:
    profit = last.balance - before
    said = last.close_profit + last.position_profit - last.commission
    return DayRow(
        day=day,
        balance=last.balance,
        profit=profit,
        close_profit=last.close_profit,
        position_profit=last.position_profit,
        commission=last.commission,
        other=profit - said,
        margin=last.margin,
        fills=len(fills),
        lots=sum(fill.volume for fill in fills),
        turnover_cny=sum(fill.turnover_cny for fill in fills),
        is_settled=last.why == "settlement",
    )


def drawdowns(balances: Iterable[float]) -> list[float]:
    """How far each balance lies below the highest one before it, as a part of 1, <= 0.

    0 where nothing was ever there.
    """
    found, peak = list[float](), -math.inf
    for balance in balances:
        peak = max(peak, balance)
        found.append(balance / peak - 1 if peak > 0 else 0.0)
    return found


def statistics(
    days: Sequence[DayRow],
    accounts: Sequence[AccountRecord],
    trips: Sequence[RoundTrip],
    fills: Sequence[Fill],
) -> Statistics:
    """Of the rows of `trading_days` and the round trips of `report_trips`."""
    import empyrical  # noqa: PLC0415  an extra, and a second of scipy

    start, ends = accounts[0].balance, [row.balance for row in days]
    returns = pd.Series([start, *ends]).pct_change().iloc[1:]
    year = {"annualization": DAYS_OF_YEAR}
    known = [result for result in map(_result, trips) if math.isfinite(result)]
    wins, losses = [n for n in known if n > 0], [n for n in known if n < 0]
    turnover = sum(fill.turnover_cny for fill in fills)
    spread = len(days) > 1 and float(returns.std()) > 0
    return Statistics(
        days=len(days),
        start_cny=start,
        end_cny=ends[-1],
        profit_cny=ends[-1] - start,
        total_return=float(empyrical.cum_returns_final(returns)),
        annual_return=(
            float(empyrical.annual_return(returns, **year)) if len(days) >= FEWEST_DAYS else NAN
        ),
        volatility=float(empyrical.annual_volatility(returns, **year)) if len(days) > 1 else NAN,
        sharpe=float(empyrical.sharpe_ratio(returns, **year)) if spread else NAN,
        sortino=_finite(float(empyrical.sortino_ratio(returns, **year))) if spread else NAN,
        max_drawdown=float(empyrical.max_drawdown(returns)),
        max_drawdown_cny=_deepest_cny([start, *ends]),
        deepest=min(drawdowns(each.balance for each in accounts)),
        trips=len(trips),
        win_rate=len(wins) / len(known) if known else NAN,
        profit_factor=_factor(sum(wins), -sum(losses)),
        mean_win_cny=sum(wins) / len(wins) if wins else NAN,
        mean_loss_cny=sum(losses) / len(losses) if losses else NAN,
        fees_cny=_fees(days, fills),
        turnover_cny=turnover,
        turnover=turnover / (sum(ends) / len(ends)),
    )


def _result(trip: RoundTrip) -> float:
    """After fees; before them where the gateway does not say a fill's fee, as CTP."""
    return trip.profit_cny if math.isnan(trip.fees_cny) else trip.net_cny


def _fees(days: Sequence[DayRow], fills: Sequence[Fill]) -> float:
    """Of the fills; where one's fee is not said, what the account says of its days."""
    said = sum(fill.commission_cny for fill in fills)
    return sum(row.commission for row in days) if math.isnan(said) else said


def _factor(won: float, lost: float) -> float:
    if lost:
        return won / lost
    return math.inf if won else NAN


def _finite(value: float) -> float:
    return value if math.isfinite(value) else NAN


def _deepest_cny(balances: Sequence[float]) -> float:
    peak, deepest = balances[0], 0.0
    for balance in balances:
        peak = max(peak, balance)
        deepest = min(deepest, balance - peak)
    return deepest
