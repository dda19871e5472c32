"""Sending, editing and deleting messages, each as one act of the commit loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from datastores.commit import Read, Work, by_id
from datastores.errors import ForbiddenError, NotFoundError, ValidationError
from datastores.mongo import Document

from .documents import (
    CONVERSATIONS,
    MEMBERSHIPS,
    MESSAGES,
    ConversationDocument,
    ConversationKind,
    EventKind,
    MemberRole,
    MessageDocument,
    membership_id,
)
from .log import append_event, conversation_of_member, deliver, inbox_reads


@dataclass(frozen=True, slots=True)
class WrittenMessage:
    """A message as an act left it, and the number of the conversation's event that says so.

    `replayed` where the act had happened before; the number is then that of the last event so far, or of the first
    sending.
    """

    message: MessageDocument
    n: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Add a message; the same `id` again is the message that is there.

    Refused in this order: NotFoundError for a sender who is no member, then for a message to reply to that is not of
    this conversation.
    """

    id: str
    conversation_id: str
    sender_id: str
    text: str
    client_id: str | None = None
    reply_to_id: str | None = None
    media: Sequence[dict[str, Any]] = field(default=())
    transfer_id: str | None = None
    payment_request_id: str | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        ids = [self.id] if self.reply_to_id is None else [self.id, self.reply_to_id]
        yield [by_id(CONVERSATIONS, self.conversation_id), by_id(MESSAGES, *ids)]
        yield from inbox_reads(work, self.conversation_id)

    def decide(self, work: Work) -> WrittenMessage:
        conversation = conversation_of_member(work, self.conversation_id, self.sender_id)
        if (existing := work.get(MESSAGES, self.id)) is not None:
            return WrittenMessage(cast(MessageDocument, existing), existing["n"], replayed=True)
        if self.reply_to_id is not None:
            original = work.get(MESSAGES, self.reply_to_id)
            if original is None or original["conversation_id"] != self.conversation_id:
                raise NotFoundError("There is no such message to reply to in this conversation")
        seq = conversation["message_count"] + 1
        work.update(CONVERSATIONS, self.conversation_id, message_count=seq)
        n = append_event(work, self.conversation_id, EventKind.MESSAGE_ADDED, message_id=self.id)
        message: MessageDocument = {
            "_id": self.id,
            "conversation_id": self.conversation_id,
            "seq": seq,
            "n": n,
            "sender_id": self.sender_id,
            "text": self.text,
            "created_at": work.now,
            "edited_at": None,
            "deleted_at": None,
            "reply_to_id": self.reply_to_id,
            "reactions": [],
            "media": list(self.media),
            "transfer_id": self.transfer_id,
            "payment_request_id": self.payment_request_id,
            "client_id": self.client_id,
        }
        work.insert(MESSAGES, cast(Document, message))
        deliver(work, message, conversation["member_ids"])
        return WrittenMessage(message, n)


@dataclass(frozen=True, slots=True)
class EditMessage:
    """Change a message's text; the same text again changes nothing.

    Refused in this order: NotFoundError for who is no member, ForbiddenError for who did not send it or where it was
    deleted, ValidationError for an empty text where nothing else is in the message.
    """

    message_id: str
    editor_id: str
    text: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        return _message_reads(work, self.message_id)

    def decide(self, work: Work) -> WrittenMessage:
        message, conversation = message_of_member(work, self.message_id, self.editor_id)
        if message["sender_id"] != self.editor_id:
            raise ForbiddenError("Only its sender may edit a message")
        if message["deleted_at"] is not None:
            raise ForbiddenError("The message was deleted")
        carries = message["media"] or message["transfer_id"] or message["payment_request_id"]
        if not self.text and not carries:
            raise ValidationError("The text must not be empty: delete the message instead", "text")
        if message["text"] == self.text:
            return WrittenMessage(message, conversation["event_n"], replayed=True)
        changed = work.update(MESSAGES, self.message_id, text=self.text, edited_at=work.now)
        n = append_event(work, conversation["_id"], EventKind.MESSAGE_EDITED, message_id=self.message_id)
        return WrittenMessage(cast(MessageDocument, changed), n)


@dataclass(frozen=True, slots=True)
class DeleteMessage:
    """Take back all that a message says; deleting it again changes nothing.

    Refused in this order: NotFoundError for who is no member, ForbiddenError for who neither sent it nor owns or
    administers the group.
    """

    message_id: str
    user_id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield from _message_reads(work, self.message_id)
        if (message := work.get(MESSAGES, self.message_id)) is not None:
            yield [by_id(MEMBERSHIPS, membership_id(message["conversation_id"], self.user_id))]

    def decide(self, work: Work) -> WrittenMessage:
        message, conversation = message_of_member(work, self.message_id, self.user_id)
        if message["sender_id"] != self.user_id and not self._moderates(work, conversation):
            raise ForbiddenError("Only its sender, or an owner or admin of the group, may delete a message")
        if message["deleted_at"] is not None:
            return WrittenMessage(message, conversation["event_n"], replayed=True)
        changed = work.update(
            MESSAGES,
            self.message_id,
            text="",
            media=[],
            reactions=[],
            reply_to_id=None,
            transfer_id=None,
            payment_request_id=None,
            deleted_at=work.now,
        )
        n = append_event(work, conversation["_id"], EventKind.MESSAGE_DELETED, message_id=self.message_id)
        return WrittenMessage(cast(MessageDocument, changed), n)

    def _moderates(self, work: Work, conversation: ConversationDocument) -> bool:
        if conversation["kind"] != ConversationKind.GROUP:
            return False
        member = work.get(MEMBERSHIPS, membership_id(conversation["_id"], self.user_id))
        return member is not None and member["role"] in (MemberRole.OWNER, MemberRole.ADMIN)


def _message_reads(work: Work, message_id: str) -> Iterator[Sequence[Read]]:
    yield [by_id(MESSAGES, message_id)]
    if (message := work.get(MESSAGES, message_id)) is not None:
        yield [by_id(CONVERSATIONS, message["conversation_id"])]


def message_of_member(work: Work, message_id: str, user_id: str) -> tuple[MessageDocument, ConversationDocument]:
    """A message and its conversation; raises NotFoundError unless the person is a member."""
    message = cast("MessageDocument | None", work.get(MESSAGES, message_id))
    conversation = message and cast("ConversationDocument | None", work.get(CONVERSATIONS, message["conversation_id"]))
    if message is None or conversation is None or user_id not in conversation["member_ids"]:
        raise NotFoundError("There is no such message")
    return message, conversation
