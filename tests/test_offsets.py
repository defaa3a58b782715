"""Which lots a plan closes and opens: incidents by name, money by hand, then against TqSdk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tqsdk.lib.target_pos_task import TargetPosTask
from tqsdk.lib.utils import _check_offset_priority

from tianqin_backtrader.errors import BadVolume, InvalidOrder, WrongSetting
from tianqin_backtrader.offsets import (
    NET,
    CloseFees,
    Leg,
    Policy,
    plan_close,
    plan_legs,
    policy_of,
)
from tianqin_backtrader.values import AccountPosition, Direction, Offset, SideLots

BUY, SELL = Direction.BUY, Direction.SELL
OPEN, CLOSE, CLOSETODAY = Offset.OPEN, Offset.CLOSE, Offset.CLOSETODAY
SPLIT = ["SHFE", "INE"]
UNSPLIT = ["DCE", "CZCE", "CFFEX", "GFEX"]
LOCK, HISTORY_FIRST, CHEAPEST = map(policy_of, ("lock", "close_history_first", "cheapest"))


def held(long: SideLots | None = None, short: SideLots | None = None) -> AccountPosition:
    return AccountPosition("SHFE.cu2512", long or SideLots(), short or SideLots())


def pairs(legs: tuple[Leg, ...]) -> list[tuple[Offset, int]]:
    return [(leg.offset, leg.volume) for leg in legs]


def staged(legs: tuple[Leg, ...]) -> list[tuple[Offset, int, int]]:
    return [(leg.offset, leg.volume, leg.stage) for leg in legs]


def test_closes_five_of_three_today_and_ten_history() -> None:  # a predecessor sent 3 + 5
    position = held(long=SideLots(today=3, history=10))
    assert pairs(plan_legs(SELL, 5, position, "SHFE")) == [(CLOSETODAY, 3), (CLOSE, 2)]


def test_history_first_keeps_todays_lots() -> None:
    position = held(long=SideLots(today=3, history=10))
    plan = plan_legs(SELL, 12, position, "INE", HISTORY_FIRST)
    assert pairs(plan) == [(CLOSE, 10), (CLOSETODAY, 2)]


def test_from_short_two_to_long_one_opens_one() -> None:  # a predecessor opened 3
    position = held(short=SideLots(history=2))
    legs = plan_legs(BUY, 3, position, "SHFE")
    assert staged(legs) == [(CLOSE, 2, 0), (OPEN, 1, 1)]


@pytest.mark.parametrize("exchange", UNSPLIT)
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


# ---- policies


@pytest.mark.parametrize("exchange", [*SPLIT, *UNSPLIT])
def test_index_futures_style_lock_never_closes_todays_lots(exchange: str) -> None:
    """Closing today costs ten times as much on CFFEX: there the exchange would take today's."""
    today_only = held(long=SideLots(today=3))
    assert pairs(plan_legs(SELL, 2, today_only, exchange, LOCK)) == [(OPEN, 2)]
    both = held(long=SideLots(today=3, history=10))
    closing = [(CLOSE, 5)] if exchange in SPLIT else [(OPEN, 5)]
    assert pairs(plan_legs(SELL, 5, both, exchange, LOCK)) == closing
    history = held(long=SideLots(history=10))
    assert pairs(plan_legs(SELL, 12, history, exchange, LOCK)) == [(CLOSE, 10), (OPEN, 2)]


def test_a_lock_closes_history_once_todays_lots_are_frozen() -> None:
    """The resting order takes today's lots, so the next one closes history."""
    position = held(long=SideLots(today=3, history=10, frozen_today=3))
    assert pairs(plan_legs(SELL, 5, position, "CFFEX", LOCK)) == [(CLOSE, 5)]
    elsewhere = held(long=SideLots(today=3, history=10, frozen_history=3))  # however it is reported
    assert pairs(plan_legs(SELL, 5, elsewhere, "CFFEX", LOCK)) == [(CLOSE, 5)]


@pytest.mark.parametrize("exchange", UNSPLIT)
def test_history_first_closes_all_the_same_where_the_exchange_chooses(exchange: str) -> None:
    position = held(long=SideLots(today=3, history=10))
    plan = plan_legs(SELL, 15, position, exchange, HISTORY_FIRST)
    assert plan == plan_legs(SELL, 15, position, exchange)
    raw = plan_legs(SELL, 15, position, exchange, policy_of("昨今,开"))  # as TqSdk reads it
    assert pairs(raw) == [(CLOSE, 3), (OPEN, 12)]


