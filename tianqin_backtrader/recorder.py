"""Records the ticks of several contracts, and has them on disk within a second."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .clock import monotonic_ns, now_s
from .connection import Connection
from .contract_recorder import MOST, ContractRecorder, Progress
from .errors import ExpiredSymbol, WrongSetting
from .main_contract import MainContract
from .model import Instrument, Tick
from .recording import TickFolder
from .sessions import Sessions
from .trading_days import TradingDays

__all__ = ["Progress", "Recorder"]

logger = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
WAIT_S = 0.1
# A tick must be on disk within a second: it waits half of that, the rest is for writing.
SAVE_NS = SECOND_NS // 2
FORGET_NS = 10 * SECOND_NS
MAIN = "CONT"  # class of the main contracts, KQ.m@...


@dataclass(slots=True)
class _Main:
    """A main contract, and the one that it stands for."""

    symbol: str
    contract: str
    watch: MainContract


class Recorder:
    """Writes ticks to a folder for as long as `step` is called; a context manager.

    width: how many ticks of the past a contract begins with that was never recorded before, 1 to
    10,000. One that was is continued where it ended, as far back as TqSdk shows ticks.
    tell: takes lines for a person.

    A main contract is recorded as the contract that it stands for, from each trading day on as
    that one may have changed.
    """

    def __init__(
        self,
        connection: Connection,
        out: Path,
        days: TradingDays,
        width: int = 1_000,
        tell: Callable[[str], None] = logger.info,
    ) -> None:
        if not 1 <= width <= MOST:
            raise WrongSetting("width", width, "1 to 10,000 ticks")
        self._connection, self._days, self._tell = connection, days, tell
        self._width = width
        self._folder = TickFolder(out)
        self._contracts: dict[str, ContractRecorder] = {}
        self._mains: list[_Main] = []
        self._direct: set[str] = set()  # asked for by their own names
        self._progress: list[Progress] = []
        self._saved_ns = self._forgot_ns = monotonic_ns()
        self._is_open = False

    # ---- life

    def start(self, symbols: Iterable[str]) -> None:
        """Look all contracts up, lock the folder, and follow them.

        Raises `UnknownSymbol` or `ExpiredSymbol` before anything is written, and `WrongSetting`
        for a folder in use or one that holds another market's ticks.
        """
        instruments = [self._look_up(symbol) for symbol in dict.fromkeys(symbols)]
        self._folder.open()
        self._is_open = True
        for instrument in instruments:
            self._follow(instrument)

    def close(self) -> None:
        """Write what has come, make one file of each day and unlock the folder."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            for contract in self._contracts.values():
                contract.take()
        finally:
            self._folder.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- running

    @property
    def ended(self) -> bool:
        """Whether the embedded exchange's records are over."""
        return self._connection.ended

    @property
    def progress(self) -> list[Progress]:
        """Of every contract that was recorded since the start."""
        return list(self._progress)

    def step(self) -> None:
        """Wait a moment for ticks and write them.

        Raises `StopError` when the disk takes no more, or `WrongSetting` when the folder turns out
        to hold another market's ticks.
        """
        self._connection.wait(now_s() + WAIT_S)
        for contract in list(self._contracts.values()):
            contract.take()
        for main in self._mains:
            main.watch.poll()
        self._save_when_due()

    def _save_when_due(self) -> None:
        now_ns = monotonic_ns()
        if now_ns - self._saved_ns >= SAVE_NS:
            self._saved_ns = now_ns
            self._folder.save()
        if now_ns - self._forgot_ns >= FORGET_NS:
            self._forgot_ns = now_ns
            for contract in self._contracts.values():
                contract.forget()

    # ---- contracts

    def _look_up(self, symbol: str) -> Instrument:
        """The contract to record for `symbol`."""
        instrument = self._connection.instrument(symbol)
        if instrument.ins_class == MAIN:
            contract = instrument.underlying_symbol
            self._tell(f"{symbol} stands for {contract}: recording that contract")
            self._mains.append(self._main(instrument))
            instrument = self._connection.instrument(contract)
        else:
            self._direct.add(symbol)
        if instrument.expired:
            raise ExpiredSymbol(instrument.symbol)
        return instrument

    def _main(self, instrument: Instrument) -> _Main:
        symbol, contract = instrument.symbol, instrument.underlying_symbol
        sessions = Sessions(instrument.trading_time, self._days.calendar)

        def roll(becomes: str) -> None:
            self._roll(main, becomes)

        watch = MainContract(self._connection, symbol, contract, sessions, roll)
        main = _Main(symbol, contract, watch)
        return main

    def _follow(self, instrument: Instrument) -> None:
        symbol = instrument.symbol
        if symbol in self._contracts:
            return

        def on_day(tick: Tick) -> None:
            self._ask(symbol, tick)

        self._folder.save_terms(instrument)
        owned = (self._connection, self._folder, instrument, self._days)
        contract = ContractRecorder(*owned, self._width, on_day, self._tell)
        self._contracts[symbol] = contract
        self._progress.append(contract.progress)
        contract.forget()
        self._save_when_due()

    def _ask(self, symbol: str, tick: Tick) -> None:
        """A trading day has begun: what do main contracts stand for now?"""
        for main in self._mains:
            if main.contract == symbol:
                main.watch.on_tick(tick, False)

    def _roll(self, main: _Main, contract: str) -> None:
        """The exchange has said that a main contract stands for another one now."""
        self._tell(f"{main.symbol} stands for {contract} now: recording that contract")
        left, main.contract = main.contract, contract
        self._follow(self._connection.instrument(contract))
        if left not in self._direct | {other.contract for other in self._mains}:
            self._contracts.pop(left).end()
