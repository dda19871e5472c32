"""Tasks that are ended: cancelled for certain, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

AGAIN_S: Final = 2.0


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel these tasks, and return once they have ended, whatever they raise.

    Who has not ended after 2 s is cancelled again: `asyncio.wait_for` of Python 3.11, by which PyMongo opens its
    connections, forgets a cancellation that comes in the moment in which what it waits for is done.
    Source: https://github.com/python/cpython/issues/86296
    """
    all_of_them = list(tasks)
    running = {task for task in all_of_them if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)
    # Somebody has looked: what they raised is nobody's any more.
    await asyncio.gather(*all_of_them, return_exceptions=True)
