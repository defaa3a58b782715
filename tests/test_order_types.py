"""Every order type of Backtrader, every policy, from a strategy to the exchange and back.

The market is written by hand, a tick at a time, so that each fill is known beforehand: a tick of
price p shows one level on either side, a price tick away from p. What arrives at the exchange is
read off there (`Wire`), not asked of the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import backtrader as bt
import pytest

from tianqin_backtrader import LocalExchange, TqStore
from tianqin_backtrader.clock import MarketClock
from tianqin_backtrader.values import Trade

DAY = "2025-09-16"  # a Tuesday; its evening belongs to Wednesday
TICKS = {
    "SHFE.cu2511": 10, "SHFE.al2511": 5, "SHFE.zn2511": 5, "SHFE.ni2511": 10, "SHFE.rb2601": 1,
    "SHFE.hc2601": 1, "SHFE.ag2512": 1, "SHFE.bu2511": 1, "SHFE.rb2605": 1, "DCE.m2601": 1,
    "DCE.y2601": 2, "DCE.p2601": 2, "DCE.c2601": 1, "DCE.a2601": 1, "CZCE.SR601": 1,
    "CZCE.CF601": 5, "CZCE.TA601": 2, "CFFEX.IF2510": 0.2, "CFFEX.IF2511": 0.2,
    "CFFEX.IH2510": 0.2, "CFFEX.IC2510": 0.2, "CFFEX.T2512": 0.005,
}  # fmt: skip
COLUMNS = (
    "datetime,last_price,volume,open_interest,bid_price1,bid_volume1,ask_price1,ask_volume1,"
    "bid_price2,bid_volume2,ask_price2,ask_volume2,upper_limit,lower_limit"
)
Moves = Mapping[str, float]
Act = Callable[["Trader"], Any]


# ---- a market by hand


@dataclass(frozen=True)
class Prices:
    """Prices of one contract: `price` at first, another one from each moment of `moves` on.

    lots: on the first level of either side; `deep` lots lie three price ticks farther.
    spans: when it is shown, if not with the others.
    """

    price: float
    moves: Moves = field(default_factory=dict)
    lots: int = 100
    deep: int = 100
    spans: tuple[tuple[str, str], ...] = ()


def market(
    folder: Path,
    paths: Mapping[str, Prices],
    *spans: tuple[str, str],
    step_s: float = 10,
    **options: Any,
) -> LocalExchange:
    """An exchange that shows these contracts during `spans`, "10:31" or "2025-09-17 09:00".

    A price at the day's limit has no other side; limits are 6 % around the first price.
    """
    files = [_written(folder, symbol, path, spans, step_s) for symbol, path in paths.items()]
    return LocalExchange(replay=files, **options)


def _written(
    folder: Path, symbol: str, path: Prices, spans: Sequence[tuple[str, str]], step_s: float
) -> Path:
    moves = sorted((moment(at), price) for at, price in path.moves.items())
    tick, rows = TICKS[symbol], [COLUMNS]
    for now in _moments(path.spans or spans, step_s):
        price = next((p for at, p in reversed(moves) if at <= now), path.price)
        upper, lower = (round(path.price * part / tick) * tick for part in (1.06, 0.94))
        buyers, sellers = (price > lower) * path.lots, (price < upper) * path.lots
        best = (price - tick * (price < upper), buyers, price + tick * (price > lower), sellers)
        deeper = (
            price - 4 * tick,
            path.deep * (buyers > 0),
            price + 4 * tick,
            path.deep * (sellers > 0),
        )
        numbers = (price, len(rows), 1000, *best, *deeper, upper, lower)
        rows.append(f"{now:%Y-%m-%d %H:%M:%S.%f}," + ",".join(f"{n:.10g}" for n in numbers))
    file = folder / f"{symbol}.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    return file


def _moments(spans: Sequence[tuple[str, str]], step_s: float) -> Iterator[datetime]:
    for first, last in spans:
        now = moment(first)
        while now <= moment(last):
            yield now
            now += timedelta(seconds=step_s)


def moment(text: str) -> datetime:
    """Beijing time; of `DAY` if no other day is said."""
    return datetime.fromisoformat(text if "-" in text else f"{DAY} {text}")


def clock(time_ns: int) -> str:
    """Beijing time of day."""
    return f"{datetime(1970, 1, 1, 8) + timedelta(microseconds=time_ns / 1000):%H:%M:%S}"  # noqa: DTZ001


# ---- what the exchange gets


class Sent(NamedTuple):
    """An exchange order as it arrived; `kind` such as "LIMIT GFD"; `ref` of the `bt.Order`."""

    ref: int
    at: str
    symbol: str
    direction: str
    offset: str
    volume: int
    price: float | None
    kind: str

    @property
    def short(self) -> tuple[str, str, int]:
        return self.direction, self.offset, self.volume


class Wire:
    """All orders and cancels that reach `exchange`, by whatever client."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.sent: list[Sent] = []
        self.cancels: list[tuple[int, str]] = []  # of which order, when
        self.log: list[tuple[str, int]] = []  # "order" or "cancel" of which `bt.Order`
        floor: Any = exchange._venue.exchange
        insert, cancel = floor.insert_order, floor.cancel_order

        def insert_order(user: str, pack: Mapping[str, Any], now_ns: int) -> None:
            sent = _sent(pack, now_ns)
            self.sent.append(sent)
            self.log.append(("order", sent.ref))
            insert(user, pack, now_ns)

        def cancel_order(user: str, order_id: str, now_ns: int) -> None:
            self.cancels.append((ref_of(order_id), clock(now_ns)))
            self.log.append(("cancel", ref_of(order_id)))
            cancel(user, order_id, now_ns)

        floor.insert_order, floor.cancel_order = insert_order, cancel_order

    def of(self, order: bt.Order) -> list[Sent]:
        return [sent for sent in self.sent if sent.ref == order.ref]


def _sent(pack: Mapping[str, Any], now_ns: int) -> Sent:
    kind = f"{pack['price_type']} {pack['time_condition']}"
    whole = " ALL" if pack["volume_condition"] == "ALL" else ""
    return Sent(
        ref_of(pack["order_id"]),
        clock(now_ns),
        f"{pack['exchange_id']}.{pack['instrument_id']}",
        pack["direction"],
        pack["offset"],
        pack["volume"],
        pack.get("limit_price"),
        kind + whole,
    )


def ref_of(order_id: str) -> int:
    """Ids of exchange orders are run.reference.leg; 0 for another program's."""
    parts = order_id.split(".")
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


# ---- a strategy by the clock


class News(NamedTuple):
    """One `notify_order`: what the order looked like at that moment of the market."""

    at: str
    ref: int
    status: str
    filled: float
    left: float
    clone: bt.Order


@dataclass
class Play:
    """What a run came to. `orders`: those that the plan named."""

    wire: Wire
    exchange: LocalExchange
    orders: dict[str, bt.Order] = field(default_factory=dict)
    news: list[News] = field(default_factory=list)
    bt_trades: list[bt.Trade] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)  # of the account, as last told
    notes: dict[str, Any] = field(default_factory=dict)  # what the plan wrote down
    notices: list[tuple[str, str]] = field(default_factory=list)  # of `notify_store`
    bars: list[str] = field(default_factory=list)
    broker: Any = None

    def told(self, name: str) -> list[str]:
        """The statuses that were told of an order."""
        return [news.status for news in self.of(name)]

    def of(self, name: str) -> list[News]:
        return [news for news in self.news if news.ref == self.orders[name].ref]

    def end(self, name: str) -> News:
        return self.of(name)[-1]

    def sent(self, name: str) -> list[Sent]:
        return self.wire.of(self.orders[name])

    def legs(self, name: str) -> list[tuple[str, str, int]]:
        return [sent.short for sent in self.sent(name)]

    def fills(self, name: str) -> list[tuple[float, float]]:
        """Lots and price of each execution bit."""
        return [(bit.size, bit.price) for bit in self.orders[name].executed.exbits]

    def filled_at(self, name: str) -> str:
        """Market time of the last execution, Beijing."""
        return f"{bt.num2date(self.orders[name].executed.dt) + timedelta(hours=8):%H:%M:%S}"

    def held(self, symbol: str) -> tuple[int, int, int, int]:
        """Long today, long history, short today, short history."""
        held = self.broker.get_account_position(symbol)
        return held.long.today, held.long.history, held.short.today, held.short.history


class Trader(bt.Strategy):
    """Does what `plan` says when a bar ends, "10:33" or "17 09:01"; keeps all it hears."""

    params = (("play", None), ("plan", None), ("exchange", None))

    def __init__(self) -> None:
        self.play: Play = self.p.play
        self.orders = self.play.orders
        self.notes = self.play.notes
        self.by = {data.symbol: data for data in self.datas}
        self.waiting: list[Callable[[Trader], bool]] = []  # until they have done what they wait for

    def notify_order(self, order: bt.Order) -> None:
        done = order.executed
        at = clock(self.p.exchange.now_ns)
        name = order.getstatusname()
        self.play.news.append(News(at, order.ref, name, done.size, done.remsize, order))

    def notify_trade(self, trade: bt.Trade) -> None:
        self.play.bt_trades.append(trade)

    def notify_store(self, msg: Any, *args: Any, **about: Any) -> None:
        self.play.notices.append((str(msg), str(args[0])))

    def look(self) -> None:
        end = self.data.datetime.datetime(0)
        self.play.bars.append(f"{end:%d %H:%M}")
        for key in (f"{end:%H:%M}", f"{end:%d %H:%M}"):
            for act in _acts(self.p.plan.get(key)):
                act(self)
        self.waiting = [look for look in self.waiting if not look(self)]

    next = prenext = look

    def stop(self) -> None:
        account = self.broker._store.connection.trading
        self.play.trades = list(account.trades())


def _acts(found: Any) -> Sequence[Act]:
    if found is None:
        return ()
    return found if isinstance(found, (list, tuple)) else (found,)


