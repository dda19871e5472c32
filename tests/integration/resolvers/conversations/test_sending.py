"""Members send, edit, delete and react; each act once, however often it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from datastores.conversations import EVENTS, INBOX, MEMBERSHIPS, MESSAGES
from datastores.errors import ForbiddenError, NotFoundError, UnauthenticatedError, ValidationError
from datastores.ids import new_id
from datastores.mongo import Database
from resolvers import conversations
from tests.integration.resolvers.conversations.talks import NO_CONVERSATION, NO_MESSAGE, say, talk
from tests.integration.resolvers.people import Ask, people

PICTURE = {"url": "https://pictures.example/1.jpg", "kind": "IMAGE"}


class TestSending:
    async def test_a_message_is_numbered_and_has_a_cursor(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)

        first = await say(ask, ann, direct, "  hello ")
        second = await conversations.send_message(
            ask(bob),
            conversation_id=direct["_id"],
            text="",
            media=[PICTURE],
            reply_to_id=first.message["_id"],
        )

        assert (first.message["text"], first.message["seq"], first.n) == ("hello", 1, 1)
        assert (second.message["reply_to_id"], second.message["seq"]) == (first.message["_id"], 2)
        assert second.message["media"][0]["url"] == PICTURE["url"]

    async def test_a_client_id_makes_a_retry_the_same_message(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)
        other = await talk(ask, ann, bob, title="g")

        async def send(who: str, where: str, text: str) -> Any:
            return await conversations.send_message(ask(who), conversation_id=where, text=text, client_id="my message")

        sent = await asyncio.gather(*(send(ann, direct["_id"], f"try {i}") for i in range(20)))

        assert len({each.message["_id"] for each in sent}) == 1
        assert sum(not each.replayed for each in sent) == 1
        assert {each.n for each in sent} == {1}
        assert await database.count(MESSAGES, {}) == 1
        assert await database.count(INBOX, {}) == 2
        await send(bob, direct["_id"], "same id, another sender")
        await send(ann, other["_id"], "same id, another conversation")
        assert await database.count(MESSAGES, {}) == 3

    async def test_a_replay_after_an_edit_is_the_message_as_it_is_now(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)
        asked: dict[str, Any] = {"conversation_id": direct["_id"], "text": "draft", "client_id": "c"}
        sent = await conversations.send_message(ask(ann), **asked)
        await conversations.edit_message(ask(ann), message_id=sent.message["_id"], text="final")

        again = await conversations.send_message(ask(ann), **asked)

        assert (again.message["text"], again.n, again.replayed) == ("final", 1, True)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"text": ""},
            {"text": "  \n "},
            {"text": "x" * 10_001},
            {"text": "nul \0"},
            {"text": "half \ud83d"},
            {"client_id": ""},
            {"client_id": "x" * 101},
            {"media": [PICTURE] * 11},
            {"media": [{"url": "javascript:alert(1)", "kind": "IMAGE"}]},
            {"transfer_id": "trf_01JD0000000000000000000000", "payment_request_id": "preq_01JD0000000000000000000000"},
        ],
    )
    async def test_what_is_not_acceptable_is_refused(self, database: Database, ask: Ask, wrong: dict[str, Any]) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)

        with pytest.raises(ValidationError):
            await conversations.send_message(ask(ann), **{"conversation_id": direct["_id"], "text": "hi", **wrong})

        assert await database.count(MESSAGES, {}) == 0

    async def test_the_longest_text_passes(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)

        sent = await say(ask, ann, direct, "ω" * 10_000)

        assert len(sent.message["text"]) == 10_000

    async def test_only_members_send_and_only_reply_within(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        direct = await talk(ask, ann, bob)
        elsewhere = await say(ask, cem, await talk(ask, cem, ann), "elsewhere")

        for who, where in ((cem, direct["_id"]), (ann, NO_CONVERSATION), (ann, "nonsense"), (ann, ann)):
            with pytest.raises(NotFoundError):
                await conversations.send_message(ask(who), conversation_id=where, text="hi")
        for reply_to_id in (elsewhere.message["_id"], NO_MESSAGE, "nonsense"):
            with pytest.raises(NotFoundError):
                await conversations.send_message(
                    ask(ann), conversation_id=direct["_id"], text="hi", reply_to_id=reply_to_id
                )
        with pytest.raises(UnauthenticatedError):
            await conversations.send_message(ask(None), conversation_id=direct["_id"], text="hi")
        assert await database.count(MESSAGES, {"conversation_id": direct["_id"]}) == 0

    async def test_money_that_is_not_there_cannot_be_attached(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)

        none: list[dict[str, Any]] = [{"transfer_id": new_id("trf")}, {"payment_request_id": new_id("preq")}]
        for money in [*none, {"transfer_id": "x"}, {"payment_request_id": "x"}]:
            with pytest.raises(NotFoundError):
                await conversations.send_message(ask(ann), conversation_id=direct["_id"], text="", **money)

    async def test_money_made_in_a_conversation_is_one_message(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        direct = await talk(ask, ann, bob)
        transfer_id = new_id("trf")

        async def post(sender_id: str) -> Any:
            ctx = ask(None)
            return await conversations.post_money_message(
                ctx.database,
                ctx.commits,
                conversation_id=direct["_id"],
                sender_id=sender_id,
                text="for lunch",
                transfer_id=transfer_id,
            )

        posted = await asyncio.gather(*(post(ann) for _ in range(10)))

        assert len({each.message["_id"] for each in posted}) == 1
        assert posted[0].message["transfer_id"] == transfer_id
        assert await database.count(MESSAGES, {}) == 1
        with pytest.raises(NotFoundError):
            await post(cem)


class TestEditing:
    async def test_the_sender_edits_and_each_change_is_an_event(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        sent = await say(ask, ann, await talk(ask, ann, bob), "one")

        changed = await conversations.edit_message(ask(ann), message_id=sent.message["_id"], text=" two ")
        same = await conversations.edit_message(ask(ann), message_id=sent.message["_id"], text="two")

        assert (changed.message["text"], changed.message["seq"], changed.n) == ("two", 1, 2)
        assert changed.message["edited_at"] is not None
        assert (same.n, same.message) == (2, changed.message)
        assert await database.count(EVENTS, {}) == 2
        assert await database.count(INBOX, {}) == 2

    async def test_the_same_edit_many_times_at_once_is_one_event(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        sent = await say(ask, ann, await talk(ask, ann, bob), "one")

        await asyncio.gather(
            *(conversations.edit_message(ask(ann), message_id=sent.message["_id"], text="two") for _ in range(10))
        )

        assert await database.count(EVENTS, {"kind": "message_edited"}) == 1

    async def test_nobody_else_edits_and_nothing_becomes_empty(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(ask, ann, bob, title="g")
        sent = await say(ask, bob, group, "one")
        picture = await conversations.send_message(ask(bob), conversation_id=group["_id"], text="look", media=[PICTURE])
        id = sent.message["_id"]

        async def edit(who: str | None, message_id: str, text: str) -> Any:
            return await conversations.edit_message(ask(who), message_id=message_id, text=text)

        with pytest.raises(ForbiddenError):
            await edit(ann, id, "mine now")
        for message_id in (NO_MESSAGE, "nonsense"):
            with pytest.raises(NotFoundError):
                await edit(bob, message_id, "x")
        with pytest.raises(NotFoundError):
            await edit(cem, id, "x")
        for text in ("", "x" * 10_001):
            with pytest.raises(ValidationError):
                await edit(bob, id, text)
        with pytest.raises(UnauthenticatedError):
            await edit(None, id, "x")
        assert (await edit(bob, picture.message["_id"], "")).message["text"] == ""


class TestDeleting:
    async def test_a_deleted_message_keeps_its_place_and_says_nothing(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        direct = await talk(ask, ann, bob)
        first = await say(ask, ann, direct, "first")
        sent = await conversations.send_message(
            ask(ann),
            conversation_id=direct["_id"],
            text="oops",
            media=[PICTURE],
            reply_to_id=first.message["_id"],
            client_id="c",
        )
        await conversations.add_reaction(ask(bob), message_id=sent.message["_id"], emoji="😱")

        deleted = await asyncio.gather(
            *(conversations.delete_message(ask(ann), message_id=sent.message["_id"]) for _ in range(5))
        )

        assert {each.n for each in deleted} == {4}
        (seen,) = await conversations.messages_by_id(ask(bob), [sent.message["_id"]])
        assert seen is not None
        assert (seen["text"], seen["media"], seen["reactions"], seen["reply_to_id"]) == ("", [], [], None)
        assert (seen["seq"], seen["deleted_at"] is None) == (2, False)
        again = await conversations.send_message(ask(ann), conversation_id=direct["_id"], text="oops", client_id="c")
        assert again.replayed
        assert again.message["text"] == ""
        for refused in (
            conversations.edit_message(ask(ann), message_id=sent.message["_id"], text="back"),
            conversations.add_reaction(ask(ann), message_id=sent.message["_id"], emoji="👍"),
        ):
            with pytest.raises(ForbiddenError):
                await refused

    async def test_owners_and_admins_of_a_group_delete_others_messages(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        group = await talk(ask, ann, bob, cem)
        direct = await talk(ask, ann, bob)
        first, second = await say(ask, bob, group, "1"), await say(ask, ann, group, "2")
        private = await say(ask, bob, direct, "3")

        async def delete(who: str | None, message_id: str) -> Any:
            return await conversations.delete_message(ask(who), message_id=message_id)

        with pytest.raises(ForbiddenError):
            await delete(cem, first.message["_id"])
        with pytest.raises(ForbiddenError):
            await delete(ann, private.message["_id"])
        for message_id in (private.message["_id"], NO_MESSAGE, "nonsense"):
            with pytest.raises(NotFoundError):
                await delete(cem, message_id)
        with pytest.raises(UnauthenticatedError):
            await delete(None, first.message["_id"])
        await delete(ann, first.message["_id"])
        await database.update_one(MEMBERSHIPS, {"_id": f"{group['_id']}/{cem}"}, {"$set": {"role": "ADMIN"}})
        await delete(cem, second.message["_id"])
        assert await database.count(MESSAGES, {"deleted_at": None}) == 1


class TestReacting:
    async def test_reactions_are_counted_once_a_person_and_emoji(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        sent = await say(ask, ann, await talk(ask, ann, bob), "nice")
        id = sent.message["_id"]

        await asyncio.gather(
            *(conversations.add_reaction(ask(who), message_id=id, emoji="👍") for who in [ann, bob] * 5)
        )
        reacted = await conversations.add_reaction(ask(bob), message_id=id, emoji="🎉")

        assert await conversations.reactions(ask(ann), [reacted.message]) == [
            [
                {"emoji": "👍", "count": 2, "viewer_reacted": True},
                {"emoji": "🎉", "count": 1, "viewer_reacted": False},
            ]
        ]
        assert await database.count(EVENTS, {"kind": "reactions_changed"}) == 3

    async def test_taking_back_what_is_not_there_changes_nothing(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        sent = await say(ask, ann, await talk(ask, ann, bob), "nice")
        id = sent.message["_id"]
        await conversations.add_reaction(ask(bob), message_id=id, emoji="👍")

        nothing = await conversations.remove_reaction(ask(ann), message_id=id, emoji="👍")
        gone = await conversations.remove_reaction(ask(bob), message_id=id, emoji="👍")
        again = await conversations.remove_reaction(ask(bob), message_id=id, emoji="👍")

        assert (nothing.n, gone.n, again.n) == (2, 3, 3)
        assert gone.message["reactions"] == again.message["reactions"] == []

    async def test_51_different_emoji_are_too_many(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        sent = await say(ask, ann, await talk(ask, ann, bob), "nice")
        emoji = [chr(0x1F600 + i) for i in range(51)]

        outcomes = await asyncio.gather(
            *(conversations.add_reaction(ask(ann), message_id=sent.message["_id"], emoji=each) for each in emoji),
            return_exceptions=True,
        )

        assert sum(isinstance(outcome, ValidationError) for outcome in outcomes) == 1
        (seen,) = await conversations.messages_by_id(ask(bob), [sent.message["_id"]])
        assert seen is not None
        assert len(seen["reactions"]) == 50

    async def test_strangers_and_text_are_refused(self, database: Database, ask: Ask) -> None:
        ann, bob, cem = await people(database, "ann", "bob", "cem")
        sent = await say(ask, ann, await talk(ask, ann, bob), "nice")

        with pytest.raises(NotFoundError):
            await conversations.add_reaction(ask(cem), message_id=sent.message["_id"], emoji="👍")
        with pytest.raises(ValidationError):
            await conversations.add_reaction(ask(ann), message_id=sent.message["_id"], emoji="ok")
        with pytest.raises(NotFoundError):
            await conversations.remove_reaction(ask(ann), message_id="nonsense", emoji="👍")
        with pytest.raises(UnauthenticatedError):
            await conversations.add_reaction(ask(None), message_id=sent.message["_id"], emoji="👍")
