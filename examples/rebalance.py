"""Weekly rebalancing: several products, each with its share of the equity.

Idea: hold copper, rebar and soybean meal in fixed shares and bring them back once a week.
Rules: at the close of the week's last trading day the lots of each product are set to
weight x equity / (price x multiplier), rounded to whole lots: no product is further from its share
than half a lot. Orders of 15:00 wait here and leave when each product opens, at 21:00 or in the
morning. A weight below 0 is held short. Weeks are those of the exchanges' calendar: the two here
end on Tuesday 30 September, before the holidays, and on Friday 10 October.

    python examples/rebalance.py                                    # the embedded exchange
    python examples/rebalance.py --mode kq --symbols SHFE.cu2601 SHFE.rb2605 DCE.m2605

Backtrader's `order_target_percent` means another thing for futures: the share of the equity that is
bound as margin. A share of the contracts' worth is what the eye expects of a weight.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from typing import Any

import backtrader as bt
import gallery

WEIGHTS = (0.4, 0.3, -0.2)


class Rebalance(bt.Strategy):
    """Sets `weights`, one for each feed, whenever a trading week ends."""

    params = (("calendar", None), ("weights", WEIGHTS))

    def __init__(self) -> None:
        self.plans: list[dict[str, Any]] = []

    def next(self) -> None:
        day = self.data.datetime.date(0)
        history = any(getattr(data, "history_phase", False) for data in self.datas)
        if history or not self.p.calendar.last_weekday(day):
            return
        equity = self.broker.getvalue()
        for data, weight in zip(self.datas, self.p.weights, strict=True):
            self.set_weight(day, data, weight, equity)

    def set_weight(self, day: date, data: Any, weight: float, equity: float) -> None:
        lot = data.close[0] * self.broker.getcommissioninfo(data).p.mult  # CNY that one is worth
        lots = round(weight * equity / lot)
        change = lots - self.getposition(data).size
        self.order_target_size(data, lots, why=f"weight {weight:.0%}")
        plan = {"at": day, "contract": data._name, "weight": weight, "equity": equity}
        self.plans.append(plan | {"worth of a lot": lot, "lots": lots, "change": change})


def play(options: argparse.Namespace) -> dict[str, Any]:
    days = gallery.hours("2025-09-30 14:55", "2025-10-10 21:10")
    with gallery.store(options, ticks_per_minute=1, **days) as store:
        cerebro = gallery.cerebro(store)
        for symbol in options.symbols:
            cerebro.adddata(store.get_daily_data(symbol, history=20))
        cerebro.addstrategy(Rebalance, calendar=store.market_calendar(options.symbols[0]))
        strategy = gallery.run(store, cerebro)
        heads = ("at", "contract", ">weight", ">CNY a lot", ">exact lots", ">lots", ">change")
        gallery.show("Targets", heads, map(_row, strategy.plans))
        return gallery.report(strategy, "Weekly rebalancing") | {"plans": strategy.plans}


def _row(plan: dict[str, Any]) -> tuple[str, ...]:
    weight, worth = plan["weight"], plan["worth of a lot"]
    lots = f"{weight * plan['equity'] / worth:.2f}", f"{plan['lots']:+d}", f"{plan['change']:+d}"
    return (str(plan["at"]), plan["contract"], f"{weight:.0%}", f"{worth:,.0f}", *lots)


if __name__ == "__main__":
    products = gallery.symbols("SHFE.cu2511", "SHFE.rb2601", "DCE.m2601")
    sys.exit(gallery.main(__doc__, play, symbols=products))
