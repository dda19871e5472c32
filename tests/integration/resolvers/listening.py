"""Somebody who listens to a stream, for tests of what is heard when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from datastores.mongo import Document
from gateway.live.hub import Hub

PATIENCE_S = 15.0


class Listener:
    """Takes the events of a stream one by one, each within 15 s."""

    def __init__(self, stream: AsyncGenerator[Document, None]) -> None:
        self._stream = stream
        self._next: asyncio.Future[Document] | None = None

    def listen(self) -> None:
        """Wait for the next event from now on."""
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._stream))

    async def hear(self, events: int) -> list[Document]:
        """The next events."""
        async with asyncio.timeout(PATIENCE_S):
            return [await self._take() for _ in range(events)]

    async def hears_the_end(self) -> bool:
        """True where the stream ends without another event."""
        try:
            (event,) = await self.hear(1)
        except StopAsyncIteration:
            return True
        raise AssertionError(f"the stream goes on with {event}")

    async def stop(self) -> None:
        """Listen no more."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._stream.aclose()

    async def _take(self) -> Document:
        self.listen()
        assert self._next is not None
        try:
            return await self._next
        finally:
            self._next = None


@asynccontextmanager
async def listening(stream: AsyncGenerator[Document, None], hub: Hub, feeds: int = 1) -> AsyncIterator[Listener]:
    """A listener whose stream has opened this many feeds, so that it hears whatever happens from here on."""
    listener = Listener(stream)
    before = _feeds(hub)
    listener.listen()
    await _until(lambda: _feeds(hub) >= before + feeds)
    try:
        yield listener
    finally:
        await listener.stop()


async def heard(stream: AsyncGenerator[Document, None], events: int) -> list[Document]:
    """The first events of a stream."""
    listener = Listener(stream)
    try:
        return await listener.hear(events)
    finally:
        await listener.stop()


def _feeds(hub: Hub) -> int:
    return sum(log.feeds for log in hub.statistics.values())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
