"""Follows: who follows whom, one document a pair, and counters that cannot drift from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.commit import CommitLoop, Read, Work, by_id
from datastores.errors import NotFoundError, ValidationError
from datastores.lists import windows
from datastores.mongo import Database, Document, Session, add_to_counters, insert_in_batches
from datastores.paging import Window

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


@dataclass(frozen=True, slots=True)
class _Follow:
    document: FollowDocument

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        follow = self.document
        yield [by_id(FOLLOWS, follow["_id"]), by_id(USERS, follow["follower_id"], follow["followee_id"])]

    def decide(self, work: Work) -> Document:
        follower, followee = _both(work, self.document["follower_id"], self.document["followee_id"])
        if work.get(FOLLOWS, self.document["_id"]) is not None:
            return followee
        if follower["following_count"] >= MAX_FOLLOWING:
            raise ValidationError(f"One can follow at most {MAX_FOLLOWING:,} people: unfollow somebody first", "userId")
        work.insert(FOLLOWS, cast(Document, self.document))
        return _count(work, follower, followee, 1)


@dataclass(frozen=True, slots=True)
class _Unfollow:
    follower_id: str
    followee_id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        pair = _pair(self.follower_id, self.followee_id)
        yield [by_id(FOLLOWS, pair), by_id(USERS, self.follower_id, self.followee_id)]

    def decide(self, work: Work) -> Document:
        follower, followee = _both(work, self.follower_id, self.followee_id)
        pair = _pair(self.follower_id, self.followee_id)
        if work.get(FOLLOWS, pair) is None:
            return followee
        work.delete(FOLLOWS, pair)
        return _count(work, follower, followee, -1)


async def follow(loop: CommitLoop, follower_id: str, followee_id: str, now: datetime) -> Document:
    """The user who is followed from now on; once, however often it is asked for.

    Raises NotFoundError where there is no `followee_id`, ValidationError past 10,000 people followed. The two ids
    must differ.
    """
    return await loop.submit(_Follow(follow_document(follower_id, followee_id, now)), weight=3)


async def unfollow(loop: CommitLoop, follower_id: str, followee_id: str) -> Document:
    """The user who is not followed any more, if they were; raises NotFoundError. The two ids must differ."""
    return await loop.submit(_Unfollow(follower_id, followee_id), weight=3)


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


async def follows_of(database: Database, user_id: str, limit: int) -> list[tuple[str, str]]:
    """The pairs (follower, followee) that this user is one of; at most `limit`."""
    found = await database.find(FOLLOWS, {"follower_id": user_id}, limit=limit)
    found += await database.find(FOLLOWS, {"followee_id": user_id}, limit=limit)
    return [(follow["follower_id"], follow["followee_id"]) for follow in found[:limit]]


async def insert_follows(database: Database, documents: Sequence[FollowDocument]) -> None:
    """Insert follows, any number, and count them; those that are there already stay as they are.

    Meant for planting data: the bound on how many one may follow is the caller's to keep.
    """

    async def count(session: Session, inserted: list[Document]) -> None:
        await add_to_counters(database, USERS, "following_count", (f["follower_id"] for f in inserted), session)
        await add_to_counters(database, USERS, "follower_count", (f["followee_id"] for f in inserted), session)

    await insert_in_batches(database, FOLLOWS, cast(list[Document], documents), count)


def _both(work: Work, follower_id: str, followee_id: str) -> tuple[Document, Document]:
    follower, followee = work.get(USERS, follower_id), work.get(USERS, followee_id)
    if follower is None or followee is None:
        raise NotFoundError("There is no such user")
    return follower, followee


def _count(work: Work, follower: Document, followee: Document, change: int) -> Document:
    work.update(USERS, follower["_id"], following_count=follower["following_count"] + change)
    return work.update(USERS, followee["_id"], follower_count=followee["follower_count"] + change)


def _pair(follower_id: str, followee_id: str) -> str:
    return f"{follower_id}:{followee_id}"
