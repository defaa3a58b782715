"""The recorder against the embedded exchange: every tick once, whatever is killed when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import typer
from recordings import SECOND, known_days, ns, parquet, record, row, whole
from typer.testing import CliRunner

from tianqin_backtrader import LocalExchange, recorder
from tianqin_backtrader.cli_record import record as command
from tianqin_backtrader.connection import Connection
from tianqin_backtrader.errors import (
    ExpiredSymbol,
    GatewayTimeout,
    UnknownSymbol,
    WrongMode,
    WrongSetting,
)
from tianqin_backtrader.model import Instrument
from tianqin_backtrader.recorder import Recorder
from tianqin_backtrader.sim.market import Market
from tianqin_backtrader.sim.values import MarketTick
from tianqin_backtrader.stream import TickStream

COPPER = "SHFE.cu2511"
MEAL = "DCE.m2601"
DAY = date(2025, 9, 16)
# the last minutes of a night, the break, the first of the morning; and the trading day after it
SEEDED: dict[str, Any] = {"seed": 7, "start": datetime(2025, 9, 16, 0, 55)}  # noqa: DTZ001
UNTIL = datetime(2025, 9, 16, 9, 5)  # noqa: DTZ001

Clock = Callable[[int], None]


def sent(symbol: str, start_ns: int, end_ns: int, **market: Any) -> list[MarketTick]:
    """What the exchange sends of a contract: the market's own ticks, from day to day."""
    source = Market.seeded(**market)
    days = [source.calendar.trading_day_of(start_ns)]
    while source.calendar.begins_ns(days[-1]) < end_ns:
        days.append(source.calendar.next_trading_day(days[-1]))
    ticks = (tick for day in days for tick in source.day_ticks(symbol, day))
    return [tick for tick in ticks if start_ns < tick.time_ns <= end_ns]


def test_every_tick_of_the_exchange_is_in_the_file_once(tmp_path: Path) -> None:
    out = tmp_path / "ticks"
    record(LocalExchange(**SEEDED, end=UNTIL), out, [COPPER, MEAL])
    start_ns, end_ns = ns("2025-09-16 00:55:00"), ns("2025-09-16 09:05:00")
    for symbol, levels in ((COPPER, 5), (MEAL, 1)):
        expected = sent(symbol, start_ns, end_ns, **SEEDED)
        frame = whole(out, symbol)
        frame = frame[frame["datetime"] > start_ns]  # the first one is older: it was there already
        assert frame["datetime"].tolist() == [tick.time_ns for tick in expected]
        assert frame["id"].diff().dropna().eq(1).all()
        for name in ("last_price", "volume", "amount", "open_interest", "highest", "average"):
            values = [getattr(tick, name) for tick in expected]
            assert frame[name].tolist() == pytest.approx(values, rel=0, abs=0, nan_ok=True)
        for side, book in (("bid", "bids"), ("ask", "asks")):
            last = getattr(expected[-1], book)
            shown = frame.iloc[-1]
            for n in range(1, levels + 1):
                level = (shown[f"{side}_price{n}"], shown[f"{side}_volume{n}"])
                assert level == last[n - 1]
    names = [path.relative_to(out).as_posix() for path in parquet(out, COPPER)]
    assert names == ["2025-09-16/SHFE.cu2511.parquet"]


def test_terms_are_written_as_the_exchange_reads_them(tmp_path: Path, records: Path) -> None:
    out = tmp_path / "ticks"
    record(LocalExchange(**SEEDED, end=UNTIL), out, [COPPER])
    rows = json.loads((out / "instruments.json").read_text(encoding="utf-8"))
    real = json.loads((records / "instruments" / "2020-06-16.json").read_text(encoding="utf-8"))
    copper = next(row for symbol, row in real.items() if symbol.startswith("SHFE.cu"))
    assert rows.keys() == {COPPER}
    assert rows[COPPER].keys() <= copper.keys()
    for name in ("class", "exchange_id", "product_id", "price_tick", "price_decs"):
        assert rows[COPPER][name] == copper[name]
    assert rows[COPPER]["volume_multiple"] == 5
    assert rows[COPPER]["trading_time"]["night"] == [["21:00:00", "25:00:00"]]


