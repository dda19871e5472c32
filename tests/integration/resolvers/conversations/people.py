"""People who talk, for the tests of conversations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from datastores import accounts
from datastores.conversations import ConversationDocument, WrittenMessage
from datastores.mongo import Database
from resolvers import conversations
from resolvers.context import Context

Ask = Callable[[str | None], Context]
START = datetime(2026, 1, 1)
NO_USER = "usr_01JD0000000000000000000000"
NO_CONVERSATION = "cnv_01JD0000000000000000000000"
NO_MESSAGE = "msg_01JD0000000000000000000000"


async def people(database: Database, *handles: str) -> list[str]:
    """The ids of new people with these handles; their names are the handles with a capital."""
    documents = [
        accounts.user_document(handle=handle, display_name=handle.title(), created_at=START + timedelta(seconds=n))
        for n, handle in enumerate(handles)
    ]
    await accounts.insert_users(database, documents)
    return [document["_id"] for document in documents]


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
