"""The gate in front of the driver's pool: who came first goes first, and reads outlive whoever waited for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

GATE_SIZE: Final = 24
T = TypeVar("T")


class Gate:
    """Lets 24 calls of the driver run at once, which keeps the tail latency of its pool in bounds."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(GATE_SIZE)
        self._shielded: set[asyncio.Task[Any]] = set()

    async def through(self, operation: Awaitable[T]) -> T:
        """What the operation returns, when its turn has come."""
        async with self._places:
            return await operation

    async def shielded(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The same for a read, which goes on where its caller is cancelled: else it would cost PyMongo a connection."""

        async def gated() -> T:
            async with self._places:
                return await operation()

        task = asyncio.ensure_future(gated())
        self._shielded.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._shielded.discard(task)
        if not task.cancelled():
            task.exception()
