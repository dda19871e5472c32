"""`python -m bench.topologies`: plants the town, starts all topologies, compares their answers, loads them, reports."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench.graphql.command import MAX_COMPLAINTS, command
from bench.graphql.rounds import Plan
from bench.graphql.stage import measured, stage
from bench.graphql.town import Town
from bench.graphql.verification import answers, compare
from bench.machine import machine, versions
from tests.topologies.routers import PACKAGES, MissingRouterError, check_installed

from .candidates import ROUTERS, Topology, topologies
from .report import RESULTS, plot, ratios, row, show

CONNECTIONS: Final = 8
# One more than there are connections: routers send equal requests that are under way together only once.
VARIATIONS: Final = CONNECTIONS + 1
NODE_PACKAGES: Final = {"hive": "@graphql-hive/gateway", "grafbase": "@grafbase/cli-x86_64-unknown-linux-musl"}

FULL: Final = Plan(5, 1.0, 1.0, (CONNECTIONS,))
QUICK: Final = Plan(3, 0.4, 0.5, (CONNECTIONS,))


async def run(console: Console, *, quick: bool, driver: str) -> dict[str, Any]:
    """The results; raises DifferentAnswer and LoadError."""
    plan = QUICK if quick else FULL
    about = {**machine(), "quick": quick, "rounds": plan.rounds, "connections": CONNECTIONS, "variations": VARIATIONS}
    async with AsyncExitStack() as stack:
        on = await stack.enter_async_context(stage(console, driver))
        about["cores_of"] = {"servers": sorted(on.serving), "load_and_mongod": sorted(on.loading)}
        # What is started inherits the cores of whoever starts it.
        os.sched_setaffinity(0, on.serving)
        found = await stack.enter_async_context(topologies(on.database.uri, on.folder, driver))
        os.sched_setaffinity(0, on.loading)
        await _compare(found, on.town)
        console.print(f"{len(found)} topologies answer the same")
        loads = (await measured(console, on, found, plan, variations=VARIATIONS)).loads
    about["load_after"] = round(os.getloadavg()[0], 2)
    return {
        "machine": about,
        "versions": {**versions(on.database.version, driver), **_router_versions()},
        "rows": [row(point, each) for point, each in loads.items()],
        "ratios": ratios(loads),
        "complaints": on.load.complaints[:MAX_COMPLAINTS],
    }


async def _compare(found: Sequence[Topology], town: Town) -> None:
    """Raise DifferentAnswer unless every entrance of every topology answers the same."""
    expected: dict[str, Any] = {}
    for topology in found:
        for number, entrance in enumerate(topology.entrances):
            answered = await answers(entrance, town, name=f"{topology.name}-{number}")
            expected = expected or answered
            compare(expected, answered, topology.name)


def _router_versions() -> dict[str, str]:
    return {
        router: str(json.loads((PACKAGES / package / "package.json").read_bytes())["version"])
        for router, package in NODE_PACKAGES.items()
    }


def write(results: Mapping[str, Any]) -> list[Path]:
    """The results as a file, and drawn."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    plot(results, RESULTS.with_suffix(".png"))
    return [RESULTS, RESULTS.with_suffix(".png")]


def main() -> None:
    """Measure, where the routers are installed."""
    try:
        for name in ROUTERS:
            check_installed(name)
    except MissingRouterError as error:
        sys.exit(f"agora: {error}")
    command(run, show, write)


if __name__ == "__main__":
    main()
