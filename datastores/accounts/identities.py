"""Identities: which user a subject of an issuer of tokens is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.errors import UnavailableError
from datastores.mongo import Database, Document, Session, insert_in_batches, run_transaction

from .users import USERS, user_document

IDENTITIES: Final = "identities"
ENDED: Final = "ended_identities"
# A token that is older, and still holds, belongs to nobody any more: it would begin a new person.
ENDED_KEPT: Final = timedelta(days=90)
MAX_ENDED: Final = 100_000
INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    IDENTITIES: [IndexModel([("user_id", ASCENDING)], name="of_user")],
    ENDED: [
        IndexModel([("ended_at", DESCENDING)], name="ended"),
        IndexModel([("expires_at", ASCENDING)], name="expires", expireAfterSeconds=0),
    ],
}


class IdentityDocument(TypedDict):
    """`_id` is `{"issuer", "subject"}`, in this order: unique without an index of its own."""

    _id: dict[str, str]
    user_id: str


def identity_document(issuer: str, subject: str, user_id: str) -> IdentityDocument:
    """The identity that lets this subject of this issuer sign in as this user."""
    return {"_id": _key(issuer, subject), "user_id": user_id}


async def user_of(database: Database, issuer: str, subject: str) -> str | None:
    """The id of the user who signs in with this identity, or None."""
    found = await database.find_one(IDENTITIES, {"_id": _key(issuer, subject)})
    return None if found is None else cast(str, found["user_id"])


async def sign_up(
    database: Database,
    issuer: str,
    subject: str,
    *,
    handles: Sequence[str],
    display_name: str,
    created_at: datetime,
) -> str:
    """The id of the user with this identity: a new one, with the first of `handles` that is free, unless there was one.

    However many ask at once, one user is made. Raises UnavailableError where all handles are taken.
    """

    async def act(session: Session) -> str:
        identity = await database.find_one(IDENTITIES, {"_id": _key(issuer, subject)}, session=session)
        if identity is not None:
            return cast(str, identity["user_id"])
        taken = await database.find(
            USERS, {"handle": {"$in": list(handles)}}, limit=len(handles), projection={"handle": 1}, session=session
        )
        free = [handle for handle in handles if handle not in {document["handle"] for document in taken}]
        if not free:
            raise UnavailableError("No handle could be found for a new user: try again")
        user = user_document(handle=free[0], display_name=display_name, created_at=created_at)
        identity = cast(Document, identity_document(issuer, subject, user["_id"]))
        await database.insert_one(IDENTITIES, identity, session=session)
        await database.insert_one(USERS, cast(Document, user), session=session)
        return user["_id"]

    return await run_transaction(database, act)


async def identities_of(database: Database, user_id: str, limit: int) -> list[tuple[str, str]]:
    """The identities (issuer, subject) that a user signs in with."""
    found = await database.find(IDENTITIES, {"user_id": user_id}, limit=limit)
    return [(document["_id"]["issuer"], document["_id"]["subject"]) for document in found]


async def end_identity(database: Database, issuer: str, subject: str, digest: str, now: datetime) -> None:
    """Let nobody sign in as this user with this identity any more, and remember its end by a digest for 90 days.

    Whoever signs in with it later is a new person.
    """
    ended = {"ended_at": now, "expires_at": now + ENDED_KEPT}
    # First the end, then the link: a token from before never finds neither.
    await database.update_one(ENDED, {"_id": digest}, {"$set": ended}, upsert=True)
    await database.delete_one(IDENTITIES, {"_id": _key(issuer, subject)})


async def ended_since(database: Database, since: datetime | None) -> list[tuple[str, datetime]]:
    """The digests of the identities that ended since then, and when; the newest 100,000 of those that are kept."""
    filter: dict[str, Any] = {} if since is None else {"ended_at": {"$gte": since}}
    found = await database.find(ENDED, filter, sort=[("ended_at", DESCENDING)], limit=MAX_ENDED)
    return [(document["_id"], document["ended_at"]) for document in found]


async def insert_identities(database: Database, documents: Sequence[IdentityDocument]) -> None:
    """Insert identities, any number; those that are there already stay as they are."""
    await insert_in_batches(database, IDENTITIES, cast(list[Document], documents))


def _key(issuer: str, subject: str) -> dict[str, Any]:
    return {"issuer": issuer, "subject": subject}
