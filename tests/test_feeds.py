"""Feeds of every timeframe against the exchange's own klines, from history into live trading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import backtrader as bt

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.sim.market import Market

CU = "SHFE.cu2511"
Row = tuple[Any, ...]
Frame = tuple[int, int]
SECOND, MINUTE, DAY, TICK = (
    bt.TimeFrame.Seconds,
    bt.TimeFrame.Minutes,
    bt.TimeFrame.Days,
    bt.TimeFrame.Ticks,
)


def beijing(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass
class FeedSeen:
    """What one feed delivered: rows of (end in Beijing time, o, h, l, c, volume, interest)."""

    rows: list[Row] = field(default_factory=list)
    history: int = 0
    statuses: list[str] = field(default_factory=list)
    audit: Any = None


class Recorder(bt.Strategy):
    """Writes down each new bar of each data, a growing bar's newest state included."""

    params = (("seen", None), ("notices", None))

    def __init__(self) -> None:
        self.lengths = [0] * len(self.datas)

    def notify_data(self, data: Any, status: int, *_: Any) -> None:
        at = next(n for n, each in enumerate(self.datas) if each is data)
        self.p.seen[at].statuses.append(data._getstatusname(status))

    def notify_store(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.p.notices.append((msg, args, kwargs))

    def look(self) -> None:
        for n, data in enumerate(self.datas):
            seen = self.p.seen[n]
            if not len(data):
                continue
            lines = (data.open, data.high, data.low, data.close, data.volume, data.openinterest)
            row = (data.datetime.datetime(0), *(line[0] for line in lines))
            if len(data) > self.lengths[n]:
                self.lengths[n] = len(data)
                seen.rows.append(row)
                seen.history += data.history_phase
            else:
                seen.rows[-1] = row

    prenext = next = look


def watch(
    exchange: LocalExchange, add: Callable[[bt.Cerebro, TqStore], None]
) -> tuple[list[FeedSeen], list[tuple[Any, ...]]]:
    """Run to the end of the market with the feeds that `add` adds; what each saw, and notices."""
    notices: list[tuple[Any, ...]] = []
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        add(cerebro, store)
        seen = [FeedSeen() for _ in cerebro.datas]
        cerebro.addstrategy(Recorder, seen=seen, notices=notices)
        cerebro.run()
        for each, data in zip(seen, cerebro.datas, strict=True):
            each.audit = data.audit
    return seen, notices


def feeds_of(
    symbol: str, frames: Sequence[Frame], **options: Any
) -> Callable[[bt.Cerebro, TqStore], None]:
    def add(cerebro: bt.Cerebro, store: TqStore) -> None:
        for timeframe, compression in frames:
            cerebro.adddata(store.getdata(symbol, timeframe, compression, **options))

    return add


def official(market: Market, symbol: str, duration_s: int, until: datetime) -> list[Row]:
    """The exchange's own klines until a moment in Beijing time, without their times."""
    now_ns = int((until - timedelta(hours=8) - datetime(1970, 1, 1)).total_seconds()) * 10**9  # noqa: DTZ001
    rows = market.klines_before(symbol, duration_s * 10**9, now_ns, 10_000)
    return [(r.open, r.high, r.low, r.close, r.volume, r.close_oi) for r in rows]


FRAMES = {
    "10 seconds": ((SECOND, 10), 10),
    "13 seconds": ((SECOND, 13), 13),
    "90 seconds": ((SECOND, 90), 90),
    "minute": ((MINUTE, 1), 60),
    "4 minutes": ((MINUTE, 4), 240),
    "5 minutes": ((MINUTE, 5), 300),
    "7 minutes": ((MINUTE, 7), 420),
    "hour": ((MINUTE, 60), 3_600),
    "4 hours": ((MINUTE, 240), 14_400),
    "12 hours": ((MINUTE, 720), 43_200),
}


def test_all_timeframes_of_one_contract_equal_the_exchanges_klines() -> None:
    """Night, breaks, day: what was history and what was built, in one Cerebro from one stream."""
    start, end = beijing("2025-09-15T22:07:31"), beijing("2025-09-16T13:40:00")
    seen, notices = watch(
        LocalExchange(start=start, end=end),
        feeds_of(CU, [frame for frame, _ in FRAMES.values()], history=3),
    )
    market = Market.seeded(start=start, end=end)
    for (name, (_, duration_s)), feed in zip(FRAMES.items(), seen, strict=True):
        expected = official(market, CU, duration_s, end)
        got = [row[1:] for row in feed.rows]
        assert feed.history == 3, name
        whole = len(got)  # the bar that the end cuts is no bar of ours
        assert len(expected) - expected.index(got[0]) - whole in (0, 1), name
        assert got == expected[expected.index(got[0]) :][:whole], name
        assert feed.statuses == ["DELAYED", "LIVE"], name
        assert (feed.audit.agreed, feed.audit.differed) == (whole - 3, 0), name
    assert notices == []
