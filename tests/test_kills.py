"""`kill -9` at any moment: the journal opens, and every order that the exchange knows is in it."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import IO

import pytest

from tianqin_backtrader import Journal

CHILD = Path(__file__).with_name("kill_child.py")
TIMES = 200


class Trader:
    """The process that trades, and what the exchange and the strategy heard of it."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.fills: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-X", "utf8", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self._line() == ["ready"]

    def _line(self) -> list[str]:
        return self._pipe(self.process.stdout).readline().split()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def kill_after(self, lines: int, journal: Path, run: str) -> None:
        """Let it trade, and kill it when it has said so much: it goes on meanwhile."""
        stdin = self._pipe(self.process.stdin)
        stdin.write(json.dumps({"journal": str(journal), "run": run}) + "\n")
        stdin.flush()
        word, pid = self._line()
        assert word == "pid"
        for _ in range(lines):
            self._note(self._line())
        os.kill(int(pid), signal.SIGKILL)
        while (said := self._line()) != ["dead"]:
            self._note(said)

    def _note(self, said: list[str]) -> None:
        word, order_id = said
        {"order": self.orders, "fill": self.fills}[word].append(order_id)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def written(path: Path) -> tuple[set[str], set[str]]:
    """Exchange orders and those with fills, by SQLite itself."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        legs = {order_id for (order_id,) in db.execute("SELECT order_id FROM legs")}
        return legs, {order_id for (order_id,) in db.execute("SELECT order_id FROM trades")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="two hundred processes need fork")
def test_killed_two_hundred_times_it_knows_every_order_of_the_exchange(tmp_path: Path) -> None:
    path, chance = tmp_path / "orders.sqlite", random.Random(5)
    trader = Trader()
    try:
        for number in range(TIMES):
            before = len(trader.orders)
            trader.kill_after(chance.randrange(20), path, f"r{number}")
            legs, filled = written(path)
            assert set(trader.orders[before:]) <= legs
            # a fill is told when it is on disk; the last one may be in the air
            assert set(trader.fills) <= filled
    finally:
        trader.close()
    legs, _ = written(path)
    assert set(trader.orders) <= legs
    assert len(trader.orders) > TIMES
    with Journal(path) as journal:
        assert len(journal.orders()) >= len({each.rpartition(".")[0] for each in trader.orders})
