"""Commands of one message each way, sent to the primary on connections that the driver has opened."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from struct import Struct
from typing import Final, cast

import bson
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, DocumentTooLarge, NotPrimaryError, PyMongoError
from pymongo.helpers_shared import _check_command_response
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from pymongo.server_selectors import writable_server_selector
from pymongo.topology_description import TopologyDescription

from .types import Document, OnCommand

Address = tuple[str, int | None]

# As many as the gate lets through to the driver; each is a thread of mongod.
MAX_CONNECTIONS: Final = 24
MAX_CONNECTING: Final = 2
MAX_ANSWER_BYTES: Final = 48 * 1024 * 1024
MAX_COMMAND_BYTES: Final = 16 * 1024 * 1024
# What is made of answers of more bytes than these, in one turn of the loop, pushes one another out of the processor's
# cache: 100 posts are 25 KB as they arrive, and half a MB of objects.
TURN_BYTES: Final = 64 * 1024
SMALL_BYTES: Final = 4 * 1024
_HEADER_BYTES: Final = 16
# OP_MSG of MongoDB's wire protocol: its code ends the header; no flags follow, and a zero says that a document does.
_OP_MSG: Final = (2013).to_bytes(4, "little") + bytes(5)
_BODY_AT: Final = 21
_HEADER: Final = Struct("<iii")
_REQUEST_IDS: Final = 2**31


class _Connection(asyncio.Protocol):
    """A connection with at most one command under way; it goes back to `wire` by itself when the answer is there.

    So whoever waits may be cancelled at any time, and costs no connection.
    """

    def __init__(self, wire: Wire, transport: asyncio.Transport, address: Address) -> None:
        self.address = address
        self._wire = wire
        self._transport = transport
        self._waiting: asyncio.Future[bytes] | None = None
        self._parts: list[bytes] = []
        self._received = 0
        self._expected = 0
        transport.set_protocol(self)
        transport.resume_reading()

    def send(self, message: bytes, waiting: asyncio.Future[bytes]) -> None:
        """Send a message, whose answer `waiting` will have, or the reason why there is none."""
        if self._transport.is_closing():
            waiting.set_exception(AutoReconnect("connection closed"))
            return
        self._waiting = waiting
        self._transport.write(message)

    def abort(self) -> None:
        """Close at once; a command under way is lost."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect an answer; one that is not of the protocol ends the connection."""
        self._parts.append(data)
        self._received += len(data)
        if not self._expected:
            if self._received < _HEADER_BYTES:
                return
            self._expected = int.from_bytes(b"".join(self._parts)[:4], "little")
        if self._received < self._expected <= MAX_ANSWER_BYTES:
            return
        answer = data if len(self._parts) == 1 else b"".join(self._parts)
        waiting, self._waiting = self._waiting, None
        is_answer = self._received == self._expected and answer[12:_BODY_AT] == _OP_MSG
        if waiting is None or not is_answer:
            self._waiting = waiting
            self.abort()
            return
        self._parts, self._received, self._expected = [], 0, 0
        self._wire.hand_over(waiting, answer)
        self._wire.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(AutoReconnect("connection closed"))
        self._wire.lost(self)


