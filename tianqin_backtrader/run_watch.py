"""Takes pictures of a run between Cerebro's rounds, in the run's own thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import backtrader as bt

from .broker import TqBroker
from .clock import monotonic_ns
from .errors import NotStarted
from .feed import TqData
from .frames import session_of
from .lines import time_ns_of
from .run_view import RunBar, RunState, RunView
from .sessions import Sessions
from .timeframes import duration_of
from .trading import TradingChannel

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["RoundWatch"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
LOOK_NS = SECOND_NS // 5  # how often the account is looked at


class RoundWatch:
    """Cerebro asks every store for news in every round: this one looks around instead."""

    def __init__(
        self,
        store: TqStore,
        cerebro: bt.Cerebro,
        view: RunView,
        between: Callable[[], None],
    ) -> None:
        self._store, self._cerebro, self._view, self._between = store, cerebro, view, between
        self._seen: dict[TqData, int] = {}
        self._sessions: dict[TqData, Sessions] = {}
        self._channel: TradingChannel | None = None
        self._trades = self._looked_ns = 0

    def start(self) -> None:
        """Cerebro's call, when the session stands: its last moment will be seen as well."""
        connection = self._store.connection
        self._channel = connection.trading
        connection.before_close(self._look_last)

    def stop(self) -> None:
        """Cerebro's call."""

    def get_notifications(self) -> list[Any]:
        """Cerebro's call at the start of each round."""
        if self._view.status().state is RunState.STARTING:
            self._view.change(state=RunState.RUNNING)
        self.look()
        self._between()
        return []

    def _look_last(self) -> None:
        try:
            self.look(now=True)
        except Exception:
            logger.exception("the last look at the run failed")

    def look(self, now: bool = False) -> None:
        """Take pictures of what is new; of the account now and then, or `now`."""
        with suppress(NotStarted):  # it failed before the session stood
            for data in self._cerebro.datas:
                if isinstance(data, TqData) and len(data):
                    self._look_at(data)
        now_ns = monotonic_ns()
        if now or now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            with suppress(NotStarted):
                self._look_at_account()

    def _look_at(self, data: TqData) -> None:
        count, seen = len(data), self._seen.get(data, 0)
        if count == seen and not data.replaying:
            return
        for back in range(max(count - seen, 1) - 1, -1, -1):
            grows = count == seen
            bar = _bar(data, back, self._sessions_of(data))
            self._view.add_bar(data._name or data.symbol, data.contract, bar, grows=grows)
        self._seen[data] = count

    def _sessions_of(self, data: TqData) -> Sessions:
        if data not in self._sessions:
            self._sessions[data] = self._store.sessions(data.symbol)
        return self._sessions[data]

    def _look_at_account(self) -> None:
        broker, channel = self._cerebro.broker, self._channel
        if isinstance(broker, TqBroker):
            account, held = broker.account(), broker.positions()
            with suppress(NotStarted):  # the broker has stopped: nothing is open
                self._view.change(open_orders=len(broker.get_orders_open()))
        elif channel is not None:
            account, held = channel.account(), channel.positions()
        else:
            return
        with suppress(NotStarted):  # the session is closed: its last look has been
            self._look_at_trades()
        lots = [each for each in held.values() if each.long.total or each.short.total]
        self._view.change(account=account, positions=tuple(lots))

    def _look_at_trades(self) -> None:
        if self._channel is not None and self._channel.trade_count != self._trades:
            self._trades = self._channel.trade_count
            self._view.add_trades(self._channel.trades())


def _bar(data: TqData, back: int, sessions: Sessions) -> RunBar:
    """The feed's bar `back` bars ago."""
    end_ns = time_ns_of(data.datetime[-back])
    duration_s = duration_of(data._timeframe, data._compression) or 1  # a tick is of a second
    span = sessions.bar_of(end_ns, duration_s * SECOND_NS)
    return RunBar(
        end_ns,
        data.open[-back],
        data.high[-back],
        data.low[-back],
        data.close[-back],
        int(data.volume[-back]),
        int(data.openinterest[-back]),
        int(data.trading_day[-back]),
        session_of(sessions, span.trading_day, span.start_ns, span.end_ns),
        data.history_phase,
    )
