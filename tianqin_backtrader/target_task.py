"""One run of TqSdk's `TargetPosTask`: how it is begun, what its orders did, how it ends.

Whatever it raises stays here: TqSdk would raise it out of any wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .connection import Connection
from .errors import WrongSetting
from .trading import contain

__all__ = ["TargetOptions", "TargetTask", "is_whole"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
RECALL_NS = 5 * SECOND_NS  # how long an order may live on that the task has left behind
SETTLE_NS = 2 * SECOND_NS  # how long the account's picture may lag behind the last fill
NO_ANSWER = "the gateway did not say that the task's orders have ended; look at the account"


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How TqSdk executes a target; the meaning is that of `TargetPosTask`'s parameters.

    price: "ACTIVE" (opposite price), "PASSIVE" (own side's price), or a function from "BUY" or
    "SELL" to CNY. offset_priority: 今 today's lots, 昨 history lots, 开 open; a comma waits for
    what stands before it. min_volume, max_volume: lots of each order when a larger one is split,
    both or neither. Raises `WrongSetting`.
    """

    price: str | Callable[[str], float] = "ACTIVE"
    offset_priority: str = "今昨,开"
    min_volume: int | None = None
    max_volume: int | None = None

    def __post_init__(self) -> None:
        if not (callable(self.price) or self.price in ("ACTIVE", "PASSIVE")):
            raise WrongSetting("price", self.price, "'ACTIVE', 'PASSIVE' or a function of a side")
        kinds = sorted(str(self.offset_priority).replace(",", ""))
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set("今昨开"):
            expected = "今, 昨 and 开, each at most once, in order, with commas to wait"
            raise WrongSetting("offset_priority", self.offset_priority, expected)
        if (self.min_volume, self.max_volume) != (None, None):
            self._check_split()

    def _check_split(self) -> None:
        for name in ("min_volume", "max_volume"):
            lots = getattr(self, name)
            if not is_whole(lots) or lots < 1:
                raise WrongSetting(name, lots, "whole lots from 1 up, for both or for neither")
        if self.min_volume > self.max_volume:  # type: ignore[operator]
            raise WrongSetting("min_volume", self.min_volume, f"at most {self.max_volume}")


