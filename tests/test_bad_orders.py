"""Orders that cannot be: told at once what is wrong and what helps, and nothing reaches the wire.

What can never be sent raises. What only the moment forbids ends as Rejected, with the reason in
`order.info.reason`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from test_order_types import Play, Prices, Trader, Wire, market, moment, note, play

from tianqin_backtrader import TqStore
from tianqin_backtrader.errors import (
    BadPrice,
    BadVolume,
    ConfigError,
    ExpiredSymbol,
    InvalidOrder,
    NotStarted,
    OrderError,
    TianqinError,
    UnknownSymbol,
    WrongSetting,
)

CU, M, SR, IF = "SHFE.cu2511", "DCE.m2601", "CZCE.SR601", "CFFEX.IF2510"
PATHS = {CU: Prices(80000), M: Prices(3000), SR: Prices(5500), IF: Prices(4500)}
O = bt.Order  # noqa: E741  Backtrader's name is long
LIMIT, STOP, TRAIL = {"exectype": O.Limit}, {"exectype": O.Stop}, {"exectype": O.StopTrail}
STOP_LIMIT = {"exectype": O.StopLimit}
Attempt = Callable[[Trader], Any]


def buys(symbol: str = CU, size: Any = 1, **options: Any) -> Attempt:
    return lambda s: s.broker.buy(s, s.by[symbol], size, **options)


def sells(symbol: str = CU, size: Any = 1, **options: Any) -> Attempt:
    return lambda s: s.broker.sell(s, s.by[symbol], size, **options)


def opens(size: Any, price: Any = None, **options: Any) -> Attempt:
    return lambda s: s.broker.buy_open(s.by[CU], size, price, **options)


@dataclass(frozen=True)
class Raises:
    """Raises `kind`; `texts` stand in the message: the value that arrived, and what helps."""

    attempt: Attempt
    kind: type[Exception]
    texts: tuple[str, ...]


def bad(attempt: Attempt, kind: type[Exception], *texts: str) -> Raises:
    return Raises(attempt, kind, texts)


LOTS, GRID = "whole number of lots", "multiple of the price tick 10"
VALID = "a timedelta from now, a datetime"
SIZES = {
    f"size {size!r}": bad(opens(size), BadVolume, repr(size), LOTS)
    for size in (0, -1, 0.5, math.nan, math.inf, "2", None, True, [1], 1 + 0j)
} | {
    "size 0 to buy": bad(buys(size=0), BadVolume, "0", LOTS),
    "size -2 to buy": bad(buys(size=-2), BadVolume, "-2", LOTS),
    "half a lot by Backtrader's verb": bad(lambda s: s.buy(size=0.5), BadVolume, "0.5", LOTS),
    "NaN lots by Backtrader's verb": bad(lambda s: s.sell(size=math.nan), BadVolume, "nan", LOTS),
    "more orders than a plan may have": bad(
        opens(10**9), BadVolume, "1000000000", "send it in parts"
    ),
}
PRICES = {
    f"limit {price!r}": bad(buys(price=price, **LIMIT), BadPrice, repr(price), GRID)
    for price in (80_001, 80_000.5, math.nan, math.inf, "80000", None, True, [80000])
} | {
    "off the grid of IF": bad(
        buys(IF, price=4500.1, **LIMIT), BadPrice, "4500.1", "multiple of the price tick 0.2"
    ),
    "off the grid, by verb": bad(opens(1, 80_005), BadPrice, "80005", GRID),
    "stop without a price": bad(buys(**STOP), BadPrice, "None", "sets the stop off"),
    "stop at NaN": bad(buys(price=math.nan, **STOP), BadPrice, "nan", "sets the stop off"),
    "stop below 0": bad(buys(price=-1, **STOP), BadPrice, "-1", "sets the stop off"),
    "stop at text": bad(buys(price="81000", **STOP), BadPrice, "81000", "sets the stop off"),
    "stop-limit off the grid": bad(
        buys(price=81_000, plimit=81_001, **STOP_LIMIT), BadPrice, "81001", GRID
    ),
    "stop-limit without prices": bad(buys(**STOP_LIMIT), BadPrice, "None"),
}
KINDS = {
    "exectype 99": bad(buys(exectype=99), InvalidOrder, "99", "Limit"),
    "exectype -1": bad(buys(exectype=-1), InvalidOrder, "-1", "Limit"),
    "exectype as text": bad(buys(exectype="Limit"), InvalidOrder, "'Limit'", "StopTrail"),
    "exectype Historical": bad(buys(exectype=O.Historical), InvalidOrder, "Historical", "Limit"),
    "FOK on CZCE": bad(
        buys(SR, advanced="FOK", price=5500, **LIMIT), InvalidOrder, "CZCE", "FOK", "use FAK"
    ),
    "market FOK on CZCE": bad(buys(SR, advanced="FOK"), InvalidOrder, "CZCE", "FOK", "use FAK"),
    "BEST on SHFE": bad(buys(price_type="BEST"), InvalidOrder, "BEST", "CFFEX"),
    "FIVELEVEL on DCE": bad(buys(M, price_type="FIVELEVEL"), InvalidOrder, "FIVELEVEL", "CFFEX"),
    "BEST and FOK": bad(buys(IF, price_type="BEST", advanced="FOK"), InvalidOrder, "FOK", "FAK"),
    "BEST and a limit": bad(
        buys(IF, price_type="BEST", price=4500, **LIMIT), InvalidOrder, "BEST", "market order"
    ),
    "price_type best": bad(buys(IF, price_type="best"), InvalidOrder, "'best'", "'BEST'"),
    "advanced GFD": bad(buys(advanced="GFD"), InvalidOrder, "'GFD'", "'FAK'"),
    "advanced 1": bad(buys(advanced=1), InvalidOrder, "1", "'FAK'"),
}
TRAILS = {
    "trail without a distance": bad(buys(**TRAIL), InvalidOrder, "None", "CNY above 0"),
    "trail of 0": bad(buys(trailamount=0, **TRAIL), InvalidOrder, "0", "CNY above 0"),
    "trail below 0": bad(buys(trailamount=-5, **TRAIL), InvalidOrder, "-5", "CNY above 0"),
    "trail of NaN": bad(buys(trailamount=math.nan, **TRAIL), InvalidOrder, "nan"),
    "trail as text": bad(buys(trailamount="5", **TRAIL), InvalidOrder, "'5'", "number above 0"),
    "trail of 200 %": bad(buys(trailpercent=2, **TRAIL), InvalidOrder, "2", "0.02 is 2 %"),
    "trail beyond the price": bad(sells(trailamount=90_000, **TRAIL), InvalidOrder, "above 0"),
    "trail of a limit order": bad(
        buys(trailamount=5, price=80_000, **LIMIT), InvalidOrder, "trailamount", "trailing stop"
    ),
}
NO_MOMENTS: tuple[Any, ...] = (
    -1, "tomorrow", math.nan, True, timedelta(seconds=-1), [], pd.NaT,
)  # fmt: skip
VALIDS = {
    f"valid {valid!r}": bad(buys(valid=valid), InvalidOrder, repr(valid), VALID)
    for valid in NO_MOMENTS
} | {
    "valid in the past": bad(
        buys(valid=datetime(2025, 9, 16, 10, 30)),  # noqa: DTZ001
        InvalidOrder,
        "is past",
        "10:33:10",
        "later than now",
    ),
    "valid yesterday": bad(buys(valid=date(2025, 9, 15)), InvalidOrder, "is past"),
}
POLICIES = {
    "policy cheap": bad(buys(policy="cheap"), WrongSetting, "'cheap'", "close_history_first"),
    "policy 5": bad(buys(policy=5), WrongSetting, "5", "close_history_first"),
    "policy of commas": bad(buys(policy=",,"), WrongSetting, "',,'", "今"),
    "policy that opens none": bad(
        lambda s: s.broker.buy_close(s.by[CU], 1),
        InvalidOrder,
        "closing 1 short",
        "close at most 0",
    ),
}


def stranger(s: Trader) -> bt.Order:
    """An order that this broker never saw: one of Backtrader's own."""
    return bt.BuyOrder(owner=s, data=s.by[CU], size=1, exectype=O.Market)


