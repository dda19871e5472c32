"""Conversations and what is said in them, for tests."""

from __future__ import annotations

from datastores.conversations import ConversationDocument, WrittenMessage
from resolvers import conversations
from tests.integration.resolvers.people import Ask

NO_CONVERSATION = "cnv_01JD0000000000000000000000"
NO_MESSAGE = "msg_01JD0000000000000000000000"


async def talk(ask: Ask, *user_ids: str, title: str | None = None) -> ConversationDocument:
    """A conversation that the first of them starts."""
    return await conversations.start_conversation(ask(user_ids[0]), member_ids=user_ids[1:], title=title)


async def say(ask: Ask, user_id: str, conversation: ConversationDocument, text: str) -> WrittenMessage:
    """A message."""
    return await conversations.send_message(ask(user_id), conversation_id=conversation["_id"], text=text)


async def current(ask: Ask, user_id: str, conversation: ConversationDocument) -> ConversationDocument:
    """The conversation as this member sees it now."""
    (found,) = await conversations.by_id(ask(user_id), [conversation["_id"]])
    assert found is not None
    return found