class Wire:
    """Sends commands to the primary for a third of what the driver's own way takes.

    The driver decides everything else: `client` finds servers, opens connections, encrypts and authenticates, and
    `topology` is what the client that writes knows at the moment: what is read is read where it writes. A connection
    is given up with its primary. A command is sent once: AutoReconnect says that it was lost, or found no primary, and
    that the driver's way, which waits and tries again, is to be taken. At most 24 commands run at once, the others wait
    their turn. Answers of 4 KB and more are handed over in order, some 64 KB of them in a turn of the loop, so that
    what is made of one is made before the next is decoded.
    """

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        database: str,
        topology: Callable[[], TopologyDescription],
        on_command: OnCommand | None = None,
        listeners: Sequence[CommandListener] = (),
    ) -> None:
        self._client = client
        self._database = database
        self._topology = topology
        self._seen: TopologyDescription | None = None
        self._on_command = on_command
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._primary: Address | None = None
        self._connections: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._queue: deque[asyncio.Future[_Connection]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._arrived: deque[tuple[asyncio.Future[bytes], bytes]] = deque()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def look(self) -> None:
        """Give up what leads to a server that is no primary any more; commands under way there are lost."""
        if (topology := self._topology()) is self._seen:
            return
        self._seen = topology
        servers = topology.server_descriptions().values()
        self._goes_to(next((server.address for server in servers if server.is_writable), None))

    @property
    def session_timeout_minutes(self) -> int | None:
        """How long the servers remember a session that nobody uses."""
        return self._topology().logical_session_timeout_minutes

    async def command(self, command: Document, *, database: str | None = None) -> Document:
        """The answer; raises AutoReconnect where it may not have been received, or what the driver raises for it.

        Raises DocumentTooLarge where the command has more than 16 MB: then it was not sent.
        """
        self.look()
        if self._primary is None:
            raise AutoReconnect("there is no primary")
        request_id = next(self._numbers) % _REQUEST_IDS
        body = bson.encode({**command, "$db": database or self._database})
        if len(body) > MAX_COMMAND_BYTES:
            raise DocumentTooLarge(f"a command of {len(body)} bytes is too large")
        message = _HEADER.pack(_BODY_AT + len(body), request_id, 0) + _OP_MSG + body
        connection = self._idle.pop() if self._idle else await self._next_idle()
        started = time.perf_counter()
        waiting: asyncio.Future[bytes] = self._loop.create_future()
        if self._listeners:
            self._tell_started(command, request_id, connection)
        connection.send(message, waiting)
        try:
            answer: Document = bson.decode(memoryview(await waiting)[_BODY_AT:])
            if answer["ok"] != 1:
                _check_command_response(answer, None)
        except PyMongoError as error:
            self._failed(command, request_id, connection, started, error)
            raise
        if self._on_command is not None:
            self._on_command(*next(iter(command.items())), time.perf_counter() - started, True)
        if self._listeners:
            self._tell_succeeded(command, request_id, connection, started, answer)
        return answer

    async def close(self) -> None:
        """Close every connection; the client that writes must have been closed before."""
        self._goes_to(None)
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self._client.close()

    def _goes_to(self, primary: Address | None) -> None:
        self._primary = primary
        for connection in [each for each in self._connections if each.address != primary]:
            self._give_up(connection)
        if primary is None:
            self._refuse(AutoReconnect("there is no primary"))

    async def _next_idle(self) -> _Connection:
        turn: asyncio.Future[_Connection] = self._loop.create_future()
        self._queue.append(turn)
        self._open_more()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.free(turn.result())
            raise

    def hand_over(self, waiting: asyncio.Future[bytes], answer: bytes) -> None:
        """Give an answer to whoever waits for it: at once where it is small, else when its turn has come."""
        if len(answer) < SMALL_BYTES:
            _give(waiting, answer)
            return
        self._arrived.append((waiting, answer))
        if len(self._arrived) == 1:
            self._loop.call_soon(self._hand_over_some)

    def _hand_over_some(self) -> None:
        left = TURN_BYTES
        while self._arrived and left > 0:
            waiting, answer = self._arrived.popleft()
            left -= len(answer)
            _give(waiting, answer)
        if self._arrived:
            self._loop.call_soon(self._hand_over_some)

    def free(self, connection: _Connection) -> None:
        """The connection has nothing under way: it is whoever's turn is next."""
        if connection not in self._connections:
            return
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """The connection is closed."""
        self._forget(connection)
        self._open_more()

    def _give_up(self, connection: _Connection) -> None:
        self._forget(connection)
        connection.abort()

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _refuse(self, error: AutoReconnect) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_exception(error)

    def _open_more(self) -> None:
        wanted = min(len(self._queue), MAX_CONNECTIONS - len(self._connections)) - len(self._opening)
        if self._queue and self._primary is None:
            self._refuse(AutoReconnect("there is no primary"))
        elif wanted > 0 and len(self._opening) < MAX_CONNECTING:
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._refuse(AutoReconnect(f"no connection could be opened: {error}"))
        self._open_more()

    async def _open(self) -> None:
        server = await self._client._select_server(writable_server_selector, None, "find")
        opened = await server.pool.connect()
        # The pool keeps a note of what it has opened until it has closed it itself.
        server.pool.active_contexts.discard(opened.cancel_context)
        transport = cast(asyncio.Transport, opened.conn.conn[0])
        if opened.address != self._primary:
            transport.abort()
            raise AutoReconnect("there is another primary now")
        connection = _Connection(self, transport, opened.address)
        self._connections.add(connection)
        self.free(connection)

    def _failed(
        self, command: Document, request_id: int, connection: _Connection, started: float, error: PyMongoError
    ) -> None:
        if isinstance(error, NotPrimaryError):
            self._give_up(connection)
        took_s = time.perf_counter() - started
        if self._on_command is not None:
            self._on_command(*next(iter(command.items())), took_s, False)
        name = next(iter(command))
        details = getattr(error, "details", None) or {"errmsg": str(error)}
        for listener in self._listeners:
            duration = timedelta(seconds=took_s)
            event = CommandFailedEvent(duration, details, name, request_id, connection.address, request_id)
            listener.failed(event)

    def _tell_started(self, command: Document, request_id: int, connection: _Connection) -> None:
        for listener in self._listeners:
            listener.started(CommandStartedEvent(command, self._database, request_id, connection.address, request_id))

    def _tell_succeeded(
        self, command: Document, request_id: int, connection: _Connection, started: float, answer: Document
    ) -> None:
        duration = timedelta(seconds=time.perf_counter() - started)
        for listener in self._listeners:
            listener.succeeded(
                CommandSucceededEvent(duration, answer, next(iter(command)), request_id, connection.address, request_id)
            )


def _give(waiting: asyncio.Future[bytes], answer: bytes) -> None:
    if not waiting.done():
        waiting.set_result(answer)
