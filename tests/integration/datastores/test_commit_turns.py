"""Turns on a real replica set: taken only where batches lose, one process at a time, and never a hindrance."""

from __future__ import annotations

import asyncio

from datastores import leases
from datastores.commit import Turns
from datastores.commit.turns import LOSSES, MAX_WAIT_S
from datastores.mongo import Database

LIMIT_S = 20.0


def contended(database: Database) -> Turns:
    turns = Turns(database, "test")
    turns.lost(LOSSES)
    return turns


async def test_nobody_takes_turns_until_batches_lose(bare_database: Database) -> None:
    turns = Turns(bare_database, "test")

    turns.lost(LOSSES - 1)
    await turns.wait()

    assert await bare_database.count(leases.LEASES, {}) == 0


async def test_one_has_the_turn_and_the_next_waits_for_its_end(bare_database: Database) -> None:
    first, second = contended(bare_database), contended(bare_database)

    await first.wait()
    waiting = asyncio.create_task(second.wait())
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    await first.end()

    async with asyncio.timeout(LIMIT_S):
        await waiting
    holder = await bare_database.find_one(leases.LEASES, {"owner": second.owner})
    assert holder is not None


async def test_who_waits_too_long_goes_on_without_a_turn(bare_database: Database) -> None:
    times = iter(range(1_000))
    await leases.acquire(bare_database, "turn/test", "a process that does not end its turn", 60)
    turns = Turns(bare_database, "test", clock=lambda: float(next(times)) * MAX_WAIT_S / 8)
    turns.lost(LOSSES)

    async with asyncio.timeout(LIMIT_S):
        await turns.wait()

    holder = await bare_database.find_one(leases.LEASES, {"_id": "turn/test"})
    assert holder is not None
    assert holder["owner"] != turns.owner
