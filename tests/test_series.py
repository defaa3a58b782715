"""A feed's bars without a gateway: late ticks, expired contracts, closing by the clock."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, cast

import pytest

from tianqin_backtrader.calendar import KnownDays
from tianqin_backtrader.charts import TickChart
from tianqin_backtrader.delivery import Straight
from tianqin_backtrader.flow import TickFlow
from tianqin_backtrader.notices import Notice
from tianqin_backtrader.series import BarSeries, Plan
from tianqin_backtrader.sessions import Sessions

SYMBOL = "SHFE.cu2511"
HOURS = {"day": (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))}
DAYS = KnownDays(date(2025, 9, n) for n in (15, 16, 17, 18, 19))


def ns(text: str, day: str = "2025-09-16") -> int:
    """Beijing time."""
    moment = datetime.fromisoformat(f"{day} {text}") - datetime(1970, 1, 1, 8)  # noqa: DTZ001
    return int(moment.total_seconds() * 1_000_000) * 1_000


def clock(time_ns: int) -> str:
    seconds = (time_ns // 1_000_000_000 + 8 * 3_600) % 86_400
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}"


class Server:
    """TqSdk's tree of one contract's ticks, and no klines."""

    def __init__(self) -> None:
        self.serial: dict[str, Any] = {"last_id": -1, "data": {}}
        self.chart = {"left_id": 0, "right_id": -1}

    def history(self, *_: Any) -> list[Any]:
        return [self.kline("10:00:00"), self.kline("10:01:00")]

    def kline(self, label: str) -> dict[str, Any]:
        prices = dict.fromkeys(("open", "high", "low", "close"), 100.0)
        return {"datetime": ns(label), **prices, "volume": 1, "open_oi": 5, "close_oi": 5}

    def tick(self, time: str, price: float, volume: int) -> None:
        self.serial["last_id"] += 1
        self.serial["data"][str(self.serial["last_id"])] = {
            "datetime": ns(time),
            "last_price": price,
            "volume": volume,
            "amount": volume * 100.0,
            "open_interest": 5,
            **dict.fromkeys(("bid_price1", "ask_price1", "bid_volume1", "ask_volume1"), 1.0),
        }


def shown_chart(symbol: str, width: int, chart: Any, serial: Any) -> TickChart:
    """A chart of ticks that reads what a test holds in TqSdk's place."""
    pack = {"chart_id": "ticks", "ins_list": symbol, "duration": 0, "view_width": width}
    nodes = {"charts": chart, "ticks": serial, "": {}}
    return TickChart(pack, lambda *path: nodes[path[0] if path else ""])


class Desk:
    def __init__(self, last_day: date = date.max, night_ends: str = "") -> None:
        hours = HOURS | ({"night": (("21:00:00", night_ends),)} if night_ends else {})
        self.server, self.told = Server(), cast("list[tuple[Any, ...]]", [])
        self.server.tick("10:00:50", 100, 10)
        chart = shown_chart(SYMBOL, 2_000, self.server.chart, self.server.serial)
        self.flow = TickFlow(chart, paced=True)
        plan = Plan(SYMBOL, 60, 60, Straight(), 5, True, last_day)
        self.series = BarSeries(
            cast("Any", self.server), self.flow, Sessions(hours, DAYS), plan, self.tell, None
        )
        self.series.go_live()

    def tell(self, notice: Notice, text: str, **about: object) -> None:
        self.told.append((notice, text, about))

    def tick(self, time: str, price: float, volume: int) -> None:
        self.server.tick(time, price, volume)
        self.flow.read()

    def bars(self) -> list[tuple[str, float, int, bool]]:
        found = []
        while (delivery := self.series.queue.pop()) is not None:
            bar = delivery.bar
            found.append((clock(bar.end_ns), bar.close, bar.volume, delivery.history))
        return found


def test_a_tick_later_than_the_grace_is_counted_and_told() -> None:
    desk = Desk()
    assert desk.bars() == [("10:01", 100, 1, True)]
    desk.tick("10:01:30", 101, 12)
    desk.series.close_until(ns("10:02:00"))
    assert desk.bars() == [("10:02", 101, 2, False)]
    desk.tick("10:01:59.5", 102, 15)  # its minute has left without it
    ((notice, text, about),) = desk.told
    assert notice == "LATE_TICK"
    assert SYMBOL in text
    assert (about["count"], cast("Any", about["tick"]).last_price) == (1, 102)
    desk.tick("10:02:10", 103, 16)
    desk.series.close_until(ns("10:03:00"))
    assert desk.bars() == [("10:03", 103, 4, False)]  # no lot is lost: the next bar has them


@pytest.mark.parametrize("end", ["10:15", "11:30", "15:00"])
def test_the_last_bar_of_a_stretch_needs_no_further_tick(end: str) -> None:
    """The bar of 15:00 came at 21:00, with the first tick of the night."""
    desk = Desk()
    minute = f"{end[:3]}{int(end[3:]) - 1:02}" if end != "15:00" else "14:59"
    desk.tick(f"{minute}:10", 101, 12)
    desk.bars()
    assert desk.series.open_end_ns == ns(f"{end}:00")
    desk.series.close_until(ns(f"{end}:00"))
    assert [(bar[0], bar[2]) for bar in desk.bars()] == [(end, 2)]
    desk.series.close_until(ns(f"{end}:00") + 60_000_000_000)
    assert desk.bars() == []  # no bar is made up in the break


@pytest.mark.parametrize(
    ("night_ends", "end", "day"),
    [
        ("23:00:00", "23:00", "2025-09-16"),
        ("25:00:00", "01:00", "2025-09-17"),
        ("26:30:00", "02:30", "2025-09-17"),
    ],
)
def test_the_last_bar_of_a_night_needs_no_further_tick(night_ends: str, end: str, day: str) -> None:
    """It came in the morning, merged with the first minute of the day."""
    desk = Desk(night_ends=night_ends)
    end_ns = ns(f"{end}:00", day)
    desk.server.tick("21:00:10", 101, 2)
    desk.server.serial["data"]["1"]["datetime"] = end_ns - 20_000_000_000
    desk.flow.read()
    desk.bars()
    assert desk.series.open_end_ns == end_ns
    desk.series.close_until(end_ns)
    assert [(bar[0], bar[1]) for bar in desk.bars()] == [(end, 101)]
    desk.series.close_until(end_ns + 60_000_000_000)
    assert desk.bars() == []
    assert desk.series.open_end_ns == ns("09:01:00", "2025-09-17")


def test_a_contract_has_no_bars_after_its_last_day() -> None:
    """Flat bars went on for ever."""
    desk = Desk(last_day=date(2025, 9, 16))
    desk.tick("14:59:10", 101, 12)
    desk.bars()
    desk.series.close_until(ns("15:00:00"))
    assert [bar[0] for bar in desk.bars()] == ["15:00"]
    assert [told[0] for told in desk.told] == ["CONTRACT_EXPIRED"]
    desk.series.close_until(ns("15:00:00") + 3 * 86_400_000_000_000)
    assert desk.bars() == []
    assert desk.series.open_end_ns > ns("15:00:00") * 2
