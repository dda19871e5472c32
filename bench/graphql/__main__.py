"""`python -m bench.graphql`: plants the town, starts all servers, compares their answers, loads them, and reports."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench.machine import machine, versions

from .candidates import CONSTANT, candidates, install_node_peers, peer_versions
from .cold import cold
from .command import MAX_COMPLAINTS, command
from .plot import plot
from .report import COMPARED_AT, cpu_ratios, ratios, row, show, write
from .rounds import Plan
from .servers import Server, started
from .stage import Stage, measured, stage
from .verification import answers, compare

CONNECTIONS: Final = (1, 8, 32, 128)

FULL: Final = Plan(3, 0.4, 1.0, CONNECTIONS)
QUICK: Final = Plan(3, 0.4, 0.7, (COMPARED_AT,))


async def run(console: Console, *, quick: bool, driver: str) -> dict[str, Any]:
    """The results; raises DifferentAnswer and LoadError."""
    plan = QUICK if quick else FULL
    about = {**machine(), "quick": quick, "rounds": plan.rounds}
    async with AsyncExitStack() as stack:
        on = await stack.enter_async_context(stage(console, driver))
        about |= {
            "cores_of": {"server": sorted(on.serving), "load_and_mongod": sorted(on.loading)},
            "documents": "sent as text with every request, the same to all",
            "agora": "agora serve: token checked, limits, metrics and a log line a request; the others check nobody",
        }
        unseen = await cold(on.folder, on.database.uri, driver, on.town)
        servers = await _serve(stack, on, driver)
        console.print(f"{len(servers)} servers answer the same")
        loads = (await measured(console, on, servers, plan)).loads
    about["load_after"] = round(os.getloadavg()[0], 2)
    return {
        "machine": about,
        "versions": {**versions(on.database.version, driver), **peer_versions()},
        "candidates": {server.candidate.name: server.candidate.title for server in servers},
        "rows": [row(point, each) for point, each in loads.items()],
        "ratios": ratios(loads),
        "cpu_ratios": cpu_ratios(loads),
        "cold": unseen,
        "complaints": on.load.complaints[:MAX_COMPLAINTS],
    }


async def _serve(stack: AsyncExitStack, on: Stage, driver: str) -> list[Server]:
    """All servers, each of which answers what the first, Agora, answers."""
    servers: list[Server] = []
    expected: dict[str, Any] = {}
    for candidate in candidates(on.database.uri, on.folder, driver):
        if candidate.name == CONSTANT:
            constant = {name: json.dumps(answer, separators=(",", ":")) for name, answer in expected.items()}
            (on.folder / "answers.json").write_text(json.dumps(constant))
        log = on.folder / f"{candidate.name}.log"
        server = await stack.enter_async_context(started(candidate, log, on.serving))
        found = await answers(server, on.town, name=candidate.name, writes=candidate.writes)
        expected = expected or found
        compare(expected, found, candidate.title)
        servers.append(server)
    return servers


def write_all(results: Mapping[str, Any]) -> list[Path]:
    """The results as a file, and drawn."""
    file = write(results)
    plot(results, file.with_suffix(".png"))
    return [file, file.with_suffix(".png")]


if __name__ == "__main__":
    install_node_peers()
    command(run, show, write_all)
