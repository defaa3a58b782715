"""`MarketCalendar` in a real Cerebro on official minutes of copper, and its answers by hand."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import backtrader as bt
import pandas as pd
import pytest

from tianqin_backtrader.beijing import BEIJING
from tianqin_backtrader.calendar import shanghai_calendar
from tianqin_backtrader.errors import NotStarted
from tianqin_backtrader.market_calendar import MarketCalendar
from tianqin_backtrader.sessions import Sessions
from tianqin_backtrader.values import TradingTime

MINUTE = timedelta(minutes=1)
COMMODITY_DAY = (("09:00:00", "10:15:00"), ("10:30:00", "11:30:00"), ("13:30:00", "15:00:00"))
COPPER: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "25:00:00"),)}
EGGS: TradingTime = {"day": COMMODITY_DAY, "night": ()}
BONDS: TradingTime = {"day": (("09:30:00", "11:30:00"), ("13:00:00", "15:15:00"))}
CRUDE: TradingTime = {"day": COMMODITY_DAY, "night": (("21:00:00", "26:30:00"),)}
SHANGHAI = shanghai_calendar()


def calendar_of(hours: TradingTime) -> MarketCalendar:
    return MarketCalendar(Sessions(hours, SHANGHAI))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# ---- a plain offline feed of official klines


class Row(NamedTuple):
    """One official kline: its end in UTC, its trading day, o h l c volume open interest."""

    end: datetime
    trading_day: date
    values: tuple[float, ...]


def official(path: Path, first: str, last: str, length: timedelta) -> list[Row]:
    names = ("open", "high", "low", "close", "volume", "close_oi")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [
            Row(
                datetime.fromtimestamp(int(row["datetime"]) / 1e9, timezone.utc) + length,
                date.fromisoformat(row["trading_day"]),
                tuple(float(row[name]) for name in names),
            )
            for row in csv.DictReader(file)
            if first <= row["trading_day"] <= last
        ]


class Offline(bt.feed.DataBase):
    """Rows as they are: labelled by their end, in UTC."""

    params: Any = (("rows", ()), ("timeframe", bt.TimeFrame.Minutes), ("tz", BEIJING))

    def start(self) -> None:
        super().start()
        self._rows = iter(self.p.rows)

    def _load(self) -> bool:
        row = next(self._rows, None)
        if row is None:
            return False
        names = ("open", "high", "low", "close", "volume", "openinterest")
        self.lines.datetime[0] = bt.date2num(row.end)
        for name, value in zip(names, row.values, strict=True):
            getattr(self.lines, name)[0] = value
        return True


class Recorder(bt.Strategy):
    """What each bar of the last data showed, its end of session, and when timers fired."""

    params = (("timers", ()), ("asks_eos", False))

    def __init__(self) -> None:
        self.bars: list[tuple[Any, ...]] = []
        self.delivered: list[datetime] = []  # time of the first data
        self.ends: list[datetime] = []
        self.fired: list[tuple[str, datetime, datetime]] = []
        self._names = {
            self.add_timer(tzdata=self.data0, **timer): name for name, timer in self.p.timers
        }

    def notify_timer(self, timer: Any, when: datetime, *_: Any, **__: Any) -> None:
        self.fired.append((self._names[timer], when, self.data0.datetime.datetime(0)))

    def next(self) -> None:
        data = self.datas[-1]
        if len(data) > len(self.bars):
            lines = (data.open, data.high, data.low, data.close, data.volume, data.openinterest)
            self.bars.append((data.datetime.datetime(0), *(line[0] for line in lines)))
            self.delivered.append(self.data0.datetime.datetime(0))
            if self.p.asks_eos:
                self.ends.append(data._getnexteos()[0])


def feed(rows: Sequence[Row], of: MarketCalendar, **options: Any) -> Any:
    make: Any = Offline  # Backtrader's metaclass takes the parameters
    times = {"sessionstart": of.session_start, "sessionend": of.session_end}
    return make(rows=rows, **times, **options)


def watch(cerebro: Any, **options: Any) -> Recorder:
    cerebro.addstrategy(Recorder, **options)
    (recorder,) = cerebro.run()
    assert isinstance(recorder, Recorder)
    return recorder


@pytest.fixture(scope="module")
def minutes(records: Path) -> list[Row]:
    """Four weeks with Friday nights, Qingming (no trading on 04-05) and the labour days."""
    return official(records / "klines/60s/SHFE.cu1905.csv.gz", "2019-03-29", "2019-05-08", MINUTE)


def days_of(rows: Iterable[Row]) -> list[date]:
    return list(dict.fromkeys(row.trading_day for row in rows))


# ---- the end of the session


@pytest.mark.parametrize("on_the_data", [True, False], ids=["calendar=", "addcalendar"])
def test_every_bar_of_a_trading_day_ends_with_it(minutes: list[Row], on_the_data: bool) -> None:
    """Without a calendar Friday night ends on Saturday, every other night in its own evening."""
    calendar = calendar_of(COPPER)
    cerebro = bt.Cerebro(stdstats=False, tz=0)
    if on_the_data:
        cerebro.adddata(feed(minutes, calendar, calendar=calendar))
    else:
        cerebro.adddata(feed(minutes, calendar))
        cerebro.addcalendar(calendar)
    recorder = watch(cerebro, asks_eos=True)
    expected = [datetime.combine(row.trading_day, time(7)) for row in minutes]  # 15:00, in UTC
    assert recorder.ends == expected
    gaps = [b.end - a.end for a, b in pairwise(minutes)]
    assert max(gaps) > timedelta(days=5)  # labour days are in there


# ---- timers


def timer_fires(rows: list[Row], **timers: Any) -> list[tuple[str, datetime, datetime]]:
    calendar = calendar_of(COPPER)
    cerebro = bt.Cerebro(stdstats=False, tz=0)
    cerebro.adddata(feed(rows, calendar, calendar=calendar))
    return watch(cerebro, timers=tuple(timers.items())).fired


def from_the_morning(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.end >= rows[0].end + timedelta(hours=11)]


def test_the_session_end_fires_once_a_trading_day(minutes: list[Row]) -> None:
    rows = from_the_morning(minutes)
    fired = timer_fires(rows, end={"when": bt.timer.SESSION_END})
    expected = [datetime.combine(day, time(15)) for day in days_of(rows)]
    assert fired == [("end", moment, moment) for moment in expected]


def test_a_feed_that_begins_in_a_night_is_told_of_the_day_before(minutes: list[Row]) -> None:
    """Backtrader's timer compares times of the day: 21:01 is past 15:00. No calendar is asked."""
    fired = timer_fires(minutes, end={"when": bt.timer.SESSION_END})
    days = days_of(minutes)
    assert fired[0] == ("end", at("2019-03-28 15:00"), at("2019-03-28 21:01"))
    assert [when.date() for _, when, _ in fired[1:]] == days


