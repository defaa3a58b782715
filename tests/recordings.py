"""What the tests of recording do alike: record a market to its end, make ticks up, read files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from tianqin_backtrader import LocalExchange
from tianqin_backtrader.calendar import KnownDays
from tianqin_backtrader.config import load_settings
from tianqin_backtrader.connection import Connection
from tianqin_backtrader.recorder import Recorder
from tianqin_backtrader.trading_days import TradingDays

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_000_000_000


@lru_cache(maxsize=1)
def known_days() -> TradingDays:
    """Made once: it takes most of a second."""
    return TradingDays(None)


def trading_days() -> KnownDays:
    return known_days().calendar


def session(exchange: LocalExchange) -> Connection:
    """A session on a running exchange."""
    urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
    connection = Connection(load_settings(mode="demo", **urls))
    connection.open()
    return connection


def record(
    exchange: LocalExchange, out: Path, symbols: Sequence[str], width: int = 200
) -> tuple[Recorder, list[str]]:
    """Record `exchange` in lock-step to its end; returns the recorder and what it told."""
    told: list[str] = []
    with exchange:
        connection = session(exchange)
        try:
            with Recorder(connection, out, known_days(), width, told.append) as recorder:
                recorder.start(symbols)
                while not recorder.ended:
                    recorder.step()
        finally:
            connection.close()
    return recorder, told


def parquet(out: Path, symbol: str = "") -> list[Path]:
    """All Parquet files of a contract, by day."""
    return sorted(out.rglob(f"{symbol}*.parquet"))


def whole(out: Path, symbol: str) -> pd.DataFrame:
    """All ticks of a contract by pandas alone, duplicates included."""
    frames = [pd.read_parquet(path) for path in parquet(out, symbol)]
    joined: pd.DataFrame = pd.concat(frames).sort_values("id", ignore_index=True)
    return joined


def ns(text: str) -> int:
    """Nanoseconds of a Beijing time."""
    whole_seconds, _, fraction = text.partition(".")
    moment = datetime.fromisoformat(whole_seconds).replace(tzinfo=BEIJING)
    return int(moment.timestamp()) * SECOND + int(fraction.ljust(9, "0") or 0)


def row(time: str, price: float | str, volume: int, oi: int = 500) -> dict[str, Any]:
    """A row of a tick serial as TqSdk's tree holds it: one level of the book, as on DCE."""
    return {
        "datetime": ns(time),
        "last_price": price,
        "average": "-",
        "highest": price,
        "lowest": price,
        "ask_price1": 3001.0,
        "ask_volume1": 4,
        "bid_price1": 2999.0,
        "bid_volume1": 3,
        "volume": volume,
        "amount": volume * 30_000.0,
        "open_interest": oi,
    }
