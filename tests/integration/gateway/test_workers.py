"""`agora serve --workers`: one socket, several processes, started anew when one dies, exchanged without a gap."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from gateway.cli.workers import Workers

ROOT = Path(__file__).resolve().parents[3]
START_TIMEOUT_S = 120.0
STARTED = "process_start_time_seconds"
ANSWERED = "agora_http_request_duration_seconds_count"


@dataclass
class Supervisor:
    """The running command."""

    process: asyncio.subprocess.Process
    url: str

    def workers(self) -> set[int]:
        """The ids of its child processes."""
        return {
            int(path.name)
            for path in Path("/proc").iterdir()
            if path.name.isdigit() and _parent_of(path) == self.process.pid
        }

    async def ask(self) -> bool:
        """Whether it answers, over a connection of its own."""
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.post(self.url, json={"query": "{ __typename }"})
        return bool(answer.json() == {"data": {"__typename": "Query"}})

    async def metrics(self) -> dict[str, dict[str, float]]:
        """By worker the value of each metric without further labels."""
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.get(self.url.replace("/graphql", "/metrics"))
        found: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                if (worker := sample.labels.pop("worker")) and not sample.labels:
                    found.setdefault(worker, {})[sample.name] = sample.value
        return found

    async def until_both_have_answered(self) -> None:
        """Wait until each of two has answered something: whoever is stopped before is taken not to have started."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while [each.get(ANSWERED, 0) > 0 for each in (await self.metrics()).values()] != [True, True]:
                pass

    async def until(self, is_so: object) -> None:
        """Wait until this is so."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while not is_so():  # type: ignore[operator]  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def _parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def is_there(process: int) -> bool:
    """Whether a process with this id runs."""
    return Path(f"/proc/{process}").exists()


def is_told_to_end(process: int) -> bool:
    """Whether SIGTERM waits for a process that is stopped."""
    status = Path(f"/proc/{process}/status").read_text()
    (pending,) = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:")]
    return bool(int(pending, 16) & 1 << signal.SIGTERM - 1)


@pytest.fixture
async def supervisor(mongodb_uri: str, tmp_path: Path) -> AsyncIterator[Supervisor]:
    name = f"agora_test_{uuid4().hex[:12]}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("AGORA_", "MONGODB_"))},
        "AGORA_ENVIRONMENT": "development",
        "AGORA_DATA_DIR": str(tmp_path),
        "AGORA_DATABASE": name,
        "AGORA_DRAIN_S": "1",
        "MONGODB_URI": mongodb_uri,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "serve", "--port", "0", "--workers", "2"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            line = (await process.stdout.readline()).decode()
        assert "by 2 processes" in line
        running = Supervisor(process, line.split(" at ")[1].split()[0])
        assert await running.ask()
        await running.until(lambda: len(running.workers()) == 2)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        with MongoClient[dict[str, object]](mongodb_uri) as client:
            client.drop_database(name)


async def test_a_worker_that_dies_has_a_successor(supervisor: Supervisor) -> None:
    before = supervisor.workers()
    victim = min(before)

    os.kill(victim, signal.SIGKILL)
    answers = [await supervisor.ask() for _ in range(3)]
    await supervisor.until(lambda: len(supervisor.workers()) == 2 and victim not in supervisor.workers())

    assert all(answers)
    assert await supervisor.ask()


async def test_each_worker_says_what_all_have_counted(supervisor: Supervisor) -> None:
    before = await supervisor.metrics()

    for _ in range(40):
        assert await supervisor.ask()
    after = await supervisor.metrics()

    # Each scrape is over before it is counted, and so is the one before.
    asked = sum(after[worker][ANSWERED] - before[worker][ANSWERED] for worker in ("0", "1"))
    assert before.keys() == after.keys() == {"0", "1"}
    assert asked == 40 + 1


async def test_a_worker_that_was_killed_is_left_out_until_another_has_its_number(supervisor: Supervisor) -> None:
    before = {worker: each[STARTED] for worker, each in (await supervisor.metrics()).items()}

    os.kill(max(supervisor.workers()), signal.SIGKILL)
    after = before
    async with asyncio.timeout(START_TIMEOUT_S):
        while after == before or after.keys() != {"0", "1"}:
            after = {worker: each[STARTED] for worker, each in (await supervisor.metrics()).items()}
            assert after.keys() <= {"0", "1"}

    assert sum(after[worker] != before[worker] for worker in before) == 1


async def test_workers_are_exchanged_without_a_refused_request(supervisor: Supervisor) -> None:
    before = supervisor.workers()
    answers: list[bool] = []

    supervisor.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(START_TIMEOUT_S):
        while before & supervisor.workers() or len(supervisor.workers()) != 2:
            answers.append(await supervisor.ask())

    assert len(answers) > 2
    assert all(answers)


async def test_a_new_worker_that_dies_while_an_old_one_leaves_has_a_successor(supervisor: Supervisor) -> None:
    await supervisor.until_both_have_answered()
    before = supervisor.workers()
    slow = max(before)
    os.kill(slow, signal.SIGSTOP)

    supervisor.process.send_signal(signal.SIGHUP)
    await supervisor.until(lambda: is_told_to_end(slow))
    known = supervisor.workers()
    os.kill(min(known - before), signal.SIGKILL)
    await supervisor.until(lambda: supervisor.workers() - known)
    os.kill(slow, signal.SIGCONT)
    await supervisor.until(lambda: not before & supervisor.workers() and len(supervisor.workers()) == 2)

    assert await supervisor.ask()


async def test_it_tries_again_where_no_process_can_be_started(tmp_path: Path) -> None:
    command, started = tmp_path / "worker", tmp_path / "started"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = Workers([str(command)], {}, listener, 1, 1.0, tmp_path)
        running = asyncio.create_task(workers.run())
        # By now the first try was in vain: there is no such command.
        await asyncio.sleep(0.1)
        draft = tmp_path / "draft"
        draft.write_text(f"#!/bin/sh\necho ready\n: >{started}\nread line\n")
        draft.chmod(0o700)
        draft.rename(command)
        async with asyncio.timeout(START_TIMEOUT_S):
            while not started.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        await running


async def test_it_stops_as_a_whole(supervisor: Supervisor) -> None:
    workers = supervisor.workers()

    supervisor.process.terminate()
    async with asyncio.timeout(60):
        status = await supervisor.process.wait()

    assert status == 0
    assert not any(is_there(worker) for worker in workers)


async def test_whoever_comes_while_it_stops_is_not_kept_waiting(supervisor: Supervisor) -> None:
    refused, is_over = 0, False

    supervisor.process.terminate()
    async with httpx.AsyncClient(timeout=10) as http:
        while not is_over:
            is_over = supervisor.process.returncode is not None
            # An answer, a 503 or no connection: all of them at once, and none of them a time-out.
            try:
                await http.get(supervisor.url.replace("/graphql", "/livez"), headers={"Connection": "close"})
            except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
                refused += 1
            await asyncio.sleep(0.01)

    assert refused > 0


async def test_workers_do_not_outlive_a_supervisor_that_is_killed(supervisor: Supervisor) -> None:
    workers = supervisor.workers()

    supervisor.process.kill()
    await supervisor.process.wait()

    await supervisor.until(lambda: not any(is_there(worker) for worker in workers))
