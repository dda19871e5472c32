"""`python -m bench.graphql`: plants the town, starts all servers, compares their answers, loads them, and reports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.machine import cores, machine, versions
from bench.replica_sets import replica_set

from .candidates import CONSTANT, candidates, install_node_peers, peer_versions
from .load import Load, LoadError, Measured
from .operations import MIXED, READS, TRANSFERS, WORKLOADS, requests, write_requests
from .plot import plot
from .report import COMPARED_AT, Point, cpu_ratios, ratios, row, show, write
from .servers import Server, started
from .town import Town, plant
from .verification import DifferentAnswer, answers, compare

CONNECTIONS: Final = (1, 8, 32, 128)
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 3
# A load has as many requests as the server needs so much of its core for: windows of time would starve the slow ones.
LOAD_S: Final = 1.0
QUICK_LOAD_S: Final = 0.25
MAX_REQUESTS: Final = 20_000
MIN_REQUESTS: Final = 20
WARM_UP: Final = 400
QUICK_WARM_UP: Final = 60
MAX_COMPLAINTS: Final = 20
OUTPUT_WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    load_s: float
    warm_up: int
    connections: Sequence[int]


FULL: Final = Plan(ROUNDS, LOAD_S, WARM_UP, CONNECTIONS)
QUICK: Final = Plan(QUICK_ROUNDS, QUICK_LOAD_S, QUICK_WARM_UP, (COMPARED_AT,))


class Run:
    """The servers under their loads. Each load of payments has keys of its own, so that every payment is a new one."""

    def __init__(self, folder: Path, town: Town, load: Load, servers: Sequence[Server], plan: Plan) -> None:
        self._folder = folder
        self._town = town
        self._load = load
        self._servers = servers
        self._plan = plan
        self._cost_s: dict[tuple[str, str], float] = {}
        self._files = 0
        self.loads: dict[Point, list[Measured]] = {}

    @property
    def steps(self) -> int:
        """How many loads there are, those that warm up among them."""
        pairs = len(self._servers) * len(WORKLOADS)
        return pairs * (1 + len(self._plan.connections) * self._plan.rounds)

    async def warm_up(self, progress: Progress, bar: Any) -> None:
        """Load every server with everything, until it has compiled what it compiles, and learn what that costs it."""
        for workload in WORKLOADS:
            for server in self._servers:
                await self._measure(server, workload, 8, self._plan.warm_up)
                load = await self._measure(server, workload, 8, MIN_REQUESTS)
                self._cost_s[server.candidate.name, workload] = load.cpu_us / 1e6
                progress.advance(bar)

    async def rounds(self, progress: Progress, bar: Any) -> None:
        """All points in each round, every other round backwards, so that no server always follows the same one."""
        for number in range(self._plan.rounds):
            order = self._servers if number % 2 == 0 else self._servers[::-1]
            for workload in WORKLOADS:
                for connections in self._plan.connections:
                    for server in order:
                        await self._point(server, workload, connections)
                        progress.advance(bar)

    async def _point(self, server: Server, workload: str, connections: int) -> None:
        name = server.candidate.name
        wanted = int(self._plan.load_s / max(self._cost_s[name, workload], 1e-6))
        count = max(min(wanted, MAX_REQUESTS), 2 * connections, MIN_REQUESTS)
        measured = await self._measure(server, workload, connections, count)
        self._cost_s[name, workload] = measured.cpu_us / 1e6
        self.loads.setdefault(Point(name, workload, connections), []).append(measured)

    async def _measure(self, server: Server, workload: str, connections: int, count: int) -> Measured:
        file = self._folder / f"{workload}.requests"
        if workload not in READS or not file.exists():
            self._files += 1
            limit = min(count, TRANSFERS if workload == "transfer" else MIXED)
            write_requests(file, requests(workload, self._town, f"load-{self._files}", limit))
        return await self._load.run(server, file, connections, count)


async def run(console: Console, *, quick: bool, driver: str) -> dict[str, Any]:
    """The results; raises DifferentAnswer and LoadError."""
    plan = QUICK if quick else FULL
    _end_servers_when_ended()
    serving, loading = _split()
    about: dict[str, Any] = {
        **machine(),
        "quick": quick,
        "rounds": plan.rounds,
        "cores_of": {"server": sorted(serving), "load_and_mongod": sorted(loading)},
        "documents": "sent as text with every request, the same to all",
        "agora": "agora serve: token checked, limits, metrics and a log line a request; the others check nobody",
    }
    async with AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-bench-", ignore_cleanup_errors=True))
        )
        load = Load(folder)
        # What loads inherits these cores; servers are given theirs.
        os.sched_setaffinity(0, loading)
        database = await stack.enter_async_context(replica_set(folder, 1, loading))
        console.print("planting the town")
        town = await plant(folder, database.uri, driver)
        servers = await _serve(stack, folder, database.uri, driver, serving, town)
        console.print(f"{len(servers)} servers answer the same")
        measuring = Run(folder, town, load, servers, plan)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            bar = progress.add_task("loads", total=measuring.steps)
            await measuring.warm_up(progress, bar)
            await measuring.rounds(progress, bar)
    about["load_after"] = round(os.getloadavg()[0], 2)
    return {
        "machine": about,
        "versions": {**versions(database.version, driver), **peer_versions()},
        "candidates": {server.candidate.name: server.candidate.title for server in servers},
        "rows": [row(point, measured) for point, measured in measuring.loads.items()],
        "ratios": ratios(measuring.loads),
        "cpu_ratios": cpu_ratios(measuring.loads),
        "complaints": load.complaints[:MAX_COMPLAINTS],
    }


async def _serve(
    stack: AsyncExitStack, folder: Path, uri: str, driver: str, on_cores: set[int], town: Town
) -> list[Server]:
    """All servers, each of which answers what the first, Agora, answers."""
    servers: list[Server] = []
    expected: dict[str, Any] = {}
    for candidate in candidates(uri, folder, driver):
        if candidate.name == CONSTANT:
            constant = {name: json.dumps(answer, separators=(",", ":")) for name, answer in expected.items()}
            (folder / "answers.json").write_text(json.dumps(constant))
        log = folder / f"{candidate.name}.log"
        server = await stack.enter_async_context(started(candidate, log, on_cores))
        found = await answers(server, town)
        expected = expected or found
        compare(expected, found, candidate.title)
        servers.append(server)
    return servers


def _end_servers_when_ended() -> None:
    """Whoever ends this process ends what it started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _split() -> tuple[set[int], set[int]]:
    """One core for the server; the others for the load and mongod, which share it where there are but two."""
    mine = cores()
    return ({mine[0]}, set(mine[1:])) if len(mine) > 1 else ({mine[0]}, {mine[0]})


def main() -> None:
    """Run by QUICK=1 (some minutes, 32 connections alone) or in full, with the driver of AGORA_MONGO_DRIVER."""
    console = Console(width=None if sys.stdout.isatty() else OUTPUT_WIDTH)
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("agora: the benchmark needs Linux: it gives the server a core of its own")
    quick = os.environ.get("QUICK", "") not in ("", "0")
    driver = os.environ.get("AGORA_MONGO_DRIVER") or "motor"
    install_node_peers()
    try:
        results = asyncio.run(run(console, quick=quick, driver=driver))
    except asyncio.CancelledError:
        sys.exit("agora: ended before all was measured")
    except (DifferentAnswer, LoadError) as error:
        sys.exit(f"agora: {error}")
    show(console, results)
    file = write(results)
    plot(results, file.with_suffix(".png"))
    console.print(f"written to {file}, drawn as {file.with_suffix('.png')}")
    if results["complaints"]:
        sys.exit("\n".join(["agora: not all answers were good, so these figures say little:", *results["complaints"]]))


if __name__ == "__main__":
    main()
