"""Follows: who follows whom, one document a pair, and counters that cannot drift from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.errors import NotFoundError, ValidationError
from datastores.lists import windows
from datastores.mongo import Database, Document, Session
from datastores.paging import Window
from datastores.transactions import add_to_counters, insert_in_batches, run_transaction

from .users import USERS

FOLLOWS: Final = "follows"
MAX_FOLLOWING: Final = 10_000

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    FOLLOWS: [
        IndexModel([("follower_id", ASCENDING), ("created_at", DESCENDING), ("followee_id", DESCENDING)]),
        IndexModel([("followee_id", ASCENDING), ("created_at", DESCENDING), ("follower_id", DESCENDING)]),
    ],
}


class FollowDocument(TypedDict):
    """`follower_id` follows `followee_id`; `_id` is the pair."""

    _id: str
    follower_id: str
    followee_id: str
    created_at: datetime


def follow_document(follower_id: str, followee_id: str, created_at: datetime) -> FollowDocument:
    """The document that says that one user follows another."""
    return {
        "_id": _pair(follower_id, followee_id),
        "follower_id": follower_id,
        "followee_id": followee_id,
        "created_at": created_at,
    }


async def follow(database: Database, follower_id: str, followee_id: str, now: datetime) -> None:
    """Let one user follow another; once, however often it is asked for.

    Raises NotFoundError where there is no `followee_id`, ValidationError past 10,000 people followed.
    """
    document = follow_document(follower_id, followee_id, now)

    async def act(session: Session) -> None:
        update = {"$setOnInsert": document}
        result = await database.update_one(FOLLOWS, {"_id": document["_id"]}, update, upsert=True, session=session)
        if result.upserted_id is None:
            return
        below = {"_id": follower_id, "following_count": {"$lt": MAX_FOLLOWING}}
        counted = await database.update_one(USERS, below, {"$inc": {"following_count": 1}}, session=session)
        if not counted.matched_count:
            raise ValidationError(f"One can follow at most {MAX_FOLLOWING:,} people: unfollow somebody first", "userId")
        followed = {"_id": followee_id}
        counted = await database.update_one(USERS, followed, {"$inc": {"follower_count": 1}}, session=session)
        if not counted.matched_count:
            raise NotFoundError("There is no such user")

    await run_transaction(database, act)


async def unfollow(database: Database, follower_id: str, followee_id: str) -> None:
    """End that one user follows another, if it was so."""

    async def act(session: Session) -> None:
        if await database.delete_one(FOLLOWS, {"_id": _pair(follower_id, followee_id)}, session=session):
            for id, counter in ((follower_id, "following_count"), (followee_id, "follower_count")):
                await database.update_one(USERS, {"_id": id}, {"$inc": {counter: -1}}, session=session)

    await run_transaction(database, act)


async def follows_among(database: Database, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """For each (follower, followee) whether it is so; one read, answered by the index alone."""
    found = await database.by_ids(FOLLOWS, [_pair(*pair) for pair in pairs], projection={"_id": 1})
    return [document is not None for document in found]


async def followers(database: Database, user_ids: Sequence[str], window: Window) -> list[list[Document]]:
    """For each user the follows of those who follow them, newest first; key `(created_at, follower_id)`."""
    order = [("created_at", DESCENDING), ("follower_id", DESCENDING)]
    return await windows(database, FOLLOWS, "followee_id", user_ids, order, window)


async def following(database: Database, user_ids: Sequence[str], window: Window) -> list[list[Document]]:
    """For each user the follows of those whom they follow, newest first; key `(created_at, followee_id)`."""
    order = [("created_at", DESCENDING), ("followee_id", DESCENDING)]
    return await windows(database, FOLLOWS, "follower_id", user_ids, order, window)


async def followed_ids(database: Database, user_id: str) -> list[str]:
    """The ids of all whom a user follows, at most 10,000; one read, answered by the index alone."""
    projection = {"_id": 0, "followee_id": 1}
    found = await database.find(FOLLOWS, {"follower_id": user_id}, limit=MAX_FOLLOWING, projection=projection)
    return [document["followee_id"] for document in found]


async def insert_follows(database: Database, documents: Sequence[FollowDocument]) -> None:
    """Insert follows, any number, and count them; those that are there already stay as they are.

    Meant for planting data: the bound on how many one may follow is the caller's to keep.
    """

    async def count(session: Session, inserted: list[Document]) -> None:
        await add_to_counters(database, USERS, "following_count", (f["follower_id"] for f in inserted), session)
        await add_to_counters(database, USERS, "follower_count", (f["followee_id"] for f in inserted), session)

    await insert_in_batches(database, FOLLOWS, cast(list[Document], documents), count)


def _pair(follower_id: str, followee_id: str) -> str:
    return f"{follower_id}:{followee_id}"
