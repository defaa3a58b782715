"""From a tick's arrival to its order's departure: ours against the shortest TqSdk program.

    python benchmarks/orders.py [--orders 100] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
SYMBOL = "SHFE.rb2601"
OPENS = datetime(2025, 9, 16, 1, tzinfo=timezone.utc)  # 09:00 in Beijing
SECOND_NS, HALF_NS = 1_000_000_000, 500_000_000
OPENS_NS = int(OPENS.timestamp()) * SECOND_NS
QUIET_NS = 120 * SECOND_NS
STEP_NS = 20_000_000  # between two ticks
MOVE = 8  # ticks from one price change to the next
LOW, HIGH, PRICE_TICK = 3_150, 3_160, 1
COLUMNS = "datetime last_price volume open_interest bid_price1 bid_volume1 ask_price1 ask_volume1"


def write_market(path: Path, seconds: int) -> None:
    """Two quiet minutes, which become history, then `seconds` of many ticks."""
    with path.open("w", encoding="utf-8") as file:
        file.write(COLUMNS.replace(" ", ",") + "\n")
        quiet = range(STEP_NS, QUIET_NS, HALF_NS)
        busy = range(QUIET_NS, QUIET_NS + seconds * SECOND_NS, STEP_NS)
        for count, time_ns in enumerate((*quiet, *busy), 1):
            price = (LOW, HIGH)[count // MOVE % 2]
            book = f"{price - PRICE_TICK},20,{price + PRICE_TICK},30"
            file.write(f"{OPENS_NS + time_ns},{price},{count},5000,{book}\n")
