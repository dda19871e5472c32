"""Who talks with whom: starting conversations, joining, leaving, and how far each has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from datastores import accounts
from datastores import conversations as store
from datastores.conversations import (
    MAX_MEMBERS,
    ChangedMembers,
    ConversationDocument,
    ConversationKind,
    MemberRole,
    ReadMarker,
    StartConversation,
)
from datastores.errors import NotFoundError, ValidationError
from datastores.ids import new_id
from resolvers.context import Context
from resolvers.texts import trimmed, trimmed_or_none

from .access import check_id
from .sending import LOOP
from .streams import publish_read_marker
from .unread import publish_unread

MAX_TITLE: Final = 140


async def start_conversation(
    ctx: Context, *, member_ids: Sequence[str], title: str | None = None
) -> ConversationDocument:
    """A conversation of the viewer with these people, at most 250 with the viewer.

    With one other and no title it is the direct conversation of the two, which is there once: starting it again returns
    it. Otherwise a new group, which the viewer owns. Raises ValidationError for nobody else, too many or too long a
    title, NotFoundError for a person who does not exist.
    """
    viewer_id = ctx.viewer.person()
    title = trimmed_or_none(title, "title", most=MAX_TITLE)
    others = [member for member in dict.fromkeys(member_ids) if member != viewer_id]
    if not others:
        raise ValidationError("A conversation needs somebody else: pass at least one other person", "memberIds")
    if len(others) >= MAX_MEMBERS:
        raise ValidationError(f"A conversation has at most {MAX_MEMBERS} members", "memberIds")
    await _check_people(ctx, others)
    if len(others) == 1 and title is None:
        return await _start(ctx, _direct(viewer_id, others[0]))
    roles = {viewer_id: MemberRole.OWNER} | dict.fromkeys(others, MemberRole.MEMBER)
    return await _start(ctx, StartConversation(new_id("cnv"), ConversationKind.GROUP, title, roles))


async def ensure_order_conversation(
    ctx: Context, *, order_id: str, buyer_id: str, merchant_owner_id: str, title: str
) -> ConversationDocument:
    """The one conversation of a buyer and a merchant's owner about an order, made where it is not there yet.

    For the use cases of orders: does not look at who the viewer is. A title of more than 140 characters is cut.
    """
    roles = dict.fromkeys((buyer_id, merchant_owner_id), MemberRole.MEMBER)
    id = store.order_conversation_id(order_id)
    shown = trimmed(title[:MAX_TITLE], most=MAX_TITLE)
    return await _start(ctx, StartConversation(id, ConversationKind.ORDER, shown, roles, order_id=order_id))


async def add_members(ctx: Context, *, conversation_id: str, user_ids: Sequence[str]) -> ChangedMembers:
    """The group with these people in it; who is in already stays. They see what was said before they came.

    Raises ValidationError for nobody or more than 250 members, NotFoundError for a person or a conversation that the
    viewer cannot see, ForbiddenError unless it is a group that the viewer owns or administers.
    """
    viewer_id = ctx.viewer.person()
    joining = list(dict.fromkeys(user_ids))
    if not joining:
        raise ValidationError("Pass at least one person", "userIds")
    if len(joining) > MAX_MEMBERS:
        raise ValidationError(f"A conversation has at most {MAX_MEMBERS} members", "userIds")
    check_id("cnv", conversation_id, "conversation")
    await _check_people(ctx, joining)
    act = store.AddMembers(conversation_id, viewer_id, joining)
    return await ctx.commits[LOOP].submit(act, weight=2 * len(joining) + 1)


async def remove_member(ctx: Context, *, conversation_id: str, user_id: str) -> ChangedMembers:
    """The group without this person: oneself (leaving), or anybody by its owner, or a plain member by its admins.

    An owner who leaves hands the group to whoever joined first of the others. Whoever has left sees no more of it.
    Raises NotFoundError or ForbiddenError.
    """
    viewer_id = ctx.viewer.person()
    check_id("cnv", conversation_id, "conversation")
    check_id("usr", user_id, "member")
    act = store.RemoveMember(conversation_id, viewer_id, user_id)
    return await ctx.commits[LOOP].submit(act, weight=4)


async def mark_read(ctx: Context, *, conversation_id: str, seq: int) -> ReadMarker:
    """The viewer's membership, read up to `seq` at least: a marker never goes back.

    Raises NotFoundError, or ValidationError for a `seq` that no message has yet.
    """
    viewer_id = ctx.viewer.person()
    check_id("cnv", conversation_id, "conversation")
    marker = await ctx.commits[LOOP].submit(store.MarkRead(conversation_id, viewer_id, seq))
    if marker.moved:
        await publish_read_marker(ctx, marker.membership)
        await publish_unread(ctx, conversation_id)
    return marker


def _direct(one: str, other: str) -> StartConversation:
    roles = dict.fromkeys((one, other), MemberRole.MEMBER)
    return StartConversation(store.direct_id(one, other), ConversationKind.DIRECT, None, roles)


async def _start(ctx: Context, act: StartConversation) -> ConversationDocument:
    return await ctx.commits[LOOP].submit(act, weight=len(act.roles) + 1)


async def _check_people(ctx: Context, user_ids: Sequence[str]) -> None:
    if not all(map(accounts.is_there, await accounts.by_ids(ctx.database, user_ids))):
        raise NotFoundError("One of these people does not exist")
