"""`TqData`: what Backtrader sees of one contract's bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import backtrader as bt

from .audit import BarAudit
from .beijing import BEIJING
from .errors import BadTimeframe, ExpiredSymbol, NotStarted, WrongSetting
from .lines import EXTRA_LINES, LineWriter
from .main_contract import MainContract
from .making import FeedPlan, make_series, watch_main_contract
from .market_calendar import take_hours
from .model import Instrument, Tick
from .notices import Notice
from .series import Series
from .timeframes import TICKS, duration_of

if TYPE_CHECKING:
    from .store import TqStore

__all__ = ["TqData"]

# What Backtrader's resampler can be told and our bars cannot follow: they end on the clock's edges.
FIXED = {"bar2edge": True, "rightedge": True, "boundoff": 0}
# As Backtrader's own live feeds say it: DISCONNECTED is for good.
LINE_STATES = {
    "broken": "CONNBROKEN", "stands": "CONNECTED", "silent": "DELAYED", "ended": "DISCONNECTED",
}  # fmt: skip


class TqData(bt.feed.DataBase):
    """Bars of a contract: official history first, then bars built from live ticks.

    Made by `TqStore.getdata`. A bar carries its END as its time, stored in UTC and read in Beijing
    time. Lines beside Backtrader's seven: `bid_price`, `ask_price` (CNY), `bid_volume`,
    `ask_volume` (lots) at the bar's end, `amount` (CNY traded in the bar; NaN in history) and
    `trading_day` (yyyymmdd).

    timeframe, compression: ticks, N seconds, N minutes, or days, which last from 21:00 of the
    evening before to 15:00. history: official bars before the live ones, at most 10,000; TqSdk
    shows 10,000 klines, of which the newest is still open. flat: deliver bars without a trade, as
    the official series does. audit: compare built bars with the official ones. qcheck: seconds that
    one round of Cerebro may wait for news.
    """

    lines: Any = EXTRA_LINES
    params: Any = (
        ("timeframe", bt.TimeFrame.Minutes),
        ("compression", 1),
        ("history", 10_000),
        ("flat", True),
        ("audit", True),
        ("qcheck", 0.5),
    )

    def __init__(self, store: TqStore) -> None:
        self._store = store
        self._series: Series | None = None
        self._writer: LineWriter | None = None
        self._replayed_s: int | None = None  # duration of the bars that a replay lets grow
        self._contract = ""
        self._main: MainContract | None = None
        self.instrument: Instrument | None = None
        self.history_phase = True
        self._stands = True  # the line to the market
        self.audit = BarAudit()
        self._duration_s = duration_of(self.p.timeframe, self.p.compression)
        _check_history(self.p.history)

    @property
    def symbol(self) -> str:
        """The TqSdk symbol that was asked for."""
        return str(self.p.dataname)

    @property
    def contract(self) -> str:
        """The contract that orders go to: of a main contract, the one it follows now."""
        if not self._contract:
            raise NotStarted(f"the contract of {self.symbol}")
        return self._contract

    @property
    def is_main(self) -> bool:
        """Whether it is a main contract, which follows others in turn."""
        return self.instrument is not None and self.instrument.is_main

    def price_of(self, tick: Tick) -> float:
        """The price of `contract`, CNY, when `tick` came.

        A day's first ticks of a main contract may be another contract's already.
        """
        if self._main is None or not self._main.is_asking:
            return tick.last_price
        return float(self._store.floor.quote(self.contract)["last_price"])

    @property
    def ticks(self) -> int:
        """Live ticks that went into bars so far."""
        return self._series.ticks if self._series else 0

    # ---- larger bars: the feed builds them itself, from the calendar

    def clone(self, **kwargs: Any) -> TqData:
        """Another feed of the same contract, for `cerebro.resampledata` and `replaydata`."""
        options = dict(self.p._getkwargs()) | kwargs
        return type(self)(store=self._store, **options)

    def copyas(self, _dataname: str, **kwargs: Any) -> TqData:
        """A clone under another name."""
        copy = self.clone(**kwargs)
        copy._dataname = copy._name = _dataname
        return copy

    def resample(self, **kwargs: Any) -> None:
        """Deliver bars of another timeframe, as if it had been asked for at first.

        Raises `BadTimeframe`, or `WrongSetting` for a bar edge that is none of the exchange's.
        """
        self._become(*_larger(kwargs))

    def replay(self, **kwargs: Any) -> None:
        """Deliver bars of another timeframe while they grow, once for each bar of this one.

        History comes as whole bars. Raises as `resample` does.
        """
        timeframe, compression = _larger(kwargs)
        base_s, duration_s = self._duration_s, duration_of(timeframe, compression)
        if base_s == TICKS or duration_s <= base_s or duration_s % base_s:
            raise BadTimeframe(
                f"a replay of {duration_s} s out of {base_s or 'tick'} s bars",
                "larger bars out of whole smaller ones; ticks can be replayed as 1-second bars",
            )
        self._replayed_s, self.replaying = base_s, True
        self._become(timeframe, compression)

    def addfilter(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """As in Backtrader; its resampler and replayer, which know no sessions, are replaced."""
        if isinstance(p, type) and issubclass(p, bt.Replayer):
            self.replay(**kwargs)
        elif isinstance(p, type) and issubclass(p, bt.Resampler):
            self.resample(**kwargs)
        else:
            super().addfilter(p, *args, **kwargs)

    def _become(self, timeframe: int, compression: int) -> None:
        self._duration_s = duration_of(timeframe, compression)
        self.p.timeframe = self._timeframe = timeframe
        self.p.compression = self._compression = compression

    # ---- what Cerebro calls

    def setenvironment(self, env: Any) -> None:
        """Cerebro took the feed: let it start, ask and stop the store as well."""
        super().setenvironment(env)
        env.addstore(self._store)
        self._store.want(self.symbol)

    def islive(self) -> bool:
        return True

    def haslivedata(self) -> bool:
        return self._series is not None and self._store.pump.is_ready

    def start(self) -> None:
        super().start()
        store = self._store
        store.start(data=self)
        self.instrument = instrument = store.instrument(self.symbol)
        if instrument.expired:
            raise ExpiredSymbol(self.symbol)
        self._contract = instrument.underlying_symbol if instrument.is_main else self.symbol
        sessions = store.sessions(self.symbol)
        take_hours(self, sessions)
        plan = FeedPlan(instrument, self._duration_s, self._replayed_s, self.p.history, self.p.flat)
        audit = self.audit if self.p.audit else None
        desk = store.connection, store.pump, sessions
        self._series = make_series(*desk, plan, self._tell, audit)
        if instrument.is_main:
            self._main = watch_main_contract(*desk, instrument, self._on_roll)
        self._writer = LineWriter(self.lines)
        self.put_notification(self.DELAYED)

    def stop(self) -> None:
        super().stop()
        if self._series is not None:
            self._series.conclude()

    def _gettz(self) -> Any:
        return BEIJING

    def _load(self) -> bool | None:
        """Fill the lines with the next bar; None: nothing yet; False: the records ended."""
        series, writer = self._series, self._writer
        if series is None or writer is None:
            return False
        pump = self._store.pump
        if pump.has_unsent or not pump.is_leaving:
            pump.run(0.0 if pump.is_leaving else self.p.qcheck)
        delivery = pump.pop(series)
        if delivery is not None:
            if delivery.update:
                self.backwards(force=True)  # undoes what `load` does: no new row
            self._say(history=delivery.history)
            writer.write(delivery.bar, delivery.time_ns)
            return True
        if pump.ended and series.queue.ready_ns is None:
            self.show_line("ended")
            return False
        if not series.queue.has_history:
            self._say(history=False)
        return None

    # ---- inside

    def _say(self, *, history: bool) -> None:
        self.history_phase = history
        if self._stands:
            self.put_notification(self.DELAYED if history else self.LIVE)

    def show_line(self, state: str) -> None:
        """Say what became of the line to the market: "broken", "stands", "silent" or "ended"."""
        self._stands = state in ("stands", "silent")
        self.put_notification(getattr(self, LINE_STATES[state]))

    def _tell(self, notice: Notice, text: str, **about: object) -> None:
        if notice is Notice.CONTRACT_EXPIRED:
            self.show_line("ended")
        self._store.tell(notice, text, data=self, **about)

    def _on_roll(self, contract: str) -> None:
        before, self._contract = self._contract, contract
        text = f"{self.symbol} follows {contract} now, {before} before"
        self._tell(Notice.CONTRACT_CHANGED, text, before=before, after=contract)
        if self._store.broker is not None:
            self._store.broker.rolling.changed(self, before)


def _larger(options: dict[str, Any]) -> tuple[int, int]:
    """Timeframe and compression as Backtrader's resampler takes them."""
    for name, value in FIXED.items():
        if options.get(name, value) != value:
            raise WrongSetting(name, options[name], f"{value}: bars end on the exchange's edges")
    return options.get("timeframe", bt.TimeFrame.Days), options.get("compression", 1)


def _check_history(history: Any) -> None:
    if not isinstance(history, int) or isinstance(history, bool) or not 0 <= history <= 10_000:
        raise WrongSetting("history", history, "a whole number of bars, 0 to 10,000")
