"""Bears a port as long as the exchange lives, lest somebody be given it while nobody listens."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

__all__ = ["PortKeeper"]


class PortKeeper:
    """A socket of 127.0.0.1 that never listens, beside the one that does.

    Linux lets both bear one port (`SO_REUSEADDR`). Without it a port that nobody listens on for a
    moment may become the near end of any connection: of another program, or of the very client that
    tries to connect to it. Elsewhere nothing is kept.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def keep(self, port: int) -> int:
        """Bear `port`, or a free one for 0; returns it. One that is taken is left to its owner."""
        if sys.platform != "linux":
            return port
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            bound.bind(("127.0.0.1", port))
            port = int(bound.getsockname()[1])
        self._socket = bound
        return port

    def let_go(self) -> None:
        """The exchange is over."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
