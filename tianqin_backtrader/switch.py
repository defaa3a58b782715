"""The kill switch: two small files beside a journal that another process may write.

`X.sqlite.halt` says that trading is HALTED or REDUCING; removing it resumes. `X.sqlite.request`
asks the running instance for something, once. Both are written whole or not at all. A halt file
that cannot be read means HALTED: whoever wrote it wanted something stopped.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from .risk import TradingState

__all__ = ["Switch", "TradingState", "switch_of"]

logger = logging.getLogger(__name__)


class Switch:
    """The switch of one journal; `path`: of the journal. None: in memory, for this process only."""

    def __init__(self, path: Path | None) -> None:
        self.path = None if path is None else path.with_name(f"{path.name}.halt")
        self._request = None if path is None else path.with_name(f"{path.name}.request")
        self._kept = TradingState.NORMAL, ""  # where there is no file, or it could not be written
        self._obeyed = ""  # the request that was taken last

    def read(self) -> tuple[TradingState, str]:
        """The state, and why it was set."""
        if self.path is None or self._kept[0] is not TradingState.NORMAL:
            return self._kept
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return TradingState.NORMAL, ""
        except (OSError, UnicodeDecodeError) as error:
            return self._unreadable(error)
        try:
            said = json.loads(text)
            return TradingState(said["state"]), str(said.get("reason") or said["state"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            return self._unreadable(error)

    def set(self, state: TradingState, reason: str) -> None:
        """Set the state; where the file cannot be written it stands for this process at least."""
        if state is TradingState.NORMAL:
            self.clear()
            return
        self._kept = state, reason
        if self.path is None:
            return
        try:
            _write(self.path, {"state": state.value, "reason": reason})
        except OSError as error:
            logger.warning("%s could not be written, a restart forgets it: %s", self.path, error)
        else:
            self._kept = TradingState.NORMAL, ""

    def clear(self) -> None:
        """Resume. Raises OSError when the file cannot be removed: it goes on to halt."""
        self._kept = TradingState.NORMAL, ""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def request(self, what: str) -> None:
        """Ask the running instance for `what` ("flatten"), once. Raises OSError."""
        if self._request is None:
            raise FileNotFoundError("a journal in memory has no file for requests")
        _write(self._request, {"do": what, "id": secrets.token_hex(8)})

    def take_request(self) -> str | None:
        """What was asked since the last call; None: nothing."""
        if self._request is None:
            return None
        try:
            text = self._request.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("%s cannot be read yet: %s", self._request, error)
            return None
        except UnicodeDecodeError:
            text = ""
        with suppress(OSError):  # Windows: somebody reads it; `id` keeps it from being obeyed twice
            self._request.unlink()
        return self._understood(text)

    def _understood(self, text: str) -> str | None:
        try:
            asked = json.loads(text)
            what, name = str(asked["do"]), str(asked["id"])
        except (ValueError, LookupError, TypeError):
            logger.warning("%s is damaged and was passed over: %.80r", self._request, text)
            return None
        is_new, self._obeyed = name != self._obeyed, name
        return what if is_new else None

    def _unreadable(self, error: Exception) -> tuple[TradingState, str]:
        return TradingState.HALTED, f"{self.path} cannot be read ({error}): remove it to resume"


def switch_of(journal_path: str | Path) -> Switch:
    """The switch of the journal at `journal_path`, running or not."""
    return Switch(Path(journal_path).resolve())


def _write(path: Path, content: dict[str, Any]) -> None:
    """All of it or nothing, whoever reads meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.new")
    try:
        made.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
