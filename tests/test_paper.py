"""Mode paper: orders are checked, planned and written down, and nothing could send one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from live_stage import Wire, set_credentials, trade
from test_broker import CU, M, script

from tianqin_backtrader import Journal, LocalExchange, TqStore
from tianqin_backtrader.errors import BadPrice, LiveTradingRefused

END = datetime(2025, 9, 15, 21, 30)  # noqa: DTZ001  Beijing time


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Wire]:
    set_credentials(monkeypatch, tmp_path)
    with LocalExchange(end=END) as exchange:
        yield Wire(exchange)


def paper(wire: Wire, journal: Path | None = None) -> TqStore:
    return TqStore("paper", journal=journal, **wire.urls)


def buy_limit(strategy: Any) -> None:
    strategy.buy(size=2, exectype=bt.Order.Limit, price=90_000)


def test_an_order_is_accepted_and_cancelled_with_what_would_have_been_sent(
    wire: Wire, tmp_path: Path
) -> None:
    path = tmp_path / "orders.sqlite"
    seen, broker = trade(paper(wire, path), script((2, buy_limit)))
    assert [o.getstatusname() for o in seen.orders] == ["Submitted", "Accepted", "Canceled"]
    reason = "paper: not sent: BUY OPEN 2 SHFE.cu2511 at 90000"
    assert seen.orders[-1].info.reason == reason
    journal = Journal(path)
    assert journal.orders()[["state", "reason"]].values.tolist() == [["Canceled", reason]]
    legs = journal.legs()[["direction", "offset", "volume", "price", "left", "reason"]]
    assert legs.values.tolist() == [["BUY", "OPEN", 2, 90_000.0, 2, reason]]
    assert journal.trades().empty
    assert wire.packs == []
    assert (broker.getvalue(), broker.positions()) == (10_000_000.0, {})


@pytest.mark.parametrize("symbol", [CU, M], ids=["SHFE", "DCE"])
def test_a_market_order_is_not_tried_again(wire: Wire, tmp_path: Path, symbol: str) -> None:
    """Where a limit order stands for it, a rest that was not traded follows the price."""
    path = tmp_path / "orders.sqlite"
    seen, _ = trade(paper(wire, path), script((2, lambda s: s.sell(size=3))), symbol)
    assert len(Journal(path).legs()) == 1
    (reason,) = {o.info.reason for o in seen.orders}
    assert [o.getstatusname() for o in seen.orders] == ["Submitted", "Accepted", "Canceled"]
    assert reason.startswith(f"paper: not sent: SELL OPEN 3 {symbol} at ")
    assert reason.endswith("at market") == (symbol == M)


def test_a_stop_is_held_and_goes_off_on_the_market(wire: Wire) -> None:
    def act(strategy: Any) -> None:
        strategy.sell(exectype=bt.Order.Stop, price=strategy.data.close[0] - 10)

    seen, _ = trade(paper(wire), script((2, act)))
    last = seen.orders[-1]
    assert last.triggered
    assert (last.getstatusname(), last.info.reason[:29]) == (
        "Canceled",
        "paper: not sent: SELL OPEN 1 ",
    )


def test_what_cannot_be_sent_is_refused_as_elsewhere(wire: Wire) -> None:
    def act(strategy: Any) -> None:
        with pytest.raises(BadPrice):
            strategy.buy(exectype=bt.Order.Limit, price=90_003)
        strategy.sell_order = strategy.broker.buy(
            strategy, strategy.data, 1, exectype=bt.Order.Limit, price=900_000
        )

    seen, _ = trade(paper(wire), script((2, act)))
    assert [o.getstatusname() for o in seen.orders] == ["Rejected"]


def test_targets_are_planned_and_not_sent(wire: Wire) -> None:
    def act(strategy: Any) -> None:
        strategy.broker.set_target(strategy.data, 3)

    seen, _ = trade(paper(wire), script((2, act)), execution="target")
    assert seen.orders[-1].info.reason.startswith("paper: not sent: BUY OPEN 3 SHFE.cu2511")
    assert wire.packs == []


def test_there_is_nothing_that_could_send(wire: Wire) -> None:
    with paper(wire) as store:
        store.start()
        connection = store.connection
        for name in ("send", "cancel", "answer_for", "_api"):
            assert not hasattr(connection.trading, name)
        connection.guard.permit()
        store.instrument(CU)
        with pytest.raises(LiveTradingRefused, match="paper sends no order"):
            connection.api.insert_order(CU, "BUY", "OPEN", 1, 90_000.0)
        with pytest.raises(LiveTradingRefused, match="paper sends no order"):
            connection.api._send_pack({"aid": "insert_order"})
    assert wire.packs == []
    assert not wire.exchange._venue.exchange._desks
