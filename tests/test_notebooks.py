"""The notebooks run from clean, in a kernel of this interpreter, and show what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
NAMES = [path.stem for path in SCRIPTS]
README = FOLDER.parent / "README.md"
CHART = "application/vnd.plotly.v1+json"
PATIENCE_S = 120
FIRST_CHART_S = 120.0  # what the project promises
# Evaluated in the kernel when the notebook is over: what it found, printed as JSON.
FINDINGS = {
    "01_data_and_sessions": """dict(
        sessions=day.tolist(), same_volume=same_volume, hours=hours, main=int(contracts.main.sum()),
        ticks=len(ticks), first=str(bars.index[0]), last=str(bars.index[-1]))""",
    "02_backtest_to_exchange": """dict(
        same_bars=same_bars, same_orders=same_orders, orders=len(fills),
        same_fees=fills["fee"].round(2).tolist() == fills["fee there"].round(2).tolist(),
        difference=round(difference, 2), by_prices=round(float(by_prices), 2),
        state=run.status().state.value, bars=run.status().bars,
        fees=round(account.commission, 2), lots=int(fills["lots"].abs().sum()))""",
    "03_live_in_a_notebook": """dict(
        live=run.status().live_bars, early=seen.live_bars, state=run.status().state.value,
        trades=run.status().trades, held=int(run.positions()["net"].sum()), lots=int(lots),
        failed=failed.status().error, strategies=len(strategies), asked=len(asked),
        stopped=stopped)""",
    "04_reading_the_journal": """dict(
        orders=len(orders), legs=len(legs), trades=len(trades), cash=float(cash), held=held,
        profit=float(profit), fees=float(fees["sum"].sum()),
        account_fees=broker.account().commission, states=sorted(set(orders["state"])),
        keys=bool(set(trades["key"]) <= set(orders["key"])),
        refused=refusals["code"].tolist(), kinds=events["kind"].tolist(),
        pictures=[accounts["why"].iloc[0], accounts["why"].iloc[-1]],
        settlements=int((accounts["why"] == "settlement").sum()),
        most=int(positions["long_today"].max()), balance=float(accounts["balance"].iloc[-1]),
        account=broker.getvalue(), exported=len(exported),
        files=[file.name for file in files], filled=int(exported["filled"].sum()),
        volume=int(trades["volume"].sum()))""",
}


def clean_environment(home: Path) -> dict[str, str]:
    """No credentials and no settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIANQIN_")}
    folders = {"HOME": str(home), "USERPROFILE": str(home), "IPYTHONDIR": str(home / "ipython")}
    return kept | folders | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}


class Ran:
    """A notebook that was executed, its findings and how long its first chart took."""

    def __init__(self, path: Path, home: Path) -> None:
        self.notebook = jupytext.read(path)
        found = f"import json; print(json.dumps({FINDINGS[path.stem]}, default=lambda v: v.item()))"
        self.notebook.cells.append(nbformat.v4.new_code_cell(found))
        client = NotebookClient(
            self.notebook,
            timeout=PATIENCE_S,
            kernel_name="python3",  # of this interpreter: jupyter_client puts sys.executable in
            resources={"metadata": {"path": str(home)}},
            on_cell_executed=self._look,
        )
        self.first_chart_s: float | None = None
        self._began = time.monotonic()
        client.execute(env=clean_environment(home))
        self.seconds = time.monotonic() - self._began
        self.found: dict[str, Any] = json.loads(self.notebook.cells[-1].outputs[-1]["text"])

    def _look(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        charted = any(CHART in output.get("data", {}) for output in cell.outputs)
        if charted and self.first_chart_s is None:
            self.first_chart_s = time.monotonic() - self._began

    @property
    def charts(self) -> list[dict[str, Any]]:
        cells = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        outputs = [output for cell in cells for output in cell.outputs]
        return [each["data"][CHART] for each in outputs if CHART in each.get("data", {})]

    @property
    def text(self) -> str:
        return str(nbformat.writes(self.notebook))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """All notebooks, each in a kernel and a folder of its own, two at a time."""
    homes = [tmp_path_factory.mktemp(name) for name in NAMES]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(NAMES, pool.map(Ran, SCRIPTS, homes), strict=True))


def test_there_are_four_notebooks() -> None:
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04"]
    assert set(NAMES) == set(FINDINGS)


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_made_of_its_script(name: str) -> None:
    """Remedy: jupytext --update --to ipynb notebooks/*.py"""
    script = jupytext.read(FOLDER / f"{name}.py")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [[(cell.cell_type, cell.source) for cell in each.cells] for each in (script, notebook)]
    assert cells[0] == cells[1]
    assert not any(cell.get("outputs") for cell in notebook.cells)  # so that diffs read
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_goes_wrong_unseen(name: str, ran: dict[str, Ran]) -> None:
    print(f"{name}: {ran[name].seconds:.1f} s")
    assert "Traceback" not in ran[name].text
    assert not re.search(r"(?i)\bdeprecat", ran[name].text)


