"""How much a person has not read, in all their conversations, as it changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from datastores import conversations as store
from datastores.conversations import INBOX
from datastores.mongo import Document
from datastores.signals import publish
from resolvers.attention import looking
from resolvers.audiences import CaughtUpError, Listening
from resolvers.context import Context
from resolvers.streams import follow, merged, signals

UNREAD: Final = "unread"


async def publish_unread(ctx: Context, conversation_id: str) -> None:
    """Tell the viewer's other devices that they have read something, if any of them looks."""
    user_id = ctx.viewer.person()
    if ctx.attention.is_wanted(UNREAD, user_id):
        await publish(ctx.database, UNREAD, user_id, {"conversation_id": conversation_id})


async def unread_changed(ctx: Context) -> AsyncGenerator[Document, None]:
    """How much the viewer has not read: first as it is now, then after each message and whenever they read, anywhere.

    Raises UnauthenticatedError where no person asks, and what `follow` raises.
    """
    user_id = ctx.viewer.person()
    if ctx.listening.part == "past":
        raise CaughtUpError
    async with (
        looking(ctx.database, ctx.attention, UNREAD, user_id),
        aclosing(merged(_read(ctx, user_id), _said(ctx, user_id))) as changed,
    ):
        async for conversation_id in changed:
            yield {"_id": user_id, "conversation_id": conversation_id}


async def _said(ctx: Context, user_id: str) -> AsyncGenerator[str | None, None]:
    """The conversation of each new message; None first."""
    # What is counted later has every message up to here, and whatever comes past it is told.
    start = await store.inbox_head(ctx.database, user_id)
    rows = follow(
        ctx,
        INBOX,
        [user_id],
        after=start,
        head=lambda: store.inbox_head(ctx.database, user_id),
        read=lambda number, limit: store.inbox_after(ctx.database, user_id, number, limit),
        number=lambda row: int(row["n"]),
        scope=None,
        contiguous=True,
    )
    yield None
    async with aclosing(rows):
        async for row in rows:
            yield str(row["conversation_id"])


async def _read(ctx: Context, user_id: str) -> AsyncGenerator[str | None, None]:
    """The conversation of each read marker of theirs that moved."""
    # The inbox says when the stream is live: what was read is heard from before that on.
    early = replace(ctx, listening=Listening(ctx.listening.part))
    told = signals(early, UNREAD, user_id, key=lambda message: message["conversation_id"])
    async with aclosing(told):
        async for message in told:
            yield str(message["conversation_id"])
