"""Exit codes of programs that trade: they tell a supervisor whether to start again.

0 the run ended as wanted; 1 the program failed, a strategy above all; 2 the settings or an order
cannot work; 70 going on could cost money; 75 the network or the gateway failed: try again. Only
after 75, or a death by signal, may a supervisor start the program again. 70 and 75 are EX_SOFTWARE
and EX_TEMPFAIL of sysexits.h.
"""

from __future__ import annotations

from .errors import ConfigError, OrderError, RetryableError, StopError

__all__ = ["DONE", "FAILED", "MEND", "RETRY", "STOP", "code_of"]

DONE, FAILED, MEND, STOP, RETRY = 0, 1, 2, 70, 75
CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((ConfigError, OrderError), MEND),
    ((RetryableError,), RETRY),
    ((StopError,), STOP),
)


def code_of(error: BaseException | None) -> int:
    """The exit code of a program that `error` ended; None: it ended as wanted."""
    if error is None:
        return DONE
    return next((code for kinds, code in CODES if isinstance(error, kinds)), FAILED)