def ended(s: Trader) -> bt.Order:
    return s.orders["ended"]


STRANGERS = {
    "oco of a stranger": bad(lambda s: s.buy(oco=stranger(s)), OrderError, "oco", "broker"),
    "oco of text": bad(lambda s: s.buy(oco="first"), OrderError, "oco", "'first'"),
    "parent is a stranger": bad(
        lambda s: s.sell(price=79_000, parent=stranger(s), **STOP), OrderError, "parent", "broker"
    ),
    "parent is text": bad(
        lambda s: s.sell(price=79_000, parent="p", **STOP), OrderError, "parent", "'p'"
    ),
    "modify a stranger": bad(
        lambda s: s.broker.modify(stranger(s), size=2), OrderError, "not", "broker"
    ),
    "modify an ended order": bad(
        lambda s: s.broker.modify(ended(s), price=79_000), OrderError, "not alive"
    ),
    "modify what cannot change": bad(
        lambda s: s.broker.modify(s.orders["held"], exectype=O.Limit), OrderError, "exectype"
    ),
    "modify to no lots": bad(
        lambda s: s.broker.modify(s.orders["held"], size=0), BadVolume, "0", LOTS
    ),
    "modify to a bad price": bad(
        lambda s: s.broker.modify(s.orders["held"], price=math.nan), BadPrice, "nan"
    ),
    "modify the price of a Close order": bad(
        lambda s: s.broker.modify(s.orders["close"], price=79_000), BadPrice, "79000", "Close order"
    ),
    "modify to the past": bad(
        lambda s: s.broker.modify(s.orders["held"], valid=moment("10:00")), InvalidOrder, "is past"
    ),
}
SYMBOLS = {
    "a symbol without a feed": bad(
        lambda s: s.broker.buy_open("SHFE.al2511", 1), InvalidOrder, "SHFE.al2511", "getdata"
    ),
    "a symbol that nobody lists": bad(
        lambda s: s.broker.sell_open("SHFE.xx2511", 1), TianqinError, "SHFE.xx2511"
    ),
    "a symbol written otherwise": bad(
        lambda s: s.broker.buy_open("cu2511", 1), TianqinError, "cu2511", "SHFE.cu2512"
    ),
    "no symbol at all": bad(lambda s: s.broker.buy_open(None, 1), TianqinError, "None"),
}
CASES = SIZES | PRICES | KINDS | TRAILS | VALIDS | POLICIES | STRANGERS | SYMBOLS


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """All of them on one bar; what they raised is noted by name."""

    def attempt(s: Trader) -> None:
        s.orders["held"] = s.buy(price=84_000, **STOP)
        s.orders["close"] = s.buy(exectype=O.Close)
        for name, case in CASES.items():
            try:
                s.notes[name] = case.attempt(s)
            except Exception as error:  # noqa: BLE001  looked at by the tests
                s.notes[name] = error
        s.cancel(s.orders["held"])
        s.cancel(s.orders["close"])
        s.notes["cancelled"] = {
            "None": _tried(lambda: s.broker.cancel(None)),
            "a stranger": _tried(lambda: s.broker.cancel(stranger(s))),
            "an ended order": _tried(lambda: s.broker.cancel(ended(s))),
        }

    def reject(s: Trader) -> None:
        s.orders["high"] = s.buy(price=90_000, **LIMIT)
        s.orders["low"] = s.sell(price=70_000, **LIMIT)
        s.orders["zero"] = s.buy(price=0, **LIMIT)
        made = s.buy_bracket(size=1, price=90_000, stopprice=79_000, limitprice=81_000)
        s.orders.update(zip(("parent", "stop", "limit"), made, strict=True))
        s.orders["plimit"] = s.buy(price=80_500, plimit=90_000, **STOP_LIMIT)
        s.cancel(s.orders["plimit"])
        s.orders["ended"] = s.orders["plimit"]
        s.broker.halt("the risk desk said stop")
        s.orders["halted"] = s.buy()
        s.orders["halted stop"] = s.buy(price=81_000, **STOP)
        s.broker.resume()
        s.orders["opens none"] = s.buy(policy="昨今")
        s.notes["no size"] = s.buy(size=0), s.sell(size=0)

    folder = tmp_path_factory.mktemp("bad")
    plan: dict[str, Any] = {
        "10:33": [reject, attempt],
        "10:35": note("net", lambda s: s.broker.positions()),
    }
    return play(market(folder, PATHS, ("10:31", "10:36")), plan)