def test_crossing_zero_at_once_or_after_the_closing_fills() -> None:
    position = held(long=SideLots(today=1, history=1))
    waiting = plan_legs(SELL, 5, position, "SHFE")
    assert staged(waiting) == [(CLOSETODAY, 1, 0), (CLOSE, 1, 0), (OPEN, 3, 1)]
    at_once = plan_legs(SELL, 5, position, "SHFE", policy_of("今昨开"))
    assert staged(at_once) == [(CLOSETODAY, 1, 0), (CLOSE, 1, 0), (OPEN, 3, 0)]
    one_by_one = plan_legs(SELL, 5, position, "SHFE", policy_of("今,昨,开"))
    assert staged(one_by_one) == [(CLOSETODAY, 1, 0), (CLOSE, 1, 1), (OPEN, 3, 2)]
    assert staged(plan_legs(SELL, 5, position, "DCE", policy_of("今,昨,开"))) == [
        (CLOSE, 1, 0), (CLOSE, 1, 1), (OPEN, 3, 2)
    ]  # fmt: skip


def test_stages_begin_at_zero_whatever_was_not_needed() -> None:
    assert staged(plan_legs(BUY, 2, held(), "SHFE", policy_of("今,昨,,开"))) == [(OPEN, 2, 0)]


def test_a_policy_that_opens_none_refuses_what_it_cannot_close() -> None:
    position = held(long=SideLots(today=3, history=10))
    assert pairs(plan_legs(SELL, 10, position, "SHFE", policy_of("昨"))) == [(CLOSE, 10)]
    with pytest.raises(InvalidOrder, match=r"SELL 11 SHFE\.cu2512: policy '昨' can close 10 long"):
        plan_legs(SELL, 11, position, "SHFE", policy_of("昨"))
    with pytest.raises(InvalidOrder, match=r"can close 0 long .* add 开 to the policy"):
        plan_legs(SELL, 1, position, "DCE", policy_of("昨"))  # today's lots are in the way


def test_who_says_close_closes_whatever_the_policy() -> None:
    position = held(long=SideLots(today=3, history=10))
    locked = plan_close(SELL, 12, position, "SHFE", LOCK)
    assert staged(locked) == [(CLOSE, 10, 0), (CLOSETODAY, 2, 0)]  # together: nothing to wait for
    assert pairs(plan_close(SELL, 12, position, "CFFEX", LOCK)) == [(CLOSE, 12)]
    opening = policy_of("开")
    assert pairs(plan_close(SELL, 4, position, "SHFE", opening)) == [(CLOSETODAY, 3), (CLOSE, 1)]
    steps = plan_close(SELL, 12, position, "SHFE", policy_of("今,昨,开"))
    assert staged(steps) == [(CLOSETODAY, 3, 0), (CLOSE, 9, 1)]
    dear = CloseFees(3.0, 3.0, 30.0)
    fees = plan_close(SELL, 12, position, "SHFE", CHEAPEST, dear)
    assert pairs(fees) == [(CLOSE, 10), (CLOSETODAY, 2)]


@pytest.mark.parametrize("text", ["net", "lock", "close_history_first", "cheapest", "昨开", "开"])
def test_a_policy_remembers_its_name(text: str) -> None:
    assert policy_of(text).text == text
    assert policy_of("net") is NET


@pytest.mark.parametrize(
    "text", ["", ",", "NET", "今今", "今昨,开,开", "今昨，开", "平", "close", None]
)
def test_unknown_policies_are_refused(text: str) -> None:
    with pytest.raises(WrongSetting, match=r"policy is .*net, lock, close_history_first, cheapest"):
        policy_of(text)


# ---- the policy "cheapest", CNY worked by hand

INDEX = CloseFees(open_cny=27.6, close_cny=27.6, close_today_cny=276.0)  # IF: locking 82.8
FREE = CloseFees(open_cny=3.0, close_cny=3.0, close_today_cny=0.0)
DEARER = CloseFees(open_cny=3.0, close_cny=3.0, close_today_cny=9.0)  # as dear as locking


