"""Whether a trading day has lost so much that trading stops. Pure.

Rules:
- The day's profit is the balance less what it was at the settlement before (deposits and
  withdrawals included), as the exchanges settle: close and position profit less commission.
- A drawdown is from the day's highest profit, as a part of the balance of that moment.
- What was noticed stands for the rest of the trading day, over restarts; whoever resumes begins to
  count anew from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .risk import Code, Refusal, RiskLimits
from .risk_counts import DayCounts
from .values import Account

__all__ = ["DayLosses"]

BASE, PEAK = "profit base", "profit peak"  # CNY
STOPPED = {Code.DAILY_LOSS: "stopped by daily loss", Code.DRAWDOWN: "stopped by drawdown"}  # CNY


class DayLosses:
    """Follows the account's money through a trading day."""

    def __init__(self, limits: RiskLimits, counts: DayCounts) -> None:
        self._limits, self._counts = limits, counts

    def look(self, account: Account, now_ns: int) -> None:
        """Take a picture of the account while the market trades. Raises `JournalFailed`."""
        profit = _profit(account)
        if math.isnan(profit):
            return
        known = self._counts.at(now_ns)
        base = known.get(BASE, 0.0)
        peak = max(known.get(PEAK, 0.0), profit)
        news = {PEAK: peak}
        if self.stop(now_ns) is None:
            news |= self._exceeded(account, base - profit, peak - profit)
        self._counts.put(now_ns, news)

    def _exceeded(self, account: Account, loss: float, fall: float) -> dict[str, float]:
        limits, top = self._limits, account.balance + fall
        if limits.daily_loss_cny is not None and loss >= limits.daily_loss_cny:
            return {STOPPED[Code.DAILY_LOSS]: loss}
        if limits.drawdown is not None and fall > 0 and fall >= limits.drawdown * top:
            return {STOPPED[Code.DRAWDOWN]: fall}
        return {}

    def stop(self, now_ns: int) -> Refusal | None:
        """Why this trading day's losses stop trading; None: they do not."""
        known = self._counts.at(now_ns)
        loss, fall = known.get(STOPPED[Code.DAILY_LOSS], 0), known.get(STOPPED[Code.DRAWDOWN], 0)
        if loss:
            most = f"{self._limits.daily_loss_cny or 0:,.0f} CNY (daily_loss_cny)"
            return Refusal(Code.DAILY_LOSS, self._text(f"lost {loss:,.0f} CNY", most))
        if fall:
            most = f"{self._limits.drawdown or 0:.2%} (drawdown)"
            return Refusal(Code.DRAWDOWN, self._text(f"fell {fall:,.0f} CNY from its peak", most))
        return None

    def _text(self, what: str, most: str) -> str:
        until = "until the next trading day, or broker.resume()"
        return f"on {self._counts.day} the account {what}; the limit is {most}: {until}"

    def resume(self, account: Account, now_ns: int) -> None:
        """Count anew from the money of this moment. Raises `JournalFailed`."""
        if self.stop(now_ns) is not None:
            profit = _profit(account)
            anew: Mapping[str, float] = {BASE: profit, PEAK: profit}
            self._counts.put(now_ns, dict.fromkeys(STOPPED.values(), 0.0) | dict(anew))


def _profit(account: Account) -> float:
    """The trading day's profit, CNY; NaN when the account does not say."""
    before = account.static_balance
    if math.isnan(before):
        before = account.pre_balance + account.deposit - account.withdraw
    return account.balance - before
