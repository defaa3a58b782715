"""Whether a program that ended is started again, and when. Pure.

Rules:
- Only after exit code 75 (network or gateway) or a death by signal; everything else would end the
  same way, or must be looked at by somebody.
- The first time after 5 s, then twice as long each time, up to 5 minutes; a program that ran for
  10 minutes begins with 5 s again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .exits import DONE, FAILED, MEND, RETRY, STOP

__all__ = ["WINDOWS_CTRL_C", "Backoff", "died", "wait_s", "worst"]

SEVERITY = (DONE, RETRY, FAILED, MEND, STOP)  # the last is the worst
WINDOWS_CRASH = 0xC0000000  # NTSTATUS of severity error: an access violation, ...
WINDOWS_CTRL_C = 0xC000013A  # asked to end


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait: `first_s`, doubled each time up to `longest_s`; see `healthy_s` above."""

    first_s: float = 5.0
    longest_s: float = 300.0
    healthy_s: float = 600.0


def died(code: int) -> bool:
    """Whether an exit code tells of a signal (negative, of Popen) or of a crash on Windows."""
    return code < 0 or (code >= WINDOWS_CRASH and code != WINDOWS_CTRL_C)


def wait_s(code: int, lasted_s: float, before: int, backoff: Backoff) -> tuple[float, int] | None:
    """Seconds until the next start and how many short lives in a row; None: it stays ended.

    lasted_s: how long it ran. before: short lives in a row before this one.
    """
    if code != RETRY and not died(code):
        return None
    lives = 1 if lasted_s >= backoff.healthy_s else before + 1
    doublings = min(lives - 1, 32)
    return min(backoff.first_s * 2**doublings, backoff.longest_s), lives


def worst(codes: Iterable[int]) -> int:
    """The exit code of all programs together; one that died, or an unknown one, has failed."""
    known = [code if code in SEVERITY else FAILED for code in codes]
    return max(known, key=SEVERITY.index, default=DONE)
