"""Cursors that are of no use where they are passed: a typed error for each, the same whatever is there to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from datastores.ids import new_id
from datastores.paging import encode_cursor
from schema.graph import whole_graph
from tests.contract.acts import done, newcomer, say, talk
from tests.contract.town import Events, Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

STREAMS: Final = {
    "messageAdded": "subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) {"
    " cursor message { text } } }",
    "conversationUpdated": "subscription ($id: ID!, $after: Cursor) {"
    " conversationUpdated(conversationId: $id, after: $after) { __typename ... on MessageAdded { cursor } } }",
    "inbox": "subscription ($after: Cursor) { inbox(after: $after) { cursor message { text } } }",
    "balanceChanged": "subscription ($after: Cursor) { balanceChanged(after: $after) { cursor entry { id } } }",
    "orderUpdated": "subscription ($after: Cursor) { orderUpdated(after: $after) { cursor order { id } } }",
    "notificationAdded": "subscription ($after: Cursor) { notificationAdded(after: $after) { cursor } }",
    "paymentEvents": "subscription ($after: Cursor) { paymentEvents(after: $after) { cursor seq } }",
}
# What `rideUpdated` says of cursors is tried where the service is, in `test_rides.py`.
WITH_A_SERVICE: Final = {"rideUpdated"}
OF_A_CONVERSATION: Final = {"messageAdded", "conversationUpdated"}
FAR: Final = (2**40, 2**63 - 1, 2**63)


@dataclass(frozen=True)
class Scene:
    """Somebody in a conversation, somebody who is in another, and the lists that cursors of the first are of."""

    who: str
    other: str
    chat: str
    elsewhere: str
    own: Mapping[str, str]
    foreign: Mapping[str, str]


async def scene(town: Town) -> Scene:
    who, friend, other = [await newcomer(town) for _ in range(3)]
    for handle in (who, other):
        await done(town, handle, "openMerchant", name="Shop")
    chat, elsewhere = await talk(town, who, friend), await talk(town, other, friend)
    await say(town, who, chat, "Ours")
    await say(town, other, elsewhere, "Theirs alone")
    of = [await scopes(town, handle, there) for handle, there in ((who, chat), (other, elsewhere))]
    return Scene(who, other, chat, elsewhere, *of)


async def scopes(town: Town, who: str, chat: str) -> dict[str, str]:
    """The names of the lists that the cursors of one's streams belong to."""
    user_id = await town.id_of(who)
    return {
        "messageAdded": f"conversation/{chat}",
        "conversationUpdated": f"conversation/{chat}",
        "inbox": f"inbox/{user_id}",
        "balanceChanged": f"balance/{user_id}",
        "orderUpdated": f"orders/{user_id}",
        "notificationAdded": f"notification_events/{user_id}",
        "paymentEvents": f"payment_events/{user_id}",
    }


async def error_of(events: Events) -> dict[str, Any]:
    """The error with which a subscription ends, which comes before any event."""
    message = await events.message()
    assert message["type"] == "error", message
    (error,) = message["payload"]
    assert isinstance(error, dict)
    return error


async def refused(town: Town, who: str | None, stream: str, chat: str, after: str | None) -> dict[str, Any]:
    """The error that a subscription on a socket of its own ends with."""
    given = {"id": chat} if stream in OF_A_CONVERSATION else {}
    payload = {"query": STREAMS[stream], "variables": {"after": after, **given}}
    async with town.asked_by_socket(who, payload) as events:
        return await error_of(events)


async def test_every_subscription_that_takes_a_cursor_is_here() -> None:
    subscription: Any = whole_graph().graphql_schema.subscription_type

    assert {name for name, field in subscription.fields.items() if "after" in field.args} == {*STREAMS, *WITH_A_SERVICE}


