"""The sockets of the embedded exchange: login, market data and trading on one loopback port.

Runs in one event loop. `speed=None` is lock-step: the market moves when every client has seen all
that happened and asked for more, so that a run depends on nothing but its inputs. Otherwise market
time runs at a multiple of wall time, and idle hours are skipped.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from typing import Any, Literal

from aiohttp import WSMsgType, web

from . import login
from .faults import PacketFaults
from .peer import Peer
from .port import PortKeeper
from .values import SECOND_NS
from .venue import Venue

__all__ = ["Gateway", "Side"]

logger = logging.getLogger(__name__)

Side = Literal["md", "td"]
SIDES: tuple[Side, Side] = ("md", "td")
# Turns of the event loop in which requests already in the kernel's buffers are read before a
# lock-step market moves: an order written before the peek must meet the book that it was sent for.
DRAIN = 4
REVIVALS, REVIVAL_S = 50, 0.1  # tries, and real seconds between them


class Gateway:
    """Serves `venue` on 127.0.0.1."""

    def __init__(self, venue: Venue, *, port: int, speed: float | None) -> None:
        self.venue = venue
        self.port = port
        self.speed = speed
        self.faults: dict[Side, PacketFaults] = {side: PacketFaults() for side in SIDES}
        self.logins_refused = False
        self.paused = False
        self._away_until: dict[Side, int] = dict.fromkeys(SIDES, 0)
        self._alone_until = 0  # the market goes on without those whose connections are half-open
        self._frozen: list[Peer] = []
        self._runner: web.AppRunner | None = None
        self._keeper = PortKeeper()
        self._turn = asyncio.Lock()  # a death waits for a revival that has begun, and it for that
        self._pace: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    # ---- life

    async def start(self) -> None:
        """Listen, and let the market run."""
        self.port = self._keeper.keep(self.port)
        try:
            await self._listen()
        except OSError:
            self._keeper.let_go()
            raise
        self._pace = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Let the market run; if it fails, let nobody wait for it in vain."""
        try:
            await (self._lock_step() if self.speed is None else self._timed())
        except Exception:
            logger.exception("the market failed; every connection is ended")
            await self.kill()

    async def stop(self) -> None:
        if self._pace is not None:
            self._pace.cancel()
            await asyncio.gather(self._pace, return_exceptions=True)
        await self.kill()
        self._keeper.let_go()

    async def kill(self) -> None:
        """Die as a process does: listening ends, every connection breaks. State stays."""
        for side in SIDES:
            self._cut(side)
        for peer in self._frozen:
            peer.cut()
        self._frozen.clear()
        async with self._turn:
            runner, self._runner = self._runner, None
            if runner is not None:
                await runner.cleanup()

    async def revive(self) -> None:
        """Listen again on the same port, which another socket may bear for a while."""
        async with self._turn:
            if self._runner is not None:
                return
            for _ in range(REVIVALS):
                with suppress(OSError):
                    await self._listen()
                    break
                await asyncio.sleep(REVIVAL_S)
            else:
                await self._listen()
        self._moved.set()

    async def _listen(self) -> None:
        app = web.Application()
        app.add_routes(login.routes(lambda: self.logins_refused))
        app.add_routes([web.get("/md", self._serve_market), web.get("/td", self._serve_trading)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self.port = runner, runner.addresses[0][1]

    # ---- faults

    async def drop(self, side: Side, seconds: float) -> None:
        """Break the connections of `side` and refuse new ones for `seconds` of market time."""
        self._away_until[side] = self.venue.tape.now_ns + int(seconds * SECOND_NS)
        self._cut(side)
        self._moved.set()

    async def half_open(self, side: Side, seconds: float) -> None:
        """Let the connections of `side` stand with nobody at the other end; new ones work.

        The market goes on without these clients for `seconds` of market time.
        """
        self._alone_until = self.venue.tape.now_ns + int(seconds * SECOND_NS)
        for peer in self._peers(side):
            self.venue.leave(peer)
            peer.freeze()
            self._frozen.append(peer)
        self._moved.set()

    async def forget(self) -> None:
        """Lose orders and trades of the day, and their ids; money and positions stay."""
        self.venue.exchange.forget()

    async def spoil(self, side: Side, **how: Any) -> None:
        """Set packet faults by the names of `PacketFaults`."""
        unknown = how.keys() - {field.name for field in fields(PacketFaults) if field.init}
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        for name, value in how.items():
            setattr(self.faults[side], name, value)
        await self._flush()

    def _cut(self, side: Side) -> None:
        for peer in self._peers(side):
            self.venue.leave(peer)
            peer.cut()

    def _peers(self, side: Side) -> list[Peer]:
        return list(self.venue.watchers if side == "md" else self.venue.traders)

    # ---- sockets

    async def _serve_market(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "md", self.venue.on_market_pack, self.venue.join_market)

    async def _serve_trading(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "td", self.venue.on_trade_pack, None)

    async def _serve(
        self,
        request: web.Request,
        side: Side,
        handle: Callable[[Peer, dict[str, Any]], None],
        join: Callable[[Peer], None] | None,
    ) -> web.StreamResponse:
        if self._is_away(side):
            return web.Response(status=503, text="dropped on demand")
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        try:
            await socket.prepare(request)
        except ConnectionError:  # the client left while it was let in
            return web.Response(status=499)
        peer = Peer(socket, request.transport, self.faults[side])
        if join is not None:
            join(peer)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._on_text(peer, handle, message.data)
                    await self._flush()
        finally:
            self.venue.leave(peer)
            self._moved.set()
        return socket

    def _on_text(
        self, peer: Peer, handle: Callable[[Peer, dict[str, Any]], None], text: str
    ) -> None:
        try:
            pack = json.loads(text)
        except json.JSONDecodeError:
            logger.warning("a packet is no JSON: %.80r", text)
            return
        if isinstance(pack, dict) and not peer.is_frozen:
            if pack.get("aid") == "peek_message":
                peer.peek()
            handle(peer, pack)

    async def nudge(self) -> None:
        """Look again whether the market may move."""
        self._moved.set()

    async def _flush(self) -> None:
        for peer in (*self.venue.watchers, *self.venue.traders):
            await peer.flush()
        self._moved.set()

    # ---- pace

    async def _lock_step(self) -> None:
        while True:
            await self._moved.wait()
            if not self._may_move():
                self._moved.clear()
                continue
            for _ in range(DRAIN):
                await asyncio.sleep(0)
            if self._may_move():
                await self._step()

    def _may_move(self) -> bool:
        if self.paused or self._runner is None or self.venue.tape.ended:
            return False
        return self.venue.all_hungry and (self.venue.waited_for or self._outage())

    def _outage(self) -> bool:
        """Whether market data is cut off on demand: the market goes on without its clients."""
        is_alone = self._alone_until > self.venue.tape.now_ns
        return self._is_away("md") or is_alone

    def _is_away(self, side: Side) -> bool:
        """Whether `side` is cut off; not when the records are over, for no time passes then."""
        tape = self.venue.tape
        return self._away_until[side] > tape.now_ns and not tape.ended

    async def _timed(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            gap_ns = self._gap_ns()
            if gap_ns is None:
                self._moved.clear()
                await self._moved.wait()
                due = clock()
                continue
            due = max(due + gap_ns / SECOND_NS / (self.speed or 1.0), clock() - 1.0)
            await asyncio.sleep(max(due - clock(), 0))
            if not self.paused:
                await self._step()

    def _gap_ns(self) -> int | None:
        """Market time until the next instant; 0 in idle hours; None while nothing can happen."""
        tape = self.venue.tape
        if self.paused or self._runner is None or tape.ended or not tape.symbols:
            return None
        if tape.next_ns is None or self.venue.idle:
            return 0
        return max(tape.next_ns - tape.now_ns, 0)

    async def _step(self) -> None:
        self.venue.advance()
        await self._flush()