def play(
    exchange: LocalExchange,
    plan: Mapping[str, Act | Sequence[Act]],
    symbols: Sequence[str] | None = None,
    *,
    wire: Wire | None = None,
    journal: Path | None = None,
    roll: str = "",
    mode: str = "demo",
    **options: Any,
) -> Play:
    """Run `plan` on all contracts of `exchange`; `options` are the broker's.

    wire: of an earlier run on the same exchange, to be read on. roll: how main contracts roll.
    mode: "sim" trades with TqSdk's TqSim on the market of `exchange`, which runs already.
    """
    result = Play(wire or Wire(exchange), exchange)
    settings: dict[str, Any] = {"exchange": exchange, "journal": journal}
    if mode == "sim":
        urls = {"auth_url": exchange.auth_url, "md_url": exchange.md_url}
        settings = {"mode": mode, "user": "somebody", "password": "secret"} | urls
    with TqStore(**settings) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        result.broker = store.getbroker(**options)
        cerebro.setbroker(result.broker)
        for symbol in symbols or exchange.symbols:
            data = store.getdata(symbol, history=0)
            cerebro.adddata(data)
            if roll:
                store.roll(data, roll)
        cerebro.addstrategy(Trader, play=result, plan=plan, exchange=exchange)
        cerebro.run()
    return result


def order(verb: str, name: str, symbol: str, **options: Any) -> Act:
    """Call `self.buy(...)` or another verb and keep the order under `name`."""

    def act(strategy: Trader) -> None:
        data = strategy.by[symbol]
        strategy.orders[name] = getattr(strategy, verb)(data=data, **options)

    return act


def buy(name: str, symbol: str, size: int = 1, **options: Any) -> Act:
    return order("buy", name, symbol, size=size, **options)


def sell(name: str, symbol: str, size: int = 1, **options: Any) -> Act:
    return order("sell", name, symbol, size=size, **options)


def bracket(verb: str, names: str, symbol: str, **options: Any) -> Act:
    """`buy_bracket` or `sell_bracket`; `names` of parent, stop and limit, apart by blanks."""

    def act(strategy: Trader) -> None:
        made = getattr(strategy, verb)(data=strategy.by[symbol], **options)
        found = zip(names.split(), made, strict=True)
        strategy.orders.update({name: each for name, each in found if each is not None})

    return act


def leave(strategy: Trader) -> None:
    """End the run; the market stands still until somebody looks again."""
    strategy.env.runstop()


def cancel(name: str) -> Act:
    return lambda strategy: strategy.cancel(strategy.orders[name])


def modify(name: str, **changes: Any) -> Act:
    def act(strategy: Trader) -> None:
        changed = strategy.broker.modify(strategy.orders[name], **changes)
        assert changed is strategy.orders[name]

    return act


def note(name: str, look: Callable[[Trader], Any]) -> Act:
    return lambda strategy: strategy.notes.update({name: look(strategy)})


# ---- scenes: several orders on one session of the exchange

Runner = Callable[..., Play]
SCENES: dict[str, Callable[[Path, Runner], Play]] = {}


def scene(made: Callable[[Path, Runner], Play]) -> Any:
    """A fixture of what `made` came to; others run it again under other circumstances."""
    name = made.__name__
    SCENES[name] = made

    def played(tmp_path_factory: pytest.TempPathFactory) -> Play:
        return made(tmp_path_factory.mktemp(name), play)

    return pytest.fixture(scope="module", name=name)(played)


S, A, P, C = "Submitted", "Accepted", "Partial", "Completed"
STRAIGHT = [S, A, C]


# ---- order types


@scene
def types(folder: Path, run: Runner) -> Play:
    """One order of each type, each on a contract of its own."""
    at, peak, fall = "10:35:20", "10:35:20", "10:36:20"
    paths = {
        "SHFE.rb2601": Prices(3000),
        "CZCE.CF601": Prices(14000),
        "DCE.m2601": Prices(3000, {at: 2989}),
        "SHFE.al2511": Prices(20000, {at: 20050}),
        "SHFE.zn2511": Prices(22000, {at: 21950}),
        "CZCE.SR601": Prices(5500, {at: 5525, "10:37:20": 5514}),
        "DCE.y2601": Prices(8320, {peak: 8340, fall: 8318}),
        "DCE.p2601": Prices(9000, {peak: 9100, fall: 9010, "10:37:20": 9008}),
        "DCE.c2601": Prices(2000, {peak: 2010, fall: 1999}),
        "DCE.a2601": Prices(4000, {peak: 3980, fall: 3990}),
    }
    exchange = market(folder, paths, ("10:31", "10:39"))
    o = bt.Order
    return run(
        exchange,
        {
            "10:33": [
                buy("market SHFE", "SHFE.rb2601", 2),
                sell("market CZCE", "CZCE.CF601", 2),
                buy("limit", "DCE.m2601", exectype=o.Limit, price=2990),
                buy("stop", "SHFE.al2511", exectype=o.Stop, price=20050),
                sell("stop down", "SHFE.zn2511", exectype=o.Stop, price=21952.5),
                buy("stoplimit", "CZCE.SR601", exectype=o.StopLimit, price=5520, plimit=5515),
                sell("trail", "DCE.y2601", exectype=o.StopTrail, trailamount=20),
                sell("percent", "DCE.p2601", exectype=o.StopTrail, trailpercent=0.01),
                sell(
                    "traillimit",
                    "DCE.c2601",
                    exectype=o.StopTrailLimit,
                    price=2000,
                    plimit=1995,
                    trailamount=10,
                ),
                buy("trail up", "DCE.a2601", exectype=o.StopTrail, trailamount=10),
            ],
            "10:34": note("held", lambda s: s.orders["stop"].info.held),
            "10:36": [
                note("trail moved", lambda s: s.orders["trail"].created.price),
                note("percent moved", lambda s: s.orders["percent"].created.price),
                note("limit moved", lambda s: s.orders["traillimit"].created.pricelimit),
                note("stoplimit triggered", lambda s: s.orders["stoplimit"].triggered),
            ],
        },
    )


def test_market_order_is_a_limit_two_ticks_beyond_where_the_exchange_has_none(types: Play) -> None:
    assert types.told("market SHFE") == STRAIGHT
    (sent,) = types.sent("market SHFE")
    assert sent[3:] == ("BUY", "OPEN", 2, 3003, "LIMIT IOC")
    assert types.fills("market SHFE") == [(2, 3001)]


def test_market_order_is_one_where_the_exchange_has_it(types: Play) -> None:
    (sent,) = types.sent("market CZCE")
    assert sent[3:] == ("SELL", "OPEN", 2, None, "ANY IOC")
    assert types.fills("market CZCE") == [(-2, 13995)]


def test_limit_order_rests_and_fills_at_its_own_price(types: Play) -> None:
    assert types.told("limit") == STRAIGHT
    (sent,) = types.sent("limit")
    assert sent[3:] == ("BUY", "OPEN", 1, 2990, "LIMIT GFD")
    assert types.fills("limit") == [(1, 2990)]
    assert types.filled_at("limit") == "10:35:20"


def test_stop_goes_off_on_the_tick_that_touches_it_and_not_at_the_end_of_the_bar(
    types: Play,
) -> None:
    assert types.told("stop") == STRAIGHT
    (sent,) = types.sent("stop")
    assert sent[1] == "10:35:20"
    assert sent[3:] == ("BUY", "OPEN", 1, 20065, "LIMIT IOC")  # asked 20,055, and two ticks of 5
    assert types.fills("stop") == [(1, 20055)]
    assert types.filled_at("stop") == "10:35:20"
    assert types.orders["stop"].info.triggered == 20050


def test_sell_stop_goes_off_at_or_below_its_price_which_need_not_be_on_the_grid(
    types: Play,
) -> None:
    assert types.told("stop down") == STRAIGHT
    assert types.fills("stop down") == [(-1, 21945)]


def test_held_stop_is_accepted_at_once_and_says_where_it_stands(types: Play) -> None:
    accepted = types.of("stop")[1]
    assert (accepted.at, accepted.status) == ("10:33:10", A)
    assert types.notes["held"] == "held here until the price reaches 20050"
    assert types.orders["stop"].info.held == ""


def test_stoplimit_rests_at_its_limit_once_it_went_off(types: Play) -> None:
    assert types.told("stoplimit") == STRAIGHT
    (sent,) = types.sent("stoplimit")
    assert sent[1] == "10:35:20"
    assert sent[3:] == ("BUY", "OPEN", 1, 5515, "LIMIT GFD")
    assert types.fills("stoplimit") == [(1, 5515)]
    assert types.filled_at("stoplimit") == "10:37:20"
    assert types.notes["stoplimit triggered"] is True


def test_trailing_stop_follows_by_an_amount(types: Play) -> None:
    """8,320 less 20; 8,340 at the peak: 8,320; hit by 8,318, sold at the bid."""
    assert types.told("trail") == STRAIGHT
    assert types.notes["trail moved"] == 8320
    (sent,) = types.sent("trail")
    assert (sent.at, sent.kind) == ("10:36:20", "ANY IOC")
    assert types.fills("trail") == [(-1, 8316)]


def test_trailing_stop_follows_by_a_part_of_the_price(types: Play) -> None:
    """1 % below 9,100 is 9,009: 9,010 does not hit it, 9,008 does."""
    assert types.told("percent") == STRAIGHT
    assert types.notes["percent moved"] == pytest.approx(9009)
    assert types.sent("percent")[0].at == "10:37:20"
    assert types.fills("percent") == [(-1, 9006)]


def test_trailing_stop_of_a_buyer_follows_downwards(types: Play) -> None:
    """4,000 and 10; 3,980 at the bottom: 3,990; hit by 3,990, bought at the ask."""
    assert types.told("trail up") == STRAIGHT
    assert types.fills("trail up") == [(1, 3991)]
    assert types.filled_at("trail up") == "10:36:20"


def test_trailing_stoplimit_keeps_its_limit_at_a_distance(types: Play) -> None:
    """The limit lies 5 below the stop: 2,000 less 10 less 5, then 2,010 less 10 less 5."""
    assert types.told("traillimit") == STRAIGHT
    assert types.notes["limit moved"] == 1995
    (sent,) = types.sent("traillimit")
    assert sent[1] == "10:36:20"
    assert sent[3:] == ("SELL", "OPEN", 1, 1995, "LIMIT GFD")
    assert types.fills("traillimit") == [(-1, 1998)]


