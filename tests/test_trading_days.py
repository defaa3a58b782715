"""Where known trading days end: TqSdk's list, the user's file, and otherwise a loud warning."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from test_feeds import CU, MINUTE, beijing, feeds_of, watch

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.connection import Connection
from tianqin_backtrader.errors import BadCalendarFile, GatewayTimeout
from tianqin_backtrader.trading_days import TradingDays

NEW_YEAR = ["2027-01-01", "2027-02-05", "2027-02-08"]  # a Friday, a Friday, a Monday


class Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def ns(day: date) -> int:
    """Eight in the morning, Beijing time."""
    return (day - date(1970, 1, 1)).days * 86_400_000_000_000


def test_tqsdks_list_is_asked_for_once_and_only_where_known_days_end() -> None:
    asked = []

    def fetch() -> list[str]:
        asked.append(1)
        return NEW_YEAR

    days = TradingDays(None)
    days.prepare(date(2026, 6, 1), fetch)
    assert asked == []
    days.prepare(date(2026, 12, 21), fetch)
    days.prepare(date(2026, 12, 22), fetch)
    assert asked == [1]
    assert not days.calendar.is_trading_day(date(2027, 1, 1))
    assert days.calendar.is_trading_day(date(2027, 1, 4))
    assert days.warning(ns(date(2026, 12, 22))) is None


def test_a_list_that_cannot_be_had_leaves_weekdays_and_one_warning() -> None:
    def fetch() -> list[str]:
        raise GatewayTimeout("no answer")

    days = TradingDays(None)
    days.prepare(date(2026, 12, 21), fetch)
    assert days.calendar.is_trading_day(date(2027, 1, 1))
    text = days.warning(ns(date(2026, 12, 21)))
    assert text is not None
    assert "2026-12-31" in text
    assert "TIANQIN_HOLIDAYS" in text
    assert days.warning(ns(date(2026, 12, 22))) is None


def test_the_users_file_speaks_for_its_years(tmp_path: Path) -> None:
    path = tmp_path / "holidays.txt"
    path.write_text("# 2027\n" + "\n".join(NEW_YEAR) + "\n", encoding="utf-8")
    store = TqStore(holidays=path)
    assert not store.calendar.is_trading_day(date(2027, 2, 8))
    assert store.calendar.covered_until == date(2027, 12, 31)


def test_a_bad_file_is_refused_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "holidays.txt"
    path.write_text("2027-01-01\n1 May 2027\n", encoding="utf-8")
    with pytest.raises(BadCalendarFile, match="line 2"):
        TqStore(holidays=path)
    with pytest.raises(BadCalendarFile, match=r"gone\.txt"):
        TqStore(holidays=tmp_path / "gone.txt")


def test_tqsdks_own_list_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        def json(self) -> list[str]:
            return NEW_YEAR

    monkeypatch.setattr("tqsdk.calendar.rest_days_df", None)
    monkeypatch.setattr("tqsdk.calendar.chinese_holidays_range", None)
    monkeypatch.setattr("tqsdk.calendar.requests.get", lambda *_, **__: Answer())
    with TqStore(exchange=LocalExchange()) as store:
        store.start()
        assert store.connection.holidays() == NEW_YEAR


def test_no_network_is_a_timeout_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise requests.ConnectionError("unreachable")

    monkeypatch.setattr("tqsdk.calendar.rest_days_df", None)
    monkeypatch.setattr("tqsdk.calendar.requests.get", refuse)
    with TqStore(exchange=LocalExchange()) as store:
        store.start()
        connection: Connection = store.connection
        with pytest.raises(GatewayTimeout, match="ConnectionError"):
            connection.holidays()


def test_the_end_of_known_days_is_told_and_the_run_goes_on() -> None:
    """A date beyond the calendar raised an exception in the trading loop."""
    exchange = LocalExchange(
        start=beijing("2026-12-31T14:50:00"), end=beijing("2027-01-04T09:10:00"), ticks_per_minute=2
    )
    logger, heard = logging.getLogger("tianqin_backtrader.store"), Listener()
    logger.addHandler(heard)
    try:
        (feed,), notices = watch(exchange, feeds_of(CU, [(MINUTE, 1)], history=3))
    finally:
        logger.removeHandler(heard)
    ((message, (text,), _),) = notices
    assert (message, f"{message}") == ("CALENDAR_ENDS", "CALENDAR_ENDS")
    assert heard.texts == [text]
    assert feed.rows[-1][0] == beijing("2027-01-04T09:10:00")
    assert feed.audit.differed == 0
