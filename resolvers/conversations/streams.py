"""What members hear of a conversation as it happens, and what a person hears of all of theirs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, cast

from datastores import conversations as store
from datastores.conversations import EVENTS, INBOX, EventKind, MembershipDocument
from datastores.errors import StreamGapError, ValidationError
from datastores.mongo import Document
from datastores.paging import decode_cursor, encode_cursor
from datastores.signals import publish
from resolvers.attention import looking
from resolvers.audiences import DELIVERY, Delivery, Listening
from resolvers.context import Context
from resolvers.streams import follow, merged, signals

from .access import conversation_of_viewer, messages_by_id

TYPING: Final = "typing"
READ_MARKERS: Final = "read_markers"


def event_cursor(conversation_id: str, n: int) -> str:
    """The cursor of the `n`-th event of a conversation."""
    return encode_cursor(_scope(conversation_id), n)


async def set_typing(ctx: Context, *, conversation_id: str, typing: bool) -> None:
    """Tell the other members that the viewer is typing, or is not any more; nothing is kept.

    Nothing is written where nobody looks. Raises NotFoundError unless the viewer is a member.
    """
    await conversation_of_viewer(ctx, conversation_id)
    if not ctx.attention.is_wanted(TYPING, conversation_id):
        return
    message = {"user_id": ctx.viewer.person(), "typing": typing}
    await publish(ctx.database, TYPING, conversation_id, message)


async def publish_read_marker(ctx: Context, membership: MembershipDocument) -> None:
    """Tell who listens now that a member's read marker moved."""
    await publish(ctx.database, READ_MARKERS, membership["conversation_id"], {"user_id": membership["user_id"]})


async def message_added(ctx: Context, *, conversation_id: str, after: str | None) -> AsyncGenerator[Document, None]:
    """Each new message of a conversation with the cursor of its event.

    Ends where the viewer is no member any more; the members as an audience are told who leaves. Raises NotFoundError
    unless the viewer is a member, ValidationError for a cursor of something else, and what `follow` raises.
    """
    last, _ = await _start(ctx, conversation_id, after)
    async with aclosing(_events(ctx, conversation_id, last)) as rows:
        async for row in rows:
            if row["kind"] == EventKind.MESSAGE_ADDED:
                (message,) = await store.messages_by_ids(ctx.database, [row["message_id"]])
                cursor = event_cursor(conversation_id, row["n"])
                yield {"cursor": cursor, "message": message, DELIVERY: Delivery(row["n"])}
            elif row["kind"] == EventKind.MEMBER_LEFT and ctx.viewer.kind == "audience":
                yield {DELIVERY: Delivery(row["n"], leaves=row["user_id"], is_told=False)}


async def conversation_updated(
    ctx: Context, *, conversation_id: str, after: str | None
) -> AsyncGenerator[Document, None]:
    """Everything that changes in a conversation: documents of `ConversationEvent`'s members.

    A catch-up ends with every member's read marker; from then on a marker that moves is told with the cursor of the
    event before it, since markers take no number. Where the log does not go back to the cursor, a StreamGap says so and
    the stream goes on from the newest event. Ends and raises as `message_added` does.
    """
    last, head = await _start(ctx, conversation_id, after)
    is_caught_up = after is None
    async with aclosing(_events_and_markers(ctx, conversation_id, last)) as changes:
        async for change in changes:
            moved: list[str] = []
            if isinstance(change, _End):
                return
            elif isinstance(change, _Marker):
                moved = [change.user_id] if is_caught_up else []
            elif isinstance(change, _Gap):
                last = change.n
                cursor = event_cursor(conversation_id, last)
                yield {"__typename": "StreamGap", "cursor": cursor, "reason": change.reason, DELIVERY: Delivery(last)}
            elif change is not None:
                last = cast(int, change["n"])
                yield await _event(ctx, conversation_id, change)
            if not is_caught_up and last >= head:
                is_caught_up = True
                moved = await member_ids(ctx, conversation_id)
            members, hearers = await _members(ctx, conversation_id, moved)
            for member in members:
                cursor = event_cursor(conversation_id, last)
                delivery = Delivery(key=member["user_id"], to=hearers)
                yield {"__typename": "ReadMarkerMoved", "cursor": cursor, "member": member, DELIVERY: delivery}


