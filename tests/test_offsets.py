"""Which lots a plan closes and opens: incidents by name, then properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianqin_backtrader.errors import BadVolume, InvalidOrder
from tianqin_backtrader.model import AccountPosition, Direction, Offset, SideLots
from tianqin_backtrader.offsets import Leg, Priority, plan_close, plan_legs

BUY, SELL = Direction.BUY, Direction.SELL
OPEN, CLOSE, CLOSETODAY = Offset.OPEN, Offset.CLOSE, Offset.CLOSETODAY


def held(long: SideLots | None = None, short: SideLots | None = None) -> AccountPosition:
    return AccountPosition("SHFE.cu2512", long or SideLots(), short or SideLots())


def pairs(legs: tuple[Leg, ...]) -> list[tuple[Offset, int]]:
    return [(leg.offset, leg.volume) for leg in legs]


def test_closes_five_of_three_today_and_ten_history() -> None:  # a predecessor sent 3 + 5
    position = held(long=SideLots(today=3, history=10))
    assert pairs(plan_legs(SELL, 5, position, "SHFE")) == [(CLOSETODAY, 3), (CLOSE, 2)]


def test_history_first_keeps_todays_lots() -> None:
    position = held(long=SideLots(today=3, history=10))
    plan = plan_legs(SELL, 12, position, "INE", Priority.HISTORY_FIRST)
    assert pairs(plan) == [(CLOSE, 10), (CLOSETODAY, 2)]


def test_from_short_two_to_long_one_opens_one() -> None:  # a predecessor opened 3
    position = held(short=SideLots(history=2))
    assert pairs(plan_legs(BUY, 3, position, "SHFE")) == [(CLOSE, 2), (OPEN, 1)]


@pytest.mark.parametrize("exchange", ["DCE", "CZCE", "CFFEX", "GFEX"])
def test_other_exchanges_take_one_closing_leg(exchange: str) -> None:
    position = held(long=SideLots(today=3, history=10))
    assert pairs(plan_legs(SELL, 15, position, exchange)) == [(CLOSE, 13), (OPEN, 2)]


def test_flat_or_same_side_opens() -> None:
    assert pairs(plan_legs(BUY, 2, held(), "SHFE")) == [(OPEN, 2)]
    assert pairs(plan_legs(BUY, 2, held(long=SideLots(5, 5)), "SHFE")) == [(OPEN, 2)]


def test_frozen_lots_stay_with_the_order_that_froze_them() -> None:
    position = held(long=SideLots(today=1, history=3, frozen_history=1))
    assert pairs(plan_legs(SELL, 4, position, "SHFE")) == [(CLOSETODAY, 1), (CLOSE, 2), (OPEN, 1)]
    assert pairs(plan_legs(SELL, 4, position, "DCE")) == [(CLOSE, 3), (OPEN, 1)]


def test_plan_close_opens_nothing_and_says_why() -> None:
    position = held(long=SideLots(today=1, history=3, frozen_history=1))
    assert pairs(plan_close(SELL, 3, position, "SHFE")) == [(CLOSETODAY, 1), (CLOSE, 2)]
    with pytest.raises(InvalidOrder, match=r"closing 4 long lots of SHFE\.cu2512: 4 held .*1 froz"):
        plan_close(SELL, 4, position, "SHFE")
    with pytest.raises(InvalidOrder, match="closing 1 short lots"):
        plan_close(BUY, 1, position, "SHFE")


@pytest.mark.parametrize("volume", [0, -3])
def test_refuses_a_volume_below_one(volume: int) -> None:
    with pytest.raises(BadVolume):
        plan_legs(BUY, volume, held(), "SHFE")
    with pytest.raises(BadVolume):
        plan_close(BUY, volume, held(), "SHFE")


def test_priorities_are_words_of_tqsdk() -> None:
    check = pytest.importorskip("tqsdk.lib.utils")._check_offset_priority
    assert [check(priority.value) for priority in Priority] == ["今昨,开", "昨今,开"]


@st.composite
def sides(draw: st.DrawFn) -> SideLots:
    today, history = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    frozen_today = draw(st.integers(0, today))
    return SideLots(today, history, frozen_today, draw(st.integers(0, history)))


@given(
    direction=st.sampled_from(Direction),
    volume=st.integers(1, 60),
    long=sides(),
    short=sides(),
    exchange=st.sampled_from(["SHFE", "INE", "DCE", "CZCE", "CFFEX"]),
    priority=st.sampled_from(Priority),
)
def test_plans_never_overclose_nor_cross_zero(
    *, direction: Direction, volume: int, long: SideLots, short: SideLots, exchange: str,
    priority: Priority,
) -> None:  # fmt: skip
    position = held(long, short)
    other = short if direction is BUY else long
    legs = plan_legs(direction, volume, position, exchange, priority)
    lots = {offset: sum(leg.volume for leg in legs if leg.offset is offset) for offset in Offset}
    free_today = other.today - other.frozen_today
    free_history = other.history - other.frozen_history
    assert sum(lots.values()) == volume
    assert all(leg.volume > 0 for leg in legs)
    assert len({leg.offset for leg in legs}) == len(legs)
    if exchange in ("SHFE", "INE"):
        assert lots[CLOSETODAY] <= free_today
        assert lots[CLOSE] <= free_history
    else:
        assert lots[CLOSETODAY] == 0
        assert lots[CLOSE] <= free_today + free_history
    closed = lots[CLOSE] + lots[CLOSETODAY]
    assert lots[OPEN] == 0 or closed == free_today + free_history
    assert lots[OPEN] == 0 or legs[-1].offset is OPEN  # opening never goes before closing
    if volume <= free_today + free_history:
        assert plan_close(direction, volume, position, exchange, priority) == legs
