"""People start conversations, join and leave groups, and mark what they have read."""

from __future__ import annotations

import asyncio

import pytest

from datastores.conversations import MAX_MEMBERS, MEMBERSHIPS
from datastores.errors import ForbiddenError, NotFoundError, UnauthenticatedError, ValidationError
from datastores.ids import new_id
from datastores.mongo import Database
from resolvers import conversations
from tests.integration.resolvers.conversations.talks import NO_CONVERSATION, current, say, talk
from tests.integration.resolvers.people import NO_USER, Ask, people


async def roles(ask: Ask, user_id: str, conversation_id: str) -> dict[str, str]:
    (found,) = await conversations.by_id(ask(user_id), [conversation_id])
    assert found is not None
    (members,) = await conversations.members(ask(user_id), [found])
    return {member["user_id"]: member["role"] for member in members}


class TestStarting:
    async def test_two_people_without_a_title_have_one_direct_conversation(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")

        first = await talk(ask, ann, bob)
        again = await talk(ask, ann, bob, bob, ann)
        from_the_other = await talk(ask, bob, ann)

        assert first["kind"] == "DIRECT"
        assert first["_id"] == again["_id"] == from_the_other["_id"]
        assert await roles(ask, ann, first["_id"]) == {ann: "MEMBER", bob: "MEMBER"}

    async def test_starting_at_the_same_time_is_starting_once(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")

        made = await asyncio.gather(*(talk(ask, *pair) for pair in [(ann, bob), (bob, ann)] * 10))

        assert len({each["_id"] for each in made}) == 1
        assert await database.count(MEMBERSHIPS, {}) == 2

    async def test_a_title_or_a_third_person_makes_a_group(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")

        titled = await talk(ask, ann, bob, title="  Lunch ")
        again = await talk(ask, ann, bob, title="Lunch")
        three = await talk(ask, ann, bob, cem)

        assert (titled["kind"], titled["title"]) == ("GROUP", "Lunch")
        assert three["kind"] == "GROUP"
        assert again["_id"] != titled["_id"]
        assert await roles(ask, bob, three["_id"]) == {ann: "OWNER", bob: "MEMBER", cem: "MEMBER"}

    async def test_nobody_else_too_many_or_unknown_people_are_refused(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        many = [new_id("usr") for _ in range(MAX_MEMBERS)]

        for nobody in ([], [ann], [ann, ann]):
            with pytest.raises(ValidationError) as refused:
                await talk(ask, ann, *nobody)
            assert refused.value.details == {"path": ["memberIds"]}
        with pytest.raises(ValidationError):
            await talk(ask, ann, *many)
        for unknown in (NO_USER, "nonsense", ""):
            with pytest.raises(NotFoundError):
                await talk(ask, ann, bob, unknown)
        with pytest.raises(ValidationError):
            await talk(ask, ann, bob, title="x" * 141)
        with pytest.raises(UnauthenticatedError):
            await conversations.start_conversation(ask(None), member_ids=[ann, bob])
        assert await database.count(MEMBERSHIPS, {}) == 0

    async def test_250_members_are_not_too_many(self, database: Database, ask: Ask) -> None:
        everybody = await people(database, *(f"p{i}" for i in range(MAX_MEMBERS)))

        (late,) = await people(database, "late")
        group = await talk(ask, *everybody)

        assert len(await roles(ask, everybody[-1], group["_id"])) == MAX_MEMBERS
        with pytest.raises(ValidationError):
            await conversations.add_members(ask(everybody[0]), conversation_id=group["_id"], user_ids=[late])

    async def test_the_conversation_about_an_order_is_made_once(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        order_id = new_id("ord")

        made = await asyncio.gather(
            *(
                conversations.ensure_order_conversation(
                    ask(ann), order_id=order_id, buyer_id=ann, merchant_owner_id=bob, title="Olives " * 30
                )
                for _ in range(5)
            )
        )

        assert len({each["_id"] for each in made}) == 1
        assert (made[0]["kind"], made[0]["order_id"]) == ("ORDER", order_id)
        assert len(made[0]["title"] or "") <= 140
        assert await roles(ask, bob, made[0]["_id"]) == {ann: "MEMBER", bob: "MEMBER"}
        assert await conversations.by_id(ask(cem), [made[0]["_id"]]) == [None]


class TestJoining:
    async def test_an_owner_adds_people_who_see_what_was_said_and_have_read_it(
        self, database: Database, ask: Ask
    ) -> None:
        ann, bob, cem, dan = await people(database, "ann", "bob", "cem", "dan")
        group = await talk(ask, ann, bob, title="g")
        await say(ask, ann, group, "before")

        changed = await conversations.add_members(ask(ann), conversation_id=group["_id"], user_ids=[cem, dan, cem, bob])

        assert changed.conversation["member_ids"] == [ann, bob, cem, dan]
        assert changed.n == 3
        seen = await current(ask, dan, group)
        (page,) = await conversations.messages(ask(dan), [seen])
        assert not isinstance(page, Exception)
        assert [edge["node"]["text"] for edge in page["edges"]] == ["before"]
        assert await conversations.unread_counts(ask(dan), [seen]) == [0]

    async def test_adding_those_who_are_in_changes_nothing(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        group = await talk(ask, ann, bob, title="g")

        changed = await conversations.add_members(ask(ann), conversation_id=group["_id"], user_ids=[bob, ann])

        assert changed.conversation == group
        assert changed.n == 0

    async def test_adding_one_person_many_times_at_once_is_adding_once(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(ask, ann, bob, title="g")

        changed = await asyncio.gather(
            *(conversations.add_members(ask(ann), conversation_id=group["_id"], user_ids=[cem]) for _ in range(8))
        )

        assert {each.n for each in changed} == {1}
        assert (await current(ask, cem, group))["member_ids"] == [ann, bob, cem]

    async def test_only_owners_and_admins_of_groups_add(self, database: Database, ask: Ask) -> None:
        ann, bob, cem, dan = await people(database, "ann", "bob", "cem", "dan")
        group = await talk(ask, ann, bob, title="g")
        direct = await talk(ask, ann, bob)

        async def add(who: str | None, where: str, *whom: str) -> object:
            return await conversations.add_members(ask(who), conversation_id=where, user_ids=whom)

        with pytest.raises(ForbiddenError):
            await add(bob, group["_id"], cem)
        with pytest.raises(ForbiddenError):
            await add(ann, direct["_id"], cem)
        with pytest.raises(NotFoundError):
            await add(dan, group["_id"], cem)
        with pytest.raises(NotFoundError):
            await add(ann, group["_id"], NO_USER)
        with pytest.raises(NotFoundError):
            await add(ann, NO_CONVERSATION, cem)
        with pytest.raises(ValidationError):
            await add(ann, group["_id"])
        with pytest.raises(UnauthenticatedError):
            await add(None, group["_id"], cem)
        assert (await current(ask, ann, group))["event_n"] == 0
        await database.update_one(MEMBERSHIPS, {"_id": f"{group['_id']}/{bob}"}, {"$set": {"role": "ADMIN"}})
        await add(bob, group["_id"], cem)
        assert (await current(ask, cem, group))["member_ids"] == [ann, bob, cem]


class TestLeaving:
    async def test_who_leaves_sees_no_more(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(ask, ann, bob, cem)
        said = await say(ask, ann, group, "secret")

        changed = await conversations.remove_member(ask(cem), conversation_id=group["_id"], user_id=cem)

        assert changed.conversation["member_ids"] == [ann, bob]
        assert await conversations.by_id(ask(cem), [group["_id"]]) == [None]
        assert await conversations.messages_by_id(ask(cem), [said.message["_id"]]) == [None]
        (messages,) = await conversations.messages(ask(cem), [changed.conversation])
        assert not isinstance(messages, Exception)
        assert messages["edges"] == []
        assert await conversations.members(ask(cem), [changed.conversation]) == [[]]
        assert await conversations.last_messages(ask(cem), [changed.conversation]) == [None]
        assert await conversations.unread_counts(ask(cem), [changed.conversation]) == [0]
        with pytest.raises(NotFoundError):
            await say(ask, cem, group, "still here?")
        with pytest.raises(NotFoundError):
            await conversations.remove_member(ask(cem), conversation_id=group["_id"], user_id=cem)

    async def test_an_owner_who_leaves_hands_the_group_to_the_earliest(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(ask, ann, bob, cem)

        await conversations.remove_member(ask(ann), conversation_id=group["_id"], user_id=ann)
        assert await roles(ask, cem, group["_id"]) == {bob: "OWNER", cem: "MEMBER"}

        await conversations.remove_member(ask(bob), conversation_id=group["_id"], user_id=bob)
        changed = await conversations.remove_member(ask(cem), conversation_id=group["_id"], user_id=cem)
        assert changed.conversation["member_ids"] == []

    async def test_all_leaving_at_once_leaves_nobody(self, database: Database, ask: Ask) -> None:
        everybody = await people(database, "ann", "bob", "cem", "dan")
        group = await talk(ask, *everybody)

        changed = await asyncio.gather(
            *(conversations.remove_member(ask(one), conversation_id=group["_id"], user_id=one) for one in everybody)
        )

        assert sorted(each.n for each in changed) == [1, 2, 3, 4]
        assert await database.count(MEMBERSHIPS, {}) == 0

    async def test_only_those_who_may_remove_others(self, database: Database, ask: Ask) -> None:
        ann, bob, cem, dan, eva = await people(database, "ann", "bob", "cem", "dan", "eva")
        group = await talk(ask, ann, bob, cem, dan)
        direct = await talk(ask, ann, bob)
        await database.update_one(MEMBERSHIPS, {"_id": f"{group['_id']}/{bob}"}, {"$set": {"role": "ADMIN"}})

        async def remove(who: str | None, where: str, whom: str) -> object:
            return await conversations.remove_member(ask(who), conversation_id=where, user_id=whom)

        for who, whom in ((cem, dan), (cem, bob), (bob, ann)):
            with pytest.raises(ForbiddenError):
                await remove(who, group["_id"], whom)
        with pytest.raises(ForbiddenError):
            await remove(ann, direct["_id"], ann)
        for who, where, whom in (
            (ann, group["_id"], eva),
            (ann, group["_id"], "nonsense"),
            (eva, group["_id"], dan),
            (ann, NO_CONVERSATION, dan),
        ):
            with pytest.raises(NotFoundError):
                await remove(who, where, whom)
        with pytest.raises(UnauthenticatedError):
            await remove(None, group["_id"], dan)
        await remove(bob, group["_id"], dan)
        await remove(ann, group["_id"], bob)
        assert await roles(ask, ann, group["_id"]) == {ann: "OWNER", cem: "MEMBER"}


class TestReading:
    async def test_unread_is_what_came_after_the_marker_and_is_not_ones_own(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)
        group = await talk(ask, ann, bob, title="g")
        for text in "abc":
            await say(ask, ann, direct, text)
        await say(ask, ann, group, "d")

        async def unread(who: str) -> tuple[list[int], list[int]]:
            now = [await current(ask, who, direct), await current(ask, who, group)]
            ctx = ask(who)
            return await conversations.unread_counts(ctx, now), await conversations.unread_message_counts(
                ctx, [{"_id": who}]
            )

        assert await unread(ann) == ([0, 0], [0])
        assert await unread(bob) == ([3, 1], [4])
        await conversations.mark_read(ask(bob), conversation_id=direct["_id"], seq=2)
        assert await unread(bob) == ([1, 1], [2])
        await say(ask, bob, group, "e")
        assert await unread(bob) == ([1, 0], [1])
        assert await unread(ann) == ([0, 1], [1])

    async def test_a_marker_never_goes_back(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)
        for i in range(10):
            await say(ask, ann, direct, str(i))

        markers = await asyncio.gather(
            *(conversations.mark_read(ask(bob), conversation_id=direct["_id"], seq=seq) for seq in (3, 9, 1, 7, 0))
        )

        assert max(each.membership["last_read_seq"] for each in markers) == 9
        again = await conversations.mark_read(ask(bob), conversation_id=direct["_id"], seq=2)
        assert (again.membership["last_read_seq"], again.moved) == (9, False)

    async def test_what_was_not_said_cannot_be_read(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        direct = await talk(ask, ann, bob)
        await say(ask, ann, direct, "1")

        for seq in (-1, 2, 2**62):
            with pytest.raises(ValidationError):
                await conversations.mark_read(ask(bob), conversation_id=direct["_id"], seq=seq)
        for who, where in ((cem, direct["_id"]), (bob, NO_CONVERSATION), (bob, "nonsense")):
            with pytest.raises(NotFoundError):
                await conversations.mark_read(ask(who), conversation_id=where, seq=1)
        with pytest.raises(UnauthenticatedError):
            await conversations.mark_read(ask(None), conversation_id=direct["_id"], seq=1)
