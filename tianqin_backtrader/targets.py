"""Net targets of single contracts, executed by TqSdk's `TargetPosTask` under our control.

A target ends in exactly one way, told once:

    begin ── the task's round is over ───────────────────────────── reached
          ├─ cancel, orders withdrawn ───────────────────────────── stopped
          └─ refusal, NaN price, a price function that raises … ─── failed

Each end is told when no order of the task lives and the account shows its fills, so that the next
target starts from the true position. Whatever a task raises stays here: TqSdk would raise it out of
any wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

from .beijing import BEIJING
from .clock import monotonic_ns, now_s
from .connection import Connection
from .errors import BadVolume, InvalidOrder
from .model import Direction, Offset
from .target_task import TargetOptions, TargetTask, is_whole

__all__ = ["TargetNews", "TargetOptions", "TargetTasks"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
LOST = "the order never reached the gateway"
CLOSE_NS = 2 * SECOND_NS  # how long a session that closes waits for its orders to be withdrawn


class TargetNews(Protocol):
    """Who is told of targets."""

    def name_order(
        self, symbol: str, direction: Direction, offset: Offset, volume: int, price: float | None
    ) -> str:
        """The id for an exchange order that a task is about to send.

        Called inside TqSdk's loop: it must not wait for the gateway. What is raised refuses the
        order: it is not sent, and the task fails with that reason.
        """
        ...

    def reached(self, symbol: str) -> None:
        """The task has done what `offset_priority` allows, be it nothing."""
        ...

    def stopped(self, symbol: str) -> None:
        """The task has ended after `cancel`; no order of it lives."""
        ...

    def failed(self, symbol: str, reason: str) -> None:
        """The task has ended before its target, for `reason` (what TqSdk says is Chinese).

        Orders that TqSdk sends together (今昨开) go on when one of them is refused: the end comes
        with the last of them.
        """
        ...


class TargetTasks:
    """The targets of one account session, at most one for each contract.

    now_ns: market time of this moment, ns since 1970 UTC, 0 for unknown. It tells TqSdk, which
    holds orders back outside trading hours, how old the contract's quote is when a target begins.
    """

    def __init__(
        self, connection: Connection, news: TargetNews, now_ns: Callable[[], int] = lambda: 0
    ) -> None:
        self._connection, self._news, self._now_ns = connection, news, now_ns
        self._targets: dict[str, TargetTask] = {}
        self._api: Any = None  # the session whose orders are named here
        connection.before_close(self.close)
        connection.when_rebuilt(self._renew)

    def begin(self, symbol: str, lots: int, options: TargetOptions) -> None:
        """Bring the contract's net position to `lots`, negative for short; never waits.

        The first order leaves with the next wait. Raises `InvalidOrder`, with nothing begun, while
        an older target is at work (cancel it and wait for its end), when nobody has asked for the
        contract's quote, or when TqSdk takes no such target.
        """
        older = self._targets.get(symbol)
        if older is not None:
            raise InvalidOrder(
                f"{symbol} still works on its target of {older.lots} lots; cancel it and wait for "
                f"its end before a target of {lots}"
            )
        if not is_whole(lots):
            raise BadVolume(symbol, lots, "whole net lots, negative for a short position")
        age_s = self._age_s(symbol)
        self._answer_for_orders()
        target = TargetTask(self._connection, symbol, lots)
        try:
            target.start(options, age_s)
        except Exception as error:  # TqSdk raises bare Exception
            raise InvalidOrder(f"TqSdk takes no target of {lots} {symbol}: {error}") from error
        self._targets[symbol] = target
        self._connection.trading.has_unsent = True

    def cancel(self, symbol: str) -> None:
        """Withdraw the target's orders with the next wait; `stopped` or `failed` follows.

        Does nothing when no target is at work.
        """
        if symbol in self._targets:
            self._targets[symbol].withdraw()
            self._connection.trading.has_unsent = True

    def is_busy(self, symbol: str) -> bool:
        """Whether a target of the contract is at work: its end has not been told."""
        return symbol in self._targets

    def poll(self) -> bool:
        """Let the tasks take in what has come, and tell the ends; True when there were any.

        Call it after each wait, when orders and trades have been told.
        """
        told = False
        if self._targets:
            self._connection.run_tasks()
        for symbol in list(self._targets):
            target = self._targets.get(symbol)
            if target is not None and target.is_over(monotonic_ns()):
                told |= self._end_or_go_on(target)
        return told

    def _renew(self) -> None:
        """Another TqApi stands: the tasks of the old one are gone."""
        for target in self._targets.values():
            target.renew()

    def _end_or_go_on(self, target: TargetTask) -> bool:
        """Whether the end was told: a target that a rebuilt session cut off begins once more."""
        if target.begins_again and not target.failure:
            try:
                self._answer_for_orders()
                target.begin_again(self._age_s(target.symbol))
                self._connection.trading.has_unsent = True
                return False
            except Exception as error:  # TqSdk raises bare Exception
                logger.warning("the target of %s ends", target.symbol, exc_info=True)
                target.failure = f"TqSdk does not take the target up again: {error}"
        self._end(target)
        return True

    def lost(self, order_ids: Iterable[str]) -> None:
        """Orders that never reached the gateway: a task would wait for them for ever.

        Those that are of a target make it fail, with the next wait.
        """
        for order_id in order_ids:
            if any(target.follows(order_id) for target in self._targets.values()):
                self._connection.trading.give_up(order_id, LOST)

    def close(self) -> None:
        """Withdraw all orders and tell the ends; what gets no answer in time is left behind.

        `Connection.close` calls it too, for whoever forgets: TqSdk would hang for 30 seconds.
        """
        for symbol in list(self._targets):
            self.cancel(symbol)
        try:
            self._wait_for_ends()
        except Exception:
            logger.warning("targets could not be withdrawn", exc_info=True)
        for target in list(self._targets.values()):
            target.abandon()
            self._end(target)

    # ---- orders of the tasks

    def name_order(
        self, symbol: str, direction: Direction, offset: Offset, volume: int, price: float
    ) -> str | None:
        """The trading channel asks before an order of a task leaves; None: not a task of ours."""
        target = self._targets.get(symbol)
        if target is None:
            return None
        if target.is_withdrawn:  # TqSdk inserts what it had begun when the cancel came
            raise InvalidOrder(f"the target of {symbol} was cancelled")
        return self._news.name_order(symbol, direction, offset, volume, price)

    def inserted(self, symbol: str, order: Any) -> None:
        """The trading channel hands over an order that has just left."""
        self._targets[symbol].follow(order)

    def _answer_for_orders(self) -> None:
        api = self._connection.api
        if self._api is not api:
            self._api = api
            self._connection.trading.answer_for(self)

    # ---- inside

    def _end(self, target: TargetTask) -> None:
        symbol, failure = target.symbol, target.failure
        del self._targets[symbol]
        if failure:
            logger.warning("the target of %s failed: %s", symbol, failure)
            self._news.failed(symbol, failure)
        elif target.is_withdrawn:
            self._news.stopped(symbol)
        else:
            target.withdraw()  # TqSdk would keep the task for a next target
            self._news.reached(symbol)

    def _wait_for_ends(self) -> None:
        deadline_ns = monotonic_ns() + CLOSE_NS
        while self._targets and monotonic_ns() < deadline_ns:
            self._connection.wait(now_s() + 0.05)
            self.poll()

    def _age_s(self, symbol: str) -> float:
        """Market time since the contract's newest quote."""
        try:
            text = str(self._connection.listing.quote(symbol).get("datetime") or "")
        except KeyError:
            raise InvalidOrder(f"{symbol} has no quote; ask for the instrument first") from None
        now_ns = self._now_ns()
        if not text or not now_ns:
            return 0.0
        quoted = datetime.fromisoformat(text).replace(tzinfo=BEIJING)
        return max(now_ns / SECOND_NS - quoted.timestamp(), 0.0)
