"""Ticks on disk: whole files at every moment, nothing twice, nothing lost that was saved."""

from __future__ import annotations

import errno
import io
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from recordings import ns, parquet, row, whole

from tianqin_backtrader.errors import BadReplayFile, ConfigError, StopError, WrongSetting
from tianqin_backtrader.recording import TickFolder, read_ticks
from tianqin_backtrader.sim.market import Market
from tianqin_backtrader.tick_files import publish
from tianqin_backtrader.tick_reading import recorded_terms

PACKAGE = Path(__file__).resolve().parents[1] / "tianqin_backtrader"
MEAL = "DCE.m2601"
DAY = date(2025, 9, 16)
TICKS = 1_234  # three chunks
PUBLISH = "tianqin_backtrader.recording.publish"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[TickFolder]:
    with TickFolder(tmp_path / "ticks") as opened:
        yield opened


def fill(folder: TickFolder, ids: range, symbol: str = MEAL, day: date = DAY) -> None:
    """A tick a second from 09:00:00.5 on; the id tells its price and the day's lots."""
    first = row("2025-09-16 09:00:00.5", 3000.0, 0)
    for tick_id in ids:
        time_ns = int(first["datetime"]) + tick_id * 1_000_000_000
        price = {"last_price": 3000.0 + tick_id % 7, "volume": tick_id}
        folder.add(symbol, day, tick_id, first | price | {"datetime": time_ns})


def test_a_day_is_one_file_of_the_tick_serial(folder: TickFolder) -> None:
    fill(folder, range(TICKS))
    folder.close()
    (path,) = parquet(folder.path)
    assert path == folder.path / "2025-09-16" / "DCE.m2601.parquet"
    frame = pd.read_parquet(path)
    assert frame["id"].tolist() == list(range(TICKS))
    for name in ("id", "datetime", "volume"):
        assert frame[name].dtype == "int64"
    assert frame.columns[:3].tolist() == ["id", "datetime", "last_price"]
    assert {f"{s}_price{n}" for s in ("bid", "ask") for n in range(1, 6)} <= set(frame.columns)
    assert frame["trading_day"].unique().tolist() == ["2025-09-16"]
    assert frame["symbol"].unique().tolist() == [MEAL]
    newest = frame.iloc[-1]
    assert (newest["last_price"], newest["volume"]) == (3000.0 + 1_233 % 7, 1_233)
    assert newest["datetime"] == ns("2025-09-16 09:20:33.5")


def test_what_tqsdk_has_no_number_for_is_nan_and_counts_are_0(folder: TickFolder) -> None:
    """TqSdk's own defaults (tqsdk.objs.Tick); a DCE contract has one level of the book."""
    folder.add(MEAL, DAY, 7, row("2025-09-16 08:59:00", "-", 0) | {"open_interest": float("nan")})
    folder.close()
    (tick,) = whole(folder.path, MEAL).to_dict("records")
    assert [name for name, value in tick.items() if value != value] == [  # noqa: PLR0124
        "last_price", "average", "highest", "lowest",
        *(f"{s}_price{n}" for n in range(2, 6) for s in ("ask", "bid")),
    ]  # fmt: skip
    assert (tick["open_interest"], tick["ask_volume2"]) == (0, 0)
    assert (tick["ask_price1"], tick["bid_volume1"]) == (3001.0, 3)


def test_every_file_is_readable_at_every_moment(folder: TickFolder) -> None:
    for first in range(0, TICKS, 100):
        fill(folder, range(first, min(first + 100, TICKS)))
        folder.save()
        ids = whole(folder.path, MEAL)["id"]
        assert ids.tolist() == list(range(min(first + 100, TICKS)))
    assert len(parquet(folder.path)) == 3
    assert read_ticks(folder.path)["id"].tolist() == list(range(TICKS))


