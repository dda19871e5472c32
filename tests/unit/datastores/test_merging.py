"""Merged reads: one command for all who ask at one moment, and for each what a read of their own would have shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from datastores.mongo.merging import MAX_IDS_OF_ONE, MAX_MERGED_IDS, Key, MergedReads
from datastores.mongo.types import Document

KIND: Key = ("users", "_id", None)


class Store:
    """Documents that may be read, slowly where it is told to, and which ids each read asked for."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def read(self, ids: list[str]) -> Mapping[str, Document]:
        self.reads.append(ids)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {id: {"_id": id, "in": len(self.reads)} for id in ids if not id.startswith("gone")}


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_ask_at_one_moment_share_a_read() -> None:
    merged, store = MergedReads(), Store()
    asked = [[f"a{at}", f"gone{at}", f"a{at + 1}"] for at in range(20)]

    found = await asyncio.gather(*(merged.by_ids(KIND, ids, store.read) for ids in asked))

    assert [[document and document["_id"] for document in each] for each in found] == [
        [first, None, last] for first, _, last in asked
    ]
    assert len(store.reads) == 1
    assert len(store.reads[0]) == len(set(store.reads[0])) == 41


async def test_who_asks_once_a_read_has_begun_gets_the_next_one() -> None:
    merged, store = MergedReads(), Store()
    store.gate.clear()
    first = asyncio.create_task(merged.by_ids(KIND, ["a"], store.read))
    await settle()
    later = asyncio.create_task(merged.by_ids(KIND, ["a"], store.read))
    await settle()
    assert store.reads == [["a"], ["a"]]

    store.gate.set()

    assert await first == await later == [{"_id": "a", "in": 2}]


async def test_each_may_change_what_it_gets() -> None:
    merged, store = MergedReads(), Store()

    one, other = await asyncio.gather(*(merged.by_ids(KIND, ["a"], store.read) for _ in range(2)))
    assert one[0] is not None
    one[0]["changed"] = True

    assert other == [{"_id": "a", "in": 1}]


async def test_reads_of_other_kinds_are_their_own() -> None:
    merged, store = MergedReads(), Store()
    kinds: list[Key] = [
        KIND,
        ("posts", "_id", None),
        ("users", "handle", None),
        ("users", "_id", frozenset({("a", 1)})),
    ]

    await asyncio.gather(*(merged.by_ids(kind, ["a"], store.read) for kind in kinds))

    assert store.reads == [["a"]] * 4


async def test_where_the_first_is_cancelled_the_others_ask_anew() -> None:
    merged, store = MergedReads(), Store()
    store.gate.clear()
    asking = [asyncio.create_task(merged.by_ids(KIND, [f"a{at}"], store.read)) for at in range(3)]
    await settle()
    asking[0].cancel()
    await settle()
    assert store.reads == [["a0", "a1", "a2"], ["a1", "a2"]]

    store.gate.set()

    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [[{"_id": "a1", "in": 2}], [{"_id": "a2", "in": 2}]]


async def test_where_the_first_is_cancelled_before_it_reads_nobody_is_lost() -> None:
    merged, store = MergedReads(), Store()
    asking = [asyncio.create_task(merged.by_ids(KIND, [f"a{at}"], store.read)) for at in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()

    found = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(found[0], asyncio.CancelledError)
    assert store.reads == [["a1", "a2"]]
    assert not merged._open


async def test_one_who_is_cancelled_while_another_reads_costs_nobody_anything() -> None:
    merged, store = MergedReads(), Store()
    store.gate.clear()
    asking = [asyncio.create_task(merged.by_ids(KIND, [f"a{at}"], store.read)) for at in range(3)]
    await settle()
    asking[1].cancel()
    store.gate.set()

    found = await asyncio.gather(*asking, return_exceptions=True)

    assert found[0] == [{"_id": "a0", "in": 1}]
    assert found[2] == [{"_id": "a2", "in": 1}]
    assert len(store.reads) == 1


async def test_an_error_is_everybodys() -> None:
    merged, store = MergedReads(), Store()
    store.error = ConnectionError("lost")

    found = await asyncio.gather(
        *(merged.by_ids(KIND, [f"a{at}"], store.read) for at in range(3)), return_exceptions=True
    )

    assert found == [store.error] * 3
    store.error = None
    assert await merged.by_ids(KIND, ["a"], store.read) == [{"_id": "a", "in": 2}]


@pytest.mark.parametrize(("askers", "each", "reads"), [(11, 50, 2), (5, 100, 1), (3, MAX_IDS_OF_ONE + 1, 3)])
async def test_no_read_is_larger_than_the_limit(askers: int, each: int, reads: int) -> None:
    merged, store = MergedReads(), Store()
    asked = [[f"{asker}-{at}" for at in range(each)] for asker in range(askers)]

    found = await asyncio.gather(*(merged.by_ids(KIND, ids, store.read) for ids in asked))

    assert [[document and document["_id"] for document in some] for some in found] == asked
    assert len(store.reads) == reads
    assert max(map(len, store.reads)) <= MAX_MERGED_IDS
