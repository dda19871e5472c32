"""What a member sees of conversations: the list of them, titles, members, messages, and what is unread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict, cast

from datastores import accounts
from datastores import conversations as store
from datastores.conversations import ConversationDocument, ConversationKind, MembershipDocument, MessageDocument
from datastores.errors import ValidationError
from datastores.paging import DEFAULT_PAGE, PageDocument, Window, page, window
from resolvers.connections import HasId
from resolvers.context import Context

from .access import viewer_memberships

NAMES_IN_TITLE: Final = 4
NOBODY: Final = "Nobody else"


class ReactionShown(TypedDict):
    """How often an emoji stands on a message, and whether the viewer is among those who put it there."""

    emoji: str
    count: int
    viewer_reacted: bool


async def conversations(
    ctx: Context, viewers: Sequence[HasId], *, first: int | None = None, after: str | None = None
) -> list[PageDocument]:
    """For the viewer, a page of their conversations: those with the newest message, or newly joined, first."""

    async def one(user_id: str) -> PageDocument:
        asked = window(f"conversations/{user_id}", datetime, str, first=first, after=after)
        return await store.newest_active(ctx.database, user_id, asked)

    return [await one(viewer["_id"]) for viewer in viewers]


async def unread_message_counts(ctx: Context, viewers: Sequence[HasId]) -> list[int]:
    """For the viewer, how many messages they have not read in all their conversations."""
    return [await store.unread_total(ctx.database, viewer["_id"]) for viewer in viewers]


async def unread_counts(ctx: Context, conversations: Sequence[ConversationDocument]) -> list[int]:
    """For each conversation how many messages the viewer has not read; 0 where they are no member."""
    mine = await viewer_memberships(ctx, [conversation["_id"] for conversation in conversations])
    members = (mine.get(conversation["_id"]) for conversation in conversations)
    return [0 if member is None else member["last_seq"] - member["last_read_seq"] for member in members]


async def titles(ctx: Context, conversations: Sequence[ConversationDocument]) -> list[str]:
    """For each conversation its title; without one, the names of up to four others in it."""
    others = [_others(conversation, ctx.viewer.user_id) for conversation in conversations]
    shown = list(dict.fromkeys(user for users in others for user in users[:NAMES_IN_TITLE]))
    users = await accounts.by_ids(ctx.database, shown) if shown else []
    names = {user["_id"]: cast(str, user["display_name"]) for user in users if user is not None}
    return [
        conversation["title"] or _joined(users, names)
        for conversation, users in zip(conversations, others, strict=True)
    ]


async def members(ctx: Context, conversations: Sequence[ConversationDocument]) -> list[list[MembershipDocument]]:
    """For each conversation its members, in the order in which they joined; nobody where the viewer is no member."""
    seen = [conversation for conversation in conversations if ctx.viewer.user_id in conversation["member_ids"]]
    pairs = [(conversation["_id"], user) for conversation in seen for user in conversation["member_ids"]]
    found: dict[str, list[MembershipDocument]] = {}
    for membership in await store.memberships(ctx.database, pairs):
        if membership is not None:
            found.setdefault(membership["conversation_id"], []).append(membership)
    return [found.get(conversation["_id"], []) for conversation in conversations]


async def messages(
    ctx: Context,
    conversations: Sequence[ConversationDocument],
    *,
    last: int | None = None,
    before: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> list[PageDocument | Exception]:
    """For each conversation a page of its messages, oldest first; without arguments the last 20.

    Those who join later see what was said before. A cursor belongs to one conversation: with several, the others
    answer a ValidationError. Empty where the viewer is no member.
    """
    if first is None and after is None and last is None:
        last = DEFAULT_PAGE
    asked: dict[str, Window] = {}
    refused: dict[str, ValidationError] = {}
    for conversation in conversations:
        id = conversation["_id"]
        try:
            asked[id] = window(f"messages/{id}", int, first=first, after=after, last=last, before=before)
        except ValidationError as error:
            refused[id] = error
    seen = [each for each in conversations if each["_id"] in asked and ctx.viewer.user_id in each["member_ids"]]
    pages = dict(
        zip((each["_id"] for each in seen), await store.message_windows(ctx.database, seen, asked), strict=True)
    )

    def answer(id: str) -> PageDocument | Exception:
        return refused.get(id) or pages.get(id) or page([], asked[id], lambda message: (message["seq"],))

    return [answer(conversation["_id"]) for conversation in conversations]


async def last_messages(ctx: Context, conversations: Sequence[ConversationDocument]) -> list[MessageDocument | None]:
    """For each conversation its last message, or None where nothing was said or the viewer is no member."""
    seen = [conversation for conversation in conversations if ctx.viewer.user_id in conversation["member_ids"]]
    found = dict(zip((each["_id"] for each in seen), await store.last_messages(ctx.database, seen), strict=True))
    return [found.get(conversation["_id"]) for conversation in conversations]


async def reactions(ctx: Context, messages: Sequence[MessageDocument]) -> list[list[ReactionShown]]:
    """For each message its reactions, in the order in which their emoji first appeared; an audience has none itself."""
    viewer_id = ctx.viewer.user_id or ""
    mine = await store.reactions_of(ctx.database, viewer_id, messages) if viewer_id else set[str]()
    return [
        [
            {
                "emoji": each["emoji"],
                "count": each["count"],
                "viewer_reacted": store.reaction_id(message["_id"], viewer_id, each["emoji"]) in mine,
            }
            for each in message["reactions"]
        ]
        for message in messages
    ]


def _others(conversation: ConversationDocument, viewer_id: str | None) -> list[str]:
    if conversation["title"] is not None:
        return []
    others = [member for member in conversation["member_ids"] if member != viewer_id]
    return others[:1] if conversation["kind"] == ConversationKind.DIRECT else others


def _joined(users: Sequence[str], names: dict[str, str]) -> str:
    known = [names[user] for user in users[:NAMES_IN_TITLE] if user in names]
    more = len(users) - len(known)
    if not known:
        return NOBODY
    return ", ".join(known) + (f" +{more}" if more else "")
