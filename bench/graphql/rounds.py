"""Rounds of loads: every target under every workload, so many requests as it needs a share of a second for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from .load import Load, Loaded, Measured
from .operations import MIXED, READS, TRANSFERS, WORKLOADS, requests, write_requests
from .town import Town

MAX_REQUESTS: Final = 20_000
MIN_REQUESTS: Final = 20
WARM_UP_CONNECTIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds, and the processor time in seconds of a load, and of the load before the first.

    A load has as many requests as its target needs so much of its core for: windows of time would starve the slow ones.
    """

    rounds: int
    load_s: float
    warm_up_s: float
    connections: Sequence[int]


class Target(Protocol):
    """What is compared; clients spread evenly over its entrances."""

    @property
    def name(self) -> str:
        """Its name in the results."""
        ...

    @property
    def entrances(self) -> Sequence[Loaded]:
        """Where its loads are sent to."""
        ...


@dataclass(frozen=True, slots=True)
class Point:
    """One row: a target under a workload, with so many connections at once."""

    candidate: str
    workload: str
    connections: int


class Rounds:
    """The targets under their loads. Each load of payments has keys of its own, so that every payment is a new one.

    Reads come in so many `variations`, one after the other. `on_step` is called after each of the `steps`.
    """

    def __init__(
        self,
        folder: Path,
        town: Town,
        load: Load,
        targets: Sequence[Target],
        plan: Plan,
        *,
        variations: int = 1,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._town = town
        self._load = load
        self._targets = targets
        self._plan = plan
        self._variations = variations
        self._on_step = on_step
        self._cost_s: dict[tuple[str, str], float] = {}
        self._files = 0
        self.loads: dict[Point, list[Measured]] = {}

    @staticmethod
    def steps(targets: int, plan: Plan) -> int:
        """How many loads there are, those that warm up among them."""
        return targets * len(WORKLOADS) * (1 + len(plan.connections) * plan.rounds)

    async def warm_up(self) -> None:
        """Load every target with everything, until it has compiled what it compiles, and learn what that costs it.

        A compiler that looks at what runs most goes on for some thousand requests: Mercurius answers `q1` in 330 µs of
        its core after a hundred, and in 130 µs after ten thousand.
        """
        for workload in WORKLOADS:
            for target in self._targets:
                load = await self._measure(target, workload, WARM_UP_CONNECTIONS, MIN_REQUESTS)
                wanted = int(2 * self._plan.warm_up_s / max(load.cpu_us / 1e6, 1e-6))
                load = await self._measure(target, workload, WARM_UP_CONNECTIONS, min(wanted, MAX_REQUESTS))
                self._cost_s[target.name, workload] = load.cpu_us / 1e6
                self._on_step()

    async def run(self) -> None:
        """All points in each round, every other round backwards, so that no target always follows the same one."""
        for number in range(self._plan.rounds):
            order = self._targets if number % 2 == 0 else self._targets[::-1]
            for workload in WORKLOADS:
                for connections in self._plan.connections:
                    for target in order:
                        await self._point(target, workload, connections)
                        self._on_step()

    async def _point(self, target: Target, workload: str, connections: int) -> None:
        wanted = int(self._plan.load_s / max(self._cost_s[target.name, workload], 1e-6))
        count = max(min(wanted, MAX_REQUESTS), 2 * connections, MIN_REQUESTS)
        measured = await self._measure(target, workload, connections, count)
        self._cost_s[target.name, workload] = measured.cpu_us / 1e6
        self.loads.setdefault(Point(target.name, workload, connections), []).append(measured)

    async def _measure(self, target: Target, workload: str, connections: int, count: int) -> Measured:
        share = len(target.entrances)
        each = max(count // share, connections // share)
        files = [self._requests(workload, each) for _ in target.entrances]
        loads = [
            self._load.run(entrance, file, connections // share, each)
            for entrance, file in zip(target.entrances, files, strict=True)
        ]
        return together(await asyncio.gather(*loads))

    def _requests(self, workload: str, count: int) -> Path:
        if workload in READS:
            file = self._folder / f"{workload}.requests"
        else:
            self._files += 1
            file = self._folder / f"{workload}-{self._files % MAX_FILES}.requests"
        if workload not in READS or not file.exists():
            limit = min(count, TRANSFERS if workload == "transfer" else MIXED)
            made = requests(workload, self._town, f"load-{self._files}", limit, variations=self._variations)
            write_requests(file, made)
        return file


# Payments' files are written anew; those of entrances that are loaded at once are not the same.
MAX_FILES: Final = 8


def together(parts: Sequence[Measured]) -> Measured:
    """What loads of as many requests each, of all entrances at once, measured as one: the slowest tail counts."""
    return Measured(
        requests_s=sum(part.requests_s for part in parts),
        p50_ms=max(part.p50_ms for part in parts),
        p99_ms=max(part.p99_ms for part in parts),
        cpu_us=sum(part.cpu_us for part in parts) / len(parts),
        memory_mb=sum(part.memory_mb for part in parts),
        busy=sum(part.busy for part in parts),
        bytes=sum(part.bytes for part in parts) / len(parts),
        bad=sum(part.bad for part in parts),
    )