def test_a_main_contract_is_recorded_as_what_it_stands_for_day_by_day(tmp_path: Path) -> None:
    """Copper's main contract changes on the first trading day of October, after the holidays."""
    start, end = datetime(2025, 9, 30, 14, 55), datetime(2025, 10, 9, 9, 5)  # noqa: DTZ001
    exchange = LocalExchange(seed=7, start=start, end=end)
    market = Market.seeded(seed=7, start=start)
    before, after = (
        market.main_contract("KQ.m@SHFE.cu", day) for day in (date(2025, 9, 30), date(2025, 10, 9))
    )
    assert before != after
    out = tmp_path / "ticks"
    told = record(exchange, out, ["KQ.m@SHFE.cu", MEAL])[1]
    assert [line for line in told if before in line]
    assert [line for line in told if after in line]
    recorded = {path.relative_to(out).as_posix() for path in parquet(out)}
    assert f"2025-09-30/{before}.parquet" in recorded
    assert f"2025-10-09/{after}.parquet" in recorded
    ticks = whole(out, after)
    until_ns = ns("2025-10-09 09:05:00")
    expected = sent(after, ns("2025-10-08 18:00:00"), until_ns, seed=7, start=start)
    today = ticks[ticks["trading_day"] == "2025-10-09"]
    assert today["datetime"].tolist() == [tick.time_ns for tick in expected]
    assert not [path for path in parquet(out) if "KQ" in path.name]


def test_unknown_and_expired_contracts_leave_no_trace(tmp_path: Path) -> None:
    out = tmp_path / "ticks"
    for symbol in ("SHFE.xx2511", "cu2511", ""):
        with pytest.raises(UnknownSymbol):
            record(LocalExchange(**SEEDED), out, [COPPER, symbol])
    server = Server()
    server.expired = True
    with pytest.raises(ExpiredSymbol, match=r"DCE\.m2601"), recording(server, out):
        pass
    assert not out.exists()


def test_ticks_of_another_market_are_not_mixed_in(tmp_path: Path) -> None:
    out = tmp_path / "ticks"
    end = datetime(2025, 9, 16, 0, 57)  # noqa: DTZ001
    record(LocalExchange(**SEEDED, end=end), out, [COPPER])
    before = whole(out, COPPER)
    other = SEEDED | {"seed": 8, "ticks_per_minute": 6}
    with pytest.raises(WrongSetting, match="another --out"):
        record(LocalExchange(**other), out, [COPPER], width=100)  # the same ids at other times
    with pytest.raises(WrongSetting, match="another --out"):
        record(LocalExchange(**other), out, [COPPER])  # lower ids, seen when 00:57 is over
    pd.testing.assert_frame_equal(whole(out, COPPER), before)
    record(LocalExchange(**SEEDED, end=UNTIL), out, [COPPER])  # the same one goes on
    assert whole(out, COPPER)["id"].diff().dropna().eq(1).all()


# ---- a server that is written by hand


class Server:
    """Stands for `Connection`: one contract, its tick serial filled by the test."""

    ended = expired = is_mute = False

    def __init__(self) -> None:
        self.rows: dict[int, Mapping[str, Any]] = {}
        self.serial: dict[str, Any] = {"last_id": -1, "data": {}}
        self.quote: dict[str, Any] = {}
        self.listing = SimpleNamespace(
            quote=lambda symbol: self.quote, market_day=lambda symbol: None
        )
        self.api = SimpleNamespace(_data={"ticks": {"DCE.m2601": self.serial}})
        self.widths: list[int] = []
        self.width = 0
        self.on_wait: Callable[[], None] = lambda: None

    def instrument(self, symbol: str) -> Instrument:
        hours = {"day": (("09:00:00", "11:30:00"),)}
        nan = float("nan")
        return Instrument(
            symbol, "DCE", "m", "豆粕", "FUTURE", 1.0, 10, hours, nan, nan, 0, self.expired, 0,
            0, nan, nan, nan, "",
        )  # fmt: skip

    def tick_chart(self, symbol: str, width: int) -> SimpleNamespace:
        """Of the widest window that was asked for, as the real one."""
        self.widths.append(width)
        if self.is_mute:
            raise GatewayTimeout("no ticks within 30 s")
        self.width = max(self.width, width)
        last_id = max(self.rows, default=-1)
        self.show(last_id)
        first_id = max(last_id - self.width + 1, 0)
        return SimpleNamespace(
            width=self.width,
            is_empty=last_id < 0,
            stream=lambda: TickStream(symbol, self.serial, first_id),
        )

    def wait(self, deadline_s: float) -> bool:
        self.on_wait()
        return True

    def come(self, ids: range, *, shown: int = 10_000) -> None:
        """Ticks come; the client is shown the newest `shown` of them."""
        for n in ids:
            self.rows[n] = row(f"2025-09-16 09:{n // 60:02d}:{n % 60:02d}", 3000.0, n)
        self.show(ids[-1], shown)

    def show(self, last_id: int, shown: int = 10_000) -> None:
        self.serial["last_id"] = last_id
        first = max(last_id - min(shown, self.width) + 1, 0)
        news = {str(n): self.rows[n] for n in range(first, last_id + 1) if n in self.rows}
        self.serial["data"].update(news)