def test_the_session_start_fires_with_each_night_and_a_second_timer_without(
    minutes: list[Row],
) -> None:
    calendar = calendar_of(COPPER)
    fired = timer_fires(
        minutes,
        night={"when": bt.timer.SESSION_START},
        morning={"when": time(9), "allow": lambda day: not calendar.has_night(day)},
    )
    first = {row.trading_day: row.end for row in reversed(minutes)}  # of each day's minutes
    expected = {day: end.astimezone(BEIJING).replace(tzinfo=None) for day, end in first.items()}
    mornings = {date(2019, 4, 8), date(2019, 5, 6)}  # after holidays
    assert [moment for _, _, moment in fired] == [expected[day] for day in days_of(minutes)]
    assert {moment.date() for name, _, moment in fired if name == "morning"} == mornings


def test_a_timer_of_a_weeks_last_day_may_ask_the_calendar(minutes: list[Row]) -> None:
    """Thursday, 4 April, and Tuesday, 30 April, end their weeks: holidays follow."""
    calendar = calendar_of(COPPER)
    end: dict[str, Any] = {"when": bt.timer.SESSION_END, "allow": calendar.last_weekday}
    fired = timer_fires(from_the_morning(minutes), week=end)
    assert [f"{when:%m-%d}" for _, when, _ in fired] == [
        "03-29", "04-04", "04-12", "04-19", "04-26", "04-30",
    ]  # fmt: skip


# ---- Backtrader's own resampler


def resampled(rows: list[Row], clone: bool, timeframe: int, **cerebro_options: Any) -> Recorder:
    calendar = calendar_of(COPPER)
    cerebro = bt.Cerebro(stdstats=False, tz=0, **cerebro_options)
    cerebro.addcalendar(calendar)
    data = feed(rows, calendar)
    if clone:
        cerebro.adddata(data)
    cerebro.resampledata(data, timeframe=timeframe)
    return watch(cerebro)


@pytest.mark.parametrize("clone", [True, False], ids=["beside", "alone"])
@pytest.mark.parametrize("preload", [True, False])
def test_minutes_become_the_official_days(
    minutes: list[Row], records: Path, clone: bool, preload: bool
) -> None:
    recorder = resampled(minutes, clone, bt.TimeFrame.Days, preload=preload)
    path = records / "klines/1d/SHFE.cu1905.csv.gz"
    days = official(path, "2019-03-29", "2019-05-08", timedelta(hours=15))
    assert recorder.bars == [
        (datetime.combine(row.trading_day, time(15)), *row.values) for row in days
    ]
    assert len(recorder.bars) == 25
    assert recorder.delivered == [bar[0] for bar in recorder.bars]  # not with the next bar


