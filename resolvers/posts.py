"""What people may do with posts, and what everybody may read of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from datastores import accounts, merchants
from datastores import posts as store
from datastores.errors import ForbiddenError, NotFoundError, ValidationError
from datastores.ids import is_id
from datastores.mongo import Document
from datastores.paging import PageDocument, page, window
from datastores.posts import LIKE, REPOST, Reaction
from datastores.words import MAX_QUERY_LENGTH

from .connections import HasId, connections
from .context import Context
from .media import checked_media
from .notifications import Kind, notify
from .texts import client_id as checked_client_id
from .texts import trimmed

_KEY: Final = {"created_at": datetime, "_id": str}
_LOOP: Final = "posts"
_NO_POST: Final = "There is no such post"


async def by_id(ctx: Context, ids: Sequence[str], *, keys: Collection[str] | None = None) -> list[Document | None]:
    """For each id the post, or None where there is none or it was deleted; everybody may read every post.

    With `keys`, no more of it than these.
    """
    return await store.by_ids(ctx.database, ids, keys=keys)


async def post(ctx: Context, *, id: str) -> Document | None:
    """The post with this id, or None."""
    return (await store.by_ids(ctx.database, [id]))[0]


async def posts(
    ctx: Context,
    *,
    search: str | None = None,
    hashtag: str | None = None,
    first: int | None = None,
    after: str | None = None,
    keys: Collection[str] | None = None,
) -> PageDocument:
    """The posts with all the words of `search` (at most 8, whole words or hashtags) and with `hashtag`, newest first.

    Without either (or with a blank search), all posts; a search of signs alone finds nothing. With `keys`, no more of
    each than these. Raises ValidationError
    for a search of more than 200 characters, or a hashtag that is none.
    """
    wanted = trimmed(search or "", "search", most=MAX_QUERY_LENGTH, least=0)
    tokens = store.query_tokens(wanted)
    finds_nothing = bool(wanted) and not tokens
    if hashtag is not None:
        tag = store.hashtag(trimmed(hashtag, "hashtag", most=MAX_QUERY_LENGTH, least=0))
        if tag is None:
            raise ValidationError("A hashtag is one word of at most 50 characters, one of them a letter", "hashtag")
        tokens = list(dict.fromkeys([f"#{tag}", *tokens]))
    asked = window(f"posts/{' '.join(tokens)}", *_KEY.values(), first=first, after=after)
    if finds_nothing:
        return page([], asked, lambda post: (post["created_at"], post["_id"]))
    return await store.search(ctx.database, tokens, asked, keys=keys)


async def of_authors(
    ctx: Context, users: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """For each user a page of the posts that they wrote, replies too, newest first."""
    return await connections(
        users, "posts", lambda ids, w: store.of_authors(ctx.database, ids, w), _KEY, first=first, after=after
    )


async def replies(
    ctx: Context, posts: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """For each post a page of the replies to it, newest first."""
    return await connections(
        posts, "replies", lambda ids, w: store.replies(ctx.database, ids, w), _KEY, first=first, after=after
    )


async def home_timeline(
    ctx: Context, viewers: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument | Exception]:
    """The posts and reposts of those whom the viewer follows and the viewer's own, newest first; a post once a page."""

    async def one(viewer: HasId) -> PageDocument | Exception:
        if viewer["_id"] != user_id:
            return ForbiddenError("A timeline is its own viewer's alone")
        return await store.home(ctx.database, authors, asked)

    user_id = ctx.viewer.person()
    asked = window(f"home/{user_id}", *_KEY.values(), first=first, after=after)
    authors = [user_id, *await accounts.followed_ids(ctx.database, user_id)]
    return [await one(viewer) for viewer in viewers]


async def viewer_has_liked(ctx: Context, posts: Sequence[HasId]) -> list[bool]:
    """For each post whether the viewer likes it; false when nobody is signed in."""
    return await _viewer_has(ctx, LIKE, posts)


async def viewer_has_reposted(ctx: Context, posts: Sequence[HasId]) -> list[bool]:
    """For each post whether the viewer reposted it; false when nobody is signed in."""
    return await _viewer_has(ctx, REPOST, posts)


