"""Keeps passwords and the account out of texts and logs, those of other libraries included.

At DEBUG, `websockets` logs every frame, the login among them, urllib3 the addresses that TqSdk puts
the account into, and TqSdk whatever it sends. Nothing here adds a handler or a level.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable
from typing import Any

from .config import Settings

__all__ = ["Hider", "secrets_of"]

HIDDEN = "<hidden>"
SHORTEST = 4  # characters; hiding less would tear other words apart
# Loggers that see what TqSdk sends; those that it makes later are named here as well.
FOREIGN = (
    "TqApi", "TqApi.TqAccount", "TqApi.TqAuth", "TqApi.TqConnect", "TqApi.TdReconnect",
    "TqApi.MdReconnect", "TqApi.TqMultiAccount", "TqApi.TqSymbols", "TqApi.DataExtension",
    "TqApi.TqSim", "TqApi.TqTradingStatus", "asyncio", "urllib3", "urllib3.connectionpool",
    "websockets", "websockets.client",
)  # fmt: skip
OURS = __name__.partition(".")[0]
TOKENS = ("headers", "text", "grants")  # of TqSdk's records: access tokens, which are JWTs


def secrets_of(settings: Settings, shortest: int = SHORTEST) -> tuple[str, ...]:
    """What no text may show: passwords, the account's number, the name of the 快期 account."""
    passwords = [p.get_secret_value() for p in (settings.password, settings.account_password) if p]
    found = [*passwords, settings.account_id or "", settings.user or ""]
    return tuple(sorted({each for each in found if len(each) >= shortest}, key=len, reverse=True))


class Hider(logging.Filter):
    """Replaces secrets in texts; as a filter of loggers, in what they are about to log."""

    def __init__(self, secrets: Iterable[str], instead: str = HIDDEN) -> None:
        super().__init__()
        self._secrets, self._instead = tuple(secrets), instead

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, self._instead)
        return text

    def watch(self) -> None:
        """Look at everything that is logged about the session from now on."""
        for logger in self._loggers():
            logger.addFilter(self)

    def leave(self) -> None:
        """Look no more."""
        for logger in self._loggers():
            logger.removeFilter(self)

    @staticmethod
    def _loggers() -> list[logging.Logger]:
        known = list(logging.root.manager.loggerDict)
        ours = [name for name in known if name.partition(".")[0] in (OURS, "TqApi")]
        return [logging.getLogger(name) for name in dict.fromkeys([*FOREIGN, *ours])]

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without secrets; False for one that nobody would write."""
        if record.levelno < logging.WARNING and not logging.getLogger(record.name).hasHandlers():
            return False  # TqSdk makes one of every packet
        if self._secrets:
            self._clean(record)
        return True

    def _clean(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        record.msg, record.args = self.hide(text), None
        extra: Any = record.__dict__.get("extra")  # where TqSdk's loggers keep the rest
        if isinstance(extra, dict):
            kept = {name: value for name, value in extra.items() if name not in TOKENS}
            record.__dict__["extra"] = {name: self._value(value) for name, value in kept.items()}
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = self.hide("".join(traceback.format_exception(*record.exc_info)))

    def _value(self, value: Any) -> Any:
        text = str(value)
        clean = self.hide(text)
        return value if clean == text else clean