WRITER = """
import sys, types
package = types.ModuleType("tianqin_backtrader")  # without its __init__: TqSdk takes seconds
package.__path__ = [sys.argv[1]]
sys.modules["tianqin_backtrader"] = package
sys.path.insert(0, sys.argv[2])
from datetime import date, timedelta
from pathlib import Path
from tianqin_backtrader.recording import TickFolder

def row(tick_id):
    return {"datetime": tick_id * 10**9, "last_price": 3000.0, "volume": 1}

SYMBOLS = ("DCE.m2601", "SHFE.cu2511")
with TickFolder(Path(sys.argv[3])) as folder:
    next_id = max((folder.newest(s) or (-1, 0))[0] for s in SYMBOLS) + 1
    starts = {s: (folder.newest(s) or (-1, 0))[0] + 1 for s in SYMBOLS}
    print("from", *starts.values(), flush=True)
    for tick_id in range(min(starts.values()), 10**9):
        day = date(2025, 9, 16) + timedelta(days=tick_id // 700)
        for symbol in SYMBOLS:
            if tick_id >= starts[symbol]:
                folder.add(symbol, day, tick_id, row(tick_id))
            if tick_id % 700 == 0:
                folder.end_day(symbol, day - timedelta(days=1))
        if tick_id % 9 == 0:
            folder.save()
            print(tick_id, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    """Killed in its first chunk, and while days are merged."""
    out = tmp_path / "ticks"
    saved = -1
    for lines in (3, 170):
        program = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(PACKAGE), str(PACKAGE.parent), str(out)],
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert program.stdout is not None
        told = [program.stdout.readline() for _ in range(lines)]
        program.kill()
        rest = program.stdout.read().splitlines()
        program.wait()
        program.stdout.close()
        starts = [int(each) for each in told[0].split()[1:]]
        assert min(starts) >= saved + 1
        saved = max([saved, *(int(line) for line in [*told[1:], *rest] if line.strip().isdigit())])
        for symbol in ("DCE.m2601", "SHFE.cu2511"):
            ids = sorted(set(whole(out, symbol)["id"]))
            assert ids == list(range(len(ids)))
            assert len(ids) > saved
    with TickFolder(out):
        pass
    for symbol in ("DCE.m2601", "SHFE.cu2511"):
        assert whole(out, symbol)["id"].is_unique
        assert all(path.name == f"{symbol}.parquet" for path in parquet(out, symbol))
    assert not list(out.rglob("*.tmp"))


class Death(BaseException):
    """The process ends here."""


class Mortal:
    """Lets the process die at the n-th step that changes a disk, a write being half done then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
        self.left = steps
        self.lock = threading.Lock()
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
            monkeypatch.setattr(owner, name, self.step(getattr(owner, name)))
        write = pq.write_table

        def halved(table: Any, file: IO[bytes], **how: Any) -> None:
            whole_file = io.BytesIO()
            write(table, whole_file, **how)
            half, rest = whole_file.getvalue()[:900], whole_file.getvalue()[900:]
            file.write(half)
            file.flush()
            self.step(file.write)(rest)

        monkeypatch.setattr(pq, "write_table", halved)

    def step(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **options: Any) -> Any:
            with self.lock:
                if self.left == 0:
                    raise Death
                self.left -= 1
                return call(*arguments, **options)

        return made


def live(out: Path, saved: list[int]) -> None:
    """A recorder's life: two chunks, a day that ends, a stop; `saved` is what it was promised."""
    folder = TickFolder(out).open()
    try:
        known = folder.newest(MEAL) or (-1, 0)
        for first in (0, 400, 800):
            day = DAY if first < 800 else date(2025, 9, 17)
            fill(folder, range(max(first, known[0] + 1), first + 400), day=day)
            if first == 800:
                folder.end_day(MEAL, DAY)
            folder.save()
            saved.append(first + 399)
        folder.close()
    finally:
        folder._pool.shutdown()
        folder._lock.release()  # as the system does for the dead


def test_whatever_the_moment_of_death_all_that_was_saved_is_there_and_readable(
    tmp_path: Path,
) -> None:
    died = True
    for steps in itertools.count():
        out, saved = tmp_path / str(steps), [-1]
        with pytest.MonkeyPatch.context() as patch:
            Mortal(patch, steps)
            try:
                live(out, saved)
                died = False
            except Death:
                pass
        kept = set(whole(out, MEAL)["id"]) if parquet(out) else set()
        assert kept >= set(range(saved[-1] + 1)), f"step {steps}"
        if not died:
            break
        live(out, saved)  # the next start goes on
        assert whole(out, MEAL)["id"].tolist() == list(range(1_200)), f"step {steps}"
        assert len(parquet(out)) == 2
    assert steps > 25


def test_a_crash_between_merge_and_clean_up_leaves_ticks_twice_and_reads_once(
    tmp_path: Path,
) -> None:
    out = tmp_path / "ticks"
    with TickFolder(out) as folder:
        fill(folder, range(TICKS))
        folder.save()
        shutil.copytree(out, tmp_path / "before")
    shutil.copytree(tmp_path / "before", out, dirs_exist_ok=True)  # the chunks are back
    assert len(whole(out, MEAL)) == 2 * TICKS
    assert read_ticks(out)["id"].tolist() == list(range(TICKS))
    ticks = Market.replaying([out]).day_ticks(MEAL, DAY)
    assert [tick.volume for tick in ticks] == list(range(TICKS))
    with TickFolder(out):
        pass
    assert [path.name for path in parquet(out)] == ["DCE.m2601.parquet"]
    assert whole(out, MEAL)["id"].tolist() == list(range(TICKS))