def test_a_day_without_its_last_minute_closes_with_the_next_days_first(minutes: list[Row]) -> None:
    """Then it still is labelled 15:00 and holds no other day; only the end of the data is off."""
    rows = [row for row in minutes if row.end.time() != time(7)]
    recorder = resampled(rows, True, bt.TimeFrame.Days)
    volume: Counter[date] = Counter()
    for row in rows:
        volume[row.trading_day] += int(row.values[4])
    assert [bar[0] for bar in recorder.bars[:-1]] == [
        datetime.combine(day, time(15)) for day in days_of(rows)[:-1]
    ]
    assert [bar[5] for bar in recorder.bars] == list(volume.values())
    # Backtrader labels a day that the data leaves unfinished with UTC's clock as if it were local
    assert recorder.bars[-1][0] == at("2019-05-08 07:00")


def test_days_replayed_from_minutes_grow_from_21_00_to_15_00(minutes: list[Row]) -> None:
    friday, monday = date(2019, 4, 12), date(2019, 4, 15)
    rows = [row for row in minutes if row.trading_day in (friday, monday)]
    calendar = calendar_of(COPPER)
    cerebro = bt.Cerebro(stdstats=False, tz=0)
    cerebro.replaydata(feed(rows, calendar, calendar=calendar), timeframe=bt.TimeFrame.Days)
    firsts = [(bar[0], bar[1], bar[5]) for bar in watch(cerebro).bars]
    opened = {row.trading_day: row for row in reversed(rows)}
    assert firsts == [
        (at("2019-04-11 21:01"), opened[friday].values[0], opened[friday].values[4]),
        (at("2019-04-12 21:01"), opened[monday].values[0], opened[monday].values[4]),
    ]


@pytest.mark.parametrize(
    ("timeframe", "period"), [(bt.TimeFrame.Weeks, "W"), (bt.TimeFrame.Months, "M")]
)
def test_days_become_weeks_and_months(records: Path, timeframe: int, period: str) -> None:
    path = records / "klines/1d/SHFE.cu1905.csv.gz"
    days = official(path, "2019-01-01", "2019-04-30", timedelta(hours=15))
    calendar = calendar_of(COPPER)
    cerebro = bt.Cerebro(stdstats=False, tz=0)
    data = feed(days, calendar, calendar=calendar, timeframe=bt.TimeFrame.Days)
    cerebro.resampledata(data, timeframe=timeframe)
    frame = pd.DataFrame({"day": pd.to_datetime([row.trading_day for row in days])})
    frame["close"] = [row.values[3] for row in days]
    last = frame.groupby(frame["day"].dt.to_period(period)).last()
    assert [(bar[0].date(), bar[4]) for bar in watch(cerebro).bars] == [
        (day.date(), close) for day, close in last.itertuples(index=False)
    ]


# ---- answers by hand


@pytest.mark.parametrize(
    ("hours", "moment", "opening", "end"),
    [
        (COPPER, "2019-03-05 10:00", "2019-03-04 21:00", "2019-03-05 15:00"),
        (COPPER, "2019-03-05 15:00", "2019-03-04 21:00", "2019-03-05 15:00"),
        (COPPER, "2019-03-05 15:00:01", "2019-03-05 21:00", "2019-03-06 15:00"),
        (COPPER, "2019-03-08 21:01", "2019-03-08 21:00", "2019-03-11 15:00"),  # Friday night
        (COPPER, "2019-03-09 00:30", "2019-03-08 21:00", "2019-03-11 15:00"),
        (COPPER, "2019-03-10 12:00", "2019-03-08 21:00", "2019-03-11 15:00"),
        (COPPER, "2019-09-30 15:01", "2019-10-08 09:00", "2019-10-08 15:00"),  # no night
        (COPPER, "2019-12-25 20:00", "2019-12-25 22:30", "2019-12-26 15:00"),  # a late one
        (COPPER, "2020-03-02 16:00", "2020-03-03 09:00", "2020-03-03 15:00"),  # suspended
        (CRUDE, "2019-03-09 02:30", "2019-03-08 21:00", "2019-03-11 15:00"),
        (EGGS, "2019-03-08 16:00", "2019-03-11 09:00", "2019-03-11 15:00"),
        (BONDS, "2019-03-08 15:10", "2019-03-08 09:30", "2019-03-08 15:15"),
        (COPPER, "2027-07-02 22:00", "2027-07-02 21:00", "2027-07-05 15:00"),  # beyond the data
    ],
)
def test_schedule_of_a_moment(hours: TradingTime, moment: str, opening: str, end: str) -> None:
    calendar = calendar_of(hours)
    assert calendar.schedule(at(moment)) == (at(opening), at(end))
    to_utc = timedelta(hours=8)
    utc = (at(opening) - to_utc, at(end) - to_utc)
    assert calendar.schedule(at(moment) - to_utc, BEIJING) == utc
    aware = at(moment).replace(tzinfo=BEIJING).astimezone(timezone.utc)
    assert calendar.schedule(aware, BEIJING) == utc
    assert calendar.schedule(aware) == (at(opening), at(end))


