"""Moves lots and orders along when a main contract follows another contract.

Every step of a roll is in the journal before it is taken; `rolls` says what follows on what. An
order of a roll is a `bt.Order` like any other, with `info.roll` and `info.contract`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import backtrader as bt

from .desk import OrderDesk
from .entry import OrderEntry
from .errors import JournalFailed, TianqinError, WrongSetting
from .execution import net_position
from .feed import TqData
from .journal_records import RollRecord
from .model import AccountPosition
from .notices import Notice
from .roll_orders import Fate, carry, fate, hold, let_go
from .roll_view import RollView
from .rolls import Act, Stage, Step, keys_of, roll_of, step, ticket_of, with_key
from .tickets import Ticket
from .winding import KEPT
from .working import Phase, Then, Work

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["Rolling", "check_roll", "joined"]

logger = logging.getLogger(__name__)

MAIN = "KQ.m@"
MODES = ("notify", "auto")


def check_roll(symbol: str, mode: str) -> None:
    """Raises `WrongSetting` for what `TqStore.roll` cannot do."""
    if mode not in MODES:
        raise WrongSetting("mode", mode, " or ".join(map(repr, MODES)))
    if not symbol.startswith(MAIN):
        raise WrongSetting("data", symbol, f"a main contract such as {MAIN}SHFE.cu; others stay")


def joined(positions: Iterable[AccountPosition]) -> bt.Position:
    """The net lots of several contracts as one position, at the larger side's average price."""
    nets = [net_position(position) for position in positions]
    size = sum(net.size for net in nets)
    same = [net for net in nets if net.size * size > 0]
    lots = sum(net.size for net in same)
    return bt.Position(size, sum(net.size * net.price for net in same) / lots if lots else 0.0)


