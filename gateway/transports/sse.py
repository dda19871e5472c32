"""GraphQL over server-sent events, in distinct connections: one request, one stream (the protocol of `graphql-sse`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import orjson
from starlette.types import Receive, Send

from datastores.errors import GoingAwayError
from datastores.tasks import cancelled
from gateway.execution.requests import PreparedOperation, Result
from gateway.identity.rechecks import Recheck, still_holds
from gateway.metrics import Metrics
from gateway.operations import Asked, Operations
from gateway.transports.disconnects import disconnected
from gateway.transports.places import Places
from gateway.transports.refusals import Refusal

KEEP_ALIVE_S: Final = 12.0
SEND_TIMEOUT_S: Final = 30.0
MAX_STREAMS: Final = 10_000
RETRY_AFTER_S: Final = 5

KEEP_ALIVE: Final = b":\n\n"
COMPLETE: Final = b"event: complete\ndata: \n\n"
OVER: Final[Result] = {
    "errors": [{"message": "The credential is no longer valid", "extensions": {"code": "UNAUTHENTICATED"}}]
}
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept, Authorization"),
    # Proxies that gather a response before they pass it on would hold events back.
    (b"x-accel-buffering", b"no"),
]

Write = Callable[[bytes], Awaitable[None]]


class EventStreams:
    """The streams that are open in this process, at most `max_streams`."""

    def __init__(
        self,
        operations: Operations,
        *,
        metrics: Metrics,
        places: Places,
        max_streams: int = MAX_STREAMS,
        keep_alive_s: float = KEEP_ALIVE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._operations = operations
        self._metrics = metrics
        self._max_streams = max_streams
        self._places = places
        self._keep_alive_s = keep_alive_s
        self._now = now
        self._open: set[asyncio.Task[None]] = set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    async def answer(
        self, prepared: PreparedOperation, asked: Asked, recheck: Recheck, receive: Receive, send: Send
    ) -> None:
        """Send every result of the operation, then `complete`; end when the client is gone or its credential is over.

        A comment every 12 s keeps the connection open; a partner's key is looked up again then, with `recheck`. A
        client that takes nothing for 30 s is let go. Raises Refusal: 503 when too many streams are open or the server
        is stopping, 429 when this client has too many.
        """
        retry = {"Retry-After": str(RETRY_AFTER_S)}
        if self._stopping or len(self._open) >= self._max_streams:
            if not self._stopping:
                self._metrics.socket_refused("sse", "process")
            raise Refusal(503, "No stream can be opened now", code="RATE_LIMITED", headers=retry)
        if (place := self._places.take(asked.client, "sse")) is None:
            raise Refusal(429, self._places.refusal(asked.client), code="RATE_LIMITED", headers=retry)
        try:
            await self._serve(prepared, asked, recheck, receive, send)
        finally:
            place.leave()

    async def _serve(
        self, prepared: PreparedOperation, asked: Asked, recheck: Recheck, receive: Receive, send: Send
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        # A server holds the head until something follows it, and the client waits for it to know that it is listening.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        write = _writer(send)
        pump = asyncio.create_task(self._pump(prepared, asked, write))
        gone = asyncio.create_task(disconnected(receive))
        watch = asyncio.create_task(self._watch(asked, recheck, write))
        tasks: list[asyncio.Task[Any]] = [pump, gone, watch]
        self._open.add(pump)
        self._metrics.socket_opened("sse")
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._lifetime_s(asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._metrics.socket_closed("sse")
            self._open.discard(pump)
            await cancelled(tasks)
        is_over = not done or (watch in done and watch.result())
        if is_over:
            await _within(write(_event(orjson.dumps(OVER)) + COMPLETE))
        if is_over or pump in done:
            await _within(send({"type": "http.response.body", "body": b"", "more_body": False}))

    async def refuse(self, result: Result, send: Send) -> None:
        """Send one result with errors, and `complete`."""
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": _event(orjson.dumps(result)) + COMPLETE})

    async def drain(self) -> None:
        """End every stream, without `complete` so that clients come back, and open no other.

        Events that were sent carry their cursors: clients resume from them.
        """
        self._stopping = True
        await cancelled(tuple(self._open))

    async def _pump(self, prepared: PreparedOperation, asked: Asked, write: Write) -> None:
        try:
            async with aclosing(self._operations.stream(prepared, asked)) as results:
                async for result in results:
                    await write(_event(self._operations.encode(result, asked)))
        except GoingAwayError:
            return
        await write(COMPLETE)

    async def _watch(self, asked: Asked, recheck: Recheck, write: Write) -> bool:
        """Return True once the credential is no longer right, False once the client takes nothing any more."""
        alive = True
        while alive:
            await asyncio.sleep(self._keep_alive_s)
            if not await still_holds(asked.identity, recheck):
                return True
            alive = await _within(write(KEEP_ALIVE))
        return False

    def _lifetime_s(self, asked: Asked) -> float | None:
        expires_at = asked.identity.expires_at
        return None if expires_at is None else max(0.0, expires_at - self._now())


def _writer(send: Send) -> Write:
    # Two tasks write; not every server lets two wait for the client at once.
    lock = asyncio.Lock()

    async def write(chunk: bytes) -> None:
        async with lock:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    return write


async def _within(sending: Awaitable[None]) -> bool:
    """Whether the client took it in time."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await sending
    except TimeoutError:
        return False
    return True


def _event(data: bytes) -> bytes:
    return b"event: next\ndata: " + data + b"\n\n"
