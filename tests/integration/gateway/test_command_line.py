"""The `agora` command as a person runs it: a process of its own, a data folder of its own, real signals."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

AGORA = Path(sys.executable).with_name("agora")
START_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 60.0


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    return {**kept, "AGORA_DATA_DIR": str(folder), "AGORA_PORT": "0", **more}


async def run(folder: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        AGORA,
        *arguments,
        env=environment(folder, **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(RUN_TIMEOUT_S):
        out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


class Running:
    """`agora dev` that is ready."""

    def __init__(self, process: asyncio.subprocess.Process, lines: list[str], seconds: float) -> None:
        self.process = process
        self.lines = lines
        self.seconds = seconds
        self.address = next(line.split()[4] for line in lines if line.startswith("Agora is ready: open "))

    async def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop, and give its exit code."""
        self.process.send_signal(how)
        async with asyncio.timeout(30):
            await self.process.communicate()
        return self.process.returncode or 0


@asynccontextmanager
async def dev(folder: Path, *arguments: str, **more: str) -> AsyncIterator[Running]:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        AGORA,
        "dev",
        *arguments,
        env=environment(folder, **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            while not any("Ctrl-C" in line for line in lines):
                line = (await process.stdout.readline()).decode()
                assert line, "".join(lines)
                lines.append(line)
        yield Running(process, lines, time.monotonic() - began)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def processes_in(folder: Path) -> list[int]:
    """The processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def test_a_town_is_planted_served_left_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with dev(folder) as first:
        text = "".join(first.lines)
        token = next(line.split()[1] for line in first.lines if line.strip().startswith("alice"))
        async with httpx.AsyncClient(timeout=60) as http:
            answer = await http.post(
                first.address,
                json={"query": "{ viewer { user { handle } homeTimeline(first: 5) { nodes { id } } } }"},
                headers={"Authorization": f"Bearer {token}"},
            )
            page = await http.get(first.address, headers={"Accept": "text/html"})
            locked = await run(folder, "dev")
            alice = await run(folder, "token", "alice")
            partner = await run(folder, "token", "pay-watch")
            verified = await run(folder, "ledger", "verify")
            nothing = await run(folder, "ledger", "reverse", "ent_00000000000000000000000000", "--reason", "A mistake")
            made = await run(folder, "partner", "create", "Bookkeeper", "--merchant", "carol")
            events = await http.post(
                first.address,
                json={"query": "{ paymentEvents(first: 3) { nodes { seq type } } }"},
                headers={"Authorization": f"Bearer {made[1].strip()}"},
            )
        code = await first.stop()
    left = processes_in(folder)
    async with dev(folder) as second:
        async with httpx.AsyncClient(timeout=60) as http:
            again = await http.post(
                second.address,
                json={"query": "{ viewer { homeTimeline(first: 5) { nodes { id } } } }"},
                headers={"Authorization": f"Bearer {alice[1].strip()}"},
            )
        assert await second.stop(signal.SIGTERM) == 0
    async with dev(folder) as third:
        # Whoever is told that it serves may end it at once.
        assert await third.stop(signal.SIGTERM) == 0

    assert "bob" in text
    assert "pay-watch" in text
    assert answer.json()["data"]["viewer"]["user"]["handle"] == "alice"
    assert len(answer.json()["data"]["viewer"]["homeTimeline"]["nodes"]) == 5
    assert "GraphiQL" in page.text
    assert locked[0] == 1
    assert locked[2].strip().splitlines()[-1].startswith(f"agora: the data folder {folder} is in use by process")
    assert alice[0] == 0
    assert alice[1].count("\n") == 1
    assert partner[1].startswith("agora_pk_")
    assert verified[0] == 0, verified[2]
    assert nothing == (1, "", "agora: there is no entry 'ent_00000000000000000000000000'\n")
    assert len(events.json()["data"]["paymentEvents"]["nodes"]) == 3
    assert code == 0
    assert left == []
    assert (
        again.json()["data"]["viewer"]["homeTimeline"]["nodes"]
        == answer.json()["data"]["viewer"]["homeTimeline"]["nodes"]
    )


async def test_a_lively_town_has_something_to_show(tmp_path: Path) -> None:
    async with dev(tmp_path / "data", "--lively") as town, httpx.AsyncClient(timeout=60) as http:
        token = next(line.split()[1] for line in town.lines if line.strip().startswith("carol"))
        query = {"query": "{ paymentEvents(first: 100) { nodes { seq } } posts(first: 1) { nodes { id } } }"}
        headers = {"Authorization": f"Bearer {token}"}

        before = (await http.post(town.address, json=query, headers=headers)).json()["data"]
        async with asyncio.timeout(60):
            while (await http.post(town.address, json=query, headers=headers)).json()["data"] == before:  # noqa: ASYNC110
                await asyncio.sleep(0.5)


async def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        code, out, error = await run(tmp_path / "data", "dev", AGORA_PORT=port)

    assert (code, out) == (1, "")
    assert error.splitlines() == [
        f"agora: cannot listen at 127.0.0.1:{port} (Address already in use): choose another AGORA_PORT"
    ]


@pytest.mark.parametrize("uri", ["mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300", "mongodb://:::"])
async def test_a_database_that_does_not_answer_is_one_clear_line(tmp_path: Path, uri: str) -> None:
    code, _, error = await run(tmp_path / "data", "dev", MONGODB_URI=uri)

    assert code == 1
    assert error.splitlines()[-1].startswith("agora: MONGODB_URI" if uri.endswith(":::") else "agora: MongoDB does not")
    assert "Traceback" not in error


async def test_all_wrong_settings_are_said_at_once(tmp_path: Path) -> None:
    code, _, error = await run(tmp_path, "serve", AGORA_PORT="banana", AGORA_MONGO_DRIVER="mongoose", AGORA_PROT="1")

    assert code == 1
    assert all(line.startswith("agora: ") for line in error.splitlines())
    assert {"AGORA_PORT", "AGORA_MONGO_DRIVER", "AGORA_PROT", "MONGODB_URI", "AGORA_OIDC_ISSUER"} <= {
        word.strip(":,`'") for line in error.splitlines() for word in line.split()
    }


async def test_the_demo_is_not_for_production(tmp_path: Path) -> None:
    production = {
        "AGORA_ENVIRONMENT": "production",
        "MONGODB_URI": "mongodb://127.0.0.1:1/",
        "AGORA_OIDC_ISSUER": "https://issuer.example.org",
        "AGORA_OIDC_AUDIENCE": "agora",
        "AGORA_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
    }

    demo = await run(tmp_path, "dev", **production)
    token = await run(tmp_path, "token", "alice", **production)
    seed = await run(tmp_path, "seed", **production)

    assert [result[0] for result in (demo, token, seed)] == [1, 1, 1]
    assert token[1] == ""


async def test_a_town_of_any_size_is_planted_once(tmp_path: Path, mongodb_uri: str) -> None:
    database = {"MONGODB_URI": mongodb_uri, "AGORA_DATABASE": f"agora_test_{os.getpid()}_{time.monotonic_ns() % 10**9}"}
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        counted = client[database["AGORA_DATABASE"]]
        try:
            first = await run(tmp_path, "seed", "--scale", "3000", **database)
            planted = {
                name: counted[name].estimated_document_count() for name in ("posts", "users", "follows", "likes")
            }
            again = await run(tmp_path, "seed", "--scale", "3000", **database)
            replanted = {name: counted[name].estimated_document_count() for name in planted}
            liked = sum(post["like_count"] for post in counted.posts.find({}, {"like_count": 1}))
            likes = planted["likes"]
        finally:
            client.drop_database(database["AGORA_DATABASE"])

    assert (first[0], again[0]) == (0, 0), first[2] + again[2]
    assert planted["posts"] == 3000
    assert replanted == planted
    assert liked == likes


async def test_the_schema_command_finds_what_breaks_clients(tmp_path: Path) -> None:
    current = await run(tmp_path, "schema", "check")
    exported = tmp_path / "schema.graphql"
    await run(tmp_path, "schema", "export", "--output", str(exported))
    sdl = exported.read_text()
    exported.write_text(sdl.replace("type Query {", "type Query {\n  removedSince: Int\n", 1))
    broken = await run(tmp_path, "schema", "check", "--against", str(exported))

    assert current[0] == 0, current[2]
    assert broken[0] == 1
    assert "Query.removedSince" in broken[2]