def test_a_restart_adds_to_the_day(tmp_path: Path) -> None:
    out = tmp_path / "ticks"
    for ids in (range(600), range(600, 700), range(700, TICKS)):
        with TickFolder(out) as folder:
            fill(folder, ids)
    with TickFolder(out) as folder:
        assert folder.newest(MEAL) == (1_233, ns("2025-09-16 09:20:33.5"))
        assert folder.times(MEAL, DAY)[0] == ns("2025-09-16 09:00:00.5")
        assert folder.newest("DCE.m2605") is None
    assert whole(out, MEAL)["id"].tolist() == list(range(TICKS))


def test_a_day_that_is_over_is_merged_while_the_next_one_is_written(folder: TickFolder) -> None:
    fill(folder, range(600))
    folder.end_day(MEAL, DAY)
    assert len(whole(folder.path, MEAL)) == 600  # a merge may have to wait, the ticks may not
    fill(folder, range(600, 601))  # a straggler
    fill(folder, range(700, 800), day=date(2025, 9, 17))
    folder.save()
    names = [f"{path.parent.name}/{path.name}" for path in parquet(folder.path)]
    assert names == ["2025-09-16/DCE.m2601.parquet", "2025-09-17/DCE.m2601.00000.parquet"]
    fill(folder, range(601, 603))
    folder.close()
    assert whole(folder.path, MEAL)["id"].tolist() == [*range(603), *range(700, 800)]


def test_the_second_writer_of_a_folder_is_refused(folder: TickFolder) -> None:
    with pytest.raises(WrongSetting, match="no other recorder") as caught:
        TickFolder(folder.path).open()
    assert str(folder.path) in str(caught.value)
    folder.close()
    with TickFolder(folder.path):
        pass


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ticks").write_text("", encoding="utf-8")
    with pytest.raises(WrongSetting, match="ticks"):
        TickFolder(tmp_path / "ticks").open()


def test_a_full_disk_stops_and_what_was_written_stays(
    folder: TickFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, range(10))
    folder.save()
    fill(folder, range(10, 20))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PUBLISH, full)
        with pytest.raises(StopError, match=r"DCE\.m2601.*No space left"):
            folder.save()
    assert whole(folder.path, MEAL)["id"].tolist() == list(range(10))
    folder.save()
    assert whole(folder.path, MEAL)["id"].tolist() == list(range(20))


