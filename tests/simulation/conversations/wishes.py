"""Wishes of members: to start a conversation, to say, change and take back something, to let in and to leave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from datastores import conversations as store
from datastores.commit import Act
from datastores.conversations import ConversationKind, MemberRole
from datastores.ids import derived_id
from tests.simulation.quarters import Door

LOOP = "conversations"


class Kind(StrEnum):
    """What is wanted."""

    START = "start"
    SEND = "send"
    EDIT = "edit"
    DELETE = "delete"
    REACT = "react"
    UNREACT = "unreact"
    ADD = "add"
    REMOVE = "remove"
    READ = "read"


@dataclass(frozen=True)
class Wish:
    """One wish of `actor`. `people` are those who start, join, or have to go; `text` is what is said, or the emoji."""

    kind: Kind
    actor: str
    room: str
    people: tuple[str, ...] = ()
    client_id: str = ""
    sender: str = ""
    text: str = ""
    seq: int = 0
    group: bool = True

    def __str__(self) -> str:
        parts = (self.kind, self.actor, self.room, *self.people, self.sender, self.client_id, self.text, self.seq or "")
        return " ".join(str(part) for part in parts if part != "")

    @property
    def loop(self) -> str:
        """The loop of all conversations."""
        return LOOP

    @cached_property
    def conversation_id(self) -> str:
        """The conversation that it is about."""
        return derived_id("cnv", self.room)

    @cached_property
    def message_id(self) -> str:
        """The message that it is about: the one with this client id of this sender."""
        return store.client_message_id(self.conversation_id, self.sender or self.actor, self.client_id)

    @property
    def roles(self) -> dict[str, MemberRole]:
        """Who starts a conversation as what."""
        first = MemberRole.OWNER if self.group else MemberRole.MEMBER
        others = [MemberRole.ADMIN if self.group else MemberRole.MEMBER, MemberRole.MEMBER, MemberRole.MEMBER]
        return dict(zip(self.people, [first, *others], strict=False))

    async def ask(self, door: Door, salt: str) -> Any:
        """What comes of it; each request for a message carries its one client id."""
        return await door.submit(self.act())

    def act(self) -> Act[Any]:
        """The act that fulfils it."""
        room, actor = self.conversation_id, self.actor
        match self.kind:
            case Kind.START:
                kind = ConversationKind.GROUP if self.group else ConversationKind.DIRECT
                return store.StartConversation(room, kind, self.room if self.group else None, self.roles)
            case Kind.SEND:
                return store.SendMessage(self.message_id, room, actor, self.text, client_id=self.client_id)
            case Kind.EDIT:
                return store.EditMessage(self.message_id, actor, self.text)
            case Kind.DELETE:
                return store.DeleteMessage(self.message_id, actor)
            case Kind.REACT | Kind.UNREACT:
                return store.React(self.message_id, actor, self.text, present=self.kind is Kind.REACT)
            case Kind.ADD:
                return store.AddMembers(room, actor, self.people)
            case Kind.REMOVE:
                return store.RemoveMember(room, actor, self.people[0])
            case Kind.READ:
                return store.MarkRead(room, actor, self.seq)
