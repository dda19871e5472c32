"""Starts the local server on a port of its own, waits until it accepts writes, and stops it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, PyMongoError

from .failures import LocalDatabaseError, PortTaken, cannot_be_used
from .folder import locked
from .launch import launch
from .programs import HOST, Client, Mongod, Program, find_program
from .reasons import last_complaint, why_it_ended

Step = Callable[[Client, int], Awaitable[bool]]

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.02
PORT_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class LocalDatabase:
    """A running local replica set: its URI, the server's process id, and where it keeps its data."""

    uri: str
    pid: int
    data_dir: Path
    version: str


@asynccontextmanager
async def local_database(
    data_dir: Path, *, mongod: Path | None = None, program: Program | None = None
) -> AsyncIterator[LocalDatabase]:
    """Start a single-node replica set on a free port of 127.0.0.1 over the data in `data_dir`, and stop it at the end.

    Runs `mongod` or `program` where one is given, else what `find_program` finds. Yields once it accepts writes, at
    most 30 s later. The server is gone when this process dies, however it dies; call from the main thread, since Linux
    counts a thread's end as the death of a parent. Raises `NoLocalDatabase`, `DataDirLocked`, `DataDirUnusable`, or
    `LocalDatabaseError` with the server's own reason.
    """
    program = program or (Mongod(mongod) if mongod else find_program())
    async with locked(data_dir) as lock:
        server = _Server(program, data_dir, lock)
        try:
            yield await server.start()
        finally:
            await server.stop()


class _Server:
    """One server over one folder: at most one process at a time."""

    def __init__(self, program: Program, data_dir: Path, lock: int) -> None:
        self._program = program
        self._data_dir = data_dir
        self._lock = lock
        self._folder = program.folder(data_dir)
        self._log = data_dir / "server.log"
        self._output = data_dir / "server.out"
        self._pid_file = data_dir / "server.pid"
        # Holds the port that the replica set's own configuration names; missing while that is not sure.
        self._port_file = data_dir / "port"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> LocalDatabase:
        program = self._program
        for _ in range(PORT_ATTEMPTS):
            port = self._free_port()
            try:
                move = program.move_command(self._folder, self._log, port)
                if move and self._must_move(port):
                    self._port_file.unlink(missing_ok=True)
                    await self._run(move, port, program.move)
                    await self.stop()
                version = await self._run(program.command(self._folder, self._log, port), port, program.settle)
            except PortTaken:
                continue
            self._port_file.write_text(str(port))
            uri = f"mongodb://{HOST}:{port}/?replicaSet={program.replica_set}"
            return LocalDatabase(uri, int(self._pid_file.read_text()), self._data_dir, version)
        raise LocalDatabaseError(f"no free port on {HOST}: {PORT_ATTEMPTS} were taken by others during the start")

    async def stop(self) -> None:
        """End the server cleanly; kill it where it has not ended after 15 s."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(int(self._pid_file.read_text()), signal.SIGKILL)
            await process.wait()

    def _free_port(self) -> int:
        """The port of the last start where it is free, since a replica set that stays where it was starts sooner."""
        try:
            last = int(self._port_file.read_text())
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, last))
                return last
        except (OSError, ValueError, OverflowError):
            with socket.socket() as probe:
                probe.bind((HOST, 0))
                port: int = probe.getsockname()[1]
                return port

    def _must_move(self, port: int) -> bool:
        if not self._folder.exists() or not any(self._folder.iterdir()):
            return False
        return not self._port_file.exists() or self._port_file.read_text() != str(port)

    async def _run(self, command: Sequence[str], port: int, step: Step) -> str:
        """The server's version, once `step` is done; ends it and raises where that does not come about in 30 s."""
        self._process = await self._spawn(command)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await self._until_done(self._process, port, step)
        except TimeoutError:
            await self.stop()
            reason = last_complaint(self._log, self._output)
            raise LocalDatabaseError(
                f"the local database was not ready after {START_TIMEOUT_S:.0f} s: {reason} (its log: {self._log})"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def _spawn(self, command: Sequence[str]) -> asyncio.subprocess.Process:
        try:
            self._folder.mkdir(exist_ok=True)
            # mongod would keep every former log under a new name.
            self._log.unlink(missing_ok=True)
            self._pid_file.unlink(missing_ok=True)
            output = self._output.open("wb")
        except OSError as error:
            raise cannot_be_used(self._data_dir, error) from None
        with output:
            return await launch(command, pid_file=self._pid_file, output=output.fileno(), inherit=self._lock)

    async def _until_done(self, process: asyncio.subprocess.Process, port: int, step: Step) -> str:
        client: Client = AsyncMongoClient(
            HOST, port, directConnection=True, serverSelectionTimeoutMS=200, connectTimeoutMS=1_000
        )
        is_ours = False
        try:
            while process.returncode is None:
                try:
                    is_ours = is_ours or await self._is_ours(client)
                    if await step(client, port):
                        return str((await client.server_info())["version"])
                except ConnectionFailure:
                    pass
                except PyMongoError as error:
                    raise LocalDatabaseError(f"the local database does not start: {error}") from None
                await asyncio.sleep(POLL_INTERVAL_S)
            raise why_it_ended(self._data_dir, self._log, self._output, process.returncode)
        finally:
            await client.close()

    async def _is_ours(self, client: Client) -> bool:
        """True where the server that answers is the one we started; raises `PortTaken` where it is somebody else's."""
        try:
            status = await client.admin.command("serverStatus")
        except ConnectionFailure:
            raise
        except PyMongoError:
            raise PortTaken from None
        if status.get("pid") != int(self._pid_file.read_text()):
            raise PortTaken
        return True
