"""What demo data was planted in this database, so that it is planted once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

from pymongo import IndexModel

from .mongo import Database

PLANTINGS: Final = "plantings"
INDEXES: Final[dict[str, Sequence[IndexModel]]] = {PLANTINGS: []}


async def begin(database: Database, name: str, now: datetime) -> datetime | None:
    """When the planting of that name was begun, first now; None where it was finished."""
    started = {"$setOnInsert": {"started_at": now, "finished_at": None}}
    found = await database.find_one_and_update(PLANTINGS, {"_id": name}, started, upsert=True)
    if found is None or found["finished_at"] is not None:
        return None
    return cast(datetime, found["started_at"])


async def finish(database: Database, name: str, now: datetime) -> None:
    """Remember that it was finished."""
    await database.update_one(PLANTINGS, {"_id": name}, {"$set": {"finished_at": now}})
