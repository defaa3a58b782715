"""Executes orders as net targets: TqSdk's `TargetPosTask` makes the exchange orders.

One order of a contract is worked at a time, in the order in which they were written: its target is
the net position of the moment plus its lots. Cancelling follows TqSdk's rule: withdraw, wait until
the task has ended, then the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .blotter import Blotter
from .connection import Connection
from .contracts import SPLITS_TODAY
from .errors import InvalidOrder, WrongSetting
from .floor import Floor
from .journal_entries import leg_record
from .model import Direction, Offset
from .offsets import Leg, policy_of
from .surroundings import Diary
from .targets import TargetOptions, TargetTasks
from .tidings import Modified
from .working import LegWork, Phase, Then, Work

__all__ = ["TargetDesk", "TargetPrice", "TargetRules"]

ANSWER_NS = 3_000_000_000  # how long an order has to appear after a picture without it
TargetPrice = str | Callable[[str], float]


@dataclass(frozen=True, slots=True)
class TargetRules:
    """How TqSdk executes targets.

    price: "ACTIVE", "PASSIVE" or a function of "BUY" or "SELL"; or such by contract. min_volume and
    max_volume: lots of each exchange order when a larger one is split at random.
    """

    price: TargetPrice | Mapping[str, TargetPrice] = "ACTIVE"
    min_volume: int | None = None
    max_volume: int | None = None

    def options(self, symbol: str, policy: str) -> TargetOptions:
        """For one contract. Raises `WrongSetting`."""
        price = self.price
        if isinstance(price, Mapping):
            price = price.get(symbol, "ACTIVE")
        known = policy_of(policy)
        if known.by_fees:
            raise WrongSetting("policy", policy, "another one: TqSdk's targets know no fees")
        splits = symbol.partition(".")[0] in SPLITS_TODAY
        priority = known.steps if splits else known.steps_unsplit
        return TargetOptions(price, priority, self.min_volume, self.max_volume)


class TargetDesk:
    """The targets behind the orders of `blotter`; a `progress.Targets` and a `targets.TargetNews`.

    `renew` writes a target again whose order had the wrong direction when its turn came.
    """

    def __init__(
        self,
        connection: Connection,
        floor: Floor,
        diary: Diary,
        blotter: Blotter,
        rules: TargetRules,
        renew: Callable[[Work], None],
    ) -> None:
        self._renew = renew
        self._floor, self._diary, self._blotter, self._rules = floor, diary, blotter, rules
        self._tasks = TargetTasks(connection, self, lambda: floor.now_ns)
        self._active: dict[str, Work] = {}  # by contract

    # ---- what orders ask

    def works_on(self, work: Work) -> bool:
        """Whether a task is about the order now."""
        return self._active.get(work.symbol) is work

    def begin(self, work: Work, volume: int) -> None:
        """Work `volume` lots of the order, unless the contract's task is busy: it stays due then.

        Raises `InvalidOrder` while direct orders of the contract are at the exchange.
        """
        symbol = work.symbol
        self._refuse_mixture(symbol)
        if self._tasks.is_busy(symbol):
            return
        sign = 1 if work.ticket.direction is Direction.BUY else -1
        lots = self._floor.position(symbol).net + sign * volume
        if work.ticket.target is not None:
            lots = work.ticket.target
            if not self._fits(work, sign):
                return
        self._active[symbol] = work
        self._blotter.progress.move(work, Phase.WORKING)
        try:
            self._tasks.begin(symbol, lots, self._rules.options(symbol, work.ticket.policy))
        except InvalidOrder:
            del self._active[symbol]
            raise

    def _fits(self, work: Work, sign: int) -> bool:
        """Give an order towards a net target the lots that are missing now, if there are any."""
        progress, ticket = self._blotter.progress, work.ticket
        missing = ((ticket.target or 0) - self._floor.position(work.symbol).net) * sign
        if missing > 0:
            volume = progress.ledger.filled(work.key) + missing
            if volume != ticket.volume:
                work.ticket = replace(ticket, volume=volume)
                progress.ledger.resize(work.key, volume)
                progress.tell(Modified(work.key, work.ticket))
            return True
        work.then = Then.CANCEL
        progress.conclude(work, "the position has met its target, or passed it, by itself")
        if missing:
            self._renew(work)
        return False

    def cancel(self, work: Work) -> None:
        """Withdraw; the order ends when the task has."""
        self._tasks.cancel(work.symbol)

    def poll(self) -> None:
        """Take in what has come. Call it when orders and trades have been told."""
        if self._active:
            self._give_up_lost()
            self._tasks.poll()

    def _give_up_lost(self) -> None:
        """A task waits for ever for an order that never reached the exchange."""
        since_ns = self._floor.mono_ns - ANSWER_NS
        legs = [leg for work in self._active.values() for leg in work.alive]
        lost = [leg.order_id for leg in legs if 0 < leg.absent_ns <= since_ns]
        if lost:
            self._tasks.lost(lost)

    def close(self) -> None:
        """Withdraw all orders of the tasks."""
        self._tasks.close()

    def _refuse_mixture(self, symbol: str) -> None:
        for other in self._blotter.alive:
            if other.symbol == symbol and other.ticket.execution == "direct":
                raise InvalidOrder(
                    f"direct order {other.key} of {symbol} is alive; a target and direct orders do "
                    "not mix: cancel it first"
                )

    # ---- what the tasks tell

    def name_order(
        self, symbol: str, direction: Direction, offset: Offset, volume: int, price: float | None
    ) -> str:
        """The id of the next leg, which the journal has before it is sent."""
        work, progress = self._active[symbol], self._blotter.progress
        why = progress.sender.gate.forbids(work, [Leg(offset, volume)])
        if why:
            raise InvalidOrder(why)
        number = len(work.legs)
        order_id = f"{work.key}.{number}"
        progress.ledger.add_legs(work.key, {order_id: volume})
        told = progress.ledger.leg(order_id)
        leg = LegWork(order_id, number, 0, offset, volume, told, price, None, "sending")
        leg.day_ends_ns = progress.sender.day_ends_ns(symbol)
        work.legs.append(leg)
        progress.sender.reserve(work, leg)
        self._diary.put_leg(leg_record(work, leg, self._floor.now_ns, None))
        self._floor.on_sent(symbol)
        return order_id

    def reached(self, symbol: str) -> None:
        """The task has nothing more to do."""
        work = self._active.pop(symbol)
        self._end(work, "the account holds the target: others have traded, or the policy forbids")

    def stopped(self, symbol: str) -> None:
        """The task has ended after a cancel."""
        self._end(self._active.pop(symbol), "")

    def failed(self, symbol: str, reason: str) -> None:
        """The task has ended by an error; the next order gets a new one."""
        work = self._active.pop(symbol)
        progress = self._blotter.progress
        was_refused = any(leg.told.refused for leg in work.legs)
        signal = None if was_refused else progress.refused(work)
        if work.phase is not Phase.DONE:
            progress.conclude(work, reason, signal)

    def _end(self, work: Work, reason: str) -> None:
        if work.phase is not Phase.DONE:
            self._blotter.progress.conclude(work, reason)
