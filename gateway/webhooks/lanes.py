"""How many webhooks are under way at once: those to slow endpoints apart, so that they hold up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

FAST: Final = 64
SLOW: Final = 64
SLOW_FROM_MS: Final = 1_000


class Lanes:
    """One lane for endpoints whose last attempt succeeded within a second, one for all others; each for 64 at once.

    An endpoint that turns slow takes a place in the fast lane once; however many are slow, they wait for one another.
    """

    def __init__(self, *, fast: int = FAST, slow: int = SLOW) -> None:
        self._fast = asyncio.Semaphore(fast)
        self._slow = asyncio.Semaphore(slow)

    @asynccontextmanager
    async def place(self, *, is_slow: bool) -> AsyncIterator[None]:
        """A place in the lane, first come first served."""
        async with self._slow if is_slow else self._fast:
            yield
