"""One strategy, two places: a backtest, and the embedded exchange over the same recorded days.

The file `strategy.py` runs unchanged in `run_live.py` and here: first at the exchange, which
replays the klines, then in Backtrader's own broker with `TqCommInfo`. The table compares both.
Where they differ, a rule of `RULES` says why and by how much, to the cent; what no rule explains is
called UNEXPLAINED, and the program ends with 1.

    python examples/backtest.py                                       # klines of the made-up market
    python examples/backtest.py --data SHFE.cu1905.csv.gz --days 5    # your own, CSV or Parquet

A file of one-minute klines is named after its contract and has TqSdk's columns: datetime (ns since
1970, start of the minute), open, high, low, close, volume, open_oi, close_oi. What the exchange
charged is what the backtest charges; for one alone, write your broker's terms:

    fees = {"commission": 20.2, "close_today": 40.4}
    TqCommInfo(mult=5, margin=36_000, exchange_id="SHFE", data=feed, **fees)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import gallery
import pandas as pd
from strategy import DualMovingAverage

from tianqin_backtrader import LocalExchange, TqCommInfo, TqStore
from tianqin_backtrader.beijing import BEIJING
from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.errors import BadReplayFile, WrongSetting

EQUITY_CNY = 10_000_000.0
MINUTE_NS = 60_000_000_000
EPOCH_DAY = 719_163  # 1970-01-01, as Backtrader counts days
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


# ---- the records


def klines_of(path: Path) -> pd.DataFrame:
    """Recorded klines with their trading days. Raises `BadReplayFile`."""
    try:
        read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
        frame = read(path)
    except (OSError, ValueError, ImportError) as error:
        raise BadReplayFile(path, str(error), "a CSV or Parquet file of klines") from error
    missing = {"datetime", "open_oi", "close_oi", *OHLCV} - set(frame.columns)
    if missing:
        raise BadReplayFile(path, f"no column {min(missing)}", "TqSdk's columns of klines")
    if "trading_day" not in frame.columns:
        frame["trading_day"] = trading_days(frame["datetime"])
    return frame.assign(trading_day=pd.to_datetime(frame["trading_day"]).dt.date)


def trading_days(labels: pd.Series[int]) -> list[date]:
    """From 18:00 on a moment belongs to the next trading day."""
    calendar, known = shanghai_calendar(), dict[date, date]()
    evenings = pd.to_datetime(labels + (8 + 6) * 60 * MINUTE_NS).dt.date
    for day in evenings.unique():
        known[day] = day if calendar.is_trading_day(day) else calendar.next_day(day)
    return [known[day] for day in evenings]


def mint(folder: Path, symbol: str, days: int) -> Path:
    """The klines of some days of the made-up market, as its history tells them."""
    evening = datetime(2025, 9, 18, 20, 59)  # noqa: DTZ001  Beijing time
    exchange = LocalExchange(start=evening, end=evening + timedelta(minutes=2))
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(stdstats=False)
        data = store.getdata(symbol, history=465 * days)  # copper: 465 minutes a day
        cerebro.adddata(data)
        cerebro.addstrategy(bt.Strategy)
        cerebro.run()
        columns = {name: list(getattr(data, name).array) for name in (*OHLCV, "trading_day")}
        ends = [round((end - EPOCH_DAY) * 1440) for end in data.datetime.array]
        frame = pd.DataFrame(columns).assign(
            datetime=[(minute - 1) * MINUTE_NS for minute in ends],
            close_oi=list(data.openinterest.array),
        )
    frame["open_oi"] = frame["close_oi"].shift(1, fill_value=frame["close_oi"][0])
    frame["trading_day"] = pd.to_datetime(frame["trading_day"].astype(int).astype(str))
    path = folder / f"{symbol}.csv"
    frame[: 465 * days].to_csv(path, index=False)
    return path


# ---- the two runs


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


def at_exchange(path: Path, days: list[date]) -> Story:
    exchange = LocalExchange(
        replay=[path], start=days[0], end=days[-1], balance_cny=EQUITY_CNY, ticks_per_minute=4
    )
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        cerebro.setbroker(store.getbroker())
        cerebro.adddata(store.getdata(exchange.symbols[0], history=0))
        return told_by(cerebro)


class Klines(bt.feeds.PandasData):
    """Recorded klines, each at its end, in Beijing time."""

    lines: Any = ("trading_day",)
    params: Any = (("trading_day", "trading_day"), ("openinterest", "close_oi"), ("tz", BEIJING))


def in_backtest(klines: pd.DataFrame, exchange: Story) -> Story:
    terms, listed = exchange.terms, exchange.instrument
    numbered = pd.to_datetime(klines["trading_day"]).dt.strftime("%Y%m%d").astype(int)
    ends = pd.to_datetime(klines["datetime"] + MINUTE_NS)
    feed = Klines(dataname=klines.assign(trading_day=numbered).set_index(ends))
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker.setcash(EQUITY_CNY)
    cerebro.broker.set_slippage_fixed(listed.price_tick, slip_out=True)
    fees = {name: getattr(terms, name) for name in ("commission", "close", "close_today")}
    money = {"mult": terms.mult, "margin": terms.margin, "exchange_id": listed.exchange_id}
    cerebro.broker.addcommissioninfo(TqCommInfo(data=feed, **money, **fees))
    cerebro.adddata(feed)
    return told_by(cerebro)


def told_by(cerebro: bt.Cerebro) -> Story:
    cerebro.addstrategy(DualMovingAverage)
    cerebro.addanalyzer(Story, _name="story")
    story: Story = cerebro.run()[0].analyzers.story
    return story


# ---- what is different, and why


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
        Row("orders", *map(len, orders)),
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
    lots = Row("lots", *(sum(abs(pair[side].lots) for pair in pairs) for side in (0, 1)))
    lots.rule = "" if all(one.lots == other.lots for one, other in pairs) else UNEXPLAINED
    same = sum(one.minutes == other.minutes for one, other in pairs)
    minutes = Row("filled in the same minute", len(pairs), same)
    minutes.judge(all(min(one.minutes) == min(other.minutes) for one, other in pairs), "QUEUE")
    equal = sum(abs(one.cny - other.cny) < 1e-6 for one, other in pairs)
    prices = Row("filled at the same price", len(pairs), equal)
    prices.judge(all(_is_near(other, traded) for _, other in pairs), "BOOK")
    fees = Row("fees, CNY", *(sum(pair[side].fees for pair in pairs) for side in (0, 1)))
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


# ---- the program


def play(options: argparse.Namespace) -> dict[str, Any]:
    if options.mode != "demo":
        raise WrongSetting("--mode", options.mode, "demo: recorded days, the embedded exchange")
    if options.days < 1:
        raise WrongSetting("--days", options.days, "a whole number of trading days, at least 1")
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or mint(Path(folder), "SHFE.cu2511", min(options.days, 20))
        klines = klines_of(path)
        days = list(klines["trading_day"].unique())
        days = days[1:] if options.data and len(days) > 1 else days  # the first may be cut
        days = days[: options.days]
        traded = at_exchange(path, days)
        tested = in_backtest(klines[klines["trading_day"].isin(days)], traded)
    return show(f"{path.name}, {days[0]} to {days[-1]}", compare(tested, traded))


def show(title: str, rows: list[Row]) -> dict[str, Any]:
    lines = [
        (row.what, *(f"{n:,.10g}" for n in (row.backtest, row.exchange)), _signed(row), row.rule)
        for row in rows
    ]
    gallery.show(title, ("", ">backtest", ">exchange", ">difference", "rule"), lines)
    for rule in dict.fromkeys(row.rule for row in rows if row.rule):
        gallery.console.print(f"[bold]{rule}[/]: {RULES.get(rule, 'look into it')}")
    unexplained = [row.what for row in rows if row.rule == UNEXPLAINED]
    told = [vars(row) | {"difference": row.difference} for row in rows]
    return {"rows": told, "unexplained": unexplained, "failed": bool(unexplained)}


def _signed(row: Row) -> str:
    return f"{row.difference:+,.10g}" if row.difference else "0"


if __name__ == "__main__":
    data = {"type": Path, "metavar": "FILE", "help": "one-minute klines of a contract"}
    count = {"type": int, "default": 3, "help": "trading days (default: 3)"}
    sys.exit(gallery.main(__doc__, play, data=data, days=count))
