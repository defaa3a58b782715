"""What a tick and an order cost against raw TqSdk programs, by the parts of `feeds.py` and
`orders.py`. For `all.py`."""

from __future__ import annotations

import statistics
from contextlib import suppress

import feeds
import orders
from _figures import ratios, sentence, spread, table, target, times, wins

LOOPS = {
    "raw": "raw TqApi: quote, tick serial, `wait_update`",
    "raw + klines": "raw TqApi: the same and TqSdk's own minute bars",
    "ours": "**ours**: feed and Cerebro, a strategy that does nothing",
}
PEERS = ("raw", "raw + klines")
CONTRACTS = (1, 20)
TICKS, ROUNDS = 3_000, 3

ORDER_LOOPS = ("raw", "raw + ticks", "buy in next", "stop, ticks")
ORDER_NAMES = {
    "raw": "raw TqSdk: `get_quote`, `wait_update`, `insert_order`",
    "raw + ticks": "raw TqSdk: the same with the tick serial",
    "buy in next": "**ours**: `buy()` in `next`, feed of ticks, journal on disk",
    "stop, ticks": "**ours**: a Stop order held here, set off by the tick",
}
ORDERS, ORDER_ROUNDS = 20, 3
ATTEMPTS = 3  # a busy machine may be slower than the market


def run(*, quick: bool) -> dict[str, str]:
    """The texts of the loop's part."""
    rows, said = [], []
    ticks, rounds = (1_000, 1) if quick else (TICKS, ROUNDS)
    for contracts in CONTRACTS[: 1 if quick else None]:
        costs = measure_loops(contracts, ticks, rounds)
        for loop, name in LOOPS.items():
            found = [times(ratios(costs[loop], costs[peer])) for peer in PEERS]
            rows.append((f"{contracts}", name, *found, spread(costs[loop], ".0f"), f"{ticks:,}"))
        said.append(_verdict(contracts, costs))
    header = ("contracts", "loop", "x raw", "x raw with klines", "CPU us a tick", "ticks a round")
    return {
        "loop": table(header, rows, left=2),
        "loop_verdicts": "\n".join(said),
        "loop_rounds": f"{rounds}",
    }


def measure_loops(contracts: int, ticks: int, rounds: int) -> dict[str, list[float]]:
    """CPU us per tick, round by round, the loops in turn."""
    costs: dict[str, list[float]] = {loop: [] for loop in LOOPS}
    names = list(LOOPS)
    for number in range(rounds):
        for loop in names[number % len(names) :] + names[: number % len(names)]:
            row = feeds.loop_once(loop, contracts, {"ticks": ticks})
            costs[loop].append(feeds.cost_us(row))
    return costs


def _verdict(contracts: int, costs: dict[str, list[float]]) -> str:
    against = {peer: statistics.median(ratios(costs["ours"], costs[peer])) for peer in PEERS}
    what = "the CPU time a tick"
    first = wins(against["raw"], "our loop", "the raw loop without bars", what)
    second = wins(against["raw + klines"], "our loop", "the raw loop with TqSdk's bars", what)
    met = sentence(target(against["raw"], feeds.CPU_RATIO))
    return f"- {contracts} feed{'s' * (contracts > 1)}. {first} {met}. {second}"


# ---- orders


def run_orders(*, quick: bool) -> dict[str, str]:
    """The texts of the orders' part."""
    count, rounds = (10, 1) if quick else (ORDERS, ORDER_ROUNDS)
    found = measure_orders(count, rounds)
    medians = {
        loop: [statistics.median(answer[orders.WIRE] for answer in answers) for answers in each]
        for loop, each in found.items()
    }
    rows = []
    for loop, name in ORDER_NAMES.items():
        own = ratios(medians[loop], medians["raw"])
        waits = sorted(answer[orders.WIRE] for answers in found[loop] for answer in answers)
        p99 = waits[int(0.99 * (len(waits) - 1))]
        rows.append(
            (name, times(own), spread(medians[loop], ",.0f"), f"{p99:,.0f}", f"{len(waits)}")
        )
    header = ("program", "x raw", "p50, us", "p99, us", "orders")
    return {
        "orders": table(header, rows),
        "orders_verdict": _orders_verdict(medians),
        "orders_counts": f"rounds: {rounds}, of {count} orders each, "
        f"the first {orders.WARM} of a process not counted",
    }


def measure_orders(count: int, rounds: int) -> dict[str, list[list[orders.Answer]]]:
    """The times of each loop, round by round."""
    found: dict[str, list[list[orders.Answer]]] = {loop: [] for loop in ORDER_LOOPS}
    for number in range(rounds):
        for loop in (
            ORDER_LOOPS[number % len(ORDER_LOOPS) :] + ORDER_LOOPS[: number % len(ORDER_LOOPS)]
        ):
            found[loop].append(_measure(loop, count))
    return found


def _measure(loop: str, count: int) -> list[orders.Answer]:
    for _ in range(ATTEMPTS - 1):
        with suppress(SystemExit):
            return orders.measure(loop, count)
    return orders.measure(loop, count)


def _orders_verdict(medians: dict[str, list[float]]) -> str:
    said, least = [], float("inf")
    for loop, what in (("buy in next", "`buy()` in `next`"), ("stop, ticks", "a held stop")):
        ratio = statistics.median(ratios(medians[loop], medians["raw"]))
        least = min(least, ratio)
        plain = target(ratio, orders.RATIO)
        said.append(f"an order of {what} takes {ratio:.1f} times as long as raw TqSdk, and {plain}")
    winner = "**The raw program wins.** " if least > 1 else ""
    return winner + sentence("; ".join(said) + ".")
