"""The TOML file of `run`: what it says, what accounts change, and what it may not hold."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from tianqin_backtrader import TqBroker
from tianqin_backtrader.errors import BadConfigFile
from tianqin_backtrader.risk import RiskLimits
from tianqin_backtrader.run_config import load_runs
from tianqin_backtrader.run_sections import BrokerSection, RunConfig

LEAST = """
[strategy]
path = "mine.py:Mine"
[[data]]
symbol = "SHFE.cu2511"
"""


def write(folder: Path, more: str, least: str = LEAST) -> Path:
    path = folder / "a.toml"
    path.write_text(least + more, encoding="utf-8")
    return path


def load(folder: Path, more: str = "") -> RunConfig:
    (run,) = load_runs(write(folder, more)).values()
    return run


def refusal(folder: Path, more: str, least: str = LEAST) -> str:
    with pytest.raises(BadConfigFile) as refused:
        load_runs(write(folder, more, least))
    return str(refused.value)


def test_least_file_means_the_packages_own_defaults(tmp_path: Path) -> None:
    run = load(tmp_path)
    assert run.limits() is None
    assert run.demo is None
    (data,) = run.data
    assert (data.timeframe, data.compression, data.history) == ("minutes", 1, 10_000)


def test_broker_section_is_what_the_broker_takes() -> None:
    params: Any = TqBroker.params  # Backtrader's metaclass has made a class of it
    known = dict(params._getitems())
    assert BrokerSection().model_dump() == {n: known[n] for n in BrokerSection.model_fields}


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = load(
        tmp_path,
        '[store]\njournal = "j.sqlite"\nholidays = "/h.txt"\nenv_file = "~/x.env"\n'
        '[demo]\nreplay = ["ticks"]\n',
    )
    assert run.strategy.path == f"{tmp_path / 'mine.py'}:Mine"
    assert run.store.journal == tmp_path / "j.sqlite"
    assert run.store.holidays == Path("/h.txt")
    assert run.store.env_file == Path.home() / "x.env"
    assert run.demo is not None
    assert run.demo.replay == [tmp_path / "ticks"]


def test_module_of_a_strategy_is_no_path(tmp_path: Path) -> None:
    text = LEAST.replace("mine.py:Mine", "package.module:Mine")
    (run,) = load_runs(write(tmp_path, "", text)).values()
    assert run.strategy.path == "package.module:Mine"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2025-09-16", date(2025, 9, 16)),
        ('"2025-09-16"', date(2025, 9, 16)),
        ("2025-09-15T21:30:00", datetime(2025, 9, 15, 21, 30)),  # noqa: DTZ001  Beijing time
        ('"2025-09-15T21:30"', datetime(2025, 9, 15, 21, 30)),  # noqa: DTZ001
    ],
)
def test_trading_days_and_moments_stay_what_they_are(
    written: str, meant: date, tmp_path: Path
) -> None:
    demo = load(tmp_path, f"[demo]\nend = {written}\n").demo
    assert demo is not None
    assert (type(demo.end), demo.end) == (type(meant), meant)


def test_limits_are_those_of_the_broker(tmp_path: Path) -> None:
    run = load(tmp_path, '[risk]\norder_lots = 3\nsymbols = ["SHFE.cu2511"]\n')
    written: dict[str, Any] = {"order_lots": 3, "symbols": ["SHFE.cu2511"]}
    assert run.limits() == RiskLimits(**written)


ACCOUNTS = """
[store]
mode = "kq"
journal = "common.sqlite"
[risk]
order_lots = 9
[strategy.params]
fast = 5
slow = 20
[accounts.a]
journal = "a.sqlite"
env_file = "a.env"
[accounts.b]
mode = "demo"
strategy.params = { fast = 3 }
risk = { order_lots = 1 }
demo = { seed = 7 }
[[accounts.b.data]]
symbol = "DCE.m2601"
"""


def test_accounts_change_key_by_key(tmp_path: Path) -> None:
    runs = load_runs(write(tmp_path, ACCOUNTS))
    assert list(runs) == ["a", "b"]
    a, b = runs["a"], runs["b"]
    assert (a.name, a.store.mode, a.store.journal) == ("a", "kq", tmp_path / "a.sqlite")
    assert (b.store.mode, b.store.journal) == ("demo", tmp_path / "common.sqlite")
    assert a.strategy.params == {"fast": 5, "slow": 20}
    assert b.strategy.params == {"fast": 3, "slow": 20}
    assert (a.risk, b.risk) == ({"order_lots": 9}, {"order_lots": 1})
    assert [each.symbol for each in b.data] == ["DCE.m2601"]  # in their place, not besides
    assert a.demo is None
    assert b.demo is not None
    assert b.demo.seed == 7


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[demo]\nsped = 1", "the key demo.sped is not known; expected speed?"),
        ("[accounts.x]\njornal = 'j'", "the key store.jornal is not known (account x)"),
        ("[accounts.x]\nrisk.order_lot = 1", "the key risk.order_lot is not known (account x)"),
        ("[acounts.x]\n", "the key acounts is not known; expected accounts?"),
        ("hist = 3", "the key data.0.hist is not known; expected history?"),
        ("[store]\nmode = 'fly'", "store.mode is 'fly'; expected 'demo', 'paper'"),
        ("[demo]\nend = 'soon'", "demo.end is 'soon'; expected trading day 2025-09-16 or"),
        ("[demo]\nend = 2025-09-15T21:00:00+08:00", "demo.end is 2025-09-15 21:00:00+08:00"),
        ("[demo]\nspeed = -1", "demo.speed is -1; expected greater than or equal to 0"),
        ("[store]\npassword = 'x'", "store.password holds a secret; expected it in the env"),
        ("[accounts.x]\naccount_password = 'x'", "as TIANQIN_ACCOUNT_PASSWORD"),
        ("[strategy.params]\nsecret = 'x'", "strategy.params.secret holds a secret"),
        ("[store]\nalerts = ['tgram://x']", "as TIANQIN_ALERTS"),
        ("[store]\nuser = 'x'", "as TIANQIN_USER"),
        ("[store]\nlive_enabled = true", "as TIANQIN_LIVE_ENABLED"),
        ("[accounts]\nx = 3", "accounts.x is no table"),
        ("[[accounts]]\nx = 3", "expected [accounts.NAME]"),
        ("[", "a.toml: is no TOML ("),
    ],
)
def test_what_cannot_be_meant_is_one_line(more: str, words: str, tmp_path: Path) -> None:
    text = refusal(tmp_path, more)
    assert words in text
    assert text.startswith("a.toml: ")
    assert "\n" not in text


def test_missing_table_is_named(tmp_path: Path) -> None:
    assert "the key data is missing" in refusal(tmp_path, "", "[strategy]\npath = 'a.py'\n")


def test_file_that_is_not_there_or_not_utf_8_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfigFile, match=r"nowhere\.toml: cannot be read"):
        load_runs(tmp_path / "nowhere.toml")
    (tmp_path / "gbk.toml").write_bytes("# 账户".encode("gbk"))
    with pytest.raises(BadConfigFile, match="UTF-8"):
        load_runs(tmp_path / "gbk.toml")


def test_secret_is_not_in_its_refusal(tmp_path: Path) -> None:
    assert "hunter2" not in refusal(tmp_path, "[store]\npassword = 'hunter2'")
