"""What two runs of one strategy came to, and the rules by which they may differ; see `backtest.py`.

A rule is named only where what it allows was checked; anything else is UNEXPLAINED.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import backtrader as bt

OHLCV = ("open", "high", "low", "close", "volume")
RULES = {
    "BOOK": "Klines have no book. The exchange makes one up and fills at its quotes when the order "
    "arrives; the backtest fills at the next bar's open, one price tick worse.",
    "QUEUE": "What the best quote cannot fill at once follows the price: several fills, or a later "
    "minute.",
    "CENT": "Each fill's fee is rounded to the cent; several fills round several times.",
    "PRICES": "Equities differ by what the fills do: lots x multiplier x price, and fees.",
    "END": "Written on the last bar: the records end before it fills.",
}
UNEXPLAINED = "UNEXPLAINED"
BOOK_TICKS = 3  # how far beside the bar a fill may lie: market orders reach two beyond the quote


@dataclass
class Fill:
    """All fills of one order. `minutes`: in which, Beijing time; `cny`: lots x price, signed."""

    minutes: set[datetime]
    lots: int = 0
    cny: float = 0.0
    fees: float = 0.0
    parts: int = 0


class Story(bt.Analyzer):
    """What a run came to: bars, orders as written, fills by order, equity at each bar."""

    def __init__(self) -> None:
        self.bars: list[tuple[Any, ...]] = []
        self.days: list[date] = []
        self.equity: list[float] = []  # CNY
        self.orders: dict[int, tuple[Any, ...]] = {}
        self.fills: dict[int, Fill] = {}

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        data, day = self.data, int(self.data.trading_day[0])
        values = (getattr(data, name)[0] for name in OHLCV)
        self.bars.append((data.datetime.datetime(0), *values))
        self.days.append(date(day // 10_000, day // 100 % 100, day % 100))
        self.equity.append(self.strategy.broker.getvalue())

    def notify_order(self, order: bt.Order) -> None:
        written = order.data.num2date(order.created.dt)
        side, lots = ("buy" if order.isbuy() else "sell"), int(abs(order.created.size))
        self.orders.setdefault(order.ref, (written, side, lots))
        for bit in order.executed.iterpending():
            fill = self.fills.setdefault(order.ref, Fill(set()))
            inside = order.data.num2date(bit.dt - 1e-6)  # a backtest's fill bears its bar's end
            fill.minutes.add(inside.replace(second=0, microsecond=0))
            fill.lots, fill.cny = fill.lots + int(bit.size), fill.cny + bit.size * bit.price
            fill.fees += bit.openedcomm + bit.closedcomm
            fill.parts += 1

    def stop(self) -> None:
        self.instrument: Any = getattr(self.data, "instrument", None)
        self.terms = self.strategy.broker.getcommissioninfo(self.data).p


@dataclass
class Row:
    """A line of the table. `rule`: of `RULES`, empty where nothing differs."""

    what: str
    backtest: float
    exchange: float
    rule: str = ""

    @property
    def difference(self) -> float:
        return round(self.exchange - self.backtest, 2)

    def judge(self, is_explained: bool, rule: str) -> None:
        """Name the rule behind a difference, if what it allows is all that happened."""
        self.rule = (rule if self.difference else "") if is_explained else UNEXPLAINED


def compare(tested: Story, traded: Story) -> list[Row]:
    """What both came to; a rule is named only where what it allows was checked."""
    pairs = paired(tested, traded)
    last = min(story.bars[-1][0] for story in (tested, traded))
    late = [not (one and other) for one, other, written in pairs if written < last]
    orders = [list(story.orders.values()) for story in (tested, traded)]
    rows = [
        Row("bars", len(tested.bars), len(traded.bars)),
        Row("orders", len(orders[0]), len(orders[1])),
        Row("orders filled", len(tested.fills), len(traded.fills)),
    ]
    rows[0].rule = "" if tested.bars == traded.bars else UNEXPLAINED
    before = [[order for order in each if order[0] < last] for each in orders]
    rows[1].judge(before[0] == before[1], "END")
    rows[2].judge(not any(late), "END")
    rows += _fills([(one, other) for one, other, _ in pairs if one and other], traded)
    days = [day for day in dict.fromkeys(traded.days) if day in tested.days]
    return rows + [_equity(day, tested, traded) for day in days]


def paired(tested: Story, traded: Story) -> list[tuple[Fill | None, Fill | None, datetime]]:
    """The fills of both runs, order by order as they were written, and when that was."""
    refs = zip(tested.orders, traded.orders, strict=False)
    return [
        (tested.fills.get(one), traded.fills.get(other), tested.orders[one][0])
        for one, other in refs
    ]


def _fills(pairs: list[tuple[Fill, Fill]], traded: Story) -> list[Row]:
    """Lots, minutes, prices and fees of orders that filled in both runs."""
    sums = [sum(abs(pair[side].lots) for pair in pairs) for side in (0, 1)]
    lots = Row("lots", sums[0], sums[1])
    lots.rule = "" if all(one.lots == other.lots for one, other in pairs) else UNEXPLAINED
    same = sum(one.minutes == other.minutes for one, other in pairs)
    minutes = Row("in the same minute", len(pairs), same)
    minutes.judge(all(min(one.minutes) == min(other.minutes) for one, other in pairs), "QUEUE")
    equal = sum(abs(one.cny - other.cny) < 1e-6 for one, other in pairs)
    prices = Row("at the same price", len(pairs), equal)
    prices.judge(all(_is_near(other, traded) for _, other in pairs), "BOOK")
    paid = [round(sum(pair[side].fees for pair in pairs), 2) for side in (0, 1)]
    fees = Row("fees, CNY", paid[0], paid[1])
    parts = sum(one.parts + other.parts for one, other in pairs)
    fees.judge(abs(fees.difference) <= parts * 0.005, "CENT")
    return [lots, minutes, prices, fees]


def _is_near(fill: Fill, traded: Story) -> bool:
    """Whether its average price lies within its minutes' bars, or a few price ticks beside."""
    ends = {minute + timedelta(minutes=1) for minute in fill.minutes}
    bars = [bar for bar in traded.bars if bar[0] in ends]
    near = BOOK_TICKS * traded.instrument.price_tick
    low, high = min(bar[3] for bar in bars), max(bar[2] for bar in bars)
    return bool(low - near <= fill.cny / fill.lots <= high + near)


def _equity(day: date, tested: Story, traded: Story) -> Row:
    """At the day's last bar, before the settlement; fills of until then explain it, or not."""
    ends = [max(n for n, each in enumerate(s.days) if each == day) for s in (tested, traded)]
    row = Row(f"equity {day}, CNY", tested.equity[ends[0]], traded.equity[ends[1]])
    before = worth(tested, tested.bars[ends[0]], traded.terms.mult)
    after = worth(traded, traded.bars[ends[1]], traded.terms.mult)
    row.judge(abs(row.difference - (after - before)) < 0.01, "PRICES")
    return row


def worth(story: Story, bar: tuple[Any, ...], multiplier: float) -> float:
    """What the fills until the end of `bar` have earned, lots held at its close, CNY."""
    fills = [fill for fill in story.fills.values() if max(fill.minutes) < bar[0]]
    held, spent = sum(fill.lots for fill in fills), sum(fill.cny for fill in fills)
    return multiplier * (held * float(bar[4]) - spent) - sum(fill.fees for fill in fills)
