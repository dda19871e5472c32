"""The feed of payment events: entries by the merchants that take part, in the ledger's own numbering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pymongo import ASCENDING, DESCENDING

from datastores.mongo import Database, Document

from .entries import ENTRIES, SEEN_BY_MERCHANTS, Entry, EntryState

MAX_EVENTS: Final = 1_000


def topics(row: Mapping[str, Any]) -> list[str]:
    """Whom an entry concerns: its merchants, and the accounts that it changed with their owners."""
    concerned = dict.fromkeys(row["merchants"])
    if row["state"] != EntryState.REFUSED:
        for leg in row["legs"]:
            concerned |= dict.fromkeys(id for id in (leg["account_id"], leg["owner_id"]) if id)
    return list(concerned)


async def events_after(
    database: Database, merchants: Sequence[str], seq: int, types: Sequence[str] | None, limit: int
) -> list[Entry]:
    """The entries with a number above `seq` that these merchants see, of these types (None: all), in order.

    At most `limit`, 1 to 1,000. Numbers are those of the whole ledger: a feed has gaps, `previous_seq` proves that
    nothing was left out.
    """
    filter = {**_filter(merchants, types), "seq": {"$gt": seq}}
    found = await database.find(ENTRIES, filter, sort=[("seq", ASCENDING)], limit=min(limit, MAX_EVENTS))
    return cast("list[Entry]", found)


async def previous_seq(
    database: Database, merchants: Sequence[str], seq: int, types: Sequence[str] | None
) -> int | None:
    """The number of the event before `seq` in this feed, or None where there is none."""
    filter = {**_filter(merchants, types), "seq": {"$lt": seq}}
    found = await database.find(ENTRIES, filter, sort=[("seq", DESCENDING)], limit=1, projection={"seq": 1})
    return cast(int, found[0]["seq"]) if found else None


async def last_seq(database: Database, merchants: Sequence[str], types: Sequence[str] | None) -> int:
    """The number of the last event of this feed, 0 where there is none."""
    return await previous_seq(database, merchants, 2**63 - 1, types) or 0


async def account_events_after(database: Database, account_ids: Sequence[str], seq: int, limit: int) -> list[Entry]:
    """The entries with a number above `seq` that changed one of these accounts, in order."""
    filter: Document = {
        "legs.account_id": {"$in": list(account_ids)},
        "seq": {"$gt": seq},
        "state": {"$ne": EntryState.REFUSED.value},
    }
    found = await database.find(ENTRIES, filter, sort=[("seq", ASCENDING)], limit=min(limit, MAX_EVENTS))
    return cast("list[Entry]", found)


def _filter(merchants: Sequence[str], types: Sequence[str] | None) -> Document:
    wanted: Document = {"$type": "string"} if types is None else {"$in": list(types)}
    return {"merchants": {"$in": list(merchants)}, "event_type": wanted, **SEEN_BY_MERCHANTS}
