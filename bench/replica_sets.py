"""Replica sets of one or three nodes on this machine, for as long as a benchmark runs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from datastores.local import Mongod, find_program
from datastores.local.launch import launch

HOST: Final = "127.0.0.1"
CACHE_GB: Final = "1"
OPLOG_MB: Final = "2048"
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.1


@dataclass(frozen=True)
class ReplicaSet:
    """A running replica set: its URI, the version of mongod, and the process ids of its nodes."""

    uri: str
    version: str
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Seconds of processor time that all nodes have used so far; 0 where the system does not tell."""
        return sum(_cpu_s(pid) for pid in self.pids)


@asynccontextmanager
async def replica_set(folder: Path, nodes: int, on_cores: set[int]) -> AsyncIterator[ReplicaSet]:
    """Start `nodes` mongods in `folder`, pinned to these cores, and end them afterwards by their process ids.

    Raises TimeoutError where they accept no writes within 60 s.
    """
    program = find_program()
    if not isinstance(program, Mongod):
        raise SystemExit("agora: the benchmark needs a real mongod on PATH or from its wheel")
    ports = _free_ports(nodes)
    name = f"bench{nodes}"
    processes: list[asyncio.subprocess.Process] = []
    try:
        for port in ports:
            # One by one, since each takes over this process's cores for a moment.
            processes += [await _start(program.path, folder / str(port), port, name, on_cores)]
        async with asyncio.timeout(START_TIMEOUT_S):
            version = await _settle(ports, name)
        pids = tuple(int((folder / str(port) / "pid").read_text()) for port in ports)
        hosts = ",".join(f"{HOST}:{port}" for port in ports)
        yield ReplicaSet(f"mongodb://{hosts}/?replicaSet={name}", version, pids)
    finally:
        await asyncio.gather(*(_stop(process) for process in processes))


async def _start(mongod: Path, folder: Path, port: int, name: str, on_cores: set[int]) -> asyncio.subprocess.Process:
    data = folder / "data"
    data.mkdir(parents=True)
    command = [
        *(str(mongod), "--dbpath", str(data), "--logpath", str(folder / "log"), "--replSet", name),
        *("--bind_ip", HOST, "--port", str(port), "--nounixsocket", "--oplogSize", OPLOG_MB),
        *("--wiredTigerCacheSizeGB", CACHE_GB, "--networkMessageCompressors", "snappy"),
        *("--setParameter", "transactionLifetimeLimitSeconds=3"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]
    # A child inherits the cores of whoever starts it, and so do all its threads.
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    with (folder / "output").open("wb") as output:
        try:
            if before is not None:
                os.sched_setaffinity(0, on_cores)
            return await launch(command, pid_file=folder / "pid", output=output.fileno(), inherit=output.fileno())
        finally:
            if before is not None:
                os.sched_setaffinity(0, before)


async def _settle(ports: list[int], name: str) -> str:
    members = [{"_id": at, "host": f"{HOST}:{port}", "priority": 1 if at else 2} for at, port in enumerate(ports)]
    config = {"_id": name, "members": members, "settings": {"electionTimeoutMillis": 10_000}}
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        HOST, ports[0], directConnection=True, serverSelectionTimeoutMS=200
    )
    initiated = False
    try:
        while True:
            try:
                if not initiated:
                    await client.admin.command("replSetInitiate", config)
                    initiated = True
                status = await client.admin.command("replSetGetStatus")
                states = sorted(member["stateStr"] for member in status["members"])
                if states == ["PRIMARY", *["SECONDARY"] * (len(ports) - 1)]:
                    return str((await client.server_info())["version"])
            except PyMongoError:
                pass
            await asyncio.sleep(POLL_INTERVAL_S)
    finally:
        await client.close()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
