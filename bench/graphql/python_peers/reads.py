"""What the servers in Python read of the town's documents, each list by its index."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from motor.motor_asyncio import AsyncIOMotorClient

Document = dict[str, Any]

NEWEST: Final = [("created_at", -1), ("_id", -1)]
EVERY: Final = "*"
DIGEST_BYTES: Final = 5
SHOWN_ENTRIES: Final = {"state": {"$in": ["PENDING", "POSTED"]}, "kind": {"$nin": ["NOTICE", "STATUS"]}}

_uri, _name = sys.argv[1:3]
client: Any = AsyncIOMotorClient(_uri)
db: Any = client[_name]


async def users_by_ids(ids: Sequence[str]) -> list[Document | None]:
    """For each id the user or None."""
    found = await db.users.find({"_id": {"$in": list(dict.fromkeys(ids))}}, {"tokens": 0}).to_list(None)
    known = {user["_id"]: user for user in found}
    return [known.get(id) for id in ids]


async def newest_posts(first: int, after: str | None = None) -> list[Document]:
    """The newest posts, past the cursor `after`."""
    found = db.posts.find(_past(after), {"tokens": 0, "client_id": 0})
    posts: list[Document] = await found.sort(NEWEST).limit(first).to_list(None)
    return posts


async def newest_listings(first: int) -> list[Document]:
    """The newest listings that can be ordered."""
    found = db.listings.find({"tokens": EVERY, "state": "ACTIVE"}, {"tokens": 0})
    listings: list[Document] = await found.sort(NEWEST).limit(first).to_list(None)
    return listings


async def conversations_of(user_id: str, first: int) -> list[Document]:
    """A person's conversations, those with the latest message first."""
    latest = db.memberships.find({"user_id": user_id}).sort([("last_at", -1), ("conversation_id", -1)]).limit(first)
    ids = [membership["conversation_id"] for membership in await latest.to_list(None)]
    found = await db.conversations.find({"_id": {"$in": ids}}).to_list(None)
    known = {conversation["_id"]: conversation for conversation in found}
    return [known[id] for id in ids]


async def last_messages(conversations: Sequence[tuple[str, int, int]]) -> list[list[Document]]:
    """For each conversation (id, how many messages it has, how many to show) the last messages, oldest first."""
    ranges = [{"conversation_id": id, "seq": {"$gt": count - last}} for id, count, last in conversations]
    of: dict[str, list[Document]] = {id: [] for id, _, _ in conversations}
    found = db.messages.find({"$or": ranges}).sort([("conversation_id", 1), ("seq", 1)])
    for message in await found.to_list(None):
        of[message["conversation_id"]].append(message)
    return [of[id] for id, _, _ in conversations]


async def wallet_of(owner_id: str, currency: str) -> Document | None:
    """A person's wallet, or None."""
    wallet: Document | None = await db.accounts.find_one({"owner_id": owner_id, "currency": currency})
    return wallet


async def entries_of(wallet_id: str, first: int) -> list[Document]:
    """The newest entries of a wallet: id, created_at, minor_units, currency, counterparty_id."""
    found = db.entries.find({"legs.account_id": wallet_id, **SHOWN_ENTRIES}).sort("seq", -1).limit(first)
    return [_entry(document, wallet_id) for document in await found.to_list(None)]


def _entry(document: Mapping[str, Any], wallet_id: str) -> Document:
    place, leg = next((at, leg) for at, leg in enumerate(document["legs"]) if leg["account_id"] == wallet_id)
    sides = (document["sender_id"], document["recipient_id"])
    return {
        "id": f"leg_{document['_id'].split('_')[1]}_{place}",
        "created_at": document["created_at"],
        "minor_units": leg["delta"],
        "currency": leg["currency"],
        "counterparty_id": next((id for id in sides if id != leg["owner_id"]), None),
    }


def _past(after: str | None) -> Document:
    if after is None:
        return {}
    milliseconds, id = orjson.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))[DIGEST_BYTES:])
    at = datetime.utcfromtimestamp(milliseconds // 1000).replace(microsecond=milliseconds % 1000 * 1000)  # noqa: DTZ004  # documents hold naive UTC
    return {"created_at": {"$lte": at}, "$or": [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": id}}]}


def decimal(minor_units: int) -> str:
    """Cents as a decimal number."""
    return f"{'-' if minor_units < 0 else ''}{abs(minor_units) // 100}.{abs(minor_units) % 100:02}"


def moment(time: datetime) -> str:
    """RFC 3339 in milliseconds."""
    return time.isoformat(timespec="milliseconds") + "Z"
