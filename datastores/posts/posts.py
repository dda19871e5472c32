"""Posts: documents, the lists they stand in, and what is left of those that were deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.commit import CommitLoop, Read, Work, by_fields, by_id, by_new_id
from datastores.errors import NotFoundError
from datastores.ids import id_at, is_id
from datastores.lists import windows
from datastores.mongo import Database, Document, Session, add_to_counters, insert_in_batches
from datastores.paging import PageDocument, Window, keyset, page

from .marks import hashtags_in, tokens_of

POSTS: Final = "posts"
DELETED: Final = "deleted_posts"
MAX_TEXT: Final = 2_000
NEWEST_FIRST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]
BY_AUTHOR: Final = [("author_id", ASCENDING), *NEWEST_FIRST]
_BY_TOKEN: Final = [("tokens", ASCENDING), *NEWEST_FIRST]
_HIDDEN: Final = {"tokens": 0, "client_id": 0}
_WITH_CLIENT_ID: Final[dict[str, Any]] = {"client_id": {"$gt": ""}}
_DELETED_SINCE: Final = "The post that was made with this clientId has been deleted"
_CLIENT_KEY: Final = [("author_id", ASCENDING), ("client_id", ASCENDING)]

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    POSTS: [
        IndexModel(BY_AUTHOR),
        IndexModel(_BY_TOKEN),
        IndexModel(NEWEST_FIRST),
        IndexModel([("reply_to_id", ASCENDING), *NEWEST_FIRST], partialFilterExpression={"reply_to_id": {"$gt": ""}}),
        IndexModel(_CLIENT_KEY, unique=True, partialFilterExpression=_WITH_CLIENT_ID),
    ],
    DELETED: [IndexModel(_CLIENT_KEY, partialFilterExpression=_WITH_CLIENT_ID)],
}


class PostDocument(TypedDict):
    """A post. `root_id` is the post that began the thread, None for a post that is no reply.

    `hashtags` are folded and without `#`; `tokens` and `client_id` are never shown.
    """

    _id: str
    author_id: str
    text: str
    created_at: datetime
    edited_at: datetime | None
    reply_to_id: str | None
    root_id: str | None
    quote_of_id: str | None
    like_count: int
    reply_count: int
    repost_count: int
    hashtags: list[str]
    mention_ids: list[str]
    media: list[Document]
    listing_id: str | None
    tokens: list[str]
    client_id: str | None


def post_document(
    *,
    author_id: str,
    text: str,
    created_at: datetime,
    reply_to_id: str | None = None,
    root_id: str | None = None,
    quote_of_id: str | None = None,
    mention_ids: Sequence[str] = (),
    media: Sequence[Document] = (),
    listing_id: str | None = None,
    client_id: str | None = None,
    random_bits: int | None = None,
) -> PostDocument:
    """A new post with hashtags and tokens of its text; its id carries `created_at`, and `random_bits` if given."""
    return {
        "_id": id_at("post", created_at, random_bits),
        "author_id": author_id,
        "text": text,
        "created_at": created_at,
        "edited_at": None,
        "reply_to_id": reply_to_id,
        "root_id": root_id,
        "quote_of_id": quote_of_id,
        "like_count": 0,
        "reply_count": 0,
        "repost_count": 0,
        "hashtags": hashtags_in(text),
        "mention_ids": list(mention_ids),
        "media": list(media),
        "listing_id": listing_id,
        "tokens": tokens_of(text),
        "client_id": client_id,
    }


async def by_ids(
    database: Database, ids: Sequence[str], *, keys: Collection[str] | None = None
) -> list[Document | None]:
    """For each id the post, or None where there is none or it was deleted; one read.

    With `keys`, no more than these of each, and `_id`.
    """
    wanted = [id for id in ids if is_id("post", id)]
    known = dict(zip(wanted, await database.by_ids(POSTS, wanted, projection=_shown(keys)), strict=True))
    return [known.get(id) for id in ids]


async def by_client_id(database: Database, author_id: str, client_id: str) -> Document | None:
    """The author's post that was made with this client id, or None; NotFoundError where it was deleted since."""
    key = {"author_id": author_id, "client_id": client_id}
    if (post := await database.find_one(POSTS, key)) is not None:
        return post
    if await database.find_one(DELETED, key) is not None:
        raise NotFoundError(_DELETED_SINCE)
    return None


async def create(loop: CommitLoop, document: PostDocument) -> Document:
    """The post, written now, or the one that its author made with the same client id before.

    Raises NotFoundError where the post that it replies to is gone, or where the earlier one was deleted.
    """
    return await loop.submit(_Create(document), weight=2)


async def delete(loop: CommitLoop, post_id: str, now: datetime, random_bits: int | None = None) -> None:
    """Delete a post; its replies stay. Raises NotFoundError where it is gone already.

    Reposts and likes of it stay, and are passed over where they are read. `random_bits`, if given, tell this deletion
    from others of the same millisecond.
    """
    await loop.submit(_Delete(post_id, id_at("del", now, random_bits), now), weight=3)


