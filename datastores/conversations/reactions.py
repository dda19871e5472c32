"""Reactions of members to messages: once a person and emoji, counted on the message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from datastores.commit import Read, Work, by_id
from datastores.errors import ForbiddenError, ValidationError
from datastores.mongo import Document

from .documents import (
    CONVERSATIONS,
    MAX_EMOJI,
    MESSAGES,
    REACTIONS,
    EventKind,
    MessageDocument,
    ReactionCount,
    ReactionDocument,
    reaction_id,
)
from .log import append_event
from .messages import WrittenMessage, message_of_member


@dataclass(frozen=True, slots=True)
class React:
    """Add a person's reaction (`present`) or take it back; what is so already changes nothing.

    Refused in this order: NotFoundError for who is no member, ForbiddenError where the message was deleted,
    ValidationError for a 51st kind of emoji on one message.
    """

    message_id: str
    user_id: str
    emoji: str
    present: bool

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(MESSAGES, self.message_id), by_id(REACTIONS, self._id)]
        if (message := work.get(MESSAGES, self.message_id)) is not None:
            yield [by_id(CONVERSATIONS, message["conversation_id"])]

    def decide(self, work: Work) -> WrittenMessage:
        message, conversation = message_of_member(work, self.message_id, self.user_id)
        if message["deleted_at"] is not None:
            raise ForbiddenError("The message was deleted")
        if (work.get(REACTIONS, self._id) is not None) == self.present:
            return WrittenMessage(message, conversation["event_n"], replayed=True)
        counts = _counted(message["reactions"], self.emoji, 1 if self.present else -1)
        if len(counts) > MAX_EMOJI:
            raise ValidationError(f"A message takes at most {MAX_EMOJI} different emoji", "emoji")
        if self.present:
            reaction: ReactionDocument = {
                "_id": self._id,
                "message_id": self.message_id,
                "user_id": self.user_id,
                "emoji": self.emoji,
                "created_at": work.now,
            }
            work.insert(REACTIONS, cast(Document, reaction))
        else:
            work.delete(REACTIONS, self._id)
        changed = work.update(MESSAGES, self.message_id, reactions=counts)
        n = append_event(work, conversation["_id"], EventKind.REACTIONS_CHANGED, message_id=self.message_id)
        return WrittenMessage(cast(MessageDocument, changed), n)

    @property
    def _id(self) -> str:
        return reaction_id(self.message_id, self.user_id, self.emoji)


def _counted(counts: Sequence[ReactionCount], emoji: str, by: int) -> list[ReactionCount]:
    """The counts with one reaction more or less, in the order in which the emoji first appeared."""
    if by > 0 and all(each["emoji"] != emoji for each in counts):
        return [*counts, {"emoji": emoji, "count": 1}]
    changed: list[ReactionCount] = [
        {"emoji": each["emoji"], "count": each["count"] + (by if each["emoji"] == emoji else 0)} for each in counts
    ]
    return [each for each in changed if each["count"] > 0]
