"""Wishes of buyers and sellers: to order, pay, ship, complete and cancel, and what becomes due by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from datastores import conversations, ledger, merchants
from datastores.commit import Act
from datastores.ledger import Command
from datastores.ledger.commands import SYSTEM
from datastores.merchants import ListingChanges, ListingState, OrderDocument, Wanted
from tests.simulation.quarters import Door


class Kind(StrEnum):
    """What is wanted."""

    PLACE = "place"
    PAY = "pay"
    SHIP = "ship"
    COMPLETE = "complete"
    CANCEL = "cancel"
    EXPIRE = "expire"
    UPDATE = "update"


@dataclass(frozen=True)
class Wish:
    """One wish of `caller`; a listing's price is in minor units, an order that is acted on is as its buyer knew it."""

    kind: Kind
    caller: str
    seller: str
    key: str = ""
    lines: tuple[tuple[str, int, int], ...] = ()
    order: OrderDocument | None = field(default=None, hash=False)
    state: ListingState = ListingState.ACTIVE

    def __str__(self) -> str:
        order = self.order["_id"][-6:] if self.order else ""
        lines = " ".join(f"{quantity} of {listing[-6:]} at {price}" for listing, quantity, price in self.lines)
        state = self.state if self.kind is Kind.UPDATE else ""
        return " ".join(filter(None, (self.kind, self.caller, self.key, order, lines, state)))

    @property
    def loop(self) -> str:
        """The loop of all money."""
        return ledger.COMMIT_LOOP

    @property
    def merchant(self) -> str:
        """The seller's shop."""
        return merchants.merchant_id(self.seller)

    def command(self, salt: str) -> Command:
        """Its command; each try has a salt of its own, as each request of a client has."""
        order_id = self.order["_id"] if self.order else None
        if self.kind in (Kind.PLACE, Kind.PAY):
            request = {"lines": [list(line) for line in self.lines], "order": order_id}
            return ledger.command(self.caller, self.key, self.kind.value, request, salt=salt)
        name = "complete" if self.kind is Kind.COMPLETE else self.kind.value
        return ledger.system_command(name, order_id or "", salt=salt)

    @cached_property
    def request_hash(self) -> str:
        """What tells this input from others under its key."""
        return self.command("-").request_hash

    @cached_property
    def entry_id(self) -> str:
        """The entry that answers its key."""
        return self.command("-").entry_id

    @property
    def order_id(self) -> str:
        """The order that it is about, or makes."""
        return self.order["_id"] if self.order else self.command("-").id("ord")

    async def ask(self, door: Door, salt: str) -> Any:
        """What comes of it."""
        return await door.submit(self.act(salt))

    def act(self, salt: str) -> Act[Any]:
        """The act that fulfils it."""
        if self.kind is Kind.UPDATE:
            ((listing_id, _, price),) = self.lines
            changes: ListingChanges = {"price": ledger.money(price, "EUR"), "state": self.state}
            return merchants.UpdateListing(listing_id, self.seller, changes)
        command, order = self.command(salt), self.order
        if order is None:
            wanted = [Wanted(id, quantity, ledger.money(price, "EUR")) for id, quantity, price in self.lines]
            conversation_id = conversations.order_conversation_id(self.order_id)
            merchant = (self.merchant, self.seller)
            return merchants.PlaceOrder(command, self.caller, *merchant, conversation_id, tuple(wanted))
        actor = None if self.caller == SYSTEM else self.caller
        match self.kind:
            case Kind.PAY:
                return merchants.PayOrder(command, order, ledger.wallet_id(self.caller, "EUR"))
            case Kind.SHIP:
                return merchants.ShipOrder(command, order, self.caller)
            case Kind.COMPLETE:
                return merchants.CompleteOrder(command, order, actor)
            case _:
                return merchants.CancelOrder(command, order, actor)
