"""Records replayed: history, holes, terms and ids as recorded; bad files refused by name."""

from __future__ import annotations

import gzip
from datetime import date
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from tianqin_backtrader.errors import BadReplayFile, WrongSetting
from tianqin_backtrader.sim.market import Market
from tianqin_backtrader.sim.values import DAY_NS, MINUTE_NS, SECOND_NS, KlineRow


def test_replay_starts_within_the_records_with_history_before(records: Path) -> None:
    path = records / "klines/60s/SHFE.cu1905.csv.gz"
    market = Market.replaying([path], start=date(2019, 4, 15), end=date(2019, 4, 16))
    frame = pd.read_csv(path)
    before = frame[frame["trading_day"] < "2019-04-15"]
    rows = market.klines_before("SHFE.cu1905", MINUTE_NS, market.start_ns, 10_000)
    assert [row.id for row in rows] == list(range(len(before) - 10_000, len(before)))
    assert [row.close for row in rows] == before["close"].tolist()[-10_000:]
    assert market.next_day(date(2019, 4, 16)) is None


@pytest.mark.parametrize("duration_s", [20, 60, 240, 3_600, 86_400])
def test_history_of_records_is_what_their_ticks_grow(records: Path, duration_s: int) -> None:
    path = records / "klines/60s/CFFEX.IF1908.csv.gz"
    market = Market.replaying([path], start=date(2019, 6, 26))
    now = market.day_ticks("CFFEX.IF1908", date(2019, 6, 27))[200].time_ns
    rows, builder = market.open_series(
        "CFFEX.IF1908", duration_s * SECOND_NS, market.start_ns, 10_000
    )
    known: dict[int, KlineRow] = {row.id: row for row in rows}
    for day in (date(2019, 6, 26), date(2019, 6, 27)):
        for tick in market.day_ticks("CFFEX.IF1908", day):
            if tick.time_ns <= now:
                known |= {row.id: row for row in builder.on_tick(tick)}
    asked = market.klines_before("CFFEX.IF1908", duration_s * SECOND_NS, now, 10_000)
    assert asked == list(known.values())
    assert asked[0].id == 0


def test_a_hole_of_the_record_skips_an_id(records: Path) -> None:
    market = Market.replaying([records / "klines/60s/DCE.jd1909.csv.gz"])
    last = market.day_ticks("DCE.jd1909", date(2019, 9, 25))
    assert [tick.after_hole for tick in last[:2]] == [True, False]
    rows = market.ticks_before("DCE.jd1909", last[-1].time_ns, len(last) + 1)
    gaps = [b.id - a.id for a, b in pairwise(rows)]
    assert gaps == [2] + [1] * (len(last) - 1)
    oldest = market.day_ticks("DCE.jd1909", date(2019, 3, 5))[0]
    assert market.ticks_before("DCE.jd1909", oldest.time_ns, 1)[0].id == 0
    assert market.next_day(date(2019, 7, 8)) == date(2019, 9, 25)


def test_terms_follow_the_recorded_day_before(records: Path) -> None:
    market = Market.replaying([records / "klines/60s/SHFE.cu1905.csv.gz"])
    frame = pd.read_csv(records / "klines/60s/SHFE.cu1905.csv.gz")
    day = frame[frame["trading_day"] == "2019-04-15"]
    terms = market.terms("SHFE.cu1905", date(2019, 4, 16))
    assert terms.pre_close == day["close"].iloc[-1]
    assert terms.pre_open_interest == day["close_oi"].iloc[-1]
    assert day["low"].min() <= terms.pre_settlement <= day["high"].max()
    assert terms.pre_settlement % 10 == 0
    assert terms.upper_limit == pytest.approx(terms.pre_settlement * 1.08, abs=10)


def test_ctp_records_tell_their_own_terms(records: Path) -> None:
    files = [records / f"ticks/CFFEX.IF-2021-01-0{n}.csv.gz" for n in (5, 4)]
    market = Market.replaying(files)
    terms = market.terms("CFFEX.IF2101", date(2021, 1, 5))
    assert (terms.pre_settlement, terms.upper_limit, terms.lower_limit) == (5278.6, 5806.4, 4750.8)
    assert market.settlement("CFFEX.IF2101", date(2021, 1, 4)) == 5278.6
    ticks = market.day_ticks("CFFEX.IF2101", date(2021, 1, 4))
    assert len(ticks) == 27_955
    assert ticks[0].bids == ((5230.0, 1),)
    assert market.contract("KQ.m@CFFEX.IF") is not None
    shown = market.day_ticks("KQ.m@CFFEX.IF", date(2021, 1, 4))
    assert (len(shown), shown[0].symbol) == (len(ticks), "KQ.m@CFFEX.IF")