def test_schedule_of_a_date() -> None:
    calendar = calendar_of(COPPER)
    monday = (at("2019-03-08 21:00"), at("2019-03-11 15:00"))
    assert calendar.schedule(date(2019, 3, 11)) == monday
    assert calendar.schedule(date(2019, 3, 9)) == monday  # a Saturday: the next one


def test_days_as_backtrader_asks() -> None:
    calendar = calendar_of(COPPER)
    assert calendar._nextday(date(2019, 4, 30)) == (date(2019, 5, 6), (2019, 19, 1))
    assert calendar.nextday(date(2019, 4, 30)) == date(2019, 5, 6)
    assert calendar.nextday(at("2019-04-30 15:00")) == at("2019-05-06 15:00")
    assert calendar.nextday_week(date(2019, 4, 30)) == 19  # Backtrader's own: None
    assert calendar.last_weekday(date(2019, 4, 30))  # a Tuesday
    assert calendar.last_monthday(date(2019, 4, 30))
    assert not calendar.last_weekday(date(2019, 4, 29))
    assert not calendar.last_weekday(date(2019, 5, 3))  # a Friday without trading
    assert not calendar.last_monthday(date(2019, 3, 30))  # a Saturday
    assert calendar.last_monthday(date(2019, 3, 29))
    assert calendar.last_yearday(date(2019, 12, 31))
    assert not calendar.last_yearday(date(2019, 12, 30))


def test_questions_of_people() -> None:
    calendar = calendar_of(COPPER)
    assert calendar.sessions(date(2019, 3, 11)) == (
        (at("2019-03-08 21:00"), at("2019-03-09 01:00")),
        (at("2019-03-11 09:00"), at("2019-03-11 10:15")),
        (at("2019-03-11 10:30"), at("2019-03-11 11:30")),
        (at("2019-03-11 13:30"), at("2019-03-11 15:00")),
    )
    assert calendar.sessions(date(2019, 10, 1)) == ()
    assert calendar.trading_day(at("2019-03-08 17:59")) == date(2019, 3, 8)
    assert calendar.trading_day(at("2019-03-08 20:59")) == date(2019, 3, 11)
    assert calendar.is_open(at("2019-03-09 00:59:59.999999"))
    assert not calendar.is_open(at("2019-03-09 01:00"))
    assert calendar.is_open(at("2019-03-08 13:30").replace(tzinfo=timezone.utc))  # 21:30
    assert calendar.next_open(at("2019-03-09 01:00")) == at("2019-03-11 09:00")
    assert calendar.next_open(at("2019-09-30 15:00")) == at("2019-10-08 09:00")
    assert calendar.has_night(date(2019, 3, 11))
    assert not calendar.has_night(date(2019, 10, 8))
    assert not calendar_of(EGGS).has_night(date(2019, 3, 11))
    assert calendar.is_trading_day(at("2019-03-11 22:00"))
    assert not calendar.is_trading_day(date(2019, 3, 10))


@pytest.mark.parametrize(
    ("hours", "start", "end"),
    [
        (COPPER, time(21), time(15)),
        (EGGS, time(9), time(15)),
        (BONDS, time(9, 30), time(15, 15)),
    ],
)
def test_times_for_a_feeds_parameters(hours: TradingTime, start: time, end: time) -> None:
    calendar = calendar_of(hours)
    assert (calendar.session_start, calendar.session_end) == (start, end)


def test_hours_may_be_told_later_and_are_asked_once() -> None:
    asked: list[bool] = []

    def hours() -> Sessions:
        asked.append(True)
        if len(asked) == 1:
            raise NotStarted("the market calendar")
        return Sessions(COPPER, SHANGHAI)

    calendar = MarketCalendar(hours)
    bt.Cerebro().addcalendar(calendar)
    assert not asked
    with pytest.raises(NotStarted):
        calendar.has_night(date(2019, 3, 11))
    assert calendar.has_night(date(2019, 3, 11))
    assert calendar.has_night(date(2019, 3, 12))
    assert len(asked) == 2
