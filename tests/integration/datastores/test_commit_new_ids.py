"""Ids that an act expects to be new: not looked up until a unique index objects, and never trusted without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from datastores.commit import CommitLoop, Read, Work, by_id, by_new_id
from datastores.errors import ConflictError
from datastores.mongo import Database


@dataclass(frozen=True)
class Keep:
    """Keeps a value under a key for ever; answers with what is kept. Some values are refused and keep nothing."""

    key: str
    value: int

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_new_id("kept", self.key)]

    def decide(self, work: Work) -> int:
        if known := work.get("kept", self.key):
            return int(known["value"])
        if self.value < 0:
            raise ConflictError("not kept")
        work.insert("kept", {"_id": self.key, "value": self.value})
        return self.value


@dataclass(frozen=True)
class Look:
    """Answers with what is kept under a key."""

    key: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id("kept", self.key)]

    def decide(self, work: Work) -> int | None:
        known = work.get("kept", self.key)
        return int(known["value"]) if known else None


async def kept(database: Database) -> dict[str, int]:
    return {row["_id"]: row["value"] for row in await database.find("kept", {}, limit=1_000)}


async def test_a_new_id_is_inserted_without_a_look(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")

    assert await asyncio.gather(*(loop.submit(Keep(f"k{n}", n)) for n in range(20))) == list(range(20))

    assert loop.statistics.attempts == loop.statistics.batches


async def test_an_id_that_is_there_answers_with_what_is_there(bare_database: Database) -> None:
    await CommitLoop(bare_database, "earlier").submit(Keep("k", 1))
    loop = CommitLoop(bare_database, "test")

    answers = await asyncio.gather(*(loop.submit(Keep("k", n)) for n in range(2, 12)), loop.submit(Keep("other", 7)))

    assert answers == [*[1] * 10, 7]
    assert await kept(bare_database) == {"k": 1, "other": 7}


async def test_a_refusal_that_keeps_nothing_is_decided_on_what_is_there(bare_database: Database) -> None:
    await CommitLoop(bare_database, "earlier").submit(Keep("k", 1))
    loop = CommitLoop(bare_database, "test")

    assert await loop.submit(Keep("k", -1)) == 1
    with pytest.raises(ConflictError):
        await loop.submit(Keep("new", -1))
    assert await kept(bare_database) == {"k": 1}


async def test_another_act_of_the_batch_sees_what_is_there(bare_database: Database) -> None:
    await CommitLoop(bare_database, "earlier").submit(Keep("k", 1))
    loop = CommitLoop(bare_database, "test")

    found = await asyncio.gather(loop.submit(Keep("k", 2)), loop.submit(Look("k")), loop.submit(Look("no")))

    assert tuple(found) == (1, 1, None)


async def test_several_processes_keep_one_value_a_key(bare_database: Database) -> None:
    loops = [CommitLoop(bare_database, f"process {n}") for n in range(3)]

    answers = await asyncio.gather(
        *(loop.submit(Keep(f"k{key}", at), timeout_s=30) for at, loop in enumerate(loops) for key in range(40))
    )

    stored = await kept(bare_database)
    assert len(stored) == 40
    assert answers == [stored[f"k{key}"] for _ in loops for key in range(40)]
