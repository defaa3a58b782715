"""Every Python block of the docs runs, every link leads somewhere, both languages say the same."""

from __future__ import annotations

import re
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
ONLY_ENGLISH = {"reference/index.md"}  # made of docstrings
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(?:#[^)]*)?\)")


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


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", *(f"docs/{n}" for n in NAMES)])
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
