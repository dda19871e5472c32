"""From loads to rows, ratios, a table and a file: medians over the rounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from .candidates import AGORA, NODE
from .load import Measured
from .operations import READS, TITLES, WORKLOADS
from .rounds import Point

RESULTS: Final = Path(__file__).parent.parent / "results" / "graphql.json"
COMPARED_AT: Final = 32
# What is hoped for: a table that says so is read faster than a page beside it.
TARGETS: Final = {
    "q1_vs_best_node": 1.0,
    "q2_vs_best_node": 2.5,
    "q3_vs_best_node": 2.0,
    "q4_vs_best_node": 3.5,
    **{f"{name}_vs_strawberry": 8.0 for name in READS},
    **{f"{name}_vs_no_graphql": 0.85 for name in ("q1", "q2", "q3")},
}


Loads = Mapping[Point, Sequence[Measured]]
Speed = Callable[[Measured], float]


def row(point: Point, loads: Sequence[Measured]) -> dict[str, Any]:
    """The point and the medians of its loads; `requests_s_rounds` are all of them, in order."""
    each = [asdict(load) for load in loads]
    return {
        **asdict(point),
        **{name: round(median(load[name] for load in each), 2) for name in each[0]},
        "bad": sum(load.bad for load in loads),
        "requests_s_rounds": [round(load.requests_s, 1) for load in loads],
    }


def ratios(loads: Loads) -> dict[str, float]:
    """The ratios of requests a second by name, at 32 connections: each the median over the rounds of what stood side
    by side in one.

    The best of Node.js is, for each workload, that with the highest median.
    """
    return _ratios(loads, lambda load: load.requests_s)


def cpu_ratios(loads: Loads) -> dict[str, float]:
    """The same of requests for a second of the server's processor time: other work of the machine changes it less."""
    return _ratios(loads, lambda load: 1e6 / load.cpu_us)


def _ratios(loads: Loads, speed: Speed) -> dict[str, float]:
    found: dict[str, float] = {}
    for other in ("best_node", "strawberry", "ariadne", "no_graphql"):
        for workload in WORKLOADS:
            name = _best_of_node(loads, workload, speed) if other == "best_node" else other
            mine, theirs = loads[Point(AGORA, workload, COMPARED_AT)], loads[Point(name, workload, COMPARED_AT)]
            pairs = [speed(a) / speed(b) for a, b in zip(mine, theirs, strict=True)]
            found[f"{workload}_vs_{other}"] = round(median(pairs), 3)
    return found


def _best_of_node(loads: Loads, workload: str, speed: Speed) -> str:
    return max(NODE, key=lambda name: median(map(speed, loads[Point(name, workload, COMPARED_AT)])))


def write(results: Mapping[str, Any]) -> Path:
    """The file of results, written anew."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return RESULTS


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print what was measured at 32 connections, and the ratios."""
    titles = results["candidates"]
    for workload in WORKLOADS:
        table = Table("server", "requests/s", "µs of its core", "p50 ms", "p99 ms", "MB", title=TITLES[workload])
        for r in results["rows"]:
            if (r["workload"], r["connections"]) == (workload, COMPARED_AT):
                numbers = (f"{r['requests_s']:,.0f}", f"{r['cpu_us']:,.0f}", f"{r['p50_ms']:.1f}", f"{r['p99_ms']:.1f}")
                table.add_row(titles[r["candidate"]], *numbers, f"{r['memory_mb']:.0f}")
        console.print(table)
    short = Table("ratio", "requests/s", "target", "processor time")
    for name, value in results["ratios"].items():
        target = TARGETS.get(name)
        met = "" if target is None else f"≥ {target:g}" + ("" if value >= target else "  short")
        short.add_row(name, f"{value:.2f}", met, f"{results['cpu_ratios'][name]:.2f}")
    console.print(short)
    unseen = Table(
        "µs", "first use", "second", "graphql-core", "first / graphql-core", title="never seen before (≤ 1.5)"
    )
    for name, took in results["cold"].items():
        times = [f"{took[each]:,.0f}" for each in ("first", "second", "graphql_core")]
        unseen.add_row(TITLES[name], *times, f"{took['first_vs_graphql_core']:.2f}")
    console.print(unseen)