# ---- how long an order stands


@scene
def validity(folder: Path, run: Runner) -> Play:
    """From five minutes before Tuesday's close into Tuesday's night, which is Wednesday's."""
    spans = ("14:50", "15:00"), ("20:59", "21:06")
    paths = {
        "SHFE.rb2601": Prices(3000, {"21:03:20": 2980}),
        "SHFE.cu2511": Prices(80000),
        "SHFE.al2511": Prices(20000),
        "SHFE.zn2511": Prices(22000),
        "SHFE.hc2601": Prices(3300),
        "SHFE.bu2511": Prices(3400),
        "DCE.m2601": Prices(3000),
        "DCE.y2601": Prices(8320, {"21:03:20": 8340}),
        "DCE.p2601": Prices(9000),
        "CZCE.SR601": Prices(5500),
        "CZCE.TA601": Prices(4600),
        "DCE.c2601": Prices(2000, {"14:59:20": 2001, "14:59:40": 2002}),
    }
    o = bt.Order
    low = {"exectype": o.Limit}
    return run(
        market(folder, paths, *spans),
        {
            "14:53": [
                buy("none", "SHFE.rb2601", price=2985, **low),
                buy("day", "SHFE.cu2511", price=79000, valid=o.DAY, **low),
                buy("zero", "SHFE.al2511", price=19900, valid=0, **low),
                buy("until 14:56", "SHFE.zn2511", price=21900, valid=moment("14:56"), **low),
                buy("5 minutes", "SHFE.hc2601", price=3200, valid=timedelta(minutes=5), **low),
                buy("until 21:04", "SHFE.bu2511", price=3300, valid=moment("21:04"), **low),
                buy(
                    "today",
                    "DCE.m2601",
                    price=2900,
                    valid=date(2025, 9, 16),
                    **low,
                ),
                buy("stop", "DCE.y2601", exectype=o.Stop, price=8340),
                buy("day stop", "DCE.p2601", exectype=o.Stop, price=9100, valid=o.DAY),
                buy("number", "CZCE.SR601", price=5400, **low, valid=bt.date2num(
                    moment("14:57") - timedelta(hours=8)
                )),
                buy("to cancel", "CZCE.TA601", price=4500, **low),
                buy("close", "DCE.c2601", exectype=o.Close),
            ],
            "21:02": [
                note("alive", lambda s: s.orders["none"].getstatusname()),
                cancel("to cancel"),
            ],
        },
    )  # fmt: skip


def test_order_without_an_end_stands_again_the_next_day(validity: Play) -> None:
    """Exchanges end every order with the day; this one goes out again under the same reference."""
    assert validity.told("none") == STRAIGHT
    assert validity.notes["alive"] == A
    first, second = validity.sent("none")
    assert (first.at, second.at) == ("14:53:10", "21:00:00")
    assert first[2:] == second[2:]
    assert validity.fills("none") == [(1, 2985)]
    assert validity.filled_at("none") == "21:03:20"


@pytest.mark.parametrize("name", ["day", "zero", "today", "day stop"])
def test_day_order_expires_with_the_trading_day(validity: Play, name: str) -> None:
    assert validity.told(name) == [S, A, "Expired"]
    assert validity.end(name).at in ("15:00:00", "20:59:00")
    assert len(validity.sent(name)) == (name != "day stop")


@pytest.mark.parametrize(
    ("name", "at"), [("until 14:56", "14:56:00"), ("5 minutes", "14:58:10"), ("number", "14:57:00")]
)
def test_order_with_an_end_is_withdrawn_at_that_moment(validity: Play, name: str, at: str) -> None:
    assert validity.told(name) == [S, A, "Expired"]
    assert validity.end(name).at == at
    assert [(ref, when) for ref, when in validity.wire.cancels if ref == validity.orders[name].ref]
    assert len(validity.sent(name)) == 1


def test_order_with_an_end_tomorrow_stands_again_and_then_expires(validity: Play) -> None:
    assert validity.told("until 21:04") == [S, A, "Expired"]
    assert [sent.at for sent in validity.sent("until 21:04")] == ["14:53:10", "21:00:00"]
    assert validity.end("until 21:04").at == "21:04:00"


def test_held_stop_lives_over_the_night_and_goes_off_there(validity: Play) -> None:
    assert validity.told("stop") == STRAIGHT
    assert [sent.at for sent in validity.sent("stop")] == ["21:03:20"]
    assert validity.fills("stop") == [(1, 8342)]


def test_order_of_yesterday_can_be_cancelled_today(validity: Play) -> None:
    assert validity.told("to cancel") == [S, A, "Canceled"]
    assert len(validity.sent("to cancel")) == 2
    assert validity.end("to cancel").at == "21:02:10"


def test_order_ended_by_the_day_waits_though_our_clock_is_a_moment_behind(tmp_path: Path) -> None:
    """The exchange said that the day is over; the last tick said 14:59:50; it was sent at once."""
    spans = ("14:57", "14:59:50"), ("20:59", "21:01")
    result = play(
        market(tmp_path, {"SHFE.rb2601": Prices(3000)}, *spans),
        {"14:58": buy("low", "SHFE.rb2601", exectype=bt.Order.Limit, price=2985)},
    )
    assert [sent.at for sent in result.sent("low")] == ["14:58:10", "21:00:00"]
    assert result.told("low") == [S, A]


def test_close_order_trades_in_the_days_last_half_minute(validity: Play) -> None:
    assert validity.told("close") == STRAIGHT
    assert [sent.at for sent in validity.sent("close")] == ["14:59:30"]
    assert validity.fills("close") == [(1, 2002)]


# ---- while the market is closed


def test_market_order_of_a_stretchs_last_bar_waits_for_the_opening(tmp_path: Path) -> None:
    """The exchange refuses what comes in a break; bars of 10:15, 11:30 and 15:00 come in it."""
    spans = (
        ("10:13", "10:15:10"),
        ("10:30", "10:31:10"),
        ("11:28:50", "11:30:10"),
        ("13:30", "13:31:10"),
        ("14:58:50", "15:00:10"),
        ("20:59", "21:01:10"),
    )
    paths = {"SHFE.rb2601": Prices(3000, {"13:30": 3010}), "DCE.m2601": Prices(3000)}
    held = note("held", lambda s: s.orders["10:15"].info.held)
    result = play(
        market(tmp_path, paths, *spans),
        {
            "10:15": [buy("10:15", "SHFE.rb2601", 2), held],
            "11:30": buy("11:30", "SHFE.rb2601"),
            "15:00": [
                sell("15:00", "SHFE.rb2601", 3),
                buy("limit", "DCE.m2601", exectype=bt.Order.Limit, price=3005),
            ],
        },
    )
    assert "closed" in result.notes["held"]
    opened = {"10:15": "10:30:00", "11:30": "13:30:00", "15:00": "21:00:00", "limit": "21:00:00"}
    for name, at in opened.items():
        assert result.told(name) == STRAIGHT
        assert [sent.at for sent in result.sent(name)] == [at] * len(result.sent(name))
        assert result.filled_at(name) == at
    assert result.fills("11:30") == [(1, 3011)]
    assert result.legs("15:00") == [("SELL", "CLOSE", 3)]  # bought on Tuesday, sold on Wednesday
    assert result.held("SHFE.rb2601") == (0, 0, 0, 0)


def test_bar_that_the_clock_closes_in_a_break_sends_nothing_into_it(tmp_path: Path) -> None:
    """At 240 times real time: the bar of 10:15 comes in the break, without a tick after it."""
    exchange = market(
        tmp_path, {"SHFE.rb2601": Prices(3000)}, ("10:11", "10:15"), ("10:30", "10:31"), speed=240
    )
    result = play(exchange, {"10:15": buy("break", "SHFE.rb2601")})
    assert result.told("break") == STRAIGHT
    assert [sent.at for sent in result.sent("break")] == ["10:30:00"]


def test_order_for_a_closed_market_can_be_cancelled_and_never_left(tmp_path: Path) -> None:
    spans = ("10:13", "10:15:10"), ("10:30", "10:31")
    result = play(
        market(tmp_path, {"SHFE.rb2601": Prices(3000)}, *spans),
        {"10:15": [buy("held", "SHFE.rb2601"), cancel("held")]},
    )
    assert result.told("held") == [S, A, "Canceled"]
    assert result.wire.log == []


# ---- fill what you can, or nothing


@scene
def instructions(folder: Path, run: Runner) -> Play:
    """Three lots on the first level, three more three price ticks behind it."""
    few: dict[str, Any] = {"lots": 3, "deep": 3}
    paths = {
        "SHFE.cu2511": Prices(80000, **few),
        "SHFE.al2511": Prices(20000, **few),
        "SHFE.zn2511": Prices(22000, **few),
        "SHFE.hc2601": Prices(3300, **few),
        "CFFEX.IF2510": Prices(4500, **few),
        "CFFEX.IH2510": Prices(2900, **few),
        "CFFEX.IC2510": Prices(7000, {"10:34:20": 7001}, **few),
        "DCE.m2601": Prices(3000, **few),
        "DCE.y2601": Prices(8320, **few),
        "DCE.p2601": Prices(9000, **few),
        "CZCE.SR601": Prices(5500, {"10:34:20": 5520}, **few),
    }
    limit = {"exectype": bt.Order.Limit}
    return run(
        market(folder, paths, ("10:31", "10:36")),
        {
            "10:33": [
                buy("FAK", "SHFE.cu2511", 5, price=80010, advanced="FAK", **limit),
                buy("FOK too large", "SHFE.al2511", 5, price=20005, advanced="FOK", **limit),
                buy("FOK", "SHFE.zn2511", 5, price=22020, advanced="FOK", **limit),
                sell("FAK far", "SHFE.hc2601", 5, price=3400, advanced="FAK", **limit),
                buy("BEST", "CFFEX.IF2510", 5, price_type="BEST"),
                sell("FIVELEVEL", "CFFEX.IH2510", 5, price_type="FIVELEVEL"),
                buy("market", "CFFEX.IC2510", 5),
                buy("market FOK", "DCE.m2601", 7, advanced="FOK"),
                sell("market FAK", "DCE.y2601", 7, advanced="FAK"),
                buy("market DCE", "DCE.p2601", 7),
                buy("stop CZCE", "CZCE.SR601", 7, exectype=bt.Order.Stop, price=5510),
            ],
        },
        policy="net",
    )


