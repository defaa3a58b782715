"""Folders and Parquet files of recorded ticks: what is in them, and how they join.

A recorder writes `<trading day>/<symbol>.parquet` and, while the day lasts, chunks beside it named
`<symbol>.00042.parquet`; a killed one leaves them there. A tick may stand in two files: its id
tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import BadReplayFile
from .daybars import Floats, Ints
from .values import MINUTE_NS

__all__ = ["each_id_once", "instruments_beside", "is_parquet", "one_each", "parquet_frame"]

SUFFIX = ".parquet"
INSTRUMENTS = "instruments.json"
CHUNK = re.compile(r"\.\d{5}$")
LATEST_NS = MINUTE_NS  # how late a tick may come; a record that steps back further is in disorder


def one_each(paths: Sequence[Path | str]) -> list[Path]:
    """The files that are meant: a folder stands for all Parquet files in it and below.

    Raises `BadReplayFile` for a folder without any.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        found = sorted(path.rglob("*" + SUFFIX)) if path.is_dir() else [path]
        if not found:
            raise BadReplayFile(path, "a folder without Parquet files", "recorded ticks")
        files.update(dict.fromkeys(found))
    return list(files)


def instruments_beside(paths: Sequence[Path | str]) -> Path | None:
    """The `instruments.json` of a recording: in its folder, or above one day or one file of it."""
    for path in map(Path, paths):
        if path.is_dir() or is_parquet(path):
            for folder in (path, *path.absolute().parents[:2]):
                if (folder / INSTRUMENTS).is_file():
                    return folder / INSTRUMENTS
    return None


def is_parquet(path: Path) -> bool:
    return path.suffix == SUFFIX


def parquet_frame(path: Path) -> tuple[pd.DataFrame, str]:
    """The rows of a Parquet file, and the symbol that it is named after.

    Raises `BadReplayFile`.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        arrived = "Parquet, and pyarrow is not installed"
        expected = 'pip install "tianqin-backtrader[record]", or CSV'
        raise BadReplayFile(path, arrived, expected) from error
    try:
        with path.open("rb") as source, pa.parquet.ParquetFile(source) as file:
            frame: pd.DataFrame = file.read().to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise BadReplayFile(path, f"cannot be read ({error})", "a Parquet file") from error
    return frame, CHUNK.sub("", path.name.removesuffix(SUFFIX))


def each_id_once(
    path: Path, ids: Ints, time_ns: Ints, columns: Mapping[str, Floats]
) -> tuple[Ints, dict[str, Floats]]:
    """Times and columns in the order of ids, each id once.

    Ids tell in which order ticks came. One that is stamped earlier than the one before it came late
    and is played with it, at its time. Raises `BadReplayFile` for ids that mean two ticks, or for
    disorder.
    """
    order = np.lexsort((time_ns, ids))
    ids, time_ns = ids[order], time_ns[order]
    same_id, same_time = np.diff(ids) == 0, np.diff(time_ns) == 0
    if (same_id & ~same_time).any():
        wrong = int(ids[:-1][same_id & ~same_time][0])
        raise BadReplayFile(path, f"two ticks with id {wrong}", "recordings of one market")
    kept = np.concatenate(([True], ~same_id))
    arrived = _arrivals(path, time_ns[kept])
    return arrived, {name: column[order][kept] for name, column in columns.items()}


def _arrivals(path: Path, time_ns: Ints) -> Ints:
    """Strictly increasing times: ticks of one moment follow each other by nanoseconds up to it."""
    latest = np.maximum.accumulate(time_ns)
    late = latest - time_ns
    if late.max() > LATEST_NS:
        wrong = int(np.argmax(late > LATEST_NS))
        arrived = f"a tick {late[wrong] / 1e9:g} s earlier than one with a lower id"
        raise BadReplayFile(path, arrived, "times that increase with the ids")
    last = np.append(np.flatnonzero(np.diff(latest)), len(latest) - 1)  # of each moment
    behind = np.repeat(last, np.diff(last, prepend=-1)) - np.arange(len(latest))
    times: Ints = latest - behind
    return times
