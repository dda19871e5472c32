"""The home timeline: every page like that of a plain model, read by index walks that are merged."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from datastores import posts as store
from datastores.ids import id_at
from datastores.indexes import create_indexes
from datastores.mongo import Database
from datastores.paging import EdgeDocument, PageDocument, window
from datastores.posts import timelines
from tests.integration.plans import plans_of

START = datetime(2026, 1, 1)
Seen = tuple[str, str | None]


def people(number: int) -> list[str]:
    return [id_at("usr", START, n) for n in range(number)]


async def page_of(database: Database, users: Sequence[str], first: int, after: str | None = None) -> PageDocument:
    return await store.home(database, users, window("home", datetime, str, first=first, after=after))


def seen_of(edge: EdgeDocument) -> Seen:
    return edge["node"]["_id"], edge["reposted_by_id"]  # type: ignore[typeddict-item]  # a further key of an edge


async def walk(database: Database, users: Sequence[str], size: int) -> list[list[Seen]]:
    """The pages from the first to the last."""
    pages: list[list[Seen]] = []
    after = None
    while True:
        page = await page_of(database, users, size, after)
        pages.append([seen_of(edge) for edge in page["edges"]])
        if not page["page_info"]["has_next_page"]:
            return pages
        after = page["page_info"]["end_cursor"]


class Town:
    """What was planted, and what a timeline of it should be."""

    def __init__(self, seed: int, number: int, posts: int, reposts: int) -> None:
        chance = random.Random(seed)
        self.people = people(number)
        self.posts = [
            store.post_document(
                author_id=chance.choice(self.people),
                text=f"post {n}",
                created_at=START + timedelta(milliseconds=chance.randrange(posts)),
                random_bits=chance.getrandbits(80),
            )
            for n in range(posts)
        ]
        pairs = {(chance.choice(self.people), chance.choice(self.posts)["_id"]) for _ in range(reposts)}
        self.reposts = [
            store.reaction_document(user_id, post_id, START + timedelta(milliseconds=chance.randrange(posts)))
            for user_id, post_id in sorted(pairs)
        ]
        self.deleted = {post["_id"] for post in chance.sample(self.posts, posts // 10)}

    async def plant(self, database: Database) -> None:
        await store.insert_posts(database, self.posts)
        await store.insert_reposts(database, self.reposts)
        for id in self.deleted:
            await database.delete_one("posts", {"_id": id})

    def expected(self, users: Sequence[str], size: int) -> list[list[Seen]]:
        entries: list[tuple[datetime, str, Seen]] = [
            (post["created_at"], post["_id"], (post["_id"], None))
            for post in self.posts
            if post["author_id"] in users and post["_id"] not in self.deleted
        ]
        entries += [
            (repost["created_at"], repost["_id"], (repost["post_id"], repost["user_id"]))
            for repost in self.reposts
            if repost["user_id"] in users and repost["post_id"] not in self.deleted
        ]
        pages: list[list[Seen]] = []
        left = [seen for _, _, seen in sorted(entries, reverse=True)]
        while True:
            shown: dict[str, int] = {}
            for place, (post_id, _) in enumerate(left):
                if len(shown) <= size:
                    shown.setdefault(post_id, place)
            places = list(shown.values())
            pages.append([left[place] for place in places[:size]])
            if len(places) <= size:
                return pages
            left = left[places[size - 1] + 1 :]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 100])
async def test_walks_agree_with_a_plain_model(database: Database, seed: int, size: int) -> None:
    town = Town(seed, number=8, posts=60, reposts=120)
    await town.plant(database)

    for users in (town.people[:1], town.people[:4], town.people):
        assert await walk(database, users, size) == town.expected(users, size)


async def test_many_followed_are_merged_from_chunks(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "MAX_AUTHORS", 3)
    town = Town(3, number=20, posts=100, reposts=100)
    await town.plant(database)

    for size in (1, 10, 100):
        assert await walk(database, town.people, size) == town.expected(town.people, size)


async def test_a_post_stands_once_on_a_page_at_its_newest_entry(database: Database) -> None:
    ann, bob, cid = people(3)
    post = store.post_document(author_id=ann, text="hi", created_at=START)
    await store.insert_posts(database, [post])
    await store.insert_reposts(
        database, [store.reaction_document(u, post["_id"], START + timedelta(n + 1)) for n, u in enumerate((bob, cid))]
    )

    page = await page_of(database, [ann, bob, cid], 10)

    assert [seen_of(edge) for edge in page["edges"]] == [(post["_id"], cid)]
    assert not page["page_info"]["has_next_page"]


async def test_cursors_stay_where_they_are_when_new_posts_come(database: Database) -> None:
    (ann,) = people(1)
    posts = [store.post_document(author_id=ann, text=str(n), created_at=START + timedelta(n)) for n in range(6)]
    await store.insert_posts(database, posts[:5])
    first = await page_of(database, [ann], 2)

    await store.insert_posts(database, posts[5:])
    await database.delete_one("posts", {"_id": posts[3]["_id"]})
    second = await page_of(database, [ann], 2, first["page_info"]["end_cursor"])

    assert [edge["node"]["text"] for edge in first["edges"]] == ["4", "3"]
    assert [edge["node"]["text"] for edge in second["edges"]] == ["2", "1"]


async def test_long_runs_of_deleted_posts_are_passed_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "MAX_ENTRIES", 30)
    monkeypatch.setattr(timelines, "MAX_ROUNDS", 3)
    ann, bob = people(2)
    gone = [id_at("post", START, n) for n in range(200)]
    await store.insert_reposts(
        database, [store.reaction_document(bob, id, START + timedelta(minutes=n + 1)) for n, id in enumerate(gone)]
    )
    oldest = store.post_document(author_id=ann, text="oldest", created_at=START)
    await store.insert_posts(database, [oldest])

    pages = await walk(database, [ann, bob], 2)

    assert len(pages) > 2
    assert [seen for page in pages for seen in page] == [(oldest["_id"], None)]


@pytest.mark.parametrize("size", [0, 1])
async def test_an_empty_timeline(database: Database, size: int) -> None:
    page = await page_of(database, people(2), size)

    assert page["edges"] == []
    assert page["page_info"] == {
        "has_next_page": False,
        "has_previous_page": False,
        "start_cursor": None,
        "end_cursor": None,
    }


async def test_a_page_of_nothing_tells_whether_there_is_more(database: Database) -> None:
    (ann,) = people(1)
    await store.insert_posts(database, [store.post_document(author_id=ann, text="hi", created_at=START)])

    page = await page_of(database, [ann], 0)

    assert (page["edges"], page["page_info"]["has_next_page"]) == ([], True)


async def test_a_page_costs_three_commands_and_reads_no_more_than_it_shows(bare_database: Database) -> None:
    await create_indexes(bare_database)
    town = Town(4, number=200, posts=5_000, reposts=2_000)
    await town.plant(bare_database)

    async def act() -> None:
        first = await page_of(bare_database, town.people, 20)
        await page_of(bare_database, town.people, 20, first["page_info"]["end_cursor"])

    plans = await plans_of(bare_database, act)

    assert len(plans) == 6
    for plan in plans:
        assert not plan.is_scan
        assert not plan.sorts_in_memory
        # The heads of 200 merged walks, one key for each entry, and entries of the cursor's own millisecond.
        assert plan.keys_examined <= 2 * 200 + 31
        assert plan.documents_examined <= 31 + 5
    heads = [plan for plan in plans if "created_at" in plan.summary]
    assert sorted(plan.collection for plan in heads) == ["posts", "posts", "reposts", "reposts"]
    assert [plan.documents_examined for plan in heads[:2]] == [0, 0]