def test_fak_takes_what_is_there_and_the_rest_is_cancelled(instructions: Play) -> None:
    assert instructions.told("FAK") == [S, A, P, "Canceled"]
    assert instructions.fills("FAK") == [(3, 80010)]
    assert [sent.kind for sent in instructions.sent("FAK")] == ["LIMIT IOC"]
    assert instructions.end("FAK").left == 2


def test_fak_out_of_reach_is_cancelled_whole(instructions: Play) -> None:
    assert instructions.told("FAK far") == [S, A, "Canceled"]
    assert instructions.fills("FAK far") == []


def test_fok_fills_wholly_or_not_at_all(instructions: Play) -> None:
    assert instructions.told("FOK too large") == [S, A, "Canceled"]
    assert [sent.kind for sent in instructions.sent("FOK")] == ["LIMIT IOC ALL"]
    assert instructions.told("FOK") == [S, A, P, C]
    assert instructions.fills("FOK") == [(3, 22005), (2, 22020)]


def test_best_takes_the_first_level_only(instructions: Play) -> None:
    (sent,) = instructions.sent("BEST")
    assert sent[3:] == ("BUY", "OPEN", 5, None, "BEST IOC")
    assert instructions.told("BEST") == [S, A, P, "Canceled"]
    assert instructions.fills("BEST") == [(3, 4500.2)]


def test_fivelevel_takes_five_levels(instructions: Play) -> None:
    assert [sent.kind for sent in instructions.sent("FIVELEVEL")] == ["FIVELEVEL IOC"]
    assert instructions.told("FIVELEVEL") == [S, A, P, C]
    assert instructions.fills("FIVELEVEL") == [(-3, 2899.8), (-2, pytest.approx(2899.2))]


def test_market_order_follows_the_price_until_it_is_filled(instructions: Play) -> None:
    """Two ticks beyond the first level: what the book lacks is sent again with the next tick."""
    assert instructions.told("market") == [S, A, P, C]
    assert [(sent.volume, sent.kind) for sent in instructions.sent("market")] == [
        (5, "LIMIT IOC"),
        (2, "LIMIT IOC"),
    ]
    assert instructions.fills("market") == [(3, 7000.2), (2, 7000.2)]


def test_market_order_follows_the_price_where_the_exchange_has_market_orders_too(
    instructions: Play,
) -> None:
    """The exchange cancels what the book lacks: a stop that ends there leaves lots unprotected."""
    assert [(s.at, s.volume) for s in instructions.sent("market DCE")] == [
        ("10:33:10", 7),
        ("10:33:20", 1),
    ]
    assert instructions.fills("market DCE") == [(3, 9002), (3, 9008), (1, 9002)]
    assert instructions.end("market DCE").status == C
    assert [size for size, _ in instructions.fills("stop CZCE")] == [3, 3, 1]
    assert instructions.end("stop CZCE").status == C


def test_market_order_as_fok_or_fak_ends_as_the_exchange_says(instructions: Play) -> None:
    assert instructions.told("market FOK") == [S, A, "Canceled"]
    assert [sent.kind for sent in instructions.sent("market FOK")] == ["ANY IOC ALL"]
    assert instructions.told("market FAK") == [S, A, P, P, "Canceled"]
    assert instructions.fills("market FAK") == [(-3, 8318), (-3, 8312)]


# ---- one cancels the other


def test_oco_group_keeps_one_fill(tmp_path: Path) -> None:
    """A pair of a limit and a stop, a pair of stops, three limits, and a cancelled leader."""
    paths = {
        "SHFE.rb2601": Prices(3000, {"10:34:20": 2989}),
        "SHFE.hc2601": Prices(3300, {"10:34:20": 3321}),
        "DCE.m2601": Prices(3000, {"10:34:20": 2980}),
        "DCE.y2601": Prices(8320),
    }
    o = bt.Order

    def with_oco(
        name: str, leader: str, act: Callable[..., Act], *args: Any, **options: Any
    ) -> Act:
        return lambda s: act(name, *args, oco=s.orders[leader], **options)(s)

    limit = {"exectype": o.Limit}
    result = play(
        market(tmp_path, paths, ("10:31", "10:37")),
        {
            "10:33": [
                buy("low", "SHFE.rb2601", price=2990, **limit),
                with_oco("high", "low", buy, "SHFE.rb2601", exectype=o.Stop, price=3020),
                buy("up", "SHFE.hc2601", exectype=o.Stop, price=3320),
                with_oco("down", "up", sell, "SHFE.hc2601", exectype=o.Stop, price=3280),
                buy("one", "DCE.m2601", price=2970, **limit),
                with_oco("two", "one", buy, "DCE.m2601", price=2981, **limit),
                with_oco("three", "two", buy, "DCE.m2601", price=2960, **limit),
                buy("leader", "DCE.y2601", price=8300, **limit),
                with_oco("follower", "leader", sell, "DCE.y2601", price=8340, **limit),
            ],
            "10:34": cancel("leader"),
        },
    )
    for name in ("low", "up", "two"):
        assert result.told(name) == STRAIGHT, name
    for name in ("high", "down", "one", "three", "leader", "follower"):
        assert result.told(name) == [S, A, "Canceled"], name
    assert "has traded" in result.orders["high"].info.reason
    assert [result.broker.get_account_position(symbol).net for symbol in paths] == [1, 1, 1, 0]


# ---- brackets


@scene
def brackets(folder: Path, run: Runner) -> Play:
    up, down = {"10:35:20": 1.0}, {"10:35:20": -1.0}

    def after(price: float, by: float, then: Mapping[str, float]) -> Prices:
        return Prices(price, {at: price + sign * by for at, sign in then.items()})

    paths = {
        "SHFE.rb2601": after(3000, 30, up),  # long: the limit fills
        "SHFE.hc2601": after(3300, 30, down),  # long: the stop is hit
        "SHFE.al2511": after(20000, 100, up),  # short: the stop is hit
        "DCE.m2601": after(3000, 30, down),  # short: the limit fills
        "DCE.y2601": after(8320, 40, down),  # parent at market, without a limit
        "DCE.p2601": Prices(9000),  # parent cancelled
        "DCE.c2601": after(2000, 21, up),  # by hand with transmit=False
        "CZCE.SR601": Prices(5500),  # a child cancelled
        "CZCE.CF601": Prices(14000, {"10:34:20": 13960, "10:35:20": 14000}),  # parent rests first
        "CFFEX.IF2510": after(4500, 10, up),  # trailing stop as a child
    }
    o = bt.Order

    def by_hand(s: Trader) -> None:
        data = s.by["DCE.c2601"]
        parent = s.buy(data=data, size=3, transmit=False)
        s.notes["before"] = len(s.play.wire.sent), parent.getstatusname()
        stop = s.sell(data=data, size=3, exectype=o.Stop, price=1990, parent=parent, transmit=False)
        limit = s.sell(data=data, size=3, exectype=o.Limit, price=2020, parent=parent)
        s.orders.update({"hand": parent, "hand stop": stop, "hand limit": limit})

    return run(
        market(folder, paths, ("10:31", "10:38")),
        {
            "10:33": [
                bracket("buy_bracket", "a a/stop a/limit", "SHFE.rb2601", size=2,
                        price=3001, stopprice=2980, limitprice=3029),
                bracket("buy_bracket", "b b/stop b/limit", "SHFE.hc2601", size=2,
                        price=3301, stopprice=3280, limitprice=3340),
                bracket("sell_bracket", "c c/stop c/limit", "SHFE.al2511", size=2,
                        price=19995, stopprice=20080, limitprice=19800),
                bracket("sell_bracket", "d d/stop d/limit", "DCE.m2601", size=2,
                        price=2999, stopprice=3030, limitprice=2971),
                bracket("buy_bracket", "e e/stop e/limit", "DCE.y2601", size=2,
                        exectype=o.Market, stopprice=8290, limitexec=None),
                bracket("buy_bracket", "f f/stop f/limit", "DCE.p2601", size=2,
                        price=8900, stopprice=8800, limitprice=9100),
                by_hand,
                bracket("buy_bracket", "h h/stop h/limit", "CZCE.SR601", size=2,
                        price=5501, stopprice=5400, limitprice=5600),
                bracket("buy_bracket", "i i/stop i/limit", "CZCE.CF601", size=2,
                        price=13970, stopprice=13800, limitprice=13990),
                bracket("buy_bracket", "j j/stop j/limit", "CFFEX.IF2510", size=2,
                        exectype=o.Market, limitexec=None, stopexec=o.StopTrail,
                        stopargs={"trailamount": 8.0}),
            ],
            "10:34": [
                cancel("f"),
                note("waits", lambda s: s.orders["i/stop"].info.held),
                cancel("h/limit"),
                note("trail", lambda s: s.orders["j/stop"].created.price),
            ],
            "10:37": note("trail up", lambda s: s.orders["j/stop"].created.price),
        },
    )  # fmt: skip


def test_bracket_limit_fills_and_the_stop_is_cancelled(brackets: Play) -> None:
    assert brackets.told("a") == STRAIGHT
    assert brackets.told("a/limit") == STRAIGHT
    assert brackets.told("a/stop") == [S, A, "Canceled"]
    assert brackets.fills("a/limit") == [(-2, 3029)]
    assert brackets.legs("a/limit") == [("SELL", "CLOSETODAY", 2)]
    assert brackets.sent("a/stop") == []
    assert brackets.held("SHFE.rb2601") == (0, 0, 0, 0)