def _tried(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except Exception as error:  # noqa: BLE001
        return error


@pytest.mark.parametrize("name", CASES)
def test_raises_at_once_with_value_and_remedy(attempts: Play, name: str) -> None:
    case, raised = CASES[name], attempts.notes[name]
    assert isinstance(raised, case.kind), repr(raised)
    for text in case.texts:
        assert text in str(raised)


def test_nothing_reached_the_exchange(attempts: Play) -> None:
    assert attempts.wire.log == []
    assert attempts.notes["net"] == {}
    assert attempts.broker.account().balance == 10_000_000


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("high", "upper limit 84800"),
        ("low", "lower limit 75200"),
        ("zero", "lower limit 75200"),
        ("parent", "upper limit 84800"),
        ("stop", "parent"),
        ("limit", "parent"),
        ("opens none", "policy '昨今' can close 0 short lots now and opens none"),
        ("halted", "the risk desk said stop"),
        ("halted stop", "the risk desk said stop"),
    ],
)
def test_what_the_moment_forbids_is_rejected_with_a_reason(
    attempts: Play, name: str, reason: str
) -> None:
    assert attempts.told(name)[-1] == "Rejected"
    assert reason in attempts.orders[name].info.reason
    assert not attempts.orders[name].alive()


def test_size_of_nothing_is_no_order_as_in_backtrader(attempts: Play) -> None:
    assert attempts.notes["no size"] == (None, None)


