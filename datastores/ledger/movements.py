"""Movements: what passed through accounts of the system in a stretch of the numbering, for comparing books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from pymongo import ASCENDING, DESCENDING

from datastores.mongo import Database, Document

from .accounts import ACCOUNTS, rail_account_id
from .currencies import EXPONENTS
from .entries import ENTRIES, PARTITION, Entry, EntryKind, EntryState

MAX_MOVEMENTS: Final = 1_000
_POSTED: Final[Document] = {"state": EntryState.POSTED.value, "kind": {"$ne": EntryKind.VOID.value}}
_SHOWN: Final = {
    "seq": 1,
    "kind": 1,
    "state": 1,
    "created_at": 1,
    "pending_id": 1,
    "reverses": 1,
    "legs.account_id": 1,
    "legs.delta": 1,
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """The entries numbered above `after`, up to and with `until`."""

    after: int
    until: int

    def holds(self, seq: int) -> bool:
        """Whether the entry with this number is one of them."""
        return self.after < seq <= self.until


@dataclass(frozen=True, slots=True)
class MovementSum:
    """How often and how much (minor units, more than zero) came into an account, or left it."""

    account_id: str
    came: bool
    count: int
    minor_units: int


async def rail_accounts(database: Database, rail: str) -> dict[str, str]:
    """The accounts of a rail that are open, each with its currency."""
    ids = [rail_account_id(rail, currency) for currency in EXPONENTS]
    found = await database.by_ids(ACCOUNTS, ids, projection={"currency": 1})
    return {account["_id"]: account["currency"] for account in found if account is not None}


async def last_seq_before(database: Database, time: datetime) -> int:
    """The number of the last entry that was made before this time, 0 where there is none; some 40 short reads."""
    # Entries never go back in time, so their numbers can be halved until the place is found.
    low, high = 0, (await newest_entry(database))[0]
    while low < high:
        middle = (low + high + 1) // 2
        at_or_after = {"partition": PARTITION, "seq": {"$gte": middle, "$lte": high}}
        entry = await database.find_one(ENTRIES, at_or_after, sort=[("seq", ASCENDING)])
        if entry is not None and cast(datetime, entry["created_at"]) < time:
            low = cast(int, entry["seq"])
        else:
            high = middle - 1
    return low


async def newest_entry(database: Database) -> tuple[int, str | None]:
    """The number and the hash of the last entry of all; 0 and None where there is none."""
    entry = await database.find_one(ENTRIES, {"partition": PARTITION}, sort=[("seq", DESCENDING)])
    return (entry["seq"], entry["hash"]) if entry else (0, None)


async def movements_of(database: Database, accounts: Sequence[str], stretch: Stretch, limit: int) -> list[Entry]:
    """The posted entries of the stretch that moved one of these accounts, in order; at most `limit`, 1 to 1,000.

    Of an entry there is what says which accounts it moved and what it resolves or reverses.
    """
    return await _entries(database, accounts, stretch, _POSTED, limit)


async def reserves_of(database: Database, accounts: Sequence[str], stretch: Stretch, limit: int) -> list[Entry]:
    """The entries of the stretch that reserved something on one of these accounts, as `movements_of`."""
    return await _entries(database, accounts, stretch, {"state": EntryState.PENDING.value}, limit)


async def movement_sums(database: Database, accounts: Sequence[str], stretch: Stretch) -> list[MovementSum]:
    """What came into each of these accounts in the stretch, and what left it."""
    if not accounts:
        return []
    mine = {"legs.account_id": {"$in": list(accounts)}}
    group = {
        "_id": {"account": "$legs.account_id", "came": {"$gt": ["$legs.delta", 0]}},
        "count": {"$sum": 1},
        # A sum of many may pass 64 bits.
        "sum": {"$sum": {"$toDecimal": {"$abs": "$legs.delta"}}},
    }
    filter = {**_POSTED, **mine, "seq": _within(stretch)}
    found = await database.aggregate(
        ENTRIES, [{"$match": filter}, {"$unwind": "$legs"}, {"$match": mine}, {"$group": group}]
    )
    return [
        MovementSum(row["_id"]["account"], row["_id"]["came"], row["count"], int(row["sum"].to_decimal()))
        for row in found
    ]


async def resolutions_of(database: Database, pending_ids: Sequence[str]) -> dict[str, Entry]:
    """By the id of a pending entry the one that settled or released it, where there is one."""
    filter = {"pending_id": {"$in": list(pending_ids)}, "final": True}
    found = await database.find(ENTRIES, filter, limit=max(len(pending_ids), 1), projection=_SHOWN)
    return {entry["pending_id"]: cast(Entry, entry) for entry in found}


async def reversals_of(database: Database, entry_ids: Sequence[str], limit: int = 10_000) -> list[Entry]:
    """The posted entries that take back one of these; at most `limit`."""
    # The type is what lets the partial index be used.
    named: Document = {"$in": list(entry_ids), "$type": "string"}
    filter = {"reverses": named, "state": EntryState.POSTED.value}
    return cast("list[Entry]", await database.find(ENTRIES, filter, limit=limit, projection=_SHOWN))


async def _entries(
    database: Database, accounts: Sequence[str], stretch: Stretch, which: Document, limit: int
) -> list[Entry]:
    if not accounts:
        return []
    filter = {**which, "legs.account_id": {"$in": list(accounts)}, "seq": _within(stretch)}
    found = await database.find(
        ENTRIES, filter, sort=[("seq", ASCENDING)], limit=min(limit, MAX_MOVEMENTS), projection=_SHOWN
    )
    return cast("list[Entry]", found)


def _within(stretch: Stretch) -> Document:
    return {"$gt": stretch.after, "$lte": stretch.until}
