"""Documents that clients have registered by their hash, for all processes: so many at most, the newest of a place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypedDict

from pymongo import ASCENDING, IndexModel

from .mongo import Database

DOCUMENTS: Final = "registered_documents"
# A document's hash says its place, so that there can be no more than so many, whoever registers how much.
PLACES: Final = 16_384
MAX_BYTES: Final = 16 * 1024
KEPT: Final = timedelta(days=30)

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    DOCUMENTS: [IndexModel([("kept_until", ASCENDING)], expireAfterSeconds=0, name="kept_until")]
}


class RegisteredDocument(TypedDict):
    """The document that was registered last of all that have this place, `id` by its hash."""

    _id: str
    id: str
    text: str
    kept_until: datetime


async def keep(database: Database, id: str, text: str, now: datetime) -> None:
    """Keep a document for 30 days, in place of another of its place; one of more than 16 KB is not kept."""
    if len(text.encode()) > MAX_BYTES:
        return
    values = {"id": id, "text": text, "kept_until": now + KEPT}
    await database.update_one(DOCUMENTS, {"_id": _place(id)}, {"$set": values}, upsert=True)


async def find(database: Database, id: str) -> str | None:
    """The text of the document with this id, or None."""
    found = await database.find_one(DOCUMENTS, {"_id": _place(id), "id": id})
    return None if found is None else str(found["text"])


def _place(id: str) -> str:
    """One of the places, by the last digits of the hash."""
    return f"{int(id[-8:], 16) % PLACES:05d}"
