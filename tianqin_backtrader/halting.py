"""Risk limits and the kill switch on a broker: what is taken, and who is told when that changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import backtrader as bt

from .clock import monotonic_ns
from .desk import OrderDesk
from .entry import OrderEntry
from .errors import JournalFailed, OrderError, StopError, TianqinError, WrongSetting
from .journal_records import RefusalRecord
from .model import Account
from .notices import Notice
from .orders import Done
from .risk import Code, RiskLimits, TradingState
from .risk_counts import DayCounts, trading_day
from .risk_gate import FREE, Halt, RiskGate
from .risk_losses import DayLosses
from .states import OrderState
from .switch import Switch
from .verbs import ExchangeVerbs

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["Halting", "limits_of"]

logger = logging.getLogger(__name__)

POLL_NS = 1_000_000_000  # how often the switch's files are looked at
REFUSED = (OrderState.REJECTED, OrderState.MARGIN)


def limits_of(risk: Any, mode: str) -> RiskLimits | None:
    """The limits of a broker that was told `risk`. Raises `WrongSetting`."""
    if risk is None:
        return RiskLimits.cautious() if mode == "live" else None
    if not isinstance(risk, RiskLimits):
        raise WrongSetting("risk", risk, "RiskLimits(...), or None for the mode's own")
    return None if risk == RiskLimits() else risk


class Halting(ExchangeVerbs):
    """What `TqBroker` can do about risk."""

    _store: TqStore
    _limits: RiskLimits | None
    _gate: RiskGate | None
    _losses: DayLosses | None

    def _begin_halting(self) -> None:
        self._limits = limits_of(self.p.risk, self._store.mode)
        self._gate = self._losses = None
        self._switch, self._switched = Switch(None), (TradingState.NORMAL, "")
        self._halt, self._told_halt = FREE, FREE
        self._polled_ns = 0
        self._asked = ""  # by another process
        self._seen: Account | None = None

    @property
    def limits(self) -> RiskLimits | None:
        """What the account may risk; None: anything."""
        return self._limits

    # ---- what the owner says

    def halt(self, reason: str = "trading is halted") -> None:
        """Refuse every new order with `reason` until `resume`; cancels still go out.

        With a journal in a file it outlasts the program. Stops and other orders that were taken
        before go on as far as they only close.
        """
        self._turn(TradingState.HALTED, reason or "trading is halted")

    def reduce(self, reason: str = "only closing is allowed") -> None:
        """Refuse what would open lots, with `reason`, until `resume`."""
        self._turn(TradingState.REDUCING, reason or "only closing is allowed")

    def resume(self) -> None:
        """Take orders again; losses of the day are counted anew from here. Raises `StopError`."""
        try:
            self._switch.clear()
        except OSError as error:
            raise StopError(f"the kill switch stays on, remove its file: {error}") from error
        self._switched = self._switch.read()
        if self._losses is not None:
            now_ns = self._store.floor.now_ns
            self._losses.resume(self._store.connection.trading.account(), now_ns)
        self._apply()

    @property
    def trading_state(self) -> TradingState:
        """Whether all orders are taken, those that only close, or none."""
        return self._halt.state

    def flatten(self) -> list[bt.Order]:
        """Close every lot that no resting order freezes, at market; `cancel_all` frees the rest.

        Works while trading is halted, too. Raises `InvalidOrder`, with nothing sent, when the
        account holds a contract that no feed of the store follows.
        """
        if self._gate is None:
            return super().flatten()
        with self._gate.urgently():
            return super().flatten()

    def _turn(self, state: TradingState, reason: str) -> None:
        self._switch.set(state, reason)
        self._switched = state, reason
        self._apply()

    # ---- life

    def _guard(self, desk: OrderDesk, entry: OrderEntry) -> None:
        """The session stands: orders pass the gate from now on."""
        store = self._store
        floor, channel, journal = store.floor, store.connection.trading, store.journal
        counts = None
        if self._limits is not None:
            counts = DayCounts(journal, lambda now_ns: trading_day(store.calendar, now_ns))
            self._losses = DayLosses(self._limits, counts) if self._limits.watches_losses else None
        self._gate = RiskGate(
            self._limits, floor, desk.blotter, counts, channel.account, self._held_now, floor.knows
        )
        desk.blotter.progress.sender.gate = self._gate
        desk.on_end, entry.judge, entry.refused = self._ended, self._gate.at_entry, self._note
        if counts is not None:
            floor.on_sent, channel.on_cancel = self._gate.sent, self._gate.cancelled
        self._guarded, self._halt = entry, FREE  # as the new gate has it
        self._take_switch(Switch(journal.path))

    def _learn_held(self) -> None:
        """Ask for the terms of all that is held: limits of worth need them."""
        if self._limits is None or self._limits.total_notional_cny is None:
            return
        for symbol in [each for each in self.positions() if not self._store.floor.knows(each)]:
            try:
                self._store.connection.instrument(symbol)
            except TianqinError as error:
                logger.warning("%s is held and its worth is not known: %s", symbol, error)

    def _end_halting(self) -> None:
        """The session is over; what was said last stands."""
        self._gate = self._losses = None

    def _held_now(self) -> Mapping[str, Any]:
        return self.positions()

    def _take_switch(self, switch: Switch) -> None:
        """From now on the session's journal says what is taken, or what was said before."""
        before, self._switch = self._switch.read(), switch
        if before[0] is not TradingState.NORMAL:
            switch.set(*before)
        self._switched = switch.read()
        self._apply()

    # ---- what happens

    def _watch(self) -> None:
        """Look at the switch and at the account's money. Called when all that has come is told."""
        now_ns = monotonic_ns()
        if now_ns - self._polled_ns >= POLL_NS:
            self._polled_ns = now_ns
            self._switched = self._switch.read()
            self._asked = self._switch.take_request() or self._asked
        self._look_at_money()
        self._apply()
        if self._halt != self._told_halt:
            self._tell_halt()

    def _look_at_money(self) -> None:
        if self._losses is None:
            return
        account = self._store.connection.trading.account()
        if account is not self._seen and self._trades():
            self._seen = account
            self._losses.look(account, self._store.floor.now_ns)

    def _trades(self) -> bool:
        """Whether a market is open: before, the account may still show the day before."""
        floor = self._store.floor
        contracts = {data.contract for data in self._store.datas}
        return any(floor.sessions(each).is_open(floor.now_ns) for each in contracts)

    def _apply(self) -> None:
        halt = self._halt_now()
        if halt == self._halt:
            return
        self._halt = halt
        if self._gate is not None:
            self._gate.halt = halt
            self._guarded.halted = halt.reason

    def _halt_now(self) -> Halt:
        state, reason = self._switched
        stop = None if self._losses is None else self._losses.stop(self._store.floor.now_ns)
        if stop is not None and self._limits is not None and state is not TradingState.HALTED:
            harder = TradingState(self._limits.on_loss)
            if TradingState.HALTED is harder or state is TradingState.NORMAL:
                return Halt(harder, stop.code, stop.text)
        return FREE if state is TradingState.NORMAL else Halt(state, Code(state.value), reason)

    def _tell_halt(self) -> None:
        halt, self._told_halt = self._halt, self._halt
        text = f"trading is {halt.state}"
        text = f"{text} again" if halt == FREE else f"{text}: {halt.reason}"
        logger.warning(text)
        self._store.tell(Notice.RISK_HALT, text, state=halt.state.value, reason=halt.reason)

    def _obey(self) -> None:
        """Do what another process asked for. Between rounds: orders read their feed's bar."""
        asked, self._asked = self._asked, ""
        if asked != "flatten":
            return
        logger.warning("flatten was asked for: orders are cancelled, lots closed")
        try:
            self.cancel_all()
            self.flatten()
        except OrderError as error:
            self._put("", "", Code.REFUSED, f"flatten: {error}")

    # ---- refusals

    def _ended(self, order: bt.Order, done: Done) -> None:
        """An order has ended: by a refusal?"""
        found = None if self._gate is None else self._gate.refusals.pop(done.ref, None)
        if done.state is OrderState.COMPLETED:
            return
        if found is not None:
            self._note(order, found.code, found.text)
        elif done.state in REFUSED:
            self._note(order, Code.REFUSED, done.reason)

    def _note(self, order: bt.Order, code: str, text: str) -> None:
        order.addinfo(code=str(code))
        key = self._working_desk.key_of(order) or self._store.key_of(order.ref)
        self._put(key, str(order.info.get("contract") or order.data.contract), code, text)

    def _put(self, key: str, symbol: str, code: str, text: str) -> None:
        store = self._store
        run = store.key_of(0).rpartition(".")[0]
        record = RefusalRecord(run, key, symbol, str(code), text, store.floor.now_ns)
        try:
            store.journal.put(record)
        except JournalFailed as error:  # the order is refused all the same, and that is told
            logger.warning("a refusal is not in the journal: %s", error)
        store.tell(Notice.ORDER_REFUSED, text, key=key, symbol=symbol, code=str(code))
