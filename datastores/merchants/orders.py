"""Orders: their documents, the log of what happened to them for each of their two people, and reading both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.commit import Read, Work, by_id
from datastores.ids import derived_id, is_id
from datastores.ledger import Command, Entry, Money, append_notice, reads
from datastores.lists import windows
from datastores.logs import last_number, next_number, row_id, rows_after
from datastores.mongo import Database, Document
from datastores.paging import PageDocument, Window, keyset, page

ORDERS: Final = "orders"
EVENTS: Final = "order_events"
HEADS: Final = "order_heads"
FOLLOW_UPS: Final = "order_follow_ups"
FOLLOW_UP_DUE_S: Final = 5.0
MAX_CHORE: Final = 100
_NEWEST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    ORDERS: [
        IndexModel([("buyer_id", ASCENDING), *_NEWEST], name="of_buyer"),
        IndexModel([("merchant_id", ASCENDING), ("state", ASCENDING), *_NEWEST], name="of_merchant"),
        IndexModel(
            [("state", ASCENDING), ("due_at", ASCENDING)],
            name="due",
            partialFilterExpression={"due_at": {"$type": "date"}},
        ),
    ],
    EVENTS: [],
    HEADS: [],
    FOLLOW_UPS: [IndexModel([("due_at", ASCENDING)])],
}
LOGS: Final[dict[str, Callable[[Document], Sequence[str]]]] = {EVENTS: lambda row: [row["user_id"]]}


class OrderState(StrEnum):
    """PLACED waits for its payment; CANCELLED was never paid; REFUNDED was, and got it all back."""

    PLACED = "PLACED"
    PAID = "PAID"
    SHIPPED = "SHIPPED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"
    DISPUTED = "DISPUTED"


_OPEN: Final = (OrderState.PLACED, OrderState.PAID, OrderState.SHIPPED, OrderState.DISPUTED)


class OrderEventKind(StrEnum):
    """What can happen to an order, once each; the ledger's event types are `order.<kind>`."""

    PLACED = "placed"
    PAID = "paid"
    SHIPPED = "shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class OrderLineDocument(TypedDict):
    """So many of a listing, as it was called and cost then; `reserved` is what was taken from its stock."""

    listing_id: str
    title: str
    quantity: int
    unit_price: Money
    reserved: int


class OrderDocument(TypedDict):
    """A purchase. `due_at` is when it ends by itself: unpaid it expires, shipped it completes.

    `numbers` has, for each kind of event that happened, its numbers in the logs of the buyer and the merchant's owner.
    """

    _id: str
    state: str
    buyer_id: str
    merchant_id: str
    merchant_owner_id: str
    lines: list[OrderLineDocument]
    total: Money
    conversation_id: str
    transfer_id: str | None
    created_at: datetime
    due_at: datetime | None
    paid_at: datetime | None
    shipped_at: datetime | None
    completed_at: datetime | None
    numbers: dict[str, list[int]]


class OrderRow(TypedDict):
    """A row of the log of one person: the `n`-th thing that happened to an order of theirs."""

    _id: str
    user_id: str
    n: int
    kind: str
    order_id: str
    created_at: datetime


class OrderFollowUp(TypedDict):
    """What people must still hear of an event: kept by the event's own commit, removed when it is done."""

    _id: str
    order_id: str
    kind: str
    actor_id: str | None
    due_at: datetime


async def open_order_ids(database: Database, user_id: str, limit: int) -> list[str]:
    """The ids of orders that are not over, which this person has placed or has to fulfil."""
    states = {"$in": [state.value for state in _OPEN]}
    placed: Document = {"buyer_id": user_id, "state": states}
    got: Document = {"merchant_id": derived_id("mer", user_id), "state": states}
    found = [
        *await database.find(ORDERS, placed, limit=limit, projection={"_id": 1}),
        *await database.find(ORDERS, got, limit=limit, projection={"_id": 1}),
    ]
    return [order["_id"] for order in found[:limit]]


def event_number(order: OrderDocument, kind: OrderEventKind, user_id: str) -> int:
    """The number of this event in the log of its buyer or of its merchant's owner."""
    buyer, owner = order["numbers"][kind]
    return buyer if user_id == order["buyer_id"] else owner


def change_reads(command: Command, order_id: str, buyer_id: str, owner_id: str) -> list[Read]:
    """What `record` must have read."""
    return [*reads(command), by_id(ORDERS, order_id), by_id(HEADS, buyer_id, owner_id)]


