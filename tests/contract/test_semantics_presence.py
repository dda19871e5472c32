"""What members see of one another as it happens: who is here, and how much they have not read."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.contract.acts import done
from tests.contract.town import Events, Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRESENCE = """
subscription ($id: ID!) { presence(conversationId: $id) { conversationId online user { handle } } }
"""
INBOX = "subscription { inbox { message { text conversation { id unreadCount } } } }"
UPDATES = """
subscription ($id: ID!) { conversationUpdated(conversationId: $id) { __typename
  ... on ReadMarkerMoved { member { lastReadSeq user { handle } } } } }
"""
TOTAL = "{ viewer { unreadMessageCount } }"
CHANGED = "subscription { unreadChanged { unreadMessageCount conversation { id unreadCount } } }"
UNREAD = "query ($id: ID!) { viewer { unreadMessageCount } conversation(id: $id) { unreadCount } }"


async def group_of(town: Town, *handles: str) -> str:
    """A new group that the first of them starts."""
    ids = [await town.id_of(handle) for handle in handles[1:]]
    started = await done(
        town, handles[0], "startConversation", "conversation { id }", memberIds=ids, title=f"Group {uuid4().hex}"
    )
    return str(started["conversation"]["id"])


async def test_members_hear_who_comes_and_goes(town: Town) -> None:
    id = await group_of(town, "alice", "bob", "carol")

    async with town.subscribed("bob", PRESENCE, id=id) as events:
        async with town.subscribed("alice", INBOX):
            came = await events.next()
        went = await events.next()

    assert came == {"presence": {"conversationId": id, "online": True, "user": {"handle": "alice"}}}
    assert went == {"presence": {"conversationId": id, "online": False, "user": {"handle": "alice"}}}


async def test_nobody_else_may_look(town: Town) -> None:
    id = await group_of(town, "alice", "bob")

    for who, code in (("dave", "NOT_FOUND"), (None, "UNAUTHENTICATED")):
        async with town.subscribed(who, PRESENCE, id=id) as events:
            refusal = await events.message()

        assert refusal["type"] == "error"
        assert refusal["payload"][0]["extensions"]["code"] == code


async def test_what_is_unread_in_all_conversations_is_told_at_once_and_as_it_changes(town: Town) -> None:
    first, second = await group_of(town, "alice", "bob"), await group_of(town, "carol", "bob")
    before = (await town.ask("bob", TOTAL))["viewer"]["unreadMessageCount"]

    async with town.subscribed("bob", CHANGED) as events:
        heard = [await unread(events)]
        await done(town, "alice", "sendMessage", conversationId=first, text="one")
        heard.append(await unread(events))
        await done(town, "carol", "sendMessage", conversationId=second, text="two")
        heard.append(await unread(events))
        await done(town, "bob", "markConversationRead", conversationId=first, seq="1")
        heard.append(await unread(events))
        # What one says oneself is read.
        await done(town, "bob", "sendMessage", conversationId=second, text="three")
        heard.append(await unread(events))

    assert heard == [
        (before, None, None),
        (before + 1, first, 1),
        (before + 2, second, 1),
        (before + 1, first, 0),
        (before, second, 0),
    ]


async def unread(events: Events) -> tuple[int, str | None, int | None]:
    """The next event: the whole count, where it changed, and the count there."""
    event = (await events.next())["unreadChanged"]
    where = event["conversation"] or {"id": None, "unreadCount": None}
    return event["unreadMessageCount"], where["id"], where["unreadCount"]


async def test_nobody_else_hears_what_is_unread(town: Town) -> None:
    async with town.subscribed(None, CHANGED) as events:
        refusal = await events.message()

    assert refusal["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_the_count_of_what_is_unread_moves_with_each_message_and_each_reading(town: Town) -> None:
    id = await group_of(town, "alice", "bob")
    before = (await town.ask("bob", UNREAD, id=id))["viewer"]["unreadMessageCount"]

    async with town.subscribed("bob", INBOX) as phone, town.subscribed("bob", UPDATES, id=id) as laptop:
        counts = []
        for text in ("one", "two"):
            await done(town, "alice", "sendMessage", conversationId=id, text=text)
            counts.append((await phone.next())["inbox"]["message"]["conversation"]["unreadCount"])
        total = (await town.ask("bob", UNREAD, id=id))["viewer"]["unreadMessageCount"]
        await done(town, "bob", "markConversationRead", conversationId=id, seq="2")
        moved = (await laptop.next())["conversationUpdated"]
        while moved["__typename"] != "ReadMarkerMoved" or moved["member"]["user"]["handle"] != "bob":
            moved = (await laptop.next())["conversationUpdated"]
        await done(town, "alice", "sendMessage", conversationId=id, text="three")
        counts.append((await phone.next())["inbox"]["message"]["conversation"]["unreadCount"])

    assert counts == [1, 2, 1]
    assert total == before + 2
    assert moved["member"]["lastReadSeq"] == "2"