@contextmanager
def recording(server: Server, out: Path, width: int = 10) -> Iterator[Recorder]:
    with Recorder(cast("Connection", server), out, known_days(), width) as opened:
        opened.start(["DCE.m2601"])
        yield opened


def ids(out: Path) -> list[int]:
    found: list[int] = whole(out, "DCE.m2601")["id"].tolist()
    return found


def test_an_interruption_is_bridged_by_a_wider_look_back(tmp_path: Path) -> None:
    """After a reconnect TqSdk shows the newest ticks only, as many as were asked for."""
    server, out = Server(), tmp_path / "ticks"
    server.come(range(100))
    with recording(server, out) as running:
        server.come(range(100, 105))
        running.step()
        server.come(range(105, 500), shown=10)
        running.step()
        assert server.widths == [10, 395 + 100]
        assert running.progress[0].lost == 0
    assert ids(out) == list(range(90, 500))


def test_a_server_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    server, out = Server(), tmp_path / "ticks"
    server.come(range(100))
    with recording(server, out) as running:
        server.is_mute = True
        server.come(range(100, 500), shown=10)
        running.step()
        server.is_mute = False
        server.come(range(500, 501), shown=1)
        running.step()
        assert running.progress[0].lost == 0
    assert ids(out) == list(range(90, 501))


def test_a_restart_bridges_what_came_meanwhile(tmp_path: Path) -> None:
    server, out = Server(), tmp_path / "ticks"
    server.come(range(20))
    with recording(server, out):
        pass
    server.come(range(20, 1_500))
    with recording(server, out) as running:
        assert server.widths == [10, 10, 1_480 + 100]
        assert running.progress[0].ticks == 1_480
    assert ids(out) == list(range(10, 1_500))


def test_ticks_that_are_gone_are_counted_once(tmp_path: Path) -> None:
    server, out = Server(), tmp_path / "ticks"
    server.come(range(3_000))
    with recording(server, out) as running:
        for n in range(3_000, 3_100):
            server.rows[n] = {}
        server.rows = {n: each for n, each in server.rows.items() if n < 3_000}
        server.come(range(3_100, 3_200))
        running.step()
        server.come(range(3_200, 3_300))
        running.step()
        assert running.progress[0].lost == 100
    assert ids(out) == [*range(2_990, 3_000), *range(3_100, 3_300)]


def test_a_contract_that_never_had_a_tick_is_recorded_from_its_first_one(tmp_path: Path) -> None:
    """Its chart is given back, for it would hold up all others after a reconnect."""
    server, out = Server(), tmp_path / "ticks"
    with recording(server, out) as running:
        running.step()
        assert server.widths == [10]
        server.rows = {0: row("2025-09-16 09:00:00", 3000.0, 0)}
        server.quote = {"datetime": "2025-09-16 09:00:00.000000"}
        running.step()
        server.come(range(1, 5))
        running.step()
    assert ids(out) == list(range(5))


def test_no_tick_waits_longer_than_a_second_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock of the test's own: half a second between two writes, 0.1 s for a wait."""
    now = SimpleNamespace(ns=0)
    monkeypatch.setattr(recorder, "monotonic_ns", lambda: now.ns)
    server, out = Server(), tmp_path / "ticks"
    server.come(range(1))
    came: dict[int, int] = {0: 0}

    def on_wait() -> None:
        now.ns += SECOND // 10
        newest = max(came)
        came[newest + 1] = now.ns
        server.come(range(newest + 1, newest + 2))

    server.on_wait = on_wait
    with recording(server, out) as running:
        for _ in range(40):
            running.step()
            on_disk = max(ids(out)) if parquet(out) else -1
            assert all(now.ns - at < SECOND for n, at in came.items() if n > on_disk)
    assert ids(out) == list(range(41))


