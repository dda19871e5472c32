"""The home timeline: posts and reposts of many people merged on reading, by the heads of hinted index walks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from datastores.mongo import Database, Document
from datastores.paging import Key, PageDocument, Window, encode_cursor, keyset, page

from .posts import BY_AUTHOR, NEWEST_FIRST, POSTS, by_ids
from .reactions import BY_USER, REPOSTS

# Past about 200 authors the server stops merging index walks and sorts all their posts in memory.
MAX_AUTHORS: Final = 200
MAX_ROUNDS: Final = 8
MAX_ENTRIES: Final = 1_000
_SLACK: Final = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """A post in a timeline, at the time of its writing or of somebody's repost."""

    created_at: datetime
    id: str
    post_id: str
    reposted_by_id: str | None

    @property
    def key(self) -> Key:
        return self.created_at, self.id


async def home(database: Database, user_ids: Sequence[str], asked: Window) -> PageDocument:
    """A page of the posts and reposts of these users, newest first; key `(created_at, id of post or repost)`.

    A post stands on a page at most once, at its newest entry there; edges have `reposted_by_id`, None where the post
    itself is the entry. What was deleted is passed over: after 8 rounds of reading, each twice as long as the one
    before (at most 1,000 entries), the page ends early, and its end cursor tells where to go on.
    """
    shown: dict[str, Document] = {}
    key, limit = asked.key, asked.limit + _SLACK
    for _ in range(MAX_ROUNDS):
        found = await entries(database, user_ids, key, limit)
        posts = await by_ids(database, list(dict.fromkeys(entry.post_id for entry in found)))
        existing = {post["_id"]: post for post in posts if post is not None}
        for entry in found:
            if entry.post_id in existing and len(shown) < asked.limit:
                shown.setdefault(entry.post_id, {"entry": entry, "post": existing[entry.post_id]})
        if len(shown) == asked.limit or len(found) < limit:
            return _page(list(shown.values()), asked)
        key, limit = found[-1].key, min(limit * 2, MAX_ENTRIES)
    early = _page(list(shown.values()), asked)
    early["page_info"]["has_next_page"] = True
    early["page_info"]["end_cursor"] = encode_cursor(asked.scope, *(key or ()))
    return early


async def entries(database: Database, user_ids: Sequence[str], key: Key | None, limit: int) -> list[Entry]:
    """The `limit` newest entries of these users past `key`, newest first."""
    past, _ = keyset(NEWEST_FIRST, Window("", limit, False, key), few_ties=True)
    chunks = [list(user_ids[at : at + MAX_AUTHORS]) for at in range(0, len(user_ids), MAX_AUTHORS)]
    heads = await asyncio.gather(
        *(_head(database, POSTS, BY_AUTHOR, chunk, past, limit) for chunk in chunks),
        *(_head(database, REPOSTS, BY_USER, chunk, past, limit) for chunk in chunks),
    )
    return sorted((entry for head in heads for entry in head), key=attrgetter("key"), reverse=True)[:limit]


async def _head(
    database: Database,
    collection: str,
    index: list[tuple[str, int]],
    user_ids: list[str],
    past: dict[str, Any],
    limit: int,
) -> list[Entry]:
    found = await database.find(
        collection,
        {index[0][0]: {"$in": user_ids}, **past},
        sort=NEWEST_FIRST,
        limit=limit,
        hint=index,
        projection={"created_at": 1},
    )
    return [_entry(document["created_at"], document["_id"]) for document in found]


def _entry(created_at: datetime, id: str) -> Entry:
    """The id of a repost is the pair of its user and its post."""
    user_id, is_repost, post_id = id.partition(":")
    return Entry(created_at, id, post_id, user_id) if is_repost else Entry(created_at, id, id, None)


def _page(shown: Sequence[Document], asked: Window) -> PageDocument:
    return page(
        shown,
        asked,
        lambda item: item["entry"].key,
        edge=lambda item: {"reposted_by_id": item["entry"].reposted_by_id},
        node=lambda item: item["post"],
    )
