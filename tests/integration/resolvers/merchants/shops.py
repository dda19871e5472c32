"""People who sell and buy, for the tests of merchants and partners."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from datastores import ledger
from datastores.commit import CommitLoops
from datastores.merchants import ListingDocument, ListingKind, OrderDocument
from datastores.mongo import Database, Document
from resolvers import merchants
from resolvers.context import Context
from resolvers.merchants import LineInput, OrderPlaced
from tests.integration.resolvers.people import Ask
from tests.integration.resolvers.wallets.purses import amount, key

NO_ORDER = "ord_01JD0000000000000000000000"
NO_LISTING = "lst_01JD0000000000000000000000"


async def offer(ask: Ask, seller: str, title: str = "Bowl", price: str = "10", **more: Any) -> ListingDocument:
    """A listing of this person, who opens a merchant first where there is none."""
    (found,) = await merchants.merchants_of_users(ask(seller), [{"_id": seller}])
    if found is None:
        await merchants.open_merchant(ask(seller), name=f"Shop of {seller}")
    given: dict[str, Any] = {"description": "Nice.", "category": "pottery", "kind": ListingKind.GOOD} | more
    return await merchants.create_listing(ask(seller), title=title, price=amount(price), **given)


def line(listing: ListingDocument | Document, quantity: int = 1, price: str = "10", currency: str = "EUR") -> LineInput:
    """A line at the price that the buyer saw."""
    return {
        "listing_id": listing["_id"],
        "quantity": quantity,
        "expected_unit_price": amount(price, currency),
    }


async def place(ask: Ask, buyer: str, *lines: LineInput, key_: str | None = None) -> OrderPlaced:
    """A placed order."""
    return await merchants.place_order(ask(buyer), idempotency_key=key_ or key(), lines=lines)


async def paid_order(ask: Ask, buyer: str, *lines: LineInput) -> str:
    """The id of an order that was placed and paid."""
    placed = await place(ask, buyer, *lines)
    order_id = placed["order"]["_id"]
    await merchants.pay_order(ask(buyer), idempotency_key=key(), order_id=order_id)
    return order_id


async def order_of(ask: Ask, viewer: str | None, id: str) -> OrderDocument:
    """The order as this person sees it."""
    found = await merchants.order(ask(viewer), id=id)
    assert found is not None
    return found


async def listing_of(ask: Ask, id: str, viewer: str | None = None) -> Document:
    """The listing as this person sees it."""
    found = await merchants.listing(ask(viewer), id=id)
    assert found is not None
    return found


def after(database: Database, ask: Ask, time: timedelta) -> Ask:
    """As `ask`, in another process whose clock says that this much time has passed."""

    def later() -> datetime:
        return ask(None).now() + time

    loops = CommitLoops(database, later)

    def context(user_id: str | None) -> Context:
        return replace(ask(user_id), now=later, commits=loops)

    return context


async def escrow(database: Database, order_id: str) -> int | None:
    """What the order's escrow holds, in minor units; None where there is none."""
    (account,) = await ledger.accounts_by_ids(database, [ledger.escrow_account_id(order_id)])
    return None if account is None else account["posted"]


async def check_ledger(database: Database) -> None:
    """Replay the ledger: sums, balances, numbers and chain hold."""
    report = await ledger.verify(database)
    assert report.holds, ledger.problem_lines(report.problems)


async def check_logs(database: Database) -> None:
    """Every person's log is numbered without a hole, and its head is its last number."""
    numbers: dict[str, list[int]] = {}
    for row in await database.find("order_events", {}, sort=[("_id", 1)], limit=10_000):
        numbers.setdefault(row["user_id"], []).append(row["n"])
    heads = {head["_id"]: head["n"] for head in await database.find("order_heads", {}, limit=10_000)}
    assert heads == {user_id: len(found) for user_id, found in numbers.items()}
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
