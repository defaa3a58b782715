"""A client that never asks for news, and one that asks seldom."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tianqin_backtrader.sim.faults import PacketFaults
from tianqin_backtrader.sim.peer import Peer


class Socket:
    """Stands for the websocket: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send_str(self, text: str) -> None:
        self.sent.append(json.loads(text))


def tick(tick_id: int) -> dict[str, Any]:
    rows = {str(tick_id): {"last_price": float(tick_id)}, str(tick_id - 200): None}
    return {
        "quotes": {"A": {"volume": tick_id}},
        "ticks": {"A": {"last_id": tick_id, "data": rows}},
    }


def test_a_client_that_never_asks_costs_bounded_memory() -> None:
    socket: Any = Socket()
    peer = Peer(socket, None, PacketFaults())
    for tick_id in range(50_000):
        peer.owe([tick(tick_id)])
    peer.peek()

    async def ask() -> None:
        await peer.flush()
        while not socket.sent:  # a long packet leaves in a task of its own
            await asyncio.sleep(0)

    asyncio.run(ask())
    (packet,) = socket.sent
    rows: dict[str, Any] = {}
    for diff in packet["data"]:
        rows.update(diff["ticks"]["A"]["data"])
    assert len(rows) <= 20_600
    assert rows["49999"] == {"last_price": 49_999.0}
    assert packet["data"][-1]["quotes"]["A"]["volume"] == 49_999


def test_nothing_leaves_without_a_peek_and_one_packet_with_it() -> None:
    socket: Any = Socket()
    peer = Peer(socket, None, PacketFaults())

    async def talk() -> None:
        peer.owe([tick(1)])
        await peer.flush()
        assert socket.sent == []
        assert not peer.hungry
        peer.peek()
        await peer.flush()
        peer.owe([tick(2)])
        await peer.flush()

    asyncio.run(talk())
    assert [len(packet["data"]) for packet in socket.sent] == [1]
