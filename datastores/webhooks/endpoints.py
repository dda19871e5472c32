"""Webhook endpoints: where an application wants its events sent, how far that has come, and who may go on with it.

An endpoint holds the number of the last event that was settled there (`cursor`). Whoever delivers holds the lease of
the endpoint's shard; its term is written into the endpoint, so that what a former holder writes late is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from datastores.errors import ConflictError, IdempotencyKeyReusedError, NotFoundError
from datastores.ids import is_id
from datastores.mongo import Database, Document, Session, run_transaction

from .deliveries import DeliveryDocument, queue_notices

ENDPOINTS: Final = "webhook_endpoints"
SHARDS: Final = 4
MAX_ENDPOINTS: Final = 20
MAX_OF_SHARD: Final = 10_000
MAX_SECRETS: Final = 2
SECRETS_OVERLAP: Final = timedelta(hours=24)

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    ENDPOINTS: [
        IndexModel([("partner_id", ASCENDING), ("slot", ASCENDING)], unique=True, name="partner_slot"),
        IndexModel([("partner_id", ASCENDING), ("url", ASCENDING)], unique=True, name="partner_url"),
        IndexModel(
            [("partner_id", ASCENDING), ("client_id", ASCENDING)],
            unique=True,
            name="partner_client_id",
            partialFilterExpression={"client_id": {"$type": "string"}},
        ),
        IndexModel([("shard", ASCENDING), ("enabled", ASCENDING), ("_id", ASCENDING)], name="shard_enabled"),
    ],
}


class DisabledReason(StrEnum):
    """Why nothing is sent to an endpoint: somebody said so, it answered 410, or its events became dead letters."""

    REQUESTED = "REQUESTED"
    GONE = "GONE"
    DEAD_LETTERS = "DEAD_LETTERS"


class SecretDocument(TypedDict):
    """A signing secret, sealed under the master key; valid until `expires_at`, or without an end."""

    sealed: bytes
    client_id: str | None
    created_at: datetime
    expires_at: datetime | None


class HeadDocument(TypedDict):
    """The event that is being delivered: its number, how often it was tried, and since when."""

    seq: int
    tries: int
    first_tried_at: datetime


class EndpointDocument(TypedDict):
    """An endpoint of an application.

    `cursor` is the number of the last event that was delivered or became a dead letter. `generation` rises with every
    change by its owner that makes what is under way out of date. `term` is that of the lease that last delivered.
    """

    _id: str
    partner_id: str
    slot: int
    shard: int
    client_id: str | None
    url: str
    types: list[str] | None
    description: str | None
    enabled: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    created_at: datetime
    secrets: list[SecretDocument]
    cursor: int
    generation: int
    term: int
    head: HeadDocument | None
    next_attempt_at: datetime | None
    dead_in_a_row: int
    last_delivered_at: datetime | None


def shard_of(id: str) -> int:
    """The shard that an endpoint belongs to."""
    return sum(id.encode()) % SHARDS


async def create_endpoint(database: Database, draft: EndpointDocument) -> EndpointDocument:
    """The endpoint, in the first free slot of its application; one that was made with the same client id is that one.

    Raises ConflictError where the application has one with this URL or 20 of them, and IdempotencyKeyReusedError where
    the client's id stands for another URL.
    """
    for _ in range(MAX_ENDPOINTS + 1):
        others = await endpoints_of(database, draft["partner_id"])
        if (known := _known(others, draft)) is not None:
            return known
        free = set(range(MAX_ENDPOINTS)) - {other["slot"] for other in others}
        if not free:
            raise ConflictError(f"An application has at most {MAX_ENDPOINTS} endpoints: delete one first")
        document = {**draft, "slot": min(free)}
        try:
            await database.insert_one(ENDPOINTS, document)
        except DuplicateKeyError:
            # Another took the slot, or made the same endpoint, in the same moment: look again.
            continue
        return cast(EndpointDocument, document)
    raise ConflictError("Too many endpoints are being made at once: try again")


def _known(others: Sequence[EndpointDocument], draft: EndpointDocument) -> EndpointDocument | None:
    for other in others:
        if draft["client_id"] is not None and other["client_id"] == draft["client_id"]:
            if (other["url"], other["types"]) != (draft["url"], draft["types"]):
                raise IdempotencyKeyReusedError("This client id was used for another endpoint")
            return other
        if other["url"] == draft["url"]:
            raise ConflictError("There is an endpoint with this URL: change that one, or delete it first")
    return None


async def endpoints_of(database: Database, partner_id: str) -> list[EndpointDocument]:
    """The endpoints of an application, the oldest slot first; at most 20."""
    sort = [("slot", ASCENDING)]
    found = await database.find(ENDPOINTS, {"partner_id": partner_id}, sort=sort, limit=MAX_ENDPOINTS)
    return cast("list[EndpointDocument]", found)


async def endpoints_by_ids(database: Database, ids: Sequence[str]) -> list[EndpointDocument | None]:
    """For each id the endpoint or None."""
    found = await database.by_ids(ENDPOINTS, [id if is_id("whe", id) else "" for id in ids])
    return cast("list[EndpointDocument | None]", found)


async def endpoint_of(database: Database, partner_id: str, id: str) -> EndpointDocument:
    """The endpoint; raises NotFoundError unless it is this application's."""
    (found,) = await endpoints_by_ids(database, [id])
    if found is None or found["partner_id"] != partner_id:
        raise NotFoundError("There is no such endpoint")
    return found


