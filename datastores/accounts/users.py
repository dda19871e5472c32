"""Users: profiles, unique handles, and the tokens that they are found by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, cast

from pymongo import ASCENDING, IndexModel

from datastores.ids import id_at, is_id
from datastores.mongo import Database, Document, insert_in_batches
from datastores.paging import PageDocument, Window, keyset, page
from datastores.words import MAX_PREFIX, prefixes, words

USERS: Final = "users"
MAX_NAME_WORDS: Final = 8
_BY_TOKEN: Final = [("tokens", ASCENDING), ("handle", ASCENDING)]
_SHOWN: Final = {"tokens": 0}
_BEING_ERASED: Final = {"erasure.since": {"$type": "date"}}

INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    USERS: [
        IndexModel([("handle", ASCENDING)], unique=True),
        IndexModel(_BY_TOKEN),
        IndexModel([("erasure.since", ASCENDING)], name="being_erased", partialFilterExpression=_BEING_ERASED),
    ],
}


class UserDocument(TypedDict):
    """A person. `handle` is lower case and changes only when the person is erased; `tokens` are never shown.

    Beside these there are `erasure` and `erased_at`, where a person is being erased or has been; see `erasures`.
    """

    _id: str
    handle: str
    display_name: str
    bio: str | None
    avatar_url: str | None
    created_at: datetime
    verified: bool
    follower_count: int
    following_count: int
    tokens: list[str]


class ProfileChanges(TypedDict, total=False):
    """What of a profile changes; a key that is absent stays as it is."""

    display_name: str
    bio: str | None
    avatar_url: str | None


def user_document(
    *,
    handle: str,
    display_name: str,
    created_at: datetime,
    bio: str | None = None,
    avatar_url: str | None = None,
    verified: bool = False,
    random_bits: int | None = None,
) -> UserDocument:
    """A new user, whom nobody follows; the id carries `created_at` and, where given, the 80 `random_bits`."""
    return {
        "_id": id_at("usr", created_at, random_bits),
        "handle": handle,
        "display_name": display_name,
        "bio": bio,
        "avatar_url": avatar_url,
        "created_at": created_at,
        "verified": verified,
        "follower_count": 0,
        "following_count": 0,
        "tokens": _tokens(handle, display_name),
    }


async def by_ids(
    database: Database, ids: Sequence[str], *, keys: Collection[str] | None = None
) -> list[Document | None]:
    """For each id the user or None; one read. With `keys`, no more than these of each, and `_id`."""
    shown = _SHOWN if keys is None else dict.fromkeys(keys, 1)
    wanted = [id for id in ids if is_id("usr", id)]
    found = await database.by_ids(USERS, wanted, projection=shown)
    if len(wanted) == len(ids):
        return found
    known = dict(zip(wanted, found, strict=True))
    return [known.get(id) for id in ids]


async def by_handles(database: Database, handles: Sequence[str]) -> list[Document | None]:
    """For each handle, in any case, the user or None; one read."""
    return await database.by_ids(USERS, [handle.lower() for handle in handles], key="handle", projection=_SHOWN)


def is_there(user: Mapping[str, Any] | None) -> bool:
    """Whether there is such a person, who has not been erased and is not about to be."""
    return user is not None and user.get("erased_at") is None and user.get("erasure") is None


async def search(database: Database, wanted: Sequence[str], window: Window) -> PageDocument:
    """A page of the users of whose handle and name each of these words begins a word, by handle.

    `wanted` are 1 or more folded words; the key of the window is the handle.
    """
    past, sort = keyset([("handle", ASCENDING)], window)
    filter: dict[str, Any] = {"tokens": {"$all": [word[:MAX_PREFIX] for word in wanted]}, **past}
    documents = await database.find(USERS, filter, sort=sort, limit=window.limit, hint=_BY_TOKEN, projection=_SHOWN)
    return page(documents, window, lambda document: (document["handle"],))


async def update_profile(database: Database, user_id: str, changes: ProfileChanges) -> Document | None:
    """The user with these changes, or None where there is no such user."""
    (user,) = await by_ids(database, [user_id])
    if user is None or not changes:
        return user
    update: dict[str, Any] = dict(changes)
    if "display_name" in changes:
        update["tokens"] = _tokens(user["handle"], changes["display_name"])
    return await database.find_one_and_update(USERS, {"_id": user_id}, {"$set": update})


async def insert_users(database: Database, documents: Sequence[UserDocument]) -> None:
    """Insert users, any number; those whose ids are there already stay as they are."""
    await insert_in_batches(database, USERS, cast(list[Document], documents))


def _tokens(handle: str, display_name: str) -> list[str]:
    return prefixes([*words(handle, limit=MAX_NAME_WORDS), *words(display_name, limit=MAX_NAME_WORDS)])
