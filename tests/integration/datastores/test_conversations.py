"""Conversations under contention: numbered without a hole, once each, in time; and every read on an index."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import count, islice

import pytest

from datastores import conversations as store
from datastores.commit import CommitLoop, CommitLoops
from datastores.conversations import (
    ConversationDocument,
    ConversationKind,
    MemberRole,
    RemoveMember,
    SendMessage,
    StartConversation,
    WrittenMessage,
)
from datastores.errors import NotFoundError
from datastores.ids import new_id
from datastores.indexes import create_indexes
from datastores.mongo import Database, Document
from datastores.paging import decode_cursor, window
from tests.integration.plans import plans_of

LIMIT_S = 20.0


@pytest.fixture
def loop(database: Database) -> CommitLoop:
    return CommitLoops(database)["conversations"]


async def group(loop: CommitLoop, members: int, *, title: str | None = None) -> ConversationDocument:
    users = [new_id("usr") for _ in range(members)]
    roles = {users[0]: MemberRole.OWNER} | dict.fromkeys(users[1:], MemberRole.MEMBER)
    act = StartConversation(new_id("cnv"), ConversationKind.GROUP, title, roles)
    return await loop.submit(act, weight=members + 1)


def message(conversation: ConversationDocument, sender: int, text: str, *, id: str | None = None) -> SendMessage:
    return SendMessage(id or new_id("msg"), conversation["_id"], conversation["member_ids"][sender], text)


async def send(loop: CommitLoop, act: SendMessage, members: int) -> WrittenMessage:
    return await loop.submit(act, weight=members + 2, timeout_s=LIMIT_S)


async def rows(database: Database, collection: str, **filter: object) -> list[Document]:
    return await database.find(collection, filter, limit=10_000, sort=[("_id", 1)])


async def assert_consistent(database: Database, conversation_id: str) -> None:
    """Every counter agrees with what it counts, and every sequence is 1, 2, 3 …"""
    (conversation,) = await store.by_ids(database, [conversation_id])
    assert conversation is not None
    messages = await database.find(
        store.MESSAGES, {"conversation_id": conversation_id}, limit=10_000, sort=[("seq", 1)]
    )
    events = await rows(database, store.EVENTS, conversation_id=conversation_id)
    added = [row for row in events if row["kind"] == "message_added"]
    assert [each["seq"] for each in messages] == list(range(1, conversation["message_count"] + 1))
    assert [row["n"] for row in events] == list(range(1, conversation["event_n"] + 1))
    assert [row["message_id"] for row in added] == [each["_id"] for each in messages]
    assert [row["n"] for row in added] == [each["n"] for each in messages]
    for user_id in conversation["member_ids"]:
        inbox = await rows(database, store.INBOX, user_id=user_id)
        assert [row["n"] for row in inbox] == list(range(1, len(inbox) + 1))
        assert await store.inbox_head(database, user_id) == len(inbox)
        (member,) = await store.memberships(database, [(conversation_id, user_id)])
        assert member is not None
        assert member["last_seq"] == conversation["message_count"]


async def test_100_concurrent_messages_are_numbered_without_a_hole_in_seconds(
    database: Database, loop: CommitLoop
) -> None:
    conversation = await group(loop, 5)
    started = time.monotonic()

    written = await asyncio.gather(*(send(loop, message(conversation, i % 5, str(i)), 5) for i in range(100)))

    assert time.monotonic() - started < LIMIT_S
    assert sorted(each.message["seq"] for each in written) == list(range(1, 101))
    assert sorted(each.n for each in written) == list(range(1, 101))
    for user_id in conversation["member_ids"]:
        inbox = await rows(database, store.INBOX, user_id=user_id)
        in_order = sorted(written, key=lambda each: each.message["seq"])
        assert [row["message_id"] for row in inbox] == [each.message["_id"] for each in in_order]
    await assert_consistent(database, conversation["_id"])


async def test_two_processes_number_one_conversation_together(database: Database) -> None:
    loops = [CommitLoops(database)["conversations"] for _ in range(2)]
    conversation = await group(loops[0], 3)

    written = await asyncio.gather(*(send(loops[i % 2], message(conversation, i % 3, str(i)), 3) for i in range(60)))

    assert sorted(each.message["seq"] for each in written) == list(range(1, 61))
    await assert_consistent(database, conversation["_id"])


async def test_one_message_id_20_times_at_once_in_two_processes_is_one_message(database: Database) -> None:
    loops = [CommitLoops(database)["conversations"] for _ in range(2)]
    conversation = await group(loops[0], 2)
    act = message(conversation, 0, "once")

    written = await asyncio.gather(*(send(loops[i % 2], act, 2) for i in range(20)))

    assert sum(not each.replayed for each in written) == 1
    assert {(each.message["seq"], each.n) for each in written} == {(1, 1)}
    await assert_consistent(database, conversation["_id"])


async def test_a_message_to_250_members_reaches_every_inbox(database: Database, loop: CommitLoop) -> None:
    conversation = await group(loop, 250)

    written = await asyncio.gather(*(send(loop, message(conversation, i, str(i)), 250) for i in range(10)))

    assert sorted(each.message["seq"] for each in written) == list(range(1, 11))
    assert await database.count(store.INBOX, {"conversation_id": conversation["_id"]}) == 2_500
    assert loop.statistics.largest_batch <= 8
    await assert_consistent(database, conversation["_id"])


async def test_many_conversations_of_the_same_people_share_their_inboxes(database: Database, loop: CommitLoop) -> None:
    first = await group(loop, 3)
    roles = dict.fromkeys(first["member_ids"], MemberRole.MEMBER)
    acts = [StartConversation(new_id("cnv"), ConversationKind.GROUP, "more", roles) for _ in range(4)]
    others = await asyncio.gather(*(loop.submit(act, weight=4) for act in acts))

    await asyncio.gather(*(send(loop, message(others[i % 4], i % 3, str(i)), 3) for i in range(40)))

    assert await store.inbox_head(database, first["member_ids"][0]) == 40
    for other in others:
        await assert_consistent(database, other["_id"])


async def test_nothing_enters_the_inbox_of_one_who_left_in_the_same_batch(database: Database, loop: CommitLoop) -> None:
    conversation = await group(loop, 3)
    owner, _, leaver = conversation["member_ids"]

    outcomes = await asyncio.gather(
        send(loop, message(conversation, 0, "before"), 3),
        loop.submit(RemoveMember(conversation["_id"], owner, leaver), weight=4),
        send(loop, message(conversation, 0, "after"), 3),
        send(loop, message(conversation, 2, "from outside"), 3),
        return_exceptions=True,
    )

    assert [type(outcome).__name__ for outcome in outcomes] == [
        "WrittenMessage",
        "ChangedMembers",
        "WrittenMessage",
        "NotFoundError",
    ]
    assert len(await rows(database, store.INBOX, user_id=leaver)) == 1
    await assert_consistent(database, conversation["_id"])


async def test_joining_and_writing_at_once_leaves_no_inbox_out(database: Database, loop: CommitLoop) -> None:
    conversation = await group(loop, 2)
    owner = conversation["member_ids"][0]
    joiners = [new_id("usr") for _ in range(5)]

    await asyncio.gather(
        *(loop.submit(store.AddMembers(conversation["_id"], owner, [joiner]), weight=3) for joiner in joiners),
        *(send(loop, message(conversation, i % 2, str(i)), 2) for i in range(10)),
    )

    (after,) = await store.by_ids(database, [conversation["_id"]])
    assert after is not None
    assert after["member_ids"][2:] == joiners
    await assert_consistent(database, conversation["_id"])


async def test_coming_and_going_in_one_batch_ends_as_the_last_act_says(database: Database, loop: CommitLoop) -> None:
    conversation = await group(loop, 3)
    owner, _, guest = conversation["member_ids"]
    leave = RemoveMember(conversation["_id"], owner, guest)
    join = store.AddMembers(conversation["_id"], owner, [guest])

    await asyncio.gather(*(loop.submit(act, weight=4) for act in (leave, join, leave, join)))

    (member,) = await store.memberships(database, [(conversation["_id"], guest)])
    assert member is not None
    kinds = [row["kind"] for row in await rows(database, store.EVENTS, conversation_id=conversation["_id"])]
    assert kinds == ["member_left", "member_joined"] * 2
    await assert_consistent(database, conversation["_id"])


async def test_a_reaction_set_and_taken_back_at_once_is_counted_right(database: Database, loop: CommitLoop) -> None:
    conversation = await group(loop, 2)
    id = (await send(loop, message(conversation, 0, "react"), 2)).message["_id"]
    one, other = conversation["member_ids"]
    acts = [store.React(id, user, "👍", present) for present in (True, False, True) for user in (one, other)]

    await asyncio.gather(*(loop.submit(act, weight=4) for act in acts))

    (reacted,) = await store.messages_by_ids(database, [id])
    assert reacted is not None
    assert reacted["reactions"] == [{"emoji": "👍", "count": 2}]
    assert await database.count(store.REACTIONS, {"message_id": id}) == 2


async def test_the_direct_conversation_of_two_is_one_even_in_a_race(database: Database) -> None:
    loops = [CommitLoops(database)["conversations"] for _ in range(2)]
    one, other = new_id("usr"), new_id("usr")

    def start(pair: Sequence[str]) -> StartConversation:
        roles = dict.fromkeys(pair, MemberRole.MEMBER)
        return StartConversation(store.direct_id(*pair), ConversationKind.DIRECT, None, roles)

    pairs = [(one, other), (other, one)] * 10
    made = await asyncio.gather(*(loops[i % 2].submit(start(pair), weight=3) for i, pair in enumerate(pairs)))

    assert {each["_id"] for each in made} == {store.direct_id(one, other)}
    assert await database.count(store.CONVERSATIONS, {}) == 1
    assert await database.count(store.MEMBERSHIPS, {}) == 2


async def test_a_refused_message_writes_nothing(database: Database, loop: CommitLoop) -> None:
    conversation = await group(loop, 2)
    stranger = SendMessage(new_id("msg"), conversation["_id"], new_id("usr"), "hello")
    astray = SendMessage(
        new_id("msg"), conversation["_id"], conversation["member_ids"][0], "?", reply_to_id=new_id("msg")
    )

    for act in (stranger, astray):
        with pytest.raises(NotFoundError):
            await loop.submit(act)

    assert await database.count(store.MESSAGES, {}) == 0
    assert await database.count(store.EVENTS, {}) == 0
    assert await database.count(store.INBOX, {}) == 0


@pytest.mark.parametrize("size", [1, 3, 20])
async def test_pages_of_messages_both_ways_show_each_once(database: Database, loop: CommitLoop, size: int) -> None:
    conversation = await group(loop, 2)
    other = await group(loop, 2)
    for i in range(10):
        await send(loop, message(conversation, i % 2, str(i)), 2)
        await send(loop, message(other, 0, "not here"), 2)
    (conversation_now,) = await store.by_ids(database, [conversation["_id"]])
    assert conversation_now is not None

    async def walk(*, backward: bool) -> list[str]:
        texts: list[str] = []
        cursor: str | None = None
        for _ in islice(count(), 12):
            scope = f"messages/{conversation['_id']}"
            asked = (
                window(scope, int, last=size, before=cursor)
                if backward
                else window(scope, int, first=size, after=cursor)
            )
            (page,) = await store.message_windows(database, [conversation_now], {conversation["_id"]: asked})
            found = [edge["node"]["text"] for edge in page["edges"]]
            texts = found + texts if backward else texts + found
            info = page["page_info"]
            assert decode_cursor(scope, info["end_cursor"] or "", int) == (page["edges"][-1]["node"]["seq"],)
            if not info["has_previous_page" if backward else "has_next_page"]:
                return texts
            cursor = info["start_cursor" if backward else "end_cursor"]
        raise AssertionError("the pages do not end")

    expected = [str(i) for i in range(10)]
    assert await walk(backward=False) == expected
    assert await walk(backward=True) == expected


async def test_windows_of_several_conversations_are_one_read(bare_database: Database) -> None:
    database = bare_database
    await create_indexes(database)
    loop = CommitLoops(database)["conversations"]
    made = [await group(loop, 2) for _ in range(3)]
    for conversation in made:
        for i in range(4):
            await send(loop, message(conversation, 0, str(i)), 2)
    now = [each for each in await store.by_ids(database, [each["_id"] for each in made]) if each is not None]
    asked = {each["_id"]: window(f"messages/{each['_id']}", int, last=2) for each in now}

    async def read() -> None:
        for page in await store.message_windows(database, now, asked):
            assert [edge["node"]["text"] for edge in page["edges"]] == ["2", "3"]
        for last in await store.last_messages(database, now):
            assert last is not None
            assert last["text"] == "3"

    plans = await plans_of(database, read)

    assert [plan.collection for plan in plans] == [store.MESSAGES, store.MESSAGES]
    assert not any(plan.is_scan or plan.sorts_in_memory for plan in plans)
    assert plans[0].documents_examined == 9
    assert plans[1].documents_examined == 3


async def test_every_list_is_read_from_an_index(bare_database: Database) -> None:
    database = bare_database
    await create_indexes(database)
    loop = CommitLoops(database)["conversations"]
    conversation = await group(loop, 3)
    me = conversation["member_ids"][0]
    shown = new_id("trf")
    for i in range(5):
        await send(loop, message(conversation, 1, str(i)), 3)
    carrying = SendMessage(new_id("msg"), conversation["_id"], me, "", transfer_id=shown)
    await send(loop, carrying, 3)

    async def read() -> None:
        later = window("conversations", datetime, str, first=5)
        assert len((await store.newest_active(database, me, later))["edges"]) == 1
        assert len(await store.events_after(database, conversation["_id"], 2, 10)) == 4
        assert len(await store.inbox_after(database, me, 2, 10)) == 4
        assert await store.shown_to(database, me, "transfer_id", [shown, new_id("trf")]) == {shown}
        assert await store.shown_to(database, new_id("usr"), "transfer_id", [shown]) == set()
        assert await store.unread_total(database, conversation["member_ids"][2]) == 6

    plans = await plans_of(database, read)

    assert not any(plan.is_scan or plan.sorts_in_memory for plan in plans), plans
    assert plans[-1].documents_examined == 0


async def test_pages_of_conversations_follow_activity(database: Database, loop: CommitLoop) -> None:
    me = new_id("usr")
    ids: list[str] = []
    for _ in range(7):
        roles = {me: MemberRole.OWNER, new_id("usr"): MemberRole.MEMBER}
        act = StartConversation(new_id("cnv"), ConversationKind.GROUP, "g", roles)
        ids.append((await loop.submit(act, weight=3))["_id"])
    for id in reversed(ids):
        await loop.submit(SendMessage(new_id("msg"), id, me, "hi"), weight=4)
    found: list[Document] = []
    cursor: str | None = None
    for _ in range(4):
        page = await store.newest_active(database, me, window("c", datetime, str, first=2, after=cursor))
        found += [edge["node"] for edge in page["edges"]]
        cursor = page["page_info"]["end_cursor"]

    members = await store.memberships(database, [(each["_id"], me) for each in found])
    keys = [(member["last_at"], member["conversation_id"]) for member in members if member is not None]
    assert sorted(each["_id"] for each in found) == sorted(ids)
    assert keys == sorted(keys, reverse=True)
