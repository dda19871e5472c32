"""How posts are found: by indexes, in a number of commands that does not grow with their parents."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from datastores import posts as store
from datastores.commit import CommitLoop
from datastores.ids import id_at
from datastores.indexes import create_indexes
from datastores.mongo import Database
from datastores.paging import Window, window
from tests.integration.plans import plans_of

START = datetime(2026, 1, 1)
PEOPLE = [id_at("usr", START, n) for n in range(50)]


@pytest.fixture
async def town(bare_database: Database) -> list[str]:
    """Two thousand posts of fifty people, each of the first fifty answered by others."""
    await create_indexes(bare_database)
    documents: list[store.PostDocument] = []
    for n in range(2_000):
        documents.append(
            store.post_document(
                author_id=PEOPLE[n % 50],
                text=f"a common text {'rare' if n % 500 == 7 else ''} #tag{n % 10}",
                created_at=START + timedelta(seconds=n),
                reply_to_id=documents[n % 50]["_id"] if n >= 1_000 else None,
                client_id=str(n),
            )
        )
    await store.insert_posts(bare_database, documents)
    return [document["_id"] for document in documents]


def asked() -> Window:
    return window("x", datetime, str, first=5)


async def test_posts_and_replies_of_many_are_one_command_each(bare_database: Database, town: list[str]) -> None:
    async def act() -> None:
        await store.of_authors(bare_database, PEOPLE, asked())
        await store.replies(bare_database, town[:50], asked())

    plans = await plans_of(bare_database, act)

    assert [plan.returned for plan in plans] == [50 * 6, 50 * 6]
    for plan in plans:
        assert not plan.is_scan
        assert not plan.sorts_in_memory
        assert plan.documents_examined == 50 * 6


async def test_posts_and_replies_of_one_read_no_more_than_they_show(bare_database: Database, town: list[str]) -> None:
    async def act() -> None:
        await store.of_authors(bare_database, PEOPLE[:1], asked())
        await store.replies(bare_database, town[:1], asked())

    plans = await plans_of(bare_database, act)

    assert [plan.summary.partition(",")[0] for plan in plans] == ["IXSCAN { author_id: 1", "IXSCAN { reply_to_id: 1"]
    for plan in plans:
        assert (plan.returned, plan.documents_examined, plan.sorts_in_memory) == (6, 6, False)


@pytest.mark.parametrize("tokens", [["common"], ["#tag7"], ["rare"], ["common", "rare"], ["rare", "common"], []])
async def test_search_walks_an_index(bare_database: Database, town: list[str], tokens: list[str]) -> None:
    (plan,) = await plans_of(bare_database, lambda: store.search(bare_database, tokens, asked()))

    assert plan.summary.startswith("IXSCAN { tokens: 1" if tokens else "IXSCAN { created_at: -1")
    assert not plan.sorts_in_memory
    assert plan.documents_examined <= 12


async def test_flags_read_no_document(bare_database: Database, town: list[str]) -> None:
    likes = [store.reaction_document(PEOPLE[0], id, START) for id in town[:50:2]]
    await store.insert_likes(bare_database, likes)
    await store.insert_likes(bare_database, likes)

    async def act() -> None:
        flags = await store.reacted(bare_database, store.LIKE, PEOPLE[0], town[:50])
        assert flags == [n % 2 == 0 for n in range(50)]

    (plan,) = await plans_of(bare_database, act)

    found = await store.by_ids(bare_database, town[:2])
    assert [post and post["like_count"] for post in found] == [1, 0]
    assert plan.documents_examined == 0
    assert not plan.is_scan


async def test_a_retry_is_found_by_its_client_id(bare_database: Database, town: list[str]) -> None:
    plans = await plans_of(bare_database, lambda: store.by_client_id(bare_database, PEOPLE[7], "7"))

    assert [(plan.documents_examined, plan.returned, plan.is_scan) for plan in plans] == [(1, 1, False)]


async def test_an_act_with_a_client_id_scans_nothing(bare_database: Database, town: list[str]) -> None:
    loop = CommitLoop(bare_database, "posts")
    document = store.post_document(
        author_id=PEOPLE[0], text="x", created_at=START, reply_to_id=town[0], client_id="new"
    )

    plans = await plans_of(bare_database, lambda: store.create(loop, document))

    assert plans
    assert not any(plan.is_scan for plan in plans)
    assert all(plan.documents_examined <= 1 for plan in plans)
