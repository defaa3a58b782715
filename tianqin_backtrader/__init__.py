"""Trade Chinese futures with Backtrader through TqSdk.

store = TqStore()                                  # no credentials: the embedded exchange
cerebro = bt.Cerebro(tz=0, quicknotify=True)
cerebro.setbroker(store.getbroker())
cerebro.adddata(store.getdata("SHFE.cu2512"))      # one-minute bars from ticks, with history
"""

from . import errors
from .broker import TqBroker
from .commission import TqCommInfo
from .feed import TqData
from .market_calendar import MarketCalendar
from .notices import Notice
from .recorded import RecordedData
from .sim import LocalExchange
from .store import TqStore

__all__ = [
    "LocalExchange",
    "MarketCalendar",
    "Notice",
    "RecordedData",
    "TqBroker",
    "TqCommInfo",
    "TqData",
    "TqStore",
    "errors",
]

__version__ = "0.1.0"
