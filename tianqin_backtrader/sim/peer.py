"""One client's websocket: at most one `rtn_data` for each `peek_message`.

While no packet may leave, diffs collect; when many have collected they are merged, so that a client
that never asks costs bounded memory, and a slow one gets one picture instead of a thousand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from aiohttp import web

from .diff import LONGEST, Fields, forget_old_rows, merge
from .faults import PacketFaults

__all__ = ["Peer"]

COLLECT = 512  # diffs that wait unmerged
LONG = 65_536  # characters; a longer packet may wait for a client that does not read


class Peer:
    """The sending half of one websocket."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        faults: PacketFaults,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._faults = faults
        self._pending: list[Fields] = []
        self._repeated: list[Fields] = []
        self._peeked = False
        self._sending: asyncio.Task[None] | None = None
        self.is_frozen = False

    @property
    def hungry(self) -> bool:
        """Whether the client asked for more and there is nothing left to send it."""
        return self._peeked and not self._pending and self._sending is None

    def owe(self, diffs: Iterable[Fields]) -> None:
        """Add diffs to what the client gets next."""
        self._pending.extend(diff for diff in diffs if diff)
        if len(self._pending) > COLLECT and not self._faults.split:
            merged = merge({}, self._pending)
            forget_old_rows(merged, LONGEST)
            self._pending = [merged]

    def peek(self) -> None:
        """The client asked for the next packet."""
        self._peeked = True

    async def flush(self) -> None:
        """Send a packet if the client asked for one and there is something to say."""
        if not self._peeked or not self._pending or self._faults.stall or self._sending:
            return
        if self.is_frozen:
            return
        sent, self._pending = self._faults.pack(self._pending)
        self._peeked = False
        packet = self._repeated + sent
        self._repeated = sent if self._faults.repeat else []
        text = json.dumps({"aid": "rtn_data", "data": packet}, separators=(",", ":"))
        if self._faults.delay_s or len(text) > LONG:
            self._sending = asyncio.create_task(self._send_apart(text))
        else:
            await self._send(text)

    async def _send_apart(self, text: str) -> None:
        await asyncio.sleep(self._faults.delay_s)
        await self._send(text)
        self._sending = None

    async def _send(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except ConnectionError:
            self._pending.clear()

    def freeze(self) -> None:
        """Hear nothing and say nothing from now on, pings included; the connection stays open."""
        self.is_frozen = True
        if self._transport is not None:
            self._transport.pause_reading()

    def cut(self) -> None:
        """End the connection as a broken network does: no closing handshake."""
        if self._transport is not None:
            self._transport.abort()
