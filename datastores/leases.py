"""Who may do what only one process at a time should do: leases that expire by the database's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from .mongo import Database

LEASES: Final = "leases"
MIN_TTL_S: Final = 0.1
MAX_TTL_S: Final = 600.0

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {LEASES: []}


class LeaseDocument(TypedDict):
    """The lease named `_id`: `owner` has it until `expires_at`; `term` rises whenever it changes hands."""

    _id: str
    owner: str | None
    term: int
    expires_at: datetime


async def acquire(database: Database, name: str, owner: str, ttl_s: float) -> LeaseDocument | None:
    """The lease, held by `owner` for `ttl_s` (0.1 to 600) from now; None while another holds it.

    Who has it already gets it anew for that long, with the same term. Writes that must not come late should carry the
    term, and be refused where a higher one was seen.
    """
    me = {"$literal": owner}
    is_mine = {"$eq": ["$owner", me]}
    # A lease that is not there yet has no `expires_at`, which sorts before every time.
    is_free = {"$or": [is_mine, {"$lte": ["$expires_at", "$$NOW"]}]}
    next_term = {"$add": [{"$ifNull": ["$term", 0]}, {"$cond": [is_mine, 0, 1]}]}
    take = {
        "owner": {"$cond": [is_free, me, "$owner"]},
        "term": {"$cond": [is_free, next_term, "$term"]},
        "expires_at": {"$cond": [is_free, _from_now(ttl_s), "$expires_at"]},
    }
    try:
        found = await database.find_one_and_update(LEASES, {"_id": name}, [{"$set": take}], upsert=True)
    except DuplicateKeyError:
        # Another made the lease in the same moment.
        return None
    return cast(LeaseDocument, found) if found is not None and found["owner"] == owner else None


async def release(database: Database, name: str, owner: str) -> None:
    """Let others have the lease now; nothing happens where it is not the owner's any more."""
    freed = {"owner": None, "expires_at": "$$NOW"}
    await database.update_one(LEASES, {"_id": name, "owner": owner}, [{"$set": freed}])


def _from_now(ttl_s: float) -> dict[str, Any]:
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        raise ValueError(f"a lease lasts {MIN_TTL_S} to {MAX_TTL_S} s, not {ttl_s}")
    return {"$add": ["$$NOW", round(ttl_s * 1000)]}
