"""What people may do with profiles and follows, and how a first sign-in makes a user."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from datastores import accounts as store
from datastores.accounts import ProfileChanges
from datastores.clock import utc_now
from datastores.errors import NotFoundError, ValidationError
from datastores.ids import is_id
from datastores.mongo import Database, Document
from datastores.paging import PageDocument, page, window
from datastores.words import MAX_QUERY_LENGTH, query_words

from .connections import HasId, connections, nodes_of, with_nodes
from .context import Context
from .notifications import notify
from .texts import is_storable, trimmed, trimmed_or_none, web_url

MAX_HANDLE: Final = 30
MAX_DISPLAY_NAME: Final = 50
MAX_BIO: Final = 500
MAX_IDENTITY: Final = 255
HANDLE: Final = re.compile(r"@?([A-Za-z0-9_]{1,30})\Z")
_LOOP: Final = "accounts"
_FURTHER_DIGITS: Final = (4, 4, 6, 6, 8, 10)


async def by_id(ctx: Context, ids: Sequence[str], *, keys: Collection[str] | None = None) -> list[Document | None]:
    """For each id the user or None; everybody may see everybody. With `keys`, no more of them than these."""
    return await store.by_ids(ctx.database, ids, keys=keys)


async def viewers(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the viewer, or None unless it is the caller."""
    return [{"_id": id} if id == ctx.viewer.user_id else None for id in ids]


async def viewer(ctx: Context) -> Document | None:
    """The viewer, or None where no person is signed in."""
    return None if ctx.viewer.user_id is None else {"_id": ctx.viewer.user_id}


async def user(
    ctx: Context, *, id: str | None = None, handle: str | None = None, keys: Collection[str] | None = None
) -> Document | None:
    """The user with this id or with this handle (in any case, with or without `@`), or None.

    With `keys`, no more of one by id than these. Raises ValidationError unless exactly one is given.
    """
    if (id is None) == (handle is None):
        raise ValidationError("Pass either `id` or `handle`", "handle")
    if id is not None:
        return (await store.by_ids(ctx.database, [id], keys=keys))[0]
    match = HANDLE.match(handle or "")
    return (await store.by_handles(ctx.database, [match[1]]))[0] if match else None


async def by_handles(ctx: Context, handles: Sequence[str]) -> list[Document | None]:
    """For each handle (in any case, without `@`) the user or None."""
    valid = [handle.lower() for handle in handles if HANDLE.match(handle)]
    found = dict(zip(valid, await store.by_handles(ctx.database, valid), strict=True))
    return [found.get(handle.lower()) for handle in handles]


async def users(ctx: Context, *, search: str, first: int | None = None, after: str | None = None) -> PageDocument:
    """The users whose handle or name has words that begin with all the words of `search`, by handle.

    A search without words finds nobody. Raises ValidationError past 200 characters.
    """
    wanted = query_words(trimmed(search, "search", most=MAX_QUERY_LENGTH, least=0))
    asked = window(f"users/{' '.join(wanted)}", str, first=first, after=after)
    if not wanted:
        return page([], asked, lambda document: (document["handle"],))
    return await store.search(ctx.database, wanted, asked)


async def update_profile(ctx: Context, changes: Mapping[str, Any]) -> Document:
    """The viewer's user with what `changes` has of `display_name`, `bio` and `avatar_url`.

    An absent key is unchanged, None is cleared. Raises ValidationError for an empty name or one of more than 50
    characters, a bio of more than 500, a URL that is not http or https.
    """
    user_id = ctx.viewer.person()
    accepted: ProfileChanges = {}
    if "display_name" in changes:
        if changes["display_name"] is None:
            raise ValidationError("A name cannot be cleared: leave it out to keep it", "displayName")
        accepted["display_name"] = trimmed(changes["display_name"], "displayName", most=MAX_DISPLAY_NAME)
    if "bio" in changes:
        accepted["bio"] = trimmed_or_none(changes["bio"], "bio", most=MAX_BIO)
    if "avatar_url" in changes:
        address = changes["avatar_url"]
        accepted["avatar_url"] = None if address is None else web_url(address, "avatarUrl")
    updated = await store.update_profile(ctx.database, user_id, accepted)
    if updated is None:
        raise NotFoundError("There is no such user any more")
    return updated


