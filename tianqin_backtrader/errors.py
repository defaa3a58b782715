"""Every error of the package, one tree, grouped by what the caller must do.

    TianqinError
    ├── ConfigError       mend what you passed in: mode, symbol, credentials, file, timeframe
    ├── OrderError        mend the order: nothing was sent
    ├── RetryableError    wait and try again: network, gateway
    └── StopError         stop: going on could cost money

Messages say what arrived, what was expected and the remedy. No message holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = [
    "BadCalendarFile",
    "BadConfigFile",
    "BadJournal",
    "BadPrice",
    "BadReplayFile",
    "BadStrategy",
    "BadTimeframe",
    "BadVolume",
    "ConfigError",
    "ExpiredSymbol",
    "GatewayTimeout",
    "InvalidOrder",
    "JournalFailed",
    "JournalTaken",
    "LiveTradingRefused",
    "LoginRefused",
    "MissingCredentials",
    "NotFlat",
    "NotStarted",
    "NotWrittenDown",
    "OrderError",
    "RetryableError",
    "SessionElsewhere",
    "StopError",
    "TianqinError",
    "UnknownProduct",
    "UnknownSymbol",
    "WrongMode",
    "WrongSetting",
]


class TianqinError(Exception):
    """Base of every error that the package raises on purpose."""


class ConfigError(TianqinError, ValueError):
    """What was passed in cannot work: mend it and start again."""


class OrderError(TianqinError, ValueError):
    """An order cannot be sent as written; nothing was sent."""


class RetryableError(TianqinError):
    """The network or the gateway failed for now: try again later."""


class StopError(TianqinError):
    """Going on could cost money: stop and look."""


class WrongSetting(ConfigError):
    """A setting has a value that cannot work."""

    def __init__(self, name: str, arrived: object, expected: str) -> None:
        self.name, self.arrived = name, arrived
        super().__init__(f"{name} is {arrived!r}; expected {expected}")


class WrongMode(WrongSetting):
    """No such mode."""

    def __init__(self, arrived: object, known: Iterable[str]) -> None:
        super().__init__("mode", arrived, f"one of {', '.join(known)}")


class MissingCredentials(ConfigError):
    """The mode needs credentials that the environment does not hold."""

    def __init__(self, mode: str, variables: Iterable[str]) -> None:
        self.variables = tuple(variables)
        super().__init__(
            f"mode {mode!r} needs credentials and {', '.join(self.variables)} is not set; "
            "put it in the environment or in a .env file"
        )


class UnknownSymbol(ConfigError):
    """The exchange lists no such contract."""

    def __init__(self, symbol: object, hint: str = "") -> None:
        self.symbol = symbol
        super().__init__(
            f"no contract {symbol!r}; expected EXCHANGE.contract in the exchange's own writing, "
            f"such as 'SHFE.cu2512', 'CZCE.SR601' or 'KQ.m@SHFE.cu'{'; ' + hint if hint else ''}"
        )


class UnknownProduct(ConfigError):
    """The exchanges list no contract of such a product."""

    def __init__(self, product: object) -> None:
        self.product = product
        super().__init__(
            f"no product {product!r}; expected one in its exchange's own writing, such as 'cu', "
            "'SHFE.cu', 'CZCE.SR' or 'CFFEX.IF'"
        )


class ExpiredSymbol(ConfigError):
    """The contract has had its last trading day."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        super().__init__(
            f"{symbol} has expired; trade a listed contract, or the main contract of its product "
            "('KQ.m@SHFE.cu'); its past is in recorded files"
        )


class BadTimeframe(WrongSetting):
    """The feed cannot build bars of this timeframe."""

    def __init__(self, arrived: object, expected: str) -> None:
        super().__init__("timeframe", arrived, expected)


class BadReplayFile(ConfigError):
    """A replay file cannot be read as market records."""

    def __init__(self, path: str | Path, arrived: str, expected: str) -> None:
        self.path = Path(path)
        super().__init__(f"{Path(path).name}: {arrived}; expected {expected}")


class BadCalendarFile(ConfigError):
    """A list of holidays cannot be read."""

    def __init__(self, source: str | Path, arrived: str, expected: str) -> None:
        self.source = str(source)
        super().__init__(f"{Path(source).name}: {arrived}; expected {expected}")


class BadConfigFile(ConfigError):
    """A file that says what to run cannot be read, or says what cannot work."""

    def __init__(self, path: str | Path, arrived: str, expected: str) -> None:
        self.path = Path(path)
        super().__init__(f"{Path(path).name}: {arrived}; expected {expected}")


class BadStrategy(ConfigError):
    """There is no strategy where the configuration says."""

    def __init__(self, where: str, arrived: str, expected: str) -> None:
        self.where = where
        super().__init__(f"strategy {where}: {arrived}; expected {expected}")


class BadJournal(ConfigError):
    """A file cannot be read as a journal of orders."""

    def __init__(self, path: str | Path, arrived: str, expected: str) -> None:
        self.path = Path(path)
        super().__init__(f"journal {path} {arrived}; expected {expected}")


class InvalidOrder(OrderError):
    """The order contradicts the account or the exchange's rules."""


class BadVolume(InvalidOrder):
    """The volume is no whole number of lots the exchange takes."""

    def __init__(self, symbol: str, volume: object, expected: str) -> None:
        self.symbol, self.volume = symbol, volume
        super().__init__(f"volume {volume!r} for {symbol}; expected {expected}")


class BadPrice(InvalidOrder):
    """The price is off the tick grid or beyond the day's limits."""

    def __init__(self, symbol: str, price: object, expected: str) -> None:
        self.symbol, self.price = symbol, price
        super().__init__(f"price {price!r} for {symbol}; expected {expected}")


class NotWrittenDown(OrderError):
    """The journal cannot be written: no order is sent that it does not hold."""


class GatewayTimeout(RetryableError):
    """The gateway did not answer in time."""


class LoginRefused(StopError):
    """The gateway refused the login."""


class LiveTradingRefused(StopError):
    """A live order or session lacks one of the things that must be said on purpose."""


class JournalTaken(StopError):
    """Another writer has the journal: two of them would send orders twice."""

    def __init__(self, path: str | Path, owner: str) -> None:
        self.path, self.owner = Path(path), owner
        super().__init__(
            f"journal {path} is being written by {owner}; expected one writer of an account; "
            "stop the other one first"
        )


class JournalFailed(StopError):
    """The journal could not be written or read back; what was to follow must not be sent."""

    def __init__(self, path: str | Path, what: str, error: object, remedy: str) -> None:
        self.path, self.what = Path(path), what
        super().__init__(f"journal {path}: {what} ({error}); {remedy}")


class NotFlat(StopError):
    """The run ended with positions that were to be closed."""

    def __init__(self, left: Mapping[str, str], why: str) -> None:
        self.left = dict(left)
        held = "; ".join(f"{symbol}: {lots}" for symbol, lots in self.left.items())
        reason = why or "they could not be closed in time, or the market is closed"
        super().__init__(f"the account still holds {held} ({reason}); close them by hand")


class NotStarted(StopError):
    """The store has no session: it was never started, or it was stopped."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs a running store; call store.start() first, or let cerebro.run() do it"
        )


class SessionElsewhere(StopError):
    """The store's session lives in the thread of a background run: no other thread may use it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: this store's session belongs to a run in the background; use the run's own "
            "status(), positions() and call(...), or stop() it first"
        )
