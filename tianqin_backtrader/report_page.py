"""The report as one HTML file that needs nothing else: no network, no other file.

Texts of the journal are escaped by the template. Whatever slipped through could not run: the page
names the scripts that a browser may execute by their SHA-256 and forbids all others, and every
address.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any

from .journal_records import RunRecord
from .report_data import Story
from .report_digest import Digest, chart_data, figures, strip
from .report_extra import charts_script
from .report_prices import Prices
from .report_tables import (
    audit_table,
    cost_table,
    day_table,
    event_table,
    held_table,
    moment,
    note_table,
    refusal_table,
    slip_sum_table,
    slip_table,
    trip_table,
)
from .report_timeline import down_s
from .report_words import LANGUAGES, WORDS

__all__ = ["render"]

SCRIPTS = ("drawing.js", "equity.js", "report.js")  # after the library that draws


def render(
    story: Story, found: Digest, prices: Sequence[Prices], languages: Sequence[str], made_ns: int
) -> str:
    """The page. languages: "en", "zh" or both, which a switch on the page chooses from."""
    headlines, every = figures(found)
    start = _asset("start.js")
    scripts = [charts_script(), *(_asset(name) for name in SCRIPTS)]
    template = _template(_words(languages))
    return str(
        template.render(
            languages=languages,
            policy=_policy([start, *scripts]),
            style=_asset("report.css"),
            start=start,
            scripts=scripts,
            data=chart_data(story, found, prices),
            name=story.path.name,
            subtitle=_subtitle(story, found),
            made=moment(made_ns),
            left_out=story.left_out,
            headlines=headlines,
            statistics=every,
            trips=trip_table(found.trips),
            held=held_table(found.held),
            days=day_table(found.days),
            costs=cost_table(found.costs),
            slip_sums=slip_sum_table(found.slip_sums),
            slips=slip_table(found.slips),
            refusals=refusal_table(story.refusals),
            audits=audit_table(story.audits),
            events=event_table(story.events),
            strip=strip(found.stretches),
            strip_ends=_ends(found),
            down_s=down_s(found.stretches),
            notes=note_table(story.notes),
            runs=[_run(each) for each in story.runs],
        )
    )


def _template(say: Callable[[str], Any]) -> Any:
    import jinja2  # noqa: PLC0415  an extra

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": False}
    environment.globals["say"] = say
    return environment.from_string(_asset("report.html"))


def _words(languages: Sequence[str]) -> Callable[[str], Any]:
    """Says a word in each of the languages; one that is not known, as it is."""
    from markupsafe import Markup, escape  # noqa: PLC0415  comes with jinja2

    tags = {"en": "en", "zh": "zh-CN"}

    def say(word: str) -> Any:
        known = WORDS.get(word)
        if known is None:
            return escape(word)
        texts = {name: known[LANGUAGES.index(name)] for name in languages}
        if len(texts) == 1:
            return escape(*texts.values())
        span = Markup('<span lang="{}">{}</span>')
        return Markup("").join(span.format(tags[name], text) for name, text in texts.items())

    return say


def _asset(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _policy(scripts: Iterable[str]) -> str:
    """What the browser may run and load: these scripts, styles in the page, nothing else."""
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _subtitle(story: Story, found: Digest) -> str:
    about = story.runs[-1].about
    symbols = sorted({fill.symbol for fill in story.fills}) or [str(about.get("symbols", ""))]
    shown = ", ".join(symbols[:4]) + (" …" if len(symbols) > 4 else "")
    period = f"{found.days[0].day} – {found.days[-1].day}"
    return " · ".join(part for part in (period, str(about.get("mode", "")), shown) if part)


def _ends(found: Digest) -> tuple[str, str]:
    every = found.stretches
    if not every:
        return "", ""
    return moment(min(s.from_ns for s in every)), moment(max(s.until_ns for s in every))


def _run(run: RunRecord) -> tuple[str, str, list[tuple[str, str]]]:
    """Name, beginning, and what is known of a run, line by line."""
    lines = [line for name, value in run.about.items() for line in _lines(name, str(value))]
    return run.run, moment(run.started_ns), lines


def _lines(name: str, value: str) -> list[tuple[str, str]]:
    """A value that is a JSON object, as a line for each of its own."""
    try:
        inner = json.loads(value) if value.startswith("{") else None
    except ValueError:
        inner = None
    if not isinstance(inner, dict):
        return [(name, value)]
    return [(f"{name}: {key}", str(each)) for key, each in inner.items()]
