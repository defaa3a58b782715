# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. Reading the journal
#
# Every order, leg, trade and stop is written to a SQLite file before it is sent. `Journal` reads it
# as DataFrames, also while the program runs. First, something to read: a trading day with brackets.

# %%
from datetime import date
from pathlib import Path
from tempfile import mkdtemp

import backtrader as bt
import pandas as pd

from tianqin_backtrader import Journal, LocalExchange, TqStore

SYMBOL, DAY = "SHFE.cu2512", date(2025, 9, 16)
path = Path(mkdtemp()) / "orders.sqlite"


class Brackets(bt.Strategy):
    """Buys above the average of sixty bars, protected by a stop and with a limit to profit."""

    def __init__(self):
        self.average = bt.ind.SMA(self.data.close, period=60)
        self.working = set()

    def notify_order(self, order):
        if not order.alive():
            self.working.discard(order.ref)

    def next(self):
        if self.data.history_phase or self.position.size or self.working:
            return
        close = self.data.close[0]
        if close > self.average[0]:
            orders = self.buy_bracket(
                size=3, price=close, stopprice=close - 150, limitprice=close + 200
            )
            self.working.update(order.ref for order in orders)


with TqStore(exchange=LocalExchange(start=DAY, end=DAY), journal=path) as store:
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    broker = store.getbroker()
    cerebro.setbroker(broker)
    cerebro.adddata(store.getdata(SYMBOL, history=465))
    cerebro.addstrategy(Brackets)
    run = store.run_background(cerebro)
    run.wait()
run.chart(n=465)

# %% [markdown]
# ## Orders, legs and trades
#
# An order of Backtrader becomes one leg or several: close today, close history, open. Each leg is an
# exchange order, each trade belongs to a leg. `key` joins them.

# %%
journal = Journal(path)
orders, legs, trades = journal.orders(), journal.legs(), journal.trades()
print(len(orders), "orders,", len(legs), "legs,", len(trades), "trades")
orders.head()

# %%
legs.head()

# %%
when = pd.to_datetime(trades["time_ns"], utc=True).dt.tz_convert("Asia/Shanghai")
trades.assign(time=when)[["time", "direction", "offset", "volume", "price", "key"]].head()

# %% [markdown]
# ## What did it cost?
#
# Fees by open and close, from the trades themselves; their sum is the account's.

# %%
fees = trades.groupby("offset")["commission_cny"].agg(["count", "sum"])
fees

# %% [markdown]
# The money of each trade: what was sold less what was bought, times the multiplier. While lots are
# still held, the account values them at the newest price.

# %%
multiple = 5  # tons per lot of copper
sign = trades["direction"].map({"BUY": -1, "SELL": 1})
cash = (sign * trades["price"] * trades["volume"] * multiple).sum() - trades["commission_cny"].sum()
held = int((-sign * trades["volume"]).sum())
profit = broker.getvalue() - broker.startingvalue
pd.Series({"cash of trades": cash, "lots held": held, "change of balance": profit})

# %% [markdown]
# ## Stops
#
# The exchanges take no stop orders: stops and children of brackets are held by the program, and are
# here when it starts again.

# %%
journal.stops().head()

# %%
journal.close()
