"""`python -m bench.topologies`: plants the town, starts all topologies, compares their answers, loads them, reports."""

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

import httpx
from rich.console import Console

from bench.graphql.load import Load, LoadError, Measured
from bench.graphql.operations import MIXED, READS, TRANSFERS, WORKLOADS, read, requests, write_requests
from bench.graphql.town import Town, plant
from bench.machine import cores, machine, versions
from bench.replica_sets import replica_set
from tests.topologies.routers import PACKAGES, MissingRouterError, check_installed

from .candidates import ROUTERS, Topology, topologies
from .report import RESULTS, Point, plot, ratios, row, show, together

CONNECTIONS: Final = 8
MAX_REQUESTS: Final = 5_000
MIN_REQUESTS: Final = 20
OUTPUT_WIDTH: Final = 120
TIMEOUT_S: Final = 60.0
MAX_COMPLAINTS: Final = 20
NODE_PACKAGES: Final = {"hive": "@graphql-hive/gateway", "grafbase": "@grafbase/cli-x86_64-unknown-linux-musl"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds, processor time of a load in seconds, requests before the first."""

    rounds: int
    load_s: float
    warm_up: int


FULL: Final = Plan(5, 1.0, 200)
QUICK: Final = Plan(3, 0.25, 40)


class Run:
    """The topologies under their loads; every load of payments has keys of its own."""

    def __init__(self, folder: Path, town: Town, load: Load, found: Sequence[Topology], plan: Plan) -> None:
        self._folder = folder
        self._town = town
        self._load = load
        self._topologies = found
        self._plan = plan
        self._cost_s: dict[Point, float] = {}
        self._files = 0
        self.loads: dict[Point, list[Measured]] = {}

    async def warm_up(self) -> None:
        """Load every topology with everything, and learn what it costs."""
        for workload in WORKLOADS:
            for topology in self._topologies:
                await self._measure(topology, workload, self._plan.warm_up)
                measured = await self._measure(topology, workload, MIN_REQUESTS)
                self._cost_s[Point(topology.name, workload)] = measured.cpu_us / 1e6

    async def round(self, number: int) -> None:
        """All points once; every other round backwards, so that none always follows the same one."""
        order = self._topologies if number % 2 == 0 else self._topologies[::-1]
        for workload in WORKLOADS:
            for topology in order:
                point = Point(topology.name, workload)
                wanted = int(self._plan.load_s / max(self._cost_s[point], 1e-6))
                measured = await self._measure(topology, workload, max(min(wanted, MAX_REQUESTS), MIN_REQUESTS))
                self.loads.setdefault(point, []).append(measured)

    async def _measure(self, topology: Topology, workload: str, count: int) -> Measured:
        share = len(topology.entrances)
        loads = []
        for entrance in topology.entrances:
            file = self._requests(workload, count)
            loads.append(self._load.run(entrance, file, CONNECTIONS // share, max(count // share, CONNECTIONS)))
        return together(await asyncio.gather(*loads))

    def _requests(self, workload: str, count: int) -> Path:
        self._files += 1
        file = self._folder / f"{workload}-{0 if workload in READS else self._files}.requests"
        if not file.exists():
            limit = min(count, TRANSFERS if workload == "transfer" else MIXED)
            write_requests(file, requests(workload, self._town, f"load-{self._files}", limit))
        return file


class DifferentAnswer(Exception):
    """A topology that answers something else than one process does."""


async def compare(found: Sequence[Topology], town: Town) -> None:
    """Raise DifferentAnswer unless all answer each query the same."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
        for name in READS:
            request = read(name, town)
            expected: Any = None
            for topology in found:
                for entrance in topology.entrances:
                    url = f"http://127.0.0.1:{entrance.port}/graphql"
                    answer = (await client.post(url, content=request.body, headers=request.headers)).json()
                    expected = expected or answer
                    if "errors" in answer or answer != expected:
                        raise DifferentAnswer(f"{topology.name} answers {name} in another way: {str(answer)[:300]}")


async def run(console: Console, *, quick: bool, driver: str) -> dict[str, Any]:
    """The results; raises DifferentAnswer and LoadError."""
    plan = QUICK if quick else FULL
    _end_servers_when_ended()
    mine = cores()
    serving, loading = ({mine[0]}, set(mine[1:]) or {mine[0]})
    about: dict[str, Any] = {
        **machine(),
        "quick": quick,
        "rounds": plan.rounds,
        "connections": CONNECTIONS,
        "cores_of": {"servers": sorted(serving), "load_and_mongod": sorted(loading)},
    }
    async with AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-bench-", ignore_cleanup_errors=True))
        )
        load = Load(folder)
        os.sched_setaffinity(0, loading)
        database = await stack.enter_async_context(replica_set(folder, 1, loading))
        console.print("planting the town")
        town = await plant(folder, database.uri, driver)
        # What is started inherits the cores of whoever starts it.
        os.sched_setaffinity(0, serving)
        found = await stack.enter_async_context(topologies(database.uri, folder, driver))
        os.sched_setaffinity(0, loading)
        await compare(found, town)
        console.print(f"{len(found)} topologies answer the same")
        measuring = Run(folder, town, load, found, plan)
        await measuring.warm_up()
        for number in range(plan.rounds):
            await measuring.round(number)
            console.print(f"round {number + 1} of {plan.rounds}")
    about["load_after"] = round(os.getloadavg()[0], 2)
    return {
        "machine": about,
        "versions": {**versions(database.version, driver), **_router_versions()},
        "rows": [row(point, measured) for point, measured in measuring.loads.items()],
        "ratios": ratios(measuring.loads),
        "complaints": load.complaints[:MAX_COMPLAINTS],
    }


def _router_versions() -> dict[str, str]:
    return {
        router: str(json.loads((PACKAGES / package / "package.json").read_bytes())["version"])
        for router, package in NODE_PACKAGES.items()
    }


def _end_servers_when_ended() -> None:
    """Whoever ends this process ends what it started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def main() -> None:
    """Run by QUICK=1 (within three minutes) or in full, with the driver of AGORA_MONGO_DRIVER."""
    console = Console(width=None if sys.stdout.isatty() else OUTPUT_WIDTH)
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("agora: the benchmark needs Linux: it gives the servers a core of their own")
    quick = os.environ.get("QUICK", "") not in ("", "0")
    driver = os.environ.get("AGORA_MONGO_DRIVER") or "motor"
    try:
        for name in ROUTERS:
            check_installed(name)
        results = asyncio.run(run(console, quick=quick, driver=driver))
    except asyncio.CancelledError:
        sys.exit("agora: ended before all was measured")
    except (DifferentAnswer, LoadError, MissingRouterError) as error:
        sys.exit(f"agora: {error}")
    show(console, results)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    plot(results, RESULTS.with_suffix(".png"))
    console.print(f"written to {RESULTS}, drawn as {RESULTS.with_suffix('.png')}")
    if results["complaints"]:
        sys.exit("\n".join(["agora: not all answers were good, so these figures say little:", *results["complaints"]]))


if __name__ == "__main__":
    main()
