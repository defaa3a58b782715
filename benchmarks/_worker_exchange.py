"""The embedded exchange in a process of its own, for `feeds.py`.

    python benchmarks/_worker_exchange.py '{"pace": 12, "speed": null}'

Prints one line of JSON with its addresses and contracts, and runs until its standard input ends.
With `clock` it then prints, for each minute of the market, how far market time is behind this
machine's monotonic clock: the smallest (now - newest stamp) of some hundred looks a second, in ns.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tianqin_backtrader import LocalExchange

MINUTE_NS, SECOND_NS = 60_000_000_000, 1_000_000_000
LOOK_S = 0.004
# A made market: each contract ticks every half second, a little after the one before it.
HALF_NS, APART_NS = 500_000_000, 4_900_000
OPENS = datetime(2025, 9, 16, 1, tzinfo=timezone.utc)  # 09:00 in Beijing
BEGINS_NS = int(OPENS.timestamp()) * SECOND_NS
OPEN_MINUTES = 75  # until 10:15
RARE_S = 170  # a quiet contract ticks so seldom
PRICE_TICK_CNY = 10  # on the grid of every product
COLUMNS = "datetime last_price volume open_interest bid_price1 bid_volume1 ask_price1 ask_volume1"
HEADER = COLUMNS.replace(" ", ",") + "\n"
# Contracts that the made-up market lets tick as often as it is told to, all in the same hours.
BUSY = [
    *(f"SHFE.{product}2601" for product in ("rb", "hc", "fu", "ru")),
    *(f"DCE.{product}2601" for product in ("m", "jm", "c", "p", "l", "pp", "i", "y", "eg")),
    *(f"CZCE.{product}601" for product in ("TA", "SA", "RM", "MA", "FG", "OI", "CF")),
]


def main() -> None:
    asked: dict[str, Any] = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        files = asked.get("replay") or _make(Path(folder), **asked.get("made", {}))
        start = asked.get("start")
        exchange = LocalExchange(
            replay=files,
            start=None if start is None else datetime.fromisoformat(start),
            speed=asked.get("speed"),
            ticks_per_minute=asked.get("pace"),
            control_port=0,
        )
    with exchange:
        _serve(exchange, asked)


def _serve(exchange: LocalExchange, asked: dict[str, Any]) -> None:
    if asked.get("paused"):
        exchange.pause()
    tell(urls=exchange.environment(), symbols=sorted(exchange.symbols), busy=BUSY)
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    if asked.get("clock"):
        tell(behind_ns=_behind(exchange, ended))
    ended.wait()


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def _wait_for_end(ended: threading.Event) -> None:
    """The parent closes the pipe, or dies."""
    sys.stdin.read()
    ended.set()


def _behind(exchange: LocalExchange, ended: threading.Event) -> dict[int, int]:
    found: dict[int, int] = {}
    while not ended.wait(LOOK_S):
        market_ns = exchange.now_ns
        minute, behind_ns = market_ns // MINUTE_NS, time.perf_counter_ns() - market_ns
        found[minute] = min(found.get(minute, behind_ns), behind_ns)
    return found


def _make(folder: Path, busy: int = 0, quiet: int = 0) -> list[str]:
    """Files of ticks: `busy` contracts with two a second, `quiet` ones with one in three minutes.

    Futures that open at 09:00, in the order of their symbols.
    """
    if not busy:
        return []
    symbols = [s for s in sorted(LocalExchange().symbols) if not s.startswith("CFFEX")]
    for number, symbol in enumerate(symbols[: busy + quiet]):
        step_ns = HALF_NS if number < busy else RARE_S * SECOND_NS
        times = range(APART_NS * (number + 1), OPEN_MINUTES * MINUTE_NS, step_ns)
        rows = (_row(BEGINS_NS + time_ns, count) for count, time_ns in enumerate(times, 1))
        (folder / f"{symbol}.csv").write_text(HEADER + "".join(rows), encoding="utf-8")
    return [str(path) for path in sorted(folder.iterdir())]


def _row(time_ns: int, count: int) -> str:
    price, step = 10_000 + PRICE_TICK_CNY * (count // 7 % 5), PRICE_TICK_CNY
    return f"{time_ns},{price},{count},5000,{price - step},20,{price + step},30\n"


if __name__ == "__main__":
    main()
