"""What is read of conversations: by id, as lists, as counts, and as rows of the two logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from pymongo import DESCENDING

from datastores.logs import last_number, rows_after
from datastores.mongo import Database, Document
from datastores.paging import PageDocument, Window, keyset, page

from .documents import (
    CONVERSATIONS,
    EVENTS,
    INBOX,
    INBOX_HEADS,
    MEMBERSHIPS,
    MESSAGES,
    REACTIONS,
    ConversationDocument,
    MembershipDocument,
    MessageDocument,
    membership_id,
    reaction_id,
)


async def by_ids(database: Database, ids: Sequence[str]) -> list[ConversationDocument | None]:
    """For each id the conversation or None; says nothing of who may see it."""
    return cast("list[ConversationDocument | None]", await database.by_ids(CONVERSATIONS, ids))


async def messages_by_ids(database: Database, ids: Sequence[str]) -> list[MessageDocument | None]:
    """For each id the message or None; says nothing of who may see it."""
    return cast("list[MessageDocument | None]", await database.by_ids(MESSAGES, ids))


async def memberships(database: Database, pairs: Sequence[tuple[str, str]]) -> list[MembershipDocument | None]:
    """For each (conversation id, user id) the membership, or None where the person is no member."""
    found = await database.by_ids(MEMBERSHIPS, [membership_id(*pair) for pair in pairs])
    return cast("list[MembershipDocument | None]", found)


async def newest_active(database: Database, user_id: str, window: Window) -> PageDocument:
    """A page of a person's conversations, those with the latest message or joining first; two reads.

    The key of the window is (`last_at`, conversation id).
    """
    past, sort = keyset([("last_at", DESCENDING), ("conversation_id", DESCENDING)], window)
    members = await database.find(MEMBERSHIPS, {"user_id": user_id, **past}, sort=sort, limit=window.limit)
    made = page(members, window, lambda member: (member["last_at"], member["conversation_id"]))
    edges = made["edges"]
    found = await database.by_ids(CONVERSATIONS, [edge["node"]["conversation_id"] for edge in edges])
    for edge, conversation in zip(edges, found, strict=True):
        edge["node"] = cast(Document, conversation)
    return made


async def unread_total(database: Database, user_id: str) -> int:
    """How many messages a person has not read, over all their conversations."""
    unread = {"$subtract": ["$last_seq", "$last_read_seq"]}
    # What is kept first are the keys of one index, so that no document is looked at.
    total = await database.aggregate(
        MEMBERSHIPS,
        [
            {"$match": {"user_id": user_id}},
            {"$project": {"_id": 0, "user_id": 1, "last_seq": 1, "last_read_seq": 1}},
            {"$group": {"_id": None, "unread": {"$sum": unread}}},
        ],
    )
    return cast(int, total[0]["unread"]) if total else 0


async def message_windows(
    database: Database, conversations: Sequence[Mapping[str, object]], window: Mapping[str, Window]
) -> list[PageDocument]:
    """For each conversation a page of its messages, oldest first, by the window of its id; one read for all.

    `seq` has no holes, so a window is a range of it that ends with the conversation's last message.
    """
    ranges: list[Document] = []
    for conversation in conversations:
        id, count = cast(str, conversation["_id"]), cast(int, conversation["message_count"])
        low, high = _range(window[id], count)
        if low <= high:
            ranges.append({"conversation_id": id, "seq": {"$gte": low, "$lte": high}})
    found = await _messages(database, ranges, sum(each.limit for each in window.values()))
    out: list[PageDocument] = []
    for conversation in conversations:
        asked = window[cast(str, conversation["_id"])]
        mine = sorted(found.get(cast(str, conversation["_id"]), []), key=_seq, reverse=asked.backward)
        out.append(page(mine, asked, lambda message: (message["seq"],)))
    return out


async def last_messages(
    database: Database, conversations: Sequence[Mapping[str, object]]
) -> list[MessageDocument | None]:
    """For each conversation its last message, or None where there is none; one read for all."""
    ranges: list[Document] = [
        {"conversation_id": conversation["_id"], "seq": conversation["message_count"]} for conversation in conversations
    ]
    found = await _messages(database, ranges, max(1, len(ranges)))
    lasts = (found.get(cast(str, conversation["_id"]), []) for conversation in conversations)
    return [cast(MessageDocument, last[0]) if last else None for last in lasts]


async def reactions_of(database: Database, user_id: str, messages: Sequence[Mapping[str, object]]) -> set[str]:
    """Which `reaction_id`s of this person stand on these messages; one read, none where nobody reacted."""
    ids = [
        reaction_id(cast(str, message["_id"]), user_id, each["emoji"])
        for message in messages
        for each in cast("list[dict[str, str]]", message["reactions"])
    ]
    found = await database.by_ids(REACTIONS, ids, projection={"_id": 1})
    return {document["_id"] for document in found if document is not None}


async def shown_to(
    database: Database, user_id: str, key: Literal["transfer_id", "payment_request_id"], ids: Sequence[str]
) -> set[str]:
    """Which of these transfers or payment requests stand in messages of conversations that this person is in now.

    One command; a deleted message shows nothing.
    """
    if not ids:
        return set()
    member = {"$concat": ["$_id.conversation_id", "/", user_id]}
    found = await database.aggregate(
        MESSAGES,
        [
            {"$match": {key: {"$in": list(ids)}}},
            {"$group": {"_id": {"shown": f"${key}", "conversation_id": "$conversation_id"}}},
            {"$project": {"member": member}},
            {"$lookup": {"from": MEMBERSHIPS, "localField": "member", "foreignField": "_id", "as": "members"}},
            {"$match": {"members": {"$ne": []}}},
        ],
    )
    return {each["_id"]["shown"] for each in found}


async def event_head(database: Database, conversation_id: str) -> int:
    """The number of a conversation's last event; 0 where there is none."""
    document = await database.find_one(CONVERSATIONS, {"_id": conversation_id})
    return 0 if document is None else cast(int, document["event_n"])


async def events_after(database: Database, conversation_id: str, after: int, limit: int) -> list[Document]:
    """At most `limit` events of a conversation with numbers past `after`, in order."""
    return await rows_after(database, EVENTS, conversation_id, after, limit)


async def inbox_head(database: Database, user_id: str) -> int:
    """The number of the last row of a person's inbox; 0 where there is none."""
    return await last_number(database, INBOX_HEADS, user_id)


async def inbox_after(database: Database, user_id: str, after: int, limit: int) -> list[Document]:
    """At most `limit` rows of a person's inbox with numbers past `after`, in order."""
    return await rows_after(database, INBOX, user_id, after, limit)


async def _messages(database: Database, ranges: Sequence[Document], limit: int) -> dict[str, list[Document]]:
    """Messages of these ranges by conversation, in no order."""
    out: dict[str, list[Document]] = {}
    if ranges:
        filter = ranges[0] if len(ranges) == 1 else {"$or": list(ranges)}
        for message in await database.find(MESSAGES, filter, limit=limit):
            out.setdefault(message["conversation_id"], []).append(message)
    return out


def _range(window: Window, count: int) -> tuple[int, int]:
    """The first and last `seq` to read: what is shown and one more beyond it, where there is one."""
    if window.backward:
        high = count if window.key is None else min(count, window.key[0] - 1)
        return max(1, high - window.size), high
    low = 1 if window.key is None else max(1, window.key[0] + 1)
    return low, min(count, low + window.size)


def _seq(message: Document) -> int:
    return cast(int, message["seq"])
