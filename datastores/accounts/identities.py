"""Identities: which user a subject of an issuer of tokens is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import IndexModel

from datastores.errors import UnavailableError
from datastores.mongo import Database, Document, Session
from datastores.transactions import insert_in_batches, run_transaction

from .users import USERS, user_document

IDENTITIES: Final = "identities"
INDEXES: Final[dict[str, Sequence[IndexModel]]] = {IDENTITIES: []}


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


async def insert_identities(database: Database, documents: Sequence[IdentityDocument]) -> None:
    """Insert identities, any number; those that are there already stay as they are."""
    await insert_in_batches(database, IDENTITIES, cast(list[Document], documents))


def _key(issuer: str, subject: str) -> dict[str, Any]:
    return {"issuer": issuer, "subject": subject}
