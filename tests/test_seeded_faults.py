"""Two hundred interruptions at random ticks: the bars are those of an undisturbed run."""

from __future__ import annotations

import random
from datetime import datetime
from functools import cache
from typing import Any

import backtrader as bt
import pytest
import tqsdk.connect

from tianqin_backtrader import LocalExchange, TqStore

M = "DCE.m2601"
# the morning's break (10:15 to 10:30) and the lunch break lie inside, and the edge of a night
WINDOWS = {
    "the morning's break": ("2025-09-16T10:06:17", "2025-09-16T10:38:00"),
    "the lunch break": ("2025-09-16T11:22:41", "2025-09-16T13:37:00"),
    "the end of the night": ("2025-09-15T22:51:03", "2025-09-16T09:08:00"),
}
LOST_S = {"1 s": (1, 1), "60 s": (60, 60), "over an edge": (600, 1_500)}
RUNS, GROUPS = 200, 10


class Disturbed(bt.Strategy):
    """Breaks the market-data connections on the nth tick, if any; keeps minutes and 10 seconds."""

    params = (("exchange", None), ("at_tick", None), ("lost_s", 0), ("bars", None))

    def __init__(self) -> None:
        self.ticks = 0
        self.lengths = [0, 0]

    def look(self) -> None:
        for n, data in enumerate(self.datas[:2]):
            if len(data) > self.lengths[n]:
                self.lengths[n] = len(data)
                lines = (data.open, data.high, data.low, data.close, data.volume, data.openinterest)
                row = (data.datetime.datetime(0), *(line[0] for line in lines))
                self.p.bars[n].append(row)
        if len(self.data2) > self.ticks and not self.data2.history_phase:
            self.ticks = len(self.data2)
            if self.p.at_tick is not None and self.ticks >= self.p.at_tick:
                self.p.at_tick = None
                self.p.exchange.drop("md", self.p.lost_s)

    prenext = next = look


def bars_of(window: str, at_tick: int | None = None, lost_s: float = 0) -> list[list[Any]]:
    start, end = (datetime.fromisoformat(text) for text in WINDOWS[window])
    exchange = LocalExchange(start=start, end=end)
    bars: list[list[Any]] = [[], []]
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(M, history=2))
        cerebro.adddata(store.getdata(M, bt.TimeFrame.Seconds, 10, history=2))
        cerebro.adddata(store.getdata(M, bt.TimeFrame.Ticks, 1, history=0))
        options = {"exchange": exchange, "at_tick": at_tick, "lost_s": lost_s, "bars": bars}
        cerebro.addstrategy(Disturbed, **options)
        cerebro.run()
    return bars


@cache
def undisturbed(window: str) -> list[list[Any]]:
    return bars_of(window)


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_interruption_changes_a_bar(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: 0.02)  # TqSdk's 10 to 20 s
    wrong = []
    for seed in range(group, RUNS, GROUPS):
        dice = random.Random(seed)
        window = dice.choice(list(WINDOWS))
        kind = list(LOST_S)[seed % len(LOST_S)]
        lost_s, at_tick = dice.uniform(*LOST_S[kind]), dice.randrange(1, 190)
        expected = undisturbed(window)
        assert len(expected[0]) > 12
        if bars_of(window, at_tick, lost_s) != expected:
            wrong.append((seed, kind, window, at_tick, lost_s))
    assert wrong == []
