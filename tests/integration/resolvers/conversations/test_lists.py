"""What members see: their list, titles, members and messages; what others see: nothing, by any road."""

from __future__ import annotations

from typing import Any

import pytest

from datastores.conversations import ConversationDocument
from datastores.errors import ValidationError
from datastores.mongo import Database
from datastores.paging import PageDocument
from resolvers import conversations
from tests.integration.resolvers.conversations.talks import NO_CONVERSATION, current, say, talk
from tests.integration.resolvers.people import Ask, people


def texts(page: PageDocument | Exception) -> list[str]:
    assert not isinstance(page, Exception), page
    return [edge["node"]["text"] for edge in page["edges"]]


async def my_list(ask: Ask, user_id: str, first: int | None = None, after: str | None = None) -> PageDocument:
    (page,) = await conversations.conversations(ask(user_id), [{"_id": user_id}], first=first, after=after)
    return page


class TestTheList:
    async def test_the_newest_activity_stands_first(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        made = [await talk(ask, ann, bob), await talk(ask, ann, cem), await talk(ask, ann, bob, cem)]
        for at in (1, 2, 0):
            await say(ask, ann, made[at], "hi")

        page = await my_list(ask, ann)

        shown = [edge["node"]["_id"] for edge in page["edges"]]
        activity = [made[0]["_id"], made[2]["_id"], made[1]["_id"]]
        assert shown == activity
        assert [edge["node"]["_id"] for edge in (await my_list(ask, cem))["edges"]] == activity[1:]

    async def test_pages_hold_each_once(self, database: Database, ask: Ask) -> None:
        ann, *others = await people(database, "ann", "bob", "cem", "dan", "eva", "fay")
        for other in others:
            await say(ask, other, await talk(ask, ann, other), "hi")
        seen: list[str] = []
        more: list[bool] = []
        cursor: str | None = None
        for _ in range(3):
            page = await my_list(ask, ann, 2, cursor)
            seen += [edge["node"]["_id"] for edge in page["edges"]]
            more.append(page["page_info"]["has_next_page"])
            cursor = page["page_info"]["end_cursor"]

        assert more == [True, True, False]
        assert len(seen) == len(set(seen)) == 5

    async def test_a_cursor_of_another_is_refused(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        await talk(ask, ann, bob)
        cursor = (await my_list(ask, ann))["page_info"]["end_cursor"]

        with pytest.raises(ValidationError):
            await my_list(ask, bob, 1, cursor)
        for first in (-1, 101):
            with pytest.raises(ValidationError):
                await my_list(ask, ann, first)
        assert (await my_list(ask, ann, 0))["edges"] == []


class TestTitles:
    async def test_a_title_is_what_the_viewer_would_call_it(self, database: Database, ask: Ask) -> None:
        ann, bob, cem, dan, eva, fay = await people(database, "ann", "bob", "cem", "dan", "eva", "fay")
        direct = await talk(ask, ann, bob)
        named = await talk(ask, ann, bob, title="Lunch")
        three = await talk(ask, ann, bob, cem)
        many = await talk(ask, ann, bob, cem, dan, eva, fay)

        async def seen_by(who: str, *which: ConversationDocument) -> list[str]:
            return await conversations.titles(ask(who), [await current(ask, who, each) for each in which])

        assert await seen_by(ann, direct, named, three, many) == [
            "Bob",
            "Lunch",
            "Bob, Cem",
            "Bob, Cem, Dan, Eva +1",
        ]
        assert await seen_by(bob, direct, three) == ["Ann", "Ann, Cem"]


class TestMessages:
    async def test_without_arguments_the_last_20_oldest_first(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)
        for i in range(25):
            await say(ask, ann, direct, str(i))
        now = await current(ask, bob, direct)

        (page,) = await conversations.messages(ask(bob), [now])

        assert texts(page) == [str(i) for i in range(5, 25)]
        assert not isinstance(page, Exception)
        assert page["page_info"]["has_previous_page"]
        assert not page["page_info"]["has_next_page"]
        (older,) = await conversations.messages(ask(bob), [now], last=3, before=page["page_info"]["start_cursor"])
        assert texts(older) == ["2", "3", "4"]
        (newer,) = await conversations.messages(ask(bob), [now], first=2)
        assert texts(newer) == ["0", "1"]
        (none,) = await conversations.messages(ask(bob), [now], first=0)
        assert texts(none) == []
        assert not isinstance(none, Exception)
        assert none["page_info"]["has_next_page"]

    async def test_several_conversations_are_answered_each_with_its_own(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        made = [await talk(ask, ann, bob), await talk(ask, ann, cem), await talk(ask, ann, bob, cem)]
        await say(ask, ann, made[0], "a")
        await say(ask, bob, made[2], "b")
        await say(ask, cem, made[2], "c")
        now = [await current(ask, ann, each) for each in made]
        ctx = ask(ann)

        pages = await conversations.messages(ctx, now, last=5)
        lasts = await conversations.last_messages(ctx, now)

        assert [texts(page) for page in pages] == [["a"], [], ["b", "c"]]
        assert [last and last["text"] for last in lasts] == ["a", None, "c"]
        assert await conversations.unread_counts(ctx, now) == [0, 0, 2]

    async def test_wrong_arguments_fail_their_own_conversation_only(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        made = [await talk(ask, ann, bob), await talk(ask, ann, cem)]
        for each in made:
            await say(ask, ann, each, "hi")
        now = [await current(ask, ann, each) for each in made]
        (page,) = await conversations.messages(ask(ann), now[:1])
        assert not isinstance(page, Exception)

        own, other = await conversations.messages(ask(ann), now, first=5, after=page["page_info"]["end_cursor"])

        assert texts(own) == []
        assert isinstance(other, ValidationError)
        wrongs: list[dict[str, Any]] = [{"first": -1}, {"last": 1_000}, {"first": 1, "last": 1}]
        for wrong in wrongs:
            (refused,) = await conversations.messages(ask(ann), now[:1], **wrong)
            assert isinstance(refused, ValidationError)


async def test_strangers_see_nothing_by_any_road(database: Database, ask: Ask) -> None:
    ann, bob, cem = await people(database, "ann", "bob", "cem")
    direct = await talk(ask, ann, bob)
    said = await say(ask, ann, direct, "secret")
    now = await current(ask, ann, direct)

    for stranger in (cem, None):
        ctx = ask(stranger)
        assert await conversations.by_id(ctx, [direct["_id"], NO_CONVERSATION, "x", "\ud83d"]) == [None] * 4
        assert await conversations.messages_by_id(ctx, [said.message["_id"], "x"]) == [None, None]
        (page,) = await conversations.messages(ctx, [now])
        assert texts(page) == []
        assert await conversations.last_messages(ctx, [now]) == [None]
        assert await conversations.members(ctx, [now]) == [[]]
        assert await conversations.unread_counts(ctx, [now]) == [0]
    assert await conversations.by_id(ask(bob), ["x", direct["_id"]]) == [None, now]
