"""The commit loop on a real replica set: numbering without holes, refusals, poison, retries, several processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from datastores.commit import MAX_ACTS, CommitLoop, Read, Work, by_fields, by_id
from datastores.errors import ConflictError, OutcomeUnknownError, RateLimitedError
from datastores.mongo import Database


@dataclass(frozen=True)
class Append:
    """Takes the next number of a log; the same name takes one only once."""

    name: str
    log: str = "log"
    refuse: bool = False
    poison: bool = False

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id("heads", self.log), by_fields("rows", log=self.log, name=self.name)]

    def decide(self, work: Work) -> int:
        if known := work.find("rows", log=self.log, name=self.name):
            return int(known[0]["n"])
        head = work.get("heads", self.log)
        number = head["n"] + 1 if head else 1
        if head:
            work.update("heads", self.log, n=number)
        else:
            work.insert("heads", {"_id": self.log, "n": number})
        text = "\ud800" if self.poison else "x"
        work.insert(
            "rows", {"_id": f"{self.log}/{self.name}", "log": self.log, "name": self.name, "n": number, "t": text}
        )
        if self.refuse:
            raise ConflictError("refused after writing")
        return number


@dataclass(frozen=True)
class ReadsTooLittle:
    """Looks at a document that only an earlier act of the same batch made it need."""

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id("heads", "pointer")]
        pointer = work.get("heads", "pointer")
        yield [by_id("heads", pointer["to"] if pointer else "nothing")]

    def decide(self, work: Work) -> int | None:
        pointer = work.get("heads", "pointer")
        target = work.get("heads", pointer["to"] if pointer else "nothing")
        return target["n"] if target else None


@dataclass(frozen=True)
class Point:
    to: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id("heads", "pointer")]

    def decide(self, work: Work) -> None:
        if work.get("heads", "pointer"):
            work.update("heads", "pointer", to=self.to)
        else:
            work.insert("heads", {"_id": "pointer", "to": self.to})


async def rows(database: Database, log: str = "log") -> list[int]:
    found = await database.find("rows", {"log": log}, limit=10_000, sort=[("n", 1)])
    return [row["n"] for row in found]


async def test_concurrent_acts_are_numbered_without_a_hole(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")

    numbers = await asyncio.gather(*(loop.submit(Append(f"n{i}")) for i in range(700)))

    assert sorted(numbers) == list(range(1, 701))
    assert await rows(bare_database) == list(range(1, 701))
    assert loop.statistics.acts == 700
    assert loop.statistics.largest_batch <= MAX_ACTS
    assert loop.statistics.batches < 20


async def test_a_refusal_writes_nothing_and_disturbs_nobody(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")

    answers = await asyncio.gather(
        *(loop.submit(Append(f"n{i}", refuse=i % 3 == 0)) for i in range(60)), return_exceptions=True
    )

    refused = [answer for answer in answers if isinstance(answer, ConflictError)]
    assert len(refused) == 20
    assert await rows(bare_database) == list(range(1, 41))


async def test_an_act_that_cannot_be_written_fails_alone(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")

    answers = await asyncio.gather(
        *(loop.submit(Append(f"n{i}", poison=i == 7)) for i in range(20)), return_exceptions=True
    )

    failed = [index for index, answer in enumerate(answers) if isinstance(answer, Exception)]
    assert failed == [7]
    assert await rows(bare_database) == list(range(1, 20))


async def test_the_same_act_many_times_happens_once(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")

    numbers = await asyncio.gather(*(loop.submit(Append("same")) for _ in range(100)))

    assert set(numbers) == {1}
    assert await rows(bare_database) == [1]


async def test_several_loops_on_one_database_share_one_numbering(bare_database: Database) -> None:
    loops = [CommitLoop(bare_database, f"process {n}") for n in range(3)]

    numbers = await asyncio.gather(
        *(loops[i % 3].submit(Append(f"n{i}"), timeout_s=30) for i in range(150)),
        *(loops[(i + 1) % 3].submit(Append(f"n{i}"), timeout_s=30) for i in range(150)),
    )

    assert numbers[:150] == numbers[150:]
    assert sorted(set(numbers)) == list(range(1, 151))
    assert await rows(bare_database) == list(range(1, 151))


async def test_a_caller_that_leaves_does_not_cancel_its_act(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")
    leaving = asyncio.create_task(loop.submit(Append("left")))
    await asyncio.sleep(0)

    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await loop.drain()

    assert await rows(bare_database) == [1]


async def test_past_the_deadline_the_outcome_is_unknown_and_the_same_act_tells_it(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")

    with pytest.raises(OutcomeUnknownError):
        await loop.submit(Append("late"), timeout_s=0)

    assert await loop.submit(Append("late")) == 1
    assert await rows(bare_database) == [1]


async def test_an_act_that_needs_what_its_batch_did_not_read_waits_for_the_next(bare_database: Database) -> None:
    await bare_database.insert_one("heads", {"_id": "far", "n": 42})
    loop = CommitLoop(bare_database, "test")

    _, seen, after = await asyncio.gather(
        loop.submit(Point("far")), loop.submit(ReadsTooLittle()), loop.submit(Append("after"))
    )

    assert seen == 42
    assert after == 1
    assert loop.statistics.batches == 2


async def test_a_full_queue_refuses_at_once(bare_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datastores.commit.loops.MAX_WAITING", 3)
    loop = CommitLoop(bare_database, "test")

    answers = await asyncio.gather(*(loop.submit(Append(f"n{i}")) for i in range(5)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [int, int, int, RateLimitedError, RateLimitedError]


async def test_heavy_acts_go_in_smaller_batches(bare_database: Database) -> None:
    loop = CommitLoop(bare_database, "test")

    await asyncio.gather(*(loop.submit(Append(f"n{i}"), weight=250) for i in range(40)))

    assert loop.statistics.largest_batch == 8
    assert await rows(bare_database) == list(range(1, 41))
