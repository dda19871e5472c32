"""Placing an order: the stock is reserved and the order numbered in one commit, or the refusal is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from datastores.commit import Read, Work, by_id
from datastores.errors import ExpectedError, ForbiddenError, NotFoundError, OutOfStockError, PriceChangedError
from datastores.ledger import Command, Entry, Money, Outcome, append_refusal, ledger_time, money, stored_outcome
from datastores.ledger.entries import ENTRIES

from .listings import LISTINGS, ListingState, add_stock
from .orders import ORDERS, OrderDocument, OrderEventKind, OrderLineDocument, OrderState, change_reads, record

UNPAID_FOR: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A line that a buyer asks for: so many of a listing, each at the price that they saw."""

    listing_id: str
    quantity: int
    expected_unit_price: Money


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about an order: the ledger's outcome, and the order as it is now, None where it was refused."""

    outcome: Outcome
    order: OrderDocument | None

    def accepted(self) -> OrderDocument:
        """The order; raises the error that was decided on, the same at every replay."""
        self.outcome.accepted()
        if self.order is None:
            raise NotFoundError("There is no such order")
        return self.order


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Reserves stock for an order, or keeps the refusal under the buyer's key; the first that holds of

    1. NotFoundError: a listing is unknown or hidden; 2. ForbiddenError: it is the buyer's own (both keep nothing);
    3. PRICE_CHANGED, 4. OUT_OF_STOCK: of the first such line; detail `listing_id`.
    """

    command: Command
    buyer_id: str
    merchant_id: str
    merchant_owner_id: str
    conversation_id: str
    lines: tuple[Wanted, ...]

    @property
    def order_id(self) -> str:
        """The id that the order of this key has."""
        return self.command.id("ord")

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        listings = by_id(LISTINGS, *(line.listing_id for line in self.lines))
        yield [*change_reads(self.command, self.order_id, self.buyer_id, self.merchant_owner_id), listings]

    def decide(self, work: Work) -> Decided:
        if (stored := stored_outcome(work, self.command)) is not None:
            return Decided(stored, cast("OrderDocument | None", work.get(ORDERS, self.order_id)))
        listings = [work.get(LISTINGS, line.listing_id) for line in self.lines]
        if any(each is None or not each["public"] or each["merchant_id"] != self.merchant_id for each in listings):
            raise NotFoundError("There is no such listing")
        if self.buyer_id == self.merchant_owner_id:
            raise ForbiddenError("Nobody buys from themselves")
        found = cast("list[dict[str, Any]]", listings)
        if (error := _refusal(self.lines, found)) is not None:
            return Decided(append_refusal(work, self.command, error), None)
        for line in self.lines:
            add_stock(work, line.listing_id, -line.quantity)
        now = ledger_time(work)
        total = sum(line.quantity * line.expected_unit_price["minor_units"] for line in self.lines)
        order: OrderDocument = {
            "_id": self.order_id,
            "state": OrderState.PLACED.value,
            "buyer_id": self.buyer_id,
            "merchant_id": self.merchant_id,
            "merchant_owner_id": self.merchant_owner_id,
            "lines": [_line(line, listing) for line, listing in zip(self.lines, found, strict=True)],
            "total": money(total, self.lines[0].expected_unit_price["currency"]),
            "conversation_id": self.conversation_id,
            "transfer_id": None,
            "created_at": now,
            "due_at": now + UNPAID_FOR,
            "paid_at": None,
            "shipped_at": None,
            "completed_at": None,
            "numbers": {},
        }
        work.insert(ORDERS, cast("dict[str, Any]", order))
        placed = record(work, self.command, order, OrderEventKind.PLACED, self.buyer_id)
        return Decided(Outcome(cast(Entry, work.get(ENTRIES, self.command.entry_id))), placed)


def _refusal(lines: Sequence[Wanted], listings: Sequence[dict[str, Any]]) -> ExpectedError | None:
    for line, listing in zip(lines, listings, strict=True):
        if dict(listing["price"]) != dict(line.expected_unit_price):
            text = f"The price of “{listing['title']}” is not the one that you saw"
            return PriceChangedError(text, listing_id=line.listing_id)
    for line, listing in zip(lines, listings, strict=True):
        if listing["state"] != ListingState.ACTIVE:
            return OutOfStockError(f"“{listing['title']}” cannot be ordered now", listing_id=line.listing_id)
        if listing["stock"] is not None and listing["stock"] < line.quantity:
            text = f"Of “{listing['title']}” only {listing['stock']} are left"
            return OutOfStockError(text, listing_id=line.listing_id)
    return None


def _line(line: Wanted, listing: dict[str, Any]) -> OrderLineDocument:
    return {
        "listing_id": line.listing_id,
        "title": listing["title"],
        "quantity": line.quantity,
        "unit_price": line.expected_unit_price,
        "reserved": 0 if listing["stock"] is None else line.quantity,
    }
