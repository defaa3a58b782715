"""Files for spreadsheets: one row per id, values as the journal has them."""

from __future__ import annotations

import builtins
import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_journal import HOLDING, LEG, NOON, ORDER, TRADE

from tianqin_backtrader.errors import BadJournal, WrongSetting
from tianqin_backtrader.exports import export
from tianqin_backtrader.journal import JournalWriter
from tianqin_backtrader.journal_records import AccountRecord, PositionRecord

TICKET = '{"direction": "SELL", "volume": 5, "kind": "Limit", "price": 80110.0, "limit": null}'
ACCOUNT = AccountRecord(
    "r7", NOON, "2025-09-16", "settlement", 1e6, 9e5, 1e5, 120.5, -30.0, 20.03
)  # fmt: skip
POSITION = PositionRecord("r7", NOON, "SHFE.cu2511", 1, 2, 0, 0, 80_000.0, math.nan, 1e5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "j.sqlite"
    with JournalWriter(path) as writer:
        writer.put_order(replace(ORDER, ticket=TICKET, reason='拒单, "满"\n'))
        writer.put_order(replace(ORDER, key="r7.2", ref=2, ticket=TICKET, at_ns=0))
        writer.put_leg(LEG)
        writer.add_trade(replace(TRADE, price=80_100.0, volume=1))
        writer.add_trade(replace(TRADE, trade_id="6", price=80_130.0, volume=2))
        writer.put_holding(HOLDING)
        writer.put(ACCOUNT)
        writer.put(POSITION)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")  # Excel on Chinese Windows
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_one_row_for_each_id(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "导出" / "csv"
    files = export(path, out)
    assert [file.name for file in files] == [
        "orders.csv", "trades.csv", "positions.csv", "accounts.csv",
    ]  # fmt: skip
    first, second = rows(out / "orders.csv")
    assert (first["key"], first["state"], first["reason"]) == ("r7.1", "Accepted", '拒单, "满"\n')
    assert (first["direction"], first["volume"], first["filled"]) == ("SELL", "5", "3")
    assert float(first["average_price"]) == pytest.approx(80_120.0)
    assert float(first["commission_cny"]) == pytest.approx(40.06)
    assert first["at_ns"] == str(NOON)
    assert first["at_beijing"] == "2025-09-16 12:00:00.000000"
    assert (second["filled"], second["average_price"], second["at_beijing"]) == ("0", "", "")
    assert [row["trade_id"] for row in rows(out / "trades.csv")] == ["5", "6"]
    (account,) = rows(out / "accounts.csv")
    assert (account["why"], float(account["balance"])) == ("settlement", 1e6)
    (held,) = rows(out / "positions.csv")
    assert (held["long_history"], held["short_price"]) == ("2", "")


def test_a_commission_of_which_a_part_is_unknown_is_unknown(path: Path, tmp_path: Path) -> None:
    with JournalWriter(path) as writer:
        writer.add_trade(replace(TRADE, trade_id="7", commission_cny=math.nan))
    export(path, tmp_path / "out")
    assert rows(tmp_path / "out" / "orders.csv")[0]["commission_cny"] == ""


def test_parquet_keeps_types(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    export(path, tmp_path / "out", "parquet")
    orders = pd.read_parquet(tmp_path / "out" / "orders.parquet")
    assert orders["at_ns"].tolist() == [NOON, 0]
    assert orders["at_beijing"][0] == pd.Timestamp("2025-09-16 12:00", tz="Asia/Shanghai")
    assert orders["at_beijing"].isna().tolist() == [False, True]


def test_an_empty_journal_gives_files_with_heads(tmp_path: Path) -> None:
    JournalWriter(tmp_path / "j.sqlite").close()
    for file in export(tmp_path / "j.sqlite", tmp_path / "out"):
        assert rows(file) == []
        assert "_beijing" in file.read_text(encoding="utf-8-sig")


def test_an_earlier_export_is_replaced(path: Path, tmp_path: Path) -> None:
    export(path, tmp_path / "out")
    before = (tmp_path / "out" / "orders.csv").read_bytes()
    export(path, tmp_path / "out")
    assert (tmp_path / "out" / "orders.csv").read_bytes() == before
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_folder_with_other_files_is_left_alone(path: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match=r"it holds j\.sqlite"):
        export(path, tmp_path)
    with pytest.raises(WrongSetting, match="it is a file"):
        export(path, path)
    assert not (tmp_path / "orders.csv").exists()


def test_wrong_words_and_missing_files(path: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match="csv or parquet"):
        export(path, tmp_path / "out", "xlsx")
    with pytest.raises(BadJournal, match="does not exist"):
        export(tmp_path / "none.sqlite", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_parquet_without_pyarrow_names_the_extra(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WrongSetting, match=r"tianqin-backtrader\[record\]"):
        export(path, tmp_path / "out", "parquet")
