"""Several gateway processes over one town, and a proxy that gives each connection to the next of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from tests.contract.town import ANSWER_TIMEOUT_S, Town

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 90.0
CHUNK_BYTES = 64 * 1024


@dataclass
class Proxy:
    """A plain TCP proxy. A process that takes no connection is passed over; it knows nothing of HTTP."""

    ports: list[int]
    turns: int = 0
    taken: dict[int, int] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give a connection to the next process that takes it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            for _ in range(len(self.ports)):
                port = self.ports[self.turns % len(self.ports)]
                self.turns += 1
                with suppress(OSError):
                    there = await asyncio.open_connection("127.0.0.1", port)
                    self.taken[port] = self.taken.get(port, 0) + 1
                    await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
                    return
        except asyncio.CancelledError:
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    async def end(self) -> None:
        """Break off what is still open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@dataclass
class Fleet:
    """The running processes by their ports; each is one that `agora serve` starts."""

    environment: dict[str, str]
    proxy: Proxy
    processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self) -> int:
        """The port of a new process, which serves."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "serve", "--port", "0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self.environment,
            cwd=ROOT,
        )
        assert process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            while b"serving the graph at" not in (line := await process.stdout.readline()):
                assert line, await process.wait()
        port = int(line.decode().rpartition(":")[2].partition("/")[0])
        self.processes[port] = process
        self.proxy.ports.append(port)
        return port

    async def kill(self, port: int) -> None:
        """End a process as a crash does: at once, without a word to anybody. The proxy goes on offering it."""
        process = self.processes.pop(port)
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    async def replace(self, port: int) -> int:
        """Kill a process, and start another in its place."""
        await self.kill(port)
        new = await self.start()
        self.proxy.ports.remove(port)
        return new

    async def stop(self) -> None:
        """End all processes as an operator does."""
        for process in self.processes.values():
            process.terminate()
        async with asyncio.timeout(60):
            assert [await process.wait() for process in self.processes.values()] == [0] * len(self.processes)


@asynccontextmanager
async def fleet_of(town: Town, uri: str, folder: Path, count: int = 2) -> AsyncIterator[tuple[Fleet, Town]]:
    """So many processes on the town's database, and the town behind the proxy; no connection serves two requests."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AGORA_", "MONGODB_"))},
        "AGORA_ENVIRONMENT": "development",
        "AGORA_DATA_DIR": str(folder),
        "AGORA_DATABASE": town.gateway.database.name,
        "AGORA_MONGO_DRIVER": town.gateway.database.driver,
        "AGORA_DRAIN_S": "2",
        "MONGODB_URI": uri,
    }
    proxy = Proxy([])
    fleet = Fleet(environment, proxy)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/graphql"
    try:
        await asyncio.gather(*(fleet.start() for _ in range(count)))
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S, limits=limits) as http:
            yield fleet, replace(town, url=url, http=http)
        await fleet.stop()
    finally:
        server.close()
        await proxy.end()
        for process in fleet.processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