class TargetTask:
    """One run of TqSdk's task towards one target.

    lots: the target. net: lots before. failure: why it has failed, empty while it has not.
    """

    def __init__(self, connection: Connection, symbol: str, lots: int) -> None:
        self.symbol, self.lots = symbol, lots
        self.failure = ""
        self.is_withdrawn = False
        self._connection = connection
        self._net = connection.trading.position(symbol).net
        self._task: Any = None
        self._done: Any = None  # the channel on which the task says that its round is over
        self._is_reached = False
        self._orders: list[Any] = []  # TqSdk's live objects
        self._through_ns = 0  # monotonic; when the task was first seen to do no more
        self._sessions = 0  # TqApis that the task has outlived
        self._options: TargetOptions | None = None
        self.begins_again = False  # towards the same target, when its old orders have ended

    def renew(self) -> None:
        """Another TqApi stands: the task ends with the old one, its orders live on.

        They are withdrawn; when all have ended the target is begun again, or its end is told.
        """
        self._sessions += 1
        self._task = self._done = None
        self._through_ns = 0
        self._orders = [self._connection.trading.again(order) for order in self._orders]
        self.begins_again = not (self.is_withdrawn or self.failure or self._is_reached)

    def begin_again(self, age_s: float) -> None:
        """Go on towards the target in the session that stands now. Raises what TqSdk raises."""
        self.begins_again, self._through_ns = False, 0
        if self._options is not None:
            self.start(self._options, age_s)

    def start(self, options: TargetOptions, age_s: float) -> None:
        """Make the task and give it its target; it runs with the next wait.

        age_s: market time since the contract's newest quote. Raises what TqSdk raises.
        """
        price, session = options.price, self._sessions
        self._options = options
        self._task, self._done = self._connection.target_task(
            self.symbol,
            price=price if isinstance(price, str) else self._guarded(price),
            offset_priority=options.offset_priority,
            min_volume=options.min_volume,
            max_volume=options.max_volume,
        )
        for each in (self._task._task, self._task._time_update_task):
            contain(self._connection.api, each, lambda reason: self._fail_in(session, reason))
        self._task._local_time_record -= age_s  # TqSdk takes any quote of a new task for fresh
        self._task.set_target_volume(self.lots)

    def _guarded(self, price: Callable[[str], float]) -> Callable[[str], float]:
        """A plain function, which TqSdk insists on.

        Its errors are noted at once: TqSdk hears of one raised beside a resting order only when
        that order ends, and follows prices no more until then.
        """

        def guarded(side: str) -> float:
            try:
                return float(price(side))
            except Exception as error:
                if not self.failure:
                    logger.warning("the price function of %s failed", self.symbol, exc_info=True)
                self._fail(f"the price function raised {type(error).__name__}: {error}")
                raise

        return guarded

    def _fail_in(self, session: int, reason: str) -> None:
        if session == self._sessions:  # an older task ends by its session's end
            self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.failure = self.failure or reason

    # ---- orders

    def follow(self, order: Any) -> None:
        """An order of the task has left."""
        self._orders.append(order)

    def follows(self, order_id: str) -> bool:
        """Whether the task waits for the end of this order."""
        return any(order["order_id"] == order_id for order in self._alive)

    @property
    def _alive(self) -> list[Any]:
        return [order for order in self._orders if order["status"] == "ALIVE"]

    @property
    def _filled(self) -> int:
        """Net lots that the task's orders have bought (+) or sold (-)."""
        lots = 0
        for order in self._orders:
            filled = order["volume_orign"] - order["volume_left"]
            lots += filled if order["direction"] == "BUY" else -filled
        return lots

    # ---- the end

    def withdraw(self) -> None:
        """Cancel the task, once: a second cancel would break off its tidying up."""
        if not self.is_withdrawn:
            self.is_withdrawn = True
            self.begins_again = False
            if self._task is not None:
                self._task.cancel()

    def is_over(self, now_ns: int) -> bool:
        """Whether the end may be told: no order lives, and the account shows the fills.

        now_ns: of the monotonic clock.
        """
        if self.failure and self._task is not None and not self._task.is_finished():
            self.withdraw()
        if not self._is_through():
            return False
        if not self._through_ns:
            self._through_ns = now_ns
            self._recall()
        waited_ns = now_ns - self._through_ns
        if self._alive:
            if waited_ns >= RECALL_NS:
                self._fail(NO_ANSWER)
            return waited_ns >= RECALL_NS
        net = self._connection.trading.position(self.symbol).net
        return net == self._net + self._filled or waited_ns >= SETTLE_NS

    def _is_through(self) -> bool:
        """Whether the task will do no more."""
        if self._task is None:
            return True
        while not self._done.empty():
            self._is_reached |= self._done.recv_nowait() is not None
        if not self._task.is_finished():
            return self._is_reached and not self.is_withdrawn
        if not (self._is_reached or self.is_withdrawn):
            self._fail("TqSdk ended the task")
        return True

    def _recall(self) -> None:
        """Cancel what the task has left behind.

        A task cancelled between an order's departure and its own next step forgets the order, and
        one whose price function fails does not wait for the end of its cancel.
        """
        for order in self._alive:
            self._connection.trading.cancel(order["order_id"])

    def abandon(self) -> None:
        """Wait no longer for answers that will not come."""
        self._fail(NO_ANSWER)
        if self._task is not None:
            self._task.cancel()  # the second cancel ends the wait of the first


def is_whole(lots: Any) -> bool:
    return isinstance(lots, int) and not isinstance(lots, bool)
