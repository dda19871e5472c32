"""How the accounts of people are found: by indexes, in a number of commands that does not grow with them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from datastores import accounts as store
from datastores.errors import UnavailableError
from datastores.indexes import create_indexes
from datastores.mongo import Database
from datastores.paging import window
from tests.integration.plans import plans_of

START = datetime(2026, 1, 1)


@pytest.fixture
async def town(bare_database: Database) -> list[str]:
    """Three hundred people; each follows the next thirty."""
    await create_indexes(bare_database)
    users = [
        store.user_document(handle=f"p{n:03d}", display_name=f"Person {n}", created_at=START + timedelta(seconds=n))
        for n in range(300)
    ]
    ids = [user["_id"] for user in users]
    await store.insert_users(bare_database, users)
    follows = [store.follow_document(ids[n], ids[(n + d) % 300], START) for n in range(300) for d in range(1, 31)]
    await store.insert_follows(bare_database, follows)
    return ids


async def test_search_walks_the_index_of_tokens(bare_database: Database, town: list[str]) -> None:
    asked = window("x", str, first=10, after=None)

    (plan,) = await plans_of(bare_database, lambda: store.search(bare_database, ["person", "p"], asked))

    assert plan.summary.startswith("IXSCAN { tokens: 1, handle: 1 }")
    assert not plan.sorts_in_memory
    assert plan.documents_examined == plan.returned == 11


async def test_follow_lists_of_many_are_one_command_without_sorting(bare_database: Database, town: list[str]) -> None:
    asked = window("x", datetime, str, first=10)

    async def act() -> None:
        await store.followers(bare_database, town[:100], asked)
        await store.following(bare_database, town[:1], asked)

    many, one = await plans_of(bare_database, act)

    assert many.returned == 100 * 11
    assert not many.is_scan
    assert not many.sorts_in_memory
    assert many.keys_examined <= 100 * 12
    assert (one.returned, one.documents_examined, one.sorts_in_memory) == (11, 11, False)


async def test_flags_and_followed_ids_read_no_document(bare_database: Database, town: list[str]) -> None:
    async def act() -> None:
        assert await store.follows_among(bare_database, [(town[0], id) for id in town[:100]]) == [
            0 < n <= 30 for n in range(100)
        ]
        assert sorted(await store.followed_ids(bare_database, town[0])) == sorted(town[1:31])

    plans = await plans_of(bare_database, act)

    assert [(plan.collection, plan.documents_examined) for plan in plans] == [("follows", 0)] * 2
    assert not any(plan.is_scan for plan in plans)


async def test_people_are_planted_once(bare_database: Database) -> None:
    await create_indexes(bare_database)
    users = [store.user_document(handle="ann", display_name="Ann", created_at=START, random_bits=7)]
    identities = [store.identity_document("issuer", "ann", users[0]["_id"])]

    for _ in range(2):
        await store.insert_users(bare_database, users)
        await store.insert_identities(bare_database, identities)

    assert users[0]["_id"].startswith("usr_01KDVDNA00")
    assert await bare_database.count("users", {}) == 1
    assert await store.user_of(bare_database, "issuer", "ann") == users[0]["_id"]


async def test_where_every_handle_is_taken_nobody_is_made(bare_database: Database) -> None:
    await create_indexes(bare_database)
    await store.insert_users(bare_database, [store.user_document(handle="ann", display_name="Ann", created_at=START)])

    with pytest.raises(UnavailableError):
        await store.sign_up(bare_database, "i", "s", handles=["ann"], display_name="Ann", created_at=START)

    assert await bare_database.count("users", {}) == 1
    assert await bare_database.count("identities", {}) == 0
