"""What `doctor` looks at on this machine: software, settings, calendar, journal, disk."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .beijing import beijing_datetime
from .clock import now_s
from .config import Settings, journal_path
from .diagnosis import Check, disk_check, fail, ok, skip, warn
from .errors import BadCalendarFile, BadJournal
from .instance import owner_of, picture_of
from .trading_days import TradingDays

__all__ = ["machine_checks"]

SECOND_NS = 1_000_000_000
PACKAGES = ("tianqin-backtrader", "tqsdk", "backtrader", "pandas", "exchange-calendars")
EXTRAS = {"record": "pyarrow", "alerts": "apprise"}
FEW_DAYS = 30  # that the calendar should still know
CREDENTIALS = ("user", "password", "broker_id", "account_id", "account_password")


def machine_checks(settings: Settings, missing: Sequence[str], alerts: str) -> Iterator[Check]:
    """missing: variables that the mode lacks. alerts: addresses of alarms, never shown."""
    where = f"{platform.system()} {platform.machine()}"
    yield ok("python", f"{platform.python_version()} on {where}")
    yield _packages()
    for extra, package in EXTRAS.items():
        yield _extra(extra, package)
    yield _calendar(settings)
    yield _credentials(settings, missing)
    if settings.mode == "live":
        yield _gate(settings)
    yield _alerts(settings, alerts)
    yield from _journal(settings)


def _packages() -> Check:
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, known in found.items() if not known]
    if missing:
        return fail("packages", f"not installed: {', '.join(missing)}", "install the package again")
    return ok("packages", ", ".join(f"{name} {known}" for name, known in found.items()))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _extra(extra: str, package: str) -> Check:
    if importlib.util.find_spec(package) is None:
        return skip(f"extra {extra}", f'not installed; pip install "tianqin-backtrader[{extra}]"')
    return ok(f"extra {extra}", f"{package} {version(package)}")


def _calendar(settings: Settings) -> Check:
    try:
        until = TradingDays(settings.holidays).calendar.covered_until
    except BadCalendarFile as error:
        return fail("calendar", str(error), "mend the file that TIANQIN_HOLIDAYS names")
    left = (until - beijing_datetime(int(now_s() * SECOND_NS)).date()).days
    found = f"holidays are known until {until}"
    if left > FEW_DAYS:
        return ok("calendar", found)
    mend = "pip install --upgrade exchange-calendars, or TIANQIN_HOLIDAYS=file of later ones"
    return (warn if left > 0 else fail)("calendar", found, mend)


def _credentials(settings: Settings, missing: Sequence[str]) -> Check:
    if missing:
        mend = "put it in the environment or in .env"
        return fail("credentials", f"{', '.join(missing)} not set", mend)
    known = [f"TIANQIN_{name.upper()}" for name in CREDENTIALS if getattr(settings, name)]
    if not known:
        return ok("credentials", f"mode {settings.mode} needs none")
    return ok("credentials", f"{', '.join(known)} set")


def _gate(settings: Settings) -> Check:
    if settings.live_enabled:
        return ok("live", "TIANQIN_LIVE_ENABLED is true; --confirm-live ACCOUNT is asked as well")
    mend = "set TIANQIN_LIVE_ENABLED=true when you mean it"
    return fail("live", "the environment does not allow mode live", mend)


def _alerts(settings: Settings, alerts: str) -> Check:
    count = len(alerts.replace(",", " ").split())
    if count and importlib.util.find_spec("apprise") is None:
        mend = 'pip install "tianqin-backtrader[alerts]"'
        return fail("alarms", f"{count} addresses, but apprise is not installed", mend)
    if count:
        return ok("alarms", f"{count} address{'es' if count > 1 else ''}")
    if settings.mode in ("demo", "sim"):
        return skip("alarms", f"none; mode {settings.mode} can do without")
    return warn("alarms", "nobody is told when something happens", "set TIANQIN_ALERTS")


def _journal(settings: Settings) -> Iterator[Check]:
    path = journal_path(settings)
    if path is None:
        yield skip("journal", f"in memory, for mode {settings.mode} without `journal`")
        return
    folder = _existing(path.parent)
    try:
        with tempfile.TemporaryFile(dir=folder):
            yield ok("folder", f"{folder} can be written to")
    except OSError as error:
        mend = "let this user write there, or set TIANQIN_JOURNAL"
        yield fail("folder", f"{folder}: {error.strerror or error}", mend)
    yield _file(path)
    yield disk_check(shutil.disk_usage(folder).free, str(folder))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is; a run makes the rest."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path.cwd())


def _file(path: Path) -> Check:
    if not path.exists():
        return ok("journal", f"{path.name} will be made")
    try:
        picture = picture_of(path)
    except BadJournal as error:
        return fail("journal", str(error), "see what was expected; keep the file: it is the record")
    if picture.state != "NORMAL":
        mend = f"python -m tianqin_backtrader resume {path}"
        return warn("journal", f"{picture.state}: {picture.reason}", mend)
    owner = owner_of(path)
    if owner is not None:
        who = f"process {owner.pid}" if owner.pid else "a process"
        return warn("journal", f"{who} is writing {path.name}", "a second run would be refused")
    return ok("journal", f"{path.name} opens, nobody writes it")
