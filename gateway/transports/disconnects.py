"""Work that nobody waits for any more: given up when the HTTP client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.types import Receive

from gateway.timers import Timers

WATCH_AFTER_S: Final = 0.05

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed the connection: there is nobody to answer."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T], timers: Timers) -> T:
    """What `work` returns; it is cancelled, and ClientGone raised, when the client goes away.

    Most work is done sooner than a watcher is worth its task, so one is started only after 50 ms, by one of `timers`.
    The body must have been received whole.
    """
    worker = asyncio.current_task()
    assert worker is not None
    watcher: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        await disconnected(receive)
        gone = True
        worker.cancel()

    def start() -> None:
        nonlocal watcher
        watcher = asyncio.create_task(watch())

    timer = timers.after(WATCH_AFTER_S, start)
    try:
        return await work
    except asyncio.CancelledError:
        # Cancelled by the watcher alone, or by the server as well?
        if gone and worker.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
