"""Bears a port while nobody listens on it, lest another program be given it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

__all__ = ["PortKeeper"]


class PortKeeper:
    """Keeps a port of 127.0.0.1: whoever connects to it is refused, and nobody else is given it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def keep(self, port: int) -> None:
        """Bind the port and do not listen; without effect where that cannot be."""
        self.let_go()
        bound = socket.socket()
        if os.name == "posix":  # old connections bear the port for a while; elsewhere it means more
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            bound.bind(("127.0.0.1", port))
        self._socket = bound

    def let_go(self) -> None:
        """From now on anybody may listen on it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
