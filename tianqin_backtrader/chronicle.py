"""What a session goes through, written down and told: notices, notes, pictures of the account.

The account is pictured at the start, about every minute of market time, when a trading day is over,
and at the end. A day is over when the account belongs to the next one, or when its market has
closed; its last picture is settled upon.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol

from .alarms import Alarms
from .books import Books
from .clock import now_s
from .errors import JournalFailed, NotStarted
from .journal_records import AccountRecord, AuditRecord, EventRecord, NoteRecord, PositionRecord
from .model import Account, AccountPosition
from .notices import Notice, Tell
from .strategy_sources import numbers_of, sources_of
from .trading import TradingChannel

__all__ = ["Chronicle"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
REGULAR_NS = 60 * SECOND_NS  # of market time


class Watched(Protocol):
    """The session whose account is pictured."""

    @property
    def trading(self) -> TradingChannel: ...

    @property
    def market_ns(self) -> int:
        """Market time, ns since 1970 UTC; 0: unknown."""

    @property
    def symbols(self) -> list[str]:
        """What the feeds follow."""

    @property
    def strategies(self) -> list[Any]:
        """Those that run."""

    def close_after(self, now_ns: int) -> int:
        """When the trading day of this moment is over; 0: unknown."""

    def day_at(self, now_ns: int) -> str:
        """The trading day of this moment, an ISO date; empty: unknown."""

    def span_of(self, day: str) -> tuple[int, int]:
        """From when until when a trading day lasts."""


class Chronicle:
    """Of one store; `tell` is its hub, which comes back to `heard`."""

    def __init__(self, books: Books, alarms: Alarms, tell: Tell) -> None:
        self._books, self._alarms, self._tell = books, alarms, tell
        self._session: Watched | None = None
        self._forget()

    def _forget(self) -> None:
        self._next_ns = 0  # of the next regular picture
        self._close_ns = 0  # of the trading day that is under way
        self._day = ""  # of the account
        self._settled = ""  # the day that was settled last
        self._picture: tuple[Account, dict[str, AccountPosition]] | None = None
        self._trades_put = 0
        self._is_started = False

    # ---- life

    def begin(self, session: Watched) -> None:
        """Orders can be written from now on."""
        self._session = session
        if self._books.journal is None or self._is_started:
            return
        self._is_started, run = True, self._books.run
        sources = sources_of(session.strategies)
        self._books.describe(
            symbols=", ".join(session.symbols),
            strategies=", ".join(sources),
            strategy_hashes=json.dumps(sources),
            strategy_numbers=json.dumps(numbers_of(session.strategies)),
        )
        self._tell(Notice.STARTED, f"run {run} begins: {self._books.headline()}", run=run)
        self.snapshot("start")
        self._settled = self._day if self._books.journal.is_settled(self._day) else ""
        self._close_ns = session.close_after(session.market_ns)

    def end(self, why: str = "the run is over") -> None:
        """The last picture and the end are written, unless they are; the session stands still."""
        if self._is_started:
            try:
                self.snapshot("end")
            except Exception:  # whatever it is, the session must be closed
                logger.exception("the last picture of the account cannot be had")
            self._tell(Notice.STOPPED, f"run {self._books.run} ends: {why}", run=self._books.run)
        self._session = None
        self._forget()

    # ---- what is heard

    def heard(self, notice: Notice, text: str, about: dict[str, object]) -> None:
        """A notice was told: it is written down, and sent if it is an alarm."""
        if notice is Notice.STOPPED:
            self._is_started = False
        journal, now_ns = self._books.journal, self._market_ns
        if journal is not None:
            wall_ns = int(now_s() * SECOND_NS)
            journal.put(EventRecord(self._books.run, now_ns, wall_ns, notice.value, text))
            difference = about.get("difference")
            if notice is Notice.AUDIT_DIFFERENCE and difference is not None:
                journal.put(self._audit(difference, about))
        self._alarms.tell(notice, self._books.hide(text))

    def note(self, text: str) -> None:
        """What the strategy wants to be remembered; nothing without a journal."""
        if self._books.journal is not None:
            self._books.journal.put(NoteRecord(self._books.run, self._market_ns, str(text)))

    def _audit(self, difference: object, about: dict[str, object]) -> AuditRecord:
        symbol = str(getattr(about.get("data"), "symbol", ""))
        bar_ns = int(getattr(getattr(difference, "built", None), "start_ns", 0))
        duration_s = int(str(about.get("duration_s", 0)))
        run, now_ns = self._books.run, self._market_ns
        return AuditRecord(run, now_ns, symbol, duration_s, bar_ns, str(difference))

    @property
    def _market_ns(self) -> int:
        return 0 if self._session is None else self._session.market_ns

    # ---- pictures of the account

    def poll(self) -> None:
        """Picture the account when it is time; let the journal try again to write."""
        session, journal = self._session, self._books.journal
        if session is None or journal is None:
            return
        journal.poll()
        now_ns = session.market_ns
        if journal.trades_put != self._trades_put:
            self._trades_put = journal.trades_put
            self._next_ns = min(self._next_ns, now_ns + SECOND_NS)
        if now_ns < self._next_ns and now_ns < self._close_ns:
            return
        if self._day and self._day_of(session) > self._day:
            self._settle()
        elif now_ns >= self._close_ns > 0:
            self._look(session)
            self._settle()
        if now_ns >= self._next_ns:
            self.snapshot("regular")
        self._close_ns = session.close_after(now_ns)

    def snapshot(self, why: str) -> None:
        """Write the account down as it is; `why`: start, regular, settlement or end."""
        if self._session is not None and self._look(self._session):
            self._write(why)

    def _look(self, session: Watched) -> bool:
        """Take the account's picture; False where there is no session to ask."""
        self._next_ns = session.market_ns + REGULAR_NS
        try:
            self._picture = session.trading.account(), session.trading.positions()
            self._day = self._day_of(session)
        except NotStarted:
            return False
        return True

    def _day_of(self, session: Watched) -> str:
        """The account's trading day, an ISO date; the market's where the gateway does not say."""
        said = session.trading.trading_day
        return (
            f"{said[:4]}-{said[4:6]}-{said[6:]}"
            if len(said) == 8
            else session.day_at(session.market_ns)
        )

    def _settle(self) -> None:
        """The trading day of the last picture is over."""
        if self._picture is None or self._settled == self._day:
            return
        self._settled = self._day
        self._write("settlement")
        account, _ = self._picture
        text = (
            f"{self._day}: balance {account.balance:,.2f} CNY, "
            f"close profit {account.close_profit:+,.2f}, "
            f"position profit {account.position_profit:+,.2f}, "
            f"commission {account.commission:,.2f}, margin {account.margin:,.2f}, "
            f"{self._trades_of_day()} trades"
        )
        self._tell(Notice.SETTLED, text, day=self._day, account=account)

    def _trades_of_day(self) -> str:
        session, journal = self._session, self._books.journal
        try:
            if session is None or journal is None or not self._day:
                return "unknown"
            return str(journal.count_trades(*session.span_of(self._day)))
        except JournalFailed:
            return "unknown"

    def _write(self, why: str) -> None:
        journal, run, now_ns = self._books.journal, self._books.run, self._market_ns
        if journal is None or self._picture is None:
            return
        account, positions = self._picture
        with journal.together():
            journal.put(_account_record(run, now_ns, self._day, why, account))
            for held in positions.values():
                if held.long.total or held.short.total:
                    journal.put(_position_record(run, now_ns, held))


def _account_record(run: str, at_ns: int, day: str, why: str, account: Account) -> AccountRecord:
    return AccountRecord(
        run=run,
        at_ns=at_ns,
        day=day,
        why=why,
        balance=account.balance,
        available=account.available,
        margin=account.margin,
        close_profit=account.close_profit,
        position_profit=account.position_profit,
        commission=account.commission,
    )


def _position_record(run: str, at_ns: int, held: AccountPosition) -> PositionRecord:
    return PositionRecord(
        run=run,
        at_ns=at_ns,
        symbol=held.symbol,
        long_today=held.long.today,
        long_history=held.long.history,
        short_today=held.short.today,
        short_history=held.short.history,
        long_price=held.open_price_long,
        short_price=held.open_price_short,
        margin=held.margin,
    )
