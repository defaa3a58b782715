"""Whether a session works, and what to do when it does not. Pure: facts and time come in.

Rules:
- On duty is who follows a contract that trades now, or opens within five minutes: 08:55, 13:25 and
  20:55 are the latest moments at which a session must stand. Off duty, at night, on holidays and in
  the servers' maintenance (19:00 to 19:30 Beijing time), nothing is asked, rebuilt or told.
- TqSdk reconnects by itself, first after 10 to 20 seconds, later after up to 40 minutes. On duty a
  socket that stays lost for `rebuild_after_s` is not left to it.
- Silence proves nothing: many contracts trade seldom. After some of it the server is asked, and one
  that does not answer is as lost as a socket: a half-open one looks healthy for ever.
- A server that answers while everything that usually ticks is silent may show a dead market: that
  is told, and nothing is rebuilt.
- Rebuilds back off exponentially, with jitter, lest all clients of a server that returns come at
  once. A new duty, or a while of health, begins anew.
Times `now_ns`, `heard_ns`, `asked_ns` and those of `lost` are of a clock that runs only while
somebody listens: what waited unread in a buffer while a strategy slept is no silence.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from .sessions import DAY_NS, HOUR_NS, SECOND_NS, Sessions, beijing_date, midnight_ns

__all__ = [
    "LEAD_NS",
    "MARKET",
    "MUTE",
    "Act",
    "Contract",
    "Facts",
    "Health",
    "Rhythm",
    "Verdict",
    "in_maintenance",
    "is_on_duty",
]

LEAD_NS = 300 * SECOND_NS
ASK_NS = 5 * SECOND_NS  # silence after which the server is asked, at most
MAINTENANCE_NS = (19 * HOUR_NS, 19 * HOUR_NS + HOUR_NS // 2)  # after midnight in Beijing
PAUSES = 6  # the first pause after a rebuild is this part of what a loss may last
LONGEST = 10  # times what a loss may last: the longest pause
USUAL_NS, KNOWN = 10 * SECOND_NS, 20  # gap of a contract that usually ticks; gaps that tell it
SILENT_NS, SILENT_GAPS = 60 * SECOND_NS, 20  # silence that is unusual, at least
MARKET, MUTE = "market", "the market-data server does not answer"


class Act(str, Enum):
    """What is to be done."""

    NOTHING = "nothing"
    ASK = "ask"
    REBUILD = "rebuild"


@dataclass(frozen=True, slots=True)
class Contract:
    """One that is followed. newest_ns: of its newest tick, 0 for none; expire_ns: 0 for never."""

    symbol: str
    newest_ns: int
    sessions: Sessions
    expire_ns: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a session.

    market_ns: what time it may be at the exchange, the best guess first. lost: sockets, "market" or
    "trading", and since when. heard_ns: when the market's socket has said something last. asked_ns:
    when the question was put that is not answered yet; None: there is none.
    """

    now_ns: int
    market_ns: tuple[int, ...]
    lost: Mapping[str, int]
    heard_ns: int
    asked_ns: int | None
    contracts: tuple[Contract, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What facts mean. broken: lines that are lost, or do not answer; reason: of the act."""

    act: Act
    reason: str = ""
    is_on_duty: bool = False
    broken: frozenset[str] = frozenset()
    is_wedged: bool = False
    is_stale: bool = False


@dataclass(slots=True)
class Rhythm:
    """How often one contract usually ticks, market time."""

    gap_ns: float = 0.0
    count: int = 0
    newest_ns: int = 0

    def note(self, contract: Contract) -> None:
        """Take the newest tick; a gap over a pause of trading says nothing."""
        before_ns, self.newest_ns = self.newest_ns, contract.newest_ns
        if not 0 < before_ns < contract.newest_ns:
            return
        stretch = contract.sessions.stretch_at(before_ns)
        if stretch is not None and contract.newest_ns <= stretch.end_ns:
            self.count += 1
            share = max(1 / self.count, 0.1)
            self.gap_ns += share * (contract.newest_ns - before_ns - self.gap_ns)

    def is_silent(self, contract: Contract, market_ns: int) -> bool | None:
        """Whether it is silent for unusually long; None where nothing can be said."""
        if self.count < KNOWN or self.gap_ns > USUAL_NS:
            return None
        stretch = contract.sessions.stretch_at(market_ns)
        if stretch is None:
            return None
        since_ns = market_ns - max(contract.newest_ns, stretch.start_ns)
        return since_ns >= max(SILENT_NS, SILENT_GAPS * self.gap_ns)


@dataclass(slots=True)
class Health:
    """Judges one session after another. `dice` gives the jitter."""

    rebuild_after_s: float
    dice: random.Random
    _after_ns: int = field(init=False)
    _rhythms: dict[str, Rhythm] = field(default_factory=dict, init=False)
    _tries: int = field(default=0, init=False)
    _tried_ns: int = field(default=0, init=False)
    _not_before_ns: int = field(default=0, init=False)
    _was_on_duty: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._after_ns = int(self.rebuild_after_s * SECOND_NS)

    def look(self, facts: Facts) -> Verdict:
        """What the facts of this moment mean."""
        duty = is_on_duty(facts.contracts, facts.market_ns)
        if duty and not self._was_on_duty:
            self._tries = self._not_before_ns = 0
        self._was_on_duty = duty
        is_stale = self._is_stale(facts) and duty
        is_wedged = duty and self._is_wedged(facts)
        broken = frozenset(facts.lost) | ({MARKET} if is_wedged else frozenset())
        if not broken and facts.now_ns - self._tried_ns >= 2 * self._after_ns:
            self._tries = 0
        act, reason = self._act(facts, duty, is_wedged)
        return Verdict(act, reason, duty, broken, is_wedged, is_stale and not broken)

    def tried(self, now_ns: int) -> None:
        """A rebuild has failed, or has succeeded: the next one must wait longer."""
        pause_ns = min(self._after_ns / PAUSES * 2.0**self._tries, LONGEST * self._after_ns)
        self._tries = min(self._tries + 1, 30)
        self._tried_ns = now_ns
        self._not_before_ns = now_ns + int(pause_ns * self.dice.uniform(0.5, 1.5))

    def _act(self, facts: Facts, duty: bool, is_wedged: bool) -> tuple[Act, str]:
        if not duty:
            return Act.NOTHING, ""
        reason = MUTE if is_wedged else self._long_lost(facts)
        if reason:
            return (Act.REBUILD if facts.now_ns >= self._not_before_ns else Act.NOTHING), reason
        silent_ns = facts.now_ns - facts.heard_ns
        if MARKET in facts.lost or facts.asked_ns is not None:
            return Act.NOTHING, ""
        is_silent = silent_ns >= min(ASK_NS, self._after_ns // 2)
        return (Act.ASK, "silence") if is_silent else (Act.NOTHING, "")

    def _long_lost(self, facts: Facts) -> str:
        long = [w for w, since in facts.lost.items() if facts.now_ns - since >= self._after_ns]
        return f"the {' and the '.join(sorted(long))} connection is lost" if long else ""

    def _is_wedged(self, facts: Facts) -> bool:
        if facts.asked_ns is None or MARKET in facts.lost:
            return False
        waited_ns, silent_ns = facts.now_ns - facts.asked_ns, facts.now_ns - facts.heard_ns
        return silent_ns >= self._after_ns and waited_ns >= self._after_ns // 2

    def _is_stale(self, facts: Facts) -> bool:
        """Whether everything that usually ticks is silent."""
        said = []
        for contract in facts.contracts:
            rhythm = self._rhythms.setdefault(contract.symbol, Rhythm())
            rhythm.note(contract)
            said.append(rhythm.is_silent(contract, facts.market_ns[0]))
        known = [silent for silent in said if silent is not None]
        return bool(known) and all(known)


def is_on_duty(contracts: Iterable[Contract], market_ns: Iterable[int]) -> bool:
    """Whether any of `contracts` trades, or opens soon, at any of the times it may be."""
    times_ns = [time_ns for time_ns in market_ns if time_ns and not in_maintenance(time_ns)]
    return any(_needs(contract, time_ns) for contract in contracts for time_ns in times_ns)


def _needs(contract: Contract, time_ns: int) -> bool:
    if 0 < contract.expire_ns <= time_ns:
        return False
    sessions = contract.sessions
    return sessions.is_open(time_ns) or sessions.next_open(time_ns) - time_ns <= LEAD_NS


def in_maintenance(time_ns: int) -> bool:
    """Whether the public servers are maintained at this moment; ns since 1970 UTC."""
    begin_ns, end_ns = MAINTENANCE_NS
    return begin_ns <= (time_ns - midnight_ns(beijing_date(time_ns))) % DAY_NS < end_ns
