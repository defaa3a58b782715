"""Orders at work against a stand-in exchange: each order type, and each way messages can go wrong.

The exchange (`order_floor`) does only what a test says; expected values are worked by hand.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from order_floor import (
    BUY,
    CLOSE,
    CLOSETODAY,
    CU,
    DAY_IS_OVER,
    IF,
    OPEN,
    SELL,
    TERMS,
    WITHDRAWN,
    Desk,
    M,
    ns,
    total,
)

from tianqin_backtrader.errors import BadPrice, InvalidOrder
from tianqin_backtrader.orders import OrderState
from tianqin_backtrader.tickets import Kind, Ticket
from tianqin_backtrader.values import AccountPosition, ExchangeOrder, OrderPicture, SideLots, Trade
from tianqin_backtrader.working import Phase, Rules

S = OrderState


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---- market orders


def test_market_order_where_the_exchange_takes_one_follows_with_the_rest(desk: Desk) -> None:
    """A protective stop of more lots than the book ended half-filled, its rest unprotected."""
    key = desk.order(M, BUY, 5)
    assert desk.legs(key) == [(OPEN, 5, None)]
    desk.arrive()
    desk.fill("t.1.0", 2, 3_001.0)
    desk.finish("t.1.0")
    assert desk.heard(key) == ["Accepted", "2 @ 3001"]
    desk.tick(M, 3_010.0)
    assert desk.legs(key) == [(OPEN, 5, None), (OPEN, 3, None)]


def test_market_order_crosses_the_spread_and_follows_the_price_where_none_exists(
    desk: Desk,
) -> None:
    key = desk.order(CU, BUY, 5)  # ask 90,010 and two ticks of 10
    assert desk.legs(key) == [(OPEN, 5, 90_030.0)]
    assert desk.sent["t.1.0"].advanced == "FAK"
    desk.arrive()
    desk.fill("t.1.0", 2, 90_010.0)
    desk.finish("t.1.0")
    desk.sends_nothing()  # the same price again would find nothing
    desk.tick(CU, 90_050.0)
    assert desk.legs(key)[1:] == [(OPEN, 3, 90_080.0)]
    desk.arrive()
    desk.fill("t.1.1", 3, 90_060.0)
    assert desk.heard(key) == ["Accepted", "2 @ 90010", "3 @ 90060", "Completed"]


def test_selling_at_market_crosses_downwards(desk: Desk) -> None:
    assert desk.legs(desk.order(IF, SELL, 1)) == [(OPEN, 1, 3_999.4)]  # bid 3,999.8


def test_market_order_stays_where_it_is_after_twenty_tries(desk: Desk) -> None:
    desk.order(CU, BUY, 1)
    for number in range(20):
        assert desk.sent[f"t.1.{number}"].advanced == "FAK"
        desk.arrive()
        desk.finish(f"t.1.{number}")
        desk.tick(CU, 90_000.0)
    assert desk.sent["t.1.20"].advanced is None
    desk.arrive()
    desk.tick(CU, 90_000.0)
    desk.sends_nothing()
    desk.fill("t.1.20")
    assert desk.state("t.1") is S.COMPLETED


def test_real_market_order_gives_up_after_twenty_tries(desk: Desk) -> None:
    """At the day's limit it would send an order with every tick."""
    key = desk.order(M, BUY, 1)
    for number in range(21):
        assert desk.on_wire() == [f"t.1.{number}"]
        desk.arrive()
        desk.finish(f"t.1.{number}")
        desk.tick(M, 3_300.0)
    desk.sends_nothing()
    assert desk.heard(key) == ["Accepted", "Canceled"]


def test_what_is_told_twice_between_two_tries_is_no_try() -> None:
    desk = Desk(rules=Rules(tries=2))
    desk.order(CU, BUY, 1)
    desk.arrive()
    desk.finish("t.1.0")
    for _ in range(3):
        desk.hear(desk.sent["t.1.0"].picture())
    desk.tick(CU, 90_000.0)
    assert desk.sent["t.1.1"].advanced == "FAK"


@pytest.mark.parametrize(
    ("direction", "last", "limit"), [(BUY, 98_980.0, 99_000.0), (SELL, 81_020.0, 81_000.0)]
)
def test_market_order_stays_at_the_days_limit(
    desk: Desk, direction: Any, last: float, limit: float
) -> None:
    desk.tick(CU, last)
    assert desk.legs(desk.order(CU, direction, 2)) == [(OPEN, 2, limit)]
    assert desk.sent["t.1.0"].advanced is None


def test_market_order_stays_at_the_limit_when_nobody_is_opposite(desk: Desk) -> None:
    desk.tick(CU, 99_000.0, ask=math.nan)
    assert desk.legs(desk.order(CU, BUY, 2)) == [(OPEN, 2, 99_000.0)]
    assert desk.sent["t.1.0"].advanced is None


def test_market_order_without_any_known_price_is_rejected(desk: Desk) -> None:
    desk.contracts[CU] = replace(TERMS[CU], upper_limit=math.nan)
    desk.tick(CU, math.nan)
    key = desk.order(CU, BUY, 2)
    assert desk.heard(key) == ["Rejected"]
    assert "known opposite price" in desk.work(key).reason


def test_market_order_that_is_fak_itself_does_not_follow_the_price(desk: Desk) -> None:
    key = desk.order(CU, BUY, 5, advanced="FAK")
    desk.arrive()
    desk.fill("t.1.0", 1)
    desk.finish("t.1.0")
    assert desk.heard(key) == ["Accepted", "1 @ 90000", "Canceled"]


def test_market_order_refused_for_want_of_money_ends_as_margin(desk: Desk) -> None:
    key = desk.order(CU, BUY, 5)
    desk.refuse("t.1.0", "CTP:资金不足")
    assert desk.heard(key) == ["Margin"]


# ---- limit orders


def test_limit_order_rests_and_fills_in_parts(desk: Desk) -> None:
    key = desk.order(CU, SELL, 3, limit=90_100.0)
    assert desk.legs(key) == [(OPEN, 3, 90_100.0)]
    assert desk.sent["t.1.0"].advanced is None
    desk.arrive()
    assert desk.state(key) is S.ACCEPTED
    desk.fill("t.1.0", 1, 90_100.0)
    assert desk.state(key) is S.PARTIAL
    desk.fill("t.1.0", 2, 90_100.0)
    assert desk.heard(key) == ["Accepted", "1 @ 90100", "2 @ 90100", "Completed"]


def test_limit_order_beyond_the_days_limits_is_rejected_before_it_leaves(desk: Desk) -> None:
    key = desk.order(CU, BUY, 1, limit=99_010.0)
    assert desk.heard(key) == ["Rejected"]
    desk.sends_nothing()


def test_limit_order_withdrawn_by_another_terminal_ends(desk: Desk) -> None:
    key = desk.order(CU, BUY, 2, limit=89_000.0)
    desk.arrive()
    desk.finish("t.1.0")
    assert desk.heard(key) == ["Accepted", "Canceled"]
    desk.sends_nothing()


# ---- stops


@pytest.mark.parametrize(
    ("terms", "ticks", "sent", "moves"),
    [
        ({"stop": 2_950.0}, [2_960.0, 2_950.0], None, []),
        ({"stop": 2_950.0, "limit": 2_945.0}, [2_951.0, 2_940.0], 2_945.0, []),
        (
            {"kind": Kind.TRAIL, "trail_amount": 20.0},  # from 3,000: 2,980, then 2,990
            [2_990.0, 3_010.0, 2_991.0, 2_990.0],
            None,
            ["moved to 2990"],
        ),
        (
            # 5 below the stop, which is 20 below the highest price since
            {"kind": Kind.TRAIL_LIMIT, "price": 3_000.0, "limit": 2_995.0, "trail_amount": 20.0},
            [3_010.0, 2_989.0],
            2_985.0,
            ["moved to 2990"],
        ),
    ],
)
def test_stops_go_off_once(
    desk: Desk, terms: dict[str, Any], ticks: list[float], sent: float | None, moves: list[str]
) -> None:
    key = desk.order(M, SELL, 2, **terms)
    for price in ticks:
        desk.sends_nothing()
        desk.tick(M, price)
    assert desk.legs(key) == [(OPEN, 2, sent)]
    for price in (2_900.0, 2_950.0, 3_100.0, 2_900.0):
        desk.tick(M, price)
    assert desk.on_wire() == ["t.1.0"]
    assert desk.heard(key) == ["Accepted", "held", *moves, "triggered"]
    desk.arrive()
    desk.fill("t.1.0")
    assert desk.heard(key)[-1] == "Completed"
    assert [stop.state for stop in desk.journal.stops()] == []  # ended