async def inbox(ctx: Context, *, after: str | None) -> AsyncGenerator[Document, None]:
    """Each message that the viewer can see, of all their conversations and their own too, with the inbox's cursor.

    Messages of conversations that they have left since are left out. Raises ValidationError for a cursor of something
    else, and what `follow` raises.
    """
    user_id = ctx.viewer.person()
    scope = f"inbox/{user_id}"
    rows = follow(
        ctx,
        INBOX,
        [user_id],
        after=None if after is None else cast(int, decode_cursor(scope, after, int)[0]),
        head=lambda: store.inbox_head(ctx.database, user_id),
        read=lambda number, limit: store.inbox_after(ctx.database, user_id, number, limit),
        number=_number,
        scope=scope,
        contiguous=True,
    )
    async with aclosing(rows):
        async for row in rows:
            (message,) = await messages_by_id(ctx.fresh(), [row["message_id"]])
            if message is not None:
                yield {"cursor": encode_cursor(scope, row["n"]), "message": message, DELIVERY: Delivery(row["n"])}


async def typing(ctx: Context, *, conversation_id: str) -> AsyncGenerator[Document, None]:
    """Who of the others begins and ends typing; ends where the viewer is no member any more."""
    await _start(ctx, conversation_id, None)
    told = signals(ctx, TYPING, conversation_id, key=lambda message: message["user_id"])
    async with looking(ctx.database, ctx.attention, TYPING, conversation_id), aclosing(told):
        async for message in told:
            members = await member_ids(ctx, conversation_id)
            if not _hears(ctx, members):
                return
            if message["user_id"] != ctx.viewer.user_id:
                yield {
                    "conversation_id": conversation_id,
                    "user_id": message["user_id"],
                    "typing": message["typing"],
                    DELIVERY: Delivery(key=message["user_id"], to=frozenset(members), without=message["user_id"]),
                }


@dataclass(frozen=True, slots=True)
class _Marker:
    """The read marker of this member moved."""

    user_id: str


@dataclass(frozen=True, slots=True)
class _Gap:
    """Events up to number `n` are gone from the log."""

    n: int
    reason: str


class _End:
    """The viewer is no member any more."""


_Change = Document | _Marker | _Gap | _End | None


async def _start(ctx: Context, conversation_id: str, after: str | None) -> tuple[int, int]:
    """The numbers of the event to begin after and of the last one, as of the moment that the viewer was a member.

    Beginning there, no one can be removed unnoticed between this look at their right and the first event. An audience
    has no cursor, and each of its hearers is looked at when they join it.
    """
    if _is_audience(ctx, conversation_id):
        head = await store.event_head(ctx.database, conversation_id)
        return head, head
    head = (await conversation_of_viewer(ctx, conversation_id))["event_n"]
    if after is None:
        return head, head
    place = cast(int, decode_cursor(_scope(conversation_id), after, int)[0])
    if place > head:
        raise ValidationError("The cursor is past the end of this stream: pass one that the stream gave", "after")
    return place, head


async def _events(ctx: Context, conversation_id: str, after: int) -> AsyncGenerator[Document, None]:
    """The rows of a conversation's log for as long as the viewer is a member.

    The log itself says, in its order, when a member left: nothing that came later is told.
    """
    viewer_id = ctx.viewer.user_id
    rows = follow(
        ctx,
        EVENTS,
        [conversation_id],
        after=after,
        head=lambda: store.event_head(ctx.database, conversation_id),
        read=lambda number, limit: store.events_after(ctx.database, conversation_id, number, limit),
        number=_number,
        scope=_scope(conversation_id),
        contiguous=True,
    )
    async with aclosing(rows):
        async for row in rows:
            if row["kind"] == EventKind.MEMBER_LEFT and row["user_id"] == viewer_id:
                # One who has come back sees again what was said meanwhile.
                (membership,) = await store.memberships(ctx.database, [(conversation_id, row["user_id"])])
                if membership is None:
                    return
            yield row