def test_a_first_chart_takes_less_than_two_minutes(ran: dict[str, Ran]) -> None:
    seconds = ran["01_data_and_sessions"].first_chart_s
    print(f"from the kernel's start to the first candlesticks: {seconds:.1f} s")
    assert seconds is not None
    assert seconds < FIRST_CHART_S


def test_data_and_sessions(ran: dict[str, Ran]) -> None:
    """By hand: copper 21:00-1:00, 9:00-10:15, 10:30-11:30, 13:30-15:00; meal until 23:00."""
    done = ran["01_data_and_sessions"]
    assert done.found == {
        "sessions": [240, 135, 90],
        "same_volume": True,
        "hours": {"SHFE.cu2512": 7.75, "DCE.m2601": 5.75, "CFFEX.IF2512": 4.0},
        "main": 1,
        "ticks": 1_000,
        "first": "2025-09-12 21:01:00+08:00",
        "last": "2025-09-15 15:00:00+08:00",
    }
    minutes, days = done.charts
    assert (len(minutes["data"][0]["x"]), len(days["data"][0]["x"])) == (465, 120)


def test_backtest_to_exchange(ran: dict[str, Ran]) -> None:
    """Copper costs 20.20 CNY a lot, 40.40 to close today's: two of the four lots that turn over."""
    found = ran["02_backtest_to_exchange"].found
    orders = found.pop("orders")
    assert orders > 5
    assert found.pop("lots") == 4 * orders - 2  # it turns over, but for the first one
    assert found.pop("fees") == round(2 * 20.2 * orders + 2 * 40.4 * (orders - 1), 2)
    assert found.pop("difference") == found.pop("by_prices")
    assert found == {
        "same_bars": True,
        "same_orders": True,
        "same_fees": True,
        "state": "ended",
        "bars": 930,
    }


def test_live_in_a_notebook(ran: dict[str, Ran]) -> None:
    done = ran["03_live_in_a_notebook"]
    found = done.found
    assert 2 <= found["early"] <= found["live"]
    assert found["live"] >= 30
    assert (found["asked"], found["stopped"]) == (5, True)
    assert (found["state"], found["strategies"]) == ("stopped", 1)
    assert found["failed"] == "RuntimeError: no such indicator"
    assert found["trades"] > 0
    assert {found["held"], found["lots"]} <= {-1, 0, 1}
    shown, last = done.charts
    assert len(last["data"][0]["x"]) == min(60 + found["live"], 120)
    assert shown["data"][0]["close"] == last["data"][0]["close"]  # drawn anew until the end


def test_reading_the_journal(ran: dict[str, Ran]) -> None:
    """It holds three lots or none, settles once, and is refused nine lots where five may be."""
    found = ran["04_reading_the_journal"].found
    assert found["orders"] >= 3
    assert found["orders"] % 3 == 0  # brackets
    assert found["keys"]
    assert set(found["states"]) <= {"Completed", "Canceled", "Accepted"}
    assert found["held"] == 0
    assert found["profit"] == pytest.approx(found["cash"])
    assert found["fees"] == pytest.approx(found["account_fees"])
    assert found["refused"] == ["ORDER_SIZE"]
    assert found["kinds"] == ["STARTED", "ORDER_REFUSED", "SETTLED", "STOPPED"]
    assert (found["pictures"], found["settlements"]) == (["start", "end"], 1)
    assert (found["most"], found["balance"]) == (3, pytest.approx(found["account"]))
    assert found["files"] == ["orders.csv", "trades.csv", "positions.csv", "accounts.csv"]
    assert (found["exported"], found["filled"]) == (found["orders"], found["volume"])


def test_the_readme_draws_candlesticks_in_two_minutes(tmp_path: Path) -> None:
    """The program of "In a notebook", in a fresh process, its last line replaced by a file."""
    text = README.read_text(encoding="utf-8")
    (program,) = [
        block
        for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if "candlestick(" in block
    ]
    saved = "\nfigure.write_html('chart.html', include_plotlyjs=False)\nstore.stop()\n"
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", program + saved],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        check=True,
        timeout=FIRST_CHART_S,
    )
    print(f"the README's candlesticks: {time.monotonic() - began:.1f} s")
    assert "candlestick" in (tmp_path / "chart.html").read_text(encoding="utf-8")
