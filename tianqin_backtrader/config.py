"""Settings and secrets, from arguments, the environment and `.env`. Nothing here connects."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlparse

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import MissingCredentials, WrongMode, WrongSetting

Mode = Literal["demo", "paper", "sim", "kq", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)
PRIVATE = {"user", "password", "broker_id", "account_id", "account_password", "alerts"}

__all__ = [
    "MODES",
    "Mode",
    "Settings",
    "bypass_proxy",
    "environment",
    "journal_path",
    "live_is_enabled",
    "load_settings",
    "public_settings",
]

_NEEDS: dict[Mode, tuple[str, ...]] = {
    "demo": (),
    "paper": ("user", "password"),
    "sim": ("user", "password"),
    "kq": ("user", "password"),
    "live": ("user", "password", "broker_id", "account_id", "account_password"),
}
SECRET = ("password", "account", "user")  # parts of names whose values no message shows


def _said_outright(value: object) -> object:
    """A gate is opened by one word; pydantic would take 1, y, on and yes as well."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word not in ("true", "false", ""):
            raise ValueError("expected the word true, or false")
        return word == "true"
    return value


class _LiveGate(BaseSettings):
    """What the environment or `.env` says of live trading."""

    model_config = SettingsConfigDict(
        env_prefix="TIANQIN_", env_file=".env", env_file_encoding="utf-8", extra="ignore"
    )

    live_enabled: Annotated[bool, BeforeValidator(_said_outright)] = False


class Settings(BaseSettings):
    """What a session needs to know. Each field is read from `TIANQIN_<FIELD>` as well.

    `user` and `password` are the 快期 account; `broker_id`, `account_id` and `account_password`
    the futures account of mode live. The three addresses are None for TqSdk's own servers.
    `holidays`: a file of days without trading, for years that the calendar data does not cover.
    `journal`: the SQLite file of orders, one per account; see `journal_path`. `live_enabled`: one
    of the gates of mode live, open by the word true in the environment or `.env` alone.
    `alerts`: URLs of apprise, apart by spaces or commas, or a list of them; see `alarms`.
    `rebuild_after_s`: real seconds that a lost or silent connection is left to TqSdk's own
    reconnect in trading hours.
    """

    model_config = SettingsConfigDict(
        env_prefix="TIANQIN_",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
    )

    mode: Mode = "demo"
    user: str | None = Field(default=None, repr=False)
    password: SecretStr | None = None
    broker_id: str | None = None
    account_id: str | None = Field(default=None, repr=False)
    account_password: SecretStr | None = None
    auth_url: str | None = None
    md_url: str | None = None
    td_url: str | None = None
    live_enabled: Annotated[bool, BeforeValidator(_said_outright)] = False
    holidays: Path | None = None
    journal: Path | None = None
    alerts: SecretStr | None = None
    rebuild_after_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)

    @field_validator("alerts", mode="before")
    @classmethod
    def _joined(cls, alerts: Any) -> Any:
        return " ".join(map(str, alerts)) if isinstance(alerts, (list, tuple)) else alerts

    _confirm_live: object = PrivateAttr(default=None)  # no field: the environment cannot say it

    @property
    def confirm_live(self) -> object:
        """The account that the program's caller repeated, None if none was."""
        return self._confirm_live


def load_settings(confirm_live: object = None, **given: Any) -> Settings:
    """Settings with `given` (None = not given) before the environment, checked for their mode.

    confirm_live: the account's id once more, for mode live. Raises `WrongMode`, `WrongSetting` or
    `MissingCredentials`.
    """
    unknown = sorted(given.keys() - Settings.model_fields.keys())
    if unknown:
        known = ", ".join(Settings.model_fields)
        raise WrongSetting("setting", unknown[0], f"one of {known}")
    arguments = {name: value for name, value in given.items() if value is not None}
    if "mode" in arguments and arguments["mode"] not in MODES:
        raise WrongMode(arguments["mode"], MODES)
    if "live_enabled" in arguments:
        where = "TIANQIN_LIVE_ENABLED=true in the environment or in .env, not in a program"
        raise WrongSetting("live_enabled", arguments["live_enabled"], where)
    try:
        settings = Settings(**arguments)
    except ValidationError as error:
        raise _readable(error) from None
    missing = [name for name in _NEEDS[settings.mode] if not getattr(settings, name)]
    if missing:
        raise MissingCredentials(settings.mode, [f"TIANQIN_{name.upper()}" for name in missing])
    settings._confirm_live = confirm_live
    return settings


def live_is_enabled() -> bool:
    """Whether the environment or `.env` opens the gate of mode live at this moment."""
    try:
        return _LiveGate().live_enabled
    except ValidationError as error:
        raise _readable(error) from None


def _readable(error: ValidationError) -> WrongSetting:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if name == "mode":
        return WrongMode(first["input"], MODES)
    secret = any(part in name for part in SECRET)
    return WrongSetting(name, "<hidden>" if secret else first["input"], first["msg"])


def journal_path(settings: Settings) -> Path | None:
    """Where orders are written down: as set, else one file per account in the home folder.

    None, in memory, where the account dies with the process: TqSim, or an exchange of one's own.
    """
    if settings.journal is not None:
        return settings.journal
    if settings.mode not in ("kq", "live", "paper") or settings.td_url is not None:
        return None
    account = (settings.mode, settings.user, settings.broker_id, settings.account_id)
    name = hashlib.sha256(repr(account).encode()).hexdigest()[:12]  # no account number in a name
    return Path.home() / ".tianqin-backtrader" / f"{settings.mode}-{name}.sqlite"


def public_settings(settings: Settings) -> dict[str, str]:
    """What was set, as texts, without credentials and account numbers; for records of a run."""
    given = settings.model_dump(exclude=PRIVATE, exclude_none=True)
    return {name: _without_user(str(value)) for name, value in given.items()}


def _without_user(text: str) -> str:
    """A URL may bear a name and a password, and a token behind its question mark."""
    parts = urlparse(text)
    if not parts.scheme or not parts.hostname:
        return text
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


@contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    """Set a variable while TqAuth reads it, which is at its construction only."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def bypass_proxy(*urls: str | None) -> None:
    """Keep loopback out of a proxy that the environment names: requests and websockets obey it."""
    hosts = {urlparse(url).hostname for url in urls if url}
    local = hosts & {"127.0.0.1", "localhost"}
    for name in ("NO_PROXY", "no_proxy"):
        listed = [part for part in os.environ.get(name, "").split(",") if part]
        missing = [host for host in sorted(filter(None, local)) if host not in listed]
        if missing:
            os.environ[name] = ",".join(listed + missing)
