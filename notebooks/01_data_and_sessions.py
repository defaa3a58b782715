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
# # 1. Data and sessions
#
# Contracts, bars and ticks as DataFrames, and how a Chinese trading day is built. Nothing is needed:
# without credentials `TqStore()` starts an exchange of its own on your machine. With
# `TqStore("sim", user=..., password=...)` the same cells show the real market.

# %%
from tianqin_backtrader import TqStore, candlestick

store = TqStore()
bars = store.history("SHFE.cu2512", n=465)
candlestick(bars, "SHFE.cu2512, one minute")

# %% [markdown]
# Red bars rise, as in China; `colors="green_up"` turns it round. Grey ground: the night session.
# Breaks, nights and weekends leave no hole, because nobody traded in them.
#
# A bar carries its **end** in Beijing time. Only bars that are over are shown.

# %%
bars.tail()

# %% [markdown]
# ## The trading day
#
# It begins at 21:00 of the evening before. These 465 minutes are one trading day, a Monday's, whose
# night was on Friday evening: 240 minutes of the night, 135 of the morning, 90 of the afternoon.

# %%
day = bars.groupby(["trading_day", "session"], sort=False).size()
day

# %% [markdown]
# The daily bar is made of exactly these minutes, night included.

# %%
import backtrader as bt

days = store.history("SHFE.cu2512", bt.TimeFrame.Days, n=120)
same_volume = int(bars["volume"].sum()) == int(days["volume"].iloc[-1])
days.tail(3)

# %%
candlestick(days, "SHFE.cu2512, days")

# %% [markdown]
# Hours of different contracts: copper trades until 01:00, meal until 23:00, stock index futures
# have no night. `store.sessions` knows them, holidays included.

# %%
hours = {}
for symbol in ("SHFE.cu2512", "DCE.m2601", "CFFEX.IF2512"):
    stretches = store.sessions(symbol).stretches(bars["trading_day"].iloc[-1].date())
    hours[symbol] = sum(each.end_ns - each.start_ns for each in stretches) / 3_600e9
hours

# %% [markdown]
# ## Contracts
#
# `main` marks the one that the main contract, `KQ.m@SHFE.cu`, follows now. Margin and fee are CNY
# per lot.

# %%
contracts = store.contracts("cu")
contracts[["name", "expires", "volume_multiple", "price_tick", "margin_cny", "main"]].head()

# %% [markdown]
# ## Ticks
#
# `volume` and `amount` count from the beginning of the trading day.

# %%
ticks = store.ticks("SHFE.cu2512", 1_000)
ticks[["last_price", "bid_price", "ask_price", "volume", "open_interest"]].tail()

# %%
store.stop()