class Rolling:
    """The rolls of one account session, as `TqStore.roll` asked for them."""

    def __init__(self, store: TqStore, desk: OrderDesk, entry: OrderEntry, policy: str) -> None:
        self._store, self._desk, self._entry = store, desk, entry
        self._modes, self._policy = store.rolls, policy
        desk.after, entry.busy = self.settle, self.refusal
        self._view = RollView(store.floor, store.journal, desk.blotter)
        self._rolls: dict[str, RollRecord] = {}  # under way, by main contract
        self._follows: dict[str, str] = {}  # contracts as the journal has them, by main contract
        self._told: dict[str, str] = {}  # those that a feed was last told of in this run

    # ---- what was there before

    def prepare(self) -> None:
        """Before orders are restored: ask for the contracts that they are of."""
        journal, mains = self._store.journal, self._mains()
        for record in journal.rolls():
            if record.phase != Stage.FOLLOWING.value and record.main in mains:
                self._rolls[record.main] = record
            elif record.main in mains and record.main in self._modes:
                self._follows[record.main] = record.new
        tickets = [Ticket.from_text(order.ticket) for order in journal.open_orders()]
        wanted = [ticket.symbol for ticket in tickets if ticket.feed in mains]
        wanted += [symbol for roll in self._rolls.values() for symbol in (roll.old, roll.new)]
        for symbol in dict.fromkeys([*wanted, *self._follows.values()]):
            self._ask_for(symbol)
        for roll in list(self._rolls.values()):
            if not self._knows(roll.old, roll.new):
                del self._rolls[roll.main]
                self._tell_end(self._keep(replace(roll, phase=Stage.FAILED.value)), 0.0)

    def take_up(self) -> None:
        """Orders are restored: those that waited for a roll wait again."""
        for work in self._desk.blotter.alive:
            withdrawn_for, work.reason = work.reason, ""
            if work.phase is Phase.LEAVING and withdrawn_for == KEPT:
                work.then, work.why = Then.REPLACE, KEPT
            for roll in self._rolls.values():
                if work in self._view.others(roll):
                    work.paused = roll.name
                    if work.phase is Phase.LEAVING and withdrawn_for == roll.name:
                        work.then, work.why = Then.REPLACE, roll.name

    def former(self) -> dict[str, TqData]:
        """The contracts whose lots the feeds of main contracts held when the last run ended."""
        mains = self._mains()
        held = self._follows | {main: roll.old for main, roll in self._rolls.items()}
        return {old: mains[main] for main, old in held.items() if self._knows(old)}

    def begin(self) -> None:
        """All stands as it was: unfinished rolls go on, changes of the meantime are seen."""
        feeds = {data.contract for data in self._store.datas}
        for work in self._desk.blotter.alive:
            if work.symbol not in feeds:
                self._desk.leave(work.symbol)
            for roll in self._rolls.values():
                if work.key in keys_of(roll):
                    self._name(self._desk.order_of(work), roll, work.symbol)
        for roll in list(self._rolls.values()):
            logger.info("%s goes on: %s", roll.name, roll.phase)
            self._desk.leave(roll.old)
            self._drive(roll)
        self._look_at_all()

    # ---- what happens

    def changed(self, data: TqData, before: str) -> None:
        """The feed of a main contract follows another contract than `before`."""
        self._desk.leave(before)
        for order in self._desk.alive_of(before):
            order.addinfo(contract=before)
        self._told[data.symbol] = data.contract
        self._look(data)

    def settle(self) -> None:
        """Let the rolls go on by what has come; each step is in the journal before it is taken."""
        if self._store.journal.failure:
            return
        with suppress(JournalFailed):  # the journal has told of it; the next time goes on
            for roll in list(self._rolls.values()):
                self._drive(roll)
            if self._modes.keys() - self._follows.keys():
                self._look_at_all()

    def refusal(self, data: TqData, contract: str) -> str:
        """Why a roll forbids a new order; empty when none does."""
        for roll in self._rolls.values():
            if data.symbol == roll.main or contract == roll.old:
                return f"the roll {roll.name} is under way ({roll.phase}): order when it is over"
        return ""

    def contracts(self, data: TqData) -> list[str]:
        """The contracts whose lots are the feed's: more than one while a roll goes on."""
        roll = self._rolls.get(data.symbol)
        rolling = [] if roll is None else [roll.old, roll.new]
        return list(dict.fromkeys([*rolling, data.contract]))

    # ---- inside: which contract is followed

    def _mains(self) -> dict[str, TqData]:
        return {data.symbol: data for data in reversed(self._store.datas) if data.is_main}

    def _look_at_all(self) -> None:
        for data in self._mains().values():
            self._look(data)

    def _look(self, data: TqData) -> None:
        """Roll, or say that it is due, when the feed does not follow what it did."""
        main, mode = data.symbol, self._modes.get(data.symbol)
        before, now = self._follows.get(main), self._told.get(main, data.contract)
        if mode is None or main in self._rolls or now == before:
            return
        if before is not None and not self._knows(before):
            before = None  # a contract of long ago: nobody holds it
        lots = 0 if before is None else self._view.lots(before)
        roll = roll_of(main, before or now, now, lots, self._store.floor.now_ns)
        self._follows[main] = now
        with self._store.journal.together():
            self._keep(replace(roll, name=main, old=now, lots=0, phase=Stage.FOLLOWING.value))
            if before is not None and mode == "auto":
                self._rolls[main] = self._keep(roll)
        if before is not None:
            self._desk.leave(before)
            if main in self._rolls:
                self._drive(roll)
            else:
                self._tell_due(roll)

    def _knows(self, *symbols: str) -> bool:
        return all(map(self._store.floor.knows, symbols))

    def _ask_for(self, symbol: str) -> None:
        try:
            self._store.connection.instrument(symbol)
        except TianqinError as error:
            logger.warning("%s, of an earlier run, cannot be had: %s", symbol, error)

    # ---- inside: one roll

    def _keep(self, roll: RollRecord) -> RollRecord:
        self._store.journal.put_roll(roll)
        return roll

    def _name(self, order: bt.Order, roll: RollRecord, contract: str) -> None:
        order.addinfo(roll=roll.name, contract=contract)

    def _drive(self, roll: RollRecord) -> None:
        """Take all steps that can be taken now."""
        while True:
            for work in self._view.others(roll):
                hold(self._desk.blotter.progress, work, roll.name)
            todo = step(roll, self._view.sight(roll, may_open=not self._entry.halted))
            if todo.act is Act.FINISH:
                self._finish(todo.roll)
                return
            if todo.act is Act.WAIT:
                if todo.roll != roll:
                    self._rolls[roll.main] = self._keep(todo.roll)
                return
            roll = self._order(todo)

    def _order(self, todo: Step) -> RollRecord:
        """Write the order of a step, the roll's record before it."""
        data = self._mains()[todo.roll.main]
        ticket = ticket_of(todo.roll, todo.act, todo.volume, self._policy)
        order = self._entry.restored(data, ticket)
        ticket = replace(ticket, key=self._store.key_of(order.ref))
        roll = self._rolls[data.symbol] = self._keep(with_key(todo.roll, todo.act, ticket.key))
        self._name(order, roll, ticket.symbol)
        order.created.price = self._view.last(ticket.symbol)  # as market orders of Backtrader have
        self._desk.submit([(order, ticket)])
        return roll

    def _finish(self, roll: RollRecord) -> None:
        others, shift = self._view.others(roll), self._view.shift(roll)
        if others and not roll.lots and math.isnan(shift):
            return  # until both contracts have a price
        desk, progress = self._desk, self._desk.blotter.progress
        tick = self._store.floor.terms(roll.new).price_tick
        filled = desk.blotter.ledger.filled
        ends = [(work, fate(work.ticket, filled(work.key), roll, shift, tick)) for work in others]
        for work, end in ends:
            self._bind(work, end)
        with self._store.journal.together():
            for work, end in ends:
                carry(progress, work, end, tick)
            self._keep(roll)
        del self._rolls[roll.main]
        for work, end in ends:
            let_go(progress, work, end, f"nothing is left for it to close: {roll.name}")
        self._tell_end(roll, shift)
        self._look(self._mains()[roll.main])

    def _bind(self, work: Work, end: Fate) -> None:
        """The order's Backtrader order goes to the new contract, too."""
        if end.ticket is not None and end.ticket.symbol != work.symbol:
            order = self._desk.order_of(work)
            order.addcomminfo(order.broker.terms_of(end.ticket.symbol, order.data))
            order.addinfo(contract=end.ticket.symbol)
            self._desk.bind(order, end.ticket)

    # ---- inside: what is told

    def _tell_due(self, roll: RollRecord) -> None:
        held = self._store.floor.position(roll.old)
        orders = len(self._view.others(roll))
        if orders or held.long.total or held.short.total:
            text = (
                f"{roll.main} follows {roll.new} now; {roll.lots} net lots and {orders} orders are "
                f"left in {roll.old}: close them by its name, then open {roll.new}"
            )
            self._tell(Notice.ROLL_DUE, text, roll, lots=roll.lots)

    def _tell_end(self, roll: RollRecord, shift: float) -> None:
        about = {"closed": roll.closed, "opened": roll.opened, "shift": shift}
        text = (
            f"{roll.main}: {roll.closed} of {abs(roll.lots)} lots of {roll.old} were closed, "
            f"{roll.opened} of {roll.new} opened"
        )
        if roll.phase == Stage.DONE.value:
            self._tell(Notice.ROLLED, text, roll, **about)
            return
        rest = f"{self._view.reason(roll)}; trade the rest by the name of its contract"
        self._tell(Notice.ROLL_FAILED, f"{text}: {rest}", roll, **about)

    def _tell(self, notice: Notice, text: str, roll: RollRecord, **about: object) -> None:
        log = logger.warning if notice is Notice.ROLL_FAILED else logger.info
        log("%s: %s", notice, text)
        data = self._mains()[roll.main]
        self._store.tell(notice, text, data=data, before=roll.old, after=roll.new, **about)
