"""A look is renewed once for all who look, for as long as any of them does."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from resolvers.attention import Renewals


class Renewed:
    """Counts how often it was renewed, and fails where it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False
        self._again = asyncio.Event()

    async def __call__(self) -> None:
        self.times += 1
        self._again.set()
        if self.fails:
            raise ConnectionError("the database is away")

    async def again(self) -> None:
        self._again.clear()
        async with asyncio.timeout(10):
            await self._again.wait()


async def test_many_who_look_at_one_thing_are_one_renewal() -> None:
    renewals, first, other = Renewals(0.01), Renewed(), Renewed()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(renewals.hold("presence", "cnv_1", first))
        for _ in range(100):
            await stack.enter_async_context(renewals.hold("presence", "cnv_1", other))
        await first.again()
        held = len(renewals)

    assert (held, len(renewals)) == (1, 0)
    assert other.times == 0


async def test_it_goes_on_when_the_first_has_left_and_ends_with_the_last() -> None:
    renewals, first, other = Renewals(0.01), Renewed(), Renewed()

    async with AsyncExitStack() as stack:
        async with renewals.hold("typing", "cnv_1", first):
            await stack.enter_async_context(renewals.hold("typing", "cnv_1", other))
        await first.again()
    ended_at = first.times
    await asyncio.sleep(0.05)

    assert (first.times, len(renewals)) == (ended_at, 0)


async def test_what_fails_is_renewed_the_next_time() -> None:
    renewals, renewed = Renewals(0.01), Renewed()
    renewed.fails = True

    async with renewals.hold("typing", "cnv_1", renewed):
        await renewed.again()
        await renewed.again()

    assert renewed.times >= 2
