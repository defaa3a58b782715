"""No password and no account number in logs, journal, errors or representations of a whole run."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from live_stage import ACCOUNT, ACCOUNT_PASSWORD, PASSWORD, USER, Wire, set_credentials, trade
from shinny_structlog import JSONFormatter
from test_broker import CU, script

from tianqin_backtrader import Journal, LocalExchange, TqStore
from tianqin_backtrader.config import load_settings
from tianqin_backtrader.errors import (
    InvalidOrder,
    LiveTradingRefused,
    LoginRefused,
    TianqinError,
    WrongSetting,
)
from tianqin_backtrader.hiding import Hider, secrets_of

END = datetime(2025, 9, 15, 21, 20)  # noqa: DTZ001  Beijing time
SECRETS = {"account": ACCOUNT, "its password": ACCOUNT_PASSWORD, "user": USER, "password": PASSWORD}


def found_in(text: str) -> list[str]:
    """Which secrets a text shows."""
    return [name for name, secret in SECRETS.items() if secret in text]


class Everything(logging.Formatter):
    """All that a record holds: other formatters show less."""

    def format(self, record: logging.LogRecord) -> str:
        whole = {name: value for name, value in record.__dict__.items() if name != "exc_info"}
        return f"{super().format(record)} {whole}"


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """The folder of log files that every logger writes at DEBUG."""
    folder = tmp_path / "logs"
    folder.mkdir()
    root, level = logging.getLogger(), logging.getLogger().level
    shapes: dict[str, logging.Formatter] = {
        "plain": logging.Formatter("%(name)s %(message)s"),
        "json": JSONFormatter(),
        "everything": Everything("%(name)s %(message)s"),
    }
    handlers = []
    for name, shape in shapes.items():
        handler = logging.FileHandler(folder / f"{name}.log", encoding="utf-8")
        handler.setFormatter(shape)
        if name == "json":  # TqSdk's own, which takes no other library's records
            handler.addFilter(logging.Filter("TqApi"))
        root.addHandler(handler)
        handlers.append(handler)
    root.setLevel(logging.DEBUG)
    yield folder
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)
        handler.close()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Wire]:
    set_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("TIANQIN_LIVE_ENABLED", "true")
    with LocalExchange(end=END) as exchange:
        yield Wire(exchange)


def test_a_whole_run_with_everything_logged_shows_no_secret(
    wire: Wire, logs: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "orders.sqlite"
    shown: list[str] = []

    def store(**given: Any) -> TqStore:
        options: dict[str, Any] = {"confirm_live": ACCOUNT, "journal": journal}
        return TqStore("live", **options | wire.urls | given)

    def fails(act: Any, *kinds: type[TianqinError]) -> None:
        with pytest.raises(kinds) as caught:
            act()
        shown.append("".join(traceback.format_exception(caught.value)))
        shown.append(repr(caught.value))

    def over_close(strategy: Any) -> None:
        strategy.broker._store.connection.api.insert_order(CU, "SELL", "CLOSE", 9, 90_000)

    def refused(strategy: Any) -> None:
        try:
            strategy.sell_close = strategy.broker.sell_close(CU, 400)
        except InvalidOrder as error:
            shown.append(str(error))

    def show(strategy: Any) -> None:
        store_ = strategy.broker._store
        things = (store_, store_._settings, store_.connection, strategy.broker, strategy.data,
                  store_.__dict__, store_.connection.__dict__, strategy.broker.__dict__,
                  store_.floor, store_.pump, strategy.broker.account(), store_.connection.listing,
                  strategy.broker.external_orders(), store_.connection.hider,
                  store_.connection.hider.__dict__)  # fmt: skip
        shown.extend(f"{thing!r} {thing}" for thing in things[:-1])

    fails(lambda: store(confirm_live=ACCOUNT + "0").start(), LiveTradingRefused)
    wire.exchange.refuse_logins()
    fails(lambda: store().start(), LoginRefused)
    wire.exchange.refuse_logins(False)
    act = script((2, lambda s: s.buy(size=2)), (4, over_close), (6, refused), (8, show))
    trade(store(), act)
    kinds = ("orders", "legs", "trades", "runs", "stops", "holdings", "rolls")
    written = "\n".join(getattr(Journal(journal), kind)().to_string() for kind in kinds)
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("orders.sqlite*"))

    assert wire.count("insert_order") >= 2
    assert len(shown) >= 18
    assert found_in("\n".join(shown)) == []
    assert found_in(written + raw.decode("utf-8", "replace")) == []
    for path in logs.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "TqApi" in text  # TqSdk's own loggers were heard
        assert found_in(text) == [], path.name
    assert "websockets.client" in (logs / "plain.log").read_text(encoding="utf-8")


def test_the_logs_would_show_them_otherwise(
    wire: Wire, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: urllib3 logs the account's number in an address, TqSdk the user."""
    monkeypatch.setattr(Hider, "hide", lambda _, text: text)
    trade(TqStore("live", confirm_live=ACCOUNT, journal=tmp_path / "o.sqlite", **wire.urls), None)
    assert "account" in found_in((logs / "plain.log").read_text(encoding="utf-8"))
    assert "user" in found_in((logs / "json.log").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["account_id", "account_password", "password", "user"])
def test_a_value_of_the_wrong_kind_is_not_repeated(name: str) -> None:
    with pytest.raises(WrongSetting) as caught:
        load_settings(mode="demo", **{name: 8_800_231_417})
    assert name in str(caught.value)
    assert "8800231417" not in f"{caught.value} {caught.value.arrived}"


def test_short_secrets_do_not_tear_words_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(mode="kq", user="me", password="long enough")
    assert secrets_of(settings) == ("long enough",)
    assert Hider(secrets_of(settings)).hide("me: long enough") == "me: <hidden>"


def test_filters_leave_with_their_session(wire: Wire, tmp_path: Path) -> None:
    before = len(logging.getLogger("websockets.client").filters)
    with TqStore("live", confirm_live=ACCOUNT, journal=tmp_path / "o.sqlite", **wire.urls) as store:
        store.start()
        assert len(logging.getLogger("websockets.client").filters) == before + 1
    assert len(logging.getLogger("websockets.client").filters) == before


def test_a_traceback_is_cleaned(wire: Wire, logs: Path) -> None:
    hider = Hider([ACCOUNT])
    hider.watch()
    try:
        raise ValueError(ACCOUNT)
    except ValueError:
        logging.getLogger("TqApi").exception("failed with %s", ACCOUNT)
    finally:
        hider.leave()
    text = (logs / "plain.log").read_text(encoding="utf-8")
    assert "ValueError: <hidden>" in text
    assert found_in(text) == []


def test_stops_of_bt_orders_name_no_account(wire: Wire, tmp_path: Path) -> None:
    """Backtrader prints orders with their info."""

    def act(strategy: Any) -> None:
        strategy.buy(exectype=bt.Order.Limit, price=strategy.data.close[0] - 900)

    store = TqStore("live", confirm_live=ACCOUNT, journal=tmp_path / "o.sqlite", **wire.urls)
    seen, _ = trade(store, script((2, act)))
    assert found_in("\n".join(map(str, seen.orders))) == []
