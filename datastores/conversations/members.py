"""Who is in a conversation: starting one, joining, leaving, each as one act of the commit loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from datastores.commit import Read, Work, by_id
from datastores.errors import ForbiddenError, NotFoundError, ValidationError
from datastores.mongo import Document

from .documents import (
    CONVERSATIONS,
    MAX_MEMBERS,
    MEMBERSHIPS,
    ConversationDocument,
    ConversationKind,
    EventKind,
    MemberRole,
    MembershipDocument,
    membership_id,
)
from .log import append_event, conversation_of_member


@dataclass(frozen=True, slots=True)
class ChangedMembers:
    """A conversation after its members changed, and the number of its last event."""

    conversation: ConversationDocument
    n: int


@dataclass(frozen=True, slots=True)
class StartConversation:
    """Make a conversation with these members and roles; the same `id` again is the conversation that is there."""

    id: str
    kind: ConversationKind
    title: str | None
    roles: Mapping[str, MemberRole]
    order_id: str | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(CONVERSATIONS, self.id)]

    def decide(self, work: Work) -> ConversationDocument:
        if (existing := work.get(CONVERSATIONS, self.id)) is not None:
            return cast(ConversationDocument, existing)
        conversation: ConversationDocument = {
            "_id": self.id,
            "kind": self.kind.value,
            "title": self.title,
            "created_at": work.now,
            "member_ids": list(self.roles),
            "message_count": 0,
            "event_n": 0,
            "order_id": self.order_id,
        }
        work.insert(CONVERSATIONS, cast(Document, conversation))
        for user_id, role in self.roles.items():
            _insert_membership(work, conversation, user_id, role)
        return conversation


@dataclass(frozen=True, slots=True)
class AddMembers:
    """Let people into a group; those who are in already stay as they are.

    Refused in this order: NotFoundError for an actor who is no member, ForbiddenError unless it is a group and the
    actor owns or administers it, ValidationError for more than 250 members.
    """

    conversation_id: str
    actor_id: str
    user_ids: Sequence[str]

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        memberships = [membership_id(self.conversation_id, user) for user in (self.actor_id, *self.user_ids)]
        yield [by_id(CONVERSATIONS, self.conversation_id), by_id(MEMBERSHIPS, *memberships)]

    def decide(self, work: Work) -> ChangedMembers:
        conversation = conversation_of_member(work, self.conversation_id, self.actor_id)
        _refuse_unless_group(conversation)
        if _role(work, self.conversation_id, self.actor_id) not in (MemberRole.OWNER, MemberRole.ADMIN):
            raise ForbiddenError("Only an owner or admin of the group may add members")
        joining = [user for user in dict.fromkeys(self.user_ids) if user not in conversation["member_ids"]]
        members = [*conversation["member_ids"], *joining]
        if len(members) > MAX_MEMBERS:
            raise ValidationError(f"A conversation has at most {MAX_MEMBERS} members", "userIds")
        n = conversation["event_n"]
        for user_id in joining:
            _insert_membership(work, conversation, user_id, MemberRole.MEMBER)
            n = append_event(
                work,
                self.conversation_id,
                EventKind.MEMBER_JOINED,
                user_id=user_id,
                role=MemberRole.MEMBER.value,
                seq=conversation["message_count"],
            )
        if joining:
            work.update(CONVERSATIONS, self.conversation_id, member_ids=members)
        return ChangedMembers(cast(ConversationDocument, work.get(CONVERSATIONS, self.conversation_id)), n)


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Take a person out of a group: oneself, or as its owner anybody, or as its admin a plain member.

    An owner who leaves hands the group to whoever joined first of the others. Refused in this order: NotFoundError for
    an actor who is no member, ForbiddenError unless it is a group, NotFoundError for a person who is not in it,
    ForbiddenError for a role that may not.
    """

    conversation_id: str
    actor_id: str
    user_id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id(CONVERSATIONS, self.conversation_id)]
        if (conversation := work.get(CONVERSATIONS, self.conversation_id)) is not None:
            users = {self.actor_id, self.user_id, *conversation["member_ids"][:2]}
            yield [by_id(MEMBERSHIPS, *(membership_id(self.conversation_id, user) for user in users))]

    def decide(self, work: Work) -> ChangedMembers:
        conversation = conversation_of_member(work, self.conversation_id, self.actor_id)
        _refuse_unless_group(conversation)
        if self.user_id not in conversation["member_ids"]:
            raise NotFoundError("This person is not a member of the conversation")
        role = _role(work, self.conversation_id, self.user_id)
        if self.user_id != self.actor_id and not self._may_remove(work, role):
            raise ForbiddenError("Only the group's owner may remove anybody, and its admins plain members")
        members = [member for member in conversation["member_ids"] if member != self.user_id]
        if role == MemberRole.OWNER and members:
            work.update(MEMBERSHIPS, membership_id(self.conversation_id, members[0]), role=MemberRole.OWNER.value)
        work.delete(MEMBERSHIPS, membership_id(self.conversation_id, self.user_id))
        work.update(CONVERSATIONS, self.conversation_id, member_ids=members)
        n = append_event(work, self.conversation_id, EventKind.MEMBER_LEFT, user_id=self.user_id)
        return ChangedMembers(cast(ConversationDocument, work.get(CONVERSATIONS, self.conversation_id)), n)

    def _may_remove(self, work: Work, role: str) -> bool:
        actor = _role(work, self.conversation_id, self.actor_id)
        return actor == MemberRole.OWNER or (actor == MemberRole.ADMIN and role == MemberRole.MEMBER)


