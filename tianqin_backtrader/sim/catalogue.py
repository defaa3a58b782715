"""Products of the six exchanges: the terms, prices and habits that the embedded exchange knows.

Terms are those of the exchanges' product pages in autumn 2025, rounded; prices, volatility and
volumes are of that time's order of magnitude. Rows of `instruments=` override them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["PRODUCTS", "Product"]

TradingTime = dict[str, list[list[str]]]

COMMODITY_DAY = [["09:00:00", "10:15:00"], ["10:30:00", "11:30:00"], ["13:30:00", "15:00:00"]]
INDEX_DAY = [["09:30:00", "11:30:00"], ["13:00:00", "15:00:00"]]
BOND_DAY = [["09:30:00", "11:30:00"], ["13:00:00", "15:15:00"]]

MONTHLY = tuple(range(1, 13))
EVEN = (2, 4, 6, 8, 10, 12)
QUARTERS = (3, 6, 9, 12)
HARVEST = (1, 5, 9)  # the busy months of most agricultural and chemical products
STEEL = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Product:
    """What the contracts of one product have in common.

    price: CNY per unit in autumn 2025; annual_volatility: fraction; lots_per_minute: of the busiest
    contract; margin_rate, limit_rate: fractions; commissions: CNY per lot; months: delivery months
    that are listed, main_months: those that become main contracts, `lead` months before delivery.
    """

    exchange_id: str
    product_id: str
    name: str
    price_tick: float
    price_decs: int
    volume_multiple: int
    price: float
    annual_volatility: float
    lots_per_minute: float
    margin_rate: float
    commission_cny: float
    commission_close_today_cny: float
    limit_rate: float
    max_limit_order_volume: int
    max_market_order_volume: int
    night_end: str = ""  # "" without a night session
    months: tuple[int, ...] = MONTHLY
    main_months: tuple[int, ...] = MONTHLY
    lead: int = 1
    day: list[list[str]] = field(default_factory=lambda: COMMODITY_DAY)
    trading_time: TradingTime | None = None  # as `instruments=` says; None: from `day`, `night_end`
    margin_cny: float | None = None  # per lot, as `instruments=` says; None: by `margin_rate`

    @property
    def key(self) -> tuple[str, str]:
        return self.exchange_id, self.product_id

    @property
    def hours(self) -> TradingTime:
        if self.trading_time is not None:
            return self.trading_time
        night = [["21:00:00", self.night_end]] if self.night_end else []
        return {"day": [list(part) for part in self.day], "night": night}

    @property
    def margin(self) -> float:
        """CNY per lot at the catalogue's price."""
        if self.margin_cny is not None:
            return self.margin_cny
        return round(self.price * self.volume_multiple * self.margin_rate, 2)


T23, T01, T02 = "23:00:00", "25:00:00", "26:30:00"

