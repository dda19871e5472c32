"""Members hear what happens, from any cursor on, each event once and in order; others hear nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from datastores.conversations import EVENTS
from datastores.errors import NotFoundError, StreamGapError, UnauthenticatedError, ValidationError
from datastores.mongo import Database, Document
from gateway.live.hub import Hub
from resolvers import conversations
from tests.integration.resolvers.conversations.talks import NO_CONVERSATION, say, talk
from tests.integration.resolvers.listening import heard, listening
from tests.integration.resolvers.people import Ask, people


def texts(events: list[Document]) -> list[str]:
    return [event["message"]["text"] for event in events]


class TestMessages:
    async def test_what_was_missed_comes_first_then_what_is_live(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(live, ann, bob)
        first = await say(live, ann, direct, "1")
        await say(live, ann, direct, "2")
        await conversations.edit_message(live(ann), message_id=first.message["_id"], text="1!")
        after = conversations.event_cursor(direct["_id"], 1)

        stream = conversations.message_added(live(bob), conversation_id=direct["_id"], after=after)
        async with listening(stream, hub) as listener:
            missed = await listener.hear(1)
            listener.listen()
            sent = [await say(live, who, direct, text) for who, text in ((ann, "3"), (bob, "4"))]
            events = missed + await listener.hear(2)

        assert texts(events) == ["2", "3", "4"]
        assert [event["cursor"] for event in events[1:]] == [
            conversations.event_cursor(direct["_id"], each.n) for each in sent
        ]

    async def test_every_message_of_a_crowd_is_heard_once_in_order(
        self, database: Database, live: Ask, hub: Hub
    ) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(live, ann, bob)
        zero = conversations.event_cursor(direct["_id"], 0)
        async with asyncio.TaskGroup() as group:
            for i in range(60):
                group.create_task(say(live, (ann, bob)[i % 2], direct, str(i)))
            hearing = group.create_task(
                heard(conversations.message_added(live(bob), conversation_id=direct["_id"], after=zero), 60)
            )

        assert [event["message"]["seq"] for event in hearing.result()] == list(range(1, 61))

    async def test_a_replayed_message_is_as_it_is_now(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(live, ann, bob)
        sent = await say(live, ann, direct, "oops")
        await conversations.delete_message(live(ann), message_id=sent.message["_id"])
        zero = conversations.event_cursor(direct["_id"], 0)

        (event,) = await heard(conversations.message_added(live(bob), conversation_id=direct["_id"], after=zero), 1)

        assert event["message"]["text"] == ""
        assert event["message"]["deleted_at"] is not None

    async def test_who_is_removed_hears_nothing_more(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(live, ann, bob, cem)
        gone = conversations.message_added(live(cem), conversation_id=group["_id"], after=None)
        stays = conversations.message_added(live(bob), conversation_id=group["_id"], after=None)

        async with listening(gone, hub) as cems, listening(stays, hub) as bobs:
            await say(live, ann, group, "for all")
            await conversations.remove_member(live(ann), conversation_id=group["_id"], user_id=cem)
            await say(live, ann, group, "for two")

            assert texts(await bobs.hear(2)) == ["for all", "for two"]
            assert texts(await cems.hear(1)) == ["for all"]
            assert await cems.hears_the_end()

    async def test_one_who_came_back_catches_up_over_their_absence(
        self, database: Database, live: Ask, hub: Hub
    ) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(live, ann, bob, cem)
        await conversations.remove_member(live(ann), conversation_id=group["_id"], user_id=cem)
        await say(live, ann, group, "meanwhile")
        await conversations.add_members(live(ann), conversation_id=group["_id"], user_ids=[cem])
        zero = conversations.event_cursor(group["_id"], 0)

        events = await heard(conversations.message_added(live(cem), conversation_id=group["_id"], after=zero), 1)

        assert texts(events) == ["meanwhile"]

    async def test_strangers_and_foreign_cursors_are_refused(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        direct, other = await talk(live, ann, bob), await talk(live, ann, cem)
        await say(live, ann, direct, "secret")
        past = conversations.event_cursor(direct["_id"], 99)
        foreign = conversations.event_cursor(other["_id"], 0)

        for listen in (conversations.message_added, conversations.conversation_updated):
            for who, where in ((cem, direct["_id"]), (ann, NO_CONVERSATION), (ann, "nonsense")):
                with pytest.raises(NotFoundError):
                    await heard(listen(live(who), conversation_id=where, after=None), 1)
            for after in (past, foreign, "nonsense", ""):
                with pytest.raises(ValidationError):
                    await heard(listen(live(ann), conversation_id=direct["_id"], after=after), 1)
            with pytest.raises(UnauthenticatedError):
                await heard(listen(live(None), conversation_id=direct["_id"], after=None), 1)
        with pytest.raises(NotFoundError):
            await heard(conversations.typing(live(cem), conversation_id=direct["_id"]), 1)
        with pytest.raises(ValidationError):
            await heard(conversations.inbox(live(ann), after=past), 1)


class TestEverything:
    async def test_a_catch_up_brings_every_change_and_ends_with_the_read_markers(
        self, database: Database, live: Ask, hub: Hub
    ) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(live, ann, bob)
        group = await talk(live, ann, bob, title="g")
        where = {"conversation_id": group["_id"]}
        first, second = await say(live, ann, group, "1"), await say(live, bob, group, "2")
        await conversations.edit_message(live(ann), message_id=first.message["_id"], text="one")
        await conversations.add_reaction(live(bob), message_id=first.message["_id"], emoji="👍")
        await conversations.delete_message(live(bob), message_id=second.message["_id"])
        await conversations.add_members(live(ann), **where, user_ids=[cem])
        await conversations.remove_member(live(cem), **where, user_id=cem)
        await conversations.mark_read(live(ann), **where, seq=2)
        zero = conversations.event_cursor(group["_id"], 0)

        stream = conversations.conversation_updated(live(bob), conversation_id=group["_id"], after=zero)
        async with listening(stream, hub, feeds=2) as listener:
            events = await listener.hear(9)
            listener.listen()
            third = await say(live, ann, group, "3")
            (live_event,) = await listener.hear(1)

        assert [event["__typename"] for event in events] == [
            "MessageAdded",
            "MessageAdded",
            "MessageEdited",
            "ReactionsChanged",
            "MessageDeleted",
            "MemberJoined",
            "MemberLeft",
            "ReadMarkerMoved",
            "ReadMarkerMoved",
        ]
        cursors = [conversations.event_cursor(group["_id"], n) for n in (1, 2, 3, 4, 5, 6, 7, 7, 7)]
        assert [event["cursor"] for event in events] == cursors
        assert events[0]["message"]["text"] == "one"
        assert events[4]["message_id"] == second.message["_id"]
        assert (events[5]["member"]["user_id"], events[5]["member"]["role"]) == (cem, "MEMBER")
        assert events[6]["user_id"] == cem
        assert {event["member"]["user_id"]: event["member"]["last_read_seq"] for event in events[7:]} == {
            ann: 2,
            bob: 2,
        }
        assert live_event["cursor"] == conversations.event_cursor(group["_id"], third.n)

    async def test_a_catch_up_of_nothing_is_the_read_markers(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(live, ann, bob)
        sent = await say(live, ann, direct, "1")
        head = conversations.event_cursor(direct["_id"], sent.n)

        events = await heard(
            conversations.conversation_updated(live(bob), conversation_id=direct["_id"], after=head), 2
        )

        assert [event["member"]["last_read_seq"] for event in events] == [1, 0]
        assert {event["cursor"] for event in events} == {head}

    async def test_a_log_that_was_cut_off_says_so_and_goes_on(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(live, ann, bob)
        for text in "123":
            await say(live, ann, direct, text)
        await database.delete_one(EVENTS, {"conversation_id": direct["_id"], "n": 2})
        zero = conversations.event_cursor(direct["_id"], 0)
        stream = conversations.conversation_updated(live(bob), conversation_id=direct["_id"], after=zero)

        async with listening(stream, hub, feeds=2) as listener:
            events = await listener.hear(4)
            listener.listen()
            await say(live, ann, direct, "4")
            events += await listener.hear(1)

        kinds = ["MessageAdded", "StreamGap", "ReadMarkerMoved", "ReadMarkerMoved", "MessageAdded"]
        assert [event["__typename"] for event in events] == kinds
        assert events[1]["cursor"] == conversations.event_cursor(direct["_id"], 3)
        assert events[4]["message"]["text"] == "4"
        with pytest.raises(StreamGapError):
            await heard(conversations.message_added(live(bob), conversation_id=direct["_id"], after=zero), 2)

    async def test_a_marker_that_moves_is_told_at_once_with_the_last_cursor(
        self, database: Database, live: Ask, hub: Hub
    ) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(live, ann, bob)
        sent = await say(live, ann, direct, "1")
        stream = conversations.conversation_updated(live(ann), conversation_id=direct["_id"], after=None)

        async with listening(stream, hub, feeds=2) as listener:
            await conversations.mark_read(live(bob), conversation_id=direct["_id"], seq=1)
            (event,) = await listener.hear(1)

        assert event["__typename"] == "ReadMarkerMoved"
        assert (event["member"]["user_id"], event["member"]["last_read_seq"]) == (bob, 1)
        assert event["cursor"] == conversations.event_cursor(direct["_id"], sent.n)

    async def test_the_stream_of_one_who_is_removed_ends(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(live, ann, bob, cem)
        stream = conversations.conversation_updated(live(cem), conversation_id=group["_id"], after=None)

        async with listening(stream, hub, feeds=2) as listener:
            await conversations.remove_member(live(ann), conversation_id=group["_id"], user_id=cem)
            await say(live, ann, group, "they are gone")
            await conversations.mark_read(live(bob), conversation_id=group["_id"], seq=1)

            assert await listener.hears_the_end()


class TestTheInbox:
    async def test_it_brings_the_messages_of_all_conversations_and_ones_own(
        self, database: Database, live: Ask, hub: Hub
    ) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        direct, group = await talk(live, ann, bob), await talk(live, cem, ann, bob)
        await say(live, bob, direct, "1")

        async with listening(conversations.inbox(live(ann), after=None), hub) as listener:
            await say(live, cem, group, "2")
            await say(live, ann, direct, "3")
            await say(live, bob, await talk(live, bob, cem), "not for ann")
            await say(live, bob, group, "4")
            events = await listener.hear(3)

        assert texts(events) == ["2", "3", "4"]
        again = await heard(conversations.inbox(live(ann), after=events[0]["cursor"]), 2)
        assert again == events[1:]

    async def test_what_one_has_left_is_left_out(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        direct, group = await talk(live, ann, bob), await talk(live, cem, ann, bob)
        await say(live, bob, direct, "1")
        async with listening(conversations.inbox(live(ann), after=None), hub) as listener:
            await say(live, bob, direct, "2")
            (start,) = await listener.hear(1)
        await say(live, cem, group, "secret")
        await conversations.remove_member(live(ann), conversation_id=group["_id"], user_id=ann)
        await say(live, bob, direct, "3")

        events = await heard(conversations.inbox(live(ann), after=start["cursor"]), 1)

        assert texts(events) == ["3"]

    async def test_a_foreign_cursor_is_refused(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(live, ann, bob)
        async with listening(conversations.inbox(live(ann), after=None), hub) as listener:
            await say(live, bob, direct, "1")
            (event,) = await listener.hear(1)

        with pytest.raises(ValidationError):
            await heard(conversations.inbox(live(bob), after=event["cursor"]), 1)
        with pytest.raises(UnauthenticatedError):
            await heard(conversations.inbox(live(None), after=None), 1)


class TestTyping:
    async def test_the_others_hear_who_types(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        direct = await talk(live, ann, bob)

        async with listening(conversations.typing(live(ann), conversation_id=direct["_id"]), hub) as listener:
            await conversations.set_typing(live(ann), conversation_id=direct["_id"], typing=True)
            await conversations.set_typing(live(bob), conversation_id=direct["_id"], typing=True)
            (begins,) = await listener.hear(1)
            listener.listen()
            await conversations.set_typing(live(bob), conversation_id=direct["_id"], typing=False)
            (ends,) = await listener.hear(1)

        assert (
            (begins["conversation_id"], begins["user_id"])
            == (direct["_id"], bob)
            == (ends["conversation_id"], ends["user_id"])
        )
        assert (begins["typing"], ends["typing"]) == (True, False)
        with pytest.raises(NotFoundError):
            await conversations.set_typing(live(cem), conversation_id=direct["_id"], typing=True)
        with pytest.raises(UnauthenticatedError):
            await conversations.set_typing(live(None), conversation_id=direct["_id"], typing=True)

    async def test_who_is_removed_hears_nothing_more(self, database: Database, live: Ask, hub: Hub) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(live, ann, bob, cem)
        stream = conversations.typing(live(cem), conversation_id=group["_id"])

        async with aclosing(stream), listening(stream, hub) as listener:
            await conversations.remove_member(live(ann), conversation_id=group["_id"], user_id=cem)
            await conversations.set_typing(live(bob), conversation_id=group["_id"], typing=True)

            assert await listener.hears_the_end()