@pytest.mark.parametrize("stream", STREAMS)
async def test_a_cursor_of_another_stream_or_of_nobodys_is_refused(town: Town, stream: str) -> None:
    it = await scene(town)
    own = it.own[stream]
    others = sorted({*it.own.values(), *it.foreign.values(), "nothing"} - {own})

    for after in [*(encode_cursor(scope, 1) for scope in others), encode_cursor(own, "1"), encode_cursor(own), "x", ""]:
        error = await refused(town, it.who, stream, it.chat, after)

        assert error["extensions"]["code"] == "INVALID_INPUT", (after, error)
        assert not any(text in str(error) for text in (it.elsewhere, it.other, "Theirs", await town.id_of(it.other)))


@pytest.mark.parametrize("stream", STREAMS)
async def test_a_cursor_from_the_future_is_refused_and_the_present_goes_on(town: Town, stream: str) -> None:
    it = await scene(town)

    for n in FAR:
        error = await refused(town, it.who, stream, it.chat, encode_cursor(it.own[stream], n))

        assert error["extensions"]["code"] == "INVALID_INPUT", (n, error)

    given = {"id": it.chat} if stream in OF_A_CONVERSATION else {}
    async with town.subscribed(it.who, STREAMS[stream], **given) as events:
        assert await events.soon() is None


@pytest.mark.parametrize("stream", sorted(OF_A_CONVERSATION))
async def test_a_conversation_of_others_is_one_that_never_was_whatever_the_cursor(town: Town, stream: str) -> None:
    it = await scene(town)
    never = new_id("cnv")

    answers = [
        await refused(town, it.who, stream, chat, after)
        for chat in (it.elsewhere, never)
        for after in (None, encode_cursor(f"conversation/{chat}", 1), encode_cursor(f"conversation/{chat}", 2**40), "x")
    ]

    assert {answer["extensions"]["code"] for answer in answers} == {"NOT_FOUND"}
    assert answers[:4] == answers[4:]


@pytest.mark.parametrize("stream", sorted(OF_A_CONVERSATION))
async def test_a_conversation_that_was_left_or_is_gone_brings_nothing_to_its_old_cursors(
    town: Town, stream: str
) -> None:
    one, other = await newcomer(town), await newcomer(town)
    members = [await town.id_of(other)]
    made = await done(town, one, "startConversation", "conversation { id }", memberIds=members, title="Brief")
    chat = made["conversation"]["id"]
    cursor = (await say(town, one, chat, "Heard"))["cursor"]
    await done(town, one, "removeConversationMember", conversationId=chat, userId=members[0])
    await say(town, one, chat, "Not theirs")

    left = await refused(town, other, stream, chat, cursor)
    assert await town.gateway.database.delete_one("conversations", {"_id": chat}) == 1
    gone = await refused(town, one, stream, chat, cursor)

    assert left == gone
    assert gone["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("stream", sorted(OF_A_CONVERSATION))
async def test_a_group_that_all_have_left_is_gone_for_each_of_them(town: Town, stream: str) -> None:
    one, other = await newcomer(town), await newcomer(town)
    ids = {who: await town.id_of(who) for who in (one, other)}
    made = await done(town, one, "startConversation", "conversation { id }", memberIds=[ids[other]], title="Brief")
    chat = made["conversation"]["id"]
    cursor = (await say(town, one, chat, "Heard"))["cursor"]
    for who in (other, one):
        await done(town, who, "removeConversationMember", conversationId=chat, userId=ids[who])

    answers = [await refused(town, who, stream, chat, after) for who in (one, other) for after in (cursor, None)]

    assert {answer["extensions"]["code"] for answer in answers} == {"NOT_FOUND"}
    assert answers == [answers[0]] * 4


@pytest.mark.parametrize("stream", STREAMS)
async def test_nobody_is_told_about_cursors_before_it_is_known_who_asks(town: Town, stream: str) -> None:
    it = await scene(town)

    answers = [
        await refused(town, None, stream, it.chat, after)
        for after in (None, encode_cursor(it.own[stream], 1), encode_cursor(it.own[stream], 2**40), "x")
    ]

    assert answers == [answers[0]] * 4
    assert answers[0]["extensions"]["code"] == "UNAUTHENTICATED"
