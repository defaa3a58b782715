"""The tables of a file that says what to run, and what may stand in them. Pure."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from .config import Mode
from .risk import RiskLimits

__all__ = [
    "BrokerSection",
    "DataSection",
    "DemoSection",
    "RunConfig",
    "RunSection",
    "Section",
    "StoreSection",
    "StrategySection",
]


def _moment(value: object) -> date:
    """A trading day, or Beijing time."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, date) or getattr(found, "tzinfo", None) is not None:
        raise ValueError("trading day 2025-09-16 or Beijing time 2025-09-15T21:00:00")
    return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else found


Moment = Annotated[date, PlainValidator(_moment)]


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StrategySection(Section):
    """path: "package.module:Class" or "file.py:Class"; params: of the strategy."""

    path: str
    params: dict[str, Any] = {}


class DataSection(Section):
    """A feed, as `TqStore.getdata` takes it; roll: as `TqStore.roll`; name: Backtrader's."""

    symbol: str
    timeframe: Literal["ticks", "seconds", "minutes", "days"] = "minutes"
    compression: int = 1
    history: int = 10_000
    flat: bool = True
    roll: Literal["notify", "auto"] | None = None
    name: str | None = None


class BrokerSection(Section):
    """Parameters of `TqBroker`."""

    execution: Literal["direct", "target"] = "direct"
    policy: str = "net"
    market_ticks: int = 2
    close_lead_s: float = 30.0
    holds_closed: bool = True
    adopt: bool = False
    target_price: str = "ACTIVE"
    min_volume: int | None = None
    max_volume: int | None = None


class StoreSection(Section):
    """Where to trade. alerts_env: the variable that holds the addresses of alarms."""

    mode: Mode | None = None
    journal: Path | None = None
    env_file: Path | None = None
    alerts_env: str | None = None
    holidays: Path | None = None
    auth_url: str | None = None
    md_url: str | None = None
    td_url: str | None = None
    grace_s: float = 0.5


class DemoSection(Section):
    """The embedded exchange of mode demo, as `LocalExchange`; speed 0: lock-step."""

    replay: list[Path] = []
    start: Moment | None = None
    end: Moment | None = None
    speed: float = Field(default=0.0, ge=0)
    seed: int = 1
    instruments: Path | None = None
    ticks_per_minute: int | None = None
    balance_cny: float = Field(default=10_000_000.0, gt=0)


class RunSection(Section):
    """The end of a run. flatten: close all positions; deadline_s: how long that may take."""

    flatten: bool = False
    deadline_s: float = Field(default=20.0, ge=0)


class RunConfig(Section):
    """One account's run. `name`: of the account, empty where the file has no accounts."""

    strategy: StrategySection
    data: list[DataSection] = Field(min_length=1)
    broker: BrokerSection = BrokerSection()
    risk: dict[str, Any] | None = None  # fields of `RiskLimits`, which checks them
    store: StoreSection = StoreSection()
    demo: DemoSection | None = None
    run: RunSection = RunSection()
    name: str = Field(default="", exclude=True)

    def limits(self) -> RiskLimits | None:
        """`[risk]` as the broker takes it; None without one. Raises `WrongSetting`."""
        return None if self.risk is None else RiskLimits(**self.risk)