def record(
    work: Work, command: Command, order: OrderDocument, kind: OrderEventKind, actor_id: str | None, **changes: Any
) -> OrderDocument:
    """The order with these changes, told of in the ledger's feed and in the logs of both people, for one event.

    `command` is that of the notice in the ledger; `actor_id` who did it, None for the system.
    """
    buyer_id, owner_id = order["buyer_id"], order["merchant_owner_id"]
    entry = append_notice(
        work,
        command,
        event_type=f"order.{kind}",
        merchants=[order["merchant_id"]],
        currency=order["total"]["currency"],
        amount=order["total"]["minor_units"],
        sender_id=buyer_id,
        recipient_id=owner_id,
        order_id=order["_id"],
    )
    numbers = [_append_row(work, user_id, kind, order["_id"], entry) for user_id in (buyer_id, owner_id)]
    follow_up: OrderFollowUp = {
        "_id": f"{order['_id']}/{kind}",
        "order_id": order["_id"],
        "kind": kind.value,
        "actor_id": actor_id,
        "due_at": entry["created_at"] + timedelta(seconds=FOLLOW_UP_DUE_S),
    }
    work.insert(FOLLOW_UPS, cast(Document, follow_up))
    every = {**order["numbers"], kind.value: numbers}
    return cast(OrderDocument, work.update(ORDERS, order["_id"], numbers=every, **changes))


def _append_row(work: Work, user_id: str, kind: OrderEventKind, order_id: str, entry: Entry) -> int:
    n = next_number(work, HEADS, user_id)
    row: OrderRow = {
        "_id": row_id(user_id, n),
        "user_id": user_id,
        "n": n,
        "kind": kind.value,
        "order_id": order_id,
        "created_at": entry["created_at"],
    }
    work.insert(EVENTS, cast(Document, row))
    return n


async def orders_by_ids(database: Database, ids: Sequence[str]) -> list[OrderDocument | None]:
    """For each id the order or None, whosever it is; one read."""
    found = await database.by_ids(ORDERS, [id for id in ids if is_id("ord", id)])
    known = {document["_id"]: document for document in found if document is not None}
    return cast("list[OrderDocument | None]", [known.get(id) for id in ids])


async def orders_of_buyer(database: Database, buyer_id: str, window: Window) -> PageDocument:
    """A page of the orders that a person placed, newest first; the key of the window is `(created_at, _id)`."""
    past, sort = keyset(_NEWEST, window)
    found = await database.find(ORDERS, {"buyer_id": buyer_id, **past}, sort=sort, limit=window.limit)
    return page(found, window, lambda order: (order["created_at"], order["_id"]))


async def orders_of_merchants(
    database: Database, merchant_ids: Sequence[str], state: OrderState | None, window: Window
) -> list[list[Document]]:
    """For each merchant what `window` reads of its orders (in this state), newest first; key `(created_at, _id)`."""
    states = [state] if state else list(OrderState)
    where = {id: {"state": {"$in": [each.value for each in states]}} for id in merchant_ids}
    return await windows(database, ORDERS, "merchant_id", merchant_ids, _NEWEST, window, where=where)


async def due_orders(database: Database, state: OrderState, now: datetime) -> list[OrderDocument]:
    """At most 100 orders in this state whose time has come, the longest due first."""
    # The type is what the planner proves the partial index by.
    filter = {"state": state.value, "due_at": {"$lte": now, "$type": "date"}}
    found = await database.find(ORDERS, filter, sort=[("due_at", ASCENDING)], limit=MAX_CHORE)
    return cast("list[OrderDocument]", found)


async def postpone(database: Database, order: OrderDocument, due_at: datetime) -> None:
    """Let what an order is due for be tried again at this time, unless something has happened to it since."""
    unchanged = {"_id": order["_id"], "state": order["state"]}
    await database.update_one(ORDERS, unchanged, {"$set": {"due_at": due_at}})


async def due_follow_ups(database: Database, now: datetime) -> list[OrderFollowUp]:
    """At most 100 follow-ups that nobody has finished in time, the longest due first."""
    found = await database.find(FOLLOW_UPS, {"due_at": {"$lte": now}}, sort=[("due_at", ASCENDING)], limit=MAX_CHORE)
    return cast("list[OrderFollowUp]", found)


async def follow_up(database: Database, order_id: str, kind: OrderEventKind) -> OrderFollowUp | None:
    """What must still follow from this event of an order, or None where it is done."""
    return cast("OrderFollowUp | None", await database.find_one(FOLLOW_UPS, {"_id": f"{order_id}/{kind}"}))


async def postpone_follow_up(database: Database, id: str, due_at: datetime) -> None:
    """Let it be taken up again at this time."""
    await database.update_one(FOLLOW_UPS, {"_id": id}, {"$set": {"due_at": due_at}})


async def finish_follow_up(database: Database, id: str) -> None:
    """Forget it: it is done. Doing so twice is once."""
    await database.delete_one(FOLLOW_UPS, {"_id": id})


async def event_head(database: Database, user_id: str) -> int:
    """The number of the newest row of a person's log; 0 where there is none."""
    return await last_number(database, HEADS, user_id)


async def events_after(database: Database, user_id: str, after: int, limit: int) -> list[Document]:
    """At most `limit` rows of a person's log with numbers past `after`, in order."""
    return await rows_after(database, EVENTS, user_id, after, limit)
