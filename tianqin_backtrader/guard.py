"""Stands before a TqApi and lets no order pass that the session's mode does not permit.

Whoever calls the TqApi meets it: the broker, TqSdk's own tasks, a program that took the api itself.
"""

from __future__ import annotations

from typing import Any

from .errors import LiveTradingRefused

__all__ = ["OrderGuard"]

NEVER = "mode paper sends no order; trade in mode sim, kq or live"
NOT_YET = "mode live sends no order before its preflight has passed; let cerebro.run() do it"


class OrderGuard:
    """Of one session. Mode live needs `permit`; mode paper never gets it."""

    def __init__(self, mode: str) -> None:
        self._refusal = {"paper": NEVER, "live": NOT_YET}.get(mode, "")

    def permit(self) -> None:
        """From now on orders of mode live may leave: the preflight has passed."""
        if self._refusal != NEVER:
            self._refusal = ""

    def stand_before(self, api: Any) -> None:
        """Look at what is to be sent through `api`."""
        if not self._refusal:
            return
        insert, send = api.insert_order, api._send_pack

        def insert_order(*terms: Any, **options: Any) -> Any:
            self._check()
            return insert(*terms, **options)

        def send_pack(pack: Any) -> Any:
            if pack.get("aid") == "insert_order":
                self._check()
            return send(pack)

        api.insert_order, api._send_pack = insert_order, send_pack

    def _check(self) -> None:
        if self._refusal:
            raise LiveTradingRefused(self._refusal)