@pytest.mark.parametrize(
    ("fees", "exchange", "volume", "today", "history", "expected"),
    [
        (INDEX, "CFFEX", 2, 2, 0, [(OPEN, 2)]),  # 552 against 165.6
        (INDEX, "CFFEX", 2, 1, 1, [(OPEN, 2)]),  # 303.6 against 165.6
        (INDEX, "CFFEX", 5, 1, 4, [(CLOSE, 5)]),  # 386.4 against 414
        (INDEX, "CFFEX", 5, 1, 3, [(OPEN, 5)]),  # 358.8 against 331.2 for the 4 that could close
        (INDEX, "CFFEX", 3, 0, 9, [(CLOSE, 3)]),
        (INDEX, "SHFE", 5, 3, 4, [(CLOSE, 4), (OPEN, 1)]),
        (FREE, "SHFE", 5, 3, 4, [(CLOSETODAY, 3), (CLOSE, 2)]),
        (FREE, "DCE", 5, 3, 4, [(CLOSE, 5)]),
        (DEARER, "SHFE", 5, 3, 4, [(CLOSE, 4), (CLOSETODAY, 1)]),
        (DEARER, "SHFE", 8, 3, 4, [(CLOSE, 4), (CLOSETODAY, 3), (OPEN, 1)]),
        (DEARER, "DCE", 2, 3, 4, [(CLOSE, 2)]),
        (CloseFees(3.0, 3.0, 3.0), "SHFE", 5, 3, 4, [(CLOSETODAY, 3), (CLOSE, 2)]),
        (CloseFees(3.0, 3.0, math.nan), "CFFEX", 2, 2, 0, [(CLOSE, 2)]),  # unknown: as "net"
        (CloseFees(math.nan, 3.0, 90.0), "SHFE", 5, 3, 4, [(CLOSETODAY, 3), (CLOSE, 2)]),
        (None, "CFFEX", 2, 2, 0, [(CLOSE, 2)]),
    ],
)
def test_cheapest_by_hand(
    fees: CloseFees | None, exchange: str, volume: int, today: int, history: int,
    expected: list[tuple[Offset, int]],
) -> None:  # fmt: skip
    position = held(long=SideLots(today, history))
    assert pairs(plan_legs(SELL, volume, position, exchange, CHEAPEST, fees)) == expected


costs = st.integers(0, 30)


@settings(max_examples=300, deadline=None)
@given(
    volume=st.integers(1, 9),
    today=st.integers(0, 5),
    history=st.integers(0, 5),
    exchange=st.sampled_from(["SHFE", "CFFEX"]),
    fees=st.builds(CloseFees, costs, costs, costs),
)
def test_no_plan_costs_less_than_cheapest(
    *, volume: int, today: int, history: int, exchange: str, fees: CloseFees
) -> None:
    """Against every way to close some of the lots and to lock the others."""
    position = held(long=SideLots(today, history))
    plan = pairs(plan_legs(SELL, volume, position, exchange, CHEAPEST, fees))
    lots = {offset: sum(n for each, n in plan if each is offset) for offset in Offset}
    wanted = min(volume, today + history)

    def cny(closed_today: int, closed_history: int) -> float:
        locked = wanted - closed_today - closed_history
        lock = fees.open_cny + fees.close_cny + fees.close_cny
        return closed_today * fees.close_today_cny + closed_history * fees.close_cny + locked * lock

    if exchange == "SHFE":
        chosen = cny(lots[CLOSETODAY], lots[CLOSE])
        ways = [cny(a, b) for a in range(today + 1) for b in range(history + 1) if a + b <= wanted]
    else:  # the exchange takes today's lots first
        chosen = cny(min(lots[CLOSE], today), max(lots[CLOSE] - today, 0))
        ways = [cny(min(n, today), max(n - today, 0)) for n in range(wanted + 1)]
    assert chosen == min(ways)


# ---- lots in one exchange order


def test_long_legs_leave_in_chunks_of_one_stage() -> None:
    position = held(long=SideLots(today=3, history=10))
    legs = plan_legs(SELL, 20, position, "SHFE", most=4)
    assert staged(legs) == [
        (CLOSETODAY, 3, 0), (CLOSE, 4, 0), (CLOSE, 4, 0), (CLOSE, 2, 0), (OPEN, 4, 1), (OPEN, 3, 1)
    ]  # fmt: skip
    closing = plan_close(SELL, 9, position, "DCE", most=5)
    assert staged(closing) == [(CLOSE, 5, 0), (CLOSE, 4, 0)]


