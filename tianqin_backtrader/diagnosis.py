"""What `doctor` finds: one frozen value for each thing that was looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Check", "Health", "clock_check", "disk_check", "fail", "ok", "skip", "warn"]

GIB = 1 << 30
LEAST_FREE, LITTLE_FREE = GIB // 10, GIB  # bytes of a disk that a journal lies on
DRIFT_S, WRONG_S = 2.0, 60.0  # of the machine's clock; HTTP dates are whole seconds
BY_NTP = "set the clock by NTP (timedatectl set-ntp true; w32tm /resync)"


class Health(str, Enum):
    """skip: there was nothing to look at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """name: what was looked at; found; mend: what to do about it, empty where all is well."""

    name: str
    health: Health
    found: str
    mend: str = ""


def ok(name: str, found: str) -> Check:
    return Check(name, Health.OK, found)


def warn(name: str, found: str, mend: str) -> Check:
    return Check(name, Health.WARN, found, mend)


def fail(name: str, found: str, mend: str) -> Check:
    return Check(name, Health.FAIL, found, mend)


def skip(name: str, found: str) -> Check:
    return Check(name, Health.SKIP, found)


def clock_check(ahead_s: float, whose: str) -> Check:
    """Of a clock that is `ahead_s` seconds ahead of another one (< 0: behind)."""
    found = f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s >= 0 else 'behind'} {whose}"
    if abs(ahead_s) <= DRIFT_S:
        return ok("clock", found)
    return (warn if abs(ahead_s) <= WRONG_S else fail)("clock", found, BY_NTP)


def disk_check(free_bytes: int, where: str) -> Check:
    """Of the space that is left where the journal lies."""
    found = f"{free_bytes / GIB:,.1f} GiB free at {where}"
    if free_bytes >= LITTLE_FREE:
        return ok("disk", found)
    mend = "make room: trading stops when the journal cannot be written"
    return (warn if free_bytes >= LEAST_FREE else fail)("disk", found, mend)
