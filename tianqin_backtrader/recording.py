"""Writes ticks to disk while they come; `read_ticks` reads them back. No TqApi, no clock.

Whoever owns a `TickFolder` calls `save` as often as ticks may be lost: what is saved survives a
kill and a power failure.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from .errors import BadReplayFile, StopError, WrongSetting
from .model import Instrument
from .tick_files import (
    INTEGERS,
    REALS,
    DayFiles,
    arrow,
    numbers_of,
    publish,
    read_table,
    symbol_of,
    sync_folder,
    table_of,
)
from .tick_reading import INSTRUMENTS, read_rows, read_ticks

__all__ = ["DayWriter", "TickFolder", "instrument_row", "read_ticks"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
LOCK = ".recorder.lock"
# Ticks of a chunk: four minutes of the busiest contract. Writing 500 takes little more than one,
# and a day has fewer than a hundred chunks.
CHUNK = 500
# Files flushed to the disk at once: it takes ten as fast as one, and one may take milliseconds.
SYNCS = 8


class DayWriter:
    """The newest ticks of one contract on one trading day. They are on disk after `save`."""

    def __init__(self, files: DayFiles, trading_day: date) -> None:
        self.files = files
        self._trading_day = trading_day.isoformat()
        self._number = files.next_chunk()
        self._integers = np.zeros((len(INTEGERS), CHUNK), np.int64)
        self._reals = np.zeros((len(REALS), CHUNK))
        self._count = self._saved = 0

    @property
    def is_saved(self) -> bool:
        return self._saved == self._count

    def add(self, tick_id: int, row: Mapping[str, Any]) -> None:
        """Take one row of TqSdk's tick serial. Raises OSError when a full chunk cannot be saved."""
        if self._count == CHUNK:
            self.save()
            self._number += 1
            self._count = self._saved = 0
        at = self._count
        self._integers[:, at], self._reals[:, at] = numbers_of(tick_id, row)
        self._count += 1

    def save(self) -> None:
        """Write the newest chunk again if it has grown. Raises OSError."""
        if self.is_saved:
            return
        columns = self._integers[:, : self._count], self._reals[:, : self._count]
        table = table_of(self.files.symbol, self._trading_day, *columns)
        try:
            publish(table, self.files.chunk(self._number), is_chunk=True)
        except PermissionError:  # Windows: somebody reads the chunk; begin another one
            self._number += 1
            publish(table, self.files.chunk(self._number), is_chunk=True)
        self._saved = self._count


