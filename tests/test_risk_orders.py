"""Risk limits from a strategy to the exchange: what is refused never reaches it, and says why."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest
from test_order_types import Play, Prices, Trader, cancel, leave, market, note, play
from tqsdk import TqApi

from tianqin_backtrader import RiskLimits, TqStore
from tianqin_backtrader.errors import WrongSetting
from tianqin_backtrader.halting import limits_of

CU, RB, RB5, M, SR, IF = (
    "SHFE.cu2511", "SHFE.rb2601", "SHFE.rb2605", "DCE.m2601", "CZCE.SR601", "CFFEX.IF2510",
)  # fmt: skip
Y, AL = "DCE.y2601", "SHFE.al2511"
O = bt.Order  # noqa: E741  Backtrader's name is long
LIMIT, STOP = {"exectype": O.Limit}, {"exectype": O.Stop}
SPAN = ("10:31", "10:39")
Act = Callable[[Trader], Any]


def buy(name: str, symbol: str = CU, size: int = 1, **options: Any) -> Act:
    return lambda s: s.orders.update({name: s.buy(data=s.by[symbol], size=size, **options)})


def sell(name: str, symbol: str = CU, size: int = 1, **options: Any) -> Act:
    return lambda s: s.orders.update({name: s.sell(data=s.by[symbol], size=size, **options)})


def verb(call: str, name: str, symbol: str, size: int, price: float | None = None) -> Act:
    """`broker.buy_open` and kin."""

    def act(s: Trader) -> None:
        s.orders[name] = getattr(s.broker, call)(s.by[symbol], size, price)

    return act


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    found = [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY seq")]
    db.close()
    return found


def counted(path: Path, day: str) -> dict[str, float]:
    return {row["name"]: row["value"] for row in rows(path, "counts") if row["day"] == day}


def told(result: Play, notice: str) -> list[str]:
    return [text for each, text in result.notices if each == notice]


# ---- each code once

PATHS = {
    CU: Prices(80000), RB: Prices(3000), RB5: Prices(3050), M: Prices(3000), SR: Prices(5500),
    IF: Prices(4500), Y: Prices(8320), AL: Prices(20000),
}  # fmt: skip
LIMITS = RiskLimits(
    order_lots=5,
    net_lots={"DCE.m": 3},
    gross_lots={"CZCE.SR6*": 2},
    product_gross_lots={"SHFE.rb": 3},
    refuse_self_trade=True,
    price_distance=0.02,
    order_notional_cny=2_000_000,  # a lot of IF is worth 1,350,000
    symbols=["SHFE.*", "CZCE.*", "CFFEX.*", "DCE.m*"],
)
CODES = {
    "size": ("ORDER_SIZE", "6 lots"),
    "far": ("PRICE_DISTANCE", "price 78300 lies 2.12% from the last price 80000"),
    "self": ("SELF_TRADE", "the account's own SELL at 20010"),
    "net": ("NET_POSITION", "4 net lots of DCE.m2601"),
    "gross": ("GROSS_POSITION", "3 lots of CZCE.SR601"),
    "product": ("PRODUCT_POSITION", "4 lots, long and short, of SHFE.rb"),
    "worth": ("NOTIONAL", "2,700,"),
    "symbol": ("SYMBOL", "DCE.y2601 is none of"),
    "halted": ("HALTED", "the risk desk said stop"),
    "reducing": ("REDUCING", "wind down"),
}


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Play, Path]:
    folder = tmp_path_factory.mktemp("codes")
    path = folder / "account.sqlite"

    def halts(s: Trader) -> None:
        s.broker.halt("the risk desk said stop")
        buy("halted")(s)
        s.broker.resume()
        s.broker.reduce("wind down")
        buy("reducing")(s)
        s.broker.resume()

    plan: dict[str, Any] = {
        "10:32": [
            buy("held m", M, 3),
            verb("buy_open", "long SR", SR, 1),
            verb("sell_open", "short SR", SR, 1),
            buy("held rb", RB5, 2),
            sell("rests", AL, price=20010, **LIMIT),
        ],
        "10:34": [
            buy("size", CU, 6),
            buy("far", CU, price=78_300, **LIMIT),
            buy("self", AL, price=20010, **LIMIT),
            buy("net", M, 1),
            verb("buy_open", "gross", SR, 1),
            buy("product", RB, 2),
            buy("worth", IF, 2),
            buy("symbol", Y, 1),
            halts,
        ],
        "10:35": [sell("close m", M, 3), cancel("rests")],
    }
    return play(market(folder, PATHS, SPAN), plan, risk=LIMITS, journal=path), path


@pytest.mark.parametrize("name", CODES)
def test_each_rule_rejects_with_code_and_reason_and_nothing_is_sent(
    codes: tuple[Play, Path], name: str
) -> None:
    result, _ = codes
    code, text = CODES[name]
    order = result.orders[name]
    assert order.info.code == code
    assert text in order.info.reason
    assert result.told(name) == ["Rejected"]
    assert result.end(name).clone.info.code == code  # strategies are told of clones
    assert result.sent(name) == []


def test_each_refusal_is_in_the_journal_and_told(codes: tuple[Play, Path]) -> None:
    result, path = codes
    written = rows(path, "refusals")
    assert [row["code"] for row in written] == [code for code, _ in CODES.values()]
    for name, row in zip(CODES, written, strict=True):
        order = result.orders[name]
        assert row["key"] == f"{row['run']}.{order.ref}"
        assert row["symbol"] == order.data.symbol
        assert row["text"] == order.info.reason
    assert told(result, "ORDER_REFUSED") == [row["text"] for row in written]
    assert {row["run"] for row in written} == {row["run"] for row in rows(path, "runs")}


def test_what_is_within_the_limits_goes_on(codes: tuple[Play, Path]) -> None:
    result, _ = codes
    for name in ("held m", "long SR", "short SR", "held rb", "close m"):
        assert result.told(name)[-1] == "Completed"
    assert result.told("rests")[-1] == "Canceled"
    assert len(result.wire.sent) == 6
    assert len(result.wire.cancels) == 1


def test_orders_and_cancels_are_counted_in_the_journal(codes: tuple[Play, Path]) -> None:
    _, path = codes
    found = counted(path, "2025-09-16")
    assert (found["orders"], found["cancels"]) == (6, 1)
    assert (found[f"orders {SR}"], found[f"orders {M}"], found[f"cancels {AL}"]) == (2, 2, 1)


def test_margin_use(tmp_path: Path) -> None:
    """Margin of the contracts comes from the exchange: the first lot shows what one takes."""
    seen: dict[str, float] = {}

    def look(s: Trader) -> None:
        seen["use"] = s.broker.account().margin / s.broker.account().balance
        most = int(0.05 / seen["use"])
        s.orders["within"] = s.buy(data=s.by[CU], size=most - 1)
        s.orders["beyond"] = s.buy(data=s.by[CU], size=1)

    result = play(
        market(tmp_path, {CU: Prices(80000)}, SPAN),
        {"10:32": buy("first"), "10:34": look},
        risk=RiskLimits(margin_use=0.05),
    )
    assert 0 < seen["use"] < 0.05
    assert result.told("within")[-1] == "Completed"
    assert result.orders["beyond"].info.code == "MARGIN_USE"
    assert "(margin_use)" in result.orders["beyond"].info.reason


def test_orders_of_a_second_and_closing_beyond_them(tmp_path: Path) -> None:
    """The hand writes faster than the exchange likes; what closes goes all the same."""

    def many(s: Trader) -> None:
        for n in range(5):
            s.orders[f"o{n}"] = s.buy(data=s.by[CU])
        s.orders["close"] = s.sell(data=s.by[M], size=1)

    result = play(
        market(tmp_path, {CU: Prices(80000), M: Prices(3000)}, SPAN),
        {"10:32": buy("held", M), "10:36": many},
        risk=RiskLimits(orders_per_second=3),
    )
    ends = [result.told(f"o{n}")[-1] for n in range(5)]
    assert ends[-2:] == ["Rejected", "Rejected"]
    assert ends.count("Completed") in (2, 3)  # the first order may still be of this second
    assert result.orders["o4"].info.code == "ORDERS_PER_SECOND"
    assert result.told("close")[-1] == "Completed"


def test_cancels_of_the_day_stop_opening_but_no_cancel_and_no_close(tmp_path: Path) -> None:
    path = tmp_path / "account.sqlite"
    low = {"price": 79_000, **LIMIT}
    result = play(
        market(tmp_path, {CU: Prices(80000)}, SPAN),
        {
            "10:32": [buy("a", **low), buy("b", **low), buy("held")],
            "10:33": cancel("a"),
            "10:34": [buy("opens"), cancel("b"), sell("closes")],
        },
        risk=RiskLimits(symbol_cancels_per_day=1),
        journal=path,
    )
    assert result.orders["opens"].info.code == "CANCELS_PER_DAY"
    assert result.told("b")[-1] == "Canceled"
    assert result.told("closes")[-1] == "Completed"
    assert counted(path, "2025-09-16")[f"cancels {CU}"] == 2


def test_the_last_seconds_of_a_stretch_open_nothing(tmp_path: Path) -> None:
    def protect(s: Trader) -> None:
        s.orders["stop"] = s.sell(data=s.by[CU], price=79_950, **STOP)
        s.orders["opens"] = s.buy(data=s.by[M], price=3010, **STOP)

    result = play(
        market(
            tmp_path,
            {CU: Prices(80000, {"14:59:20": 79_940}), M: Prices(3000, {"14:59:20": 3010})},
            ("14:54", "15:00"),
        ),
        {"14:56": [buy("early"), protect], "14:58": buy("late")},
        risk=RiskLimits(quiet_close_s=120),
    )
    assert result.told("early")[-1] == "Completed"
    assert result.orders["late"].info.code == "SESSION_TIME"
    assert result.told("stop")[-1] == "Completed"
    assert result.told("opens")[-1] == "Rejected"
    assert result.orders["opens"].info.code == "SESSION_TIME"


# ---- restart, and the next day


def test_a_restart_goes_on_counting_and_a_night_begins_anew(tmp_path: Path) -> None:
    """16 September until 15:00; from 21:00 it is the 17th."""
    path = tmp_path / "account.sqlite"
    spans = ("14:50", "15:00"), ("20:59", "21:06")
    exchange = market(tmp_path, {CU: Prices(80000)}, *spans)
    limits = RiskLimits(orders_per_day=3)
    with exchange:
        plan: dict[str, Any] = {"14:52": [buy("a"), buy("b")], "14:53": leave}
        first = play(exchange, plan, risk=limits, journal=path)
        plan = {
            "14:55": [buy("c"), buy("d"), sell("closes", size=1)],
            "21:02": buy("e"),
        }
        second = play(exchange, plan, risk=limits, journal=path, wire=first.wire)
    assert [first.told(name)[-1] for name in "ab"] == ["Completed"] * 2
    assert second.told("c")[-1] == "Completed"
    assert second.orders["d"].info.code == "ORDERS_PER_DAY"
    assert "4 orders on this trading day" in second.orders["d"].info.reason
    assert second.told("closes")[-1] == "Completed"
    assert second.told("e")[-1] == "Completed"
    assert counted(path, "2025-09-16")["orders"] == 4
    assert counted(path, "2025-09-17")["orders"] == 1


def test_a_days_loss_lets_only_close_until_the_next_day_over_a_restart(tmp_path: Path) -> None:
    """Two lots bought at 80,010 lose 5 CNY a yuan each: 3,100 at 79,700, told once."""
    path = tmp_path / "account.sqlite"
    spans = ("14:50", "15:00"), ("20:59", "21:06")
    prices = Prices(80000, {"14:52:30": 79_700})
    exchange = market(tmp_path, {CU: prices}, *spans)
    limits = RiskLimits(daily_loss_cny=3_000)
    with exchange:
        plan: dict[str, Any] = {
            "14:52": buy("first", size=2),
            "14:54": [note("state", lambda s: s.broker.trading_state.value), buy("more"), leave],
        }
        first = play(exchange, plan, risk=limits, journal=path)
        plan = {"14:56": [buy("again"), sell("closes")], "21:02": buy("next day")}
        second = play(exchange, plan, risk=limits, journal=path, wire=first.wire)
    assert first.notes["state"] == "REDUCING"
    assert first.orders["more"].info.code == "DAILY_LOSS"
    (text,) = told(first, "RISK_HALT")
    assert "trading is REDUCING" in text
    assert "3,000 CNY" in text
    assert second.orders["again"].info.code == "DAILY_LOSS"
    assert second.told("closes")[-1] == "Completed"
    assert second.told("next day")[-1] == "Completed"
    assert [each.split(":")[0] for each in told(second, "RISK_HALT")] == [
        "trading is REDUCING",
        "trading is NORMAL again",
    ]
    assert not path.with_name("account.sqlite.halt").exists()


def test_a_drawdown_halts_and_resume_counts_anew(tmp_path: Path) -> None:
    """100 lots gain 500,000 CNY and give 250,000 back: 2.4 % of what the balance was."""
    prices = Prices(80000, {"10:33:30": 81_000, "10:35:30": 80_500}, lots=500)
    result = play(
        market(tmp_path, {CU: prices}, SPAN),
        {
            "10:33": buy("first", size=100),
            "10:37": [
                buy("halted"),
                sell("new close", size=1),
                lambda s: s.broker.resume(),
                buy("resumed"),
            ],
        },
        risk=RiskLimits(drawdown=0.02, on_loss="HALTED"),
    )
    for name in ("halted", "new close"):
        assert result.orders[name].info.code == "DRAWDOWN"
    assert result.told("resumed")[-1] == "Completed"
    assert len(told(result, "RISK_HALT")) == 2


# ---- held orders


def test_stops_while_halted_close_and_open_nothing(tmp_path: Path) -> None:
    """The stop protects a position: a halt that kept it back would cost money."""

    def protect(s: Trader) -> None:
        s.orders["protects"] = s.sell(data=s.by[CU], size=2, price=79_950, **STOP)
        s.orders["opens"] = s.buy(data=s.by[M], price=3010, **STOP)
        s.orders["rests"] = s.buy(data=s.by[RB], price=2950, **LIMIT)

    moves = {CU: Prices(80000, {"10:36:20": 79_940}), M: Prices(3000, {"10:36:20": 3010})}
    result = play(
        market(tmp_path, moves | {RB: Prices(3000)}, SPAN),
        {
            "10:32": buy("held", size=2),
            "10:33": protect,
            "10:35": [
                lambda s: s.broker.halt("stop everything"),
                buy("new"),
                sell("new close"),
                cancel("rests"),
            ],
        },
    )
    assert result.told("protects")[-1] == "Completed"
    assert result.legs("protects") == [("SELL", "CLOSETODAY", 2)]
    assert result.told("opens")[-1] == "Rejected"
    assert result.orders["opens"].info.code == "HALTED"
    assert result.orders["opens"].info.reason == "stop everything"
    assert result.sent("opens") == []
    assert result.told("rests")[-1] == "Canceled"
    for name in ("new", "new close"):
        assert result.orders[name].info.code == "HALTED"
        assert result.told(name) == ["Rejected"]
    assert result.broker.positions() == {}


def test_a_stop_across_zero_closes_what_it_can(tmp_path: Path) -> None:
    path = tmp_path / "account.sqlite"

    def protect(s: Trader) -> None:
        s.orders["stop"] = s.sell(data=s.by[CU], size=5, price=79_950, **STOP)

    result = play(
        market(tmp_path, {CU: Prices(80000, {"10:36:20": 79_940})}, SPAN),
        {
            "10:32": buy("held", size=3),
            "10:33": protect,
            "10:35": lambda s: s.broker.reduce("no new risk"),
        },
        journal=path,
    )
    assert result.legs("stop") == [("SELL", "CLOSETODAY", 3)]
    assert result.told("stop")[-1] == "Canceled"
    assert result.orders["stop"].executed.size == -3
    assert result.orders["stop"].info.code == "REDUCING"
    assert [row["code"] for row in rows(path, "refusals")] == ["REDUCING"]


def test_an_order_for_the_opening_is_looked_at_when_it_leaves(tmp_path: Path) -> None:
    spans = ("11:28", "11:30"), ("13:29", "13:35")
    # written in the break: each passes alone
    result = play(
        market(tmp_path, {CU: Prices(80000)}, *spans),
        {
            "11:30": [
                buy("first", size=2, price=79_900, **LIMIT),
                buy("second", size=2, price=79_800, **LIMIT),
            ]
        },
        risk=RiskLimits(gross_lots=3),
    )
    assert result.told("first")[-1] == "Accepted"
    assert result.told("second")[-1] == "Rejected"
    assert result.orders["second"].info.code == "GROSS_POSITION"
    assert [sent.volume for sent in result.wire.sent] == [2]


def test_an_order_that_becomes_larger_is_looked_at_again(tmp_path: Path) -> None:
    result = play(
        market(tmp_path, {CU: Prices(80000)}, SPAN),
        {
            "10:32": buy("order", size=2, price=79_900, **LIMIT),
            "10:34": lambda s: s.broker.modify(s.orders["order"], size=4),
        },
        risk=RiskLimits(order_lots=3),
    )
    assert result.told("order")[-1] == "Rejected"
    assert result.orders["order"].info.code == "ORDER_SIZE"
    assert [sent.volume for sent in result.wire.sent] == [2]
    assert len(result.wire.cancels) == 1


def test_targets_pass_the_gate_too(tmp_path: Path) -> None:
    """TqSdk's tasks make the exchange orders; what they open is looked at, order by order."""
    path = tmp_path / "account.sqlite"
    result = play(
        market(tmp_path, {CU: Prices(80000)}, SPAN),
        {
            "10:32": buy("within", size=2),
            "10:34": buy("beyond", size=2),
            "10:35": sell("closes", size=2),
        },
        risk=RiskLimits(net_lots=3),
        execution="target",
        journal=path,
    )
    assert result.told("within")[-1] == "Completed"
    assert result.orders["beyond"].info.code == "NET_POSITION"
    assert result.told("closes")[-1] == "Completed"
    assert counted(path, "2025-09-16")["orders"] == 2


