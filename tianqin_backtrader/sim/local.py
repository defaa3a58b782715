"""`LocalExchange`: the embedded exchange as an object, in a thread of its own.

Shares bytes with its clients, not objects: whatever connects to the three addresses is a client
like any other.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Coroutine, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ..errors import WrongSetting
from .control import Control
from .gateway import Gateway, Side
from .market import Market
from .venue import Venue

__all__ = ["LocalExchange"]

T = TypeVar("T")


class LocalExchange:
    """A DIFF gateway on 127.0.0.1 that an unmodified TqApi logs in to, streams from and trades on.

    replay: files of market records (CSV, CSV.gz or Parquet, columns as in TqSdk's exports) or a
    folder that `record` wrote; none for a seeded market of all six exchanges. start, end: a trading
    day (`date`) or a moment in Beijing time (`datetime`). speed: multiples of real time; None for
    lock-step, as fast as the clients consume. seed: of the seeded market and of made-up book
    volumes. instruments: rows of contract terms, or a JSON file of them, that override the built-in
    terms; if None, the `instruments.json` of a recording. port: 0 lets the system choose.
    control_port: of the control socket, see `sim.control`; None for none. balance_cny: of a new
    account.

    Raises `BadReplayFile` or `WrongSetting`. A context manager; or call `start` and `stop`.
    """

    def __init__(
        self,
        *,
        replay: str | Path | Sequence[str | Path] = (),
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        speed: float | None = None,
        seed: int = 1,
        instruments: str | Path | Sequence[dict[str, Any]] | None = None,
        ticks_per_minute: int | None = None,
        port: int = 0,
        control_port: int | None = None,
        balance_cny: float = 10_000_000.0,
    ) -> None:
        if speed is not None and not speed > 0:
            raise WrongSetting("speed", speed, "a positive multiple of real time, or None")
        if not 0 < balance_cny < math.inf:
            raise WrongSetting("balance_cny", balance_cny, "a positive amount of CNY")
        files = [replay] if isinstance(replay, str | Path) else list(replay)
        pace = {} if ticks_per_minute is None else {"ticks_per_minute": ticks_per_minute}
        market = (
            Market.replaying(
                files, start=start, end=end, instruments=instruments, seed=seed, **pace
            )
            if files
            else Market.seeded(seed=seed, start=start, end=end, instruments=instruments, **pace)
        )
        self.speed = speed
        self._venue = Venue(market, balance_cny)
        self._gateway = Gateway(self._venue, port=port, speed=speed)
        self._control = None if control_port is None else Control(self._gateway, control_port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # ---- life

    def start(self) -> LocalExchange:
        """Listen and let the market run; does nothing if it runs already.

        Raises `WrongSetting` when a port is taken, or when it was stopped before.
        """
        if self.is_running:
            return self
        if self._loop is not None:
            raise WrongSetting("LocalExchange", "stopped", "a new one: its day is over")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="local-exchange", daemon=True
        )
        self._thread.start()
        try:
            self._call(self._gateway.start())
            if self._control is not None:
                self._call(self._control.start())
        except OSError as error:
            self.stop()
            raise WrongSetting("port", self.port, f"a free one on 127.0.0.1 ({error})") from error
        return self

    def stop(self) -> None:
        """End every connection and the thread; the object cannot be started again."""
        if self._loop is None or self._thread is None or not self.is_running:
            return
        if self._control is not None:
            self._call(self._control.stop())
        self._call(self._gateway.stop())
        self._call(_cancel_the_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def __enter__(self) -> LocalExchange:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"LocalExchange(port={self._gateway.port}, speed={self.speed})"

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    # ---- addresses

    @property
    def port(self) -> int:
        return self._gateway.port

    @property
    def auth_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def md_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/md"

    @property
    def td_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/td"

    def environment(self) -> dict[str, str]:
        """The variables that point TqSdk here, and the control socket's address if there is one."""
        urls = {
            "TQ_AUTH_URL": self.auth_url,
            "TQ_MD_URL": self.md_url,
            "TQ_TD_URL": self.td_url,
        }
        if self._control is not None:
            urls["TIANQIN_CONTROL"] = f"127.0.0.1:{self._control.port}"
        return urls

    @property
    def symbols(self) -> tuple[str, ...]:
        """The contracts that are listed: those of the records, or of the made-up market."""
        contracts = self._venue.market.contracts(self._venue.tape.day)
        return tuple(each.symbol for each in contracts if each.ins_class == "FUTURE")

    @property
    def now_ns(self) -> int:
        """Market time, ns since 1970 UTC."""
        return self._venue.tape.now_ns

    @property
    def is_paused(self) -> bool:
        """Whether the market is held still."""
        return self._gateway.paused

    @property
    def ended(self) -> bool:
        """Whether the market's records are over."""
        return self._venue.tape.ended

    # ---- faults on demand

    def drop(self, side: Side, seconds: float) -> None:
        """Break the `md` or `td` connections and refuse new ones for `seconds` of market time."""
        self._call(self._gateway.drop(side, seconds))

    def refuse_logins(self, refuse: bool = True) -> None:
        """Answer logins with 401 until called with False."""
        self._gateway.logins_refused = refuse

    def stall(self, side: Side, stalled: bool = True) -> None:
        """Send nothing on `side` while its sockets stay open, until called with False."""
        self._call(self._gateway.spoil(side, stall=stalled))

    def repeat(self, side: Side, on: bool = True) -> None:
        """Send every diff again in the next packet."""
        self._call(self._gateway.spoil(side, repeat=on))

    def split(self, side: Side, on: bool = True) -> None:
        """Send one diff in a packet."""
        self._call(self._gateway.spoil(side, split=on))

    def reorder(self, side: Side, on: bool = True) -> None:
        """Shuffle the diffs of each packet."""
        self._call(self._gateway.spoil(side, reorder=on))

    def delay(self, side: Side, seconds: float) -> None:
        """Hold each packet back for `seconds` of wall time; 0 ends it."""
        self._call(self._gateway.spoil(side, delay_s=seconds))

    def half_open(self, side: Side, seconds: float = 0.0) -> None:
        """Swallow all that the present connections of `side` say, and say nothing to them.

        They stay open; new ones work. In lock-step the market goes on without these clients for
        `seconds` of market time.
        """
        self._call(self._gateway.half_open(side, seconds))

    def forget(self) -> None:
        """Lose the orders and trades of the day, as a gateway that was restarted without its state.

        Living orders end; money and positions stay. For use between `kill` and `revive`.
        """
        self._call(self._gateway.forget())

    def kill(self) -> None:
        """Break everything and stop listening, as if the process died; accounts and market stay."""
        self._call(self._gateway.kill())

    def revive(self) -> None:
        """Listen again on the same port, with the state of before."""
        self._call(self._gateway.revive())

    def pause(self) -> None:
        """Hold the market still; orders are still taken."""
        self._gateway.paused = True

    def resume(self) -> None:
        """Let the market go on."""
        self._gateway.paused = False
        self._call(self._gateway.nudge())

    def _call(self, what: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            what.close()
            raise WrongSetting("LocalExchange", "not started", "start() before this call")
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=30)


async def _cancel_the_rest() -> None:
    """End what still runs in the loop: connections of the control socket."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
