"""Reactions: who liked and who reposted which post, one document a pair, and counters that cannot drift from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.commit import CommitLoop, Read, Work, by_id
from datastores.errors import NotFoundError
from datastores.mongo import Database, Document, Session, add_to_counters, insert_in_batches

from .posts import POSTS

LIKES: Final = "likes"
REPOSTS: Final = "reposts"
BY_USER: Final = [("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)]

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {LIKES: [], REPOSTS: [IndexModel(BY_USER)]}


@dataclass(frozen=True, slots=True)
class Reaction:
    """A kind of reaction: where it is kept, and which counter of the post counts it."""

    collection: str
    counter: str


LIKE: Final = Reaction(LIKES, "like_count")
REPOST: Final = Reaction(REPOSTS, "repost_count")


class ReactionDocument(TypedDict):
    """`user_id` liked or reposted `post_id`; `_id` is the pair."""

    _id: str
    user_id: str
    post_id: str
    created_at: datetime


def reaction_document(user_id: str, post_id: str, created_at: datetime) -> ReactionDocument:
    """The document that says that a user liked, or reposted, a post."""
    return {"_id": _pair(user_id, post_id), "user_id": user_id, "post_id": post_id, "created_at": created_at}


@dataclass(frozen=True, slots=True)
class _React:
    kind: Reaction
    document: ReactionDocument

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(self.kind.collection, self.document["_id"]), by_id(POSTS, self.document["post_id"])]

    def decide(self, work: Work) -> Document:
        post = _existing(work, self.document["post_id"])
        if work.get(self.kind.collection, self.document["_id"]) is not None:
            return post
        work.insert(self.kind.collection, cast(Document, self.document))
        return work.update(POSTS, post["_id"], **{self.kind.counter: post[self.kind.counter] + 1})


@dataclass(frozen=True, slots=True)
class _TakeBack:
    kind: Reaction
    user_id: str
    post_id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(self.kind.collection, _pair(self.user_id, self.post_id)), by_id(POSTS, self.post_id)]

    def decide(self, work: Work) -> Document:
        post = _existing(work, self.post_id)
        pair = _pair(self.user_id, self.post_id)
        if work.get(self.kind.collection, pair) is None:
            return post
        work.delete(self.kind.collection, pair)
        return work.update(POSTS, post["_id"], **{self.kind.counter: post[self.kind.counter] - 1})


async def react(loop: CommitLoop, kind: Reaction, user_id: str, post_id: str, now: datetime) -> Document:
    """The post, after the user has reacted to it; once, however often it is asked for. Raises NotFoundError."""
    return await loop.submit(_React(kind, reaction_document(user_id, post_id, now)), weight=2)


async def take_back(loop: CommitLoop, kind: Reaction, user_id: str, post_id: str) -> Document:
    """The post, after the user's reaction to it is gone, if there was one. Raises NotFoundError."""
    return await loop.submit(_TakeBack(kind, user_id, post_id), weight=2)


async def reacted(database: Database, kind: Reaction, user_id: str, post_ids: Sequence[str]) -> list[bool]:
    """For each post whether the user reacted to it; one read, answered by the index alone."""
    pairs = [_pair(user_id, post_id) for post_id in post_ids]
    found = await database.by_ids(kind.collection, pairs, projection={"_id": 1})
    return [document is not None for document in found]


async def insert_likes(database: Database, documents: Sequence[ReactionDocument]) -> None:
    """Insert likes, any number, and count them; those that are there already stay as they are."""
    await _insert(database, LIKE, documents)


async def insert_reposts(database: Database, documents: Sequence[ReactionDocument]) -> None:
    """Insert reposts, any number, and count them; those that are there already stay as they are."""
    await _insert(database, REPOST, documents)


async def _insert(database: Database, kind: Reaction, documents: Sequence[ReactionDocument]) -> None:
    async def count(session: Session, inserted: list[Document]) -> None:
        await add_to_counters(database, POSTS, kind.counter, (one["post_id"] for one in inserted), session)

    await insert_in_batches(database, kind.collection, cast(list[Document], documents), count)


def _existing(work: Work, post_id: str) -> Document:
    if (post := work.get(POSTS, post_id)) is None:
        raise NotFoundError("There is no such post")
    return post


def _pair(user_id: str, post_id: str) -> str:
    return f"{user_id}:{post_id}"
