"""`python -m bench.graphql`: plants the town, starts all servers, compares their answers, loads them, and reports."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.machine import cores, machine, versions
from bench.replica_sets import replica_set

from .candidates import CONSTANT, candidates, install_node_peers, peer_versions
from .cold import cold
from .command import MAX_COMPLAINTS, command
from .load import Load
from .plot import plot
from .report import COMPARED_AT, cpu_ratios, ratios, row, show, write
from .rounds import Plan, Rounds
from .servers import Server, started
from .town import Town, plant
from .verification import answers, compare

CONNECTIONS: Final = (1, 8, 32, 128)

FULL: Final = Plan(3, 0.4, 200, CONNECTIONS)
QUICK: Final = Plan(3, 0.25, 60, (COMPARED_AT,))


async def run(console: Console, *, quick: bool, driver: str) -> dict[str, Any]:
    """The results; raises DifferentAnswer and LoadError."""
    plan = QUICK if quick else FULL
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
        unseen = await cold(folder, database.uri, driver, town)
        servers = await _serve(stack, folder, database.uri, driver, serving, town)
        console.print(f"{len(servers)} servers answer the same")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            bar = progress.add_task("loads", total=Rounds.steps(len(servers), plan))
            measuring = Rounds(folder, town, load, servers, plan, on_step=lambda: progress.advance(bar))
            await measuring.warm_up()
            await measuring.run()
    about["load_after"] = round(os.getloadavg()[0], 2)
    return {
        "machine": about,
        "versions": {**versions(database.version, driver), **peer_versions()},
        "candidates": {server.candidate.name: server.candidate.title for server in servers},
        "rows": [row(point, measured) for point, measured in measuring.loads.items()],
        "ratios": ratios(measuring.loads),
        "cpu_ratios": cpu_ratios(measuring.loads),
        "cold": unseen,
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
        found = await answers(server, town, name=candidate.name, writes=candidate.writes)
        expected = expected or found
        compare(expected, found, candidate.title)
        servers.append(server)
    return servers


def _split() -> tuple[set[int], set[int]]:
    """One core for the server; the others for the load and mongod, which share it where there are but two."""
    mine = cores()
    return ({mine[0]}, set(mine[1:])) if len(mine) > 1 else ({mine[0]}, {mine[0]})


def write_all(results: Mapping[str, Any]) -> list[Path]:
    """The results as a file, and drawn."""
    file = write(results)
    plot(results, file.with_suffix(".png"))
    return [file, file.with_suffix(".png")]


if __name__ == "__main__":
    install_node_peers()
    command(run, show, write_all)