async def _events_and_markers(ctx: Context, conversation_id: str, after: int) -> AsyncGenerator[_Change, None]:
    """Rows of the log and moved markers as they come; None first, and `_End` when the log ends."""

    async def events() -> AsyncGenerator[_Change, None]:
        yield None
        place, is_over = after, False
        while not is_over:
            try:
                async with aclosing(_events(ctx, conversation_id, place)) as rows:
                    async for row in rows:
                        yield row
                is_over = True
            except StreamGapError as gap:
                place = await store.event_head(ctx.database, conversation_id)
                yield _Gap(place, gap.message)
        yield _End()

    async def markers() -> AsyncGenerator[_Change, None]:
        # The log says when the stream is live: markers are heard from before that on.
        early = replace(ctx, listening=Listening(ctx.listening.part))
        moved = signals(early, READ_MARKERS, conversation_id, key=lambda message: message["user_id"])
        async with aclosing(moved):
            async for message in moved:
                yield _Marker(cast(str, message["user_id"]))

    async with aclosing(merged(markers(), events())) as both:
        async for each in both:
            yield each


async def _event(ctx: Context, conversation_id: str, row: Document) -> Document:
    """The event as `ConversationEvent` shows it, with its objects as they are now."""
    kind = EventKind(row["kind"])
    shown: Document = {"cursor": event_cursor(conversation_id, row["n"]), DELIVERY: Delivery(row["n"])}
    if kind is EventKind.MESSAGE_DELETED:
        return {"__typename": "MessageDeleted", "message_id": row["message_id"], **shown}
    if kind is EventKind.MEMBER_LEFT:
        shown[DELIVERY] = Delivery(row["n"], leaves=row["user_id"])
        return {"__typename": "MemberLeft", "user_id": row["user_id"], **shown}
    if kind is EventKind.MEMBER_JOINED:
        (member,) = await store.memberships(ctx.database, [(conversation_id, row["user_id"])])
        return {"__typename": "MemberJoined", "member": member or _as_joined(row), **shown}
    (message,) = await store.messages_by_ids(ctx.database, [row["message_id"]])
    return {"__typename": _OF_MESSAGES[kind], "message": message, **shown}


_OF_MESSAGES: Final = {
    EventKind.MESSAGE_ADDED: "MessageAdded",
    EventKind.MESSAGE_EDITED: "MessageEdited",
    EventKind.REACTIONS_CHANGED: "ReactionsChanged",
}


def _as_joined(row: Document) -> Document:
    """The member that joined by this event and has left since, as they were then."""
    return {
        "conversation_id": row["conversation_id"],
        "user_id": row["user_id"],
        "role": row["role"],
        "joined_at": row["created_at"],
        "last_read_seq": row["seq"],
    }


async def member_ids(ctx: Context, conversation_id: str) -> list[str]:
    """Who is in the conversation now, at most 250; nobody where there is none."""
    (conversation,) = await store.by_ids(ctx.database, [conversation_id])
    return [] if conversation is None else conversation["member_ids"]


async def _members(
    ctx: Context, conversation_id: str, user_ids: list[str]
) -> tuple[list[MembershipDocument], frozenset[str] | None]:
    """The memberships of these people, none where the viewer is no member any more; and who hears, for an audience."""
    if not user_ids:
        return [], None
    hearers = await member_ids(ctx, conversation_id)
    if not _hears(ctx, hearers):
        return [], None
    members = await store.memberships(ctx.database, [(conversation_id, user_id) for user_id in user_ids])
    return [member for member in members if member is not None], frozenset(hearers)


def _hears(ctx: Context, member_ids: Sequence[str]) -> bool:
    """Whether the viewer, or the audience that listens, is among the members."""
    return ctx.viewer.kind == "audience" or ctx.viewer.user_id in member_ids


def _is_audience(ctx: Context, conversation_id: str) -> bool:
    return ctx.viewer.kind == "audience" and ctx.viewer.conversation_id == conversation_id


def _scope(conversation_id: str) -> str:
    return f"conversation/{conversation_id}"


def _number(row: Document) -> int:
    return cast(int, row["n"])
