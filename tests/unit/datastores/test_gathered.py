"""Gathered reads: nobody gets one that began before they asked, and equal ones are made once for all who wait."""

from __future__ import annotations

import asyncio

import pytest

from datastores.gathered import Gathering


class Reads:
    """Calls that go on until they are let go, and tell which one they were."""

    def __init__(self) -> None:
        self.begun = 0
        self.gates: list[asyncio.Event] = []

    async def call(self) -> int:
        self.begun += 1
        number, gate = self.begun, asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        return number


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_ask_at_one_moment_share_a_call() -> None:
    gathering, reads = Gathering(), Reads()
    asking = [asyncio.create_task(gathering.ask("a", reads.call)) for _ in range(1_000)]
    await settle()

    reads.gates[0].set()

    assert set(await asyncio.gather(*asking)) == {1}
    assert reads.begun == 1
    assert len(gathering) == 0


async def test_who_asks_while_a_call_is_under_way_gets_the_next_one_with_all_others() -> None:
    gathering, reads = Gathering(), Reads()
    first = asyncio.create_task(gathering.ask("a", reads.call))
    await settle()
    later = [asyncio.create_task(gathering.ask("a", reads.call)) for _ in range(10)]
    await settle()
    assert (reads.begun, len(gathering)) == (1, 2)

    reads.gates[0].set()
    await settle()
    reads.gates[1].set()

    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 10


async def test_what_is_asked_for_by_other_keys_does_not_wait() -> None:
    gathering, reads = Gathering(), Reads()
    asking = [asyncio.create_task(gathering.ask(key, reads.call)) for key in "abc"]

    await settle()

    assert reads.begun == 3
    for gate in reads.gates:
        gate.set()
    assert await asyncio.gather(*asking) == [1, 2, 3]


async def test_who_is_cancelled_leaves_the_call_to_the_others() -> None:
    gathering, reads = Gathering(), Reads()
    leaving, staying = (asyncio.create_task(gathering.ask("a", reads.call)) for _ in range(2))
    await settle()

    leaving.cancel()
    await settle()
    reads.gates[0].set()

    assert await staying == 1
    assert leaving.cancelled()


async def test_an_error_is_for_those_who_asked_and_the_next_call_begins_anew() -> None:
    gathering, reads = Gathering(), Reads()

    async def fail() -> int:
        raise ConnectionError("lost")

    asking = [asyncio.create_task(gathering.ask("a", fail)) for _ in range(3)]
    found = await asyncio.gather(*asking, return_exceptions=True)
    again = asyncio.create_task(gathering.ask("a", reads.call))
    await settle()
    reads.gates[0].set()

    assert [type(each) for each in found] == [ConnectionError] * 3
    assert await again == 1
    assert len(gathering) == 0


@pytest.mark.parametrize("leaves", [0, 1])
async def test_a_call_whose_askers_have_all_gone_disturbs_nobody(leaves: int) -> None:
    gathering = Gathering()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ConnectionError("lost")

    asking = asyncio.create_task(gathering.ask("a", fail))
    for _ in range(leaves + 1):
        await asyncio.sleep(0)
    asking.cancel()
    await settle()

    assert len(gathering) == 0
