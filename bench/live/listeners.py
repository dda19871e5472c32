"""Listeners in a process of their own: raw WebSockets that count events, read their age, and keep their last cursor.

A message's text is the publisher's monotonic clock in nanoseconds, which all processes of a machine share. Answers one
line of JSON for each line that it is given.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from statistics import quantiles
from typing import Any, Final, cast

import uvloop

OPENING: Final = 64
OPEN_TIMEOUT_S: Final = 120.0
MAX_AGES: Final = 200_000
NARROW: Final = 16_384
_SENT: Final = re.compile(rb'"text":\s*"(\d+)')
_CURSOR: Final = re.compile(rb'"cursor":\s*"([^"]+)"')
_NEXT: Final = re.compile(rb'"type":\s*"next"')
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Listener(asyncio.Protocol):
    """One socket of `graphql-transport-ws` with one operation."""

    def __init__(self, path: str, token: str | None, operation: Mapping[str, Any]) -> None:
        self._path = path
        self._token = token
        self._operation = operation
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events = 0
        self.cursor: str | None = None
        self.ended: str | None = None
        self.ages_ns: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        lines = (
            f"GET {self._path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: graphql-transport-ws",
        )
        self._transport.write("\r\n".join((*lines, "", "")).encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.connection_lost(RuntimeError(head.decode(errors="replace")))
                return
            self._is_open = True
            self._buffer = bytearray(rest)
            payload = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
            self._say({"type": "connection_init", "payload": payload})
        while (frame := self._frame()) is not None:
            self._take(*frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = self.ended or f"closed {exc or ''}".strip()
        if not self.begun.done():
            self.begun.set_exception(RuntimeError(self.ended))

    def pause(self) -> None:
        """Take nothing more from the socket."""
        assert self._transport is not None
        self._transport.pause_reading()

    def close(self) -> None:
        """Leave without a word, as a telephone does in a tunnel."""
        assert self._transport is not None
        self._transport.abort()

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 127, 2
        if size > 125:
            at = 4 if size == 126 else 10
            if len(buffer) < at:
                return None
            size = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + size:
            return None
        frame = buffer[0] & 15, bytes(buffer[at : at + size])
        del buffer[: at + size]
        return frame

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == _PING:
            self._send(_PONG, payload)
        elif kind == _CLOSE:
            self.ended = f"{int.from_bytes(payload[:2], 'big')} {payload[2:].decode(errors='replace')}"
        elif _NEXT.search(payload, 0, 64):
            self.events += 1
            if (sent := _SENT.search(payload)) is not None and len(self.ages_ns) < MAX_AGES:
                self.ages_ns.append(time.monotonic_ns() - int(sent[1]))
            if (cursor := _CURSOR.search(payload)) is not None:
                self.cursor = cursor[1].decode()
        elif b'"connection_ack"' in payload:
            self._say({"type": "subscribe", "id": "1", "payload": self._operation})
            self.begun.set_result(None)
        elif b'"ping"' in payload[:64]:
            self._say({"type": "pong"})
        elif kind == _TEXT and b'"pong"' not in payload[:64]:
            self.ended = payload.decode(errors="replace")

    def _say(self, message: Mapping[str, Any]) -> None:
        self._send(_TEXT, json.dumps(message).encode())

    def _send(self, kind: int, payload: bytes) -> None:
        # A mask of zeros is a mask, and leaves the payload as it is.
        size = len(payload)
        length = bytes((128 | size,)) if size < 126 else bytes((128 | 126,)) + size.to_bytes(2, "big")
        assert self._transport is not None
        self._transport.write(bytes((128 | kind,)) + length + bytes(4) + payload)


class Listeners:
    """All of this process."""

    def __init__(self) -> None:
        self._all: list[Listener] = []

    async def open(
        self, port: int, path: str, token: str | None, operations: list[Mapping[str, Any]], *, narrow: bool
    ) -> None:
        """Open a socket for each operation, 64 at a time; a `narrow` one holds 16 KB of what nobody takes from it."""
        places = asyncio.Semaphore(OPENING)

        async def one(operation: Mapping[str, Any]) -> None:
            async with places, asyncio.timeout(OPEN_TIMEOUT_S):
                running = asyncio.get_running_loop()
                raw = socket.socket()
                raw.setblocking(False)
                if narrow:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
                await running.sock_connect(raw, ("127.0.0.1", port))
                _, listener = await running.create_connection(lambda: Listener(path, token, operation), sock=raw)
                self._all.append(listener)
                await listener.begun

        await asyncio.gather(*map(one, operations))

    def told(self) -> dict[str, Any]:
        """Counts, ages of events in ms, and how listeners ended."""
        events = [listener.events for listener in self._all]
        ages = [age / 1e6 for listener in self._all for age in listener.ages_ns]
        cuts = quantiles(ages, n=100) if len(ages) > 1 else [0.0] * 99
        return {
            "listeners": len(self._all),
            "events": sum(events),
            "fewest": min(events, default=0),
            "most": max(events, default=0),
            "p50_ms": round(cuts[49], 2),
            "p99_ms": round(cuts[98], 2),
            "ended": dict(Counter(listener.ended for listener in self._all if listener.ended)),
        }

    def forget(self) -> None:
        """Count from nothing again."""
        for listener in self._all:
            listener.events = 0
            listener.ages_ns.clear()

    def cursors(self) -> list[str | None]:
        """The last cursor of each."""
        return [listener.cursor for listener in self._all]

    def pause(self, count: int) -> None:
        """Let so many of them take nothing more."""
        for listener in self._all[:count]:
            listener.pause()

    def close(self) -> None:
        """Let all go."""
        for listener in self._all:
            listener.close()
        self._all.clear()


async def serve() -> None:
    """Answer until the input ends."""
    listeners = Listeners()
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        asked = json.loads(line)
        match asked.pop("do"):
            case "open":
                operations = asked.get("operations") or [asked["operation"]] * asked["count"]
                narrow = bool(asked.get("narrow"))
                await listeners.open(asked["port"], asked["path"], asked.get("token"), operations, narrow=narrow)
            case "forget":
                listeners.forget()
            case "pause":
                listeners.pause(asked["count"])
            case "close":
                listeners.close()
        answer = {**listeners.told(), **({"cursors": listeners.cursors()} if asked.get("cursors") else {})}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
