"""Keeps a session alive: looks at its health, asks, rebuilds, and says what has changed.

Called on every look of the pump, in the one thread; a rebuild blocks it for as long as the login
takes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from .clock import MarketClock, monotonic_ns, now_s
from .config import Settings
from .connection import Connection
from .errors import GatewayTimeout, LoginRefused
from .health import MARKET, MUTE, Act, Contract, Facts, Health, Verdict, is_on_duty
from .notices import Notice
from .pump import Pump
from .sessions import Sessions

__all__ = ["House", "SessionKeeper", "keeper_of"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
DEAF_NS = SECOND_NS  # a longer time between two looks is one in which nobody listened
LINE = "_line"  # names the keeper's question to the server


class House(Protocol):
    """Whoever a session belongs to: the store."""

    def sessions(self, symbol: str) -> Sessions: ...

    def tell(self, notice: Notice, text: str, **about: object) -> None: ...

    def show_line(self, state: str) -> None:
        """Tell all feeds: "broken", "stands", "silent" or "ended"."""


class SessionKeeper:
    """Watches one connection. `is_real`: the market keeps the wall clock's time."""

    def __init__(
        self,
        connection: Connection,
        pump: Pump,
        clock: MarketClock,
        house: House,
        health: Health,
        *,
        is_real: bool,
    ) -> None:
        self._connection, self._pump, self._clock = connection, pump, clock
        self._house, self._health, self._is_real = house, health, is_real
        self._looked_ns = monotonic_ns()
        self._now_ns = self._heard_ns = 0  # time spent listening
        self._asked_ns: int | None = None
        self._has_answered: Callable[[], bool] = bool
        self._lost: dict[str, int] = {}
        self._told: set[str] = set()  # lines that strategies know to be lost
        self._shown = True  # feeds were told that the market's line stands
        self._is_stale = self._on_duty = False
        self._terms: dict[str, tuple[Sessions, int]] = {}

    def poll(self) -> None:
        """Look, tell, act. Raises `LoginRefused` when the credentials are not taken any more."""
        self._listen()
        before = self._facts()
        self._on_duty = is_on_duty(before.contracts, before.market_ns)
        for what, is_lost in self._connection.socket_changes():
            self._turn(what, is_lost)
        verdict = self._health.look(replace(before, lost=dict(self._lost)))
        self._connection.trading.is_doubtful = verdict.is_wedged
        self._tell(verdict)
        if verdict.act is Act.ASK and self._connection.can_probe:
            self._has_answered, self._asked_ns = self._connection.probe(LINE), self._now_ns
        elif verdict.act is Act.REBUILD and self._connection.can_rebuild:
            self._rebuild(verdict.reason)

    # ---- facts

    def _listen(self) -> None:
        """Time counts while somebody listens."""
        before_ns, self._looked_ns = self._looked_ns, monotonic_ns()
        self._now_ns += min(self._looked_ns - before_ns, DEAF_NS)
        has_answered = self._asked_ns is not None and self._has_answered()
        if self._connection.has_heard() or has_answered:
            self._heard_ns = self._now_ns
        if has_answered:
            self._asked_ns = None

    def _facts(self) -> Facts:
        market_ns = [self._clock.now_ns()]
        if self._is_real:  # the last message may be of the day before
            market_ns.append(int(now_s() * SECOND_NS))
        newest = self._pump.newest_ticks()
        contracts = tuple(Contract(s, at, *self._terms_of(s)) for s, at in newest.items())
        times = tuple(market_ns), dict(self._lost), self._heard_ns, self._asked_ns
        return Facts(self._now_ns, *times, contracts)

    def _terms_of(self, symbol: str) -> tuple[Sessions, int]:
        if symbol not in self._terms:
            terms = self._connection.listing.terms(symbol)
            expire_ns = 0 if terms.is_main else terms.expire_ns
            self._terms[symbol] = self._house.sessions(symbol), expire_ns
        return self._terms[symbol]

    # ---- told

    def _turn(self, what: str, is_lost: bool) -> None:
        """A socket was lost, or came back."""
        if is_lost:
            self._lost[what] = self._now_ns
            self._break(what, f"the {what} connection is lost")
        else:
            self._lost.pop(what, None)
            self._restore(what)
            self._connection.ask_unanswered()

    def _tell(self, verdict: Verdict) -> None:
        """What was lost off duty is told when the duty begins."""
        for what in sorted(verdict.broken):
            is_mute = verdict.is_wedged and what == MARKET
            self._break(what, MUTE if is_mute else f"the {what} connection is lost")
        for what in sorted(self._told - verdict.broken):
            self._restore(what)
        if MARKET not in verdict.broken and not self._shown:
            self._restore(MARKET)
        if verdict.is_stale and not self._is_stale:
            logger.warning("everything that usually ticks is silent, though the server answers")
            self._house.show_line("silent")
        self._is_stale = verdict.is_stale

    def _break(self, what: str, text: str) -> None:
        if what == MARKET and self._shown:
            self._shown = False
            self._house.show_line("broken")
        if self._on_duty and what not in self._told:
            self._told.add(what)
            logger.warning("%s", text)
            self._house.tell(Notice.CONNECTION_LOST, text, what=what)

    def _restore(self, what: str) -> None:
        if what == MARKET and not self._shown:
            self._shown = True
            self._house.show_line("stands")
        if what in self._told:
            self._told.discard(what)
            text = f"the {what} connection stands again"
            logger.info("%s", text)
            self._house.tell(Notice.CONNECTION_RESTORED, text, what=what)

    # ---- rebuilt

    def _rebuild(self, reason: str) -> None:
        try:
            self._connection.rebuild()
        except LoginRefused:
            self._connection.trading.is_doubtful = True  # nobody need wait for it at the end
            self._house.show_line("ended")
            raise
        except GatewayTimeout as error:
            logger.warning("the session was not rebuilt (%s): %s; trying again", reason, error)
        except Exception:
            logger.warning("the session was not rebuilt (%s); trying again", reason, exc_info=True)
        else:
            self._take_up(reason)
        self._health.tried(self._now_ns)
        self._looked_ns = monotonic_ns()  # nobody listened to the old session meanwhile

    def _take_up(self, reason: str) -> None:
        self._asked_ns, self._heard_ns = None, self._now_ns
        self._connection.ask_unanswered()
        self._connection.trading.is_doubtful = False
        logger.warning("the session was rebuilt: %s", reason)
        self._house.tell(
            Notice.SESSION_REBUILT, f"the session was rebuilt: {reason}", reason=reason
        )


def keeper_of(
    settings: Settings, connection: Connection, pump: Pump, clock: MarketClock, house: House
) -> SessionKeeper:
    """The keeper of a session as `settings` want it."""
    is_real = settings.mode != "demo" and settings.md_url is None
    health = Health(settings.rebuild_after_s, random.Random())
    return SessionKeeper(connection, pump, clock, house, health, is_real=is_real)
