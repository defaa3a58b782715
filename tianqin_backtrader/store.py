"""`TqStore`: the one object a program makes: it owns the session, hands out feeds and broker."""

from __future__ import annotations

import atexit
import logging
import weakref
from collections import deque
from types import TracebackType
from typing import Any, TypeVar, cast

import backtrader as bt

from .books import Books
from .broker import TqBroker
from .calendar import TradingCalendar
from .clock import MarketClock, long_past_ns
from .config import Settings, load_settings, refuse_unbuilt
from .connection import Connection
from .demo import DemoMarket
from .errors import NotStarted, SessionElsewhere, WrongSetting
from .exploring import Exploring
from .feed import TqData
from .floor import Floor
from .journal import JournalWriter
from .market_calendar import MarketCalendar
from .model import Instrument
from .notices import Notice
from .offsets import CloseFees
from .pump import Pump
from .rolling import check_roll
from .sessions import Sessions
from .sim import LocalExchange
from .trading_days import TradingDays

__all__ = ["TqStore"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_open_stores: weakref.WeakSet[TqStore] = weakref.WeakSet()


class TqStore(Exploring):
    """A TqSdk session for Backtrader; a context manager, so that an exception closes it too.

    mode: `demo` (embedded exchange, no credentials), `sim` (TqSdk's market, orders filled by its
    local TqSim) or `kq` (快期模拟). user, password: the 快期 account; given here or as TIANQIN_USER
    and TIANQIN_PASSWORD in the environment or `.env`. auth_url, md_url, td_url: other servers than
    TqSdk's own. exchange: of mode demo, a `LocalExchange` of your own instead of a fresh one in
    lock-step. grace_s: seconds that a bar stays open for late ticks when no newer tick closes it.

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
        **settings: Any,
    ) -> None:
        self._settings = load_settings(
            mode=mode or "demo",
            user=user,
            password=password,
            auth_url=auth_url,
            md_url=md_url,
            td_url=td_url,
            **settings,
        )
        refuse_unbuilt(self._settings)
        if exchange is not None and self.mode != "demo":
            raise WrongSetting("exchange", exchange, f"none in mode {self.mode}; only demo has one")
        self._demo = DemoMarket(exchange) if self.mode == "demo" else None
        self._grace_s = grace_s
        self._connection: Connection | None = None
        self._floor: Floor | None = None
        self._books = Books(self._settings)
        self._begun = False  # all feeds stand, Cerebro's loop has begun
        self._pump: Pump | None = None
        self._days = TradingDays(self._settings.holidays)
        self._sessions: dict[str, Sessions] = {}
        self._wanted: dict[str, None] = {}  # symbols of the feeds, in order
        self._notifications: deque[tuple[Any, tuple[Any, ...], dict[str, Any]]] = deque()
        self.datas: list[TqData] = []
        self.rolls: dict[str, str] = {}  # what `roll` was told, by main contract
        self.broker: TqBroker | None = None

    @classmethod
    def from_env(cls) -> TqStore:
        """A store as the `TIANQIN_...` variables of the environment or `.env` describe it."""
        return cls(load_settings().mode)

    @property
    def mode(self) -> str:
        return self._settings.mode

    def __repr__(self) -> str:
        return f"TqStore(mode={self.mode!r}, {'open' if self._connection else 'closed'})"

    # ---- life

    def start(self, data: TqData | None = None, broker: TqBroker | None = None) -> None:
        """Log in; does nothing more when the session is open already. Backtrader calls it too.

        Raises `LoginRefused` or `GatewayTimeout`.
        """
        if self._is_elsewhere:
            raise SessionElsewhere("start")
        if data is not None:
            self.datas.append(data)
        if broker is not None:
            self.broker = broker
        if self._connection is not None:
            return
        speed, settings, now_ns = self._prepare()
        connection = Connection(settings)
        try:
            connection.open()
        except BaseException:
            self._stop_demo()
            raise
        self._connection = connection
        clock = MarketClock(speed)
        self._pump = Pump(connection, clock, self._grace_s, now_ns)
        self._floor = Floor(connection, clock, self.sessions, self._fees)
        _open_stores.add(self)

    def stop(self) -> None:
        """Close the session, and a run in the background; does nothing when it is closed."""
        if self._worker is not None and self._is_elsewhere:
            self._worker.end()
            return
        self._disconnect()
        self.datas, self._sessions, self._wanted = [], {}, {}
        self._stop_demo()

    def _disconnect(self) -> None:
        """Close the session; the embedded exchange goes on."""
        connection, self._connection = self._connection, None
        self._pump = self._floor = None
        self._begun = False
        if connection is not None:
            connection.close()  # targets still write their ends down
        self._books.close()

    def __enter__(self) -> TqStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> tuple[float | None, Settings, int]:
        """The market's pace, where it is, and a time that it has passed for sure (ns; 0: unknown).

        Starts the embedded exchange.
        """
        if self._demo is None:
            is_real = self._settings.md_url is None
            return 1.0, self._settings, long_past_ns() if is_real else 0
        return self._demo.start(self._settings)

    def _warn_of_calendar(self, pump: Pump) -> None:
        """Say loudly, once, that holidays are not known from some day on."""
        text = self._days.warning(pump.market_ns)
        if text:
            logger.warning(text)
            self.put_notification(Notice.CALENDAR_ENDS, text)

    def _stop_demo(self) -> None:
        if self._demo is not None:
            self._demo.stop()

    # ---- what feeds and broker use

    @property
    def connection(self) -> Connection:
        if self._is_elsewhere:
            raise SessionElsewhere("the session")
        return _session(self._connection)

    @property
    def pump(self) -> Pump:
        return _session(self._pump)

    @property
    def floor(self) -> Floor:
        """The session as orders see it."""
        return _session(self._floor)

    @property
    def journal(self) -> JournalWriter:
        """What is written down of orders, opened when it is asked for first."""
        return self._books.open(self.pump.market_ns)

    def key_of(self, ref: int) -> str:
        """The name in the journal of this run's order with Backtrader's reference `ref`."""
        return self._books.key_of(ref)

    def _fees(self, symbol: str) -> CloseFees | None:
        return None if self.broker is None else self.broker.terms.fees(symbol)

    @property
    def calendar(self) -> TradingCalendar:
        """Trading days of the Chinese exchanges."""
        return self._days.calendar

    def want(self, symbol: str) -> None:
        """A feed of `symbol` will start: what all need is asked for at once."""
        self._wanted[symbol] = None

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms and today's limits; raises `UnknownSymbol`."""
        listing = self.connection.listing
        wanted = listing.instruments([*self._wanted, symbol])
        followed = [each.underlying_symbol for each in wanted.values() if each.is_main]
        listing.instruments(followed)  # orders go there
        return wanted[symbol]

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

    def getbroker(self, execution: str = "direct", risk: None = None, **options: Any) -> TqBroker:
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

    def sessions(self, symbol: str) -> Sessions:
        """The contract's trading hours by trading day, in ns since 1970 UTC; needs the session."""
        if symbol not in self._sessions:
            hours = self.instrument(symbol).trading_time
            day = self.connection.listing.market_day(symbol)
            if day is not None and self.mode != "demo":
                self._days.prepare(day, self.connection.holidays)
            self._sessions[symbol] = Sessions(hours, self.calendar)
        return self._sessions[symbol]

    def market_calendar(self, symbol: str) -> MarketCalendar:
        """The contract's hours as a Backtrader calendar, for timers, feeds and people.

        Can be made before the session stands; answers when it does. Raises `UnknownSymbol` then.
        """
        return MarketCalendar(lambda: self.sessions(symbol))

    def tell(self, notice: Notice, text: str, **about: object) -> None:
        """Tell strategies a notice of ours."""
        self.put_notification(notice, text, **about)

    def put_notification(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Tell strategies through `notify_store`."""
        self._notifications.append((msg, args, kwargs))

    def get_notifications(self) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
        """What strategies have not been told yet. Cerebro asks at the start of every round."""
        if self._pump is not None:
            if self.broker is not None and not self._begun:
                self.broker.begin()
            self._begun = True
            if self._demo is not None:
                self._demo.let_go()
            self._pump.new_cycle()
            self._warn_of_calendar(self._pump)
        told = list(self._notifications)
        self._notifications.clear()
        return told


def _session(part: T | None) -> T:
    if part is None:
        raise NotStarted("the store's session")
    return part


@atexit.register
def _close_all() -> None:
    """A strategy that raised leaves Cerebro without `stop`: no session may outlive the process."""
    for store in list(_open_stores):
        store.stop()