def test_what_was_taken_leaves_tqsdks_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows cost 5 kB each there: a hundred contracts would fill 10 GB a day."""
    now = SimpleNamespace(ns=0)
    monkeypatch.setattr(recorder, "monotonic_ns", lambda: now.ns)
    server = Server()
    server.come(range(100))
    with recording(server, tmp_path / "ticks") as running:
        for n in range(100, 250):
            now.ns += SECOND // 2
            server.come(range(n, n + 1), shown=1)
            running.step()
            assert len(server.serial["data"]) <= 21
        assert running.progress[0].ticks == 160


# ---- as a program


def program(out: Path, exchange: LocalExchange, *more: str) -> subprocess.Popen[str]:
    """`record` as a process of its own, on an exchange in this one."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TIANQIN_", "TQ_"))}
    urls = {f"TIANQIN_{n.upper()}": getattr(exchange, n) for n in ("auth_url", "md_url", "td_url")}
    arguments = ["record", COPPER, "--out", str(out), *more]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tianqin_backtrader", *arguments],
        env=kept | urls | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def wait_for(running: subprocess.Popen[str], happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_recorder_loses_a_second_at_most_and_goes_on(tmp_path: Path) -> None:
    """Killed at its first file and in the middle of one; then stopped by SIGTERM."""
    out, speed = tmp_path / "ticks", 20.0
    market: dict[str, Any] = {"seed": 5, "start": DAY, "ticks_per_minute": 60}
    with LocalExchange(speed=speed, **market) as exchange:
        known = 0
        for more in (1, 40):
            running = program(out, exchange, "--width", "1")
            wanted = known + more
            wait_for(running, lambda n=wanted: recorded(out) >= n, "ticks")  # type: ignore[misc]
            killed_ns = exchange.now_ns
            running.kill()
            running.communicate()
            frame = whole(out, COPPER)
            known = len(set(frame["id"]))
            assert sorted(set(frame["id"]))[-1] - frame["id"].min() == known - 1  # none between
            missed = sent(COPPER, int(frame["datetime"].max()), killed_ns, **market)
            # it saves every half second; a machine that is busy with other tests adds to that
            assert len(missed) <= speed * 2.0, f"{len(missed)} ticks of a market second each"
        running = program(out, exchange)
        wait_for(running, lambda: recorded(out) > known, "ticks")
        running.send_signal(signal.SIGTERM)
        shown = running.communicate(timeout=30)[0]
        assert running.returncode == 0, shown
    assert f"{COPPER}: recorded up to 2025-09-15 21:" in shown
    assert [path.name for path in parquet(out / "2025-09-16")] == [f"{COPPER}.parquet"]
    frame = whole(out, COPPER)
    newest_ns = int(frame["datetime"].max())
    expected = sent(COPPER, int(frame["datetime"].min()), newest_ns, **market)
    assert frame["datetime"].tolist()[1:] == [tick.time_ns for tick in expected]
    assert frame["id"].diff().dropna().eq(1).all()
    assert f"{COPPER}: " in shown.splitlines()[-1]


def recorded(out: Path) -> int:
    """How many ticks are on disk of the first trading day."""
    frames = [pd.read_parquet(path, columns=["id"]) for path in parquet(out / "2025-09-16")]
    return len(pd.concat(frames)["id"].unique()) if frames else 0


def invoke(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith(("TIANQIN_", "TQ_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_demo_records_from_an_exchange_of_its_own(clean: Path) -> None:
    done = invoke("SHFE.rb2601", "--seconds", "1.5", "--width", "20")
    assert done.exit_code == 0, done.output
    assert "recording SHFE.rb2601 into ticks" in done.output
    assert len(whole(clean / "ticks", "SHFE.rb2601")) >= 20


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["SHFE.xx2511"], UnknownSymbol),
        (["SHFE.cu2511", "--mode", "fly"], WrongMode),
        (["SHFE.cu2511", "--mode", "live"], WrongMode),
        (["SHFE.cu2511", "--width", "0"], SystemExit),
        (["SHFE.cu2511", "--seconds", "-1"], SystemExit),
        ([], SystemExit),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_bad_input_is_told_before_anything_is_written(
    arguments: list[str], error: type[BaseException], clean: Path
) -> None:
    done = invoke(*arguments)
    assert isinstance(done.exception, error)
    if isinstance(done.exception, SystemExit):
        assert done.exit_code == 2
    assert list(clean.iterdir()) == []
