"""What clients have spent in all processes together: one leaky level a client, by the database's own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict

from pymongo import ASCENDING, IndexModel

from .mongo import Database

BUDGETS: Final = "budgets"
KEPT_S: Final = 60
# So much longer than a bucket may a debt grow: what several processes gave before they knew of one another.
MAX_BUCKETS: Final = 10

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    BUDGETS: [IndexModel([("kept_until", ASCENDING)], expireAfterSeconds=0, name="kept_until")]
}


class BudgetDocument(TypedDict):
    """How much of its bucket a client had used at a time; it falls by itself, and the document goes once it is 0."""

    _id: str
    level: float
    at: datetime
    kept_until: datetime


async def settle(
    database: Database, spent: Mapping[str, float], *, bucket: int, restore_per_s: int
) -> Mapping[str, float]:
    """Add what was spent here by each client (less than nothing where it was given back); the level of each after that.

    Two commands, whatever the number of clients.
    """
    updates = {client: _adding(amount, bucket, restore_per_s) for client, amount in spent.items()}
    await database.update_by_ids(BUDGETS, updates, upsert=True)
    found = await database.by_ids(BUDGETS, list(spent))
    return {each["_id"]: float(each["level"]) for each in found if each is not None}


def _adding(amount: float, bucket: int, restore_per_s: int) -> list[dict[str, Any]]:
    past_s = {"$divide": [{"$subtract": ["$$NOW", {"$ifNull": ["$at", "$$NOW"]}]}, 1_000]}
    fallen = {"$subtract": [{"$ifNull": ["$level", 0]}, {"$multiply": [past_s, restore_per_s]}]}
    level = {"$max": [0, {"$add": [{"$max": [0, fallen]}, amount]}]}
    gone_ms = {"$multiply": [{"$divide": ["$level", restore_per_s]}, 1_000]}
    return [
        {"$set": {"level": {"$min": [MAX_BUCKETS * bucket, level]}, "at": "$$NOW"}},
        {"$set": {"kept_until": {"$add": ["$$NOW", {"$toLong": gone_ms}, KEPT_S * 1_000]}}},
    ]
