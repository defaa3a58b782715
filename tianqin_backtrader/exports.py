"""Writes a journal out for spreadsheets and notebooks: orders, trades, positions, accounts.

One row for each order, each fill, and each contract and account of a picture. Beijing times stand
beside the columns in ns. CSV is UTF-8 with a byte order mark, by which Excel tells Chinese reasons
from its own code page; pandas and most others pass over it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .errors import WrongSetting
from .journal_reader import Journal

__all__ = ["FORMATS", "NAMES", "export"]

NAMES = ("orders", "trades", "positions", "accounts")
FORMATS = ("csv", "parquet")
BEIJING = "Asia/Shanghai"
ASKED = ("direction", "volume", "kind", "price", "limit", "offset", "policy")  # of a ticket


def export(journal_path: str | Path, out_dir: str | Path, what: str = "csv") -> list[Path]:
    """Write the files into a folder, which is made, and return them.

    what: "csv" or "parquet"; the latter needs the extra `record`. Files of an earlier export are
    replaced, each at once. Raises `BadJournal`, or `WrongSetting` for another format and for a
    folder that holds anything else.
    """
    if what not in FORMATS:
        raise WrongSetting("what", what, " or ".join(FORMATS))
    write = _write_csv if what == "csv" else _parquet_writer()
    with Journal(journal_path) as journal:
        frames = {
            "orders": _orders(journal.orders(), journal.trades()),
            "trades": journal.trades(),
            "positions": journal.positions(),
            "accounts": journal.accounts(),
        }
    folder = _folder(Path(out_dir))
    return [
        _replace(folder / f"{name}.{what}", _with_times(frame, text=what == "csv"), write)
        for name, frame in frames.items()
    ]


def _folder(path: Path) -> Path:
    """The folder, if it is empty or holds an earlier export only."""
    expected = "an empty folder or one of an earlier export"
    if path.exists() and not path.is_dir():
        raise WrongSetting("out_dir", str(path), f"{expected}; it is a file")
    ours = {f"{name}.{kind}" for name in NAMES for kind in FORMATS}
    ours |= {_part(name) for name in ours}  # of one that was killed
    foreign = sorted(p.name for p in path.iterdir() if p.name not in ours) if path.exists() else []
    if foreign:
        raise WrongSetting("out_dir", str(path), f"{expected}; it holds {foreign[0]}")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _orders(orders: pd.DataFrame, trades: pd.DataFrame) -> pd.DataFrame:
    """What was asked for beside what came of it."""
    tickets = [json.loads(text) for text in orders["ticket"]]
    asked = {name: [ticket.get(name) for ticket in tickets] for name in ASKED}
    found = orders.drop(columns="ticket").assign(**asked)
    money = trades["price"] * trades["volume"]
    by_order = trades.assign(money=money).groupby("key")
    filled = by_order["volume"].sum()
    # a sum is not known where a part of it is not
    fees = by_order["commission_cny"].agg(lambda fees: fees.sum(skipna=False))
    whole: pd.DataFrame = found.assign(
        filled=found["key"].map(filled).fillna(0).astype("int64"),
        average_price=found["key"].map(by_order["money"].sum() / filled),
        commission_cny=found["key"].map(fees),
    )
    return whole


def _with_times(frame: pd.DataFrame, *, text: bool) -> pd.DataFrame:
    """Beijing time behind each column in ns; nothing where it is 0."""
    found: pd.DataFrame = frame.copy()
    for name in [each for each in frame.columns if str(each).endswith("_ns")]:
        times = pd.to_datetime(frame[name].where(frame[name] > 0), utc=True).dt.tz_convert(BEIJING)
        if text:
            times = times.dt.strftime("%Y-%m-%d %H:%M:%S.%f")
        place = found.columns.get_loc(name)
        assert isinstance(place, int)
        found.insert(place + 1, f"{str(name).removesuffix('_ns')}_beijing", times)
    return found


Write = Callable[[pd.DataFrame, Path], None]


def _replace(path: Path, frame: pd.DataFrame, write: Write) -> Path:
    """All of the file or, if something fails, the one before."""
    part = path.with_name(_part(path.name))
    try:
        write(frame, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _part(name: str) -> str:
    return f".{name}.part"


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\n")


def _parquet_writer() -> Write:
    try:
        import pyarrow  # noqa: F401, PLC0415  an extra
    except ImportError:
        remedy = "csv, or install the extra: pip install 'tianqin-backtrader[record]'"
        raise WrongSetting("what", "parquet", remedy) from None
    return lambda frame, path: frame.to_parquet(path, index=False, engine="pyarrow")
