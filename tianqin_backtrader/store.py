"""`TqStore`: the one object a program makes: it owns the session, hands out feeds and broker."""

from __future__ import annotations

import atexit
import logging
import weakref
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, cast

import backtrader as bt

from .alarms import alarms_of
from .books import Books
from .broker import TqBroker
from .chronicle import Chronicle
from .config import load_settings
from .connection import Connection
from .demo import DemoMarket
from .errors import NotStarted, SessionElsewhere, WrongSetting
from .exploring import Exploring
from .feed import TqData
from .floor import Floor
from .known_contracts import KnownContracts
from .listed import ListedContracts
from .live import check_before_login, check_before_orders
from .notices import Notice
from .opening import OpenSession, open_session
from .pump import Pump
from .risk import RiskLimits
from .rolling import check_roll
from .running import Runs
from .safe_journal import SafeJournal
from .session_view import SessionView
from .sim import LocalExchange
from .telling import Telling, Told

__all__ = ["TqStore"]

logger = logging.getLogger(__name__)

_open_stores: weakref.WeakSet[TqStore] = weakref.WeakSet()


class TqStore(Exploring, KnownContracts, Runs, Telling):
    """A TqSdk session for Backtrader; a context manager, so that an exception closes it too.

    mode: `demo` (embedded exchange, no credentials), `sim` (TqSdk's market, orders filled by its
    local TqSim), `kq` (快期模拟), `paper` (real market, orders written down and never sent) or
    `live` (a futures account). user, password: the 快期 account; given here or as TIANQIN_USER
    and TIANQIN_PASSWORD in the environment or `.env`. auth_url, md_url, td_url: other servers than
    TqSdk's own. exchange: of mode demo, a `LocalExchange` of your own instead of a fresh one in
    lock-step. grace_s: seconds that a bar stays open for late ticks when no newer tick closes it.
    alerts: addresses of `apprise` to which alarms go, or TIANQIN_ALERTS; needs the extra `alerts`.
    confirm_live: of mode live, the account's id once more.

    Raises a `ConfigError` at once for what cannot work; connects in `start`.
    """

    def __init__(
        self,
        mode: str | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        auth_url: str | None = None,
        md_url: str | None = None,
        td_url: str | None = None,
        exchange: LocalExchange | None = None,
        grace_s: float = 0.5,
        alerts: str | Sequence[str] | None = None,
        confirm_live: str | None = None,
        **settings: Any,
    ) -> None:
        self._settings = load_settings(
            mode=mode or "demo",
            user=user,
            password=password,
            auth_url=auth_url,
            md_url=md_url,
            td_url=td_url,
            alerts=alerts,
            confirm_live=confirm_live,
            **settings,
        )
        check_before_login(self._settings)
        if exchange is not None and self.mode != "demo":
            raise WrongSetting("exchange", exchange, f"none in mode {self.mode}; only demo has one")
        self._demo = DemoMarket(exchange) if self.mode == "demo" else None
        self._grace_s = grace_s
        self._session: OpenSession | None = None
        self._books = Books(self._settings, self.tell)
        self._alarms = alarms_of(self._settings)
        self._chronicle = Chronicle(self._books, self._alarms, self.tell)
        self._begun = False  # all feeds stand, Cerebro's loop has begun
        self._listed = ListedContracts(self._settings, lambda: self.connection)
        self._notifications = deque()
        self.datas: list[TqData] = []
        self.rolls: dict[str, str] = {}  # what `roll` was told, by main contract
        self.broker: TqBroker | None = None

    @classmethod
    def from_env(cls, confirm_live: str | None = None) -> TqStore:
        """A store as the `TIANQIN_...` variables of the environment or `.env` describe it.

        confirm_live: of mode live, the account's id once more, which no variable can say.
        """
        return cls(load_settings().mode, confirm_live=confirm_live)

    @property
    def mode(self) -> str:
        return self._settings.mode

    def __repr__(self) -> str:
        return f"TqStore(mode={self.mode!r}, {'open' if self._session else 'closed'})"

    # ---- life

    def start(self, data: TqData | None = None, broker: TqBroker | None = None) -> None:
        """Log in; does nothing more when the session is open already. Backtrader calls it too.

        Raises `LoginRefused`, `GatewayTimeout` or, in mode live, `LiveTradingRefused` and
        `JournalTaken` before anything is opened.
        """
        if self._is_elsewhere:
            raise SessionElsewhere("start")
        if data is not None:
            self.datas.append(data)
        if broker is not None:
            self.broker = broker
        if self._session is not None:
            return
        check_before_login(self._settings)
        if self.mode == "live":
            self._books.reserve()
        try:
            terms = self._settings, self._demo, self._grace_s
            self._session = open_session(*terms, self, self._books.check)
        except BaseException:
            self._books.close()
            self._stop_demo()
            raise
        _open_stores.add(self)

    def stop(self) -> None:
        """Close the session, and a run in the background; does nothing when it is closed."""
        if self._worker is not None and self._is_elsewhere:
            self._worker.end()
            return
        self._disconnect()
        self.datas = []
        self._listed.forget()
        self._alarms.close()
        self._stop_demo()

    def _disconnect(self) -> None:
        """Close the session; the embedded exchange goes on."""
        self._chronicle.end()
        session, self._session = self._session, None
        self._begun = False
        if session is not None:
            session.connection.close()  # targets still write their ends down
        self._books.close()

    @property
    def is_trading(self) -> bool:
        """Whether all feeds stand and orders can be written."""
        return self._session is not None and self._begun

    @property
    def run_name(self) -> str:
        """The name of this session in the journal; empty before it has one."""
        return self._books.run

    def __enter__(self) -> TqStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _warn_of_calendar(self) -> None:
        """Say loudly, once, that holidays are not known from some day on."""
        text = self._listed.warning(self.pump.market_ns)
        if text:
            logger.warning(text)
            self.tell(Notice.CALENDAR_ENDS, text)

    def _stop_demo(self) -> None:
        if self._demo is not None:
            self._demo.stop()

    # ---- what feeds and broker use

    @property
    def _open(self) -> OpenSession:
        if self._is_elsewhere:
            raise SessionElsewhere("the session")
        if self._session is None:
            raise NotStarted("the store's session")
        return self._session

    @property
    def connection(self) -> Connection:
        return self._open.connection

    @property
    def pump(self) -> Pump:
        return self._open.pump

    @property
    def floor(self) -> Floor:
        """The session as orders see it."""
        return self._open.floor

    @property
    def journal(self) -> SafeJournal:
        """What is written down of orders, opened when it is asked for first."""
        return self._books.open(self.pump.market_ns)

    def key_of(self, ref: int) -> str:
        """The name in the journal of this run's order with Backtrader's reference `ref`."""
        return self._books.key_of(ref)

    # ---- what programs and Cerebro call

    def getdata(
        self,
        dataname: str,
        timeframe: int = bt.TimeFrame.Minutes,
        compression: int = 1,
        history: int = 10_000,
        **kwargs: Any,
    ) -> TqData:
        """A feed of `dataname`, a TqSdk symbol such as "SHFE.cu2512" or "KQ.m@SHFE.cu".

        history: official bars delivered before the live ones. kwargs: other parameters of `TqData`.
        Raises `BadTimeframe` or `WrongSetting`; an unknown symbol raises `UnknownSymbol` when the
        feed starts.
        """
        make: Any = TqData  # Backtrader's metaclass takes the parameters
        options = {"timeframe": timeframe, "compression": compression, "history": history}
        return cast("TqData", make(store=self, dataname=dataname, **options, **kwargs))

    def getbroker(
        self, execution: str = "direct", risk: RiskLimits | None = None, **options: Any
    ) -> TqBroker:
        """The account as a Backtrader broker; see `TqBroker` for the parameters."""
        make: Any = TqBroker
        return cast("TqBroker", make(store=self, execution=execution, risk=risk, **options))

    def get_daily_data(self, dataname: str, history: int = 10_000, **kwargs: Any) -> TqData:
        """A feed of trading days: a bar lasts from 21:00 of the evening before to 15:00.

        It is delivered at the close of the day session. Parameters and errors as in `getdata`.
        """
        return self.getdata(dataname, bt.TimeFrame.Days, 1, history, **kwargs)

    def roll(self, data: TqData, mode: str = "notify") -> None:
        """What follows when the main contract of `data` follows another contract.

        "notify": strategies hear `Notice.ROLL_DUE`. "auto": net lots are closed, those opened in
        the new contract and orders moved, see `rolling`. Raises `WrongSetting`.
        """
        check_roll(data.symbol, mode)
        self.rolls[data.symbol] = mode

    def get_notifications(self) -> list[Told]:
        """What strategies have not been told yet. Cerebro asks at the start of every round."""
        if self._session is not None and (self._run is None or not self._run.is_over()):
            if not self._begun:
                self._begin()
            self._chronicle.poll()
            if self._demo is not None:
                self._demo.let_go()
            self._session.pump.new_cycle()
            self._warn_of_calendar()
        return self._take_notifications()

    def _begin(self) -> None:
        """All feeds stand, Cerebro's loop has begun."""
        check_before_orders(self, self._settings)
        if self.broker is not None:
            self._chronicle.begin(SessionView(self))
            self.broker.begin()
        self._begun = True


@atexit.register
def _close_all() -> None:
    """A strategy that raised leaves Cerebro without `stop`: no session may outlive the process."""
    for store in list(_open_stores):
        store.stop()
