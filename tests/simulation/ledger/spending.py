"""The rules of limits: what has left a wallet on which day, and how much more may."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

# Of people whom nobody knows, in minor units; by design the same in cents of a euro and in whole yen.
PER_TRANSACTION: Final = 5_000
PER_DAY: Final = 10_000
PER_30_DAYS: Final = 15_000
MAX_BALANCE: Final = 15_000
DAYS: Final = 30
LIMIT: Final = "LIMIT_EXCEEDED"


@dataclass
class Spending:
    """What has left one wallet: by the entry that began it, its day and how much of it was not given back."""

    of: dict[str, tuple[date, int]] = field(default_factory=dict)

    def add(self, entry_id: str, at: datetime, amount: int) -> None:
        """So much has left."""
        self.of[entry_id] = (at.date(), amount)

    def give_back(self, entry_id: str, amount: int) -> None:
        """So much of what was reserved has come back."""
        if entry_id in self.of:
            day, left = self.of[entry_id]
            self.of[entry_id] = (day, left - amount)

    def refusal(self, amount: int, at: datetime) -> str | None:
        """The code and window of the limit that so much more would pass, or None."""
        today = at.date()
        if amount > PER_TRANSACTION:
            return f"{LIMIT} transaction"
        if self._sum(today, today) + amount > PER_DAY:
            return f"{LIMIT} day"
        if self._sum(today - timedelta(days=DAYS - 1), today) + amount > PER_30_DAYS:
            return f"{LIMIT} 30 days"
        return None

    def by_day(self) -> dict[str, int]:
        """How much has left on each day, as an account keeps it."""
        found: dict[str, int] = {}
        for day, amount in self.of.values():
            found[day.isoformat()] = found.get(day.isoformat(), 0) + amount
        return found

    def _sum(self, first: date, last: date) -> int:
        return sum(amount for day, amount in self.of.values() if first <= day <= last)
