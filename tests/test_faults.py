"""What a strategy sees when network or gateway misbehave: the same bars, no doubled fill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import tqsdk.connect
from support import Seen, run

from tianqin_backtrader import LocalExchange

CU = "SHFE.cu2511"
EVENING = datetime(2025, 9, 15, 22, 30)  # noqa: DTZ001  Beijing time
Fault = Callable[[LocalExchange], None]


def buy_from(bar: int, then: Fault, exchange: LocalExchange) -> Callable[[Any], None]:
    """Want one lot from the nth live bar on; two bars earlier `then` happens to the exchange."""
    count = 0
    order: Any = None

    def act(strategy: Any) -> None:
        nonlocal count, order
        count += 1
        if count == bar - 2:
            then(exchange)
        if count >= bar and not strategy.position.size and not (order and order.alive()):
            order = strategy.buy(size=1)

    return act


@pytest.fixture(scope="module")
def undisturbed() -> Seen:
    exchange = LocalExchange(end=EVENING)
    seen, _ = run(exchange, CU, buy_from(40, lambda _: None, exchange), 5)
    return seen


def killed_and_revived(exchange: LocalExchange) -> None:
    exchange.kill()
    exchange.revive()


FAULTS: dict[str, Fault] = {
    "market data lost for 1 s": lambda e: e.drop("md", 1),
    "market data lost for 60 s": lambda e: e.drop("md", 60),
    "market data lost for 20 minutes": lambda e: e.drop("md", 1200),
    "trading lost for 60 s": lambda e: e.drop("td", 60),
    "gateway killed and revived": killed_and_revived,
    "market data repeated": lambda e: e.repeat("md"),
    "trading packets repeated": lambda e: e.repeat("td"),
    "trading packets split": lambda e: e.split("td"),
    "trading packets reordered": lambda e: e.reorder("td"),
    "trading packets delayed": lambda e: e.delay("td", 0.002),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_faults_change_no_bar_and_double_no_fill(
    fault: Fault, undisturbed: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: 0.05)  # TqSdk's 10 to 20 s
    exchange = LocalExchange(end=EVENING)
    seen, broker = run(exchange, CU, buy_from(40, fault, exchange), 5)
    assert seen.bars == undisturbed.bars
    assert broker.get_account_position(CU).net == 1
    completed = [order for order in seen.orders if order.getstatusname() == "Completed"]
    assert [order.executed.size for order in completed] == [1]
