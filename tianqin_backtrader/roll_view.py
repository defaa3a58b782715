"""What a roll looks at: the account's lots, the other orders, and what its own have come to."""

from __future__ import annotations

import math

from .blotter import Blotter
from .floor import Floor
from .journal_records import RollRecord
from .legs import LOST
from .recovery import NEVER_SENT
from .roll_orders import average, shift_of
from .rolls import Sight, Stand, keys_of
from .safe_journal import SafeJournal
from .states import OrderState
from .working import SECOND_NS, Phase, Work

__all__ = ["RollView"]

PATIENCE_NS = 3 * SECOND_NS  # how long the account's picture may disagree with what was told
MOVING = (Phase.WORKING, Phase.LEAVING)


class RollView:
    """Reads session, orders and journal; changes nothing."""

    def __init__(self, floor: Floor, journal: SafeJournal, blotter: Blotter) -> None:
        self._floor, self._journal, self._blotter = floor, journal, blotter
        self._past: dict[str, Stand] = {}  # what orders of earlier runs have come to
        self._doubts: dict[str, int] = {}  # since when an account's picture does not fit; monotonic

    def lots(self, symbol: str) -> int:
        """Net lots that the account holds."""
        return self._floor.position(symbol).net

    def others(self, roll: RollRecord) -> list[Work]:
        """The living orders of the old contract but the roll's own."""
        own = keys_of(roll)
        alive = self._blotter.alive
        return [work for work in alive if work.symbol == roll.old and work.key not in own]

    def sight(self, roll: RollRecord, *, may_open: bool) -> Sight:
        """All that its next step depends on."""
        stands = {key: self._stand(key) for key in keys_of(roll)}
        return Sight(
            now_ns=self._floor.now_ns,
            lots=self.lots(roll.old),
            is_quiet=self._is_quiet(roll),
            may_open=may_open,
            opens_ns=self._floor.sessions(roll.old).next_open(roll.at_ns),
            stands={key: stand for key, stand in stands.items() if stand is not None},
        )

    def shift(self, roll: RollRecord) -> float:
        """What prices move by, CNY: by the roll's trades, by last prices where none were held.

        NaN while one of them is not known.
        """
        tick = self._floor.terms(roll.new).price_tick
        if roll.lots and not roll.opened:
            return 0.0
        if roll.lots:
            return shift_of(self._average(roll.closing), self._average(roll.opening), tick)
        return shift_of(self.last(roll.old), self.last(roll.new), tick)

    def reason(self, roll: RollRecord) -> str:
        """Why the roll's orders ended short, in the gateway's words."""
        works = [self._blotter.progress.works.get(key) for key in keys_of(roll)]
        found = [work.reason for work in works if work is not None and work.reason]
        found += [each.reason for each in self._journal.orders(keys_of(roll)) if each.reason]
        return "; ".join(dict.fromkeys(found))

    def _average(self, keys: str) -> float:
        return average(trade for key in keys.split() for trade in self._journal.trades(key))

    def last(self, symbol: str) -> float:
        """The newest price, CNY; the settlement price of before while there is none."""
        quote = self._floor.quote(symbol)
        last = float(quote["last_price"])
        return float(quote["pre_settlement"]) if math.isnan(last) else last

    def _stand(self, key: str) -> Stand | None:
        """None if the journal does not know the order."""
        work = self._blotter.progress.works.get(key)
        if work is not None:
            filled = self._blotter.ledger.filled(key)
            return _stand(filled, work.phase is Phase.DONE, work.reason)
        if key not in self._past:
            for record in self._journal.orders([key]):
                filled = sum(trade.volume for trade in self._journal.trades(key))
                ended = OrderState(record.state).is_terminal
                self._past[key] = _stand(filled, ended, record.reason)
        return self._past.get(key)

    def _is_quiet(self, roll: RollRecord) -> bool:
        if any(work.phase in MOVING for work in self.others(roll)):
            return False
        if self._blotter.progress.lots.agrees(roll.old):
            self._doubts.pop(roll.name, None)
            return True
        now_ns = self._floor.mono_ns
        return now_ns - self._doubts.setdefault(roll.name, now_ns) >= PATIENCE_NS


def _stand(filled: int, ended: bool, reason: str) -> Stand:
    lost = ended and any(text in reason for text in (LOST, NEVER_SENT))
    return Stand(filled, ended, lost)
