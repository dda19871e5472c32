"""Servers that webhooks are sent to: real ones, on this machine, that answer as a test wants, or misbehave."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

PATIENCE_S = 30.0
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.body)
        return read

    @property
    def data(self) -> dict[str, Any]:
        read: dict[str, Any] = self.payload["data"]
        return read

    @property
    def seq(self) -> int:
        return int(self.data["seq"])

    def verify(self, secret: str) -> None:
        """Raises unless it was signed with this secret."""
        Webhook(secret).verify(self.body, self.headers)


Reply = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def answers(raw: bytes) -> Reply:
    """A reply of these bytes; an answer without a length ends with its connection."""

    async def reply(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return reply


def status(code: int, *headers: str) -> Reply:
    """A reply with this status and nothing else."""
    lines = [f"HTTP/1.1 {code} Whatever", "Content-Length: 0", *headers, "", ""]
    return answers("\r\n".join(lines).encode())


def held(until: asyncio.Event, reply: Reply | None = None) -> Reply:
    """This reply (204 unless another is given), once the event has come."""

    async def wait_and_reply(request: Received, writer: asyncio.StreamWriter) -> None:
        await until.wait()
        await (reply or answers(OK))(request, writer)

    return wait_and_reply


@dataclass
class Receiver:
    """A server, what it got so far, and how it answers next."""

    reply: Reply = field(default_factory=lambda: answers(OK))
    got: list[Received] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    connections: int = 0
    port: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks"

    @property
    def seqs(self) -> list[int]:
        """The numbers of the events that came, in the order in which they came."""
        return [each.seq for each in self.got if each.payload["type"] != "webhook.test"]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so; looked at after each request."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(condition)

    async def has(self, requests: int) -> None:
        """Wait for so many requests."""
        await self.until(lambda: len(self.got) >= requests)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await _read(reader)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                self.got.append(request)
                try:
                    async with self._changed:
                        self._changed.notify_all()
                    await self.reply(request, writer)
                finally:
                    self.at_once -= 1
        writer.close()


@asynccontextmanager
async def receiving(reply: Reply | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver() if reply is None else Receiver(reply)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            connections.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    assert method == "POST"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    body = (await reader.readexactly(int(headers["content-length"]))).decode()
    return Received(path, headers, body)
