"""The load: a small program in C that is built here, and what one run of it measured of a server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

SOURCE: Final = Path(__file__).parent / "load.c"
LOAD_TIMEOUT_S: Final = 300.0


class Loaded(Protocol):
    """What a load is sent to: a port, and what its processes use."""

    @property
    def title(self) -> str:
        """Its name for people."""
        ...

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        ...

    def cpu_s(self) -> float:
        """Seconds of processor time that it has used so far."""
        ...

    def memory_mb(self) -> float:
        """The memory that it holds at the moment; MB."""
        ...


class LoadError(Exception):
    """A server that did not answer as it should: the message says which and what."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One load: requests a second, latencies in ms, the server's processor time in µs a request, its memory in MB.

    `busy` is the share of the time in which the server's core worked for it: the others' share is lost to it. `bad`
    answers were not 200, had errors, or were not what was asked for.
    """

    requests_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    memory_mb: float
    busy: float
    bytes: float
    bad: int


class Load:
    """Loads servers, from the cores of this process; its program is made in `folder`.

    `complaints` has the first bad answer of each load that had one.
    """

    def __init__(self, folder: Path) -> None:
        self.complaints: list[str] = []
        self._program = folder / "load"
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise SystemExit("agora: there is no C compiler: the load is a small program in C")
        subprocess.run((compiler, "-O2", "-o", str(self._program), str(SOURCE)), check=True)

    async def run(self, server: Loaded, requests: Path, connections: int, count: int) -> Measured:
        """What `count` requests measured; raises LoadError where they could not all be sent and answered."""
        before = server.cpu_s()
        numbers = (str(server.port), str(requests), str(connections), str(count))
        process = await asyncio.create_subprocess_exec(str(self._program), *numbers, stdout=PIPE, stderr=PIPE)
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                output, errors = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise LoadError(f"{server.title} took more than {LOAD_TIMEOUT_S:.0f} s") from None
        if process.returncode:
            raise LoadError(f"{server.title}, {requests.name}: {errors.decode(errors='replace')[:500]}")
        answer = json.loads(output)
        if answer["bad"]:
            self.complaints.append(f"{server.title}, {requests.name}: {errors.decode(errors='replace')[:500]}")
        cpu_s, seconds, done = server.cpu_s() - before, answer["seconds"], answer["count"]
        return Measured(
            requests_s=done / seconds,
            p50_ms=answer["p50_ms"],
            p99_ms=answer["p99_ms"],
            cpu_us=cpu_s / done * 1e6,
            memory_mb=server.memory_mb(),
            busy=cpu_s / seconds,
            bytes=answer["bytes"] / done,
            bad=answer["bad"],
        )