async def create_post(
    ctx: Context,
    *,
    text: str,
    reply_to_id: str | None = None,
    quote_of_id: str | None = None,
    listing_id: str | None = None,
    media: Sequence[Document] = (),
    client_id: str | None = None,
) -> Document:
    """The viewer's new post, or the one that the viewer made with this `client_id` before.

    The text has 1 to 2,000 characters; its first 20 hashtags and 20 mentions of people that exist count. At most 10
    media. Raises ValidationError, and NotFoundError for a post or a listing that the viewer cannot see.
    """
    author_id = ctx.viewer.person()
    accepted = trimmed(text, "text", most=store.MAX_TEXT)
    checked = checked_media(media, "media")
    key = checked_client_id(client_id, "clientId")
    if key is not None and (earlier := await store.by_client_id(ctx.database, author_id, key)) is not None:
        # Whoever asks again may do so because the first time broke off before anybody was told.
        await _tell_again(ctx, earlier)
        return earlier
    parent, quoted, mentioned, _ = await asyncio.gather(
        _existing(ctx, reply_to_id, "There is no post to reply to"),
        _existing(ctx, quote_of_id, "There is no post to quote"),
        accounts.by_handles(ctx.database, store.mentions_in(accepted)),
        _check_listing(ctx, listing_id),
    )
    made = await store.create(
        ctx.commits[_LOOP],
        store.post_document(
            author_id=author_id,
            text=accepted,
            created_at=ctx.now(),
            reply_to_id=reply_to_id,
            root_id=(parent["root_id"] or parent["_id"]) if parent else None,
            quote_of_id=quote_of_id,
            mention_ids=[user["_id"] for user in mentioned if user is not None],
            media=checked,
            listing_id=listing_id,
            client_id=key,
        ),
    )
    await _tell_of(ctx, made, parent, quoted)
    return made


async def delete_post(ctx: Context, *, post_id: str) -> str:
    """The id of the viewer's post, which is gone now; its replies stay.

    Raises NotFoundError where there is none, ForbiddenError where it is somebody else's.
    """
    user_id = ctx.viewer.person()
    found = await post(ctx, id=post_id)
    if found is None:
        raise NotFoundError(_NO_POST)
    if found["author_id"] != user_id:
        raise ForbiddenError("Only its author may delete a post")
    await store.delete(ctx.commits[_LOOP], post_id, ctx.now())
    return post_id


async def like_post(ctx: Context, *, post_id: str) -> Document:
    """The post, which the viewer likes from now on; raises NotFoundError."""
    return await _react(ctx, LIKE, "like", post_id)


async def unlike_post(ctx: Context, *, post_id: str) -> Document:
    """The post, which the viewer does not like any more; raises NotFoundError."""
    return await _take_back(ctx, LIKE, post_id)


async def repost(ctx: Context, *, post_id: str) -> Document:
    """The post, which stands in the timelines of the viewer's followers from now on; raises NotFoundError."""
    return await _react(ctx, REPOST, "repost", post_id)


async def undo_repost(ctx: Context, *, post_id: str) -> Document:
    """The post, which is not the viewer's repost any more; raises NotFoundError."""
    return await _take_back(ctx, REPOST, post_id)


async def _react(ctx: Context, kind: Reaction, name: Kind, post_id: str) -> Document:
    user_id = ctx.viewer.person()
    _check_id(post_id)
    found = await store.react(ctx.commits[_LOOP], kind, user_id, post_id, ctx.now())
    await notify(ctx, user_id=found["author_id"], kind=name, actor_id=user_id, subject_id=post_id)
    return found


async def _take_back(ctx: Context, kind: Reaction, post_id: str) -> Document:
    user_id = ctx.viewer.person()
    _check_id(post_id)
    return await store.take_back(ctx.commits[_LOOP], kind, user_id, post_id)


async def _viewer_has(ctx: Context, kind: Reaction, posts: Sequence[HasId]) -> list[bool]:
    if ctx.viewer.user_id is None:
        return [False] * len(posts)
    return await store.reacted(ctx.database, kind, ctx.viewer.user_id, [post["_id"] for post in posts])


async def _existing(ctx: Context, id: str | None, message: str) -> Document | None:
    if id is None:
        return None
    if (found := await post(ctx, id=id)) is None:
        raise NotFoundError(message)
    return found


async def _check_listing(ctx: Context, id: str | None) -> None:
    if id is None:
        return
    (found,) = await merchants.listings_by_ids(ctx.database, [id])
    if found is None or not (found["public"] or found["seller_id"] == ctx.viewer.user_id):
        raise NotFoundError("There is no such listing")


async def _tell_of(ctx: Context, made: Document, parent: Document | None, quoted: Document | None) -> None:
    """Each of those whom a new post concerns is told once, of the nearest reason."""
    told: dict[str, Kind] = {}
    if parent is not None:
        told.setdefault(parent["author_id"], "reply")
    if quoted is not None:
        told.setdefault(quoted["author_id"], "quote")
    for user_id in made["mention_ids"]:
        told.setdefault(user_id, "mention")
    author_id, post_id = made["author_id"], made["_id"]
    await asyncio.gather(
        *(notify(ctx, user_id=id, kind=kind, actor_id=author_id, subject_id=post_id) for id, kind in told.items())
    )


async def _tell_again(ctx: Context, made: Document) -> None:
    """The same notices; none where a post that was a reason is gone: another reason would make a second one of it."""
    reasons = [made["reply_to_id"], made["quote_of_id"]]
    parent, quoted = await by_id(ctx, [id or "" for id in reasons])
    if [id is not None for id in reasons] == [parent is not None, quoted is not None]:
        await _tell_of(ctx, made, parent, quoted)


def _check_id(post_id: str) -> None:
    if not is_id("post", post_id):
        raise NotFoundError(_NO_POST)
