"""A run as a configuration describes it: store, broker, feeds and strategy put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import backtrader as bt
from dotenv import dotenv_values

from .beijing import beijing_datetime
from .config import Settings, journal_path, load_settings
from .errors import BadConfigFile, NotStarted, WrongSetting
from .run_sections import RunConfig, StoreSection
from .sim import LocalExchange
from .store import TqStore
from .strategies import check_params, load_strategy

__all__ = ["Heard", "environment_of", "journal_of", "open_store", "run_program", "settings_of"]

TIMEFRAMES = {
    "ticks": bt.TimeFrame.Ticks,
    "seconds": bt.TimeFrame.Seconds,
    "minutes": bt.TimeFrame.Minutes,
    "days": bt.TimeFrame.Days,
}


@dataclass(frozen=True)
class Heard:
    """Who hears how a run goes: `line` what happens, `bar` (time, text) where it stands."""

    line: Callable[[datetime | None, str], None]
    bar: Callable[[datetime, str], None]


@contextmanager
def environment_of(config: RunConfig) -> Iterator[None]:
    """The environment with the variables of the account's `env_file`, which go first."""
    before = dict(os.environ)
    path = config.store.env_file
    if path is not None and not path.is_file():
        raise BadConfigFile(path, "there is no such file", "the account's variables (env_file)")
    found = {} if path is None else dotenv_values(path, encoding="utf-8")
    os.environ.update({name: value for name, value in found.items() if value is not None})
    try:
        yield
    finally:
        for name in found:
            os.environ.pop(name, None)
        os.environ.update(before)


def settings_of(config: RunConfig) -> Settings:
    """The settings of a run, within its environment. Raises a `ConfigError`."""
    store = config.store
    names = ("mode", "journal", "holidays", "auth_url", "md_url", "td_url")
    return load_settings(**{name: getattr(store, name) for name in names})


def journal_of(config: RunConfig) -> Path:
    """Where the run writes its journal. Raises `WrongSetting` for one in memory."""
    if config.store.journal is not None:
        return config.store.journal
    with environment_of(config):
        path = journal_path(settings_of(config))
    if path is None:
        where = f"journal of {config.name or 'the run'}"
        raise WrongSetting(where, "in memory", 'a file: journal = "name.sqlite" in [store]')
    return path


def open_store(config: RunConfig, confirm: Sequence[str] = ()) -> TqStore:
    """The store of a run, within its environment. confirm: accounts that may trade live."""
    settings = settings_of(config)
    options: dict[str, Any] = {}
    if settings.mode == "demo" and settings.md_url is None:
        options["exchange"] = _exchange(config)
    if confirm:
        ours = settings.account_id
        options["confirm_live"] = ours if ours in confirm else confirm[0]
    if config.store.alerts_env is not None:
        options["alerts"] = _alerts(config.store)
    urls = {name: getattr(settings, name) for name in ("auth_url", "md_url", "td_url", "holidays")}
    return TqStore(
        settings.mode, journal=settings.journal, grace_s=config.store.grace_s, **urls, **options
    )


def run_program(
    config: RunConfig, folder: Path, heard: Heard, confirm: Sequence[str] = ()
) -> bt.Strategy:
    """Run to the end of the market, or until a signal; returns the strategy.

    folder: where modules are looked for. Raises what the strategy raises, and our errors.
    """
    strategy = load_strategy(config.strategy.path, folder)
    check_params(strategy, config.strategy.params)
    with environment_of(config), open_store(config, confirm) as store:
        cerebro = bt.Cerebro(tz=0, quicknotify=True, stdstats=False)
        broker = config.broker.model_dump()
        cerebro.setbroker(store.getbroker(risk=config.limits(), **broker))
        for each in config.data:
            _add_data(cerebro, store, each)
        cerebro.addstrategy(strategy, **config.strategy.params)
        cerebro.addanalyzer(Watch, _name="watch", heard=heard, now=lambda: _now(store))
        cerebro.addstorecb(lambda what, *args, **_: heard.line(_now(store), _notice(what, args)))
        end = config.run
        found = store.run(cerebro, flatten=end.flatten, deadline_s=end.deadline_s)
        return cast("bt.Strategy", found[0])


def _exchange(config: RunConfig) -> LocalExchange:
    demo = config.demo
    if demo is None:
        return LocalExchange()
    given = {name: getattr(demo, name) for name in demo.model_fields_set}
    return LocalExchange(**{**given, "speed": demo.speed or None})


def _alerts(store: StoreSection) -> list[str]:
    value = os.environ.get(store.alerts_env or "", "")
    if not value:
        raise WrongSetting("alerts_env", store.alerts_env, "a variable that holds addresses")
    return value.replace(",", " ").split()


def _add_data(cerebro: bt.Cerebro, store: TqStore, section: Any) -> None:
    timeframe = TIMEFRAMES[section.timeframe]
    data = store.getdata(
        section.symbol, timeframe, section.compression, section.history, flat=section.flat
    )
    if section.roll is not None:
        store.roll(data, section.roll)
    cerebro.adddata(data, name=section.name)


class Watch(bt.Analyzer):
    """Tells `heard` of bars and orders, in market time."""

    params = (("heard", None), ("now", None))

    def __init__(self) -> None:
        self.bars = self.history = self.fills = 0
        self.orders: set[int] = set()
        self._told: dict[int, str] = {}

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        if getattr(self.data, "history_phase", False):
            self.history += 1
            return
        self.bars += 1
        now = self.data.datetime.datetime(0)
        self.p.heard.bar(now, f"{self._shown(self.data)}  value {self._value():,.2f}")

    def _shown(self, data: Any) -> str:
        lots = self.strategy.getposition(data).size
        return f"{data._name or data.symbol} {data.close[0]:g}  {lots:+g} lots"

    def _value(self) -> float:
        return float(self.strategy.broker.getvalue())

    def notify_order(self, order: bt.Order) -> None:
        self.orders.add(order.ref)
        reason = str(order.info.get("reason") or "")
        text = f"order {order.ref} {_asked(order)} {order.getstatusname()}"
        text += f": {reason}" if reason else ""
        if order.status > bt.Order.Submitted and self._told.get(order.ref) != text:
            self._told[order.ref] = text
            self.p.heard.line(self.p.now(), text)
        for bit in order.executed.iterpending():
            self.fills += 1
            side = "bought" if bit.size > 0 else "sold"
            text = f"order {order.ref} {side} {abs(bit.size):g} at {bit.price:g}"
            self.p.heard.line(self.p.now(), text)

    def get_analysis(self) -> dict[str, int]:
        counts = {"bars": self.bars, "history": self.history, "orders": len(self.orders)}
        return {**counts, "fills": self.fills}


def _asked(order: bt.Order) -> str:
    name = getattr(order.data, "contract", "") or order.data._name
    kind, side = order.getordername().lower(), order.ordtypename().lower()
    is_priced = order.exectype not in (bt.Order.Market, bt.Order.Close)
    price = f" {order.created.price:g}" if is_priced and order.created.price else ""
    return f"{side} {abs(order.created.size):g} {name} {kind}{price}"


def _now(store: TqStore) -> datetime | None:
    """Market time; None before the session stands, and after it."""
    try:
        return beijing_datetime(store.floor.now_ns)
    except NotStarted:
        return None


def _notice(notice: object, args: Sequence[object]) -> str:
    return " ".join([str(notice), *map(str, args[:1])])
