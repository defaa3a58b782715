"""Files of market records: klines, TqSdk ticks, quote changes and CTP ticks, told by their columns.

CSV, gzipped CSV, Parquet, or a folder of Parquet files as a recorder writes them.

What cannot be read as one of these raises `BadReplayFile`; nothing is repaired or guessed.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import BadReplayFile
from .daybars import Floats, Ints
from .instruments import parse_symbol
from .klines import floor_label
from .recorded import each_id_once, is_parquet, one_each, parquet_frame
from .values import BEIJING_OFFSET_NS, DAY_NS

__all__ = ["KlineRecord", "TickRecord", "read_records"]

GZIP_MAGIC = b"\x1f\x8b"
FILE_NAME = re.compile(r"([A-Z]+)\.([A-Za-z]+\d*)(?:[-_.].*)?")
KLINE_COLUMNS = ("datetime", "open", "high", "low", "close", "volume", "open_oi", "close_oi")
BOOK_COLUMNS = ("bid_price1", "bid_volume1", "ask_price1", "ask_volume1")
TICK_COLUMNS = ("datetime", "last_price", "volume", "open_interest", *BOOK_COLUMNS)
CTP_COLUMNS = ("dt", "code", "price", "total_volume", "total_turnover", "oi", *BOOK_COLUMNS)
CTP_NAMES = {
    "dt": "datetime", "price": "last_price", "total_volume": "volume", "total_turnover": "amount",
    "oi": "open_interest", "high": "highest", "low": "lowest", "ul": "upper_limit",
    "ll": "lower_limit", "pre_settle": "pre_settlement", "pre_oi": "pre_open_interest",
}  # fmt: skip
OPTIONAL = (
    "id", "amount", "average", "highest", "lowest", "upper_limit", "lower_limit", "pre_settlement",
    "pre_close", "pre_open_interest",
    *(f"{side}_{what}{n}" for n in range(2, 6) for side in ("bid", "ask")
      for what in ("price", "volume")),
)  # fmt: skip
KINDS = (
    f"columns of klines ({', '.join(KLINE_COLUMNS)}), of ticks or quotes"
    f" ({', '.join(TICK_COLUMNS)}) or of CTP ticks ({', '.join(CTP_COLUMNS)})"
)


@dataclass(frozen=True, slots=True)
class KlineRecord:
    """Klines of one symbol: `columns` as in the file, `time_ns` their labels."""

    path: Path
    symbol: str
    duration_ns: int
    time_ns: Ints
    columns: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class TickRecord:
    """Ticks of one symbol under TqSdk's names; a column that the file lacks is missing here."""

    path: Path
    symbol: str
    time_ns: Ints
    columns: Mapping[str, Floats]


Record = KlineRecord | TickRecord


def read_records(paths: Sequence[Path | str]) -> dict[str, Record]:
    """The records of all files by symbol; several files of one symbol are joined in time.

    Ticks with ids may overlap: each counts once. Raises `BadReplayFile`.
    """
    found: dict[str, list[Record]] = {}
    for path in one_each(paths):
        record = _read(path)
        found.setdefault(record.symbol, []).append(record)
    return {symbol: _joined(records) for symbol, records in found.items()}


def _read(path: Path) -> Record:
    frame, name = parquet_frame(path) if is_parquet(path) else _csv_frame(path)
    if frame.empty:
        raise BadReplayFile(path, "no rows", "at least one row of records")
    columns = set(frame.columns)
    if columns.issuperset(KLINE_COLUMNS):
        return _klines(path, _symbol(path, name), frame)
    if columns.issuperset(CTP_COLUMNS):
        return _ctp_ticks(path, name, frame)
    if columns.issuperset(TICK_COLUMNS):
        return _ticks(path, _symbol(path, name), frame)
    raise BadReplayFile(path, f"columns {', '.join(map(str, frame.columns))}", KINDS)


def _csv_frame(path: Path) -> tuple[pd.DataFrame, str]:
    expected = "a CSV, gzipped CSV or Parquet file of market records"
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        frame = pd.read_csv(io.BytesIO(content), float_precision="round_trip")
    except (OSError, EOFError, zlib.error) as error:
        raise BadReplayFile(path, f"cannot be read ({error})", expected) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise BadReplayFile(path, f"no CSV ({error})", expected) from error
    return frame, path.name.removesuffix(".gz").removesuffix(".csv")


def _symbol(path: Path, name: str, code: str | None = None) -> str:
    found = FILE_NAME.fullmatch(name)
    symbol = f"{found[1]}.{code or found[2]}" if found else ""
    # a recorder names options too, and DCE.m2101-C-3000 is not DCE.m2101
    other = is_parquet(path) and code is None and symbol != name
    if parse_symbol(symbol) is None or other:
        raise BadReplayFile(
            path,
            "a file name without a future's symbol",
            "a name such as SHFE.cu1905.csv, SHFE.cu1905.csv.gz or SHFE.cu1905.parquet",
        )
    return symbol


def _klines(path: Path, symbol: str, frame: pd.DataFrame) -> KlineRecord:
    time_ns = _times(path, frame["datetime"])
    _check_order(path, time_ns)
    columns = {name: _numbers(path, frame, name) for name in KLINE_COLUMNS[1:]}
    _check_shapes(path, columns)
    if len(time_ns) < 2:
        raise BadReplayFile(path, "one kline", "two at least: their spacing tells the duration")
    duration_ns = min(int(np.diff(time_ns).min()), DAY_NS)
    for label in time_ns.tolist():
        if floor_label(label, duration_ns) != label:
            raise BadReplayFile(
                path, f"label {_text(label)}", f"multiples of {duration_ns / 1e9:g} s, the spacing"
            )
    return KlineRecord(path, symbol, duration_ns, time_ns, columns)