def test_bracket_stop_is_hit_and_sent_only_when_the_limit_is_gone(brackets: Play) -> None:
    """Both close the same lots: the exchange would refuse the stop while the limit rests."""
    assert brackets.told("b/stop") == STRAIGHT
    assert brackets.told("b/limit") == [S, A, "Canceled"]
    stop, limit = brackets.orders["b/stop"].ref, brackets.orders["b/limit"].ref
    log = [entry for entry in brackets.wire.log if entry[1] in (stop, limit)]
    assert log == [("order", limit), ("cancel", limit), ("order", stop)]
    assert brackets.fills("b/stop") == [(-2, 3269)]
    assert brackets.filled_at("b/stop") == "10:35:20"
    assert brackets.held("SHFE.hc2601") == (0, 0, 0, 0)


def test_bracket_of_a_short_position(brackets: Play) -> None:
    assert brackets.told("c/stop") == STRAIGHT
    assert brackets.fills("c/stop") == [(2, 20105)]
    assert brackets.told("c/limit") == [S, A, "Canceled"]
    assert brackets.told("d/limit") == STRAIGHT
    assert brackets.fills("d/limit") == [(2, 2971)]
    assert brackets.told("d/stop") == [S, A, "Canceled"]


def test_bracket_with_a_stop_only_and_a_market_parent(brackets: Play) -> None:
    assert brackets.told("e") == STRAIGHT
    assert brackets.told("e/stop") == STRAIGHT
    assert brackets.fills("e/stop") == [(-2, 8278)]
    assert "e/limit" not in brackets.orders


def test_bracket_whose_parent_is_cancelled_ends_whole(brackets: Play) -> None:
    for name in ("f", "f/stop", "f/limit"):
        assert brackets.told(name) == [S, A, "Canceled"]
    assert brackets.sent("f/stop") + brackets.sent("f/limit") == []


def test_bracket_by_hand_leaves_with_the_order_that_transmits(brackets: Play) -> None:
    assert brackets.notes["before"][1] == "Created"
    assert brackets.told("hand") == STRAIGHT
    assert brackets.told("hand limit") == STRAIGHT
    assert brackets.fills("hand limit") == [(-3, 2020)]
    assert brackets.told("hand stop") == [S, A, "Canceled"]


def test_bracket_child_that_is_cancelled_takes_the_other_with_it(brackets: Play) -> None:
    """As Backtrader's own broker does; the position stays."""
    assert brackets.told("h") == STRAIGHT
    assert brackets.told("h/limit") == [S, A, "Canceled"]
    assert brackets.told("h/stop") == [S, A, "Canceled"]
    assert brackets.held("CZCE.SR601") == (2, 0, 0, 0)


def test_bracket_children_wait_until_their_parent_has_filled(brackets: Play) -> None:
    assert "has filled" in brackets.notes["waits"]
    assert brackets.told("i") == STRAIGHT
    assert brackets.fills("i") == [(2, 13970)]
    assert brackets.filled_at("i") == "10:34:20"
    assert [sent.at for sent in brackets.sent("i/limit")] == ["10:34:20"]
    assert brackets.told("i/limit") == STRAIGHT


def test_bracket_with_a_trailing_stop_trails_from_the_parents_fill_on(brackets: Play) -> None:
    assert brackets.told("j") == STRAIGHT
    assert brackets.told("j/stop") == [S, A]
    assert (brackets.notes["trail"], brackets.notes["trail up"]) == (4492, 4502)


# ---- changed in flight


def test_modify_keeps_the_order_and_changes_what_stands(tmp_path: Path) -> None:
    few: dict[str, Any] = {"lots": 3, "deep": 3}
    paths = {
        "SHFE.rb2601": Prices(3000),
        "SHFE.hc2601": Prices(3300, {"10:35:20": 3311}),
        "DCE.m2601": Prices(3000, {"10:33:20": 3002}, **few),
        "DCE.y2601": Prices(8320),
        "CZCE.SR601": Prices(5500),
        "DCE.p2601": Prices(9000),
    }
    o = bt.Order
    limit = {"exectype": o.Limit}

    def too_small(s: Trader) -> None:
        with pytest.raises(ValueError, match="has filled 3 lots") as caught:
            s.broker.modify(s.orders["part"], size=2)
        s.notes["too small"] = str(caught.value)

    result = play(
        market(tmp_path, paths, ("10:31", "10:38")),
        {
            "10:33": [
                buy("price", "SHFE.rb2601", 2, price=2990, **limit),
                buy("stop", "SHFE.hc2601", exectype=o.Stop, price=3400),
                buy("part", "DCE.m2601", 5, price=3001, **limit),
                buy("size", "DCE.y2601", 5, price=8300, **limit),
                sell("valid", "CZCE.SR601", price=5600, **limit),
                sell("trail", "DCE.p2601", exectype=o.StopTrail, trailamount=50),
            ],
            "10:34": [
                too_small,
                modify("price", price=3001),
                modify("stop", price=3310),
                modify("size", size=2, price=8310),
                modify("valid", valid=moment("10:36")),
                modify("trail", trailamount=100),
                note("mid", lambda s: [len(s.play.wire.sent)]),
            ],
            "10:35": [
                modify("part", size=4, price=3000),
                note("size", lambda s: (s.orders["size"].created.size, s.orders["size"].price)),
                note("trail", lambda s: s.orders["trail"].created.price),
            ],
        },
    )
    assert result.fills("price") == [(2, 3001)]
    assert [(sent.price, sent.volume) for sent in result.sent("price")] == [(2990, 2), (3001, 2)]
    first, again = (result.orders["price"].ref,) * 2
    log = [entry for entry in result.wire.log if entry[1] == first]
    assert log == [("order", first), ("cancel", first), ("order", again)]
    assert result.told("price")[-1] == C
    assert "Canceled" not in result.told("price")

    assert result.fills("stop") == [(1, 3312)]
    assert [sent.at for sent in result.sent("stop")] == ["10:35:20"]

    assert result.fills("part") == [(3, 3001)]  # 3,000 is not reached again
    assert [sent.volume for sent in result.sent("part")] == [5, 1]
    assert result.orders["part"].executed.remsize == 1
    assert result.end("part").status in (A, P)

    assert [(sent.price, sent.volume) for sent in result.sent("size")] == [(8300, 5), (8310, 2)]
    assert result.notes["size"][0] == 2
    assert result.told("valid")[-1] == "Expired"
    assert result.end("valid").at == "10:36:00"
    assert result.notes["trail"] == 8900
    assert result.sent("trail") == []


# ---- which lots are closed


@scene
def policies(folder: Path, run: Runner) -> Play:
    """Two lots of Tuesday and three of Wednesday's night are held long; then a sale."""
    spans = ("14:57", "15:00"), ("21:00", "21:06")
    names = ("net", "lock", "history first", "together", "close", "over", "lock all")
    symbols = dict(zip(names, (s for s in TICKS if s.startswith("SHFE")), strict=False))
    wants = {
        "net": (4, {"policy": "net"}),
        "lock": (4, {"policy": "lock"}),
        "history first": (4, {"policy": "close_history_first"}),
        "together": (3, {"policy": "昨开"}),
        "close": (5, {}),
        "over": (7, {}),
        "lock all": (1, {"policy": "开"}),
    }
    exchange = market(folder, {s: Prices(3000) for s in symbols.values()}, *spans)
    return run(
        exchange,
        {
            "16 14:58": [buy(f"old {name}", symbol, 2) for name, symbol in symbols.items()],
            "16 21:02": [buy(f"new {name}", symbol, 3) for name, symbol in symbols.items()],
            "16 21:04": [
                *(
                    sell(name, symbols[name], size, **options)
                    for name, (size, options) in wants.items()
                ),
            ],
        },
    )


SHFE_POLICIES = {
    "net": ([("CLOSETODAY", 3), ("CLOSE", 1)], (0, 1, 0, 0)),
    "lock": ([("CLOSE", 2), ("OPEN", 2)], (3, 0, 2, 0)),
    "history first": ([("CLOSE", 2), ("CLOSETODAY", 2)], (1, 0, 0, 0)),
    "together": ([("CLOSE", 2), ("OPEN", 1)], (3, 0, 1, 0)),
    "close": ([("CLOSETODAY", 3), ("CLOSE", 2)], (0, 0, 0, 0)),
    "over": ([("CLOSETODAY", 3), ("CLOSE", 2), ("OPEN", 2)], (0, 0, 2, 0)),
    "lock all": ([("OPEN", 1)], (3, 2, 1, 0)),
}


@pytest.mark.parametrize(("name", "legs", "held"), [(k, *v) for k, v in SHFE_POLICIES.items()])
def test_policy_chooses_the_lots_on_shfe(
    policies: Play, name: str, legs: list[tuple[str, int]], held: tuple[int, int, int, int]
) -> None:
    assert policies.told(name)[-1] == C
    assert [(sent.offset, sent.volume) for sent in policies.sent(name)] == legs
    assert policies.held(policies.orders[name].data.symbol) == held


def test_policy_of_the_broker_counts_where_an_order_says_none(tmp_path: Path) -> None:
    """CFFEX closes history lots as well as today's by CLOSE; which go first is its own choice."""
    spans = ("14:57", "15:00"), ("2025-09-17 09:30", "2025-09-17 09:36")
    paths = {"CFFEX.IF2510": 4500, "CFFEX.IH2510": 2900, "CFFEX.IC2510": 7000, "CFFEX.T2512": 108}
    old = [buy(f"old {symbol}", symbol, 2) for symbol in paths]
    result = play(
        market(tmp_path, {symbol: Prices(price) for symbol, price in paths.items()}, *spans),
        {
            "16 14:58": old,
            "17 09:31": [buy("new", "CFFEX.IF2510", 3), buy("new T", "CFFEX.T2512", 3)],
            "17 09:33": [
                sell("lock", "CFFEX.IF2510", 4),
                sell("history only", "CFFEX.IH2510", 1),
                sell("said", "CFFEX.IC2510", 3, policy="net"),
                sell("net", "CFFEX.T2512", 4, policy="net"),
            ],
            "17 09:34": order("close", "close", "CFFEX.IH2510", policy="net"),
        },
        policy="lock",
    )
    legs = {name: [(sent.offset, sent.volume) for sent in result.sent(name)] for name in
            ("lock", "history only", "said", "net", "close")}  # fmt: skip
    assert legs == {
        "lock": [("OPEN", 4)],  # today's lots would be closed first, which locking avoids
        "history only": [("CLOSE", 1)],
        "said": [("CLOSE", 2), ("OPEN", 1)],
        "net": [("CLOSE", 4)],
        "close": [("CLOSE", 1)],
    }
    assert result.held("CFFEX.IF2510") == (3, 2, 4, 0)
    assert result.held("CFFEX.IC2510") == (0, 0, 1, 0)
    assert sum(result.held("CFFEX.T2512")) == 1
    assert result.broker.positions().keys() == {"CFFEX.IF2510", "CFFEX.IC2510", "CFFEX.T2512"}


