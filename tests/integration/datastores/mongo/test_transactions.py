"""Transactions that meet one another, fail half-way, or never get through."""

from __future__ import annotations

import asyncio

import pytest
from pymongo.errors import DuplicateKeyError

from datastores.errors import UnavailableError
from datastores.lists import MAX_PARENTS, windows
from datastores.mongo import Database, Document, Session, add_to_counters, insert_in_batches, run_transaction
from datastores.mongo.transactions import MAX_DUPLICATES
from datastores.paging import window


@pytest.fixture
async def counters(bare_database: Database) -> Database:
    await bare_database.create_collections({"counters": [], "things": []})
    await bare_database.insert_one("counters", {"_id": "a", "n": 0})
    return bare_database


async def count(database: Database) -> int:
    found = await database.find_one("counters", {"_id": "a"})
    assert found is not None
    return int(found["n"])


async def test_acts_that_conflict_run_again_until_all_are_done(counters: Database) -> None:
    runs = 0

    async def act(session: Session) -> None:
        nonlocal runs
        runs += 1
        found = await counters.find_one("counters", {"_id": "a"}, session=session)
        assert found is not None
        await counters.update_one("counters", {"_id": "a"}, {"$set": {"n": found["n"] + 1}}, session=session)

    await asyncio.gather(*(run_transaction(counters, act) for _ in range(12)))

    assert await count(counters) == 12
    assert runs > 12


async def test_what_an_act_raises_undoes_it(counters: Database) -> None:
    async def act(session: Session) -> None:
        await counters.update_one("counters", {"_id": "a"}, {"$inc": {"n": 1}}, session=session)
        raise LookupError

    with pytest.raises(LookupError):
        await run_transaction(counters, act)

    assert await count(counters) == 0


async def test_a_duplicate_that_stays_is_tried_a_few_times(counters: Database) -> None:
    runs = 0

    async def act(session: Session) -> None:
        nonlocal runs
        runs += 1
        await counters.insert_one("counters", {"_id": "a"}, session=session)

    with pytest.raises(DuplicateKeyError):
        await run_transaction(counters, act)

    assert runs == MAX_DUPLICATES


async def test_a_conflict_that_stays_ends_at_the_limit(counters: Database) -> None:
    async def act(session: Session) -> None:
        await counters.update_one("counters", {"_id": "a"}, {"$inc": {"n": 1}}, session=session)

    async with counters.transaction() as other:
        await counters.update_one("counters", {"_id": "a"}, {"$inc": {"n": 100}}, session=other)
        with pytest.raises(UnavailableError):
            await run_transaction(counters, act, timeout_s=0.2)

    assert await count(counters) == 0


async def test_batches_insert_what_is_not_there_and_count_it_once(counters: Database) -> None:
    things: list[Document] = [{"_id": n} for n in range(2_500)]

    async def also(session: Session, inserted: list[Document]) -> None:
        await add_to_counters(counters, "counters", "n", ["a"] * len(inserted) + ["nobody"], session)

    first = await insert_in_batches(counters, "things", things[:700], also)
    second = await insert_in_batches(counters, "things", things, also)

    assert (first, second) == (700, 1_800)
    assert await counters.count("things", {}) == 2_500
    assert await count(counters) == 2_500


async def test_lists_of_more_parents_than_one_command_takes(counters: Database) -> None:
    parents = [f"p{n:03d}" for n in range(2 * MAX_PARENTS + 5)]
    things: list[Document] = [
        {"_id": f"{parent}-{n}", "parent": parent, "n": n} for parent in parents for n in range(3)
    ]
    await insert_in_batches(counters, "things", things)

    found = await windows(counters, "things", "parent", [*parents, "p000", "x"], [("n", -1)], window("x", int, first=1))

    assert [[thing["n"] for thing in things] for things in found] == [[2, 1]] * (len(parents) + 1) + [[]]
