"""Every Python block of the docs runs, every link leads somewhere, both languages say the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tianqin_backtrader import LocalExchange

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NAMES = [page.relative_to(DOCS).as_posix() for page in PAGES]
LANGUAGES = ("en", "zh")
OUTSIDE = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")
ONLY_ENGLISH = {"reference/index.md"}  # made of docstrings
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _recorded(names: dict[str, Any]) -> None:
    assert len(names["data"]) == len(names["replayed"]) > 30  # half an hour of ticks and more


def _rolled(names: dict[str, Any]) -> None:
    """Copper's main contract follows October from the last evening of August on."""
    assert names["lots_after"] == names["lots_by_hand"] == {"SHFE.cu2510": 3}
    told, stop = names["rolled"].told, names["rolled"].stop_order
    assert (told["closed"], told["opened"], stop.alive()) == (3, 3, True)
    assert not names["by_hand"].stop_order.alive()


def _heard(names: dict[str, Any]) -> None:
    titles = [title for title, _ in names["heard"]]
    assert titles == ["tianqin-backtrader demo: STARTED", "tianqin-backtrader demo: STOPPED"]


def _reported(names: dict[str, Any]) -> None:
    assert "SHFE.cu2512" in names["page"].read_text(encoding="utf-8")


def _explored(names: dict[str, Any]) -> None:
    assert [len(names[name]) for name in ("bars", "ticks", "strategies")] == [465, 100, 1]
    assert len(names["chart"].data[0].x) == 60


# What the blocks of a page must have found, by the names that they leave.
FOUND: dict[str, Callable[[dict[str, Any]], None]] = {
    "how-to/recording.md": _recorded,
    "how-to/rolling.md": _rolled,
    "how-to/alarms.md": _heard,
    "how-to/report.md": _reported,
    "how-to/notebooks.md": _explored,
}


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [n for n, page in zip(NAMES, PAGES, strict=True) if blocks(page)])
def test_python_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader types them; markets without an end get one here."""
    end = datetime(2025, 9, 15, 21, 30)  # noqa: DTZ001  Beijing time
    monkeypatch.setattr("tianqin_backtrader.demo.LocalExchange", lambda: LocalExchange(end=end))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks(DOCS / name):
        exec(compile(block, name, "exec"), names)
    check = FOUND.get(name.partition("/")[2])
    if check is not None:
        check(names)


@pytest.mark.parametrize("name", [*OUTSIDE, *(f"docs/{n}" for n in NAMES)])
def test_links_lead_to_files(name: str) -> None:
    page = ROOT / name
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


def test_both_languages_have_the_same_pages_with_the_same_programs() -> None:
    pages = {
        language: {
            p.relative_to(DOCS / language).as_posix() for p in (DOCS / language).rglob("*.md")
        }
        for language in LANGUAGES
    }
    assert pages["en"] - ONLY_ENGLISH == pages["zh"]
    for name in pages["zh"]:
        english, chinese = (
            [re.sub(r"#.*", "", block) for block in blocks(DOCS / language / name)]
            for language in LANGUAGES
        )
        assert _code(english) == _code(chinese), name


def _code(found: list[str]) -> list[str]:
    """Without comments and spaces at the ends of lines."""
    return ["\n".join(line.rstrip() for line in block.splitlines()) for block in found]


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in NAMES if f" {name}\n" not in navigation] == []
