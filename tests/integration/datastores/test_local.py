"""The local database starts, stays, is locked, and is gone when its owner is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from datastores.local import (
    DataDirLocked,
    DataDirUnusable,
    LocalDatabaseError,
    Mongod,
    NoLocalDatabase,
    find_program,
    local_database,
)
from datastores.mongo import Database

DEADLINE_S = 30.0
OWNER = """
import asyncio, json, sys
from pathlib import Path
from datastores.local import launch, local_database

if sys.argv[2] == "watch":
    launch.DIE_WITH_PARENT = launch.WATCH_PARENT

async def main():
    async with local_database(Path(sys.argv[1])) as local:
        print(json.dumps([local.pid, local.uri]), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  # nobody tells us of the end of a process that is not our child
            await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A child of a dead parent may wait as a zombie for whoever reaps it.
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        # Reaped meanwhile; or a system without it, which is asked again.
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"


@asynccontextmanager
async def owner_process(data_dir: Path, way: str = "signal") -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A process that holds a local database open, and the process id of its mongod."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(data_dir), way, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        pid, _ = json.loads(await process.stdout.readline())
    try:
        yield process, pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await until(lambda: is_gone(pid))


async def test_it_is_a_small_writable_replica_set_that_is_ours(tmp_path: Path) -> None:
    async with local_database(tmp_path) as local:
        database = await Database.connect(local.uri, name="town")
        await database.insert_one("people", {"_id": "alice"})
        limit = await database._client.admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
        status = await database._client.admin.command("serverStatus")
        await database.close()

    assert limit["transactionLifetimeLimitSeconds"] == 2
    assert status["pid"] == local.pid
    assert status["version"] == local.version
    assert local.uri.startswith("mongodb://127.0.0.1:")


async def test_a_second_start_finds_the_data_on_another_port_too(tmp_path: Path) -> None:
    async with local_database(tmp_path) as local:
        database = await Database.connect(local.uri, name="town")
        await database.insert_one("people", {"_id": "alice"})
        await database.close()

    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", int((tmp_path / "port").read_text())))
        squatter.listen()
        async with local_database(tmp_path) as again:
            database = await Database.connect(again.uri, name="town")
            found = await database.find_one("people", {"_id": "alice"})
            await database.close()

    assert again.uri != local.uri
    assert found == {"_id": "alice"}


async def test_mongod_ends_with_the_block_even_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="enough"):
        async with local_database(tmp_path) as local:
            raise RuntimeError("enough")

    assert is_gone(local.pid)


async def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    async def serve() -> None:
        async with local_database(tmp_path):
            pass

    starting = asyncio.create_task(serve())
    pid_file = tmp_path / "server.pid"
    await until(lambda: pid_file.exists() and pid_file.read_text() != "")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert is_gone(int(pid_file.read_text()))
    async with local_database(tmp_path):
        pass


async def test_a_folder_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    async with local_database(tmp_path):
        with pytest.raises(DataDirLocked) as refused:
            async with local_database(tmp_path):
                pass

    assert f"in use by process {os.getpid()}" in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("way", ["signal", "watch"])
async def test_mongod_is_gone_after_its_owner_was_killed_and_the_folder_is_free(tmp_path: Path, way: str) -> None:
    async with owner_process(tmp_path, way) as (owner, pid):
        owner.kill()
        await owner.wait()

        await until(lambda: is_gone(pid))
        async with local_database(tmp_path) as local:
            assert local.pid != pid


async def test_a_start_right_after_a_kill_waits_for_the_old_mongod(tmp_path: Path) -> None:
    async with owner_process(tmp_path) as (owner, pid):
        owner.kill()
        await owner.wait()

        async with local_database(tmp_path):
            assert is_gone(pid)


@pytest.mark.parametrize("way", ["signal", "watch"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_owner_ends_mongod_cleanly(tmp_path: Path, number: signal.Signals, way: str) -> None:
    async with owner_process(tmp_path, way) as (owner, pid):
        owner.send_signal(number)
        await owner.wait()

        await until(lambda: is_gone(pid))
        assert '"exitCode":0' in (tmp_path / "server.log").read_text()


async def test_killing_mongod_itself_leaves_data_that_can_be_read(tmp_path: Path) -> None:
    async with local_database(tmp_path) as local:
        database = await Database.connect(local.uri, name="town")
        await database.insert_one("people", {"_id": "alice"})
        os.kill(local.pid, signal.SIGKILL)
        await database.close()

    async with local_database(tmp_path) as again:
        database = await Database.connect(again.uri, name="town")
        found = await database.find_one("people", {"_id": "alice"})
        await database.close()

    assert found == {"_id": "alice"}


async def test_ctrl_c_does_not_reach_mongod(tmp_path: Path) -> None:
    async with local_database(tmp_path) as local:
        assert os.getsid(local.pid) != os.getsid(0)


async def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    async with local_database(tmp_path):
        pass
    (tmp_path / "mongo" / "WiredTiger.turtle").write_text("not a turtle")

    with pytest.raises(DataDirUnusable, match="cannot be read"):
        async with local_database(tmp_path):
            pass


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataDirUnusable, match="cannot be used"):
        async with local_database(tmp_path / "file"):
            pass


@pytest.mark.parametrize("content", [b"#!/bin/sh\necho no shared libraries >&2\nexit 127\n", b"not a program"])
async def test_a_mongod_that_does_not_run_here_is_named(tmp_path: Path, content: bytes) -> None:
    program = tmp_path / "mongod"
    program.write_bytes(content)
    program.chmod(0o755)

    with pytest.raises(NoLocalDatabase, match="does not run on this system"):
        async with local_database(tmp_path / "data", mongod=program):
            pass


async def test_the_reason_of_mongod_is_passed_on(tmp_path: Path) -> None:
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho the moon is in the way >&2\nexit 3\n")
    program.chmod(0o755)

    with pytest.raises(LocalDatabaseError, match="status 3: the moon is in the way"):
        async with local_database(tmp_path / "data", mongod=program):
            pass


def test_without_any_mongod_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("datastores.local.programs.WHEELS", ())

    with pytest.raises(NoLocalDatabase, match="MONGODB_URI"):
        find_program()


def test_the_mongod_on_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "mongod"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_program() == Mongod(program)
