"""How a change of a conversation enters its log, and a message the inbox of every member."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from datastores.commit import Read, Work, by_id
from datastores.errors import NotFoundError
from datastores.logs import next_number, row_id
from datastores.mongo import Document

from .documents import (
    CONVERSATIONS,
    EVENTS,
    INBOX,
    INBOX_HEADS,
    MEMBERSHIPS,
    ConversationDocument,
    EventKind,
    EventRow,
    InboxRow,
    MessageDocument,
    membership_id,
)


def conversation_of_member(work: Work, conversation_id: str, user_id: str) -> ConversationDocument:
    """The conversation as it is now in this batch; raises NotFoundError unless the person is a member."""
    conversation = cast("ConversationDocument | None", work.get(CONVERSATIONS, conversation_id))
    if conversation is None or user_id not in conversation["member_ids"]:
        raise NotFoundError("There is no such conversation")
    return conversation


def append_event(
    work: Work,
    conversation_id: str,
    kind: EventKind,
    *,
    message_id: str | None = None,
    user_id: str | None = None,
    role: str | None = None,
    seq: int | None = None,
) -> int:
    """Add the conversation's next event; returns its number."""
    conversation = cast(Document, work.get(CONVERSATIONS, conversation_id))
    n = cast(int, conversation["event_n"]) + 1
    row: EventRow = {
        "_id": row_id(conversation_id, n),
        "conversation_id": conversation_id,
        "n": n,
        "kind": kind.value,
        "created_at": work.now,
        "message_id": message_id,
        "user_id": user_id,
        "role": role,
        "seq": seq,
    }
    work.insert(EVENTS, cast(Document, row))
    work.update(CONVERSATIONS, conversation_id, event_n=n)
    return n


def inbox_reads(work: Work, conversation_id: str) -> Iterator[Sequence[Read]]:
    """One round: what `deliver` needs, once the conversation has been read."""
    conversation = work.get(CONVERSATIONS, conversation_id)
    if conversation is not None:
        members = conversation["member_ids"]
        memberships = by_id(MEMBERSHIPS, *(membership_id(conversation_id, member) for member in members))
        yield [memberships, by_id(INBOX_HEADS, *members)]


def deliver(work: Work, message: MessageDocument, member_ids: Sequence[str]) -> None:
    """Put a new message into every member's inbox, and their memberships up in their lists."""
    conversation_id, seq = message["conversation_id"], message["seq"]
    for member in member_ids:
        n = next_number(work, INBOX_HEADS, member)
        row: InboxRow = {
            "_id": row_id(member, n),
            "user_id": member,
            "n": n,
            "conversation_id": conversation_id,
            "message_id": message["_id"],
        }
        work.insert(INBOX, cast(Document, row))
        activity: Document = {"last_seq": seq, "last_at": work.now}
        if member == message["sender_id"]:
            activity["last_read_seq"] = seq
        work.update(MEMBERSHIPS, membership_id(conversation_id, member), **activity)