def test_a_target_that_goes_off_later_is_looked_at_then(tmp_path: Path) -> None:
    result = play(
        market(tmp_path, {CU: Prices(80000, {"10:36:20": 80_100})}, SPAN),
        {
            "10:33": buy("stop", price=80_100, **STOP),
            "10:35": lambda s: s.broker.reduce("no new risk"),
        },
        execution="target",
    )
    assert result.told("stop")[-1] == "Rejected"
    assert result.orders["stop"].info.code == "REDUCING"
    assert result.wire.log == []


def test_cancels_of_tqsdks_tasks_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "account.sqlite"
    result = play(
        market(tmp_path, {CU: Prices(80000)}, SPAN),
        {"10:33": buy("rests", size=2), "10:35": cancel("rests")},
        risk=RiskLimits(cancels_per_day=100),
        execution="target",
        target_price="PASSIVE",
        journal=path,
    )
    assert result.told("rests")[-1] == "Canceled"
    assert len(result.wire.cancels) == 1
    found = counted(path, "2025-09-16")
    assert (found["orders"], found["cancels"], found[f"cancels {CU}"]) == (1, 1, 1)


def test_what_the_exchange_refuses_is_written_down_too(tmp_path: Path) -> None:
    path = tmp_path / "account.sqlite"
    result = play(
        market(tmp_path, {CU: Prices(80000, lots=900)}, SPAN),
        {"10:33": buy("poor", size=450)},
        journal=path,
    )
    assert result.told("poor")[-1] == "Margin"
    (row,) = rows(path, "refusals")
    assert (row["code"], row["symbol"]) == ("REFUSED", CU)
    assert row["text"] == result.orders["poor"].info.reason
    assert told(result, "ORDER_REFUSED") == [row["text"]]


