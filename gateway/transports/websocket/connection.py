"""One open socket: who is on it, which operations run on it, and when it must close."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from starlette.types import Receive, Send

from datastores.errors import GoingAwayError
from gateway.budgets import client_of
from gateway.execution.requests import RequestError
from gateway.identity.errors import IdentityUnavailable, Unauthenticated
from gateway.identity.identities import ANONYMOUS, Anonymous, Identity
from gateway.identity.rechecks import still_holds
from gateway.operations import Asked, Operations
from gateway.transports.parameters import Parameters
from gateway.transports.places import Place
from gateway.transports.websocket.frames import Push
from gateway.transports.websocket.messages import (
    ACK,
    PING,
    Close,
    CloseCode,
    Complete,
    Init,
    Message,
    Ping,
    Pong,
    Subscribe,
    beginning_of_next,
    complete,
    decode,
    error,
    next_result,
    pong,
)

CLOSE_TIMEOUT_S: Final = 5.0

_log = structlog.get_logger(__name__)

Authenticate = Callable[[object], Awaitable[Identity]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketLimits:
    """What one socket may do, in seconds and counts."""

    init_timeout_s: float = 3.0
    # A client that was silent is pinged; one that is silent for two intervals is taken for dead.
    ping_interval_s: float = 20.0
    # How long a client may leave a frame untaken.
    stalled_after_s: float = 30.0
    max_operations: int = 100
    max_frame_bytes: int = 64 * 1024


class Connection:
    """A socket from its first message to its close. Every frame waits until the client takes it: nothing piles up.

    With `push`, frames go past `send` while the client keeps up: see `gateway/transports/websocket/frames.py`.
    `place` is counted for its address until it is known who is on it. `request_id` names the socket; its operations are
    named after it, with a number behind a dot.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        operations: Operations,
        authenticate: Authenticate,
        place: Place,
        *,
        request_id: str,
        address: str | None,
        limits: SocketLimits,
        push: Push | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._receive = receive
        self._asgi_send = send
        self._push = push
        self._operations = operations
        self._authenticate = authenticate
        self._place = place
        self._request_id = request_id
        self._address = address
        self._limits = limits
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._identity: Identity = ANONYMOUS
        self._init_payload: object = None
        self._init_received = False
        self._acknowledged = False
        self._leaving = False
        self._closing: Close | None = None
        self._reader: asyncio.Task[None] | None = None
        # By id the operations that a client may still name; among the tasks also those that are on their way out.
        self._active: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._started = 0
        self._sending = 0
        self._sending_since: float | None = None
        self._heard_at = self._loop.time()

    async def run(self) -> None:
        """Serve the socket until it is closed, by either side; then no operation of it runs any more."""
        self._reader = asyncio.current_task()
        self._after(self._limits.init_timeout_s, "init", CloseCode.TIMEOUT, "Connection initialisation timeout")
        closing: Close | None = None
        try:
            closing = await self._until_closed()
        finally:
            self._closing = self._closing or closing or Close(CloseCode.SERVICE_RESTART, "")
            for timer in self._timers.values():
                timer.cancel()
            # Cancelled before the close frame goes out, so that nothing is sent behind it.
            ending = [task for task in self._tasks if task.cancel()]
            if closing is not None:
                await self._send_close(closing)
            if ending:
                await asyncio.wait(ending, timeout=CLOSE_TIMEOUT_S)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket from outside; the first reason stays."""
        if self._closing is None and self._reader is not None:
            self._closing = Close(code, reason)
            self._reader.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Take no further operation, let queries and mutations answer, then close with 1012."""
        self._leaving = True
        if single := self._tasks - self._subscriptions - {asyncio.current_task()}:
            await asyncio.wait(single, timeout=timeout_s)
        self.close(CloseCode.SERVICE_RESTART, "The server is restarting")

    async def _until_closed(self) -> Close | None:
        """How this side closes, or None where the client has."""
        try:
            await self._read()
        except Close as close:
            return close
        except OSError:
            return None
        except asyncio.CancelledError:
            # Cancelled by `close`, or by the server as well?
            if self._closing is None or self._reader is None or self._reader.uncancel() > 0:
                raise
            return self._closing
        except Exception as unexpected:
            _log.error("socket_failed", request_id=self._request_id, exc_info=unexpected)
            return Close(CloseCode.INTERNAL_SERVER_ERROR, "Internal server error")
        return None

    async def _read(self) -> None:
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return
            if (text := event.get("text")) is None:
                raise Close(CloseCode.BAD_REQUEST, "Invalid message: binary frames are not understood")
            # A character is one to four bytes: most frames need not be encoded to be measured.
            most = self._limits.max_frame_bytes
            if len(text) > most or (len(text) * 4 > most and len(text.encode()) > most):
                raise Close(CloseCode.TOO_BIG, f"A message may have at most {most // 1024} KB")
            self._heard_at = self._loop.time()
            await self._handle(decode(text))

    async def _handle(self, message: Message) -> None:
        match message:
            case Subscribe():
                await self._subscribe(message.id, message.parameters)
            case Complete():
                if (task := self._active.pop(message.id, None)) is not None:
                    task.cancel()
            case Ping():
                await self._send(pong(message.payload))
            case Pong():
                pass
            case Init():
                await self._initialise(message)

    async def _initialise(self, message: Init) -> None:
        if self._init_received:
            raise Close(CloseCode.TOO_MANY_INITIALISATION_REQUESTS, "Too many initialisation requests")
        self._init_received = True
        self._timers.pop("init").cancel()
        try:
            self._identity = await self._authenticate(message.payload)
        except Unauthenticated as refused:
            raise Close(CloseCode.FORBIDDEN, refused.message) from None
        except IdentityUnavailable as unavailable:
            raise Close(CloseCode.TRY_AGAIN_LATER, unavailable.message) from None
        if (refusal := self._place.move_to(client_of(self._identity, self._address), "websocket")) is not None:
            raise Close(CloseCode.TRY_AGAIN_LATER, refusal)
        if not isinstance(self._identity, Anonymous):
            self._init_payload = message.payload
        if (expires_at := self._identity.expires_at) is not None:
            lifetime_s = max(0.0, expires_at - self._now())
            self._after(lifetime_s, "expiry", CloseCode.FORBIDDEN, "The access token has expired")
        await self._send(ACK)
        self._acknowledged = True
        self._timers["tick"] = self._loop.call_later(self._limits.ping_interval_s, self._tick)

    async def _subscribe(self, id: str, parameters: Parameters) -> None:
        if not self._acknowledged:
            raise Close(CloseCode.UNAUTHORIZED, "Unauthorized")
        if id in self._active:
            raise Close(CloseCode.SUBSCRIBER_ALREADY_EXISTS, f"Subscriber for {id} already exists")
        if self._leaving:
            return
        if len(self._tasks) >= self._limits.max_operations:
            await self._send(error(id, [_too_many(self._limits.max_operations)]))
            return
        self._started += 1
        task = self._loop.create_task(self._operate(id, parameters, self._asked()))
        self._active[id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._subscriptions.discard)

    async def _operate(self, id: str, parameters: Parameters, asked: Asked) -> None:
        try:
            last = await self._results(id, parameters, asked)
        except RequestError as refused:
            last = error(id, refused.errors)
        except GoingAwayError:
            self._leaving = True
            self._track(self.drain(CLOSE_TIMEOUT_S))
            return
        except OSError:
            return
        finally:
            # Before the last message goes out: with it, the client may use the id again.
            if self._active.get(id) is asyncio.current_task():
                del self._active[id]
        await self._send(last)

    async def _results(self, id: str, parameters: Parameters, asked: Asked) -> bytes:
        """Send every result; return the last message."""
        prepared = await self._operations.prepare(parameters, asked)
        task = asyncio.current_task()
        if prepared.kind == "subscription" and task is not None:
            self._subscriptions.add(task)
        begin = beginning_of_next(id)
        outlet = None if self._push is None else partial(self._push_result, begin)
        async with aclosing(self._operations.stream(prepared, asked, outlet)) as results:
            async for result in results:
                if not isinstance(result, bytes) and "data" not in result:
                    return error(id, result["errors"])
                await self._send(next_result(begin, self._operations.encode(result, asked)))
        return complete(id)

    def _push_result(self, begin: bytes, result: bytes) -> bool:
        # What waits to be sent goes first.
        return not self._sending and self._push is not None and self._push(next_result(begin, result))

    async def _send(self, text: bytes) -> None:
        if not self._sending:
            if self._push is not None and self._push(text):
                return
            self._sending_since = self._loop.time()
        self._sending += 1
        try:
            await self._asgi_send({"type": "websocket.send", "text": text.decode()})
        finally:
            self._sending -= 1
            self._sending_since = self._loop.time() if self._sending else None

    async def _send_close(self, closing: Close) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._asgi_send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        except (TimeoutError, OSError):
            return

    def _tick(self) -> None:
        """See whether the client still reads, still speaks, and still may; ping it where it was silent."""
        now, limits = self._loop.time(), self._limits
        if self._sending_since is not None and now - self._sending_since > limits.stalled_after_s:
            self.close(CloseCode.TIMEOUT, "Too slow: frames were not taken")
            return
        silent_s = now - self._heard_at
        if silent_s > 2 * limits.ping_interval_s:
            self.close(CloseCode.TIMEOUT, "No pong")
            return
        if silent_s >= limits.ping_interval_s / 2 and not self._sending:
            self._track(self._ping())
        if not isinstance(self._identity, Anonymous):
            self._track(self._recheck())
        self._timers["tick"] = self._loop.call_later(limits.ping_interval_s, self._tick)

    async def _recheck(self) -> None:
        if not await still_holds(self._identity, lambda: self._authenticate(self._init_payload)):
            self.close(CloseCode.FORBIDDEN, "The credential is no longer valid")

    async def _ping(self) -> None:
        try:
            await self._send(PING)
        except OSError:
            return

    def _track(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        self._subscriptions.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._subscriptions.discard)

    def _after(self, delay_s: float, name: str, code: CloseCode, reason: str) -> None:
        self._timers[name] = self._loop.call_later(delay_s, self.close, code, reason)

    def _asked(self) -> Asked:
        client = client_of(self._identity, self._address)
        return Asked(self._identity, "websocket", f"{self._request_id}.{self._started}", client)


def _too_many(most: int) -> dict[str, object]:
    message = f"At most {most} operations may run on a socket: complete one first"
    return {"message": message, "extensions": {"code": "RATE_LIMITED"}}
