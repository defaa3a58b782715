"""The gateway against the real TqApi, and against a bare websocket where the protocol is meant."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import tqsdk.connect
from aiohttp import ClientSession, WSMsgType
from tqsdk import TqAccount, TqApi, TqAuth, TqKq, TqSim
from tqsdk.tools import DataDownloader

from tianqin_backtrader import LocalExchange
from tianqin_backtrader.clock import now_s
from tianqin_backtrader.errors import WrongSetting

CU = "SHFE.cu2511"
MINUTE_NS = 60_000_000_000
DAY = date(2025, 9, 16)


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(end=DAY) as running:
        yield running


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """TqSdk waits 10 to 20 s before it reconnects: here it does not."""
    monkeypatch.setattr(tqsdk.connect.random, "uniform", lambda *_: 0.05)


def connect(exchange: LocalExchange, account: Any, **options: Any) -> TqApi:
    auth = TqAuth("someone", "secret")
    auth._auth_url = exchange.auth_url
    options = {"debug": False, "disable_print": True, "_md_url": exchange.md_url} | options
    return TqApi(account, auth=auth, **options)


def accounts(exchange: LocalExchange) -> list[Any]:
    td_url = exchange.td_url
    return [TqSim(), TqKq(td_url=td_url), TqAccount("快期模拟", "12345", "secret", td_url=td_url)]


def open_market(api: TqApi, quote: Any) -> None:
    """The market begins before its first session: wait for a quote of it."""
    deadline = now_s() + 20
    while quote.datetime < "2025-09-15 21:00:01" and now_s() < deadline:
        api.wait_update(deadline=deadline)


def finish(api: TqApi, order: Any) -> None:
    deadline = now_s() + 20
    while order.status != "FINISHED" and now_s() < deadline:
        api.wait_update(deadline=deadline)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["TqSim", "TqKq", "TqAccount"])
def test_every_account_logs_in_streams_and_trades(which: int, exchange: LocalExchange) -> None:
    api = connect(exchange, accounts(exchange)[which])
    try:
        quote = api.get_quote(CU)
        assert quote.price_tick == 10
        assert quote.volume_multiple == 5
        assert quote.bid_price1 < quote.ask_price1
        assert api.get_account().balance == 10_000_000
        open_market(api, quote)
        order = api.insert_order(CU, "BUY", "OPEN", 2, quote.ask_price1)
        finish(api, order)
        assert (order.status, order.volume_left) == ("FINISHED", 0)
        position = api.get_position(CU)
        assert (position.pos_long_today, position.pos_long_his, position.pos) == (2, 0, 2)
        assert len(order.trade_records) >= 1
        assert api.get_account().margin > 0
    finally:
        api.close()


def test_kline_serials_of_any_duration_up_to_ten_thousand_rows(exchange: LocalExchange) -> None:
    api = connect(exchange, TqSim())
    try:
        for seconds, rows in ((60, 10_000), (10, 500), (240, 300), (3600, 200), (86_400, 200)):
            klines = api.get_kline_serial(CU, seconds, rows)
            assert len(klines) == rows
            assert (klines.datetime > 0).all(), f"{seconds} s klines are padded"
            assert klines.id.diff().dropna().eq(1).all()
            assert klines.datetime.diff().dropna().gt(0).all()
            assert (klines.high >= klines[["open", "close"]].max(axis=1)).all()
            assert (klines.low <= klines[["open", "close"]].min(axis=1)).all()
    finally:
        api.close()


def test_windows_by_id_and_by_time_hold_the_rows_they_name(exchange: LocalExchange) -> None:
    """As TqSdk's downloader asks: focus on a time, then on from an id."""
    api = connect(exchange, TqSim())
    try:
        klines = api.get_kline_serial(CU, 60, 1_000).copy()  # the serial itself moves on
        oldest = klines.iloc[0]
        chart = chart_of(api, focus_datetime=int(oldest.datetime), focus_position=0, view_width=50)
        assert (chart["left_id"], chart["right_id"]) == (oldest.id, oldest.id + 49)
        chart = chart_of(api, left_kline_id=int(oldest.id) + 50, view_width=50)
        rows = api._data["klines"][CU][str(MINUTE_NS)]["data"]
        for n in range(50, 100):
            assert rows[str(chart["left_id"] + n - 50)]["close"] == klines.iloc[n].close
    finally:
        api.close()


