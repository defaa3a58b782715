"""What a session knows of the market: who has ticked, what was asked and what was answered.

The part of `connection.Connection` that needs nothing of TqSdk itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from .charts import Charts, Kline, KlineRequest, TickChart
from .listing import Listing
from .model import Instrument
from .news import MarketNews

__all__ = ["ANSWER_S", "MarketData"]

ANSWER_S = 30.0  # how long a request may stay unanswered, as in TqSdk


class MarketData(ABC):
    """Charts, contracts and questions of one session, whichever TqApi it has just now."""

    def __init__(self) -> None:
        self.listing = Listing(self._query, self._subscribe)
        self._charts = Charts(self._send, self._node)
        self._market_news = MarketNews()
        self._unanswered: dict[str, dict[str, Any]] = {}  # questions about contracts, by name

    @abstractmethod
    def wait_until(
        self, ready: Callable[[], bool], what: str, patience_s: float = ANSWER_S
    ) -> None:
        """Let news in until `ready`. Raises `GatewayTimeout`, naming `what`, when it takes long."""

    @abstractmethod
    def _node(self, *path: str) -> Any:
        """TqSdk's live object at a path of its tree."""

    @abstractmethod
    def _send(self, pack: dict[str, Any]) -> None:
        """Hand a pack to TqSdk; it leaves with the next wait."""

    @abstractmethod
    def query(self, text: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask the contract service and wait. Raises `GatewayTimeout`."""

    @abstractmethod
    def _want_quotes(self, symbols: list[str]) -> set[str]:
        """Let the terms of `symbols` come; all contracts that quotes are wanted of."""

    # ---- what has come

    @property
    def ended(self) -> bool:
        """Whether the embedded exchange said that its records are over."""
        return self._market_news.has_ended

    @property
    def market_is_down(self) -> bool:
        """Whether the market-data socket is lost: silence says nothing of the market."""
        return self._market_news.is_lost

    def socket_changes(self) -> list[tuple[str, bool]]:
        """Sockets, "market" or "trading", that were lost (True) or came back, since the last call.

        With a trading socket comes the whole picture of the account: TqSdk holds all back until
        then.
        """
        changes, self._market_news.changes = self._market_news.changes, []
        return changes

    def has_heard(self) -> bool:
        """Whether anything has come on the market's socket since the last call."""
        heard, self._market_news.has_heard = self._market_news.has_heard, False
        return heard

    def ticked(self) -> Iterable[str]:
        """Symbols whose ticks have come since the last call."""
        return self._market_news.take()

    def has_answers(self) -> bool:
        """Whether the server has answered some question since the last call."""
        answered, self._market_news.has_answers = self._market_news.has_answers, False
        return answered

    # ---- what can be asked for

    def instrument(self, symbol: str) -> Instrument:
        """One contract's terms and today's limits, its quote subscribed; see `Listing`."""
        return self.listing.instruments([symbol])[symbol]

    def _query(self, text: str, symbols: list[str]) -> Mapping[str, Any]:
        return self.query(text, {"instrument_id": symbols})

    def _subscribe(self, symbols: list[str]) -> list[Mapping[str, Any]]:
        """As `TqApi.get_quote_list`, which waits in vain for a quote of what never traded yet."""
        wanted, tree = self._want_quotes(symbols), self._node()
        self._send({"aid": "subscribe_quote", "ins_list": ",".join(sorted(wanted))})

        def is_answered() -> bool:  # TqSim gives the list back in an order of its own
            return bool(set(tree.get("ins_list", "").split(",")) == wanted)

        self.wait_until(is_answered, "quotes")
        return [self._node("quotes", symbol) for symbol in symbols]

    def ask(self, name: str, query: str, symbol: str) -> Callable[[], Mapping[str, Any] | None]:
        """Ask about a contract without waiting; what is returned gives the answer, if any."""
        variables = {"instrument_id": [symbol]}
        question = {"aid": "ins_query", "query_id": name, "query": query, "variables": variables}
        self._unanswered[name] = question
        self._send(question)
        return lambda: self._answer(name)

    def _answer(self, name: str) -> Mapping[str, Any] | None:
        answer = cast("Mapping[str, Any] | None", self._node("symbols").get(name))
        if answer is not None:
            self._unanswered.pop(name, None)
        return answer

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

    def probe(self, who: str = "") -> Callable[[], bool]:
        """Ask the market-data server anything; see `Charts.probe`."""
        return self._charts.probe(who)

    @property
    def can_probe(self) -> bool:
        """Whether any contract has ticks: an empty chart would hold all data back."""
        return bool(self._charts.symbols)

    def _ask_again(self) -> None:
        """Ask the TqApi that stands now for all that another was asked for; waits for it."""
        self._charts.renew()
        self.wait_until(lambda: self._charts.are_ready, "charts")
        self.listing.renew()

    def ask_unanswered(self) -> None:
        """Put questions once more that went down with a socket: TqSdk repeats only charts."""
        for question in self._unanswered.values():
            self._send(question)
