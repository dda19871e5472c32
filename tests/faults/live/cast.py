"""Who takes part in the faults of what is live: gateways as an operator starts them, and the partners' consumers."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from tests.faults.journals import rows
from tests.faults.processes import Child, free_ports

ROOT: Final = Path(__file__).resolve().parents[3]
PYTHON_CONSUMER: Final = ROOT / "examples" / "python" / "consumer.py"
TYPESCRIPT_CONSUMER: Final = ROOT / "examples" / "typescript" / "dist" / "consumer.js"
READY_TIMEOUT_S: Final = 60.0
REPORT_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.02


def with_environment(environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """The command with these variables of the environment, and none of ours that begin with `AGORA_` or `MONGODB_`."""
    program = shutil.which("env")
    if program is None:
        raise SystemExit("agora: faults need the program env")
    ours = [name for name in os.environ if name.startswith(("AGORA_", "MONGODB_"))]
    unset = [part for name in ours for part in ("-u", name)]
    return [program, *unset, *(f"{name}={value}" for name, value in environment.items()), *command]


class Gateway:
    """One process of `agora serve`, always at the same port."""

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        (self.port,) = free_ports(1)
        serve = [sys.executable, "-m", "gateway.cli", "serve", "--port", str(self.port)]
        self.child = Child(folder, name, with_environment(environment, serve))

    async def start(self, http: httpx.AsyncClient) -> None:
        """Start it; returns once it is ready."""
        await self.child.start()
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await self._is_ready(http):
                if not self.child.is_running:
                    raise RuntimeError(f"{self.child.name} ended: {self.child.last_words()}")
                await asyncio.sleep(POLL_S)

    async def _is_ready(self, http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get(f"http://127.0.0.1:{self.port}/readyz")).is_success
        except httpx.HTTPError:
            return False


@dataclass
class Arrivals:
    """When events came, in seconds since 1970; as exact as one looks, some 20 ms."""

    moments: list[float] = field(default_factory=list)
    seen: int = 0

    def look(self, now: int) -> None:
        """Note that there are so many bytes, or events, now."""
        if now != self.seen:
            self.seen = now
            self.moments.append(time.time())


class Consumer:
    """A reference consumer with its state. `way`: `follow` by subscription, or `receive` by webhooks."""

    def __init__(self, folder: Path, language: str, way: str, graph: str, key: str, secret: str) -> None:
        self.name = f"{language} {way}"
        self.way = way
        self.arrivals = Arrivals()
        self._state = folder / self.name.replace(" ", "-")
        self.port = free_ports(1)[0] if way == "receive" else 0
        self._environment = {"AGORA_URL": graph, "AGORA_KEY": key, "WEBHOOK_SECRET": secret}
        self._command, self._report = _commands(language, way, self._state, graph, self.port)
        self.child = Child(folder, self._state.name, with_environment(self._environment, self._command))

    @property
    def url(self) -> str:
        """Where a receiver wants its webhooks."""
        return f"http://127.0.0.1:{self.port}/"

    def take_secret(self, folder: Path, secret: str) -> None:
        """Verify webhooks by this secret from the next start on."""
        self._environment["WEBHOOK_SECRET"] = secret
        self.child = Child(folder, self._state.name, with_environment(self._environment, self._command))

    @property
    def seqs(self) -> list[int]:
        """The numbers of the events that it has, in the order in which it kept them."""
        return [int(row["seq"]) for row in rows(self._state / "events.ndjson")]

    def look(self) -> None:
        """Note whether something has come."""
        path = self._state / "events.ndjson"
        self.arrivals.look(path.stat().st_size if path.exists() else 0)

    async def report(self) -> tuple[int, str]:
        """What it says of itself: exit status and text."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._report, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        async with asyncio.timeout(REPORT_TIMEOUT_S):
            output, _ = await process.communicate()
        return process.returncode or 0, output.decode().strip()


def languages() -> list[str]:
    """The languages whose consumers can run here; TypeScript where Node.js is there and `npm run build` has run."""
    return ["python", "typescript"] if shutil.which("node") and TYPESCRIPT_CONSUMER.exists() else ["python"]


def consumers(folder: Path, graph: str, key: str) -> list[Consumer]:
    """A follower and a receiver of each language, not yet started."""
    return [
        Consumer(folder, language, way, graph, key, "") for language in languages() for way in ("follow", "receive")
    ]


def _commands(language: str, way: str, state: Path, graph: str, port: int) -> tuple[list[str], list[str]]:
    if language == "python":
        program = [sys.executable, str(PYTHON_CONSUMER)]
        options = ["--state", str(state), "--graph", graph, "--port", str(port)]
        return [*program, way, *options], [*program, "report", *options]
    program = [shutil.which("node") or "node", str(TYPESCRIPT_CONSUMER)]
    return [*program, way, str(state), str(port)], [*program, "report", str(state)]
