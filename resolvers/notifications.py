"""Who is told of what others did to them, and what each person sees of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Literal

from datastores import notifications as store
from datastores.errors import ExpectedError
from datastores.mongo import Document
from datastores.paging import PageDocument, window

from .context import Context

Kind = Literal[
    "follow",
    "like",
    "repost",
    "reply",
    "mention",
    "quote",
    "transfer",
    "refund",
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

_log: Final = logging.getLogger(__name__)


async def notify(ctx: Context, *, user_id: str, kind: Kind, actor_id: str | None, subject_id: str) -> None:
    """Tell a person once that `actor_id` did this to `subject_id`; nobody is told of what they did themselves.

    To be called after the act was committed. The same notice again changes nothing, so an act that is retried may
    notify again. A notice that cannot be written now is logged and left out: the act that it tells of has happened.
    """
    if user_id == actor_id:
        return
    try:
        await store.append(ctx.commits["notifications"], store.Notice(user_id, kind, actor_id, subject_id))
    except ExpectedError as error:
        _log.warning("a notification of kind %s was not written: %s", kind, error.code)


async def by_id(ctx: Context, ids: Sequence[str]) -> list[Document | None]:
    """For each id the notification, or None unless it is the viewer's."""
    if ctx.viewer.user_id is None:
        return [None] * len(ids)
    return await store.by_ids(ctx.database, ctx.viewer.user_id, ids)


async def notifications(ctx: Context, *, first: int | None = None, after: str | None = None) -> PageDocument:
    """The viewer's notifications, newest first."""
    user_id = ctx.viewer.person()
    return await store.newest(ctx.database, user_id, window(f"notifications/{user_id}", int, first=first, after=after))


async def mark_read(ctx: Context, *, up_to: str) -> int:
    """Mark this notification of the viewer and all older ones read; returns how many are still unread.

    Raises NotFoundError unless it is a notification of the viewer.
    """
    return await store.mark_read(ctx.database, ctx.viewer.person(), up_to, ctx.now())
