"""The sole owner of the TqApi: opens it, reads it, sends through it. The only importer of tqsdk.

All calls come from the thread that opened it. TqSdk reconnects and resubscribes by itself; where
that takes too long, `rebuild` puts another TqApi in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import requests
import tqsdk.calendar
from tqsdk import TargetPosTask, TqAccount, TqApi, TqAuth, TqChan, TqKq, TqSim
from tqsdk.calendar import _init_chinese_rest_days
from tqsdk.diff import _get_obj
from tqsdk.exceptions import TqTimeoutError

from .clock import now_s
from .config import Settings, environment
from .discarding import discard
from .errors import GatewayTimeout, LoginRefused, NotStarted
from .gates import require
from .hiding import Hider, secrets_of
from .logins import account_refusal, is_cut, login_failure
from .market_data import ANSWER_S
from .paper import PaperChannel
from .rebuilding import REBUILDING_S, Rebuilding
from .trading import TradingChannel

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

OPENING_S = 60.0  # how long a session may take to stand, as TqSdk waits for it


class Connection(Rebuilding):
    """One TqApi session for one account."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._api: TqApi | None = None
        self.paper: PaperChannel | None = None
        if settings.mode == "paper":
            self.paper = PaperChannel(self._node, lambda: self._key)
            self.trading = cast("TradingChannel", self.paper)  # all but its sending
        else:
            self.trading = TradingChannel(lambda: self.api, self._node, lambda: self._key)
        self.hider = Hider(secrets_of(settings))
        self._before_close: list[Callable[[], None]] = []

    # ---- life

    def open(self) -> None:
        """Log in and wait for the first whole picture.

        Raises `LoginRefused` (mend the credentials), `GatewayTimeout` (try again), or
        `LiveTradingRefused` before anything is opened.
        """
        require(self._settings)
        self.hider.watch()
        try:
            opened = self._logged_in(OPENING_S)
        except BaseException:
            self.hider.leave()
            raise
        self._api, self._account = opened
        self.guard.stand_before(self._api)
        self._market_news.note([{"notify": self._node("notify")}])
        self.trading.look_at_packets()

    def close(self) -> None:
        """Close the TqApi; what was not sent yet is sent before, unless the line is dead."""
        if self._api is None:
            return
        is_dead = self.trading.is_doubtful
        for last_act in () if is_dead else self._before_close:
            last_act()
        api, self._api = self._api, None
        try:
            if is_dead:
                discard(api)
            else:
                api.close()
        except Exception:
            logger.warning("TqSdk did not close cleanly", exc_info=True)
        self.hider.leave()

    def before_close(self, act: Callable[[], None]) -> None:
        """Let `act`, which must not raise, have the open session once more when it closes."""
        self._before_close.append(act)

    @property
    def api(self) -> TqApi:
        """The TqApi itself, for what this class does not do."""
        if self._api is None:
            raise NotStarted("the TqSdk session")
        return self._api

    # ---- waiting

    def wait(self, deadline_s: float) -> bool:
        """Send what is due and wait for news until `deadline_s` (seconds since 1970)."""
        if self._is_renewed:
            self._is_renewed = False
            return True
        self.trading.has_unsent = False
        arrived = bool(self.api.wait_update(deadline=deadline_s))
        if arrived:
            self._note_news()
        return arrived

    def wait_until(
        self, ready: Callable[[], bool], what: str, patience_s: float = ANSWER_S
    ) -> None:
        """Let news in until `ready`. Raises `GatewayTimeout`, naming `what`, when it takes long."""
        if self._is_renewing:
            patience_s = min(patience_s, REBUILDING_S)
        done = self.api._wait_update_until(ready, deadline=now_s() + patience_s)
        self._note_news()
        if not done:
            raise GatewayTimeout(f"no {what} within {patience_s:.0f} s")

    def _note_news(self) -> None:
        if self._is_renewing:
            return  # when it stands, all that it shows is news
        diffs = self.api._sync_diffs
        self._market_news.note(diffs)
        self.trading.note(diffs)

    # ---- TqSdk's execution of targets

    def target_task(self, symbol: str, **options: Any) -> tuple[Any, Any]:
        """A new `TargetPosTask`, and the channel on which it says that it is done.

        Made past TqSdk's registry: that one is keyed by `id(account)`, and hands out the task that
        is just ending, or one of an earlier session. Raises what TqSdk says of bad `options`.
        """
        quote = self._node("quotes", symbol)
        if getattr(quote, "_task", None) is not None and quote._task.cancelled():
            del quote._task  # a task that was cancelled as it waited for a quote took this along
        done = TqChan(self.api, last_only=True)
        options["target_volume_chan"] = done
        return type.__call__(TargetPosTask, self.api, symbol, **options), done

    def run_tasks(self) -> None:
        """Let TqSdk's tasks take in what has come, and send what follows; waits for nothing."""
        elsewhere = self.api._clear_running_loop()  # a notebook's
        try:
            self.api._run_until_idle()
        finally:
            self.api._restore_running_loop(*elsewhere)

    # ---- market data

    def query(self, text: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask the contract service and wait. Raises `GatewayTimeout`."""
        try:
            answer = self.api.query_graphql(text, variables)
        except TqTimeoutError as error:
            raise GatewayTimeout("no answer of the contract service within 30 s") from error
        finally:
            self._note_news()
        return cast("Mapping[str, Any]", answer)

    def _want_quotes(self, symbols: list[str]) -> set[str]:
        api = self.api
        try:
            api._ensure_symbol(symbols)
        except TqTimeoutError as error:
            raise GatewayTimeout(f"no terms of {', '.join(symbols)} within 30 s") from error
        finally:
            self._note_news()
        api._requests["quotes"] = wanted = api._requests["quotes"] | set(symbols)
        return set(wanted)

    def holidays(self) -> list[str]:
        """TqSdk's list of weekdays without trading, ISO dates. Raises `GatewayTimeout`."""
        try:
            _init_chinese_rest_days(headers=self.api._base_headers)
        except (requests.RequestException, ValueError, LookupError) as error:
            raise GatewayTimeout(f"no answer ({type(error).__name__})") from error
        return [f"{day:%Y-%m-%d}" for day in tqsdk.calendar.rest_days_df["date"]]

    # ---- inside

    def _logged_in(self, patience_s: float) -> tuple[TqApi, Any]:
        return _log_in(self._settings, patience_s, self.hider.hide)

    @property
    def _key(self) -> str:
        return str(self._account._account_key)

    def _node(self, *path: str) -> Any:
        return _get_obj(self.api._data, list(path))

    def _send(self, pack: dict[str, Any]) -> None:
        self.api._send_pack(pack)


class _Session(TqApi):
    """A TqApi that gives up opening in time, and at once when the broker refuses the account."""

    def __init__(self, patience_s: float, account: Any, **options: Any) -> None:
        self._is_hasty = patience_s < OPENING_S
        self._opens_until_s: float | None = now_s() + patience_s
        try:
            super().__init__(account, **options)
        except BaseException:
            discard(self)  # TqSdk leaves a loop behind when the login fails
            raise
        self._opens_until_s = None

    def wait_update(self, deadline: float | None = None, _task: Any = None) -> bool:
        if self._opens_until_s is None:
            return bool(super().wait_update(deadline, _task))
        arrived = bool(super().wait_update(self._opens_until_s, _task))
        notices = self._data.get("notify", {})
        refusal = account_refusal(notices)
        if refusal:
            raise LoginRefused(f"the broker refused the account: {refusal}")
        if self._is_hasty and is_cut(notices):  # TqSdk would wait for ten seconds and more
            raise GatewayTimeout("a socket was refused")
        return arrived

    def close(self) -> None:
        if self._opens_until_s is None:
            super().close()
        else:
            discard(self)


def _log_in(settings: Settings, patience_s: float, hide: Callable[[str], str]) -> tuple[TqApi, Any]:
    """A TqApi and its account; `hide` takes secrets out of what TqSdk says."""
    account = _account(settings)
    try:
        api = _Session(
            patience_s,
            account,
            auth=_auth(settings),
            debug=False,  # TqSdk's log holds every packet: gigabytes a day
            disable_print=True,
            _md_url=settings.md_url,
        )
    except (LoginRefused, GatewayTimeout):
        raise
    except (requests.RequestException, TqTimeoutError, OSError) as error:
        raise GatewayTimeout(f"no answer from the gateway: {type(error).__name__}") from error
    except Exception as error:  # noqa: BLE001  TqSdk's own for a refused login; may hold secrets
        raise login_failure(hide(str(error))) from None
    return api, account


def _account(settings: Settings) -> Any:
    if settings.mode == "live":
        password = settings.account_password
        return TqAccount(
            settings.broker_id,
            settings.account_id,
            password.get_secret_value() if password else "",
            td_url=settings.td_url,
        )
    if settings.mode in ("kq", "demo"):
        return TqKq(td_url=settings.td_url)
    return TqSim()


def _auth(settings: Settings) -> TqAuth:
    user, password = settings.user or "demo", settings.password
    with environment("TQ_AUTH_URL", settings.auth_url):
        return TqAuth(user, password.get_secret_value() if password else "demo")
