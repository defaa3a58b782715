"""What the README prints works as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

from tianqin_backtrader import LocalExchange

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
SHOWN_BY = re.compile(r"\| \[`(test_\w+\.py)`\]\(tests/(test_\w+\.py)\) \|$", re.MULTILINE)
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")
LARGEST_PICTURE = 250 * 1024
# A word of each Python block of the README; what each does is tested below, by that word, and
# the last one in test_notebooks.
WORDS = (
    "BuyOnce", "buy_bracket", "RiskLimits", "store.run", "get_daily_data", "exports import export",
    "RecordedData", "candlestick(",
)  # fmt: skip


def blocks(language: str, readme: Path = README) -> list[str]:
    text = readme.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def program(word: str) -> str:
    """The Python block of the README that `word` stands in."""
    (found,) = [block for block in blocks("python") if word in block]
    return found


def test_there_are_two_commands() -> None:
    assert len(blocks("sh")) == 2


def test_every_program_is_run_by_a_test() -> None:
    assert sorted(map(program, WORDS)) == sorted(blocks("python"))
    tests = "".join(
        (ROOT / "tests" / name).read_text(encoding="utf-8").partition("\ndef test_")[2]
        for name in ("test_readme.py", "test_notebooks.py")
    )
    assert [word for word in WORDS if f'"{word}"' not in tests] == []


def test_features_are_shown_by_tests_that_exist_and_both_languages_name_the_same() -> None:
    english, chinese = (SHOWN_BY.findall(page.read_text("utf-8")) for page in (README, CHINESE))
    assert len(english) > 20
    assert english == chinese
    assert all(shown == linked for shown, linked in english)
    names = [linked for _, linked in english]
    assert len(set(names)) == len(names)
    assert [name for name in names if not (ROOT / "tests" / name).is_file()] == []


@pytest.mark.parametrize("readme", [README, CHINESE], ids=lambda path: path.name)
def test_pictures_are_there_and_small(readme: Path) -> None:
    shown = PICTURE.findall(readme.read_text(encoding="utf-8"))
    assert len(shown) == 2
    for name in shown:
        picture = (ROOT / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < LARGEST_PICTURE


def test_every_picture_of_the_docs_is_made_by_the_script() -> None:
    script = (ROOT / "docs" / "pictures.py").read_text(encoding="utf-8")
    made = sorted(path.name for path in (ROOT / "docs" / "images").iterdir())
    assert made == ["report-en.png", "report-zh.png", "terminal.png"]
    assert [name for name in made if name not in script] == []


@pytest.fixture
def evening(monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's markets have no end: here they end after some minutes of the first evening."""
    end = datetime(2025, 9, 15, 21, 30)  # noqa: DTZ001  Beijing time
    monkeypatch.setattr("tianqin_backtrader.demo.LocalExchange", lambda: LocalExchange(end=end))


def test_the_program_runs_and_buys_once(evening: None) -> None:
    names: dict[str, Any] = {}
    exec(program("BuyOnce"), names)
    held = names["broker"].get_account_position("SHFE.cu2512")
    assert (held.long.today, held.net) == (1, 1)


def test_the_chinese_programs_run(evening: None) -> None:
    """Those of the README in Chinese, one after the other."""
    names: dict[str, Any] = {}
    for block in blocks("python", CHINESE):
        exec(block, names)
    assert names["broker"].get_account_position("SHFE.cu2512").net == 1


def test_the_feeds_deliver(evening: None) -> None:
    names: dict[str, Any] = {}
    exec(program("get_daily_data"), names)
    with names["store"] as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        feeds = [names[name] for name in ("minutes", "five", "seconds", "ticks", "days")]
        for feed in feeds:
            cerebro.adddata(feed)
        cerebro.addstrategy(bt.Strategy)
        cerebro.run()
        assert [len(feed) > 0 for feed in feeds] == [True] * 5
        assert len(feeds[0]) == 530
        assert sum(feed.audit.differed for feed in feeds) == 0


def test_the_bracket_protects_what_it_buys(evening: None) -> None:
    names: dict[str, Any] = {}
    exec(program("buy_bracket"), names)
    ended: list[tuple[str, str]] = []

    protected: Any = names["Protected"]

    class Told(protected):
        def notify_order(self, order: bt.Order) -> None:
            if not order.alive():
                ended.append((order.getordername(), order.getstatusname()))

    broker = names["broker"]
    with broker._store as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False, quicknotify=True)
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata("SHFE.cu2512", history=5))
        cerebro.addstrategy(Told)
        cerebro.run()
    assert ended[0] == ("Limit", "Completed")
    assert not [status for _, status in ended if status in ("Rejected", "Margin")]
    assert abs(broker.get_account_position("SHFE.cu2512").net) in (0, 2)


def test_a_recording_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "tianqin_backtrader", "record", "SHFE.cu2511"]
    subprocess.run([*command, "--out", "ticks", "--seconds", "4"], check=True, capture_output=True)
    names: dict[str, Any] = {}
    exec(program("RecordedData"), names)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(names["data"])
    cerebro.addstrategy(bt.Strategy)
    cerebro.run()
    assert len(names["data"]) > 2


def test_the_journal_is_read_and_exported(
    evening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIANQIN_JOURNAL", "orders.sqlite")
    exec(program("BuyOnce"), {})
    exec(program("exports import export"), {})
    assert len((tmp_path / "out" / "trades.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_the_risk_limits_are_limits() -> None:
    names: dict[str, Any] = {}
    exec(program("RiskLimits"), names)
    assert names["broker"].p.risk == names["limits"]
    assert names["limits"].symbols == ("DCE.m*", "SHFE.*")


def test_the_run_ends_of_itself_with_its_market(evening: None) -> None:
    names: dict[str, Any] = {}
    exec(program("store.run"), names)
    (strategy,) = names["strategies"]
    assert len(strategy) == 200 + 30
