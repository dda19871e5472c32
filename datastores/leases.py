"""Who may do what only one process at a time should do: leases that expire by the database's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from .mongo import Database, Document

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


class ContendedLease(LeaseDocument):
    """A lease over which processes contend: where its owner is reached, and whether another has asked for it since."""

    address: str | None
    is_wanted: bool


async def acquire(database: Database, name: str, owner: str, ttl_s: float) -> LeaseDocument | None:
    """The lease, held by `owner` for `ttl_s` (0.1 to 600) from now; None while another holds it.

    Who has it already gets it anew for that long, with the same term. Writes that must not come late should carry the
    term, and be refused where a higher one was seen.
    """
    found = await _take(database, name, _taking(owner, ttl_s))
    return cast(LeaseDocument, found) if found is not None and found["owner"] == owner else None


async def contend(
    database: Database, name: str, owner: str, ttl_s: float, address: str | None, *, wants: bool
) -> ContendedLease | None:
    """The lease, whoever holds it now; `acquire` for those who tell others their address.

    Who `wants` it and cannot have it leaves word of that, which its holder finds when next it asks: once.
    None where another process made the lease in the same moment.
    """
    taking = _taking(owner, ttl_s)
    is_free = taking["owner"]["$cond"][0]
    taking["address"] = {"$cond": [is_free, {"$literal": address}, "$address"]}
    taking["is_wanted"] = {"$ifNull": ["$wanted", False]}
    taking["wanted"] = {"$cond": [is_free, False, {"$or": [{"$literal": wants}, {"$ifNull": ["$wanted", False]}]}]}
    return cast("ContendedLease | None", await _take(database, name, taking))


async def held_by_another(database: Database, name: str, owner: str) -> ContendedLease | None:
    """The lease of this name while somebody else holds it; one read, by its id."""
    others = {"_id": name, "owner": {"$ne": owner}, "$expr": {"$gt": ["$expires_at", "$$NOW"]}}
    return cast("ContendedLease | None", await database.find_one(LEASES, others))


async def release(database: Database, name: str, owner: str) -> None:
    """Let others have the lease now; nothing happens where it is not the owner's any more."""
    freed = {"owner": None, "expires_at": "$$NOW"}
    await database.update_one(LEASES, {"_id": name, "owner": owner}, [{"$set": freed}])


def _taking(owner: str, ttl_s: float) -> dict[str, Any]:
    me = {"$literal": owner}
    is_mine = {"$eq": ["$owner", me]}
    # A lease that is not there yet has no `expires_at`, which sorts before every time.
    is_free = {"$or": [is_mine, {"$lte": ["$expires_at", "$$NOW"]}]}
    next_term = {"$add": [{"$ifNull": ["$term", 0]}, {"$cond": [is_mine, 0, 1]}]}
    return {
        "owner": {"$cond": [is_free, me, "$owner"]},
        "term": {"$cond": [is_free, next_term, "$term"]},
        "expires_at": {"$cond": [is_free, _from_now(ttl_s), "$expires_at"]},
    }


async def _take(database: Database, name: str, taking: dict[str, Any]) -> Document | None:
    try:
        return await database.find_one_and_update(LEASES, {"_id": name}, [{"$set": taking}], upsert=True)
    except DuplicateKeyError:
        # Another made the lease in the same moment.
        return None


def _from_now(ttl_s: float) -> dict[str, Any]:
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        raise ValueError(f"a lease lasts {MIN_TTL_S} to {MAX_TTL_S} s, not {ttl_s}")
    return {"$add": ["$$NOW", round(ttl_s * 1000)]}
