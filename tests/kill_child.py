"""Trades without end on a journal, to be killed: for `test_kills.py`.

    python tests/kill_child.py

A line of JSON on stdin begins a run in a process of its own, forked where the system can, so that
two hundred of them cost seconds: {"journal": path, "run": name}. Answers with "pid N", then with
the id of each exchange order as the exchange gets it, and of each fill that was told.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from order_floor import BUY, CU, SELL, Desk, M

from tianqin_backtrader.safe_journal import SafeJournal
from tianqin_backtrader.tickets import Ticket
from tianqin_backtrader.values import ExchangeOrder
from tianqin_backtrader.working import Rules


def say(*words: object) -> None:
    """In one piece: nothing of it is lost in a buffer."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Trading(Desk):
    """The orders of a real session; its exchange tells what it gets, as it gets it."""

    journal: SafeJournal

    def __init__(self, journal: Path, run: str) -> None:
        super().__init__()
        self._run = run
        self.journal = SafeJournal(journal, tell=lambda *_, **__: None)
        self.blotter = type(self.blotter)(self, self.journal, self.told.append, Rules())

    def ticket(self, *terms: Any, **options: Any) -> Ticket:
        ticket = super().ticket(*terms, **options)
        return Ticket(**{name: getattr(ticket, name) for name in Ticket.__dataclass_fields__}
                      | {"key": ticket.key.replace("t.", f"{self._run}.")})  # fmt: skip

    def send(self, order: ExchangeOrder) -> None:
        self.journal.check()
        super().send(order)
        say("order", order.order_id)

    def fill_all(self) -> None:
        self.arrive()
        for order in self.resting():
            self.fill(order.order_id)
            say("fill", order.order_id)


def trade(journal: str, run: str) -> None:
    desk = Trading(Path(journal), run)
    for number in count(1):
        desk.order(CU, BUY if number % 3 else SELL, number % 5 + 1)
        desk.fill_all()
        stop = desk.order(M, SELL, 1, stop=2_950.0)
        desk.tick(M, 2_940.0 if number % 2 else 3_000.0)
        desk.cancel_order(stop)
        desk.fill_all()


def main() -> None:
    say("ready")
    for line in sys.stdin:
        pid = os.fork() if hasattr(os, "fork") else 0
        if not pid:
            say("pid", os.getpid())
            with suppress(BaseException):
                trade(**json.loads(line))
            os._exit(1)
        os.waitpid(pid, 0)
        say("dead")


if __name__ == "__main__":
    main()
