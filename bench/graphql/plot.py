"""A picture of the rows: requests a second at 32 connections, a panel for each workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .candidates import AGORA, CONSTANT
from .operations import TITLES, WORKLOADS
from .report import COMPARED_AT

OURS: Final = "#0b6e4f"
OTHERS: Final = "#9a9a9a"
BOUND: Final = "#c08400"


def plot(results: Mapping[str, Any], file: Path) -> None:
    """Write `file` (PNG); each bar is a median of rounds."""
    import matplotlib  # type: ignore[import-not-found,unused-ignore]

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows: Sequence[Mapping[str, Any]] = results["rows"]
    titles: Mapping[str, str] = results["candidates"]
    figure, grid = pyplot.subplots(2, 3, figsize=(14, 6.6))
    names = [name for name in titles if name != CONSTANT]
    for axes, workload in zip(grid.flat, WORKLOADS, strict=True):
        at = {r["candidate"]: r for r in rows if (r["workload"], r["connections"]) == (workload, COMPARED_AT)}
        speeds = [at[name]["requests_s"] for name in names]
        colours = [{AGORA: OURS, "no_graphql": BOUND}.get(name, OTHERS) for name in names]
        bars = axes.barh([titles[name] for name in names], speeds, color=colours)
        axes.bar_label(bars, [f"{speed:,.0f}" for speed in speeds], padding=3, fontsize=8)
        axes.set_title(TITLES[workload], fontsize=10)
        axes.set_xlim(0, max(speeds) * 1.18)
        axes.invert_yaxis()
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Requests a second, one process on one core, {COMPARED_AT} connections", fontsize=11)
    figure.text(0.01, 0.01, _about(results["machine"]), fontsize=7)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _about(machine: Mapping[str, Any]) -> str:
    rounds = f"{machine['rounds']} rounds{', quick' if machine['quick'] else ''}"
    load = f"load average of the machine {machine['load_before']} before, {machine['load_after']} after"
    return f"{machine['processor']}; {rounds}; {load}"