def test_quote_changes_replay_as_ticks(records: Path) -> None:
    folder = records / "quotes-2020-08-21"
    market = Market.replaying(sorted(folder.glob("*.csv.gz")))
    day = date(2020, 8, 21)
    sugar = market.day_ticks("CZCE.SR101", day)
    assert len(sugar) == 6372
    assert sugar[1].time_ns == 1_597_988_230_000_001_000  # the second tick of one second
    assert len(market.day_ticks("SHFE.rb2010", day)[0].asks) == 5
    (first, *_) = market.klines_before("DCE.m2101", MINUTE_NS, sugar[-1].time_ns, 100)
    assert first.volume < 699_978  # the lots before the record belong to no bar


def test_daily_klines_replay(records: Path) -> None:
    path = records / "klines/1d/SHFE.cu1905.csv.gz"
    market = Market.replaying([path])
    frame = pd.read_csv(path)
    last = date.fromisoformat(frame["trading_day"].iloc[-1])
    rows = market.klines_before("SHFE.cu1905", DAY_NS, market.calendar.begins_ns(last), 10_000)
    assert [(row.time_ns, row.open, row.volume) for row in rows] == list(
        zip(frame["datetime"][:-1], frame["open"][:-1], frame["volume"][:-1], strict=True)
    )
    assert market.day_ticks("SHFE.cu1905", last)[-1].last_price == frame["close"].iloc[-1]


def test_files_of_one_symbol_join_in_time(records: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(records / "klines/60s/SHFE.cu1905.csv.gz")
    parts = [tmp_path / "b" / "SHFE.cu1905.csv", tmp_path / "a" / "SHFE.cu1905.csv.gz"]
    for path, rows in zip(parts, (frame[10_000:], frame[:10_000]), strict=True):
        path.parent.mkdir()
        rows.to_csv(path, index=False)
    market = Market.replaying(parts)
    whole = Market.replaying([records / "klines/60s/SHFE.cu1905.csv.gz"])
    day = date(2019, 4, 3)
    assert market.day_ticks("SHFE.cu1905", day) == whole.day_ticks("SHFE.cu1905", day)


GOOD = "datetime,open,high,low,close,volume,open_oi,close_oi\n"
ONES = ",1,1,1,1,1,1,1"
ROWS = "1555290000000000000,1,1,1,1,1,1,1\n1555290060000000000,1,1,1,1,1,1,1\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("DCE.jd1909.csv", b"", "no CSV"),
        ("DCE.jd1909.csv", GOOD.encode(), "no rows"),
        ("DCE.jd1909.csv", b"a,b\n1,2\n", "columns a, b"),
        ("DCE.jd1909.csv", (GOOD + ROWS.replace("060000", "000000")).encode(), "strictly increase"),
        ("DCE.jd1909.csv", (GOOD + ROWS.replace(ONES, ",1,x,1,1,1,1,1")).encode(), "'x'"),
        ("DCE.jd1909.csv", (GOOD + ROWS.replace(ONES, ",5,1,1,1,1,1,1")).encode(), "low <="),
        ("DCE.jd1909.csv", (GOOD + ROWS.replace("15552900", "15570612")).encode(), "trading hours"),
        ("DCE.jd1909.csv", gzip.compress(GOOD.encode(), mtime=0)[:20], "cannot be read"),
        ("DCE.jd1909.csv", b"\xff\xfe\x00\x01", "no CSV"),
        ("jd.csv", (GOOD + ROWS).encode(), "file name"),
        ("DCE.zz1909.csv", (GOOD + ROWS).encode(), "terms are not known"),
        ("missing.csv", None, "cannot be read"),
    ],
)  # fmt: skip
def test_bad_replay_files_are_named(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadReplayFile, match=says) as caught:
        Market.replaying([path])
    assert name in str(caught.value)
    assert "expected" in str(caught.value)


def test_klines_and_ticks_of_one_symbol_do_not_mix(records: Path, tmp_path: Path) -> None:
    klines = records / "klines/10s/SHFE.cu1909.csv.gz"
    with pytest.raises(BadReplayFile, match="one kind"):
        Market.replaying([klines, records / "ticks/SHFE.cu1909.csv.gz"])


def test_start_after_the_records_is_refused(records: Path) -> None:
    with pytest.raises(WrongSetting, match="2019-05-15"):
        Market.replaying([records / "klines/60s/SHFE.cu1905.csv.gz"], start=date(2020, 1, 2))