def chart_of(api: TqApi, **where: int) -> Any:
    pack = {"aid": "set_chart", "chart_id": f"window{where}", "ins_list": CU, "duration": MINUTE_NS}
    api._send_pack(pack | where)
    charts = api._data["charts"]
    deadline = now_s() + 10
    while pack["chart_id"] not in charts and now_s() < deadline:
        api.wait_update(deadline=deadline)
    return charts[pack["chart_id"]]


def test_downloads_and_aligned_contracts_as_tqsdk_asks_for_them(
    exchange: LocalExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tqsdk.data_series.CACHE_DIR", str(tmp_path))
    api = connect(exchange, TqSim())
    try:
        first, last = datetime(2025, 9, 10, 9), datetime(2025, 9, 10, 15)  # noqa: DTZ001
        found = api.get_kline_data_series(CU, 60, first, last)
        assert len(found) == 225  # 3 h 45 min of day session
        loader = DataDownloader(api, CU, 60, first, last, str(tmp_path / "klines.csv"))
        deadline = now_s() + 20
        while not loader.is_finished() and now_s() < deadline:
            api.wait_update(deadline=deadline)
        rows = (tmp_path / "klines.csv").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 1 + 225
        both = api.get_kline_serial([CU, "SHFE.cu2512"], 60, 50)
        assert both.close1.notna().all()
        assert both.id.diff().dropna().eq(1).all()
    finally:
        api.close()


def test_queries_tell_contracts_and_main_contracts(exchange: LocalExchange) -> None:
    api = connect(exchange, TqSim())
    try:
        products = {symbol.split("@")[1] for symbol in api.query_quotes(ins_class="CONT")}
        assert len(products) >= 8
        exchanges = {product.split(".")[0] for product in products}
        assert exchanges == {"SHFE", "INE", "DCE", "CZCE", "CFFEX", "GFEX"}
        main = api.query_cont_quotes(product_id="cu")
        assert [symbol[:7] for symbol in main] == ["SHFE.cu"]
        quote = api.get_quote("KQ.m@SHFE.cu")
        assert quote.underlying_symbol == main[0]
        assert quote.underlying_quote.last_price == quote.last_price
        night = api.query_quotes(ins_class="FUTURE", exchange_id="CFFEX", has_night=True)
        assert night == []
    finally:
        api.close()


def test_lock_step_gives_the_same_ticks_to_two_clients_at_once(exchange: LocalExchange) -> None:
    first, second = connect(exchange, TqSim()), connect(exchange, TqSim())
    try:
        serials = []
        for api in (first, second):
            exchange.pause()  # neither may run ahead while the other one subscribes
            serials.append(api.get_tick_serial(CU, 50))
        exchange.resume()
        for _ in range(60):
            for api in (first, second):
                api.wait_update(deadline=now_s() + 0.5)
        ids = [set(serial.id) for serial in serials]
        both = ids[0] & ids[1]
        assert len(both) >= 49
        for tick_id in both:
            rows = [serial[serial.id == tick_id].iloc[0] for serial in serials]
            assert rows[0].datetime == rows[1].datetime
            assert rows[0].last_price == rows[1].last_price
    finally:
        first.close()
        second.close()


def test_two_lock_step_runs_are_the_same_to_the_last_tick() -> None:
    def ticks() -> list[tuple[float, float]]:
        with LocalExchange(end=DAY, seed=7) as exchange:
            api = connect(exchange, TqKq(td_url=exchange.td_url))
            serial = api.get_tick_serial("DCE.m2601", 300)
            order = None
            seen = []
            for step in range(300):
                api.wait_update(deadline=now_s() + 5)
                seen.append((serial.datetime.iloc[-1], serial.last_price.iloc[-1]))
                if step % 50 == 10:
                    order = api.insert_order("DCE.m2601", "BUY", "OPEN", 1)
            assert order is not None
            seen += [(t.trade_date_time, t.price) for t in api.get_trade().values()]
            api.close()
        return seen

    assert ticks() == ticks()


async def bare(exchange: LocalExchange, *packs: dict[str, Any]) -> list[dict[str, Any]]:
    """Send `packs` on a bare market-data socket; returns all that comes within 0.3 s."""
    received = []
    async with ClientSession() as session, session.ws_connect(exchange.md_url) as ws:
        for pack in packs:
            await ws.send_str(json.dumps(pack))
        try:
            while True:
                message = await ws.receive(timeout=0.3)
                if message.type is not WSMsgType.TEXT:
                    break
                received.append(json.loads(message.data))
        except asyncio.TimeoutError:  # not yet the built-in one in Python 3.10
            pass
    return received


def test_one_rtn_data_for_each_peek_message(exchange: LocalExchange) -> None:
    subscribe = {"aid": "subscribe_quote", "ins_list": CU}
    peek = {"aid": "peek_message"}
    assert asyncio.run(bare(exchange, subscribe)) == []
    assert len(asyncio.run(bare(exchange, subscribe, peek))) == 1
    assert len(asyncio.run(bare(exchange, subscribe, peek, peek))) <= 2


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"aid":"fly"}',
        '{"aid":"set_chart"}',
        '{"aid":"ins_query"}',
        '{"aid":"subscribe_quote"}',
        '{"aid":"ins_query","query_id":"q","query":"query {"}',
        '{"aid":"set_chart","chart_id":"c","ins_list":"SHFE.cu2511","duration":-5,"view_width":"x"}',
        '{"aid":"set_chart","chart_id":"c","ins_list":"SHFE.cu2511","duration":1,"view_width":5}',
        '{"aid":"req_login"}',
        '{"aid":"insert_order","volume":"many"}',
    ],
)
def test_rubbish_on_a_socket_hurts_nobody(text: str, exchange: LocalExchange) -> None:
    async def send() -> None:
        async with ClientSession() as session:
            for url in (exchange.md_url, exchange.td_url):
                async with session.ws_connect(url) as ws:
                    await ws.send_str(text)
                    await ws.send_str('{"aid":"peek_message"}')
                    await asyncio.sleep(0.05)

    asyncio.run(send())
    api = connect(exchange, TqSim())
    try:
        assert api.get_quote(CU).last_price > 0
    finally:
        api.close()


