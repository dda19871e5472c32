"""From loads to rows, ratios, a table and a picture: medians over the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.graphql.load import Measured
from bench.graphql.operations import TITLES as OPERATIONS
from bench.graphql.operations import WORKLOADS
from bench.graphql.rounds import Point

from .candidates import ONE, TITLES

RESULTS: Final = Path(__file__).parent.parent / "results" / "topologies.json"
HEADLINE: Final = "mixed"


Loads = Mapping[Point, Sequence[Measured]]


def row(point: Point, loads: Sequence[Measured]) -> dict[str, Any]:
    """The point and the medians of its loads."""
    each = [asdict(load) for load in loads]
    medians = {name: round(median(load[name] for load in each), 2) for name in each[0]}
    named = {"topology": point.candidate, "workload": point.workload}
    return {
        **named,
        **medians,
        "bad": sum(load.bad for load in loads),
        "cpu_us_rounds": [load["cpu_us"] for load in each],
    }


def ratios(loads: Loads) -> dict[str, float]:
    """How much more processor time a request takes than in one process: of the mixture, then of each operation.

    Each is the median over the rounds of what stood side by side in one.
    """
    names = [name for name in TITLES if name != ONE]
    found = {f"cpu_{name}_vs_one": _ratio(loads, name, HEADLINE, "cpu_us") for name in names}
    found |= {f"p99_{name}_vs_one": _ratio(loads, name, HEADLINE, "p99_ms") for name in names}
    for workload in WORKLOADS:
        if workload != HEADLINE:
            found |= {f"{workload}_cpu_{name}_vs_one": _ratio(loads, name, workload, "cpu_us") for name in names}
    return found


def _ratio(loads: Loads, name: str, workload: str, figure: str) -> float:
    found_of = {point.candidate: measured for point, measured in loads.items() if point.workload == workload}
    pairs = zip(found_of[name], found_of[ONE], strict=True)
    found: list[float] = [getattr(load, figure) / getattr(one, figure) for load, one in pairs]
    return round(median(found), 3)


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print what was measured, a table a workload, and the ratios."""
    for workload in WORKLOADS:
        table = Table("topology", "requests/s", "µs of processor", "p50 ms", "p99 ms", "MB", title=OPERATIONS[workload])
        for r in results["rows"]:
            if r["workload"] == workload:
                numbers = (f"{r['requests_s']:,.0f}", f"{r['cpu_us']:,.0f}", f"{r['p50_ms']:.1f}", f"{r['p99_ms']:.1f}")
                table.add_row(TITLES[r["topology"]], *numbers, f"{r['memory_mb']:.0f}")
        console.print(table)
    short = Table("ratio", "")
    for name, value in results["ratios"].items():
        short.add_row(name, f"{value:.2f}")
    console.print(short)


def plot(results: Mapping[str, Any], file: Path) -> None:
    """Write `file` (PNG): processor time a request of each topology, a panel a workload."""
    import matplotlib  # type: ignore[import-not-found,unused-ignore]

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 3, figsize=(14, 5.6))
    for axes, workload in zip(grid.flat, WORKLOADS, strict=True):
        rows = [r for r in results["rows"] if r["workload"] == workload]
        values = [r["cpu_us"] for r in rows]
        colours = ["#0b6e4f" if r["topology"] == ONE else "#9a9a9a" for r in rows]
        bars = axes.barh([TITLES[r["topology"]] for r in rows], values, color=colours)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axes.set_title(OPERATIONS[workload], fontsize=10)
        axes.set_xlim(0, max(values) * 1.2)
        axes.invert_yaxis()
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    about = results["machine"]
    figure.suptitle(f"µs of processor time a request, all processes, {about['connections']} connections", fontsize=11)
    text = f"{about['processor']}; {about['rounds']} rounds{', quick' if about['quick'] else ''}; load average "
    figure.text(0.01, 0.01, f"{text}{about['load_before']} before, {about['load_after']} after", fontsize=7)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
