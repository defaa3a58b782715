"""Faults on demand: what a bad network or a bad gateway does to packets. Pure and seeded."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from .diff import Fields

__all__ = ["PacketFaults"]


@dataclass(slots=True)
class PacketFaults:
    """How the packets of one kind of socket are spoiled. All off by default.

    repeat: send each diff again in the next packet. split: one diff in a packet. reorder: shuffle
    the diffs of a packet, each object's pictures in their order: no number tells which is the
    newest, so a gateway that swapped them would leave everybody in the dark. delay_s: seconds of
    wall time before a packet leaves. stall: nothing leaves while it is set; the socket stays open.
    """

    repeat: bool = False
    split: bool = False
    reorder: bool = False
    delay_s: float = 0.0
    stall: bool = False
    _random: random.Random = field(default_factory=lambda: random.Random(1), init=False)

    def pack(self, pending: Sequence[Fields]) -> tuple[list[Fields], list[Fields]]:
        """The diffs of the next packet, and those that stay for a later one."""
        sent = list(pending)
        rest: list[Fields] = []
        if self.reorder:
            sent = self._shuffled(sent)
        if self.split:
            sent, rest = sent[:1], sent[1:]
        return sent, rest

    def _shuffled(self, diffs: list[Fields]) -> list[Fields]:
        """Objects in any order, each with its own pictures as they were made."""
        slots = [_objects(diff) for diff in diffs]
        queues: dict[str, deque[Fields]] = defaultdict(deque)
        for name, diff in zip(slots, diffs, strict=True):
            queues[name].append(diff)
        self._random.shuffle(slots)
        return [queues[name].popleft() for name in slots]


def _objects(diff: Fields) -> str:
    """Names what a diff is about: an account's order, trade, positions or money; or the market."""
    pictures: Fields = next(iter(diff.get("trade", {}).values()), {})
    singly = ("orders", "trades")  # other pictures tell of several objects at once
    named = [f"{kind} {sorted(each) if kind in singly else ''}" for kind, each in pictures.items()]
    return " ".join(named) or str(next(iter(diff), ""))
