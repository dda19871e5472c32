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
# What these say of a body, or of the connection, is uvicorn's to heed.
_OF_CONNECTIONS: Final = frozenset({b"connection", b"transfer-encoding"})
_WITHOUT_BODY: Final = frozenset({204, 304})


class ServedConnection(HttpToolsProtocol):
    """A connection as uvicorn serves it, with two differences.

    The head of an answer waits for its body, as ASGI says, and goes out with it where that is all of it: uvicorn writes
    both by themselves, which is two system calls and two packets, of which the second wakes the client again.

    The head of a request must have come within 10 s, of the connection or of its first byte, and have at most about
    64 KB; else the connection ends with 408 or 431. uvicorn waits, and keeps what it gets, for ever.
    """

    _head_bytes: int | None = None
    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """From here on it waits for a head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Read it, and look whether a head that is not complete may go on."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end(431)
            elif self._head_timer is None:
                self._wait_for_head()

    def on_message_begin(self) -> None:
        """The first byte of a head is there."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._head_is_over()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._head_is_over()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # uvicorn makes its cycles itself, of a class that cannot be named anywhere; this one adds one field.
        cycle.__class__ = _Cycle
        super()._start_asgi_task(cycle, app)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._end, 408)

    def _head_is_over(self) -> None:
        self._head_bytes = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end(self, status: int) -> None:
        is_begun = self._head_bytes is not None
        self._head_is_over()
        if self.transport.is_closing():
            return
        # Not into an answer that is under way; and who has said nothing has asked nothing.
        cycle: RequestResponseCycle | None = self.cycle
        if is_begun and (cycle is None or cycle.response_complete):
            self.transport.write(STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


def is_unheard(connection: object) -> bool:
    """Whether it is a connection that has not brought a request yet."""
    if not isinstance(connection, ServedConnection):
        return False
    cycle: RequestResponseCycle | None = connection.cycle
    return cycle is None


class _Cycle(RequestResponseCycle):
    _held: HTTPResponseStartEvent | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Hold a head; send the whole answer at once, or what does not fit in one piece as uvicorn does."""
        if message["type"] == "http.response.start" and not self.response_started and self._held is None:
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