async def of_authors(database: Database, author_ids: Sequence[str], window: Window) -> list[list[Document]]:
    """For each author their posts, newest first; key `(created_at, _id)`."""
    return await windows(database, POSTS, "author_id", author_ids, NEWEST_FIRST, window, projection=_HIDDEN)


async def ids_of_author(database: Database, author_id: str, limit: int) -> list[str]:
    """The ids of the newest posts of an author."""
    found = await database.find(
        POSTS, {"author_id": author_id}, sort=NEWEST_FIRST, limit=limit, projection={"_id": 1}, hint=BY_AUTHOR
    )
    return [post["_id"] for post in found]


async def replies(database: Database, post_ids: Sequence[str], window: Window) -> list[list[Document]]:
    """For each post the replies to it, newest first; key `(created_at, _id)`."""
    return await windows(database, POSTS, "reply_to_id", post_ids, NEWEST_FIRST, window, projection=_HIDDEN)


async def search(
    database: Database, tokens: Sequence[str], window: Window, *, keys: Collection[str] | None = None
) -> PageDocument:
    """A page of the posts that have all these tokens (of all posts where there are none), newest first.

    With `keys`, no more than these of each, `created_at` and `_id`.
    """
    past, sort = keyset(NEWEST_FIRST, window, few_ties=True)
    filter: dict[str, Any] = {"tokens": {"$all": list(tokens)}, **past} if tokens else dict(past)
    hint = _BY_TOKEN if tokens else NEWEST_FIRST
    found = await database.find(POSTS, filter, sort=sort, limit=window.limit, hint=hint, projection=_shown(keys))
    return page(found, window, lambda post: (post["created_at"], post["_id"]))


def _shown(keys: Collection[str] | None) -> dict[str, int]:
    return _HIDDEN if keys is None else dict.fromkeys((*keys, "created_at"), 1)


async def insert_posts(database: Database, documents: Sequence[PostDocument]) -> None:
    """Insert posts, any number, and count replies; those whose ids are there already stay as they are.

    A reply must come after the post that it replies to.
    """

    async def count(session: Session, inserted: list[Document]) -> None:
        answered = (post["reply_to_id"] for post in inserted if post["reply_to_id"] is not None)
        await add_to_counters(database, POSTS, "reply_count", answered, session)

    await insert_in_batches(database, POSTS, cast(list[Document], documents), count)


@dataclass(frozen=True, slots=True)
class _Create:
    document: PostDocument

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        reads = [by_new_id(POSTS, self.document["_id"])]
        if self.document["reply_to_id"] is not None:
            reads.append(by_id(POSTS, self.document["reply_to_id"]))
        if self.document["client_id"] is not None:
            reads += [by_fields(POSTS, **self._client_key()), by_fields(DELETED, **self._client_key())]
        yield reads

    def decide(self, work: Work) -> Document:
        if (written := work.get(POSTS, self.document["_id"])) is not None:
            return written
        if self.document["client_id"] is not None:
            if earlier := work.find(POSTS, **self._client_key()):
                return earlier[0]
            if work.find(DELETED, **self._client_key()):
                raise NotFoundError(_DELETED_SINCE)
        if (parent_id := self.document["reply_to_id"]) is not None:
            if (parent := work.get(POSTS, parent_id)) is None:
                raise NotFoundError("There is no post to reply to")
            work.update(POSTS, parent_id, reply_count=parent["reply_count"] + 1)
        return work.insert(POSTS, cast(Document, self.document))

    def _client_key(self) -> dict[str, str | None]:
        return {"author_id": self.document["author_id"], "client_id": self.document["client_id"]}


@dataclass(frozen=True, slots=True)
class _Delete:
    post_id: str
    deletion_id: str
    now: datetime

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(POSTS, self.post_id), by_id(DELETED, self.post_id)]
        post = work.get(POSTS, self.post_id)
        if post is not None and post["reply_to_id"] is not None:
            yield [by_id(POSTS, post["reply_to_id"])]

    def decide(self, work: Work) -> None:
        post = work.get(POSTS, self.post_id)
        if post is None:
            deleted = work.get(DELETED, self.post_id)
            if deleted is not None and deleted.get("deletion_id") == self.deletion_id:
                # By an earlier try of this very act.
                return
            raise NotFoundError("There is no such post")
        work.delete(POSTS, self.post_id)
        left = {key: post[key] for key in ("_id", "author_id", "client_id")}
        work.insert(DELETED, {**left, "deleted_at": self.now, "deletion_id": self.deletion_id})
        if post["reply_to_id"] is not None and (parent := work.get(POSTS, post["reply_to_id"])) is not None:
            work.update(POSTS, parent["_id"], reply_count=parent["reply_count"] - 1)
