"""Trade a dual moving average: on the embedded exchange, TqSdk's simulations, or a real account.

    python examples/run_live.py                                # a simulated day, no account needed
    python examples/run_live.py --replay SHFE.cu1905.csv.gz    # recorded one-minute klines or ticks
    python examples/run_live.py --mode kq --symbol SHFE.cu2601 # 快期模拟; credentials in .env
    python examples/run_live.py --mode paper --symbol SHFE.cu2601  # real market, nothing is sent
    python examples/run_live.py --mode live --symbol SHFE.cu2601 --confirm-live ACCOUNT

The embedded exchange trades one day, its night session first. Credentials come from the environment
or a .env file (TIANQIN_USER, TIANQIN_PASSWORD, ...; see .env.example). Mode live also needs
TIANQIN_LIVE_ENABLED=true there and the account's id once more, --confirm-live.

Ctrl-C and SIGTERM end it cleanly: orders at the exchange are withdrawn, stops wait in the journal
for the next start; --flatten closes all positions as well. Exit codes: 0 as wanted, 1 the program
failed, 2 mend the settings, 70 stop and look, 75 try again later.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
from rich.box import ROUNDED
from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from strategy import DualMovingAverage

from tianqin_backtrader import LocalExchange, TqBroker, TqData, TqStore
from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.errors import TianqinError, WrongSetting
from tianqin_backtrader.exits import code_of
from tianqin_backtrader.values import Account

SYMBOL = "SHFE.cu2511"
MOST_ROWS = 12  # of a table; of a longer one the first and the last half
FIRST_DAY = date(2025, 9, 16)  # of the embedded exchange; its night session is the evening before


class Reporter(bt.Analyzer):
    """Collects what the run did and shows how far it is."""

    params = (("progress", None),)

    def __init__(self) -> None:
        self.bars = self.history = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.orders: dict[int, bt.Order] = {}
        self.trades: list[
            tuple[datetime, str, int, float, float]
        ] = []  # time, what, lots, price, fee

    def notify_order(self, order: bt.Order) -> None:
        self.orders[order.ref] = order
        for bit in order.executed.iterpending():
            side = ("buy" if bit.size > 0 else "sell") + (" close" if bit.closed else " open")
            when = order.data.num2date(bit.dt)
            self.trades.append((when, side, abs(bit.size), bit.price, bit.comm))

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        now = self.data.datetime.datetime(0)
        if self.data.history_phase:
            self.history += 1
            return
        self.first = self.first or now
        self.last = now
        self.bars += 1
        if self.p.progress is not None:
            self.p.progress(now, self.data.close[0], self.strategy.position.size)

    def get_analysis(self) -> dict[str, Any]:
        return {"bars": self.bars, "orders": len(self.orders), "trades": len(self.trades)}


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", default="demo", help="demo, paper, sim, kq, live (default: demo)")
    parser.add_argument("--symbol", help=f"TqSdk symbol (default: {SYMBOL}, or the replay file's)")
    parser.add_argument(
        "--speed", type=float, default=0.0, help="multiples of real time; 0: lock-step"
    )
    parser.add_argument("--days", type=int, default=1, help="trading days of the made-up market")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="market records to replay")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE.sqlite", help="write orders down here, and go on"
    )
    parser.add_argument(
        "--confirm-live", metavar="ACCOUNT", help="of mode live: the account's id once more"
    )
    parser.add_argument("--flatten", action="store_true", help="close all positions at the end")
    parser.add_argument("--summary", type=Path, metavar="FILE.json", help="write a summary here")
    return parser.parse_args(argv)


def exchange(options: argparse.Namespace) -> LocalExchange | None:
    """The embedded exchange of mode demo: a replay, or some made-up days."""
    if options.mode != "demo":
        return None
    speed = options.speed or None
    if options.replay is not None:
        return LocalExchange(replay=[options.replay], speed=speed)
    if options.days < 1:
        raise WrongSetting("--days", options.days, "a whole number of trading days, at least 1")
    last, calendar = FIRST_DAY, shanghai_calendar()
    for _ in range(options.days - 1):
        last = calendar.next_day(last)
    return LocalExchange(start=FIRST_DAY, end=last, speed=speed)


def symbol_of(options: argparse.Namespace, market: LocalExchange | None) -> str:
    """What to trade: as asked, or the record's own contract."""
    if options.symbol:
        return str(options.symbol)
    return market.symbols[0] if market is not None and options.replay else SYMBOL


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run to the end of the market, or until a signal; returns the summary."""
    market = exchange(options)
    symbol = symbol_of(options, market)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    settings = {"journal": options.journal, "confirm_live": options.confirm_live}
    with (
        TqStore(options.mode, exchange=market, **settings) as store,
        Progress(*columns, console=console, transient=True) as display,
    ):
        task = display.add_task(symbol, total=None, said="logging in")

        def progress(now: datetime, close: float, lots: int) -> None:
            display.update(task, said=f"{now:%Y-%m-%d %H:%M}  {close:g}  {lots:+d} lots")

        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        data = store.getdata(symbol, history=200)
        cerebro.adddata(data)
        cerebro.addstrategy(DualMovingAverage)
        cerebro.addanalyzer(Reporter, _name="report", progress=progress)
        report = store.run(cerebro, flatten=options.flatten)[0].analyzers.report
    show(console, options.mode, symbol, report, broker, data)
    return summary(options.mode, symbol, report, broker, data)


def summary(
    mode: str, symbol: str, report: Reporter, broker: TqBroker, data: TqData
) -> dict[str, Any]:
    def text(moment: datetime | None) -> str | None:
        return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"

    return {
        "mode": mode,
        "symbol": symbol,
        "bars": report.bars,
        "ticks": data.ticks,
        "orders": len(report.orders),
        "trades": len(report.trades),
        "cash": broker.getcash(),
        "value": broker.getvalue(),
        "first_bar": text(report.first),
        "last_bar": text(report.last),
    }


def show(
    console: Console, mode: str, symbol: str, report: Reporter, broker: TqBroker, data: TqData
) -> None:
    """Tables of what happened, in Beijing time; beside each other where the terminal is wide."""
    money = broker.account()
    console.print(Columns([orders_table(report), trades_table(report)], padding=(0, 2)))
    console.print(Columns([account_table(money), positions_table(broker)], padding=(0, 2)))
    said = (
        f"{mode} {symbol}: {report.bars} bars from {data.ticks} ticks, "
        f"{report.history} of history before, "
        f"{len(report.orders)} orders, {len(report.trades)} trades, "
        f"{money.balance - broker.startingvalue:+,.2f} CNY"
    )
    console.print(said, style="bold", highlight=False)


def orders_table(report: Reporter) -> Table:
    whys = [str(o.info.get("reason") or o.info.get("held") or "") for o in report.orders.values()]
    names = ("ref", "side", "lots", "price", "filled", "at", "status")
    made = table("Orders", *names, *(["reason"] if any(whys) else []))
    rows = [
        (
            str(order.ref),
            coloured(order.ordtypename().lower(), order.isbuy()),
            f"{abs(order.created.size):g}",
            order.getordername().lower(),
            f"{abs(order.executed.size):g}",
            f"{order.executed.price:g}" if order.executed.size else "-",
            order.getstatusname(),
            *([escape(why)] if any(whys) else []),
        )
        for order, why in zip(report.orders.values(), whys, strict=True)
    ]
    return filled(made, rows)


def trades_table(report: Reporter) -> Table:
    made = table("Trades", "time", "side", "lots", "price", "fee")
    rows = [
        (
            f"{when:%m-%d %H:%M:%S}",
            coloured(side, side[0] == "b"),
            str(lots),
            f"{price:g}",
            f"{fee:.2f}",
        )
        for when, side, lots, price, fee in report.trades
    ]
    return filled(made, rows)


def positions_table(broker: TqBroker) -> Table:
    made = table(
        "Positions", "contract", "long today", "long history", "short today", "short history"
    )
    for held in broker.positions().values():
        counts = (held.long.today, held.long.history, held.short.today, held.short.history)
        made.add_row(held.symbol, *map(str, counts))
    return made


def account_table(money: Account) -> Table:
    made = table("Account", "item", "CNY")
    items = {
        "balance": money.balance,
        "available": money.available,
        "margin": money.margin,
        "closed profit": money.close_profit,
        "open profit": money.position_profit,
        "fees": money.commission,
    }
    for item, amount in items.items():
        shown = f"{amount:,.2f}"
        made.add_row(item, coloured(shown, amount > 0) if "profit" in item and amount else shown)
    return made


def table(title: str, *columns: str) -> Table:
    made = Table(title=f"[bold]{title}", title_justify="left", box=ROUNDED, border_style="dim")
    for name in columns:
        words = name in ("side", "status", "reason", "time", "contract", "item")
        made.add_column(name, justify="left" if words else "right")
    return made


def filled(made: Table, rows: list[Any]) -> Table:
    """With these rows; of many only the first and the last: the journal holds them all."""
    cut = len(rows) - MOST_ROWS
    for number, row in enumerate(rows):
        if cut > 1 and number == MOST_ROWS // 2:
            made.add_row(f"… {cut}", "more")
        if cut <= 1 or not MOST_ROWS // 2 <= number < MOST_ROWS // 2 + cut:
            made.add_row(*row)
    return made


def coloured(text: str, is_red: bool) -> str:
    """In China's colours: red is up, bought, earned."""
    return f"[{'red' if is_red else 'green'}]{text}[/]"


def main(argv: list[str]) -> int:
    options = arguments(argv)
    console = Console()
    try:
        result = run(options, console)
        if options.summary is not None:
            options.summary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except TianqinError as error:
        Console(stderr=True).print(
            f"{type(error).__name__}: {error}", markup=False, highlight=False
        )
        return code_of(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
