"""One process per account, watched over: sole owner of the processes that it starts.

Rules: what happens to one account touches no other. A process that ended is started again as
`upkeep` says. SIGTERM or SIGINT ends all of them cleanly; one that does not end within its
patience is killed. Processes have groups of their own, so that a terminal's Ctrl-C reaches them
once, through here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .clock import monotonic_ns
from .exits import DONE, FAILED
from .upkeep import WINDOWS_CTRL_C, Backoff, wait_s, worst

__all__ = ["Supervisor"]

SECOND_NS = 1_000_000_000
LOOK_S = 0.1  # how often processes are looked at
ENDING = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")  # the last is Windows'
AS_ASKED = (-signal.SIGTERM, WINDOWS_CTRL_C)  # ends of a program that does not handle the signal


class Supervisor:
    """Runs `commands`, by account, until all have ended for good.

    tell: takes each line of output with the account before it. patience_s: for a clean end.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        tell: Callable[[str], None],
        patience_s: float = 40.0,
        backoff: Backoff = Backoff(),  # noqa: B008  a frozen value
    ) -> None:
        width, tell = max(map(len, commands), default=0), _together(tell)
        self._children = [
            _Child(name, list(command), f"[{name}]".ljust(width + 2), tell, backoff)
            for name, command in commands.items()
        ]
        self._patience_s = patience_s
        self._stopping = threading.Event()

    def run(self) -> int:
        """Start all, and return the worst exit code when all have ended. In the main thread."""
        with self._signals():
            try:
                while not self._stopping.is_set() and self._step():
                    self._stopping.wait(LOOK_S)
            finally:
                self._end()
        return worst(child.code for child in self._children)

    def stop(self) -> None:
        """Ask `run` to end all processes and return; may be called from anywhere."""
        self._stopping.set()

    def _step(self) -> bool:
        """Look after all; False when all have ended."""
        return any([child.step() for child in self._children])  # noqa: C419  none may be left out

    def _end(self) -> None:
        for child in self._children:
            child.ask_to_end()
        until_ns = monotonic_ns() + int(self._patience_s * SECOND_NS)
        for child in self._children:
            child.end_by(until_ns)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        found = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
        numbers = [each for each in found if signal.getsignal(each) is not signal.SIG_IGN]  # nohup
        before = [signal.signal(number, lambda *_: self.stop()) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


class _Child:
    """One account's process, and when it is started again."""

    def __init__(
        self,
        name: str,
        command: list[str],
        prefix: str,
        tell: Callable[[str], None],
        backoff: Backoff,
    ) -> None:
        self._name, self._command, self._prefix = name, command, prefix
        self._tell, self._backoff = tell, backoff
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._began_ns = 0
        self._due_ns: int | None = 0  # to be started then; None: it has ended for good
        self._short_lives = 0
        self.code = 0  # of its last life

    def step(self) -> bool:
        """Start it, or take note of its end, where that is due; False when it has ended."""
        if self._process is None:
            if self._due_ns is not None and monotonic_ns() >= self._due_ns:
                self._start()
        elif (code := self._process.poll()) is not None:
            self._note_end(code)
        return self._process is not None or self._due_ns is not None

    def ask_to_end(self) -> None:
        """The polite signal; it is not started again."""
        self._due_ns = None
        if self._process is not None:
            with suppress(OSError):  # it has just ended
                self._process.send_signal(_polite())

    def end_by(self, until_ns: int) -> None:
        """Wait for the end, and kill what does not end."""
        if self._process is None:
            return
        try:
            code = self._process.wait(max(0.0, (until_ns - monotonic_ns()) / SECOND_NS))
        except subprocess.TimeoutExpired:
            self._say("did not end in time and is killed")
            self._process.kill()
            self._process.wait()
            code = FAILED
        self._join()
        self.code = DONE if code in AS_ASKED else code

    def _start(self) -> None:
        self._began_ns, self._due_ns = monotonic_ns(), None
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
                **_apart(),
            )
        except OSError as error:
            self.code = FAILED
            self._say(f"cannot be started ({error})")
            return
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._tell(f"{self._prefix} {line.rstrip()}")

    def _note_end(self, code: int) -> None:
        self._join()
        self.code, self._process = code, None
        lasted_s = (monotonic_ns() - self._began_ns) / SECOND_NS
        again = wait_s(code, lasted_s, self._short_lives, self._backoff)
        if again is None:
            self._say(f"ended with exit code {code}")
            return
        pause_s, self._short_lives = again
        self._due_ns = monotonic_ns() + int(pause_s * SECOND_NS)
        how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._say(f"{how}; it is started again in {pause_s:g} s")

    def _join(self) -> None:
        """The rest of its output; a grandchild may hold the pipe open for longer."""
        if self._reader is not None:
            self._reader.join(timeout=2.0)

    def _say(self, text: str) -> None:
        self._tell(f"{self._prefix} {text}")


def _polite() -> int:
    if sys.platform == "win32":
        return signal.CTRL_BREAK_EVENT
    return signal.SIGTERM


def _apart() -> dict[str, Any]:
    """A process group of its own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _together(tell: Callable[[str], None]) -> Callable[[str], None]:
    """`tell`, called by one thread at a time; where nobody listens any more, nothing is told.

    A reader that ended would let its process wait for room in the pipe.
    """
    lock = threading.Lock()

    def one_by_one(line: str) -> None:
        with lock, suppress(OSError, ValueError):
            tell(line)

    return one_by_one
