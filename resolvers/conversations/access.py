"""Who may see a conversation and what is in it: its members of this moment, by whatever road they come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

from datastores import conversations as store
from datastores.conversations import ConversationDocument, MembershipDocument, MessageDocument
from datastores.errors import NotFoundError
from datastores.ids import is_id
from resolvers.context import Context


async def by_id(ctx: Context, ids: Sequence[str]) -> list[ConversationDocument | None]:
    """For each id the conversation, or None unless the viewer is a member; one read. An audience sees its own."""
    viewer = ctx.viewer
    if viewer.user_id is None and viewer.kind != "audience":
        return [None] * len(ids)
    found = await store.by_ids(ctx.database, _well_formed("cnv", ids))
    mine = {
        each["_id"]: each
        for each in found
        if each is not None and (viewer.user_id in each["member_ids"] or viewer.conversation_id == each["_id"])
    }
    return [mine.get(id) for id in ids]


async def messages_by_id(ctx: Context, ids: Sequence[str]) -> list[MessageDocument | None]:
    """For each id the message, or None unless the viewer is a member of its conversation.

    One read for the messages and one for the viewer's memberships. An audience sees those of its conversation.
    """
    if ctx.viewer.user_id is None and ctx.viewer.kind != "audience":
        return [None] * len(ids)
    found = [each for each in await store.messages_by_ids(ctx.database, _well_formed("msg", ids)) if each is not None]
    mine: Collection[str | None] = [ctx.viewer.conversation_id]
    if ctx.viewer.kind != "audience":
        mine = await viewer_memberships(ctx, [message["conversation_id"] for message in found])
    shown = {message["_id"]: message for message in found if message["conversation_id"] in mine}
    return [shown.get(id) for id in ids]


async def viewer_memberships(ctx: Context, conversation_ids: Sequence[str]) -> dict[str, MembershipDocument]:
    """The viewer's memberships among these conversations, by conversation; one read, kept for the operation.

    Not for deciding an act: what an operation has read once it does not read again.
    """
    viewer_id = ctx.viewer.user_id
    once = list(dict.fromkeys(conversation_ids))
    if viewer_id is None or not once:
        return {}

    async def read(ids: list[str]) -> list[MembershipDocument | None]:
        return await store.memberships(ctx.database, [(id, viewer_id) for id in ids])

    waiting = [ctx.load("conversations.viewer_memberships", read, id, cache=True) for id in once]
    found = [cast("MembershipDocument | None", await each) for each in waiting]
    return {id: membership for id, membership in zip(once, found, strict=True) if membership is not None}


async def conversation_of_viewer(ctx: Context, conversation_id: str) -> ConversationDocument:
    """The conversation as it is now; raises NotFoundError unless the viewer, who must be signed in, is a member."""
    ctx.viewer.person()
    (found,) = await by_id(ctx, [conversation_id])
    if found is None:
        raise NotFoundError("There is no such conversation")
    return found


def check_id(prefix: str, id: str, what: str) -> None:
    """Raise NotFoundError unless this has the form of an id: what has not is never asked of the database."""
    if not is_id(prefix, id):
        raise NotFoundError(f"There is no such {what}")


def _well_formed(prefix: str, ids: Sequence[str]) -> list[str]:
    return [id for id in ids if is_id(prefix, id)]
