"""The sockets of this process: which handshakes are accepted, how many are open, and how all are closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.budgets import client_of
from gateway.identity.identities import ANONYMOUS, Identity
from gateway.metrics import Metrics
from gateway.operations import Operations
from gateway.transports.heads import address_of, header, request_id_of
from gateway.transports.origins import is_allowed_origin
from gateway.transports.places import Place, Places
from gateway.transports.websocket.connection import CLOSE_TIMEOUT_S, Connection, SocketLimits
from gateway.transports.websocket.frames import PUSH
from gateway.transports.websocket.messages import PROTOCOL, Close, CloseCode

RETRY_AFTER_S: Final = 5
DEFAULT_LIMITS: Final = SocketLimits()

AuthenticateSocket = Callable[[object, str | None], Awaitable[Identity]]


class GraphQLOverWebSocket:
    """The WebSocket half of the endpoint, an ASGI application.

    `authenticate` takes the payload of `connection_init`, and in a subgraph the `Authorization` of the handshake as
    well: that is where a router puts a client's own. A handshake from a foreign `Origin` is refused (403), one past
    `max_sockets` or during a stop too (503); one that does not offer `graphql-transport-ws` closes with 4406.
    One for which its address, and later its client, has no place in `places` closes with 1013.
    """

    def __init__(
        self,
        operations: Operations,
        authenticate: AuthenticateSocket,
        *,
        metrics: Metrics,
        places: Places,
        is_subgraph: bool = False,
        allowed_origins: Collection[str] = (),
        max_sockets: int = 10_000,
        limits: SocketLimits = DEFAULT_LIMITS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._operations = operations
        self._authenticate = authenticate
        self._metrics = metrics
        self._is_subgraph = is_subgraph
        self._allowed_origins = frozenset(allowed_origins)
        self._max_sockets = max_sockets
        self._places = places
        self._limits = limits
        self._now = now
        self._connections: dict[Connection, asyncio.Task[None] | None] = {}
        self._stopping = False

    def __len__(self) -> int:
        return len(self._connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if not is_allowed_origin(header(scope, b"origin"), header(scope, b"host"), self._allowed_origins):
            await _reject(scope, send, 403)
        elif self._stopping or len(self._connections) >= self._max_sockets:
            if not self._stopping:
                self._metrics.socket_refused("websocket", "process")
            await _reject(scope, send, 503)
        elif PROTOCOL not in scope["subprotocols"]:
            await _refuse(send, None, Close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, f"Subprotocol must be {PROTOCOL}"))
        else:
            client = client_of(ANONYMOUS, address_of(scope))
            if (place := self._places.take(client, "websocket")) is None:
                await _refuse(send, PROTOCOL, Close(CloseCode.TRY_AGAIN_LATER, self._places.refusal(client)))
                return
            try:
                await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
                await self._serve(place, scope, receive, send)
            finally:
                place.leave()

    async def drain(self, timeout_s: float) -> None:
        """Accept no socket; let queries and mutations answer for `timeout_s`; close every socket with 1012.

        Subscriptions end at once: every event that was sent carries the cursor to resume from.
        """
        self._stopping = True
        tasks = [task for task in self._connections.values() if task is not None]
        await asyncio.gather(*(connection.drain(timeout_s) for connection in list(self._connections)))
        if tasks:
            await asyncio.wait(tasks, timeout=2 * CLOSE_TIMEOUT_S)

    async def _serve(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        authorization = header(scope, b"authorization") if self._is_subgraph else None
        connection = Connection(
            receive,
            send,
            self._operations,
            lambda payload: self._authenticate(payload, authorization),
            place,
            request_id=request_id_of(scope),
            address=address_of(scope),
            limits=self._limits,
            push=scope.get("extensions", {}).get(PUSH),
            now=self._now,
        )
        self._connections[connection] = asyncio.current_task()
        self._metrics.socket_opened("websocket")
        try:
            await connection.run()
        finally:
            self._metrics.socket_closed("websocket")
            del self._connections[connection]


async def _refuse(send: Send, subprotocol: str | None, closing: Close) -> None:
    # A refused handshake would not tell a browser why; a close code does.
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    await send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})


async def _reject(scope: Scope, send: Send, status: int) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"retry-after", str(RETRY_AFTER_S).encode())] if status == 503 else []
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})
