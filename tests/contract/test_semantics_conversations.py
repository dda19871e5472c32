"""Conversations as their members may rely on them: which are one, what is unread, and which sends are the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.acts import attempt, done, newcomer, refused, say, talk
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOWN = "conversation { id kind title members { user { handle } role } }"


async def start(town: Town, who: str, others: list[str], **more: Any) -> Any:
    members = [await town.id_of(other) for other in others]
    return (await done(town, who, "startConversation", SHOWN, memberIds=members, **more))["conversation"]


async def unread(town: Town, who: str, chat: str) -> tuple[int, int]:
    """What is unread in the conversation, and in all of them."""
    document = "query ($id: ID!) { conversation(id: $id) { unreadCount } viewer { unreadMessageCount } }"
    answer = await town.ask(who, document, id=chat)
    return answer["conversation"]["unreadCount"], answer["viewer"]["unreadMessageCount"]


async def test_two_people_have_one_direct_conversation_whoever_starts_it(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)

    started = await asyncio.gather(*(start(town, *pair) for pair in [(one, [other]), (other, [one])] * 4))

    assert len({chat["id"] for chat in started}) == 1
    assert {chat["kind"] for chat in started} == {"DIRECT"}
    assert {member["user"]["handle"] for member in started[0]["members"]} == {one, other}


async def test_naming_oneself_among_the_members_changes_nothing(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)

    assert (await start(town, one, [other, one, other]))["id"] == (await start(town, one, [other]))["id"]


async def test_a_title_or_a_third_person_makes_a_group_of_its_own_each_time(town: Town) -> None:
    one, other, third = await newcomer(town), await newcomer(town), await newcomer(town)
    direct = await start(town, one, [other])

    groups = [
        await start(town, one, [other], title="Us two"),
        await start(town, one, [other], title="Us two"),
        await start(town, one, [other, third]),
        await start(town, one, [other, third]),
    ]

    assert {chat["kind"] for chat in groups} == {"GROUP"}
    assert len({chat["id"] for chat in [direct, *groups]}) == 5
    roles = {member["user"]["handle"]: member["role"] for member in groups[2]["members"]}
    assert roles == {one: "OWNER", other: "MEMBER", third: "MEMBER"}


async def test_nobody_talks_to_themselves_alone(town: Town) -> None:
    one = await newcomer(town)

    assert await refused(town, one, "startConversation", memberIds=[await town.id_of(one)]) == "ValidationError"
    assert await refused(town, one, "startConversation", memberIds=[]) == "ValidationError"


async def test_a_client_id_is_of_its_sender_and_its_conversation(town: Town) -> None:
    one, other, third = await newcomer(town), await newcomer(town), await newcomer(town)
    chat, elsewhere = await talk(town, one, other), await talk(town, one, third)

    retried = await asyncio.gather(*(say(town, one, chat, f"try {n}", clientId="same") for n in range(6)))
    others = [
        await say(town, other, chat, "mine", clientId="same"),
        await say(town, one, elsewhere, "there", clientId="same"),
        await say(town, one, chat, "new", clientId="other"),
    ]

    assert len({sent["node"]["id"] for sent in retried}) == 1
    assert len({(sent["node"]["text"], sent["cursor"]) for sent in retried}) == 1
    assert [sent["node"]["text"] for sent in others] == ["mine", "there", "new"]
    assert [sent["node"]["seq"] for sent in (retried[0], others[0], others[2])] == ["1", "2", "3"]


async def test_what_others_said_is_unread_until_it_is_marked(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    chat = await talk(town, one, other)
    for text in "abc":
        await say(town, one, chat, text)

    assert await unread(town, one, chat) == (0, 0)
    assert await unread(town, other, chat) == (3, 3)
    await done(town, other, "markConversationRead", conversationId=chat, seq="2")
    assert await unread(town, other, chat) == (1, 1)
    await done(town, other, "markConversationRead", conversationId=chat, seq="1")
    assert await unread(town, other, chat) == (1, 1)
    await say(town, other, chat, "d")
    assert await unread(town, other, chat) == (0, 0)
    assert await unread(town, one, chat) == (1, 1)


async def test_numbers_are_without_a_hole_in_a_crowd(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    chat = await talk(town, one, other)

    sent = await asyncio.gather(*(say(town, who, chat, str(n)) for n in range(20) for who in (one, other)))

    assert sorted(int(each["node"]["seq"]) for each in sent) == list(range(1, 41))


async def test_who_joins_later_sees_what_was_said_and_has_read_it(town: Town) -> None:
    one, other, late = await newcomer(town), await newcomer(town), await newcomer(town)
    chat = (await start(town, one, [other], title="Early birds"))["id"]
    await say(town, one, chat, "early")

    await done(town, one, "addConversationMembers", conversationId=chat, userIds=[await town.id_of(late)])

    shown = await town.ask(late, "query ($id: ID!) { conversation(id: $id) { messages { nodes { text } } } }", id=chat)
    assert [message["text"] for message in shown["conversation"]["messages"]["nodes"]] == ["early"]
    assert await unread(town, late, chat) == (0, 0)


async def test_only_groups_change_their_members(town: Town) -> None:
    one, other, third = await newcomer(town), await newcomer(town), await newcomer(town)
    direct = await talk(town, one, other)
    ids = {"userIds": [await town.id_of(third)]}

    assert await refused(town, one, "addConversationMembers", conversationId=direct, **ids) == "ForbiddenError"
    chat = (await start(town, one, [other, third]))["id"]
    third_id, one_id = await town.id_of(third), await town.id_of(one)
    assert await refused(town, other, "removeConversationMember", conversationId=chat, userId=third_id) == (
        "ForbiddenError"
    )
    await done(town, third, "removeConversationMember", conversationId=chat, userId=third_id)
    await done(town, one, "removeConversationMember", conversationId=chat, userId=one_id)
    left = await town.ask(other, "query ($id: ID!) { conversation(id: $id) { members { role } } }", id=chat)
    assert left["conversation"]["members"] == [{"role": "OWNER"}]


async def test_a_deleted_message_keeps_its_place_and_says_nothing(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    chat = await talk(town, one, other)
    sent = (await say(town, one, chat, "secret"))["node"]
    reply = (await say(town, other, chat, "what?", replyToId=sent["id"]))["node"]

    assert await refused(town, other, "deleteMessage", messageId=sent["id"]) == "ForbiddenError"
    await done(town, one, "deleteMessage", messageId=sent["id"])
    await done(town, one, "deleteMessage", messageId=sent["id"])

    document = """query ($id: ID!, $reply: ID!) {
      conversation(id: $id) { messages { nodes { seq text deletedAt } } }
      node(id: $reply) { ... on Message { replyTo { id text } } }
    }"""
    shown = await town.ask(other, document, id=chat, reply=reply["id"])
    assert [(m["seq"], m["text"]) for m in shown["conversation"]["messages"]["nodes"]] == [("1", ""), ("2", "what?")]
    assert shown["conversation"]["messages"]["nodes"][0]["deletedAt"] is not None
    assert shown["node"]["replyTo"] == {"id": sent["id"], "text": ""}
    assert (await attempt(town, one, "editMessage", messageId=sent["id"], text="x"))["__typename"] != "MessageSuccess"


async def test_a_message_takes_50_different_emoji(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    chat = await talk(town, one, other)
    message = (await say(town, one, chat, "x"))["node"]["id"]
    emoji = [chr(0x1F600 + n) for n in range(51)]

    await asyncio.gather(*(done(town, one, "addReaction", messageId=message, emoji=each) for each in emoji[:50]))

    assert await refused(town, other, "addReaction", messageId=message, emoji=emoji[50]) == "ValidationError"
    await done(town, other, "addReaction", messageId=message, emoji=emoji[0])
    shown = await town.ask(
        other,
        "query ($id: ID!) { node(id: $id) { ... on Message { reactions { emoji count viewerReacted } } } }",
        id=message,
    )
    first = next(each for each in shown["node"]["reactions"] if each["emoji"] == emoji[0])
    assert (len(shown["node"]["reactions"]), first) == (50, {"emoji": emoji[0], "count": 2, "viewerReacted": True})


async def test_reacting_twice_is_once(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    message = (await say(town, one, await talk(town, one, other), "x"))["node"]["id"]
    selection = "cursor node { reactions { emoji count } }"

    first, second = [await done(town, other, "addReaction", selection, messageId=message, emoji="👍") for _ in range(2)]

    assert first["node"] == second["node"] == {"reactions": [{"emoji": "👍", "count": 1}]}


async def test_notifications_are_told_once_and_never_of_ones_own_acts(town: Town) -> None:
    one, other = await newcomer(town), await newcomer(town)
    post = (await done(town, one, "createPost", "post { id }", text="Mine"))["post"]["id"]
    await done(town, one, "likePost", postId=post)

    for _ in range(2):
        await done(town, other, "likePost", postId=post)
        await done(town, other, "unlikePost", postId=post)
    await done(town, other, "likePost", postId=post)

    document = "{ viewer { notifications { nodes { kind actor { handle } subject { id } } } } }"
    told = (await town.ask(one, document))["viewer"]["notifications"]["nodes"]
    assert told == [{"kind": "like", "actor": {"handle": other}, "subject": {"id": post}}]
