"""The value types, inputs, results and events of conversations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from datastores.conversations import ConversationKind, MemberRole
from resolvers import conversations as use_cases
from schema.composition import batched, loads, plain
from schema.entities import Conversation, Message, User
from schema.errors import ForbiddenError, NotFoundError, ValidationError
from schema.scalars import BigInt, Cursor
from schema.values import MediaInput

strawberry.enum(
    ConversationKind,
    description="DIRECT: of two people, once a pair. GROUP: its members change. ORDER: of a buyer and a merchant.",
)
strawberry.enum(
    MemberRole,
    description="In a group: its OWNER, its ADMINs, and each MEMBER. Everybody in other conversations is a MEMBER.",
)


@strawberry.type(description="A person in a conversation.")
class ConversationMember:
    user: User | None = loads(User, key="user_id", description="Who it is.")
    role: MemberRole = plain(description="What they may do in a group.")
    joined_at: datetime = plain(description="When they came in. They see what was said before, too.")
    last_read_seq: BigInt = plain(description="Up to which message they have read; never goes back.")


@strawberry.type(description="An emoji that members put on a message.")
class Reaction:
    emoji: str = plain(description="The emoji.")
    count: int = plain(description="How many members put it there.")
    viewer_reacted: bool = plain(description="Whether the viewer is one of them.", viewer=True)


@strawberry.type(description="A new message.")
class MessageEvent:
    cursor: Cursor = plain(description="Where to go on from after a break: pass it as `after`.")
    message: Message = plain(description="The message as it is now.")


@strawberry.type(description="A message was sent.")
class MessageAdded:
    cursor: Cursor = plain(description="Where to go on from after a break.")
    message: Message = plain(description="The message as it is now.")


@strawberry.type(description="A message's text was changed.")
class MessageEdited:
    cursor: Cursor = plain(description="Where to go on from after a break.")
    message: Message = plain(description="The message as it is now.")


@strawberry.type(description="A message was taken back.")
class MessageDeleted:
    cursor: Cursor = plain(description="Where to go on from after a break.")
    message_id: strawberry.ID = plain(description="Which message; it keeps its `seq` and says nothing any more.")


@strawberry.type(description="Somebody reacted to a message, or took a reaction back.")
class ReactionsChanged:
    cursor: Cursor = plain(description="Where to go on from after a break.")
    message: Message = plain(description="The message as it is now.")


@strawberry.type(
    description=(
        "A member has read further. Told live only, the newest for each member; a catch-up ends with the markers of "
        "all members. Sending a message marks it read by its sender without an event."
    )
)
class ReadMarkerMoved:
    cursor: Cursor = plain(description="That of the event before: markers take no place of their own.")
    member: ConversationMember = plain(description="Who has read, and how far.")


@strawberry.type(description="Somebody came into the group.")
class MemberJoined:
    cursor: Cursor = plain(description="Where to go on from after a break.")
    member: ConversationMember = plain(description="The new member; as they came in, where they have left since.")


@strawberry.type(description="Somebody left the group or was removed from it. Where it is the viewer, the stream ends.")
class MemberLeft:
    cursor: Cursor = plain(description="Where to go on from after a break.")
    user: User | None = loads(User, key="user_id", description="Who is gone.")


@strawberry.type(description="History before `cursor` is gone: refetch, then go on from here. Never silent.")
class StreamGap:
    cursor: Cursor = plain(description="Where the stream goes on.")
    reason: str = plain(description="Why, for people.")


ConversationEvent = Annotated[
    MessageAdded
    | MessageEdited
    | MessageDeleted
    | ReactionsChanged
    | ReadMarkerMoved
    | MemberJoined
    | MemberLeft
    | StreamGap,
    strawberry.union(
        "ConversationEvent",
        description=(
            "Everything that can change in a conversation, in one gap-free sequence: catching up after an absence "
            "brings edits and deletions too."
        ),
    ),
]


@strawberry.type(description="Another member begins or ends typing. Told live only.")
class TypingEvent:
    conversation_id: strawberry.ID = plain(description="Where.")
    user: User | None = loads(User, key="user_id", description="Who.")
    typing: bool = plain(description="True at the beginning, false at the end. Take it back yourself after a while.")


@strawberry.type(description="How much the viewer has not read, as it is now. Told live only.")
class UnreadEvent:
    conversation: Conversation | None = loads(
        Conversation,
        key="conversation_id",
        description="Where something was said, or read; null in the first event, and where the viewer has left since.",
    )
    unread_message_count: int = batched(
        use_cases.unread_message_counts, description="How many messages the viewer has not read, in all conversations."
    )


@strawberry.type(description="Another member comes or goes. Told live only.")
class PresenceEvent:
    conversation_id: strawberry.ID = plain(description="Where.")
    user: User | None = loads(User, key="user_id", description="Who.")
    online: bool = plain(
        description="Whether they are here: whoever listens to any subscription is. Until told, take nobody to be here."
    )


@strawberry.input(description="Whom to talk with.")
class StartConversationInput:
    member_ids: list[strawberry.ID] = strawberry.field(
        description="The other people, 1 to 249; oneself may be among them."
    )
    title: str | None = strawberry.field(
        default=strawberry.UNSET, description="At most 140 characters. With a title it is always a group."
    )


@strawberry.input(
    description=(
        "`clientId` makes a retry safe: the same id from the same sender in the same conversation is the same message. "
        "Exactly one of the money fields, or none."
    )
)
class SendMessageInput:
    conversation_id: strawberry.ID = strawberry.field(description="Where; the viewer must be a member.")
    text: str = strawberry.field(description="At most 10,000 characters; may be empty with media or money.")
    client_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="Made by the client, 1 to 100 characters."
    )
    reply_to_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="A message of the same conversation."
    )
    media: list[MediaInput] | None = strawberry.field(default=strawberry.UNSET, description="At most 10.")
    transfer_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="A transfer that the viewer sent or received; all members will see its main facts.",
    )
    payment_request_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="A request that the viewer made or got."
    )


@strawberry.input(description="A message's new text.")
class EditMessageInput:
    message_id: strawberry.ID = strawberry.field(description="A message of the viewer's.")
    text: str = strawberry.field(description="At most 10,000 characters; may be empty with media or money.")


@strawberry.input(description="The message to take back.")
class DeleteMessageInput:
    message_id: strawberry.ID = strawberry.field(
        description="A message of the viewer's, or of anybody in a group that the viewer owns or administers."
    )


@strawberry.input(description="An emoji on a message.")
class ReactionInput:
    message_id: strawberry.ID = strawberry.field(description="Which message.")
    emoji: str = strawberry.field(description="One emoji; a message takes at most 50 different ones.")


@strawberry.input(description="How far the viewer has read.")
class MarkConversationReadInput:
    conversation_id: strawberry.ID = strawberry.field(description="Which conversation.")
    seq: BigInt = strawberry.field(description="The `seq` of the last message read; a smaller one changes nothing.")


@strawberry.input(description="Whom to add to a group.")
class AddConversationMembersInput:
    conversation_id: strawberry.ID = strawberry.field(description="A group that the viewer owns or administers.")
    user_ids: list[strawberry.ID] = strawberry.field(
        description="Who comes in; a group has at most 250 members. Who is in already stays as they are."
    )


@strawberry.input(description="Whom to remove from a group.")
class RemoveConversationMemberInput:
    conversation_id: strawberry.ID = strawberry.field(description="A group that the viewer is in.")
    user_id: strawberry.ID = strawberry.field(
        description="Oneself, to leave; anybody for its owner; a plain member for its admins."
    )


@strawberry.input(description="Whether the viewer is typing.")
class SetTypingInput:
    conversation_id: strawberry.ID = strawberry.field(description="Where.")
    typing: bool = strawberry.field(description="True at the beginning and every few seconds, false at the end.")


@strawberry.type(description="The conversation is there.")
class StartConversationSuccess:
    conversation: Conversation = plain(description="New, or the one that the two people had.")


@strawberry.type(description="It is done.")
class MessageSuccess:
    node: Message = plain(description="The message as it is now.")
    cursor: Cursor = plain(description="Where `messageAdded` and `conversationUpdated` go on after this.")


@strawberry.type(description="The message is taken back.")
class DeleteMessageSuccess:
    deleted_id: strawberry.ID = plain(description="Its id; it keeps its `seq` and says nothing any more.")
    cursor: Cursor = plain(description="Where `messageAdded` and `conversationUpdated` go on after this.")


@strawberry.type(description="The members have changed.")
class ConversationActionSuccess:
    conversation: Conversation = plain(description="As it is now; one who has left sees nothing of what is in it.")
    cursor: Cursor = plain(description="Where `messageAdded` and `conversationUpdated` go on after this.")


@strawberry.type(description="The marker stands there, or further.")
class MarkConversationReadSuccess:
    conversation: Conversation = plain(description="With its `unreadCount` of now.")
    cursor: Cursor = plain(description="That of the last event: markers take no place of their own.")


@strawberry.type(description="The others were told.")
class SetTypingSuccess:
    conversation_id: strawberry.ID = plain(description="Where.")


StartConversationResult = Annotated[
    StartConversationSuccess | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("StartConversationResult", description="A conversation, or why there is none."),
]
MessageResult = Annotated[
    MessageSuccess | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("MessageResult", description="A message, or why nothing was done."),
]
DeleteMessageResult = Annotated[
    DeleteMessageSuccess | NotFoundError | ForbiddenError,
    strawberry.union("DeleteMessageResult", description="What was taken back, or why nothing was."),
]
ConversationActionResult = Annotated[
    ConversationActionSuccess | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("ConversationActionResult", description="The conversation, or why nothing was done."),
]
MarkConversationReadResult = Annotated[
    MarkConversationReadSuccess | NotFoundError | ForbiddenError | ValidationError,
    strawberry.union("MarkConversationReadResult", description="The conversation, or why nothing was done."),
]
SetTypingResult = Annotated[
    SetTypingSuccess | NotFoundError | ForbiddenError,
    strawberry.union("SetTypingResult", description="Done, or why not."),
]
