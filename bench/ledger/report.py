"""From loads to rows, ratios, a table and a file: medians over the rounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from .plan import Point

RESULTS: Final = Path(__file__).parent.parent / "results" / "ledger.json"
NODES: Final = 3
# What is hoped for: a table that says so is read faster than a page beside it.
TARGETS: Final = {
    "uniform_c64_vs_naive": 12.0,
    "hot_c64_vs_naive": 200.0,
    "hot_vs_uniform_c64": 1.0,
    "uniform_c64_vs_bulk": 0.4,
    "c1_vs_naive": 1.0,
    "four_processes_vs_one": 1.0,
}

Loads = Mapping[Point, Sequence[Mapping[str, float]]]


def load_of(answers: Sequence[Mapping[str, Any]], server_cpu_s: float) -> dict[str, float]:
    """One load over its processes: transfers acknowledged a second, latencies in ms, processor time of each in µs."""
    latencies = sorted(ms for answer in answers for ms in answer["latencies"])
    seconds = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
    done = len(latencies)
    if not done:
        return {"tps": 0.0, "p50_ms": 0.0, "p99_ms": 0.0, "client_us": 0.0, "server_us": 0.0, "stopped": True}
    return {
        "tps": done / seconds,
        "p50_ms": latencies[done // 2],
        "p99_ms": latencies[int(done * 0.99)],
        "client_us": sum(answer["cpu_s"] for answer in answers) / done * 1e6,
        "server_us": server_cpu_s / done * 1e6,
        "stopped": any(answer["stopped"] for answer in answers),
    }


def row(point: Point, loads: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The point and the medians of its loads; `tps_rounds` are all of them, in order."""
    names = ("tps", "p50_ms", "p99_ms", "client_us", "server_us")
    return {
        "nodes": point.nodes,
        "design": point.design,
        "workload": point.workload,
        "concurrency": point.concurrency,
        "processes": point.processes,
        "transfers": point.count,
        **{name: round(median(load[name] for load in loads), 2) for name in names},
        "stopped": any(load["stopped"] for load in loads),
        "tps_rounds": [round(load["tps"], 1) for load in loads],
    }


def ratios(loads: Loads) -> dict[str, float]:
    """The ratios by name, on three nodes: each the median over the rounds of what stood side by side in one round."""
    return _ratios(loads, lambda load: load["tps"])


def cpu_ratios(loads: Loads) -> dict[str, float]:
    """The same of transfers for a second of processor time, of nodes and clients together.

    Where nodes and clients share few cores, throughput ends where processor time does.
    """
    return _ratios(loads, lambda load: 1e6 / max(load["client_us"] + load["server_us"], 1e-9))


def _ratios(loads: Loads, speed: Callable[[Mapping[str, float]], float]) -> dict[str, float]:
    point = Point

    def ratio(over: Point, under: Point) -> float:
        pairs = zip(loads[over], loads[under], strict=True)
        return round(median(speed(a) / max(speed(b), 1e-9) for a, b in pairs), 3)

    uniform, hot = point(NODES, "ledger", "uniform", 64), point(NODES, "ledger", "hot", 64)
    return {
        "uniform_c64_vs_naive": ratio(uniform, point(NODES, "naive", "uniform", 64)),
        "hot_c64_vs_naive": ratio(hot, point(NODES, "naive", "hot", 64)),
        "hot_vs_uniform_c64": ratio(hot, uniform),
        "uniform_c64_vs_bulk": ratio(uniform, point(NODES, "bulk", "uniform", 64)),
        "c1_vs_naive": ratio(point(NODES, "ledger", "uniform", 1), point(NODES, "naive", "uniform", 1)),
        "four_processes_vs_one": ratio(point(NODES, "ledger", "uniform", 64, 4), uniform),
        "four_processes_vs_one_c256": ratio(
            point(NODES, "ledger", "uniform", 256, 4), point(NODES, "ledger", "uniform", 256)
        ),
        "graphql_vs_ledger_c64": ratio(point(NODES, "graphql", "uniform", 64), uniform),
    }


def write(results: Mapping[str, Any]) -> Path:
    """The file of results, written anew."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return RESULTS


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print the rows and the ratios."""
    rows, found, by_cpu = results["rows"], results["ratios"], results["cpu_ratios"]
    measures = ("transfers/s", "p50 ms", "p99 ms", "µs client", "µs nodes")
    table = Table("nodes", "design", "workload", "callers", "processes", *measures)
    for r in rows:
        where = (str(r["nodes"]), r["design"], r["workload"], str(r["concurrency"]), str(r["processes"]))
        times = (f"{r['tps']:,.0f}", f"{r['p50_ms']:.1f}", f"{r['p99_ms']:.1f}")
        table.add_row(*where, *times, f"{r['client_us']:.0f}", f"{r['server_us']:.0f}")
    console.print(table)
    short = Table("ratio", "measured", "by processor time", "target")
    for name, value in found.items():
        target = TARGETS.get(name)
        met = "" if target is None else f"≥ {target:g}" + ("" if value >= target else "  short")
        short.add_row(name, f"{value:.2f}", f"{by_cpu[name]:.2f}", met)
    console.print(short)
