"""Ticks and official minutes of the same market, as files, for `all.py`.

The official klines are the embedded exchange's, whose code borrows nothing from the feeds', or
TqSdk's own where a record has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from tianqin_backtrader.sim.market import Market
from tianqin_backtrader.sim.values import MarketTick

RECORDS = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "ticks"
MINUTE_NS = 60_000_000_000
DAYS = date(2025, 9, 12), date(2025, 9, 15)  # Friday, and Monday with Friday's night session
PACE = 60  # ticks a minute; the exchanges send up to twice as many
LEVEL = 0.0, 0
OFFICIAL = ["open", "high", "low", "close", "volume", "close_oi"]
COPPER_HOURS = {
    "day": [["09:00:00", "10:15:00"], ["10:30:00", "11:30:00"], ["13:30:00", "15:00:00"]],
    "night": [["21:00:00", "25:00:00"]],
}

Minute = tuple[float, ...]  # begin (ns since 1970 UTC), open, high, low, close, volume, OI
Hours = dict[str, list[list[str]]]


@dataclass(frozen=True, slots=True)
class Tape:
    """Ticks of one contract in a CSV file with the columns of TqSdk's serial, and its minutes."""

    title: str
    symbol: str
    file: Path
    hours: Hours
    exchange: dict[str, Any]  # how `LocalExchange` plays the same market
    ticks: int
    official: tuple[Minute, ...]

    def asked(self) -> dict[str, Any]:
        """What a worker is told."""
        about = {"symbol": self.symbol, "file": str(self.file), "hours": self.hours}
        until_ns = int(self.official[-1][0]) + MINUTE_NS
        return about | {"exchange": self.exchange, "until_ns": until_ns}


def tapes(folder: Path, *, quick: bool = False) -> Iterator[Tape]:
    """Every market that is at hand; `quick`: one made-up day of copper, few ticks."""
    days: tuple[date, ...] = DAYS[:1] if quick else DAYS
    first, last, pace = days[0], days[-1], 4 if quick else PACE
    made = Market.seeded(start=first, end=last, ticks_per_minute=pace)
    titles = {
        "SHFE.cu2511": "copper, night until 01:00",
        "DCE.j2604": "coke, hardly traded, night until 23:00",
    }
    how = {"start": first.isoformat(), "end": last.isoformat(), "ticks_per_minute": pace}
    for symbol, title in list(titles.items())[: 1 if quick else None]:
        yield _of_market(folder, made, symbol, f"{symbol} ({title})", days, how)
    index = sorted(RECORDS.glob("CFFEX.IF-*.csv.gz"))
    if index and not quick:
        real = Market.replaying(index)
        days = tuple(date.fromisoformat(path.name[len("CFFEX.IF-") :][:10]) for path in index)
        yield _of_market(
            folder,
            real,
            "CFFEX.IF2101",
            "CFFEX.IF2101 (recorded ticks)",
            days,
            {"replay": [str(path) for path in index]},
        )
    if (RECORDS / "SHFE.cu1909.csv.gz").exists() and not quick:
        yield _of_record(folder, RECORDS / "SHFE.cu1909.csv.gz")


def _of_market(
    folder: Path,
    market: Market,
    symbol: str,
    title: str,
    days: tuple[date, ...],
    exchange: dict[str, Any],
) -> Tape:
    """A contract of the embedded exchange, whole trading days."""
    ticks = [tick for day in days for tick in market.day_ticks(symbol, day)]
    file = folder / f"{symbol}.csv"
    pd.DataFrame(_row(number, tick) for number, tick in enumerate(ticks)).to_csv(file, index=False)
    rows = market.klines_before(symbol, 60 * 10**9, ticks[-1].time_ns, 100_000)
    begins_ns = market.calendar.begins_ns(days[0])
    official = tuple(
        (row.time_ns, row.open, row.high, row.low, row.close, row.volume, row.close_oi)
        for row in rows
        if row.time_ns >= begins_ns
    )
    contract = market.contract(symbol, days[0])
    hours: Hours = contract.trading_time if contract else {}
    return Tape(title, symbol, file, hours, exchange, len(ticks), official)


def _row(number: int, tick: MarketTick) -> dict[str, float]:
    bid, ask = (tick.bids or (LEVEL,))[0], (tick.asks or (LEVEL,))[0]
    return {
        "id": number,
        "datetime": tick.time_ns,
        "last_price": tick.last_price,
        "volume": tick.volume,
        "amount": tick.amount,
        "open_interest": tick.open_interest,
        "highest": tick.highest,
        "lowest": tick.lowest,
        "bid_price1": bid[0],
        "ask_price1": ask[0],
        "bid_volume1": bid[1],
        "ask_volume1": ask[1],
    }


def _of_record(folder: Path, path: Path) -> Tape:
    """The last half hour of 2019-09-16: TqSdk's ticks, and minutes out of its 10-second klines."""
    klines = pd.read_csv(path.parents[1] / "klines" / "10s" / path.name)
    ticks = pd.read_csv(path)
    klines = klines[klines.trading_day == "2019-09-16"]
    minute = klines.datetime - klines.datetime % MINUTE_NS
    whole = klines[minute.groupby(minute).transform("size") == 6]
    found = whole.groupby(minute)[OFFICIAL].agg(
        {"open": "first", "high": "max", "low": "min", "close": "last"}
        | {"volume": "sum", "close_oi": "last"}
    )
    official = tuple(tuple(row) for row in found.reset_index().itertuples(index=False))
    ticks = ticks[
        (ticks.trading_day == "2019-09-16") & (ticks.datetime > found.index[0] - MINUTE_NS)
    ]
    file = folder / "SHFE.cu1909.csv"
    ticks.to_csv(file, index=False)
    title = "SHFE.cu1909 (recorded ticks, TqSdk's klines)"
    return Tape(
        title, "SHFE.cu1909", file, COPPER_HOURS, {"replay": [str(file)]}, len(ticks), official
    )
