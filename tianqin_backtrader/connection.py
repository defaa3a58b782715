"""The sole owner of the TqApi: opens it, reads it, sends through it. The only importer of tqsdk.

All calls come from the thread that opened it. TqSdk reconnects and resubscribes by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import requests
import tqsdk.calendar
from tqsdk import TargetPosTask, TqAccount, TqApi, TqAuth, TqChan, TqKq, TqSim
from tqsdk.calendar import _init_chinese_rest_days
from tqsdk.diff import _get_obj
from tqsdk.exceptions import TqTimeoutError

from .charts import Charts, Kline, KlineRequest, TickChart
from .clock import now_s
from .config import Settings, bypass_proxy, environment
from .errors import GatewayTimeout, LoginRefused, NotStarted
from .listing import Listing
from .model import Instrument
from .news import MarketNews
from .trading import TradingChannel

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

ANSWER_S = 30.0  # how long a request may stay unanswered, as in TqSdk


class Connection:
    """One TqApi session for one account."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api: TqApi | None = None
        self._account: Any = None
        self._charts = Charts(self._send, self._node)
        self.listing = Listing(self._query, self._subscribe)
        self.trading = TradingChannel(lambda: self.api, self._node, lambda: self._key)
        self._market_news = MarketNews()
        self._before_close: list[Callable[[], None]] = []

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
                debug=False,  # TqSdk's log holds every packet: gigabytes a day
                disable_print=True,
                _md_url=settings.md_url,
            )
        except (requests.ConnectionError, requests.Timeout, TqTimeoutError, OSError) as error:
            raise GatewayTimeout(f"no answer from the gateway: {type(error).__name__}") from error
        except Exception as error:  # TqSdk raises bare Exception for a refused login
            raise LoginRefused(f"TqSdk refused the session: {error}") from error
        self._market_news.note([{"notify": self._node("notify")}])
        self._read_packets()

    def close(self) -> None:
        """Close the TqApi; what was not sent yet is sent before."""
        if self._api is None:
            return
        for last_act in self._before_close:
            last_act()
        api, self._api = self._api, None
        try:
            api.close()
        except Exception:
            logger.warning("TqSdk did not close cleanly", exc_info=True)

    def before_close(self, act: Callable[[], None]) -> None:
        """Let `act`, which must not raise, have the open session once more when it closes."""
        self._before_close.append(act)

    @property
    def api(self) -> TqApi:
        """The TqApi itself, for what this class does not do."""
        if self._api is None:
            raise NotStarted("the TqSdk session")
        return self._api

    def _read_packets(self) -> None:
        """Let the trading channel see packets whole: TqSdk's diffs leave out what it knows."""
        api = self.api
        fetch = api._fetch_msg

        async def fetch_and_look() -> None:
            await fetch()
            self.trading.look(api._pending_diffs)

        api._fetch_msg = fetch_and_look

    # ---- waiting

    def wait(self, deadline_s: float) -> bool:
        """Send what is due and wait for news until `deadline_s` (seconds since 1970)."""
        self.trading.has_unsent = False
        arrived = bool(self.api.wait_update(deadline=deadline_s))
        if arrived:
            self._note_news()
        return arrived

    def wait_until(
        self, ready: Callable[[], bool], what: str, patience_s: float = ANSWER_S
    ) -> None:
        """Let news in until `ready`. Raises `GatewayTimeout`, naming `what`, when it takes long."""
        done = self.api._wait_update_until(ready, deadline=now_s() + patience_s)
        self._note_news()
        if not done:
            raise GatewayTimeout(f"no {what} within {patience_s:.0f} s")

    @property
    def ended(self) -> bool:
        """Whether the embedded exchange said that its records are over."""
        return self._market_news.has_ended

    @property
    def market_is_down(self) -> bool:
        """Whether the market-data socket is lost: silence says nothing of the market."""
        return self._market_news.is_lost

    def ticked(self) -> Iterable[str]:
        """Symbols whose ticks have come since the last call."""
        return self._market_news.take()

    def has_answers(self) -> bool:
        """Whether the server has answered some question since the last call."""
        answered, self._market_news.has_answers = self._market_news.has_answers, False
        return answered

    def _note_news(self) -> None:
        diffs = self.api._sync_diffs
        self._market_news.note(diffs)
        self.trading.note(diffs)

    # ---- TqSdk's execution of targets

    def target_task(self, symbol: str, **options: Any) -> tuple[Any, Any]:
        """A new `TargetPosTask`, and the channel on which it says that it is done.

        Made past TqSdk's registry: that one is keyed by `id(account)`, and hands out the task that
        is just ending, or one of an earlier session. Raises what TqSdk says of bad `options`.
        """
        quote = self._node("quotes", symbol)
        if getattr(quote, "_task", None) is not None and quote._task.cancelled():
            del quote._task  # a task that was cancelled as it waited for a quote took this along
        done = TqChan(self.api, last_only=True)
        options["target_volume_chan"] = done
        return type.__call__(TargetPosTask, self.api, symbol, **options), done

    def run_tasks(self) -> None:
        """Let TqSdk's tasks take in what has come, and send what follows; waits for nothing."""
        elsewhere = self.api._clear_running_loop()  # a notebook's
        try:
            self.api._run_until_idle()
        finally:
            self.api._restore_running_loop(*elsewhere)

    # ---- market data

    def instrument(self, symbol: str) -> Instrument:
        """One contract's terms and today's limits, its quote subscribed; see `Listing`."""
        return self.listing.instruments([symbol])[symbol]

    def query(self, text: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask the contract service and wait. Raises `GatewayTimeout`."""
        try:
            answer = self.api.query_graphql(text, variables)
        except TqTimeoutError as error:
            raise GatewayTimeout("no answer of the contract service within 30 s") from error
        finally:
            self._note_news()
        return cast("Mapping[str, Any]", answer)

    def _query(self, text: str, symbols: list[str]) -> Mapping[str, Any]:
        return self.query(text, {"instrument_id": symbols})

    def _subscribe(self, symbols: list[str]) -> list[Mapping[str, Any]]:
        """As `TqApi.get_quote_list`, which waits in vain for a quote of what never traded yet."""
        api = self.api
        try:
            api._ensure_symbol(symbols)
        except TqTimeoutError as error:
            raise GatewayTimeout(f"no terms of {', '.join(symbols)} within 30 s") from error
        finally:
            self._note_news()
        api._requests["quotes"] = wanted = api._requests["quotes"] | set(symbols)
        self._send({"aid": "subscribe_quote", "ins_list": ",".join(sorted(wanted))})

        def is_answered() -> bool:  # TqSim gives the list back in an order of its own
            return bool(set(api._data.get("ins_list", "").split(",")) == wanted)

        self.wait_until(is_answered, "quotes")
        return [self._node("quotes", symbol) for symbol in symbols]

    def ask(self, name: str, query: str, symbol: str) -> Callable[[], Mapping[str, Any] | None]:
        """Ask about a contract without waiting; what is returned gives the answer, if any."""
        variables = {"instrument_id": [symbol]}
        self._send({"aid": "ins_query", "query_id": name, "query": query, "variables": variables})
        return lambda: cast("Mapping[str, Any] | None", self._node("symbols").get(name))

    def tick_chart(self, symbol: str, width: int) -> TickChart:
        """The contract's newest `width` ticks; those who ask for one contract share the chart.

        One that `is_empty` is given back at once: ask again when the contract has a quote.
        """
        chart = self._charts.ticks(symbol, width)
        self.wait_until(lambda: chart.is_ready, f"ticks of {symbol}")
        if chart.is_empty:
            self._charts.drop_ticks(symbol)
        return chart

    def klines(self, symbol: str, duration_s: int, count: int) -> KlineRequest:
        """Ask for up to `count` official klines; never waits."""
        return self._charts.klines(symbol, duration_s, count)

    def history(self, symbol: str, duration_s: int, count: int) -> list[Kline]:
        """Up to `count` official klines, oldest first, the newest still open.

        duration_s 0: ticks.
        """
        request = self.klines(symbol, duration_s, count)
        try:
            self.wait_until(lambda: request.is_ready, f"klines of {symbol}")
            return request.rows()
        finally:
            request.release()

    def probe(self) -> Callable[[], bool]:
        """Ask the market-data server anything; see `Charts.probe`."""
        return self._charts.probe()

    def holidays(self) -> list[str]:
        """TqSdk's list of weekdays without trading, ISO dates. Raises `GatewayTimeout`."""
        try:
            _init_chinese_rest_days(headers=self.api._base_headers)
        except (requests.RequestException, ValueError, LookupError) as error:
            raise GatewayTimeout(f"no answer ({type(error).__name__})") from error
        return [f"{day:%Y-%m-%d}" for day in tqsdk.calendar.rest_days_df["date"]]

    # ---- inside

    @property
    def _key(self) -> str:
        return str(self._account._account_key)

    def _node(self, *path: str) -> Any:
        return _get_obj(self.api._data, list(path))

    def _send(self, pack: dict[str, Any]) -> None:
        self.api._send_pack(pack)


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
