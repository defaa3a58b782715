"""Sends alarms to people through `apprise`: DingTalk, WeCom, Feishu, Telegram, e-mail and the rest.

Rules: `tell` puts into a queue and never waits, so that no alarm delays an order; one daemon thread
sends, to one address after the other. Addresses hold tokens: none of them is in a repr, an error or
a log, those of the libraries that send included.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Any

from .alarm_rules import ALARMING, Message, Throttle
from .clock import monotonic_ns
from .config import Settings
from .errors import WrongSetting
from .notices import Notice

__all__ = ["Alarms", "addresses_of", "alarms_of"]

logger = logging.getLogger(__name__)

MOST_WAITING = 1_000
LOOK_S = 1.0  # how often repeats and summaries are looked at, when some wait
SECOND_NS = 1_000_000_000
INSTALL = "the extra alerts: pip install 'tianqin-backtrader[alerts]'"
TALKATIVE = ("apprise", "requests", "urllib3.connectionpool", "urllib3.util.retry", "httpx")
NEXT_URL = re.compile(r",?\s+|,(?=[\w+.-]+://)")  # a comma may be part of an address

_hush = threading.local()


def addresses_of(text: str) -> list[str]:
    """The URLs in a setting, apart by spaces or commas."""
    return [url for url in NEXT_URL.split(text.strip(" ,\n")) if url]


def alarms_of(settings: Settings) -> Alarms:
    """The alarms that the settings ask for; without addresses they keep silent."""
    alerts = settings.alerts
    urls = [] if alerts is None else addresses_of(alerts.get_secret_value())
    return Alarms(urls, title=f"tianqin-backtrader {settings.mode}:")


class Alarms:
    """Alarms of one program; `title` begins each of them.

    Raises `WrongSetting` where apprise is missing or does not know an address, without naming it.
    """

    def __init__(
        self, urls: Sequence[str], title: str = "", throttle: Callable[[], Throttle] = Throttle
    ) -> None:
        self._services = [_service(url, number, len(urls)) for number, url in enumerate(urls, 1)]
        self._title, self._throttle = title, throttle
        self._sender: _Sender | None = None

    def __repr__(self) -> str:
        return f"Alarms({len(self._services)} addresses)"

    def tell(self, notice: Notice, text: str) -> None:
        """Send an alarm if the notice is one; returns at once."""
        if not self._services or notice not in ALARMING:
            return
        if self._sender is None:
            self._sender = _Sender(self._services, self._title, self._throttle())
            self._sender.start()
        self._sender.put(Message(notice, text))

    def close(self, patience_s: float = 5.0) -> None:
        """Send what waits, for at most `patience_s` seconds; may be called again."""
        sender, self._sender = self._sender, None
        unsent = 0 if sender is None else sender.end(patience_s)
        if unsent:
            logger.warning("alarms could not be sent in time: %d or more", unsent)


class _Sender(threading.Thread):
    """Sends what waits in its queue, one message after the other."""

    def __init__(self, services: Sequence[Any], title: str, throttle: Throttle) -> None:
        super().__init__(name="alarms", daemon=True)
        self._services, self._title, self._throttle = services, title, throttle
        self._waiting: Queue[Message | None] = Queue(MOST_WAITING)
        self._gives_up = threading.Event()
        self._lost = 0  # found no room in the queue

    def put(self, message: Message | None) -> None:
        """Returns at once; None is the end."""
        try:
            self._waiting.put_nowait(message)
        except Full:
            self._lost += 1

    def end(self, patience_s: float) -> int:
        """Send what waits and end; how many messages were not sent in that time, at least."""
        self.put(None)
        self.join(patience_s)
        self._gives_up.set()
        return self._lost + max(self._waiting.qsize(), int(self.is_alive()))

    def run(self) -> None:
        with _hushed():
            while (due := self._next()) is not None:
                for message in due:
                    self._send(message)
            for message in self._throttle.rest():
                self._send(message)

    def _next(self) -> list[Message] | None:
        """What is to be sent now; None at the end."""
        if self._gives_up.is_set():
            return None
        try:
            message = self._waiting.get(timeout=LOOK_S if self._throttle.waits else None)
        except Empty:
            return self._throttle.due(_now_s())
        return None if message is None else self._throttle.take(message, _now_s())

    def _send(self, message: Message) -> None:
        title = f"{self._title} {message.notice}".strip()
        for service in self._services:
            if self._gives_up.is_set():
                return
            try:
                done = service.notify(title=title, body=message.text)
            except Exception as error:  # noqa: BLE001  whatever a service raises, trading goes on
                done = False
                logger.warning("an alarm raised %s", type(error).__name__)
            if not done:
                logger.warning("%s was not sent by %s", message.notice, service.service_name)


def _now_s() -> float:
    return monotonic_ns() / SECOND_NS


def _service(url: str, number: int, count: int) -> Any:
    """What sends to one address."""
    try:
        import apprise  # noqa: PLC0415  an extra
    except ImportError:
        raise WrongSetting("alerts", "<hidden>", INSTALL) from None
    with _hushed():
        service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        expected = "a URL that apprise knows, such as mailto://, dingtalk:// or tgram://"
        raise WrongSetting("alerts", f"<hidden, {number} of {count}>", expected)
    return service


# ---- tokens stay out of logs


class _Discreet(logging.Filter):
    """Drops what a library logs while we send: it holds the address."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_hush, "on", False)


@contextmanager
def _hushed() -> Iterator[None]:
    """Nothing that the libraries log in this thread is let through."""
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(_DISCREET)  # adds it once
    before, _hush.on = getattr(_hush, "on", False), True
    try:
        yield
    finally:
        _hush.on = before


_DISCREET = _Discreet()
