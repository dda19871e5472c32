"""`python -m bench.topologies`: plants the town, starts all topologies, compares their answers, loads them, reports."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.graphql.command import MAX_COMPLAINTS, command
from bench.graphql.load import Load
from bench.graphql.rounds import Plan, Rounds
from bench.graphql.town import Town, plant
from bench.graphql.verification import answers, compare
from bench.machine import cores, machine, versions
from bench.replica_sets import replica_set
from tests.topologies.routers import PACKAGES, MissingRouterError, check_installed

from .candidates import ROUTERS, Topology, topologies
from .report import RESULTS, plot, ratios, row, show

CONNECTIONS: Final = 8
# One more than there are connections: routers send equal requests that are under way together only once.
VARIATIONS: Final = CONNECTIONS + 1
NODE_PACKAGES: Final = {"hive": "@graphql-hive/gateway", "grafbase": "@grafbase/cli-x86_64-unknown-linux-musl"}

FULL: Final = Plan(5, 1.0, 400, (CONNECTIONS,))
QUICK: Final = Plan(3, 0.4, 120, (CONNECTIONS,))


async def run(console: Console, *, quick: bool, driver: str) -> dict[str, Any]:
    """The results; raises DifferentAnswer and LoadError."""
    plan = QUICK if quick else FULL
    mine = cores()
    serving, loading = ({mine[0]}, set(mine[1:]) or {mine[0]})
    about: dict[str, Any] = {
        **machine(),
        "quick": quick,
        "rounds": plan.rounds,
        "connections": CONNECTIONS,
        "variations": VARIATIONS,
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
        await _compare(found, town)
        console.print(f"{len(found)} topologies answer the same")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            bar = progress.add_task("loads", total=Rounds.steps(len(found), plan))
            measuring = Rounds(
                folder, town, load, found, plan, variations=VARIATIONS, on_step=lambda: progress.advance(bar)
            )
            await measuring.warm_up()
            await measuring.run()
    about["load_after"] = round(os.getloadavg()[0], 2)
    return {
        "machine": about,
        "versions": {**versions(database.version, driver), **_router_versions()},
        "rows": [row(point, measured) for point, measured in measuring.loads.items()],
        "ratios": ratios(measuring.loads),
        "complaints": load.complaints[:MAX_COMPLAINTS],
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
