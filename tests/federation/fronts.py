"""A TCP front of a subgraph that can fail in the ways that a network and a broken process do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
GARBAGE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n"
    b"Connection: close\r\n\r\n<html>oh dear\n"
)
NOISE: Final = b"\xff\xff<html>oh dear\n" * 20


class Weather(Enum):
    """What becomes of connections: passed on, cut at once, never answered, answered with what is no JSON."""

    FAIR = "fair"
    CUT = "stopped"
    SILENT = "slow"
    GARBAGE = "garbage"


class Front:
    """Passes connections on to the process at `target`, while the weather is fair."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._weather = Weather.FAIR
        self._writers: set[asyncio.StreamWriter] = set()
        self._routers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Where a router finds the subgraph."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Front]:
        """Listen at a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._abort()

    @asynccontextmanager
    async def weather(self, weather: Weather) -> AsyncIterator[None]:
        """Open connections end and new ones fare so, until it is fair again."""
        self._turn(weather)
        try:
            yield
        finally:
            self._turn(Weather.FAIR)

    def spoil(self) -> None:
        """Say something that is no protocol's, to whoever is connected just now."""
        for writer in list(self._routers):
            writer.write(NOISE)

    def _turn(self, weather: Weather) -> None:
        self._weather = weather
        self._abort()

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._routers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._fare(reader, writer)
        finally:
            self._routers.discard(writer)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _fare(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather is Weather.FAIR:
            await self._pass_on(reader, writer)
        elif self._weather is Weather.GARBAGE:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(GARBAGE)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        elif self._weather is Weather.SILENT:
            while await reader.read(CHUNK_BYTES):
                pass

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers.add(to_behind)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, to_behind))
                group.create_task(_pump(behind, writer))
        finally:
            self._writers.discard(to_behind)
            to_behind.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(CHUNK_BYTES):
            sink.write(chunk)
            await sink.drain()
    # Whoever has nothing more to say is gone: neither side of HTTP half closes.
    sink.transport.abort()