class TickFolder:
    """A folder of recordings and its only writer; a context manager.

    Raises `ConfigError` without pyarrow, `WrongSetting` for a folder that another recorder writes
    to or that cannot be one, and `StopError` when the disk takes no more.
    """

    def __init__(self, path: Path) -> None:
        arrow()
        self.path = path
        self._lock = FileLock(path / LOCK)
        self._writers: dict[tuple[str, date], DayWriter] = {}
        self._over: deque[DayWriter] = deque()
        self._pool = ThreadPoolExecutor(SYNCS, thread_name_prefix="tick-folder")

    def open(self) -> TickFolder:
        """Lock the folder and merge what a killed recorder has left."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            expected = "a folder that no other recorder writes to; stop it or choose another --out"
            raise WrongSetting("out", str(self.path), expected) from None
        except OSError as error:
            expected = f"a folder that can be written to ({error})"
            raise WrongSetting("out", str(self.path), expected) from error
        try:
            for folder in self._days():
                _tidy(folder)
        except BaseException:
            self._lock.release()
            raise
        return self

    def close(self) -> None:
        """Save all, make one file of each day and unlock the folder."""
        open_days = list(self._writers.values())
        try:
            list(self._pool.map(_save, open_days))
            for writer in (*open_days, *self._over):
                _merge(writer.files)
        finally:
            self._over.clear()
            self._writers.clear()
            self._pool.shutdown()
            self._lock.release()

    def __enter__(self) -> TickFolder:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- writing

    def add(self, symbol: str, day: date, tick_id: int, row: Mapping[str, Any]) -> None:
        """Take one row of TqSdk's tick serial, of trading day `day`."""
        writer = self._writers.get((symbol, day))
        files = writer.files if writer else DayFiles(self.path / day.isoformat(), symbol)
        try:
            if writer is None:
                self._make(files.folder)
                writer = self._writers[symbol, day] = DayWriter(files, day)
            writer.add(tick_id, row)
        except OSError as error:
            raise _disk_error(files, error) from error

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            folder.mkdir()
            sync_folder(self.path)

    def save(self) -> None:
        """Put on disk all that came since the last call, then merge one day that is over.

        One, because ticks wait while a whole day is written.
        """
        changed = [writer for writer in self._writers.values() if not writer.is_saved]
        list(self._pool.map(_save, changed))
        for folder in {writer.files.folder for writer in changed}:
            sync_folder(folder)
        if self._over:
            _merge(self._over.popleft().files)

    def end_day(self, symbol: str, day: date) -> None:
        """No more ticks of `symbol` are expected on `day`: one of the next `save`s merges it.

        One that comes nevertheless begins a chunk of its own, so what there is gets its name now.
        """
        writer = self._writers.pop((symbol, day), None)
        if writer is not None:
            _save(writer)
            self._over.append(writer)

    def save_terms(self, instrument: Instrument) -> None:
        """Put a contract's terms into the folder's `instruments.json`."""
        path = self.path / INSTRUMENTS
        rows = read_rows(path) if path.exists() else {}
        rows[instrument.symbol] = instrument_row(instrument)
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(rows, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    # ---- what is there already

    def times(self, symbol: str, day: date) -> dict[int, int]:
        """The time (ns since 1970 UTC) of each tick id recorded on `day`."""
        return _times(DayFiles(self.path / day.isoformat(), symbol))

    def newest(self, symbol: str) -> tuple[int, int] | None:
        """Id and time (ns since 1970 UTC) of the newest tick on disk; None where there is none."""
        for folder in reversed(self._days()):
            times = _times(DayFiles(folder, symbol))
            if times:
                return max(times.items())
        return None

    def _days(self) -> list[Path]:
        return sorted(path for path in self.path.iterdir() if path.is_dir() and _is_day(path.name))


def instrument_row(instrument: Instrument) -> dict[str, Any]:
    """Contract terms under TqSdk's names, as `LocalExchange(instruments=...)` reads them."""
    decimals = -int(Decimal(repr(instrument.price_tick)).normalize().as_tuple().exponent)
    row = {
        "class": instrument.ins_class,
        "instrument_id": instrument.symbol,
        "exchange_id": instrument.exchange_id,
        "product_id": instrument.product_id,
        "ins_name": instrument.name,
        "price_tick": instrument.price_tick,
        "price_decs": max(decimals, 0),
        "volume_multiple": instrument.volume_multiple,
        "margin": instrument.margin_cny,
        "commission": instrument.commission_cny,
        "expire_datetime": instrument.expire_ns / SECOND_NS,
        "max_limit_order_volume": instrument.max_limit_order_volume,
        "max_market_order_volume": instrument.max_market_order_volume,
        "trading_time": instrument.trading_time,
    }
    return {name: value for name, value in row.items() if value == value}  # noqa: PLR0124  no NaN


def _tidy(folder: Path) -> None:
    """Merge chunks that were left behind and remove what was never finished."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
    chunks = (path for path in folder.glob("*.?????.parquet") if symbol_of(path))
    for symbol in sorted({symbol_of(path) for path in chunks}):
        _merge(DayFiles(folder, symbol))


def _save(writer: DayWriter) -> None:
    try:
        writer.save()
    except OSError as error:
        raise _disk_error(writer.files, error) from error


def _merge(files: DayFiles) -> None:
    """Merge if possible; chunks that stay are as good, and the next start tries again."""
    try:
        files.merge()
    except (OSError, BadReplayFile) as error:
        logger.error("%s: chunks of %s stay as they are: %s", files.folder, files.symbol, error)


def _times(files: DayFiles) -> dict[int, int]:
    """The time of each id; a damaged file is left alone, whoever reads the day is told of it."""
    found: dict[int, int] = {}
    for path in files.paths():
        try:
            table = read_table(path, ["id", "datetime"])
        except BadReplayFile as error:
            logger.error("%s", error)
            continue
        columns = (table.column(name).to_pylist() for name in ("id", "datetime"))
        found.update(zip(*columns, strict=True))
    return found


def _disk_error(files: DayFiles, error: OSError) -> StopError:
    return StopError(
        f"ticks of {files.symbol} cannot be written to {files.folder}: {error}; "
        "what was written stays readable"
    )


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False
