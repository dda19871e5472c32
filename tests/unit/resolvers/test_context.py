"""Contexts: what is loaded once for an operation, whoever stops waiting for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from resolvers.context import Context


async def test_one_who_is_cancelled_leaves_the_load_to_the_others() -> None:
    nothing: Any = SimpleNamespace()
    context = Context(nothing, nothing, nothing)
    reading, answered = asyncio.Event(), asyncio.Event()

    async def read(ids: list[str]) -> list[str]:
        reading.set()
        await answered.wait()
        return [id.upper() for id in ids]

    async def wait() -> Any:
        return await context.load("letters", read, "a", cache=True)

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await reading.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    answered.set()

    assert await second == "A"
    assert await wait() == "A"
