"""Who is told of what others did to them, and what each person sees of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Literal, cast, get_args

from datastores import notifications as store
from datastores.errors import ExpectedError
from datastores.mongo import Document
from datastores.paging import PageDocument, decode_cursor, encode_cursor, window

from .audiences import DELIVERY, Delivery
from .connections import HasId
from .context import Context
from .streams import follow

Kind = Literal[
    "follow",
    "like",
    "repost",
    "reply",
    "mention",
    "quote",
    "transfer",
    "refund",
    "hold",
    "hold_captured",
    "hold_voided",
    "payment_request",
    "payment_request_accepted",
    "payment_request_declined",
    "payment_request_cancelled",
    "order_placed",
    "order_paid",
    "order_shipped",
    "order_completed",
    "order_cancelled",
]

KINDS: Final[tuple[str, ...]] = get_args(Kind)
_log: Final = logging.getLogger(__name__)


async def notify(ctx: Context, *, user_id: str, kind: Kind, actor_id: str | None, subject_id: str) -> None:
    """Tell a person once that `actor_id` did this to `subject_id`; nobody is told of what they did themselves.

    To be called after the act was committed. The same notice again changes nothing, so an act that is retried may
    notify again. A notice that cannot be written now is logged and left out: the act that it tells of has happened.
    """
    try:
        await write_notice(ctx, user_id=user_id, kind=kind, actor_id=actor_id, subject_id=subject_id)
    except ExpectedError as error:
        _log.warning("a notification of kind %s was not written: %s", kind, error.code)


async def write_notice(ctx: Context, *, user_id: str, kind: Kind, actor_id: str | None, subject_id: str) -> None:
    """As `notify`, for who comes again where it was not possible: raises what a commit loop raises."""
    if user_id != actor_id:
        await store.append(ctx.commits["notifications"], store.Notice(user_id, kind, actor_id, subject_id))


async def by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the notification, or None unless it is the viewer's; one read."""
    if ctx.viewer.user_id is None:
        return [None] * len(ids)
    return await store.by_ids(ctx.database, ctx.viewer.user_id, ids)


async def notifications(
    ctx: Context, viewers: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument]:
    """For the viewer a page of their notifications, newest first."""

    async def one(user_id: str) -> PageDocument:
        asked = window(f"notifications/{user_id}", int, first=first, after=after)
        return await store.newest(ctx.database, user_id, asked)

    return [await one(viewer["_id"]) for viewer in viewers]


async def mark_read(ctx: Context, *, up_to: str) -> int:
    """Mark this notification of the viewer and all older ones read; returns how many are still unread.

    Raises NotFoundError unless it is a notification of the viewer.
    """
    user_id = ctx.viewer.person()
    return await store.mark_read(ctx.database, user_id, up_to, ctx.now())


async def notification_added(ctx: Context, *, after: str | None) -> AsyncGenerator[Document, None]:
    """Each new notification of the viewer, as it is now, with its cursor.

    Raises ValidationError for a cursor of something else, and what `follow` raises.
    """
    user_id = ctx.viewer.person()
    scope = f"notification_events/{user_id}"
    rows = follow(
        ctx,
        store.EVENTS,
        [user_id],
        after=None if after is None else cast(int, decode_cursor(scope, after, int)[0]),
        head=lambda: store.head(ctx.database, user_id),
        read=lambda number, limit: store.rows_after(ctx.database, user_id, number, limit),
        number=lambda row: cast(int, row["n"]),
        scope=scope,
        contiguous=True,
    )
    async with aclosing(rows):
        async for row in rows:
            (document,) = await store.by_ids(ctx.database, user_id, [row["notification_id"]])
            yield {"cursor": encode_cursor(scope, row["n"]), "notification": document, DELIVERY: Delivery(row["n"])}
