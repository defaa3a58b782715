"""How recorded ticks lie on disk. Files only: no TqApi, no clock.

    <out>/2025-09-16/SHFE.cu2511.parquet          the trading day's ticks
    <out>/2025-09-16/SHFE.cu2511.00042.parquet    newer ones, while the day is being recorded

Rule: Parquet cannot be appended to, so news goes into small chunks of which only the newest is ever
written again. Every file is written under another name, flushed to the disk and renamed: all that
is called *.parquet is whole, whatever dies when. A tick may stand in two files; its id tells.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BadReplayFile, ConfigError

__all__ = [
    "COLUMNS",
    "INTEGERS",
    "NEEDED",
    "REALS",
    "DayFiles",
    "arrow",
    "numbers_of",
    "publish",
    "read_table",
    "symbol_of",
    "sync_folder",
    "table_of",
]

SUFFIX = ".parquet"
LEVELS = range(1, 6)
# TqSdk's tick serial, in its own order (tqsdk.objs.Tick); counts that it lacks are 0, prices NaN.
BOOK = [f"{s}_{what}{n}" for n in LEVELS for s in ("ask", "bid") for what in ("price", "volume")]
PRICES = ("last_price", "average", "highest", "lowest")
SERIAL = ("id", "datetime", *PRICES, *BOOK, "volume", "amount", "open_interest")
INTEGERS = tuple(n for n in SERIAL if "volume" in n or n in ("id", "datetime", "open_interest"))
REALS = tuple(name for name in SERIAL if name not in INTEGERS)
COLUMNS = (*SERIAL, "symbol", "trading_day")
# What bars are made of: a file without these is none of ticks.
BEST = ("bid_price1", "bid_volume1", "ask_price1", "ask_volume1")
NEEDED = ("datetime", "last_price", "volume", "open_interest", *BEST)
# A chunk has five digits: contract codes never do.
NAME = re.compile(r"(?P<symbol>.+?)(?:\.(?P<chunk>\d{5}))?\.parquet")


def arrow() -> Any:
    """pyarrow with its `parquet`. Raises `ConfigError` where it is not installed."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and 0.3 s
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "pyarrow is not installed and recorded ticks are Parquet files; "
            'run: pip install "tianqin-backtrader[record]"'
        ) from error
    return pa


def symbol_of(path: Path) -> str:
    """The contract that a Parquet file is named after; empty where it is named after none."""
    found = NAME.fullmatch(path.name)
    return found["symbol"] if found and "." in found["symbol"] else ""


def numbers_of(tick_id: int, row: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    """A row of TqSdk's tick serial as the values of `INTEGERS` and of `REALS`."""
    integers = [tick_id, *(_whole(row.get(name)) for name in INTEGERS[1:])]
    return integers, [_real(row.get(name)) for name in REALS]


def table_of(
    symbol: str, trading_day: str, integers: np.ndarray[Any, Any], reals: np.ndarray[Any, Any]
) -> Any:
    """Rows as an Arrow table: `integers` and `reals` hold a row for each column's name."""
    pa = arrow()
    columns = dict(zip(INTEGERS, integers, strict=True)) | dict(zip(REALS, reals, strict=True))
    count = integers.shape[1]
    columns["symbol"] = pa.repeat(symbol, count)
    columns["trading_day"] = pa.repeat(trading_day, count)
    return pa.table({name: columns[name] for name in COLUMNS})


def publish(table: Any, path: Path, *, is_chunk: bool = False) -> None:
    """Put a whole file at `path`, or leave what is there. Raises OSError.

    is_chunk: it will be written again in a second, so that time counts more than size.
    """
    how = {"use_dictionary": ["symbol", "trading_day"], "write_statistics": False}
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        arrow().parquet.write_table(table, file, **(how if is_chunk else {}))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_folder(path: Path) -> None:
    """Let the names in a folder survive a power failure too; only POSIX needs and can do it."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """One Parquet file of ticks as an Arrow table; of `columns` those that it has.

    Raises `BadReplayFile` for another shape, or FileNotFoundError.
    """
    pa = arrow()
    try:
        with path.open("rb") as source, pa.parquet.ParquetFile(source) as file:
            names = file.schema_arrow.names
            _check_names(path, names)
            return file.read([name for name in columns or names if name in names])
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise BadReplayFile(path, f"cannot be read ({error})", "a Parquet file of ticks") from error


def _check_names(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in ("id", *NEEDED) if name not in names]
    if missing:
        arrived = f"columns {', '.join(names)}"
        raise BadReplayFile(path, arrived, f"those of a tick serial, {', '.join(missing)} too")


@dataclass(frozen=True, slots=True)
class DayFiles:
    """The files of one contract on one trading day, in that day's folder."""

    folder: Path
    symbol: str

    @property
    def whole(self) -> Path:
        """The file of the day, there from the first merge on."""
        return self.folder / f"{self.symbol}{SUFFIX}"

    def chunk(self, number: int) -> Path:
        return self.folder / f"{self.symbol}.{number:05d}{SUFFIX}"

    def chunks(self) -> list[Path]:
        """Chunks that are not merged, oldest first."""
        found = self.folder.glob(f"{escape(self.symbol)}.?????{SUFFIX}")
        return sorted(path for path in found if symbol_of(path) == self.symbol)

    def next_chunk(self) -> int:
        """The number of the first chunk that was never written."""
        chunks = self.chunks()
        return int(chunks[-1].name.removesuffix(SUFFIX)[-5:]) + 1 if chunks else 0

    def paths(self) -> list[Path]:
        """All files there are, the day's own last."""
        return [*self.chunks(), *([self.whole] if self.whole.exists() else [])]

    def read(self, columns: Sequence[str] | None = None) -> Any:
        """All ticks of the day in the order of their ids, each once.

        Reads along with a recorder that merges: the file of the day comes last, for it holds what
        has left the chunks. Raises `BadReplayFile`, or FileNotFoundError where there is none.
        """
        pa = arrow()
        tables = []
        for path in (*self.chunks(), self.whole):
            with suppress(FileNotFoundError):
                tables.append(read_table(path, columns))
        if not tables:
            raise FileNotFoundError(self.whole)
        try:
            table = pa.concat_tables(tables, promote_options="default")
        except pa.ArrowException as error:
            expected = "the same columns in all files of a day"
            raise BadReplayFile(
                self.whole, f"does not fit its chunks ({error})", expected
            ) from error
        ids, times = (table.column(name).to_numpy() for name in ("id", "datetime"))
        _, first, same = np.unique(ids, return_index=True, return_inverse=True)
        wrong = times != times[first][same]
        if wrong.any():
            arrived = f"tick {ids[wrong][0]} twice, at different times"
            raise BadReplayFile(self.whole, arrived, "recordings of one market")
        return table.take(pa.array(first))

    def merge(self) -> None:
        """Make one file of the day out of all; a crash leaves ticks twice, and none lost.

        Raises `BadReplayFile` for a file that is none of ours, or OSError; nothing is lost then.
        """
        chunks = self.chunks()
        if not chunks:
            return
        publish(self.read(), self.whole)
        sync_folder(self.folder)
        for path in chunks:
            with suppress(PermissionError):  # Windows: somebody reads it; the next merge takes it
                path.unlink(missing_ok=True)


def _real(value: Any) -> float:
    """A number, or NaN for what TqSdk writes where it has none."""
    return float(value) if isinstance(value, int | float) else math.nan


def _whole(value: Any) -> int:
    """A count, exact: nanoseconds do not fit a float."""
    return int(value) if math.isfinite(_real(value)) else 0