def test_opening_leg_is_sent_when_the_closing_legs_have_filled(tmp_path: Path) -> None:
    """A leg that opens beside one that still closes could leave twice the risk."""
    result = play(
        market(tmp_path, {"DCE.m2601": Prices(3000, {"10:36:20": 3006})}, ("10:31", "10:38")),
        {
            "10:33": buy("long", "DCE.m2601", 2),
            "10:34": sell("turn", "DCE.m2601", 5, exectype=bt.Order.Limit, price=3005),
        },
    )
    sent = [(leg.at, leg.offset, leg.volume) for leg in result.sent("turn")]
    assert sent == [("10:34:10", "CLOSE", 2), ("10:36:20", "OPEN", 3)]
    bits = result.orders["turn"].executed.exbits
    assert [(bit.closed, bit.opened) for bit in bits] == [(-2, 0), (0, -3)]


def test_position_is_turned_over_in_one_order(policies: Play) -> None:
    bits = policies.orders["over"].executed.exbits
    assert [(bit.closed, bit.opened) for bit in bits] == [(-3, 0), (-2, 0), (0, -2)]
    assert [bit.psize for bit in bits] == [2, 0, -2]


def test_commission_of_each_bit_is_what_the_account_was_charged(policies: Play) -> None:
    """Copper: 20.20 a lot, 40.40 to close today's (SHFE.cu, catalogue of autumn 2025)."""
    made = policies.orders["net"]
    assert made.data.symbol == "SHFE.cu2511"
    fees = [bit.closedcomm + bit.openedcomm for bit in made.executed.exbits]
    assert fees == [pytest.approx(3 * 40.4), pytest.approx(20.2)]
    assert made.executed.comm == pytest.approx(3 * 40.4 + 20.2)


# ---- what brackets and stops meet


@scene
def edges(folder: Path, run: Runner) -> Play:
    few: dict[str, Any] = {"lots": 3, "deep": 3}
    paths = {
        "SHFE.rb2601": Prices(3000, {"10:35:20": 2950}),  # parent fills 50 lower
        "DCE.m2601": Prices(3000, {"10:33:20": 3005, "10:35:20": 2970}, **few),  # and in part
        "SHFE.al2511": Prices(20000, {"10:33:10": 20100}),  # moves between bar and order
        "DCE.y2601": Prices(8320, {"10:35:20": 8362}),
        "DCE.p2601": Prices(9000, {"10:35:20": 9052}),
        "SHFE.hc2601": Prices(3300, {"10:35:20": 3250, "10:36:20": 3300}, **few),
        "CZCE.SR601": Prices(5500, {"10:35:20": 5550}),
    }
    o = bt.Order

    def oco_of_children(s: Trader) -> None:
        data, names = s.by["CZCE.SR601"], ("parent", "child", "other")
        parent = s.buy(data=data, size=2, transmit=False)
        child = s.sell(
            data=data, size=2, exectype=o.Limit, price=5540, parent=parent, transmit=False
        )
        other = s.sell(data=data, size=2, exectype=o.Limit, price=5560, parent=parent, oco=child)
        s.orders.update(zip(names, (parent, child, other), strict=True))

    return run(
        market(folder, paths, ("10:31", "10:39")),
        {
            "10:33": [
                bracket("buy_bracket", "low low/stop low/limit", "SHFE.rb2601", size=2, price=2960,
                        stopexec=o.StopTrail, stopargs={"trailamount": 20}, limitprice=3100),
                bracket("buy_bracket", "part part/stop part/limit", "DCE.m2601", size=5,
                        price=3001, stopprice=2980, limitprice=3050),
                sell("trail", "SHFE.al2511", exectype=o.StopTrail, trailamount=50),
                buy("stoplimit", "DCE.y2601", exectype=o.StopLimit, price=8340),
                buy("stop of stop", "DCE.p2601", exectype=o.Stop, price=9020),
                buy("hc", "SHFE.hc2601", 7),
                oco_of_children,
            ],
            "10:34": [
                cancel("part"),
                note("trail", lambda s: (s.orders["trail"].created.price,
                                         s.orders["trail"].info.held)),
                modify("stoplimit", price=8360, plimit=8360),
                modify("stop of stop", price=9040),
                modify("stop of stop", price=9050),
                sell("protect", "SHFE.hc2601", 7, exectype=o.Stop, price=3260),
            ],
        },
    )  # fmt: skip


def test_trailing_child_begins_when_its_parent_fills(edges: Play) -> None:
    """Begun when it was written, at 3,000, it stood at 2,980 and closed what had just opened."""
    assert edges.fills("low") == [(2, 2960)]
    assert edges.told("low/stop") == [S, A]
    assert edges.orders["low/stop"].created.price == 2930


def test_children_stand_for_what_a_cancelled_parent_has_filled(edges: Play) -> None:
    assert edges.told("part") == [S, A, P, "Canceled"]
    assert edges.fills("part") == [(3, 3001)]
    assert [sent.volume for sent in edges.sent("part/limit")] == [3]
    assert sum(sent.volume for sent in edges.sent("part/stop")) == 3
    assert sum(size for size, _ in edges.fills("part/stop")) == -3
    assert edges.held("DCE.m2601") == (0, 0, 0, 0)


def test_trailing_stop_shows_where_it_really_stands(edges: Play) -> None:
    """Backtrader reckons from the bar's close, 20,000; the market is at 20,100 already."""
    price, held = edges.notes["trail"]
    assert price == 20050
    assert "20050" in held


def test_stops_are_modified_where_they_wait(edges: Play) -> None:
    assert [sent.at for sent in edges.sent("stoplimit")] == ["10:35:20"]
    assert [sent.price for sent in edges.sent("stoplimit")] == [8360]
    assert edges.told("stoplimit")[-1] == A  # 8,364 is asked
    assert edges.fills("stop of stop") == [(1, 9054)]
    changed = {edges.orders[name].ref for name in ("stoplimit", "stop of stop")}
    assert not [ref for ref, _ in edges.wire.cancels if ref in changed]


def test_stop_of_more_lots_than_the_book_follows_the_price(edges: Play) -> None:
    """Three lots a tick: the stop is done after three ticks, not with what the first one showed."""
    assert [size for size, _ in edges.fills("protect")] == [-3, -3, -1]
    assert edges.end("protect").status == C
    assert edges.filled_at("protect") == "10:35:40"


def test_children_may_be_an_oco_pair(edges: Play) -> None:
    assert edges.told("child") == STRAIGHT
    assert edges.told("other") == [S, A, "Canceled"]
    assert edges.held("CZCE.SR601") == (0, 0, 0, 0)


# ---- more than the exchange takes at once


def test_large_order_is_split_and_adds_up(tmp_path: Path) -> None:
    """DCE takes 2 lots at market and 3 at a limit here; SHFE 3 at a limit."""
    most = {"max_limit_order_volume": 3, "max_market_order_volume": 2}
    rows = [{"instrument_id": "DCE.m2601", **most},
            {"instrument_id": "SHFE.rb2601", "max_limit_order_volume": 3}]  # fmt: skip
    paths = {"DCE.m2601": Prices(3000), "SHFE.rb2601": Prices(3000, {"10:34:20": 2990})}
    result = play(
        market(tmp_path, paths, ("10:31", "10:38"), instruments=rows),
        {
            "10:33": [
                buy("market", "DCE.m2601", 7),
                buy("limit", "SHFE.rb2601", 7, exectype=bt.Order.Limit, price=2991),
            ],
            "10:35": [
                sell("over", "DCE.m2601", 10, exectype=bt.Order.Limit, price=2999),
                sell("stop", "SHFE.rb2601", 7, exectype=bt.Order.Limit, price=2999),
            ],
            "10:36": cancel("stop"),
        },
    )
    assert [sent.volume for sent in result.sent("market")] == [2, 2, 2, 1]
    assert result.told("market") == [S, A, P, P, P, C]
    assert sum(size for size, _ in result.fills("market")) == 7
    assert [news.filled for news in result.of("market")[2:]] == [2, 4, 6, 7]
    assert [sent.volume for sent in result.sent("limit")] == [3, 3, 1]
    assert result.told("limit") == [S, A, P, P, C]
    assert result.legs("over") == [
        ("SELL", "CLOSE", 3), ("SELL", "CLOSE", 3), ("SELL", "CLOSE", 1), ("SELL", "OPEN", 3),
    ]  # fmt: skip
    assert result.end("over").status == C
    assert len(result.wire.cancels) == 3  # every part of the resting order
    assert result.told("stop") == [S, A, "Canceled"]
    assert result.held("DCE.m2601") == (0, 0, 3, 0)
    assert result.held("SHFE.rb2601") == (7, 0, 0, 0)


# ---- targets and closing