def test_more_than_a_hundred_legs_are_a_mistake() -> None:
    assert len(plan_legs(BUY, 1_000, held(), "SHFE", most=10)) == 100
    with pytest.raises(BadVolume, match=r"at most 100 .* takes 101 of at most 10 lots.*in parts"):
        plan_legs(BUY, 1_001, held(), "SHFE", most=10)
    with pytest.raises(BadVolume, match="at most 100 exchange orders"):
        plan_legs(BUY, 10**12, held(), "SHFE", most=1)
    many = held(long=SideLots(history=500))
    with pytest.raises(BadVolume, match="at most 100 exchange orders"):
        plan_close(SELL, 101, many, "SHFE", most=1)
    assert len(plan_close(SELL, 500, many, "SHFE")) == 1  # no limit


# ---- against TqSdk's own planner


def tqsdk_orders(
    direction: Direction, volume: int, side: SideLots, exchange: str, priority: str
) -> list[dict[str, int]]:
    """What `TargetPosTask` would send: per stage lots by offset, everything filling at each comma.

    Its `_target_pos_task` around its own `_get_order`, which sees nothing but this account.
    """
    account = _Account(direction, side, exchange)
    stages: list[dict[str, int]] = [{}]
    left, pending = volume, 0
    for step in priority + ",":
        if step == ",":
            account.fill(stages[-1])
            stages.append({})
            pending = 0
            continue
        signed = left if direction is BUY else -left
        offset, to, lots = TargetPosTask._get_order(account, step, signed, pending)
        if not lots:
            continue
        assert to == direction.value
        pending += lots if offset != "OPEN" else 0
        stages[-1][offset] = stages[-1].get(offset, 0) + lots
        left -= lots
    return [stage for stage in stages if stage]


class _Account(SimpleNamespace):
    """What `TargetPosTask._get_order` looks at."""

    def __init__(self, direction: Direction, side: SideLots, exchange: str) -> None:
        self._exchange = exchange
        self._side = "short" if direction is BUY else "long"
        self._today, self._history = side.today, side.history
        self._orders = dict(self._resting(direction, side))
        self._show()

    def _resting(self, to: Direction, side: SideLots) -> Iterator[tuple[int, SimpleNamespace]]:
        today = "CLOSETODAY" if self._exchange in SPLIT else "CLOSE"
        frozen = ((today, side.frozen_today), ("CLOSE", side.frozen_history))
        for number, (offset, lots) in enumerate(frozen):
            terms = {"offset": offset, "direction": to.value, "volume_left": lots}
            yield number, SimpleNamespace(is_dead=False, **terms)

    def _show(self) -> None:
        mine, other = (self._today, self._history), (99, 99)  # lots that must not be touched
        by_side = {"long": other, "short": other, self._side: mine}
        self._pos = SimpleNamespace(orders=self._orders)
        for side, (today, history) in by_side.items():
            setattr(self._pos, f"pos_{side}", today + history)
            setattr(self._pos, f"pos_{side}_today", today)
            setattr(self._pos, f"pos_{side}_his", history)

    def fill(self, orders: dict[str, int]) -> None:
        """Close lots as exchanges do, today's first where CLOSE does not tell."""
        today, close = orders.get("CLOSETODAY", 0), orders.get("CLOSE", 0)
        if self._exchange not in SPLIT:
            today = min(close, self._today)
            close -= today
        self._today -= today
        self._history -= close
        self._show()


def by_stage(legs: tuple[Leg, ...]) -> list[dict[str, int]]:
    stages: list[dict[str, int]] = [{} for _ in range(legs[-1].stage + 1)]
    for leg in legs:
        lots = stages[leg.stage]
        lots[leg.offset.value] = lots.get(leg.offset.value, 0) + leg.volume
    return stages


@st.composite
def sides(draw: st.DrawFn) -> SideLots:
    today, history = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    frozen_today = draw(st.integers(0, today))
    return SideLots(today, history, frozen_today, draw(st.integers(0, history)))


def check_against_tqsdk(
    direction: Direction, volume: int, side: SideLots, exchange: str, priority: str
) -> None:
    position = held(short=side) if direction is BUY else held(long=side)
    expected = tqsdk_orders(direction, volume, side, exchange, priority)
    policy = policy_of(priority)
    if sum(lots for stage in expected for lots in stage.values()) < volume:
        with pytest.raises(InvalidOrder):
            plan_legs(direction, volume, position, exchange, policy)
    else:
        assert by_stage(plan_legs(direction, volume, position, exchange, policy)) == expected


@pytest.mark.parametrize("priority", ["今昨,开", "今昨开", "昨开", "开", "昨今,开", "今,昨,开"])
@pytest.mark.parametrize("exchange", [*SPLIT, *UNSPLIT])
@settings(max_examples=60, deadline=None)
@given(direction=st.sampled_from(Direction), volume=st.integers(1, 60), side=sides())
def test_plans_as_tqsdk(
    *, priority: str, exchange: str, direction: Direction, volume: int, side: SideLots
) -> None:
    check_against_tqsdk(direction, volume, side, exchange, priority)