# ---- settings


def test_limits_of_a_mode() -> None:
    assert limits_of(None, "live") == RiskLimits.cautious()
    assert limits_of(RiskLimits(), "live") is None
    for mode in ("demo", "paper", "sim", "kq"):
        assert limits_of(None, mode) is None
    own = RiskLimits(order_lots=3)
    assert limits_of(own, "live") == limits_of(own, "demo") == own


@pytest.mark.parametrize("risk", [True, 5, {"order_lots": 3}, "cautious"])
def test_what_is_no_limit_is_refused_when_the_broker_is_made(risk: Any) -> None:
    with pytest.raises(WrongSetting, match="RiskLimits"):
        TqStore().getbroker(risk=risk)


def test_what_is_held_elsewhere_has_its_worth(tmp_path: Path) -> None:
    """A contract of no feed, bought by another program: 5 lots of M at 3,000 are 150,000 CNY."""
    exchange = market(tmp_path, {CU: Prices(80000), M: Prices(3000)}, SPAN)
    with exchange:
        plan: dict[str, Any] = {"10:32": buy("held", M, 5), "10:33": leave}
        first = play(exchange, plan)
        result = play(
            exchange,
            {"10:35": [buy("one"), buy("two")]},
            [CU],
            wire=first.wire,
            risk=RiskLimits(total_notional_cny=600_000),
        )
    assert result.told("one")[-1] == "Completed"
    assert result.orders["two"].info.code == "NOTIONAL"
    assert "worth 950,0" in result.orders["two"].info.reason


