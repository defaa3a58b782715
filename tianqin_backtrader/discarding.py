"""Ends a TqApi whose sockets may be dead: nothing more of it is sent, and nothing waited for.

TqApi's own `close` sends what is still queued, waits ten seconds for a closing handshake, and up to
thirty for the orders of its tasks.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

__all__ = ["discard"]

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
CALM = 3  # turns of the loop without a task: the end of one may begin another
# SO_LINGER with no time: what the kernel has not delivered yet is dropped with the connection. An
# order in there would reach the exchange minutes later, when it had long been given up.
NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def discard(api: Any) -> None:
    """Break the TqApi's connections and end its tasks and its loop. Never raises, never waits."""
    loop = getattr(api, "_loop", None)
    if loop is None or loop.is_closed():
        return
    elsewhere = api._clear_running_loop()
    try:
        for transport in list(getattr(loop, "_transports", {}).values()):
            _break(transport)
        _end_tasks(loop)
        loop.close()
    except Exception:
        logger.warning("an old session did not end cleanly", exc_info=True)
    finally:
        api._restore_running_loop(*elsewhere)


def _break(transport: Any) -> None:
    end = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


def _end_tasks(loop: Any) -> None:
    """Cancel all tasks until they have ended: some of TqSdk's wait for something once more."""
    loop.set_exception_handler(lambda *_: None)  # what they raise at their end is no news
    over: list[bool] = []
    timer = loop.call_later(PATIENCE_S, over.append, True)
    idle = 0
    while idle < CALM and not over:
        tasks = asyncio.all_tasks(loop)
        idle = 0 if tasks else idle + 1
        for task in tasks:
            task.cancel()
        loop.call_soon(loop.stop)
        loop.run_forever()
    timer.cancel()
    loop.run_until_complete(loop.shutdown_asyncgens())