@pytest.mark.parametrize("what", ["None", "a stranger", "an ended order"])
def test_cancel_of_what_does_not_stand_says_false(attempts: Play, what: str) -> None:
    """Backtrader's own broker does; strategies cancel `self.order` without asking what it is."""
    assert attempts.notes["cancelled"][what] is False


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    """Sizers and indicators hand these out."""

    def act(s: Trader) -> None:
        s.orders["size"] = s.buy(size=np.int64(2))
        s.orders["float"] = s.buy(data=s.by[M], size=np.float64(2.0))
        s.orders["price"] = s.buy(data=s.by[SR], price=np.float64(5501), size=1, **LIMIT)

    result = play(market(tmp_path, PATHS, ("10:31", "10:35")), {"10:33": act})
    for name in ("size", "float", "price"):
        assert result.told(name)[-1] == "Completed"


# ---- other moments


def test_orders_before_and_after_the_run_say_so(tmp_path: Path) -> None:
    exchange = market(tmp_path, PATHS, ("10:31", "10:35"))
    wire = Wire(exchange)
    kept: dict[str, Any] = {}

    class Early(bt.Strategy):
        def __init__(self) -> None:
            kept["init"] = _tried(lambda: self.buy(size=1))

        def start(self) -> None:
            kept["start"] = _tried(lambda: self.buy(size=1))

        def notify_order(self, order: bt.Order) -> None:
            kept.setdefault("told", []).append(order.getstatusname())

        def stop(self) -> None:
            kept["stop"] = _tried(lambda: self.buy(size=1))

    with TqStore(exchange=exchange) as store:
        broker = store.getbroker()
        kept["before"] = _tried(lambda: broker.buy_open(CU, 1))
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(broker)
        data = store.getdata(CU, history=0)
        cerebro.adddata(data)
        cerebro.addstrategy(Early)
        cerebro.run()
        kept["after"] = _tried(lambda: broker.buy_open(data, 1))
        kept["cancel"] = _tried(broker.cancel_all)
    for name in ("before", "after", "cancel"):
        assert isinstance(kept[name], NotStarted), kept[name]
        assert "store.start()" in str(kept[name])
    for name in ("init", "start"):
        refused = kept[name]
        told = refused.info.reason if isinstance(refused, bt.Order) else str(refused)
        assert isinstance(refused, (bt.Order, TianqinError)), refused
        assert "no bar" in told or "history" in told
    assert [sent.at for sent in wire.sent] == ["10:35:00"]  # of `stop`: the session still stands


