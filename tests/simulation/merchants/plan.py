"""The plan of the merchants' quarter: a shop with little stock, and what buyers and the seller come to want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from datastores.ledger.commands import SYSTEM
from datastores.merchants import ListingDocument, ListingKind, ListingState, OrderDocument, listing_document
from datastores.merchants import merchant_id as shop_of
from tests.simulation.storage import START

from .wishes import Kind, Wish

PRICES: Final = (3, 5, 8)
STOCKS: Final = (2, 5, None)
_NEXT: Final[Mapping[str, Kind]] = {"PLACED": Kind.PAY, "PAID": Kind.SHIP, "SHIPPED": Kind.COMPLETE}
_ANY: Final = (Kind.PAY, Kind.PAY, Kind.SHIP, Kind.COMPLETE, Kind.CANCEL, Kind.CANCEL, Kind.EXPIRE)


class Plan:
    """Says what is for sale, and what the next client wants."""

    def __init__(self, random: Random, people: Sequence[str]) -> None:
        self._random = random
        self._people = people
        self._count = 0
        self.seller = people[0]
        self.listings = [self._listing(price, stock) for price, stock in zip(PRICES, STOCKS, strict=True)]

    def next(self, orders: Sequence[OrderDocument], wishes: Sequence[Wish]) -> Wish:
        """A new wish, an earlier one again, or another one under an earlier key; `orders` are those that stand."""
        self._count += 1
        chance, random = self._random.random(), self._random
        if wishes and chance < 0.12:
            return random.choice(wishes)
        if chance < 0.17:
            return self._update()
        placed = [wish for wish in wishes if wish.kind is Kind.PLACE]
        if placed and chance < 0.22:
            earlier = random.choice(placed)
            return replace(self._place(), caller=earlier.caller, key=earlier.key)
        if chance < 0.24:
            # Perhaps a key that money moves under: there is one space of keys for all that a person does.
            return replace(self._place(), key=f"key{random.randint(1, 9)}")
        if not orders or chance < 0.36:
            return self._place()
        order = random.choice(orders[-3:])
        kind = _NEXT.get(order["state"]) if chance < 0.85 else None
        return self._about(order, kind or random.choice(_ANY))

    def _listing(self, price: int, stock: int | None) -> ListingDocument:
        return listing_document(
            merchant_id=shop_of(self.seller),
            seller_id=self.seller,
            title=f"At {price}",
            description="",
            category="things",
            kind=ListingKind.GOOD,
            price={"minor_units": price, "currency": "EUR"},
            stock=stock,
            created_at=START,
            random_bits=price,
        )

    def _place(self) -> Wish:
        random = self._random
        buyer = self.seller if random.random() < 0.05 else random.choice(self._people[1:])
        listings = random.sample(self.listings, random.choice((1, 1, 2)))
        lines = tuple((each["_id"], random.randint(1, 3), self._price(each)) for each in listings)
        return Wish(Kind.PLACE, buyer, self.seller, f"order{self._count}", lines)

    def _price(self, listing: ListingDocument) -> int:
        price = listing["price"]["minor_units"]
        return price + 1 if self._random.random() < 0.15 else price

    def _update(self) -> Wish:
        listing, random = self._random.choice(self.listings), self._random
        state = random.choice((ListingState.ACTIVE, ListingState.ACTIVE, ListingState.PAUSED))
        lines = ((listing["_id"], 0, self._price(listing)),)
        return Wish(Kind.UPDATE, self.seller, self.seller, lines=lines, state=state)

    def _about(self, order: OrderDocument, kind: Kind) -> Wish:
        caller, key = order["buyer_id"], f"pay{self._count}" if kind is Kind.PAY else ""
        if kind is Kind.SHIP or (kind is Kind.CANCEL and self._random.random() < 0.5):
            caller = self.seller
        if kind is Kind.EXPIRE or (kind is Kind.COMPLETE and self._random.random() < 0.3):
            caller = SYSTEM
        return Wish(kind, caller, self.seller, key, order=order)
