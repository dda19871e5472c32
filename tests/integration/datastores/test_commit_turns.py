"""Turns on a real replica set: taken only where batches lose, one process at a time, and never a hindrance."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from datastores import leases
from datastores.commit import CommitLoop, Read, Turns, Work, by_id, turns
from datastores.commit.turns import MAX_WAIT_S
from datastores.mongo import Database

LIMIT_S = 20.0


@dataclass(frozen=True)
class Count:
    """Adds one to the only number there is."""

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id("numbers", "only")]

    def decide(self, work: Work) -> int:
        known = work.get("numbers", "only")
        if known is None:
            work.insert("numbers", {"_id": "only", "n": 1})
            return 1
        work.update("numbers", "only", n=known["n"] + 1)
        return int(known["n"]) + 1


def contended(database: Database) -> Turns:
    turns = Turns(database, "test")
    turns.lost()
    return turns


async def test_nobody_takes_turns_until_batches_lose(bare_database: Database) -> None:
    await Turns(bare_database, "test").wait()

    assert await bare_database.count(leases.LEASES, {}) == 0


async def test_one_has_the_turn_and_the_next_waits_for_its_end(
    bare_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a machine that does other things as well it may not be renewed for a while.
    monkeypatch.setattr(turns, "LEASE_S", LIMIT_S)
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
    turns.lost()

    async with asyncio.timeout(LIMIT_S):
        await turns.wait()

    holder = await bare_database.find_one(leases.LEASES, {"_id": "turn/test"})
    assert holder is not None
    assert holder["owner"] != turns.owner


async def test_loops_that_contend_answer_everyone_who_asks_again_at_once(bare_database: Database) -> None:
    loops = [CommitLoop(bare_database, "test", turns=contended(bare_database)) for _ in range(3)]

    async def one_after_another(loop: CommitLoop) -> list[int]:
        return [await loop.submit(Count(), timeout_s=LIMIT_S) for _ in range(15)]

    answers = await asyncio.gather(*(one_after_another(loop) for loop in loops for _ in range(2)))

    assert sorted(number for some in answers for number in some) == list(range(1, 91))