def test_targets_and_close_go_by_what_the_account_holds(tmp_path: Path) -> None:
    """m: 3,040 x 10 t x 7 % margin = 2,128 CNY a lot.

    1 % of 10 million is 46 whole lots; half of it 22 fewer, for Backtrader rounds the difference.
    """
    paths = {"DCE.m2601": Prices(3000), "SHFE.rb2601": Prices(3000), "DCE.y2601": Prices(8320)}
    to = "order_target_size"
    result = play(
        market(tmp_path, paths, ("10:31", "10:42")),
        {
            "10:33": [
                order("order_target_percent", "1 %", "DCE.m2601", target=0.01),
                order(to, "5", "SHFE.rb2601", target=5),
                buy("3", "DCE.y2601", 3),
            ],
            "10:35": [
                order("order_target_percent", "0.5 %", "DCE.m2601", target=0.005),
                order(to, "-2", "SHFE.rb2601", target=-2),
                order("close", "close", "DCE.y2601"),
            ],
            "10:37": [
                order("order_target_percent", "0 %", "DCE.m2601", target=0),
                order(to, "-2 again", "SHFE.rb2601", target=-2),
                order("close", "nothing to close", "DCE.y2601"),
            ],
            "10:39": order(to, "1", "SHFE.rb2601", target=1),
            "10:40": note("held", lambda s: s.play.held("SHFE.rb2601")),
            "10:41": order(to, "0", "SHFE.rb2601", target=0),
        },
    )
    assert result.fills("1 %") == [(46, 3001)]
    assert sum(size for size, _ in result.fills("0.5 %")) == -22
    assert sum(size for size, _ in result.fills("0 %")) == -24
    assert result.legs("5") == [("BUY", "OPEN", 5)]
    assert result.legs("-2") == [("SELL", "CLOSETODAY", 5), ("SELL", "OPEN", 2)]
    assert result.legs("1") == [("BUY", "CLOSETODAY", 2), ("BUY", "OPEN", 1)]
    assert result.legs("close") == [("SELL", "CLOSE", 3)]
    assert result.orders["-2 again"] is None
    assert result.orders["nothing to close"] is None
    assert result.notes["held"] == (1, 0, 0, 0)
    assert result.broker.positions() == {}
    gain = sum(trade.pnlcomm for trade in result.bt_trades if trade.isclosed)
    assert result.broker.getvalue() - 10_000_000 == pytest.approx(gain)


def test_positions_are_read_as_backtraders_strategies_do(tmp_path: Path) -> None:
    """`self.positions[data]` was a TypeError: the broker's `positions` is a method here."""

    def look(s: Trader) -> None:
        rb = s.by["SHFE.rb2601"]
        s.notes["each"] = (
            s.getposition(rb).size,
            s.positions[rb].size,
            s.getpositions()[rb].price,
            {name: held.size for name, held in s.getpositionsbyname().items()},
            s.getpositionbyname("DCE.m2601").size,
            sorted(s.broker.positions()),
        )

    result = play(
        market(
            tmp_path, {"SHFE.rb2601": Prices(3000), "DCE.m2601": Prices(3000)}, ("10:31", "10:36")
        ),
        {"10:33": buy("rb", "SHFE.rb2601", 2), "10:35": look},
    )
    names = {"SHFE.rb2601": 2, "DCE.m2601": 0}
    assert result.notes["each"] == (2, 2, 3001, names, 0, ["SHFE.rb2601"])


# ---- over the night


@scene
def nights(folder: Path, run: Runner) -> Play:
    few: dict[str, Any] = {"lots": 3, "deep": 3}
    paths = {
        "SHFE.rb2601": Prices(3000, {"21:02:20": 3021}),
        "SHFE.hc2601": Prices(3300, {"21:02:20": 3270}),
        "SHFE.al2511": Prices(20000, {"14:58:20": 20050, "21:02:20": 20000}, **few),
        "DCE.m2601": Prices(3000),
        "DCE.y2601": Prices(8320, {"21:00": 8400}),
        "CZCE.SR601": Prices(5500),
        "CFFEX.IF2510": Prices(4500, {"2025-09-17 14:59:30": 4510}),
    }
    spans = ("14:56", "15:00:10"), ("20:59", "21:05"), ("2025-09-17 14:58", "2025-09-17 15:00")
    o = bt.Order
    limit = {"exectype": o.Limit}
    return run(
        market(folder, paths, *spans),
        {
            "16 14:57": [buy("rb", "SHFE.rb2601", 2), buy("hc", "SHFE.hc2601", 2)],
            "16 14:58": [
                sell("close", "SHFE.rb2601", 2, price=3020, **limit),
                sell("stop", "SHFE.hc2601", 2, exectype=o.Stop, price=3280),
                buy("part", "SHFE.al2511", 7, price=20005, **limit),
                buy("gap", "DCE.y2601", exectype=o.Stop, price=8350),
            ],
            "16 15:00": [
                buy("day", "DCE.m2601", price=2950, valid=o.DAY, **limit),
                buy("FAK", "CZCE.SR601", 2, price=5501, advanced="FAK", **limit),
                buy("at the close", "CFFEX.IF2510", exectype=o.Close),
            ],
        },
    )


def test_resting_close_of_todays_lots_closes_history_lots_tomorrow(nights: Play) -> None:
    """CLOSETODAY is refused for lots of yesterday: the order is planned anew."""
    legs = [(sent.at, sent.offset, sent.volume) for sent in nights.sent("close")]
    assert legs == [("14:58:10", "CLOSETODAY", 2), ("21:00:00", "CLOSE", 2)]
    assert nights.told("close") == STRAIGHT
    assert nights.held("SHFE.rb2601") == (0, 0, 0, 0)


def test_stop_over_the_night_closes_history_lots(nights: Play) -> None:
    assert nights.legs("stop") == [("SELL", "CLOSE", 2)]
    assert nights.told("stop") == STRAIGHT


def test_order_filled_in_part_stands_again_for_the_rest(nights: Play) -> None:
    sent = [(leg.at, leg.volume) for leg in nights.sent("part")]
    assert sent == [("14:58:10", 7), ("21:00:00", 4)]
    assert nights.fills("part") == [(3, 20005), (3, 20005), (1, 20005)]
    assert nights.told("part") == [S, A, P, P, C]


def test_stop_behind_a_gap_goes_off_at_the_opening(nights: Play) -> None:
    assert [leg.at for leg in nights.sent("gap")] == ["21:00:00"]
    assert nights.fills("gap") == [(1, 8402)]


def test_order_written_after_the_close_is_of_the_next_day(nights: Play) -> None:
    """A day order lives through the next day; what stands for the close waits for the next one."""
    assert [leg.at for leg in nights.sent("day")] == ["21:00:00"]
    assert nights.told("day") == [S, A, "Expired"]
    assert nights.end("day").at == "15:00:00"
    assert [leg.at for leg in nights.sent("FAK")] == ["21:00:00"]
    assert nights.fills("FAK") == [(2, 5501)]
    assert [leg.at for leg in nights.sent("at the close")] == ["14:59:30"]
    assert nights.fills("at the close") == [(1, 4510.2)]


# ---- in the same breath


@scene
def breaths(folder: Path, run: Runner) -> Play:
    one: dict[str, Any] = {"lots": 1, "deep": 1}
    few: dict[str, Any] = {"lots": 3, "deep": 3}
    paths = {
        "SHFE.rb2601": Prices(3000),
        "SHFE.hc2601": Prices(3300),
        "DCE.m2601": Prices(3000),
        "DCE.y2601": Prices(8320),
        "SHFE.al2511": Prices(
            20000, {"10:34:20": 20050, "10:34:30": 20000, "10:35:20": 19900}, **one
        ),
        "DCE.p2601": Prices(9000, {"10:33:20": 9004}, **few),
        "CZCE.SR601": Prices(5500, {"10:34:20": 5460}),
        "CZCE.CF601": Prices(14000, {"10:34:20": 14100}),
    }
    o = bt.Order
    limit = {"exectype": o.Limit}

    def at_once(s: Trader) -> None:
        s.notes["at once"] = [s.broker.cancel(s.orders["again"]) for _ in range(2)]

    return run(
        market(folder, paths, ("10:31", "10:40")),
        {
            "10:33": [
                buy("again", "SHFE.rb2601", price=2990, **limit),
                at_once,
                buy("twice", "SHFE.hc2601", 2, price=3290, **limit),
                modify("twice", price=3280),
                modify("twice", price=3285, size=3),
                buy("changed, gone", "DCE.m2601", price=2990, **limit),
                modify("changed, gone", price=2980),
                cancel("changed, gone"),
                bracket("buy_bracket", "n n/stop n/limit", "SHFE.al2511", size=3,
                        price=20010, stopprice=19950, limitprice=20045),
                buy("more", "DCE.p2601", 5, price=9002, **limit),
                bracket("buy_bracket", "v v/stop v/limit", "CZCE.SR601", size=2, price=5480,
                        stopprice=5450, limitprice=5540, valid=moment("10:36")),
                buy("stop and size", "CZCE.CF601", exectype=o.Stop, price=14050),
                modify("stop and size", size=3),
            ],
            "10:34": [
                modify("more", size=8, price=9006),
                buy("y", "DCE.y2601", 2),
            ],
            "10:35": [
                sell("y out", "DCE.y2601", 2, price=8360, **limit),
                modify("y out", price=8318),
            ],
        },
    )  # fmt: skip


def test_order_cancelled_in_the_bar_that_wrote_it_ends_once(breaths: Play) -> None:
    assert breaths.told("again")[-1] == "Canceled"
    assert breaths.told("again").count("Canceled") == 1
    assert breaths.notes["at once"][0] is True


def test_order_changed_twice_in_one_bar_stands_as_last_said(breaths: Play) -> None:
    sent = [(leg.price, leg.volume) for leg in breaths.sent("twice")]
    assert sent[-1:] == [(3285, 3)]
    assert breaths.told("twice") == [S, A] + [A] * (len(breaths.told("twice")) - 2)
    assert breaths.orders["twice"].created.size == 3
    assert breaths.orders["twice"].executed.remsize == 3


def test_cancel_beats_a_change(breaths: Play) -> None:
    assert breaths.told("changed, gone")[-1] == "Canceled"
    assert [leg.price for leg in breaths.sent("changed, gone")] == [2990]


def test_stop_closes_what_the_half_filled_limit_has_left(breaths: Play) -> None:
    """One lot went to the limit; the stop must not sell three."""
    assert breaths.fills("n/limit") == [(-1, 20045)]
    assert breaths.told("n/limit")[-1] == "Canceled"
    assert sum(size for size, _ in breaths.fills("n/stop")) == -2
    assert breaths.held("SHFE.al2511") == (0, 0, 0, 0)


def test_half_filled_order_is_made_larger(breaths: Play) -> None:
    """Three lots at 9,002; five more at 9,006 after the price went up."""
    assert [(leg.price, leg.volume) for leg in breaths.sent("more")] == [(9002, 5), (9006, 5)]
    assert breaths.fills("more") == [(3, 9002), (3, 9006), (2, 9006)]
    assert breaths.end("more").status == C
    assert breaths.end("more").filled == 8


