"""What the examples share: options, the embedded exchange, a run to its end, tables.

A program of your own needs none of it: what matters stands in `play` of each example.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, NoReturn

import backtrader as bt
from rich.console import Console
from rich.table import Table

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.errors import TianqinError
from tianqin_backtrader.exits import DONE, FAILED, code_of

INTERRUPTED = 130  # as shells count Ctrl-C
MOST_ROWS = 14  # of a table; what lies between the first and the last ones is counted
Play = Callable[[argparse.Namespace], dict[str, Any]]

console = Console(highlight=False)


# ---- the program around an example


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(doc: str | None, play: Play, **flags: Mapping[str, Any]) -> int:
    """Read the command line, `play`, write its summary; returns the exit code.

    flags: options beside the usual ones, each with the arguments of `add_argument`.
    """
    parser = Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", default="demo", help="demo, sim, kq or paper (default: demo)")
    parser.add_argument("--journal", type=Path, metavar="FILE.sqlite", help="orders are kept here")
    parser.add_argument("--summary", type=Path, metavar="FILE.json", help="write a summary here")
    for name, about in flags.items():
        parser.add_argument(f"--{name}", **about)
    options = parser.parse_args()
    if options.summary is not None and not options.summary.parent.is_dir():
        parser.error(f"--summary {options.summary}: there is no folder {options.summary.parent}")
    try:
        told = play(options)
    except TianqinError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.summary is not None:
        text = json.dumps(told, indent=2, ensure_ascii=False, default=str)
        options.summary.write_text(text + "\n", encoding="utf-8")
    return FAILED if told.get("failed") else DONE


def symbol(default: str) -> dict[str, Any]:
    """The option that chooses the contract."""
    return {"default": default, "help": f"TqSdk symbol (default: {default})"}


def symbols(*defaults: str) -> dict[str, Any]:
    """The option that chooses several contracts."""
    about = f"TqSdk symbols (default: {' '.join(defaults)})"
    return {"nargs": len(defaults), "default": list(defaults), "help": about, "metavar": "SYMBOL"}


# ---- a run


def hours(start: str, end: str) -> dict[str, Any]:
    """When the embedded exchange begins and ends, Beijing time."""
    return {"start": datetime.fromisoformat(start), "end": datetime.fromisoformat(end)}


def store(options: argparse.Namespace, **market: Any) -> TqStore:
    """The session of `options`; `market`: what the embedded exchange of mode demo plays."""
    exchange = LocalExchange(**market) if options.mode == "demo" else None
    return TqStore(options.mode, exchange=exchange, journal=options.journal)


def cerebro(opened: TqStore, **broker: Any) -> bt.Cerebro:
    """A Cerebro on the account of a store, which notes what trades; `broker`: its parameters."""
    made = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    made.setbroker(opened.getbroker(**broker))
    made.addanalyzer(Orders, _name="orders")
    return made


def run(opened: TqStore, engine: bt.Cerebro) -> Any:
    """Run on `opened` to the end of the market, or to Ctrl-C; returns the strategy."""
    return opened.run(engine)[0]


def five_minutes(kind: type[bt.Strategy], title: str) -> Play:
    """A `play` of one strategy on five-minute bars; mode demo plays a trading day."""

    def play(options: argparse.Namespace) -> dict[str, Any]:
        market = {"start": date(2025, 9, 16), "end": date(2025, 9, 16), "ticks_per_minute": 4}
        with store(options, **market) as opened:
            engine = cerebro(opened)
            bars = (bt.TimeFrame.Minutes, 5)
            engine.adddata(opened.getdata(options.symbol, *bars, history=100))
            engine.addstrategy(kind)
            return report(run(opened, engine), f"{title}, {options.symbol}")

    return play


# ---- what it did


@dataclass
class Traded:
    """What an order came to: lots > 0 bought, the average price and fees in CNY."""

    time: datetime  # of the last fill, Beijing time
    contract: str
    lots: int
    price: float
    fee: float
    fills: int
    status: str
    why: str  # as the strategy said with buy(why=...)


class Orders(bt.Analyzer):
    """Every order that traded, in the order of their last fills."""

    def __init__(self) -> None:
        self.traded: dict[int, Traded] = {}
        self.ended: dict[int, str] = {}

    def notify_order(self, order: bt.Order) -> None:
        if order.info.get("opening"):  # lots of before the start
            return
        if not order.alive():
            self.ended[order.ref] = order.getstatusname()
        for bit in order.executed.iterpending():
            self._book(order, bit)
        if order.ref in self.traded:
            self.traded[order.ref].status = order.getstatusname()

    def _book(self, order: bt.Order, bit: Any) -> None:
        contract = str(order.info.get("contract") or getattr(order.data, "contract", "-"))
        time, why = order.data.num2date(bit.dt), "roll" if order.info.get("roll") else ""
        why = str(order.info.get("why") or why)
        found = self.traded.setdefault(order.ref, Traded(time, contract, 0, 0.0, 0.0, 0, "", why))
        lots = found.lots + int(bit.size)
        found.price = (found.price * found.lots + bit.price * bit.size) / lots
        found.time, found.lots, found.fills = time, lots, found.fills + 1
        found.fee = round(found.fee + bit.openedcomm + bit.closedcomm, 2)

    def get_analysis(self) -> list[Traded]:
        return sorted(self.traded.values(), key=lambda each: each.time)


def report(strategy: Any, title: str, **facts: Any) -> dict[str, Any]:
    """Print what was traded and what it came to; returns it for the summary."""
    traded: list[Traded] = strategy.analyzers.orders.get_analysis()
    broker = strategy.broker
    money = {
        "equity at the start": broker.startingvalue,
        "fees": sum(each.fee for each in traded),
        "equity at the end": broker.getvalue(),
    }
    held = {symbol: position.net for symbol, position in broker.positions().items()}
    columns = ("time", "contract", "side", ">lots", ">price", ">fee", "why")
    show(title, columns, map(_row, traded))
    facts |= {name: f"{cny:,.2f} CNY" for name, cny in money.items()}
    facts["held"] = ", ".join(f"{lots:+d} {symbol}" for symbol, lots in held.items()) or "nothing"
    show("Result", ("", ""), ((name, str(fact)) for name, fact in facts.items()))
    orders = [asdict(each) for each in traded]
    return {"orders": orders, "held": held, "money": money, "ended": _ends(strategy)}


def _row(each: Traded) -> tuple[str, ...]:
    side, lots = "buy" if each.lots > 0 else "sell", str(abs(each.lots))
    numbers = lots, f"{each.price:,.6g}", f"{each.fee:,.2f}"
    return (f"{each.time:%m-%d %H:%M:%S}", each.contract, side, *numbers, each.why)


def _ends(strategy: Any) -> list[str]:
    return list(strategy.analyzers.orders.ended.values())


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; of a long one the first and the last rows. ">lots" stands to the right."""
    made, every = Table(title=title, title_justify="left", show_header=any(columns)), list(rows)
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.lstrip(">"), justify="right" if right else "left")
    cut = len(every) - MOST_ROWS
    for number, row in enumerate(every):
        if cut > 0 and number == MOST_ROWS // 2:
            made.add_row(f"… {cut} more")
        if cut <= 0 or not MOST_ROWS // 2 <= number < MOST_ROWS // 2 + cut:
            made.add_row(*row)
    console.print(made)
