"""The control socket: faults on demand for an exchange in another process.

Loopback only. One JSON object per line in, one per line out:

    {"do": "drop", "side": "md", "seconds": 60}      ->  {"ok": true}
    {"do": "status"}                                 ->  {"ok": true, "now_ns": ..., "ended": false}
    {"do": "fly"}                                    ->  {"ok": false, "error": "..."}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from .gateway import SIDES, Gateway

__all__ = ["Control"]

Verb = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]


class Control:
    """Listens on 127.0.0.1 and does what it is told to `gateway`."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self._gateway = gateway
        self.port = port
        self._server: asyncio.Server | None = None
        self._verbs: dict[str, Verb] = {
            "status": self._status,
            "drop": self._drop,
            "spoil": self._spoil,
            "refuse_logins": self._refuse_logins,
            "half_open": self._half_open,
            "forget": self._forget,
            "kill": self._kill,
            "revive": self._revive,
            "pause": self._pause,
            "resume": self._resume,
        }

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                reply = await self._answer(line)
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # ValueError: a line beyond the reader's limit
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            order = json.loads(line)
            verb = self._verbs[order["do"]]
            return {"ok": True, **(await verb(order) or {})}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            known = ", ".join(self._verbs)
            return {"ok": False, "error": f"{type(error).__name__}: {error}; verbs: {known}"}

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        venue = self._gateway.venue
        return {
            "now_ns": venue.tape.now_ns,
            "trading_day": venue.tape.day.isoformat(),
            "ended": venue.tape.ended,
            "clients": {"md": len(venue.watchers), "td": len(venue.traders)},
        }

    async def _drop(self, order: dict[str, Any]) -> None:
        await self._gateway.drop(_side(order), float(order["seconds"]))

    async def _spoil(self, order: dict[str, Any]) -> None:
        how = {name: value for name, value in order.items() if name not in ("do", "side")}
        await self._gateway.spoil(_side(order), **how)

    async def _refuse_logins(self, order: dict[str, Any]) -> None:
        self._gateway.logins_refused = bool(order.get("on", True))

    async def _half_open(self, order: dict[str, Any]) -> None:
        await self._gateway.half_open(_side(order), float(order.get("seconds", 0)))

    async def _forget(self, _: dict[str, Any]) -> None:
        await self._gateway.forget()

    async def _kill(self, _: dict[str, Any]) -> None:
        await self._gateway.kill()

    async def _revive(self, _: dict[str, Any]) -> None:
        await self._gateway.revive()

    async def _pause(self, _: dict[str, Any]) -> None:
        self._gateway.paused = True

    async def _resume(self, _: dict[str, Any]) -> None:
        self._gateway.paused = False
        await self._gateway.nudge()


def _side(order: dict[str, Any]) -> Any:
    side = order["side"]
    if side not in SIDES:
        raise ValueError(f"side is {side!r}; expected md or td")
    return side
