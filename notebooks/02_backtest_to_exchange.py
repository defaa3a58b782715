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
        done = order.executed
        if order.status == order.Completed:
            self.fills.append((self.data.num2date(done.dt), int(done.size), done.price, done.comm))
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
# close. `TqCommInfo` brings the contract's multiplier, margin and fees; closing today's copper costs
# twice as much.


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

data = Bars(dataname=frame, tz=BEIJING)
cerebro = bt.Cerebro(stdstats=False)
cerebro.adddata(data)
cerebro.broker.setcash(10_000_000)
cerebro.broker.addcommissioninfo(
    TqCommInfo(
        mult=int(terms["volume_multiple"]),
        margin=terms["margin_cny"],
        commission=terms["commission_cny"],
        close_today=2 * terms["commission_cny"],
        exchange_id="SHFE",
        data=data,
    )
)
cerebro.broker.set_slippage_fixed(terms["price_tick"], slip_out=True)
cerebro.addstrategy(DualMovingAverage)
tested = cerebro.run()[0]
print(len(tested.fills), "orders filled,", f"{cerebro.broker.getvalue():,.2f} CNY")

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
# Both saw the same bars, and wrote the same orders. The exchange fills a moment after the bar's end,
# at its book's prices; a backtest knows only bars, fills in the next one, at its open and a tick, and
# stamps the fill with that bar's end.

# %%
live = run.bars(n=2 * 465)
same_bars = bool((live["close"].to_numpy() == bars["close"].to_numpy()).all())
fills = pd.DataFrame(
    {
        "lots": [size for _, size, _, _ in tested.fills],
        "backtest at": [f"{when:%H:%M}" for when, *_ in tested.fills],
        "backtest": [price for _, _, price, _ in tested.fills],
        "fee": [fee for *_, fee in tested.fills],
        "exchange at": [f"{when:%H:%M}" for when, *_ in traded.fills],
        "exchange": [price for _, _, price, _ in traded.fills],
        "fee there": [fee for *_, fee in traded.fills],
    }
)
same_orders = fills["lots"].tolist() == [size for _, size, _, _ in traded.fills]
fills

# %% [markdown]
# Orders, lots and fees are the same, and the money differs by exactly what the fill prices differ.

# %%
difference = broker.getvalue() - tested.broker.getvalue()
by_prices = 5 * (fills["lots"] * (fills["backtest"] - fills["exchange"])).sum()
pd.Series({"difference of equity": difference, "of fill prices": by_prices}, name="CNY")

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
