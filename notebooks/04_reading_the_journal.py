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
# as DataFrames, also while the program runs. First, something to read: a trading day with brackets,
# and one order that the risk limits refuse.

# %%
from datetime import date
from pathlib import Path
from tempfile import mkdtemp

import backtrader as bt
import pandas as pd
import plotly.graph_objects as go

from tianqin_backtrader import Journal, LocalExchange, RiskLimits, TqStore
from tianqin_backtrader.exports import export

SYMBOL, DAY = "SHFE.cu2512", date(2025, 9, 16)
path = Path(mkdtemp()) / "orders.sqlite"


class Brackets(bt.Strategy):
    """Buys above the average of sixty bars, protected by a stop and with a limit to profit."""

    def __init__(self):
        self.average = bt.ind.SMA(self.data.close, period=60)
        self.working = set()
        self.greedy = None

    def notify_order(self, order):
        if not order.alive():
            self.working.discard(order.ref)

    def next(self):
        if self.data.history_phase or self.position.size or self.working:
            return
        if self.greedy is None:
            self.greedy = self.buy(size=9)  # more than the limits allow
        close = self.data.close[0]
        if close > self.average[0]:
            orders = self.buy_bracket(
                size=3, price=close, stopprice=close - 150, limitprice=close + 200
            )
            self.working.update(order.ref for order in orders)


with TqStore(exchange=LocalExchange(start=DAY, end=DAY), journal=path) as store:
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    broker = store.getbroker(risk=RiskLimits(order_lots=5))
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
refusals = journal.refusals()
print(len(orders), "orders,", len(legs), "legs,", len(trades), "trades")
orders.head()

# %%
legs.head()

# %% [markdown]
# Times are ns since 1970 UTC.


# %%
def beijing(ns):
    return pd.to_datetime(ns, utc=True).dt.tz_convert("Asia/Shanghai").dt.tz_localize(None)


trades.assign(time=beijing(trades["time_ns"]))[
    ["time", "direction", "offset", "volume", "price", "key"]
].head()

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

# %% [markdown]
# ## Refusals
#
# An order that was not taken, or that the exchange refused: the rule that it broke, and a sentence.

# %%
refusals[["symbol", "code", "text"]]

# %% [markdown]
# ## The account over the day
#
# The account is pictured at the start, about every minute of market time, when a trading day is over,
# and at the end.

# %%
accounts = journal.accounts()
times = beijing(accounts["at_ns"]).dt.strftime("%m-%d %H:%M")
balance = go.Figure(go.Scatter(x=times, y=accounts["balance"], name="balance, CNY"))
balance.update_xaxes(type="category", nticks=8)  # no hole where the market is closed
balance.update_layout(title="Balance, CNY", height=320)
balance

# %%
accounts["why"].value_counts()

# %% [markdown]
# What was held at these moments; nothing where nothing was held.

# %%
positions = journal.positions()
positions.assign(time=beijing(positions["at_ns"]))[
    ["time", "symbol", "long_today", "long_history", "short_today", "short_history", "margin"]
].tail()

# %% [markdown]
# ## What happened
#
# Each `event` is what `notify_store` heard, with the time of the market and of the machine.

# %%
events = journal.events()
events.assign(time=beijing(events["at_ns"]))[["time", "kind", "text"]]

# %% [markdown]
# ## As files
#
# For spreadsheets and other programs: one row for each id, Beijing time beside the ns.
# `python -m tianqin_backtrader export` does the same, `report` makes a page of it.

# %%
files = export(path, path.parent / "out")
[file.name for file in files]

# %%
exported = pd.read_csv(files[0])
exported[["key", "direction", "volume", "kind", "filled", "average_price", "commission_cny"]].head()

# %%
journal.close()
