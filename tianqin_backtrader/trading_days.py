"""The store's calendar of trading days, and what is done where its days end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

from .calendar import KnownDays, parse_holidays, read_holidays, shanghai_calendar, warning_text
from .errors import BadCalendarFile, RetryableError
from .sessions import beijing_date

__all__ = ["TradingDays"]

logger = logging.getLogger(__name__)


class TradingDays:
    """Trading days: of the Shanghai exchange, of the user's file, of TqSdk's list, or weekdays.

    `holidays`: the user's file, see `calendar.read_holidays`. Raises `BadCalendarFile`.
    """

    def __init__(self, holidays: Path | None) -> None:
        self._listed = None if holidays is None else read_holidays(holidays)
        self._calendar: KnownDays | None = None
        self._has_fetched = False
        self._looked_at: date | None = None

    @property
    def calendar(self) -> KnownDays:
        """The days that are known by now; weekdays beyond them."""
        if self._calendar is None:
            self._calendar = shanghai_calendar()
            if self._listed is not None:
                self._calendar = self._calendar.with_holidays(self._listed)
        return self._calendar

    def prepare(self, day: date, fetch: Callable[[], Iterable[object]]) -> None:
        """Before sessions are made: where known days end soon after `day`, fetch TqSdk's list.

        Asks once; a list that cannot be had is logged, and the warning of `warning` stands.
        """
        if self._has_fetched or warning_text(self.calendar, day) is None:
            return
        self._has_fetched = True
        try:
            self._calendar = self.calendar.with_holidays(parse_holidays(fetch(), "TqSdk's list"))
        except (BadCalendarFile, RetryableError) as error:
            logger.warning("TqSdk's list of holidays is not to be had: %s", error)

    def warning(self, market_ns: int) -> str | None:
        """What to warn of at this market time, said once; None: nothing."""
        if not market_ns:
            return None
        day = beijing_date(market_ns)
        if self._looked_at is not None and day <= self._looked_at:
            return None
        text = warning_text(self.calendar, day)
        self._looked_at = day if text is None else date.max
        return text
