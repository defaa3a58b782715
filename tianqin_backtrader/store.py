"""`TqStore`: the one object a program makes: it owns the session, hands out feeds and broker."""

from __future__ import annotations

import atexit
import weakref
from collections import deque
from types import TracebackType
from typing import Any, cast

import backtrader as bt

from .broker import TqBroker
from .calendar import TradingCalendar, shanghai_calendar
from .clock import MarketClock
from .config import Settings, load_settings
from .connection import Connection
from .errors import LiveTradingRefused, NotStarted, WrongSetting
from .feed import TqData
from .pump import Pump
from .sim import LocalExchange

__all__ = ["TqStore"]

_open_stores: weakref.WeakSet[TqStore] = weakref.WeakSet()


class TqStore:
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
        _refuse_unbuilt(self._settings)
        if exchange is not None and self.mode != "demo":
            raise WrongSetting("exchange", exchange, f"none in mode {self.mode}; only demo has one")
        self._exchange = exchange
        self._stops_exchange = False
        self._grace_s = grace_s
        self._connection: Connection | None = None
        self._pump: Pump | None = None
        self._calendar: TradingCalendar | None = None
        self._notifications: deque[tuple[Any, tuple[Any, ...], dict[str, Any]]] = deque()
        self.datas: list[TqData] = []
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
        if data is not None:
            self.datas.append(data)
        if broker is not None:
            self.broker = broker
        if self._connection is not None:
            return
        speed, settings = self._prepare()
        connection = Connection(settings)
        try:
            connection.open()
        except BaseException:
            self._stop_exchange()
            raise
        self._connection = connection
        self._pump = Pump(connection, MarketClock(speed), self._grace_s)
        _open_stores.add(self)

    def stop(self) -> None:
        """Close the session; does nothing when it is closed."""
        connection, self._connection = self._connection, None
        self._pump = None
        self.datas = []
        if connection is not None:
            connection.close()
        self._stop_exchange()

    def __enter__(self) -> TqStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> tuple[float | None, Settings]:
        """The pace of the market and where it is; starts the embedded exchange."""
        if self.mode != "demo":
            return 1.0, self._settings
        exchange = self._exchange or LocalExchange()
        self._stops_exchange = not exchange.is_running
        self._exchange = exchange.start()
        urls = {name: getattr(exchange, name) for name in ("auth_url", "md_url", "td_url")}
        return exchange.speed, self._settings.model_copy(update=urls)

    def _stop_exchange(self) -> None:
        if self._exchange is not None and self._stops_exchange:
            self._exchange.stop()
            self._exchange, self._stops_exchange = None, False

    # ---- what feeds and broker use

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            raise NotStarted("the store's session")
        return self._connection

    @property
    def pump(self) -> Pump:
        if self._pump is None:
            raise NotStarted("the store's session")
        return self._pump

    @property
    def calendar(self) -> TradingCalendar:
        """Trading days of the Chinese exchanges."""
        if self._calendar is None:
            self._calendar = shanghai_calendar()
        return self._calendar

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
        self, execution: str = "direct", risk: None = None, *, market_ticks: int = 2
    ) -> TqBroker:
        """The account as a Backtrader broker; see `TqBroker` for the parameters."""
        make: Any = TqBroker
        options = {"execution": execution, "risk": risk, "market_ticks": market_ticks}
        return cast("TqBroker", make(store=self, **options))

    def put_notification(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Tell strategies through `notify_store`."""
        self._notifications.append((msg, args, kwargs))

    def get_notifications(self) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
        """What strategies have not been told yet. Cerebro asks at the start of every round."""
        if self._pump is not None:
            self._pump.new_cycle()
        told = list(self._notifications)
        self._notifications.clear()
        return told


def _refuse_unbuilt(settings: Settings) -> None:
    if settings.mode == "live":
        raise LiveTradingRefused("mode live has no safety gates yet; use demo, sim or kq")
    if settings.mode == "paper":
        raise WrongSetting("mode", "paper", "demo, sim or kq; paper does not exist yet")


@atexit.register
def _close_all() -> None:
    """A strategy that raised leaves Cerebro without `stop`: no session may outlive the process."""
    for store in list(_open_stores):
        store.stop()
