"""Alarms reach people, once, and never hold trading up; their addresses stay secret."""

from __future__ import annotations

import builtins
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_broker import CU, EVENING, script
from test_restart import Looker

from tianqin_backtrader import Journal, LocalExchange, Notice, TqStore, alarms
from tianqin_backtrader.alarm_rules import ALARMING, Message, Throttle
from tianqin_backtrader.alarms import Alarms, addresses_of
from tianqin_backtrader.errors import ConfigError, WrongSetting

TOKEN = "s3cr3t-t0ken"
HOUR_S = 3_600.0


class Hook(ThreadingHTTPServer):
    """A web hook on loopback: what it was told."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}/{TOKEN}"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((body["title"], body["message"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Not here."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def deaf() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield f"json://127.0.0.1:{server.getsockname()[1]}/{TOKEN}"


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """All that is logged, at every level; websockets' DEBUG is every packet, the login's too."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    handler.addFilter(lambda record: not record.name.startswith("websockets"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


# ---- what is sent, and when


def lost(text: str = "the market socket") -> Message:
    return Message(Notice.CONNECTION_LOST, text)


def test_the_same_text_is_sent_once_and_counted() -> None:
    throttle = Throttle(same_s=600)
    assert throttle.take(lost(), 0.0) == [lost()]
    for now_s in (1.0, 2.0, 599.0):
        assert throttle.take(lost(), now_s) == []
    assert throttle.take(lost("the trading socket"), 3.0) == [lost("the trading socket")]
    assert throttle.due(599.9) == []
    assert throttle.due(600.0) == [lost("the market socket (+3 the same)")]
    assert throttle.due(1_200.0) == []
    assert throttle.take(lost(), 1_300.0) == [lost()]


def test_a_repeat_that_comes_after_its_time_is_said_after_the_count() -> None:
    throttle = Throttle(same_s=600)
    throttle.take(lost(), 0.0)
    throttle.take(lost(), 1.0)
    again = lost("the market socket (+1 the same)")
    assert throttle.take(lost(), 700.0) == [again, lost()]


def test_more_than_twenty_an_hour_become_one_summary() -> None:
    throttle = Throttle(most=20)
    refused = [Message(Notice.ORDER_REFUSED, f"order {number}") for number in range(50)]
    sent = [each for message in refused for each in throttle.take(message, 10.0)]
    assert sent == refused[:20]
    assert throttle.waits
    assert throttle.due(10.0 + HOUR_S - 1) == []
    (summary,) = throttle.due(10.0 + HOUR_S)
    assert "30 ORDER_REFUSED" in summary.text
    assert not throttle.waits


def test_a_halt_is_told_though_refusals_have_filled_the_hour() -> None:
    throttle = Throttle(most=2)
    for number in range(5):
        throttle.take(Message(Notice.ORDER_REFUSED, f"order {number}"), 0.0)
    halt = Message(Notice.RISK_HALT, "drawdown")
    assert throttle.take(halt, 1.0) == [halt]


def test_at_the_end_what_was_counted_is_said() -> None:
    throttle = Throttle(most=1)
    throttle.take(lost(), 0.0)
    throttle.take(lost(), 1.0)
    throttle.take(lost("another"), 1.0)
    texts = [message.text for message in throttle.rest()]
    assert texts[0] == "the market socket (+1 the same)"
    assert "1 CONNECTION_LOST" in texts[1]
    assert throttle.rest() == []


def test_what_concerns_the_strategy_only_is_no_alarm() -> None:
    assert not ALARMING & {Notice.CONTRACT_CHANGED, Notice.ROLLED, Notice.LATE_TICK}


# ---- sending


def test_alarms_arrive_with_their_title(hook: Hook) -> None:
    sender = Alarms([hook.url, hook.url], "tianqin-backtrader kq:")
    sender.tell(Notice.CONNECTION_LOST, "行情断线")
    sender.tell(Notice.ROLLED, "no alarm")
    sender.close()
    assert hook.heard == [("tianqin-backtrader kq: CONNECTION_LOST", "行情断线")] * 2
    sender.close()


def test_a_second_run_sends_again(hook: Hook) -> None:
    sender = Alarms([hook.url], throttle=lambda: Throttle(same_s=0.0))
    for _ in range(2):
        sender.tell(Notice.STARTED, "a run")
        sender.close()
    assert len(hook.heard) == 2


def test_a_server_that_hangs_delays_nobody(hook: Hook) -> None:
    with deaf() as url:
        sender = Alarms([url, hook.url])
        begin = time.perf_counter()
        for number in range(2_000):
            sender.tell(Notice.ORDER_REFUSED, f"order {number}")
        assert time.perf_counter() - begin < 3.0
        begin = time.perf_counter()
        with logged() as log:
            sender.close(patience_s=0.1)
        assert time.perf_counter() - begin < 3.0
        assert "could not be sent in time" in log.getvalue()  # nothing is dropped silently