@dataclass(frozen=True, slots=True)
class ReadMarker:
    """A membership with its read marker, the conversation, and whether the marker moved."""

    membership: MembershipDocument
    conversation: ConversationDocument
    moved: bool


@dataclass(frozen=True, slots=True)
class MarkRead:
    """Move a member's read marker up to `seq`, never back. No event: markers take no number.

    Refused in this order: NotFoundError for who is no member, ValidationError for a `seq` that no message has yet.
    """

    conversation_id: str
    user_id: str
    seq: int

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        membership = membership_id(self.conversation_id, self.user_id)
        yield [by_id(CONVERSATIONS, self.conversation_id), by_id(MEMBERSHIPS, membership)]

    def decide(self, work: Work) -> ReadMarker:
        conversation = conversation_of_member(work, self.conversation_id, self.user_id)
        if not 0 <= self.seq <= conversation["message_count"]:
            raise ValidationError(f"`seq` must be 0 to {conversation['message_count']}, the last message's", "seq")
        id = membership_id(self.conversation_id, self.user_id)
        membership = cast(MembershipDocument, work.get(MEMBERSHIPS, id))
        if membership["last_read_seq"] >= self.seq:
            return ReadMarker(membership, conversation, moved=False)
        changed = work.update(MEMBERSHIPS, id, last_read_seq=self.seq)
        return ReadMarker(cast(MembershipDocument, changed), conversation, moved=True)


def _refuse_unless_group(conversation: ConversationDocument) -> None:
    if conversation["kind"] != ConversationKind.GROUP:
        raise ForbiddenError("Only a group's members can change: start a group instead")


def _role(work: Work, conversation_id: str, user_id: str) -> str:
    membership = work.get(MEMBERSHIPS, membership_id(conversation_id, user_id))
    return MemberRole.MEMBER.value if membership is None else cast(str, membership["role"])


def _insert_membership(work: Work, conversation: ConversationDocument, user_id: str, role: MemberRole) -> None:
    membership: MembershipDocument = {
        "_id": membership_id(conversation["_id"], user_id),
        "conversation_id": conversation["_id"],
        "user_id": user_id,
        "role": role.value,
        "joined_at": work.now,
        "last_read_seq": conversation["message_count"],
        "last_seq": conversation["message_count"],
        "last_at": work.now,
    }
    work.insert(MEMBERSHIPS, cast(Document, membership))