ORDERS = ["".join(kinds) for n in (1, 2, 3) for kinds in permutations("今昨开", n)]
priorities = st.builds(
    lambda kinds, commas: "".join(
        kind + "," * comma for kind, comma in zip(kinds, commas, strict=False)
    ),
    st.sampled_from(ORDERS),
    st.tuples(*[st.integers(0, 2)] * 3),
)


@settings(max_examples=300, deadline=None)
@given(
    direction=st.sampled_from(Direction),
    volume=st.integers(1, 60),
    side=sides(),
    exchange=st.sampled_from(["SHFE", "DCE"]),
    priority=priorities,
)
def test_any_offset_priority_means_what_it_means_in_tqsdk(
    *, direction: Direction, volume: int, side: SideLots, exchange: str, priority: str
) -> None:
    assert _check_offset_priority(priority) == priority
    check_against_tqsdk(direction, volume, side, exchange, priority)


def test_named_policies_are_priorities_of_tqsdk() -> None:
    position = held(long=SideLots(today=3, history=10))
    for named, priority in ((NET, "今昨,开"), (LOCK, "昨,开")):
        for exchange in (*SPLIT, *UNSPLIT):
            expected = tqsdk_orders(SELL, 15, position.long, exchange, priority)
            assert by_stage(plan_legs(SELL, 15, position, exchange, named)) == expected
    for exchange in SPLIT:
        expected = tqsdk_orders(SELL, 15, position.long, exchange, "昨今,开")
        assert by_stage(plan_legs(SELL, 15, position, exchange, HISTORY_FIRST)) == expected


# ---- what holds of every plan

policies = st.one_of(
    st.sampled_from([NET, LOCK, HISTORY_FIRST, CHEAPEST]), priorities.map(policy_of)
)
maybe_fees = st.one_of(st.none(), st.builds(CloseFees, costs, costs, costs))


@settings(max_examples=400, deadline=None)
@given(
    direction=st.sampled_from(Direction),
    volume=st.integers(1, 60),
    long=sides(),
    short=sides(),
    exchange=st.sampled_from([*SPLIT, *UNSPLIT]),
    policy=policies,
    fees=maybe_fees,
    most=st.integers(0, 70),
    close_only=st.booleans(),
)
def test_plans_never_overclose_nor_cross_zero(
    *, direction: Direction, volume: int, long: SideLots, short: SideLots, exchange: str,
    policy: Policy, fees: CloseFees | None, most: int, close_only: bool,
) -> None:  # fmt: skip
    other = short if direction is BUY else long
    free_today = other.today - other.frozen_today
    free_history = other.history - other.frozen_history
    plan = plan_close if close_only else plan_legs
    try:
        legs = plan(direction, volume, held(long, short), exchange, policy, fees, most)
    except InvalidOrder:
        assert volume > free_today + free_history if close_only else "开" not in policy.text
        return
    lots = {offset: sum(leg.volume for leg in legs if leg.offset is offset) for offset in Offset}
    assert sum(lots.values()) == volume
    assert all(0 < leg.volume <= (most or volume) for leg in legs)
    if exchange in SPLIT:
        assert lots[CLOSETODAY] <= free_today
        assert lots[CLOSE] <= free_history
    else:
        assert lots[CLOSETODAY] == 0
        assert lots[CLOSE] <= free_today + free_history
    assert not (close_only and lots[OPEN])
    opens = [leg.offset is OPEN for leg in legs]
    assert opens == sorted(opens)  # opening never goes before closing
    stages = [leg.stage for leg in legs]
    assert stages == sorted(stages)
    assert set(stages) == set(range(stages[-1] + 1))


@given(volume=st.integers(1, 60), side=sides(), exchange=st.sampled_from([*SPLIT, *UNSPLIT]))
def test_net_opens_only_what_cannot_be_closed(volume: int, side: SideLots, exchange: str) -> None:
    legs = plan_legs(SELL, volume, held(long=side), exchange)
    opened = sum(leg.volume for leg in legs if leg.offset is OPEN)
    free = side.total - side.frozen_today - side.frozen_history
    assert opened == max(volume - free, 0)
    if not opened:
        assert plan_close(SELL, volume, held(long=side), exchange) == legs
