"""People write, answer, quote, delete, like and repost; everybody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from datastores import accounts, ids, merchants
from datastores import posts as store
from datastores.errors import ForbiddenError, NotFoundError, UnauthenticatedError, ValidationError
from datastores.mongo import Database, Document
from datastores.paging import PageDocument
from resolvers import posts
from resolvers.accounts import follow
from resolvers.connections import HasId
from resolvers.context import Context
from tests.integration.resolvers.people import Ask

START = datetime(2026, 1, 1)
UNKNOWN = "post_01JD0000000000000000000000"
NO_IDS = [UNKNOWN, "", "x", "\ud800", "usr_01JD0000000000000000000000", "post_" + "0" * 500]


@pytest.fixture
async def people(database: Database) -> list[str]:
    """ann, bob, cid and dee."""
    users = [accounts.user_document(handle=h, display_name=h, created_at=START) for h in ("ann", "bob", "cid", "dee")]
    await accounts.insert_users(database, users)
    return [user["_id"] for user in users]


async def read(database: Database, post_id: str) -> Document:
    (found,) = await store.by_ids(database, [post_id])
    assert found is not None
    return found


async def notices(database: Database, user_id: str) -> list[tuple[str, str, str]]:
    found = await database.find("notifications", {"user_id": user_id}, limit=100, sort=[("n", 1)])
    return [(notice["kind"], notice["actor_id"], notice["subject_id"]) for notice in found]


def ids_of(page: PageDocument | Exception) -> list[str]:
    assert not isinstance(page, Exception), page
    return [edge["node"]["_id"] for edge in page["edges"]]


def has_ids(found: Sequence[str]) -> list[HasId]:
    return [{"_id": id} for id in found]


class TestWriting:
    async def test_a_post_is_read_as_it_was_written(self, database: Database, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people
        media = [{"url": "https://img.example/a.png", "kind": "IMAGE", "width": 3, "height": 4, "alt": "A cat"}]

        made = await posts.create_post(ask(ann), text="  Hi @BOB, @nobody: #Berlin!  ", media=media)

        found = await posts.post(ask(None), id=made["_id"])
        assert found is not None
        assert found["text"] == "Hi @BOB, @nobody: #Berlin!"
        assert found["author_id"] == ann
        assert found["hashtags"] == ["berlin"]
        assert found["mention_ids"] == [bob]
        assert found["media"] == media
        assert (found["like_count"], found["reply_count"], found["repost_count"]) == (0, 0, 0)
        assert (found["reply_to_id"], found["root_id"], found["quote_of_id"], found["edited_at"]) == (None,) * 4
        assert made["_id"][5:15] == ids.id_at("post", found["created_at"])[5:15]
        assert {"tokens", "client_id"}.isdisjoint(found)

    @pytest.mark.parametrize("text", ["", "  \n ", "x" * 2001, "a\x00b", "\ud83d", "x" * 100_000])
    async def test_text_that_is_refused_is_not_written(
        self, database: Database, ask: Ask, people: list[str], text: str
    ) -> None:
        media = [{"url": "https://img.example/a.png", "kind": "IMAGE"}]

        with pytest.raises(ValidationError) as refused:
            await posts.create_post(ask(people[0]), text=text, media=media)

        assert refused.value.details["path"] == ["text"]
        assert await database.count("posts", {}) == 0

    async def test_two_thousand_characters_of_any_script(self, ask: Ask, people: list[str]) -> None:
        made = await posts.create_post(ask(people[0]), text="💥" * 2000)

        assert len(made["text"]) == 2000

    async def test_media_and_client_ids_are_checked(self, database: Database, ask: Ask, people: list[str]) -> None:
        bad_media = [{"url": "https://a.example", "kind": "IMAGE"}, {"url": "file:///etc", "kind": "IMAGE"}]

        with pytest.raises(ValidationError) as media:
            await posts.create_post(ask(people[0]), text="x", media=bad_media)
        with pytest.raises(ValidationError) as client_id:
            await posts.create_post(ask(people[0]), text="x", client_id="")

        assert media.value.details["path"] == ["media", "1", "url"]
        assert client_id.value.details["path"] == ["clientId"]
        assert await database.count("posts", {}) == 0

    async def test_nobody_writes_without_signing_in(self, ask: Ask) -> None:
        with pytest.raises(UnauthenticatedError):
            await posts.create_post(ask(None), text="x")

    @pytest.mark.parametrize("field", ["reply_to_id", "quote_of_id", "listing_id"])
    @pytest.mark.parametrize("id", NO_IDS)
    async def test_what_is_not_there_cannot_be_referred_to(
        self, database: Database, ask: Ask, people: list[str], field: str, id: str
    ) -> None:
        references: dict[str, Any] = {field: id}

        with pytest.raises(NotFoundError):
            await posts.create_post(ask(people[0]), text="x", **references)

        assert await database.count("posts", {}) == 0

    async def test_a_listing_is_shared_by_those_who_see_it(
        self, database: Database, ask: Ask, people: list[str]
    ) -> None:
        ann, bob, *_ = people
        shown, draft = (
            merchants.listing_document(
                merchant_id=merchants.merchant_id(ann),
                seller_id=ann,
                title="Lamp",
                description="Bright",
                category="home",
                kind=merchants.ListingKind.GOOD,
                price={"minor_units": 1200, "currency": "EUR"},
                state=state,
                created_at=START,
            )
            for state in (merchants.ListingState.ACTIVE, merchants.ListingState.DRAFT)
        )
        await merchants.insert_listings(database, [shown, draft])

        made = await posts.create_post(ask(bob), text="Look", listing_id=shown["_id"])
        await posts.create_post(ask(ann), text="Soon", listing_id=draft["_id"])
        with pytest.raises(NotFoundError):
            await posts.create_post(ask(bob), text="Look", listing_id=draft["_id"])

        assert made["listing_id"] == shown["_id"]
        assert await database.count("posts", {}) == 2

    async def test_a_thread_knows_its_root(self, database: Database, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people
        root = await posts.create_post(ask(ann), text="root")
        reply = await posts.create_post(ask(bob), text="reply", reply_to_id=root["_id"])
        further = await posts.create_post(ask(ann), text="further", reply_to_id=reply["_id"])

        assert (reply["reply_to_id"], reply["root_id"]) == (root["_id"], root["_id"])
        assert (further["reply_to_id"], further["root_id"]) == (reply["_id"], root["_id"])
        assert (await read(database, root["_id"]))["reply_count"] == 1
        assert (await read(database, reply["_id"]))["reply_count"] == 1

    async def test_those_concerned_are_told_once(self, database: Database, ask: Ask, people: list[str]) -> None:
        ann, bob, cid, dee = people
        of_bob = await posts.create_post(ask(bob), text="first")
        of_cid = await posts.create_post(ask(cid), text="second")

        made = await posts.create_post(
            ask(ann), text="@ann @bob @dee", reply_to_id=of_bob["_id"], quote_of_id=of_cid["_id"]
        )

        assert await notices(database, bob) == [("reply", ann, made["_id"])]
        assert await notices(database, cid) == [("quote", ann, made["_id"])]
        assert await notices(database, dee) == [("mention", ann, made["_id"])]
        assert await notices(database, ann) == []

    async def test_who_was_not_told_is_told_by_who_asks_again(
        self, database: Database, ask: Ask, people: list[str]
    ) -> None:
        ann, bob, cid, dee = people
        of_bob = await posts.create_post(ask(bob), text="first")
        of_cid = await posts.create_post(ask(cid), text="second")
        again: dict[str, Any] = {"text": "@bob @dee", "reply_to_id": of_bob["_id"], "quote_of_id": of_cid["_id"]}
        made = await posts.create_post(ask(ann), **again, client_id="k")
        # As a process leaves it that dies between the two.
        await database.delete_many("notifications", {})

        await posts.create_post(ask(ann), **again, client_id="k")
        await posts.create_post(ask(ann), **again, client_id="k")
        # Nor is a second reason found where the first is gone.
        await posts.delete_post(ask(bob), post_id=of_bob["_id"])
        await posts.create_post(ask(ann), **again, client_id="k")

        assert await notices(database, bob) == [("reply", ann, made["_id"])]
        assert await notices(database, cid) == [("quote", ann, made["_id"])]
        assert await notices(database, dee) == [("mention", ann, made["_id"])]


class TestClientId:
    async def test_a_retry_is_the_same_post(self, database: Database, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people
        root = await posts.create_post(ask(bob), text="root")

        made = [
            await posts.create_post(ask(ann), text=text, client_id="1", reply_to_id=root["_id"])
            for text in ("one", "two")
        ]

        assert made[0]["_id"] == made[1]["_id"]
        assert made[1]["text"] == "one"
        assert (await read(database, root["_id"]))["reply_count"] == 1

    async def test_concurrent_retries_are_one_post(self, database: Database, ask: Ask, people: list[str]) -> None:
        root = await posts.create_post(ask(people[1]), text="root")
        ctx = ask(people[0])
        other_process = ask(people[0])
        other_process.commits = type(ctx.commits)(database)

        made = await asyncio.gather(
            *(
                posts.create_post(c, text="hi", client_id="1", reply_to_id=root["_id"])
                for _ in range(15)
                for c in (ctx, other_process)
            )
        )

        assert len({post["_id"] for post in made}) == 1
        assert await database.count("posts", {"client_id": "1"}) == 1
        assert (await read(database, root["_id"]))["reply_count"] == 1

    async def test_client_ids_belong_to_their_author(self, database: Database, ask: Ask, people: list[str]) -> None:
        made = [await posts.create_post(ask(person), text="hi", client_id="1") for person in people]

        assert len({post["_id"] for post in made}) == 4

    async def test_a_retry_does_not_bring_a_deleted_post_back(
        self, database: Database, ask: Ask, people: list[str]
    ) -> None:
        made = await posts.create_post(ask(people[0]), text="hi", client_id="1")
        await posts.delete_post(ask(people[0]), post_id=made["_id"])

        with pytest.raises(NotFoundError):
            await posts.create_post(ask(people[0]), text="hi", client_id="1")

        assert await database.count("posts", {}) == 0

    async def test_a_retry_succeeds_though_the_parent_is_gone(self, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people
        root = await posts.create_post(ask(bob), text="root")
        made = await posts.create_post(ask(ann), text="hi", client_id="1", reply_to_id=root["_id"])
        await posts.delete_post(ask(bob), post_id=root["_id"])

        again = await posts.create_post(ask(ann), text="hi", client_id="1", reply_to_id=root["_id"])

        assert again["_id"] == made["_id"]


class TestDeleting:
    async def test_replies_stay_and_the_parent_counts_one_less(
        self, database: Database, ask: Ask, people: list[str]
    ) -> None:
        ann, bob, *_ = people
        root = await posts.create_post(ask(ann), text="root")
        reply = await posts.create_post(ask(bob), text="reply", reply_to_id=root["_id"])
        further = await posts.create_post(ask(ann), text="further", reply_to_id=reply["_id"])

        assert await posts.delete_post(ask(bob), post_id=reply["_id"]) == reply["_id"]

        assert await posts.post(ask(None), id=reply["_id"]) is None
        assert (await read(database, root["_id"]))["reply_count"] == 0
        assert (await read(database, further["_id"]))["reply_to_id"] == reply["_id"]
        (page,) = await posts.replies(ask(None), has_ids([reply["_id"]]))
        assert ids_of(page) == [further["_id"]]

    async def test_only_the_author_deletes(self, database: Database, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people
        made = await posts.create_post(ask(ann), text="hi")

        with pytest.raises(ForbiddenError):
            await posts.delete_post(ask(bob), post_id=made["_id"])
        with pytest.raises(UnauthenticatedError):
            await posts.delete_post(ask(None), post_id=made["_id"])

        assert await read(database, made["_id"])

    @pytest.mark.parametrize("id", NO_IDS)
    async def test_what_is_not_there_cannot_be_deleted(self, ask: Ask, people: list[str], id: str) -> None:
        with pytest.raises(NotFoundError):
            await posts.delete_post(ask(people[0]), post_id=id)

    async def test_deleting_concurrently_happens_once(self, database: Database, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people
        root = await posts.create_post(ask(bob), text="root")
        reply = await posts.create_post(ask(ann), text="reply", reply_to_id=root["_id"])

        outcomes = await asyncio.gather(
            *(posts.delete_post(ask(ann), post_id=reply["_id"]) for _ in range(10)), return_exceptions=True
        )

        assert outcomes.count(reply["_id"]) == 1
        assert sum(isinstance(outcome, NotFoundError) for outcome in outcomes) == 9
        assert (await read(database, root["_id"]))["reply_count"] == 0

    async def test_deletions_of_one_millisecond_are_told_apart(self, ask: Ask, people: list[str]) -> None:
        ctx = ask(people[0])
        made, now = await posts.create_post(ctx, text="once"), ctx.now()

        outcomes = await asyncio.gather(
            *(store.delete(ctx.commits["posts"], made["_id"], now) for _ in range(10)), return_exceptions=True
        )

        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, NotFoundError) for outcome in outcomes) == 9

    async def test_nothing_of_a_deleted_text_is_kept(self, database: Database, ask: Ask, people: list[str]) -> None:
        made = await posts.create_post(ask(people[0]), text="secret #secret", client_id="1")
        await posts.delete_post(ask(people[0]), post_id=made["_id"])

        (left,) = await database.find("deleted_posts", {}, limit=10)

        assert left.keys() == {"_id", "author_id", "client_id", "deleted_at", "deletion_id"}
        assert ids_of(await posts.posts(ask(None), search="secret")) == []

    async def test_answering_while_it_is_deleted(self, database: Database, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people
        root = await posts.create_post(ask(bob), text="root")

        await asyncio.gather(
            *(posts.create_post(ask(ann), text="x", reply_to_id=root["_id"]) for _ in range(10)),
            posts.delete_post(ask(bob), post_id=root["_id"]),
            return_exceptions=True,
        )

        assert await posts.post(ask(None), id=root["_id"]) is None
        assert await database.count("posts", {"reply_to_id": root["_id"]}) <= 10


@dataclass(frozen=True)
class Kind:
    """The use cases of one kind of reaction, and where it is kept."""

    add: Callable[..., Awaitable[Document]]
    remove: Callable[..., Awaitable[Document]]
    has: Callable[[Context, Sequence[HasId]], Awaitable[list[bool]]]
    counter: str
    collection: str


KINDS = [
    Kind(posts.like_post, posts.unlike_post, posts.viewer_has_liked, "like_count", "likes"),
    Kind(posts.repost, posts.undo_repost, posts.viewer_has_reposted, "repost_count", "reposts"),
]


@pytest.mark.parametrize("of", KINDS, ids=["like", "repost"])
class TestReactions:
    async def test_twice_is_once_both_ways(self, database: Database, ask: Ask, people: list[str], of: Kind) -> None:
        ann, bob, *_ = people
        made = await posts.create_post(ask(bob), text="hi")
        other = await posts.create_post(ask(bob), text="other")
        both = has_ids([other["_id"], made["_id"]])

        added = [(await of.add(ask(ann), post_id=made["_id"]))[of.counter] for _ in range(2)]
        flags = [await of.has(ask(person), both) for person in (ann, bob, None)]
        removed = [(await of.remove(ask(ann), post_id=made["_id"]))[of.counter] for _ in range(2)]

        assert (added, removed) == ([1, 1], [0, 0])
        assert flags == [[False, True], [False, False], [False, False]]
        assert await of.has(ask(ann), both) == [False, False]
        assert await database.count(of.collection, {}) == 0

    async def test_the_author_is_told_once_and_never_of_their_own(
        self, database: Database, ask: Ask, people: list[str], of: Kind
    ) -> None:
        ann, bob, *_ = people
        made = await posts.create_post(ask(bob), text="hi")

        for act in (of.add, of.add, of.remove, of.add):
            await act(ask(ann), post_id=made["_id"])
        await of.add(ask(bob), post_id=made["_id"])

        assert await notices(database, bob) == [(of.collection.removesuffix("s"), ann, made["_id"])]

    async def test_a_crowd_in_two_processes_is_counted(
        self, database: Database, ask: Ask, people: list[str], of: Kind
    ) -> None:
        made = await posts.create_post(ask(people[0]), text="hi")
        crowd = [ids.id_at("usr", START) for _ in range(50)]
        processes = [ask(None).commits, type(ask(None).commits)(database)]

        async def act(n: int, person: str) -> None:
            ctx = ask(person)
            ctx.commits = processes[n % 2]
            await asyncio.gather(of.add(ctx, post_id=made["_id"]), of.add(ctx, post_id=made["_id"]))
            if n % 5 == 0:
                await asyncio.gather(of.remove(ctx, post_id=made["_id"]), of.remove(ctx, post_id=made["_id"]))

        await asyncio.gather(*(act(n, person) for n, person in enumerate(crowd)))

        assert (await read(database, made["_id"]))[of.counter] == 40
        assert await database.count(of.collection, {"post_id": made["_id"]}) == 40

    @pytest.mark.parametrize("id", NO_IDS)
    async def test_only_to_what_is_there(
        self, database: Database, ask: Ask, people: list[str], of: Kind, id: str
    ) -> None:
        for act in (of.add, of.remove):
            with pytest.raises(NotFoundError):
                await act(ask(people[0]), post_id=id)
            with pytest.raises(UnauthenticatedError):
                await act(ask(None), post_id=id)

        assert await database.count(of.collection, {}) == 0

    async def test_not_to_what_was_deleted(self, database: Database, ask: Ask, people: list[str], of: Kind) -> None:
        ann, bob, *_ = people
        made = await posts.create_post(ask(ann), text="hi")
        await of.add(ask(bob), post_id=made["_id"])
        await posts.delete_post(ask(ann), post_id=made["_id"])

        for act in (of.add, of.remove):
            with pytest.raises(NotFoundError):
                await act(ask(bob), post_id=made["_id"])


class TestLists:
    @pytest.fixture
    async def written(self, database: Database, people: list[str]) -> list[Document]:
        """Forty posts of three people, several at the very same moment, most of them replies to an earlier one."""
        documents: list[store.PostDocument] = []
        for n in range(40):
            parent = documents[n // 7 - 1] if n >= 7 else None
            documents.append(
                store.post_document(
                    author_id=people[n % 3],
                    text=f"post {n} {'even' if n % 2 == 0 else 'odd'} #tag{n % 4}",
                    created_at=START + timedelta(milliseconds=n // 3),
                    reply_to_id=parent and parent["_id"],
                    root_id=parent and (parent["root_id"] or parent["_id"]),
                )
            )
        await store.insert_posts(database, documents)
        await store.insert_posts(database, documents)
        return await database.find("posts", {}, limit=100, sort=[("created_at", -1), ("_id", -1)])

    async def test_planted_replies_are_counted_once(self, written: list[Document]) -> None:
        for post in written:
            assert post["reply_count"] == sum(other["reply_to_id"] == post["_id"] for other in written)

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 14, 40, 100])
    async def test_walks_agree_with_a_plain_model(
        self, ask: Ask, people: list[str], written: list[Document], size: int
    ) -> None:
        parents = [post["_id"] for post in written]
        expected_posts = {id: [post["_id"] for post in written if post["author_id"] == id] for id in people}
        expected_replies = {id: [post["_id"] for post in written if post["reply_to_id"] == id] for id in parents}

        for list_of, expected in ((posts.of_authors, expected_posts), (posts.replies, expected_replies)):
            pages = await list_of(ask(None), has_ids(list(expected)), first=size)
            for (id, wanted), page in zip(expected.items(), pages, strict=True):
                walked = ids_of(page)
                while not isinstance(page, Exception) and page["page_info"]["has_next_page"]:
                    after = page["page_info"]["end_cursor"]
                    (page,) = await list_of(ask(None), has_ids([id]), first=size, after=after)
                    assert ids_of(page)
                    walked += ids_of(page)
                assert walked == wanted

    @pytest.mark.parametrize(
        ("arguments", "holds"),
        [
            ({}, lambda n: True),
            ({"search": "even"}, lambda n: n % 2 == 0),
            ({"search": "EVEN post"}, lambda n: n % 2 == 0),
            ({"search": "even #tag2"}, lambda n: n % 4 == 2),
            ({"hashtag": "tag1"}, lambda n: n % 4 == 1),
            ({"hashtag": "#TAG1", "search": "odd"}, lambda n: n % 4 == 1),
            ({"hashtag": "tag1", "search": "even"}, lambda n: False),
            ({"search": "7"}, lambda n: n == 7),
            ({"search": "eve"}, lambda n: False),
            ({"search": " "}, lambda n: True),
            ({"search": "", "hashtag": "tag1"}, lambda n: n % 4 == 1),
            ({"search": "?!"}, lambda n: False),
            ({"search": "?!", "hashtag": "tag1"}, lambda n: False),
        ],
    )
    async def test_search(
        self, ask: Ask, written: list[Document], arguments: dict[str, Any], holds: Callable[[int], bool]
    ) -> None:
        walked: list[str] = []
        after = None
        while True:
            page = await posts.posts(ask(None), first=7, after=after, **arguments)
            walked += ids_of(page)
            after = page["page_info"]["end_cursor"]
            if not page["page_info"]["has_next_page"]:
                break

        assert walked == [post["_id"] for post in written if holds(int(post["text"].split()[1]))]

    @pytest.mark.parametrize(
        "arguments",
        [{"first": -1}, {"first": 101}, {"after": "x"}, {"search": "x" * 201}, {"search": "\x00"}, {"hashtag": "a b"},
         {"hashtag": ""}, {"hashtag": "\ud800"}],
    )  # fmt: skip
    async def test_searches_that_are_refused(self, ask: Ask, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            await posts.posts(ask(None), **arguments)

    async def test_a_cursor_belongs_to_one_list(self, ask: Ask, people: list[str], written: list[Document]) -> None:
        (page,) = await posts.of_authors(ask(None), has_ids(people[:1]), first=1)
        assert not isinstance(page, Exception)
        after = page["page_info"]["end_cursor"]

        own, other = await posts.of_authors(ask(None), has_ids(people[:2]), after=after)

        assert len(ids_of(own)) == 13
        assert isinstance(other, ValidationError)
        for refused in (posts.posts(ask(None), after=after), posts.home_timeline(ask(people[0]), [], after=after)):
            with pytest.raises(ValidationError):
                await refused

    async def test_a_page_of_nothing_tells_whether_there_is_more(
        self, ask: Ask, people: list[str], written: list[Document]
    ) -> None:
        some, none = await posts.of_authors(ask(None), has_ids([people[0], people[3]]), first=0)

        assert not isinstance(some, Exception)
        assert not isinstance(none, Exception)
        assert (some["edges"], some["page_info"]["has_next_page"]) == ([], True)
        assert (none["edges"], none["page_info"]["has_next_page"]) == ([], False)


class TestHomeTimeline:
    async def test_posts_and_reposts_of_those_one_follows_and_ones_own(self, ask: Ask, people: list[str]) -> None:
        ann, bob, cid, dee = people
        await follow(ask(ann), user_id=bob)
        own = await posts.create_post(ask(ann), text="own")
        followed = await posts.create_post(ask(bob), text="followed")
        strange = await posts.create_post(ask(cid), text="not followed")
        await posts.create_post(ask(dee), text="never seen")
        await posts.repost(ask(bob), post_id=strange["_id"])

        (page,) = await posts.home_timeline(ask(ann), has_ids([ann]))

        assert not isinstance(page, Exception)
        seen = [(edge["node"]["_id"], edge.get("reposted_by_id")) for edge in page["edges"]]
        assert set(seen) == {(strange["_id"], bob), (followed["_id"], None), (own["_id"], None)}

    async def test_a_timeline_is_private(self, ask: Ask, people: list[str]) -> None:
        ann, bob, *_ = people

        (refused,) = await posts.home_timeline(ask(ann), has_ids([bob]))

        assert isinstance(refused, ForbiddenError)
        with pytest.raises(UnauthenticatedError):
            await posts.home_timeline(ask(None), has_ids([ann]))
