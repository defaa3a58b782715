"""Moves lots and orders along when a main contract follows another contract.

Every step of a roll is in the journal before it is taken; `rolls` says what follows on what. An
order of a roll is a `bt.Order` like any other, with `info.roll` and `info.contract`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import backtrader as bt

from .desk import OrderDesk
from .entry import OrderEntry
from .errors import TianqinError, WrongSetting
from .execution import net_position
from .feed import TqData
from .journal_records import RollRecord
from .legs import LOST
from .model import AccountPosition
from .notices import Notice
from .pausing import carry, hold, let_go
from .recovery import NEVER_SENT
from .rolls import (
    Act,
    Fate,
    Sight,
    Stage,
    Stand,
    Step,
    average,
    fate,
    roll_of,
    shift_of,
    step,
    ticket_of,
    with_key,
)
from .states import OrderState
from .working import SECOND_NS, Phase, Then, Work

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["Rolling", "check_roll", "net_of"]

logger = logging.getLogger(__name__)

MAIN = "KQ.m@"
MODES = ("notify", "auto")
PATIENCE_NS = 3 * SECOND_NS  # how long the account's picture may disagree with what was told


def check_roll(symbol: str, mode: str) -> None:
    """Raises `WrongSetting` for what `TqStore.roll` cannot do."""
    if mode not in MODES:
        raise WrongSetting("mode", mode, " or ".join(map(repr, MODES)))
    if not symbol.startswith(MAIN):
        raise WrongSetting("data", symbol, f"a main contract, such as {MAIN}SHFE.cu: others stay")


class Rolling:
    """The rolls of one account session. `modes`: "notify" or "auto" by main contract."""

    def __init__(
        self, store: TqStore, desk: OrderDesk, entry: OrderEntry, modes: dict[str, str], policy: str
    ) -> None:
        self._store, self._desk, self._entry = store, desk, entry
        self._modes, self._policy = modes, policy
        self._rolls: dict[str, RollRecord] = {}  # under way, by main contract
        self._follows: dict[str, str] = {}  # contracts as the journal has them, by main contract
        self._past: dict[str, Stand] = {}  # what orders of earlier runs have come to
        self._doubts: dict[str, int] = {}  # since when an account's picture does not fit; monotonic
        desk.after, entry.busy = self.settle, self.refusal

    # ---- what was there before

    def prepare(self) -> None:
        """Before orders are restored: ask for the contracts that they are of."""
        journal, mains = self._store.journal, self._mains()
        records = [record for record in journal.rolls() if record.main in mains]
        left = [order.symbol for order in journal.open_orders() if _feed_of(order.ticket) in mains]
        for symbol in dict.fromkeys([*left, *(s for r in records for s in (r.old, r.new))]):
            self._ask_for(symbol)
        for record in records:
            if record.phase == Stage.FOLLOWING.value:
                self._follows[record.main] = record.new
            else:
                self._rolls[record.main] = record

    def take_up(self) -> None:
        """Orders are restored: those that waited for a roll wait again."""
        for work in self._desk.blotter.alive:
            withdrawn_for, work.reason = work.reason, ""
            for roll in self._rolls.values():
                if work in self._waiting(roll):
                    work.paused = roll.name
                    if work.phase is Phase.LEAVING and withdrawn_for == roll.name:
                        work.then, work.why = Then.REPLACE, roll.name

    def shown(self) -> dict[str, TqData]:
        """Contracts whose lots belong to a main contract's feed, beside the one it follows."""
        mains = self._mains()
        olds = {main: roll.old for main, roll in self._rolls.items()}
        return {old: mains[main] for main, old in (self._follows | olds).items() if main in mains}

    def begin(self) -> None:
        """All stands as it was: unfinished rolls go on, changes of the meantime are seen."""
        feeds = {data.contract for data in self._store.datas}
        for work in self._desk.blotter.alive:
            if work.symbol not in feeds:
                self._desk.leave(work.symbol)
        for roll in list(self._rolls.values()):
            logger.info("%s goes on, %s", roll.name, roll.phase)
            self._desk.leave(roll.old)
            for key in f"{roll.closing} {roll.opening}".split():
                if self._desk.knows(key):
                    self._name(self._desk.order_of(self._works[key]), roll, self._works[key].symbol)
            self._drive(roll)
        self._look_at_all()

    # ---- what happens

    def changed(self, data: TqData, before: str) -> None:
        """The feed of a main contract follows another contract than `before`."""
        self._desk.leave(before)
        for order in self._desk.alive_of(before):
            if order.data.symbol == data.symbol:
                order.addinfo(contract=before)
        self._look(data)

    def settle(self) -> None:
        """Let the rolls go on by what has come."""
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
        """The contracts whose lots are the feed's: two while a roll goes on."""
        roll = self._rolls.get(data.symbol)
        olds = [] if roll is None else [roll.old, roll.new]
        return list(dict.fromkeys([*olds, data.contract]))

    # ---- inside: which contract is followed

    def _mains(self) -> dict[str, TqData]:
        return {data.symbol: data for data in reversed(self._store.datas) if data.is_main}

    def _look_at_all(self) -> None:
        for data in self._mains().values():
            self._look(data)

    def _look(self, data: TqData) -> None:
        """Roll, or say that it is due, when the feed does not follow what it did."""
        main, now, mode = data.symbol, data.contract, self._modes.get(data.symbol)
        before = self._follows.get(main)
        if mode is None or main in self._rolls or now == before:
            return
        lots = 0 if before is None else self._lots(before)
        roll = roll_of(main, before or now, now, lots, self._now_ns)
        self._follows[main] = now
        with self._store.journal.together():
            self._keep(replace(roll, name=main, old=now, lots=0, phase=Stage.FOLLOWING.value))
            if before is not None and mode == "auto":
                self._rolls[main] = self._keep(roll)
        if main in self._rolls:
            logger.info("%s begins: %d lots", roll.name, lots)
            self._desk.leave(roll.old)
            self._drive(roll)
        elif before is not None:
            self._tell_due(roll)

    def _tell_due(self, roll: RollRecord) -> None:
        orders = len(self._waiting(roll))
        held = self._store.floor.position(roll.old)
        if orders or held.long.total or held.short.total:
            text = (
                f"{roll.main} follows {roll.new} now; {roll.lots} net lots and {orders} orders are "
                f"left in {roll.old}: close them by its name and open the new ones"
            )
            self._tell(Notice.ROLL_DUE, text, roll, lots=roll.lots)

    def _ask_for(self, symbol: str) -> None:
        try:
            self._store.connection.instrument(symbol)
        except TianqinError as error:
            logger.warning("%s, of an earlier run, cannot be had: %s", symbol, error)

    # ---- inside: one roll

    def _drive(self, roll: RollRecord) -> None:
        """Take all steps that can be taken now."""
        while True:
            for work in self._waiting(roll):
                hold(self._desk.blotter.progress, work, roll.name)
            todo = step(roll, self._sight(roll))
            if todo.act is Act.FINISH:
                self._finish(todo.roll)
                return
            if todo.act is Act.WAIT:
                if todo.roll != roll:
                    self._rolls[roll.main] = self._keep(todo.roll)
                return
            roll = self._order(todo)

    def _order(self, todo: Step) -> RollRecord:
        """Write the order of a step, the record before it."""
        data = self._mains()[todo.roll.main]
        ticket = ticket_of(todo.roll, todo.act, todo.volume, self._policy)
        order = self._entry.restored(data, ticket)
        ticket = replace(ticket, key=self._store.key_of(order.ref))
        roll = self._rolls[data.symbol] = self._keep(with_key(todo.roll, todo.act, ticket.key))
        self._name(order, roll, ticket.symbol)
        self._desk.submit([(order, ticket)])
        return roll

    def _sight(self, roll: RollRecord) -> Sight:
        keys = f"{roll.closing} {roll.opening}".split()
        stands = {key: self._stand(key) for key in keys}
        return Sight(
            now_ns=self._now_ns,
            lots=self._lots(roll.old),
            is_quiet=self._is_quiet(roll),
            may_open=not self._entry.halted,
            opens_ns=self._store.floor.sessions(roll.old).next_open(roll.at_ns),
            stands={key: stand for key, stand in stands.items() if stand is not None},
        )

    def _stand(self, key: str) -> Stand | None:
        """What an order has come to; None if the journal does not know it."""
        work = self._works.get(key)
        if work is not None:
            return _stand_of(self._desk.blotter.ledger.filled(key), work.phase is Phase.DONE, work.reason)
        if key not in self._past:
            for record in self._store.journal.orders([key]):
                filled = sum(trade.volume for trade in self._store.journal.trades(key))
                ended = OrderState(record.state).is_terminal
                self._past[key] = _stand_of(filled, ended, record.reason)
        return self._past.get(key)

    def _is_quiet(self, roll: RollRecord) -> bool:
        """Whether nothing but the roll trades the old contract, and the account shows all of it."""
        if any(work.is_at_exchange for work in self._waiting(roll)):
            return False
        if self._desk.blotter.progress.lots.agrees(roll.old):
            self._doubts.pop(roll.name, None)
            return True
        now_ns = self._store.floor.mono_ns
        return now_ns - self._doubts.setdefault(roll.name, now_ns) >= PATIENCE_NS

    def _waiting(self, roll: RollRecord) -> list[Work]:
        """The living orders of the old contract but the roll's own."""
        keys = f"{roll.closing} {roll.opening}".split()
        alive = self._desk.blotter.alive
        return [work for work in alive if work.symbol == roll.old and work.key not in keys]

    # ---- inside: its end

    def _finish(self, roll: RollRecord) -> None:
        waiting = self._waiting(roll)
        shift, tick = self._shift(roll), self._store.floor.terms(roll.new).price_tick
        if math.isnan(shift) and waiting:
            return  # until both contracts have a price
        ledger, progress = self._desk.blotter.ledger, self._desk.blotter.progress
        fates = [(w, fate(w.ticket, ledger.filled(w.key), roll, shift, tick)) for w in waiting]
        for work, end in fates:
            self._bind(work, end)
        with self._store.journal.together():
            for work, end in fates:
                carry(progress, work, end, tick)
            self._keep(roll)
        del self._rolls[roll.main]
        for work, end in fates:
            let_go(progress, work, end, f"nothing is left for it to trade after {roll.name}")
        self._tell_end(roll, shift)
        self._look(self._mains()[roll.main])

    def _bind(self, work: Work, end: Fate) -> None:
        if end.ticket is not None and end.ticket.symbol != work.symbol:
            order = self._desk.order_of(work)
            order.addcomminfo(order.broker.terms_of(end.ticket.symbol, order.data))
            order.addinfo(contract=end.ticket.symbol)
            self._desk.bind(order, end.ticket)

    def _shift(self, roll: RollRecord) -> float:
        """What prices move by, CNY; NaN while a price is not known."""
        journal, floor = self._store.journal, self._store.floor
        closed = average(t for key in roll.closing.split() for t in journal.trades(key))
        opened = average(t for key in roll.opening.split() for t in journal.trades(key))
        if not roll.opened:
            closed, opened = (float(floor.quote(s)["last_price"]) for s in (roll.old, roll.new))
        if roll.lots and not roll.opened:
            return 0.0
        unknown = math.isnan(closed + opened)
        return math.nan if unknown else shift_of(closed, opened, floor.terms(roll.new).price_tick)

    def _tell_end(self, roll: RollRecord, shift: float) -> None:
        about = {"closed": roll.closed, "opened": roll.opened, "shift": shift}
        text = f"{roll.main}: {roll.closed} lots of {roll.old} closed, {roll.opened} of {roll.new} opened"
        if roll.phase == Stage.DONE.value:
            self._tell(Notice.ROLLED, text, roll, **about)
            return
        reasons = "; ".join(self._reasons(roll))
        rest = abs(roll.lots) - roll.closed
        self._tell(
            Notice.ROLL_FAILED,
            f"{text}, of {abs(roll.lots)}; {rest} lots stay in {roll.old}: {reasons}; trade it by name",
            roll,
            **about,
        )
