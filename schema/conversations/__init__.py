"""Conversations in the graph: what members read of them, do in them and hear from them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, cast

import strawberry

from datastores.conversations import ConversationDocument, ConversationKind, MessageDocument, WrittenMessage
from datastores.mongo import Document
from resolvers import conversations as use_cases
from schema.arguments import FIRST, SINCE, Info, or_none
from schema.composition import Domain, batched, loads, plain, root
from schema.entities import Conversation, Message, Order, PaymentRequest, Transfer, User, Viewer
from schema.scalars import BigInt, Cursor
from schema.values import Connection, Media, media_documents

from .types import (
    AddConversationMembersInput,
    ConversationActionResult,
    ConversationEvent,
    ConversationMember,
    DeleteMessageInput,
    DeleteMessageResult,
    EditMessageInput,
    MarkConversationReadInput,
    MarkConversationReadResult,
    MessageEvent,
    MessageResult,
    PresenceEvent,
    Reaction,
    ReactionInput,
    RemoveConversationMemberInput,
    SendMessageInput,
    SetTypingInput,
    SetTypingResult,
    StartConversationInput,
    StartConversationResult,
    TypingEvent,
    UnreadEvent,
)

conversations = Domain("conversations")
conversations.owns(Conversation, use_cases.by_id, document=ConversationDocument, viewer=False)
conversations.owns(Message, use_cases.messages_by_id, document=MessageDocument, viewer=False)

Where = Annotated[strawberry.ID, strawberry.argument(description="A conversation that the viewer is a member of.")]
Since = Annotated[Cursor | None, strawberry.argument(description=SINCE)]


@conversations.extends(Conversation)
class ConversationFields:
    title: str = batched(
        use_cases.titles,
        description="Its title; without one, the name of the other person, or of up to four others and how many more.",
    )
    kind: ConversationKind = plain(description="Of two people, a group, or about an order.")
    created_at: datetime = plain(description="When it was started.")
    members: list[ConversationMember] = batched(
        use_cases.members, description="Who is in it, at most 250, in the order in which they came."
    )
    messages: Connection[Message] = batched(
        use_cases.messages,
        description="What was said, oldest first; without arguments the last 20. Deleted messages keep their place.",
        last="At most this many from the end, 0 to 100.",
        before="A cursor: those before it.",
        first="At most this many from the beginning, 0 to 100.",
        after="A cursor: those after it.",
    )
    last_message: Message | None = batched(use_cases.last_messages, description="What was said last.")
    unread_count: int = batched(
        use_cases.unread_counts, description="How many messages the viewer has not read; one's own count as read."
    )
    order: Order | None = loads(Order, key="order_id", description="The order that this conversation is about.")


@conversations.extends(Message)
class MessageFields:
    conversation: Conversation | None = loads(Conversation, key="conversation_id", description="Where it was said.")
    seq: BigInt = plain(description="Its number in the conversation, from 1 on without a hole.")
    sender: User | None = loads(User, key="sender_id", description="Who said it.")
    text: str = plain(description="At most 10,000 characters; empty where only media or money speak, or once deleted.")
    created_at: datetime = plain(description="When it was sent.")
    edited_at: datetime | None = plain(description="When its text was last changed.")
    deleted_at: datetime | None = plain(description="When it was taken back: nothing of what it said is left.")
    reply_to: Message | None = loads(Message, key="reply_to_id", description="The message that it answers.")
    reactions: list[Reaction] = batched(
        use_cases.reactions,
        viewer=False,
        description="At most 50 different emoji, in the order in which they first appeared.",
    )
    media: list[Media] = plain(description="At most 10 pictures, films and sounds.")
    transfer: Transfer | None = loads(
        Transfer, key="transfer_id", description="The transfer that it shows: members see its main facts."
    )
    payment_request: PaymentRequest | None = loads(
        PaymentRequest, key="payment_request_id", description="The request that it shows, to requester and payer."
    )


@conversations.extends(Viewer)
class ViewerConversations:
    conversations: Connection[Conversation] | None = batched(
        use_cases.conversations,
        description="The viewer's conversations: those with the newest message, or newly joined, first.",
        first=FIRST,
        after="A cursor: those after it.",
    )
    unread_message_count: int | None = batched(
        use_cases.unread_message_counts, description="How many messages the viewer has not read, in all conversations."
    )


@conversations.root
class Query:
    @root(Conversation | None, description="A conversation that the viewer is a member of; null for any other.")
    async def conversation(self, info: Info, id: strawberry.ID) -> Document | None:
        (found,) = await use_cases.by_id(info.context, [id])
        return cast("Document | None", found)


@conversations.root
class Mutation:
    @root(
        StartConversationResult | None,
        description=(
            "Start talking. With one other person and no title it is the direct conversation of the two, which there "
            "is once: starting it again returns it. Otherwise a new group that the viewer owns."
        ),
    )
    async def start_conversation(self, info: Info, input: StartConversationInput) -> Document:
        made = await use_cases.start_conversation(info.context, member_ids=input.member_ids, title=or_none(input.title))
        return {"__typename": "StartConversationSuccess", "conversation": made}

    @root(
        ConversationActionResult | None,
        description="Let people into a group that the viewer owns or administers. They see what was said before.",
    )
    async def add_conversation_members(self, info: Info, input: AddConversationMembersInput) -> Document:
        changed = await use_cases.add_members(
            info.context, conversation_id=input.conversation_id, user_ids=input.user_ids
        )
        return _changed(changed.conversation, changed.n)

    @root(
        ConversationActionResult | None,
        description=(
            "Leave a group, or remove somebody from it. An owner who leaves hands it to whoever came first of the "
            "others. Direct conversations and those about orders cannot be left."
        ),
    )
    async def remove_conversation_member(self, info: Info, input: RemoveConversationMemberInput) -> Document:
        changed = await use_cases.remove_member(
            info.context, conversation_id=input.conversation_id, user_id=input.user_id
        )
        return _changed(changed.conversation, changed.n)

    @root(MessageResult | None, description="Say something in a conversation that the viewer is a member of.")
    async def send_message(self, info: Info, input: SendMessageInput) -> Document:
        sent = await use_cases.send_message(
            info.context,
            conversation_id=input.conversation_id,
            text=input.text,
            client_id=or_none(input.client_id),
            reply_to_id=or_none(input.reply_to_id),
            media=media_documents(or_none(input.media)),
            transfer_id=or_none(input.transfer_id),
            payment_request_id=or_none(input.payment_request_id),
        )
        return _written(sent)

    @root(MessageResult | None, description="Change the text of a message of the viewer's own.")
    async def edit_message(self, info: Info, input: EditMessageInput) -> Document:
        return _written(await use_cases.edit_message(info.context, message_id=input.message_id, text=input.text))

    @root(
        DeleteMessageResult | None,
        description=(
            "Take a message back, with all that it said: by its sender, or by an owner or admin of the group. "
            "Deleting it again changes nothing."
        ),
    )
    async def delete_message(self, info: Info, input: DeleteMessageInput) -> Document:
        deleted = await use_cases.delete_message(info.context, message_id=input.message_id)
        message = deleted.message
        cursor = use_cases.event_cursor(message["conversation_id"], deleted.n)
        return {"__typename": "DeleteMessageSuccess", "deleted_id": message["_id"], "cursor": cursor}

    @root(MessageResult | None, description="React to a message; the same emoji again changes nothing.")
    async def add_reaction(self, info: Info, input: ReactionInput) -> Document:
        return _written(await use_cases.add_reaction(info.context, message_id=input.message_id, emoji=input.emoji))

    @root(MessageResult | None, description="Take the viewer's reaction back, if it is there.")
    async def remove_reaction(self, info: Info, input: ReactionInput) -> Document:
        return _written(await use_cases.remove_reaction(info.context, message_id=input.message_id, emoji=input.emoji))

    @root(
        MarkConversationReadResult | None,
        description="Move the viewer's read marker up to a message; it never goes back, nor past the last message.",
    )
    async def mark_conversation_read(self, info: Info, input: MarkConversationReadInput) -> Document:
        marker = await use_cases.mark_read(info.context, conversation_id=input.conversation_id, seq=input.seq)
        conversation = marker.conversation
        cursor = use_cases.event_cursor(conversation["_id"], conversation["event_n"])
        return {"__typename": "MarkConversationReadSuccess", "conversation": conversation, "cursor": cursor}

    @root(SetTypingResult | None, description="Tell the other members that the viewer is typing, or not any more.")
    async def set_typing(self, info: Info, input: SetTypingInput) -> Document:
        await use_cases.set_typing(info.context, conversation_id=input.conversation_id, typing=input.typing)
        return {"__typename": "SetTypingSuccess", "conversation_id": input.conversation_id}


@conversations.root
class Subscription:
    @root(
        MessageEvent,
        subscription=True,
        hearers="members",
        description=(
            "New messages of a conversation. Its cursors are those of `conversationUpdated` and of what is done in it. "
            "Ends where the viewer is no member any more."
        ),
    )
    async def message_added(
        self,
        info: Info,
        conversation_id: Where,
        after: Since = strawberry.UNSET,
    ) -> AsyncGenerator[Document, None]:
        async for event in use_cases.message_added(info.context, conversation_id=conversation_id, after=or_none(after)):
            yield event

    @root(
        ConversationEvent,
        subscription=True,
        hearers="members",
        description=(
            "Everything that changes in a conversation. Its cursors are those of `messageAdded` and of what is done in "
            "it; a catch-up ends with everybody's read marker. Ends where the viewer is no member any more."
        ),
    )
    async def conversation_updated(
        self,
        info: Info,
        conversation_id: Where,
        after: Since = strawberry.UNSET,
    ) -> AsyncGenerator[Document, None]:
        async for event in use_cases.conversation_updated(
            info.context, conversation_id=conversation_id, after=or_none(after)
        ):
            yield event

    @root(
        MessageEvent,
        subscription=True,
        hearers="viewer",
        description=(
            "New messages of all the viewer's conversations, their own too. Its cursors are its own; messages of "
            "conversations that the viewer has left since are left out."
        ),
    )
    async def inbox(self, info: Info, after: Since = strawberry.UNSET) -> AsyncGenerator[Document, None]:
        async for event in use_cases.inbox(info.context, after=or_none(after)):
            yield event

    @root(
        TypingEvent,
        subscription=True,
        hearers="members",
        description="Who of the others begins and ends typing. Ends where the viewer is no member any more.",
    )
    async def typing(self, info: Info, conversation_id: Where) -> AsyncGenerator[Document, None]:
        async for event in use_cases.typing(info.context, conversation_id=conversation_id):
            yield event

    @root(
        UnreadEvent,
        subscription=True,
        description=(
            "How much the viewer has not read: at once, then with each message, and whenever they read on any device."
        ),
    )
    async def unread_changed(self, info: Info) -> AsyncGenerator[Document, None]:
        async for event in use_cases.unread_changed(info.context):
            yield event

    @root(
        PresenceEvent,
        subscription=True,
        description=(
            "Who of the others is here, and then who comes and goes: gone is who has not listened for 3 seconds. "
            "Nothing is kept, and nothing is written while nobody asks. Ends where the viewer is no member any more."
        ),
    )
    async def presence(self, info: Info, conversation_id: Where) -> AsyncGenerator[Document, None]:
        async for event in use_cases.presence(info.context, conversation_id=conversation_id):
            yield event


def _changed(conversation: ConversationDocument, n: int) -> Document:
    cursor = use_cases.event_cursor(conversation["_id"], n)
    return {"__typename": "ConversationActionSuccess", "conversation": conversation, "cursor": cursor}


def _written(written: WrittenMessage) -> Document:
    cursor = use_cases.event_cursor(written.message["conversation_id"], written.n)
    return {"__typename": "MessageSuccess", "node": written.message, "cursor": cursor}