def test_a_server_that_is_not_there_is_logged_without_its_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with logged() as log:
        sender = Alarms([f"json://127.0.0.1:{port}/{TOKEN}"])
        sender.tell(Notice.STARTED, "a run")
        sender.close()
    assert "STARTED was not sent by JSON" in log.getvalue()
    assert TOKEN not in log.getvalue()


def test_a_service_that_raises_ends_nothing(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Alarms([hook.url, hook.url])

    def fail(**_: Any) -> bool:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr(sender._services[0], "notify", fail)
    with logged() as log:
        sender.tell(Notice.STARTED, "a run")
        sender.tell(Notice.STOPPED, "a run")
        sender.close()
    assert [title for title, _ in hook.heard] == ["STARTED", "STOPPED"]
    assert "an alarm raised RuntimeError" in log.getvalue()
    assert TOKEN not in log.getvalue()


# ---- addresses


def test_addresses_are_apart_by_spaces_or_commas() -> None:
    mail = "mailto://u:p@example.com?to=a@example.com,b@example.com"
    assert addresses_of(f" {mail}, json://h/x\njson://h/y ") == [mail, "json://h/x", "json://h/y"]
    assert addresses_of("  ") == []


@pytest.mark.parametrize("url", [f"nosuch://{TOKEN}", TOKEN, "json://"])
def test_an_address_that_apprise_does_not_know_is_not_repeated(url: str) -> None:
    with logged() as log, pytest.raises(ConfigError, match="a URL that apprise knows") as error:
        TqStore(alerts=["json://127.0.0.1/x", url])
    text = str(error.value) + repr(error.value) + repr(vars(error.value)) + log.getvalue()
    assert "2 of 2" in text
    assert TOKEN not in text


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "apprise":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WrongSetting, match=r"tianqin-backtrader\[alerts\]") as error:
        TqStore(alerts=f"json://127.0.0.1/{TOKEN}")
    assert TOKEN not in str(error.value)
    TqStore()  # nobody needs it who wants no alarms


def test_addresses_come_from_the_environment(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANQIN_ALERTS", f"{hook.url} {hook.url}")
    store = TqStore()
    assert repr(store._alarms) == "Alarms(2 addresses)"
    assert TOKEN not in repr(store) + repr(store._settings) + repr(vars(store._alarms))


# ---- a whole run


def run(path: Path, **settings: Any) -> float:
    """A run with an order that is refused and one that fills; seconds of its bars."""
    import backtrader as bt  # noqa: PLC0415
    from support import Seen  # noqa: PLC0415

    def refused(strategy: Any) -> None:
        strategy.broker._store.tell(Notice.ORDER_REFUSED, f"order 9 of 138-0013: {SECRETS[0]}")

    with LocalExchange(end=EVENING) as exchange:
        urls: dict[str, Any] = {"auth_url": exchange.auth_url, "md_url": exchange.md_url}
        secret: dict[str, Any] = {
            "user": SECRETS[1],
            "password": SECRETS[0],
            "td_url": exchange.td_url,
        }
        with TqStore("kq", journal=path, **urls, **secret, **settings) as store:
            cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
            cerebro.setbroker(store.getbroker())
            cerebro.adddata(store.getdata(CU, history=5))
            act = script((2, lambda s: s.buy(size=1)), (4, refused))
            cerebro.addstrategy(Looker, seen=Seen(), act=act, notices=[], stop_after=8)
            begin = time.perf_counter()
            cerebro.run()
            return time.perf_counter() - begin


SECRETS = ("pass-w0rd-77", "13800138000")


def test_a_run_tells_of_its_start_its_refusals_and_its_end(hook: Hook, tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with logged() as log:
        run(path, alerts=[hook.url])
    titles = [title.rpartition(" ")[2] for title, _ in hook.heard]
    assert titles[0] == "STARTED"
    assert titles[-1] == "STOPPED"
    assert "ORDER_REFUSED" in titles
    said = str(hook.heard)
    rows = "".join(path.with_name(each.name).read_bytes().decode("latin-1")
                   for each in tmp_path.iterdir())  # fmt: skip
    assert "order 9 of 138-0013: ***" in rows
    for secret in (*SECRETS, TOKEN):
        assert secret not in said
        assert secret not in rows
        assert secret not in log.getvalue()
    with Journal(path) as journal:
        about = journal.runs()["about"][0]
    assert "alerts" not in about


def test_trading_does_not_wait_for_a_server_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, hangs = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        hangs.set()
        waits.wait(60)

    monkeypatch.setattr(alarms._Sender, "_send", hang)
    monkeypatch.setattr(alarms.Alarms.close, "__defaults__", (0.05,))
    took = run(tmp_path / "j.sqlite", alerts=f"json://127.0.0.1/{TOKEN}")
    assert hangs.is_set()
    assert took < 60
    waits.set()