def _check_shapes(path: Path, columns: Mapping[str, Floats]) -> None:
    top = np.maximum(columns["open"], columns["close"])
    bottom = np.minimum(columns["open"], columns["close"])
    wrong = (columns["high"] < top) | (columns["low"] > bottom) | (columns["volume"] < 0)
    wrong |= (columns["volume"] == 0) & (columns["high"] != columns["low"])
    if wrong.any():
        row = int(np.argmax(wrong))
        values = ", ".join(f"{name} {column[row]:g}" for name, column in columns.items())
        raise BadReplayFile(
            path,
            f"row {row + 1}: {values}",
            "low <= open, close <= high; flat where nothing traded",
        )


def _ticks(path: Path, symbol: str, frame: pd.DataFrame) -> TickRecord:
    if not pd.api.types.is_numeric_dtype(frame["datetime"]):  # quotes may be written twice
        frame = frame.drop_duplicates(subset=[*TICK_COLUMNS])
    time_ns = _times(path, frame["datetime"])
    columns = {name: _numbers(path, frame, name) for name in ("volume", "open_interest")}
    columns["last_price"] = _prices(path, frame, columns["volume"])
    columns |= {name: _numbers(path, frame, name, gaps=True) for name in BOOK_COLUMNS}
    for name in OPTIONAL:
        if name in frame.columns:
            columns[name] = _numbers(path, frame, name, gaps=name != "id")
    if "id" not in columns:
        _check_order(path, time_ns)
    return TickRecord(path, symbol, time_ns, columns)


def _prices(path: Path, frame: pd.DataFrame, volume: Floats) -> Floats:
    """Last prices; a contract has none before it was ever traded."""
    prices = _numbers(path, frame, "last_price", gaps=True)
    missing = ~np.isfinite(prices)
    if (missing & (volume > 0)).any():
        row = int(np.argmax(missing & (volume > 0)))
        arrived = f"last_price {frame['last_price'].iloc[row]!r} in row {row + 1}"
        raise BadReplayFile(path, arrived, "a number as soon as there was a trade")
    return prices


def _ctp_ticks(path: Path, name: str, frame: pd.DataFrame) -> TickRecord:
    codes = frame["code"].unique().tolist()
    if len(codes) != 1:
        raise BadReplayFile(path, f"codes {codes}", "one contract a file")
    # of CTP's own names only: `volume` there is the lots of one tick
    renamed = frame.drop(columns=["volume", "open"], errors="ignore").rename(columns=CTP_NAMES)
    return _ticks(path, _symbol(path, name, str(codes[0])), renamed)


def _times(path: Path, column: pd.Series) -> Ints:
    """ns since 1970 UTC, from such numbers or from Beijing time as text."""
    if pd.api.types.is_numeric_dtype(column):
        if column.isna().any():
            raise BadReplayFile(path, "a row without datetime", "datetime in every row")
        time_ns = column.to_numpy(dtype=np.int64)
    else:
        moments = pd.to_datetime(column, errors="coerce", format="ISO8601")
        if moments.isna().any():
            wrong = column[moments.isna()].iloc[0]
            raise BadReplayFile(
                path, f"datetime {wrong!r}", "ns since 1970, or Beijing time as text"
            )
        time_ns = moments.to_numpy().astype("datetime64[ns]").astype(np.int64) - BEIJING_OFFSET_NS
    return time_ns


def _check_order(path: Path, time_ns: Ints) -> None:
    wrong = np.flatnonzero(np.diff(time_ns) <= 0)
    if len(wrong):
        before, after = (_text(int(time_ns[wrong[0] + n])) for n in (0, 1))
        raise BadReplayFile(path, f"{after} after {before}", "times that strictly increase")


def _numbers(path: Path, frame: pd.DataFrame, name: str, *, gaps: bool = False) -> Floats:
    """A column of numbers; `gaps`: missing ones ("-", empty) become NaN."""
    column = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
    if not gaps and not np.isfinite(column).all():
        row = int(np.argmin(np.isfinite(column)))
        raise BadReplayFile(path, f"{name} {frame[name].iloc[row]!r} in row {row + 1}", "a number")
    return column


def _joined(records: list[Record]) -> Record:
    """One record of several in the order of time."""
    records = sorted(records, key=lambda record: int(record.time_ns[0]))
    with_ids = all(isinstance(r, TickRecord) and "id" in r.columns for r in records)
    for one, other in pairwise(records):
        if _kind(one) != _kind(other):
            raise BadReplayFile(
                other.path,
                f"{_kind(other)} of {other.symbol} beside {_kind(one)} in {one.path.name}",
                "one kind and one duration of records for a symbol",
            )
        if not with_ids and one.time_ns[-1] >= other.time_ns[0]:
            raise BadReplayFile(
                other.path,
                f"begins {_text(int(other.time_ns[0]))}, before {one.path.name} ends",
                "files of one symbol that do not overlap",
            )
    first = records[0]
    time_ns = np.concatenate([record.time_ns for record in records])
    shared = set.intersection(*(set(record.columns) for record in records))
    columns = {name: np.concatenate([r.columns[name] for r in records]) for name in shared}
    if isinstance(first, KlineRecord):
        return KlineRecord(first.path, first.symbol, first.duration_ns, time_ns, columns)
    if with_ids:
        ids = columns["id"].astype(np.int64)
        time_ns, columns = each_id_once(first.path, ids, time_ns, columns)
    return TickRecord(first.path, first.symbol, time_ns, columns)


def _kind(record: Record) -> str:
    if isinstance(record, KlineRecord):
        return f"{record.duration_ns / 1e9:g} s klines"
    return "ticks"


def _text(time_ns: int) -> str:
    return f"{pd.Timestamp(time_ns + BEIJING_OFFSET_NS)}"