# exchange, code, name, price tick, decimals, multiple, price, volatility, lots a minute, margin
# rate, commission, of closing today, limit rate, most lots of a limit and of a market order, end of
# the night session, months, main months, lead, day sessions
_TABLE = (
    Product("SHFE", "cu", "沪铜", 10, 0, 5, 80800, 0.17, 160, 0.09, 20.2, 40.4, 0.08, 500, 0, T01),
    Product("SHFE", "al", "沪铝", 5, 0, 5, 20800, 0.15, 220, 0.09, 3.0, 3.0, 0.08, 500, 0, T01),
    Product("SHFE", "zn", "沪锌", 5, 0, 5, 22300, 0.17, 230, 0.09, 3.0, 0.0, 0.08, 500, 0, T01),
    Product("SHFE", "ni", "沪镍", 10, 0, 1, 122000, 0.22, 240, 0.12, 3.0, 3.0, 0.1, 500, 0, T01),
    Product("SHFE", "sn", "沪锡", 10, 0, 1, 273000, 0.22, 120, 0.12, 3.0, 3.0, 0.1, 500, 0, T01),
    Product("SHFE", "ss", "不锈钢", 5, 0, 5, 13000, 0.16, 200, 0.09, 2.0, 0.0, 0.08, 500, 0, T01),
    Product(
        "SHFE", "au", "沪金", 0.02, 2, 1000, 834.0, 0.18, 420, 0.12, 10.0, 0.0, 0.1, 500, 0, T02,
        EVEN, EVEN, 2,
    ),
    Product(
        "SHFE", "ag", "沪银", 1, 0, 15, 10050, 0.26, 1100, 0.13, 7.5, 7.5, 0.11, 500, 0, T02,
        MONTHLY, EVEN, 2,
    ),
    Product(
        "SHFE", "rb", "螺纹钢", 1, 0, 10, 3140, 0.19, 3800, 0.07, 3.1, 3.1, 0.07, 500, 0, T23,
        MONTHLY, STEEL, 2,
    ),
    Product(
        "SHFE", "hc", "热卷", 1, 0, 10, 3370, 0.18, 1100, 0.07, 3.4, 3.4, 0.07, 500, 0, T23,
        MONTHLY, STEEL, 2,
    ),
    Product(
        "SHFE", "bu", "沥青", 1, 0, 10, 3420, 0.22, 700, 0.1, 1.7, 0.0, 0.09, 500, 0, T23,
        MONTHLY, MONTHLY, 2,
    ),
    Product(
        "SHFE", "fu", "燃料油", 1, 0, 10, 2800, 0.3, 1300, 0.12, 1.4, 0.0, 0.1, 500, 0, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "SHFE", "ru", "橡胶", 5, 0, 10, 15900, 0.22, 650, 0.1, 3.0, 0.0, 0.08, 500, 0, T23,
        (1, 3, 4, 5, 6, 7, 8, 9, 10, 11), HARVEST, 2,
    ),
    Product(
        "INE", "sc", "原油", 0.1, 1, 1000, 490.0, 0.32, 330, 0.14, 20.0, 0.0, 0.12, 500, 0, T02,
        MONTHLY, MONTHLY, 2,
    ),
    Product(
        "INE", "nr", "20号胶", 5, 0, 10, 12700, 0.23, 170, 0.1, 3.2, 3.2, 0.09, 500, 0, T23,
        MONTHLY, MONTHLY, 2,
    ),
    Product(
        "DCE", "m", "豆粕", 1, 0, 10, 3040, 0.16, 2600, 0.07, 1.5, 1.5, 0.06, 1000, 1000, T23,
        (1, 3, 5, 7, 8, 9, 11, 12), HARVEST, 2,
    ),
    Product(
        "DCE", "a", "豆一", 1, 0, 10, 3930, 0.13, 380, 0.07, 2.0, 2.0, 0.06, 1000, 1000, T23,
        (1, 3, 5, 7, 9, 11), HARVEST, 2,
    ),
    Product(
        "DCE", "y", "豆油", 2, 0, 10, 8320, 0.18, 1000, 0.07, 2.5, 2.5, 0.06, 1000, 1000, T23,
        (1, 3, 5, 7, 8, 9, 11, 12), HARVEST, 2,
    ),
    Product(
        "DCE", "p", "棕榈油", 2, 0, 10, 9400, 0.24, 1900, 0.09, 2.5, 2.5, 0.08, 1000, 1000, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "DCE", "c", "玉米", 1, 0, 10, 2170, 0.1, 1500, 0.07, 1.2, 1.2, 0.06, 2000, 2000, T23,
        (1, 3, 5, 7, 9, 11), HARVEST, 2,
    ),
    Product(
        "DCE", "i", "铁矿石", 0.5, 1, 100, 800.0, 0.26, 1000, 0.11, 8.0, 8.0, 0.09, 1000, 1000, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "DCE", "j", "焦炭", 0.5, 1, 100, 1650.0, 0.3, 90, 0.2, 16.5, 23.1, 0.1, 500, 500, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "DCE", "jm", "焦煤", 0.5, 1, 60, 1190.0, 0.36, 2600, 0.16, 7.1, 7.1, 0.1, 1000, 1000, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "DCE", "l", "塑料", 1, 0, 5, 7200, 0.13, 800, 0.07, 1.0, 1.0, 0.07, 1000, 1000, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "DCE", "pp", "聚丙烯", 1, 0, 5, 6950, 0.13, 850, 0.07, 1.0, 1.0, 0.07, 1000, 1000, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "DCE", "eg", "乙二醇", 1, 0, 10, 4280, 0.17, 650, 0.08, 3.0, 3.0, 0.07, 1000, 1000, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "DCE", "jd", "鸡蛋", 1, 0, 10, 3150, 0.2, 700, 0.08, 4.7, 4.7, 0.07, 300, 300, "",
        MONTHLY, MONTHLY, 2,
    ),
    Product(
        "DCE", "lh", "生猪", 5, 0, 16, 13200, 0.2, 170, 0.12, 26.4, 52.8, 0.08, 200, 200, "",
        (1, 3, 5, 7, 9, 11), (1, 3, 5, 7, 9, 11), 2,
    ),
    Product(
        "CZCE", "SR", "白糖", 1, 0, 10, 5530, 0.11, 600, 0.07, 3.0, 0.0, 0.06, 1000, 200, T23,
        (1, 3, 5, 7, 9, 11), HARVEST, 2,
    ),
    Product(
        "CZCE", "CF", "棉花", 5, 0, 5, 13850, 0.14, 650, 0.07, 4.3, 0.0, 0.06, 1000, 200, T23,
        (1, 3, 5, 7, 9, 11), HARVEST, 2,
    ),
    Product(
        "CZCE", "FG", "玻璃", 1, 0, 20, 1190, 0.32, 4200, 0.12, 6.0, 6.0, 0.09, 1000, 200, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "CZCE", "SA", "纯碱", 1, 0, 20, 1300, 0.34, 4800, 0.12, 4.0, 4.0, 0.09, 1000, 200, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "CZCE", "TA", "PTA", 2, 0, 5, 4680, 0.19, 2300, 0.07, 3.0, 0.0, 0.06, 1000, 200, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "CZCE", "MA", "甲醇", 1, 0, 10, 2380, 0.2, 2200, 0.08, 2.0, 2.0, 0.07, 1000, 200, T23,
        MONTHLY, HARVEST, 2,
    ),
    Product(
        "CZCE", "OI", "菜油", 1, 0, 10, 9950, 0.2, 800, 0.08, 2.0, 2.0, 0.07, 1000, 200, T23,
        (1, 3, 5, 7, 9, 11), HARVEST, 2,
    ),
    Product(
        "CZCE", "RM", "菜粕", 1, 0, 10, 2520, 0.22, 1500, 0.09, 1.5, 1.5, 0.07, 1000, 200, T23,
        (1, 3, 5, 7, 8, 9, 11), HARVEST, 2,
    ),
    Product(
        "CZCE", "PF", "短纤", 2, 0, 5, 6400, 0.17, 450, 0.08, 3.0, 3.0, 0.07, 1000, 200, T23,
        MONTHLY, MONTHLY, 2,
    ),
    Product(
        "CFFEX", "IF", "沪深300", 0.2, 1, 300, 4500.0, 0.18, 380, 0.12, 31.0, 310.5, 0.1, 20, 0, "",
        MONTHLY, MONTHLY, 0, INDEX_DAY,
    ),
    Product(
        "CFFEX", "IH", "上证50", 0.2, 1, 300, 2960.0, 0.17, 220, 0.12, 20.4, 204.2, 0.1, 20, 0, "",
        MONTHLY, MONTHLY, 0, INDEX_DAY,
    ),
    Product(
        "CFFEX", "IC", "中证500", 0.2, 1, 200, 7100.0, 0.22, 420, 0.12, 32.7, 326.6, 0.1, 20, 0, "",
        MONTHLY, MONTHLY, 0, INDEX_DAY,
    ),
    Product(
        "CFFEX", "T", "十债", 0.005, 3, 10000, 107.8, 0.03, 320, 0.02, 3.0, 0.0, 0.02, 50, 0, "",
        QUARTERS, QUARTERS, 1, BOND_DAY,
    ),
    Product(
        "CFFEX", "TF", "五债", 0.005, 3, 10000, 105.6, 0.02, 260, 0.012, 3.0, 0.0, 0.012, 50, 0, "",
        QUARTERS, QUARTERS, 1, BOND_DAY,
    ),
    Product(
        "GFEX", "si", "工业硅", 5, 0, 5, 8800, 0.3, 1700, 0.1, 4.4, 0.0, 0.08, 1000, 1000, "",
        MONTHLY, MONTHLY, 2,
    ),
    Product(
        "GFEX", "lc", "碳酸锂", 20, 0, 1, 72500, 0.34, 2400, 0.12, 5.8, 5.8, 0.09, 1000, 1000, "",
        MONTHLY, MONTHLY, 2,
    ),
)  # fmt: skip

PRODUCTS: Mapping[tuple[str, str], Product] = {product.key: product for product in _TABLE}
