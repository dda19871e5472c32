"""The servers as processes: started on one core, found at the address that they print, ended by their process ids."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .candidates import Candidate

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
MAX_LINES: Final = 100
_ADDRESS: Final = re.compile(rb"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens at a port of its own choice: no other process can be there."""

    candidate: Candidate
    port: int
    pid: int

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.candidate.title

    @property
    def name(self) -> str:
        """Its name in the results."""
        return self.candidate.name

    @property
    def entrances(self) -> Sequence[Server]:
        """Itself: it has one port."""
        return (self,)

    def cpu_s(self) -> float:
        """Seconds of processor time that its threads have used so far."""
        total = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((thread / "schedstat").read_text().split()[0])
            except FileNotFoundError:  # a thread may end while it is looked at
                continue
        return total / 1e9

    def memory_mb(self) -> float:
        """The memory that it holds at the moment; MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


@asynccontextmanager
async def started(candidate: Candidate, log: Path, on_cores: set[int]) -> AsyncIterator[Server]:
    """The server, listening; raises SystemExit with the end of its log where it does not begin to within 60 s."""
    process = await _start(candidate, log, on_cores)
    rest: asyncio.Task[None] | None = None
    try:
        port = await _port(process)
        if port is None:
            raise SystemExit(f"agora: {candidate.title} does not start:\n{_end_of(log)}")
        rest = asyncio.create_task(_drop(process))
        yield Server(candidate, port, process.pid)
    finally:
        await _stop(process)
        if rest is not None:
            await rest


async def _start(candidate: Candidate, log: Path, on_cores: set[int]) -> Process:
    # A child inherits the cores of whoever starts it, and so do all its threads.
    before = os.sched_getaffinity(0)
    with log.open("wb") as errors:
        try:
            os.sched_setaffinity(0, on_cores)
            return await asyncio.create_subprocess_exec(
                *candidate.command,
                env={**os.environ, **candidate.environment},
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=errors,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, before)


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


async def _port(process: Process) -> int | None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            for _ in range(MAX_LINES):
                line = await process.stdout.readline()
                if found := _ADDRESS.search(line):
                    return int(found[1])
                if not line:
                    break
    except TimeoutError:
        pass
    return None


async def _drop(process: Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(65_536):
        pass


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
