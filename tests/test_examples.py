"""The examples, run as a user runs them, against the exchange's own klines, books and rules."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tianqin_backtrader import Journal, LocalExchange

FOLDER = Path(__file__).resolve().parents[1] / "examples"
README = FOLDER.parent / "README.md"
HELPERS = {"gallery", "order_rows", "parity", "strategy"}
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in HELPERS)
GALLERY = sorted(set(EXAMPLES) - {"run_live"})  # that one has tests of its own
CU, M = "SHFE.cu2511", "DCE.m2601"
TIMEOUT_S = 120
WIDTH = 80
BEIJING = timezone(timedelta(hours=8))
DONE, MEND = 0, 2


def environment(home: Path, **more: str) -> dict[str, str]:
    """Without credentials of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TIANQIN_", "TQ_"))}
    plain = {"PYTHONIOENCODING": "utf-8", "HOME": str(home), "COLUMNS": str(WIDTH)}
    return kept | plain | more


def example(home: Path, name: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run an example; returns its summary and what it printed."""
    command = [sys.executable, "-W", "ignore", str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(
        [*command, "--summary", "summary.json"],
        cwd=home,
        env=environment(home),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == DONE, done.stdout + done.stderr
    told: dict[str, Any] = json.loads((home / "summary.json").read_text(encoding="utf-8"))
    return told, done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an example tells that runs without arguments; each of them runs once."""

    @lru_cache
    def run(name: str) -> dict[str, Any]:
        summary, shown = example(tmp_path_factory.mktemp(name), name)
        assert_pretty(shown)
        return summary

    return run


def assert_pretty(shown: str) -> None:
    """Tables that fit into a terminal, with nothing cut off."""
    lines = [line.rstrip() for line in shown.splitlines() if line.strip()]
    assert any(line.startswith("┏") for line in lines)
    tables = [line for line in lines if line[0] in "┏┃┡│└┌├"]
    assert max(map(len, tables)) <= WIDTH
    assert not [line for line in tables if re.search(r"…(?! \d+ more)", line)]


# ---- facts that the examples do not tell


def official(symbol: str, seconds: int, end: str, count: int) -> pd.DataFrame:
    """Klines of the made-up market, labelled by their end in Beijing time."""
    moment_ns = int(datetime.fromisoformat(end).replace(tzinfo=BEIJING).timestamp()) * 10**9
    market = LocalExchange(start=datetime(2025, 9, 16, 8))._venue.market  # noqa: DTZ001
    rows = market.klines_before(symbol, seconds * 10**9, moment_ns, count)
    names = ("open", "high", "low", "close")
    frame: pd.DataFrame = pd.DataFrame(
        [[getattr(row, name) for name in names] for row in rows], columns=names
    )
    ends = pd.to_datetime([row.time_ns + seconds * 10**9 + 8 * 3600 * 10**9 for row in rows])
    frame.index = pd.DatetimeIndex(ends)
    return frame


def at(order: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(order["time"])


def side(order: dict[str, Any]) -> int:
    return 1 if order["lots"] > 0 else -1


def assert_paid(
    summary: dict[str, Any], multiplier: dict[str, int], last: dict[str, float]
) -> None:
    """The exchange's own balance is what the told fills come to, by hand, to the cent."""
    money, equity = summary["money"], summary["money"]["equity at the start"]
    held: dict[str, int] = {}
    for order in summary["orders"]:
        equity -= order["lots"] * order["price"] * multiplier[order["contract"]] + order["fee"]
        held[order["contract"]] = held.get(order["contract"], 0) + order["lots"]
    left = {contract: lots for contract, lots in held.items() if lots}
    assert left == summary["held"]
    equity += sum(lots * last[c] * multiplier[c] for c, lots in left.items())
    assert money["equity at the end"] == pytest.approx(equity, abs=0.01)


# ---- all of them


def test_the_readme_lists_every_example() -> None:
    section = README.read_text(encoding="utf-8").split("## Examples")[1].split("\n## ")[0]
    assert sorted(set(re.findall(r"examples/(\w+)\.py", section))) == EXAMPLES


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "--nonsense"),
        (["--mode", "fly"], "fly"),
        (["--summary", "nowhere/summary.json"], "nowhere"),
    ],
    ids=["flag", "mode", "folder"],
)
def test_bad_input_is_one_line_and_exit_code_2(
    name: str,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert ended.value.code == MEND
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert words in shown.err
    assert not shown.out


# ---- single contracts


def test_bollinger_trades_the_breakouts_of_the_official_klines(told: Any) -> None:
    """The signals once more, by pandas."""
    summary = told("bollinger")
    bars = official(CU, 300, "2025-09-16 15:30:00", 93 + 100)
    middle = bars["close"].rolling(20).mean()
    deviation = bars["close"].rolling(20).std(ddof=0)
    expected, held = [], 0
    live = bars[bars.index > "2025-09-15 21:00"]
    for end, close in live["close"].iloc[:-1].items():  # nothing trades after the last bar
        away = (close - middle[end]) / deviation[end]
        if not held and abs(away) > 2:
            held = 2 if away > 0 else -2
            expected.append((end, held))
        elif held * away < 0:
            expected.append((end, -held))
            held = 0
    orders = summary["orders"]
    assert len(live) == 93
    assert [order["lots"] for order in orders] == [lots for _, lots in expected]
    for order, (signal, _) in zip(orders, expected, strict=True):
        after = live.index[live.index.get_loc(signal) + 1]
        assert signal <= at(order) < after
    assert len(orders) >= 4
    assert_paid(summary, {CU: 5}, {CU: live["close"].iloc[-1]})


def test_donchian_enters_beyond_the_channel_and_turns_with_stops(told: Any) -> None:
    summary = told("donchian")
    bars = official(CU, 300, "2025-09-16 15:30:00", 93 + 100)
    held = 0
    for order in summary["orders"]:
        complete = bars[bars.index <= at(order)]
        width = 20 if not held else 10
        top, bottom = complete["high"].iloc[-width:].max(), complete["low"].iloc[-width:].min()
        if order["lots"] > 0:  # set off above, and bought at most two price ticks lower
            assert order["price"] > top - 20
        else:
            assert order["price"] < bottom + 20
        assert held * order["lots"] <= 0
        held += order["lots"]
        assert order["why"] == (("new high" if held > 0 else "new low") if held else _leave(order))
    assert len(summary["orders"]) >= 4
    assert_paid(summary, {CU: 5}, {CU: bars["close"].iloc[-1]})


def _leave(order: dict[str, Any]) -> str:
    return "leave short" if order["lots"] > 0 else "leave long"


def test_hans123_is_flat_at_the_end_of_each_day(told: Any) -> None:
    summary = told("hans123")
    bars = official(CU, 60, "2025-09-17 15:30:00", 225 + 240 + 225)
    days: dict[str, list[dict[str, Any]]] = {}
    for order in summary["orders"]:
        days.setdefault(f"{at(order):%Y-%m-%d}", []).append(order)
    assert summary["held"] == {}
    assert len(days) == 2
    for day, orders in days.items():
        assert sum(order["lots"] for order in orders) == 0
        opening = bars[f"{day} 09:01" : f"{day} 09:30"]
        assert len(opening) == 30
        entry = orders[0]
        edge = opening["high"].max() if entry["lots"] > 0 else opening["low"].min()
        assert (entry["price"] - edge) * side(entry) > -20
        for order in orders:
            assert "09:30" <= f"{at(order):%H:%M}" <= "14:59"
        if orders[-1]["why"] == "day ends":
            assert f"{at(orders[-1]):%H:%M}" == "14:50"
    assert_paid(summary, {CU: 5}, {})


def test_roll_opens_no_more_than_it_closed(told: Any) -> None:
    summary = told("roll")
    bought, closed, opened = summary["orders"]
    rolled = summary["rolled"]
    old, new = "SHFE.cu2509", "SHFE.cu2510"  # copper leads by a month: August ends, so does 2509
    assert (rolled["before"], rolled["after"]) == (old, new)
    assert [each["contract"] for each in (bought, closed, opened)] == [old, old, new]
    assert rolled["opened"] <= rolled["closed"] == -closed["lots"] == 3
    assert opened["lots"] == rolled["opened"]
    assert summary["held"] == {new: 3}
    assert rolled["shift"] == opened["price"] - closed["price"]
    before, after = (float(text.replace(",", "")) for text in summary["stops"])
    assert after - before == pytest.approx(rolled["shift"])


# ---- several contracts


def test_spread_holds_both_legs_or_none(told: Any) -> None:
    """Nothing that stands alone outlives the minute in which its partner failed."""
    summary = told("calendar_spread")
    assert summary["broken"] >= 1
    assert summary["pairs"] - summary["broken"] >= 2
    held = {"SHFE.au2512": 0, "SHFE.au2602": 0}
    times = [at(order).replace(second=0, microsecond=0) for order in summary["orders"]]
    for order, (minute, following) in zip(summary["orders"], pairwise([*times, None]), strict=True):
        held[order["contract"]] += order["lots"]
        if minute != following:
            assert sum(held.values()) == 0
            assert set(map(abs, held.values())) in ({0}, {15})
    alone = [order for order in summary["orders"] if order["why"] == "left alone"]
    assert len(alone) == summary["broken"]
    fees = sum(order["fee"] for order in summary["orders"])
    opened = sum(abs(o["lots"]) for o in summary["orders"] if o["fee"])
    assert fees == opened * 10  # gold: 10 CNY to open, nothing to close today's lots


def test_rebalancing_stays_within_half_a_lot_of_each_weight(told: Any) -> None:
    summary = told("rebalance")
    multiplier = {CU: 5, "SHFE.rb2601": 10, M: 10}
    weights = {CU: 0.4, "SHFE.rb2601": 0.3, M: -0.2}
    plans = summary["plans"]
    # a week of two days before the holidays, one of two days after them
    assert [plan["at"] for plan in plans] == ["2025-09-30"] * 3 + ["2025-10-10"] * 3
    for plan in plans:
        contract = plan["contract"]
        market = LocalExchange()._venue.market
        noon_ns = int(datetime.fromisoformat(plan["at"] + "T17:00:00+08:00").timestamp()) * 10**9
        (day,) = market.klines_before(contract, 86_400 * 10**9, noon_ns, 1)
        assert plan["worth of a lot"] == day.close * multiplier[contract]
        missing = weights[contract] * plan["equity"] - plan["lots"] * plan["worth of a lot"]
        assert abs(missing) <= plan["worth of a lot"] / 2
    assert summary["held"] == {plan["contract"]: plan["lots"] for plan in plans[3:]}
    assert all(order["status"] == "Completed" for order in summary["orders"])
    for order in summary["orders"]:
        assert at(order).hour in (9, 21)  # at the openings, not at 15:00


def test_target_and_direct_trade_the_same_lots_at_the_same_fees(told: Any) -> None:
    direct, target = (told("execution")[way] for way in ("direct", "target"))
    for same in ("orders of the strategy", "lots"):
        assert direct[same] == target[same] > 0
    for way in (direct, target):
        assert way["fees, CNY"] == pytest.approx(way["lots"] * 3.1)  # rebar, opened or closed
    assert target["orders at the exchange"] >= target["lots"] / 8  # at most 8 lots each
    assert direct["orders at the exchange"] < target["orders at the exchange"]


# ---- several accounts


def test_accounts_share_a_market_and_nothing_else(tmp_path: Path) -> None:
    summary, shown = example(tmp_path, "accounts", "--folder", "journals")
    assert_pretty(shown)
    ids, lots = {}, {}
    for name in ("alice", "bob"):
        with Journal(tmp_path / "journals" / f"{name}.sqlite") as journal:
            orders, legs, trades = journal.orders(), journal.legs(), journal.trades()
        ids[name] = set(trades.order_id)
        assert ids[name] <= set(legs.order_id)
        assert orders.run.nunique() == 1
        signs = trades.direction.map({"BUY": 1, "SELL": -1})
        lots[name] = [int(n) for n in (trades.volume * signs).groupby(trades.key, sort=False).sum()]
        assert summary[name]["lots"] == trades.volume.sum()
        opened = trades.volume[trades.offset == "OPEN"].sum()
        fees = opened * 20.2 + (trades.volume.sum() - opened) * 40.4  # all are today's
        assert summary[name]["fees, CNY"] == pytest.approx(fees)
    assert not ids["alice"] & ids["bob"]
    assert lots["bob"] == [3 * each for each in lots["alice"]]
    assert len(lots["alice"]) >= 4


# ---- order files


def test_sample_order_files_are_executed_or_explained(told: Any) -> None:
    results = told("order_files")["results"]
    status = {name: [row["status"] for row in rows] for name, rows in results.items()}
    assert status == {
        "1-open.csv": ["Completed", "Completed"],
        "2-typos.csv": ["not sent"] * 3,
        "3-limit.csv": ["Completed"],
    }
    notes = [row["note"] for row in results["2-typos.csv"]]
    assert notes[0] == "another row is wrong"
    assert "'by'" in notes[1]
    assert "'cu2511'" in notes[2]
    assert told("order_files")["held"] == {CU: 2, M: -8}


INSTRUCTIONS = {
    "one.csv": f"symbol,side,lots,price\n{CU},buy,2,\n{M},sell,5,\n",
    "two.csv": f"symbol,side,lots,price\n{M},buy,9,\n{CU},sell,7,\n",
}
DIES = """
import os, runpy, sys
from pathlib import Path
from tianqin_backtrader.floor import Floor
calls, (owner, name) = 0, {"send": (Floor, "send"), "replace": (Path, "replace")}[sys.argv[1]]
number, real = int(sys.argv[2]), getattr(owner, name)
def die(*arguments, **options):
    global calls
    calls += 1
    if calls == number:
        os._exit(9)
    return real(*arguments, **options)
setattr(owner, name, die)
sys.argv = sys.argv[3:]
sys.path.insert(0, str(Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("what", "number"),
    [("send", 2), ("send", 4), ("replace", 4)],
    ids=["before the 2nd order", "before the 4th order", "before the 4th result"],
)
def test_each_instruction_is_executed_once_whatever_dies(
    what: str, number: int, tmp_path: Path
) -> None:
    """Killed while it sends or writes, and started again: the exchange's book has each row once."""
    inbox = tmp_path / "orders" / "inbox"
    inbox.mkdir(parents=True)
    for name, text in INSTRUCTIONS.items():
        (inbox / name).write_text(text, encoding="utf-8")
    hours: dict[str, Any] = {"start": datetime(2025, 9, 16, 9), "end": datetime(2025, 9, 16, 9, 12)}  # noqa: DTZ001
    with LocalExchange(ticks_per_minute=6, **hours) as exchange:
        urls = {n: getattr(exchange, n) for n in ("auth_url", "md_url", "td_url")}
        env = environment(
            tmp_path,
            TIANQIN_USER="somebody",
            TIANQIN_PASSWORD="any",
            **{f"TIANQIN_{name.upper()}": url for name, url in urls.items()},
        )
        program = [str(FOLDER / "order_files.py"), "--mode", "kq", "--folder", "orders"]
        python = [sys.executable, "-W", "ignore"]
        for command, code in (
            ([*python, "-c", DIES, what, str(number), *program], 9),
            ([*python, *program], DONE),
        ):
            done = subprocess.run(
                command, cwd=tmp_path, env=env, capture_output=True, encoding="utf-8",
                timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
            assert done.returncode == code, done.stdout + done.stderr
        picture = exchange._venue.exchange.picture("somebody")
    traded: dict[str, int] = {}
    for trade in picture["trades"].values():
        key = f"{trade['exchange_id']}.{trade['instrument_id']} {trade['direction']}"
        traded[key] = traded.get(key, 0) + trade["volume"]
    assert traded == {f"{CU} BUY": 2, f"{M} SELL": 5, f"{M} BUY": 9, f"{CU} SELL": 7}
    for name in INSTRUCTIONS:
        assert (tmp_path / "orders" / "done" / name).exists()
        with (tmp_path / "orders" / "results" / name).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["status"] for row in rows] == ["Completed"] * 2
        assert [row["filled"] for row in rows] == [row["lots"] for row in rows]


# ---- backtest and replay


def test_backtest_and_replay_differ_by_named_rules_only(told: Any) -> None:
    summary = told("backtest")
    rows = {row["what"]: row for row in summary["rows"]}
    assert summary["unexplained"] == []
    assert rows["bars"]["backtest"] == 2 * 465  # copper: 4 hours of night, 3 h 45 min of day
    for same in ("bars", "orders", "orders filled", "lots", "fees, CNY"):
        assert rows[same]["difference"] == 0
        assert rows[same]["backtest"] > 0
    days = [name for name in rows if name.startswith("equity")]
    assert len(days) == 2
    assert {rows[day]["rule"] for day in days} == {"PRICES"}
    assert rows[days[-1]]["difference"] > 0  # a price tick worse is more than the book's spread


def test_backtest_of_real_records_has_no_unexplained_difference(
    records: Path, tmp_path: Path
) -> None:
    path = records / "klines" / "60s" / "CFFEX.IF1908.csv.gz"
    summary, _ = example(tmp_path, "backtest", "--data", str(path), "--days", "2")
    assert summary["unexplained"] == []
    rows = {row["what"]: row for row in summary["rows"]}
    assert rows["bars"]["exchange"] == 2 * 240
    assert rows["lots"]["difference"] == 0


KLINES = "datetime,open,high,low,close,volume,open_oi,close_oi\n"
DAILY = "".join(f"{n * 86_400_000_000_000},1,1,1,1,0,0,0\n" for n in (18_000, 18_001))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "SHFE.cu1905.csv"),
        ("", "SHFE.cu1905.csv"),
        ("when,price\n1,2\n", "close"),
        (KLINES + "2019-03-04 22:51:00,1,1,1,1,0,0,0\n", "'2019-03-04 22:51:00'"),
        (KLINES + DAILY, "86400 s apart"),
        (KLINES, "no rows"),
    ],
    ids=["missing", "empty", "columns", "text", "daily", "no rows"],
)
def test_backtest_says_what_is_wrong_with_a_file(
    text: str | None,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(FOLDER))
    if text is not None:
        Path("SHFE.cu1905.csv").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["backtest.py", "--data", "SHFE.cu1905.csv"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / "backtest.py"), run_name="__main__")
    assert ended.value.code == MEND
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
