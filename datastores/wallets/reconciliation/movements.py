"""Money that moved, as one of the three sides has it in its books, and sums of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from datastores.mongo import Document
from datastores.wallets.rails import RailDirection


@dataclass(frozen=True, slots=True)
class Movement:
    """What came IN or went OUT, on which day; `minor_units` is of each where it happened `count` times.

    `counts` says whether it is among the sums of the day that is looked at.
    """

    direction: RailDirection
    minor_units: int
    currency: str
    day: str
    counts: bool
    count: int = 1

    def as_document(self) -> Document:
        """As a report shows it; amounts are text, since sums may pass 64 bits."""
        return {
            "direction": self.direction.value,
            "minor_units": str(self.minor_units * self.count),
            "currency": self.currency,
            "day": self.day,
            "count": self.count,
        }


class Totals:
    """Counts and sums in minor units, by currency and direction."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, RailDirection], tuple[int, int]] = {}

    def add(self, currency: str, direction: RailDirection, count: int, minor_units: int) -> None:
        """Add so many movements of this much together."""
        had = self._sums.get((currency, direction), (0, 0))
        self._sums[currency, direction] = (had[0] + count, had[1] + minor_units)

    def add_movements(self, movements: Iterable[Movement]) -> None:
        """Add those that count."""
        for each in movements:
            if each.counts:
                self.add(each.currency, each.direction, each.count, each.count * each.minor_units)

    @property
    def count(self) -> int:
        """How many movements there are in all."""
        return sum(count for count, _ in self._sums.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Totals) and self._nonzero() == other._nonzero()

    __hash__ = None  # type: ignore[assignment]

    def of(self, currency: str, direction: RailDirection) -> tuple[int, int]:
        """The count and the sum of one currency and direction."""
        return self._sums.get((currency, direction), (0, 0))

    @property
    def currencies(self) -> set[str]:
        """Those of which there is anything."""
        return {currency for currency, _ in self._nonzero()}

    def as_document(self, currency: str) -> Document:
        """What came and went in a currency; amounts are text, since sums may pass 64 bits."""
        parts = {direction: self.of(currency, direction) for direction in RailDirection}
        return {name.value.lower(): {"count": n, "minor_units": str(sum)} for name, (n, sum) in parts.items()}

    def _nonzero(self) -> dict[tuple[str, RailDirection], tuple[int, int]]:
        return {key: value for key, value in self._sums.items() if value != (0, 0)}


def day_of(time: datetime) -> str:
    """The UTC day of a time, such as `2026-01-31`."""
    return time.date().isoformat()
