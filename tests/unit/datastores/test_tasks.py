"""Tasks that are to end do, though what they wait with forgets that it was cancelled."""

from __future__ import annotations

import asyncio

import pytest

from datastores import tasks
from datastores.tasks import cancelled


async def test_a_cancellation_that_was_forgotten_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.02)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def for_ever() -> None:
        # Under Python 3.11 this forgets a cancellation that comes with what it waits for.
        await asyncio.wait_for(done, 60)
        await asyncio.Event().wait()

    task = asyncio.create_task(for_ever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done.set_result(None)

    async with asyncio.timeout(30):
        await cancelled([task])

    assert task.cancelled()


async def test_whatever_they_raise_and_whenever_is_nobodys_concern() -> None:
    async def fails() -> None:
        raise ValueError

    async def fails_at_its_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    ended = [asyncio.create_task(each()) for each in (fails, fails_at_its_end)]
    await asyncio.sleep(0)

    await cancelled(ended)
    await cancelled([])

    assert all(isinstance(task.exception(), ValueError) for task in ended)
