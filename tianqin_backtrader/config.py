"""Settings and secrets, from arguments, the environment and `.env`. Nothing here connects."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlparse

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import LiveTradingRefused, MissingCredentials, WrongMode, WrongSetting

Mode = Literal["demo", "paper", "sim", "kq", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)

__all__ = [
    "MODES",
    "Mode",
    "Settings",
    "bypass_proxy",
    "environment",
    "journal_path",
    "load_settings",
]

_NEEDS: dict[Mode, tuple[str, ...]] = {
    "demo": (),
    "paper": ("user", "password"),
    "sim": ("user", "password"),
    "kq": ("user", "password"),
    "live": ("user", "password", "broker_id", "account_id", "account_password"),
}


class Settings(BaseSettings):
    """What a session needs to know. Each field is read from `TIANQIN_<FIELD>` as well.

    `user` and `password` are the 快期 account; `broker_id`, `account_id` and `account_password`
    the futures account of mode live. The three addresses are None for TqSdk's own servers.
    `holidays`: a file of days without trading, for years that the calendar data does not cover.
    `journal`: the SQLite file of orders, one per account; see `journal_path`. `rebuild_after_s`:
    real seconds that a lost or silent connection is left to TqSdk's own reconnect in trading hours.
    """

    model_config = SettingsConfigDict(
        env_prefix="TIANQIN_", env_file=".env", env_file_encoding="utf-8", extra="ignore"
    )

    mode: Mode = "demo"
    user: str | None = None
    password: SecretStr | None = None
    broker_id: str | None = None
    account_id: str | None = None
    account_password: SecretStr | None = None
    auth_url: str | None = None
    md_url: str | None = None
    td_url: str | None = None
    live_enabled: bool = False
    holidays: Path | None = None
    journal: Path | None = None
    rebuild_after_s: float = Field(30.0, gt=0, allow_inf_nan=False)


def load_settings(**given: Any) -> Settings:
    """Settings with `given` (None = not given) before the environment, checked for their mode.

    Raises `WrongMode`, `WrongSetting` or `MissingCredentials`.
    """
    unknown = sorted(given.keys() - Settings.model_fields.keys())
    if unknown:
        known = ", ".join(Settings.model_fields)
        raise WrongSetting("setting", unknown[0], f"one of {known}")
    arguments = {name: value for name, value in given.items() if value is not None}
    if "mode" in arguments and arguments["mode"] not in MODES:
        raise WrongMode(arguments["mode"], MODES)
    try:
        settings = Settings(**arguments)
    except ValidationError as error:
        raise _readable(error) from None
    missing = [name for name in _NEEDS[settings.mode] if not getattr(settings, name)]
    if missing:
        raise MissingCredentials(settings.mode, [f"TIANQIN_{name.upper()}" for name in missing])
    return settings


def _readable(error: ValidationError) -> WrongSetting:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if name == "mode":
        return WrongMode(first["input"], MODES)
    secret = "password" in name
    return WrongSetting(name, "<hidden>" if secret else first["input"], first["msg"])


def refuse_unbuilt(settings: Settings) -> None:
    """Raise for modes that do not exist yet."""
    if settings.mode == "live":
        raise LiveTradingRefused("mode live has no safety gates yet; use demo, sim or kq")
    if settings.mode == "paper":
        raise WrongSetting("mode", "paper", "demo, sim or kq; paper does not exist yet")


def journal_path(settings: Settings) -> Path | None:
    """Where orders are written down: as set, else one file per account in the home folder.

    None, in memory, where the account dies with the process: TqSim, or an exchange of one's own.
    """
    if settings.journal is not None:
        return settings.journal
    if settings.mode not in ("kq", "live") or settings.td_url is not None:
        return None
    account = (settings.mode, settings.user, settings.broker_id, settings.account_id)
    name = hashlib.sha256(repr(account).encode()).hexdigest()[:12]  # no account number in a name
    return Path.home() / ".tianqin-backtrader" / f"{settings.mode}-{name}.sqlite"


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
