"""What `run` is told: a TOML file, read and checked. Nothing here connects or imports a strategy.

Rules:
- An unknown key is an error that names the nearest known one.
- Relative paths are relative to the file.
- `[accounts.NAME]` says what differs for one account: keys of `[store]`, and tables `strategy`,
  `broker`, `risk`, `demo`, `run` and `data`; tables go key by key before those of the file, `data`
  takes their place.
- No password is ever in the file: `env_file` names one with the account's variables, which go
  before the environment's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from .errors import BadConfigFile, WrongSetting
from .risk import RiskLimits
from .run_sections import (
    BrokerSection,
    DataSection,
    DemoSection,
    RunConfig,
    RunSection,
    Section,
    StoreSection,
    StrategySection,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["RunConfig", "load_runs"]

SECRETS = ("password", "passwd", "secret", "alerts")
ACCOUNT = ("user", "broker_id", "account_id", "live_enabled")  # of the environment as well
TABLES: dict[str, type[Section]] = {
    "strategy": StrategySection, "data": DataSection, "broker": BrokerSection,
    "store": StoreSection, "demo": DemoSection, "run": RunSection,
}  # fmt: skip
MORE = ("strategy", "data", "broker", "risk", "demo", "run")  # tables that an account may have


def load_runs(path: Path) -> dict[str, RunConfig]:
    """The runs of a file by account; one without a name where the file has no `[accounts]`.

    Raises `BadConfigFile`.
    """
    raw = _read(path)
    _refuse_secrets(path, raw)
    accounts = raw.pop("accounts", None)
    if accounts is None:
        return {"": _run(path, raw, "")}
    if not isinstance(accounts, dict) or not accounts:
        raise BadConfigFile(path, "accounts is no table of accounts", "[accounts.NAME]")
    return {
        name: _run(path, _account(path, raw, name, own), name) for name, own in accounts.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        arrived = f"cannot be read ({error.strerror or error})"
        raise BadConfigFile(path, arrived, "the path of a TOML file") from error
    except ValueError as error:  # of TOML, and of UTF-8
        raise BadConfigFile(path, f"is no TOML ({error})", "a TOML file in UTF-8") from error


def _refuse_secrets(path: Path, raw: Mapping[str, Any]) -> None:
    for key, name in _keys(raw):
        place = name.removeprefix("account_")
        if any(word in name for word in SECRETS) and name != "alerts_env":
            variable = "TIANQIN_ALERTS" if name == "alerts" else f"TIANQIN_{name.upper()}"
            raise BadConfigFile(
                path,
                f"{key} holds a secret",
                f"it in the environment, or in the file that env_file names, as {variable}",
            )
        if name in ACCOUNT and not key.startswith("strategy."):
            raise BadConfigFile(
                path,
                f"{key} says {place!r} of an account",
                f"it in the environment, or in the file that env_file names, as "
                f"TIANQIN_{name.upper()}",
            )


def _keys(raw: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Every key of nested tables, with its place."""
    for name, value in raw.items():
        yield place + name, name
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _keys(each, f"{place}{name}.")


def _account(path: Path, raw: dict[str, Any], name: str, own: Any) -> dict[str, Any]:
    """The file's tables with what one account has of its own."""
    if not isinstance(own, dict):
        raise BadConfigFile(path, f"accounts.{name} is no table", f"[accounts.{name}]")
    merged = dict(raw)
    tables = {key: value for key, value in own.items() if key in MORE}
    store = {key: value for key, value in own.items() if key not in MORE}
    for key, value in {"store": store, **tables}.items():
        before = raw.get(key)
        is_table = isinstance(value, dict) and isinstance(before, dict)
        merged[key] = _joined(before, value) if is_table else value
    return merged


def _joined(before: Any, after: Any) -> dict[str, Any]:
    """Two tables, key by key; so are the parameters of the strategy."""
    params = after.get("params")
    if isinstance(params, dict) and isinstance(before.get("params"), dict):
        after = {**after, "params": {**before["params"], **params}}
    return {**before, **after}


def _run(path: Path, raw: Mapping[str, Any], name: str) -> RunConfig:
    if "name" in raw:
        raise _unknown(path, "name", (), name)
    try:
        run = RunConfig.model_validate({**raw, "name": name})
    except ValidationError as error:
        raise _readable(path, error, name) from None
    for key in run.risk or ():
        if key not in _known(("risk",)):
            raise _unknown(path, key, ("risk",), name)
    try:
        run.limits()
    except WrongSetting as error:
        raise BadConfigFile(
            path, f"in [risk]{_of(name)} {error}", "limits that can be meant"
        ) from None
    return _located(run, path.resolve().parent)


def _of(account: str) -> str:
    return f" (account {account})" if account else ""


def _unknown(path: Path, key: str, place: tuple[int | str, ...], account: str) -> BadConfigFile:
    known = _known(place)
    near = get_close_matches(key, known, 1)
    expected = f"{near[0]}?" if near else f"one of {', '.join(known)}"
    shown = ".".join(map(str, (*place, key)))
    return BadConfigFile(path, f"the key {shown} is not known{_of(account)}", expected)


def _readable(path: Path, error: ValidationError, account: str) -> BadConfigFile:
    """The first thing that is wrong, an unknown key before all: others often follow from it."""
    found = error.errors(include_url=False)
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    place = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(path, str(place[-1]), place[:-1], account)
    depth = 3 if place[0] == "data" else 2  # pydantic adds the names of types in a union
    key = ".".join(map(str, place[:depth])) + _of(account)
    if first["type"] == "missing":
        return BadConfigFile(path, f"the key {key} is missing", "it in the file")
    arrived = first["input"]
    shown = str(arrived) if isinstance(arrived, date) else repr(arrived)
    return BadConfigFile(path, f"{key} is {shown}", _lower(first["msg"]))


def _known(place: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at `place`."""
    if not place:
        return [*TABLES, "risk", "accounts"]
    if place[0] == "risk":
        return [each.name for each in fields(RiskLimits)]
    return list(TABLES[str(place[0])].model_fields)


def _lower(text: str) -> str:
    text = text.removeprefix("Input should be ").removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _located(run: RunConfig, folder: Path) -> RunConfig:
    """The run with paths that do not depend on where the program stands."""
    changes: dict[str, Any] = {"store": run.store.model_copy(update=_paths(run.store, folder))}
    if run.demo is not None:
        replay = [folder / each.expanduser() for each in run.demo.replay]
        located = {**_paths(run.demo, folder), "replay": replay}
        changes["demo"] = run.demo.model_copy(update=located)
    file, colon, name = run.strategy.path.rpartition(":")
    if not colon or name.endswith(".py"):
        file, colon, name = run.strategy.path, "", ""
    if file.endswith(".py"):
        where = f"{folder / Path(file).expanduser()}{colon}{name}"
        changes["strategy"] = run.strategy.model_copy(update={"path": where})
    return run.model_copy(update=changes)


def _paths(section: Section, folder: Path) -> dict[str, Path]:
    values = {name: getattr(section, name) for name in type(section).model_fields}
    return {n: folder / v.expanduser() for n, v in values.items() if isinstance(v, Path)}
