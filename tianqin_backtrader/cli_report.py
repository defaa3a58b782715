"""`python -m tianqin_backtrader report [JOURNAL]`: what the journal holds, as one HTML page."""

from __future__ import annotations

import webbrowser
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .clock import now_s
from .config import journal_path, load_settings
from .errors import WrongSetting
from .report_data import Story, read_story
from .report_digest import digest
from .report_extra import check_extra
from .report_page import render
from .report_prices import read_prices
from .trading_days import TradingDays

__all__ = ["Language", "report", "write_report"]

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


class Language(str, Enum):
    EN = "en"
    ZH = "zh"
    BOTH = "both"


def report(
    journal: Annotated[
        Path | None, typer.Argument(help="Of the runs to report; else TIANQIN_JOURNAL.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="One run; else all that follow each other.")
    ] = None,
    bars: Annotated[
        list[Path], typer.Option(help="CSV or Parquet records, for the candlesticks.")
    ] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="The page; else beside the journal.")] = None,
    lang: Annotated[Language, typer.Option(help="Both: chosen on the page.")] = Language.BOTH,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="In the browser.")] = False,
) -> None:
    """Write a report of the journal: one HTML file that needs no network."""
    page = write_report(_journal(journal), run=run, bars=bars, out=out, lang=lang)
    typer.echo(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
    if open_:
        webbrowser.open(page.resolve().as_uri())


def write_report(
    journal: Path,
    *,
    run: str | None = None,
    bars: list[Path] | None = None,
    out: Path | None = None,
    lang: Language = Language.BOTH,
) -> Path:
    """Write the page and return its path, by default that of the journal with `.html`.

    Raises `BadJournal`, `BadReplayFile`, `WrongSetting`, or `ConfigError` without the extra.
    """
    page = out or journal.with_suffix(".html")
    check_extra()
    _check(journal, page)
    days = TradingDays(load_settings(mode="demo").holidays).calendar
    story = read_story(journal, run, days)
    prices = read_prices(story.fills, _span(story), bars or [])
    languages = ["en", "zh"] if lang is Language.BOTH else [lang.value]
    text = render(story, digest(story), prices, languages, int(now_s() * SECOND_NS))
    try:
        page.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise WrongSetting("--out", str(page), f"a file that can be written ({error})") from error
    return page


def _journal(given: Path | None) -> Path:
    found = given or journal_path(load_settings(mode="demo"))
    if found is None:
        expected = "the path of a journal, as argument or in TIANQIN_JOURNAL"
        raise WrongSetting("JOURNAL", None, expected)
    return found


def _check(journal: Path, page: Path) -> None:
    if page.suffix.lower() not in (".html", ".htm"):
        raise WrongSetting("--out", str(page), "a file name that ends in .html")
    if page.is_dir() or not page.parent.is_dir():
        raise WrongSetting("--out", str(page), "a file in a folder that exists")
    if page.resolve() == journal.resolve():
        raise WrongSetting("--out", str(page), "another file than the journal")


def _span(story: Story) -> tuple[int, int]:
    """From a day before the story to its end: what came before an entry is of interest too."""
    return story.accounts[0].at_ns - DAY_NS, story.accounts[-1].at_ns
