"""Programs that serve: started in a session of their own, waited for, and ended by their process ids."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.05
SHOWN_CHARACTERS: Final = 3_000
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:(\d+)/graphql")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs, where it serves, and what it has written."""

    name: str
    process: Process
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}/graphql"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and to the workers that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def processor_s(self) -> float:
        """Seconds of processor time that it and its workers have used so far."""
        total = 0
        for status in _statuses_of_session(self.process.pid):
            for thread in (status / "task").iterdir():
                with suppress(FileNotFoundError):  # a thread may end while it is looked at
                    total += int((thread / "schedstat").read_text().split()[0])
        return total / 1e9

    def memory_mb(self) -> float:
        """The memory that it and its workers hold at the moment; MB."""
        total = 0
        for process in _statuses_of_session(self.process.pid):
            lines = (process / "status").read_text().splitlines()
            total += next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)
        return total / 1000


class NotStartedError(Exception):
    """A program that did not begin to serve: the message has the end of its log."""


@asynccontextmanager
async def running(
    name: str,
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str],
    port: int | None = None,
    is_ready: Callable[[str], Awaitable[bool]],
    folder: Path | None = None,
) -> AsyncIterator[Program]:
    """The program, when it is ready to serve; ended afterwards. Without `port` it prints where it listens."""
    with log.open("ab") as output:
        before = output.tell()
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**_inherited(), **environment},
            cwd=folder,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            if port is None:
                port = await _printed_port(process, log, before)
            while port is not None and process.returncode is None:
                if await is_ready(f"http://127.0.0.1:{port}/graphql"):
                    break
                await asyncio.sleep(POLL_S)
        # Whoever else may listen there, this one could not have begun to.
        if port is None or process.returncode is not None:
            raise NotStartedError(f"{name} has ended:\n{end_of(log)}")
        yield Program(name, process, port, log)
    except TimeoutError:
        raise NotStartedError(f"{name} is not ready after {START_TIMEOUT_S:.0f} s:\n{end_of(log)}") from None
    finally:
        await stop(process)


async def stop(process: Process) -> None:
    """End a program and all that it has started."""
    for number in (signal.SIGCONT, signal.SIGTERM):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        pass
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def answers_typename(url: str) -> bool:
    """Whether a GraphQL server at `url` answers the smallest query."""
    with suppress(httpx.HTTPError, ValueError):
        async with httpx.AsyncClient(timeout=5.0) as http:
            answer = (await http.post(url, json={"query": "{ __typename }"})).json()
            return bool(answer == {"data": {"__typename": "Query"}})
    return False


def end_of(log: Path) -> str:
    """The last lines of a log."""
    return _text(log)[-SHOWN_CHARACTERS:]


def _text(log: Path) -> str:
    return log.read_text(encoding="latin-1")


async def _printed_port(process: Process, log: Path, before: int) -> int | None:
    while process.returncode is None:
        if found := _ADDRESS.search(_text(log)[before:]):
            return int(found[1])
        await asyncio.sleep(POLL_S)
    return None


def _inherited() -> dict[str, str]:
    # What a developer has set for a gateway of their own is not meant for these.
    return {name: value for name, value in os.environ.items() if not name.startswith(("AGORA_", "MONGODB_"))}


def _statuses_of_session(session: int) -> list[Path]:
    found = []
    for process in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if process.name.isdigit() and (process / "stat").read_text().rpartition(")")[2].split()[3] == str(session):
                found.append(process)
    return found
