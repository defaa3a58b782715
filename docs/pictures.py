"""Make the pictures of the README and of the docs again, from real runs on the embedded exchange.

    python docs/pictures.py [--chromium PROGRAM]

terminal.png    what `python examples/run_live.py` prints
report-en.png   the head of the page that `python -m tianqin_backtrader report` makes of a run
report-zh.png   of twenty trading days (tests/report_replay.py), English and Chinese

The exchange is seeded: prices and fills are the same every time. Needs the extra `report`,
Chromium, and fonts for Chinese.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = Path(__file__).resolve().parent / "images"
WIDTH = 122  # columns of the terminal: the tables stand beside each other
COMMAND = "python examples/run_live.py"
PAGE_PX = (1280, 1332)  # of the report: equity, entries and exits
PATIENCE_S = 90
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests")]

import report_replay  # noqa: E402
import run_live  # noqa: E402

from tianqin_backtrader.cli_report import write_report  # noqa: E402

FONT_PX, LINE_PX = 15, 17  # at this height the lines of the tables touch
TERMINAL_PX = (1120, 605)
FRAME = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: {background}; color: {foreground}; }}
header {{ padding: 12px 16px 0; }}
header i {{ display: inline-block; width: 12px; height: 12px; border-radius: 6px; }}
header i + i {{ margin-left: 6px; }}
pre {{ margin: 10px 18px; font: FONT_PXpx/LINE_PXpx "DejaVu Sans Mono", monospace; }}
</style>
<header><i style="background:#ff5f57"></i><i style="background:#febc2e"></i
><i style="background:#28c840"></i></header>
<pre>{code}</pre>""".replace("FONT_PX", str(FONT_PX)).replace("LINE_PX", str(LINE_PX))


def terminal_page() -> str:
    """What the example writes to its standard output in a terminal of `WIDTH` columns."""
    said = io.StringIO()
    console = Console(file=said, width=WIDTH, color_system="standard", legacy_windows=False)
    run_live.run(run_live.arguments([]), console)
    drawn = Console(file=io.StringIO(), record=True, width=WIDTH, legacy_windows=False)
    drawn.print(f"[bold]$ {COMMAND}", highlight=False)
    drawn.print(Text.from_ansi(said.getvalue()))
    return drawn.export_html(theme=DIMMED_MONOKAI, code_format=FRAME, inline_styles=True)


def picture(chromium: str, url: str, target: Path, size: tuple[int, int], scale: float) -> None:
    """A PNG of `size` CSS pixels times `scale` of what the browser shows at `url`."""
    with TemporaryDirectory() as profile:
        fixed = (
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--hide-scrollbars", "--virtual-time-budget=3000",
        )  # fmt: skip
        subprocess.run(
            [chromium, *fixed, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
             f"--force-device-scale-factor={scale}", f"--screenshot={target}", url],
            check=True, capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1024} KB")


def terminal(chromium: str, folder: Path) -> None:
    page = folder / "terminal.html"
    page.write_text(terminal_page(), encoding="utf-8")
    picture(chromium, page.as_uri(), IMAGES / "terminal.png", TERMINAL_PX, 1.25)


def reports(chromium: str, folder: Path) -> None:
    journal, klines = report_replay.replay(folder)
    page = write_report(journal, bars=[klines])
    for lang in ("en", "zh"):
        url = f"{page.as_uri()}?lang={lang}"
        picture(chromium, url, IMAGES / f"report-{lang}.png", PAGE_PX, 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found = shutil.which("chromium") or shutil.which("google-chrome")
    parser.add_argument("--chromium", default=found, help="the browser (default: on the PATH)")
    chromium = parser.parse_args().chromium
    if chromium is None:
        parser.error("no Chromium on the PATH; say where it is with --chromium")
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        terminal(chromium, Path(folder))
        reports(chromium, Path(folder))


if __name__ == "__main__":
    main()
