"""A program ends and another takes its orders up, against the stand-in exchange."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from order_floor import BUY, CLOSE, OPEN, SELL, Desk, M, ns

from tianqin_backtrader.blotter import Blotter
from tianqin_backtrader.journal_records import HoldingRecord
from tianqin_backtrader.orders import OrderState
from tianqin_backtrader.recovery import NOT_KNOWN, catch_up, restore
from tianqin_backtrader.values import Trade
from tianqin_backtrader.working import Phase, Rules

S = OrderState


@pytest.fixture
def desk() -> Desk:
    return Desk()


def die(desk: Desk) -> None:
    """What the program has not been told is lost, and what it has not sent."""
    desk.news.clear()
    desk.wire.clear()
    desk.told.clear()


def rise(desk: Desk, trades: Iterable[Trade] = (), expects: HoldingRecord | None = None) -> None:
    """Another program on the same journal and account; `trades`: those of the day."""
    desk.blotter = Blotter(desk, desk.journal, desk.told.append, Rules())
    restore(desk.blotter, desk, desk.journal, lambda ticket: True)
    before = {expects.symbol: expects} if expects is not None else {}
    pictures = {order_id: order.picture() for order_id, order in desk.orders.items()}
    held = {symbol: desk.truth(symbol) for symbol in before}
    with desk.journal.together():
        catch_up(desk.blotter, pictures, trades, before, held)
    desk.blotter.on_time()


def holding(long: int, short: int) -> HoldingRecord:
    return HoldingRecord(M, long, short, ns("2025-12-03 10:00:00"))


# ---- a night that nobody saw


def rest_opening_and_closing(desk: Desk) -> tuple[str, str]:
    """A long lot is held; orders that open one and close one stand over the days."""
    desk.hold(M, long=(0, 1))
    opening = desk.order(M, BUY, 1, limit=2_990.0)
    closing = desk.order(M, SELL, 1, limit=3_010.0)
    desk.arrive()
    desk.deliver()
    assert desk.legs(opening) + desk.legs(closing) == [(OPEN, 1, 2_990.0), (CLOSE, 1, 3_010.0)]
    return opening, closing


def test_orders_that_undo_each_other_in_an_unseen_day_are_not_sent_again(desk: Desk) -> None:
    """Both had filled: the account held what it had held before, and both were sent again."""
    opening, closing = rest_opening_and_closing(desk)
    with desk.lagging():
        desk.fill(f"{opening}.0")
        desk.fill(f"{closing}.0")
        desk.end_day()
    die(desk)
    desk.at("2025-12-04 09:30:00")
    rise(desk, expects=holding(1, 0))
    assert (desk.state(opening), desk.state(closing)) == (S.CANCELED, S.CANCELED)
    assert desk.work(opening).reason.startswith(NOT_KNOWN)
    desk.sends_nothing()


def test_orders_of_one_kind_go_on_when_the_lots_are_as_before(desk: Desk) -> None:
    """None of them can have traded: another lot would be held."""
    first = desk.order(M, BUY, 1, limit=2_990.0)
    second = desk.order(M, BUY, 2, limit=2_980.0)
    desk.arrive()
    desk.deliver()
    with desk.lagging():
        desk.end_day()
    die(desk)
    desk.at("2025-12-04 09:30:00")
    rise(desk, expects=holding(0, 0))
    assert desk.on_wire() == [f"{first}.1", f"{second}.1"]


def test_trades_that_are_never_shown_end_the_order_and_send_nothing_again(desk: Desk) -> None:
    """It stayed Partial for ever; sent again as the rest of a day, its lots would trade twice."""
    key = desk.order(M, BUY, 3, limit=2_990.0)
    desk.arrive()
    desk.deliver()
    with desk.lagging():
        desk.fill(f"{key}.0")
        desk.news[:] = [each for each in desk.news if not isinstance(each, Trade)]
        desk.deliver()
    desk.pass_s(3_600)
    desk.blotter.on_time()
    assert desk.state(key) is S.ACCEPTED  # it may come as long as its day lasts
    desk.end_day()
    desk.at("2025-12-04 09:30:00")
    desk.blotter.on_time()
    desk.pass_s(4)
    desk.blotter.on_time()
    assert desk.state(key) is S.CANCELED
    assert desk.work(key).reason.startswith("3 lots have traded whose trades were never shown")
    assert len(desk.legs(key)) == 1


# ---- killed in the middle of a change


def changed(desk: Desk, **changes: object) -> str:
    """A resting order that is being replaced: the withdrawal is under way."""
    key = desk.order(M, BUY, 3, limit=2_990.0)
    desk.arrive()
    desk.deliver()
    desk.blotter.modify(key, **changes)
    assert desk.on_wire("cancel") == [f"{key}.0"]
    return key


def test_a_change_that_was_under_way_is_carried_out(desk: Desk) -> None:
    """The order ended as Canceled: its owner had asked for another price, not for its end."""
    key = changed(desk, price=2_995.0)
    with desk.lagging():
        desk.obey(f"{key}.0")
    die(desk)
    rise(desk)
    assert desk.state(key) is S.ACCEPTED
    assert desk.legs(key) == [(OPEN, 3, 2_990.0), (OPEN, 3, 2_995.0)]


def test_a_change_whose_withdrawal_was_never_sent_withdraws_first(desk: Desk) -> None:
    key = changed(desk, price=2_995.0)
    die(desk)
    rise(desk)
    assert desk.work(key).phase is Phase.LEAVING
    assert (desk.on_wire("cancel"), desk.on_wire()) == ([f"{key}.0"], [])
    desk.obey(f"{key}.0")
    desk.deliver()
    assert desk.on_wire() == [f"{key}.1"]
    assert desk.legs(key)[1] == (OPEN, 3, 2_995.0)


def test_a_change_that_was_cancelled_is_not_carried_out(desk: Desk) -> None:
    """The journal knew of the change and not of the cancel: the order came back."""
    key = changed(desk, price=2_995.0)
    desk.cancel_order(key)
    with desk.lagging():
        desk.obey(f"{key}.0")
    die(desk)
    rise(desk)
    assert desk.state(key) is S.CANCELED
    desk.sends_nothing()


def test_a_change_to_fewer_lots_than_have_traded_meanwhile_ends_complete(desk: Desk) -> None:
    key = changed(desk, volume=1)
    with desk.lagging():
        desk.fill(f"{key}.0", 2)
        desk.obey(f"{key}.0")
        trades = [item for item in desk.news if isinstance(item, Trade)]
    die(desk)
    rise(desk, trades)
    assert desk.state(key) is S.COMPLETED
    desk.sends_nothing()


# ---- connected, and silent


def test_an_order_of_which_the_exchange_says_nothing_is_told_once(desk: Desk) -> None:
    """It stayed Submitted for hours and nobody knew."""
    key = desk.order(M, BUY, 1)
    desk.pass_s(9)
    desk.blotter.on_time()
    assert desk.heard(key) == []
    desk.pass_s(2)
    desk.blotter.on_time()
    desk.pass_s(60)
    desk.blotter.on_time()
    assert desk.heard(key) == ["unanswered for 11 s"]


def test_an_answered_order_is_not_told_as_silent(desk: Desk) -> None:
    key = desk.order(M, BUY, 1, limit=2_990.0)
    desk.arrive()
    desk.deliver()
    desk.pass_s(3_000)
    desk.blotter.on_time()
    assert desk.heard(key) == ["Accepted"]


def test_silence_while_the_line_is_lost_is_no_news(desk: Desk) -> None:
    key = desk.order(M, BUY, 1)
    desk.disconnect()
    desk.pass_s(60)
    desk.blotter.on_time()
    assert desk.heard(key) == []