def test_rules_that_tqsdk_has_of_an_account_are_shown(tmp_path: Path) -> None:
    def look(s: Trader) -> None:
        connection = s.broker._store.connection
        tree = connection._node("trade", connection._key, "risk_management_rule")
        tree["SSE"] = {"enable": True, "self_trade": {"count_limit": 5}}
        s.notes["rules"] = connection.trading.risk_rules()

    result = play(market(tmp_path, {CU: Prices(80000)}, ("10:31", "10:34")), {"10:33": look})
    rule = {"SSE": {"enable": True, "self_trade": {"count_limit": 5}}}
    assert result.notes["rules"] == {"rule": rule, "data": {}}


def test_rules_that_may_refuse_orders_are_told_before_the_first_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an account that TqSdk's servers watch: one exchange switched on, one off."""
    rules = {
        "SSE": {
            "user_id": "someone",
            "exchange_id": "SSE",
            "enable": True,
            "self_trade": {"count_limit": 5},
            "frequent_cancellation": {"insert_order_count_limit": 100},
        },
        "SZSE": {"user_id": "someone", "enable": False, "self_trade": {"count_limit": 9}},
    }
    monkeypatch.setattr(TqApi, "get_risk_management_rule", lambda *_: rules)
    result = play(market(tmp_path, {CU: Prices(80000)}, ("10:31", "10:34")), {"10:33": leave})
    (text,) = [text for message, text in result.notices if message == "ACCOUNT_RULES"]
    assert text.endswith(
        "SSE: frequent_cancellation insert_order_count_limit=100, self_trade count_limit=5"
    )
    assert "someone" not in text


def test_an_account_without_rules_of_its_own_says_so(tmp_path: Path) -> None:
    """TqSdk has them for real brokers' accounts only."""
    result = play(
        market(tmp_path, {CU: Prices(80000)}, ("10:31", "10:34")),
        {"10:33": note("rules", lambda s: s.broker._store.connection.trading.risk_rules())},
    )
    assert result.notes["rules"] is None
