"""Faults on demand: what a bad network or a bad gateway does to packets. Pure and seeded."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from .diff import Fields

__all__ = ["PacketFaults"]


@dataclass(slots=True)
class PacketFaults:
    """How the packets of one kind of socket are spoiled. All off by default.

    repeat: send each diff again in the next packet. split: one diff in a packet. reorder: shuffle
    the diffs of a packet. delay_s: seconds of wall time before a packet leaves. stall: nothing
    leaves while it is set; the socket stays open.
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
            self._random.shuffle(sent)
        if self.split:
            sent, rest = sent[:1], sent[1:]
        return sent, rest
