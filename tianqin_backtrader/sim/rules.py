"""Why an exchange refuses an order: one rule, one function, one Chinese reason.

The rules stand in `RULES` in the order in which they are asked; the first reason counts. Sources:
the documentation of `TqApi.insert_order` for price types and FOK, the trading rules of the
exchanges for offsets, and the `last_msg` texts of a real TqKq account.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .orders import Order
from .positions import SPLITS_TODAY, Position
from .values import Contract, DayTerms

__all__ = ["CLOSED_NOW", "NO_CONTRACT", "NO_MONEY", "over_closing", "refusal"]

NO_CONTRACT = "合约代码不存在"
CLOSED_NOW = "下单失败, 不在可交易时间段内"
NO_MONEY = "CTP:资金不足"

WORDS = {
    "direction": frozenset({"BUY", "SELL"}),
    "offset": frozenset({"OPEN", "CLOSE", "CLOSETODAY"}),
    "price_type": frozenset({"LIMIT", "ANY", "BEST", "FIVELEVEL"}),
    "time_condition": frozenset({"GFD", "IOC"}),
    "volume_condition": frozenset({"ANY", "ALL"}),
}
BEST_PRICE_TYPES = frozenset({"BEST", "FIVELEVEL"})  # CFFEX alone has them
NO_MARKET_ORDER = frozenset({"SHFE", "INE", "CFFEX"})
NO_FOK = frozenset({"CZCE"})
TICK_TOLERANCE = 1e-6  # of a tick: 0.1 + 0.2 is a price of a contract that moves by 0.1

Rule = Callable[[Order, Contract, DayTerms | None], str]


def refusal(order: Order, contract: Contract | None, terms: DayTerms | None, now_ns: int) -> str:
    """The reason to refuse `order` at `now_ns`, whoever sent it; "" if there is none."""
    for name, known in WORDS.items():
        if getattr(order, name) not in known:
            return f"报单字段错误:{name}"
    if contract is None:
        return NO_CONTRACT
    if contract.ins_class == "CONT":
        return "主连合约不可交易"
    if contract.expired or now_ns >= contract.expire_ns:
        return "合约已到期,不可交易"
    reasons = (rule(order, contract, terms) for rule in RULES)
    return next((reason for reason in reasons if reason), "")


def over_closing(order: Order, position: Position | None) -> str:
    """The reason to refuse a closing order that wants more lots than can be closed."""
    closable = 0 if position is None else position.closable(order.direction, order.offset)
    if closable >= order.volume_orign:
        return ""
    if order.offset == "CLOSETODAY":
        return "平今手数超过今仓持仓量"
    if order.exchange_id in SPLITS_TODAY:
        return "平昨手数超过昨仓持仓量"
    return "平仓手数超过持仓量"


def _offset(order: Order, contract: Contract, _terms: DayTerms | None) -> str:
    if order.offset == "CLOSETODAY" and contract.exchange_id not in SPLITS_TODAY:
        return "该交易所不区分平今,平仓请用CLOSE"
    return ""


def _price_type(order: Order, contract: Contract, _terms: DayTerms | None) -> str:
    exchange = contract.exchange_id
    if order.price_type in BEST_PRICE_TYPES and exchange != "CFFEX":
        return "该交易所不支持最优价指令"
    takes_none = exchange in NO_MARKET_ORDER or not contract.max_market_order_volume
    if order.price_type == "ANY" and takes_none:
        return "该交易所不支持市价指令"
    return ""


def _conditions(order: Order, contract: Contract, _terms: DayTerms | None) -> str:
    if not order.is_fok:
        return ""
    if not order.is_immediate:
        return "全部成交条件只可用于立即成交指令"
    if contract.exchange_id in NO_FOK:
        return "郑商所期货不支持FOK指令"
    if order.price_type in BEST_PRICE_TYPES:
        return "最优价指令不支持FOK"
    return ""


def _volume(order: Order, contract: Contract, _terms: DayTerms | None) -> str:
    if order.volume_orign < 1:
        return "报单手数必须为正整数"
    most = contract.max_limit_order_volume
    if order.price_type != "LIMIT":
        most = contract.max_market_order_volume or most
    return f"报单手数超过单笔最大手数{most}" if order.volume_orign > most else ""


def _price(order: Order, contract: Contract, terms: DayTerms | None) -> str:
    if order.price_type != "LIMIT":
        return ""
    if math.isnan(order.limit_price):
        return "报单价格无效"
    ticks = order.limit_price / contract.price_tick
    if abs(ticks - round(ticks)) > TICK_TOLERANCE:
        return "价格非最小变动价位的整数倍"
    slack = contract.price_tick * TICK_TOLERANCE
    if terms is not None and order.limit_price > terms.upper_limit + slack:
        return "已撤单报单被拒绝价格超出涨停板"
    if terms is not None and order.limit_price < terms.lower_limit - slack:
        return "已撤单报单被拒绝价格跌破跌停板"
    return ""


RULES: tuple[Rule, ...] = (_offset, _price_type, _conditions, _volume, _price)