async def change_endpoint(database: Database, partner_id: str, id: str, changes: Mapping[str, Any]) -> EndpointDocument:
    """The endpoint with these changes, tried at once and from the beginning.

    Raises NotFoundError, and ConflictError where another endpoint of the application has the URL.
    """
    anew = {"head": None, "next_attempt_at": None, "dead_in_a_row": 0}
    update = {"$set": {**anew, **changes}, "$inc": {"generation": 1}}
    try:
        found = await database.find_one_and_update(ENDPOINTS, {"_id": id, "partner_id": partner_id}, update)
    except DuplicateKeyError:
        raise ConflictError("There is another endpoint with this URL") from None
    if found is None:
        raise NotFoundError("There is no such endpoint")
    return cast(EndpointDocument, found)


async def delete_endpoint(database: Database, partner_id: str, id: str) -> None:
    """Forget the endpoint; its log goes when it is old. Raises NotFoundError."""
    if not await database.delete_one(ENDPOINTS, {"_id": id, "partner_id": partner_id}):
        raise NotFoundError("There is no such endpoint")


async def replace_secrets(
    database: Database, endpoint: EndpointDocument, secrets: Sequence[SecretDocument]
) -> EndpointDocument | None:
    """The endpoint with these secrets (at most 2); None where its secrets have changed since it was read."""
    if not 0 < len(secrets) <= MAX_SECRETS:
        raise ValueError(f"an endpoint has 1 to {MAX_SECRETS} secrets")
    unchanged = {"_id": endpoint["_id"], "secrets": endpoint["secrets"]}
    found = await database.find_one_and_update(ENDPOINTS, unchanged, {"$set": {"secrets": list(secrets)}})
    return cast("EndpointDocument | None", found)


async def enabled_of_shard(database: Database, shard: int) -> list[EndpointDocument]:
    """The enabled endpoints of a shard, at most 10,000."""
    wanted = {"shard": shard, "enabled": True}
    found = await database.find(ENDPOINTS, wanted, sort=[("_id", ASCENDING)], limit=MAX_OF_SHARD)
    return cast("list[EndpointDocument]", found)


async def adopt(database: Database, id: str, term: int) -> EndpointDocument | None:
    """The endpoint, to be delivered under this term of its shard's lease from now on.

    None where it is not enabled any more, or a later term has it.
    """
    mine: Document = {"_id": id, "enabled": True, "term": {"$lte": term}}
    found = await database.find_one_and_update(ENDPOINTS, mine, {"$set": {"term": term}})
    return cast("EndpointDocument | None", found)


async def settle(
    database: Database, endpoint: EndpointDocument, changes: Mapping[str, Any], session: Session | None = None
) -> bool:
    """Write down what came of an attempt; False where the endpoint was changed by its owner, or is another's, since."""
    mine: Document = {
        "_id": endpoint["_id"],
        "enabled": True,
        "term": endpoint["term"],
        "generation": endpoint["generation"],
    }
    result = await database.update_one(ENDPOINTS, mine, {"$set": dict(changes)}, session=session)
    return bool(result.matched_count)


async def disable(
    database: Database, endpoint: EndpointDocument, changes: Mapping[str, Any], notices: Sequence[DeliveryDocument]
) -> bool:
    """Settle changes that disable the endpoint, and queue the notices of it: both or neither. False as `settle`."""

    async def act(session: Session) -> bool:
        if not await settle(database, endpoint, changes, session):
            return False
        await queue_notices(database, notices, session)
        return True

    return await run_transaction(database, act)
