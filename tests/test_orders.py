"""Orders' lives: the table, the ledger on a real account, and messages in any order, any often."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianqin_backtrader.errors import InvalidOrder, StopError
from tianqin_backtrader.model import (
    Direction,
    Offset,
    OrderPicture,
    Trade,
    order_from,
    trade_from,
)
from tianqin_backtrader.orders import (
    Accepted,
    Done,
    Event,
    Filled,
    OrderLedger,
    OrderState,
    Signal,
    advance,
)

S = OrderState
TERMINAL = [S.COMPLETED, S.CANCELED, S.EXPIRED, S.MARGIN, S.REJECTED]


def picture(
    order_id: str, volume: int, left: int, *, alive: bool = False, taken: bool = True, msg: str = ""
) -> OrderPicture:
    return OrderPicture(
        order_id=order_id, symbol="SHFE.cu2512", direction=Direction.SELL, offset=Offset.CLOSE,
        volume=volume, volume_left=left, price=85_000.0, price_type="LIMIT",
        status="ALIVE" if alive else "FINISHED", last_msg=msg,
        exchange_order_id=f"X{order_id}" if taken else "", insert_ns=1,
    )  # fmt: skip


def trade(order_id: str, trade_id: str, volume: int) -> Trade:
    return Trade(
        trade_id=trade_id, order_id=order_id, symbol="SHFE.cu2512", direction=Direction.SELL,
        offset=Offset.CLOSE, price=85_000.0, volume=volume, commission_cny=math.nan, time_ns=2,
    )  # fmt: skip


def ledger(**legs: int) -> OrderLedger:
    made = OrderLedger()
    made.add("1", legs)
    return made


def tell(book: OrderLedger, *messages: OrderPicture | Trade) -> list[Event]:
    return [
        event
        for message in messages
        for event in (
            book.on_trade(message) if isinstance(message, Trade) else book.on_order(message)
        )
    ]


# ---- the table


@pytest.mark.parametrize(
    "path",
    [
        "Created submit Submitted accept Accepted complete Completed",
        "Created submit Submitted accept Accepted fill Partial fill Partial complete Completed",
        "Created submit Submitted accept Accepted fill Partial cancel Canceled",
        "Created submit Submitted accept Accepted expire Expired",
        "Created submit Submitted refuse Rejected",
        "Created submit Submitted lack_money Margin",
        "Created refuse Rejected",
        "Created cancel Canceled",
    ],
)
def test_lives_that_orders_have(path: str) -> None:
    steps = [word.replace("_", " ") for word in path.split()]
    state = OrderState(steps[0])
    for signal, after in zip(steps[1::2], steps[2::2], strict=True):
        state = advance(state, Signal(signal))
        assert state == OrderState(after)
    assert state.is_terminal


@pytest.mark.parametrize("state", TERMINAL)
@pytest.mark.parametrize("signal", Signal)
def test_a_terminal_order_stays_terminal(state: OrderState, signal: Signal) -> None:
    assert advance(state, signal) is state


@pytest.mark.parametrize(
    ("state", "signal"),
    [
        (S.CREATED, Signal.ACCEPT),
        (S.CREATED, Signal.FILL),
        (S.SUBMITTED, Signal.COMPLETE),
        (S.SUBMITTED, Signal.SUBMIT),
        (S.ACCEPTED, Signal.SUBMIT),
        (S.PARTIAL, Signal.REFUSE),
        (S.PARTIAL, Signal.ACCEPT),
    ],
)
def test_refuses_lives_that_no_order_has(state: OrderState, signal: Signal) -> None:
    with pytest.raises(StopError, match=state.value):
        advance(state, signal)


# ---- the ledger


def test_partial_fills_are_told_one_by_one() -> None:  # a predecessor took them as cumulative
    book = ledger(a=5)
    first, second = trade("a", "t1", 2), trade("a", "t2", 3)
    assert tell(book, picture("a", 5, 5, alive=True)) == [Accepted("1")]
    assert tell(book, picture("a", 5, 3, alive=True), first) == [Filled("1", first)]
    assert book.state("1") is S.PARTIAL
    assert tell(book, second) == [Filled("1", second), Done("1", S.COMPLETED, "")]


def test_finished_waits_for_its_last_trade() -> None:
    book = ledger(a=5)
    assert tell(book, picture("a", 5, 0)) == [Accepted("1")]
    only = trade("a", "t1", 5)
    assert tell(book, only) == [Filled("1", only), Done("1", S.COMPLETED, "")]


def test_cancelled_half_way_waits_for_its_trade_too() -> None:
    book = ledger(a=5)
    assert tell(book, picture("a", 5, 3, msg="已撤单")) == [Accepted("1")]
    part = trade("a", "t1", 2)
    assert tell(book, part) == [Filled("1", part), Done("1", S.CANCELED, "已撤单")]


def test_after_a_reconnect_nothing_is_told_twice() -> None:
    book = ledger(a=2)
    messages: list[OrderPicture | Trade] = [
        picture("a", 2, 2, alive=True),
        trade("a", "t1", 2),
        picture("a", 2, 0),
    ]
    assert len(tell(book, *messages)) == 3
    assert tell(book, *messages, *reversed(messages)) == []


def test_two_orders_may_bear_the_same_exchange_trade_number() -> None:
    book = ledger(a=1, b=1)
    assert len(tell(book, trade("a", "9", 1), trade("b", "9", 1))) == 4


def test_refused_before_anything_happened() -> None:
    book = ledger(a=1)
    reason = "平今手数超过今仓持仓量"
    events = tell(book, picture("a", 1, 1, taken=False, msg=reason))
    assert events == [Done("1", S.REJECTED, reason)]


@pytest.mark.parametrize("reason", ["开仓资金不足", "CTP:资金不足"])
def test_refused_for_want_of_money(reason: str) -> None:
    book = ledger(a=1)
    events = tell(book, picture("a", 1, 1, taken=False, msg=reason))
    assert events == [Done("1", S.MARGIN, reason)]


def test_a_local_picture_is_not_an_acceptance() -> None:
    """TqApi itself writes an ALIVE order without exchange id when it sends."""
    assert tell(ledger(a=1), picture("a", 1, 1, alive=True, taken=False)) == []


def test_an_order_ends_when_every_leg_has() -> None:
    book = ledger(a=3, b=2)
    fill = trade("a", "t1", 3)
    assert tell(book, picture("a", 3, 0), fill) == [Accepted("1"), Filled("1", fill)]
    assert [leg.is_alive for leg in book.legs("1")] == [False, True]  # a cancel must reach b
    assert tell(book, picture("b", 2, 2)) == [Done("1", S.CANCELED, "")]


def test_a_refused_leg_of_a_filled_order_cancels_the_rest() -> None:
    book = ledger(a=3, b=2)
    tell(book, trade("a", "t1", 3))
    events = tell(book, picture("b", 2, 2, taken=False, msg="开仓资金不足"))
    assert events == [Done("1", S.CANCELED, "开仓资金不足")]


def test_a_leg_that_was_never_sent() -> None:
    book = ledger(a=3, b=2)
    tell(book, picture("a", 3, 3, taken=False, msg="平仓手数超过持仓量"))
    assert book.state("1") is S.SUBMITTED
    assert book.on_unsent("b", "not sent") == [
        Done("1", S.REJECTED, "平仓手数超过持仓量; not sent")
    ]
    assert book.on_unsent("b", "not sent") == []


def test_expired_when_its_time_was_over() -> None:
    book = ledger(a=3)
    book.expire("1")
    assert tell(book, picture("a", 3, 3))[-1] == Done("1", S.EXPIRED, "")


def test_a_fill_after_the_end_is_still_a_fill() -> None:
    """The account holds these lots: told, while the order stays as it ended."""
    book = ledger(a=3)
    tell(book, picture("a", 3, 3))
    late = trade("a", "t1", 1)
    assert tell(book, late) == [Filled("1", late)]
    assert book.state("1") is S.CANCELED


def test_orders_of_other_programs_are_passed_over() -> None:
    assert tell(ledger(a=1), picture("z", 1, 0), trade("z", "t1", 1)) == []


def test_no_order_id_is_used_twice() -> None:
    book = ledger(a=1)
    for ref, legs in (("2", {"a": 1}), ("1", {"b": 1}), ("3", {})):
        with pytest.raises(InvalidOrder, match="must be new"):
            book.add(ref, legs)


def test_the_recorded_account(records: Path) -> None:
    """68 orders: 50 filled, 11 cancelled, 7 refused; 50 trades."""
    folder = records / "account/kq-2025-12-24"
    pictures = json.loads((folder / "orders.json").read_text(encoding="utf-8")).values()
    trades = json.loads((folder / "trades.json").read_text(encoding="utf-8")).values()
    orders = [order_from(each) for each in pictures]
    book = OrderLedger()
    for order in orders:
        book.add(order.order_id, {order.order_id: order.volume})
    events = tell(book, *orders, *(trade_from(each) for each in trades), *orders)
    ends = Counter(event.state for event in events if isinstance(event, Done))
    assert ends == {S.COMPLETED: 50, S.CANCELED: 11, S.REJECTED: 7}
    assert sum(isinstance(event, Filled) for event in events) == 50
    assert sum(isinstance(event, Accepted) for event in events) == 61


# ---- any order, any often


@st.composite
def lives(draw: st.DrawFn) -> tuple[dict[str, int], list[OrderPicture | Trade], OrderState]:
    """What a gateway could say of an order with up to three legs, and how the order must end."""
    legs: dict[str, int] = {}
    said: list[OrderPicture | Trade] = []
    refused = poor = False
    for name in draw(st.sampled_from(["a", "ab", "abc"])):
        legs[name] = volume = draw(st.integers(1, 6))
        if draw(st.booleans()) and draw(st.booleans()):
            poor |= draw(st.booleans())
            refused = True
            said.append(picture(name, volume, volume, taken=False, msg="资金不足" * poor))
            continue
        fills = draw(st.lists(st.integers(1, 3), max_size=3))
        while sum(fills) > volume:
            fills.pop()
        left = volume
        for number, lots in enumerate(fills):
            said.append(picture(name, volume, left, alive=True))
            left -= lots
            said.append(trade(name, f"t{number}", lots))
        said.append(picture(name, volume, left))
    filled = sum(message.volume for message in said if isinstance(message, Trade))
    if filled == sum(legs.values()):
        return legs, said, S.COMPLETED
    if refused and not filled:
        return legs, said, S.MARGIN if poor else S.REJECTED
    return legs, said, S.CANCELED


@settings(max_examples=200)
@given(life=lives(), data=st.data())
def test_repeats_and_order_of_messages_change_nothing(
    life: tuple[dict[str, int], list[OrderPicture | Trade], OrderState], data: st.DataObject
) -> None:
    legs, said, end = life
    repeats = data.draw(st.lists(st.sampled_from(said), max_size=8))
    shuffled = data.draw(st.permutations([*said, *repeats]))
    events = tell(ledger(**legs), *shuffled)
    fills = [event.trade for event in events if isinstance(event, Filled)]
    trades = [message for message in said if isinstance(message, Trade)]
    assert Counter((t.order_id, t.trade_id) for t in fills) == Counter(
        (t.order_id, t.trade_id) for t in trades
    )
    assert [event.state for event in events if isinstance(event, Done)] == [end]
    assert isinstance(events[-1], Done)
    accepted = [n for n, event in enumerate(events) if isinstance(event, Accepted)]
    assert accepted == [0] * (len(events) > 1)


def test_a_picture_of_the_past_does_not_revive_an_order() -> None:
    book = ledger(a=2)
    alive = picture("a", 2, 2, alive=True)
    assert tell(book, replace(alive, status="FINISHED"), alive)[-1] == Done("1", S.CANCELED, "")
    assert book.state("1") is S.CANCELED
