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
# # 2. From backtest to the embedded exchange
#
# One strategy, unchanged, first in Backtrader's own backtest, then on the embedded exchange over the
# same trading day: with ticks, a book, open and close orders, margin, fees and a settlement.

# %%
from datetime import date, datetime

import backtrader as bt
import pandas as pd

from tianqin_backtrader import LocalExchange, TqCommInfo, TqStore
from tianqin_backtrader.beijing import BEIJING

SYMBOL, DAY = "SHFE.cu2512", date(2025, 9, 16)


class DualMovingAverage(bt.Strategy):
    """Long while the fast average is above the slow one, else short. Knows nothing of TqSdk."""

    params = (("fast", 20), ("slow", 60), ("lots", 2))

    def __init__(self):
        self.fast = bt.ind.SMA(self.data.close, period=self.p.fast)
        self.slow = bt.ind.SMA(self.data.close, period=self.p.slow)
        self.order, self.fills = None, []

    def notify_order(self, order):
        for bit in order.executed.iterpending():
            when = self.data.num2date(bit.dt).replace(tzinfo=None)
            self.fills.append((when, int(bit.size), bit.price))
        if self.order is not None and order.ref == self.order.ref and not order.alive():
            self.order = None

    def next(self):
        if self.order is not None or getattr(self.data, "history_phase", False):
            return
        if int(self.data.trading_day[0]) != int(f"{DAY:%Y%m%d}"):
            return  # the days before only warm the averages up
        wanted = self.p.lots if self.fast[0] > self.slow[0] else -self.p.lots
        change = wanted - self.position.size
        if change:
            self.order = self.buy(size=change) if change > 0 else self.sell(size=-change)


# %% [markdown]
# ## The backtest
#
# Its data: official bars of the day and of the day before, from an exchange that stands at the day's
# close. `TqCommInfo` brings the contract's multiplier, margin and fees.


# %%
class Bars(bt.feeds.PandasData):
    """A DataFrame of `store.history`."""

    lines = ("trading_day",)
    params = (("openinterest", "open_interest"), ("trading_day", "day"))


with TqStore(exchange=LocalExchange(start=datetime(2025, 9, 16, 15, 1))) as store:
    bars = store.history(SYMBOL, n=2 * 465)
    terms = store.contracts("cu").loc[SYMBOL]

frame = bars.drop(columns=["trading_day", "session"])
frame["day"] = bars["trading_day"].dt.strftime("%Y%m%d").astype(int)

cerebro = bt.Cerebro(stdstats=False)
cerebro.broker.setcash(10_000_000)
cerebro.broker.addcommissioninfo(
    TqCommInfo(
        mult=int(terms["volume_multiple"]),
        margin=terms["margin_cny"],
        commission=terms["commission_cny"],
    )
)
cerebro.broker.set_slippage_fixed(terms["price_tick"], slip_out=True)
data = Bars(dataname=frame, tz=BEIJING)
cerebro.adddata(data)
cerebro.addstrategy(DualMovingAverage)
tested = cerebro.run()[0]
print(len(tested.fills), "fills,", f"{cerebro.broker.getvalue():,.2f} CNY")

# %% [markdown]
# ## The embedded exchange
#
# The same class, nothing changed: only feed and broker come from a store now. The first 465 bars are
# history, the rest are built from ticks as they come.

# %%
with TqStore(exchange=LocalExchange(start=DAY, end=DAY)) as store:
    cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
    broker = store.getbroker()
    cerebro.setbroker(broker)
    feed = store.getdata(SYMBOL, history=465)
    cerebro.adddata(feed)
    cerebro.addstrategy(DualMovingAverage)
    run = store.run_background(cerebro)
    traded = run.wait()[0]
run

# %% [markdown]
# Both saw the same bars, and traded at the same bars in the same direction. The exchange fills at
# its book's prices a moment after the bar's end; a backtest takes the next bar's open and a tick.

# %%
live = run.bars(n=2 * 465)
same_bars = bool((live["close"].to_numpy() == bars["close"].to_numpy()).all())
same_orders = [size for _, size, _ in tested.fills], [size for _, size, _ in traded.fills]
pd.DataFrame(
    {
        "backtest": [f"{when:%H:%M} {size:+d} @ {price:g}" for when, size, price in tested.fills],
        "exchange": [f"{when:%H:%M} {size:+d} @ {price:g}" for when, size, price in traded.fills],
    }
)

# %%
run.chart(n=465)

# %% [markdown]
# What the account says at the end: its own numbers, not Backtrader's arithmetic.

# %%
account = broker.account()
pd.Series(
    {
        "balance": account.balance,
        "closed profit": account.close_profit,
        "open profit": account.position_profit,
        "fees": account.commission,
        "margin": account.margin,
    },
    name="CNY",
)
