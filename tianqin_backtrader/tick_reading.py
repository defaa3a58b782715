"""Reads recorded ticks: Parquet of the recorder, CSV of TqSdk's columns or of CTP's."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .errors import BadReplayFile
from .tick_files import NEEDED, DayFiles, read_table, symbol_of

__all__ = ["INSTRUMENTS", "read_rows", "read_ticks", "recorded_terms"]

INSTRUMENTS = "instruments.json"
CTP = {
    "dt": "datetime", "price": "last_price", "total_volume": "volume",
    "total_turnover": "amount", "oi": "open_interest", "high": "highest", "low": "lowest",
}  # fmt: skip
EXPECTED = f"ticks: Parquet of the recorder, or CSV with the columns {', '.join(NEEDED)}"
GZIP_MAGIC = b"\x1f\x8b"
BEIJING_OFFSET_NS = 8 * 3_600_000_000_000


def read_ticks(
    path: str | Path, symbol: str | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Ticks of one contract in the order of their ids, each once.

    path: a Parquet or CSV (.csv, .csv.gz) file, or a folder of Parquet files: all days of a
    recording or one. symbol: which contract of a folder that holds several. columns: only these,
    where there are more. `datetime` is ns since 1970 UTC; rows of a CSV without `id` are numbered.

    Raises `BadReplayFile`, or `ConfigError` for Parquet without pyarrow.
    """
    path = Path(path)
    frame: pd.DataFrame
    if path.is_dir():
        frame = _folder(path, symbol, columns)
    elif path.suffix == ".parquet":
        frame = _parquet(path, symbol, columns)
    else:
        frame = _csv(path)
    return _checked(path, frame)


def recorded_terms(path: str | Path, symbol: str | None = None) -> dict[str, Any] | None:
    """The contract's row in the `instruments.json` of the recording that `path` belongs to.

    None where there is no such file or row. Raises `BadReplayFile` for a file of another shape.
    """
    path = Path(path)
    for folder in (path, *path.absolute().parents[:2]):
        file = folder / INSTRUMENTS
        if file.is_file():
            return read_rows(file).get(symbol or _symbol(path))
    return None


def _folder(path: Path, symbol: str | None, columns: Sequence[str] | None) -> pd.DataFrame:
    symbol = symbol or _symbol(path)
    found = {file.parent for file in path.rglob("*.parquet") if symbol_of(file) == symbol}
    if not found:
        held = ", ".join(_symbols(path)) or "no Parquet files"
        raise BadReplayFile(path, f"holds {held}", f"ticks of {symbol}")
    days: list[pd.DataFrame] = [
        DayFiles(folder, symbol).read(columns).to_pandas() for folder in sorted(found)
    ]
    return pd.concat(days, ignore_index=True)


def _parquet(path: Path, symbol: str | None, columns: Sequence[str] | None) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = read_table(path, columns).to_pandas()
    except FileNotFoundError as error:
        raise BadReplayFile(path, "is not there", EXPECTED) from error
    held = symbol_of(path)
    if symbol and held and symbol != held:
        raise BadReplayFile(path, f"holds {held}", f"ticks of {symbol}")
    return frame


def _csv(path: Path) -> pd.DataFrame:
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        frame = pd.read_csv(io.BytesIO(content), float_precision="round_trip")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise BadReplayFile(path, f"cannot be read ({error})", EXPECTED) from error
    if "total_volume" in frame:  # CTP's own `volume` is the lots of one tick
        frame = frame.drop(columns=["volume", "open"], errors="ignore").rename(columns=CTP)
    return frame


def _checked(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        columns = ", ".join(map(str, frame.columns))
        raise BadReplayFile(path, f"columns {columns}; no {', '.join(missing)}", EXPECTED)
    if frame.empty:
        raise BadReplayFile(path, "no rows", "at least one tick")
    for name in NEEDED[1:]:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise BadReplayFile(path, f"{name} of type {frame[name].dtype}", "numbers")
    if frame["volume"].isna().any():
        raise BadReplayFile(path, "a row without volume", "the day's lots in every row")
    numbered = frame if "id" in frame else frame.assign(id=np.arange(len(frame)))
    if not pd.api.types.is_integer_dtype(numbered["id"]):
        raise BadReplayFile(path, f"id of type {frame['id'].dtype}", "whole numbers")
    return _once(path, numbered.assign(datetime=_times(path, frame["datetime"])))


def _once(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Each id once; ids that stand for different ticks are of different markets."""
    frame = frame.drop_duplicates(["id", "datetime"]).sort_values("id", ignore_index=True)
    twice = frame["id"].duplicated()
    if twice.any():
        raise BadReplayFile(
            path,
            f"tick {frame['id'][twice].iloc[0]} twice, at different times",
            "recordings of one market",
        )
    return frame


def _times(path: Path, column: pd.Series[Any]) -> pd.Series[Any]:
    """ns since 1970 UTC, from such numbers or from Beijing time as text."""
    expected = "whole ns since 1970, or Beijing time as text"
    if pd.api.types.is_integer_dtype(column):
        return column
    if not pd.api.types.is_string_dtype(column):
        raise BadReplayFile(path, f"datetime of type {column.dtype}", expected)
    moments = pd.to_datetime(column, errors="coerce", format="ISO8601")
    if moments.isna().any():
        raise BadReplayFile(path, f"datetime {column[moments.isna()].iloc[0]!r}", expected)
    times: pd.Series[Any] = moments.astype("datetime64[ns]").astype(np.int64)
    return times - BEIJING_OFFSET_NS


def _symbol(path: Path) -> str:
    """The only contract of a folder, or the one that a file is named after."""
    if not path.is_dir():
        return symbol_of(path) or path.name.removesuffix(".gz").removesuffix(".csv")
    symbols = _symbols(path)
    if len(symbols) != 1:
        held = ", ".join(symbols) or "no Parquet files"
        raise BadReplayFile(path, f"holds {held}", "ticks of one contract, or symbol=")
    return symbols[0]


def _symbols(path: Path) -> list[str]:
    return sorted({symbol for file in path.rglob("*.parquet") if (symbol := symbol_of(file))})


def read_rows(file: Path) -> dict[str, dict[str, Any]]:
    """Contract terms by symbol. Raises `BadReplayFile`."""
    expected = "a JSON object of contract terms by symbol"
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadReplayFile(file, f"cannot be read ({error})", expected) from error
    if not isinstance(rows, dict):
        raise BadReplayFile(file, f"a JSON {type(rows).__name__}", expected)
    return rows
