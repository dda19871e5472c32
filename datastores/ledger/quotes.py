"""Quotes: what an amount is worth in another currency, and how that is promised to one person for a short time.

The amount that was asked for is exact. The other is rounded to whole minor units: down where the customer gets it, up
where they give it. The exchange account moves by the exact worth rounded to the nearest (half to even), so that nobody
earns by rounding; what is between the two, 0 or 1 minor unit, goes to the rounding account of that currency.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel

from datastores.errors import ValidationError
from datastores.ids import new_id
from datastores.mongo import Database

from .currencies import EXPONENTS, MAX_MINOR_UNITS, Money, money

QUOTES: Final = "quotes"
VALID_FOR_S: Final = 30
KEPT_S: Final = 3_600
MAX_RATE_DIGITS: Final = 30

# One that was used stays, for the entry that names it; the others are forgotten an hour after their end.
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    QUOTES: [
        IndexModel(
            [("expires_at", ASCENDING)],
            expireAfterSeconds=KEPT_S,
            partialFilterExpression={"is_open": True},
            name="open_expires",
        )
    ],
}


@dataclass(frozen=True, slots=True)
class Rate:
    """How many units of one currency a unit of another is worth, at a time, as `source` says it.

    Raises ValueError unless it is finite, above zero, and has at most 30 digits on either side of its point.
    """

    value: Decimal
    as_of: datetime
    source: str

    def __post_init__(self) -> None:
        parts = self.value.as_tuple()
        size = isinstance(parts.exponent, int) and max(len(parts.digits), abs(parts.exponent))
        if size is False or size > MAX_RATE_DIGITS or self.value <= 0:
            raise ValueError(f"{self.value} is no rate")


@dataclass(frozen=True, slots=True)
class Swap:
    """Minor units: what the customer sells and buys, and what the exchange accounts take and give for it."""

    sold: int
    bought: int
    taken: int
    given: int


class QuoteDocument(TypedDict):
    """A quote: `sell` without the `fee`, which is paid on top; `rate` is a decimal number, units of `buy` a unit of
    `sell`. `taken` and `given` are what the exchange accounts get and give, in minor units of `sell` and of `buy`.
    """

    _id: str
    owner_id: str
    sell: Money
    buy: Money
    fee: Money
    rate: str
    rate_as_of: datetime
    rate_source: str
    taken: int
    given: int
    created_at: datetime
    expires_at: datetime
    is_open: bool
    used_by: str | None


def swapped(rate: Decimal, sell: str, buy: str, *, sold: int | None = None, bought: int | None = None) -> Swap:
    """What `sold` minor units bring at this rate, or what `bought` cost; one of the two is given, and above zero.

    `rate` is how many units of `buy` a unit of `sell` is worth. Raises ValidationError where that is less than one
    minor unit, or more than 64 bits hold.
    """
    worth = Fraction(rate) * Fraction(10) ** (EXPONENTS[buy] - EXPONENTS[sell])
    if sold is not None:
        exact = sold * worth
        swap = Swap(sold, math.floor(exact), sold, round(exact))
    else:
        exact = (bought or 0) / worth
        swap = Swap(math.ceil(exact), bought or 0, round(exact), bought or 0)
    if swap.bought < 1:
        raise ValidationError(f"This is worth less than the smallest amount of {buy}")
    if max(swap.sold, swap.given) > MAX_MINOR_UNITS:
        raise ValidationError("The amount is too large")
    return swap


async def add_quote(
    database: Database, owner_id: str, sell: str, buy: str, *, rate: Rate, swap: Swap, fee: int, now: datetime
) -> QuoteDocument:
    """A new quote for selling one currency and buying another, good for 30 seconds from `now`."""
    quote: QuoteDocument = {
        "_id": new_id("quo"),
        "owner_id": owner_id,
        "sell": money(swap.sold, sell),
        "buy": money(swap.bought, buy),
        "fee": money(fee, sell),
        "rate": format(rate.value, "f"),
        "rate_as_of": rate.as_of,
        "rate_source": rate.source,
        "taken": swap.taken,
        "given": swap.given,
        "created_at": now,
        "expires_at": now + timedelta(seconds=VALID_FOR_S),
        "is_open": True,
        "used_by": None,
    }
    await database.insert_one(QUOTES, {**quote})
    return quote


async def quotes_by_ids(database: Database, ids: Sequence[str]) -> list[QuoteDocument | None]:
    """For each id its quote or None, in the order of the ids; one read."""
    return cast("list[QuoteDocument | None]", await database.by_ids(QUOTES, ids))
