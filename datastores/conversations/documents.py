"""What conversations are made of: their documents, collections, indexes and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypedDict

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores.ids import derived_id
from datastores.mongo import Document

CONVERSATIONS: Final = "conversations"
MEMBERSHIPS: Final = "memberships"
MESSAGES: Final = "messages"
REACTIONS: Final = "reactions"
EVENTS: Final = "conversation_events"
INBOX: Final = "inbox_events"
INBOX_HEADS: Final = "inbox_heads"

MAX_MEMBERS: Final = 250
MAX_EMOJI: Final = 50

# A membership, a reaction and a row of a log are found by ids made of what they belong to, so that most collections
# need no index but that of `_id`. `$gt: ""` means "is a string": the planner proves it of an id that is looked for.
INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    CONVERSATIONS: [],
    MEMBERSHIPS: [
        IndexModel([("user_id", ASCENDING), ("last_at", DESCENDING), ("conversation_id", DESCENDING)]),
        IndexModel([("user_id", ASCENDING), ("last_seq", ASCENDING), ("last_read_seq", ASCENDING)]),
    ],
    MESSAGES: [
        IndexModel([("conversation_id", ASCENDING), ("seq", DESCENDING)], unique=True),
        IndexModel([("transfer_id", ASCENDING)], partialFilterExpression={"transfer_id": {"$gt": ""}}),
        IndexModel([("payment_request_id", ASCENDING)], partialFilterExpression={"payment_request_id": {"$gt": ""}}),
    ],
    REACTIONS: [],
    EVENTS: [],
    INBOX: [],
    INBOX_HEADS: [],
}
LOGS: Final[dict[str, Callable[[Document], Sequence[str]]]] = {
    EVENTS: lambda row: [row["conversation_id"]],
    INBOX: lambda row: [row["user_id"]],
}


class ConversationKind(StrEnum):
    """What a conversation is: of a pair of people, of a group, or about an order."""

    DIRECT = "DIRECT"
    GROUP = "GROUP"
    ORDER = "ORDER"


class MemberRole(StrEnum):
    """What a member of a group may do; everybody in other conversations is a MEMBER."""

    OWNER = "OWNER"
    ADMIN = "ADMIN"
    MEMBER = "MEMBER"


class EventKind(StrEnum):
    """What can change in a conversation."""

    MESSAGE_ADDED = "message_added"
    MESSAGE_EDITED = "message_edited"
    MESSAGE_DELETED = "message_deleted"
    REACTIONS_CHANGED = "reactions_changed"
    MEMBER_JOINED = "member_joined"
    MEMBER_LEFT = "member_left"


class ConversationDocument(TypedDict):
    """A conversation; `message_count` is the `seq` of its last message, `event_n` the number of its last event.

    `member_ids` stand in the order in which they joined.
    """

    _id: str
    kind: str
    title: str | None
    created_at: datetime
    member_ids: list[str]
    message_count: int
    event_n: int
    order_id: str | None


class MembershipDocument(TypedDict):
    """A member of a conversation, with what their list of conversations needs: the last message's `seq` and time."""

    _id: str
    conversation_id: str
    user_id: str
    role: str
    joined_at: datetime
    last_read_seq: int
    last_seq: int
    last_at: datetime


class ReactionCount(TypedDict):
    """How many members reacted to a message with one emoji."""

    emoji: str
    count: int


class MessageDocument(TypedDict):
    """A message; `n` is the number of the event that added it. A deleted one keeps its place and nothing it said."""

    _id: str
    conversation_id: str
    seq: int
    n: int
    sender_id: str
    text: str
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    reply_to_id: str | None
    reactions: list[ReactionCount]
    media: list[dict[str, Any]]
    transfer_id: str | None
    payment_request_id: str | None
    client_id: str | None


class ReactionDocument(TypedDict):
    """That a member reacted to a message with an emoji."""

    _id: str
    message_id: str
    user_id: str
    emoji: str
    created_at: datetime


class EventRow(TypedDict):
    """The `n`-th event of a conversation; `role` and `seq` are a new member's first role and read marker."""

    _id: str
    conversation_id: str
    n: int
    kind: str
    created_at: datetime
    message_id: str | None
    user_id: str | None
    role: str | None
    seq: int | None


class InboxRow(TypedDict):
    """The `n`-th message that a person can see, whoever sent it."""

    _id: str
    user_id: str
    n: int
    conversation_id: str
    message_id: str


def membership_id(conversation_id: str, user_id: str) -> str:
    """The id of the membership of a person in a conversation."""
    return f"{conversation_id}/{user_id}"


def reaction_id(message_id: str, user_id: str, emoji: str) -> str:
    """The id of a person's reaction to a message."""
    return f"{message_id}/{user_id}/{emoji}"


def direct_id(one: str, other: str) -> str:
    """The id of the one direct conversation of two people."""
    return derived_id("cnv", "direct", *sorted((one, other)))


def order_conversation_id(order_id: str) -> str:
    """The id of the one conversation about an order."""
    return derived_id("cnv", "order", order_id)


def client_message_id(conversation_id: str, sender_id: str, client_id: str) -> str:
    """The id of the one message that a sender gave this client id in a conversation."""
    return derived_id("msg", conversation_id, sender_id, client_id)


def money_message_id(conversation_id: str, subject_id: str) -> str:
    """The id of the one message that tells a conversation of a transfer or a payment request made in it."""
    return derived_id("msg", conversation_id, "money", subject_id)
