"""The log of webhooks: one document an event and endpoint, with the attempts to deliver it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NotRequired, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.errors import NotFoundError
from datastores.ids import derived_id, is_id
from datastores.mongo import Database, Document, Session
from datastores.paging import PageDocument, Window, keyset, page

DELIVERIES: Final = "webhook_deliveries"
MAX_ATTEMPTS_KEPT: Final = 20
MAX_QUEUED: Final = 20
LOG_KEPT_FOR: Final = timedelta(days=30)

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    DELIVERIES: [
        IndexModel([("endpoint_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="of_endpoint"),
        IndexModel(
            [("endpoint_id", ASCENDING), ("state", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
            name="of_endpoint_by_state",
        ),
        IndexModel(
            [("endpoint_id", ASCENDING), ("queued_at", ASCENDING)],
            name="queued",
            partialFilterExpression={"queued_at": {"$type": "date"}},
        ),
        IndexModel([("forgotten_at", ASCENDING)], expireAfterSeconds=0, name="forgotten"),
    ],
}


class DeliveryState(StrEnum):
    """Whether an event is still being tried, has arrived, or is a dead letter that can be replayed."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"


class AttemptError(StrEnum):
    """What went wrong with a request, in one word."""

    ADDRESS = "ADDRESS"
    CONNECTION = "CONNECTION"
    FORBIDDEN = "FORBIDDEN"
    NAME = "NAME"
    PROTOCOL = "PROTOCOL"
    REDIRECT = "REDIRECT"
    STATUS = "STATUS"
    TIMEOUT = "TIMEOUT"
    TLS = "TLS"
    URL = "URL"


class AttemptDocument(TypedDict):
    """One request: when, what the endpoint answered in how many milliseconds, and what went wrong, in one word.

    `retry_after_s` is there where the endpoint said how long it wants to be left alone.
    """

    at: datetime
    status_code: int | None
    duration_ms: int
    error: str | None
    retry_after_s: NotRequired[float]


class DeliveryDocument(TypedDict):
    """What became of one event at one endpoint; `_id` is its `webhook-id`. The newest 20 attempts are kept.

    What is no event has neither its id nor a number, and may say in `about` what it is of. `queued_at` is set while it
    is to be sent once, out of turn.
    """

    _id: str
    endpoint_id: str
    partner_id: str
    type: str
    event_id: str | None
    seq: int | None
    state: str
    attempts: list[AttemptDocument]
    attempt_count: int
    next_attempt_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None
    queued_at: datetime | None
    forgotten_at: datetime
    about: NotRequired[Document]


def delivery_id(endpoint_id: str, event_id: str) -> str:
    """The `webhook-id` that this event always has at this endpoint."""
    return derived_id("whd", endpoint_id, event_id)


async def note_attempt(
    database: Database,
    delivery: DeliveryDocument,
    attempt: AttemptDocument,
    *,
    state: DeliveryState,
    next_attempt_at: datetime | None,
) -> None:
    """Add an attempt to the log, and what became of the event by it; a delivery that is not there yet is begun.

    Where it was to be sent out of turn it is not any more, unless that was asked for again meanwhile.
    """
    now = attempt["at"]
    changes: Document = {
        "state": state.value,
        "next_attempt_at": next_attempt_at,
        "forgotten_at": now + LOG_KEPT_FOR,
    }
    if state is DeliveryState.DELIVERED:
        changes["delivered_at"] = now
    first = {name: delivery[name] for name in ("endpoint_id", "partner_id", "type", "event_id", "seq", "created_at")}
    first["queued_at"] = None
    if state is not DeliveryState.DELIVERED:
        first["delivered_at"] = None
    update = {
        "$set": changes,
        "$push": {"attempts": {"$each": [attempt], "$slice": -MAX_ATTEMPTS_KEPT}},
        "$inc": {"attempt_count": 1},
        "$setOnInsert": first,
    }
    await database.update_one(DELIVERIES, {"_id": delivery["_id"]}, update, upsert=True)
    if delivery["queued_at"] is not None:
        asked = {"_id": delivery["_id"], "queued_at": delivery["queued_at"]}
        await database.update_one(DELIVERIES, asked, {"$set": {"queued_at": None}})


async def queue_test(database: Database, draft: DeliveryDocument) -> DeliveryDocument:
    """A test that waits to be sent: the one that waits already, or this one."""
    waiting: Document = {"endpoint_id": draft["endpoint_id"], "queued_at": {"$type": "date"}, "type": draft["type"]}
    if (found := await database.find_one(DELIVERIES, waiting)) is None:
        await database.insert_one(DELIVERIES, found := cast(Document, {**draft}))
    return cast(DeliveryDocument, found)


async def queue_notices(database: Database, drafts: Sequence[DeliveryDocument], session: Session) -> None:
    """Have these sent once, out of turn; one that is there already stays as it is."""
    updates = {draft["_id"]: {"$setOnInsert": dict(draft)} for draft in drafts}
    if updates:
        await database.update_by_ids(DELIVERIES, updates, upsert=True, session=session)


async def queue_again(database: Database, partner_id: str, id: str, now: datetime) -> DeliveryDocument:
    """The delivery, which is to be sent once more, out of turn. Raises NotFoundError."""
    theirs = {"_id": id, "partner_id": partner_id}
    update = {"$set": {"queued_at": now, "forgotten_at": now + LOG_KEPT_FOR}}
    found = await database.find_one_and_update(DELIVERIES, theirs, update)
    if found is None:
        raise NotFoundError("There is no such delivery: the log goes back 30 days")
    return cast(DeliveryDocument, found)


async def queued(database: Database, endpoint_id: str) -> list[DeliveryDocument]:
    """What is to be sent out of turn, the oldest first; at most 20."""
    waiting: Document = {"endpoint_id": endpoint_id, "queued_at": {"$type": "date"}}
    found = await database.find(DELIVERIES, waiting, sort=[("queued_at", ASCENDING)], limit=MAX_QUEUED)
    return cast("list[DeliveryDocument]", found)


async def deliveries_by_ids(database: Database, ids: Sequence[str]) -> list[DeliveryDocument | None]:
    """For each id the delivery or None."""
    found = await database.by_ids(DELIVERIES, [id if is_id("whd", id) else "" for id in ids])
    return cast("list[DeliveryDocument | None]", found)


async def deliveries_of(
    database: Database, endpoint_id: str, state: DeliveryState | None, window: Window
) -> PageDocument:
    """A page of an endpoint's log (in this state), the newest first; the window's key is time and id."""
    past, sort = keyset([("created_at", DESCENDING), ("_id", DESCENDING)], window)
    wanted: dict[str, Any] = {"endpoint_id": endpoint_id} | ({} if state is None else {"state": state.value})
    found = await database.find(DELIVERIES, {**wanted, **past}, sort=sort, limit=window.limit)
    return page(found, window, lambda delivery: (delivery["created_at"], delivery["_id"]))
