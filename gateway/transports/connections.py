"""uvicorn's HTTP connections, on which a whole answer goes out in one piece, and a head must come in soon."""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Any, Final

from uvicorn._types import ASGI3Application, ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

HEAD_TIMEOUT_S: Final = 10.0
# Whatever is larger than what the middleware refuses, in an answer of its own, need not be read to its end.
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_PIPELINED: Final = 100
# What these say of a body, or of the connection, is uvicorn's to heed.
_OF_CONNECTIONS: Final = frozenset({b"connection", b"transfer-encoding"})
_WITHOUT_BODY: Final = frozenset({204, 304})


class _NoMore(list[tuple[bytes, bytes]]):
    """Where uvicorn puts the headers that come after a body, which nobody looks at."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Forget it."""


_NO_MORE: Final = _NoMore()


class ServedConnection(HttpToolsProtocol):
    """A connection as uvicorn serves it, with two differences.

    The head of an answer waits for its body, as ASGI says, and goes out with it where that is all of it: uvicorn writes
    both by themselves, which is two system calls and two packets, of which the second wakes the client again.

    What comes in has limits, where uvicorn waits, and keeps what it gets, for ever. A head must be complete within 10 s
    of the connection, or of the first byte that came after an answer (408). Of what is neither the end of a head nor a
    part of a body, as the headers after a body, a connection takes about 64 KB at a time (431), and keeps none. At most
    100 requests wait for the one before them (400).
    """

    _is_upgraded = False
    _unfinished_bytes = 0
    _has_progressed = False
    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """From here on it waits for a head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Read it, and look whether it may go on like that."""
        self._has_progressed = False
        super().data_received(data)
        if self._has_progressed:
            self._unfinished_bytes = 0
        else:
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > MAX_HEAD_BYTES:
                self._end(431)
        if self._head_timer is None and self.timeout_keep_alive_task is None and self._is_idle():
            self._wait_for_head()

    def handle_websocket_upgrade(self) -> None:
        """From here on it is a socket's, with limits of its own."""
        self._is_upgraded = True
        super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._has_progressed = True
        self._stop_waiting()
        super().on_headers_complete()
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self.headers = _NO_MORE
        if len(self.pipeline) > MAX_PIPELINED:
            # The parser stops at this, and the connection ends as with any other request that is wrong.
            raise OverflowError("too many requests at once")

    def on_body(self, body: bytes) -> None:
        """A part of a body is there."""
        self._has_progressed = True
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # uvicorn makes its cycles itself, of a class that cannot be named anywhere; this one adds one field.
        cycle.__class__ = _Cycle
        super()._start_asgi_task(cycle, app)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._end, 408)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _is_idle(self) -> bool:
        """Whether no request is under way, and a head is what comes next."""
        cycle: RequestResponseCycle | None = self.cycle
        return not self._is_upgraded and (cycle is None or cycle.response_complete)

    def _end(self, status: int) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        # Not into an answer that is under way; and who has said nothing has asked nothing.
        if self._unfinished_bytes and self._is_idle():
            self.transport.write(STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


def is_unheard(connection: object) -> bool:
    """Whether it is a connection that has not brought a request yet."""
    if not isinstance(connection, ServedConnection):
        return False
    cycle: RequestResponseCycle | None = connection.cycle
    return cycle is None and not connection.transport.is_closing()


class _Cycle(RequestResponseCycle):
    _held: HTTPResponseStartEvent | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Hold a head, or another in its place; send the whole answer at once, or what is not whole as uvicorn does."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._held = message
            return
        if (held := self._held) is not None:
            self._held = None
            if message["type"] == "http.response.body" and self._send_whole(held, message):
                return
            await super().send(held)
        await super().send(message)

    async def send_500_response(self) -> None:
        """Called where the application failed before it sent anything: a head that is held is not sent any more."""
        self._held = None
        await super().send_500_response()

    def _send_whole(self, head: HTTPResponseStartEvent, message: HTTPResponseBodyEvent) -> bool:
        """Send both, where they are a whole answer of a known length on a connection that stays open, and say so."""
        status, body = head["status"], message.get("body", b"")
        is_plain = self.keep_alive and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY
        if not is_plain or message.get("more_body") or self.disconnected or self.flow.write_paused:
            return False
        fields: list[Any] = [*self.default_headers, *head.get("headers", ())]
        lines, is_length_known = [STATUS_LINE[status]], False
        for name, value in fields:
            if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value) or (name := name.lower()) in _OF_CONNECTIONS:
                return False
            if name == b"content-length":
                if is_length_known or value != b"%d" % len(body):
                    return False
                is_length_known = True
            lines.append(b"%b: %b\r\n" % (name, value))
        if not is_length_known:
            return False
        lines.append(b"\r\n")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.writelines((b"".join(lines), body))
        self.message_event.set()
        self.on_response()
        return True
