"""Trade Chinese futures with Backtrader through TqSdk.

store = TqStore()                                  # no credentials: the embedded exchange
cerebro = bt.Cerebro(tz=0, quicknotify=True)
cerebro.setbroker(store.getbroker())
cerebro.adddata(store.getdata("SHFE.cu2512"))      # one-minute bars from ticks, with history
"""

from . import errors
from .analyzers import TradingDayReturns, TradingDays
from .background import BackgroundRun
from .broker import TqBroker
from .candles import candlestick
from .commission import TqCommInfo
from .feed import TqData
from .journal import Journal
from .market_calendar import MarketCalendar
from .notices import Notice
from .recorded import RecordedData
from .risk import RiskLimits
from .sim import LocalExchange
from .store import TqStore

__all__ = [
    "BackgroundRun",
    "Journal",
    "LocalExchange",
    "MarketCalendar",
    "Notice",
    "RecordedData",
    "RiskLimits",
    "TqBroker",
    "TqCommInfo",
    "TqData",
    "TqStore",
    "TradingDayReturns",
    "TradingDays",
    "candlestick",
    "errors",
]

__version__ = "0.1.0"
