"""What the service knows: quotes, bookings and how far each is, in memory and by the clock it is given."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

MAX_QUOTES: Final = 10_000
MAX_BOOKINGS: Final = 10_000
QUOTE_S: Final = 120.0
PRODUCTS: Final = (("City", 100, 3), ("Comfort", 145, 5), ("Van", 190, 8))
DRIVERS: Final = (
    ("Mina", "blue hatchback, AG 20-34"),
    ("Otis", "grey estate, AG 77-01"),
    ("Rosa", "white van, AG 5-55"),
)
DECIMALS: Final = {"EUR": 2, "USD": 2, "GBP": 2, "CHF": 2, "JPY": 0}
STAGES: Final = ("ACCEPTED", "ARRIVED", "UNDERWAY", "COMPLETED")
# How many paces after it was booked each stage begins.
BEGINS: Final = (0.0, 1.0, 2.0, 4.0)


class RefusedError(Exception):
    """The service will not; `reason` is its word for programs."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer between two places."""

    id: str
    product: str
    pickup: str
    dropoff: str
    fare: int
    currency: str
    pickup_minutes: int
    expires_at: datetime

    @property
    def max_fare(self) -> int:
        """A fifth more than what it should cost."""
        return self.fare + self.fare // 5

    def json(self) -> dict[str, Any]:
        """As it is answered."""
        return {
            "id": self.id,
            "product": self.product,
            "fare": {"minor_units": self.fare, "currency": self.currency},
            "max_fare": {"minor_units": self.max_fare, "currency": self.currency},
            "pickup_minutes": self.pickup_minutes,
            "expires_at": f"{self.expires_at.isoformat(timespec='milliseconds')}Z",
        }


@dataclass(slots=True)
class Booking:
    """One ride under the reference of whoever booked it. `stage` is set by hand where the clock does not move it."""

    reference: str
    quote: Quote
    booked_at: datetime
    cancelled: bool = False
    stage: str | None = None
    fare: int | None = None


@dataclass(slots=True)
class Rides:
    """All quotes and bookings; each stage lasts `pace_s` seconds, or until it is set by hand where that is 0."""

    now: Callable[[], datetime]
    pace_s: float
    quotes: OrderedDict[str, Quote] = field(default_factory=OrderedDict)
    bookings: OrderedDict[str, Booking] = field(default_factory=OrderedDict)
    called_off: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def offer(self, pickup: str, dropoff: str, currency: str) -> list[Quote]:
        """One quote a product; the same two places are always as far apart."""
        if currency not in DECIMALS:
            raise RefusedError(422, "UNKNOWN_CURRENCY")
        digest = hashlib.sha256(f"{pickup}\x1f{dropoff}".encode()).digest()
        tenths = 20 + digest[0] % 130
        made = [
            Quote(
                f"q_{secrets.token_hex(8)}",
                product,
                pickup,
                dropoff,
                max(1, (300 + 15 * tenths) * percent * 10 ** DECIMALS[currency] // 10_000),
                currency,
                minutes,
                self.now() + timedelta(seconds=QUOTE_S),
            )
            for product, percent, minutes in PRODUCTS
        ]
        for quote in made:
            _keep(self.quotes, quote.id, quote, MAX_QUOTES)
        return made

    def quote(self, id: str) -> Quote:
        """The quote, while it is good."""
        if (found := self.quotes.get(id)) is None:
            raise RefusedError(404, "UNKNOWN_QUOTE")
        if found.expires_at <= self.now():
            raise RefusedError(410, "QUOTE_EXPIRED")
        return found

    def book(self, reference: str, quote_id: str) -> Booking:
        """The booking under this reference, made now unless it was before."""
        if (found := self.bookings.get(reference)) is None:
            quote = self.quote(quote_id)
            found = Booking(reference, quote, self.now(), cancelled=reference in self.called_off)
            _keep(self.bookings, reference, found, MAX_BOOKINGS)
        return found

    def cancel(self, reference: str, quote_id: str) -> Booking:
        """Call it off: free until the car is there, then too late. One that was never booked never will be."""
        _keep(self.called_off, reference, None, MAX_BOOKINGS)
        if (found := self.bookings.get(reference)) is None:
            nothing = Quote(quote_id, "", "", "", 0, "EUR", 0, self.now())
            return Booking(reference, nothing, self.now(), cancelled=True)
        if not found.cancelled and self.stage(found) in ("UNDERWAY", "COMPLETED"):
            raise RefusedError(409, "TOO_LATE")
        found.cancelled = True
        return found

    def stage(self, booking: Booking) -> str:
        """How far it is."""
        if booking.cancelled:
            return "CANCELLED"
        if booking.stage is not None or self.pace_s <= 0:
            return booking.stage or STAGES[0]
        paces = (self.now() - booking.booked_at).total_seconds() / self.pace_s
        return [stage for stage, begins in zip(STAGES, BEGINS, strict=True) if begins <= paces][-1]

    def json(self, booking: Booking) -> dict[str, Any]:
        """As it is answered."""
        stage, quote = self.stage(booking), booking.quote
        driver, vehicle = DRIVERS[int(hashlib.sha256(booking.reference.encode()).hexdigest(), 16) % len(DRIVERS)]
        fare = booking.fare if booking.fare is not None else quote.fare
        left = {"ACCEPTED": quote.pickup_minutes, "ARRIVED": 0, "UNDERWAY": 7}.get(stage)
        return {
            "reference": booking.reference,
            "state": stage,
            "pickup": quote.pickup,
            "dropoff": quote.dropoff,
            "driver": driver if stage != "CANCELLED" else None,
            "vehicle": vehicle if stage != "CANCELLED" else None,
            "minutes_left": left,
            "fare": {"minor_units": fare, "currency": quote.currency} if stage == "COMPLETED" else None,
        }


def _keep(kept: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
