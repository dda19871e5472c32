"""The loading processes of one replica set: started once, given loads together, ended by closing their input."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from .plan import Point

COUNT: Final = 4
LINE_LIMIT: Final = 2**25
END_TIMEOUT_S: Final = 30.0
LOAD_TIMEOUT_S: Final = 120.0


class Loaders:
    """Four processes that wait for loads."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes

    async def run(self, point: Point, count: int, seed: int) -> list[dict[str, Any]]:
        """What each process that takes part measured; they begin together."""
        taking_part = self._processes[: point.processes]
        for at, process in enumerate(taking_part):
            load = {
                "design": point.design,
                "workload": point.workload,
                "concurrency": point.concurrency // point.processes,
                "count": count // point.processes,
                "seed": seed * COUNT + at,
            }
            await _tell(process, json.dumps(load))
        await asyncio.gather(*(_answer(process) for process in taking_part))
        for process in taking_part:
            await _tell(process, "go")
        return await asyncio.gather(*(_answer(process) for process in taking_part))


@asynccontextmanager
async def loaders(uri: str, name: str, driver: str, people: int, on_cores: set[int]) -> AsyncIterator[Loaders]:
    """Four loading processes on these cores."""
    processes: list[Process] = []
    try:
        for _ in range(COUNT):
            command = (sys.executable, "-m", "bench.ledger.worker", uri, name, driver, str(people))
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=LINE_LIMIT)
            processes.append(process)
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, on_cores)
        await asyncio.gather(*(_answer(process) for process in processes))
        yield Loaders(processes)
    finally:
        await asyncio.gather(*(_end(process) for process in processes))


async def _tell(process: Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    await process.stdin.drain()


async def _answer(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(LOAD_TIMEOUT_S):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a loading process has ended")
    answer: dict[str, Any] = json.loads(line)
    return answer


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
