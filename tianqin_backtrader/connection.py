"""The sole owner of the TqApi: opens it, reads it, sends through it. The only importer of tqsdk.

All calls come from the thread that opened it. TqSdk reconnects and resubscribes by itself. Charts
are asked for with the same `set_chart` packs that TqSdk's own downloader sends, and read from its
tree by row id, because a DataFrame that is shifted on every tick costs more than all the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

import requests
from tqsdk import TqAccount, TqApi, TqAuth, TqKq, TqSim
from tqsdk.diff import _get_obj
from tqsdk.exceptions import TqTimeoutError

from .clock import now_s
from .config import Settings, bypass_proxy, environment
from .errors import GatewayTimeout, LoginRefused, NotStarted, UnknownSymbol
from .model import (
    Account,
    AccountPosition,
    Direction,
    Instrument,
    Offset,
    OrderPicture,
    Trade,
    account_from,
    instrument_from,
    order_from,
    position_from,
)
from .news import TradingNews
from .stream import TickStream

__all__ = ["Connection", "Kline"]

logger = logging.getLogger(__name__)

ENDED_CODE = 2026000001  # notice of the embedded exchange: its records are over
ANSWER_S = 30.0  # how long a request may stay unanswered, as in TqSdk
SECOND_NS = 1_000_000_000
KNOWN = (
    "query($instrument_id:[String]){multi_symbol_info(instrument_id:$instrument_id)"
    "{... on basic{instrument_id}}}"
)

Kline = Mapping[str, Any]  # datetime (ns, start), open, high, low, close, volume, open_oi, close_oi


class Connection:
    """One TqApi session for one account."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api: TqApi | None = None
        self._account: Any = None
        self._tick_charts: dict[str, Any] = {}
        self._quotes: dict[str, Any] = {}
        self._charts = 0
        self._sent = False
        self._news = TradingNews()

    # ---- life

    def open(self) -> None:
        """Log in and wait for the first whole picture.

        Raises `LoginRefused` (mend the credentials) or `GatewayTimeout` (try again).
        """
        settings = self._settings
        bypass_proxy(settings.auth_url, settings.md_url, settings.td_url)
        self._account = _account(settings)
        try:
            self._api = TqApi(
                self._account,
                auth=_auth(settings),
                debug=False if settings.mode == "demo" else None,
                disable_print=True,
                _md_url=settings.md_url,
            )
        except (requests.ConnectionError, requests.Timeout, TqTimeoutError, OSError) as error:
            raise GatewayTimeout(f"no answer from the gateway: {type(error).__name__}") from error
        except Exception as error:  # TqSdk raises bare Exception for a refused login
            raise LoginRefused(f"TqSdk refused the session: {error}") from error

    def close(self) -> None:
        """Close the TqApi; what was not sent yet is sent before."""
        api, self._api = self._api, None
        if api is None:
            return
        try:
            api.close()
        except Exception:
            logger.warning("TqSdk did not close cleanly", exc_info=True)

    @property
    def is_open(self) -> bool:
        return self._api is not None

    @property
    def api(self) -> TqApi:
        """The TqApi itself, for what this class does not do."""
        if self._api is None:
            raise NotStarted("the TqSdk session")
        return self._api

    # ---- waiting

    def wait(self, deadline_s: float) -> bool:
        """Send what is due and wait for news until `deadline_s` (seconds since 1970)."""
        self._sent = False
        arrived = bool(self.api.wait_update(deadline=deadline_s))
        if arrived:
            self._note_news()
        return arrived

    @property
    def has_unsent(self) -> bool:
        """Whether orders or cancels leave only with the next `wait`."""
        return self._sent

    @property
    def ended(self) -> bool:
        """Whether the embedded exchange said that its records are over."""
        notices = self.api._data.get("notify", {})
        return any(notice.get("code") == ENDED_CODE for notice in notices.values())

    def trading_news(self) -> tuple[list[OrderPicture], list[Trade]]:
        """Orders and trades that changed since the last call."""
        return self._news.take()

    @property
    def trading_is_down(self) -> bool:
        """Whether a trading socket is lost: what is sent now could vanish without an answer."""
        return self._news.connection_is_lost

    def _note_news(self) -> None:
        self._news.note(
            self.api._sync_diffs, self._key, _get_obj(self.api._data, ["trade", self._key])
        )

    # ---- market data

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms and today's limits, its quote subscribed.

        Raises `UnknownSymbol` at once where TqSdk itself would wait 30 seconds.
        """
        if not isinstance(symbol, str) or "." not in symbol:
            raise UnknownSymbol(symbol)
        found = self.api.query_graphql(KNOWN, {"instrument_id": [symbol]})
        if not found.get("result", {}).get("multi_symbol_info"):
            raise UnknownSymbol(symbol)
        try:
            quote = self._quotes[symbol] = self.api.get_quote(symbol)
        except TqTimeoutError as error:
            raise GatewayTimeout(f"no quote for {symbol} within 30 s") from error
        finally:
            self._note_news()
        return instrument_from(quote)

    def quote(self, symbol: str) -> Mapping[str, Any]:
        """TqSdk's live quote of a contract that `instrument` was asked for; never waits."""
        return cast("Mapping[str, Any]", self._quotes[symbol])

    def terms(self, symbol: str) -> Instrument:
        """`instrument` with the limits of this moment; never waits."""
        return instrument_from(self.quote(symbol))

    def follow(self, symbol: str, width: int) -> TickStream:
        """The contract's ticks by id, beginning with the last `width` that the server holds.

        Streams of one symbol share one subscription.
        """
        chart = self._tick_charts.get(symbol)
        if chart is None:
            chart = self._tick_charts[symbol] = self._chart(symbol, 0, width)
            self._await_chart(chart, f"ticks of {symbol}")
        serial = _get_obj(self.api._data, ["ticks", symbol])
        return TickStream(symbol, serial, max(int(chart.get("left_id", -1)), 0))

    def history(
        self, symbol: str, duration_s: int, count: int, focus_ns: int | None = None
    ) -> list[Kline]:
        """Up to `count` official klines, oldest first, the newest still open.

        `focus_ns`: from the kline that holds this time on, instead of the newest ones.
        """
        where = {} if focus_ns is None else {"focus_datetime": focus_ns, "focus_position": 0}
        chart = self._chart(symbol, duration_s * SECOND_NS, count, **where)
        try:
            self._await_chart(chart, f"klines of {symbol}")
            serial = _get_obj(self.api._data, ["klines", symbol, str(duration_s * SECOND_NS)])
            left, right = int(chart.get("left_id", -1)), int(chart.get("right_id", -1))
            rows = (serial.get("data", {}).get(str(n)) for n in range(max(left, 0), right + 1))
            return [dict(row) for row in rows if row is not None and row.get("datetime", 0) > 0]
        finally:
            self._send(
                {"chart_id": chart["chart_id"], "ins_list": "", "duration": duration_s * SECOND_NS}
            )

    # ---- trading

    def send_order(
        self,
        order_id: str,
        symbol: str,
        direction: Direction,
        offset: Offset,
        volume: int,
        price: float | None,
        advanced: str | None = None,
    ) -> None:
        """Hand an exchange order to TqSdk; it leaves with the next `wait`. `price` None: market."""
        self._sent = True
        order = self.api.insert_order(
            symbol, direction.value, offset.value, volume, price, advanced, order_id=order_id
        )
        self._news.remember(order_id, order)

    def cancel_order(self, order_id: str) -> None:
        """Hand a cancel to TqSdk; it leaves with the next `wait`."""
        self._sent = True
        self.api.cancel_order(order_id)

    def account(self) -> Account:
        return account_from(self.api.get_account())

    def position(self, symbol: str) -> AccountPosition:
        """What the account holds in one contract; no lots where it never held any."""
        picture = self._tree("positions").get(symbol)
        return AccountPosition(symbol) if picture is None else position_from(picture)

    def positions(self) -> dict[str, AccountPosition]:
        """All positions of the account by symbol, those closed today included."""
        tree = self._tree("positions")
        return {symbol: position_from(tree[symbol]) for symbol in tree}

    def orders(self) -> list[OrderPicture]:
        """Every order of the account that the gateway shows, other programs' included."""
        return [order_from(order) for order in self._tree("orders").values()]

    # ---- inside

    @property
    def _key(self) -> str:
        return str(self._account._account_key)

    def _tree(self, kind: str) -> Any:
        return _get_obj(self.api._data, ["trade", self._key, kind])

    def _chart(self, symbol: str, duration_ns: int, width: int, **where: int) -> Any:
        self._charts += 1
        pack = {
            "chart_id": f"tianqin_{self._charts}",
            "ins_list": symbol,
            "duration": duration_ns,
            "view_width": width,
            **where,
        }
        self._send(pack)
        chart = _get_obj(self.api._data, ["charts", pack["chart_id"]])
        chart["chart_id"] = pack["chart_id"]
        return chart

    def _send(self, chart: Mapping[str, Any]) -> None:
        self.api._send_pack({"aid": "set_chart", "view_width": 1} | dict(chart))

    def _await_chart(self, chart: Any, what: str) -> None:
        tree = self.api._data  # TqSdk asks the condition once more while it closes
        ready = self.api._wait_update_until(
            lambda: chart.get("ready", False) and not tree.get("mdhis_more_data", True),
            deadline=now_s() + ANSWER_S,
        )
        self._note_news()
        if not ready:
            raise GatewayTimeout(f"no {what} within {ANSWER_S:.0f} s")


def _account(settings: Settings) -> Any:
    if settings.mode == "live":
        password = settings.account_password
        return TqAccount(
            settings.broker_id,
            settings.account_id,
            password.get_secret_value() if password else "",
            td_url=settings.td_url,
        )
    if settings.mode in ("kq", "demo"):
        return TqKq(td_url=settings.td_url)
    return TqSim()


def _auth(settings: Settings) -> TqAuth:
    user, password = settings.user or "demo", settings.password
    with environment("TQ_AUTH_URL", settings.auth_url):
        return TqAuth(user, password.get_secret_value() if password else "demo")