def test_listens_on_loopback_only(exchange: LocalExchange) -> None:
    sockets = psutil.Process().net_connections(kind="inet")
    listening = {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
    assert exchange.port in {s.laddr.port for s in sockets}
    assert listening == {"127.0.0.1"}


def test_refused_login_says_so(exchange: LocalExchange) -> None:
    exchange.refuse_logins()
    with pytest.raises(Exception, match="401"):
        connect(exchange, TqSim())
    exchange.refuse_logins(False)
    connect(exchange, TqSim()).close()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("fault", ["drop", "kill"])
def test_the_market_goes_on_after_a_broken_connection(fault: str, exchange: LocalExchange) -> None:
    api = connect(exchange, TqKq(td_url=exchange.td_url))
    try:
        quote, ticks = api.get_quote(CU), api.get_tick_serial(CU)
        open_market(api, quote)
        order = api.insert_order(CU, "BUY", "OPEN", 1, quote.ask_price1)
        finish(api, order)
        before = exchange.now_ns
        if fault == "drop":
            exchange.drop("md", 60)
            exchange.drop("td", 60)
        else:
            exchange.kill()
            exchange.revive()
        deadline = now_s() + 20
        while ticks.datetime.iloc[-1] < before + 120e9 and now_s() < deadline:
            api.wait_update(deadline=now_s() + 1)
        assert ticks.datetime.iloc[-1] >= before + 120e9
        assert ticks.id.diff().dropna().eq(1).all()
        assert api.get_position(CU).pos_long == 1
    finally:
        api.close()


@pytest.mark.parametrize("how", ["repeat", "split", "reorder"])
def test_spoiled_packets_lose_and_double_nothing(how: str, exchange: LocalExchange) -> None:
    getattr(exchange, how)("td")
    api = connect(exchange, TqKq(td_url=exchange.td_url))
    try:
        quote = api.get_quote(CU)
        open_market(api, quote)
        for _ in range(3):
            finish(api, api.insert_order(CU, "BUY", "OPEN", 1, quote.ask_price1 + 100))
        for _ in range(10):
            api.wait_update(deadline=now_s() + 0.5)
        assert api.get_position(CU).pos_long == 3
        assert sum(trade.volume for trade in api.get_trade().values()) == 3
    finally:
        api.close()


def test_stalled_socket_delivers_when_it_recovers(exchange: LocalExchange) -> None:
    api = connect(exchange, TqSim())
    try:
        ticks = api.get_tick_serial(CU)
        exchange.stall("md")
        while api.wait_update(deadline=now_s() + 0.3):
            pass
        held = ticks.id.iloc[-1]
        exchange.stall("md", False)
        assert api.wait_update(deadline=now_s() + 5)
        assert ticks.id.iloc[-1] > held
    finally:
        api.close()


def test_control_socket_obeys_and_refuses_rubbish() -> None:
    with LocalExchange(end=DAY, control_port=0) as exchange:
        host, port = exchange.environment()["TIANQIN_CONTROL"].split(":")
        with socket.create_connection((host, int(port)), timeout=5) as control:
            stream = control.makefile("rw", encoding="utf-8")

            def ask(line: str) -> dict[str, Any]:
                stream.write(line + "\n")
                stream.flush()
                reply: dict[str, Any] = json.loads(stream.readline())
                return reply

            assert ask('{"do":"status"}')["trading_day"] == "2025-09-16"
            assert ask('{"do":"refuse_logins"}') == {"ok": True}
            with pytest.raises(Exception, match="401"):
                connect(exchange, TqSim())
            for line in ('{"do":"half_open","side":"td"}', '{"do":"forget"}'):
                assert ask(line) == {"ok": True}
            for line in ("rubbish", "[]", "{}", '{"do":"fly"}', '{"do":"drop","side":"x"}'):
                assert ask(line)["ok"] is False
            for line in (
                '{"do":"drop","side":"md","seconds":"x"}',
                '{"do":"spoil","side":"md","fly":1}',
            ):
                assert ask(line)["ok"] is False


def test_taken_port_and_stopped_exchange_say_so(exchange: LocalExchange) -> None:
    with pytest.raises(WrongSetting, match=f"{exchange.port}.*free"):
        LocalExchange(port=exchange.port).start()
    exchange.stop()
    with pytest.raises(WrongSetting, match="new one"):
        exchange.start()


@pytest.mark.parametrize(
    "options",
    [{"speed": 0}, {"speed": float("nan")}, {"balance_cny": 0}, {"end": date(2020, 1, 1)}],
)
def test_settings_that_cannot_work_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(WrongSetting):
        LocalExchange(**options)


def test_a_market_that_fails_ends_its_connections(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bool:
        raise ZeroDivisionError

    api = connect(exchange, TqSim())
    try:
        monkeypatch.setattr(exchange._venue, "advance", fail)
        api.get_quote(CU)
        api.wait_update(deadline=now_s() + 1)
        codes = [notice["code"] for notice in api._data.notify.values()]
        assert 2019112911 in codes
    finally:
        api.close()


def test_quote_of_a_latecomer_shows_the_days_open(exchange: LocalExchange) -> None:
    """Who subscribed at noon was told the price of noon."""
    api = connect(exchange, TqSim())
    try:
        quote = api.get_quote("DCE.m2601")
        open_market(api, quote)
        deadline = now_s() + 30
        while quote.datetime < "2025-09-15 22:00" and now_s() < deadline:
            api.wait_update(deadline=deadline)
        late = api.get_quote(CU)
        ticks = api.get_tick_serial(CU, 2_000)
        evening = 1_757_941_200_000_000_000  # 2025-09-15 21:00 Beijing time
        first = ticks[(ticks.datetime > evening) & (ticks.volume > 0)].iloc[0]
        assert late.open == first.last_price
    finally:
        api.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no port can be kept")
def test_a_killed_gateway_keeps_its_port_for_its_return() -> None:
    """Another program was given the port meanwhile, and the gateway could not come back."""
    with LocalExchange() as exchange:
        port = int(exchange.md_url.rpartition(":")[2].partition("/")[0])
        exchange.kill()
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", port))
        exchange.revive()
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_killed_while_it_comes_back_it_can_come_back_again() -> None:
    """The half-made server was forgotten and bore the port for good."""
    with LocalExchange() as exchange:
        gateway = exchange._gateway
        port = int(exchange.md_url.rpartition(":")[2].partition("/")[0])

        async def die_and_rise_and_die() -> None:
            await gateway.kill()
            await asyncio.gather(gateway.revive(), gateway.kill())

        for _ in range(5):
            exchange._call(die_and_rise_and_die())
        exchange.revive()
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
        exchange.kill()
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))
