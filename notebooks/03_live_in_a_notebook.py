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
# # 3. Live in a notebook
#
# `store.run_background(cerebro)` runs Cerebro in a thread of its own. TqApi lives there; the notebook
# stays free: look at the run, ask it something, stop it. Here the embedded exchange trades an evening,
# 300 times as fast as the clock; with `TqStore("kq")` the same cells run on 快期模拟.

# %%
import time

import backtrader as bt

from tianqin_backtrader import LocalExchange, TqStore

SYMBOL = "SHFE.cu2512"
store = TqStore(exchange=LocalExchange(speed=300))


class Breakout(bt.Strategy):
    """Long above the highest close of ten bars, short below the lowest."""

    def __init__(self):
        self.highest = bt.ind.Highest(self.data.close(-1), period=10)
        self.lowest = bt.ind.Lowest(self.data.close(-1), period=10)
        self.order = None

    def next(self):
        is_waiting = self.order is not None and self.order.alive()
        if self.data.history_phase or is_waiting:
            return
        close, held = self.data.close[0], self.position.size
        if close > self.highest[0] and held <= 0:
            self.order = self.buy(size=1 - held)
        elif close < self.lowest[0] and held >= 0:
            self.order = self.sell(size=1 + held)


cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
cerebro.setbroker(store.getbroker())
cerebro.adddata(store.getdata(SYMBOL, history=60))
cerebro.addstrategy(Breakout)

# %%
run = store.run_background(cerebro)
run

# %% [markdown]
# `show()` draws the chart and keeps it up to date below this cell; the next cells can be used
# meanwhile. Triangles are the account's fills.

# %%
while run.status().live_bars < 2:
    time.sleep(0.1)
run.show(n=120, every_s=1.0)

# %% [markdown]
# A status is a picture of one moment. Evaluate the cell again to see the next one.

# %%
seen = run.status()
seen

# %%
run.positions()

# %% [markdown]
# Questions to the store are answered by the run's thread, between two bars. So is whatever you
# hand to `call`: `run.call(cerebro.broker.cancel_all)`, or an order of your own.

# %%
asked = store.history(SYMBOL, n=5)
asked

# %%
lots = run.call(lambda: cerebro.broker.getposition(cerebro.datas[0]).size)
lots

# %% [markdown]
# `stop()` ends the run within a second, also when the market is silent. `wait()` returns the
# strategies, and raises what they raised; where the market's records have an end, it waits for that.

# %%
while run.status().live_bars < 30:
    time.sleep(0.1)
stopped = run.stop()
strategies = run.wait()
run

# %%
run.chart(n=120)

# %% [markdown]
# An error of the strategy ends the run, not the notebook.


# %%
class Broken(bt.Strategy):
    def next(self):
        raise RuntimeError("no such indicator")


store = TqStore()  # the first exchange ended with its store's session
again = bt.Cerebro(tz=0, stdstats=False)
again.setbroker(store.getbroker())
again.adddata(store.getdata(SYMBOL, history=5))
again.addstrategy(Broken)
failed = store.run_background(again)
try:
    failed.wait()
except RuntimeError as error:
    print(error)
failed

# %%
store.stop()