def test_trailing_stoplimit_without_a_limit_price_is_a_limit_order_at_the_stop(
    desk: Desk,
) -> None:
    """It was sent as a market order: its ticket names no limit."""
    key = desk.order(M, SELL, 1, kind=Kind.TRAIL_LIMIT, trail_amount=20.0)
    desk.tick(M, 2_980.0)
    assert desk.legs(key) == [(OPEN, 1, 2_980.0)]


@pytest.mark.parametrize(
    ("direction", "stop", "limit", "sent"),
    [(SELL, 2_720.0, 2_690.0, 2_700.0), (BUY, 3_280.0, 3_310.0, 3_300.0)],
)
def test_stoplimit_whose_limit_lies_beyond_the_days_is_sent_at_the_days(
    desk: Desk, direction: Any, stop: float, limit: float, sent: float
) -> None:
    """It was rejected on the day of the crash, the one that it was written for."""
    key = desk.order(M, direction, 1, stop=stop, limit=limit)
    desk.tick(M, stop)
    assert desk.legs(key) == [(OPEN, 1, sent)]


def test_stop_is_hit_by_prices_of_its_own_contract_only(desk: Desk) -> None:
    desk.order(M, SELL, 1, stop=2_950.0)
    desk.tick(IF, 2_900.0)
    desk.sends_nothing()


def test_stop_hit_while_the_market_is_closed_is_sent_at_the_opening(desk: Desk) -> None:
    key = desk.order(M, SELL, 1, stop=2_950.0)
    desk.at("10:20")
    desk.tick(M, 2_940.0)
    desk.sends_nothing()
    desk.at("10:30")
    assert desk.legs(key) == [(OPEN, 1, None)]


def test_a_bracket_whose_stop_cannot_be_watched_is_refused_whole(desk: Desk) -> None:
    """Its parent stayed behind and was sent without its stop by the next look at the time."""
    desk.tick(CU, math.nan)
    trailing = {"kind": Kind.TRAIL, "trail_amount": 10.0}
    with pytest.raises(InvalidOrder):
        desk.bracket(CU, BUY, 1, trailing, limit=90_000.0)
    desk.pass_s(1)
    desk.sends_nothing()
    assert desk.blotter.alive == []


# ---- Close orders


def test_close_order_leaves_shortly_before_the_day_ends(desk: Desk) -> None:
    key = desk.order(CU, BUY, 1, kind=Kind.CLOSE)
    desk.at("14:59:29.9")
    desk.sends_nothing()
    desk.at("14:59:30")
    assert desk.legs(key) == [(OPEN, 1, 90_030.0)]
    assert desk.heard(key) == ["Accepted", "held"]


def test_close_order_of_an_evening_waits_for_the_next_afternoon() -> None:
    desk = Desk("2025-12-03 21:30:00")
    key = desk.order(CU, BUY, 1, kind=Kind.CLOSE)
    desk.at("2025-12-03 23:59:59")
    desk.sends_nothing()
    desk.at("2025-12-04 14:59:30")
    assert len(desk.legs(key)) == 1


def test_close_order_written_after_the_close_is_for_the_next_one() -> None:
    """The close of its own day was past: it left at the night's opening."""
    desk = Desk("2025-12-03 15:30:00")
    key = desk.order(CU, BUY, 1, kind=Kind.CLOSE)
    desk.pass_s(60)
    desk.at("2025-12-03 21:00:00")
    desk.sends_nothing()
    desk.at("2025-12-04 14:59:30")
    assert len(desk.legs(key)) == 1


# ---- validity


def test_order_whose_time_is_over_is_withdrawn_and_expires(desk: Desk) -> None:
    key = desk.order(M, BUY, 3, limit=2_990.0, expires_ns=ns("2025-12-03 10:05:00"))
    desk.arrive()
    desk.fill("t.1.0", 1, 2_990.0)
    desk.at("10:04:59.9")
    desk.sends_nothing()
    desk.at("10:05")
    assert desk.on_wire("cancel") == ["t.1.0"]
    desk.arrive()
    assert desk.heard(key) == ["Accepted", "1 @ 2990", "Expired"]


def test_held_stop_expires_here(desk: Desk) -> None:
    key = desk.order(M, SELL, 1, stop=2_950.0, expires_ns=ns("2025-12-03 10:05:00"))
    desk.at("10:05")
    assert desk.heard(key) == ["Accepted", "held", "Expired"]
    desk.tick(M, 2_900.0)
    desk.sends_nothing()


def test_stop_whose_time_is_over_does_not_go_off_on_a_late_tick(desk: Desk) -> None:
    """The first tick after a pause came before any look at the time."""
    key = desk.order(M, SELL, 1, stop=2_950.0, expires_ns=ns("2025-12-03 15:00:00"))
    desk.now_ns = ns("2025-12-03 21:00:00.5")
    desk.tick(M, 2_900.0)
    desk.sends_nothing()
    assert desk.heard(key)[-1] == "Expired"


@pytest.mark.parametrize("told_at", ["14:59:59.8", "15:00:00.3"])
def test_day_order_that_the_exchange_ended_with_the_day_expires(told_at: str, desk: Desk) -> None:
    key = desk.order(M, BUY, 1, limit=2_990.0, expires_ns=ns("2025-12-03 15:00:00"))
    desk.arrive()
    desk.now_ns = ns(f"2025-12-03 {told_at}")
    desk.finish("t.1.0", DAY_IS_OVER)
    assert desk.heard(key) == ["Accepted", "Expired"]


def test_order_without_an_end_is_sent_again_the_next_day(desk: Desk) -> None:
    key = desk.order(M, BUY, 3, limit=2_990.0)
    desk.arrive()
    desk.fill("t.1.0", 1, 2_990.0)
    desk.end_day()
    desk.sends_nothing()
    desk.at("21:00")
    assert desk.legs(key) == [(OPEN, 3, 2_990.0), (OPEN, 2, 2_990.0)]
    desk.arrive()
    desk.fill("t.1.1", 2, 2_990.0)
    assert desk.heard(key) == ["Accepted", "1 @ 2990", "held", "2 @ 2990", "Completed"]


def test_order_ended_by_the_day_a_moment_early_waits_for_the_next_one(desk: Desk) -> None:
    """Our clock was behind the exchange's: the order left into the closed day."""
    desk.order(M, BUY, 1, limit=2_990.0)
    desk.arrive()
    desk.at("14:59:59.8")
    desk.finish("t.1.0", DAY_IS_OVER)
    desk.at("15:00:00")
    desk.sends_nothing()
    desk.at("21:00:00")
    assert desk.on_wire() == ["t.1.1"]


def test_closing_order_without_an_end_closes_history_the_next_day(desk: Desk) -> None:
    desk.hold(CU, long=(2, 0))
    key = desk.order(CU, SELL, 2, limit=90_500.0)
    desk.arrive()
    desk.end_day()
    desk.at("21:00")
    assert desk.legs(key) == [(CLOSETODAY, 2, 90_500.0), (CLOSE, 2, 90_500.0)]
    desk.arrive()
    desk.fill("t.1.1")
    assert desk.state(key) is S.COMPLETED


def test_fak_that_is_answered_after_the_close_is_not_sent_again(desk: Desk) -> None:
    key = desk.order(M, BUY, 1, limit=2_990.0, advanced="FAK")
    with desk.lagging():
        desk.arrive()
        desk.finish("t.1.0")
    desk.at("15:00:01")
    desk.deliver()
    assert desk.heard(key) == ["unanswered for 18001 s", "Accepted", "Canceled"]


def test_market_order_that_is_answered_after_the_close_is_not_sent_again(desk: Desk) -> None:
    key = desk.order(M, BUY, 5)
    with desk.lagging():
        desk.arrive()
        desk.fill("t.1.0", 2)
        desk.finish("t.1.0")
    desk.at("15:00:01")
    desk.deliver()
    assert desk.heard(key) == ["unanswered for 18001 s", "Accepted", "2 @ 3000", "Canceled"]


# ---- closed markets