def test_bracket_expires_as_its_children_say(breaths: Play) -> None:
    assert breaths.told("v") == STRAIGHT
    for name in ("v/stop", "v/limit"):
        assert breaths.told(name)[-1] in ("Expired", "Canceled")
        assert breaths.end(name).at == "10:36:00"
    assert "Expired" in (breaths.end("v/stop").status, breaths.end("v/limit").status)
    assert breaths.held("CZCE.SR601") == (2, 0, 0, 0)


def test_stop_is_made_larger_while_it_waits(breaths: Play) -> None:
    assert breaths.fills("stop and size") == [(3, 14105)]
    assert breaths.end("stop and size").left == 0


def test_resting_close_is_changed_and_closes_the_same_lots(breaths: Play) -> None:
    """Withdrawn first: the lots that it held are free for the changed one."""
    assert breaths.legs("y out") == [("SELL", "CLOSE", 2)] * len(breaths.sent("y out"))
    assert breaths.fills("y out") == [(-2, 8318)]
    assert breaths.held("DCE.y2601") == (0, 0, 0, 0)


# ---- money, limits, other feeds


def test_opening_leg_that_lacks_money_leaves_the_closing_one(tmp_path: Path) -> None:
    """2,198 CNY a lot of rb (3,140 x 10 t x 7 %): 10,000 CNY carry four."""
    result = play(
        market(tmp_path, {"SHFE.rb2601": Prices(3000)}, ("10:31", "10:38"), balance_cny=10_000.0),
        {
            "10:33": buy("in", "SHFE.rb2601", 4),
            "10:34": buy("too much", "SHFE.rb2601", 1),
            "10:35": sell("turn", "SHFE.rb2601", 10),
            "10:36": bracket("buy_bracket", "poor poor/stop poor/limit", "SHFE.rb2601", size=6,
                             price=3001, stopprice=2950, limitprice=3050),
        },
    )  # fmt: skip
    assert result.told("in") == STRAIGHT
    assert result.told("too much")[-1] == "Margin"
    assert "资金不足" in result.orders["too much"].info.reason
    assert result.told("turn") == [S, A, P, "Canceled"]
    assert result.end("turn").filled == -4
    assert "资金不足" in result.orders["turn"].info.reason
    assert result.told("poor")[-1] == "Margin"
    assert result.told("poor/stop")[-1] == result.told("poor/limit")[-1] == "Canceled"
    assert result.broker.positions() == {}


def test_market_order_at_a_locked_limit_rests_at_the_limit(tmp_path: Path) -> None:
    """Nobody sells at the upper limit, 3,180: the order queues there and fills when it opens."""
    paths = {"SHFE.rb2601": Prices(3000, {"10:32:20": 3180, "10:36:20": 3170})}
    exchange = market(tmp_path, paths, ("10:31", "10:38"))
    result = play(exchange, {"10:34": buy("locked", "SHFE.rb2601")})
    assert result.told("locked") == STRAIGHT
    assert [(leg.price, leg.kind) for leg in result.sent("locked")] == [(3180, "LIMIT GFD")]
    assert result.filled_at("locked") == "10:36:20"


def test_main_contract_trades_and_stops_on_its_underlying(tmp_path: Path) -> None:
    paths = {"SHFE.rb2601": Prices(3000, {"10:35:20": 2970})}
    result = play(
        market(tmp_path, paths, ("10:31", "10:38")),
        {
            "10:33": bracket("buy_bracket", "in stop limit", "KQ.m@SHFE.rb", size=2,
                             exectype=bt.Order.Market, stopprice=2980, limitprice=3100),
            "10:34": note("held", lambda s: s.getposition(s.data).size),
        },
        ["KQ.m@SHFE.rb"],
    )  # fmt: skip
    assert result.notes["held"] == 2
    assert {leg.symbol for leg in result.wire.sent} == {"SHFE.rb2601"}
    assert result.told("stop") == STRAIGHT
    assert result.sent("stop")[0].at == "10:35:20"
    assert result.held("SHFE.rb2601") == (0, 0, 0, 0)


def test_orders_on_resampled_and_replayed_data_and_of_two_strategies(tmp_path: Path) -> None:
    """News go to the strategy that wrote the order; larger bars trade their contract."""
    told: dict[str, list[str]] = {"one": [], "two": []}

    class Either(bt.Strategy):
        params = (("name", ""), ("at", 0))

        def notify_order(self, order: bt.Order) -> None:
            told[self.p.name].append(f"{order.info.tag} {order.getstatusname()}")

        def next(self) -> None:
            if len(self.datas[1]) == self.p.at and not told[self.p.name]:
                self.buy(data=self.datas[1], size=1, tag=self.p.name, tradeid=self.p.at)

    exchange = market(tmp_path, {"SHFE.rb2601": Prices(3000)}, ("10:31", "10:46"))
    wire = Wire(exchange)
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        data = store.getdata("SHFE.rb2601", history=0)
        cerebro.adddata(data)
        cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=5)
        cerebro.addstrategy(Either, name="one", at=1)
        cerebro.addstrategy(Either, name="two", at=2)
        cerebro.run()
    assert told == {name: [f"{name} {status}" for status in STRAIGHT] for name in told}
    assert [leg.short for leg in wire.sent] == [("BUY", "OPEN", 1)] * 2
    assert broker.get_account_position("SHFE.rb2601").net == 2


def test_orders_written_in_notifications_leave_at_once(tmp_path: Path) -> None:
    """A strategy answers a fill with a stop, and a stop with a new order, on the same tick."""

    class Chain(bt.Strategy):
        def notify_order(self, order: bt.Order) -> None:
            if order.status == bt.Order.Completed and order.isbuy() and len(wire.sent) == 1:
                self.sell(size=1, exectype=bt.Order.Stop, price=2980)
            elif order.status == bt.Order.Completed and order.issell():
                self.buy(size=2)

        def next(self) -> None:
            if len(self) == 2:
                self.buy(size=1)

    exchange = market(
        tmp_path, {"SHFE.rb2601": Prices(3000, {"10:35:20": 2970})}, ("10:31", "10:38")
    )
    wire = Wire(exchange)
    with TqStore(exchange=exchange) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = store.getbroker()
        cerebro.setbroker(broker)
        cerebro.adddata(store.getdata("SHFE.rb2601", history=0))
        cerebro.addstrategy(Chain)
        cerebro.run()
    assert [(leg.at, *leg.short) for leg in wire.sent[1:]] == [
        ("10:35:20", "SELL", "CLOSETODAY", 1),
        ("10:35:20", "BUY", "OPEN", 2),
    ]


# ---- whatever the order


@pytest.fixture(params=SCENES)
def any_play(request: pytest.FixtureRequest) -> Play:
    found: Play = request.getfixturevalue(request.param)
    return found


def test_every_execution_bit_is_one_trade_of_the_account(any_play: Play) -> None:
    for name, made in any_play.orders.items():
        trades = [(t.volume, t.price) for t in any_play.trades if ref_of(t.order_id) == made.ref]
        assert [(abs(size), price) for size, price in any_play.fills(name)] == trades


def test_each_trade_is_told_with_one_notification(any_play: Play) -> None:
    """A change of a half-filled order is told too, with the fills of before."""
    for made in any_play.orders.values():
        told = [news for news in any_play.news if news.ref == made.ref]
        fills = dict.fromkeys(news.filled for news in told if news.filled)
        sizes = [bit.size for bit in made.executed.exbits]
        assert list(fills) == list(accumulate(sizes))
        assert [news.status for news in told[:1]] == [S]


def test_a_status_told_once_never_changes(any_play: Play) -> None:
    """A predecessor handed out the order itself, and every earlier news read Completed."""
    assert any_play.news
    for news in any_play.news:
        assert news.clone.getstatusname() == news.status
        assert news.clone.executed.size == news.filled
        assert news.clone.executed.remsize == news.left


def test_commission_is_the_accounts(any_play: Play) -> None:
    charged = sum(trade.commission_cny for trade in any_play.trades)
    booked = sum(
        bit.closedcomm + bit.openedcomm
        for made in any_play.orders.values()
        for bit in made.executed.exbits
    )
    assert booked == pytest.approx(charged)


def ends(result: Play) -> dict[str, tuple[str, list[float]]]:
    """How each order ended, and the lots of its fills."""
    made = {name: order for name, order in result.orders.items() if order is not None}
    return {name: (result.end(name).status, [s for s, _ in result.fills(name)]) for name in made}


@pytest.mark.parametrize("name", ["brackets", "breaths"])
@pytest.mark.parametrize("fault", ["repeat", "split"])
def test_packets_that_come_twice_or_piecemeal_change_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, name: str, fault: str
) -> None:
    undisturbed: Play = request.getfixturevalue(name)

    def spoilt(exchange: LocalExchange, plan: Mapping[str, Any], **options: Any) -> Play:
        spoil = {"10:32": lambda _: getattr(exchange, fault)("td")}
        return play(exchange, {**plan, **spoil}, **options)

    result = SCENES[name](tmp_path, spoilt)
    assert ends(result) == ends(undisturbed)
    for each in undisturbed.orders:
        assert [leg[1:] for leg in result.sent(each)] == [leg[1:] for leg in undisturbed.sent(each)]


@pytest.mark.parametrize("name", ["types", "brackets", "policies", "validity"])
def test_orders_end_alike_in_tqsdks_own_simulation(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """TqSim matches by itself, with messages of its own; only the market comes from here."""
    here: Play = request.getfixturevalue(name)
    monkeypatch.setattr("tianqin_backtrader.opening.MarketClock", lambda _: MarketClock(None))

    def simulated(exchange: LocalExchange, plan: Mapping[str, Any], **options: Any) -> Play:
        with exchange:
            return play(exchange, plan, mode="sim", **options)

    result = SCENES[name](tmp_path, simulated)
    assert ends(result) == ends(here)
    assert net_lots(result) == net_lots(here)
    assert result.wire.log == []


def net_lots(result: Play) -> dict[str, int]:
    return {symbol: held.net for symbol, held in result.broker.positions().items()}