async def follow(ctx: Context, *, user_id: str) -> Document:
    """The user whom the viewer follows from now on; following twice is following once.

    Raises NotFoundError for an unknown user, ValidationError for oneself or past 10,000 people followed.
    """
    viewer_id = ctx.viewer.person()
    if user_id == viewer_id:
        raise ValidationError("One cannot follow oneself", "userId")
    _known(user_id)
    if not store.is_there((await store.by_ids(ctx.database, [user_id]))[0]):
        raise NotFoundError("There is no such user")
    followed = await store.follow(ctx.commits[_LOOP], viewer_id, user_id, ctx.now())
    await notify(ctx, user_id=user_id, kind="follow", actor_id=viewer_id, subject_id=viewer_id)
    return followed


async def unfollow(ctx: Context, *, user_id: str) -> Document:
    """The user whom the viewer does not follow any more; raises NotFoundError, or ValidationError for oneself."""
    viewer_id = ctx.viewer.person()
    if user_id == viewer_id:
        raise ValidationError("One cannot unfollow oneself", "userId")
    _known(user_id)
    return await store.unfollow(ctx.commits[_LOOP], viewer_id, user_id)


async def viewer_follows(ctx: Context, users: Sequence[HasId]) -> list[bool]:
    """For each user whether the viewer follows them; false when nobody is signed in."""
    if (me := ctx.viewer.user_id) is None:
        return [False] * len(users)
    return await store.follows_among(ctx.database, [(me, user["_id"]) for user in users])


async def follows_viewer(ctx: Context, users: Sequence[HasId]) -> list[bool]:
    """For each user whether they follow the viewer; false when nobody is signed in."""
    if (me := ctx.viewer.user_id) is None:
        return [False] * len(users)
    return await store.follows_among(ctx.database, [(user["_id"], me) for user in users])


async def followers(
    ctx: Context, users: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """For each user a page of those who follow them, newest first."""
    key = {"created_at": datetime, "follower_id": str}
    pages = await connections(
        users, "followers", lambda ids, w: store.followers(ctx.database, ids, w), key, first=first, after=after
    )
    return await _with_users(ctx, pages, "follower_id")


async def following(
    ctx: Context, users: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """For each user a page of those whom they follow, newest first."""
    key = {"created_at": datetime, "followee_id": str}
    pages = await connections(
        users, "following", lambda ids, w: store.following(ctx.database, ids, w), key, first=first, after=after
    )
    return await _with_users(ctx, pages, "followee_id")


async def sign_in(
    database: Database, *, issuer: str, subject: str, preferred_username: str | None, name: str | None
) -> str:
    """The id of the user with this identity, who is made at the first sign-in.

    The handle of a new user comes from `preferred_username`, made of a–z, 0–9 and _, and unique. Issuer and subject
    are those of a verified token; raises ValidationError past 255 characters each.
    """
    for value in (issuer, subject):
        if not 0 < len(value) <= MAX_IDENTITY or not is_storable(value):
            raise ValidationError(f"Issuer and subject of a token must have 1 to {MAX_IDENTITY} characters")
    if (known := await store.user_of(database, issuer, subject)) is not None:
        return known
    handles = handle_candidates(preferred_username or name or "", f"{issuer}\x1f{subject}")
    display_name = display_name_of(name or preferred_username or "") or handles[0]
    return await store.sign_up(
        database, issuer, subject, handles=handles, display_name=display_name, created_at=utc_now()
    )


def handle_candidates(wish: str, seed: str) -> list[str]:
    """Handles to try for a new user: the wish made acceptable, then with digits that only depend on `seed`."""
    local_part = wish.partition("@")[0] or wish
    plain = unicodedata.normalize("NFKD", local_part).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    candidates = [stem[:MAX_HANDLE].rstrip("_")] if stem else []
    for attempt, digits in enumerate(_FURTHER_DIGITS):
        number = int.from_bytes(hashlib.sha256(f"{seed}\x1f{attempt}".encode()).digest()[:8], "big")
        start = (stem or "user")[: MAX_HANDLE - digits - 1].rstrip("_")
        candidates.append(f"{start}_{number % 10**digits:0{digits}}")
    return candidates


def display_name_of(name: str) -> str:
    """A name as an identity provider tells it, made acceptable; empty where nothing of it is."""
    printable = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(printable.split())[:MAX_DISPLAY_NAME].strip()


def _known(user_id: str) -> None:
    if not is_id("usr", user_id):
        raise NotFoundError("There is no such user")


async def _with_users(
    ctx: Context, pages: Sequence[PageDocument | Exception], key: str
) -> list[PageDocument | Exception]:
    ids = list(dict.fromkeys(follow[key] for follow in nodes_of(pages)))
    found = await store.by_ids(ctx.database, ids) if ids else []
    with_nodes(pages, {user["_id"]: user for user in found if user is not None}, key)
    return list(pages)