def test_order_for_a_closed_market_leaves_at_the_opening(desk: Desk) -> None:
    desk.at("10:20")
    key = desk.order(CU, BUY, 1, limit=89_000.0)
    desk.sends_nothing()
    assert desk.heard(key) == ["Accepted", "held"]
    desk.pass_s(60)
    assert desk.heard(key) == ["Accepted", "held"]  # said once
    desk.at("10:30")
    assert desk.legs(key) == [(OPEN, 1, 89_000.0)]


def test_order_leaves_into_a_closed_market_if_that_is_wanted() -> None:
    desk = Desk("2025-12-03 10:20:00", Rules(holds_closed=False))
    assert len(desk.legs(desk.order(CU, BUY, 1, limit=89_000.0))) == 1


def test_order_in_a_lost_connection_leaves_when_it_stands_again(desk: Desk) -> None:
    desk.disconnect()
    key = desk.order(CU, BUY, 1, limit=89_000.0)
    desk.pass_s(5)
    assert desk.heard(key) == []
    desk.reconnect()
    assert desk.on_wire() == ["t.1.0"]


# ---- legs


def test_turning_over_opens_only_when_all_is_closed(desk: Desk) -> None:
    desk.hold(CU, long=(2, 3))
    key = desk.order(CU, SELL, 8, limit=90_000.0)
    closing = [(CLOSETODAY, 2, 90_000.0), (CLOSE, 3, 90_000.0)]
    assert desk.legs(key) == closing
    desk.arrive()
    desk.fill("t.1.0")
    desk.fill("t.1.1", 2)
    desk.sends_nothing()
    desk.fill("t.1.1", 1)
    assert desk.legs(key) == [*closing, (OPEN, 3, 90_000.0)]
    desk.arrive()
    desk.fill("t.1.2")
    assert desk.heard(key)[-1] == "Completed"
    assert desk.held(CU) == (0, 3)


def test_turning_over_opens_nothing_after_a_closing_leg_died(desk: Desk) -> None:
    desk.hold(CU, long=(2, 3))
    key = desk.order(CU, SELL, 8, limit=90_000.0)
    desk.arrive()
    desk.finish("t.1.1")
    assert desk.state(key) is S.ACCEPTED  # the other leg rests
    desk.fill("t.1.0")
    desk.sends_nothing()
    assert desk.heard(key) == ["Accepted", "2 @ 90000", "Canceled"]
    assert desk.held(CU) == (0 + 3, 0)


def test_turning_over_at_market_follows_the_price_with_both_legs(desk: Desk) -> None:
    """The opening leg, never sent, looked like one that had ended with its day."""
    desk.hold(CU, long=(2, 3))
    key = desk.order(CU, SELL, 8)
    desk.arrive()
    desk.fill("t.1.0", 1)
    desk.finish("t.1.0")
    desk.finish("t.1.1")
    desk.sends_nothing()
    desk.tick(CU, 89_900.0)
    assert desk.legs(key)[2:] == [(CLOSETODAY, 1, 89_870.0), (CLOSE, 3, 89_870.0)]
    desk.arrive()
    desk.fill("t.1.3")
    desk.fill("t.1.4")
    assert desk.legs(key)[4:] == [(OPEN, 3, 89_870.0)]


def test_a_refused_closing_leg_ends_the_order_when_the_others_have(desk: Desk) -> None:
    desk.hold(CU, long=(2, 3))
    key = desk.order(CU, SELL, 8, limit=90_000.0)
    desk.take("t.1.0")
    desk.refuse("t.1.1", "交易所拒绝")
    desk.fill("t.1.0")
    assert desk.heard(key) == ["Accepted", "2 @ 90000", "Canceled"]
    assert "交易所拒绝" in desk.work(key).reason
    desk.sends_nothing()


def test_policy_without_commas_sends_all_legs_at_once(desk: Desk) -> None:
    desk.hold(CU, long=(2, 3))
    key = desk.order(CU, SELL, 8, limit=90_000.0, policy="今昨开")
    assert [leg[:2] for leg in desk.legs(key)] == [(CLOSETODAY, 2), (CLOSE, 3), (OPEN, 3)]


def test_large_orders_are_split_at_the_most_of_one(desk: Desk) -> None:
    desk.contracts[CU] = replace(TERMS[CU], max_limit_order_volume=3)
    desk.hold(CU, long=(0, 4))
    key = desk.order(CU, SELL, 9, limit=90_000.0)
    assert [leg[:2] for leg in desk.legs(key)] == [(CLOSE, 3), (CLOSE, 1)]
    desk.arrive()
    desk.fill("t.1.0")
    desk.fill("t.1.1")
    assert [leg[:2] for leg in desk.legs(key)[2:]] == [(OPEN, 3), (OPEN, 2)]