def test_nothing_is_sent_on_the_prices_of_history(tmp_path: Path) -> None:
    exchange = market(tmp_path, {M: Prices(3000)}, ("10:31", "10:38"), start=moment("10:35:30"))
    wire, told, refused = Wire(exchange), list[str](), list[bt.Order]()

    class Eager(bt.Strategy):
        def notify_order(self, order: bt.Order) -> None:
            told.append(order.getstatusname())

        def next(self) -> None:
            if len(self) == 2:
                refused.append(self.buy())
                refused.append(self.buy(price=3100, **STOP))
                refused.append(self.broker.sell_open(self.data, 1, 3000))
                refused.extend(self.buy_bracket(price=3000, stopprice=2900, limitprice=3100))

    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(M, history=3))
        cerebro.addstrategy(Eager)
        cerebro.run()
    assert told == ["Rejected"] * 6
    assert all("history" in order.info.reason for order in refused)
    assert wire.log == []


# The last day of IF2510 is Friday 2025-10-17; on Monday only IF2511 is there.
OLD, NEW = "CFFEX.IF2510", "CFFEX.IF2511"
FRIDAY, MONDAY = ("2025-10-17 14:57", "2025-10-17 15:00"), ("2025-10-20 09:30", "2025-10-20 09:34")
EXPIRY = {OLD: Prices(4500, spans=(FRIDAY,)), NEW: Prices(4480, spans=(FRIDAY, MONDAY))}


@pytest.mark.parametrize(
    ("symbol", "kind", "texts"),
    [
        ("SHFE.xx2511", UnknownSymbol, ("SHFE.xx2511", "SHFE.cu2512")),
        ("shfe.cu2511", UnknownSymbol, ("shfe.cu2511", "SHFE.cu2512")),
        (OLD, ExpiredSymbol, (OLD, "listed")),
        ("", ConfigError, ("''", "SHFE.cu2512")),
    ],
)
def test_bad_symbol_ends_the_run_before_it_begins(
    tmp_path: Path, symbol: str, kind: Any, texts: tuple[str, ...]
) -> None:
    exchange = market(tmp_path, EXPIRY, start=moment("2025-10-20 09:31:30"))
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(symbol, history=0))
        with pytest.raises(kind) as caught:
            cerebro.run()
    for text in texts:
        assert text in str(caught.value)


def test_expired_contract_takes_no_order_any_more(tmp_path: Path) -> None:
    raised: list[Any] = []
    result = play(
        market(tmp_path, EXPIRY),
        {
            "17 14:58": lambda s: s.orders.update(stop=s.buy(data=s.by[OLD], price=9000, **STOP)),
            "20 09:32": lambda s: raised.append(_tried(lambda: s.buy(data=s.by[OLD]))),
        },
        [NEW, OLD],
    )
    assert isinstance(raised[0], InvalidOrder)
    assert "expired" in str(raised[0])
    assert result.told("stop") == ["Submitted", "Accepted", "Expired"]
    assert result.wire.log == []


def test_data_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A feed of pandas in the same Cerebro has no contract to trade."""
    exchange = market(tmp_path, {M: Prices(3000)}, ("10:31", "10:36"))
    wire, raised = Wire(exchange), list[Any]()
    frame = pd.DataFrame(
        {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0},
        index=pd.date_range("2025-09-15 02:00", periods=3, freq="min"),
    )

    class Mixed(bt.Strategy):
        def next(self) -> None:
            if not raised:
                raised.append(_tried(lambda: self.buy(data=self.datas[1])))

    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(M, history=0))
        cerebro.adddata(bt.feeds.PandasData(dataname=frame, name="frame"))
        cerebro.addstrategy(Mixed)
        cerebro.run()
    assert isinstance(raised[0], OrderError), raised
    assert "frame" in str(raised[0])
    assert "getdata" in str(raised[0])
    assert wire.log == []


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"policy": "cheap"}, ("'cheap'", "close_history_first")),
        ({"execution": "soon"}, ("'soon'", "direct")),
        ({"market_ticks": -1}, ("market_ticks", "-1")),
        ({"close_lead_s": -5}, ("close_lead_s", "-5")),
    ],
)
def test_bad_setting_of_the_broker_is_refused_when_it_is_made(
    options: dict[str, Any], texts: tuple[str, ...]
) -> None:
    with pytest.raises(WrongSetting) as caught:
        TqStore().getbroker(**options)
    for text in texts:
        assert text in str(caught.value)