def test_a_chunk_that_somebody_reads_on_windows_is_left_to_him(
    folder: TickFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a file that is open cannot be replaced; the ticks go into a new one."""
    fill(folder, range(10))
    folder.save()

    def refuse(table: Any, path: Path, **how: Any) -> None:
        if path.name.endswith("00000.parquet"):
            raise PermissionError(errno.EACCES, "in use", str(path))
        publish(table, path, **how)

    monkeypatch.setattr(PUBLISH, refuse)
    fill(folder, range(10, 20))
    folder.save()
    assert [path.name[-13:] for path in parquet(folder.path)] == ["00000.parquet", "00001.parquet"]
    assert read_ticks(folder.path)["id"].tolist() == list(range(20))


def test_a_damaged_file_stops_no_recorder_and_is_named_to_readers(tmp_path: Path) -> None:
    out = tmp_path / "ticks"
    with TickFolder(out) as folder:
        fill(folder, range(10))
    damaged = out / "2025-09-16" / "DCE.m2601.00007.parquet"
    damaged.write_bytes(b"PAR1 cut off")
    with TickFolder(out) as folder:
        assert folder.newest(MEAL) == (9, ns("2025-09-16 09:00:09.5"))
        fill(folder, range(10, 20))
        fill(folder, range(5), symbol="DCE.m2605")
    for reader in (lambda: read_ticks(out, MEAL), lambda: Market.replaying([out])):
        with pytest.raises(BadReplayFile, match=r"DCE\.m2601\.00007\.parquet"):
            reader()
    damaged.unlink()
    assert read_ticks(out, MEAL)["id"].tolist() == list(range(20))
    assert len(whole(out, "DCE.m2605")) == 5


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "DCE.m2601.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    says = r'pip install "tianqin-backtrader\[record\]"'
    with pytest.raises(ConfigError, match=says):
        TickFolder(tmp_path / "ticks")
    assert not (tmp_path / "ticks").exists()
    with pytest.raises(ConfigError, match=says):
        read_ticks(path)
    with pytest.raises(BadReplayFile, match=says):
        Market.replaying([path])


# ---- reading


def test_csv_of_real_ticks_reads_as_it_is(records: Path) -> None:
    path = records / "ticks" / "SHFE.cu1909.csv.gz"
    expected = pd.read_csv(path)
    frame = read_ticks(path)
    for name in ("id", "datetime", "last_price", "volume", "bid_price5"):
        assert frame[name].equals(expected[name])


def test_ctp_ticks_read_under_tqsdks_names(records: Path) -> None:
    path = records / "ticks" / "CFFEX.IF-2021-01-04.csv.gz"
    expected = pd.read_csv(path)
    frame = read_ticks(path)
    assert frame["volume"].tolist() == expected["total_volume"].tolist()
    assert frame["amount"].tolist() == expected["total_turnover"].tolist()
    assert frame["datetime"].iloc[0] == ns("2021-01-04 09:29:00.4")
    assert frame["id"].tolist() == list(range(len(expected)))


def good(**columns: Any) -> pd.DataFrame:
    """Two ticks as a recorder writes them, with `columns` instead of its own."""
    rows = [row(f"2025-09-16 09:00:0{n}", 3000.0, n) | {"id": n} for n in (1, 2)]
    frame: pd.DataFrame = pd.DataFrame(rows).assign(**columns)
    return frame


BAD: dict[str, tuple[str, pd.DataFrame | bytes, str]] = {
    "no Parquet": ("DCE.m2601.parquet", b"PAR1PAR1", "cannot be read"),
    "cut off": ("DCE.m2601.parquet", b"PAR1", "cannot be read"),
    "other columns": ("DCE.m2601.parquet", pd.DataFrame({"when": [1], "what": [2]}), "when, what"),
    "without ids": ("DCE.m2601.parquet", good().drop(columns="id"), "id too"),
    "no rows": ("DCE.m2601.parquet", good()[:0], "no rows"),
    "one id twice": ("DCE.m2601.parquet", good(id=[5, 5]), "tick 5 twice"),
    "words": ("DCE.m2601.parquet", good(last_price=["a", "b"]), "last_price of type"),
    "floats for ids": ("DCE.m2601.parquet", good(id=[0.5, 1.5]), "id of type float64"),
    "dates for ns": (
        "DCE.m2601.parquet",
        good(datetime=pd.to_datetime(["2025-09-16", "2025-09-17"])),
        "datetime of type",
    ),
    "klines": ("DCE.m2601.csv", b"datetime,open,high,low,close\n1,2,2,2,2\n", "no last_price"),
    "empty": ("DCE.m2601.csv", b"", "cannot be read"),
    "binary": ("DCE.m2601.csv", b"\xff\xfe\x00", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "says"), BAD.values(), ids=BAD)
def test_a_file_of_another_shape_is_named(
    name: str, content: pd.DataFrame | bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.to_parquet(path)
    for place in (path, tmp_path) if path.suffix == ".parquet" else (path,):
        with pytest.raises(BadReplayFile, match=says) as caught:
            read_ticks(place)
        assert "expected" in str(caught.value)


def test_a_folder_of_several_contracts_wants_a_symbol(folder: TickFolder) -> None:
    fill(folder, range(3))
    fill(folder, range(5), symbol="DCE.m2605")
    folder.save()
    assert len(read_ticks(folder.path, "DCE.m2605")) == 5
    with pytest.raises(BadReplayFile, match=r"DCE\.m2601, DCE\.m2605"):
        read_ticks(folder.path)
    with pytest.raises(BadReplayFile, match=r"ticks of DCE\.m2609"):
        read_ticks(folder.path, "DCE.m2609")
    one = folder.path / "2025-09-16" / "DCE.m2605.00000.parquet"
    assert len(read_ticks(one)) == 5
    with pytest.raises(BadReplayFile, match=r"holds DCE\.m2605"):
        read_ticks(one, MEAL)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.parquet", "nowhere.csv", "."])
def test_a_place_without_ticks_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadReplayFile, match="expected"):
        read_ticks(tmp_path / name)


def test_terms_of_another_shape_are_named(folder: TickFolder) -> None:
    assert recorded_terms(folder.path, MEAL) is None
    for text in ("[]", "{"):
        (folder.path / "instruments.json").write_text(text, encoding="utf-8")
        with pytest.raises(BadReplayFile, match=r"instruments\.json"):
            recorded_terms(folder.path, MEAL)