def test_opening_leg_waits_over_a_break(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    key = desk.order(M, SELL, 5, limit=3_000.0)
    desk.arrive()
    desk.at("10:15")
    desk.fill("t.1.0")
    desk.sends_nothing()
    desk.at("10:30")
    assert desk.legs(key)[1:] == [(OPEN, 3, 3_000.0)]


def test_opening_leg_without_a_price_ends_the_order(desk: Desk) -> None:
    """The error left `on_trade` and would have ended the strategy."""
    desk.hold(CU, long=(2, 0))
    key = desk.order(CU, SELL, 5)
    desk.arrive()
    desk.contracts[CU] = replace(TERMS[CU], lower_limit=math.nan)
    desk.tick(CU, math.nan)
    desk.fill("t.1.0")
    assert desk.heard(key) == ["Accepted", "2 @ 90000", "Canceled"]
    assert "known opposite price" in desk.work(key).reason


def test_verbs_close_and_never_open(desk: Desk) -> None:
    desk.hold(CU, long=(2, 3))
    key = desk.order(CU, SELL, 6, limit=90_000.0, offset=CLOSE)
    assert desk.heard(key) == ["Rejected"]
    key = desk.order(CU, SELL, 5, limit=90_000.0, offset=CLOSE)
    assert [leg[:2] for leg in desk.legs(key)] == [(CLOSETODAY, 2), (CLOSE, 3)]


def test_two_orders_do_not_close_the_same_lots(desk: Desk) -> None:
    desk.hold(M, long=(0, 4))
    first = desk.order(M, SELL, 3, limit=3_000.0)
    second = desk.order(M, SELL, 3, limit=3_001.0)  # before the first has arrived
    assert [leg[:2] for leg in desk.legs(first)] == [(CLOSE, 3)]
    assert [leg[:2] for leg in desk.legs(second)] == [(CLOSE, 1)]
    desk.arrive()
    third = desk.order(M, SELL, 1, limit=3_002.0)
    assert [leg[:2] for leg in desk.legs(third)] == [(OPEN, 1)]


def test_closing_waits_for_lots_that_a_withdrawn_order_frees(desk: Desk) -> None:
    """Cancel and close in one breath opened the other side."""
    desk.hold(M, long=(0, 2))
    resting = desk.order(M, SELL, 2, limit=3_050.0)
    desk.arrive()
    desk.cancel_order(resting)
    key = desk.order(M, SELL, 2)
    assert desk.legs(key) == []
    desk.arrive()
    assert desk.legs(key) == [(CLOSE, 2, None)]
    desk.arrive()


# ---- cancels


def test_cancel_reaches_every_live_leg_and_what_was_just_sent(desk: Desk) -> None:
    desk.hold(CU, long=(2, 3))
    key = desk.order(CU, SELL, 8, limit=90_000.0)
    desk.take("t.1.0")
    assert desk.cancel_order(key)
    assert desk.on_wire("cancel") == ["t.1.0", "t.1.1"]
    desk.arrive()
    assert desk.heard(key) == ["Accepted", "Canceled"]
    assert not desk.cancel_order(key)
    assert len(desk.legs(key)) == 2  # the opening leg never left
    assert desk.resting() == []


def test_cancel_before_the_exchange_answered(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.cancel_order(key)
    desk.cancel_order(key)  # exchanges count cancels
    assert desk.on_wire("cancel") == ["t.1.0"]
    assert desk.state(key) is S.SUBMITTED
    desk.arrive()
    assert desk.heard(key) == ["Accepted", "Canceled"]


def test_cancel_of_what_stands_here_needs_no_exchange(desk: Desk) -> None:
    held = desk.order(M, SELL, 1, stop=2_900.0)
    parent, child = desk.bracket(M, BUY, 1, {"stop": 2_900.0}, limit=2_990.0)
    assert desk.cancel_order(child)
    assert desk.cancel_order(held)
    desk.at("10:20")
    parked = desk.order(M, BUY, 1, limit=2_990.0)
    assert desk.cancel_order(parked)
    assert [desk.heard(key)[-1] for key in (held, child, parked)] == ["Canceled"] * 3
    desk.at("10:30")
    desk.tick(M, 2_800.0)
    assert desk.on_wire() == [f"{parent}.0"]


def test_cancel_of_a_market_order_between_two_tries(desk: Desk) -> None:
    key = desk.order(CU, BUY, 5)
    desk.arrive()
    desk.fill("t.1.0", 1)
    desk.finish("t.1.0")
    assert desk.cancel_order(key)
    desk.tick(CU, 90_000.0)
    desk.sends_nothing()
    assert desk.heard(key) == ["Accepted", "1 @ 90000", "Canceled"]


def test_cancel_answered_by_a_fill(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    desk.cancel_order(key)
    desk.fill("t.1.0", 2, 2_990.0)
    desk.arrive()
    assert desk.heard(key) == ["Accepted", "2 @ 2990", "Completed"]


def test_cancel_answered_by_a_part_of_a_fill(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    desk.cancel_order(key)
    desk.fill("t.1.0", 1, 2_990.0)
    desk.arrive()
    assert desk.heard(key) == ["Accepted", "1 @ 2990", "Canceled"]


def test_cancel_that_was_lost_on_its_way_is_sent_once_more(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    desk.disconnect()
    desk.cancel_order(key)
    desk.pass_s(11)
    desk.sends_nothing()
    desk.reconnect()
    assert desk.on_wire("cancel") == ["t.1.0"]
    desk.arrive()
    assert desk.heard(key) == ["Accepted", "Canceled"]


# ---- one cancels the other


def test_oco_as_soon_as_one_trades_the_others_go_and_it_stays(desk: Desk) -> None:
    """The end of the withdrawn one took the rest of the one that had traded with it."""
    first = desk.order(M, BUY, 5, limit=2_990.0)
    second = desk.order(M, BUY, 5, limit=2_980.0, oco=first)
    third = desk.order(M, BUY, 5, stop=3_050.0, oco=first)
    desk.arrive()
    desk.fill("t.1.0", 2, 2_990.0)
    assert desk.on_wire("cancel") == ["t.2.0"]
    assert desk.heard(third)[-1] == "Canceled"
    desk.arrive()
    assert desk.heard(second) == ["Accepted", "Canceled"]
    assert desk.state(first) is S.PARTIAL
    desk.sends_nothing()
    desk.fill("t.1.0", 3, 2_990.0)
    assert desk.state(first) is S.COMPLETED


def test_oco_one_that_ends_takes_the_others(desk: Desk) -> None:
    first = desk.order(M, BUY, 5, limit=2_990.0)
    second = desk.order(M, BUY, 5, limit=2_980.0, oco=first)
    desk.arrive()
    desk.cancel_order(second)
    desk.arrive()
    assert desk.wire == [("cancel", first + ".0")]
    desk.arrive()
    assert desk.heard(first) == ["Accepted", "Canceled"]


def test_oco_both_traded_before_the_cancel_arrived(desk: Desk) -> None:
    first = desk.order(M, BUY, 5, limit=2_990.0)
    second = desk.order(M, BUY, 5, limit=2_980.0, oco=first)
    desk.arrive()
    desk.fill("t.1.0", 1, 2_990.0)
    desk.fill("t.2.0", 1, 2_980.0)
    desk.arrive()
    assert desk.heard(second) == ["Accepted", "1 @ 2980", "Canceled"]
    assert desk.state(first) is S.PARTIAL  # the one that traded first stays


def test_oco_stop_waits_until_the_limit_is_withdrawn_and_closes_what_is_left(desk: Desk) -> None:
    desk.hold(M, long=(0, 5))
    limit = desk.order(M, SELL, 5, limit=3_050.0)
    stop = desk.order(M, SELL, 5, stop=2_950.0, oco=limit)
    desk.arrive()
    desk.tick(M, 2_950.0)
    assert desk.wire == [("cancel", "t.1.0")]
    desk.fill("t.1.0", 2, 3_050.0)
    desk.arrive()
    assert desk.heard(limit) == ["Accepted", "2 @ 3050", "Canceled"]
    assert desk.legs(stop) == [(CLOSE, 3, None)]
    desk.arrive()
    desk.fill("t.2.0", 3, 2_949.0)
    assert desk.heard(stop)[2:] == ["triggered", "modified to 3", "3 @ 2949", "Completed"]
    assert desk.held(M) == (0, 0)


def test_oco_stop_gives_way_when_the_limit_filled_before_the_cancel_came(desk: Desk) -> None:
    desk.hold(M, long=(0, 5))
    limit = desk.order(M, SELL, 5, limit=3_050.0)
    stop = desk.order(M, SELL, 5, stop=2_950.0, oco=limit)
    desk.arrive()
    desk.tick(M, 2_950.0)
    desk.fill("t.1.0", 5, 3_050.0)
    desk.arrive()
    assert desk.heard(limit)[-1] == "Completed"
    assert desk.heard(stop)[-1] == "Canceled"
    assert desk.legs(stop) == []


def test_oco_of_two_sides_keeps_the_one_that_traded(desk: Desk) -> None:
    """A breakout: buy above, sell below; the sell filled while the buy went off."""
    below = desk.order(M, SELL, 5, limit=2_950.0)
    above = desk.order(M, BUY, 5, stop=3_050.0, oco=below)
    desk.arrive()
    desk.tick(M, 3_050.0)
    assert desk.wire == [("cancel", "t.1.0")]
    desk.fill("t.1.0", 2, 2_950.0)
    desk.arrive()
    assert desk.heard(above)[-1] == "Canceled"
    assert desk.legs(above) == []


def test_oco_with_an_order_that_is_long_done_binds_nothing(desk: Desk) -> None:
    first = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    desk.fill("t.1.0")
    later = desk.order(M, BUY, 2, limit=2_980.0, oco=first)
    assert desk.legs(later) == [(OPEN, 2, 2_980.0)]


# ---- brackets

STOP, LIMIT = {"stop": 2_950.0}, {"limit": 3_050.0}


def filled_bracket(desk: Desk, lots: int = 5, *children: dict[str, Any]) -> list[str]:
    """A long position of `lots` at 3,000 with its children standing."""
    keys = desk.bracket(M, BUY, 5, *(children or (STOP, LIMIT)), limit=3_000.0)
    desk.arrive()
    desk.fill("t.1.0", lots)
    if lots < 5:
        desk.finish("t.1.0")
    desk.arrive()
    return keys


def test_children_wait_for_their_parent(desk: Desk) -> None:
    parent, stop, limit = desk.bracket(M, BUY, 5, STOP, LIMIT, limit=3_000.0)
    assert desk.on_wire() == [f"{parent}.0"]
    desk.arrive()
    desk.fill("t.1.0", 4)
    desk.tick(M, 2_900.0)
    desk.sends_nothing()
    assert desk.heard(stop) == desk.heard(limit) == ["Accepted", "held"]
    desk.fill("t.1.0", 1)
    assert desk.legs(limit) == [(CLOSE, 5, 3_050.0)]
    assert desk.legs(stop) == []


def test_children_stand_for_what_their_parent_traded(desk: Desk) -> None:
    """The child of 5 lots closed the 2 there were and then stood at work for ever."""
    parent, stop, limit = filled_bracket(desk, lots=2)
    assert desk.heard(parent)[-1] == "Canceled"
    assert desk.legs(limit) == [(CLOSE, 2, 3_050.0)]
    desk.fill(f"{limit}.0")
    assert desk.heard(limit)[2:] == ["modified to 2", "2 @ 3000", "Completed"]
    assert desk.heard(stop)[-1] == "Canceled"
    assert desk.blotter.alive == []


def test_children_end_with_a_parent_that_traded_nothing(desk: Desk) -> None:
    keys = desk.bracket(M, BUY, 5, STOP, LIMIT, limit=3_000.0)
    desk.arrive()
    desk.cancel_order(keys[0])
    desk.arrive()
    assert [desk.heard(key)[-1] for key in keys] == ["Canceled"] * 3
    assert desk.blotter.alive == []


def test_children_end_with_a_parent_that_was_refused(desk: Desk) -> None:
    keys = desk.bracket(M, BUY, 5, STOP, LIMIT, limit=3_000.0)
    desk.refuse("t.1.0", "CTP:资金不足")
    assert [desk.heard(key)[-1] for key in keys] == ["Margin", "Canceled", "Canceled"]


def test_limit_child_that_fills_withdraws_the_stop(desk: Desk) -> None:
    _, stop, limit = filled_bracket(desk)
    desk.fill(f"{limit}.0", 2, 3_050.0)
    assert desk.heard(stop)[-1] == "held"  # it protects the other three
    desk.fill(f"{limit}.0", 3, 3_050.0)
    assert desk.heard(stop)[-1] == "Canceled"


def test_stop_child_is_sent_when_the_limit_is_gone(desk: Desk) -> None:
    """The end of the limit, which was withdrawn for it, ended the stop: nothing closed."""
    _, stop, limit = filled_bracket(desk)
    desk.fill(f"{limit}.0", 1, 3_050.0)
    desk.tick(M, 2_950.0)
    desk.tick(M, 2_940.0)
    assert desk.wire == [("cancel", f"{limit}.0")]
    desk.fill(f"{limit}.0", 1, 3_050.0)  # on the way
    desk.arrive()
    assert desk.heard(limit)[-1] == "Canceled"
    assert desk.legs(stop) == [(CLOSE, 3, None)]
    desk.arrive()
    desk.fill(f"{stop}.0", 3, 2_940.0)
    assert desk.heard(stop)[-3:] == ["modified to 3", "3 @ 2940", "Completed"]
    assert desk.held(M) == (0, 0)


def test_stop_child_gives_up_when_the_limit_filled_after_all(desk: Desk) -> None:
    _, stop, limit = filled_bracket(desk)
    desk.tick(M, 2_950.0)
    desk.fill(f"{limit}.0", 5, 3_050.0)
    desk.arrive()
    assert (desk.heard(limit)[-1], desk.heard(stop)[-1]) == ("Completed", "Canceled")
    assert desk.held(M) == (0, 0)


def test_limit_child_that_waits_here_is_gone_before_the_stop_leaves(desk: Desk) -> None:
    """It waited for the account's picture, was sent beside the stop, and opened a short."""
    _, stop, limit = desk.bracket(M, BUY, 5, STOP, LIMIT, limit=3_000.0)
    desk.arrive()
    with desk.lagging():
        desk.fill("t.1.0")
        desk.deliver(Trade, OrderPicture)
        assert desk.legs(limit) == []  # the account does not show the lots yet
        desk.tick(M, 2_950.0)
    desk.deliver()
    desk.arrive()
    assert desk.heard(limit)[-1] == "Canceled"
    assert desk.legs(limit) == []
    assert desk.legs(stop) == [(CLOSE, 5, None)]


def test_limit_child_that_is_being_changed_is_gone_before_the_stop_leaves(desk: Desk) -> None:
    _, stop, limit = filled_bracket(desk)
    desk.blotter.modify(limit, price=3_040.0)
    desk.tick(M, 2_950.0)
    desk.arrive()
    assert desk.heard(limit)[-1] == "Canceled"
    assert desk.legs(limit) == [(CLOSE, 5, 3_050.0)]
    assert desk.legs(stop) == [(CLOSE, 5, None)]


def test_refused_limit_child_leaves_the_stop(desk: Desk) -> None:
    _, stop, limit = desk.bracket(M, BUY, 5, STOP, LIMIT, limit=3_000.0)
    desk.arrive()
    desk.fill("t.1.0")
    desk.refuse(f"{limit}.0", "交易所拒绝")
    assert desk.heard(limit)[-1] == "Rejected"
    desk.tick(M, 2_950.0)
    assert desk.legs(stop) == [(CLOSE, 5, None)]


def test_child_that_is_cancelled_takes_the_other(desk: Desk) -> None:
    _, stop, limit = filled_bracket(desk)
    desk.cancel_order(limit)
    desk.arrive()
    assert desk.heard(stop)[-1] == "Canceled"


def test_second_stop_stands_while_the_first_is_at_work(desk: Desk) -> None:
    """A stop-limit that the market has run away from, and the stop of last resort below it."""
    first, last = {"stop": 2_950.0, "limit": 2_949.0}, {"stop": 2_900.0}
    _, near, far, limit = filled_bracket(desk, 5, first, last, LIMIT)
    desk.tick(M, 2_940.0)
    desk.arrive()
    assert desk.heard(limit)[-1] == "Canceled"
    assert desk.legs(near) == [(CLOSE, 5, 2_949.0)]
    assert desk.heard(far)[-1] == "held"
    desk.arrive()
    desk.tick(M, 2_890.0)
    assert desk.wire == [("cancel", f"{near}.0")]
    desk.arrive()
    assert desk.legs(far) == [(CLOSE, 5, None)]
    desk.arrive()
    desk.fill(f"{far}.0")
    assert desk.held(M) == (0, 0)
    assert desk.blotter.alive == []


def test_two_limit_children_do_not_close_the_same_lots(desk: Desk) -> None:
    """The second opened a short position beside the first."""
    _, near, far = filled_bracket(desk, 5, {"limit": 3_050.0}, {"limit": 3_060.0})
    assert desk.legs(near) == [(CLOSE, 5, 3_050.0)]
    assert desk.legs(far) == []
    desk.fill(f"{near}.0")
    assert desk.heard(far)[-1] == "Canceled"


def test_trailing_child_begins_where_its_parent_filled(desk: Desk) -> None:
    trailing = {"kind": Kind.TRAIL, "trail_amount": 20.0}
    _, stop = desk.bracket(M, BUY, 1, trailing, limit=2_960.0)
    desk.arrive()
    desk.tick(M, 2_960.0)
    desk.fill("t.1.0", 1, 2_960.0)
    desk.tick(M, 2_950.0)
    desk.sends_nothing()  # 2,980 would have been hit: 20 below 3,000, where it was written
    assert desk.heard(stop)[-1] == "moved to 2940"
    desk.tick(M, 2_940.0)
    assert desk.legs(stop) == [(CLOSE, 1, None)]


def test_trailing_child_keeps_its_stop_where_its_distance_leaves_no_price(desk: Desk) -> None:
    trailing = {"kind": Kind.TRAIL, "trail_amount": 2_990.0}  # from 3,000: 10
    _, stop = desk.bracket(M, BUY, 1, trailing, limit=2_980.0)
    desk.arrive()
    desk.tick(M, 2_980.0)
    desk.fill("t.1.0", 1, 2_980.0)
    desk.tick(M, 10.0)
    assert desk.legs(stop) == [(CLOSE, 1, None)]


def test_children_protect_only_what_is_held_still(desk: Desk) -> None:
    """Lots closed by hand: the stop would have opened a short position."""
    _, stop = filled_bracket(desk, 5, STOP)
    desk.interfered = True
    desk.foreign("other.1", M, SELL, CLOSE, 3)
    desk.fill("other.1")
    desk.tick(M, 2_950.0)
    assert desk.legs(stop) == [(CLOSE, 2, None)]


def test_children_end_when_nothing_is_held_any_more(desk: Desk) -> None:
    _, stop = filled_bracket(desk, 5, STOP)
    desk.foreign("other.1", M, SELL, CLOSE, 5)
    desk.fill("other.1")
    desk.tick(M, 2_950.0)
    assert desk.legs(stop) == []
    assert desk.heard(stop)[-1] == "Canceled"


def test_bracket_of_a_short_position_at_shfe(desk: Desk) -> None:
    stop, limit = {"stop": 90_500.0}, {"limit": 89_500.0}
    _, up, down = desk.bracket(CU, SELL, 2, stop, limit, limit=90_000.0)
    desk.arrive()
    desk.fill("t.1.0")
    desk.arrive()
    desk.tick(CU, 90_500.0)
    desk.arrive()
    assert desk.legs(down) == [(CLOSETODAY, 2, 89_500.0)]
    assert desk.legs(up) == [(CLOSETODAY, 2, 90_530.0)]
    desk.arrive()
    desk.fill(f"{up}.0", 1)
    desk.finish(f"{up}.0")
    desk.tick(CU, 90_600.0)
    assert desk.legs(up)[1:] == [(CLOSETODAY, 1, 90_630.0)]


# ---- changes


def test_held_stop_is_changed_here(desk: Desk) -> None:
    key = desk.order(M, SELL, 2, stop=2_950.0)
    desk.blotter.modify(key, price=2_900.0, volume=3)
    desk.tick(M, 2_940.0)
    desk.sends_nothing()
    desk.tick(M, 2_900.0)
    assert desk.legs(key) == [(OPEN, 3, None)]


def test_trailing_stop_keeps_what_it_has_won_when_its_volume_changes(desk: Desk) -> None:
    """It fell back to 20 below the price of that moment."""
    key = desk.order(M, SELL, 2, kind=Kind.TRAIL, trail_amount=20.0)
    desk.tick(M, 3_100.0)
    desk.tick(M, 3_085.0)
    desk.blotter.modify(key, volume=1)
    desk.tick(M, 3_080.0)
    assert desk.legs(key) == [(OPEN, 1, None)]


@pytest.mark.parametrize("price", [None, 3_000.0])
def test_trailing_stop_with_another_distance_trails_from_the_last_price(
    desk: Desk, price: float | None
) -> None:
    key = desk.order(M, SELL, 2, kind=Kind.TRAIL, price=price, trail_amount=20.0)
    desk.tick(M, 3_100.0)
    desk.blotter.modify(key, trail_amount=30.0)
    assert desk.heard(key)[-1] == "moved to 3070"


def test_trailing_stoplimit_keeps_its_limits_distance_when_its_trail_changes(desk: Desk) -> None:
    key = desk.order(
        M, SELL, 1, kind=Kind.TRAIL_LIMIT, price=3_000.0, limit=2_995.0, trail_amount=20.0
    )
    desk.tick(M, 3_100.0)
    desk.blotter.modify(key, trail_amount=30.0)
    desk.tick(M, 3_070.0)
    assert desk.legs(key) == [(OPEN, 1, 3_065.0)]


def test_resting_order_is_replaced_under_the_same_key(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.blotter.modify(key, price=2_985.0)
    assert desk.wire == [("cancel", "t.1.0")]
    desk.fill("t.1.0", 2, 2_990.0)  # meanwhile
    desk.arrive()
    assert desk.legs(key) == [(OPEN, 5, 2_990.0), (OPEN, 3, 2_985.0)]
    desk.arrive()
    desk.fill("t.1.1", 3, 2_985.0)
    assert desk.heard(key) == ["Accepted", "2 @ 2990", "modified to 5", "3 @ 2985", "Completed"]


def test_changed_order_that_is_parked_outlives_late_news_of_its_old_leg(desk: Desk) -> None:
    """A repeated picture of the withdrawn leg ended the order."""
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.blotter.modify(key, price=2_985.0)
    with desk.lagging():
        desk.arrive()
    desk.at("10:20")
    desk.deliver(repeat=True)
    desk.deliver()
    desk.hear(desk.sent["t.1.0"].picture())
    assert desk.heard(key)[-1] == "held"
    desk.at("10:30")
    assert desk.legs(key)[1:] == [(OPEN, 5, 2_985.0)]


def test_larger_volume_is_sent_though_the_old_one_filled_meanwhile(desk: Desk) -> None:
    """The order was Completed with 5 and nobody heard of the other 3."""
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.blotter.modify(key, volume=8)
    desk.fill("t.1.0", 5, 2_990.0)
    assert desk.legs(key)[1:] == [(OPEN, 3, 2_990.0)]
    desk.arrive()
    desk.fill("t.1.1", 3, 2_990.0)
    assert desk.heard(key)[1:] == ["5 @ 2990", "modified to 8", "3 @ 2990", "Completed"]


def test_larger_volume_and_then_cancelled_is_complete_with_the_old_one(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.blotter.modify(key, volume=8)
    desk.cancel_order(key)
    desk.fill("t.1.0", 5, 2_990.0)
    assert desk.heard(key) == ["Accepted", "5 @ 2990", "Completed"]
    desk.obey("t.1.0")
    desk.sends_nothing()


def test_order_that_fills_before_its_change_is_written_down_as_it_was(desk: Desk) -> None:
    """The journal said that it had filled at a price that it never had at the exchange."""
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.blotter.modify(key, price=2_985.0)
    desk.fill("t.1.0", 5, 2_990.0)
    assert desk.heard(key) == ["Accepted", "5 @ 2990", "Completed"]
    (row,) = desk.journal.orders([key])
    assert (Ticket.from_text(row.ticket).price, row.state, row.reason) == (2_990.0, "Completed", "")


@pytest.mark.parametrize("filled", [3, 4])
def test_smaller_volume_that_fills_meanwhile_completes(desk: Desk, filled: int) -> None:
    """It ended as Canceled."""
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.fill("t.1.0", 1, 2_990.0)
    desk.blotter.modify(key, volume=3)
    desk.fill("t.1.0", filled - 1, 2_990.0)
    desk.arrive()
    assert desk.heard(key)[2:] == [
        f"{filled - 1} @ 2990",
        f"modified to {filled}",
        "Completed",
    ]
    desk.sends_nothing()


def test_another_end_keeps_the_place_in_the_queue(desk: Desk) -> None:
    """No exchange knows of it; withdrawn and sent again it would stand behind all others."""
    key = desk.order(M, BUY, 5, limit=2_990.0, expires_ns=ns("2025-12-03 10:05:00"))
    desk.arrive()
    desk.blotter.modify(key, expires_ns=ns("2025-12-03 10:10:00"))
    desk.at("10:05")
    desk.sends_nothing()
    assert desk.heard(key) == ["Accepted", "modified to 5"]
    desk.at("10:10")
    desk.arrive()
    assert desk.heard(key)[-1] == "Expired"


def test_later_end_counts_while_the_change_is_on_its_way(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0, expires_ns=ns("2025-12-03 10:05:00"))
    desk.arrive()
    desk.blotter.modify(key, price=2_980.0, expires_ns=ns("2025-12-03 10:10:00"))
    desk.at("10:05")
    desk.arrive()
    assert desk.legs(key)[1:] == [(OPEN, 5, 2_980.0)]


def test_volume_that_has_filled_already_is_no_change(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.fill("t.1.0", 3, 2_990.0)
    with pytest.raises(InvalidOrder, match="filled 3"):
        desk.blotter.modify(key, volume=3)
    desk.sends_nothing()
    assert desk.state(key) is S.PARTIAL


def test_last_of_two_changes_counts(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.blotter.modify(key, price=2_980.0, volume=8)
    desk.blotter.modify(key, volume=4)
    desk.arrive()
    assert desk.legs(key)[1:] == [(OPEN, 4, 2_980.0)]


def test_change_while_the_opening_leg_waits_sends_the_rest_once(desk: Desk) -> None:
    """The old opening leg was sent beside the new ones."""
    desk.hold(M, long=(0, 2))
    key = desk.order(M, SELL, 5, limit=3_000.0)
    desk.arrive()
    desk.at("10:15")
    desk.fill("t.1.0")
    desk.blotter.modify(key, price=3_010.0)
    desk.at("10:30")
    assert desk.legs(key)[1:] == [(OPEN, 3, 3_010.0)]
    desk.arrive()
    desk.fill(desk.resting()[0].order_id)
    assert desk.state(key) is S.COMPLETED


def test_change_while_the_closing_leg_fills_sends_the_opening_as_changed(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    key = desk.order(M, SELL, 5, limit=3_000.0)
    desk.arrive()
    desk.blotter.modify(key, price=3_010.0)
    desk.fill("t.1.0", 2)
    assert desk.legs(key)[1:] == [(OPEN, 3, 3_010.0)]


def test_ended_order_cannot_be_changed(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.cancel_order(key)
    with pytest.raises(InvalidOrder, match="not alive"):
        desk.blotter.modify(key, price=2_980.0)


def test_market_order_takes_no_price(desk: Desk) -> None:
    with pytest.raises(BadPrice):
        desk.blotter.modify(desk.order(CU, BUY, 5), price=90_000.0)


# ---- messages out of order, repeated, late


def test_trade_before_its_order(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    with desk.lagging():
        desk.arrive()
        desk.fill("t.1.0", 1, 2_990.0)
        desk.deliver(Trade)
        assert desk.heard(key) == ["Accepted", "1 @ 2990"]
        desk.deliver()
        desk.fill("t.1.0", 1, 2_990.0)
        desk.deliver(Trade)
    assert desk.heard(key)[2:] == ["1 @ 2990", "Completed"]
    desk.deliver()
    assert len(desk.heard(key)) == 4


def test_end_before_its_trades(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    with desk.lagging():
        desk.arrive()
        desk.fill("t.1.0", 1, 2_990.0)
        desk.fill("t.1.0", 1, 2_990.0)
        desk.finish("t.1.0")
        desk.deliver(OrderPicture)
    assert desk.heard(key) == ["Accepted"]
    desk.deliver()
    assert desk.heard(key) == ["Accepted", "1 @ 2990", "1 @ 2990", "Canceled"]


def test_everything_twice_changes_nothing(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    with desk.lagging():
        desk.arrive()
        desk.fill("t.1.0", 2, 2_990.0)
        desk.deliver(repeat=True)
        desk.fill("t.1.0", 3, 2_990.0)
        desk.deliver(repeat=True)
    assert desk.heard(key) == ["Accepted", "2 @ 2990", "3 @ 2990", "Completed"]
    assert [trade.volume for trade in desk.journal.trades(key)] == [2, 3]


def test_trade_after_the_end_is_still_told(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.finish("t.1.0")
    desk.hear(Trade("1", "t.1.0", M, BUY, OPEN, 2_990.0, 2, 1.5, desk.now_ns))
    assert desk.heard(key) == ["Accepted", "Canceled", "2 @ 2990"]
    assert desk.state(key) is S.CANCELED
    assert [record.state for record in desk.journal.orders([key])] == ["Canceled"]


def test_old_picture_of_a_filled_order_cancels_nothing(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    alive = desk.sent["t.1.0"].picture()
    desk.fill("t.1.0")
    desk.hear(alive)
    assert desk.state(key) is S.COMPLETED
    desk.sends_nothing()


# ---- lost connections


def absent(desk: Desk) -> None:
    """What was sent got lost with the connection; the whole picture does not show it."""
    desk.disconnect()
    desk.pass_s(1)
    desk.reconnect()


def test_order_that_never_arrived_is_rejected(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    absent(desk)
    desk.pass_s(2.9)
    assert desk.heard(key) == []  # it may still appear
    desk.pass_s(0.1)
    assert desk.heard(key) == ["Rejected"]
    assert "never reached the exchange" in desk.work(key).reason
    desk.sends_nothing()


def test_stop_that_never_arrived_is_sent_again(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    key = desk.order(M, SELL, 2, stop=2_950.0)
    desk.tick(M, 2_950.0)
    absent(desk)
    desk.pass_s(3)
    assert desk.on_wire() == []
    desk.pass_s(0)
    assert desk.on_wire() == ["t.1.1"]
    assert desk.legs(key)[1:] == [(CLOSE, 2, None)]


def test_order_that_appears_in_time_lives_on(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    absent(desk)
    desk.pass_s(2)
    desk.wire.append(("order", "t.1.0"))
    desk.take("t.1.0")
    desk.pass_s(5)
    assert desk.heard(key) == ["Accepted"]


def test_order_that_appears_after_its_end_is_withdrawn_and_its_trade_counts(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    absent(desk)
    desk.pass_s(4)
    desk.wire.append(("order", "t.1.0"))
    desk.take("t.1.0")
    assert desk.on_wire("cancel") == ["t.1.0"]
    desk.fill("t.1.0", 1, 2_990.0)
    desk.arrive()
    assert desk.heard(key) == ["Rejected", "1 @ 2990"]
    assert desk.held(M) == (1, 0)
    assert desk.resting() == []


def test_stop_that_was_sent_again_gives_way_when_the_lost_one_fills(desk: Desk) -> None:
    """The second one stayed at the exchange beside a filled order."""
    desk.hold(M, long=(0, 4))
    key = desk.order(M, SELL, 2, stop=2_950.0, limit=2_949.0)
    desk.tick(M, 2_950.0)
    absent(desk)
    desk.pass_s(3)
    desk.pass_s(0)
    desk.arrive()
    desk.wire.append(("order", "t.1.0"))
    desk.take("t.1.0")
    desk.fill("t.1.0", 2, 2_949.0)
    assert set(desk.on_wire("cancel")) == {"t.1.0", "t.1.1"}
    desk.arrive()
    assert desk.heard(key)[-1] == "Completed"
    assert desk.held(M) == (2, 0)


def test_what_happened_while_nobody_listened_is_told_after_the_reconnect(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.disconnect()
    desk.fill("t.1.0", 2, 2_990.0)
    desk.finish("t.1.0")
    desk.reconnect()
    assert desk.heard(key) == ["Accepted", "2 @ 2990", "Canceled"]


def test_order_whose_day_ended_unheard_stands_again(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    desk.at("14:59")
    desk.disconnect()
    desk.end_day()
    desk.at("21:00")
    desk.reconnect()
    desk.sends_nothing()
    desk.pass_s(3)
    desk.pass_s(0)
    assert desk.on_wire() == ["t.1.1"]
    assert desk.state(key) is S.ACCEPTED


def test_nothing_is_sent_into_a_lost_connection(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    turn = desk.order(M, SELL, 5, limit=3_000.0)
    stop = desk.order(M, BUY, 1, stop=3_050.0)
    desk.arrive()
    desk.disconnect()
    desk.tick(M, 3_050.0)
    desk.at("14:59:50")
    desk.reconnect()
    assert desk.on_wire() == [f"{stop}.0"]
    desk.fill(f"{turn}.0")
    assert desk.on_wire() == [f"{stop}.0", f"{turn}.1"]


# ---- the account's picture


def test_closing_waits_for_a_position_that_lags_behind_a_trade(desk: Desk) -> None:
    """By the picture of before, selling 2 would open a short position."""
    desk.order(M, BUY, 2, limit=3_000.0)
    desk.arrive()
    with desk.lagging():
        desk.fill("t.1.0")
        desk.deliver(Trade, OrderPicture)
        key = desk.order(M, SELL, 2, limit=3_010.0)
        assert desk.legs(key) == []
    desk.deliver()
    assert desk.legs(key) == [(CLOSE, 2, 3_010.0)]


def test_closing_again_waits_until_the_account_shows_the_first(desk: Desk) -> None:
    """By the picture of before, 2 closed lots would be closed again."""
    desk.hold(M, long=(0, 3))
    desk.order(M, SELL, 2, limit=3_000.0)
    desk.arrive()
    with desk.lagging():
        desk.fill("t.1.0")
        desk.deliver(Trade, OrderPicture)
        key = desk.order(M, SELL, 2, limit=3_010.0, offset=CLOSE)
        assert desk.legs(key) == []
    desk.deliver()
    assert desk.heard(key) == ["Rejected"]  # one lot is left


def test_position_ahead_of_its_trade_waits_as_well(desk: Desk) -> None:
    desk.order(M, BUY, 2, limit=3_000.0)
    desk.arrive()
    with desk.lagging():
        desk.fill("t.1.0")
        desk.deliver(AccountPosition)
        key = desk.order(M, SELL, 2, limit=3_010.0)
        assert desk.legs(key) == []
    desk.deliver()
    assert desk.legs(key) == [(CLOSE, 2, 3_010.0)]


def test_picture_that_never_comes_to_agree_is_taken_as_it_is(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    desk.order(M, BUY, 1, limit=2_900.0)
    desk.hold(M, long=(0, 1))  # a trade of which nobody told
    key = desk.order(M, SELL, 1, limit=3_010.0)
    desk.pass_s(2.9)
    assert desk.legs(key) == []
    desk.pass_s(0.2)
    assert desk.legs(key) == [(CLOSE, 1, 3_010.0)]


def test_patience_with_the_picture_begins_anew_with_each_news(desk: Desk) -> None:
    """An old disagreement, long over, let a lagging picture be believed at once: it opened."""
    desk.hold(M, short=(0, 1))
    resting = desk.order(M, BUY, 1, limit=2_990.0)
    with desk.lagging():
        desk.arrive()
        desk.deliver(OrderPicture)
        key = desk.order(M, BUY, 1)  # the account does not show the frozen lot yet
        desk.cancel_order(resting)
        desk.deliver()
        desk.pass_s(4)
        desk.arrive()
        desk.deliver(OrderPicture)  # the account shows the lot as frozen still
        assert desk.legs(key) == []
    desk.deliver()
    assert desk.legs(key) == [(CLOSE, 1, None)]


def test_opening_waits_for_no_picture(desk: Desk) -> None:
    desk.order(M, BUY, 2, limit=3_000.0)
    desk.arrive()
    with desk.lagging():
        desk.fill("t.1.0")
        desk.deliver(Trade)
        assert desk.legs(desk.order(M, BUY, 1, limit=3_000.0, offset=OPEN)) == [(OPEN, 1, 3_000.0)]


def test_lots_that_another_program_freezes_are_not_ours_to_close(desk: Desk) -> None:
    desk.hold(M, long=(0, 3))
    desk.foreign("other.1", M, SELL, CLOSE, 2)
    key = desk.order(M, SELL, 2, limit=3_000.0)
    assert desk.legs(key) == [(CLOSE, 1, 3_000.0)]
    desk.finish("other.1")
    other = desk.order(M, SELL, 2, limit=3_010.0)
    assert desk.legs(other) == [(CLOSE, 2, 3_010.0)]
    desk.arrive()


def test_lots_of_the_day_before_are_not_closed_as_todays(desk: Desk) -> None:
    """At 21:00 the account still showed two lots as today's: the order was refused."""
    desk.hold(CU, long=(2, 0))
    desk.order(M, BUY, 1, limit=2_900.0)  # the desk has looked at the account
    desk.blotter.progress.lots.follow(CU)
    with desk.lagging():
        desk.end_day()
        desk.pass_s(6 * 3_600)  # 21:00 of the next trading day
        key = desk.order(CU, SELL, 2, limit=90_000.0)
        assert desk.legs(key) == []
    desk.deliver()
    assert desk.legs(key) == [(CLOSE, 2, 90_000.0)]


def test_todays_lots_are_those_that_were_opened_since_the_night(desk: Desk) -> None:
    desk.end_day()
    desk.pass_s(6 * 3_600)
    opening = desk.order(CU, BUY, 2, limit=90_000.0)
    desk.arrive()
    desk.fill(f"{opening}.0", 2)
    assert desk.legs(desk.order(CU, SELL, 2, limit=90_010.0)) == [(CLOSETODAY, 2, 90_010.0)]


def test_late_picture_of_another_programs_order_freezes_nothing(desk: Desk) -> None:
    """Told after the order's end, it froze two lots for ever."""
    desk.hold(M, long=(0, 3))
    desk.foreign("other.1", M, SELL, CLOSE, 2)
    alive = desk.sent["other.1"].picture()
    desk.finish("other.1")
    desk.hear(alive)
    assert desk.legs(desk.order(M, SELL, 3, limit=3_000.0)) == [(CLOSE, 3, 3_000.0)]


def test_lots_are_not_frozen_twice_when_the_account_shows_an_order_that_is_not_told(
    desk: Desk,
) -> None:
    """The third lot seemed frozen, and an order that could close it opened the other side."""
    desk.hold(M, long=(0, 3))
    desk.order(M, SELL, 2, limit=3_010.0)
    with desk.lagging():
        desk.take("t.1.0")
        desk.deliver(AccountPosition)
        key = desk.order(M, SELL, 1, limit=3_000.0)
        assert desk.legs(key) == []
        desk.pass_s(4)
        assert desk.legs(key) == [(CLOSE, 1, 3_000.0)]


def test_lots_are_free_when_another_programs_order_ended_unseen(desk: Desk) -> None:
    """Its end was told on a line that was down: for ever after, closing waited in vain."""
    desk.hold(M, long=(0, 3))
    desk.foreign("other.1", M, SELL, CLOSE, 2)
    desk.disconnect()
    desk.end_day()
    desk.pass_s(6 * 3_600)  # 21:00
    desk.reconnect()
    assert desk.blotter.foreign == {}
    assert desk.legs(desk.order(M, SELL, 3, limit=3_000.0)) == [(CLOSE, 3, 3_000.0)]


def test_lots_that_are_frozen_by_nobody_known_are_waited_for(desk: Desk) -> None:
    """The account shows the other program's order before the order itself is told."""
    desk.hold(M, long=(0, 3))
    with desk.lagging():
        desk.foreign("other.1", M, SELL, CLOSE, 2)
        desk.deliver(AccountPosition)
        key = desk.order(M, SELL, 2, limit=3_000.0)
        assert desk.legs(key) == []
    desk.deliver()
    assert desk.legs(key) == [(CLOSE, 1, 3_000.0)]


def test_trades_of_another_program_are_counted(desk: Desk) -> None:
    desk.order(M, BUY, 1, limit=2_900.0)
    desk.foreign("other.1", M, BUY, OPEN, 2)
    with desk.lagging():
        desk.fill("other.1")
        desk.deliver(Trade, OrderPicture)
        key = desk.order(M, SELL, 2, limit=3_000.0)
        assert desk.legs(key) == []
    desk.deliver()
    assert desk.legs(key) == [(CLOSE, 2, 3_000.0)]
    assert desk.fills("other.1") == []


def test_over_closing_that_another_program_caused_ends_the_order(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    desk.interfered = True
    key = desk.order(M, SELL, 2, limit=3_000.0)
    desk.foreign("other.1", M, SELL, CLOSE, 2)
    desk.take("t.1.0")
    assert desk.heard(key) == ["Rejected"]


# ---- what TqSdk refuses


def test_order_that_tqsdk_refuses_is_rejected_with_its_words(desk: Desk) -> None:
    desk.refuses_to_send = "风控规则"
    key = desk.order(M, BUY, 2, limit=2_990.0)
    assert desk.heard(key) == ["Rejected"]
    assert "风控规则" in desk.work(key).reason
    assert desk.blotter.alive == []


def test_leg_that_tqsdk_refuses_on_the_way_ends_the_order_with_its_fills(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    key = desk.order(M, SELL, 5, limit=3_000.0)
    desk.arrive()
    desk.refuses_to_send = "风控规则"
    desk.fill("t.1.0")
    assert desk.heard(key) == ["Accepted", "2 @ 3000", "Canceled"]
    assert "风控规则" in desk.work(key).reason


def test_changed_order_that_tqsdk_refuses_ends(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    desk.blotter.modify(key, price=2_980.0)
    desk.refuses_to_send = "风控规则"
    desk.arrive()
    assert desk.heard(key) == ["Accepted", "modified to 2", "Rejected"]


# ---- the journal


def test_journal_has_an_order_and_its_legs_before_they_are_sent(desk: Desk) -> None:
    seen: list[tuple[str, str, list[str]]] = []
    send = desk.send

    def look(order: ExchangeOrder) -> None:
        key = order.order_id.rpartition(".")[0]
        legs = {leg.order_id: leg.state for leg in desk.journal.legs(key)}
        (record,) = desk.journal.orders([key])
        seen.append((order.order_id, record.phase, list(legs.values())))
        send(order)

    desk.send = look  # type: ignore[method-assign]
    desk.hold(M, long=(0, 2))
    desk.order(M, SELL, 5, limit=3_000.0)
    desk.arrive()
    desk.fill("t.1.0")
    assert seen == [
        ("t.1.0", "working", ["sending", "planned"]),
        ("t.1.1", "working", ["finished", "sending"]),
    ]


def test_journal_row_of_a_finished_leg_says_what_it_left(desk: Desk) -> None:
    key = desk.order(M, BUY, 5, limit=2_990.0)
    desk.arrive()
    desk.fill("t.1.0", 2, 2_990.0)
    desk.finish("t.1.0")
    (leg,) = desk.journal.legs(key)
    assert (leg.state, leg.left, leg.reason) == ("finished", 3, WITHDRAWN)
    assert total(desk.fills(key)) == 2


def test_dropped_leg_is_no_longer_reserved(desk: Desk) -> None:
    desk.hold(M, long=(0, 2))
    key = desk.order(M, SELL, 2, limit=3_000.0)
    absent(desk)
    desk.pass_s(4)
    assert desk.heard(key) == ["Rejected"]
    assert desk.blotter.position(M).long == SideLots(0, 2)


def test_phases_as_they_are_written(desk: Desk) -> None:
    key = desk.order(M, BUY, 2, limit=2_990.0)
    desk.arrive()
    assert desk.work(key).phase is Phase.WORKING
    desk.cancel_order(key)
    (record,) = desk.journal.orders([key])
    assert record.phase == "leaving"
